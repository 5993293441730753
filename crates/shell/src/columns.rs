//! The columns of `kubectl get` (`pkg/printers/internalversion/printers.go`).

use crate::human::{age, human};
use crate::resource::{Body, Item, Subset, Type};
use crate::select::{format_labels, format_selector};
use crate::table::first_three;
use cluster::Cluster;
use kube_api::{
    ConditionStatus, Container, ContainerState, Deployment, EndpointSlice, IntOrString, Node, Object, ObjectMeta, Pod,
    PodPhase, ReplicaSet, Service, ServiceType,
};
use lab_base::Time;
use std::net::{IpAddr, SocketAddr};

/// Headings of a type; those after the empty one only with `-o wide`.
pub fn headings(type_: &Type, wide: bool) -> &'static [&'static str] {
    match type_.kind {
        // Their wide columns stand among the others.
        "Event" if wide => {
            &["LAST SEEN", "TYPE", "REASON", "OBJECT", "SUBOBJECT", "SOURCE", "MESSAGE", "FIRST SEEN", "COUNT", "NAME"]
        }
        "Event" => &["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"],
        "Pod" => &["NAME", "READY", "STATUS", "RESTARTS", "AGE", "", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"],
        "Service" => &["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "", "SELECTOR"],
        "EndpointSlice" => &["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"],
        "Endpoints" => &["NAME", "ENDPOINTS", "AGE"],
        "Node" => &[
            "NAME",
            "STATUS",
            "ROLES",
            "AGE",
            "VERSION",
            "",
            "INTERNAL-IP",
            "EXTERNAL-IP",
            "OS-IMAGE",
            "KERNEL-VERSION",
            "CONTAINER-RUNTIME",
        ],
        "Deployment" => &["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "", "CONTAINERS", "IMAGES", "SELECTOR"],
        "ReplicaSet" => &["NAME", "DESIRED", "CURRENT", "READY", "AGE", "", "CONTAINERS", "IMAGES", "SELECTOR"],
        "PodDisruptionBudget" => &["NAME", "MIN AVAILABLE", "MAX UNAVAILABLE", "ALLOWED DISRUPTIONS", "AGE"],
        "ConfigMap" => &["NAME", "DATA", "AGE"],
        "StatefulSet" => &["NAME", "READY", "AGE", "", "CONTAINERS", "IMAGES"],
        "DaemonSet" => &[
            "NAME",
            "DESIRED",
            "CURRENT",
            "READY",
            "UP-TO-DATE",
            "AVAILABLE",
            "NODE SELECTOR",
            "AGE",
            "",
            "CONTAINERS",
            "IMAGES",
            "SELECTOR",
        ],
        "Lease" => &["NAME", "HOLDER", "AGE"],
        "Namespace" => &["NAME", "STATUS", "AGE"],
        _ => &["NAME", "AGE"],
    }
}

/// The cells of an object, those of `-o wide` too.
pub fn cells(item: &Item, cluster: &Cluster, wide: bool) -> Vec<String> {
    let now = cluster.now();
    let age = age(now, item.meta.creation_timestamp);
    let name = item.meta.name.clone();
    match &item.body {
        Body::Endpoints(subsets) => vec![name, endpoints(subsets), age],
        Body::Event(event) => {
            let object = format!("{}/{}", event.kind.to_ascii_lowercase(), event.name);
            let last = human(now.since(event.last));
            let message = event.message.trim().to_owned();
            let mut cells = vec![last, event.type_.into(), event.reason.into(), object];
            if wide {
                let at = if event.host.is_empty() { String::new() } else { format!(", {}", event.host) };
                cells.extend([event.field.clone(), format!("{}{at}", event.component), message]);
                cells.extend([human(now.since(event.first)), event.count.to_string(), name]);
            } else {
                cells.push(message);
            }
            cells
        }
        Body::Stored(Object::Pod(o)) => pod(o, now, age),
        Body::Stored(Object::Service(o)) => service(o, age, wide),
        Body::Stored(Object::EndpointSlice(o)) => slice(o, age),
        Body::Stored(Object::Node(o)) => node(o, cluster, age),
        Body::Stored(Object::Deployment(o)) => deployment(o, age),
        Body::Stored(Object::ReplicaSet(o)) => replica_set(o, age),
        Body::Stored(Object::PodDisruptionBudget(o)) => {
            let text = |v: &Option<IntOrString>| v.as_ref().map_or_else(|| "N/A".into(), ToString::to_string);
            let (least, most) = (text(&o.spec.min_available), text(&o.spec.max_unavailable));
            vec![name, least, most, o.status.disruptions_allowed.to_string(), age]
        }
        Body::Stored(Object::ConfigMap(o)) => vec![name, (o.data.len() + o.binary_data.len()).to_string(), age],
        // Nobody makes Pods for these two.
        Body::Stored(Object::StatefulSet(o)) => {
            let (names, images) = containers(&o.spec.template.spec.containers);
            vec![name, format!("0/{}", o.spec.replicas.unwrap_or(1)), age, names, images]
        }
        Body::Stored(Object::DaemonSet(o)) => {
            let (names, images) = containers(&o.spec.template.spec.containers);
            let mut cells = vec![name];
            cells.extend((0..5).map(|_| "0".to_owned()));
            cells.extend([format_labels(&o.spec.template.spec.node_selector), age, names, images]);
            cells.push(format_selector(&o.spec.selector));
            cells
        }
        Body::Lease(lease) => vec![name, lease.holder.clone(), age],
        Body::Stored(Object::Namespace(_)) => vec![name, namespace_phase(&item.meta).into(), age],
    }
}

/// `status.phase` of a Namespace.
pub fn namespace_phase(meta: &ObjectMeta) -> &'static str {
    if meta.is_deleting() { "Terminating" } else { "Active" }
}

/// STATUS of a Pod, its ready containers, and its restarts with the time of the last.
pub fn pod_status(pod: &Pod) -> (String, usize, u32, Option<Time>) {
    let mut reason = match pod.status.phase {
        PodPhase::Pending => "Pending",
        PodPhase::Running => "Running",
        PodPhase::Succeeded => "Succeeded",
        PodPhase::Failed => "Failed",
        PodPhase::Unknown => "Unknown",
    }
    .to_owned();
    if !pod.status.reason.is_empty() {
        reason.clone_from(&pod.status.reason);
    }
    let (mut ready, mut restarts, mut last, mut running) = (0, 0, None, false);
    // Init containers: the first that isn't through says how far it is.
    let (mut of_sidecars, mut initializing) = ((0, None), false);
    for (i, container) in pod.status.init_container_statuses.iter().enumerate() {
        let ended = container.last_termination.as_ref().map(|t| t.finished_at);
        restarts += container.restart_count;
        last = last.max(ended);
        let sidecar = pod.spec.init_containers.get(i).is_some_and(kube_api::Container::is_sidecar);
        if sidecar {
            of_sidecars = (of_sidecars.0 + container.restart_count, of_sidecars.1.max(ended));
        }
        reason = match &container.state {
            ContainerState::Terminated(t) if t.exit_code == 0 => continue,
            _ if sidecar && container.started => {
                ready += usize::from(container.ready);
                continue;
            }
            ContainerState::Terminated(t) if t.reason.is_empty() => format!("Init:ExitCode:{}", t.exit_code),
            ContainerState::Terminated(t) => format!("Init:{}", t.reason),
            ContainerState::Waiting { reason } if !reason.is_empty() && reason != "PodInitializing" => {
                format!("Init:{reason}")
            }
            _ => format!("Init:{i}/{}", pod.spec.init_containers.len()),
        };
        initializing = true;
        break;
    }
    let initialized = pod.condition("Initialized").is_some_and(|c| c.status == ConditionStatus::True);
    let main = if initializing && !initialized { &[] } else { &pod.status.container_statuses[..] };
    if !initializing || initialized {
        (restarts, last) = of_sidecars;
    }
    for container in main.iter().rev() {
        restarts += container.restart_count;
        last = last.max(container.last_termination.as_ref().map(|t| t.finished_at));
        match &container.state {
            ContainerState::Waiting { reason: why } if !why.is_empty() => reason.clone_from(why),
            ContainerState::Terminated(t) if !t.reason.is_empty() => reason.clone_from(&t.reason),
            ContainerState::Terminated(t) => reason = format!("ExitCode:{}", t.exit_code),
            ContainerState::Running { .. } if container.ready => {
                running = true;
                ready += 1;
            }
            _ => {}
        }
    }
    if reason == "Completed" && running {
        reason = if pod.is_ready() { "Running" } else { "NotReady" }.into();
    }
    if pod.metadata.is_deleting() {
        if pod.status.reason == "NodeLost" {
            reason = "Unknown".into();
        } else if !pod.is_finished() {
            reason = "Terminating".into();
        }
    }
    (reason, ready, restarts, last)
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

fn pod(pod: &Pod, now: Time, age: String) -> Vec<String> {
    let (status, ready, restarts, last) = pod_status(pod);
    let sidecars = pod.spec.init_containers.iter().filter(|c| c.is_sidecar()).count();
    let restarts = match last {
        Some(at) if restarts > 0 => format!("{restarts} ({} ago)", human(now.since(at))),
        _ => restarts.to_string(),
    };
    let gates = &pod.spec.readiness_gates;
    let met = gates
        .iter()
        .filter(|g| pod.condition(&g.condition_type).is_some_and(|c| c.status == ConditionStatus::True))
        .count();
    let gates = if gates.is_empty() { "<none>".into() } else { format!("{met}/{}", gates.len()) };
    vec![
        pod.metadata.name.clone(),
        format!("{ready}/{}", pod.spec.containers.len() + sidecars),
        status,
        restarts,
        age,
        or_none(&pod.status.pod_ip),
        or_none(&pod.spec.node_name),
        "<none>".into(),
        gates,
    ]
}

/// EXTERNAL-IP of a Service.
fn external_ip(service: &Service, wide: bool) -> String {
    let spec = &service.spec;
    let external = || if spec.external_ips.is_empty() { "<none>".into() } else { spec.external_ips.join(",") };
    match spec.type_ {
        ServiceType::ExternalName => spec.external_name.clone(),
        ServiceType::ClusterIP | ServiceType::NodePort => external(),
        ServiceType::LoadBalancer => {
            let of =
                |i: &kube_api::LoadBalancerIngress| if i.ip.is_empty() { i.hostname.clone() } else { i.ip.clone() };
            let mut all: Vec<String> = service.status.load_balancer.ingress.iter().map(of).collect();
            all.retain(|a| !a.is_empty());
            let mut balancer = all.join(",");
            if !wide && balancer.len() > 16 {
                balancer = format!("{}...", balancer.chars().take(13).collect::<String>());
            }
            let mut results: Vec<String> = Some(balancer).filter(|b| !b.is_empty()).into_iter().collect();
            results.extend(spec.external_ips.iter().cloned());
            if results.is_empty() { "<pending>".into() } else { results.join(",") }
        }
    }
}

fn service(service: &Service, age: String, wide: bool) -> Vec<String> {
    let spec = &service.spec;
    let ports: Vec<String> = spec
        .ports
        .iter()
        .map(|p| {
            let node = if p.node_port > 0 { format!(":{}", p.node_port) } else { String::new() };
            format!("{}{node}/{}", p.port, p.protocol)
        })
        .collect();
    vec![
        service.metadata.name.clone(),
        spec.type_.to_string(),
        or_none(spec.cluster_ips.first().unwrap_or(&spec.cluster_ip)),
        external_ip(service, wide),
        or_none(&ports.join(",")),
        age,
        format_labels(&spec.selector),
    ]
}

fn slice(slice: &EndpointSlice, age: String) -> Vec<String> {
    let ports: Vec<String> = slice
        .ports
        .iter()
        .map(|p| match (p.port, &p.name) {
            (Some(number), _) => number.to_string(),
            (None, Some(name)) => name.clone(),
            (None, None) => "*".into(),
        })
        .collect();
    let addresses: Vec<String> = slice.endpoints.iter().flat_map(|e| e.addresses.iter().cloned()).collect();
    let family = match slice.address_type {
        kube_api::AddressType::IPv4 => "IPv4",
        kube_api::AddressType::IPv6 => "IPv6",
        kube_api::AddressType::Fqdn => "FQDN",
    };
    vec![
        slice.metadata.name.clone(),
        family.into(),
        first_three(&ports, "<unset>"),
        first_three(&addresses, "<unset>"),
        age,
    ]
}

/// `10.244.1.2:8080`
pub fn host_port(ip: &str, port: u16) -> String {
    ip.parse::<IpAddr>().map_or_else(|_| format!("{ip}:{port}"), |ip| SocketAddr::new(ip, port).to_string())
}

fn endpoints(subsets: &[Subset]) -> String {
    let mut all = Vec::new();
    for subset in subsets {
        let ips = subset.ready.iter().map(|(ip, ..)| ip);
        if subset.ports.is_empty() {
            all.extend(ips.cloned());
        } else {
            for (_, port, _) in &subset.ports {
                all.extend(ips.clone().map(|ip| host_port(ip, *port)));
            }
        }
    }
    first_three(&all, "<none>")
}

/// STATUS of a Node.
pub fn node_status(node: &Node) -> String {
    let mut status = match node.condition("Ready").map(|c| c.status) {
        Some(ConditionStatus::True) => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.spec.unschedulable {
        status.push_str(",SchedulingDisabled");
    }
    status
}

/// ROLES of a Node.
pub fn node_roles(node: &Node) -> String {
    let mut roles: Vec<&str> = node
        .metadata
        .labels
        .iter()
        .filter_map(|(k, v)| match k.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if k == "kubernetes.io/role" => Some(v.as_str()),
            None => None,
        })
        .filter(|r| !r.is_empty())
        .collect();
    crate::order::sort_by(&mut roles, |a, b| a.cmp(b));
    or_none(&roles.join(","))
}

fn node(node: &Node, cluster: &Cluster, age: String) -> Vec<String> {
    let address = |kind: &str| {
        let found = node.status.addresses.iter().find(|a| a.type_ == kind);
        or_none(found.map(|a| a.address.as_str()).unwrap_or_default())
    };
    let unknown = || "<unknown>".to_owned();
    vec![
        node.metadata.name.clone(),
        node_status(node),
        node_roles(node),
        age,
        kubelet_version(cluster),
        address("InternalIP"),
        address("ExternalIP"),
        unknown(),
        unknown(),
        unknown(),
    ]
}

/// Every node's kubelet is of the release that is simulated.
pub fn kubelet_version(cluster: &Cluster) -> String {
    format!("v{}.0", cluster.release())
}

fn containers(all: &[Container]) -> (String, String) {
    let join = |f: fn(&Container) -> &str| all.iter().map(f).collect::<Vec<_>>().join(",");
    (join(|c| &c.name), join(|c| &c.image))
}

fn deployment(o: &Deployment, age: String) -> Vec<String> {
    let (names, images) = containers(&o.spec.template.spec.containers);
    vec![
        o.metadata.name.clone(),
        format!("{}/{}", o.status.ready_replicas, o.spec.replicas.unwrap_or(1)),
        o.status.updated_replicas.to_string(),
        o.status.available_replicas.to_string(),
        age,
        names,
        images,
        format_selector(&o.spec.selector),
    ]
}

fn replica_set(o: &ReplicaSet, age: String) -> Vec<String> {
    let (names, images) = containers(&o.spec.template.spec.containers);
    vec![
        o.metadata.name.clone(),
        o.spec.replicas.unwrap_or(1).to_string(),
        o.status.replicas.to_string(),
        o.status.ready_replicas.to_string(),
        age,
        names,
        images,
        format_selector(&o.spec.selector),
    ]
}
