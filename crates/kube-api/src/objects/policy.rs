//! PodDisruptionBudget (`staging/src/k8s.io/api/policy/v1/types.go`).

use super::{ConditionStatus, IntOrString, LabelSelector, ObjectMeta};
use lab_base::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Type of the condition that says whether a budget allows anything.
pub const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";

/// How many Pods evictions must leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudget {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: PodDisruptionBudgetSpec,
    /// What is.
    pub status: PodDisruptionBudgetStatus,
}

/// `spec` of a PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetSpec {
    /// How many must stay healthy (number, or percentage of what their controllers want, rounded up).
    pub min_available: Option<IntOrString>,
    /// How many may be missing (the same).
    pub max_unavailable: Option<IntOrString>,
    /// Which Pods; nil selects none, an empty one all of the namespace.
    pub selector: Option<LabelSelector>,
    /// When Pods that aren't ready may be evicted; nil means IfHealthyBudget.
    pub unhealthy_pod_eviction_policy: Option<UnhealthyPodEvictionPolicy>,
}

/// `spec.unhealthyPodEvictionPolicy` (KEP-3017).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnhealthyPodEvictionPolicy {
    /// While the healthy ones are enough.
    IfHealthyBudget,
    /// Always.
    AlwaysAllow,
}

/// `status` of a PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetStatus {
    /// Generation that the controller has seen.
    pub observed_generation: i64,
    /// Pods whose eviction was granted but whose deletion the controller hasn't seen, and when it was.
    pub disrupted_pods: BTreeMap<String, Time>,
    /// How many may be evicted now.
    pub disruptions_allowed: i32,
    /// Ready Pods, without those that are going.
    pub current_healthy: i32,
    /// How many there must be.
    pub desired_healthy: i32,
    /// How many are counted on.
    pub expected_pods: i32,
    /// `DisruptionAllowed`.
    pub conditions: Vec<ObservedCondition>,
}

/// A condition that says which generation it is about (`metav1.Condition`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedCondition {
    /// `DisruptionAllowed`.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Generation that it was found for.
    #[serde(default)]
    pub observed_generation: i64,
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

impl PodDisruptionBudget {
    /// Whether it is about Pods with these labels in its namespace.
    pub fn selects(&self, labels: &super::StringMap) -> bool {
        self.spec.selector.as_ref().is_some_and(|s| s.matches(labels))
    }
}
