//! From a Pod to an endpoint (`utils.go`, `util/controller_utils.go`).

use kube_api::{
    ANNOTATION_TOPOLOGY_AWARE_HINTS, ANNOTATION_TOPOLOGY_MODE, AddressType, Container, Endpoint, EndpointConditions,
    EndpointPort, IntOrString, IpFamily, Kind, LABEL_HEADLESS, LABEL_MANAGED_BY, LABEL_SERVICE_NAME,
    MANAGED_BY_CONTROLLER, Node, ObjectReference, Pod, Protocol, Release, Service, ServicePort, StringMap,
};
use std::net::IpAddr;

/// Whether a Pod belongs into slices at all (`ShouldPodBeInEndpoints`). The controller includes terminating Pods; the
/// mirrored Endpoints leave them out.
pub fn is_eligible(pod: &Pod, include_terminating: bool) -> bool {
    let has_address = !pod.status.pod_ip.is_empty() || !pod.status.pod_ips.is_empty();
    !pod.is_finished() && has_address && (include_terminating || !pod.metadata.is_deleting())
}

/// Whether an endpoint gets its Pod's host name (`ShouldSetHostname`).
pub fn sets_hostname(pod: &Pod, service: &Service) -> bool {
    !pod.spec.hostname.is_empty()
        && pod.spec.subdomain == service.metadata.name
        && pod.metadata.namespace == service.metadata.namespace
}

/// The endpoint of a Pod (`podToEndpoint`). All three conditions are always told.
pub fn pod_to_endpoint(pod: &Pod, node: Option<&Node>, service: &Service, family: AddressType) -> Endpoint {
    let serving = pod.is_ready();
    let terminating = pod.metadata.is_deleting();
    let first = pod.status.pod_ips.is_empty().then_some(&pod.status.pod_ip);
    let of_family = |ip: &&String| ip.parse::<IpAddr>().is_ok_and(|ip| AddressType::from(IpFamily::of(ip)) == family);
    Endpoint {
        addresses: pod.status.pod_ips.iter().chain(first).filter(of_family).cloned().collect(),
        conditions: EndpointConditions {
            ready: Some(service.spec.publish_not_ready_addresses || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: sets_hostname(pod, service).then(|| pod.spec.hostname.clone()),
        target_ref: Some(ObjectReference {
            kind: Kind::Pod.name().into(),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid,
        }),
        node_name: Some(pod.spec.node_name.clone()).filter(|n| !n.is_empty()),
        zone: node.and_then(Node::zone).filter(|z| !z.is_empty()).map(str::to_owned),
        hints: None,
    }
}

/// A declared port of a container.
#[derive(Clone, Copy, Debug)]
pub struct DeclaredPort<'a> {
    /// Name, or empty.
    pub name: &'a str,
    /// `TCP`, ...
    pub protocol: &'a str,
    /// Number.
    pub number: i32,
}

/// The number that a `targetPort` means in a Pod (`FindPort`): a number as it is, a name as the first container declares
/// it for the protocol. Sidecars come after the others (since 1.33; before, not at all). None: no container has it.
pub fn find_port<'a>(
    target: &IntOrString,
    protocol: &str,
    containers: &mut dyn Iterator<Item = DeclaredPort<'a>>,
    sidecars: &mut dyn Iterator<Item = DeclaredPort<'a>>,
) -> Option<i32> {
    let name = match target {
        IntOrString::Int(number) => return Some(*number),
        IntOrString::String(name) => name,
    };
    let mut declared = containers.chain(sidecars);
    declared.find(|p| p.name == *name && p.protocol == protocol).map(|p| p.number)
}

/// Named ports of sidecars count since this release.
const SIDECAR_PORTS_SINCE: Release = Release(33);

const fn upper(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

fn declared(container: &Container) -> impl Iterator<Item = DeclaredPort<'_>> {
    let ports = container.ports.iter();
    ports.map(|p| DeclaredPort { name: &p.name, protocol: upper(p.protocol), number: p.container_port.into() })
}

/// The Service's ports as a Pod has them (`getEndpointPorts`); one that it doesn't have is left out.
pub fn endpoint_ports(service: &Service, pod: &Pod, release: Release) -> Vec<EndpointPort> {
    let sidecar = |c: &&Container| c.restart_policy == "Always" && release >= SIDECAR_PORTS_SINCE;
    let number = |port: &ServicePort| {
        let own = IntOrString::Int(port.port.into());
        let target = match &port.target_port {
            None | Some(IntOrString::Int(0)) => &own,
            Some(target) => target,
        };
        let mut containers = pod.spec.containers.iter().flat_map(declared);
        let mut sidecars = pod.spec.init_containers.iter().filter(sidecar).flat_map(declared);
        find_port(target, upper(port.protocol), &mut containers, &mut sidecars)
    };
    let resolved = |port: &ServicePort| {
        Some(EndpointPort {
            name: Some(port.name.clone()),
            protocol: Some(port.protocol),
            port: Some(u16::try_from(number(port)?).ok()?),
            app_protocol: port.app_protocol.clone(),
        })
    };
    service.spec.ports.iter().filter_map(resolved).collect()
}

/// The families in which a Service has slices (`getAddressTypesForService`): its own, else that of its cluster IP, else both.
pub fn address_types(service: &Service) -> Vec<AddressType> {
    let mut types: Vec<AddressType> = service.spec.ip_families.iter().map(|f| AddressType::from(*f)).collect();
    types.dedup();
    if !types.is_empty() {
        return types;
    }
    match service.spec.cluster_ip.parse::<IpAddr>() {
        Ok(ip) => vec![IpFamily::of(ip).into()],
        Err(_) => vec![AddressType::IPv4, AddressType::IPv6],
    }
}

/// Whether a Service asks for topology-aware hints (`hintsEnabled`): the older annotation goes first, and only two
/// spellings count.
pub fn hints_enabled(annotations: &StringMap) -> bool {
    let asked = annotations.get(ANNOTATION_TOPOLOGY_AWARE_HINTS).or_else(|| annotations.get(ANNOTATION_TOPOLOGY_MODE));
    asked.is_some_and(|v| v == "Auto" || v == "auto")
}

/// The labels that a slice should have, and whether those that come from the Service differ from what it has
/// (`setEndpointSliceLabels`).
pub fn slice_labels(service: &Service, present: &StringMap) -> (StringMap, bool) {
    let free = |labels: &StringMap| -> StringMap {
        let reserved = |key: &str| [LABEL_SERVICE_NAME, LABEL_MANAGED_BY, LABEL_HEADLESS].contains(&key);
        labels.iter().filter(|(key, _)| !reserved(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let mut labels = free(&service.metadata.labels);
    let changed = labels != free(present);
    if service.spec.cluster_ip.parse::<IpAddr>().is_err() {
        labels.insert(LABEL_HEADLESS.into(), String::new());
    }
    labels.insert(LABEL_SERVICE_NAME.into(), service.metadata.name.clone());
    labels.insert(LABEL_MANAGED_BY.into(), MANAGED_BY_CONTROLLER.into());
    (labels, changed)
}
