//! nftables: one table of typed objects, as far as kube-proxy uses them.
//!
//! Expressions are those of `nft(8)`; their behaviour is that of `net/netfilter/nf_tables_core.c`, `nft_lookup.c`,
//! `nft_dynset.c`, `nft_numgen.c` and `nft_fib.c` in the Linux kernel.

mod sets;
mod table;
mod text;
mod walk;

use crate::{ChainRef, CtStates, Hook, L4, Net, OriginId};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub use sets::{DYNAMIC_SET_SIZE, SetElements};
pub use table::{Base, Segment, Table};
pub use text::{element_text, nft_script, rule_text};

/// A table's address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    #[default]
    Ip,
    /// IPv6.
    Ip6,
}

impl Family {
    /// `ip` or `ip6`, for the table and before `saddr` and `daddr`.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
        }
    }
    /// The type of an address.
    pub const fn addr_type(self) -> &'static str {
        match self {
            Family::Ip => "ipv4_addr",
            Family::Ip6 => "ipv6_addr",
        }
    }
}

/// What a base chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChainType {
    /// Lets packets pass or not.
    Filter,
    /// Translates; sees only the first packet of a connection.
    Nat,
}

/// Where a base chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseChain {
    /// The hook.
    pub hook: Hook,
    /// Lower ones come first.
    pub priority: i32,
    /// What it may do.
    pub kind: ChainType,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is called, if not only from other chains. The policy is accept.
    pub base: Option<BaseChain>,
    /// A comment.
    pub comment: Option<Arc<str>>,
}

/// A set of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: Arc<str>,
    /// Packets put elements in (`flags dynamic,timeout`), which stay for so many seconds.
    pub timeout: Option<u32>,
    /// A comment.
    pub comment: Option<Arc<str>>,
}

/// A set, as seen from a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetRef {
    /// A set of the [`Base`], by its place there.
    Shared(u16),
    /// A set of the rule's own [`Segment`], by its place there.
    Own(u16),
}

/// What the keys of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyType {
    /// Destination address, protocol, destination port.
    Service,
    /// Protocol, destination port.
    Port,
}

/// A map from keys to verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Its name.
    pub name: Arc<str>,
    /// Its keys.
    pub key: KeyType,
    /// A comment.
    pub comment: Option<Arc<str>>,
}

/// A key of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An address.
    Address(IpAddr),
    /// Address, protocol and port.
    Service(IpAddr, L4, u16),
    /// Protocol and port.
    Port(L4, u16),
}

/// The set or map of the [`Base`] that an element is in, by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A set.
    Set(u16),
    /// A map.
    Map(u16),
}

/// What a rule or an element of a map says about the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Lost.
    Drop,
    /// Back to where the last jump was.
    Return,
    /// To another chain, and back here.
    Jump(ChainRef),
    /// To another chain, not back here.
    Goto(ChainRef),
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// What it is in.
    pub holder: Holder,
    /// Its key.
    pub key: Key,
    /// For maps: the verdict.
    pub verdict: Option<Verdict>,
    /// A comment.
    pub comment: Option<Arc<str>>,
    /// Where it comes from.
    pub origin: OriginId,
}

/// An expression that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `ct state`.
    CtState(CtStates),
    /// `ip saddr`.
    Source {
        /// The addresses.
        net: Net,
        /// `!=`.
        not: bool,
    },
    /// `ip saddr != { ... }`.
    SourceNotIn(Box<[Net]>),
    /// `ip saddr @set`.
    SourceInSet(SetRef),
    /// `ip daddr`.
    Destination {
        /// The addresses.
        net: Net,
        /// `!=`.
        not: bool,
    },
    /// `ip daddr { ... }`.
    DestinationIn(Box<[Net]>),
    /// `ip daddr @set`.
    DestinationInSet(SetRef),
    /// `meta l4proto`.
    Proto(L4),
    /// `tcp dport`.
    DestinationPort(L4, u16),
    /// `fib saddr type local`.
    SourceLocal,
    /// `fib daddr type local`.
    DestinationLocal,
    /// `mark and MASK == 0`.
    MarkUnset(u32),
}

/// What a rule does at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// A verdict.
    Verdict(Verdict),
    /// `... vmap @map`: the verdict of the packet's key; without one the next rule follows.
    Lookup(u16),
    /// `numgen random mod N vmap { 0 : goto ... }`.
    Numgen(Box<[ChainRef]>),
    /// `mark set mark or`.
    MarkOr(u32),
    /// `mark set mark xor`.
    MarkXor(u32),
    /// `update @set { ip saddr }`.
    Update(SetRef),
    /// `dnat to`.
    Dnat(SocketAddr),
    /// `reject`: ICMP port unreachable.
    Reject,
    /// `masquerade`.
    Masquerade {
        /// `fully-random`.
        fully_random: bool,
    },
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The chain that it is at the end of.
    pub chain: ChainRef,
    /// All of these must hold.
    pub matches: Box<[Match]>,
    /// What happens then.
    pub statement: Statement,
    /// A comment.
    pub comment: Option<Arc<str>>,
    /// Where the rule comes from.
    pub origin: OriginId,
}
