//! Typed rules: what `iptables` can say, as far as kube-proxy says it.

use crate::ipvs::Dimensions;
use crate::{L4, Net, OriginId};
use std::net::SocketAddr;
use std::sync::Arc;

/// A netfilter table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Lets packets pass or not.
    Filter,
    /// Translates the first packet of a connection; conntrack repeats it for the others.
    Nat,
}

impl Table {
    /// `nat`, as in `-t nat`.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Filter => "filter",
            Table::Nat => "nat",
        }
    }
}

/// Where in the network stack a built-in chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// A packet has come in and is not routed yet.
    Prerouting,
    /// It is for this node.
    Input,
    /// It passes through this node.
    Forward,
    /// A process of this node has sent it.
    Output,
    /// It is about to leave.
    Postrouting,
}

impl Hook {
    /// `PREROUTING`, the name of the built-in chain.
    pub const fn name(self) -> &'static str {
        match self {
            Hook::Prerouting => "PREROUTING",
            Hook::Input => "INPUT",
            Hook::Forward => "FORWARD",
            Hook::Output => "OUTPUT",
            Hook::Postrouting => "POSTROUTING",
        }
    }
}

/// A chain, as seen from a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChainRef {
    /// A chain of the [`crate::Base`], by its place there.
    Shared(u16),
    /// A chain of the rule's own [`crate::Segment`], by its place there.
    Own(u16),
}

/// A set of `--ctstate` values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CtStates(pub u8);

impl CtStates {
    /// The packet does not fit any connection.
    pub const INVALID: CtStates = CtStates(1);
    /// The first packet of a connection.
    pub const NEW: CtStates = CtStates(2);
    /// A packet belonging to another connection (ICMP errors).
    pub const RELATED: CtStates = CtStates(4);
    /// A later packet of a connection.
    pub const ESTABLISHED: CtStates = CtStates(8);
    /// Its destination was translated.
    pub const DNAT: CtStates = CtStates(16);

    /// Both sets together.
    pub const fn or(self, other: CtStates) -> CtStates {
        CtStates(self.0 | other.0)
    }
    /// Whether they have a state in common.
    pub const fn meets(self, other: CtStates) -> bool {
        self.0 & other.0 != 0
    }
}

/// `--probability` of the `statistic` match, in units of 1e-10 as it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability(pub u64);

impl Probability {
    const UNIT: u64 = 10_000_000_000;

    /// `1/n` as Go's and C's `%0.10f` print it: rounded from the binary fraction.
    pub fn one_of(n: u32) -> Probability {
        match n {
            0 | 1 => Probability(Self::UNIT),
            _ => {
                let text = format!("{:.10}", 1.0 / f64::from(n));
                Probability(text.bytes().skip(2).fold(0, |p, b| p * 10 + u64::from(b - b'0')))
            }
        }
    }
    /// What the kernel compares 31 random bits with: `lround(2^31 * p)` (`libxt_statistic.c`).
    pub const fn threshold(self) -> u32 {
        ((((self.0 as u128) << 31) + (Self::UNIT as u128) / 2) / Self::UNIT as u128) as u32
    }
    /// The chance that the kernel gives it.
    pub fn chance(self) -> f64 {
        f64::from(self.threshold()) / f64::from(1u32 << 31)
    }
}

