//! `servicelab dns`: what CoreDNS answers, by hand.

use crate::arguments::Arguments;
use crate::rules::{Failure, objects, text_of};
use cluster::dns::{Answer, DnsName, Objects, Question, Rcode, RecordType, Resolver, Zones, reverse_name};
use cluster::{Cluster, Scenario};
use kube_api::{EndpointSlice, Namespace, Object, Service, ServiceType, Severity};
use std::fmt::Write;
use std::net::IpAddr;

/// How the command is called.
pub const USAGE: &str = "servicelab dns -f FILE... --query NAME [--type A|AAAA|SRV|PTR|CNAME|TXT] [--namespace NS]

  A name without a dot at its end is looked up as in a Pod of that Namespace (default): through the
  search list, with ndots:5. An address with --type PTR stands for the name of that address.
  What isn't a record begins with ';': the names that were tried, the zone of a negative answer.";

struct Options {
    files: Vec<String>,
    query: String,
    type_: RecordType,
    namespace: String,
}

fn options(args: &[String]) -> Result<Options, Failure> {
    let (mut files, mut query, mut type_, mut namespace) = (Vec::new(), None, None, "default".to_owned());
    let mut args = Arguments::new(args);
    while let Some(name) = args.next() {
        match name {
            "-f" | "--filename" => files.push(args.value()?),
            "--query" => query = Some(args.value()?),
            "--type" => type_ = Some(args.value()?.parse().map_err(Failure::Usage)?),
            "--namespace" | "-n" => namespace = args.value()?,
            _ => return Err(args.unknown()),
        }
    }
    let query = query.ok_or_else(|| Failure::Usage("--query is missing".into()))?;
    if files.is_empty() {
        return Err(Failure::Usage("-f is missing".into()));
    }
    // As dig -x: an address can only be asked for by its name.
    let address = query.parse::<IpAddr>().ok();
    let type_ = type_.unwrap_or(if address.is_some() { RecordType::Ptr } else { RecordType::A });
    let query = match address {
        Some(ip) if type_ == RecordType::Ptr => reverse_name(ip),
        _ => query,
    };
    Ok(Options { files, query, type_, namespace })
}

/// What CoreDNS knows: the files' objects as they stand, and what a cluster adds (addresses, endpoints of Pods).
fn known(files: &[String]) -> Result<(Objects, Zones), Failure> {
    let (mut text, mut given) = (String::new(), Vec::new());
    for file in files {
        let part = text_of(file)?;
        let (scenario, diagnostics) = Scenario::parse(&part);
        let release = scenario.cluster.release.parse().unwrap_or_default();
        given.extend(objects(file, &part, release)?);
        let mistake = diagnostics.iter().find(|d| d.severity == Severity::Error);
        if let Some(d) = mistake {
            return Err(Failure::Invalid(format!("{file}:{}:{}: {}", d.span.line, d.span.column, d.message)));
        }
        text = if text.is_empty() { part } else { format!("{text}\n---\n{part}") };
    }
    let (mut scenario, _) = Scenario::parse(&text);
    // Objects with addresses of another plan are no mistake here: they stand as they are given.
    let stands = |o: &Object| match o {
        Object::EndpointSlice(_) => true,
        Object::Service(s) => {
            s.spec.type_ == ServiceType::ExternalName || !s.spec.cluster_ip.is_empty() || !s.spec.cluster_ips.is_empty()
        }
        _ => false,
    };
    scenario.objects.retain(|o| !stands(o) || matches!(o, Object::Service(s) if !s.spec.selector.is_empty()));
    let mut namespaces: Vec<String> = given.iter().map(|o| o.metadata().namespace.clone()).collect();
    namespaces.retain(|n| !n.is_empty());
    namespaces.sort();
    namespaces.dedup();
    let named = |n: &String| {
        let mut namespace = Namespace::default();
        namespace.metadata.name.clone_from(n);
        Object::Namespace(namespace.into())
    };
    scenario.objects.splice(0..0, namespaces.iter().map(named));
    let (cluster, refused) = Cluster::new(&scenario, None);
    // Nor is a node that isn't one of the cluster's machines: no name depends on it.
    let missing = |line: &String| {
        let given = given.iter().any(|o| stands(o) && line.contains(&format!("\"{}\"", o.metadata().name)));
        !given && !line.starts_with("nodes \"")
    };
    let refused: Vec<String> = refused.into_iter().filter(missing).collect();
    if !refused.is_empty() {
        return Err(Failure::Invalid(refused.join("\n")));
    }
    let store = cluster.store();
    let mut known = Objects::default();
    known.namespaces.extend(store.list::<Namespace>().map(|n| n.metadata.name.clone()));
    known.services.extend(store.list::<Service>().map(|s| (s.metadata.key(), s.clone())));
    known.slices.extend(store.list::<EndpointSlice>().map(|s| (s.metadata.key(), s.clone())));
    for object in given.into_iter().filter(stands) {
        let key = object.metadata().key();
        match object {
            Object::Service(s) => drop(known.services.insert(key, s)),
            Object::EndpointSlice(s) => drop(known.slices.insert(key, s)),
            _ => {}
        }
    }
    Ok((known, Zones { ttl: scenario.cluster.dns.ttl, ..Zones::default() }))
}

