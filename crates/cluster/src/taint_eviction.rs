//! Pods that must leave a node: NoExecute taints (`pkg/controller/tainteviction`), and what the garbage collector of Pods
//! takes from nodes that are out of service (`pkg/controller/podgc`).

use crate::cluster::Cluster;
use crate::event::{Event, NodeName};
use crate::scheduler::tolerates;
use crate::store::Change;
use kube_api::{Condition, ConditionStatus, NamespacedName, Node, Object, Pod};
use lab_base::{Span, Time};

/// How often the garbage collector looks (`gcCheckPeriod`).
pub const POD_GC_PERIOD: Span = Span::from_secs(20);
/// Who sets this says that the machine is off for certain.
const TAINT_OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

impl Cluster {
    /// A Pod came to a node: it may not stay long.
    pub(crate) fn tell_taint_eviction(&mut self, change: &Change) {
        let node = |o: &Option<Object>| match o {
            Some(Object::Pod(p)) => Some(p.spec.node_name.clone()).filter(|n| !n.is_empty()),
            _ => None,
        };
        if let Some(node) = node(&change.new).filter(|n| node(&change.old).as_ref() != Some(n))
            && self.node(&node).is_some_and(|n| n.spec.taints.iter().any(|t| t.effect == "NoExecute"))
        {
            self.plan_evictions(&node);
        }
    }

    /// Plans the moments at which Pods no longer put up with their node's NoExecute taints, and the garbage collector's next
    /// look at a node that is out of service.
    pub(crate) fn plan_evictions(&mut self, node: &str) {
        let Some(machine) = self.machines.get(node) else { return };
        let (name, outage) = (machine.name.clone(), machine.outage);
        let mut moments: Vec<Time> = self.store.pods_on(node).filter_map(|p| self.evicted_at(p)).collect();
        moments.sort_unstable();
        moments.dedup();
        for at in moments {
            self.events.plan(at.max(self.now), Event::EvictPods(name.clone(), outage));
        }
        if self.node(node).is_some_and(out_of_service) && self.store.pods_on(node).next().is_some() {
            let at = self.tick("podgc", "", POD_GC_PERIOD, self.now) - POD_GC_PERIOD;
            self.events.plan(at, Event::PodGc(name));
        }
    }

    /// When a Pod has to go because of its node's NoExecute taints; None: it puts up with them for ever.
    fn evicted_at(&self, pod: &Pod) -> Option<Time> {
        let taints = &self.node(&pod.spec.node_name)?.spec.taints;
        let mut taints = taints.iter().filter(|t| t.effect == "NoExecute").peekable();
        taints.peek()?;
        let (mut since, mut shortest) = (Time::FOREVER, None::<Span>);
        for taint in taints {
            since = since.min(taint.time_added.unwrap_or_default());
            let mut fits = false;
            for toleration in pod.spec.tolerations.iter().filter(|t| tolerates(t, taint)) {
                fits = true;
                if let Some(seconds) = toleration.toleration_seconds {
                    let span = Span::from_secs(seconds.max(0).unsigned_abs());
                    shortest = Some(shortest.map_or(span, |s| s.min(span)));
                }
            }
            if !fits {
                return Some(taint.time_added.unwrap_or_default());
            }
        }
        // Of all tolerations that are used, the shortest that names a time counts (`getMinTolerationTime`).
        shortest.map(|s| since + s)
    }

    pub(crate) fn evict_pods(&mut self, node: &NodeName, _outage: u64) {
        let now = self.now;
        let pods: Vec<_> = self
            .store
            .pods_on(node)
            .filter(|p| !p.metadata.is_deleting() && self.evicted_at(p).is_some_and(|at| at <= now))
            .map(|p| p.metadata.key())
            .collect();
        for pod in pods {
            self.eviction_event(&pod);
            disrupted(self, &pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
            self.delete_pod(&pod, None);
        }
    }

    /// `gcTerminating`: Pods that are being deleted on a node that isn't ready and is tainted as out of service go at once.
    pub(crate) fn pod_gc(&mut self, node: &NodeName) {
        if !self.node(node).is_some_and(out_of_service) {
            return;
        }
        let all: Vec<(NamespacedName, bool)> =
            self.store.pods_on(node).map(|p| (p.metadata.key(), p.metadata.is_deleting())).collect();
        let left = all.iter().any(|(_, deleting)| !deleting);
        for (pod, _) in all.into_iter().filter(|(_, deleting)| *deleting) {
            self.delete_pod(&pod, Some(0));
        }
        if left {
            self.events.plan(self.now + POD_GC_PERIOD, Event::PodGc(node.clone()));
        }
    }
}

fn out_of_service(node: &Node) -> bool {
    let ready = node.condition("Ready").is_some_and(|c| c.status == ConditionStatus::True);
    !ready && node.spec.taints.iter().any(|t| t.key == TAINT_OUT_OF_SERVICE)
}

/// Says in a Pod's conditions why it is deleted.
fn disrupted(cluster: &mut Cluster, pod: &NamespacedName, reason: &str, message: &str) {
    let now = cluster.now;
    cluster.store.update::<Pod>(pod, |p| {
        p.status.conditions.retain(|c| c.type_ != "DisruptionTarget");
        p.status.conditions.push(Condition {
            type_: "DisruptionTarget".into(),
            status: ConditionStatus::True,
            last_transition_time: now,
            reason: reason.into(),
            message: message.into(),
        });
    });
}
