//! The EndpointSlice controller in the running cluster: packing, named ports, hints, and what clients meet of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cluster::{Cluster, Timeline};
use kube_api::{EndpointSlice, Pod};
use lab_base::Time;
use lab_protocol::{Command, Fault, Outcome};
use std::collections::{BTreeMap, BTreeSet};

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

fn run(text: &str) -> Timeline {
    let (timeline, diagnostics, refused) = Timeline::new(text, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

fn deployment(name: &str, replicas: u32, port: u16) -> String {
    format!(
        r#"---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web, part: {name}}}}}
  template:
    metadata: {{labels: {{app: web, part: {name}}}}}
    spec: {{containers: [{{name: web, image: "shop/web:1", ports: [{{name: http, containerPort: {port}}}]}}]}}
"#
    )
}

/// Three nodes in two zones, as many Pods on each, a client in each zone.
fn zones(release: &str, service: &str, replicas: u32) -> Timeline {
    run(&format!(
        r#"
apiVersion: lab/v1
kind: Cluster
spec:
  release: "{release}"
  nodes: [{{name: node-a, zone: a}}, {{name: node-b, zone: b}}, {{name: node-c, zone: b}}]
---
{{apiVersion: lab/v1, kind: Client, metadata: {{name: in-a}}, spec: {{node: node-a, target: "http://web/", rate: 50}}}}
---
{{apiVersion: lab/v1, kind: Client, metadata: {{name: in-b}}, spec: {{node: node-b, target: "http://web/", rate: 50}}}}
{}---
apiVersion: v1
kind: Service
{service}
"#,
        deployment("web", replicas, 8080)
    ))
}

fn service(annotations: &str, distribution: &str) -> String {
    format!(
        "metadata: {{name: web, annotations: {{{annotations}}}}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: http}}]{distribution}}}"
    )
}

fn slices(cluster: &Cluster) -> Vec<&EndpointSlice> {
    cluster.store().list::<EndpointSlice>().map(|s| &**s).filter(|s| s.metadata.name != "kubernetes").collect()
}

/// The nodes of the Pods that each client's requests went to.
fn met(timeline: &mut Timeline, from: f64, until: f64) -> BTreeMap<String, BTreeSet<String>> {
    timeline.seek(at(until));
    let cluster = timeline.cluster();
    let mut met: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for fact in cluster.facts().requests_in(at(from), at(until)).filter(|f| f.outcome == Outcome::Answered) {
        let client = cluster.clients().find(|c| c.uid.0 == fact.client).unwrap();
        let pod = cluster.store().by_uid::<Pod>(fact.pod.unwrap()).unwrap();
        met.entry(client.name.clone()).or_default().insert(pod.spec.node_name.clone());
    }
    met
}

fn set(nodes: &[&str]) -> BTreeSet<String> {
    nodes.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn slices_hold_a_hundred_endpoints_and_are_not_rebalanced() {
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}\n";
    let mut timeline = run(&format!("{}{service}", deployment("web", 250, 80)));
    let lengths = |t: &Timeline| {
        let mut lengths: Vec<usize> = slices(t.cluster()).iter().map(|s| s.endpoints.len()).collect();
        lengths.sort_unstable();
        lengths
    };
    // At bring-up the Pods come one by one, and each goes to the fullest slice that has room.
    assert_eq!(lengths(&timeline), [50, 100, 100]);
    timeline.execute_at(at(1.0), Command::Apply { yaml: deployment("web", 120, 80) });
    timeline.seek(at(90.0));
    let after = lengths(&timeline);
    assert_eq!(after.iter().sum::<usize>(), 120);
    assert!(after.iter().all(|n| *n <= 100));
    let ready = slices(timeline.cluster())
        .iter()
        .flat_map(|s| &s.endpoints)
        .filter(|e| e.conditions.ready == Some(true))
        .count();
    assert_eq!(ready, 120);
}

#[test]
fn a_named_port_is_resolved_for_each_pod() {
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}}\n---\n{apiVersion: lab/v1, kind: Client, metadata: {name: c}, spec: {target: 'http://web/'}}\n";
    let mut timeline = run(&format!("{}{}{service}", deployment("old", 2, 8080), deployment("new", 3, 9090)));
    let seen: BTreeSet<(u16, usize)> =
        slices(timeline.cluster()).iter().map(|s| (s.ports[0].port.unwrap(), s.endpoints.len())).collect();
    assert_eq!(seen, [(8080, 2), (9090, 3)].into());
    timeline.seek(at(20.0));
    assert_eq!(timeline.cluster().facts().totals().failed(), 0);
}

