//! `behaviour/packetflow.yaml`: which way a packet goes, by upstream's own tables.

use super::Report;
use super::behaviour::{Table, case};
use datapath::{Entry, Flow, Kernel, KernelConfig, L4, Verdict};
use kube_api::{
    Endpoint, EndpointConditions, EndpointPort, EndpointSlice, IpFamily, LABEL_SERVICE_NAME, LoadBalancerIngress, Node,
    NodeAddress, Object, ObjectMeta, Protocol, Release, Service, ServicePort, ServiceType, TrafficPolicy,
};
use kube_proxy::{Mode, Settings, proxier_of};
use lab_base::Time;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// What the tables say about the node, in words.
const NODE: &str = "test-node";
const NODE_IPS: [&str; 3] = ["192.168.0.2", "192.168.1.2", "192.168.99.11"];
const POD_CIDR: &str = "10.0.0.0/8";
const SERVICE_CIDR: &str = "172.30.0.0/16";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    worlds: BTreeMap<String, World>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct World {
    services: Vec<WorldService>,
    endpoints: Vec<WorldEndpoints>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WorldService {
    ns: String,
    name: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    ports: Vec<WorldPort>,
    #[serde(rename = "type", default)]
    kind: ServiceType,
    #[serde(rename = "externalIPs", default)]
    external_ips: Vec<String>,
    #[serde(rename = "lbIPs", default)]
    lb_ips: Vec<String>,
    ip_mode: Option<String>,
    #[serde(default)]
    load_balancer_source_ranges: Vec<String>,
    external_traffic_policy: Option<TrafficPolicy>,
    internal_traffic_policy: Option<TrafficPolicy>,
    #[serde(default)]
    health_check_node_port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WorldPort {
    name: String,
    protocol: Protocol,
    port: u16,
    target_port: u16,
    node_port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorldEndpoints {
    ns: String,
    svc: String,
    addrs: Vec<WorldAddress>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorldAddress {
    ip: String,
    node: Option<String>,
    ready: bool,
    serving: bool,
    terminating: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    world: String,
    modes: Vec<String>,
    packet: Packet,
    expect: Expect,
    #[serde(default)]
    masquerade_all: bool,
    local_detector: Option<bool>,
    #[serde(default)]
    node_port_addresses: Vec<String>,
    localhost_node_ports: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Packet {
    src: IpAddr,
    dst: IpAddr,
    dport: u16,
    protocol: Protocol,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    verdict: String,
    #[serde(default)]
    to: BTreeSet<SocketAddr>,
    masquerade: Option<bool>,
}

fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { namespace: namespace.into(), name: name.into(), ..ObjectMeta::default() }
}

fn service(from: &WorldService) -> Service {
    let mut s = Service { metadata: meta(&from.ns, &from.name), ..Service::default() };
    let port = |p: &WorldPort| ServicePort {
        name: p.name.clone(),
        protocol: p.protocol,
        app_protocol: None,
        port: p.port,
        target_port: None,
        node_port: p.node_port,
    };
    s.spec.type_ = from.kind;
    s.spec.cluster_ip.clone_from(&from.cluster_ip);
    s.spec.cluster_ips = vec![from.cluster_ip.clone()];
    s.spec.ports = from.ports.iter().map(port).collect();
    s.spec.external_ips.clone_from(&from.external_ips);
    s.spec.load_balancer_source_ranges.clone_from(&from.load_balancer_source_ranges);
    s.spec.external_traffic_policy = from.external_traffic_policy;
    s.spec.internal_traffic_policy = from.internal_traffic_policy;
    s.spec.health_check_node_port = from.health_check_node_port;
    let vip = |ip: &String| LoadBalancerIngress { ip: ip.clone(), ip_mode: from.ip_mode.clone(), ..Default::default() };
    s.status.load_balancer.ingress = from.lb_ips.iter().map(vip).collect();
    s
}

fn slice(from: &WorldEndpoints, of: &WorldService) -> EndpointSlice {
    let mut s = EndpointSlice { metadata: meta(&from.ns, &from.svc), ..EndpointSlice::default() };
    s.metadata.labels.insert(LABEL_SERVICE_NAME.into(), from.svc.clone());
    let port = |p: &WorldPort| EndpointPort {
        name: Some(p.name.clone()),
        protocol: Some(p.protocol),
        port: Some(p.target_port),
        app_protocol: None,
    };
    s.ports = of.ports.iter().map(port).collect();
    let endpoint = |a: &WorldAddress| Endpoint {
        addresses: vec![a.ip.clone()],
        conditions: EndpointConditions {
            ready: Some(a.ready),
            serving: Some(a.serving),
            terminating: Some(a.terminating),
        },
        node_name: a.node.clone(),
        ..Endpoint::default()
    };
    s.endpoints = from.addrs.iter().map(endpoint).collect();
    s
}

fn objects(world: &World) -> Vec<Object> {
    let mut node = Node { metadata: meta("", NODE), ..Node::default() };
    let internal = |ip: &str| NodeAddress { type_: "InternalIP".into(), address: ip.into() };
    node.status.addresses = NODE_IPS.iter().map(|ip| internal(ip)).collect();
    let mut all = vec![Object::Node(Arc::new(node))];
    all.extend(world.services.iter().map(|s| Object::Service(Arc::new(service(s)))));
    for endpoints in &world.endpoints {
        let of = world.services.iter().find(|s| (&s.ns, &s.name) == (&endpoints.ns, &endpoints.svc));
        all.extend(of.map(|of| Object::EndpointSlice(Arc::new(slice(endpoints, of)))));
    }
    all.iter_mut().for_each(kube_api::defaults::apply);
    all
}

fn settings(case: &Case) -> Result<Settings, String> {
    let settings = Settings {
        cluster_cidr: POD_CIDR.into(),
        masquerade_all: case.masquerade_all,
        no_local_detector: case.local_detector == Some(false),
        node_port_addresses: case.node_port_addresses.clone(),
        localhost_node_ports: case.localhost_node_ports.unwrap_or(true),
        service_cidrs: vec![SERVICE_CIDR.parse()?],
        release: Release::default(),
        ..Settings::default()
    };
    settings.check().map_err(|e| e.to_string())?;
    Ok(settings)
}

/// What the simulated node does with the packet, in the words of the table.
fn seen(objects: &[Object], settings: Settings, mode: Mode, packet: &Packet) -> Result<Expect, String> {
    let proxier = proxier_of(objects, NODE, Arc::new(settings), IpFamily::V4).map_err(|e| e.to_string())?;
    let mut addresses = proxier.node().addresses.clone();
    addresses.push(Ipv4Addr::LOCALHOST.into());
    let from_node = addresses.contains(&packet.src);
    let pods: datapath::Cidr = POD_CIDR.parse()?;
    let entry = if from_node {
        Entry::Process
    } else if pods.contains(packet.src) {
        Entry::Pod
    } else {
        Entry::Wire
    };
    let mut kernel = Kernel::new(KernelConfig { addresses, ..KernelConfig::default() });
    proxier.in_mode(mode).sync_rules().load(&mut kernel, Time::ZERO);
    let proto = match packet.protocol {
        Protocol::Tcp => L4::Tcp,
        Protocol::Udp => L4::Udp,
        Protocol::Sctp => L4::Sctp,
    };
    let (src, dst) = (SocketAddr::new(packet.src, 40_000), SocketAddr::new(packet.dst, packet.dport));
    let flow = Flow { proto, src, dst };
    let shares = kernel.shares(Time::ZERO, flow, entry);
    let mut out = Expect { verdict: String::new(), to: BTreeSet::new(), masquerade: None };
    let mut verdicts = BTreeSet::new();
    for share in &shares {
        verdicts.insert(match share.verdict {
            Verdict::Drop => "DROP",
            Verdict::Reject => "REJECT",
            Verdict::Forward | Verdict::Local if share.dst == dst => "NONE",
            Verdict::Forward | Verdict::Local => "DNAT",
        });
        if matches!(share.verdict, Verdict::Forward | Verdict::Local) && share.dst != dst {
            out.to.insert(share.dst);
        }
    }
    // A Pod that reaches itself is masqueraded in addition; the table speaks of the others.
    let others = || shares.iter().filter(|s| out.to.contains(&s.dst) && s.dst.ip() != packet.src);
    let hairpins = || shares.iter().filter(|s| out.to.contains(&s.dst) && s.dst.ip() == packet.src);
    if hairpins().any(|s| !s.masquerade) {
        return Err("a hairpin is not masqueraded".into());
    }
    if others().any(|s| s.masquerade) && others().any(|s| !s.masquerade) {
        return Err("some endpoints are masqueraded, some not".into());
    }
    out.masquerade = (!out.to.is_empty()).then(|| others().next().is_none_or(|s| s.masquerade));
    let [verdict] = verdicts.into_iter().collect::<Vec<_>>()[..] else {
        return Err("several verdicts".into());
    };
    let accepted = |s: &datapath::TraceStep| s.matched && s.target == "ACCEPT";
    let accept = verdict == "NONE" && kernel.trace(Time::ZERO, flow, entry, &mut |_| 0).1.iter().any(accepted);
    out.verdict = if accept { "ACCEPT" } else { verdict }.into();
    Ok(out)
}

fn check(worlds: &BTreeMap<String, World>, case: &Case) -> Result<(), String> {
    let world = worlds.get(&case.world).ok_or_else(|| format!("no world {:?}", case.world))?;
    let objects = objects(world);
    for mode in &case.modes {
        let simulated = match mode.as_str() {
            "iptables" => Mode::Iptables,
            "nftables" => Mode::Nftables,
            other => return Err(format!("mode {other:?}: not simulated yet by this version")),
        };
        let seen = seen(&objects, settings(case)?, simulated, &case.packet).map_err(|e| format!("{mode}: {e}"))?;
        if seen != case.expect {
            return Err(format!("{mode}: expected {:?}, seen {seen:?}", case.expect));
        }
    }
    Ok(())
}

/// Runs the table.
pub fn run(file: &Path, table: Table, report: &mut Report) {
    let fixture: Result<Fixture, String> = table.fixture();
    for (name, raw) in table.cases(file) {
        let fixture = fixture.as_ref().map_err(Clone::clone);
        let outcome = fixture.and_then(|f| check(&f.worlds, &case(raw)?));
        report.case("packetflow", &name, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_go_the_way_of_upstreams_tables() {
        let text = include_str!("../../../kube-proxy/tests/data/packetflow.yaml");
        let mut report = Report::default();
        run(Path::new("packetflow.yaml"), Table::read(text).unwrap(), &mut report);
        assert_eq!(report.text(), "packetflow: 85 passed, 0 failed\n");
    }

    #[test]
    fn a_key_that_is_not_known_fails_its_case_only() {
        let text = include_str!("../../../kube-proxy/tests/data/packetflow.yaml");
        let text = text.replacen("  world: no-endpoints\n", "  world: no-endpoints\n  colour: red\n", 1);
        let text = text.replacen("expect: {verdict: REJECT}", "expect: {verdict: DROP}", 2);
        let mut report = Report::default();
        run(Path::new("packetflow.yaml"), Table::read(&text).unwrap(), &mut report);
        let text = report.text();
        assert!(text.contains("unknown field `colour`"), "{text}");
        assert!(text.contains("expected Expect { verdict: \"DROP\""), "{text}");
        assert!(text.ends_with("packetflow: 83 passed, 2 failed\n"), "{text}");
    }
}
