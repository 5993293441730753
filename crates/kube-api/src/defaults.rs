//! Defaults, as the API server fills them in (`pkg/apis/core/v1/defaults.go`, `pkg/apis/apps/v1/defaults.go`).

use crate::objects::{
    ClientIPConfig, DaemonSet, Deployment, DeploymentStrategyType, IntOrString, LABEL_METADATA_NAME, Object, Pod,
    PodSpec, PodTemplateSpec, Probe, ReplicaSet, RollingUpdateDeployment, Service, ServiceType, SessionAffinity,
    SessionAffinityConfig, SetRollingUpdate, SetUpdateStrategy, StatefulSet, Toleration, TrafficPolicy,
};
use std::sync::Arc;

/// Seconds that a client's endpoint is kept (`DefaultClientIPServiceAffinitySeconds`).
pub const CLIENT_IP_SECONDS: i32 = 10_800;
/// Seconds between SIGTERM and SIGKILL (`DefaultTerminationGracePeriodSeconds`).
pub const GRACE_SECONDS: i64 = 30;
/// Seconds for which a Pod stays on a node that is not ready or unreachable
/// (`plugin/pkg/admission/defaulttolerationseconds`).
pub const TOLERATION_SECONDS: i64 = 300;
/// Taint of a node that isn't ready.
pub const TAINT_NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint of a node that nobody hears of.
pub const TAINT_UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Fills in what a manifest may leave out. Applying it twice changes nothing.
pub fn apply(object: &mut Object) {
    match object {
        Object::Service(o) => service(Arc::make_mut(o)),
        Object::Pod(o) => pod(Arc::make_mut(o)),
        Object::Deployment(o) => deployment(Arc::make_mut(o)),
        Object::ReplicaSet(o) => replica_set(Arc::make_mut(o)),
        Object::EndpointSlice(o) => {
            for port in &mut Arc::make_mut(o).ports {
                port.name.get_or_insert_default();
                port.protocol.get_or_insert_default();
            }
        }
        // Nothing is filled in.
        Object::PodDisruptionBudget(_) | Object::ConfigMap(_) => {}
        Object::StatefulSet(o) => stateful_set(Arc::make_mut(o)),
        Object::DaemonSet(o) => daemon_set(Arc::make_mut(o)),
        Object::Node(o) => {
            let o = Arc::make_mut(o);
            if o.status.allocatable.is_empty() {
                o.status.allocatable = o.status.capacity.clone();
            }
            if o.spec.pod_cidr.is_empty() {
                o.spec.pod_cidr = o.spec.pod_cidrs.first().cloned().unwrap_or_default();
            } else if o.spec.pod_cidrs.first() != Some(&o.spec.pod_cidr) {
                o.spec.pod_cidrs = vec![o.spec.pod_cidr.clone()];
            }
        }
        Object::Namespace(o) => {
            let metadata = &mut Arc::make_mut(o).metadata;
            if !metadata.name.is_empty() {
                metadata.labels.insert(LABEL_METADATA_NAME.into(), metadata.name.clone());
            }
        }
    }
}

