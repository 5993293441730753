//! What a lesson may ask a cluster. The simulator answers; a test's stand-in may too.
//!
//! Every answer is about simulated time. Windows are half open: `from <= t < to`. Requests count at
//! the time at which they ended. An answer must not depend on when it is asked for, only on
//! [`Facts::now`] and the arguments, so that a lesson judges a replayed run as it judged the first.

use lab_base::Time;
use lab_protocol::Counts;
use std::collections::BTreeMap;

/// Answers about a cluster, at one moment of its run.
pub trait Facts {
    /// The moment.
    fn now(&self) -> Time;
    /// A Service as the API server has it.
    fn service(&self, namespace: &str, name: &str) -> Option<ServiceFact>;
    /// Endpoints as the API server's EndpointSlices list them; all zero when there is no slice.
    fn endpoints(&self, namespace: &str, service: &str) -> EndpointsFact;
    /// Endpoints as the rules of each node with power list them, in the order of node names. A node
    /// whose rules have none is there with an empty list.
    fn synced_endpoints(&self, namespace: &str, service: &str) -> Vec<NodeRules>;
    /// Requests that ended in a window.
    fn requests(&self, query: &RequestQuery<'_>) -> RequestFacts;
    /// A Deployment's numbers, if it exists.
    fn deployment(&self, namespace: &str, name: &str) -> Option<DeploymentFact>;
    /// Pods with all of these labels: those that exist, and those that have gone since `since`.
    fn pods(&self, namespace: &str, selector: &BTreeMap<String, String>, since: Time) -> Vec<PodFact>;
    /// What the learner did since `since`, in order; only what had an effect.
    fn commands(&self, since: Time) -> Vec<CommandFact>;
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceFact {
    /// `ClusterIP`, `NodePort`, ...
    pub type_: String,
    /// Address, `None`, or empty.
    pub cluster_ip: String,
    /// `spec.ports[].port`.
    pub ports: Vec<u16>,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// Living Pods of its namespace that the selector matches; 0 without a selector.
    pub selected: u32,
}

/// Endpoints in a Service's EndpointSlices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointsFact {
    /// With condition ready.
    pub ready: u32,
    /// With condition serving.
    pub serving: u32,
    /// With condition terminating.
    pub terminating: u32,
    /// All.
    pub total: u32,
    /// `10.244.1.4:8080` of each ready endpoint, sorted.
    pub addresses: Vec<String>,
}

/// What a node's rules say about one Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeRules {
    /// Name of the node.
    pub node: String,
    /// `10.244.1.4:8080` and its share of new connections (0 to 1), sorted by address.
    pub endpoints: Vec<(String, f64)>,
}

/// Which requests are meant.
#[derive(Clone, Copy, Debug)]
pub struct RequestQuery<'a> {
    /// Of this client only.
    pub client: Option<&'a str>,
    /// Meant for this Service only (namespace, name).
    pub service: Option<(&'a str, &'a str)>,
    /// Start of the window.
    pub from: Time,
    /// End of the window, not in it.
    pub to: Time,
}

/// Requests of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestFacts {
    /// By how they ended.
    pub counts: Counts,
    /// Answered ones by name of the Pod that answered, sorted by name.
    pub by_pod: Vec<(String, u64)>,
    /// When the first one failed.
    pub first_failure: Option<Time>,
    /// When the last one failed.
    pub last_failure: Option<Time>,
}

/// A Deployment's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFact {
    /// `spec.replicas`.
    pub replicas: u32,
    /// `status.readyReplicas`.
    pub ready: u32,
    /// `status.availableReplicas`.
    pub available: u32,
}

/// A Pod, also one that has gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFact {
    /// Name.
    pub name: String,
    /// Address, or empty.
    pub ip: String,
    /// What its `Ready` condition says.
    pub ready: bool,
    /// Whether it has a deletionTimestamp.
    pub terminating: bool,
    /// When it was made; zero for those of the start file.
    pub created: Time,
    /// When its object was removed.
    pub gone: Option<Time>,
}

/// Something that the learner did.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandFact {
    /// When.
    pub at: Time,
    /// What.
    pub what: Deed,
}

/// What a command came to, roles resolved to names.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// An object was created or changed (one for each object of the YAML that had an effect).
    Applied {
        /// `Service`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// An object was deleted.
    Deleted {
        /// `Service`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Something was broken or mended.
    Fault {
        /// As in a scenario: `killProcess`, `deletePod`, `killPod`, `failReadiness`, `passReadiness`, `cutPod`,
        /// `joinPod`, `powerOff`, `powerOn`, `cutNode`, `joinNode`.
        kind: &'static str,
        /// Name of the Pod.
        pod: Option<String>,
        /// Name of the Pod's Deployment.
        deployment: Option<String>,
        /// Name of the node.
        node: Option<String>,
    },
}
