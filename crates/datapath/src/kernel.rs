//! The network stack of one node.

use crate::conntrack::State;
use crate::walk::{End, Packet, RecentChange, TraceStep, Walk, is_local, is_martian};
use crate::{
    Conntrack, ConntrackEntry, CtStates, Entry, Flow, Hook, L4, Nat, OriginId, Probability, RecentLists, Ruleset,
    Table, Timeouts, Verdict,
};
use lab_base::{Span, Time};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What a node's network stack is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelConfig {
    /// Addresses of the node, loopback included. The first of a family that is not loopback is what
    /// MASQUERADE writes.
    pub addresses: Vec<IpAddr>,
    /// `net.ipv4.conf.all.route_localnet`, which kube-proxy sets for node ports on 127.0.0.1.
    pub route_localnet: bool,
    /// Lives of conntrack entries.
    pub timeouts: Timeouts,
    /// `nf_conntrack_max`; kube-proxy sets at least 131072.
    pub conntrack_max: u32,
}

impl Default for KernelConfig {
    fn default() -> KernelConfig {
        KernelConfig {
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            route_localnet: true,
            timeouts: Timeouts::default(),
            conntrack_max: 131_072,
        }
    }
}

/// What happened to the first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// What became of it.
    pub verdict: Verdict,
    /// Source and destination with which it goes on.
    pub nat: Nat,
    /// How many rules a kernel looks at, which has to walk chains from their beginning.
    pub rules_walked: u32,
    /// Where the rule comes from that chose the endpoint, or that refused the packet.
    pub decided_by: OriginId,
}

/// One possible outcome for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Where it goes.
    pub dst: SocketAddr,
    /// Whether its source becomes the node's address.
    pub masquerade: bool,
    /// How likely this is.
    pub probability: f64,
    /// Where the rule comes from that decided.
    pub decided_by: OriginId,
}

/// What a client can tell about an outcome, as the conformance cases name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Observed {
    /// Another destination answers.
    Dnat,
    /// ICMP port unreachable: refused.
    Reject,
    /// No answer.
    Drop,
    /// No rule took it; it went to the destination itself, who may refuse.
    None,
}

impl Share {
    /// What a client sees of it. Two refusals of a node's own packets cannot be seen as such (recorded on a real
    /// kernel): on the way to the node itself they look like a closed port, and a datagram is only lost.
    pub fn observed(&self, flow: &Flow, entry: Entry, config: &KernelConfig) -> Observed {
        match self.verdict {
            Verdict::Drop => Observed::Drop,
            Verdict::Reject if entry == Entry::Process && is_local(&config.addresses, self.dst.ip()) => Observed::None,
            Verdict::Reject if entry == Entry::Process && flow.proto == L4::Udp => Observed::Drop,
            Verdict::Reject => Observed::Reject,
            Verdict::Forward | Verdict::Local if self.dst == flow.dst => Observed::None,
            Verdict::Forward | Verdict::Local => Observed::Dnat,
        }
    }
}

/// A node's network stack. A clone shares structure with the original; serializing writes the dynamic state only.
#[derive(Clone, Debug, Serialize)]
pub struct Kernel {
    #[serde(skip)]
    config: Arc<KernelConfig>,
    #[serde(skip)]
    rules: Arc<Ruleset>,
    conntrack: Conntrack,
    recent: RecentLists,
}

/// A packet after all hooks.
struct Passed {
    verdict: Verdict,
    dst: SocketAddr,
    masquerade: Option<bool>,
    decided_by: OriginId,
}

impl Kernel {
    /// A stack without rules and connections.
    pub fn new(config: KernelConfig) -> Kernel {
        Kernel {
            config: Arc::new(config),
            rules: Arc::default(),
            conntrack: Conntrack::default(),
            recent: RecentLists::default(),
        }
    }
    /// Replaces the rules, as `iptables-restore` does. Connections stay; so do `recent` lists that are still used.
    pub fn load(&mut self, rules: Arc<Ruleset>) {
        self.recent.keep(|name| rules.uses_recent(name));
        self.rules = rules;
    }
    /// The rules in force.
    pub fn rules(&self) -> &Arc<Ruleset> {
        &self.rules
    }
    /// What the stack is set to.
    pub fn config(&self) -> &KernelConfig {
        &self.config
    }
    /// The connections.
    pub fn conntrack(&self) -> &Conntrack {
        &self.conntrack
    }
    /// The lists of the `recent` match.
    pub fn recent(&self) -> &RecentLists {
        &self.recent
    }
    /// For tests that break a node on purpose: see [`Ruleset::remove_rule`]. The next load brings the rule back.
    pub fn remove_rule(&mut self, table: Table, chain: &str, target: &str, nth: usize) -> bool {
        Arc::make_mut(&mut self.rules).remove_rule(table, chain, target, nth)
    }
    /// Deletes conntrack entries, as `conntrack -D` does. How many.
    pub fn delete_conntrack(&mut self, now: Time, which: impl Fn(&Flow, &ConntrackEntry) -> bool) -> usize {
        self.conntrack.expire(now);
        self.conntrack.delete(which)
    }

