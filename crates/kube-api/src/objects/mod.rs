//! The objects that are simulated, as the API server stores them.
//!
//! Field names are those of the API (camelCase in text). Source: `staging/src/k8s.io/api` of Kubernetes.

mod affinity;
mod apps;
mod config;
mod discovery;
mod meta;
mod node;
mod pod;
mod policy;
mod service;
mod sets;

pub use affinity::*;
pub use apps::*;
pub use config::*;
pub use discovery::*;
pub use meta::*;
pub use node::*;
pub use pod::*;
pub use policy::*;
pub use service::*;
pub use sets::*;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What there is to say of each kind once: its name, its name in URLs, its version, whether it lives in a namespace.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $plural:literal $version:literal $namespaced:literal;)+) => {
        /// The kinds of objects that the cluster stores.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// `Service`, as in `kind:`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => stringify!($kind),)+
                }
            }
            /// `services`, as in URLs and messages.
            pub const fn plural(self) -> &'static str {
                match self {
                    $(Kind::$kind => $plural,)+
                }
            }
            /// `apps/v1`, as in `apiVersion:`.
            pub const fn api_version(self) -> &'static str {
                match self {
                    $(Kind::$kind => $version,)+
                }
            }
            /// Whether objects of this kind live in a namespace.
            pub const fn namespaced(self) -> bool {
                match self {
                    $(Kind::$kind => $namespaced,)+
                }
            }
            /// The kind of this name.
            pub fn named(name: &str) -> Option<Kind> {
                Kind::ALL.iter().copied().find(|kind| kind.name() == name)
            }
            /// All kinds.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)+];
        }

        /// Any stored object. Shared: a snapshot of the cluster costs only what changed.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Object {
            $($(#[$doc])* $kind(Arc<$kind>),)+
        }

        impl Object {
            /// Which kind this is.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Object::$kind(_) => Kind::$kind,)+
                }
            }
            /// The object's metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Object::$kind(o) => &o.metadata,)+
                }
            }
            /// The object's metadata, to change.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Object::$kind(o) => &mut Arc::make_mut(o).metadata,)+
                }
            }
        }
    };
}

kinds! {
    /// A scope for names.
    Namespace "namespaces" "v1" false;
    /// A machine of the cluster.
    Node "nodes" "v1" false;
    /// A stable name and address for a set of Pods.
    Service "services" "v1" true;
    /// Endpoints of a Service.
    EndpointSlice "endpointslices" "discovery.k8s.io/v1" true;
    /// Keeps ReplicaSets.
    Deployment "deployments" "apps/v1" true;
    /// Keeps Pods.
    ReplicaSet "replicasets" "apps/v1" true;
    /// Containers that run together on one node.
    Pod "pods" "v1" true;
    /// How many Pods evictions must leave.
    PodDisruptionBudget "poddisruptionbudgets" "policy/v1" true;
    /// Texts for Pods to read.
    ConfigMap "configmaps" "v1" true;
    /// Keeps Pods with names and places of their own; no controller acts on it here.
    StatefulSet "statefulsets" "apps/v1" true;
    /// Keeps a Pod on each node; no controller acts on it here.
    DaemonSet "daemonsets" "apps/v1" true;
}

/// Does the same with whatever type a kind has: `with_kind!(kind, T => store.get::<T>(key).is_some())`.
#[macro_export]
macro_rules! with_kind {
    ($kind:expr, $type:ident => $body:expr) => {
        $crate::with_kind!($kind, $type => $body; Namespace Node Service EndpointSlice Deployment ReplicaSet Pod
            PodDisruptionBudget ConfigMap StatefulSet DaemonSet)
    };
    ($kind:expr, $type:ident => $body:expr; $($name:ident)+) => {
        match $kind {
            $($crate::Kind::$name => {
                type $type = $crate::$name;
                $body
            })+
        }
    };
}

/// The label with the name that each Namespace carries (`LabelMetadataName` in `api/core/v1/well_known_labels.go`).
pub const LABEL_METADATA_NAME: &str = "kubernetes.io/metadata.name";

/// A scope for names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Namespace {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
}

impl Namespace {
    /// One with nothing but its name, as the server stores it.
    pub fn named(name: &str) -> Self {
        let labels = [(LABEL_METADATA_NAME.to_owned(), name.to_owned())].into();
        Namespace { metadata: ObjectMeta { name: name.into(), labels, ..ObjectMeta::default() } }
    }
}
