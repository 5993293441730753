//! kube-scheduler: binds Pods to nodes (`pkg/scheduler`).
//!
//! Filters: node selector, taints, readiness, power of the address plan. Score: fewest Pods of the same owner on the node and
//! in its zone (the default topology spread), then fewest Pods; the rest is drawn.

use crate::cluster::Cluster;
use crate::event::Event;
use kube_api::{Condition, ConditionStatus, NamespacedName, Node, Pod, Taint, Toleration, selects};
use lab_base::{Source, Span, subject};
use std::collections::BTreeMap;

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
        let siblings = |node: &str| owner.map_or(0, |owner| self.store.siblings_on(owner, node));
        let mut in_zones: BTreeMap<&str, usize> = BTreeMap::new();
        for node in self.store.list::<Node>() {
            if let Some(zone) = node.zone() {
                *in_zones.entry(zone).or_default() += siblings(&node.metadata.name);
            }
        }
        let fitting = self.store.list::<Node>().filter(|n| self.fits(pod, n));
        let scored = fitting.map(|node| {
            let name = &node.metadata.name;
            let zone = node.zone().and_then(|z| in_zones.get(z)).copied().unwrap_or(0);
            let draw = self.dice.roll(Source::Allocation, subject(&[&pod.metadata.name, name]), 0);
            ((siblings(name), zone, self.store.pod_count_on(name), draw.bits()), name)
        });
        scored.min().map(|(_, name)| name.clone())
    }

    fn fits(&self, pod: &Pod, node: &Node) -> bool {
        let ready = node.condition("Ready").is_some_and(|c| c.status == ConditionStatus::True);
        let capacity: usize = node.status.allocatable.get("pods").and_then(|p| p.parse().ok()).unwrap_or(110);
        ready
            && !node.spec.unschedulable
            && selects(&pod.spec.node_selector, &node.metadata.labels)
            && self.store.pod_count_on(&node.metadata.name) < capacity
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