    /// Sends the first packet of a connection through nat, routing and filter, and remembers the connection.
    /// `chance(i)` gives the `i`-th 32 random bits of this packet.
    ///
    /// If the connection is known already (a datagram of a known pair, a SYN sent again) its translation holds.
    pub fn open(&mut self, now: Time, flow: Flow, entry: Entry, chance: &mut dyn FnMut(u32) -> u32) -> Opened {
        self.conntrack.expire(now);
        let mut draws = 0;
        let mut changes = Vec::new();
        let (opened, masquerade) = {
            let mut draw = |p: Probability| {
                draws += 1;
                // xt_statistic.c: (get_random_u32() & 0x7FFFFFFF) < probability
                (chance(draws - 1) & 0x7fff_ffff) < p.threshold()
            };
            let mut walk = self.walk(now, false, &mut draw);
            let (passed, known) = self.pass(&mut walk, flow, entry);
            changes.append(&mut walk.changes);
            let nat = known.unwrap_or(Nat { src: flow.src, dst: passed.dst });
            let opened =
                Opened { verdict: passed.verdict, nat, rules_walked: walk.walked, decided_by: passed.decided_by };
            (opened, passed.masquerade.filter(|_| known.is_none()))
        };
        for change in changes {
            match change {
                RecentChange::Set { list, ip } => self.recent.set(&list, ip, now),
                RecentChange::Reap { list, seconds } => self.recent.reap(&list, now, seconds),
            }
        }
        let mut port_draw = || {
            draws += 1;
            chance(draws - 1)
        };
        self.confirm(now, flow, opened, masquerade, &mut port_draw)
    }

    /// Makes or refreshes the conntrack entry. Refused packets leave none.
    fn confirm(
        &mut self,
        now: Time,
        flow: Flow,
        mut opened: Opened,
        masquerade: Option<bool>,
        draw: &mut dyn FnMut() -> u32,
    ) -> Opened {
        if matches!(opened.verdict, Verdict::Reject | Verdict::Drop) {
            return opened;
        }
        if self.live(now, &flow).is_some() {
            self.established_at(now, flow, false);
            return opened;
        }
        if let Some(random_fully) = masquerade {
            match self.masquerade_address(opened.nat.dst.ip()) {
                Some(ip) => opened.nat.src.set_ip(ip),
                None => {
                    opened.verdict = Verdict::Drop;
                    return opened;
                }
            }
            if random_fully {
                opened.nat.src = self.free_source(&flow, opened.nat, draw);
            }
        }
        if self.conntrack.is_taken(&flow, opened.nat) {
            opened.nat.src = self.free_source(&flow, opened.nat, draw);
        }
        if self.conntrack.len() >= self.config.conntrack_max as usize {
            // "nf_conntrack: table full, dropping packet"
            opened.verdict = Verdict::Drop;
            return opened;
        }
        let t = &self.config.timeouts;
        let life = match flow.proto {
            L4::Tcp => t.tcp_syn_sent,
            L4::Udp => t.udp,
            L4::Sctp => t.sctp_cookie_wait,
        };
        self.conntrack.insert(now, flow, opened.nat, life);
        opened
    }

    /// A source port that no other connection to the same endpoint has, from where `draw` says
    /// (`nf_nat_l4proto_unique_tuple` in `net/netfilter/nf_nat_core.c`).
    fn free_source(&self, flow: &Flow, nat: Nat, draw: &mut dyn FnMut() -> u32) -> SocketAddr {
        let (first, size) = match flow.src.port() {
            0..512 => (1u32, 511u32),
            512..1024 => (600, 424),
            _ => (1024, 64_512),
        };
        let start = draw() % size;
        let mut src = nat.src;
        for i in 0..size {
            src.set_port((first + (start + i) % size) as u16);
            if !self.conntrack.is_taken(flow, Nat { src, dst: nat.dst }) {
                break;
            }
        }
        src
    }

