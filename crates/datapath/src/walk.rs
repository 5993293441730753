//! A packet's way through tables and chains.

use crate::draw::Draw;
use crate::index::{At, Candidates};
use crate::ipvs::{Scheduled, Table as IpvsTable};
use crate::nft::SetElements;
use crate::ops::{Act, Op, Ops, Test};
use crate::ranks::Ranks;
use crate::recent::RecentLists;
use crate::{ChainRef, CtStates, Flow, Hook, Match, OriginId, Rule, RuleList, Ruleset, Segment, Table, Target, text};
use lab_base::Time;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

/// One rule that a packet met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceStep {
    /// Where in the network stack.
    pub hook: &'static str,
    /// `filter` or `nat`; the table's name for nftables; `ipvs` for a virtual server.
    pub table: &'static str,
    /// The chain; the virtual server for IPVS.
    pub chain: Arc<str>,
    /// Which rule of the chain, from 1 as `iptables -L --line-numbers` counts; which real server for IPVS, 0 if none.
    pub number: u32,
    /// Whether all of its options held.
    pub matched: bool,
    /// The first option that did not hold, as it is written; for a verdict map: the packet's key is not in it.
    pub failed: Option<String>,
    /// What the rule does, as after `-j`; empty if nothing.
    pub target: String,
    /// The whole rule as it is written.
    pub text: String,
    /// Where the rule comes from.
    pub origin: OriginId,
    /// Whether this rule settled what becomes of the packet: it chose the endpoint, or refused.
    pub decided: bool,
}

/// How a table was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Accept,
    Drop,
    Reject,
    Dnat(SocketAddr),
    Masquerade { random_fully: bool },
}

/// What a rule makes the kernel remember.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    RecentSet {
        list: Arc<str>,
        ip: IpAddr,
    },
    RecentReap {
        list: Arc<str>,
        seconds: u32,
    },
    SetUpdate {
        set: Arc<str>,
        ip: IpAddr,
        timeout: u32,
    },
    /// IPVS has sent a connection to a real server.
    Scheduled(Box<Scheduled>),
    /// The real server of a connection is gone, and so is the connection.
    Gone,
}

/// A packet on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) flow: Flow,
    pub(crate) mark: u32,
    pub(crate) state: CtStates,
    /// The virtual server that has sent it on.
    pub(crate) ipvs: Option<SocketAddr>,
    /// An ICMP echo request: it has no ports.
    pub(crate) echo: bool,
}

impl Packet {
    /// The first one of a connection.
    pub(crate) const fn new(flow: Flow) -> Packet {
        Packet { flow, mark: 0, state: CtStates::NEW, ipvs: None, echo: false }
    }
}

/// Where a rule is: its list, the same in short, and the segment that it belongs to.
#[derive(Clone, Copy)]
struct In<'a>(&'a RuleList, &'a Ops, Option<&'a Arc<Segment>>);

impl<'a> In<'a> {
    fn segment(segment: &'a Arc<Segment>) -> In<'a> {
        In(segment.list(), segment.ops(), Some(segment))
    }
}

enum Step {
    Next,
    Return,
    End(End, OriginId),
}

impl Step {
    /// What it means to the chain that jumped.
    fn after_jump(self) -> Step {
        if matches!(self, Step::Return) { Step::Next } else { self }
    }
}

/// Jumps nested deeper than this are a loop, which the kernel refuses to load (`ELOOP`).
pub(crate) const MAX_DEPTH: u32 = 32;

/// The walk of one packet.
pub(crate) struct Walk<'a> {
    pub(crate) rules: &'a Ruleset,
    pub(crate) ranks: &'a Ranks,
    pub(crate) recent: &'a RecentLists,
    pub(crate) sets: &'a SetElements,
    pub(crate) addresses: &'a [IpAddr],
    pub(crate) ipvs: Option<&'a IpvsTable>,
    pub(crate) now: Time,
    /// One rule after the other instead of by index.
    pub(crate) linear: bool,
    /// Where the entry comes from that a set last matched with, in this chain and those that it jumps to.
    pub(crate) entry_origin: OriginId,
    /// Virtual servers give each real server its share instead of choosing the next one.
    pub(crate) long_run: bool,
    /// Which way a draw goes.
    pub(crate) decide: &'a mut dyn FnMut(Draw) -> u32,
    pub(crate) steps: Option<Vec<TraceStep>>,
    pub(crate) walked: u32,
    /// Whether conntrack has an entry of the connection, be it one that is over.
    pub(crate) has_entry: bool,
    /// The last step that ended a table.
    pub(crate) ended_at: Option<usize>,
    pub(crate) changes: Vec<Change>,
}

