//! What a Pod asks of the nodes and Pods around it (`staging/src/k8s.io/api/core/v1/types.go`).

use super::{LabelSelector, StringMap};
use serde::{Deserialize, Serialize};

/// `spec.affinity` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// To nodes.
    pub node_affinity: NodeAffinity,
    /// To Pods.
    pub pod_affinity: PodAffinity,
    /// Away from Pods.
    pub pod_anti_affinity: PodAffinity,
}

/// `nodeAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeAffinity {
    /// What a node must be like.
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector>,
    /// What it should be like.
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    pub preferred: Vec<PreferredSchedulingTerm>,
}

/// Terms of which one must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// The terms.
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// A term: all of its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    /// On labels.
    pub match_expressions: Vec<NodeSelectorRequirement>,
    /// On fields; there is only `metadata.name`.
    pub match_fields: Vec<NodeSelectorRequirement>,
}

/// A requirement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSelectorRequirement {
    /// Label or field.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`.
    pub operator: String,
    /// With what it is compared.
    pub values: Vec<String>,
}

/// A wish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PreferredSchedulingTerm {
    /// 1 to 100.
    pub weight: i32,
    /// For what.
    pub preference: NodeSelectorTerm,
}

/// `podAffinity` and `podAntiAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodAffinity {
    /// All must hold.
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Vec<PodAffinityTerm>,
    /// Should.
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    pub preferred: Vec<WeightedPodAffinityTerm>,
}

/// Pods in the same domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinityTerm {
    /// Which Pods; nil: none.
    pub label_selector: Option<LabelSelector>,
    /// Label that nodes of a domain share.
    pub topology_key: String,
    /// In which Namespaces; empty: the Pod's own.
    pub namespaces: Vec<String>,
}

/// A wish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedPodAffinityTerm {
    /// 1 to 100.
    pub weight: i32,
    /// For what.
    pub pod_affinity_term: PodAffinityTerm,
}

/// An entry of `topologySpreadConstraints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySpreadConstraint {
    /// By how many Pods a domain may be ahead of the emptiest.
    pub max_skew: i32,
    /// Label that nodes of a domain share.
    pub topology_key: String,
    /// `DoNotSchedule` or `ScheduleAnyway`.
    pub when_unsatisfiable: String,
    /// Which Pods are counted; nil: none.
    pub label_selector: Option<LabelSelector>,
    /// With fewer domains the emptiest counts as empty.
    pub min_domains: Option<i32>,
    /// `Honor` (default) or `Ignore`: whether only nodes that the Pod's affinity admits count.
    pub node_affinity_policy: String,
    /// `Honor` or `Ignore` (default): whether only nodes whose taints it tolerates count.
    pub node_taints_policy: String,
    /// Labels whose values must be the Pod's own, besides.
    pub match_label_keys: Vec<String>,
}

impl NodeSelector {
    /// Whether a node of this name with these labels is selected.
    pub fn matches(&self, name: &str, labels: &StringMap) -> bool {
        self.node_selector_terms.iter().any(|t| t.matches(name, labels))
    }
}

impl NodeSelectorTerm {
    /// Whether a node of this name with these labels is meant. An empty term means none.
    pub fn matches(&self, name: &str, labels: &StringMap) -> bool {
        let empty = self.match_expressions.is_empty() && self.match_fields.is_empty();
        !empty
            && self.match_expressions.iter().all(|r| r.holds(labels.get(&r.key).map(String::as_str)))
            && self.match_fields.iter().all(|r| r.holds((r.key == "metadata.name").then_some(name)))
    }
}

impl NodeSelectorRequirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let among = || value.is_some_and(|v| self.values.iter().any(|w| w == v));
        let number = |text: Option<&str>| text.and_then(|t| t.parse::<i64>().ok());
        let than = || number(value).zip(number(self.values.first().map(String::as_str)));
        match self.operator.as_str() {
            "In" => among(),
            "NotIn" => !among(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => than().is_some_and(|(a, b)| a > b),
            "Lt" => than().is_some_and(|(a, b)| a < b),
            _ => false,
        }
    }
}
