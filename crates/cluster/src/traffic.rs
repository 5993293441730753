//! Clients and their requests: each one is a connection of its own through the node's rules.
//!
//! The way there: name -> address (DNS), the node's netfilter hooks (`datapath`), the link, the Pod's socket. What goes wrong
//! where decides what the client sees (SPEC section 10): a RST or an ICMP error at once, or nothing until it gives up.

use crate::cluster::Cluster;
use crate::dns::{DNS_ADDRESS, GIVES_UP_AFTER, Resolver, service_of_name};
use crate::event::{Event, EventKey, NodeName};
use crate::kubelet::Process;
use crate::scenario::{Arrival, ClientSpec};
use crate::target::Target;
use datapath::{Entry, Flow, L4, Verdict};
use kube_api::{NamespacedName, Protocol, Service, Uid};
use lab_base::{OrdSet, Source, Span, Time, Vector, subject};
use lab_protocol::{Counts, Id, Motion, Outcome};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Number of a request.
pub type RequestId = u64;

/// How many outcomes a client remembers for show.
const RECENT: usize = 12;
/// Ephemeral ports of a client (`net.ipv4.ip_local_port_range`).
const PORTS: (u64, u64) = (32_768, 60_999);
/// From asking CoreDNS until the answer is there.
const DNS_ROUND_TRIP: (Span, Span) = (Span::from_micros(360), Span::from_micros(840));
/// How long a refusal or a reply of the own node takes.
const LOCAL_DELAY: Span = Span::from_micros(60);

/// Someone who sends requests.
#[derive(Clone, Debug, Serialize)]
pub struct Client {
    /// Its uid.
    pub uid: Uid,
    /// Name.
    pub name: String,
    /// Node that it runs on.
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
    /// Requests sent so far.
    pub sent: u64,
    /// Requests that ended so far.
    pub counts: Counts,
    /// How the last ones ended.
    pub recent: Vector<Outcome>,
    /// For draws.
    subject: u64,
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
            counts: Counts::default(),
            recent: Vector::new(),
            subject: subject(&["client", name]),
        }
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

/// A request under way.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// Whose.
    pub client: u64,
    /// When it was sent.
    pub sent: Time,
    /// When its first packet came to the end of its way.
    pub arrived: Time,
    /// The Service whose address it uses.
    pub service: Option<Uid>,
    /// Index of the Service's port.
    pub port: u8,
    /// As the client sends it; until its name is resolved, to itself.
    pub flow: Flow,
    /// Whether its first packet has left.
    pub connected: bool,
    /// As the rules send it on.
    pub to: SocketAddr,
    /// The Pod that the rules chose.
    pub pod: Option<Uid>,
    /// The other node whose address it went to, and the connection as that node's kernel sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<(NodeName, Flow)>,
    /// For draws: number among its client's requests.
    pub ordinal: u64,
    give_up: EventKey,
}

impl Cluster {
    pub(crate) fn plan_arrival(&mut self, client: u64) {
        let Some(c) = self.clients.get(&client) else { return };
        if c.spec.rate <= 0.0 {
            return;
        }
        let mean = Span::from_micros((1e6 / c.spec.rate) as u64);
        let gap = match c.spec.arrival {
            Arrival::Random => self.dice.roll(Source::Arrival, c.subject, c.sent).exponential(mean),
            Arrival::Steady => mean,
        };
        self.events.plan(self.now + gap, Event::Arrival(client));
    }

    pub(crate) fn arrival(&mut self, client: u64) {
        let Some(c) = self.clients.get(&client).cloned() else { return };
        let runs = self.machines.get(&c.node).is_some_and(|m| m.powered);
        let idle = c.target == Some(Target::EveryService) && !self.has_any_service();
        if runs && !idle {
            self.send(&c);
        }
        if let Some(c) = self.clients.get_mut(&client) {
            // Counting the gaps that sent nothing too keeps later gaps the same.
            Arc::make_mut(c).sent += u64::from(runs && !idle);
        }
        self.plan_arrival_after(client, runs && !idle);
    }