/// Asks, and gives what to print: the rcode, then a record a line.
///
/// # Errors
/// A command line or files that can't be used.
pub fn run(args: &[String]) -> Result<String, Failure> {
    let options = options(args)?;
    let name = DnsName::parse(&options.query)
        .ok_or_else(|| Failure::Usage(format!("--query: {:?} is not a legal name", options.query)))?;
    let (known, zones) = known(&options.files)?;
    // There is no internet here: names outside the cluster don't exist.
    let mut outside = |_: &Question| Answer::empty(Rcode::NxDomain);
    let resolver = Resolver::cluster_first(cluster::dns::DNS_ADDRESS, &options.namespace);
    let found = resolver.resolve(&name, options.type_, &mut |q| zones.answer(&known, q, &mut outside));
    let answer = found.answer;
    let mut out = format!("{}\n", answer.rcode);
    for record in &answer.answer {
        let _ = writeln!(out, "{record}");
    }
    for record in &answer.additional {
        let _ = writeln!(out, "; additional: {record}");
    }
    for record in &answer.authority {
        let _ = writeln!(out, "; authority: {record}");
    }
    if found.tried.len() > 1 {
        for tried in &found.tried {
            let nodata = tried.rcode == Rcode::NoError && found.name.as_ref() != Some(&tried.name);
            let _ = writeln!(out, "; tried: {} {}{}", tried.name, tried.rcode, if nodata { " (no data)" } else { "" });
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.20, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, ports: [{name: pg, port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: pg, port: 5432}]
endpoints:
- {addresses: [10.244.1.5], hostname: db-0, conditions: {ready: true}}
- {addresses: [10.244.2.5], conditions: {ready: true}}
- {addresses: [10.244.3.5], conditions: {ready: false}}
---
apiVersion: v1
kind: Service
metadata: {name: ext, namespace: shop}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
";

    fn ask(line: &str) -> Result<String, Failure> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("servicelab-dns-{}-{number}.yaml", std::process::id()));
        std::fs::write(&file, format!("{SHOP}---\n{}", include_str!("../../cluster/tests/data/web.yaml"))).unwrap();
        let words = format!("-f {} {line}", file.display());
        let result = run(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        std::fs::remove_file(&file).unwrap();
        result
    }

    #[test]
    fn the_rcode_and_then_a_record_a_line() {
        let web = ask("--query web --namespace shop").unwrap();
        assert_eq!(web, "NOERROR\nweb.shop.svc.cluster.local. 30 IN A 10.96.0.20\n");
        let ext = ask("--query ext.shop.svc.cluster.local.").unwrap();
        let want = "NOERROR\next.shop.svc.cluster.local. 30 IN CNAME web.shop.svc.cluster.local.\nweb.shop.svc.cluster.local. 30 IN A 10.96.0.20\n";
        assert_eq!(ext, want);
        let srv = ask("--query _pg._tcp.db.shop.svc.cluster.local. --type srv").unwrap();
        let srv: Vec<&str> = srv.lines().collect();
        assert_eq!(srv.len(), 5, "{srv:?}");
        let name = "_pg._tcp.db.shop.svc.cluster.local. 30 IN SRV 0 50 5432";
        assert_eq!(srv[1], format!("{name} db-0.db.shop.svc.cluster.local."));
        assert_eq!(srv[2], format!("{name} 10-244-2-5.db.shop.svc.cluster.local."));
        let ptr = ask("--query 10.96.0.20").unwrap();
        assert_eq!(ptr, "NOERROR\n20.0.96.10.in-addr.arpa. 30 IN PTR web.shop.svc.cluster.local.\n");
        let txt = ask("--query dns-version.cluster.local --type TXT").unwrap();
        assert!(txt.starts_with("NOERROR\ndns-version.cluster.local. 28800 IN TXT \"1.1.0\"\n"), "{txt}");
    }

    #[test]
    fn a_resolver_says_what_it_tried() {
        let found = ask("--query web.shop --namespace default").unwrap();
        let want = "NOERROR\nweb.shop.svc.cluster.local. 30 IN A 10.96.0.20\n; tried: web.shop.default.svc.cluster.local. NXDOMAIN\n; tried: web.shop.svc.cluster.local. NOERROR\n";
        assert_eq!(found, want);
        let missing = ask("--query nope").unwrap();
        assert!(missing.starts_with("NXDOMAIN\n") && missing.matches("; tried").count() == 4, "{missing}");
        let nodata = ask("--query web --type AAAA --namespace shop").unwrap();
        let zone = "; authority: cluster.local. 30 IN SOA ns.dns.cluster.local. hostmaster.cluster.local.";
        assert!(nodata.starts_with(&format!("NOERROR\n{zone}")), "{nodata}");
        assert!(nodata.contains("web.shop.svc.cluster.local. NOERROR (no data)"), "{nodata}");
    }

    #[test]
    fn what_the_cluster_gives_is_there_too() {
        let web = ask("--query web").unwrap();
        assert!(web.starts_with("NOERROR\nweb.default.svc.cluster.local. 30 IN A 10.96."), "{web}");
    }

    #[test]
    fn nodes_of_other_names_do_no_harm() {
        let file = std::env::temp_dir().join(format!("servicelab-dns-node-{}.yaml", std::process::id()));
        std::fs::write(&file, format!("{SHOP}---\n{{apiVersion: v1, kind: Node, metadata: {{name: worker-1}}}}\n"))
            .unwrap();
        let words = ["-f", &file.display().to_string(), "--query", "web.shop.svc"].map(str::to_owned);
        assert!(run(&words).unwrap().starts_with("NOERROR\nweb.shop.svc.cluster.local. 30 IN A 10.96.0.20\n"));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn bad_calls_are_told() {
        for line in ["--query a..b", "--type A", "--query web --type WAT", "--query", "--wat"] {
            assert!(matches!(ask(line), Err(Failure::Usage(_))), "{line}");
        }
    }
}
