//! What the kernel knows beyond the configuration: connections, templates, how busy each real server is.

use super::scheduler::{Arrival, Memory};
use super::service::Service;
use super::table::{ServerKey, Table, VirtualServer};
use crate::{Flow, L4, OriginId};
use lab_base::{OrdMap, OrdSet, Span, Time};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How long connections live without packets (`tcp_timeouts`, `udp_timeouts`, `sctp_timeouts` of
/// `net/netfilter/ipvs/ip_vs_proto_*.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `IP_VS_TCP_S_SYN_RECV`.
    pub tcp_syn_recv: Span,
    /// `IP_VS_TCP_S_ESTABLISHED`.
    pub tcp_established: Span,
    /// `IP_VS_TCP_S_FIN_WAIT` and `IP_VS_TCP_S_TIME_WAIT`.
    pub tcp_fin: Span,
    /// `IP_VS_UDP_S_NORMAL`.
    pub udp: Span,
    /// `IP_VS_SCTP_S_INIT1`.
    pub sctp_init: Span,
    /// `IP_VS_SCTP_S_ESTABLISHED`.
    pub sctp_established: Span,
    /// `IP_VS_SCTP_S_CLOSED`.
    pub sctp_closed: Span,
}

/// The kernel's own, which kube-proxy leaves as they are unless told otherwise.
pub const TIMEOUTS: Timeouts = Timeouts {
    tcp_syn_recv: Span::from_secs(60),
    tcp_established: Span::from_secs(15 * 60),
    tcp_fin: Span::from_secs(2 * 60),
    udp: Span::from_secs(5 * 60),
    sctp_init: Span::from_secs(60),
    sctp_established: Span::from_secs(15 * 60),
    sctp_closed: Span::from_secs(10),
};

/// How long a template lives on that is due while connections hang on it (`ip_vs_conn_expire`).
const TEMPLATE_EXTENSION: Span = Span::from_secs(60);

/// A real server as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RealServer {
    /// Its address and port.
    pub addr: SocketAddr,
    /// 0: no new connections.
    pub weight: u32,
    /// The last weight that was not 0; `mh` goes by it.
    pub last_weight: u32,
    /// Whether it is to go as soon as it has no connections.
    pub draining: bool,
    /// Where it comes from.
    #[serde(skip)]
    pub origin: OriginId,
}

/// Connections of a real server, as `ipvsadm -L` counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// `ActiveConn`: TCP from SYN to FIN, SCTP when it is established.
    pub active: u32,
    /// `InActConn`: all others, UDP too.
    pub inactive: u32,
}

/// A connection.
#[derive(Clone, Copy, Debug, Serialize)]
struct Conn {
    server: ServerKey,
    to: SocketAddr,
    expires: Time,
    active: bool,
    /// Whether a template controls it.
    controlled: bool,
}

/// Which real server a client has for a while.
#[derive(Clone, Copy, Debug, Serialize)]
struct Template {
    to: SocketAddr,
    expires: Time,
    /// Connections that hang on it.
    controls: u32,
}

/// Something that has its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Conn(Flow),
    Template(IpAddr, ServerKey),
    /// Somebody looks at real servers that are to go.
    DrainCheck,
}

/// Where a new connection was sent, to be remembered.
#[derive(Clone, Debug)]
pub(crate) struct Scheduled {
    pub(super) server: ServerKey,
    pub(super) to: SocketAddr,
    /// What its scheduler remembers; `None`: it was not asked.
    pub(super) memory: Option<Memory>,
}

/// What IPVS does with a packet to a virtual server.
#[derive(Clone, Debug)]
pub(super) enum Decision {
    /// To this real server; of a connection that is known if there is nothing to remember.
    To { to: SocketAddr, origin: OriginId, new: Option<Scheduled> },
    /// There is no real server for it.
    NoDestination,
    /// The real server of the connection is gone (`expire_nodest_conn`).
    Gone,
}

/// The dynamic part of IPVS. A clone shares structure with the original.
#[derive(Clone, Debug, Default, Serialize)]
pub struct State {
    services: OrdMap<ServerKey, Arc<Service>>,
    conns: OrdMap<Flow, Conn>,
    templates: OrdMap<(IpAddr, ServerKey), Template>,
    loads: OrdMap<(ServerKey, SocketAddr), Load>,
    /// When the first configuration was loaded; drain checks count from it.
    started: Option<Time>,
    #[serde(skip)]
    timers: OrdSet<(Time, Timer)>,
}

