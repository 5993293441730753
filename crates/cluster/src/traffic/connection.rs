//! The first packet of a connection: through the rules, over the wires, to a socket.

use super::client::{Client, l4};
use super::link::{LOCAL_DELAY, RTO_INITIAL, RTO_MIN, SYN_RETRIES};
use super::request::{Request, RequestId};
use crate::cloud::Balanced;
use crate::cluster::Cluster;
use crate::event::{Event, NodeName};
use crate::why::Saw;
use datapath::{Entry, Flow, L4, Nat, Verdict};
use kube_api::{Service, Uid};
use lab_base::Source;
use lab_protocol::Outcome;
use std::net::SocketAddr;

/// What the nodes' rules make of a first packet.
struct Passage {
    verdict: Verdict,
    nat: Nat,
    via: Option<(NodeName, Flow)>,
}

/// Where a packet goes that has left its client's node.
enum Next {
    /// To a Pod, or to nobody.
    Pod,
    /// To a node's own address, or one that it answers for: its rules have a say.
    Node(NodeName, Flow),
    /// Nobody routes such a packet.
    Nowhere,
}

impl Cluster {
    /// The first packet of a connection enters the kernel of the client's node, or leaves for the cluster.
    pub(crate) fn connect(&mut self, id: RequestId, dst: SocketAddr) {
        let now = self.now;
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        let flow = Flow { dst, ..request.flow };
        let passage = self.through_the_rules(id, &client, &request, flow);
        let to = passage.nat.dst;
        let pod = self.addresses.get(&to.ip()).copied().or_else(|| self.facts.ghost_at(to.ip()));
        let pod = pod.filter(|uid| !self.clients.contains_key(&uid.0));
        let of = self
            .service_at(flow.proto, dst)
            .or_else(|| self.service_behind(to, flow.proto, dst.port()))
            .or(request.service.map(|uid| (uid, request.port)));
        let request = Request {
            arrived: now,
            service: of.map(|(uid, _)| uid),
            port: of.map_or(0, |(_, port)| port),
            flow,
            connected: true,
            to,
            pod,
            via: passage.via,
            ..request
        };
        if let Some(r) = self.requests.get_mut(&id) {
            *r = request.clone();
        }
        self.saw(id, Saw::Leaves);
        let wire = self.transit_to_node(&client, &request);
        match passage.verdict {
            // The node itself answers: ICMP port unreachable, or a RST since none of its processes listens there.
            Verdict::Reject | Verdict::Local => {
                let at = now + LOCAL_DELAY + wire.times(2);
                self.decide(id, at, Outcome::Refused, at);
                self.events.plan(at, Event::Finish(id, Outcome::Refused));
            }
            Verdict::Drop => self.silence(id, now + LOCAL_DELAY + wire),
            Verdict::Forward if self.is_lost(&client, &request, pod, 0) => {
                self.saw(id, Saw::LostOnWire);
                self.silence(id, now + LOCAL_DELAY + wire);
            }
            Verdict::Forward => {
                let transit = self.transit(&client, &request, pod);
                self.events.plan(now + transit, Event::Arrive(id));
            }
        }
    }

    fn through_the_rules(&mut self, id: RequestId, client: &Client, request: &Request, flow: Flow) -> Passage {
        let now = self.now;
        let lost = |via| Passage { verdict: Verdict::Drop, nat: Nat { src: flow.src, dst: flow.dst }, via };
        let (luck, base) = (request.luck(client), request.ordinal * 64);
        let rolls = self.dice.rolls(Source::Statistic, luck);
        let mut nat = Nat { src: flow.src, dst: flow.dst };
        if !client.is_outside() {
            let mut chance = |i: u32| rolls.nth(base + u64::from(i)).u32();
            let Some(machine) = self.machines.get(&client.node).filter(|m| m.powered) else { return lost(None) };
            let entry = if client.ip == machine.ip { Entry::Process } else { Entry::Pod };
            self.saw_rules(id, &client.node, flow, entry, &mut chance);
            let Some(machine) = self.machine_mut(&client.node) else { return lost(None) };
            let opened = machine.kernel.open(now, flow, entry, &mut chance);
            nat = opened.nat;
            if opened.verdict != Verdict::Forward {
                return Passage { verdict: opened.verdict, nat, via: None };
            }
        }
        let sent = Flow { src: nat.src, dst: nat.dst, ..flow };
        let (node, seen) = match self.next(client, sent, luck ^ base) {
            Next::Pod => return Passage { verdict: Verdict::Forward, nat, via: None },
            Next::Nowhere => {
                self.saw(id, Saw::Nowhere);
                return lost(None);
            }
            Next::Node(node, seen) => (node, seen),
        };
        let via = Some((node.clone(), seen));
        let away = client.node != node;
        self.saw(id, Saw::HandedTo(&node));
        if self.machines.get(&node).is_none_or(|m| !m.powered || (away && m.cut)) {
            self.saw(id, Saw::NodeGone(&node));
            return lost(via);
        }
        let mut chance = |i: u32| rolls.nth(base + 32 + u64::from(i)).u32();
        self.saw_rules(id, &node, seen, Entry::Wire, &mut chance);
        let Some(machine) = self.machine_mut(&node) else { return lost(via) };
        let opened = machine.kernel.open(now, seen, Entry::Wire, &mut chance);
        Passage { verdict: opened.verdict, nat: opened.nat, via }
    }

