//! A packet's way through a table.

use super::text::{match_text, rule_text, statement_text, verdict_text};
use super::{Holder, Key, KeyType, Match, Rule, Segment, Statement, Table, Verdict};
use crate::draw::Draw;
use crate::walk::{Change, End, Packet, TraceStep, Walk, is_local};
use crate::{ChainRef, Hook, OriginId};
use std::sync::Arc;

/// How a chain was left.
enum Left {
    /// At its end or by `return`: on after the last jump.
    Back,
    End(End, OriginId),
}

/// What a rule does with the packet.
enum Effect<'a> {
    /// The next rule.
    Next,
    Verdict(Verdict, Option<&'a Arc<Segment>>),
    End(End),
}

/// Jumps nested deeper than this are refused by the kernel (`NFT_JUMP_STACK_SIZE`).
const MAX_DEPTH: u32 = 16;

/// A chain and the segment that it is in.
#[derive(Clone, Copy)]
struct Place<'a> {
    segment: Option<&'a Arc<Segment>>,
    chain: ChainRef,
}

impl<'a> Walk<'a> {
    /// Runs one base chain; its policy is accept.
    pub(crate) fn nft_chain(
        &mut self,
        table: &'a Table,
        hook: Hook,
        chain: u16,
        packet: &mut Packet,
    ) -> Option<(End, OriginId)> {
        let place = Place { segment: None, chain: ChainRef::Shared(chain) };
        match self.run(table, hook, place, packet, OriginId::NONE, 0) {
            Left::Back => None,
            Left::End(end, origin) => {
                self.ended_at = self.steps.as_ref().and_then(|s| s.len().checked_sub(1));
                Some((end, origin))
            }
        }
    }

    /// `via`: where the rule or element comes from that led here.
    fn run(
        &mut self,
        table: &'a Table,
        hook: Hook,
        place: Place<'a>,
        packet: &mut Packet,
        via: OriginId,
        depth: u32,
    ) -> Left {
        let (rules, rows) = table.rules_of(place.segment.map(Arc::as_ref), place.chain);
        for (i, row) in rows.iter().enumerate() {
            let Some(rule) = rules.get(*row as usize) else { continue };
            self.walked += 1;
            let mut origin = if rule.origin == OriginId::NONE { via } else { rule.origin };
            let failed = rule.matches.iter().find(|m| !self.holds(table, place.segment, m, packet));
            let failed = failed.map(|m| Failed::Match(m.clone()));
            let (effect, failed) = match failed {
                Some(failed) => (Effect::Next, Some(failed)),
                None => self.effect(table, place.segment, &rule.statement, packet, &mut origin),
            };
            if self.steps.is_some() {
                let step = trace_step(table, hook, place, (i + 1) as u32, rule, failed, &effect, origin);
                self.steps.get_or_insert_default().push(step);
            }
            match effect {
                Effect::Next => {}
                Effect::End(end) => return Left::End(end, origin),
                Effect::Verdict(Verdict::Drop, _) => return Left::End(End::Drop, origin),
                Effect::Verdict(Verdict::Return, _) => return Left::Back,
                Effect::Verdict(Verdict::Jump(chain), segment) if depth < MAX_DEPTH => {
                    if let end @ Left::End(..) =
                        self.run(table, hook, Place { segment, chain }, packet, origin, depth + 1)
                    {
                        return end;
                    }
                }
                Effect::Verdict(Verdict::Goto(chain), segment) if depth < MAX_DEPTH => {
                    return self.run(table, hook, Place { segment, chain }, packet, origin, depth + 1);
                }
                Effect::Verdict(..) => {}
            }
        }
        Left::Back
    }

