//! Who sends requests, and when: open loop (a rate) or closed loop (users who wait and think).

use super::pool::Pool;
use super::request::{Request, RequestId};
use crate::cluster::Cluster;
use crate::dns::{DNS_ADDRESS, GIVES_UP_AFTER, Resolution, Resolver, service_of_name};
use crate::event::{Event, NodeName};
use crate::scenario::{Arrival, ClientFrom, ClientSpec};
use crate::target::Target;
use crate::why::Saw;
use datapath::{Flow, L4};
use kube_api::{NamespacedName, Protocol, Service, Uid};
use lab_base::{Source, Span, Time, Vector, subject};
use lab_protocol::{Counts, Outcome};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Ephemeral ports of a client (`net.ipv4.ip_local_port_range`).
const PORTS: (u64, u64) = (32_768, 60_999);
/// From asking CoreDNS until the answer is there.
const DNS_ROUND_TRIP: (Span, Span) = (Span::from_micros(360), Span::from_micros(840));
/// How long a client that can't send waits before it looks again, at least.
const LOOK_AGAIN: Span = Span::from_millis(50);

/// Someone who sends requests.
#[derive(Clone, Debug, Serialize)]
pub struct Client {
    /// Its uid.
    pub uid: Uid,
    /// Name.
    pub name: String,
    /// Node that it runs on; empty: it is outside.
    pub node: NodeName,
    /// Its address, in the node's Pod range.
    pub ip: IpAddr,
    /// As in the scenario.
    pub spec: ClientSpec,
    /// `spec.target`, read.
    pub target: Option<Target>,
    /// Its `/etc/resolv.conf`.
    pub resolver: Resolver,
    /// The Services that its target's name may mean, in the order in which its resolver asks.
    pub meant: Vec<NamespacedName>,
    /// What it last learned of its target's name.
    pub known: Option<KnownName>,
    /// Requests sent so far; attempts after the first don't count.
    pub sent: u64,
    /// Attempts after the first, so far.
    pub retried: u64,
    /// Requests that ended so far.
    pub counts: Counts,
    /// How the last ones ended.
    pub recent: Vector<Outcome>,
    /// Its connections, if it keeps any.
    pub pool: Pool,
    /// For draws.
    pub(super) subject: u64,
}

impl Client {
    pub(crate) fn new(uid: Uid, name: &str, node: NodeName, ip: IpAddr, spec: &ClientSpec) -> Client {
        let target = Target::parse(&spec.target);
        let resolver = Resolver::cluster_first(DNS_ADDRESS, &spec.namespace);
        let candidates = match &target {
            Some(Target::Name(name, _)) => resolver.candidates(name),
            _ => Vec::new(),
        };
        Client {
            uid,
            name: name.into(),
            node,
            ip,
            spec: spec.clone(),
            target,
            resolver,
            meant: candidates.iter().filter_map(|n| service_of_name(n)).collect(),
            known: None,
            sent: 0,
            retried: 0,
            counts: Counts::default(),
            recent: Vector::new(),
            pool: Pool::default(),
            subject: subject(&["client", name]),
        }
    }

    /// Whether it is in the internet.
    pub fn is_outside(&self) -> bool {
        self.spec.from == ClientFrom::Outside
    }

    /// What its requests travel by.
    pub fn protocol(&self) -> L4 {
        if self.spec.is_udp() { L4::Udp } else { L4::Tcp }
    }

    /// Requests that it means to send in a second.
    pub fn rate(&self, now: Time) -> f64 {
        match self.spec.users {
            0 => self.spec.rate.at(now).0,
            users => f64::from(users) / self.spec.think_time.as_secs_f64(),
        }
    }

    /// A connection of its own each time; a socket for datagrams stays.
    fn source_port(&self) -> u16 {
        let nth = if self.spec.is_udp() { 0 } else { self.sent + self.retried };
        (PORTS.0 + nth % (PORTS.1 - PORTS.0)) as u16
    }
}

/// The addresses of a name as a client keeps them.
#[derive(Clone, Debug, Serialize)]
pub struct KnownName {
    /// The absolute name that was found.
    pub name: String,
    /// The first of its addresses, which is the one that is used.
    pub ip: IpAddr,
    /// When the client asks again.
    pub until: Time,
}

/// The index of a Service's port.
pub(super) fn port_index(service: &Service, proto: L4, port: u16) -> u8 {
    let found = service.spec.ports.iter().position(|p| p.port == port && l4(p.protocol) == proto);
    found.and_then(|i| u8::try_from(i).ok()).unwrap_or(0)
}

/// A Service's protocol as packets have it.
pub(crate) fn l4(protocol: Protocol) -> L4 {
    match protocol {
        Protocol::Tcp => L4::Tcp,
        Protocol::Udp => L4::Udp,
        Protocol::Sctp => L4::Sctp,
    }
}

