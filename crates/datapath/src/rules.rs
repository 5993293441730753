//! Typed rules: what `iptables` can say, as far as kube-proxy says it.

use crate::ipvs::Dimensions;
use crate::{L4, Net, Text};
use std::net::{IpAddr, SocketAddr};

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
    pub(crate) const COUNT: usize = 5;
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

/// `--probability` of the `statistic` match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability {
    printed: u64,
    threshold: u32,
}

impl Probability {
    const UNIT: u64 = 10_000_000_000;

    /// So many parts of 1e10, as it is printed; at most all of them.
    pub const fn new(printed: u64) -> Probability {
        let printed = if printed > Self::UNIT { Self::UNIT } else { printed };
        // lround(2^31 * p) (`libxt_statistic.c`)
        let threshold = (((printed as u128) << 31) + (Self::UNIT as u128) / 2) / Self::UNIT as u128;
        Probability { printed, threshold: threshold as u32 }
    }
    /// `1/n` as Go's and C's `%0.10f` print it: rounded from the binary fraction, a tie to the even digit.
    pub fn one_of(n: u32) -> Probability {
        if n < 2 {
            return Probability::new(Self::UNIT);
        }
        // 1/n is a fraction of 2^shift with 53 bits.
        let bits = (1.0 / f64::from(n)).to_bits();
        let (shift, fraction) = (1075 - (bits >> 52), bits & ((1 << 52) - 1) | 1 << 52);
        let product = u128::from(fraction) * u128::from(Self::UNIT);
        let (whole, rest, half) = (product >> shift, product & ((1 << shift) - 1), 1u128 << (shift - 1));
        let up = rest > half || rest == half && whole & 1 == 1;
        Probability::new(whole as u64 + u64::from(up))
    }
    /// In units of 1e-10.
    pub const fn printed(self) -> u64 {
        self.printed
    }
    /// What the kernel compares 31 random bits with.
    pub const fn threshold(self) -> u32 {
        self.threshold
    }
    /// The chance that the kernel gives it.
    pub fn chance(self) -> f64 {
        f64::from(self.threshold()) / f64::from(1u32 << 31)
    }
}

/// An option of a rule that a packet must meet. Its texts are in the rule's [`crate::RuleList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// `-m comment --comment`: always true.
    Comment(Text),
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
        name: Text,
        /// `--seconds`.
        seconds: u32,
        /// `--reap`: forget older entries.
        reap: bool,
    },
    /// `-m recent --set`: writes the source into the list; always true.
    RecentSet {
        /// Name of the list.
        name: Text,
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
        name: Text,
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
        /// `--vaddr`.
        ip: IpAddr,
        /// `--vport`.
        port: u16,
    },
}

impl Match {
    /// Whether it is in the rule's own header, which the kernel looks at before all other options.
    pub(crate) const fn is_header(&self) -> bool {
        matches!(self, Match::Source { .. } | Match::Destination { .. } | Match::Proto(_) | Match::ProtoOnly(_))
    }
    /// Whether looking at it draws a number or touches a list.
    pub(crate) const fn has_effect(&self) -> bool {
        matches!(self, Match::Statistic(_) | Match::RecentCheck { .. } | Match::RecentSet { .. } | Match::InSet { .. })
    }
}

impl Target {
    /// `DNAT` to this address and port.
    pub const fn dnat(to: SocketAddr) -> Target {
        Target::Dnat { ip: to.ip(), port: to.port() }
    }
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
    Dnat {
        /// The address.
        ip: IpAddr,
        /// The port.
        port: u16,
    },
    /// `MASQUERADE`: the source becomes the node's address.
    Masquerade {
        /// `--random-fully`.
        random_fully: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_printed_and_rounded_as_by_iptables() {
        assert_eq!(Probability::one_of(3), Probability::new(3_333_333_333));
        assert_eq!(Probability::one_of(3).threshold(), 715_827_883);
        assert_eq!(Probability::one_of(2).threshold(), 1 << 30);
        assert_eq!(Probability::one_of(2048), Probability::new(4_882_812), "a tie goes to the even digit");
        assert_eq!(Probability::one_of(1).chance(), 1.0);
        for n in (2..5_000).chain([65_535, 1 << 20, u32::MAX]) {
            let text = format!("{:.10}", 1.0 / f64::from(n));
            let printed = text.bytes().skip(2).fold(0, |p, b| p * 10 + u64::from(b - b'0'));
            assert_eq!(Probability::one_of(n).printed(), printed, "1/{n}");
        }
    }
}
