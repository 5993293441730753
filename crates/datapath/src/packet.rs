//! What travels: connections, where they enter a node and what becomes of them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum L4 {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl L4 {
    /// `tcp`, as after `-p`.
    pub const fn name(self) -> &'static str {
        match self {
            L4::Tcp => "tcp",
            L4::Udp => "udp",
            L4::Sctp => "sctp",
        }
    }
}

impl fmt::Display for L4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A connection as the client sees it: conntrack's original tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// Transport.
    pub proto: L4,
    /// The client.
    pub src: SocketAddr,
    /// What it connects to.
    pub dst: SocketAddr,
}

/// How a packet comes to a node's network stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entry {
    /// From a Pod of this node, through its veth.
    Pod,
    /// From a process of the node itself (host network).
    Process,
    /// From outside, on eth0.
    Wire,
}

/// Which object and field a rule comes from; opaque here. 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OriginId(pub u32);

impl OriginId {
    /// No origin: a rule that is always there, or no rule at all.
    pub const NONE: OriginId = OriginId(0);
}

/// What becomes of the first packet of a connection on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Sent on, to a Pod of this node or out of it.
    Forward,
    /// Delivered to a process of this node.
    Local,
    /// Answered with ICMP port unreachable: a TCP client sees "connection refused".
    Reject,
    /// Lost without an answer.
    Drop,
}

/// Source and destination after translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nat {
    /// Source: as in the flow, or the node's address when masqueraded.
    pub src: SocketAddr,
    /// Destination: as in the flow, or the endpoint.
    pub dst: SocketAddr,
}
