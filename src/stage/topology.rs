//! Who sends to whom: the cluster as a graph, from which the picture and the ways of requests are made.

use crate::lab::Scene;
use lab_protocol::{ClientView, EndpointView, Id, PodState, PodView, ServiceView};
use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableGraph};
use petgraph::visit::EdgeRef;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Something that has a place on the stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// A client.
    Client(Id),
    /// A Service.
    Service(Id),
    /// An address or name that a client uses and that is no Service.
    Address(String),
    /// An endpoint on a Service's card: Service, index of its port, address.
    Row(Id, u8, String),
    /// A Pod.
    Pod(Id),
    /// A node, by name; empty: where Pods wait that have none.
    Node(String),
    /// A zone, by name.
    Zone(String),
}

/// How two things hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// A client to what it asks for.
    Sends,
    /// A Service to the endpoints on its card.
    Lists,
    /// An endpoint or address to the Pod that has it.
    Reaches,
    /// A zone to its nodes, a node to its Pods.
    Holds,
}

/// The graph. Indices stay valid while things come and go.
#[derive(Default)]
pub struct Topology {
    graph: StableGraph<Thing, Link>,
    index: BTreeMap<Thing, NodeIndex>,
}

/// An endpoint on a Service's card.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Index of the Service's port.
    pub port: u8,
    /// `10.244.1.4:8080`.
    pub address: String,
    /// Who has it.
    pub pod: Option<Id>,
    /// Share of new connections.
    pub share: f32,
    /// Nodes that alone have it, when the others (whose list the card shows) don't.
    pub only: Vec<String>,
}

/// The endpoints on a Service's card: the list that most nodes have, then what only others have.
pub fn rows(service: &ServiceView) -> Vec<Row> {
    let row = |e: &EndpointView, only: &[String]| Row {
        port: e.port,
        address: e.address.clone(),
        pod: e.pod,
        share: e.share,
        only: only.to_vec(),
    };
    let mut all: Vec<Row> = Vec::new();
    for (i, list) in service.lists.iter().enumerate() {
        for e in &list.endpoints {
            match all.iter_mut().find(|r| r.port == e.port && r.address == e.address) {
                Some(known) if i > 0 && !known.only.is_empty() => known.only.extend(list.nodes.iter().cloned()),
                Some(_) => {}
                None => all.push(row(e, if i == 0 { &[] } else { &list.nodes })),
            }
        }
    }
    all
}

/// What a client asks for: a Service, or an address or name that is none.
pub fn target_of(client: &ClientView, scene: &Scene) -> Thing {
    if let Some(id) = client.service.filter(|id| scene.services.contains_key(id)) {
        return Thing::Service(id);
    }
    let rest = client.target.split("://").last().unwrap_or_default();
    let address = rest.split('/').next().unwrap_or_default();
    let host = address.rsplit_once(':').map_or(address, |(h, _)| h);
    let by_ip = scene.services.values().find(|s| !s.cluster_ip.is_empty() && s.cluster_ip == host);
    by_ip.map_or_else(|| Thing::Address(address.to_owned()), |s| Thing::Service(s.id))
}

/// The Pod that has an address, the living before the dead.
pub fn owner_of<'a>(address: &str, scene: &'a Scene) -> Option<&'a Arc<PodView>> {
    let host = address.rsplit_once(':').map_or(address, |(h, _)| h);
    scene.pods.values().filter(|p| !p.ip.is_empty() && p.ip == host).max_by_key(|p| p.state != PodState::Dead)
}

