//! The order of hooks where virtual servers are configured.
//!
//! IPVS takes packets in INPUT after the filter table (`NF_IP_PRI_NAT_SRC - 1`), those of the node's own processes in
//! OUTPUT before it (`NF_IP_PRI_NAT_DST + 2`), and sends them on through OUTPUT (`ip_vs_nat_xmit`), so that they meet
//! its filter table with the real server as destination, then POSTROUTING.

use super::state::Decision;
use super::table::{ServerKey, Table};
use super::text::server_name;
use crate::draw::Draw;
use crate::pass::Passed;
use crate::walk::{End, Packet, TraceStep, Walk};
use crate::{CtStates, Entry, Flow, Hook, Kernel, Nat, OriginId, Verdict};
use crate::{Table as IptablesTable, walk::Change};
use std::net::SocketAddr;

/// What IPVS did.
enum Taken {
    /// Nothing: no virtual server, or none that knows the connection.
    No,
    To(SocketAddr, OriginId, Option<usize>),
    Refused(OriginId, Option<usize>),
    Lost(OriginId, Option<usize>),
}

impl Kernel {
    /// Through all hooks; `known` is the translation that conntrack remembers.
    pub(crate) fn pass_ipvs<'a>(
        &'a self,
        walk: &mut Walk<'a>,
        flow: Flow,
        entry: Entry,
        known: Option<(Nat, bool)>,
    ) -> Passed {
        let state = match known {
            Some((_, true)) => CtStates::ESTABLISHED,
            _ => CtStates::NEW,
        };
        let mut packet = Packet { state, ..Packet::new(flow) };
        let process = entry == Entry::Process;
        if known.is_none() {
            let first = if process { Hook::Output } else { Hook::Prerouting };
            walk.hook(IptablesTable::Nat, first, &mut packet);
        }
        let lost = |origin, step| Passed { verdict: Verdict::Drop, decided_by: origin, step, ..Passed::lost(flow.dst) };
        let local = walk.is_local(flow.dst.ip());
        let input = if process { Hook::Output } else { Hook::Input };
        if !process {
            let hook = if local { Hook::Input } else { Hook::Forward };
            if let Some(passed) = refused(walk, hook, &mut packet) {
                return passed;
            }
        }
        let taken = match local {
            true => self.ipvs_takes(walk, input, &packet, known.is_none()),
            false => Taken::No,
        };
        let (to, origin, step) = match taken {
            Taken::To(to, origin, step) => (to, origin, step),
            Taken::Refused(origin, step) => return Passed { verdict: Verdict::Reject, ..lost(origin, step) },
            Taken::Lost(origin, step) => return lost(origin, step),
            Taken::No => return self.past_ipvs(walk, packet, entry, known.is_some()),
        };
        packet.ipvs = Some(flow.dst);
        packet.flow.dst = to;
        let stays = walk.is_local(to.ip());
        if flow.src.ip().is_loopback() && !stays {
            // `crosses_local_route_boundary`: "Stopping traffic from loopback address to non-local address".
            return lost(origin, step);
        }
        // A packet from elsewhere for this node goes on in INPUT; all others are sent.
        let sent = process || !stays;
        if sent && let Some(passed) = refused(walk, Hook::Output, &mut packet) {
            return passed;
        }
        if process
            && stays
            && let Some(passed) = refused(walk, Hook::Input, &mut packet)
        {
            return passed;
        }
        let verdict = if stays { Verdict::Local } else { Verdict::Forward };
        let masquerade = if sent && known.is_none() { masquerade(walk, &mut packet) } else { None };
        Passed { verdict, dst: to, masquerade, decided_by: origin, step }
    }

    /// The way of a packet that IPVS has left alone.
    fn past_ipvs<'a>(&'a self, walk: &mut Walk<'a>, mut packet: Packet, entry: Entry, known: bool) -> Passed {
        let dst = packet.flow.dst;
        let local = walk.is_local(dst.ip());
        let process = entry == Entry::Process;
        if process {
            for hook in [Hook::Output, Hook::Input].into_iter().take(1 + usize::from(local)) {
                if let Some(passed) = refused(walk, hook, &mut packet) {
                    return passed;
                }
            }
        }
        let masquerade = if !known && (process || !local) { masquerade(walk, &mut packet) } else { None };
        let verdict = if local { Verdict::Local } else { Verdict::Forward };
        Passed { verdict, masquerade, ..Passed::lost(dst) }
    }

    fn ipvs_takes<'a>(&'a self, walk: &mut Walk<'a>, hook: Hook, packet: &Packet, first: bool) -> Taken {
        let key = ServerKey { proto: packet.flow.proto, addr: packet.flow.dst };
        walk.walked += 1;
        let decision = if walk.long_run && first {
            self.ipvs_state.long_run(walk.now, &packet.flow).map(|shares| {
                let total: u32 = shares.iter().map(|(_, _, n)| n).sum();
                let way = if total > 0 { (walk.decide)(Draw::Share(total)) } else { 0 };
                let mut before = 0;
                let found = shares.into_iter().find(|(_, _, n)| {
                    before += n;
                    way < before
                });
                found.map_or(Decision::NoDestination, |(to, origin, _)| Decision::To { to, origin, new: None })
            })
        } else {
            self.ipvs_state.decide(walk.now, &packet.flow, first)
        };
        let own = self.ipvs_state.origin(&key);
        let (to, origin) = match &decision {
            Some(Decision::To { to, origin, .. }) => (Some(*to), *origin),
            _ => (None, own),
        };
        let step = walk.steps.is_some().then(|| self.ipvs_step(walk, hook, key, decision.as_ref(), to, origin));
        match decision {
            None => Taken::No,
            Some(Decision::NoDestination) => Taken::Refused(own, step),
            Some(Decision::Gone) => {
                walk.changes.push(Change::Gone);
                Taken::Lost(own, step)
            }
            Some(Decision::To { to, origin, new }) => {
                walk.changes.extend(new.map(|scheduled| Change::Scheduled(Box::new(scheduled))));
                Taken::To(to, origin, step)
            }
        }
    }

    /// Tells what IPVS did, as a step of the trace.
    fn ipvs_step<'a>(
        &'a self,
        walk: &mut Walk<'a>,
        hook: Hook,
        key: ServerKey,
        decision: Option<&Decision>,
        to: Option<SocketAddr>,
        origin: OriginId,
    ) -> usize {
        let name = server_name(&key);
        let (flags, number) = self.ipvs_state.describe(&key, to);
        let target = match (decision, to) {
            (_, Some(to)) => format!("{to} Masq"),
            (Some(Decision::NoDestination), _) => "no destination: icmp-port-unreachable".into(),
            (Some(Decision::Gone), _) => "destination gone: connection expired".into(),
            _ => String::new(),
        };
        let failed = decision.is_none().then(|| format!("no virtual server {name}"));
        let text = if flags.is_empty() { name.clone() } else { format!("{name} {flags}") };
        let step = TraceStep {
            hook: hook.name(),
            table: "ipvs",
            chain: name.into(),
            number,
            matched: failed.is_none(),
            failed,
            target,
            text,
            origin,
            decided: false,
        };
        let steps = walk.steps.get_or_insert_default();
        steps.push(step);
        steps.len() - 1
    }
}

