//! Connections go where a real kernel sent them under the same rules.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use datapath::{Entry, Flow, Kernel, KernelConfig, L4, Observed, nft, rule_text};
use kube_api::{IpFamily, Object, TrafficPolicy};
use kube_proxy::{Mode, Rules, Settings};
use lab_base::Time;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A row of `flows.json`.
#[derive(Deserialize)]
struct Row {
    node: String,
    from: String,
    from_ip: String,
    to: String,
    #[serde(default)]
    affinity: bool,
    iptables: Answer,
    nftables: Answer,
}

#[derive(Deserialize)]
struct Answer {
    verdict: String,
    n: Option<u32>,
    #[serde(default)]
    endpoints: BTreeMap<SocketAddr, f64>,
    masquerade: Option<serde_json::Value>,
    #[serde(default)]
    masqueraded_endpoints: Vec<SocketAddr>,
}

/// The node's network stack after one full sync.
fn kernel(objects: &[Object], settings: &Arc<Settings>, node: &str, family: IpFamily, mode: Mode) -> Kernel {
    let mut proxier = kube_proxy::proxier_of(objects, node, settings.clone(), family).unwrap().in_mode(mode);
    let mut addresses = proxier.node().addresses.clone();
    addresses.push([127, 0, 0, 1].into());
    let mut kernel = Kernel::new(KernelConfig { addresses, ..KernelConfig::default() });
    proxier.sync_rules().load(&mut kernel, Time::ZERO);
    kernel
}

fn flow(row: &Row) -> (Flow, Entry) {
    let (to, proto) = row.to.split_once('/').unwrap();
    let from: IpAddr = row.from_ip.split(' ').next().unwrap().parse().unwrap();
    let proto = match proto {
        "TCP" => L4::Tcp,
        "UDP" => L4::Udp,
        "SCTP" => L4::Sctp,
        _ => panic!("{proto}"),
    };
    let entry = match row.from.as_str() {
        "pod" => Entry::Pod,
        "node" | "localhost" => Entry::Process,
        "external" | "remote-pod" => Entry::Wire,
        other => panic!("{other}"),
    };
    (Flow { proto, src: SocketAddr::new(from, 40_000), dst: to.parse().unwrap() }, entry)
}

/// What differs from the row, if anything.
fn compare(row: &Row, want: &Answer, flow: Flow, entry: Entry, kernel: &Kernel) -> Result<(), String> {
    let (shares, config) = (kernel.shares(Time::ZERO, flow, entry), kernel.config());
    let total: f64 = shares.iter().map(|s| s.probability).sum();
    if (total - 1.0).abs() > 1e-9 {
        return Err(format!("shares add up to {total}"));
    }
    let seen: Vec<Observed> = shares.iter().map(|s| s.observed(&flow, entry, config)).collect();
    if seen.iter().any(|v| serde_json::json!(v) != want.verdict) {
        return Err(format!("expected {}, seen {seen:?}", want.verdict));
    }
    if want.verdict != "dnat" {
        return Ok(());
    }
    let mut seen: BTreeMap<SocketAddr, f64> = BTreeMap::new();
    let mut masqueraded: Vec<SocketAddr> = Vec::new();
    for share in &shares {
        *seen.entry(share.dst).or_default() += share.probability;
        if share.masquerade {
            masqueraded.push(share.dst);
        }
    }
    masqueraded.sort();
    if let Some(stray) = want.endpoints.keys().find(|e| !seen.contains_key(e)) {
        return Err(format!("{stray} was reached, the rules don't lead there"));
    }
    // Five standard deviations of a share measured n times, and a few connections more where there are hardly any;
    // sources with affinity are not independent.
    let n = f64::from(want.n.unwrap_or(1));
    for (endpoint, p) in &seen {
        let measured = want.endpoints.get(endpoint).copied().unwrap_or(0.0);
        if !row.affinity && (measured - p).abs() > 5.0 * (p * (1.0 - p) / n).sqrt() + 4.0 / n {
            return Err(format!("{endpoint}: expected {measured}, seen {p}"));
        }
    }
    let masquerade = want.masquerade.as_ref().map(|m| m.to_string()).unwrap_or_default();
    match masquerade.as_str() {
        // Endpoints that the measurement did not meet say nothing.
        "true" if want.endpoints.keys().all(|e| masqueraded.contains(e)) => {}
        "false" if !want.endpoints.keys().any(|e| masqueraded.contains(e)) => {}
        "\"mixed\"" if masqueraded == want.masqueraded_endpoints => {}
        _ => {
            return Err(format!(
                "masquerade: expected {masquerade} {:?}, seen {masqueraded:?}",
                want.masqueraded_endpoints
            ));
        }
    }
    Ok(())
}

