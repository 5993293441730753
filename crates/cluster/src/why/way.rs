//! What a request meets on its way, step by step.

use super::percent;
use crate::cluster::Cluster;
use crate::dns::Resolution;
use crate::proxy::seconds;
use crate::target::Target;
use crate::traffic::{Connection, ConnectionId, Request, RequestId};
use datapath::Flow;
use kube_api::{Service, Uid};
use lab_base::{Span, Time};
use lab_protocol::{Chapter, Id, Outcome, Phrase, Tone};
use std::net::{IpAddr, SocketAddr};

/// Something that a request meets.
pub(crate) enum Saw<'a> {
    /// It leaves its client.
    Sent,
    /// Its client still knows the address of its target's name.
    KnownName(&'a str, IpAddr, Time),
    /// CoreDNS answered: what was found, and which address its client takes.
    Name(&'a Resolution, Option<IpAddr>),
    /// CoreDNS doesn't answer, or there is none where the client is.
    NoDns {
        /// Whether the client is in the internet.
        outside: bool,
    },
    /// It goes on a connection that stands.
    Kept(ConnectionId, &'a Connection),
    /// A kernel on its way has no entry of its connection.
    Untracked,
    /// A cloud's load balancer, or a router, hands it to this node.
    HandedTo(&'a str),
    /// The node that it comes to is off or cut off.
    NodeGone(&'a str),
    /// Nobody in the internet routes such a packet.
    Nowhere,
    /// It has left the rules.
    Leaves,
    /// A bad cable lost it.
    LostOnWire,
    /// It has no answer, since nobody is there.
    NobodyThere,
    /// The Pod doesn't know its connection.
    UnknownConnection,
    /// Nobody listens at the port.
    NotListening,
    /// A worker takes it.
    Served,
    /// It waits for a worker.
    Queued,
    /// There is no room.
    TurnedAway,
    /// The process that worked on it has ended.
    ProcessEnded,
    /// The machine or the network of what worked on it is gone.
    FellSilent,
    /// Its client has waited long enough.
    GaveUp,
    /// Its client knows how it ended.
    Ended(Outcome, Time),
}

impl Cluster {
    /// A request meets something. Whoever follows it writes that down.
    #[inline]
    pub(crate) fn saw(&mut self, id: RequestId, what: Saw<'_>) {
        if self.follows(id) {
            self.write_down(id, what);
        }
    }

    #[inline(never)]
    fn write_down(&mut self, id: RequestId, what: Saw<'_>) {
        let request = self.requests.get(&id).cloned();
        match (what, request) {
            (Saw::Ended(outcome, sent), _) => self.write_end(outcome, sent),
            (Saw::Sent, Some(request)) => self.write_sent(&request),
            (Saw::KnownName(name, ip, until), _) => {
                let left = seconds(until.since(self.now));
                self.step(Phrase::new("why-name-known").with("name", name).with("ip", ip).with("seconds", left));
            }
            (Saw::Name(found, ip), _) => self.write_name(found, ip),
            (Saw::NoDns { outside: true }, _) => self.bad(Phrase::new("why-name-outside")),
            (Saw::NoDns { .. }, _) => self.bad(Phrase::new("why-name-silent")),
            (Saw::Kept(connection, conn), _) => {
                let ago = seconds(self.now.since(conn.opened));
                self.step(Phrase::new("why-kept").with("seconds", ago).with("carried", conn.carried));
                let (to, pod, opened) = (conn.to.to_string(), Some(Id(conn.pod.0)), conn.opened);
                if let Some(witness) = &mut self.witness {
                    witness.connection = Some((connection, opened));
                    (witness.story.endpoint, witness.story.pod) = (to, pod);
                }
            }
            (Saw::Untracked, _) => self.bad(Phrase::new("why-untracked")),
            (Saw::HandedTo(node), _) => self.step(Phrase::new("why-handed").with("node", node)),
            (Saw::NodeGone(node), _) => self.write_gone(node),
            (Saw::Nowhere, Some(r)) => self.bad(Phrase::new("why-nowhere").with("address", r.flow.dst)),
            (Saw::Leaves, Some(request)) => self.write_leaves(&request),
            (Saw::LostOnWire, _) => self.bad(Phrase::new("why-lost")),
            (Saw::NobodyThere, Some(request)) => self.write_nobody(&request),
            (Saw::UnknownConnection, Some(r)) => {
                self.bad(Phrase::new("why-unknown-connection").with("pod", self.pod_behind(r.to)));
                self.write_cause(&r);
            }
            (Saw::NotListening, Some(r)) => {
                let phrase = Phrase::new("why-not-listening").with("pod", self.pod_behind(r.to));
                self.bad(phrase.with("port", r.to.port()));
                self.write_cause(&r);
            }
            (Saw::Served, Some(r)) => self.write_served(&r),
            (Saw::Queued, Some(r)) => self.step(Phrase::new("why-queued").with("pod", self.pod_behind(r.to))),
            (Saw::TurnedAway, Some(r)) => self.bad(Phrase::new("why-turned-away").with("pod", self.pod_behind(r.to))),
            (Saw::ProcessEnded, Some(r)) => {
                self.bad(Phrase::new("why-process-ended").with("pod", self.pod_behind(r.to)));
            }
            (Saw::FellSilent, Some(r)) => self.bad(Phrase::new("why-fell-silent").with("pod", self.pod_behind(r.to))),
            (Saw::GaveUp, Some(r)) => {
                let waited = seconds(self.now.since(r.sent));
                let phrase = if r.connected { "why-gave-up" } else { "why-gave-up-waiting" };
                self.step(Phrase::new(phrase).with("seconds", waited).with("resent", r.resent));
            }
            _ => {}
        }
    }

    fn pod_behind(&self, to: SocketAddr) -> String {
        let uid = self.addresses.get(&to.ip()).copied().or_else(|| self.facts.ghost_at(to.ip()));
        uid.map(|uid| self.pod_name(uid)).filter(|name| !name.is_empty()).unwrap_or_else(|| to.to_string())
    }

    fn write_sent(&mut self, request: &Request) {
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        let id = if client.is_outside() { "why-sent-outside" } else { "why-sent" };
        let phrase = Phrase::new(id).with("client", &client.name).with("node", &client.node);
        self.step(phrase.with("target", &client.spec.target));
        if request.attempt > 0 {
            let began = seconds(self.now.since(request.began));
            self.step(Phrase::new("why-again").with("nth", request.attempt + 1).with("seconds", began));
        }
        if let Some(Target::Address(ip, port)) = &client.target {
            self.step(Phrase::new("why-address").with("address", SocketAddr::new(*ip, *port)));
        }
    }

    fn write_name(&mut self, found: &Resolution, ip: Option<IpAddr>) {
        let tried: Vec<&str> = found.tried.iter().map(|t| t.name.trim_end_matches('.')).collect();
        match (&found.name, ip) {
            (Some(name), Some(ip)) => {
                let id = if tried.len() > 1 { "why-name-search" } else { "why-name" };
                let name = name.trim_end_matches('.');
                let before = tried[..tried.len().saturating_sub(1)].join(", ");
                self.step(Phrase::new(id).with("name", name).with("ip", ip).with("tried", before));
            }
            _ => {
                self.bad(Phrase::new("why-name-none").with("tried", tried.join(", ")));
                let service = found.tried.iter().find_map(|t| crate::dns::service_of_name(&t.name));
                let there = service.as_ref().and_then(|key| self.store.get::<Service>(key));
                if let Some(service) = service {
                    let id = if there.is_some() { "why-name-headless" } else { "why-name-no-service" };
                    let field = there.and_then(|s| self.field_of(s.metadata.uid, "spec.selector"));
                    let text = Phrase::new(id).with("service", &service.name).with("namespace", &service.namespace);
                    self.tell(Chapter { at: self.now, tone: Tone::Cause, text, field, ..Chapter::default() });
                }
            }
        }
    }

    /// A node that packets can't come to.
    fn write_gone(&mut self, node: &str) {
        let Some(machine) = self.machines.get(node) else { return };
        let id = if machine.powered { "why-node-cut" } else { "why-node-off" };
        self.bad(Phrase::new(id).with("node", node));
    }

    fn write_leaves(&mut self, request: &Request) {
        let (to, pod) = (request.to, request.pod.map(|p| Id(p.0)));
        if let Some(witness) = &mut self.witness {
            witness.story.endpoint =
                if to == request.flow.dst && pod.is_none() { String::new() } else { to.to_string() };
            witness.story.pod = pod;
        }
    }

    /// Silence: nobody has the address, or no packets pass.
    fn write_nobody(&mut self, request: &Request) {
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        let to = request.to.ip();
        let there = self.addresses.get(&to).and_then(|uid| self.sandboxes.get(uid)).cloned();
        match there {
            None => self.bad(Phrase::new("why-nobody").with("ip", to)),
            Some(sandbox) if sandbox.cut => self.bad(Phrase::new("why-pod-cut").with("pod", &sandbox.key.name)),
            Some(sandbox) => {
                let via = request.via.as_ref().map(|(node, _)| node.clone());
                let nodes = [Some(sandbox.node.clone()), via, Some(client.node.clone())];
                let gone =
                    nodes.into_iter().flatten().find(|n| self.machines.get(n).is_some_and(|m| !m.is_reachable()));
                match gone {
                    Some(node) => self.write_gone(&node),
                    None => self.bad(Phrase::new("why-nobody").with("ip", to)),
                }
            }
        }
        self.write_cause(request);
    }

    /// Why the rules still sent it there, if they did.
    fn write_cause(&mut self, request: &Request) {
        if request.to == request.flow.dst {
            return;
        }
        let node = match (&request.via, self.clients.get(&request.client)) {
            (Some((node, _)), _) => node.clone(),
            (None, Some(client)) => client.node.clone(),
            _ => return,
        };
        for text in self.whose_delay(request, &node) {
            self.tell(Chapter { at: self.now, tone: Tone::Cause, text, ..Chapter::default() });
        }
    }

    fn write_served(&mut self, request: &Request) {
        let waited = self.now.since(request.arrived);
        let id = if waited > Span::ZERO { "why-served-late" } else { "why-served" };
        self.step(Phrase::new(id).with("pod", self.pod_behind(request.to)).with("seconds", seconds(waited)));
    }

    fn write_end(&mut self, outcome: Outcome, sent: Time) {
        let micros = self.now.since(sent).as_micros();
        let tone = if outcome == Outcome::Answered { Tone::Good } else { Tone::Bad };
        let text = Phrase::new(&format!("why-end-{}", outcome.key()))
            .with("ms", format!("{}.{:02}", micros / 1_000, micros % 1_000 / 10));
        self.tell(Chapter { at: self.now, tone, text, ..Chapter::default() });
        if let Some(witness) = &mut self.witness {
            witness.story.outcome = Some(outcome);
            witness.over = true;
        }
    }

    /// The Service whose address or node port a packet goes to, and which of its ports.
    pub(super) fn service_of_flow(&self, flow: &Flow) -> Option<(Uid, u8)> {
        let of_node = || {
            self.machines.values().find(|m| m.ip == flow.dst.ip())?;
            self.store.list::<Service>().find_map(|s| {
                let port = s.spec.ports.iter().position(|p| p.node_port == flow.dst.port())?;
                Some((s.metadata.uid, u8::try_from(port).unwrap_or(0)))
            })
        };
        self.service_at(flow.proto, flow.dst).or_else(of_node)
    }

    /// Whose address it is, for the chapter before the rules.
    pub(super) fn write_service(&mut self, service: Option<(Uid, u8)>, dst: SocketAddr) {
        let found = service.and_then(|(uid, port)| Some((self.store.by_uid::<Service>(uid)?.clone(), port)));
        let Some((service, port)) = found else {
            return self.step(Phrase::new("why-no-service").with("address", dst));
        };
        let text = Phrase::new("why-service").with("address", dst).with("service", &service.metadata.name);
        let text = text.with("type", service.spec.type_);
        let field = self.field_of(
            service.metadata.uid,
            &format!(
                "spec.ports[{port}].{}",
                if service.spec.ports.get(usize::from(port)).is_some_and(|p| p.node_port == dst.port()) {
                    "nodePort"
                } else {
                    "port"
                }
            ),
        );
        self.tell(Chapter { at: self.now, text, field, ..Chapter::default() });
    }

    /// The endpoint that rules chose, and how likely that was.
    pub(super) fn write_endpoint(&mut self, to: SocketAddr, share: f64) {
        let uid = self.addresses.get(&to.ip()).copied().or_else(|| self.facts.ghost_at(to.ip()));
        let node = uid.and_then(|uid| self.sandboxes.get(&uid)).map(|s| s.node.to_string()).unwrap_or_default();
        let id = match (uid, node.is_empty()) {
            (None, _) => "why-endpoint-nobody",
            (_, true) => "why-endpoint-gone",
            _ => "why-endpoint",
        };
        let name = uid.map(|uid| self.pod_name(uid)).unwrap_or_default();
        let text = Phrase::new(id).with("address", to).with("pod", name).with("node", node);
        self.step(text.with("percent", percent(share)));
    }
}
