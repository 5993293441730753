//! What can be seen of a cluster at one moment.

use crate::Phrase;
use lab_base::Time;
use serde::{Deserialize, Serialize};

/// Identifies a Pod, Service, node or client of one cluster through its life (its uid).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub u64);

/// What a Pod looks like from outside. One shape, one letter, one line each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodState {
    /// Not running yet: unscheduled, or its container is being created. Drawn as not ready.
    Pending,
    /// Running, but not Ready: N, open diamond.
    NotReady,
    /// Ready: R, filled circle.
    Ready,
    /// Being deleted: T, dotted square.
    Terminating,
    /// Its process, sandbox or node is dead, whether or not anyone has noticed: D, red octagon.
    Dead,
}

/// A Pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodView {
    /// Uid.
    pub id: Id,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Name of its Deployment, or empty.
    pub deployment: String,
    /// Its place (from 1) among the Deployment's living Pods, as `PodRef::Nth` counts; 0: none.
    pub nth: u32,
    /// Address, or empty.
    pub ip: String,
    /// Node, or empty.
    pub node: String,
    /// As seen from outside.
    pub state: PodState,
    /// What goes on, in a line: starting, probe failing, grace left, exit code.
    pub detail: Option<Phrase>,
    /// When `detail` ends (next probe, end of grace or back-off), for a count-down.
    pub until: Option<Time>,
    /// Since when it is in `state`.
    pub since: Time,
    /// Which of the six hues (0 to 5); kept for life.
    pub hue: u8,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Restarts of its container.
    pub restarts: u32,
    /// Requests answered so far.
    pub answered: u64,
    /// Requests that reached for it and failed, so far.
    pub failed: u64,
    /// Whether its cable is pulled (`Fault::CutPod`).
    pub cut: bool,
    /// Whether its readiness probe has been made to fail.
    pub readiness_failing: bool,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Uid.
    pub id: Id,
    /// Name.
    pub name: String,
    /// InternalIP.
    pub ip: String,
    /// Zone, or empty.
    pub zone: String,
    /// What its `Ready` condition says: True, False, or None for Unknown.
    pub ready: Option<bool>,
    /// Whether it has power.
    pub powered: bool,
    /// Whether its cable is pulled.
    pub cut: bool,
    /// Since when kube-proxy knows of changes that are not in its rules, or of which it hasn't heard yet.
    pub behind_since: Option<Time>,
    /// When its rules were written last.
    pub synced_at: Option<Time>,
    /// How many rules are loaded.
    pub rules: u32,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Uid.
    pub id: Id,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `ClusterIP`, ...
    pub type_: String,
    /// Address, `None`, or empty.
    pub cluster_ip: String,
    /// Ports.
    pub ports: Vec<PortView>,
    /// Selector.
    pub selector: Vec<(String, String)>,
    /// Living Pods in its namespace that the selector selects.
    pub selected: u32,
    /// The list of endpoints as nodes have it now. Nodes that agree share an entry; the entry of most nodes is first.
    pub lists: Vec<EndpointList>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortView {
    /// Name, or empty.
    pub name: String,
    /// Number.
    pub port: u16,
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: String,
    /// `targetPort` as written.
    pub target: String,
    /// Node port, or 0.
    pub node_port: u16,
}

/// A list of endpoints, and the nodes whose rules hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointList {
    /// Names of nodes with power.
    pub nodes: Vec<String>,
    /// In the order of the rules.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint in a node's rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointView {
    /// Index into `ServiceView::ports`.
    pub port: u8,
    /// `10.244.1.4:8080`.
    pub address: String,
    /// The Pod that had or has this address.
    pub pod: Option<Id>,
    /// Share of new connections, 0 to 1, as the rules give it.
    pub share: f32,
}

/// How a request ended. The order is fixed: it indexes counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// 2xx.
    Answered,
    /// Connection refused: RST or ICMP port unreachable.
    Refused,
    /// No answer until the client gave up.
    TimedOut,
    /// The connection broke in the middle.
    Reset,
    /// 5xx.
    ServerError,
    /// The name doesn't exist (NXDOMAIN).
    NoSuchName,
}

impl Outcome {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All, in order.
    pub const ALL: [Outcome; Outcome::COUNT] = [
        Outcome::Answered,
        Outcome::Refused,
        Outcome::TimedOut,
        Outcome::Reset,
        Outcome::ServerError,
        Outcome::NoSuchName,
    ];
    /// Key in the language catalogues (`outcome-refused`).
    pub const fn key(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Refused => "refused",
            Outcome::TimedOut => "timed-out",
            Outcome::Reset => "reset",
            Outcome::ServerError => "server-error",
            Outcome::NoSuchName => "no-such-name",
        }
    }
}

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts(pub [u64; Outcome::COUNT]);

impl Counts {
    /// How many ended so.
    pub const fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }
    /// Counts one.
    pub fn add(&mut self, outcome: Outcome) {
        self.0[outcome as usize] += 1;
    }
    /// All that ended.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
    /// All that failed.
    pub fn failed(&self) -> u64 {
        self.total() - self.of(Outcome::Answered)
    }
}

/// A client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientView {
    /// Its id.
    pub id: Id,
    /// Name.
    pub name: String,
    /// Node that it runs on.
    pub node: String,
    /// Where it sends: `http://web/`.
    pub target: String,
    /// The Service that the target names, if there is one.
    pub service: Option<Id>,
    /// Requests it means to send, a thousand seconds' worth (40 a second: 40,000).
    pub rate_milli: u64,
    /// Requests sent so far.
    pub sent: u64,
    /// Requests that ended, so far.
    pub counts: Counts,
    /// How the last ones ended, oldest first; at most 12.
    pub recent: Vec<Outcome>,
}

/// What a mark on the time line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MarkKind {
    /// Something was applied or deleted by a person.
    Apply,
    /// A fault was injected or mended by a person.
    Fault,
    /// A Pod, endpoint or node changed by itself.
    Change,
    /// A kube-proxy wrote rules.
    Sync,
}

/// A thing that happened: an entry of the list of events and, for some kinds, a mark on the time line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Rises by one from mark to mark.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// What kind.
    pub kind: MarkKind,
    /// `Pod/web-7d4b9-x2jrd`, `Service/web`, `Node/node-a`.
    pub object: String,
    /// What, in a line.
    pub phrase: Phrase,
}
