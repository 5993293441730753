//! Metadata, labels and selectors (`staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go`).

use super::Kind;
use lab_base::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Labels, annotations and equality selectors.
pub type StringMap = BTreeMap<String, String>;

/// A namespace and a name: what identifies an object of one kind at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespacedName {
    /// Empty for kinds without a namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl NamespacedName {
    /// Names an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        NamespacedName { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// Identifies an object through its whole life; never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub u64);

impl Uid {
    /// Of an object that isn't here.
    pub const FOREIGN: Uid = Uid(i64::MAX as u64);

    /// Reads what [`Display`](fmt::Display) writes. None: no object here can have this uid.
    pub fn parse(text: &str) -> Option<Uid> {
        let tail = text.get(text.len().checked_sub(12)?..)?;
        let uid = Uid(u64::from_str_radix(tail, 16).ok()?);
        (uid.to_string() == text).then_some(uid)
    }
}

impl fmt::Display for Uid {
    /// Printed in the form of an RFC 4122 UUID, as the API server's are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        write!(
            f,
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            x >> 32,
            (x >> 16) & 0xffff,
            x & 0xfff,
            (x >> 12) & 0xfff,
            self.0 & 0xffff_ffff_ffff
        )
    }
}

/// `metadata` of every object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// Unique in the namespace for this kind.
    pub name: String,
    /// Prefix from which the server makes a name.
    pub generate_name: String,
    /// Empty for kinds without a namespace.
    pub namespace: String,
    /// Set by the server.
    pub uid: Uid,
    /// Rises with every write to the store.
    pub resource_version: u64,
    /// Rises with every change of `spec`.
    pub generation: i64,
    /// When the server stored it first.
    pub creation_timestamp: Option<Time>,
    /// When a graceful deletion was asked for, plus the grace period.
    pub deletion_timestamp: Option<Time>,
    /// Seconds of grace of that deletion.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels.
    pub labels: StringMap,
    /// Annotations.
    pub annotations: StringMap,
    /// Who this object belongs to.
    pub owner_references: Vec<OwnerReference>,
    /// What must happen before it goes.
    pub finalizers: Vec<String>,
}

impl ObjectMeta {
    /// Namespace and name.
    pub fn key(&self) -> NamespacedName {
        NamespacedName::new(self.namespace.clone(), self.name.clone())
    }
    /// The owner that manages this object.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|o| o.controller)
    }
    /// Whether a graceful deletion has begun.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// An entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// `apiVersion` of the owner.
    #[serde(default)]
    pub api_version: String,
    /// Kind of the owner.
    #[serde(default)]
    pub kind: String,
    /// Name of the owner.
    #[serde(default)]
    pub name: String,
    /// Uid of the owner.
    pub uid: Uid,
    /// The uid as a manifest has it, if no object here can have it; `uid` is [`Uid::FOREIGN`] then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub foreign: String,
    /// Whether this owner manages the object.
    #[serde(default)]
    pub controller: bool,
    /// Whether an owner that is deleted in the foreground waits for this object.
    #[serde(default)]
    pub block_owner_deletion: bool,
}

impl OwnerReference {
    /// A controller's reference to the object that it acts for (`NewControllerRef` in
    /// `apimachinery/pkg/apis/meta/v1/controller_ref.go`).
    pub fn to_controller(kind: Kind, owner: &ObjectMeta) -> Self {
        OwnerReference {
            api_version: kind.api_version().into(),
            kind: kind.name().into(),
            name: owner.name.clone(),
            uid: owner.uid,
            foreign: String::new(),
            controller: true,
            block_owner_deletion: true,
        }
    }
    /// Whether two entries name the same object: the key by which lists of them are merged.
    pub fn same_owner(&self, other: &Self) -> bool {
        (self.uid, &self.foreign) == (other.uid, &other.foreign)
    }
}

/// `selector` of Deployments and ReplicaSets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Every one of these labels has this value.
    pub match_labels: StringMap,
    /// And every one of these holds.
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// One entry of `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSelectorRequirement {
    /// The label's key.
    pub key: String,
    /// How the label relates to the values.
    pub operator: SelectorOperator,
    /// The values.
    #[serde(default)]
    pub values: Vec<String>,
}

/// Operators of `matchExpressions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectorOperator {
    /// The label's value is one of the values.
    In,
    /// The label is missing or its value is none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether these labels are selected. An empty selector selects everything.
    pub fn matches(&self, labels: &StringMap) -> bool {
        selects(&self.match_labels, labels)
            && self.match_expressions.iter().all(|r| {
                let value = labels.get(&r.key);
                match r.operator {
                    SelectorOperator::In => value.is_some_and(|v| r.values.contains(v)),
                    SelectorOperator::NotIn => value.is_none_or(|v| !r.values.contains(v)),
                    SelectorOperator::Exists => value.is_some(),
                    SelectorOperator::DoesNotExist => value.is_none(),
                }
            })
    }
}

/// Whether `labels` has every pair of an equality selector (as a Service's `spec.selector`).
pub fn selects(selector: &StringMap, labels: &StringMap) -> bool {
    selector.iter().all(|(k, v)| labels.get(k) == Some(v))
}

/// A number or a name: `targetPort`, a probe's `port`; a number or a percentage: `maxSurge`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A name or a percentage.
    String(String),
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntOrString::Int(i) => write!(f, "{i}"),
            IntOrString::String(s) => f.write_str(s),
        }
    }
}

/// A condition of a Pod, Node or Deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Available`, ...
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
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

/// Value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It doesn't hold.
    False,
    /// Nobody knows.
    Unknown,
}