#[test]
fn traffic_stays_near_as_far_as_the_release_knows_how() {
    let everywhere = set(&["node-a", "node-b", "node-c"]);
    let zone_b = set(&["node-b", "node-c"]);
    for (release, distribution, in_a, in_b) in [
        ("1.36", "", &everywhere, &everywhere),
        ("1.36", ", trafficDistribution: PreferClose", &set(&["node-a"]), &zone_b),
        ("1.31", ", trafficDistribution: PreferClose", &set(&["node-a"]), &zone_b),
        ("1.30", ", trafficDistribution: PreferClose", &everywhere, &everywhere),
        ("1.36", ", trafficDistribution: PreferSameZone", &set(&["node-a"]), &zone_b),
        ("1.36", ", trafficDistribution: PreferSameNode", &set(&["node-a"]), &set(&["node-b"])),
        ("1.34", ", trafficDistribution: PreferSameNode", &set(&["node-a"]), &set(&["node-b"])),
    ] {
        let mut timeline = zones(release, &service("", distribution), 6);
        let met = met(&mut timeline, 0.0, 20.0);
        assert_eq!((&met["in-a"], &met["in-b"]), (in_a, in_b), "{release} {distribution}");
    }
}

#[test]
fn a_zone_that_goes_dark_gets_its_endpoints_from_the_others() {
    let mut timeline = zones("1.36", &service("", ", trafficDistribution: PreferClose"), 6);
    assert_eq!(met(&mut timeline, 0.0, 10.0)["in-b"], set(&["node-b", "node-c"]));
    for node in ["node-b", "node-c"] {
        timeline.execute_at(at(10.0), Command::Fault(Fault::PowerOff { node: node.into() }));
    }
    // The other zone's clients were never sent there, so they notice nothing.
    timeline.seek(at(120.0));
    let cluster = timeline.cluster();
    let in_a = cluster.clients().find(|c| c.name == "in-a").unwrap();
    assert_eq!(in_a.counts.failed(), 0, "{:?}", in_a.counts);
    // Unready endpoints have no hints: at most 55 s (grace 50 s, poll 5 s) later only those of zone a are ready.
    let ready: BTreeSet<_> = slices(cluster)
        .iter()
        .flat_map(|s| &s.endpoints)
        .filter(|e| e.conditions.ready == Some(true))
        .filter_map(|e| e.zone.clone())
        .collect();
    assert_eq!(ready, set(&["a"]));
}

#[test]
fn topology_aware_hints_give_each_zone_its_share() {
    // Two of three nodes are in zone b: it gets two thirds of the endpoints.
    let auto = "service.kubernetes.io/topology-mode: Auto";
    let timeline = zones("1.36", &service(auto, ""), 9);
    let mut by_zone: BTreeMap<String, usize> = BTreeMap::new();
    for endpoint in slices(timeline.cluster()).iter().flat_map(|s| &s.endpoints) {
        let hints = endpoint.hints.as_ref().unwrap();
        *by_zone.entry(hints.for_zones[0].name.clone()).or_default() += 1;
    }
    assert_eq!(by_zone, [("a".to_owned(), 3), ("b".to_owned(), 6)].into());
    // Fewer endpoints than zones: no hints, and an event says why.
    let mut timeline = zones("1.36", &service(auto, ""), 9);
    timeline.execute_at(at(1.0), Command::Apply { yaml: deployment("web", 1, 8080) });
    timeline.seek(at(60.0));
    let cluster = timeline.cluster();
    assert!(slices(cluster).iter().flat_map(|s| &s.endpoints).all(|e| e.hints.is_none()));
    let events: Vec<_> = cluster.kube_events().filter(|e| e.kind == "Service").collect();
    let why = "Insufficient number of endpoints (1 endpoints, 2 zones), addressType: IPv4";
    assert!(events.iter().any(|e| e.message == why && e.reason == "TopologyAwareHintsDisabled"), "{events:?}");
}

#[test]
fn slices_of_a_service_without_selector_are_its_owners() {
    let text = "
{apiVersion: v1, kind: Service, metadata: {name: ext}, spec: {ports: [{port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ext-1, labels: {kubernetes.io/service-name: ext}}
addressType: IPv4
ports: [{name: '', port: 8080}]
endpoints: [{addresses: [10.1.2.3]}]
";
    let mut timeline = run(text);
    timeline.seek(at(5.0));
    let names: Vec<_> = slices(timeline.cluster()).iter().map(|s| s.metadata.name.clone()).collect();
    assert_eq!(names, ["ext-1"]);
}

#[test]
fn a_slice_that_someone_deletes_is_there_again_a_second_later() {
    let mut timeline = zones("1.36", &service("", ""), 3);
    let name = slices(timeline.cluster())[0].metadata.name.clone();
    let delete = Command::Delete { kind: "EndpointSlice".into(), namespace: "default".into(), name };
    timeline.execute_at(at(5.0), delete);
    let endpoints = |t: &Timeline| slices(t.cluster()).iter().map(|s| s.endpoints.len()).sum::<usize>();
    timeline.seek(at(5.99));
    assert_eq!(endpoints(&timeline), 0);
    timeline.seek(at(6.01));
    assert_eq!(endpoints(&timeline), 3);
}
