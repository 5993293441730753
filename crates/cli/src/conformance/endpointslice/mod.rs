//! `behaviour/endpointslice.yaml`: what the EndpointSlice controller writes, by upstream's own tables.

mod hints;
mod pods;
mod slices;

use super::Report;
use super::behaviour::{Table, case};
use cluster::controllers::endpointslice::{
    DeclaredPort, Distribution, HintEvent, Plan, Settings, Situation, Slices, add_hints, address_types, cpu_ratios,
    endpoint_ports, find_port, giving_and_receiving, hints_enabled, is_eligible, pod_to_endpoint, reconcile,
    reconcile_hints, sets_hostname, slice_labels,
};
use kube_api::{
    ANNOTATION_TOPOLOGY_MODE, AddressType, Condition, ConditionStatus, Container, ContainerPort, Endpoint,
    EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, HintTarget, IntOrString, IpFamily, LABEL_ZONE,
    Node, Pod, PodPhase, Protocol, Release, Service, ServicePort, StringMap, Uid,
};
use lab_base::Time;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    group: String,
    input: Value,
    expect: Value,
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|e| e.to_string())
}

fn same<T: PartialEq + Debug>(what: &str, expected: &T, seen: &T) -> Result<(), String> {
    if expected == seen { Ok(()) } else { Err(format!("{what}: expected {expected:?}, seen {seen:?}")) }
}

fn ready(yes: bool) -> Condition {
    Condition {
        type_: "Ready".into(),
        status: if yes { ConditionStatus::True } else { ConditionStatus::False },
        last_transition_time: Time::ZERO,
        reason: String::new(),
        message: String::new(),
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct GivenPod {
    name: String,
    namespace: String,
    node: String,
    zone: String,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<String>,
    ready: bool,
    deletion_timestamp: bool,
    hostname: String,
    subdomain: String,
}

impl GivenPod {
    fn pod(&self, uid: u64) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name.clone_from(&self.name);
        pod.metadata.namespace = if self.namespace.is_empty() { "test".into() } else { self.namespace.clone() };
        pod.metadata.uid = Uid(uid);
        pod.metadata.deletion_timestamp = self.deletion_timestamp.then_some(Time::ZERO);
        pod.spec.node_name.clone_from(&self.node);
        pod.spec.hostname.clone_from(&self.hostname);
        pod.spec.subdomain.clone_from(&self.subdomain);
        pod.status.pod_ips.clone_from(&self.pod_ips);
        pod.status.pod_ip = self.pod_ips.first().cloned().unwrap_or_default();
        pod.status.phase = PodPhase::Running;
        pod.status.conditions = vec![ready(self.ready)];
        pod
    }
}

fn node(name: &str, zone: &str) -> Node {
    let mut node = Node::default();
    node.metadata.name = name.into();
    if !zone.is_empty() {
        node.metadata.labels.insert(LABEL_ZONE.into(), zone.into());
    }
    node.status.conditions = vec![ready(true)];
    node.status.allocatable.insert("cpu".into(), "1".into());
    node
}

/// A Service `foo` in `test` with a cluster IP.
fn service() -> Service {
    let mut service = Service::default();
    service.metadata.name = "foo".into();
    service.metadata.namespace = "test".into();
    service.metadata.uid = Uid(1);
    service.spec.cluster_ip = "10.0.0.10".into();
    service.spec.ip_families = vec![IpFamily::V4];
    service.spec.selector.insert("foo".into(), "bar".into());
    service.spec.ports = vec![port("portname", 80, None, Protocol::Tcp)];
    service
}

fn port(name: &str, port: u16, target: Option<IntOrString>, protocol: Protocol) -> ServicePort {
    ServicePort { name: name.into(), protocol, app_protocol: None, port, target_port: target, node_port: 0 }
}

fn empty_as_none(text: Option<&String>) -> Option<String> {
    text.filter(|t| !t.is_empty()).cloned()
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExpectEndpoint {
    addresses: Vec<String>,
    conditions: EndpointConditions,
    node_name: Option<String>,
    zone: Option<String>,
    hostname: Option<String>,
    #[serde(default)]
    target_ref: Option<ExpectTarget>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectTarget {
    kind: String,
    namespace: String,
    name: String,
}

fn seen_endpoint(e: &Endpoint, with_target: bool) -> ExpectEndpoint {
    let target = e.target_ref.as_ref().filter(|_| with_target);
    ExpectEndpoint {
        addresses: e.addresses.clone(),
        conditions: e.conditions,
        node_name: e.node_name.clone(),
        zone: e.zone.clone(),
        hostname: e.hostname.clone(),
        target_ref: target.map(|t| ExpectTarget {
            kind: t.kind.clone(),
            namespace: t.namespace.clone(),
            name: t.name.clone(),
        }),
    }
}

fn check(case: &Case) -> Result<(), String> {
    match case.group.as_str() {
        "pod-to-endpoint" => pods::pod_endpoint(case),
        "pod-eligible" => pods::eligible(case),
        "endpoint-hostname" => pods::hostname(case),
        "target-port" => pods::target_port(case),
        "endpoint-ports" => pods::ports(case),
        "address-types" => pods::families(case),
        "hints-annotation" => pods::annotation(case),
        "reconcile-one-pod" => slices::one_pod(case),
        "slice-labels" => slices::labels(case),
        "pod-node-missing" => slices::node_missing(case),
        "packing" => slices::packing(case),
        "topology-hints" => hints::topology(case),
        "zone-cpu-ratios" => hints::ratios(case),
        "giving-receiving" => hints::giving(case),
        "traffic-distribution" => hints::distribution(case),
        "traffic-distribution-reconcile" => hints::distributed(case),
        other => Err(format!("unknown group {other}")),
    }
}

/// Runs the table.
pub fn run(file: &Path, table: Table, report: &mut Report) {
    for (name, raw) in table.cases(file) {
        report.case("endpointslice", &name, case(raw).and_then(|case| check(&case)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_upstreams_tables() {
        let text = include_str!("../../../../cluster/tests/data/behaviour/endpointslice.yaml");
        let run_on = |text: &str| {
            let mut report = Report::default();
            run(Path::new("endpointslice.yaml"), Table::read(text).unwrap(), &mut report);
            report.text()
        };
        assert_eq!(run_on(text), "endpointslice: 98 passed, 0 failed\n");
        for (from, to) in [
            ("sliceLengths: [100, 89, 61]", "sliceLengths: [100, 88, 62]"),
            ("hintsByZone: {zone-a: 4, zone-b: 3, zone-c: 3}", "hintsByZone: {zone-a: 5, zone-b: 2, zone-c: 3}"),
            ("expect: {included: true}", "expect: {included: false}"),
        ] {
            let broken = run_on(&text.replacen(from, to, 1));
            assert!(broken.ends_with("endpointslice: 97 passed, 1 failed\n"), "{broken}");
        }
    }
}