fn compare_all(mode: Mode) {
    let (mut checked, mut failures) = (0, Vec::new());
    for case in common::cases() {
        let (objects, settings) = common::read(&case);
        let Ok(text) = std::fs::read_to_string(case.join("flows.json")) else { continue };
        let rows: Vec<Row> = serde_json::from_str(&text).unwrap();
        for row in rows {
            let (flow, entry) = flow(&row);
            let family = IpFamily::of(flow.dst.ip());
            let kernel = kernel(&objects, &settings, &row.node, family, mode);
            let want = if mode == Mode::Iptables { &row.iptables } else { &row.nftables };
            checked += 1;
            if let Err(why) = compare(&row, want, flow, entry, &kernel) {
                let case = case.file_name().unwrap().to_string_lossy();
                failures.push(format!("{case}: {} {} {} -> {}: {why}", row.node, row.from, row.from_ip, row.to));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {checked} differ\n{}", failures.len(), failures.join("\n"));
    assert_eq!(checked, 1551);
}

#[test]
fn iptables_sends_connections_where_a_kernel_sent_them() {
    compare_all(Mode::Iptables);
}

#[test]
fn nftables_sends_connections_where_a_kernel_sent_them() {
    compare_all(Mode::Nftables);
}

/// The rules with one of them missing, for each rule and element of a service port; and what is missing.
fn mutations(rules: &Rules) -> Vec<(String, Rules)> {
    let mut all = Vec::new();
    match rules {
        Rules::Iptables(rules) => {
            for (key, segment) in rules.segments() {
                for (row, rule) in segment.written().enumerate() {
                    let mut mutant = (**rules).clone();
                    mutant.set_segment(key, Some(Arc::new(segment.without(row))));
                    let text = rule_text(rules.base(), Some(segment), segment.list(), rule);
                    all.push((text, Rules::Iptables(Arc::new(mutant))));
                }
            }
        }
        Rules::Nftables(table) => {
            for (key, s) in table.segments() {
                for row in 0..s.rules().len() + s.elements().len() {
                    let (mut rules, mut elements) = (s.rules().to_vec(), s.elements().to_vec());
                    let what = match row.checked_sub(rules.len()) {
                        None => format!("{:?}", rules.remove(row)),
                        Some(row) => format!("{:?}", elements.remove(row)),
                    };
                    let mut mutant = (**table).clone();
                    let fewer = nft::Segment::new(s.chains().to_vec(), s.sets().to_vec(), rules, elements);
                    mutant.set_segment(key, Some(Arc::new(fewer)));
                    all.push((what, Rules::Nftables(Arc::new(mutant))));
                }
            }
        }
        Rules::Ipvs(_) => {}
    }
    all
}

/// The recorded connections notice whichever rule is missing, but for those that no recorded connection meets.
#[test]
fn with_any_one_rule_missing_a_recorded_connection_goes_astray() {
    let (mut caught, mut missed) = (0, Vec::new());
    for case in ["nodeport-etp-local-both", "lb-source-ranges-node", "external-ip-nodeport", "udp-no-endpoints"] {
        let case = common::cases().into_iter().find(|c| c.ends_with(case)).unwrap();
        let (objects, settings) = common::read(&case);
        let rows: Vec<Row> = serde_json::from_str(&std::fs::read_to_string(case.join("flows.json")).unwrap()).unwrap();
        for mode in [Mode::Iptables, Mode::Nftables] {
            let proxier = kube_proxy::proxier_of(&objects, "node-a", settings.clone(), IpFamily::V4).unwrap();
            for (what, mutant) in mutations(&proxier.in_mode(mode).sync_rules()) {
                let mut kernel = kernel(&objects, &settings, "node-a", IpFamily::V4, mode);
                mutant.load(&mut kernel, Time::ZERO);
                let astray = rows.iter().filter(|r| r.node == "node-a").any(|row| {
                    let (flow, entry) = flow(row);
                    let want = if mode == Mode::Iptables { &row.iptables } else { &row.nftables };
                    compare(row, want, flow, entry, &kernel).is_err()
                });
                if astray {
                    caught += 1;
                } else {
                    missed.push(format!("{}: {what}", case.file_name().unwrap().to_string_lossy()));
                }
            }
        }
    }
    // No recorded connection is a hairpin of these Pods, or has a balancer's address as source; one rule is only a
    // comment; and a datagram to a cluster IP that no map refuses is refused by cluster-ips-check.
    let unmet = [
        "-s 10.244.1.6 ",
        "-s 10.244.2.5 ",
        "Host(10.244.1.6), not: false }], statement: Verdict",
        "Host(10.244.2.5), not: false }], statement: Verdict",
        "-s 198.51.100.8 ",
        "other traffic to default/web:http",
        "key: Service(10.96.0.54, Udp, 53)",
    ];
    missed.retain(|what| !unmet.iter().any(|u| what.contains(u)));
    assert!(missed.is_empty(), "{caught} caught, missed:\n{}", missed.join("\n"));
    assert_eq!(caught, 80);
}

/// Whether the documents say that IPVS does otherwise than iptables did here (conformance/README.md, SPEC 6.6).
fn ipvs_differs(case: &str, objects: &[Object], settings: &Settings, row: &Row, why: &str) -> bool {
    let local = |o: &Object| match o {
        Object::Service(s) => {
            let policies = [s.spec.internal_traffic_policy, s.spec.external_traffic_policy];
            policies.contains(&Some(TrafficPolicy::Local))
        }
        _ => false,
    };
    // No virtual servers at loopback addresses.
    row.from == "localhost"
        // An address of kube-ipvs0 refuses what it doesn't serve, and IPVS what has no endpoints.
        || why.contains("expected none, seen [Reject")
        // Policy Local: endpoints of this node for all, anywhere without any, and the source address kept.
        || objects.iter().any(local)
        // Source ranges come first, also without endpoints; processes of the node have the balancer's address.
        || case.starts_with("lb-source-ranges") && (row.from == "node" || why.contains("expected reject, seen [Drop"))
        // A hash sends one client to one endpoint.
        || settings.ipvs_scheduler == "mh"
        // An endpoint of no node isn't in KUBE-LOOP-BACK.
        || case == "slices-no-nodename" && why.starts_with("masquerade")
}

#[test]
fn ipvs_does_what_a_kernel_did_under_iptables_but_where_it_is_known_to_differ() {
    let (mut same, mut failures) = (0, Vec::new());
    for case in common::cases() {
        let (objects, settings) = common::read(&case);
        let Ok(text) = std::fs::read_to_string(case.join("flows.json")) else { continue };
        let rows: Vec<Row> = serde_json::from_str(&text).unwrap();
        for row in rows {
            let (flow, entry) = flow(&row);
            let kernel = kernel(&objects, &settings, &row.node, IpFamily::of(flow.dst.ip()), Mode::Ipvs);
            let case = case.file_name().unwrap().to_string_lossy();
            match compare(&row, &row.iptables, flow, entry, &kernel) {
                Ok(()) => same += 1,
                Err(why) if ipvs_differs(&case, &objects, &settings, &row, &why) => {}
                Err(why) => {
                    failures.push(format!("{case}: {} {} {} -> {}: {why}", row.node, row.from, row.from_ip, row.to))
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} differ\n{}", failures.len(), failures.join("\n"));
    assert_eq!(same, 1246, "of 1551");
}
