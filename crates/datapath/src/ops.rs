//! Rules in the form in which packets meet them: sixteen bytes each, where most say what they ask for and what they do.
//! Of ten thousand Services' rules few are in the processor's caches, so what a packet reads of them is what it costs.

use crate::{ChainRef, CtStates, Flow, L4, Match, Net, OriginId, Rule, RuleList, Target};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::Range;

/// What a rule asks of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// Nothing.
    Always,
    /// A chance below this threshold of 2^31.
    Chance(u32),
    /// This source.
    Source(Ipv4Addr),
    /// That it is of this protocol.
    Proto(L4),
    /// A state of the connection, or none of these.
    State(CtStates, bool),
    /// A mark with all of these bits, or not with all.
    Mark(u32, bool),
    /// The segment's own destination, and a source out of this network.
    Elsewhere(Ipv4Addr, u8),
    /// No more than the index of a shared chain has looked at: protocol, destination and port.
    Indexed,
    /// What stands in the rule.
    Rule,
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A jump to a shared chain.
    Shared(u16),
    /// A jump to these rows of the segment: the first, and how many.
    Own(u32, u16),
    /// A translation.
    Dnat(Ipv4Addr, u16),
    /// Back to the chain that jumped here.
    Return,
    /// What stands in the rule.
    Rule,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) test: Test,
    pub(crate) act: Act,
    pub(crate) origin: OriginId,
}

/// Where packets go that meet a segment's rules: protocol, address and port.
type Destination = (L4, SocketAddrV4);

/// A segment's rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ops {
    list: Box<[Op]>,
    /// The destination of the first rule that asks for one.
    to: Option<Destination>,
}

impl Ops {
    /// A segment's rules; `rows` are those of an own chain.
    pub(crate) fn of_segment(list: &RuleList, rows: impl Fn(u16) -> Range<u32>) -> Ops {
        let to = list.rules().iter().find_map(|rule| destination(list, rule));
        let op = |rule: &Rule| {
            let test = match test_of(list, rule) {
                Test::Rule if matches!(rule.chain, ChainRef::Shared(_)) => indexed(list, rule),
                Test::Rule => elsewhere(list, rule, to),
                test => test,
            };
            Op { test, act: act_of(rule, &rows), origin: rule.origin }
        };
        Ops { list: list.rules().iter().map(op).collect(), to }
    }
    /// Rules that belong to no segment.
    pub(crate) fn of_base(list: &RuleList) -> Ops {
        let op = |rule: &Rule| Op { test: test_of(list, rule), act: act_of(rule, |_| 0..0), origin: rule.origin };
        Ops { list: list.rules().iter().map(op).collect(), to: None }
    }
    #[inline]
    pub(crate) fn get(&self, row: u32) -> Option<Op> {
        self.list.get(row as usize).copied()
    }
    /// Whether a packet goes where these rules are about.
    #[inline]
    pub(crate) fn is_for(&self, flow: &Flow) -> bool {
        self.to.is_some_and(|(proto, to)| flow.proto == proto && flow.dst == SocketAddr::V4(to))
    }
}

fn destination(list: &RuleList, rule: &Rule) -> Option<Destination> {
    match list.selector(rule) {
        (Some(proto), Some(IpAddr::V4(ip)), Some(port)) => Some((proto, SocketAddrV4::new(ip, port))),
        _ => None,
    }
}

/// The options that ask for something.
fn asked<'a>(list: &'a RuleList, rule: &Rule) -> impl Iterator<Item = &'a Match> {
    list.matches(rule).iter().filter(|m| !matches!(m, Match::Comment(_)))
}

/// What a rule asks for by itself.
fn test_of(list: &RuleList, rule: &Rule) -> Test {
    let mut first = asked(list, rule);
    match (first.next(), first.next()) {
        (None, _) => Test::Always,
        (Some(Match::Statistic(p)), None) => Test::Chance(p.threshold()),
        (Some(Match::Source { net: Net::Host(IpAddr::V4(ip)), not: false }), None) => Test::Source(*ip),
        (Some(Match::Proto(proto)), None) => Test::Proto(*proto),
        (Some(Match::CtState { states, not }), None) => Test::State(*states, *not),
        (Some(Match::Mark { value, mask, not }), None) if value == mask => Test::Mark(*mask, *not),
        _ => Test::Rule,
    }
}

/// How many options there are besides those that [`RuleList::selector`] holds.
fn unselected(list: &RuleList, rule: &Rule) -> usize {
    let (proto, dst, port) = list.selector(rule);
    let selected = usize::from(proto.is_some()) + usize::from(dst.is_some()) + usize::from(port.is_some());
    asked(list, rule).count() - selected
}

fn indexed(list: &RuleList, rule: &Rule) -> Test {
    if unselected(list, rule) == 0 { Test::Indexed } else { Test::Rule }
}

fn elsewhere(list: &RuleList, rule: &Rule, to: Option<Destination>) -> Test {
    let source = asked(list, rule).find_map(|m| match m {
        Match::Source { net: Net::Cidr(cidr), not: true } => Some((cidr.addr(), cidr.prefix_len())),
        _ => None,
    });
    match source {
        Some((IpAddr::V4(ip), len)) if to.is_some() && destination(list, rule) == to && unselected(list, rule) == 1 => {
            Test::Elsewhere(ip, len)
        }
        _ => Test::Rule,
    }
}

fn act_of(rule: &Rule, rows: impl Fn(u16) -> Range<u32>) -> Act {
    match rule.target {
        Target::Jump(ChainRef::Shared(chain)) => Act::Shared(chain),
        Target::Jump(ChainRef::Own(chain)) => {
            let rows = rows(chain);
            u16::try_from(rows.len()).map_or(Act::Rule, |count| Act::Own(rows.start, count))
        }
        Target::Return => Act::Return,
        Target::Dnat { ip: IpAddr::V4(ip), port } => Act::Dnat(ip, port),
        _ => Act::Rule,
    }
}
