//! What becomes of connections, as the kernel and as the client see it.

use crate::walk::is_local;
use crate::{Entry, Flow, KernelConfig, L4, Nat, OriginId, Verdict};
use serde::Serialize;
use std::net::SocketAddr;

/// What happened to the first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// What became of it.
    pub verdict: Verdict,
    /// Source and destination with which it goes on.
    pub nat: Nat,
    /// How many rules a kernel looks at, which has to walk chains from their beginning.
    pub rules_walked: u32,
    /// Where the rule comes from that chose the endpoint, or that refused the packet.
    pub decided_by: OriginId,
}

/// One possible outcome for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Where it goes.
    pub dst: SocketAddr,
    /// Whether its source becomes the node's address.
    pub masquerade: bool,
    /// How likely this is.
    pub probability: f64,
    /// Where the rule comes from that decided.
    pub decided_by: OriginId,
}

/// What a client can tell about an outcome, as the conformance cases name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Observed {
    /// Another destination answers.
    Dnat,
    /// ICMP port unreachable: refused.
    Reject,
    /// No answer.
    Drop,
    /// No rule took it; it went to the destination itself, who may refuse.
    None,
}

impl Share {
    /// What a client sees of it. Two refusals of a node's own packets cannot be seen as such (recorded on a real
    /// kernel): on the way to the node itself they look like a closed port, and a datagram is only lost.
    pub fn observed(&self, flow: &Flow, entry: Entry, config: &KernelConfig) -> Observed {
        match self.verdict {
            Verdict::Drop => Observed::Drop,
            Verdict::Reject if entry == Entry::Process && is_local(&config.addresses, self.dst.ip()) => Observed::None,
            Verdict::Reject if entry == Entry::Process && flow.proto == L4::Udp => Observed::Drop,
            Verdict::Reject => Observed::Reject,
            Verdict::Forward | Verdict::Local if self.dst == flow.dst => Observed::None,
            Verdict::Forward | Verdict::Local => Observed::Dnat,
        }
    }
}
