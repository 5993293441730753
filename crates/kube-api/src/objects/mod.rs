//! The objects that are simulated, as the API server stores them.
//!
//! Field names are those of the API (camelCase in text). Source: `staging/src/k8s.io/api` of Kubernetes.

mod apps;
mod discovery;
mod meta;
mod node;
mod pod;
mod service;

pub use apps::*;
pub use discovery::*;
pub use meta::*;
pub use node::*;
pub use pod::*;
pub use service::*;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The kinds of objects that the cluster stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A scope for names.
    Namespace,
    /// A machine of the cluster.
    Node,
    /// A stable name and address for a set of Pods.
    Service,
    /// Endpoints of a Service.
    EndpointSlice,
    /// Keeps ReplicaSets.
    Deployment,
    /// Keeps Pods.
    ReplicaSet,
    /// Containers that run together on one node.
    Pod,
}

impl Kind {
    /// `Service`, as in `kind:`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Namespace => "Namespace",
            Kind::Node => "Node",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::Deployment => "Deployment",
            Kind::ReplicaSet => "ReplicaSet",
            Kind::Pod => "Pod",
        }
    }
    /// `services`, as in URLs and messages.
    pub const fn plural(self) -> &'static str {
        match self {
            Kind::Namespace => "namespaces",
            Kind::Node => "nodes",
            Kind::Service => "services",
            Kind::EndpointSlice => "endpointslices",
            Kind::Deployment => "deployments",
            Kind::ReplicaSet => "replicasets",
            Kind::Pod => "pods",
        }
    }
    /// `apps/v1`, as in `apiVersion:`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Kind::Namespace | Kind::Node | Kind::Service | Kind::Pod => "v1",
            Kind::EndpointSlice => "discovery.k8s.io/v1",
            Kind::Deployment | Kind::ReplicaSet => "apps/v1",
        }
    }
    /// Whether objects of this kind live in a namespace.
    pub const fn namespaced(self) -> bool {
        !matches!(self, Kind::Namespace | Kind::Node)
    }
    /// All kinds, in the order in which `kubectl apply` of a whole cluster makes sense.
    pub const ALL: [Kind; 7] = [
        Kind::Namespace,
        Kind::Node,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::Deployment,
        Kind::ReplicaSet,
        Kind::Pod,
    ];
}

/// Any stored object. Shared: a snapshot of the cluster costs only what changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Object {
    /// A Namespace.
    Namespace(Arc<Namespace>),
    /// A Node.
    Node(Arc<Node>),
    /// A Service.
    Service(Arc<Service>),
    /// An EndpointSlice.
    EndpointSlice(Arc<EndpointSlice>),
    /// A Deployment.
    Deployment(Arc<Deployment>),
    /// A ReplicaSet.
    ReplicaSet(Arc<ReplicaSet>),
    /// A Pod.
    Pod(Arc<Pod>),
}

impl Object {
    /// Which kind this is.
    pub fn kind(&self) -> Kind {
        match self {
            Object::Namespace(_) => Kind::Namespace,
            Object::Node(_) => Kind::Node,
            Object::Service(_) => Kind::Service,
            Object::EndpointSlice(_) => Kind::EndpointSlice,
            Object::Deployment(_) => Kind::Deployment,
            Object::ReplicaSet(_) => Kind::ReplicaSet,
            Object::Pod(_) => Kind::Pod,
        }
    }
    /// The object's metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Object::Namespace(o) => &o.metadata,
            Object::Node(o) => &o.metadata,
            Object::Service(o) => &o.metadata,
            Object::EndpointSlice(o) => &o.metadata,
            Object::Deployment(o) => &o.metadata,
            Object::ReplicaSet(o) => &o.metadata,
            Object::Pod(o) => &o.metadata,
        }
    }
}

/// A scope for names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Namespace {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
}