    fn plan_arrival_after(&mut self, client: u64, sent: bool) {
        if sent {
            self.plan_arrival(client);
        } else if let Some(c) = self.clients.get(&client) {
            let wait = Span::from_micros((1e6 / c.spec.rate.max(0.1)) as u64).max(Span::from_millis(50));
            self.events.plan(self.now + wait, Event::Arrival(client));
        }
    }

    fn callable(service: &Service) -> bool {
        service.cluster_ip(kube_api::IpFamily::V4).is_some()
            && service.metadata.name != "kubernetes"
            && service.spec.ports.iter().any(|p| p.protocol == Protocol::Tcp)
    }

    fn has_any_service(&self) -> bool {
        self.store.list::<Service>().any(|s| Self::callable(s))
    }

    /// The Service that an address belongs to, and which of its ports is meant.
    fn service_at(&self, to: SocketAddr) -> Option<(Uid, u8)> {
        let own = Some(to.ip());
        let of = self.store.list::<Service>().find(|s| s.cluster_ip(kube_api::IpFamily::of(to.ip())) == own);
        of.map(|s| (s.metadata.uid, port_index(s, to.port())))
    }

    fn send(&mut self, client: &Client) {
        self.last_request += 1;
        let id = self.last_request;
        let now = self.now;
        let give_up = self.events.plan(now + client.spec.timeout, Event::GiveUp(id));
        let source_port = PORTS.0 + client.sent % (PORTS.1 - PORTS.0);
        let src = SocketAddr::new(client.ip, source_port as u16);
        let request = Request {
            client: client.uid.0,
            sent: now,
            arrived: now,
            service: None,
            port: 0,
            flow: Flow { proto: L4::Tcp, src, dst: src },
            connected: false,
            to: src,
            pod: None,
            via: None,
            ordinal: client.sent,
            give_up,
        };
        self.requests.insert(id, request);
        match &client.target {
            Some(Target::Address(ip, port)) => self.connect(id, SocketAddr::new(*ip, *port)),
            Some(Target::EveryService) => {
                let all: Vec<_> = self.store.list::<Service>().filter(|s| Self::callable(s)).collect();
                let service = all.get((client.sent % all.len().max(1) as u64) as usize);
                let tcp = service.and_then(|s| s.spec.ports.iter().find(|p| p.protocol == Protocol::Tcp));
                let ip = service.and_then(|s| s.cluster_ip(kube_api::IpFamily::V4));
                if let (Some(ip), Some(port)) = (ip, tcp) {
                    self.connect(id, SocketAddr::new(ip, port.port));
                }
            }
            Some(Target::Name(name, port)) => {
                let service = self.named_service(client).cloned();
                if let Some(r) = self.requests.get_mut(&id) {
                    r.service = service.as_ref().map(|s| s.metadata.uid);
                    r.port = service.map_or(0, |s| port_index(&s, *port));
                }
                match client.known.as_ref().filter(|known| known.until > now) {
                    Some(known) => self.connect(id, SocketAddr::new(known.ip, *port)),
                    None => self.resolve(id, client, name, *port),
                }
            }
            None => {}
        }
    }

    /// The client asks CoreDNS for its target's name, one candidate after another, and then connects.
    fn resolve(&mut self, id: RequestId, client: &Client, name: &crate::dns::DnsName, port: u16) {
        let now = self.now;
        let reachable = self.machines.get(&client.node).is_some_and(|m| m.is_reachable());
        let found = if reachable { self.resolve_name(&client.resolver, name) } else { None };
        let Some(found) = found else {
            let over = now + GIVES_UP_AFTER;
            self.decide(id, now, Outcome::TimedOut, over.min(now + client.spec.timeout));
            self.events.plan(over, Event::Finish(id, Outcome::TimedOut));
            return;
        };
        let round_trip = |i| {
            let ordinal = client.sent * 64 + i as u64;
            self.dice.roll(Source::DnsDelay, client.subject, ordinal).between(DNS_ROUND_TRIP.0, DNS_ROUND_TRIP.1)
        };
        let answered = (0..found.tried.len()).map(round_trip).fold(now, |at, span| at + span);
        // `loadbalance`: CoreDNS shuffles the addresses of each answer, and the client takes the first.
        let addresses: Vec<IpAddr> = found.answer.addresses().collect();
        let draw = self.dice.roll(Source::Allocation, client.subject, client.sent).below(addresses.len() as u64);
        let (Some(ip), Some(absolute)) = (addresses.get(draw as usize).copied(), found.name) else {
            self.decide(id, answered, Outcome::NoSuchName, answered);
            self.events.plan(answered, Event::Finish(id, Outcome::NoSuchName));
            return;
        };
        let keeps = client.spec.dns_cache.keeps(&found.answer);
        if keeps > Span::ZERO
            && let Some(client) = self.clients.get_mut(&client.uid.0).map(Arc::make_mut)
        {
            client.known = Some(KnownName { name: absolute, ip, until: answered + keeps });
        }
        self.events.plan(answered, Event::Connect(id, SocketAddr::new(ip, port)));
    }

