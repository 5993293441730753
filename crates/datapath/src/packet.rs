//! What travels: connections, where they enter a node and what becomes of them.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV4};

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

/// A connection as the client sees it: conntrack's original tuple. Ordered by its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// Transport.
    pub proto: L4,
    /// The client.
    pub src: SocketAddr,
    /// What it connects to.
    pub dst: SocketAddr,
}

impl Flow {
    /// An IPv4 flow in one number, in the order of its fields: every packet looks its flow up in maps.
    #[inline]
    fn packed(&self) -> Option<u128> {
        let (SocketAddr::V4(src), SocketAddr::V4(dst)) = (self.src, self.dst) else { return None };
        let end = |a: SocketAddrV4| u128::from(u32::from(*a.ip())) << 16 | u128::from(a.port());
        Some((self.proto as u128) << 96 | end(src) << 48 | end(dst))
    }
}

impl Ord for Flow {
    #[inline]
    fn cmp(&self, other: &Flow) -> Ordering {
        match (self.packed(), other.packed()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => (self.proto, self.src, self.dst).cmp(&(other.proto, other.src, other.dst)),
        }
    }
}

impl PartialOrd for Flow {
    fn partial_cmp(&self, other: &Flow) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_ordered_by_their_fields() {
        let ends = ["1.2.3.4:5", "1.2.3.4:6", "9.0.0.1:1", "255.255.255.255:65535", "[::1]:80", "[::2]:1", "0.0.0.0:0"];
        let ends: Vec<SocketAddr> = ends.iter().map(|e| e.parse().expect("an address")).collect();
        let protos = [L4::Tcp, L4::Udp, L4::Sctp];
        let mut all = Vec::new();
        for proto in protos {
            for src in &ends {
                all.extend(ends.iter().map(|dst| Flow { proto, src: *src, dst: *dst }));
            }
        }
        for a in &all {
            for b in &all {
                assert_eq!(a.cmp(b), (a.proto, a.src, a.dst).cmp(&(b.proto, b.src, b.dst)), "{a:?} {b:?}");
            }
        }
    }
}
