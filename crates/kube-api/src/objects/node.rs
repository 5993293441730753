//! Node (`staging/src/k8s.io/api/core/v1/types.go`).

use super::{Condition, ObjectMeta, StringMap};
use lab_base::Time;
use serde::{Deserialize, Serialize};

/// Label with a node's zone.
pub const LABEL_ZONE: &str = "topology.kubernetes.io/zone";
/// Label with a node's host name.
pub const LABEL_HOSTNAME: &str = "kubernetes.io/hostname";

/// A machine of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: NodeSpec,
    /// What is.
    pub status: NodeStatus,
}

/// `spec` of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// Addresses of this node's Pods.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    /// One a family.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    /// No new Pods (`kubectl cordon`).
    pub unschedulable: bool,
    /// What Pods must tolerate.
    pub taints: Vec<Taint>,
}

/// A taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
    /// When it was set.
    pub time_added: Option<Time>,
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// Addresses.
    pub addresses: Vec<NodeAddress>,
    /// `Ready` and the pressures.
    pub conditions: Vec<Condition>,
    /// What it has (`cpu`, `memory`, `pods`).
    pub capacity: StringMap,
    /// What Pods may use of it.
    pub allocatable: StringMap,
}

/// An address of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The address.
    pub address: String,
}

impl Node {
    /// The value of the zone label.
    pub fn zone(&self) -> Option<&str> {
        self.metadata.labels.get(LABEL_ZONE).map(String::as_str).filter(|z| !z.is_empty())
    }
    /// Its InternalIPs that can be read.
    pub fn internal_ips(&self) -> impl Iterator<Item = std::net::IpAddr> + '_ {
        self.status.addresses.iter().filter(|a| a.type_ == "InternalIP").filter_map(|a| a.address.parse().ok())
    }
    /// The condition of this type.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|c| c.type_ == type_)
    }
}
