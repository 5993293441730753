//! The order of hooks and tables.

use crate::conntrack::State;
use crate::draw::Draw;
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

impl Kernel {
    pub(crate) fn walk<'a>(&'a self, now: Time, linear: bool, decide: &'a mut dyn FnMut(Draw) -> u32) -> Walk<'a> {
        Walk {
            rules: &self.rules,
            recent: &self.recent,
            addresses: &self.config.addresses,
            now,
            linear,
            decide,
            steps: None,
            walked: 0,
            ended_at: None,
            changes: Vec::new(),
        }
    }

    /// The live entry that a packet of this flow belongs to. A SYN ends what is in TIME_WAIT
    /// (`nf_conntrack_proto_tcp.c`).
    pub(crate) fn live(&self, now: Time, flow: &Flow) -> Option<&ConntrackEntry> {
        self.conntrack.get(now, flow).filter(|e| e.state != State::TimeWait)
    }

    /// Through all hooks; with the translation of the connection if it is known.
    pub(crate) fn pass(&self, walk: &mut Walk<'_>, flow: Flow, entry: Entry) -> (Passed, Option<Nat>) {
        let Some(known) = self.live(walk.now, &flow).copied() else {
            return (self.pass_new(walk, flow, entry), None);
        };
        let translated = if known.nat.dst == flow.dst { CtStates(0) } else { CtStates::DNAT };
        let state = if known.replied { CtStates::ESTABLISHED } else { CtStates::NEW };
        let flow = Flow { dst: known.nat.dst, ..flow };
        let mut packet = Packet { flow, mark: 0, state: state.or(translated) };
        let (verdict, origin) = self.filter(walk, &mut packet, entry);
        let step = walk.ended_at.filter(|_| matches!(verdict, Verdict::Reject | Verdict::Drop));
        (Passed { verdict, dst: known.nat.dst, masquerade: None, decided_by: origin, step }, Some(known.nat))
    }

    pub(crate) fn pass_new(&self, walk: &mut Walk<'_>, flow: Flow, entry: Entry) -> Passed {
        let mut packet = Packet { flow, mark: 0, state: CtStates::NEW };
        let martian = |ip| entry != Entry::Process && is_martian(ip, self.config.route_localnet);
        if flow.src.is_ipv4() != flow.dst.is_ipv4() || martian(flow.src.ip()) || martian(flow.dst.ip()) {
            let (verdict, decided_by) = (Verdict::Drop, OriginId::NONE);
            return Passed { verdict, dst: flow.dst, masquerade: None, decided_by, step: None };
        }
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

    /// Routing and the filter table.
    fn filter(&self, walk: &mut Walk<'_>, packet: &mut Packet, entry: Entry) -> (Verdict, OriginId) {
        let local = is_local(&self.config.addresses, packet.flow.dst.ip());
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
}
