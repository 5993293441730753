//! What can happen in a cluster, and when: the event queue of the simulation.

use crate::control_plane::Component;
use crate::kubelet::ProbeKind;
use crate::store::Change;
use crate::traffic::{ConnectionId, RequestId};
use kube_api::{NamespacedName, Uid};
use lab_base::{OrdMap, Time};
use lab_protocol::{Fault, Outcome};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use std::net::SocketAddr;
use std::sync::Arc;

/// Name of a node, shared by all that mention it.
pub type NodeName = Arc<str>;

/// A control loop of kube-controller-manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Controller {
    /// `pkg/controller/deployment`; keys are Deployments.
    Deployment,
    /// `pkg/controller/replicaset`; keys are ReplicaSets.
    ReplicaSet,
    /// `pkg/controller/endpointslice`; keys are Services.
    EndpointSlice,
    /// `controllers/service` of kubernetes/cloud-provider; keys are Services.
    Service,
    /// `pkg/controller/garbagecollector`; keys are owners that are gone, by kind and name.
    GarbageCollector,
    /// `pkg/controller/disruption`; keys are PodDisruptionBudgets.
    Disruption,
    /// `pkg/controller/namespace`; keys are Namespaces.
    Namespace,
    /// `pkg/controller/podgc`; keys are Nodes that are gone.
    PodGarbageCollector,
    /// `pkg/controller/nodelifecycle`; keys are Nodes.
    NodeLifecycle,
    /// `pkg/controller/tainteviction`; keys are Nodes.
    TaintEviction,
}

impl Controller {
    /// All of them, with their names in `--controllers` (`cmd/kube-controller-manager/names/controller_names.go`; the Service
    /// controller is the cloud's own).
    pub const ALL: [(Controller, &'static str); 10] = [
        (Controller::Deployment, "deployment-controller"),
        (Controller::ReplicaSet, "replicaset-controller"),
        (Controller::EndpointSlice, "endpointslice-controller"),
        (Controller::Service, "service-lb-controller"),
        (Controller::GarbageCollector, "garbage-collector-controller"),
        (Controller::Disruption, "disruption-controller"),
        (Controller::Namespace, "namespace-controller"),
        (Controller::PodGarbageCollector, "pod-garbage-collector-controller"),
        (Controller::NodeLifecycle, "node-lifecycle-controller"),
        (Controller::TaintEviction, "taint-eviction-controller"),
    ];

    /// The control loop of this name.
    pub fn named(name: &str) -> Option<Controller> {
        Controller::ALL.iter().find(|(_, n)| *n == name).map(|(c, _)| *c)
    }
}

/// Something that will happen.
#[derive(Clone, Debug, Serialize)]
pub enum Event {
    /// A controller's worker takes a key from its queue.
    Reconcile(Controller, NamespacedName),
    /// The scheduler takes a Pod.
    Schedule(NamespacedName),
    /// A node's kube-proxy hears of a Service or EndpointSlice.
    ProxyHears(NodeName, Arc<Change>),
    /// A node's kube-proxy begins to write rules.
    ProxySync(NodeName),
    /// And has written them.
    ProxySynced(NodeName),
    /// A kubelet hears of a Pod's new state in the API server.
    KubeletHears(NodeName, NamespacedName),
    /// A step in the life of a sandbox; stale if it is another by then.
    Sandbox(Uid, u32, PodStep),
    /// A step in the life of a container, by its place in the Pod; stale if its process is another by then.
    Container(Uid, u8, u32, Step),
    /// The kubelet writes a Pod's status to the API server.
    Status(Uid),
    /// A client sends its next request.
    Arrival(u64),
    /// A client has the address of its target's name.
    Connect(RequestId, SocketAddr),
    /// A request's first packet reaches the end of its way.
    Arrive(RequestId),
    /// The server's answer leaves.
    Respond(RequestId),
    /// The client learns how its request ended.
    Finish(RequestId, Outcome),
    /// The client has waited long enough.
    GiveUp(RequestId),
    /// The node controller's poll finds a node's lease too old, which was renewed until this moment, in microseconds.
    NodeSilent(NodeName, u64),
    /// And later finds it renewed.
    NodeHeard(NodeName, u64),
    /// Taints have been there longer than its Pods put up with.
    EvictPods(NodeName, u64),
    /// A zone's unhealthy nodes may be tainted again.
    TaintPass,
    /// The garbage collector of Pods looks at a node that is out of service.
    PodGc(NodeName),
    /// A node that was switched on has booted.
    Booted(NodeName, u64),
    /// A fault of the scenario's timetable.
    Planned(Fault),
    /// The cloud has made or changed a Service's load balancer.
    LoadBalancerReady(NamespacedName),
    /// Enough health checks of a load balancer have found a node otherwise than before.
    TargetTurns(NamespacedName, NodeName),
    /// The service controller looks at all nodes.
    NodeSync,
    /// A client tries again after a failure.
    Retry(RequestId),
    /// A client learns that the server has closed a connection.
    ConnectionClosed(ConnectionId),
    /// A server looks whether a connection has been idle for too long.
    ConnectionIdle(ConnectionId),
    /// A kube-proxy that was started again lists what there is.
    ProxyStarted(NodeName),
    /// An API server that was started answers.
    ApiServerReady,
    /// A component has its watches again, or for the first time, and leads.
    Reconnected(Component, u64),
    /// A kubelet tries to write what it couldn't while there was no API server.
    StatusBatch(NodeName),
    /// A client sends the next question of a lookup to CoreDNS.
    AskDns(RequestId),
}

/// A step in the life of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PodStep {
    /// The network namespace stands: the Pod has its address.
    Networked,
    /// Everything has stopped: the network namespace goes.
    TornDown,
    /// The kubelet tries again to mount its volumes.
    Mount,
}

