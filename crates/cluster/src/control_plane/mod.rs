//! The API server and those who need it: what is stopped, who has lost its watches, and what waits for somebody to do it.
//!
//! Nothing of a component's work is lost while it doesn't work: controllers find their keys in their queues, what a kubelet
//! would have done it does later, and everybody lists what there is. So whatever happens meanwhile is held up, not dropped,
//! but for what listing brings anyway.

mod comeback;

use crate::cluster::Cluster;
use crate::event::{Controller, Event, NodeName, Step};
use kube_api::Uid;
use lab_base::{Span, Time, subject};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What kubectl says while the API server is down (`kubectl/pkg/cmd/util/helpers.go`).
pub const CONNECTION_REFUSED: &str =
    "The connection to the server 192.168.10.10:6443 was refused - did you specify the right host or port?";

/// A program that talks to the API server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Component {
    /// kube-controller-manager.
    ControllerManager,
    /// The cloud's controller manager.
    CloudControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// A node's kubelet.
    Kubelet(NodeName),
    /// A node's kube-proxy. Whether it runs its machine knows.
    Proxy(NodeName),
}

impl Component {
    /// Whether only one of its kind works, the one that holds a lease.
    fn leads(&self) -> bool {
        matches!(self, Component::ControllerManager | Component::CloudControllerManager | Component::Scheduler)
    }
    /// Its program.
    pub const fn name(&self) -> &'static str {
        match self {
            Component::ControllerManager => "kube-controller-manager",
            Component::CloudControllerManager => "cloud-controller-manager",
            Component::Scheduler => "kube-scheduler",
            Component::Kubelet(_) => "kubelet",
            Component::Proxy(_) => "kube-proxy",
        }
    }
    fn subject(&self) -> u64 {
        match self {
            Component::Kubelet(node) | Component::Proxy(node) => subject(&[self.name(), node]),
            _ => subject(&[self.name()]),
        }
    }
}

/// A component that runs and has no watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Apart {
    /// Since when.
    since: Time,
    /// Whether its process is new and knows nothing yet.
    fresh: bool,
    /// Number of the way back that it is on.
    way: u64,
}

/// How things stand between the API server and the rest. As long as nothing was ever stopped all of it is empty.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ControlPlane {
    /// Counts what was stopped and started.
    turns: u64,
    /// Since when the API server answers nobody.
    down_since: Option<Time>,
    /// Whether it is being started.
    starting: bool,
    /// When it last was down.
    last_outage: Option<(Time, Time)>,
    /// Components that don't run.
    stopped: Vec<Component>,
    /// Components that run and have no watch.
    apart: BTreeMap<Component, Apart>,
    /// Control loops that hang, and since when.
    hung: Vec<(Controller, Time)>,
    /// Kubelets that haven't listed their Pods since they started; true: since their machine did.
    unlisted: Vec<(NodeName, bool)>,
    /// What waits for somebody who doesn't work.
    parked: Vec<Event>,
    /// When the node lifecycle controller last saw no leases.
    blind: Option<(Time, Time)>,
}

impl ControlPlane {
    /// Whether nothing was ever stopped.
    pub(crate) fn is_untouched(&self) -> bool {
        self.turns == 0
    }
    fn is_unlisted(&self, node: &NodeName) -> bool {
        self.unlisted.iter().any(|(n, _)| n == node)
    }
    /// Takes a kubelet from those that haven't listed their Pods.
    fn take_unlisted(&mut self, node: &NodeName) -> Option<bool> {
        let at = self.unlisted.iter().position(|(n, _)| n == node)?;
        Some(self.unlisted.swap_remove(at).1)
    }
}

/// What becomes of an event whose actor can't act.
enum Hold {
    /// Its key stays in the controller's queue.
    Queue,
    /// It happens when the actor works again.
    Park,
    /// Listing makes up for it.
    Drop,
}

impl Cluster {
    fn plane(&mut self) -> &mut ControlPlane {
        Arc::make_mut(&mut self.control_plane)
    }

    /// Whether the API server answers.
    pub fn api_server_answers(&self) -> bool {
        self.control_plane.down_since.is_none()
    }

    /// Whether a node's kubelet runs, as far as its machine does.
    pub fn kubelet_runs(&self, node: &str) -> bool {
        let plane = &self.control_plane;
        plane.is_untouched() || !plane.stopped.contains(&Component::Kubelet(node.into()))
    }

    /// Whether a component has its watches, and leads if it has to.
    pub(crate) fn works(&self, component: &Component) -> bool {
        let plane = &self.control_plane;
        plane.is_untouched()
            || plane.down_since.is_none() && !plane.stopped.contains(component) && !plane.apart.contains_key(component)
    }

    /// Whether a control loop does anything.
    pub(crate) fn controller_works(&self, controller: Controller) -> bool {
        self.works(&process_of(controller)) && !self.control_plane.hung.iter().any(|(c, _)| *c == controller)
    }

