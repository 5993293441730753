//! An attempt at a request: from its sending until its client knows how it ended.

use super::client::Client;
use super::pool::ConnectionId;
use crate::cluster::Cluster;
use crate::event::{Event, EventKey, NodeName};
use crate::why::Saw;
use datapath::{Flow, L4};
use kube_api::Uid;
use lab_base::Time;
use lab_protocol::{Id, Motion, Outcome};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Number of an attempt at a request.
pub type RequestId = u64;

/// How many outcomes a client remembers for show.
const RECENT: usize = 12;

/// A request under way: its present attempt.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// Whose.
    pub client: u64,
    /// When its first attempt was sent.
    pub began: Time,
    /// How many attempts came before this one.
    pub attempt: u8,
    /// When this attempt was sent.
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
    /// The connection that it uses, of those that its client keeps; 0: one of its own.
    pub connection: ConnectionId,
    /// As the rules send it on.
    pub to: SocketAddr,
    /// The Pod that the rules chose.
    pub pod: Option<Uid>,
    /// The other node whose address it went to, and the connection as that node's kernel sees it.
    pub via: Option<(NodeName, Flow)>,
    /// For draws: number among its client's requests.
    pub ordinal: u64,
    /// How often its packet was sent again since nobody had answered.
    pub resent: u8,
    /// What the server answers if it has to refuse: 500, or 503 when its queue is full.
    pub error: u16,
    pub(super) give_up: EventKey,
}

impl Request {
    pub(super) fn new(client: &Client, now: Time) -> Request {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Request {
            client: client.uid.0,
            began: now,
            attempt: 0,
            sent: now,
            arrived: now,
            service: None,
            port: 0,
            flow: Flow { proto: L4::Tcp, src: nowhere, dst: nowhere },
            connected: false,
            connection: 0,
            to: nowhere,
            pod: None,
            via: None,
            ordinal: 0,
            resent: 0,
            error: 500,
            give_up: (now, 0),
        }
    }

    /// Whose luck it has: its client's, with the number of the request; each further attempt and packet has luck of
    /// its own.
    pub(super) fn luck(&self, client: &Client) -> u64 {
        let again = u64::from(self.attempt) << 8 | u64::from(self.resent);
        client.subject.wrapping_add(again.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl Cluster {
    /// Moves the moment at which the client gives an attempt up, never beyond its time-out.
    pub(super) fn be_patient(&mut self, id: RequestId, until: Time) {
        let Some(request) = self.requests.get(&id) else { return };
        let Some(client) = self.clients.get(&request.client) else { return };
        let until = until.min(request.sent + client.spec.timeout);
        if until != request.give_up.0 {
            self.events.cancel(request.give_up);
            let key = self.events.plan(until, Event::GiveUp(id));
            if let Some(request) = self.requests.get_mut(&id) {
                request.give_up = key;
            }
        }
    }

    /// The client has waited long enough. It closes the connection, and the server stops working on it.
    pub(crate) fn give_up(&mut self, id: RequestId) {
        self.saw(id, Saw::GaveUp);
        let pod = self.requests.get(&id).and_then(|r| r.pod);
        let freed = pod.filter(|pod| self.drop_from_server(id, *pod));
        self.finish(id, Outcome::TimedOut);
        if let Some(pod) = freed {
            self.server_is_free(pod);
        }
    }

    /// The client knows how an attempt ended. Either it tries again, or the request has ended.
    pub(crate) fn finish(&mut self, id: RequestId, outcome: Outcome) {
        let Some(request) = self.requests.remove(&id) else { return };
        self.events.cancel(request.give_up);
        self.saw(id, Saw::Ended(outcome, request.sent));
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        if client.spec.connections > 0 {
            self.leave_connection(id, &client, &request, outcome);
        } else if request.connected {
            self.close_in_kernels(&client.node, &request.flow, request.via.as_ref());
        }
        if self.retry(&client, &request, outcome) {
            return;
        }
        let now = self.now;
        if client.spec.users > 0 {
            self.user_thinks(&client, request.ordinal);
        }
        drop(client); // else it would be copied
        if let Some(client) = self.clients.get_mut(&request.client).map(Arc::make_mut) {
            client.counts.add(outcome);
            client.recent.push_back(outcome);
            while client.recent.len() > RECENT {
                client.recent.pop_front();
            }
        }
        self.facts.count(now, &request, outcome);
        self.failover_fails(&request, outcome);
        self.visitor_leaves(request.client);
    }

    /// FIN or RST passes the kernels that have the connection.
    pub(super) fn close_in_kernels(&mut self, node: &str, flow: &Flow, via: Option<&(NodeName, Flow)>) {
        let now = self.now;
        if let Some(machine) = self.machine_mut(node) {
            machine.kernel.close(now, *flow);
        }
        if let Some((node, flow)) = via
            && let Some(machine) = self.machine_mut(node)
        {
            machine.kernel.close(now, *flow);
        }
    }

    /// Tells the stage what will become of an attempt.
    pub(super) fn decide(&mut self, id: RequestId, arrives: Time, outcome: Outcome, ends: Time) {
        let Some(request) = self.requests.get(&id) else { return };
        let Some(client) = self.clients.get(&request.client) else { return };
        let node = match &request.via {
            Some((node, _)) if client.is_outside() => node,
            _ => &client.node,
        };
        let node = self.machines.get(node).map_or(0, |m| m.uid.0);
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
}