/// A number that changes when the graph or the places of things may: counters don't matter.
pub fn digest(scene: &Scene) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    for pod in scene.pods.values() {
        (pod.id, &pod.node, &pod.ip, pod.state == PodState::Dead).hash(&mut hasher);
    }
    for node in scene.nodes.values() {
        (node.id, &node.name, &node.zone).hash(&mut hasher);
    }
    for client in scene.clients.values() {
        (client.id, client.service, &client.target).hash(&mut hasher);
    }
    for service in scene.services.values() {
        (service.id, &service.cluster_ip).hash(&mut hasher);
        for list in &service.lists {
            list.nodes.len().hash(&mut hasher);
            for e in &list.endpoints {
                (e.port, &e.address, e.pod).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}

impl Topology {
    /// Follows the scene.
    pub fn follow(&mut self, scene: &Scene) {
        let mut links: BTreeSet<(Thing, Thing, Link)> = BTreeSet::new();
        let mut things: BTreeSet<Thing> = BTreeSet::new();
        for client in scene.clients.values() {
            let target = target_of(client, scene);
            if let Thing::Address(address) = &target
                && let Some(pod) = owner_of(address, scene)
            {
                links.insert((target.clone(), Thing::Pod(pod.id), Link::Reaches));
            }
            links.insert((Thing::Client(client.id), target, Link::Sends));
        }
        for service in scene.services.values() {
            things.insert(Thing::Service(service.id));
            for row in rows(service) {
                let thing = Thing::Row(service.id, row.port, row.address);
                if let Some(pod) = row.pod.filter(|p| scene.pods.contains_key(p)) {
                    links.insert((thing.clone(), Thing::Pod(pod), Link::Reaches));
                }
                links.insert((Thing::Service(service.id), thing, Link::Lists));
            }
        }
        for node in scene.nodes.values() {
            let name = Thing::Node(node.name.clone());
            things.insert(name.clone());
            if !node.zone.is_empty() {
                links.insert((Thing::Zone(node.zone.clone()), name, Link::Holds));
            }
        }
        for pod in scene.pods.values() {
            let known = scene.nodes.values().any(|n| n.name == pod.node);
            let node = if known { pod.node.clone() } else { String::new() };
            links.insert((Thing::Node(node), Thing::Pod(pod.id), Link::Holds));
        }
        for (a, b, _) in &links {
            things.insert(a.clone());
            things.insert(b.clone());
        }
        self.become_of(&things, &links);
    }

    fn become_of(&mut self, things: &BTreeSet<Thing>, links: &BTreeSet<(Thing, Thing, Link)>) {
        let gone: Vec<Thing> = self.index.keys().filter(|t| !things.contains(*t)).cloned().collect();
        for thing in gone {
            if let Some(index) = self.index.remove(&thing) {
                self.graph.remove_node(index);
            }
        }
        for thing in things {
            if !self.index.contains_key(thing) {
                self.index.insert(thing.clone(), self.graph.add_node(thing.clone()));
            }
        }
        self.graph.retain_edges(|graph, edge| {
            let (Some((a, b)), Some(link)) = (graph.edge_endpoints(edge), graph.edge_weight(edge)) else {
                return false;
            };
            links.contains(&(graph[a].clone(), graph[b].clone(), *link))
        });
        for (a, b, link) in links {
            if let (Some(a), Some(b)) = (self.index.get(a), self.index.get(b)) {
                self.graph.update_edge(*a, *b, *link);
            }
        }
    }

    /// Things of some kind, in order.
    pub fn things(&self) -> impl Iterator<Item = &Thing> {
        self.index.keys()
    }

    /// What hangs on a thing, in order.
    pub fn of(&self, thing: &Thing, link: Link) -> Vec<&Thing> {
        self.ends(thing, link, Direction::Outgoing)
    }

    /// On what a thing hangs, in order.
    pub fn on(&self, thing: &Thing, link: Link) -> Vec<&Thing> {
        self.ends(thing, link, Direction::Incoming)
    }

    fn ends(&self, thing: &Thing, link: Link, direction: Direction) -> Vec<&Thing> {
        let Some(index) = self.index.get(thing) else { return Vec::new() };
        let mut ends: Vec<&Thing> = self
            .graph
            .edges_directed(*index, direction)
            .filter(|e| *e.weight() == link)
            .map(|e| &self.graph[if direction == Direction::Outgoing { e.target() } else { e.source() }])
            .collect();
        ends.sort();
        ends
    }

    /// The way of a request: from what its client asks for to the Pod, if there is a way.
    pub fn way(&self, client: Id, service: Option<Id>, port: u8, pod: Option<Id>) -> (Option<Thing>, Option<Thing>) {
        let target = match service.map(Thing::Service).filter(|s| self.index.contains_key(s)) {
            Some(service) => Some(service),
            None => self.of(&Thing::Client(client), Link::Sends).first().map(|t| (*t).clone()),
        };
        let Some(pod) = pod.map(Thing::Pod) else { return (target, None) };
        let from = self.on(&pod, Link::Reaches).into_iter().find(|from| match (from, &target) {
            (Thing::Row(s, p, _), Some(Thing::Service(service))) => s == service && *p == port,
            (from, Some(target)) => *from == target,
            _ => false,
        });
        (target, from.cloned())
    }
}
