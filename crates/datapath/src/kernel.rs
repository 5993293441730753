//! The network stack of one node.

use crate::conntrack::State;
use crate::draw::Draw;
use crate::ipvs;
use crate::nft::{self, SetElements};
use crate::walk::{Change, TraceStep};
use crate::{
    Conntrack, ConntrackEntry, Entry, Flow, L4, Nat, Opened, RecentLists, Ruleset, Share, Table, Timeouts, Verdict,
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

/// A node's network stack. A clone shares structure with the original; serializing writes the dynamic state only.
#[derive(Clone, Debug, Serialize)]
pub struct Kernel {
    #[serde(skip)]
    pub(crate) config: Arc<KernelConfig>,
    #[serde(skip)]
    pub(crate) rules: Arc<Ruleset>,
    #[serde(skip)]
    pub(crate) nft: Option<Arc<nft::Table>>,
    pub(crate) conntrack: Conntrack,
    pub(crate) recent: RecentLists,
    /// Left out while there are none, so that the bytes of a node without nftables don't depend on it.
    #[serde(skip_serializing_if = "SetElements::is_empty")]
    pub(crate) sets: SetElements,
    #[serde(skip)]
    pub(crate) ipvs: Option<Arc<ipvs::Table>>,
    /// Left out while there is none, like `sets`.
    #[serde(skip_serializing_if = "ipvs::State::is_empty")]
    pub(crate) ipvs_state: ipvs::State,
}

/// The first packet of a connection after the rules.
struct FirstPacket {
    opened: Opened,
    masquerade: Option<bool>,
    changes: Vec<Change>,
    steps: Vec<TraceStep>,
    draws: u32,
    /// Whether IPVS has chosen a real server.
    by_ipvs: bool,
    /// Whether the connection was known before.
    known: bool,
    /// Whether conntrack has an entry of it, be it one that is over.
    has_entry: bool,
}

impl Kernel {
    /// A stack without rules and connections.
    pub fn new(config: KernelConfig) -> Kernel {
        Kernel {
            config: Arc::new(config),
            rules: Arc::default(),
            nft: None,
            conntrack: Conntrack::default(),
            recent: RecentLists::default(),
            sets: SetElements::default(),
            ipvs: None,
            ipvs_state: ipvs::State::default(),
        }
    }
    /// Replaces the rules, as `iptables-restore` does. Connections stay; so do `recent` lists that are still used.
    /// An nftables table and virtual servers go, as when kube-proxy has cleaned up and starts in another mode.
    pub fn load(&mut self, rules: Arc<Ruleset>) {
        self.unload_ipvs();
        self.recent.keep(|name| rules.uses_recent(name));
        self.sets.keep(|_| false);
        self.nft = None;
        self.rules = rules;
    }
    /// Replaces the nftables table, as one transaction of `nft -f` does. Connections stay; so do elements that packets
    /// put into sets that are still there. iptables rules and virtual servers go.
    pub fn load_nft(&mut self, table: Arc<nft::Table>) {
        self.unload_ipvs();
        self.recent.keep(|_| false);
        self.sets.keep(|name| table.has_dynamic_set(name));
        self.nft = Some(table);
        self.rules = Arc::default();
    }
    /// Configures virtual servers, sets, addresses and the iptables rules over them. Connections stay. Real servers
    /// that are no longer wanted go, but of TCP those without connections only; the others wait with weight 0. Other
    /// rules go.
    pub fn load_ipvs(&mut self, now: Time, table: Arc<ipvs::Table>) {
        self.recent.keep(|_| false);
        self.sets.keep(|_| false);
        self.nft = None;
        self.expire(now);
        let none = ipvs::Table::default();
        self.ipvs_state.configure(now, self.ipvs.as_deref().unwrap_or(&none), &table);
        self.rules = table.rules().clone();
        self.ipvs = Some(table);
    }
    fn unload_ipvs(&mut self) {
        if self.ipvs.take().is_some() {
            self.ipvs_state.flush();
        }
    }
    /// What is configured of IPVS.
    pub const fn ipvs(&self) -> Option<&Arc<ipvs::Table>> {
        self.ipvs.as_ref()
    }
    /// Connections, templates and real servers of IPVS.
    pub const fn ipvs_state(&self) -> &ipvs::State {
        &self.ipvs_state
    }
    /// Lets connections end whose time has come.
    pub(crate) fn expire(&mut self, now: Time) {
        self.conntrack.expire(now);
        self.ipvs_state.expire(now, self.ipvs.as_ref().map_or(Span::ZERO, |t| t.base().drain_check));
    }
    /// The nftables table in force.
    pub const fn nft(&self) -> Option<&Arc<nft::Table>> {
        self.nft.as_ref()
    }
    /// The elements that packets have put into nftables sets.
    pub const fn sets(&self) -> &SetElements {
        &self.sets
    }
    /// The iptables rules in force.
    pub fn rules(&self) -> &Arc<Ruleset> {
        &self.rules
    }
    /// The rules in force as text, whatever their kind: see [`crate::iptables_restore`], [`nft::nft_script`] and
    /// [`ipvs::listing`].
    pub fn rules_text(&self) -> String {
        match (&self.nft, &self.ipvs) {
            (Some(table), _) => nft::nft_script(table),
            (_, Some(table)) => ipvs::listing(table),
            _ => crate::iptables_restore(&self.rules),
        }
    }
    /// How many rules are in force, virtual servers included.
    pub fn rule_count(&self) -> usize {
        match (&self.nft, &self.ipvs) {
            (Some(table), _) => table.rule_count(),
            (_, ipvs) => self.rules.rule_count() + ipvs.as_ref().map_or(0, |table| table.servers().len()),
        }
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
        self.expire(now);
        self.conntrack.delete(which)
    }

    /// Sends the first packet of a connection through nat, routing and filter, and remembers the connection.
    /// `chance(i)` gives the `i`-th 32 random bits of this packet.
    ///
    /// If the connection is known already (a datagram of a known pair, a SYN sent again) its translation holds.
    pub fn open(&mut self, now: Time, flow: Flow, entry: Entry, chance: &mut dyn FnMut(u32) -> u32) -> Opened {
        self.expire(now);
        let mut first = self.first(now, flow, entry, false, chance);
        for change in std::mem::take(&mut first.changes) {
            match change {
                Change::RecentSet { list, ip } => self.recent.set(&list, ip, now),
                Change::RecentReap { list, seconds } => self.recent.reap(&list, now, seconds),
                Change::SetUpdate { set, ip, timeout } => self.sets.update(&set, ip, now, timeout),
                Change::Scheduled(scheduled) => {
                    self.ipvs_state.scheduled(now, flow, *scheduled);
                    first.by_ipvs = true;
                }
                Change::Gone => {
                    self.ipvs_state.forget(&flow);
                    self.conntrack.forget(&flow);
                    first.known = false;
                }
            }
        }
        let mut port_draw = || {
            first.draws += 1;
            chance(first.draws - 1)
        };
        let opened = match first.known {
            true => self.go_on(now, flow, first.opened),
            false => self.confirm(now, flow, first.opened, first.masquerade, first.has_entry, &mut port_draw),
        };
        if first.by_ipvs {
            self.conntrack.update(now, &flow, |e| e.ipvs = true);
        }
        opened
    }

    /// The way through the rules, before anything is remembered.
    fn first(
        &self,
        now: Time,
        flow: Flow,
        entry: Entry,
        traced: bool,
        chance: &mut dyn FnMut(u32) -> u32,
    ) -> FirstPacket {
        let mut draws = 0;
        let mut draw = |d: Draw| {
            draws += 1;
            d.way(chance(draws - 1))
        };
        let mut walk = self.walk(now, traced, &mut draw);
        walk.steps = traced.then(Vec::new);
        let (passed, known) = self.pass(&mut walk, flow, entry);
        let nat = known.unwrap_or(Nat { src: flow.src, dst: passed.dst });
        let opened = Opened { verdict: passed.verdict, nat, rules_walked: walk.walked, decided_by: passed.decided_by };
        let mut steps = walk.steps.unwrap_or_default();
        if let Some(step) = passed.step.and_then(|at| steps.get_mut(at)) {
            step.decided = true;
        }
        let masquerade = passed.masquerade.filter(|_| known.is_none());
        let (changes, has_entry) = (walk.changes, walk.has_entry);
        FirstPacket { opened, masquerade, changes, steps, draws, by_ipvs: false, known: known.is_some(), has_entry }
    }

    /// Refreshes the conntrack entry of a known connection, unless the packet was refused.
    fn go_on(&mut self, now: Time, flow: Flow, opened: Opened) -> Opened {
        if !matches!(opened.verdict, Verdict::Reject | Verdict::Drop) {
            self.established_at(now, flow, false);
        }
        opened
    }

    /// Makes the conntrack entry. Refused packets leave none.
    fn confirm(
        &mut self,
        now: Time,
        flow: Flow,
        mut opened: Opened,
        masquerade: Option<bool>,
        has_entry: bool,
        draw: &mut dyn FnMut() -> u32,
    ) -> Opened {
        if matches!(opened.verdict, Verdict::Reject | Verdict::Drop) {
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
        if has_entry {
            self.conntrack.renew(now, flow, opened.nat, life);
        } else {
            self.conntrack.add(now, flow, opened.nat, life);
        }
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
        self.expire(now);
        self.established_at(now, flow, flow.proto != L4::Udp)
    }

    /// A packet of the other side. UDP needs it to count as a stream, with the longer time-out.
    pub fn replied(&mut self, now: Time, flow: Flow) -> Option<Nat> {
        self.expire(now);
        self.established_at(now, flow, true)
    }

    fn established_at(&mut self, now: Time, flow: Flow, replied: bool) -> Option<Nat> {
        let t = self.config.timeouts;
        let (ipvs, mut over) = (&mut self.ipvs_state, false);
        let nat = self.conntrack.update(now, &flow, |e| {
            over = e.ipvs && !ipvs.touch(now, &flow, replied);
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
        });
        if over {
            // IPVS has forgotten it, or its real server is gone; conntrack forgets it with IPVS (`expire_nodest_conn`).
            self.conntrack.forget(&flow);
            return None;
        }
        nat
    }

    /// FIN or RST was seen: the entry waits in TIME_WAIT and goes. UDP has no such thing.
    pub fn close(&mut self, now: Time, flow: Flow) {
        self.expire(now);
        let life = match flow.proto {
            L4::Tcp => self.config.timeouts.tcp_time_wait,
            L4::Sctp => self.config.timeouts.sctp_closed,
            L4::Udp => return,
        };
        self.ipvs_state.close(now, &flow);
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
        copy.expire(now);
        let mut first = copy.first(now, flow, entry, true, chance);
        let mut port_draw = || {
            first.draws += 1;
            chance(first.draws - 1)
        };
        let opened = match first.known {
            true => copy.go_on(now, flow, first.opened),
            false => copy.confirm(now, flow, first.opened, first.masquerade, first.has_entry, &mut port_draw),
        };
        (opened, first.steps)
    }

    /// Every possible outcome for a new connection and its probability, computed from the rules: all ways of
    /// each draw are followed. In the order of the rules; equal outcomes are added up.
    pub fn shares(&self, now: Time, flow: Flow, entry: Entry) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        // The ways taken so far at each draw.
        let mut script: Vec<(Draw, u32)> = Vec::new();
        loop {
            let mut at = 0;
            let passed = {
                let mut decide = |draw: Draw| {
                    if draw.ways() == 1 {
                        return 0;
                    }
                    if at == script.len() {
                        script.push((draw, 0));
                    }
                    at += 1;
                    script[at - 1].1
                };
                let mut walk = self.walk(now, false, &mut decide);
                walk.long_run = true;
                self.pass_new(&mut walk, flow, entry)
            };
            let probability = script.iter().fold(1.0, |all, (draw, way)| all * draw.chance(*way));
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
            while script.last().is_some_and(|(draw, way)| way + 1 == draw.ways()) {
                script.pop();
            }
            match script.last_mut() {
                Some((_, way)) => *way += 1,
                None => return shares,
            }
        }
    }

    fn masquerade_address(&self, to: IpAddr) -> Option<IpAddr> {
        self.config.addresses.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4() && !ip.is_loopback())
    }
}
