//! StatefulSet and DaemonSet (`staging/src/k8s.io/api/apps/v1/types.go`): held, but no controller acts on them.

use super::{IntOrString, LabelSelector, ObjectMeta, PodTemplateSpec};
use serde::{Deserialize, Serialize};

/// Keeps Pods with names and places of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSet {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: StatefulSetSpec,
}

/// `spec` of a StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetSpec {
    /// How many Pods; nil means 1.
    pub replicas: Option<i32>,
    /// Which Pods are its own.
    pub selector: LabelSelector,
    /// What a Pod looks like.
    pub template: PodTemplateSpec,
    /// The headless Service that its Pods have their names in.
    pub service_name: String,
    /// `OrderedReady` or `Parallel`.
    pub pod_management_policy: String,
    /// How a new template replaces an old one.
    pub update_strategy: SetUpdateStrategy,
    /// Old revisions kept; nil means 10.
    pub revision_history_limit: Option<i32>,
    /// Seconds of readiness until a Pod counts as available.
    pub min_ready_seconds: i32,
}

/// Keeps a Pod on each node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSet {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: DaemonSetSpec,
}

/// `spec` of a DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetSpec {
    /// Which Pods are its own.
    pub selector: LabelSelector,
    /// What a Pod looks like.
    pub template: PodTemplateSpec,
    /// How a new template replaces an old one.
    pub update_strategy: SetUpdateStrategy,
    /// Old revisions kept; nil means 10.
    pub revision_history_limit: Option<i32>,
    /// Seconds of readiness until a Pod counts as available.
    pub min_ready_seconds: i32,
}

/// `updateStrategy` of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetUpdateStrategy {
    /// `RollingUpdate` or `OnDelete`.
    #[serde(rename = "type")]
    pub type_: String,
    /// For RollingUpdate.
    pub rolling_update: Option<SetRollingUpdate>,
}

/// `updateStrategy.rollingUpdate` of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetRollingUpdate {
    /// From which ordinal on; of StatefulSets.
    pub partition: Option<i32>,
    /// How many may be missing.
    pub max_unavailable: Option<IntOrString>,
    /// How many may be too many; of DaemonSets.
    pub max_surge: Option<IntOrString>,
}