    /// Where a packet goes as it left its client's node, or the internet.
    fn next(&self, client: &Client, sent: Flow, draw: u64) -> Next {
        let to = sent.dst.ip();
        if !client.is_outside() && self.addresses.contains_key(&to) {
            return Next::Pod;
        }
        if let Some(machine) = self.machines.values().find(|m| m.ip == to) {
            let own = machine.name == client.node;
            return if own { Next::Pod } else { Next::Node(machine.name.clone(), sent) };
        }
        match self.balance(sent, draw) {
            Balanced::To(node, seen) => return Next::Node(node, seen),
            Balanced::Dropped => return Next::Nowhere,
            Balanced::NotMine => {}
        }
        if !client.is_outside() {
            return Next::Pod;
        }
        // The router outside knows no node better than another: it spreads connections for an external IP over all.
        let external = |s: &Service| s.spec.external_ips.iter().any(|ip| ip.parse() == Ok(to));
        if self.store.list::<Service>().any(|s| external(s)) {
            let nth = self.dice.roll(Source::Route, draw, 0).below(self.machines.len() as u64);
            if let Some(name) = self.machines.keys().nth(nth as usize) {
                return Next::Node(name.clone(), sent);
            }
        }
        Next::Nowhere
    }

    /// The Service whose node port this is, if `to` is one of its Pods.
    fn service_behind(&self, to: SocketAddr, proto: L4, node_port: u16) -> Option<(Uid, u8)> {
        let (lowest, highest) = crate::allocate::NODE_PORTS;
        if !(lowest..=highest).contains(&node_port) || !self.addresses.contains_key(&to.ip()) {
            return None;
        }
        let own = |p: &kube_api::ServicePort| l4(p.protocol) == proto && p.node_port == node_port;
        let mut found = self.store.list::<Service>().filter_map(|s| Some((s, s.spec.ports.iter().position(own)?)));
        found.next().map(|(s, port)| (s.metadata.uid, u8::try_from(port).unwrap_or(0)))
    }

    /// Nobody answers. A SYN is sent again after a second, then after two, four, ...; a segment of an open connection
    /// sooner; a datagram never.
    pub(super) fn silence(&mut self, id: RequestId, arrives: lab_base::Time) {
        let Some(request) = self.requests.get(&id) else { return };
        let give_up = request.give_up.0;
        let first = if request.connection == 0 { RTO_INITIAL } else { RTO_MIN };
        let (at, open, dst) = (self.now + first.times(1 << request.resent), request.connection != 0, request.flow.dst);
        let again = request.flow.proto == L4::Tcp && request.resent < SYN_RETRIES && at < give_up;
        self.decide(id, arrives, Outcome::TimedOut, give_up);
        if again {
            if let Some(request) = self.requests.get_mut(&id) {
                request.resent += 1;
            }
            self.events.plan(at, if open { Event::Arrive(id) } else { Event::Connect(id, dst) });
        }
    }

    /// The first packet is where the rules sent it. Is somebody there?
    pub(crate) fn arrive(&mut self, id: RequestId) {
        let now = self.now;
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        if let Some(r) = self.requests.get_mut(&id) {
            r.arrived = now;
        }
        let there = self.addresses.get(&request.to.ip()).copied();
        let there = there.filter(|uid| self.passes(&client, &request, *uid));
        let Some(sandbox) = there.and_then(|uid| self.sandboxes.get(&uid)).cloned() else {
            self.saw(id, Saw::NobodyThere);
            self.silence(id, now);
            return;
        };
        let back = self.transit(&client, &request, Some(sandbox.uid));
        if request.connection != 0 {
            if let Some(container) = self.open_at(request.connection, &sandbox) {
                let pod = sandbox.uid;
                drop(sandbox); // else it would be copied
                self.serve(id, pod, container);
            } else {
                // A segment of a connection that the other end doesn't know: RST.
                self.saw(id, Saw::UnknownConnection);
                self.decide(id, now, Outcome::Reset, now + back);
                self.events.plan(now + back, Event::Finish(id, Outcome::Reset));
            }
            return;
        }
        let Some(container) = sandbox.server(request.to.port()) else {
            self.saw(id, Saw::NotListening);
            self.decide(id, now, Outcome::Refused, now + back);
            self.events.plan(now + back, Event::Finish(id, Outcome::Refused));
            return;
        };
        // SYN, ACK: conntrack holds the connection for established.
        if let Some(machine) = self.machine_mut(&client.node) {
            machine.kernel.replied(now, request.flow);
        }
        if let Some((node, flow)) = &request.via
            && let Some(machine) = self.machine_mut(node)
        {
            machine.kernel.replied(now, *flow);
        }
        if request.give_up.0 < request.sent + client.spec.timeout && now + back <= request.give_up.0 {
            self.be_patient(id, request.sent + client.spec.timeout);
        }
        if client.spec.connections > 0 {
            self.keep_connection(id, &client, &sandbox, container);
        }
        let pod = sandbox.uid;
        drop(sandbox); // else it would be copied
        self.serve(id, pod, container);
    }
}
