//! A packet's way through tables and chains.

use crate::draw::Draw;
use crate::ipvs::{Scheduled, Table as IpvsTable};
use crate::nft::SetElements;
use crate::recent::RecentLists;
use crate::{ChainRef, CtStates, Flow, Hook, Match, OriginId, Rule, Ruleset, Segment, Table, Target, text};
use lab_base::Time;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
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

enum Step {
    Next,
    Return,
    End(End, OriginId),
}

/// Jumps nested deeper than this are a loop, which the kernel refuses to load (`ELOOP`).
const MAX_DEPTH: u32 = 32;

/// The walk of one packet.
pub(crate) struct Walk<'a> {
    pub(crate) rules: &'a Ruleset,
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
    /// The last step that ended a table.
    pub(crate) ended_at: Option<usize>,
    pub(crate) changes: Vec<Change>,
    /// For the index to put into what it finds.
    pub(crate) found: Vec<(u32, u32)>,
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
        let chain = rules.base().hook(table, hook)?;
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
        let rules = self.rules;
        let base = rules.base();
        let at = ChainRef::Shared(chain);
        let mut number = 0;
        for row in rules.head_rows(chain) {
            number += 1;
            let step = self.rule(hook, None, at, number, &base.head[*row as usize].rule, packet, depth);
            if !matches!(step, Step::Next) {
                return step;
            }
        }
        let step = if self.linear {
            self.segments_linear(hook, chain, &mut number, packet, depth)
        } else {
            self.segments_by_index(hook, chain, &mut number, packet, depth)
        };
        if !matches!(step, Step::Next) {
            return step;
        }
        for row in rules.tail_rows(chain) {
            number += 1;
            let step = self.rule(hook, None, at, number, &base.tail[*row as usize].rule, packet, depth);
            if !matches!(step, Step::Next) {
                return step;
            }
        }
        Step::Next
    }

    fn segments_linear(&mut self, hook: Hook, chain: u16, number: &mut u32, packet: &mut Packet, depth: u32) -> Step {
        let rules = self.rules;
        for (_, segment) in rules.in_order() {
            for row in segment.shared_rows(chain) {
                *number += 1;
                let Some(rule) = segment.rule(*row) else { continue };
                let step = self.rule(hook, Some(segment), ChainRef::Shared(chain), *number, rule, packet, depth);
                if !matches!(step, Step::Next) {
                    return step;
                }
            }
        }
        Step::Next
    }

    fn segments_by_index(&mut self, hook: Hook, chain: u16, number: &mut u32, packet: &mut Packet, depth: u32) -> Step {
        let rules = self.rules;
        let ranks = rules.ranks();
        let total = ranks.total(chain);
        if total == 0 {
            return Step::Next;
        }
        // The same list serves again and again; jumps from here go on with a list of their own.
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        rules.index().candidates(chain, &packet.flow, &mut found);
        let position = |(slot, row): (u32, u32)| {
            let inside = rules.slot(slot).map_or(0, |s| s.shared_rows(chain).partition_point(|r| *r < row));
            ranks.before(chain, slot) + inside as u32
        };
        if found.len() > 1 {
            found.sort_by_cached_key(|at| position(*at));
        }
        // Rules of the chain before this position are counted already.
        let (mut counted, mut ended) = (0, Step::Next);
        for at in &found {
            let Some(segment) = rules.slot(at.0) else { continue };
            let Some(rule) = segment.rule(at.1) else { continue };
            let here = position(*at);
            self.walked += here - counted;
            counted = here + 1;
            let step = self.rule(hook, Some(segment), ChainRef::Shared(chain), *number + here + 1, rule, packet, depth);
            if !matches!(step, Step::Next) {
                ended = step;
                break;
            }
        }
        self.found = found;
        if !matches!(ended, Step::Next) {
            return ended;
        }
        self.walked += total - counted;
        *number += total;
        Step::Next
    }

    fn own(&mut self, hook: Hook, segment: &Arc<Segment>, chain: u16, packet: &mut Packet, depth: u32) -> Step {
        let mut number = 0;
        for row in segment.own_rows(chain) {
            number += 1;
            let Some(rule) = segment.rule(*row) else { continue };
            let step = self.rule(hook, Some(segment), ChainRef::Own(chain), number, rule, packet, depth);
            if !matches!(step, Step::Next) {
                return step;
            }
        }
        Step::Next
    }

    #[expect(clippy::too_many_arguments, reason = "the place of a rule, the rule and the packet")]
    fn rule(
        &mut self,
        hook: Hook,
        segment: Option<&Arc<Segment>>,
        chain: ChainRef,
        number: u32,
        rule: &Rule,
        packet: &mut Packet,
        depth: u32,
    ) -> Step {
        self.walked += 1;
        let failed = self.first_unmet(rule, packet);
        // A rule over a set is there for whom its entry is.
        let shared = rule.origin == OriginId::NONE && failed.is_none();
        let origin = if shared { self.entry_origin } else { rule.origin };
        if self.steps.is_some() {
            let step = TraceStep { origin, ..self.step(hook, segment, chain, number, rule, failed) };
            self.steps.get_or_insert_default().push(step);
        }
        if failed.is_some() {
            return Step::Next;
        }
        match rule.target {
            Target::None => Step::Next,
            Target::Return => Step::Return,
            Target::Accept => Step::End(End::Accept, origin),
            Target::Drop => Step::End(End::Drop, origin),
            Target::Reject => Step::End(End::Reject, origin),
            Target::Dnat(to) => Step::End(End::Dnat(to), origin),
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
            Target::Jump(to) => {
                let step = match (to, segment) {
                    (ChainRef::Shared(c), _) => self.shared(hook, c, packet, depth + 1),
                    (ChainRef::Own(c), Some(segment)) => self.own(hook, segment, c, packet, depth + 1),
                    (ChainRef::Own(_), None) => Step::Next,
                };
                match step {
                    Step::Return => Step::Next,
                    step => step,
                }
            }
        }
    }

    /// The first option that does not hold. As the kernel does, addresses and protocol come first
    /// (they are in the rule's own header), then the others in written order.
    fn first_unmet(&mut self, rule: &Rule, packet: &Packet) -> Option<usize> {
        let flow = &packet.flow;
        for (i, m) in rule.matches.iter().enumerate() {
            let holds = match m {
                Match::Source { net, not } => net.contains(flow.src.ip()) != *not,
                Match::Destination { net, not } => net.contains(flow.dst.ip()) != *not,
                Match::Proto(proto) | Match::ProtoOnly(proto) => flow.proto == *proto && !packet.echo,
                _ => true,
            };
            if !holds {
                return Some(i);
            }
        }
        for (i, m) in rule.matches.iter().enumerate() {
            let holds = match m {
                Match::Comment(_) | Match::Source { .. } | Match::Destination { .. } => true,
                Match::Proto(_) | Match::ProtoOnly(_) => true,
                // No bridges here: what is routed came in through no port of one.
                Match::NotFromBridge => true,
                Match::DestinationPort(port) => flow.dst.port() == *port,
                Match::InSet { set, dimensions, .. } => {
                    let entry = self.ipvs.and_then(|table| table.matches(*set, *dimensions, packet));
                    self.entry_origin = entry.unwrap_or(self.entry_origin);
                    entry.is_some()
                }
                Match::VirtualServer { proto, addr } => packet.ipvs == Some(*addr) && flow.proto == *proto,
                Match::CtState { states, not } => packet.state.meets(*states) != *not,
                Match::Mark { value, mask, not } => (packet.mark & mask == *value) != *not,
                Match::Statistic(p) => (self.decide)(Draw::Statistic(*p)) == 0,
                Match::RecentCheck { name, seconds, reap } => {
                    let hit = self.recent.check(name, flow.src.ip(), self.now, *seconds);
                    if *reap {
                        self.changes.push(Change::RecentReap { list: name.clone(), seconds: *seconds });
                    }
                    hit
                }
                Match::RecentSet { name } => {
                    self.changes.push(Change::RecentSet { list: name.clone(), ip: flow.src.ip() });
                    true
                }
                Match::DestinationLocal => self.is_local(flow.dst.ip()),
                Match::SourceLocal => self.is_local(flow.src.ip()),
                Match::SourceNotLocal => !self.is_local(flow.src.ip()),
            };
            if !holds {
                return Some(i);
            }
        }
        None
    }

    fn step(
        &self,
        hook: Hook,
        segment: Option<&Arc<Segment>>,
        chain: ChainRef,
        number: u32,
        rule: &Rule,
        failed: Option<usize>,
    ) -> TraceStep {
        let base = self.rules.base();
        let segment = segment.map(Arc::as_ref);
        let (table, name) = match chain {
            ChainRef::Shared(c) => base.chains.get(usize::from(c)).map(|c| (c.table, c.name.clone())),
            ChainRef::Own(c) => segment.and_then(|s| s.chains().get(usize::from(c))).map(|c| (c.table, c.name.clone())),
        }
        .unwrap_or((Table::Filter, Arc::from("?")));
        TraceStep {
            hook: hook.name(),
            table: table.name(),
            chain: name,
            number,
            matched: failed.is_none(),
            failed: failed.and_then(|i| rule.matches.get(i)).map(|m| {
                let mut out = String::new();
                text::write_match(&mut out, m);
                out
            }),
            target: text::target_text(base, segment, &rule.target),
            text: text::rule_text(base, segment, chain, rule),
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
