//! Objects of any type: the store's, and those that follow from others (Endpoints, Events).

use crate::resource::{TYPES, Type};
use cluster::{Cluster, KubeEvent, LEASE_SECONDS, Lease, NODE_LEASES, Stored};
use kube_api::wire::{self, map, of};
use kube_api::yaml::{Tree, Value};
use kube_api::{
    EndpointSlice, Kind, LABEL_SERVICE_NAME, NamespacedName, Node, Object, ObjectMeta, Pod, Protocol, Service,
    with_kind,
};
use lab_base::Time;
use std::sync::Arc;

/// Addresses and ports of an Endpoints object that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subset {
    /// Addresses of ready endpoints, with node and Pod.
    pub ready: Vec<(String, String, String)>,
    /// The same of those that aren't.
    pub not_ready: Vec<(String, String, String)>,
    /// Name, number, protocol.
    pub ports: Vec<(String, u16, Protocol)>,
}

/// What an object is.
#[derive(Clone, Debug)]
pub enum Body {
    /// As the store has it.
    Stored(Object),
    /// Made from slices.
    Endpoints(Vec<Subset>),
    /// A node's, as it stands now.
    Lease(Box<Lease>),
    /// What a component wrote.
    Event(Box<KubeEvent>),
}

/// An object of any type.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its type.
    pub type_: &'static Type,
    /// Its metadata.
    pub meta: ObjectMeta,
    /// The rest.
    pub body: Body,
}

impl Item {
    /// An object of the store.
    pub fn stored(object: Object) -> Option<Item> {
        Some(Item { type_: Type::of(object.kind())?, meta: object.metadata().clone(), body: Body::Stored(object) })
    }

    /// `pod/web`, `deployment.apps/web`.
    pub fn slashed(&self) -> String {
        format!("{}/{}", self.type_.full_singular(), self.meta.name)
    }

    /// As the API server sends it.
    pub fn wire(&self, cluster: &Cluster) -> Tree {
        match &self.body {
            Body::Stored(object) => {
                let mut tree = wire::wire(object);
                match object {
                    Object::Pod(pod) => pod_extras(&mut tree, pod, cluster),
                    Object::Node(node) => node_extras(&mut tree, node, cluster),
                    _ => {}
                }
                tree
            }
            Body::Endpoints(subsets) => endpoints_wire(&self.meta, subsets),
            Body::Lease(lease) => lease_wire(lease),
            Body::Event(event) => event_wire(&self.meta, event),
        }
    }
}

/// What follows from a Pod and its node, and isn't stored: the node's address, the class of service.
fn pod_extras(tree: &mut Tree, pod: &Pod, cluster: &Cluster) {
    let host = cluster.machine(&pod.spec.node_name).map(|m| m.ip.to_string());
    let Some(status) = wire::get_mut(tree, "status") else { return };
    if pod.status.start_time.is_some()
        && let Some(ip) = host
    {
        wire::set(status, "hostIP", Value::text(ip.clone()));
        wire::set(status, "hostIPs", Value::Seq(vec![of(map(vec![("ip", Value::text(ip))]))]));
    }
    wire::set(status, "qosClass", Value::text(qos(pod)));
    wire::sort(status);
}

/// When a Node's kubelet last told a condition: on a change, and each 5 minutes.
pub fn heartbeat(cluster: &Cluster, node: &Node, condition: &kube_api::Condition) -> Time {
    const REPORT: u64 = 300_000_000;
    let since = condition.last_transition_time;
    let silent = cluster.machine(&node.metadata.name).and_then(|m| m.silent_since);
    let first = if silent.is_some() { node.metadata.creation_timestamp.unwrap_or_default() } else { since };
    let heard = silent.unwrap_or_else(|| cluster.now());
    Time::from_micros(first.as_micros() + heard.since(first).as_micros() / REPORT * REPORT)
}

/// What the kubelet tells of its machine, and isn't stored.
fn node_extras(tree: &mut Tree, node: &Node, cluster: &Cluster) {
    let Some(status) = wire::get_mut(tree, "status") else { return };
    if let Some(Tree { value: Value::Seq(conditions), .. }) = wire::get_mut(status, "conditions") {
        for (tree, condition) in conditions.iter_mut().zip(&node.status.conditions) {
            let at = kube_api::timestamp::rfc3339(heartbeat(cluster, node, condition));
            wire::set(tree, "lastHeartbeatTime", Value::text(at));
        }
    }
    let version = crate::columns::kubelet_version(cluster);
    wire::set(status, "nodeInfo", map(vec![("kubeletVersion", Value::text(version))]));
    wire::sort(status);
}

/// `status.qosClass` (`pkg/apis/core/helper/qos`).
pub fn qos(pod: &Pod) -> &'static str {
    let all = &pod.spec.containers;
    if all.iter().all(|c| c.resources.limits.is_empty() && c.resources.requests.is_empty()) {
        return "BestEffort";
    }
    let full = |c: &kube_api::Container| {
        let (limits, requests) = (&c.resources.limits, &c.resources.requests);
        ["cpu", "memory"].iter().all(|k| limits.get(*k).is_some_and(|l| requests.get(*k).unwrap_or(l) == l))
    };
    if all.iter().all(full) { "Guaranteed" } else { "Burstable" }
}