fn service(service: &mut Service) {
    let spec = &mut service.spec;
    match spec.session_affinity {
        SessionAffinity::None => spec.session_affinity_config = None,
        SessionAffinity::ClientIP => {
            let config = spec.session_affinity_config.get_or_insert_with(SessionAffinityConfig::default);
            let client = config.client_ip.get_or_insert_with(ClientIPConfig::default);
            client.timeout_seconds.get_or_insert(CLIENT_IP_SECONDS);
        }
    }
    for port in &mut spec.ports {
        let unset = match &port.target_port {
            None | Some(IntOrString::Int(0)) => true,
            Some(IntOrString::String(name)) => name.is_empty(),
            Some(IntOrString::Int(_)) => false,
        };
        if unset {
            port.target_port = Some(IntOrString::Int(port.port.into()));
        }
    }
    let external = matches!(spec.type_, ServiceType::NodePort | ServiceType::LoadBalancer);
    let by_ip = spec.type_ == ServiceType::ClusterIP && !spec.external_ips.is_empty();
    if external || by_ip {
        spec.external_traffic_policy.get_or_insert(TrafficPolicy::Cluster);
    }
    if spec.type_ != ServiceType::ExternalName {
        spec.internal_traffic_policy.get_or_insert(TrafficPolicy::Cluster);
    }
    if spec.type_ == ServiceType::LoadBalancer {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
    // The registry keeps the two in step (`NormalizeClusterIPs`).
    if spec.cluster_ips.is_empty() && !spec.cluster_ip.is_empty() {
        spec.cluster_ips = vec![spec.cluster_ip.clone()];
    }
    for ingress in &mut service.status.load_balancer.ingress {
        if !ingress.ip.is_empty() {
            ingress.ip_mode.get_or_insert_with(|| "VIP".into());
        }
    }
}

fn pod(pod: &mut Pod) {
    pod_spec(&mut pod.spec);
    // A limit without a request is a request too (`SetDefaults_Pod`: not in templates).
    for container in pod.spec.init_containers.iter_mut().chain(&mut pod.spec.containers) {
        for (name, limit) in &container.resources.limits {
            container.resources.requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
    // Set at admission, in Pods only, not in templates.
    let covers = |t: &Toleration, taint: &str| {
        (t.key == taint || t.key.is_empty()) && (t.effect.is_empty() || t.effect == "NoExecute")
    };
    for taint in [TAINT_NOT_READY, TAINT_UNREACHABLE] {
        if !pod.spec.tolerations.iter().any(|t| covers(t, taint)) {
            pod.spec.tolerations.push(Toleration {
                key: taint.into(),
                operator: "Exists".into(),
                value: String::new(),
                effect: "NoExecute".into(),
                toleration_seconds: Some(TOLERATION_SECONDS),
            });
        }
    }
}

fn pod_spec(spec: &mut PodSpec) {
    if spec.restart_policy.is_empty() {
        spec.restart_policy = "Always".into();
    }
    spec.termination_grace_period_seconds.get_or_insert(GRACE_SECONDS);
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        let probes = [&mut container.readiness_probe, &mut container.liveness_probe, &mut container.startup_probe];
        probes.into_iter().flatten().for_each(probe);
    }
}

fn probe(probe: &mut Probe) {
    let unset = Probe::default();
    for (value, default) in [
        (&mut probe.timeout_seconds, unset.timeout_seconds),
        (&mut probe.period_seconds, unset.period_seconds),
        (&mut probe.success_threshold, unset.success_threshold),
        (&mut probe.failure_threshold, unset.failure_threshold),
    ] {
        if *value == 0 {
            *value = default;
        }
    }
    if let Some(http) = &mut probe.http_get
        && http.path.is_empty()
    {
        http.path = "/".into();
    }
}

fn deployment(deployment: &mut Deployment) {
    let spec = &mut deployment.spec;
    template(&mut spec.template);
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(10);
    spec.progress_deadline_seconds.get_or_insert(600);
    if spec.strategy.type_ == DeploymentStrategyType::RollingUpdate {
        let quarter = || IntOrString::String("25%".into());
        let rolling = spec.strategy.rolling_update.get_or_insert_with(RollingUpdateDeployment::default);
        rolling.max_unavailable.get_or_insert_with(quarter);
        rolling.max_surge.get_or_insert_with(quarter);
    }
}

fn replica_set(set: &mut ReplicaSet) {
    template(&mut set.spec.template);
    set.spec.replicas.get_or_insert(1);
}

fn stateful_set(set: &mut StatefulSet) {
    let spec = &mut set.spec;
    template(&mut spec.template);
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(10);
    if spec.pod_management_policy.is_empty() {
        spec.pod_management_policy = "OrderedReady".into();
    }
    if let Some(rolling) = rolling(&mut spec.update_strategy) {
        rolling.partition.get_or_insert(0);
    }
}

fn daemon_set(set: &mut DaemonSet) {
    template(&mut set.spec.template);
    set.spec.revision_history_limit.get_or_insert(10);
    if let Some(rolling) = rolling(&mut set.spec.update_strategy) {
        rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
        rolling.max_surge.get_or_insert(IntOrString::Int(0));
    }
}

fn rolling(strategy: &mut SetUpdateStrategy) -> Option<&mut SetRollingUpdate> {
    if strategy.type_.is_empty() {
        strategy.type_ = "RollingUpdate".into();
    }
    (strategy.type_ == "RollingUpdate").then(|| strategy.rolling_update.get_or_insert_default())
}

fn template(template: &mut PodTemplateSpec) {
    pod_spec(&mut template.spec);
}