/// Whether an address is one of the node's own; all of 127.0.0.0/8 is.
pub(crate) fn is_local(addresses: &[IpAddr], ip: IpAddr) -> bool {
    ip.is_loopback() || addresses.contains(&ip)
}

impl Walk<'_> {
    /// Whether an address is one of the node's own, those of a dummy interface included.
    pub(crate) fn is_local(&self, ip: IpAddr) -> bool {
        is_local(self.addresses, ip) || self.ipvs.is_some_and(|table| table.is_bound(ip))
    }

    /// Runs the table's built-in chain of this hook; its policy is ACCEPT.
    pub(crate) fn hook(&mut self, table: Table, hook: Hook, packet: &mut Packet) -> Option<(End, OriginId)> {
        let rules = self.rules;
        let chain = rules.hook(table, hook)?;
        self.entry_origin = OriginId::NONE;
        match self.shared(hook, chain, packet, 0) {
            Step::End(end, origin) => {
                self.ended_at = self.steps.as_ref().and_then(|s| s.len().checked_sub(1));
                Some((end, origin))
            }
            Step::Next | Step::Return => None,
        }
    }

    fn shared(&mut self, hook: Hook, chain: u16, packet: &mut Packet, depth: u32) -> Step {
        if self.steps.is_none()
            && !self.linear
            && let Some(met) = self.ranks.passed_by(chain, packet)
        {
            self.walked += met;
            return Step::Next;
        }
        let rules = self.rules;
        let places = rules.places();
        let Some((head, tail)) = places.rows(chain) else { return Step::Next };
        let segments = self.ranks.total(chain);
        let mut number = 0;
        for (row, op) in head {
            number += 1;
            if self.passes_by(op, packet) {
                continue;
            }
            let at = In(&rules.base().head, &places.head, None);
            let step = self.row(hook, at, *row, number, packet, depth);
            if !matches!(step, Step::Next) {
                return step;
            }
        }
        let step = if segments == 0 {
            Step::Next
        } else if self.linear {
            self.segments_linear(hook, chain, &mut number, packet, depth)
        } else {
            self.segments_by_index(hook, chain, &mut number, packet, depth)
        };
        if !matches!(step, Step::Next) {
            return step;
        }
        for (row, op) in tail {
            number += 1;
            if self.passes_by(op, packet) {
                continue;
            }
            let at = In(&rules.base().tail, &places.tail, None);
            let step = self.row(hook, at, *row, number, packet, depth);
            if !matches!(step, Step::Next) {
                return step;
            }
        }
        Step::Next
    }

    /// Whether a rule has nothing to do with a packet, as most of those that are always there: it asks for another one,
    /// or leads into a chain without rules.
    #[inline]
    fn passes_by(&mut self, op: &Op, packet: &Packet) -> bool {
        let holds = match op.test {
            Test::Always => true,
            Test::State(states, not) => packet.state.meets(states) != not,
            Test::Mark(mask, not) => (packet.mark & mask == mask) != not,
            _ => return false,
        };
        let by = self.steps.is_none() && (!holds || matches!(op.act, Act::Shared(to) if self.ranks.is_empty(to)));
        self.walked += u32::from(by);
        by
    }

    fn segments_linear(&mut self, hook: Hook, chain: u16, number: &mut u32, packet: &mut Packet, depth: u32) -> Step {
        let rules = self.rules;
        for (_, segment) in rules.in_order() {
            for row in segment.shared_rows(chain) {
                *number += 1;
                let step = self.row(hook, In::segment(segment), row, *number, packet, depth);
                if !matches!(step, Step::Next) {
                    return step;
                }
            }
        }
        Step::Next
    }

    fn segments_by_index(&mut self, hook: Hook, chain: u16, number: &mut u32, packet: &mut Packet, depth: u32) -> Step {
        let rules = self.rules;
        let ranks = self.ranks;
        let total = ranks.total(chain);
        // Rules of the chain before this position are counted already.
        let (mut counted, mut ended) = (0, Step::Next);
        let mut meet = |walk: &mut Self, packet: &mut Packet, at: At, here: u32| {
            let Some(segment) = rules.slot(at.slot) else { return false };
            walk.walked += here - counted;
            counted = here + 1;
            ended = walk.row(hook, In::segment(segment), at.row, *number + here + 1, packet, depth);
            !matches!(ended, Step::Next)
        };
        let position = |at: At| ranks.before(chain, at.slot) + at.nth;
        match rules.index().candidates(chain, &packet.flow) {
            Candidates::None => {}
            Candidates::One(at) => {
                meet(self, packet, at, position(at));
            }
            Candidates::Many(found) => {
                let mut found: Vec<_> = found.into_iter().map(|at| (position(at), at)).collect();
                found.sort_unstable_by_key(|(here, _)| *here);
                for (here, at) in found {
                    if meet(self, packet, at, here) {
                        break;
                    }
                }
            }
        }
        if !matches!(ended, Step::Next) {
            return ended;
        }
        self.walked += total - counted;
        *number += total;
        Step::Next
    }

    fn own(&mut self, hook: Hook, at: &Arc<Segment>, rows: Range<u32>, packet: &mut Packet, depth: u32) -> Step {
        let first = rows.start;
        for row in rows {
            // Of a chain's rules most draw and go on.
            match at.ops().get(row) {
                Some(Op { test: Test::Chance(threshold), act: Act::Own(start, count), .. })
                    if self.steps.is_none() && depth < MAX_DEPTH =>
                {
                    self.walked += 1;
                    if (self.decide)(Draw::Statistic { threshold }) == 0 {
                        let rows = start..start + u32::from(count);
                        let step = self.own(hook, at, rows, packet, depth + 1).after_jump();
                        if !matches!(step, Step::Next) {
                            return step;
                        }
                    }
                    continue;
                }
                Some(Op { test: Test::Source(ip), .. })
                    if self.steps.is_none() && packet.flow.src.ip() != IpAddr::V4(ip) =>
                {
                    self.walked += 1;
                    continue;
                }
                _ => {}
            }
            let step = self.row(hook, In::segment(at), row, row - first + 1, packet, depth);
            if !matches!(step, Step::Next) {
                return step;
            }
        }
        Step::Next
    }

    /// A rule by its short form, unless it is to be told about.
    #[inline]
    fn row(&mut self, hook: Hook, at: In<'_>, row: u32, number: u32, packet: &mut Packet, depth: u32) -> Step {
        let In(_, ops, segment) = at;
        let Some(op) = ops.get(row).filter(|_| self.steps.is_none()) else {
            return self.rule(hook, at, row, number, packet, depth);
        };
        let holds = match op.test {
            Test::Always => true,
            Test::Chance(threshold) => (self.decide)(Draw::Statistic { threshold }) == 0,
            Test::Source(ip) => packet.flow.src.ip() == IpAddr::V4(ip),
            Test::Proto(proto) => packet.flow.proto == proto && !packet.echo,
            Test::State(states, not) => packet.state.meets(states) != not,
            Test::Mark(mask, not) => (packet.mark & mask == mask) != not,
            Test::Elsewhere(ip, len) => {
                let out = match packet.flow.src.ip() {
                    IpAddr::V4(src) => ((src.to_bits() ^ ip.to_bits()) as u64) >> (32 - len) != 0,
                    IpAddr::V6(_) => true,
                };
                out && !packet.echo && ops.is_for(&packet.flow)
            }
            Test::Indexed if !self.linear && !packet.echo => true,
            Test::Indexed | Test::Rule => return self.rule(hook, at, row, number, packet, depth),
        };
        self.walked += 1;
        if !holds {
            return Step::Next;
        }
        let origin = if op.origin == OriginId::NONE { self.entry_origin } else { op.origin };
        match (op.act, segment) {
            (Act::Own(..) | Act::Shared(_), _) if depth >= MAX_DEPTH => Step::Next,
            (Act::Own(first, count), Some(segment)) => {
                self.own(hook, segment, first..first + u32::from(count), packet, depth + 1).after_jump()
            }
            (Act::Shared(chain), _) => self.shared(hook, chain, packet, depth + 1).after_jump(),
            (Act::Dnat(ip, port), _) => Step::End(End::Dnat(SocketAddr::new(ip.into(), port)), origin),
            (Act::Return, _) => Step::Return,
            (Act::Own(..) | Act::Rule, _) => self.act(hook, at, row, origin, packet, depth),
        }
    }

    /// A rule as it is written.
    fn rule(&mut self, hook: Hook, at: In<'_>, row: u32, number: u32, packet: &mut Packet, depth: u32) -> Step {
        let list = at.0;
        let Some(rule) = list.rules().get(row as usize) else { return Step::Next };
        self.walked += 1;
        let failed = self.first_unmet(list, rule, packet);
        // A rule over a set is there for whom its entry is.
        let shared = rule.origin == OriginId::NONE && failed.is_none();
        let origin = if shared { self.entry_origin } else { rule.origin };
        if self.steps.is_some() {
            let step = TraceStep { origin, ..self.step(hook, at, number, rule, failed) };
            self.steps.get_or_insert_default().push(step);
        }
        if failed.is_some() { Step::Next } else { self.act(hook, at, row, origin, packet, depth) }
    }

    /// What a rule does with a packet that it matches.
    fn act(&mut self, hook: Hook, at: In<'_>, row: u32, origin: OriginId, packet: &mut Packet, depth: u32) -> Step {
        let Some(rule) = at.0.rules().get(row as usize) else { return Step::Next };
        match rule.target {
            Target::None => Step::Next,
            Target::Return => Step::Return,
            Target::Accept => Step::End(End::Accept, origin),
            Target::Drop => Step::End(End::Drop, origin),
            Target::Reject => Step::End(End::Reject, origin),
            Target::Dnat { ip, port } => Step::End(End::Dnat(SocketAddr::new(ip, port)), origin),
            Target::Masquerade { random_fully } => Step::End(End::Masquerade { random_fully }, origin),
            Target::MarkXor(v) => {
                packet.mark ^= v;
                Step::Next
            }
            Target::MarkOr(v) => {
                packet.mark |= v;
                Step::Next
            }
            Target::Jump(_) if depth >= MAX_DEPTH => Step::Next,
            Target::Jump(ChainRef::Shared(chain)) => self.shared(hook, chain, packet, depth + 1).after_jump(),
            Target::Jump(ChainRef::Own(chain)) => match at.2 {
                Some(segment) => self.own(hook, segment, segment.own_rows(chain), packet, depth + 1).after_jump(),
                None => Step::Next,
            },
        }
    }

    /// The first option that does not hold. As the kernel does, addresses and protocol come first
    /// (they are in the rule's own header), then the others in written order.
    fn first_unmet(&mut self, list: &RuleList, rule: &Rule, packet: &Packet) -> Option<usize> {
        let matches = list.matches(rule);
        if self.steps.is_none() && rule.in_order {
            // Nobody asks which option it was.
            return matches.iter().position(|m| !self.meets(list, m, packet));
        }
        let header = matches.iter().position(|m| m.is_header() && !self.meets(list, m, packet));
        header.or_else(|| matches.iter().position(|m| !m.is_header() && !self.meets(list, m, packet)))
    }

    /// Whether an option holds.
    #[inline]
    fn meets(&mut self, list: &RuleList, m: &Match, packet: &Packet) -> bool {
        let flow = &packet.flow;
        match m {
            Match::Comment(_) => true,
            Match::Source { net, not } => net.contains(flow.src.ip()) != *not,
            Match::Destination { net, not } => net.contains(flow.dst.ip()) != *not,
            Match::Proto(proto) | Match::ProtoOnly(proto) => flow.proto == *proto && !packet.echo,
            // No bridges here: what is routed came in through no port of one.
            Match::NotFromBridge => true,
            Match::DestinationPort(port) => flow.dst.port() == *port,
            Match::InSet { set, dimensions, .. } => {
                let entry = self.ipvs.and_then(|table| table.matches(*set, *dimensions, packet));
                self.entry_origin = entry.unwrap_or(self.entry_origin);
                entry.is_some()
            }
            Match::VirtualServer { proto, ip, port } => {
                packet.ipvs == Some(SocketAddr::new(*ip, *port)) && flow.proto == *proto
            }
            Match::CtState { states, not } => packet.state.meets(*states) != *not,
            Match::Mark { value, mask, not } => (packet.mark & mask == *value) != *not,
            Match::Statistic(p) => (self.decide)(Draw::Statistic { threshold: p.threshold() }) == 0,
            Match::RecentCheck { name, seconds, reap } => {
                let name = list.text(*name);
                let hit = self.recent.check(name, flow.src.ip(), self.now, *seconds);
                if *reap {
                    self.changes.push(Change::RecentReap { list: name.into(), seconds: *seconds });
                }
                hit
            }
            Match::RecentSet { name } => {
                self.changes.push(Change::RecentSet { list: list.text(*name).into(), ip: flow.src.ip() });
                true
            }
            Match::DestinationLocal => self.is_local(flow.dst.ip()),
            Match::SourceLocal => self.is_local(flow.src.ip()),
            Match::SourceNotLocal => !self.is_local(flow.src.ip()),
        }
    }

    fn step(&self, hook: Hook, at: In<'_>, number: u32, rule: &Rule, failed: Option<usize>) -> TraceStep {
        let base = self.rules.base();
        let (list, segment) = (at.0, at.2.map(Arc::as_ref));
        let (table, name) = match rule.chain {
            ChainRef::Shared(c) => base.chains.get(usize::from(c)).map(|c| (c.table, c.name.clone())),
            ChainRef::Own(c) => {
                segment.and_then(|s| Some((s.chains().get(usize::from(c))?.table, s.chain_name(c)?.into())))
            }
        }
        .unwrap_or((Table::Filter, Arc::from("?")));
        TraceStep {
            hook: hook.name(),
            table: table.name(),
            chain: name,
            number,
            matched: failed.is_none(),
            failed: failed.and_then(|i| list.matches(rule).get(i)).map(|m| {
                let mut out = String::new();
                text::write_match(&mut out, list, m);
                out
            }),
            target: text::target_text(base, segment, &rule.target),
            text: text::rule_text(base, segment, list, rule),
            origin: rule.origin,
            decided: false,
        }
    }
}

/// The addresses that are never routed between hosts (RFC 1122, 3.2.1.3).
pub(crate) fn is_martian(ip: IpAddr, route_localnet: bool) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() && !route_localnet,
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}
