//! `behaviour/dns.yaml`: CoreDNS's answers, by upstream's own tables, and a resolver's way to them.

use super::Report;
use super::behaviour::{Table, case};
use cluster::dns::{
    Answer, Data, DnsName, Objects, PodRecord, PodRecords, Question, Rcode, Record, RecordType, Resolver, Zones,
};
use kube_api::{
    Endpoint, EndpointConditions, EndpointPort, EndpointSlice, LABEL_SERVICE_NAME, NamespacedName, Protocol, Service,
    ServicePort, ServiceType,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Fixture {
    services: Vec<FixtureService>,
    endpoints: Vec<FixtureEndpoints>,
    namespaces: Vec<String>,
    missing_namespaces: Vec<String>,
    pods: Vec<FixturePod>,
    external: Vec<Given>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FixtureService {
    ns: String,
    name: String,
    #[serde(rename = "clusterIPs", default)]
    cluster_ips: Vec<String>,
    #[serde(rename = "type", default)]
    type_: ServiceType,
    #[serde(default)]
    external_name: String,
    #[serde(default)]
    publish_not_ready_addresses: bool,
    #[serde(default)]
    ports: Vec<FixturePort>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixturePort {
    name: String,
    protocol: Protocol,
    port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixtureEndpoints {
    ns: String,
    svc: String,
    #[serde(default)]
    slice: Option<String>,
    addrs: Vec<FixtureAddress>,
    ports: Vec<FixturePort>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixtureAddress {
    ip: String,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    ready: Option<bool>,
    #[serde(default)]
    serving: Option<bool>,
    #[serde(default)]
    terminating: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixturePod {
    ns: String,
    #[serde(rename = "name")]
    _name: String,
    ip: IpAddr,
}

/// A record as the table writes it; a time to live that isn't told is not compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    name: String,
    #[serde(rename = "type")]
    type_: String,
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    priority: Option<u16>,
    #[serde(default)]
    weight: Option<u16>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    mname: Option<String>,
    #[serde(default)]
    rname: Option<String>,
    #[serde(default)]
    minttl: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    fixture: String,
    #[serde(default)]
    kind: Kind,
    config: Config,
    query: Query,
    expect: Expect,
    /// What the servers outside the cluster answer.
    #[serde(default)]
    upstream: Vec<Given>,
    #[serde(default)]
    upstream_truncated: bool,
}

#[derive(Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    #[default]
    Server,
    Resolver,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    zones: Vec<String>,
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(default)]
    pods: Option<String>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default)]
    ignore_empty_service: bool,
    #[serde(default)]
    synced: Option<bool>,
    #[serde(default)]
    dns_policy: Option<String>,
    #[serde(default)]
    pod_namespace: Option<String>,
    #[serde(default)]
    search: Vec<String>,
    #[serde(default)]
    ndots: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    name: String,
    #[serde(rename = "type")]
    type_: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Expect {
    rcode: String,
    #[serde(default)]
    answer: Option<Vec<Given>>,
    #[serde(default)]
    authority: Option<Vec<Given>>,
    #[serde(default)]
    additional: Option<Vec<Given>>,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    tried_in_order: Option<Vec<String>>,
    #[serde(default)]
    final_name: Option<String>,
}

fn objects(fixture: &Fixture) -> Objects {
    let mut objects = Objects::default();
    for given in &fixture.services {
        let mut service = Service::default();
        service.metadata.namespace.clone_from(&given.ns);
        service.metadata.name.clone_from(&given.name);
        service.spec.type_ = given.type_;
        service.spec.cluster_ips.clone_from(&given.cluster_ips);
        service.spec.cluster_ip = given.cluster_ips.first().cloned().unwrap_or_default();
        service.spec.external_name.clone_from(&given.external_name);
        service.spec.publish_not_ready_addresses = given.publish_not_ready_addresses;
        let port = |p: &FixturePort| ServicePort {
            name: p.name.clone(),
            protocol: p.protocol,
            app_protocol: None,
            port: p.port,
            target_port: None,
            node_port: 0,
        };
        service.spec.ports = given.ports.iter().map(port).collect();
        objects.namespaces.insert(given.ns.clone());
        objects.services.insert(service.metadata.key(), service.into());
    }
    for (i, given) in fixture.endpoints.iter().enumerate() {
        let mut slice = EndpointSlice::default();
        slice.metadata.namespace.clone_from(&given.ns);
        slice.metadata.name = given.slice.clone().unwrap_or_else(|| format!("{}-{i}", given.svc));
        slice.metadata.labels.insert(LABEL_SERVICE_NAME.into(), given.svc.clone());
        let endpoint = |a: &FixtureAddress| Endpoint {
            addresses: vec![a.ip.clone()],
            conditions: EndpointConditions { ready: a.ready, serving: a.serving, terminating: a.terminating },
            hostname: a.hostname.clone(),
            zone: a.zone.clone(),
            ..Endpoint::default()
        };
        slice.endpoints = given.addrs.iter().map(endpoint).collect();
        let port = |p: &FixturePort| EndpointPort {
            name: Some(p.name.clone()),
            protocol: Some(p.protocol),
            port: Some(p.port),
            app_protocol: None,
        };
        slice.ports = given.ports.iter().map(port).collect();
        objects.namespaces.insert(given.ns.clone());
        let key = NamespacedName::new(given.ns.clone(), slice.metadata.name.clone());
        objects.slices.insert(key, slice.into());
    }
    for pod in &fixture.pods {
        objects.namespaces.insert(pod.ns.clone());
        objects.pods.push(PodRecord { namespace: pod.ns.clone(), ip: pod.ip });
    }
    objects.namespaces.extend(fixture.namespaces.iter().cloned());
    for missing in &fixture.missing_namespaces {
        objects.namespaces.remove(missing);
    }
    objects
}

fn zones(config: &Config) -> Result<Zones, String> {
    let plain = Zones::default();
    Ok(Zones {
        zones: if config.zones.is_empty() { plain.zones } else { config.zones.clone() },
        ttl: config.ttl.unwrap_or(plain.ttl),
        pods: match config.pods.as_deref() {
            Some("disabled") => PodRecords::Disabled,
            Some("verified") => PodRecords::Verified,
            Some("insecure") | None => PodRecords::Insecure,
            Some(other) => return Err(format!("pods: {other}?")),
        },
        namespaces: config.namespaces.iter().cloned().collect(),
        ignore_empty_service: config.ignore_empty_service,
        fallthrough: Vec::new(),
        synced: config.synced.unwrap_or(true),
        servers: vec![IpAddr::from([127, 0, 0, 1])],
    })
}

/// An address out of a table of names outside the cluster.
fn outside(given: &Given, ttl: u32) -> Result<Record, String> {
    let text = given.value.clone().unwrap_or_default();
    let wrong = |what: &str| format!("{} {text}: {what}", given.name);
    let data = match given.type_.as_str() {
        "A" | "AAAA" => Data::address(text.parse().map_err(|_| wrong("not an address"))?),
        "CNAME" => Data::Cname(text),
        _ => return Err(wrong("not an address")),
    };
    Ok(Record { name: given.name.clone(), ttl: given.ttl.unwrap_or(ttl), data })
}

fn given(record: &Record) -> Given {
    let mut given = Given {
        name: record.name.clone(),
        type_: record.data.type_().to_string(),
        ttl: Some(record.ttl),
        value: None,
        priority: None,
        weight: None,
        port: None,
        target: None,
        mname: None,
        rname: None,
        minttl: None,
    };
    match &record.data {
        Data::Txt(text) => given.value = Some(text.clone()),
        Data::Srv { priority, weight, port, target } => {
            given.priority = Some(*priority);
            given.weight = Some(*weight);
            given.port = Some(*port);
            given.target = Some(target.clone());
        }
        Data::Soa { mname, rname, minttl } => {
            given.mname = Some(mname.clone());
            given.rname = Some(rname.clone());
            given.minttl = Some(*minttl);
        }
        other => given.value = Some(other.to_string()),
    }
    given
}

/// Whether the records are the expected ones, in whatever order.
fn compare(section: &str, expected: &[Given], seen: &[Record], untold: &BTreeSet<&str>) -> Result<(), String> {
    let plain = |mut g: Given| {
        if untold.contains(g.name.as_str()) {
            g.ttl = None;
        }
        g
    };
    let mut expected: Vec<Given> = expected.iter().cloned().map(plain).collect();
    for wanted in &mut expected {
        // An address may be written in several ways.
        if let Some(ip) = wanted.value.as_ref().and_then(|v| v.parse::<IpAddr>().ok()) {
            wanted.value = Some(ip.to_string());
        }
    }
    let no_ttl = expected.iter().all(|g| g.ttl.is_none());
    let mut seen: Vec<Given> = seen.iter().map(given).map(plain).collect();
    if no_ttl {
        seen.iter_mut().for_each(|g| g.ttl = None);
    }
    expected.sort();
    seen.sort();
    let lines = |list: &[Given]| {
        let mut out = String::new();
        for g in list {
            let data: Vec<_> = [&g.value, &g.target, &g.mname, &g.rname].into_iter().flatten().cloned().collect();
            let numbers: Vec<_> = [g.priority, g.weight, g.port].into_iter().flatten().map(|n| n.to_string()).collect();
            let _ = write!(
                out,
                "[{} {} {} {} {}]",
                g.name,
                g.ttl.unwrap_or_default(),
                g.type_,
                numbers.join(" "),
                data.join(" ")
            );
        }
        out
    };
    if expected == seen {
        return Ok(());
    }
    Err(format!("{section}: expected {}, seen {}", lines(&expected), lines(&seen)))
}

fn check(fixtures: &BTreeMap<String, Fixture>, case: &Case) -> Result<(), String> {
    let fixture = fixtures.get(&case.fixture).ok_or_else(|| format!("no fixture {}", case.fixture))?;
    let objects = objects(fixture);
    let zones = zones(&case.config)?;
    let type_: RecordType = case.query.type_.parse()?;
    let table = fixture.external.iter().chain(&case.upstream);
    let table: Vec<Record> = table.map(|g| outside(g, zones.ttl)).collect::<Result<_, _>>()?;
    let untold: BTreeSet<&str> = fixture.external.iter().filter(|g| g.ttl.is_none()).map(|g| g.name.as_str()).collect();
    let mut upstream = |q: &Question| {
        let known = |r: &&Record| r.name.eq_ignore_ascii_case(&q.name);
        let rcode = if table.iter().any(|r| known(&r)) { Rcode::NoError } else { Rcode::NxDomain };
        let fits = |r: &&Record| known(r) && [q.type_, RecordType::Cname].contains(&r.data.type_());
        Answer {
            answer: table.iter().filter(fits).cloned().collect(),
            truncated: case.upstream_truncated,
            ..Answer::empty(rcode)
        }
    };
    let differ = |what: &str, expected: &str, seen: &str| {
        if expected == seen { Ok(()) } else { Err(format!("{what}: expected {expected}, seen {seen}")) }
    };
    if case.kind == Kind::Resolver {
        let name = DnsName::parse(&case.query.name).ok_or("not a name")?;
        let namespace = case.config.pod_namespace.as_deref().unwrap_or("default");
        let mut resolver = Resolver::cluster_first("10.96.0.10", namespace);
        resolver.search.clone_from(&case.config.search);
        resolver.ndots = case.config.ndots.unwrap_or(1);
        // `Default` asks the host's servers, which know nothing of the cluster.
        let host = case.config.dns_policy.as_deref() == Some("Default");
        let found = resolver.resolve(&name, type_, &mut |q| {
            if host { upstream(q) } else { zones.answer(&objects, q, &mut upstream) }
        });
        if let Some(expected) = &case.expect.tried_in_order {
            let tried: Vec<&str> = found.tried.iter().map(|t| t.name.as_str()).collect();
            differ("tried", &expected.join(" "), &tried.join(" "))?;
        }
        differ("rcode", &case.expect.rcode, &found.answer.rcode.to_string())?;
        let nothing = || "none".to_owned();
        differ(
            "final name",
            &case.expect.final_name.clone().unwrap_or_else(nothing),
            &found.name.unwrap_or_else(nothing),
        )?;
        return match &case.expect.answer {
            Some(expected) => compare("answer", expected, &found.answer.answer, &untold),
            None => Ok(()),
        };
    }
    let seen = zones.answer(&objects, &Question::new(case.query.name.clone(), type_), &mut upstream);
    differ("rcode", &case.expect.rcode, &seen.rcode.to_string())?;
    differ("truncated", &case.expect.truncated.to_string(), &seen.truncated.to_string())?;
    let sections = [
        ("answer", &case.expect.answer, &seen.answer),
        ("authority", &case.expect.authority, &seen.authority),
        ("additional", &case.expect.additional, &seen.additional),
    ];
    for (section, expected, seen) in sections {
        if let Some(expected) = expected {
            compare(section, expected, seen, &untold)?;
        }
    }
    for (i, record) in seen.answer.iter().enumerate() {
        if let Data::Cname(target) = &record.data
            && seen.answer[..i].iter().any(|r| r.name == *target)
        {
            return Err(format!("{target} stands before the alias that leads to it"));
        }
    }
    Ok(())
}

/// Runs the table.
pub fn run(file: &Path, table: Table, report: &mut Report) {
    let fixtures: Result<BTreeMap<String, Fixture>, String> = table.fixture();
    for (name, raw) in table.cases(file) {
        let fixtures = fixtures.as_ref().map_err(Clone::clone);
        report.case("dns", &name, fixtures.and_then(|f| check(f, &case(raw)?)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_coredns() {
        let text = include_str!("../../../cluster/tests/data/behaviour/dns.yaml");
        let run_on = |text: &str| {
            let mut report = Report::default();
            run(Path::new("dns.yaml"), Table::read(text).unwrap(), &mut report);
            report.text()
        };
        assert_eq!(run_on(text), "dns: 64 passed, 0 failed\n");
        for (from, to) in [
            ("weight: 50", "weight: 100"),
            ("value: 10.0.0.1}", "value: 10.0.0.2}"),
            ("pods: verified", "pods: disabled"),
        ] {
            let broken = run_on(&text.replacen(from, to, 1));
            assert!(broken.ends_with("dns: 63 passed, 1 failed\n"), "{broken}");
        }
    }
}