impl Cluster {
    /// A client begins.
    pub(crate) fn begin_client(&mut self, client: u64) {
        let Some(c) = self.clients.get(&client) else { return };
        if c.spec.users == 0 {
            self.plan_arrival(client);
            return;
        }
        // Users don't come all at once: each one begins in the midst of a thought.
        let (think, subject, users) = (c.spec.think_time.as_micros(), c.subject, c.spec.users);
        for user in 0..u64::from(users) {
            let wait = self.dice.roll(Source::Phase, subject, user).below(think);
            self.events.plan(self.now + Span::from_micros(wait), Event::Arrival(client));
        }
    }

    fn plan_arrival(&mut self, client: u64) {
        let Some(c) = self.clients.get(&client) else { return };
        let (mut from, mut rest, mut gap) = (self.now, 1.0, None);
        while gap.is_none() {
            let (rate, until) = c.spec.rate.at(from);
            if rate > 0.0 {
                let mean = Span::from_micros((1e6 / rate) as u64);
                let whole = match c.spec.arrival {
                    Arrival::Random => self.dice.roll(Source::Arrival, c.subject, c.sent).exponential(mean),
                    Arrival::Steady => mean,
                };
                // What is left of the gap, at this rate.
                let left = if rest < 1.0 { Span::from_micros((whole.as_micros() as f64 * rest) as u64) } else { whole };
                if from + left <= until {
                    gap = Some(from + left);
                    break;
                }
                rest -= until.since(from).as_micros() as f64 / whole.as_micros().max(1) as f64;
            }
            if until == Time::FOREVER {
                return;
            }
            from = until;
        }
        if let Some(at) = gap {
            self.events.plan(at, Event::Arrival(client));
        }
    }

    pub(crate) fn arrival(&mut self, client: u64) {
        let Some(c) = self.clients.get(&client).cloned() else { return };
        let runs = c.is_outside() || self.machines.get(&c.node).is_some_and(|m| m.powered);
        let idle = c.target == Some(Target::EveryService) && !self.has_any_service(&c);
        if !runs || idle {
            // Nothing was sent, so that later gaps stay the same.
            let wait = Span::from_micros((1e6 / c.rate(self.now).max(0.1)) as u64).max(LOOK_AGAIN);
            self.events.plan(self.now + wait, Event::Arrival(client));
            return;
        }
        self.send(&c);
        let by_rate = c.spec.users == 0;
        drop(c); // else it would be copied
        if let Some(c) = self.clients.get_mut(&client) {
            Arc::make_mut(c).sent += 1;
        }
        if by_rate {
            self.plan_arrival(client);
        }
    }

    /// A user has an answer, or knows that there is none, and thinks.
    pub(super) fn user_thinks(&mut self, client: &Client, ordinal: u64) {
        let mean = client.spec.think_time;
        let think = match client.spec.arrival {
            Arrival::Random => self.dice.roll(Source::Arrival, client.subject, ordinal).exponential(mean),
            Arrival::Steady => mean,
        };
        self.events.plan(self.now + think, Event::Arrival(client.uid.0));
    }

    /// The address and port at which a client of every Service calls this one.
    fn called_at(&self, client: &Client, service: &Service) -> Option<SocketAddr> {
        if service.metadata.name == "kubernetes" {
            return None;
        }
        let port = service.spec.ports.iter().find(|p| p.protocol == Protocol::Tcp)?.port;
        let ip = match client.is_outside() {
            true => service.status.load_balancer.ingress.iter().find_map(|i| i.ip.parse().ok())?,
            false => service.cluster_ip(kube_api::IpFamily::V4)?,
        };
        Some(SocketAddr::new(ip, port))
    }

    fn has_any_service(&self, client: &Client) -> bool {
        self.store.list::<Service>().any(|s| self.called_at(client, s).is_some())
    }

    /// The Service that an address belongs to, and which of its ports is meant.
    pub(crate) fn service_at(&self, proto: L4, to: SocketAddr) -> Option<(Uid, u8)> {
        let own = Some(to.ip());
        let family = kube_api::IpFamily::of(to.ip());
        let of = self.store.list::<Service>().find(|s| s.cluster_ip(family) == own || has_outer_address(s, to.ip()));
        of.map(|s| (s.metadata.uid, port_index(s, proto, to.port())))
    }

    /// The Service that a client means by its target's name.
    pub(crate) fn named_service(&self, client: &Client) -> Option<&Arc<Service>> {
        client.meant.iter().find_map(|key| self.store.get::<Service>(key))
    }

    fn send(&mut self, client: &Client) {
        let request =
            Request { client: client.uid.0, began: self.now, ordinal: client.sent, ..Request::new(client, self.now) };
        self.attempt(request);
    }

    /// An attempt begins: on a connection that is there, or on a new one, or it waits for one.
    pub(super) fn attempt(&mut self, mut request: Request) {
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        self.last_request += 1;
        let id = self.last_request;
        let now = self.now;
        request.sent = now;
        request.arrived = now;
        let src = SocketAddr::new(client.ip, client.source_port());
        request.flow = Flow { proto: client.protocol(), src, dst: src };
        request.to = src;
        request.give_up = self.events.plan(now + client.spec.timeout, Event::GiveUp(id));
        self.requests.insert(id, request);
        self.saw(id, Saw::Sent);
        if client.spec.connections == 0 {
            self.open_connection(id, &client);
        } else {
            self.take_connection(id);
        }
    }