/// The filter table's chain of a hook, where it ends the way.
fn refused(walk: &mut Walk<'_>, hook: Hook, packet: &mut Packet) -> Option<Passed> {
    let (verdict, origin) = match walk.hook(IptablesTable::Filter, hook, packet)? {
        (End::Drop, origin) => (Verdict::Drop, origin),
        (End::Reject, origin) => (Verdict::Reject, origin),
        _ => return None,
    };
    Some(Passed { verdict, decided_by: origin, step: walk.ended_at, ..Passed::lost(packet.flow.dst) })
}

fn masquerade(walk: &mut Walk<'_>, packet: &mut Packet) -> Option<bool> {
    match walk.hook(IptablesTable::Nat, Hook::Postrouting, packet) {
        Some((End::Masquerade { random_fully }, _)) => Some(random_fully),
        _ => None,
    }
}

/// What a ping of an address gets (`ping(8)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// An answer from this node.
    Answered,
    /// ICMP port unreachable.
    Refused,
    /// Nothing.
    Lost,
    /// It isn't for this node.
    Elsewhere,
}

impl Table {
    /// Where the entry comes from that a packet's addresses and ports are in a set by; a packet without ports is in
    /// none that asks for them.
    pub(crate) fn matches(&self, set: u16, dimensions: super::Dimensions, packet: &Packet) -> Option<OriginId> {
        let with_ports = self.base().sets.get(usize::from(set)).is_some_and(|s| s.kind != super::SetKind::HashIp);
        if packet.echo && with_ports { None } else { self.contains(set, dimensions, &packet.flow) }
    }
}

impl Kernel {
    /// What becomes of a ping at this node, as its addresses and the filter table's INPUT chain say.
    pub fn echo(&self, now: lab_base::Time, from: std::net::IpAddr, to: std::net::IpAddr, entry: Entry) -> Echo {
        let mut decide = |_| 0;
        let mut walk = self.walk(now, false, &mut decide);
        if !walk.is_local(to) {
            return Echo::Elsewhere;
        }
        let flow = Flow { proto: crate::L4::Udp, src: SocketAddr::new(from, 0), dst: SocketAddr::new(to, 0) };
        let mut packet = Packet { echo: true, ..Packet::new(flow) };
        let hooks = [Hook::Output, Hook::Input];
        let hooks = if entry == Entry::Process { &hooks[..] } else { &hooks[1..] };
        for hook in hooks {
            match walk.hook(IptablesTable::Filter, *hook, &mut packet) {
                Some((End::Reject, _)) => return Echo::Refused,
                Some((End::Drop, _)) => return Echo::Lost,
                _ => {}
            }
        }
        Echo::Answered
    }
}
