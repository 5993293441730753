//! Connections that a client keeps and uses again. One stays with the endpoint that was chosen for it, whatever the rules
//! say by now: nobody balances it anew until it breaks or is closed.

use super::client::Client;
use super::request::{Request, RequestId};
use crate::cluster::Cluster;
use crate::event::{Event, NodeName};
use crate::kubelet::{ContainerRun, Process, Sandbox};
use crate::why::Saw;
use datapath::Flow;
use kube_api::Uid;
use lab_base::{OrdSet, Span, Time, Vector};
use lab_protocol::Outcome;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;

/// Number of a connection: that of the request for which it was opened.
pub type ConnectionId = RequestId;

/// The connections that a client keeps.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pool {
    /// Open and not in use; the last one to come free is taken first.
    pub idle: Vector<ConnectionId>,
    /// How many there are, those that are being opened included.
    pub open: u32,
    /// Requests that wait for one.
    pub waiting: OrdSet<RequestId>,
}

/// A connection that is kept.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// Whose.
    pub client: u64,
    /// As its client sees it.
    pub flow: Flow,
    /// As the rules send it on.
    pub to: SocketAddr,
    /// The node on whose address it goes, and what that node's kernel sees.
    pub via: Option<(NodeName, Flow)>,
    /// The Service whose address it uses.
    pub service: Option<Uid>,
    /// Index of the Service's port.
    pub port: u8,
    /// The Pod at its other end.
    pub pod: Uid,
    /// Which of its containers, and which of that one's processes.
    end: (u8, u32),
    /// When it was opened.
    pub opened: Time,
    /// Requests that it has carried.
    pub carried: u64,
    /// Since when it is idle; None: a request is on it.
    pub idle_since: Option<Time>,
    /// Whether the server has closed it; its client may not know yet.
    pub closed: bool,
    /// Whether the server's timer for it runs.
    timed: bool,
}

