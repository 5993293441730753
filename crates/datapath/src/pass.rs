//! The order of hooks and tables.

use crate::conntrack::State;
use crate::draw::Draw;
use crate::nft;
use crate::walk::{End, Packet, Walk, is_local, is_martian};
use crate::{ConntrackEntry, CtStates, Entry, Flow, Hook, Kernel, Nat, OriginId, Table, Verdict};
use lab_base::Time;
use std::net::SocketAddr;

/// A packet after all hooks.
pub(crate) struct Passed {
    pub(crate) verdict: Verdict,
    pub(crate) dst: SocketAddr,
    pub(crate) masquerade: Option<bool>,
    pub(crate) decided_by: OriginId,
    /// The step of the trace that decided.
    pub(crate) step: Option<usize>,
}

impl Passed {
    pub(crate) fn lost(dst: SocketAddr) -> Passed {
        Passed { verdict: Verdict::Drop, dst, masquerade: None, decided_by: OriginId::NONE, step: None }
    }
}

impl Kernel {
    pub(crate) fn walk<'a>(&'a self, now: Time, linear: bool, decide: &'a mut dyn FnMut(Draw) -> u32) -> Walk<'a> {
        Walk {
            rules: &self.rules,
            ranks: self.rules.ranks(),
            recent: &self.recent,
            sets: &self.sets,
            addresses: &self.config.addresses,
            ipvs: self.ipvs.as_deref(),
            now,
            linear,
            entry_origin: OriginId::NONE,
            long_run: false,
            decide,
            steps: None,
            walked: 0,
            has_entry: false,
            ended_at: None,
            changes: Vec::new(),
        }
    }

    /// The live entry that a packet of this flow belongs to. A SYN ends what is in TIME_WAIT
    /// (`nf_conntrack_proto_tcp.c`).
    fn live(&self, walk: &mut Walk<'_>, flow: &Flow) -> Option<ConntrackEntry> {
        let entry = self.conntrack.get(walk.now, flow);
        walk.has_entry = entry.is_some();
        entry.filter(|e| e.state != State::TimeWait)
    }