    /// Finds the address, and connects.
    pub(super) fn open_connection(&mut self, id: RequestId, client: &Client) {
        let now = self.now;
        if client.spec.connect_timeout > Span::ZERO {
            self.be_patient(id, now + client.spec.connect_timeout);
        }
        match &client.target {
            Some(Target::Address(ip, port)) => self.connect(id, SocketAddr::new(*ip, *port)),
            Some(Target::EveryService) => {
                let all: Vec<_> = self.store.list::<Service>().filter_map(|s| self.called_at(client, s)).collect();
                let ordinal = self.requests.get(&id).map_or(0, |r| r.ordinal);
                if let Some(to) = all.get((ordinal % all.len().max(1) as u64) as usize).copied() {
                    self.connect(id, to);
                }
            }
            Some(Target::Name(name, port)) => {
                let service = self.named_service(client).cloned();
                if let Some(r) = self.requests.get_mut(&id) {
                    r.service = service.as_ref().map(|s| s.metadata.uid);
                    r.port = service.map_or(0, |s| port_index(&s, client.protocol(), *port));
                }
                match client.known.as_ref().filter(|known| known.until > now) {
                    Some(known) => {
                        self.saw(id, Saw::KnownName(&known.name, known.ip, known.until));
                        self.connect(id, SocketAddr::new(known.ip, *port));
                    }
                    None => self.resolve(id, client, name, *port),
                }
            }
            None => {}
        }
    }

    /// The client asks CoreDNS for its target's name, one candidate after another, and then connects.
    fn resolve(&mut self, id: RequestId, client: &Client, name: &crate::dns::DnsName, port: u16) {
        let now = self.now;
        let Some(request) = self.requests.get(&id).cloned() else { return };
        if self.dns.pods.is_some() && !client.is_outside() {
            return self.begin_lookup(id);
        }
        // The cluster's names are the cluster's own.
        let reachable = self.machines.get(&client.node).is_some_and(|m| m.is_reachable());
        let found = if reachable { self.resolve_name(&client.resolver, name) } else { None };
        let Some(found) = found.filter(|_| !client.is_outside()) else {
            self.saw(id, Saw::NoDns { outside: client.is_outside() });
            if client.is_outside() {
                self.decide(id, now, Outcome::NoSuchName, now + DNS_ROUND_TRIP.1);
                self.events.plan(now + DNS_ROUND_TRIP.1, Event::Finish(id, Outcome::NoSuchName));
                return;
            }
            let over = now + GIVES_UP_AFTER;
            self.decide(id, now, Outcome::TimedOut, over.min(request.give_up.0));
            self.events.plan(over, Event::Finish(id, Outcome::TimedOut));
            return;
        };
        let luck = request.luck(client);
        let round_trip = |i| {
            let ordinal = request.ordinal * 64 + i as u64;
            self.dice.roll(Source::DnsDelay, luck, ordinal).between(DNS_ROUND_TRIP.0, DNS_ROUND_TRIP.1)
        };
        let answered = (0..found.tried.len()).map(round_trip).fold(now, |at, span| at + span);
        self.learned(id, client, &found, port, answered);
    }

    /// The resolver has an answer, which is there at `answered`.
    pub(super) fn learned(&mut self, id: RequestId, client: &Client, found: &Resolution, port: u16, answered: Time) {
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let luck = request.luck(client);
        // `loadbalance`: CoreDNS shuffles the addresses of each answer, and the client takes the first.
        let addresses: Vec<IpAddr> = found.answer.addresses().collect();
        let draw = self.dice.roll(Source::Allocation, luck, request.ordinal).below(addresses.len() as u64);
        self.saw(id, Saw::Name(found, addresses.get(draw as usize).copied()));
        let (Some(ip), Some(absolute)) = (addresses.get(draw as usize).copied(), found.name.as_ref()) else {
            self.decide(id, answered, Outcome::NoSuchName, answered);
            self.events.plan(answered, Event::Finish(id, Outcome::NoSuchName));
            return;
        };
        let keeps = client.spec.dns_cache.keeps(&found.answer);
        if keeps > Span::ZERO
            && let Some(client) = self.clients.get_mut(&client.uid.0).map(Arc::make_mut)
        {
            client.known = Some(KnownName { name: absolute.clone(), ip, until: answered + keeps });
        }
        self.events.plan(answered, Event::Connect(id, SocketAddr::new(ip, port)));
    }
}

/// Whether an address from outside leads to this Service: its load balancer's, or an external IP.
pub(super) fn has_outer_address(service: &Service, ip: IpAddr) -> bool {
    let is = |text: &String| text.parse() == Ok(ip);
    service.status.load_balancer.ingress.iter().any(|i| is(&i.ip)) || service.spec.external_ips.iter().any(is)
}