/// A step in the life of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Step {
    /// The process starts.
    Started,
    /// The process listens.
    Listens,
    /// The process ends by itself, with this code.
    Ends(i32),
    /// The kubelet's relist finds that the process runs.
    NoticedRunning,
    /// The kubelet's relist finds that the process is dead.
    NoticedExit,
    /// Time for a probe.
    Probe(ProbeKind),
    /// preStop has ended: SIGTERM.
    Sigterm,
    /// The grace period is over: SIGKILL.
    Sigkill,
    /// The kubelet tries again to make the container.
    Create,
}

/// Where an event stands in the queue: by time, then in the order in which they were planned.
pub type EventKey = (Time, u64);

/// The queue. Cloning shares all of it but what is due soon.
#[derive(Clone, Debug, Default)]
pub struct EventQueue {
    /// The first events, the very first one last: most of what happens is taken from its end.
    soon: Vec<(EventKey, Event)>,
    /// The others, all of them after those.
    later: OrdMap<EventKey, Event>,
    planned: u64,
}

impl EventQueue {
    /// Plans an event; the key can take it back.
    pub fn plan(&mut self, at: Time, event: Event) -> EventKey {
        self.planned += 1;
        let key = (at, self.planned);
        match self.place(key) {
            Some(Err(place)) => self.soon.insert(place, (key, event)),
            _ => drop(self.later.insert(key, event)),
        }
        key
    }
    /// Where in `soon` a key is, or would be. None: it is a later one's.
    fn place(&self, key: EventKey) -> Option<Result<usize, usize>> {
        let is_soon = self.soon.first().is_some_and(|(last, _)| key <= *last);
        is_soon.then(|| self.soon.binary_search_by(|(other, _)| key.cmp(other)))
    }
    /// Takes a planned event back.
    pub fn cancel(&mut self, key: EventKey) {
        match self.place(key) {
            Some(Ok(place)) => drop(self.soon.remove(place)),
            Some(Err(_)) => {}
            None => drop(self.later.remove(&key)),
        }
    }
    /// Takes the first event out if it is due by `until`.
    pub fn pop(&mut self, until: Time) -> Option<(Time, Event)> {
        if self.next_at()? > until {
            return None;
        }
        if self.soon.is_empty() {
            self.soon = self.later.take_first();
            self.soon.reverse();
        }
        self.soon.pop().map(|((at, _), event)| (at, event))
    }
    /// When the first event is due.
    pub fn next_at(&self) -> Option<Time> {
        let first = self.soon.last().map(|(key, _)| key).or_else(|| self.later.get_min().map(|(key, _)| key));
        first.map(|(at, _)| *at)
    }
}

impl Serialize for EventQueue {
    /// The events in their order: where they lie says nothing.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut queue = serializer.serialize_struct("EventQueue", 2)?;
        queue.serialize_field("events", &InOrder(self))?;
        queue.serialize_field("planned", &self.planned)?;
        queue.end()
    }
}

struct InOrder<'a>(&'a EventQueue);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let InOrder(EventQueue { soon, later, .. }) = self;
        let mut map = serializer.serialize_map(Some(soon.len() + later.len()))?;
        for (key, event) in soon.iter().rev().map(|(key, event)| (key, event)).chain(later) {
            map.serialize_entry(key, event)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_base::Dice;
    use std::collections::BTreeMap;

    #[test]
    fn the_queue_is_a_map_by_time() {
        let (mut queue, mut model) = (EventQueue::default(), BTreeMap::new());
        let rolls = Dice::new(3).rolls(lab_base::Source::Work, 0);
        let (mut now, mut keys) = (0, Vec::new());
        for step in 0..40_000_u64 {
            let roll = rolls.nth(step);
            let draw = roll.below(100);
            // It grows first, and empties later.
            if draw < if step < 15_000 { 60 } else { 35 } {
                let at = Time::from_micros(now + (roll.bits() >> 8) % if draw.is_multiple_of(2) { 50 } else { 5_000 });
                let key = queue.plan(at, Event::Arrival(step));
                model.insert(key, step);
                keys.push(key);
            } else if draw < 70 && !keys.is_empty() {
                let key = keys[(roll.bits() >> 8) as usize % keys.len()];
                queue.cancel(key);
                model.remove(&key);
            } else {
                now += roll.below(20);
                let until = Time::from_micros(now);
                let expected = model.first_entry().filter(|e| e.key().0 <= until).map(|e| (e.key().0, e.remove()));
                let seen = queue.pop(until).map(|(at, event)| {
                    let Event::Arrival(step) = event else { panic!("{event:?} was never planned") };
                    (at, step)
                });
                assert_eq!(seen, expected);
            }
            assert_eq!(queue.next_at(), model.keys().next().map(|(at, _)| *at));
        }
        while let Some((at, Event::Arrival(step))) = queue.pop(Time::FOREVER) {
            assert_eq!(Some((at, step)), model.pop_first().map(|((at, _), step)| (at, step)));
        }
        assert!(model.is_empty());
    }
}