    fn holds(&self, table: &Table, segment: Option<&'a Arc<Segment>>, m: &Match, packet: &Packet) -> bool {
        let flow = &packet.flow;
        let (src, dst) = (flow.src.ip(), flow.dst.ip());
        let in_set = |set, ip| {
            let found = match set {
                super::SetRef::Shared(s) => table.element(Holder::Set(s), Key::Address(ip)).is_some(),
                super::SetRef::Own(_) => false,
            };
            let set = table.set(segment.map(Arc::as_ref), set);
            found || set.is_some_and(|s| s.timeout.is_some() && self.sets.contains(&s.name, ip, self.now))
        };
        match m {
            Match::CtState(states) => packet.state.meets(*states),
            Match::Source { net, not } => net.contains(src) != *not,
            Match::SourceNotIn(nets) => !nets.iter().any(|net| net.contains(src)),
            Match::SourceInSet(set) => in_set(*set, src),
            Match::Destination { net, not } => net.contains(dst) != *not,
            Match::DestinationIn(nets) => nets.iter().any(|net| net.contains(dst)),
            Match::DestinationInSet(set) => in_set(*set, dst),
            Match::Proto(proto) => flow.proto == *proto,
            Match::DestinationPort(proto, port) => flow.proto == *proto && flow.dst.port() == *port,
            Match::SourceLocal => is_local(self.addresses, src),
            Match::DestinationLocal => is_local(self.addresses, dst),
            Match::MarkUnset(mask) => packet.mark & mask == 0,
        }
    }

    fn effect(
        &mut self,
        table: &'a Table,
        segment: Option<&'a Arc<Segment>>,
        statement: &Statement,
        packet: &mut Packet,
        origin: &mut OriginId,
    ) -> (Effect<'a>, Option<Failed>) {
        let flow = packet.flow;
        let effect = match statement {
            Statement::Verdict(verdict) => Effect::Verdict(*verdict, segment),
            Statement::Lookup(map) => {
                let port = flow.dst.port();
                let key = match table.map(*map).map(|m| m.key) {
                    Some(KeyType::Service) => Key::Service(flow.dst.ip(), flow.proto, port),
                    _ => Key::Port(flow.proto, port),
                };
                let found = table.element(Holder::Map(*map), key);
                let Some((holder, element)) = found else { return (Effect::Next, Some(Failed::Lookup)) };
                let Some(verdict) = element.verdict else { return (Effect::Next, Some(Failed::Lookup)) };
                *origin = element.origin;
                Effect::Verdict(verdict, holder)
            }
            Statement::Numgen(chains) => {
                let way = (self.decide)(Draw::Numgen(chains.len() as u32));
                match chains.get(way as usize) {
                    Some(chain) => Effect::Verdict(Verdict::Goto(*chain), segment),
                    None => Effect::Next,
                }
            }
            Statement::MarkOr(mark) => {
                packet.mark |= mark;
                Effect::Next
            }
            Statement::MarkXor(mark) => {
                packet.mark ^= mark;
                Effect::Next
            }
            Statement::Update(set) => {
                if let Some(set) = table.set(segment.map(Arc::as_ref), *set)
                    && let Some(timeout) = set.timeout
                {
                    self.changes.push(Change::SetUpdate { set: set.name.clone(), ip: flow.src.ip(), timeout });
                }
                Effect::Next
            }
            Statement::Dnat(to) => Effect::End(End::Dnat(*to)),
            Statement::Reject => Effect::End(End::Reject),
            Statement::Masquerade { fully_random } => Effect::End(End::Masquerade { random_fully: *fully_random }),
        };
        (effect, None)
    }
}

/// Why a rule did nothing.
enum Failed {
    Match(Match),
    /// The packet's key is not in the map.
    Lookup,
}

#[expect(clippy::too_many_arguments, reason = "the place of a rule, the rule and what it did")]
fn trace_step(
    table: &Table,
    hook: Hook,
    place: Place<'_>,
    number: u32,
    rule: &Rule,
    failed: Option<Failed>,
    effect: &Effect<'_>,
    origin: OriginId,
) -> TraceStep {
    let segment = place.segment.map(Arc::as_ref);
    TraceStep {
        hook: hook.name(),
        table: "kube-proxy",
        chain: table.chain(segment, place.chain).map_or_else(|| "?".into(), |c| c.name.clone()),
        number,
        matched: failed.is_none(),
        target: match effect {
            Effect::Verdict(verdict, holder) => verdict_text(table, holder.map(Arc::as_ref), *verdict),
            Effect::Next | Effect::End(_) => statement_text(table, segment, &rule.statement),
        },
        failed: failed.map(|failed| match failed {
            Failed::Match(m) => match_text(table, segment, &m),
            Failed::Lookup => statement_text(table, segment, &rule.statement),
        }),
        text: rule_text(table, segment, rule),
        origin,
        decided: false,
    }
}