    /// A later packet of a connection, in its original direction: where conntrack sends it. `None`: no entry.
    pub fn established(&mut self, now: Time, flow: Flow) -> Option<Nat> {
        self.conntrack.expire(now);
        self.established_at(now, flow, flow.proto != L4::Udp)
    }

    /// A packet of the other side. UDP needs it to count as a stream, with the longer time-out.
    pub fn replied(&mut self, now: Time, flow: Flow) -> Option<Nat> {
        self.conntrack.expire(now);
        self.established_at(now, flow, true)
    }

    fn established_at(&mut self, now: Time, flow: Flow, replied: bool) -> Option<Nat> {
        let t = self.config.timeouts;
        self.conntrack.update(now, &flow, |e| {
            e.replied |= replied;
            if e.state == State::TimeWait {
                return;
            }
            let life = match (flow.proto, e.replied) {
                (L4::Tcp, false) => t.tcp_syn_sent,
                (L4::Tcp, true) => t.tcp_established,
                // nf_conntrack_proto_udp.c: a stream after two seconds.
                (L4::Udp, true) if now.since(e.started) > Span::from_secs(2) => t.udp_stream,
                (L4::Udp, _) => t.udp,
                (L4::Sctp, false) => t.sctp_cookie_wait,
                (L4::Sctp, true) => t.sctp_established,
            };
            if e.replied {
                e.state = State::Established;
            }
            e.expires = now + life;
        })
    }

    /// FIN or RST was seen: the entry waits in TIME_WAIT and goes. UDP has no such thing.
    pub fn close(&mut self, now: Time, flow: Flow) {
        self.conntrack.expire(now);
        let life = match flow.proto {
            L4::Tcp => self.config.timeouts.tcp_time_wait,
            L4::Sctp => self.config.timeouts.sctp_closed,
            L4::Udp => return,
        };
        self.conntrack.update(now, &flow, |e| {
            if e.state != State::TimeWait {
                e.state = State::TimeWait;
                e.expires = now + life;
            }
        });
    }

    /// The walk of [`Kernel::open`] rule by rule, without consequences.
    pub fn trace(
        &self,
        now: Time,
        flow: Flow,
        entry: Entry,
        chance: &mut dyn FnMut(u32) -> u32,
    ) -> (Opened, Vec<TraceStep>) {
        // A copy shares structure, so the consequences cost little and go with it.
        let mut copy = self.clone();
        copy.conntrack.expire(now);
        let mut steps = Vec::new();
        let mut draws = 0;
        let (mut opened, masquerade) = {
            let mut draw = |p: Probability| {
                draws += 1;
                (chance(draws - 1) & 0x7fff_ffff) < p.threshold()
            };
            let mut walk = self.walk(now, true, &mut draw);
            walk.steps = Some(Vec::new());
            let (passed, known) = copy.pass(&mut walk, flow, entry);
            steps.append(walk.steps.get_or_insert_default());
            let nat = known.unwrap_or(Nat { src: flow.src, dst: passed.dst });
            let opened =
                Opened { verdict: passed.verdict, nat, rules_walked: walk.walked, decided_by: passed.decided_by };
            (opened, passed.masquerade.filter(|_| known.is_none()))
        };
        let mut port_draw = || {
            draws += 1;
            chance(draws - 1)
        };
        opened = copy.confirm(now, flow, opened, masquerade, &mut port_draw);
        (opened, steps)
    }

