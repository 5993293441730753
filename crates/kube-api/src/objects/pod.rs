//! Pod (`staging/src/k8s.io/api/core/v1/types.go`).

use super::{
    Affinity, Condition, ConditionStatus, IntOrString, ObjectMeta, Protocol, StringMap, TopologySpreadConstraint,
};
use lab_base::Time;
use serde::{Deserialize, Serialize};

/// Containers that run together on one node and share an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: PodSpec,
    /// What is.
    pub status: PodStatus,
}

/// `template` of Deployments and ReplicaSets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTemplateSpec {
    /// Labels and annotations of the Pods.
    pub metadata: ObjectMeta,
    /// Spec of the Pods.
    pub spec: PodSpec,
}

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// At least one.
    pub containers: Vec<Container>,
    /// Before these, one after another; those with restartPolicy Always are sidecars.
    pub init_containers: Vec<Container>,
    /// The node it is bound to; empty: none yet.
    pub node_name: String,
    /// Labels that its node must have.
    pub node_selector: StringMap,
    /// Taints that it puts up with.
    pub tolerations: Vec<Toleration>,
    /// `Always`, `OnFailure` or `Never`; empty means Always.
    pub restart_policy: String,
    /// Seconds between SIGTERM and SIGKILL; default 30.
    pub termination_grace_period_seconds: Option<i64>,
    /// Host name.
    pub hostname: String,
    /// Name of the governing headless Service.
    pub subdomain: String,
    /// Conditions that must be True besides the containers' readiness.
    pub readiness_gates: Vec<ReadinessGate>,
    /// Nodes and Pods that it wants, or doesn't want, near.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Box<Affinity>>,
    /// How evenly it is spread with others like it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Directories that containers can mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// An entry of `volumes`: of the sources, those that something here asks about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// A directory that is made for the Pod and goes with it.
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// Files from a ConfigMap.
    pub config_map: Option<ConfigMapVolumeSource>,
}

/// `emptyDir`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmptyDirVolumeSource {
    /// Empty for the node's disk, or `Memory`.
    pub medium: String,
}

/// `configMap` of a volume, and `configMapRef` of a container's `envFrom`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMapVolumeSource {
    /// Which.
    pub name: String,
    /// Whether the Pod does without it.
    pub optional: Option<bool>,
}

/// An entry of `readinessGates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    /// Type of the condition.
    pub condition_type: String,
}

/// A toleration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// Key; empty with `Exists` tolerates all.
    pub key: String,
    /// `Equal` (default) or `Exists`.
    pub operator: String,
    /// Value for `Equal`.
    pub value: String,
    /// Effect; empty: all.
    pub effect: String,
    /// How long a `NoExecute` taint is put up with; nil: forever.
    pub toleration_seconds: Option<i64>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Unique in the Pod.
    pub name: String,
    /// What runs.
    pub image: String,
    /// In place of the image's entry point.
    pub command: Vec<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables, all those of an object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<EnvFromSource>,
    /// Environment variables, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// What it listens on (information only, and names for `targetPort`).
    pub ports: Vec<ContainerPort>,
    /// Of an init container: `Always` makes it a sidecar.
    pub restart_policy: String,
    /// Requests and limits.
    pub resources: ResourceRequirements,
    /// Whether it takes traffic.
    pub readiness_probe: Option<Probe>,
    /// Whether it must be restarted.
    pub liveness_probe: Option<Probe>,
    /// Whether it has started.
    pub startup_probe: Option<Probe>,
    /// Hooks.
    pub lifecycle: Option<Lifecycle>,
}

impl Container {
    /// Whether it is a sidecar, if it is an init container: it goes on beside the others (KEP-753).
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == "Always"
    }
}

/// An entry of `envFrom`: of the sources, the one that something here asks about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvFromSource {
    /// Stands before each name.
    pub prefix: String,
    /// All keys of a ConfigMap.
    pub config_map_ref: Option<ConfigMapVolumeSource>,
}

/// An entry of `env`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, if it is written here.
    pub value: String,
    /// Where else it comes from.
    pub value_from: Option<EnvVarSource>,
}

/// `valueFrom` of an environment variable: of the sources, the one that something here asks about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVarSource {
    /// A key of a ConfigMap.
    pub config_map_key_ref: Option<ConfigMapKeySelector>,
}

/// `configMapKeyRef`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigMapKeySelector {
    /// Which ConfigMap.
    pub name: String,
    /// Which of its keys.
    pub key: String,
    /// Whether the container does without it.
    pub optional: Option<bool>,
}