/// An option of a rule that a packet must meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `-m comment --comment`: always true.
    Comment(Arc<str>),
    /// `-s`.
    Source {
        /// The addresses.
        net: Net,
        /// `!`.
        not: bool,
    },
    /// `-d`.
    Destination {
        /// The addresses.
        net: Net,
        /// `!`.
        not: bool,
    },
    /// `-m tcp -p tcp`.
    Proto(L4),
    /// `-p` alone.
    ProtoOnly(L4),
    /// `--dport`.
    DestinationPort(u16),
    /// `-m conntrack --ctstate`.
    CtState {
        /// Any of these.
        states: CtStates,
        /// `!`.
        not: bool,
    },
    /// `-m mark --mark`.
    Mark {
        /// The mark, of the bits in `mask`.
        value: u32,
        /// The bits.
        mask: u32,
        /// `!`.
        not: bool,
    },
    /// `-m statistic --mode random`.
    Statistic(Probability),
    /// `-m recent --rcheck`: the source is in the list since at most so many seconds.
    RecentCheck {
        /// Name of the list.
        name: Arc<str>,
        /// `--seconds`.
        seconds: u32,
        /// `--reap`: forget older entries.
        reap: bool,
    },
    /// `-m recent --set`: writes the source into the list; always true.
    RecentSet {
        /// Name of the list.
        name: Arc<str>,
    },
    /// `-m addrtype --dst-type LOCAL`.
    DestinationLocal,
    /// `-m addrtype --src-type LOCAL`.
    SourceLocal,
    /// `-m addrtype ! --src-type LOCAL`.
    SourceNotLocal,
    /// `-m set --match-set`.
    InSet {
        /// Name of the set.
        name: Arc<str>,
        /// Its place in [`crate::ipvs::Base::sets`].
        set: u16,
        /// What is looked up.
        dimensions: Dimensions,
    },
    /// `-m physdev ! --physdev-is-in`.
    NotFromBridge,
    /// `-m ipvs --vaddr --vproto --vport`: a virtual server has sent the packet on.
    VirtualServer {
        /// `--vproto`.
        proto: L4,
        /// `--vaddr` and `--vport`.
        addr: SocketAddr,
    },
}

/// What a rule does with a packet that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// No `-j`: nothing.
    None,
    /// To another chain.
    Jump(ChainRef),
    /// Back to the chain that jumped here.
    Return,
    /// This table is done.
    Accept,
    /// Lost.
    Drop,
    /// Answered with ICMP port unreachable.
    Reject,
    /// `MARK --xor-mark`.
    MarkXor(u32),
    /// `MARK --or-mark`.
    MarkOr(u32),
    /// `DNAT --to-destination`.
    Dnat(SocketAddr),
    /// `MASQUERADE`: the source becomes the node's address.
    Masquerade {
        /// `--random-fully`.
        random_fully: bool,
    },
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of these must hold; in the order in which they are written.
    pub matches: Box<[Match]>,
    /// What happens then.
    pub target: Target,
    /// Where the rule comes from.
    pub origin: OriginId,
}

impl Rule {
    /// A rule.
    pub fn new(matches: impl Into<Box<[Match]>>, target: Target, origin: OriginId) -> Rule {
        Rule { matches: matches.into(), target, origin }
    }
    /// The rule's protocol, single destination address and port, if it asks for them before anything that
    /// draws a number or touches a list (addresses and protocol are always asked for first).
    pub(crate) fn selector(&self) -> (Option<L4>, Option<std::net::IpAddr>, Option<u16>) {
        let (mut proto, mut dst, mut port) = (None, None, None);
        let mut pure = true;
        for m in &self.matches {
            match m {
                Match::Proto(p) | Match::ProtoOnly(p) => proto = Some(*p),
                Match::Destination { net: Net::Host(ip), not: false } => dst = Some(*ip),
                Match::DestinationPort(p) if pure => port = Some(*p),
                Match::Statistic(_) | Match::RecentCheck { .. } | Match::RecentSet { .. } => pure = false,
                _ => {}
            }
        }
        (proto, dst, port)
    }
}

/// A rule at the end of a chain (`-A CHAIN ...`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The chain.
    pub chain: ChainRef,
    /// The rule.
    pub rule: Rule,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_printed_and_rounded_as_by_iptables() {
        assert_eq!(Probability::one_of(3), Probability(3_333_333_333));
        assert_eq!(Probability::one_of(3).threshold(), 715_827_883);
        assert_eq!(Probability::one_of(2).threshold(), 1 << 30);
        assert_eq!(Probability::one_of(2048), Probability(4_882_812), "a tie goes to the even digit");
        assert_eq!(Probability::one_of(1).chance(), 1.0);
    }
}
