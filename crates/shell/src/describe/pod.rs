//! Pods, and the containers of templates.

use super::{Page, truth};
use crate::human::human;
use crate::resource::qos;
use crate::select::format_labels;
use kube_api::timestamp::rfc1123z;
use kube_api::{
    ConditionStatus, Container, ContainerState, ContainerStatus, ContainerTermination, Pod, PodPhase, PodTemplateSpec,
    Probe, StringMap, Toleration, TopologySpreadConstraint, Volume,
};

pub(super) fn pod(page: &mut Page<'_>, pod: &Pod) {
    let (spec, status) = (&pod.spec, &pod.status);
    page.head(&pod.metadata);
    if spec.node_name.is_empty() {
        page.field(0, "Node", "<none>");
    } else {
        let ip =
            page.cluster.machine(&spec.node_name).filter(|_| status.start_time.is_some()).map(|m| m.ip.to_string());
        page.field(0, "Node", &format!("{}/{}", spec.node_name, ip.unwrap_or_default()));
    }
    if let Some(at) = status.start_time {
        page.field(0, "Start Time", &rfc1123z(at));
    }
    page.labels("Labels", &pod.metadata.labels, "");
    page.annotations(&pod.metadata.annotations);
    match pod.metadata.deletion_timestamp {
        Some(deadline) if !pod.is_finished() => {
            // The object holds the end of the grace period, which is still to come: kubectl says <invalid> of it.
            let now = page.cluster.now();
            let lasts = if deadline > now { "<invalid>".into() } else { human(now.since(deadline)) };
            page.field(0, "Status", &format!("Terminating (lasts {lasts})"));
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            page.field(0, "Termination Grace Period", &format!("{grace}s"));
        }
        _ => page.field(0, "Status", phase(status.phase)),
    }
    if !status.reason.is_empty() {
        page.field(0, "Reason", &status.reason);
    }
    page.field(0, "IP", &status.pod_ip);
    if status.pod_ips.is_empty() {
        page.field(0, "IPs", "<none>");
    } else {
        page.line(0, "IPs:");
        status.pod_ips.iter().for_each(|ip| page.field(1, "IP", ip));
    }
    if let Some(owner) = pod.metadata.controller() {
        page.field(0, "Controlled By", &format!("{}/{}", owner.kind, owner.name));
    }
    if !spec.init_containers.is_empty() {
        page.line(0, "Init Containers:");
        for container in &spec.init_containers {
            let status = status.init_container_statuses.iter().find(|s| s.name == container.name);
            self::container(page, container, status, "");
        }
    }
    page.line(0, "Containers:");
    for container in &spec.containers {
        let status = status.container_statuses.iter().find(|s| s.name == container.name);
        self::container(page, container, status, "");
    }
    if !spec.readiness_gates.is_empty() {
        page.line(0, "Readiness Gates:\n  Type\tStatus");
        for gate in &spec.readiness_gates {
            let status = pod.condition(&gate.condition_type).map_or("<none>", |c| condition(c.status));
            page.line(1, &format!("{} \t{status} ", gate.condition_type));
        }
    }
    if !status.conditions.is_empty() {
        page.line(0, "Conditions:\n  Type\tStatus");
        for c in &status.conditions {
            page.line(1, &format!("{} \t{} ", c.type_, condition(c.status)));
        }
    }
    volumes(page, &spec.volumes, "");
    page.field(0, "QoS Class", qos(pod));
    selectors(page, "", &spec.node_selector, &spec.tolerations);
    spread(page, "", &spec.topology_spread_constraints);
    page.events("Pod", &pod.metadata);
}

