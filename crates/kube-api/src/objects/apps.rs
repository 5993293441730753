//! Deployment and ReplicaSet (`staging/src/k8s.io/api/apps/v1/types.go`).

use super::{ConditionStatus, IntOrString, LabelSelector, ObjectMeta, PodTemplateSpec};
use lab_base::Time;
use serde::{Deserialize, Serialize};

/// Label that tells the Pods of a Deployment's ReplicaSets apart.
pub const LABEL_POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// Annotation with a ReplicaSet's place in the Deployment's history.
pub const ANNOTATION_REVISION: &str = "deployment.kubernetes.io/revision";
/// Annotation with the places that a ReplicaSet had before.
pub const ANNOTATION_REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Annotation with what the Deployment wanted when a ReplicaSet was sized last.
pub const ANNOTATION_DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// Annotation with the same and the surge.
pub const ANNOTATION_MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Keeps ReplicaSets, one for each version of its template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployment {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: DeploymentSpec,
    /// What is.
    pub status: DeploymentStatus,
}

/// `spec` of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    /// How many Pods; nil means 1.
    pub replicas: Option<i32>,
    /// Which Pods are its own.
    pub selector: LabelSelector,
    /// What a Pod looks like.
    pub template: PodTemplateSpec,
    /// How a new template replaces an old one.
    pub strategy: DeploymentStrategy,
    /// Seconds of readiness until a Pod counts as available.
    pub min_ready_seconds: i32,
    /// Old ReplicaSets kept; nil means 10.
    pub revision_history_limit: Option<i32>,
    /// Nothing is rolled out.
    pub paused: bool,
    /// Seconds without progress until it counts as failed; nil means 600.
    pub progress_deadline_seconds: Option<i32>,
}

/// `strategy` of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStrategy {
    /// Which.
    #[serde(rename = "type")]
    pub type_: DeploymentStrategyType,
    /// For RollingUpdate.
    pub rolling_update: Option<RollingUpdateDeployment>,
}

/// `strategy.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentStrategyType {
    /// A few at a time.
    #[default]
    RollingUpdate,
    /// All old ones first.
    Recreate,
}

/// `strategy.rollingUpdate`; nil means 25 % each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdateDeployment {
    /// How many may be missing (number or percentage, rounded down).
    pub max_unavailable: Option<IntOrString>,
    /// How many may be too many (number or percentage, rounded up).
    pub max_surge: Option<IntOrString>,
}

/// `status` of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// Generation that the controller has seen.
    pub observed_generation: i64,
    /// Pods that are not terminating.
    pub replicas: i32,
    /// Of those, with the present template.
    pub updated_replicas: i32,
    /// Of those, Ready.
    pub ready_replicas: i32,
    /// Of those, available.
    pub available_replicas: i32,
    /// Missing ones.
    pub unavailable_replicas: i32,
    /// `Available`, `Progressing`.
    pub conditions: Vec<DeploymentCondition>,
}

/// A condition of a Deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentCondition {
    /// `Available`, `Progressing`.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// When it was last found so, with progress in between.
    #[serde(default)]
    pub last_update_time: Time,
    /// When `status` last changed.
    #[serde(default)]
    pub last_transition_time: Time,
    /// One word.
    #[serde(default)]
    pub reason: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// Keeps a number of Pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSet {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: ReplicaSetSpec,
    /// What is.
    pub status: ReplicaSetStatus,
}

/// `spec` of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    /// How many Pods; nil means 1.
    pub replicas: Option<i32>,
    /// Which Pods are its own.
    pub selector: LabelSelector,
    /// What a Pod looks like.
    pub template: PodTemplateSpec,
    /// Seconds of readiness until a Pod counts as available.
    pub min_ready_seconds: i32,
}

/// `status` of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetStatus {
    /// Generation that the controller has seen.
    pub observed_generation: i64,
    /// Pods that are not terminating.
    pub replicas: i32,
    /// Of those, Ready.
    pub ready_replicas: i32,
    /// Of those, available.
    pub available_replicas: i32,
}