/// `resources` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceRequirements {
    /// What the scheduler sets aside.
    pub requests: StringMap,
    /// What it may use.
    pub limits: StringMap,
}

/// `lifecycle` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// Before SIGTERM.
    pub pre_stop: Option<LifecycleHandler>,
}

/// What a hook does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LifecycleHandler {
    /// Wait.
    pub sleep: Option<SleepAction>,
    /// Run a command.
    pub exec: Option<ExecAction>,
    /// Send a request to the container.
    pub http_get: Option<HttpGetAction>,
}

/// `sleep` of a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SleepAction {
    /// How long.
    pub seconds: i64,
}

/// `exec` of a hook or probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecAction {
    /// Command and arguments.
    pub command: Vec<String>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// For a named `targetPort`.
    pub name: String,
    /// Number.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// A probe; numbers default as in `pkg/apis/core/v1/defaults.go`: 0, 1, 10, 1, 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// An HTTP request.
    pub http_get: Option<HttpGetAction>,
    /// A TCP connection.
    pub tcp_socket: Option<TcpSocketAction>,
    /// A command in the container.
    pub exec: Option<ExecAction>,
    /// A question of gRPC's health protocol.
    pub grpc: Option<GrpcAction>,
    /// Seconds after the container's start before the first try.
    pub initial_delay_seconds: i32,
    /// Seconds until a try has failed.
    pub timeout_seconds: i32,
    /// Seconds between tries.
    pub period_seconds: i32,
    /// Successes in a row that turn it.
    pub success_threshold: i32,
    /// Failures in a row that turn it.
    pub failure_threshold: i32,
    /// Seconds between SIGTERM and SIGKILL when it has the container killed; nil: the Pod's.
    pub termination_grace_period_seconds: Option<i64>,
}

impl Default for Probe {
    fn default() -> Self {
        Probe {
            http_get: None,
            tcp_socket: None,
            exec: None,
            grpc: None,
            initial_delay_seconds: 0,
            timeout_seconds: 1,
            period_seconds: 10,
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_period_seconds: None,
        }
    }
}

/// `httpGet` of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpGetAction {
    /// Path; default `/`.
    pub path: String,
    /// Number or name.
    pub port: Option<IntOrString>,
}

/// `tcpSocket` of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpSocketAction {
    /// Number or name.
    pub port: Option<IntOrString>,
}

/// `grpc` of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrpcAction {
    /// Number.
    pub port: i32,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Where it is in its life.
    pub phase: PodPhase,
    /// One word, for phases that need one.
    pub reason: String,
    /// `PodScheduled`, `ContainersReady`, `Ready`, ...
    pub conditions: Vec<Condition>,
    /// Its address; empty: none yet.
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    /// One a family.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<String>,
    /// When the kubelet took it on.
    pub start_time: Option<Time>,
    /// One an init container.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// One a container.
    pub container_statuses: Vec<ContainerStatus>,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PodPhase {
    /// Accepted, but not all containers have started.
    #[default]
    Pending,
    /// On a node; at least one container runs or restarts.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one badly.
    Failed,
    /// Not known.
    Unknown,
}

/// Status of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Name of the container.
    pub name: String,
    /// Whether its readiness probe says yes.
    pub ready: bool,
    /// How often it was restarted.
    pub restart_count: u32,
    /// Whether it has started.
    pub started: bool,
    /// What it does now.
    pub state: ContainerState,
    /// How it ended last.
    pub last_termination: Option<ContainerTermination>,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Not started yet, or not again.
    Waiting {
        /// `ContainerCreating`, `CrashLoopBackOff`, ...
        reason: String,
    },
    /// Its process runs.
    Running {
        /// Since when.
        started_at: Time,
    },
    /// Its process has ended.
    Terminated(ContainerTermination),
}

impl Default for ContainerState {
    fn default() -> Self {
        ContainerState::Waiting { reason: "ContainerCreating".into() }
    }
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerTermination {
    /// 137 for SIGKILL, 143 for SIGTERM.
    pub exit_code: i32,
    /// `Error`, `Completed`, `OOMKilled`.
    pub reason: String,
    /// When.
    pub finished_at: Time,
}

impl Pod {
    /// The condition of this type.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|c| c.type_ == type_)
    }
    /// Whether the `Ready` condition is True.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|c| c.status == ConditionStatus::True)
    }
    /// Whether all its containers have ended for good.
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase, PodPhase::Succeeded | PodPhase::Failed)
    }
}