/// `describeVolumes`. Of a source that isn't held no more than the name is known.
fn volumes(page: &mut Page<'_>, volumes: &[Volume], space: &str) {
    if volumes.is_empty() {
        return page.line(0, &format!("{space}Volumes:\t<none>"));
    }
    page.line(0, &format!("{space}Volumes:"));
    for volume in volumes {
        let indent = if space.is_empty() { "" } else { " " };
        page.line(1, &format!("{indent}{}:", volume.name));
        if let Some(source) = &volume.empty_dir {
            page.field(2, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
            page.field(2, "Medium", &source.medium);
            page.field(2, "SizeLimit", "<unset>");
        } else if let Some(source) = &volume.config_map {
            page.field(2, "Type", "ConfigMap (a volume populated by a ConfigMap)");
            page.field(2, "Name", &source.name);
            page.field(2, "Optional", &source.optional.unwrap_or(false).to_string());
        } else {
            page.line(1, "<unknown>");
        }
    }
}

fn selectors(page: &mut Page<'_>, space: &str, nodes: &StringMap, tolerations: &[Toleration]) {
    page.labels_at(0, &format!("{space}Node-Selectors"), nodes, "", "=");
    if tolerations.is_empty() {
        return page.line(0, &format!("{space}Tolerations:\t<none>"));
    }
    let mut texts: Vec<(String, String)> = tolerations
        .iter()
        .map(|t| {
            let mut text = t.key.clone();
            if !t.value.is_empty() {
                text += &format!("={}", t.value);
            }
            if !t.effect.is_empty() {
                text += &format!(":{}", t.effect);
            }
            // tolerations:          op=Exists if key is empty; else after a blank
            if t.operator == "Exists" && t.value.is_empty() {
                if !t.key.is_empty() || !t.effect.is_empty() {
                    text += " ";
                }
                text += "op=Exists";
            }
            if let Some(seconds) = t.toleration_seconds {
                text += &format!(" for {}s", seconds);
            }
            (t.key.clone(), text)
        })
        .collect();
    crate::order::sort_by(&mut texts, |a, b| a.0.cmp(&b.0));
    for (i, (_, text)) in texts.iter().enumerate() {
        let head = if i == 0 { format!("{space}Tolerations:\t") } else { format!("{space}\t") };
        page.line(0, &format!("{head}{text}"));
    }
}

/// `describeTopologySpreadConstraints`.
fn spread(page: &mut Page<'_>, space: &str, constraints: &[TopologySpreadConstraint]) {
    let mut all: Vec<&TopologySpreadConstraint> = constraints.iter().collect();
    all.sort_by(|a, b| a.topology_key.cmp(&b.topology_key));
    for (i, c) in all.into_iter().enumerate() {
        let head = if i == 0 { "Topology Spread Constraints:" } else { "" };
        let mut text = format!(
            "{space}{head}\t{}:{} when max skew {} is exceeded",
            c.topology_key, c.when_unsatisfiable, c.max_skew
        );
        if let Some(selector) = &c.label_selector {
            text += &format!(" for selector {}", crate::select::format_selector(selector));
        }
        page.line(0, &text);
    }
}

pub(super) fn phase(phase: PodPhase) -> &'static str {
    match phase {
        PodPhase::Pending => "Pending",
        PodPhase::Running => "Running",
        PodPhase::Succeeded => "Succeeded",
        PodPhase::Failed => "Failed",
        PodPhase::Unknown => "Unknown",
    }
}

pub(super) fn condition(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    }
}

/// `Pod Template:` of Deployments and ReplicaSets.
pub(super) fn template(page: &mut Page<'_>, template: &PodTemplateSpec) {
    page.line(0, "Pod Template:");
    page.labels_at(0, "  Labels", &template.metadata.labels, "", "=");
    if !template.metadata.annotations.is_empty() {
        page.labels_at(0, "  Annotations", &template.metadata.annotations, "", ": ");
    }
    if !template.spec.init_containers.is_empty() {
        page.line(0, "  Init Containers:");
        for container in &template.spec.init_containers {
            self::container(page, container, None, " ");
        }
    }
    page.line(0, "  Containers:");
    for container in &template.spec.containers {
        self::container(page, container, None, " ");
    }
    volumes(page, &template.spec.volumes, "  ");
    spread(page, "  ", &template.spec.topology_spread_constraints);
    selectors(page, "  ", &template.spec.node_selector, &template.spec.tolerations);
}