fn endpoints_wire(meta: &ObjectMeta, subsets: &[Subset]) -> Tree {
    let service = Object::Service(Arc::new(Service { metadata: meta.clone(), ..Service::default() }));
    let mut tree = wire::wire(&service);
    let metadata = tree.get("metadata").cloned().unwrap_or_default();
    let address = |(ip, node, pod): &(String, String, String)| {
        let mut entries = vec![("ip", Value::text(ip.clone()))];
        if !node.is_empty() {
            entries.push(("nodeName", Value::text(node.clone())));
        }
        if !pod.is_empty() {
            let namespace = Value::text(meta.namespace.clone());
            let target =
                map(vec![("kind", Value::text("Pod")), ("name", Value::text(pod.clone())), ("namespace", namespace)]);
            entries.push(("targetRef", target));
        }
        of(map(entries))
    };
    let subset = |s: &Subset| {
        let mut entries = Vec::new();
        if !s.ready.is_empty() {
            entries.push(("addresses", Value::Seq(s.ready.iter().map(address).collect())));
        }
        if !s.not_ready.is_empty() {
            entries.push(("notReadyAddresses", Value::Seq(s.not_ready.iter().map(address).collect())));
        }
        let port = |(name, number, protocol): &(String, u16, Protocol)| {
            let mut entries = Vec::new();
            if !name.is_empty() {
                entries.push(("name", Value::text(name.clone())));
            }
            entries.push(("port", Value::Int((*number).into())));
            entries.push(("protocol", Value::text(protocol.to_string())));
            of(map(entries))
        };
        entries.push(("ports", Value::Seq(s.ports.iter().map(port).collect())));
        of(map(entries))
    };
    let mut entries =
        vec![("apiVersion", Value::text("v1")), ("kind", Value::text("Endpoints")), ("metadata", metadata.value)];
    if !subsets.is_empty() {
        entries.push(("subsets", Value::Seq(subsets.iter().map(subset).collect())));
    }
    tree.value = map(entries);
    tree
}

fn event_wire(meta: &ObjectMeta, event: &KubeEvent) -> Tree {
    use kube_api::timestamp::rfc3339;
    let text = |t: &str| Value::text(t);
    let mut about = vec![("kind", text(event.kind)), ("name", text(&event.name))];
    if !event.namespace.is_empty() {
        about.push(("namespace", text(&event.namespace)));
    }
    if !event.field.is_empty() {
        about.push(("fieldPath", text(&event.field)));
    }
    let mut source = vec![("component", text(event.component))];
    if !event.host.is_empty() {
        source.push(("host", text(&event.host)));
    }
    let mut tree = of(map(vec![
        ("apiVersion", text("v1")),
        ("count", Value::Int(event.count.into())),
        ("eventTime", Value::Null),
        ("firstTimestamp", Value::text(rfc3339(event.first))),
        ("involvedObject", map(about)),
        ("kind", text("Event")),
        ("lastTimestamp", Value::text(rfc3339(event.last))),
        ("message", text(&event.message)),
        (
            "metadata",
            map(vec![
                ("creationTimestamp", Value::text(rfc3339(event.first))),
                ("name", text(&meta.name)),
                ("namespace", text(&meta.namespace)),
            ]),
        ),
        ("reason", text(event.reason)),
        ("reportingComponent", text(event.component)),
        ("reportingInstance", text(&event.host)),
        ("source", map(source)),
        ("type", text(event.type_)),
    ]));
    wire::sort(&mut tree);
    tree
}

/// Events as objects. Those about what has no namespace are kept in `default`.
fn all_events(cluster: &Cluster, type_: &'static Type, namespace: Option<&str>) -> Vec<Item> {
    let item = |event: KubeEvent| {
        let home = if event.namespace.is_empty() { "default" } else { &event.namespace };
        let meta = ObjectMeta {
            name: format!("{}.{:016x}", event.name, event.number.wrapping_mul(0x1000_0001)),
            namespace: home.to_owned(),
            creation_timestamp: Some(event.first),
            ..ObjectMeta::default()
        };
        Item { type_, meta, body: Body::Event(Box::new(event)) }
    };
    cluster.kube_events().map(item).filter(|i| namespace.is_none_or(|n| i.meta.namespace == n)).collect()
}

/// Leases of nodes as objects.
fn all_leases(cluster: &Cluster, type_: &'static Type, namespace: Option<&str>) -> Vec<Item> {
    if namespace.is_some_and(|n| n != NODE_LEASES) {
        return Vec::new();
    }
    let item = |lease: Lease| Item { type_, meta: lease.metadata.clone(), body: Body::Lease(Box::new(lease)) };
    cluster.leases().into_iter().map(item).collect()
}