    /// Whether a kubelet looks after its containers. It needs no API server for that, once it knows its Pods.
    pub(crate) fn kubelet_acts(&self, node: &NodeName) -> bool {
        let plane = &self.control_plane;
        plane.is_untouched() || !plane.stopped.contains(&Component::Kubelet(node.clone())) && !plane.is_unlisted(node)
    }

    /// Whether what a kubelet writes reaches the API server.
    pub(crate) fn kubelet_writes(&self, node: &NodeName) -> bool {
        self.machines.get(node).is_some_and(|m| m.is_reachable())
            && self.api_server_answers()
            && self.kubelet_acts(node)
    }

    /// Whether somebody who isn't there would have to act now; then the event waits for it.
    pub(crate) fn is_held_up(&mut self, event: &Event) -> bool {
        match self.hold(event) {
            None => return false,
            Some(Hold::Drop) => {}
            Some(Hold::Queue) => {
                if let Event::Reconcile(controller, key) = event {
                    self.queued.insert((*controller, key.clone()));
                }
            }
            Some(Hold::Park) => self.plane().parked.push(event.clone()),
        }
        true
    }

    fn hold(&self, event: &Event) -> Option<Hold> {
        let unless = |works: bool, hold: Hold| (!works).then_some(hold);
        let acts = |uid: &Uid| self.sandboxes.get(uid).is_none_or(|s| self.kubelet_acts(&s.node));
        match event {
            Event::Reconcile(controller, _) => unless(self.controller_works(*controller), Hold::Queue),
            Event::Schedule(_) => unless(self.works(&Component::Scheduler), Hold::Park),
            Event::ProxyHears(node, _) => unless(self.works(&Component::Proxy(node.clone())), Hold::Drop),
            Event::KubeletHears(node, _) => {
                let kubelet = Component::Kubelet(node.clone());
                unless(self.works(&kubelet) && self.kubelet_acts(node), Hold::Drop)
            }
            Event::Sandbox(uid, ..) => unless(acts(uid), Hold::Park),
            // A probe's worker begins anew.
            Event::Container(uid, .., Step::Probe(_)) => unless(acts(uid), Hold::Drop),
            // What the process does itself.
            Event::Container(.., Step::Listens | Step::Ends(_)) => None,
            Event::Container(uid, ..) => unless(acts(uid), Hold::Park),
            // Computed anew from the leases.
            Event::NodeSilent(..) => unless(self.controller_works(Controller::NodeLifecycle), Hold::Drop),
            Event::TaintPass => unless(self.controller_works(Controller::NodeLifecycle), Hold::Park),
            Event::EvictPods(..) => unless(self.controller_works(Controller::TaintEviction), Hold::Park),
            Event::PodGc(_) => unless(self.controller_works(Controller::PodGarbageCollector), Hold::Park),
            Event::LoadBalancerReady(_) | Event::NodeSync => {
                unless(self.controller_works(Controller::Service), Hold::Park)
            }
            _ => None,
        }
    }

    /// When a kubelet that was heard until `silent` renewed its lease last.
    pub(crate) fn last_renewal(&self, node: &str, silent: Time) -> Time {
        let period = crate::node_lifecycle::LEASE_RENEWAL;
        let last = |before: Time| self.tick("lease", node, period, before) - period.times(2);
        let renewed = last(silent);
        let plane = &self.control_plane;
        let outage = plane.down_since.map(|since| (since, Time::FOREVER)).or(plane.last_outage);
        match outage.filter(|(from, to)| (*from..*to).contains(&renewed)) {
            Some((from, _)) => last(from),
            None => renewed,
        }
    }

    /// When the node lifecycle controller finds a lease too old that isn't renewed since `silent`.
    ///
    /// The grace period runs from the poll that saw the last renewal, but from the failure at the earliest (SPEC section 5: 40
    /// to 55 s after it). For a controller that saw nothing for a while it runs from its first poll afterwards: a node whose
    /// lease it doesn't know, or knows older, gets all of it ("Missing timestamp for Node. Assuming now as a timestamp").
    pub(crate) fn silence_found_at(&self, node: &str, silent: Time) -> Time {
        let period = crate::node_lifecycle::MONITOR_PERIOD;
        let poll = |after: Time| self.tick("monitor", "", period, after) - period;
        let mut seen = poll(self.last_renewal(node, silent));
        let blind = self.control_plane.blind;
        if let Some((_, to)) = blind.filter(|(from, to)| (*from..*to).contains(&seen)) {
            seen = poll(to);
        }
        let found = poll(seen.max(silent) + self.monitor_grace());
        blind.map_or(found, |(_, to)| found.max(poll(to))).max(self.now)
    }
}

/// The program that a control loop is part of.
fn process_of(controller: Controller) -> Component {
    match controller {
        Controller::Service => Component::CloudControllerManager,
        _ => Component::ControllerManager,
    }
}

/// A kubelet writes a status again that it couldn't write (`syncPeriod` in `pkg/kubelet/status/status_manager.go`).
pub(crate) const STATUS_SYNC_PERIOD: Span = Span::from_secs(10);
