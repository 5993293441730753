//! Frames: what changed on the stage since the last one, and the requests that moved.

use crate::{ClientView, Counts, Id, Mark, NodeView, Outcome, PodView, ServiceView, TaskReport};
use lab_base::Time;
use serde::{Deserialize, Serialize};

/// The state of one cluster at `at`, as the difference to the frame before it.
///
/// `key` frames hold everything; the others only the things that changed, whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The moment.
    pub at: Time,
    /// Whether it stands by itself.
    pub key: bool,
    /// Nodes that changed.
    pub nodes: Vec<NodeView>,
    /// Pods that changed.
    pub pods: Vec<PodView>,
    /// Services that changed.
    pub services: Vec<ServiceView>,
    /// Clients that changed.
    pub clients: Vec<ClientView>,
    /// Pods, Services, nodes and clients that are gone.
    pub removed: Vec<Id>,
    /// All requests that ended so far.
    pub totals: Counts,
    /// Requests whose fate was decided in this frame's span, or changed. One of the same id replaces an earlier one.
    pub motions: Vec<Motion>,
    /// Seconds of the charts that changed (in a key frame: the last 10 minutes).
    pub seconds: Vec<Second>,
    /// Things that happened (in a key frame: all that are kept).
    pub marks: Vec<Mark>,
    /// Lesson tasks whose report changed (in a key frame: all).
    pub tasks: Vec<TaskReport>,
}

/// One request on its way: a dot.
///
/// It leaves the client at `sent`, its first packet meets the rules of `node` and reaches its end at `arrives`;
/// the client knows the outcome at `ends`. Network times are those of a real cluster (well under a millisecond), so the
/// page stretches the way to be seen and lets the dot reach its end at `arrives` exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Motion {
    /// Number of the request.
    pub id: u64,
    /// Whose.
    pub client: Id,
    /// The Service whose address was used.
    pub service: Option<Id>,
    /// Index into `ServiceView::ports`.
    pub port: u8,
    /// The node whose rules decided.
    pub node: Id,
    /// The Pod that the rules chose; None: no rule chose one.
    pub pod: Option<Id>,
    /// When it left.
    pub sent: Time,
    /// When its first packet was taken, refused or lost.
    pub arrives: Time,
    /// When the client knew.
    pub ends: Time,
    /// How it ends.
    pub outcome: Outcome,
}

/// One second of the charts: `[second, second + 1)` of simulated time, by the time at which requests ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Which second.
    pub second: u32,
    /// Requests answered, by Pod.
    pub pods: Vec<(Id, u32)>,
    /// Requests by how they ended.
    pub counts: Counts,
}