    /// Through all hooks; with the translation of the connection if it is known.
    pub(crate) fn pass<'a>(&'a self, walk: &mut Walk<'a>, flow: Flow, entry: Entry) -> (Passed, Option<Nat>) {
        if let Some(table) = &self.nft {
            return self.pass_nft(walk, table, flow, entry);
        }
        let Some(known) = self.live(walk, &flow) else {
            return (self.pass_new(walk, flow, entry), None);
        };
        if self.ipvs.is_some() && (known.ipvs || known.nat.dst == flow.dst) {
            let passed = self.pass_ipvs(walk, flow, entry, Some((known.nat, known.replied)));
            return (passed, Some(known.nat));
        }
        let translated = if known.nat.dst == flow.dst { CtStates(0) } else { CtStates::DNAT };
        let state = if known.replied { CtStates::ESTABLISHED } else { CtStates::NEW };
        let flow = Flow { dst: known.nat.dst, ..flow };
        let mut packet = Packet { state: state.or(translated), ..Packet::new(flow) };
        let (verdict, origin) = self.filter(walk, &mut packet, entry);
        let step = walk.ended_at.filter(|_| matches!(verdict, Verdict::Reject | Verdict::Drop));
        (Passed { verdict, dst: known.nat.dst, masquerade: None, decided_by: origin, step }, Some(known.nat))
    }

    pub(crate) fn pass_new<'a>(&'a self, walk: &mut Walk<'a>, flow: Flow, entry: Entry) -> Passed {
        if self.is_refused_by_routing(&flow, entry) {
            return Passed::lost(flow.dst);
        }
        if let Some(table) = &self.nft {
            return self.through_nft(walk, table, Packet::new(flow), entry, None);
        }
        if self.ipvs.is_some() {
            return self.pass_ipvs(walk, flow, entry, None);
        }
        let mut packet = Packet::new(flow);
        let first = if entry == Entry::Process { Hook::Output } else { Hook::Prerouting };
        let (mut chosen_by, mut step) = (OriginId::NONE, None);
        if let Some((End::Dnat(to), origin)) = walk.hook(Table::Nat, first, &mut packet) {
            packet.flow.dst = to;
            packet.state = packet.state.or(CtStates::DNAT);
            (chosen_by, step) = (origin, walk.ended_at);
        }
        let (verdict, refused_by) = self.filter(walk, &mut packet, entry);
        let dst = packet.flow.dst;
        if matches!(verdict, Verdict::Reject | Verdict::Drop) {
            return Passed { verdict, dst, masquerade: None, decided_by: refused_by, step: walk.ended_at };
        }
        let mut masquerade = None;
        // What comes from outside and stays here never leaves, so it meets no POSTROUTING.
        if (verdict == Verdict::Forward || entry == Entry::Process)
            && let Some((End::Masquerade { random_fully }, _)) = walk.hook(Table::Nat, Hook::Postrouting, &mut packet)
        {
            masquerade = Some(random_fully);
        }
        Passed { verdict, dst, masquerade, decided_by: chosen_by, step }
    }

    /// Whether such a packet does not even reach the rules.
    fn is_refused_by_routing(&self, flow: &Flow, entry: Entry) -> bool {
        let martian = |ip| entry != Entry::Process && is_martian(ip, self.config.route_localnet);
        flow.src.is_ipv4() != flow.dst.is_ipv4() || martian(flow.src.ip()) || martian(flow.dst.ip())
    }

    /// Routing and the filter table.
    fn filter(&self, walk: &mut Walk<'_>, packet: &mut Packet, entry: Entry) -> (Verdict, OriginId) {
        let local = walk.is_local(packet.flow.dst.ip());
        let hooks: &[Hook] = match (entry, local) {
            (Entry::Process, true) => &[Hook::Output, Hook::Input],
            (Entry::Process, false) => &[Hook::Output],
            (_, true) => &[Hook::Input],
            (_, false) => &[Hook::Forward],
        };
        for hook in hooks {
            match walk.hook(Table::Filter, *hook, packet) {
                Some((End::Drop, origin)) => return (Verdict::Drop, origin),
                Some((End::Reject, origin)) => return (Verdict::Reject, origin),
                _ => {}
            }
        }
        (if local { Verdict::Local } else { Verdict::Forward }, OriginId::NONE)
    }

    /// [`Kernel::pass`] where an nftables table is in force.
    fn pass_nft<'a>(
        &'a self,
        walk: &mut Walk<'a>,
        table: &'a nft::Table,
        flow: Flow,
        entry: Entry,
    ) -> (Passed, Option<Nat>) {
        let Some(known) = self.live(walk, &flow) else {
            return (self.pass_new(walk, flow, entry), None);
        };
        let state = if known.replied { CtStates::ESTABLISHED } else { CtStates::NEW };
        let packet = Packet { state, ..Packet::new(flow) };
        (self.through_nft(walk, table, packet, entry, Some(known.nat)), Some(known.nat))
    }

    /// Through the base chains of an nftables table. Where a connection is `known` its translation takes the place
    /// of the nat chains.
    fn through_nft<'a>(
        &'a self,
        walk: &mut Walk<'a>,
        table: &'a nft::Table,
        mut packet: Packet,
        entry: Entry,
        known: Option<Nat>,
    ) -> Passed {
        let mut passed = Passed { verdict: Verdict::Forward, ..Passed::lost(packet.flow.dst) };
        let is_local = |packet: &Packet| is_local(&self.config.addresses, packet.flow.dst.ip());
        let first = if entry == Entry::Process { Hook::Output } else { Hook::Prerouting };
        let mut go_on = self.nft_hook(walk, table, first, &mut packet, known, &mut passed);
        // Routed by the translated destination.
        let local = is_local(&packet);
        let then: &[Hook] = match (entry, local) {
            // Out and in again, through the loopback interface.
            (Entry::Process, true) => &[Hook::Postrouting, Hook::Prerouting, Hook::Input],
            (Entry::Process, false) => &[Hook::Postrouting],
            (_, true) => &[Hook::Input],
            (_, false) => &[Hook::Forward, Hook::Postrouting],
        };
        for hook in then {
            // A connection that has been translated on its way out meets no nat chain on its way in.
            let known = match hook {
                Hook::Prerouting => Some(Nat { src: packet.flow.src, dst: packet.flow.dst }),
                _ => known,
            };
            go_on = go_on && self.nft_hook(walk, table, *hook, &mut packet, known, &mut passed);
        }
        if go_on {
            passed.verdict = if local { Verdict::Local } else { Verdict::Forward };
        }
        passed.dst = packet.flow.dst;
        passed
    }

    /// The base chains of one hook. Whether the packet goes on.
    fn nft_hook<'a>(
        &'a self,
        walk: &mut Walk<'a>,
        table: &'a nft::Table,
        hook: Hook,
        packet: &mut Packet,
        known: Option<Nat>,
        passed: &mut Passed,
    ) -> bool {
        for (chain, kind) in table.hooked(hook) {
            if let (nft::ChainType::Nat, Some(nat)) = (kind, known) {
                packet.flow.dst = nat.dst;
                continue;
            }
            let Some((end, origin)) = walk.nft_chain(table, hook, chain, packet) else { continue };
            match end {
                End::Accept => {}
                End::Dnat(to) => {
                    packet.flow.dst = to;
                    packet.state = packet.state.or(CtStates::DNAT);
                    (passed.decided_by, passed.step) = (origin, walk.ended_at);
                }
                End::Masquerade { random_fully } => passed.masquerade = Some(random_fully),
                End::Drop | End::Reject => {
                    passed.verdict = if end == End::Drop { Verdict::Drop } else { Verdict::Reject };
                    (passed.decided_by, passed.step, passed.masquerade) = (origin, walk.ended_at, None);
                    return false;
                }
            }
        }
        true
    }
}
