//! `behaviour/conntrack.yaml`: which connections kube-proxy deletes, by upstream's own table.

use super::Report;
use super::behaviour::{Table, case};
use datapath::{Flow, L4, Nat};
use kube_api::{
    Endpoint, EndpointConditions, EndpointPort, EndpointSlice, IpFamily, LABEL_SERVICE_NAME, LoadBalancerIngress,
    NamespacedName, ObjectMeta, Protocol, Release, Service, ServicePort, ServiceType,
};
use kube_proxy::{NodeContext, Proxier, Settings};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// The node, which the table does not name, and a client.
const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 10, 11));
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 240, 0, 200)), 40_000);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    service: FixtureService,
    endpoints: Vec<FixtureEndpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixtureService {
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "externalIPs")]
    external_ips: Vec<String>,
    #[serde(rename = "lbIPs")]
    lb_ips: Vec<String>,
    ports: Vec<FixturePort>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FixturePort {
    name: String,
    protocol: Protocol,
    port: u16,
    #[serde(default)]
    node_port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixtureEndpoint {
    ip: String,
    serving: bool,
    port: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    entry: Tuple,
    expect: Expect,
    /// The first release that behaves so.
    since: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Tuple {
    protocol: Protocol,
    /// None: an address of the node.
    orig_dst: Option<IpAddr>,
    orig_dport: u16,
    reply_src: IpAddr,
    reply_sport: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    kept: bool,
}

fn name() -> NamespacedName {
    NamespacedName::new("ns", "svc")
}

fn meta() -> ObjectMeta {
    ObjectMeta { namespace: "ns".into(), name: "svc".into(), ..ObjectMeta::default() }
}

fn service(from: &FixtureService) -> Service {
    let mut s = Service { metadata: meta(), ..Service::default() };
    s.spec.type_ = ServiceType::LoadBalancer;
    s.spec.cluster_ip.clone_from(&from.cluster_ip);
    s.spec.external_ips.clone_from(&from.external_ips);
    let vip = |ip: &String| LoadBalancerIngress { ip: ip.clone(), ..LoadBalancerIngress::default() };
    s.status.load_balancer.ingress = from.lb_ips.iter().map(vip).collect();
    let port = |p: &FixturePort| ServicePort {
        name: p.name.clone(),
        protocol: p.protocol,
        app_protocol: None,
        port: p.port,
        target_port: None,
        node_port: p.node_port,
    };
    s.spec.ports = from.ports.iter().map(port).collect();
    s
}

fn slice(of: &FixtureService, from: &FixtureEndpoint) -> EndpointSlice {
    let mut s = EndpointSlice { metadata: meta(), ..EndpointSlice::default() };
    s.metadata.labels.insert(LABEL_SERVICE_NAME.into(), name().name);
    let port = |p: &FixturePort| EndpointPort {
        name: Some(p.name.clone()),
        protocol: Some(p.protocol),
        port: Some(from.port),
        app_protocol: None,
    };
    s.ports = of.ports.iter().map(port).collect();
    let conditions =
        EndpointConditions { ready: Some(from.serving), serving: Some(from.serving), terminating: Some(!from.serving) };
    s.endpoints = vec![Endpoint { addresses: vec![from.ip.clone()], conditions, ..Endpoint::default() }];
    s
}

fn check(fixture: &Fixture, case: &Case) -> Result<(), String> {
    let mut releases = vec![Release::default()];
    releases.extend(case.since.as_deref().map(str::parse::<Release>).transpose()?);
    for release in releases {
        let settings = Settings { release, ..Settings::default() };
        let node = NodeContext { name: "node".into(), addresses: vec![NODE], ..NodeContext::default() };
        let mut proxier = Proxier::new(Arc::new(settings), node, IpFamily::V4);
        proxier.set_service(&name(), Some(Arc::new(service(&fixture.service))));
        for (i, endpoint) in fixture.endpoints.iter().enumerate() {
            let key = NamespacedName::new("ns", format!("svc-{i}"));
            proxier.set_endpoint_slice(&key, Some(Arc::new(slice(&fixture.service, endpoint))));
        }
        proxier.sync();
        let proto = match case.entry.protocol {
            Protocol::Tcp => L4::Tcp,
            Protocol::Udp => L4::Udp,
            Protocol::Sctp => L4::Sctp,
        };
        let dst = SocketAddr::new(case.entry.orig_dst.unwrap_or(NODE), case.entry.orig_dport);
        let nat = Nat { src: CLIENT, dst: SocketAddr::new(case.entry.reply_src, case.entry.reply_sport) };
        let kept = !proxier.stale_connections().is_stale(&Flow { proto, src: CLIENT, dst }, nat);
        if kept != case.expect.kept {
            let word = |kept| if kept { "kept" } else { "deleted" };
            return Err(format!("{release}: expected {}, seen {}", word(case.expect.kept), word(kept)));
        }
    }
    Ok(())
}

/// Runs the table.
pub fn run(file: &Path, table: Table, report: &mut Report) {
    let fixture: Result<Fixture, String> = table.fixture();
    for (name, raw) in table.cases(file) {
        let fixture = fixture.as_ref().map_err(Clone::clone);
        report.case("conntrack", &name, fixture.and_then(|f| check(f, &case(raw)?)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_deleted_by_upstreams_table() {
        let text = include_str!("../../../kube-proxy/tests/data/conntrack.yaml");
        let mut report = Report::default();
        run(Path::new("conntrack.yaml"), Table::read(text).unwrap(), &mut report);
        assert_eq!(report.text(), "conntrack: 45 passed, 0 failed\n");
        // Before that release the endpoint's port did not count.
        let text = text.replace("since: '1.33'", "since: '1.32'");
        let mut report = Report::default();
        run(Path::new("conntrack.yaml"), Table::read(&text).unwrap(), &mut report);
        assert!(report.text().ends_with("conntrack: 42 passed, 3 failed\n"), "{}", report.text());
    }
}
