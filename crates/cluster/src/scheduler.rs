//! kube-scheduler: binds Pods to nodes (`pkg/scheduler`).
//!
//! Filters: node selector, taints, readiness, power of the address plan. Score: fewest Pods of the same owner on the node and
//! in its zone (the default topology spread), then fewest Pods; the rest is drawn.

use crate::cluster::Cluster;
use crate::event::Event;
use kube_api::{Condition, ConditionStatus, NamespacedName, Node, Pod, Taint, Toleration, selects};
use lab_base::{Source, Span, subject};

impl Cluster {
    pub(crate) fn schedule_pod(&mut self, key: &NamespacedName) {
        let Some(pod) = self.store.get::<Pod>(key).cloned() else { return };
        if !pod.spec.node_name.is_empty() || pod.metadata.is_deleting() {
            return;
        }
        match self.best_node(&pod) {
            Some(node) => {
                let now = self.now;
                self.store.update::<Pod>(key, |p| {
                    p.spec.node_name = node;
                    p.status.conditions.retain(|c| c.type_ != "PodScheduled");
                    p.status.conditions.push(Condition {
                        type_: "PodScheduled".into(),
                        status: ConditionStatus::True,
                        last_transition_time: now,
                        reason: String::new(),
                        message: String::new(),
                    });
                });
            }
            None => {
                let now = self.now;
                let nodes = self.store.list::<Node>().count();
                self.store.update::<Pod>(key, |p| {
                    if p.condition("PodScheduled").is_none() {
                        p.status.conditions.push(Condition {
                            type_: "PodScheduled".into(),
                            status: ConditionStatus::False,
                            last_transition_time: now,
                            reason: "Unschedulable".into(),
                            message: format!("0/{nodes} nodes are available"),
                        });
                    }
                });
                // The queue of unschedulable Pods is gone through again when nodes change, and at the latest after a while.
                if !self.bringing_up {
                    self.events.plan(self.now + Span::from_secs(5), Event::Schedule(key.clone()));
                }
            }
        }
    }

    fn best_node(&self, pod: &Pod) -> Option<String> {
        let owner = pod.metadata.controller().map(|o| o.uid);
        let siblings = |same: &dyn Fn(&Node) -> bool| {
            self.store
                .list::<Pod>()
                .filter(|p| {
                    owner.is_some() && p.metadata.controller().map(|o| o.uid) == owner && !p.metadata.is_deleting()
                })
                .filter(|p| self.node(&p.spec.node_name).is_some_and(same))
                .count()
        };
        let fitting: Vec<&Node> = self.store.list::<Node>().map(|n| &**n).filter(|n| self.fits(pod, n)).collect();
        fitting
            .iter()
            .map(|node| {
                let here = siblings(&|n: &Node| n.metadata.name == node.metadata.name);
                let zone = node.zone().map_or(0, |z| siblings(&|n: &Node| n.zone() == Some(z)));
                let pods = self.store.pods_on(&node.metadata.name).count();
                let draw = self.dice.roll(Source::Allocation, subject(&[&pod.metadata.name, &node.metadata.name]), 0);
                ((here, zone, pods, draw.bits()), node.metadata.name.clone())
            })
            .min()
            .map(|(_, name)| name)
    }

    fn fits(&self, pod: &Pod, node: &Node) -> bool {
        let ready = node.condition("Ready").is_some_and(|c| c.status == ConditionStatus::True);
        let capacity: usize = node.status.allocatable.get("pods").and_then(|p| p.parse().ok()).unwrap_or(110);
        ready
            && !node.spec.unschedulable
            && selects(&pod.spec.node_selector, &node.metadata.labels)
            && self.store.pods_on(&node.metadata.name).count() < capacity
            && node
                .spec
                .taints
                .iter()
                .filter(|t| t.effect != "PreferNoSchedule")
                .all(|t| pod.spec.tolerations.iter().any(|tol| tolerates(tol, t)))
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.store.get::<Node>(&NamespacedName::new("", name)).map(|n| &**n)
    }
}

/// Whether a toleration covers a taint (`ToleratesTaint` in `core/v1/toleration.go`).
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    (toleration.effect.is_empty() || toleration.effect == taint.effect)
        && (toleration.key.is_empty() || toleration.key == taint.key)
        && match toleration.operator.as_str() {
            "Exists" => true,
            _ => !toleration.key.is_empty() && toleration.value == taint.value,
        }
}
