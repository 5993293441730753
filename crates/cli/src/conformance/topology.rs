//! `behaviour/topology.yaml`: which endpoints a node uses, by upstream's own table.

use super::Report;
use super::behaviour::{Table, case};
use kube_api::{LABEL_ZONE, NamespacedName, Protocol, Release, StringMap, TrafficPolicy, Uid};
use kube_proxy::endpoints_change_tracker::{EndpointInfo, Hints};
use kube_proxy::service_change_tracker::{ServicePortInfo, ServicePortName};
use kube_proxy::topology::categorize_endpoints;
use kube_proxy::{NodeContext, Settings};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    node: Node,
    service: Service,
    endpoints: Vec<Endpoint>,
    expect: Expect,
    #[serde(default)]
    gates: Gates,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: String,
    labels: StringMap,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Service {
    internal_traffic_policy: TrafficPolicy,
    external_traffic_policy: TrafficPolicy,
    node_port: u16,
    #[serde(default)]
    hints_annotation: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Endpoint {
    addr: SocketAddr,
    ready: bool,
    serving: bool,
    terminating: bool,
    local: bool,
    zone_hints: Vec<String>,
    node_hints: Vec<String>,
}

/// No list: the service never uses that kind of endpoint.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Expect {
    cluster: Option<BTreeSet<SocketAddr>>,
    local: Option<BTreeSet<SocketAddr>>,
    all: BTreeSet<SocketAddr>,
    has_any_endpoints: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gates {
    /// The behaviour up to 1.30: hints need the Service's annotation.
    #[serde(rename = "annotationGated", default)]
    annotation_gated: bool,
    #[serde(rename = "PreferSameTrafficDistribution")]
    prefer_same: Option<bool>,
}

fn check(case: &Case) -> Result<(), String> {
    let mut settings = Settings::default();
    if case.gates.annotation_gated {
        settings.release = Release::OLDEST;
    }
    settings.feature_gates.prefer_same_traffic_distribution = case.gates.prefer_same;
    let node = NodeContext {
        name: case.node.name.clone(),
        zone: case.node.labels.get(LABEL_ZONE).cloned(),
        labels: case.node.labels.clone(),
        ..NodeContext::default()
    };
    let name =
        ServicePortName { service: NamespacedName::new("ns", "svc"), port: String::new(), protocol: Protocol::Tcp };
    let port = ServicePortInfo {
        key: name.key(),
        name,
        uid: Uid(1),
        index: 0,
        cluster_ip: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
        port: 80,
        node_port: case.service.node_port,
        load_balancer_vips: vec![],
        external_ips: vec![],
        source_ranges: vec![],
        affinity_seconds: None,
        health_check_node_port: 0,
        external_policy_local: case.service.external_traffic_policy == TrafficPolicy::Local,
        internal_policy_local: case.service.internal_traffic_policy == TrafficPolicy::Local,
        hints_annotation: case.service.hints_annotation.clone().unwrap_or_default(),
    };
    let info = |e: &Endpoint| EndpointInfo {
        addr: e.addr,
        text: e.addr.into(),
        is_local: e.local,
        ready: e.ready,
        serving: e.serving,
        terminating: e.terminating,
        hints: Some(Arc::new(Hints { zones: e.zone_hints.clone(), nodes: e.node_hints.clone() })),
    };
    let mut endpoints: Vec<EndpointInfo> = case.endpoints.iter().map(info).collect();
    endpoints.sort_by_key(|e| e.text);
    let seen = categorize_endpoints(&endpoints.into(), &port, &node, &settings);
    let set = |list: &[EndpointInfo]| list.iter().map(|e| e.addr).collect::<BTreeSet<_>>();
    let seen = Expect {
        cluster: port.uses_cluster_endpoints().then(|| set(&seen.cluster)),
        local: port.uses_local_endpoints().then(|| set(&seen.local)),
        all: set(&seen.all_reachable),
        has_any_endpoints: seen.has_any,
    };
    if seen == case.expect { Ok(()) } else { Err(format!("expected {:?}, seen {seen:?}", case.expect)) }
}

/// Runs the table.
pub fn run(file: &Path, table: Table, report: &mut Report) {
    for (name, raw) in table.cases(file) {
        report.case("topology", &name, case(raw).and_then(|case| check(&case)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_those_of_upstreams_table() {
        let text = include_str!("../../../kube-proxy/tests/data/topology.yaml");
        let mut report = Report::default();
        run(Path::new("topology.yaml"), Table::read(text).unwrap(), &mut report);
        assert_eq!(report.text(), "topology: 23 passed, 0 failed\n");
        let text = text.replacen("hasAnyEndpoints: true", "hasAnyEndpoints: false", 1);
        let mut report = Report::default();
        run(Path::new("topology.yaml"), Table::read(&text).unwrap(), &mut report);
        assert!(report.text().ends_with("topology: 22 passed, 1 failed\n"), "{}", report.text());
    }
}