    /// The first packet of a request enters the kernel of the client's node.
    pub(crate) fn connect(&mut self, id: RequestId, dst: SocketAddr) {
        let now = self.now;
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        let flow = Flow { dst, ..request.flow };
        let (dice, subject, base) = (self.dice, client.subject, request.ordinal * 64);
        let mut chance = |i: u32| dice.roll(Source::Statistic, subject, base + u64::from(i)).u32();
        let Some(machine) = self.machine_mut(&client.node).filter(|m| m.powered) else {
            self.decide(id, now, Outcome::TimedOut, request.give_up.0);
            return;
        };
        let entry = if client.ip == machine.ip { Entry::Process } else { Entry::Pod };
        let mut opened = machine.kernel.open(now, flow, entry, &mut chance);
        let first = opened.nat.dst;
        // To another node's own address (a node port): that node's rules have a say too.
        let is_node = !self.addresses.contains_key(&first.ip());
        let next = self.machines.values().find(|m| is_node && m.ip == first.ip() && m.name != client.node);
        let via = match next.filter(|_| opened.verdict == Verdict::Forward).map(|m| (m.name.clone(), m.is_reachable()))
        {
            Some((_, false)) => {
                self.decide(id, now, Outcome::TimedOut, request.give_up.0);
                return;
            }
            Some((node, true)) => {
                let flow = Flow { src: opened.nat.src, dst: first, ..flow };
                let mut chance = |i: u32| dice.roll(Source::Statistic, subject, base + 32 + u64::from(i)).u32();
                if let Some(machine) = self.machine_mut(&node) {
                    opened = machine.kernel.open(now, flow, Entry::Wire, &mut chance);
                }
                Some((node, flow))
            }
            None => None,
        };
        let to = opened.nat.dst;
        let pod = self.addresses.get(&to.ip()).copied().or_else(|| self.facts.ghost_at(to.ip()));
        let pod = pod.filter(|uid| !self.clients.contains_key(&uid.0));
        let of = self
            .service_at(dst)
            .or_else(|| self.service_behind(to, dst.port()))
            .or(request.service.map(|uid| (uid, request.port)));
        if let Some(r) = self.requests.get_mut(&id) {
            *r = Request {
                arrived: now,
                service: of.map(|(uid, _)| uid),
                port: of.map_or(0, |(_, port)| port),
                flow,
                connected: true,
                to,
                pod,
                via: via.clone(),
                ..request
            };
        }
        let wire = match &via {
            Some((node, _)) => self.link(node, pod, client.subject, request.ordinal + 1) + LOCAL_DELAY,
            None => Span::ZERO,
        };
        match opened.verdict {
            // The node itself answers: ICMP port unreachable, or a RST since none of its processes listens there.
            Verdict::Reject | Verdict::Local => {
                let at = now + LOCAL_DELAY + wire;
                self.decide(id, at, Outcome::Refused, at);
                self.events.plan(at, Event::Finish(id, Outcome::Refused));
            }
            Verdict::Drop => self.decide(id, now + LOCAL_DELAY, Outcome::TimedOut, request.give_up.0),
            Verdict::Forward => {
                let link = self.link(&client.node, pod, client.subject, request.ordinal);
                self.events.plan(now + link + wire, Event::Arrive(id));
            }
        }
    }