fn lease_wire(lease: &Lease) -> Tree {
    let node = Object::Node(Arc::new(Node { metadata: lease.metadata.clone(), ..Node::default() }));
    let metadata = wire::wire(&node).get("metadata").cloned().unwrap_or_default();
    let text = |text: &str| Value::text(text);
    of(map(vec![
        ("apiVersion", text("coordination.k8s.io/v1")),
        ("kind", text("Lease")),
        ("metadata", metadata.value),
        (
            "spec",
            map(vec![
                ("holderIdentity", text(&lease.holder)),
                ("leaseDurationSeconds", Value::Int(LEASE_SECONDS.into())),
                ("renewTime", text(&kube_api::timestamp::rfc3339_micro(lease.renewed))),
            ]),
        ),
    ]))
}

/// All objects of a type, by namespace and name.
pub fn list(cluster: &Cluster, type_: &'static Type, namespace: Option<&str>) -> Vec<Item> {
    let store = cluster.store();
    let objects: Vec<Object> = match Kind::named(type_.kind) {
        Some(kind) => with_kind!(kind, T => store.list::<T>().map(|o| T::wrap(o.clone())).collect()),
        None if type_.kind == "Event" => return all_events(cluster, type_, namespace),
        None if type_.kind == "Lease" => return all_leases(cluster, type_, namespace),
        None => return all_endpoints(cluster, namespace),
    };
    objects
        .into_iter()
        .filter(|o| namespace.is_none_or(|n| !type_.namespaced || o.metadata().namespace == n))
        .filter_map(Item::stored)
        .collect()
}

/// The object of this name.
pub fn get(cluster: &Cluster, type_: &'static Type, namespace: &str, name: &str) -> Option<Item> {
    let key = NamespacedName::new(if type_.namespaced { namespace } else { "" }, name);
    match Kind::named(type_.kind) {
        Some(kind) => Item::stored(cluster.find(kind, &key)?),
        None if type_.kind == "Event" => {
            all_events(cluster, type_, Some(namespace)).into_iter().find(|e| e.meta.name == name)
        }
        None if type_.kind == "Lease" => {
            all_leases(cluster, type_, Some(namespace)).into_iter().find(|e| e.meta.name == name)
        }
        None => all_endpoints(cluster, Some(namespace)).into_iter().find(|e| e.meta.name == name),
    }
}

/// Endpoints, as the old API tells what slices hold. A terminating Pod isn't in them.
fn all_endpoints(cluster: &Cluster, namespace: Option<&str>) -> Vec<Item> {
    let Some(type_) = TYPES.iter().find(|t| t.kind == "Endpoints") else { return Vec::new() };
    let services = cluster.store().list::<Service>().filter(|s| namespace.is_none_or(|n| s.metadata.namespace == n));
    let mut items = Vec::new();
    for service in services {
        let slices: Vec<_> = slices_of(cluster, &service.metadata.key());
        if slices.is_empty() {
            continue;
        }
        let mut subsets: Vec<Subset> = Vec::new();
        for slice in slices {
            let ports: Vec<_> = slice
                .ports
                .iter()
                .filter_map(|p| Some((p.name.clone().unwrap_or_default(), p.port?, p.protocol.unwrap_or_default())))
                .collect();
            for endpoint in slice.endpoints.iter().filter(|e| e.conditions.terminating != Some(true)) {
                let i = match subsets.iter().position(|s| s.ports == ports) {
                    Some(i) => i,
                    None => {
                        subsets.push(Subset { ports: ports.clone(), ..Subset::default() });
                        subsets.len() - 1
                    }
                };
                let pod = endpoint.target_ref.as_ref().map(|t| t.name.clone()).unwrap_or_default();
                let node = endpoint.node_name.clone().unwrap_or_default();
                let entry = (endpoint.addresses.first().cloned().unwrap_or_default(), node, pod);
                let ready = endpoint.conditions.ready.unwrap_or(true);
                if ready { subsets[i].ready.push(entry) } else { subsets[i].not_ready.push(entry) }
            }
        }
        for subset in &mut subsets {
            let by_ip = |(ip, ..): &(String, String, String)| ip.clone();
            crate::order::sort_by_key(&mut subset.ready, by_ip);
            crate::order::sort_by_key(&mut subset.not_ready, by_ip);
        }
        let meta = ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            labels: service.metadata.labels.clone(),
            creation_timestamp: service.metadata.creation_timestamp,
            ..ObjectMeta::default()
        };
        items.push(Item { type_, meta, body: Body::Endpoints(subsets) });
    }
    items
}

/// The slices of a Service.
pub fn slices_of(cluster: &Cluster, service: &NamespacedName) -> Vec<Arc<EndpointSlice>> {
    cluster
        .store()
        .list::<EndpointSlice>()
        .filter(|s| s.metadata.namespace == service.namespace)
        .filter(|s| s.metadata.labels.get(LABEL_SERVICE_NAME) == Some(&service.name))
        .cloned()
        .collect()
}