impl State {
    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.conns.is_empty() && self.templates.is_empty() && self.started.is_none()
    }
    /// The real servers of a virtual server; `None`: there is no such virtual server.
    pub fn real_servers(&self, key: &ServerKey) -> Option<&[RealServer]> {
        self.services.get(key).map(|s| s.servers.as_slice())
    }
    /// How many connections a real server has.
    pub fn load(&self, key: &ServerKey, to: SocketAddr) -> Load {
        self.loads.get(&(*key, to)).copied().unwrap_or_default()
    }
    /// The real server that a client of a persistent virtual server has, and until when at least.
    pub fn template(&self, now: Time, client: IpAddr, key: &ServerKey) -> Option<(SocketAddr, Time)> {
        self.templates.get(&(client, *key)).filter(|t| t.expires > now).map(|t| (t.to, t.expires))
    }
    /// How many connections there are, as of the last change.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Configures what has changed between two tables.
    pub(crate) fn configure(&mut self, now: Time, old: &Table, new: &Table) {
        self.started.get_or_insert(now);
        let mut draining = false;
        let (mut before, mut after) = (old.servers().iter().peekable(), new.servers().iter().peekable());
        loop {
            // Both are in order, so what is only in one shows.
            let gone = match (before.peek(), after.peek()) {
                (Some((old, _)), Some((new, _))) => old < new,
                (old, _) => old.is_some(),
            };
            if gone {
                if let Some((key, _)) = before.next() {
                    self.services.remove(key);
                }
                continue;
            }
            let Some((key, spec)) = after.next() else { break };
            let same = before.next_if(|(old, _)| *old == key);
            if same.is_none_or(|(_, old)| !Arc::ptr_eq(old, spec) && old != spec) {
                draining |= self.change(key, spec);
            }
        }
        if draining {
            self.plan_drain_check(now, new.base().drain_check);
        }
    }
    /// Makes a virtual server what is wanted now. Whether a real server waits there with weight 0.
    fn change(&mut self, key: &ServerKey, spec: &Arc<VirtualServer>) -> bool {
        let loads = &self.loads;
        // A TCP server with connections stays until they have ended; others go at once.
        let stays = |addr| key.proto == L4::Tcp && loads.contains_key(&(*key, addr));
        match self.services.get_mut(key).map(Arc::make_mut) {
            Some(service) => {
                service.change(spec.clone(), stays);
                service.servers.iter().any(|s| s.draining)
            }
            None => {
                self.services.insert(*key, Arc::new(Service::new(spec.clone())));
                false
            }
        }
    }
    fn plan_drain_check(&mut self, now: Time, every: Span) {
        let (Some(started), true) = (self.started, every > Span::ZERO) else { return };
        let rounds = now.since(started).as_micros() / every.as_micros() + 1;
        self.timers.insert((started + Span::from_micros(rounds * every.as_micros()), Timer::DrainCheck));
    }
    /// Forgets all virtual servers, as `ipvsadm -C` does. Connections stay until their next packet.
    pub(crate) fn flush(&mut self) {
        self.services.clear();
        self.templates.clear();
        self.started = None;
    }
    /// Lets time pass.
    pub(crate) fn expire(&mut self, now: Time, drain_check: Span) {
        while let Some((at, timer)) = self.timers.get_min().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Conn(flow) => match self.conns.get(&flow).map(|c| c.expires) {
                    Some(expires) if expires > at => {
                        self.timers.insert((expires, timer));
                    }
                    Some(_) => self.forget(&flow),
                    None => {}
                },
                Timer::Template(client, server) => {
                    let key = (client, server);
                    let Some(template) = self.templates.get_mut(&key) else { continue };
                    if template.expires <= at && template.controls > 0 {
                        template.expires = at + TEMPLATE_EXTENSION;
                    }
                    if template.expires > at {
                        self.timers.insert((template.expires, timer));
                    } else {
                        self.templates.remove(&key);
                    }
                }
                Timer::DrainCheck => self.check_drained(at, drain_check),
            }
        }
    }
    /// `tryDeleteRs`: real servers that are to go and have no connections left go.
    fn check_drained(&mut self, at: Time, drain_check: Span) {
        let waiting = self.services.iter().filter(|(_, s)| s.servers.iter().any(|s| s.draining));
        let keys: Vec<ServerKey> = waiting.map(|(key, _)| *key).collect();
        let mut left = false;
        for key in keys {
            let loads = &self.loads;
            if let Some(service) = self.services.get_mut(&key).map(Arc::make_mut) {
                service.remove(|s| s.draining && !loads.contains_key(&(key, s.addr)));
                left |= service.servers.iter().any(|s| s.draining);
            }
        }
        if left {
            self.timers.insert((at + drain_check, Timer::DrainCheck));
        }
    }
    fn count(&mut self, server: ServerKey, to: SocketAddr, active: i32, inactive: i32) {
        let load = self.loads.entry((server, to)).or_default();
        load.active = load.active.saturating_add_signed(active);
        load.inactive = load.inactive.saturating_add_signed(inactive);
        if *load == Load::default() {
            self.loads.remove(&(server, to));
        }
    }
    /// A connection is over.
    pub(crate) fn forget(&mut self, flow: &Flow) {
        let Some(conn) = self.conns.remove(flow) else { return };
        self.count(conn.server, conn.to, -i32::from(conn.active), -i32::from(!conn.active));
        if conn.controlled
            && let Some(template) = self.templates.get_mut(&(flow.src.ip(), conn.server))
        {
            template.controls = template.controls.saturating_sub(1);
        }
    }

    /// What IPVS does with the first packet of a connection, or a later one of a connection that it knows.
    pub(super) fn decide(&self, now: Time, flow: &Flow, first: bool) -> Option<Decision> {
        let server = ServerKey { proto: flow.proto, addr: flow.dst };
        if let Some(conn) = self.conns.get(flow).filter(|c| c.expires > now) {
            let to = self.services.get(&conn.server).and_then(|s| s.server(conn.to));
            match to {
                // `conn_reuse_mode=0`: a client that comes again from the same port meets the same real server.
                Some(s) if s.weight > 0 || !first => {
                    let new = first.then_some(Scheduled { server, to: s.addr, memory: None });
                    return Some(Decision::To { to: s.addr, origin: s.origin, new });
                }
                Some(_) => {}
                None if first => {}
                None => return Some(Decision::Gone),
            }
        }
        let service = self.services.get(&server)?;
        if service.spec.persistence.is_some()
            && let Some(template) = self.templates.get(&(flow.src.ip(), server)).filter(|t| t.expires > now)
            // `expire_quiescent_template=1`: one whose real server takes no new connections doesn't count.
            && let Some(s) = service.server(template.to).filter(|s| s.weight > 0)
        {
            let new = Some(Scheduled { server, to: s.addr, memory: None });
            return Some(Decision::To { to: s.addr, origin: s.origin, new });
        }
        let pick = service.pick(|to| self.load(&server, to), &arrival(now, flow, service));
        let Some((s, memory)) = pick.and_then(|p| Some((service.servers.get(p.server)?, p.memory))) else {
            return Some(Decision::NoDestination);
        };
        let new = Some(Scheduled { server, to: s.addr, memory: Some(memory) });
        Some(Decision::To { to: s.addr, origin: s.origin, new })
    }
    /// What part of very many connections of this client each real server gets, as whole numbers; empty: there is no
    /// real server. `None`: there is no such virtual server.
    pub(super) fn long_run(&self, now: Time, flow: &Flow) -> Option<Vec<(SocketAddr, OriginId, u32)>> {
        let server = ServerKey { proto: flow.proto, addr: flow.dst };
        let service = self.services.get(&server)?;
        if let Some(template) = self.templates.get(&(flow.src.ip(), server)).filter(|t| t.expires > now)
            && let Some(s) = service.server(template.to).filter(|s| s.weight > 0)
        {
            return Some(vec![(s.addr, s.origin, 1)]);
        }
        let shares = service.long_run(|to| self.load(&server, to), &arrival(now, flow, service));
        Some(shares.into_iter().filter_map(|(at, n)| service.servers.get(at).map(|s| (s.addr, s.origin, n))).collect())
    }
    /// How a virtual server is set up, and the place of a real server in its list, from 1.
    pub(super) fn describe(&self, key: &ServerKey, to: Option<SocketAddr>) -> (String, u32) {
        let Some(service) = self.services.get(key) else { return (String::new(), 0) };
        let at = service.servers.iter().position(|s| Some(s.addr) == to);
        (super::text::flags(&service.spec), at.map_or(0, |at| at as u32 + 1))
    }
    /// Where a virtual server comes from.
    pub(super) fn origin(&self, key: &ServerKey) -> OriginId {
        self.services.get(key).map_or(OriginId::NONE, |s| s.spec.origin)
    }

    /// Remembers where a connection was sent.
    pub(crate) fn scheduled(&mut self, now: Time, flow: Flow, scheduled: Scheduled) {
        let Scheduled { server, to, memory } = scheduled;
        if let Some(service) = self.services.get_mut(&server)
            && let Some(memory) = memory
        {
            Arc::make_mut(service).remember(memory);
        }
        self.forget(&flow);
        let persistence = self.services.get(&server).and_then(|s| s.spec.persistence);
        if let Some(seconds) = persistence {
            let key = (flow.src.ip(), server);
            let expires = now + Span::from_secs(u64::from(seconds));
            let controls = self.templates.get(&key).filter(|t| t.to == to).map_or(0, |t| t.controls) + 1;
            if self.templates.insert(key, Template { to, expires, controls }).is_none() {
                self.timers.insert((expires, Timer::Template(key.0, key.1)));
            }
        }
        let (life, active) = match flow.proto {
            L4::Tcp => (TIMEOUTS.tcp_syn_recv, true),
            L4::Udp => (TIMEOUTS.udp, false),
            L4::Sctp => (TIMEOUTS.sctp_init, false),
        };
        let expires = now + life;
        self.conns.insert(flow, Conn { server, to, expires, active, controlled: persistence.is_some() });
        self.count(server, to, i32::from(active), i32::from(!active));
        self.timers.insert((expires, Timer::Conn(flow)));
    }
    /// A later packet of a connection, in whatever direction. False: IPVS knows no such connection, or its real
    /// server is gone; then the connection is over.
    pub(crate) fn touch(&mut self, now: Time, flow: &Flow, replied: bool) -> bool {
        let Some(conn) = self.conns.get(flow).filter(|c| c.expires > now).copied() else { return false };
        if self.services.get(&conn.server).and_then(|s| s.server(conn.to)).is_none() {
            self.forget(flow);
            return false;
        }
        let (life, active) = match (flow.proto, replied) {
            (L4::Tcp, _) if !conn.active => return true,
            (L4::Tcp, false) => (TIMEOUTS.tcp_syn_recv, true),
            (L4::Tcp, true) => (TIMEOUTS.tcp_established, true),
            (L4::Udp, _) => (TIMEOUTS.udp, false),
            (L4::Sctp, false) => (TIMEOUTS.sctp_init, false),
            (L4::Sctp, true) => (TIMEOUTS.sctp_established, true),
        };
        self.set(flow, now + life, active);
        true
    }
    /// A connection was closed.
    pub(crate) fn close(&mut self, now: Time, flow: &Flow) {
        let life = match flow.proto {
            L4::Tcp => TIMEOUTS.tcp_fin,
            L4::Sctp => TIMEOUTS.sctp_closed,
            L4::Udp => return,
        };
        if self.conns.get(flow).is_some_and(|c| c.expires > now) {
            self.set(flow, now + life, false);
        }
    }
    fn set(&mut self, flow: &Flow, expires: Time, active: bool) {
        let Some(conn) = self.conns.get_mut(flow) else { return };
        let before = *conn;
        (conn.expires, conn.active) = (expires, active);
        if expires < before.expires {
            self.timers.insert((expires, Timer::Conn(*flow)));
        }
        let by = i32::from(active) - i32::from(before.active);
        if by != 0 {
            self.count(before.server, before.to, by, -by);
        }
    }
}

fn arrival(now: Time, flow: &Flow, service: &Service) -> Arrival {
    Arrival { src: flow.src, dst: flow.dst, with_port: service.spec.source_hash, now }
}