    /// Every possible outcome for a new connection and its probability, computed from the rules: both ways of
    /// each `statistic` match are followed. In the order of the rules; equal outcomes are added up.
    pub fn shares(&self, now: Time, flow: Flow, entry: Entry) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        // The ways taken so far at each uncertain match: (whether it held, its chance).
        let mut script: Vec<(bool, f64)> = Vec::new();
        loop {
            let mut at = 0;
            let passed = {
                let mut decide = |p: Probability| {
                    if p.threshold() >= 1 << 31 {
                        return true;
                    }
                    if at == script.len() {
                        script.push((true, p.chance()));
                    }
                    at += 1;
                    script[at - 1].0
                };
                let mut walk = self.walk(now, false, &mut decide);
                self.pass_new(&mut walk, flow, entry)
            };
            let probability = script.iter().fold(1.0, |all, (held, p)| all * if *held { *p } else { 1.0 - p });
            let masquerade = passed.masquerade.is_some();
            let same = shares.iter_mut().find(|s| {
                (s.verdict, s.dst, s.masquerade, s.decided_by)
                    == (passed.verdict, passed.dst, masquerade, passed.decided_by)
            });
            match same {
                Some(share) => share.probability += probability,
                None => shares.push(Share {
                    verdict: passed.verdict,
                    dst: passed.dst,
                    masquerade,
                    probability,
                    decided_by: passed.decided_by,
                }),
            }
            while script.last().is_some_and(|(held, _)| !held) {
                script.pop();
            }
            match script.last_mut() {
                Some((held, _)) => *held = false,
                None => return shares,
            }
        }
    }

    fn walk<'a>(&'a self, now: Time, linear: bool, decide: &'a mut dyn FnMut(Probability) -> bool) -> Walk<'a> {
        Walk {
            rules: &self.rules,
            recent: &self.recent,
            addresses: &self.config.addresses,
            now,
            linear,
            decide,
            steps: None,
            walked: 0,
            changes: Vec::new(),
        }
    }

    /// The live entry that a packet of this flow belongs to. A SYN ends what is in TIME_WAIT
    /// (`nf_conntrack_proto_tcp.c`).
    fn live(&self, now: Time, flow: &Flow) -> Option<&ConntrackEntry> {
        self.conntrack.get(now, flow).filter(|e| e.state != State::TimeWait)
    }

    /// Through all hooks; with the translation of the connection if it is known.
    fn pass(&self, walk: &mut Walk<'_>, flow: Flow, entry: Entry) -> (Passed, Option<Nat>) {
        let Some(known) = self.live(walk.now, &flow).copied() else {
            return (self.pass_new(walk, flow, entry), None);
        };
        let translated = if known.nat.dst == flow.dst { CtStates(0) } else { CtStates::DNAT };
        let state = if known.replied { CtStates::ESTABLISHED } else { CtStates::NEW };
        let flow = Flow { dst: known.nat.dst, ..flow };
        let mut packet = Packet { flow, mark: 0, state: state.or(translated) };
        let (verdict, origin) = self.filter(walk, &mut packet, entry);
        (Passed { verdict, dst: known.nat.dst, masquerade: None, decided_by: origin }, Some(known.nat))
    }

    fn pass_new(&self, walk: &mut Walk<'_>, flow: Flow, entry: Entry) -> Passed {
        let mut packet = Packet { flow, mark: 0, state: CtStates::NEW };
        let martian = |ip| entry != Entry::Process && is_martian(ip, self.config.route_localnet);
        if flow.src.is_ipv4() != flow.dst.is_ipv4() || martian(flow.src.ip()) || martian(flow.dst.ip()) {
            return Passed { verdict: Verdict::Drop, dst: flow.dst, masquerade: None, decided_by: OriginId::NONE };
        }
        let first = if entry == Entry::Process { Hook::Output } else { Hook::Prerouting };
        let mut chosen_by = OriginId::NONE;
        if let Some((End::Dnat(to), origin)) = walk.hook(Table::Nat, first, &mut packet) {
            packet.flow.dst = to;
            packet.state = packet.state.or(CtStates::DNAT);
            chosen_by = origin;
        }
        let (verdict, refused_by) = self.filter(walk, &mut packet, entry);
        let dst = packet.flow.dst;
        if matches!(verdict, Verdict::Reject | Verdict::Drop) {
            return Passed { verdict, dst, masquerade: None, decided_by: refused_by };
        }
        let mut masquerade = None;
        // What comes from outside and stays here never leaves, so it meets no POSTROUTING.
        if (verdict == Verdict::Forward || entry == Entry::Process)
            && let Some((End::Masquerade { random_fully }, _)) = walk.hook(Table::Nat, Hook::Postrouting, &mut packet)
        {
            masquerade = Some(random_fully);
        }
        Passed { verdict, dst, masquerade, decided_by: chosen_by }
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

    fn masquerade_address(&self, to: IpAddr) -> Option<IpAddr> {
        self.config.addresses.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4() && !ip.is_loopback())
    }
}