impl Cluster {
    /// The connections that clients keep, by number.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values().map(|c| &**c)
    }

    fn pool_mut(&mut self, client: u64) -> Option<&mut Pool> {
        self.clients.get_mut(&client).map(|c| &mut Arc::make_mut(c).pool)
    }

    fn connection_mut(&mut self, connection: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&connection).map(Arc::make_mut)
    }

    /// A request needs a connection: an idle one, a new one, or the next that comes free.
    pub(super) fn take_connection(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        if let Some(connection) = client.pool.idle.last().copied() {
            if let Some(pool) = self.pool_mut(client.uid.0) {
                pool.idle.pop_back();
            }
            self.send_on(id, &client, connection);
            return;
        }
        let may_open = client.pool.open < client.spec.connections;
        if let Some(pool) = self.pool_mut(client.uid.0) {
            if may_open {
                pool.open += 1;
            } else {
                pool.waiting.insert(id);
            }
        }
        if may_open {
            self.open_connection(id, &client);
        }
    }

    /// Sends a request on a connection that stands.
    fn send_on(&mut self, id: RequestId, client: &Client, connection: ConnectionId) {
        let now = self.now;
        let Some(conn) = self.connection_mut(connection) else { return };
        conn.idle_since = None;
        let conn = conn.clone();
        self.saw(id, Saw::Kept(connection, &conn));
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.connection = connection;
        request.flow = conn.flow;
        request.to = conn.to;
        request.via.clone_from(&conn.via);
        request.service = conn.service;
        request.port = conn.port;
        request.pod = Some(conn.pod);
        request.connected = true;
        let request = request.clone();
        let mut known = true;
        if let Some(machine) = self.machine_mut(&client.node) {
            known &= machine.kernel.established(now, conn.flow).is_some();
        }
        if let Some((node, flow)) = &conn.via
            && let Some(machine) = self.machine_mut(node).filter(|m| m.powered)
        {
            known &= machine.kernel.established(now, *flow).is_some();
        }
        let transit = self.transit(client, &request, Some(conn.pod));
        if known {
            self.events.plan(now + transit, Event::Arrive(id));
        } else {
            self.saw(id, Saw::Untracked);
            // Without an entry the segment starts on a new way, where nobody knows the connection: RST.
            self.decide(id, now + transit, Outcome::Reset, now + transit.times(2));
            self.events.plan(now + transit.times(2), Event::Finish(id, Outcome::Reset));
        }
    }

    /// A new connection stands.
    pub(super) fn keep_connection(&mut self, id: RequestId, client: &Client, sandbox: &Sandbox, at: usize) {
        let Some(run) = sandbox.containers.get(at) else { return };
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.connection = id;
        let connection = Connection {
            client: client.uid.0,
            flow: request.flow,
            to: request.to,
            via: request.via.clone(),
            service: request.service,
            port: request.port,
            pod: sandbox.uid,
            end: (u8::try_from(at).unwrap_or(u8::MAX), run.life),
            opened: self.now,
            carried: 0,
            idle_since: None,
            closed: false,
            timed: false,
        };
        self.connections.insert(id, Arc::new(connection));
    }

    /// Whether this is a connection's first request.
    pub(super) fn is_fresh(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|c| c.carried == 0)
    }

    /// The container of a Pod whose process has this connection. None: none has, any more.
    pub(super) fn open_at(&self, connection: ConnectionId, sandbox: &Sandbox) -> Option<usize> {
        let conn = self.connections.get(&connection).filter(|c| c.pod == sandbox.uid && !c.closed)?;
        let (at, life) = (usize::from(conn.end.0), conn.end.1);
        let same = |run: &&ContainerRun| run.life == life && run.process.runs();
        sandbox.containers.get(at).filter(same).map(|_| at)
    }

    /// A request has ended: its connection is free again, or it is closed.
    pub(super) fn leave_connection(&mut self, id: RequestId, client: &Client, request: &Request, outcome: Outcome) {
        let now = self.now;
        if self.pool_mut(client.uid.0).is_some_and(|pool| pool.waiting.remove(&id)) {
            return; // it never had one
        }
        let whole = matches!(outcome, Outcome::Answered | Outcome::ServerError);
        let kept = self.connections.get(&request.connection).filter(|_| whole).and_then(|conn| {
            let sandbox = self.sandboxes.get(&conn.pod)?;
            let keeps = sandbox.workload.keep_alive;
            let drains = sandbox.containers.get(usize::from(conn.end.0)).is_none_or(|c| c.process == Process::Draining);
            (keeps > Span::ZERO && !conn.closed && !drains).then_some(keeps)
        });
        let Some(keeps) = kept else {
            if request.connection == 0 {
                if request.connected {
                    self.close_in_kernels(&client.node, &request.flow, request.via.as_ref());
                }
                self.slot_is_free(client.uid.0);
            } else {
                self.close_connection(request.connection);
            }
            return;
        };
        let mut timed = true;
        if let Some(conn) = self.connection_mut(request.connection) {
            conn.idle_since = Some(now);
            conn.carried += 1;
            timed = core::mem::replace(&mut conn.timed, true);
        }
        if !timed {
            self.events.plan(now + keeps, Event::ConnectionIdle(request.connection));
        }
        let next = client.pool.waiting.get_min().copied();
        if let Some(pool) = self.pool_mut(client.uid.0) {
            match next {
                Some(next) => drop(pool.waiting.remove(&next)),
                None => pool.idle.push_back(request.connection),
            }
        }
        if let Some(next) = next {
            self.send_on(next, client, request.connection);
        }
    }

    /// The client's end is closed.
    fn close_connection(&mut self, connection: ConnectionId) {
        let Some(conn) = self.connections.remove(&connection) else { return };
        let node = self.clients.get(&conn.client).map(|c| c.node.clone()).unwrap_or_else(|| "".into());
        self.close_in_kernels(&node, &conn.flow, conn.via.as_ref());
        if let Some(pool) = self.pool_mut(conn.client)
            && pool.idle.iter().any(|id| *id == connection)
        {
            pool.idle = pool.idle.iter().copied().filter(|id| *id != connection).collect();
        }
        self.slot_is_free(conn.client);
    }

    /// There is room for a new connection: for the request that has waited longest.
    fn slot_is_free(&mut self, client: u64) {
        let Some(pool) = self.pool_mut(client) else { return };
        pool.open = pool.open.saturating_sub(1);
        let Some(next) = pool.waiting.get_min().copied() else { return };
        pool.waiting.remove(&next);
        self.take_connection(next);
    }

    /// A container's process closes connections: those that `which` says.
    pub(super) fn hang_up(&mut self, pod: Uid, container: usize, which: impl Fn(&Connection) -> bool) {
        let theirs: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, c)| c.pod == pod && usize::from(c.end.0) == container && !c.closed && which(c))
            .map(|(id, _)| *id)
            .collect();
        for id in theirs {
            self.server_closes(id);
        }
    }

    /// SIGTERM: a process that drains closes what is idle.
    pub(crate) fn close_idle(&mut self, pod: Uid, container: usize) {
        self.hang_up(pod, container, |c| c.idle_since.is_some());
    }

    fn server_closes(&mut self, connection: ConnectionId) {
        let Some(conn) = self.connection_mut(connection) else { return };
        conn.closed = true;
        let conn = conn.clone();
        let Some(client) = self.clients.get(&conn.client).cloned() else { return };
        // The client hears of it, if packets pass.
        let packet = Request { via: conn.via.clone(), ..Request::new(&client, self.now) };
        if self.passes(&client, &packet, conn.pod) {
            let at = self.now + self.transit(&client, &packet, Some(conn.pod));
            self.events.plan(at, Event::ConnectionClosed(connection));
        }
    }

    /// FIN or RST reaches the client.
    pub(crate) fn connection_closed(&mut self, connection: ConnectionId) {
        // A request that is on its way finds the connection closed, and ends it.
        if self.connections.get(&connection).is_some_and(|c| c.idle_since.is_some()) {
            self.close_connection(connection);
        }
    }

    /// The server's timer: has the connection been idle for too long?
    pub(crate) fn connection_idle(&mut self, connection: ConnectionId) {
        let now = self.now;
        let Some(conn) = self.connections.get(&connection).filter(|c| !c.closed) else { return };
        let keeps = self.sandboxes.get(&conn.pod).map_or(Span::ZERO, |s| s.workload.keep_alive);
        let due = conn.idle_since.map(|since| since + keeps);
        let over = due.is_some_and(|due| due <= now);
        if let Some(conn) = self.connection_mut(connection) {
            conn.timed = due.is_some() && !over;
        }
        match due {
            Some(_) if over => self.server_closes(connection),
            Some(due) => drop(self.events.plan(due, Event::ConnectionIdle(connection))),
            None => {}
        }
    }

    /// A node lost power: its clients' processes are gone with their connections.
    pub(crate) fn forget_connections_of(&mut self, node: &str) {
        let clients: Vec<u64> = self.clients.values().filter(|c| &*c.node == node).map(|c| c.uid.0).collect();
        let theirs: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, c)| clients.contains(&c.client) && c.idle_since.is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in theirs {
            self.close_connection(id);
        }
    }
}