fn container(page: &mut Page<'_>, container: &Container, status: Option<&ContainerStatus>, indent: &str) {
    page.line(1, &format!("{indent}{}:", container.name));
    if status.is_some() {
        page.field(2, "Container ID", "");
    }
    page.field(2, "Image", &container.image);
    if status.is_some() {
        page.field(2, "Image ID", "");
    }
    let ports: Vec<String> = container.ports.iter().map(|p| format!("{}/{}", p.container_port, p.protocol)).collect();
    let host: Vec<String> = container.ports.iter().map(|p| format!("0/{}", p.protocol)).collect();
    let or_none = |t: String| if t.is_empty() { "<none>".into() } else { t };
    let plural = if ports.len() > 1 { "s" } else { "" };
    page.field(2, &format!("Port{plural}"), &or_none(ports.join(", ")));
    page.field(2, &format!("Host Port{plural}"), &or_none(host.join(", ")));
    for (name, words) in [("Command", &container.command), ("Args", &container.args)] {
        if !words.is_empty() {
            page.line(2, &format!("{name}:"));
            words.iter().flat_map(|w| w.split('\n')).for_each(|line| page.line(3, line));
        }
    }
    if let Some(status) = status {
        state(page, "State", &status.state);
        if let Some(last) = &status.last_termination {
            terminated(page, "Last State", last);
        }
        page.field(2, "Ready", truth(status.ready));
        page.field(2, "Restart Count", &status.restart_count.to_string());
    }
    for (name, list) in [("Limits", &container.resources.limits), ("Requests", &container.resources.requests)] {
        if !list.is_empty() {
            page.line(2, &format!("{name}:"));
            list.iter().for_each(|(k, v)| page.field(3, k, v));
        }
    }
    for (name, probe) in [
        ("Liveness", &container.liveness_probe),
        ("Readiness", &container.readiness_probe),
        ("Startup", &container.startup_probe),
    ] {
        if let Some(probe) = probe {
            page.field(2, name, &self::probe(probe));
        }
    }
    environment(page, container);
    page.field(2, "Mounts", "<none>");
}

/// `describeContainerEnvFrom`, `describeContainerEnvVars`. Of a source that isn't held only the name is known.
fn environment(page: &mut Page<'_>, container: &Container) {
    if !container.env_from.is_empty() {
        page.line(2, "Environment Variables from:");
    }
    for from in &container.env_from {
        let Some(source) = &from.config_map_ref else { continue };
        let prefix = if from.prefix.is_empty() { String::new() } else { format!(" with prefix '{}'", from.prefix) };
        let optional = source.optional.unwrap_or(false);
        page.line(3, &format!("{}\tConfigMap{prefix}\tOptional: {optional}", source.name));
    }
    if container.env.is_empty() {
        return page.field(2, "Environment", "<none>");
    }
    page.line(2, "Environment:");
    for variable in &container.env {
        let Some(source) = &variable.value_from else {
            let mut lines = variable.value.split('\n');
            page.field(3, &variable.name, lines.next().unwrap_or_default());
            lines.for_each(|line| page.line(3, &format!("\t{line}")));
            continue;
        };
        if let Some(key) = &source.config_map_key_ref {
            let optional = key.optional.unwrap_or(false);
            let text = format!("<set to the key '{}' of config map '{}'>\tOptional: {optional}", key.key, key.name);
            page.field(3, &variable.name, &text);
        } else {
            page.field(3, &variable.name, "");
        }
    }
}

fn state(page: &mut Page<'_>, name: &str, state: &ContainerState) {
    match state {
        ContainerState::Running { started_at } => {
            page.field(2, name, "Running");
            page.field(3, "Started", &rfc1123z(*started_at));
        }
        ContainerState::Waiting { reason } => {
            page.field(2, name, "Waiting");
            if !reason.is_empty() {
                page.field(3, "Reason", reason);
            }
        }
        ContainerState::Terminated(end) => terminated(page, name, end),
    }
}

fn terminated(page: &mut Page<'_>, name: &str, end: &ContainerTermination) {
    page.field(2, name, "Terminated");
    if !end.reason.is_empty() {
        page.field(3, "Reason", &end.reason);
    }
    page.field(3, "Exit Code", &end.exit_code.to_string());
    page.field(3, "Finished", &rfc1123z(end.finished_at));
}

fn probe(probe: &Probe) -> String {
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        probe.initial_delay_seconds,
        probe.timeout_seconds,
        probe.period_seconds,
        probe.success_threshold,
        probe.failure_threshold
    );
    let port = |p: &Option<kube_api::IntOrString>| p.as_ref().map(ToString::to_string).unwrap_or_default();
    if let Some(exec) = &probe.exec {
        format!("exec [{}] {attributes}", exec.command.join(" "))
    } else if let Some(get) = &probe.http_get {
        format!("http-get http://:{}{} {attributes}", port(&get.port), get.path)
    } else if let Some(socket) = &probe.tcp_socket {
        format!("tcp-socket :{} {attributes}", port(&socket.port))
    } else if let Some(grpc) = &probe.grpc {
        format!("grpc <pod>:{}  {attributes}", grpc.port)
    } else {
        format!("unknown {attributes}")
    }
}

/// `app=web`, for a selector.
pub(super) fn selector(labels: &StringMap) -> String {
    format_labels(labels)
}