    /// The Service whose node port this is, if `to` is one of its Pods.
    fn service_behind(&self, to: SocketAddr, node_port: u16) -> Option<(Uid, u8)> {
        let (lowest, highest) = crate::allocate::NODE_PORTS;
        if !(lowest..=highest).contains(&node_port) || !self.addresses.contains_key(&to.ip()) {
            return None;
        }
        let tcp = |p: &kube_api::ServicePort| p.protocol == Protocol::Tcp && p.node_port == node_port;
        let mut found = self.store.list::<Service>().filter_map(|s| Some((s, s.spec.ports.iter().position(tcp)?)));
        found.next().map(|(s, port)| (s.metadata.uid, u8::try_from(port).unwrap_or(0)))
    }

    /// The Service that a client means by its target's name.
    pub(crate) fn named_service(&self, client: &Client) -> Option<&Arc<Service>> {
        client.meant.iter().find_map(|key| self.store.get::<Service>(key))
    }

    /// Time on the wire: within a node, or between two.
    fn link(&self, node: &str, pod: Option<Uid>, subject: u64, ordinal: u64) -> Span {
        let same = pod.and_then(|p| self.sandboxes.get(&p)).is_some_and(|s| &*s.node == node);
        let (low, high) = if same { (40, 90) } else { (180, 420) };
        self.dice.roll(Source::LinkDelay, subject, ordinal).between(Span::from_micros(low), Span::from_micros(high))
    }

    /// Whether packets pass between a client's node and a Pod, both ways.
    fn connected(&self, client_node: &str, pod: Uid) -> bool {
        let Some(sandbox) = self.sandboxes.get(&pod) else { return false };
        let same = &*sandbox.node == client_node;
        let up = |node: &str| self.machines.get(node).is_some_and(|m| m.powered && (same || !m.cut));
        !sandbox.cut && up(client_node) && up(&sandbox.node)
    }

    /// The first packet is where the rules sent it. Is somebody there?
    pub(crate) fn arrive(&mut self, id: RequestId) {
        let now = self.now;
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        if let Some(r) = self.requests.get_mut(&id) {
            r.arrived = now;
        }
        let there = self.addresses.get(&request.to.ip()).copied().filter(|uid| self.connected(&client.node, *uid));
        let Some(sandbox) = there.and_then(|uid| self.sandboxes.get(&uid)).cloned() else {
            // Nobody answers for the address: silence until the client gives up.
            self.decide(id, now, Outcome::TimedOut, request.give_up.0);
            return;
        };
        let link = self.link(&client.node, Some(sandbox.uid), client.subject, request.ordinal);
        let Some(container) = sandbox.server(request.to.port()) else {
            self.decide(id, now, Outcome::Refused, now + link);
            self.events.plan(now + link, Event::Finish(id, Outcome::Refused));
            return;
        };
        let mean = sandbox.workload.service_time;
        let work = self.dice.roll(Source::ServiceTime, client.subject, request.ordinal).exponential(mean);
        let fails =
            self.dice.roll(Source::ServerError, client.subject, request.ordinal).unit() < sandbox.workload.errors;
        let outcome = if fails { Outcome::ServerError } else { Outcome::Answered };
        if let Some(c) = self.container_mut(sandbox.uid, container) {
            c.serving.insert(id);
        }
        // SYN, ACK: conntrack holds the connection for established.
        if let Some(machine) = self.machine_mut(&client.node) {
            machine.kernel.replied(now, request.flow);
        }
        if let Some((node, flow)) = &request.via
            && let Some(machine) = self.machine_mut(node)
        {
            machine.kernel.replied(now, *flow);
        }
        self.events.plan(now + work, Event::Respond(id));
        let ends = now + work + link;
        if ends > request.give_up.0 {
            self.decide(id, now, Outcome::TimedOut, request.give_up.0);
        } else {
            self.decide(id, now, outcome, ends);
        }
    }

    /// The server has its answer.
    pub(crate) fn respond(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let (Some(client), Some(pod)) = (self.clients.get(&request.client).cloned(), request.pod) else { return };
        if !self.served(id, pod) {
            return;
        }
        let errors = self.sandboxes.get(&pod).map_or(0.0, |s| s.workload.errors);
        let fails = self.dice.roll(Source::ServerError, client.subject, request.ordinal).unit() < errors;
        let outcome = if fails { Outcome::ServerError } else { Outcome::Answered };
        if self.connected(&client.node, pod) {
            let link = self.link(&client.node, Some(pod), client.subject, request.ordinal);
            self.events.plan(self.now + link, Event::Finish(id, outcome));
        } else {
            self.decide(id, request.arrived, Outcome::TimedOut, request.give_up.0);
        }
        self.drained(pod);
    }

