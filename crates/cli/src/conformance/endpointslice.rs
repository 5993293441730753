//! `behaviour/endpointslice.yaml`: what the EndpointSlice controller writes, by upstream's own tables.

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

fn pod_endpoint(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        pod: GivenPod,
        node_labels: StringMap,
        service: GivenName,
        address_type: AddressType,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct GivenName {
        name: String,
        publish_not_ready_addresses: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: ExpectEndpoint = read(&case.expect)?;
    let mut service = service();
    service.metadata.name = input.service.name;
    service.spec.publish_not_ready_addresses = input.service.publish_not_ready_addresses;
    let mut node = node(&input.pod.node, "");
    node.metadata.labels = input.node_labels;
    let seen = pod_to_endpoint(&input.pod.pod(9), Some(&node), &service, input.address_type);
    same("endpoint", &expected, &seen_endpoint(&seen, true))
}

fn eligible(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        phase: PodPhase,
        #[serde(rename = "restartPolicy")]
        _restart_policy: String,
        #[serde(rename = "podIPs")]
        pod_ips: Vec<String>,
        deletion_timestamp: bool,
        include_terminating: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        included: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let given = GivenPod { pod_ips: input.pod_ips, deletion_timestamp: input.deletion_timestamp, ..Default::default() };
    let mut pod = given.pod(1);
    pod.status.phase = input.phase;
    same("included", &expected.included, &is_eligible(&pod, input.include_terminating))
}

fn hostname(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        pod_namespace: String,
        hostname: String,
        subdomain: String,
        service_namespace: String,
        service_name: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        sets_hostname: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let given = GivenPod { hostname: input.hostname, subdomain: input.subdomain, ..Default::default() };
    let mut pod = given.pod(1);
    pod.metadata.namespace = input.pod_namespace;
    let mut service = service();
    service.metadata.namespace = input.service_namespace;
    service.metadata.name = input.service_name;
    same("sets the host name", &expected.sets_hostname, &sets_hostname(&pod, &service))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenPort {
    name: String,
    container_port: i32,
    protocol: String,
    #[serde(rename = "hostIP", default)]
    _host_ip: Option<String>,
    #[serde(rename = "hostPort", default)]
    _host_port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenInit {
    restart_policy: Option<String>,
    ports: Vec<GivenPort>,
}

fn declared(ports: &[GivenPort]) -> impl Iterator<Item = DeclaredPort<'_>> {
    ports.iter().map(|p| DeclaredPort { name: &p.name, protocol: &p.protocol, number: p.container_port })
}

fn sidecars(init: &[GivenInit]) -> impl Iterator<Item = DeclaredPort<'_>> {
    init.iter().filter(|c| c.restart_policy.as_deref() == Some("Always")).flat_map(|c| declared(&c.ports))
}

fn target_port(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        target_port: IntOrString,
        service_port_protocol: String,
        containers: Vec<Vec<GivenPort>>,
        init_containers: Vec<GivenInit>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        port: Option<i32>,
        #[serde(default)]
        error: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut containers = input.containers.iter().flat_map(|c| declared(c));
    let mut sidecars = sidecars(&input.init_containers);
    let seen = find_port(&input.target_port, &input.service_port_protocol, &mut containers, &mut sidecars);
    same("port", &expected.port, &seen)?;
    same("error", &expected.error, &seen.is_none())
}

fn ports(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        service_ports: Vec<ServicePort>,
        containers: Vec<Vec<GivenPort>>,
        init_containers: Vec<GivenInit>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        ports: Vec<EndpointPort>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.ports = input.service_ports;
    let container = |ports: &Vec<GivenPort>, policy: Option<&String>| -> Result<Container, String> {
        let port = |p: &GivenPort| {
            Ok(ContainerPort {
                name: p.name.clone(),
                container_port: u16::try_from(p.container_port).map_err(|e| e.to_string())?,
                protocol: read(&Value::String(p.protocol.clone()))?,
            })
        };
        let ports = ports.iter().map(port).collect::<Result<_, String>>()?;
        Ok(Container { ports, restart_policy: policy.cloned().unwrap_or_default(), ..Container::default() })
    };
    let mut pod = GivenPod::default().pod(1);
    pod.spec.containers = input.containers.iter().map(|c| container(c, None)).collect::<Result<_, _>>()?;
    let init = |c: &GivenInit| container(&c.ports, c.restart_policy.as_ref());
    pod.spec.init_containers = input.init_containers.iter().map(init).collect::<Result<_, _>>()?;
    same("ports", &expected.ports, &endpoint_ports(&service, &pod, Release::default()))
}

fn families(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        ip_families: Vec<IpFamily>,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        has_selector: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        address_types: Vec<AddressType>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.ip_families = input.ip_families;
    service.spec.cluster_ip = input.cluster_ip;
    if !input.has_selector {
        service.spec.selector.clear();
    }
    let names = |list: &[AddressType]| list.iter().map(|t| format!("{t:?}")).collect::<BTreeSet<_>>();
    same("address types", &names(&expected.address_types), &names(&address_types(&service)))
}

fn annotation(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        annotations: StringMap,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        enabled: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    same("enabled", &expected.enabled, &hints_enabled(&input.annotations))
}

/// A sync, and what it made of the slices.
struct Synced {
    plan: Plan,
    slices: Vec<EndpointSlice>,
}

/// Syncs, and writes what the plan says.
fn sync(service: &Service, pods: &[Arc<Pod>], nodes: &[Node], slices: &[EndpointSlice], settings: Settings) -> Synced {
    let shared: Vec<Arc<EndpointSlice>> = slices.iter().cloned().map(Arc::new).collect();
    let ratios = cpu_ratios(nodes);
    let situation = Situation {
        service,
        pods,
        slices: &shared,
        node: &|name| nodes.iter().find(|n| n.metadata.name == name),
        ratios: ratios.as_ref(),
    };
    let plan = reconcile(&situation, settings);
    let mut after = slices.to_vec();
    after.retain(|s| !plan.delete.iter().any(|d| d.metadata.name == s.metadata.name));
    for slice in &mut after {
        if let Some(new) = plan.update.iter().find(|u| u.metadata.name == slice.metadata.name) {
            slice.clone_from(new);
        }
    }
    for (i, new) in plan.create.iter().enumerate() {
        let mut new = new.clone();
        new.metadata.name = format!("{}{}-{i}", new.metadata.generate_name, slices.len());
        after.push(new);
    }
    Synced { plan, slices: after }
}

fn one_pod(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        service: GivenService,
        pod: GivenPod,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct GivenService {
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        #[serde(rename = "clusterIPs", default)]
        cluster_ips: Vec<String>,
        ip_families: Vec<IpFamily>,
        labels: StringMap,
        #[serde(default)]
        publish_not_ready_addresses: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        slices: Vec<ExpectSlice>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct ExpectSlice {
        address_type: AddressType,
        labels: StringMap,
        endpoints: Vec<ExpectEndpoint>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.cluster_ip = input.service.cluster_ip;
    service.spec.cluster_ips = input.service.cluster_ips;
    service.spec.ip_families = input.service.ip_families;
    service.metadata.labels = input.service.labels;
    service.spec.publish_not_ready_addresses = input.service.publish_not_ready_addresses;
    let nodes = [node(&input.pod.node, &input.pod.zone)];
    let pods = [Arc::new(input.pod.pod(9))];
    let synced = sync(&service, &pods, &nodes, &[], Settings::of(Release::default()));
    let mut seen: Vec<ExpectSlice> = synced
        .slices
        .iter()
        .map(|s| ExpectSlice {
            address_type: s.address_type,
            labels: s.metadata.labels.clone(),
            endpoints: s.endpoints.iter().map(|e| seen_endpoint(e, false)).collect(),
        })
        .collect();
    seen.sort_by_key(|s| format!("{:?}", s.address_type));
    same("slices", &expected.slices, &seen)
}

fn labels(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        service: GivenService,
        slice_labels: StringMap,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct GivenService {
        name: String,
        headless: bool,
        labels: StringMap,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        labels: StringMap,
        changed: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.metadata.name = input.service.name;
    service.metadata.labels = input.service.labels;
    if input.service.headless {
        service.spec.cluster_ip = "None".into();
    }
    same("labels and change", &(expected.labels, expected.changed), &slice_labels(&service, &input.slice_labels))
}

fn node_missing(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        publish_not_ready_addresses: bool,
        pods: Vec<GivenPod>,
        nodes_known: Vec<String>,
        existing_slice_endpoints: usize,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        endpoints_in_slice: usize,
        slices: usize,
        created: usize,
        updated: usize,
        deleted: usize,
        sync_returns_error: bool,
    }
    let mut input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.publish_not_ready_addresses = input.publish_not_ready_addresses;
    for (i, pod) in input.pods.iter_mut().enumerate() {
        pod.pod_ips = vec![format!("1.2.3.{}", i + 4)];
    }
    let pods: Vec<Arc<Pod>> = input.pods.iter().zip(10..).map(|(p, uid)| Arc::new(p.pod(uid))).collect();
    let settings = Settings::of(Release::default());
    let every: Vec<Node> = input.pods.iter().map(|p| node(&p.node, "")).collect();
    let before = match input.existing_slice_endpoints {
        0 => Vec::new(),
        n => sync(&service, &pods[..n.min(pods.len())], &every, &[], settings).slices,
    };
    let known: Vec<Node> = input.nodes_known.iter().map(|n| node(n, "")).collect();
    let Synced { plan, slices } = sync(&service, &pods, &known, &before, settings);
    let seen = Expect {
        endpoints_in_slice: slices.iter().map(|s| s.endpoints.len()).sum(),
        slices: slices.len(),
        created: plan.create.len(),
        updated: plan.update.len(),
        deleted: plan.delete.len(),
        sync_returns_error: plan.incomplete,
    };
    same("sync", &expected, &seen)
}

fn packing(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        pods: usize,
        existing: Vec<usize>,
        max: usize,
        #[serde(default)]
        change: Option<String>,
        #[serde(default)]
        existing_owner: Option<String>,
        #[serde(default)]
        service_ports: Option<Vec<ServicePort>>,
        #[serde(default)]
        headless: bool,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        slice_lengths: Vec<usize>,
        created: usize,
        updated: usize,
        deleted: usize,
        #[serde(default)]
        placeholder_ports: Option<Vec<EndpointPort>>,
    }
    let input: Input = read(&case.input)?;
    let mut expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.ports = input.service_ports.unwrap_or(service.spec.ports);
    if input.headless {
        service.spec.cluster_ip = "None".into();
    }
    let settings = Settings { max_endpoints: input.max, ..Settings::of(Release::default()) };
    let nodes = [node("node-1", "")];
    let mut pods: Vec<Pod> = (0..input.pods)
        .map(|i| {
            let ip = format!("10.{}.{}.{}", i / 65_536, i / 256 % 256, i % 256);
            let given = GivenPod {
                name: format!("pod{i}"),
                node: "node-1".into(),
                pod_ips: vec![ip],
                ready: true,
                ..Default::default()
            };
            given.pod(100 + i as u64)
        })
        .collect();
    let shared = |pods: &[Pod]| pods.iter().cloned().map(Arc::new).collect::<Vec<_>>();
    // The slices that are there: each made for a part of the Pods.
    let mut owner = service.clone();
    match input.existing_owner.as_deref() {
        None | Some("same UID") => {}
        Some("other UID") => owner.metadata.uid = Uid(2),
        Some(other) => return Err(format!("owner {other}?")),
    }
    let mut before = Vec::new();
    let mut from = 0;
    for (i, n) in input.existing.iter().enumerate() {
        let part = shared(pods.get(from..from + n).ok_or("more endpoints than Pods")?);
        from += n;
        let whole = Settings { max_endpoints: part.len().max(1), ..settings };
        for mut slice in sync(&owner, &part, &nodes, &[], whole).slices {
            slice.metadata.name = format!("foo-{i}");
            before.push(slice);
        }
    }
    for change in input.change.iter().flat_map(|c| c.split(';')).map(str::trim) {
        let words: Vec<&str> = change.split_whitespace().collect();
        match words.as_slice() {
            ["service", "label"] => drop(service.metadata.labels.insert("foo".into(), "bar".into())),
            ["reserved", "service", "label"] | ["service", "reserved", "label"] => {
                service.metadata.labels.insert("kubernetes.io/service-name".into(), "bad".into());
            }
            ["targetPort", numbers] => {
                let new = numbers.rsplit("->").next().and_then(|n| n.parse().ok()).ok_or("targetPort A->B")?;
                service.spec.ports.iter_mut().for_each(|p| p.target_port = Some(IntOrString::Int(new)));
            }
            // Of each slice the first Pod.
            [.., "become", "not", "ready"] => {
                let mut first = 0;
                for n in &input.existing {
                    if let Some(pod) = pods.get_mut(first) {
                        pod.status.conditions = vec![ready(false)];
                    }
                    first += n;
                }
            }
            [count, "pods", "added"] => {
                let added = input.pods - from.min(input.pods);
                same("added", &count.parse().map_err(|_| "how many?")?, &added)?;
            }
            _ => return Err(format!("unknown change: {change}")),
        }
    }
    let Synced { plan, slices } = sync(&service, &shared(&pods), &nodes, &before, settings);
    let mut lengths: Vec<usize> = slices.iter().map(|s| s.endpoints.len()).collect();
    lengths.sort_by_key(|n| core::cmp::Reverse(*n));
    expected.slice_lengths.sort_by_key(|n| core::cmp::Reverse(*n));
    let placeholder = slices.iter().find(|s| s.endpoints.is_empty()).map(|s| s.ports.clone());
    let seen = Expect {
        slice_lengths: lengths,
        created: plan.create.len(),
        updated: plan.update.len(),
        deleted: plan.delete.len(),
        placeholder_ports: placeholder.filter(|_| expected.placeholder_ports.is_some()),
    };
    same("slices", &expected, &seen)?;
    let again = sync(&service, &shared(&pods), &nodes, &slices, settings).plan;
    same("writes of a second sync", &0, &(again.create.len() + again.update.len() + again.delete.len()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenEndpoint {
    address: String,
    zone: Option<String>,
    #[serde(default)]
    node: Option<String>,
    ready: Option<bool>,
    #[serde(default)]
    existing_zone_hint: Option<String>,
    #[serde(default)]
    existing_node_hint: Option<String>,
}

impl GivenEndpoint {
    fn endpoint(&self) -> Endpoint {
        let hint = |name: &Option<String>| -> Vec<HintTarget> {
            name.iter().map(|name| HintTarget { name: name.clone() }).collect()
        };
        let hints =
            EndpointHints { for_zones: hint(&self.existing_zone_hint), for_nodes: hint(&self.existing_node_hint) };
        Endpoint {
            addresses: vec![self.address.clone()],
            conditions: EndpointConditions { ready: self.ready, ..EndpointConditions::default() },
            zone: self.zone.clone(),
            node_name: self.node.clone(),
            hints: (hints != EndpointHints::default()).then_some(hints),
            ..Endpoint::default()
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExpectEvent {
    #[serde(rename = "type")]
    type_: String,
    reason: String,
    message_prefix: String,
}

fn hints_by_zone<'a>(
    endpoints: impl IntoIterator<Item = &'a Endpoint>,
) -> (BTreeMap<String, u32>, BTreeMap<String, u32>, u32) {
    let (mut zones, mut nodes, mut crossed) = (BTreeMap::new(), BTreeMap::new(), 0);
    for endpoint in endpoints {
        let Some(hints) = &endpoint.hints else { continue };
        for zone in &hints.for_zones {
            *zones.entry(zone.name.clone()).or_default() += 1;
            crossed += u32::from(endpoint.zone.as_ref() != Some(&zone.name));
        }
        for node in &hints.for_nodes {
            *nodes.entry(node.name.clone()).or_default() += 1;
        }
    }
    (zones, nodes, crossed)
}

fn topology(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        cpu_ratio_by_zone: Option<BTreeMap<String, f64>>,
        #[serde(default)]
        endpoints: Vec<GivenEndpoint>,
        #[serde(default)]
        endpoints_by_zone: BTreeMap<String, u32>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        #[serde(default)]
        hints: Option<BTreeMap<String, Option<String>>>,
        #[serde(default)]
        hints_by_zone: Option<BTreeMap<String, u32>>,
        #[serde(default)]
        cross_zone_hints: Option<u32>,
        #[serde(default)]
        event: Option<ExpectEvent>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let endpoints = input.endpoints.iter().map(GivenEndpoint::endpoint).collect();
    let mut slice = EndpointSlice { endpoints, ..EndpointSlice::default() };
    for (zone, n) in &input.endpoints_by_zone {
        let of_zone = |i| GivenEndpoint {
            address: format!("10.0.{}.{i}", slice.endpoints.len()),
            zone: Some(zone.clone()),
            node: None,
            ready: Some(true),
            existing_zone_hint: None,
            existing_node_hint: None,
        };
        let more: Vec<Endpoint> = (0..*n).map(|i| of_zone(i).endpoint()).collect();
        slice.endpoints.extend(more);
    }
    let mut slices = Slices { create: vec![slice], ..Slices::default() };
    let event = add_hints(&mut slices, input.cpu_ratio_by_zone.as_ref(), AddressType::IPv4, false);
    let endpoints: Vec<&Endpoint> = slices.create.iter().flat_map(|s| &s.endpoints).collect();
    let hint = |e: &&Endpoint| {
        let zone = e.hints.as_ref().and_then(|h| h.for_zones.first()).map(|z| z.name.clone());
        (e.addresses.join(","), zone)
    };
    match &expected.hints {
        Some(hints) => same("hints", hints, &endpoints.iter().map(hint).collect())?,
        None if expected.hints_by_zone.is_none() => {
            same("hints", &0, &endpoints.iter().filter(|e| e.hints.is_some()).count())?
        }
        None => {}
    }
    let (by_zone, _, crossed) = hints_by_zone(endpoints);
    if let Some(zones) = &expected.hints_by_zone {
        same("hints by zone", zones, &by_zone)?;
    }
    if let Some(n) = &expected.cross_zone_hints {
        same("hints to another zone", n, &crossed)?;
    }
    check_event(expected.event.as_ref(), event.as_ref())
}

fn check_event(expected: Option<&ExpectEvent>, seen: Option<&HintEvent>) -> Result<(), String> {
    let Some(expected) = expected else { return same("event", &None, &seen) };
    let seen = seen.map(|e| {
        let prefix: String = e.message.chars().take(expected.message_prefix.chars().count()).collect();
        let type_ = if e.normal { "Normal" } else { "Warning" };
        ExpectEvent { type_: type_.into(), reason: e.reason.into(), message_prefix: prefix }
    });
    same("event", &Some(expected), &seen.as_ref())
}

fn ratios(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        nodes: Vec<GivenNode>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct GivenNode {
        zone: Option<String>,
        cpu_milli: Option<u64>,
        ready: bool,
        control_plane: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        sufficient: bool,
        ratios: Option<BTreeMap<String, f64>>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let made = |(i, given): (usize, &GivenNode)| {
        let mut node = node(&format!("node-{i}"), given.zone.as_deref().unwrap_or_default());
        node.status.conditions = vec![ready(given.ready)];
        node.status.allocatable.clear();
        if let Some(cpu) = given.cpu_milli {
            node.status.allocatable.insert("cpu".into(), format!("{cpu}m"));
        }
        if given.control_plane {
            node.metadata.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
        }
        node
    };
    let nodes: Vec<Node> = input.nodes.iter().enumerate().map(made).collect();
    let seen = cpu_ratios(&nodes);
    same("sufficient", &expected.sufficient, &seen.is_some())?;
    let near = |a: f64, b: f64| (a - b).abs() < 0.01;
    match (&expected.ratios, &seen) {
        (None, None) => Ok(()),
        (Some(a), Some(b)) if a.len() == b.len() && a.iter().all(|(z, r)| b.get(z).is_some_and(|s| near(*r, *s))) => {
            Ok(())
        }
        (a, b) => Err(format!("ratios: expected {a:?}, seen {b:?}")),
    }
}

fn giving(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        desired: BTreeMap<String, f64>,
        allocated: BTreeMap<String, i64>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        giving: BTreeMap<String, i64>,
        receiving: BTreeMap<String, i64>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let seen = giving_and_receiving(&input.desired, &input.allocated);
    same("giving and receiving", &(expected.giving, expected.receiving), &seen)
}

fn distribution(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        traffic_distribution: Option<String>,
        endpoints: Vec<GivenEndpoint>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        hints: BTreeMap<String, Option<ExpectHints>>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ExpectHints {
        zones: Vec<String>,
        nodes: Vec<String>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let endpoints = input.endpoints.iter().map(GivenEndpoint::endpoint).collect();
    let slice = EndpointSlice { endpoints, ..EndpointSlice::default() };
    let distribution = Distribution::read(input.traffic_distribution.as_deref(), true);
    // The same comes out whether the slice is new, changed or unchanged otherwise.
    for kind in 0..3 {
        let mut slices = Slices::default();
        [&mut slices.create, &mut slices.update, &mut slices.unchanged][kind].push(slice.clone());
        reconcile_hints(&mut slices, distribution);
        let endpoints = slices.create.iter().chain(&slices.update).chain(&slices.unchanged).flat_map(|s| &s.endpoints);
        let names = |list: &[HintTarget]| list.iter().map(|t| t.name.clone()).collect();
        let hints = |h: &EndpointHints| ExpectHints { zones: names(&h.for_zones), nodes: names(&h.for_nodes) };
        let seen = endpoints.map(|e| (e.addresses.join(","), e.hints.as_ref().map(hints))).collect();
        same("hints", &expected.hints, &seen)?;
        if kind == 2 {
            let right = input.endpoints.iter().map(GivenEndpoint::endpoint).all(|e| {
                let had = e.hints.as_ref().map(hints);
                expected.hints.get(&e.addresses.join(",")).is_some_and(|h| *h == had)
            });
            same("updated", &!right, &!slices.update.is_empty())?;
        }
    }
    Ok(())
}

fn distributed(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        traffic_distribution: Option<String>,
        topology_annotation: String,
        #[serde(rename = "PreferSameTrafficDistribution")]
        prefer_same: bool,
        nodes: BTreeMap<String, String>,
        pods_by_node: BTreeMap<String, u64>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        hints_by_zone: BTreeMap<String, u32>,
        hints_by_node: BTreeMap<String, u32>,
        cross_zone_hints: u32,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.traffic_distribution = input.traffic_distribution;
    if let Some(annotation) = empty_as_none(Some(&input.topology_annotation)) {
        service.metadata.annotations.insert(ANNOTATION_TOPOLOGY_MODE.into(), annotation);
    }
    let nodes: Vec<Node> = input.nodes.iter().map(|(name, zone)| node(name, zone)).collect();
    let mut pods = Vec::new();
    for (n, (name, count)) in input.pods_by_node.iter().enumerate() {
        for i in 0..*count {
            let ips = vec![format!("10.0.{n}.{i}")];
            let given = GivenPod {
                name: format!("{name}-{i}"),
                node: name.clone(),
                pod_ips: ips,
                ready: true,
                ..Default::default()
            };
            pods.push(Arc::new(given.pod(100 + pods.len() as u64)));
        }
    }
    let settings = Settings { prefer_same: input.prefer_same, ..Settings::of(Release::default()) };
    let synced = sync(&service, &pods, &nodes, &[], settings);
    let (hints_by_zone, hints_by_node, cross_zone_hints) =
        hints_by_zone(synced.slices.iter().flat_map(|s| &s.endpoints));
    same("hints", &expected, &Expect { hints_by_zone, hints_by_node, cross_zone_hints })
}

fn check(case: &Case) -> Result<(), String> {
    match case.group.as_str() {
        "pod-to-endpoint" => pod_endpoint(case),
        "pod-eligible" => eligible(case),
        "endpoint-hostname" => hostname(case),
        "target-port" => target_port(case),
        "endpoint-ports" => ports(case),
        "address-types" => families(case),
        "hints-annotation" => annotation(case),
        "reconcile-one-pod" => one_pod(case),
        "slice-labels" => labels(case),
        "pod-node-missing" => node_missing(case),
        "packing" => packing(case),
        "topology-hints" => topology(case),
        "zone-cpu-ratios" => ratios(case),
        "giving-receiving" => giving(case),
        "traffic-distribution" => distribution(case),
        "traffic-distribution-reconcile" => distributed(case),
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
        let text = include_str!("../../../cluster/tests/data/behaviour/endpointslice.yaml");
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
