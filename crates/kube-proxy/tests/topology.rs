//! Which endpoints a node uses, by upstream's own table.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use kube_api::{IpFamily, LABEL_ZONE, NamespacedName, Protocol, Release, StringMap, TrafficPolicy, Uid, yaml};
use kube_proxy::endpoints_change_tracker::EndpointInfo;
use kube_proxy::service_change_tracker::{ServicePortInfo, ServicePortName};
use kube_proxy::topology::categorize_endpoints;
use kube_proxy::{NodeContext, Settings};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;

#[derive(Deserialize)]
struct Table {
    count: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    name: String,
    #[serde(rename = "note")]
    _note: Option<String>,
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

#[derive(Deserialize)]
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

fn run(case: &Case) -> Result<(), String> {
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
        name,
        uid: Uid(1),
        index: 0,
        cluster_ip: "10.96.0.1".parse().unwrap(),
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
    let mut endpoints: Vec<EndpointInfo> = case
        .endpoints
        .iter()
        .map(|e| EndpointInfo {
            addr: e.addr,
            text: e.addr.to_string().into(),
            is_local: e.local,
            ready: e.ready,
            serving: e.serving,
            terminating: e.terminating,
            zone_hints: e.zone_hints.clone(),
            node_hints: e.node_hints.clone(),
        })
        .collect();
    endpoints.sort_by(|a, b| a.text.cmp(&b.text));
    assert!(endpoints.iter().all(|e| IpFamily::of(e.addr.ip()) == IpFamily::V4));
    let seen = categorize_endpoints(&endpoints, &port, &node, &settings);
    let set = |list: &[EndpointInfo]| list.iter().map(|e| e.addr).collect::<BTreeSet<_>>();
    let want = &case.expect;
    let cluster = port.uses_cluster_endpoints().then(|| set(&seen.cluster));
    let local = port.uses_local_endpoints().then(|| set(&seen.local));
    let good = cluster == want.cluster
        && local == want.local
        && set(&seen.all_reachable) == want.all
        && seen.has_any == want.has_any_endpoints;
    if good { Ok(()) } else { Err(format!("{}: {seen:?}", case.name)) }
}

#[test]
fn endpoints_are_categorized_as_upstream_does() {
    let text = include_str!("data/topology.yaml");
    let tree = yaml::load(text).remove(0).unwrap();
    let table: Table = yaml::from_tree(&tree).unwrap();
    let failures: Vec<String> = table.cases.iter().filter_map(|c| run(c).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(table.cases.len(), table.count);
}
