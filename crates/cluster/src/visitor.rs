//! Single requests from Pods and nodes, as a person sends them with curl: a client that sends once and is gone.

use crate::apply::Applied;
use crate::cluster::Cluster;
use crate::event::Event;
use crate::scenario::{ClientSpec, Rate};
use crate::traffic::Client;
use kube_api::{NamespacedName, Pod, Uid};
use lab_base::Span;
use std::sync::Arc;

impl Cluster {
    /// Sends a request now. The answer's only line is the number of the client that sent it: under it the facts tell
    /// how the request ended. `pod` empty: a process of the node sends it.
    pub fn send_once(&mut self, node: &str, pod: &NamespacedName, url: &str, timeout: Span) -> Applied {
        let refused = |why: &str| Applied { results: vec![format!("error: {why}")], ..Applied::default() };
        let Some(machine) = self.machines.get(node).filter(|m| m.powered) else { return refused("no such node") };
        let (name, ip) = if pod.name.is_empty() {
            (machine.name.to_string(), machine.ip)
        } else {
            let uid = self.store.get::<Pod>(pod).map(|p| p.metadata.uid);
            let sandbox = uid.and_then(|uid| self.sandboxes.get(&uid)).filter(|s| s.is_running() && &*s.node == node);
            match sandbox.and_then(|s| s.ip) {
                Some(ip) => (pod.name.clone(), ip),
                None => return refused("the container doesn't run"),
            }
        };
        let spec = ClientSpec {
            node: node.into(),
            namespace: if pod.namespace.is_empty() { "default".into() } else { pod.namespace.clone() },
            target: url.into(),
            rate: Rate::constant(0.0),
            timeout,
            ..ClientSpec::default()
        };
        let node = machine.name.clone();
        let uid = self.store.new_uid();
        // The number of the client is part of its name, so that each has luck of its own.
        let client = Client::new(uid, &format!("curl@{name}#{}", uid.0), node, ip, &spec);
        if client.target.is_none() {
            return refused("no such target");
        }
        self.clients.insert(uid.0, Arc::new(client));
        self.visitors.push(uid);
        self.events.plan(self.now, Event::Arrival(uid.0));
        Applied { results: vec![uid.0.to_string()], changed: true, ..Applied::default() }
    }

    /// Whether a Pod's cable is pulled.
    pub fn pod_is_cut(&self, pod: Uid) -> bool {
        self.sandboxes.get(&pod).is_some_and(|s| s.cut)
    }

    /// A client whose request has ended goes, if it came for that one request.
    pub(crate) fn visitor_leaves(&mut self, client: u64) {
        if let Some(at) = self.visitors.iter().position(|v| *v == Uid(client)) {
            self.visitors.remove(at);
            self.clients.remove(&client);
        }
    }
}