    /// Takes a request off a server's hands. False: it isn't there any more.
    fn served(&mut self, id: RequestId, pod: Uid) -> bool {
        let Some(s) = self.sandbox_mut(pod) else { return false };
        s.containers.iter_mut().any(|c| c.serving.remove(&id))
    }

    /// The server's process died with the request in its hands.
    pub(crate) fn break_off(&mut self, id: RequestId, outcome: Outcome) {
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let (Some(client), Some(pod)) = (self.clients.get(&request.client).cloned(), request.pod) else { return };
        if self.connected(&client.node, pod) {
            let link = self.link(&client.node, Some(pod), client.subject, request.ordinal);
            self.decide(id, request.arrived, outcome, self.now + link);
            self.events.plan(self.now + link, Event::Finish(id, outcome));
        } else {
            self.decide(id, request.arrived, Outcome::TimedOut, request.give_up.0);
        }
    }

    /// The requests in a server's hands are lost without a word: its machine or its network namespace is gone.
    pub(crate) fn fall_silent(&mut self, uid: Uid) {
        let Some(s) = self.sandbox_mut(uid) else { return };
        let serving: Vec<_> = s.containers.iter_mut().map(|c| core::mem::take(&mut c.serving)).collect();
        for id in serving.iter().flat_map(OrdSet::iter).copied() {
            if let Some(request) = self.requests.get(&id).cloned() {
                self.decide(id, request.arrived, Outcome::TimedOut, request.give_up.0);
            }
        }
    }

    pub(crate) fn give_up(&mut self, id: RequestId) {
        if let Some(pod) = self.requests.get(&id).and_then(|r| r.pod) {
            self.served(id, pod);
            self.finish(id, Outcome::TimedOut);
            self.drained(pod);
        } else {
            self.finish(id, Outcome::TimedOut);
        }
    }

    pub(crate) fn finish(&mut self, id: RequestId, outcome: Outcome) {
        let Some(request) = self.requests.remove(&id) else { return };
        let now = self.now;
        self.events.cancel(request.give_up);
        let node = match self.clients.get_mut(&request.client).map(Arc::make_mut) {
            Some(client) => {
                client.counts.add(outcome);
                client.recent.push_back(outcome);
                while client.recent.len() > RECENT {
                    client.recent.pop_front();
                }
                client.node.clone()
            }
            None => return,
        };
        if request.connected
            && let Some(machine) = self.machine_mut(&node)
        {
            machine.kernel.close(now, request.flow);
        }
        if let Some((node, flow)) = &request.via
            && let Some(machine) = self.machine_mut(node)
        {
            machine.kernel.close(now, *flow);
        }
        self.facts.count(now, request.sent, request.client, request.service, request.pod, outcome);
        self.visitor_leaves(request.client);
    }

    /// Tells the stage what will become of a request.
    fn decide(&mut self, id: RequestId, arrives: Time, outcome: Outcome, ends: Time) {
        let Some(request) = self.requests.get(&id) else { return };
        let Some(client) = self.clients.get(&request.client) else { return };
        let node = self.machines.get(&client.node).map_or(0, |m| m.uid.0);
        self.motions.push(Motion {
            id,
            client: Id(request.client),
            service: request.service.map(|u| Id(u.0)),
            port: request.port,
            node: Id(node),
            pod: request.pod.map(|u| Id(u.0)),
            sent: request.sent,
            arrives,
            ends,
            outcome,
        });
    }

    /// How the process of a Pod's main container stands, for those who look.
    pub fn process_of(&self, pod: Uid) -> Option<Process> {
        self.sandboxes.get(&pod).map(|s| s.main().process)
    }
}

fn port_index(service: &Service, port: u16) -> u8 {
    let tcp = |p: &kube_api::ServicePort| p.port == port && p.protocol == Protocol::Tcp;
    service.spec.ports.iter().position(tcp).and_then(|i| u8::try_from(i).ok()).unwrap_or(0)
}
