//! kube-scheduler: binds Pods to nodes (`pkg/scheduler`).
//!
//! A node must pass the filters of the default plugins; those that do are ranked by what the scoring plugins look at, one after
//! another instead of by weighted sums; what is left is drawn. A Pod that fits nowhere waits until something changes.

mod filters;
mod resources;
mod spread;

use crate::cluster::Cluster;
use crate::event::Event;
use crate::store::Change;
use filters::Refusal;
use kube_api::{Condition, ConditionStatus, NamespacedName, Node, Object, Pod, Taint, Toleration};
use lab_base::{Source, Span, Time, subject};
pub(crate) use resources::{Requested, requests};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a Pod that fits nowhere waits at least after its first try; doubled up to [`BACKOFF_MAX`]
/// (`podInitialBackoffSeconds`).
pub const BACKOFF_FIRST: Span = Span::from_secs(1);
/// And at most (`podMaxBackoffSeconds`).
pub const BACKOFF_MAX: Span = Span::from_secs(10);

/// A Pod in the queue of those that fit nowhere.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Unschedulable {
    /// How often it was tried.
    attempts: u32,
    /// When last.
    tried: Time,
    /// Whether it will be tried again.
    planned: bool,
}

impl Cluster {
    pub(crate) fn schedule_pod(&mut self, key: &NamespacedName) {
        let pod = self.store.get::<Pod>(key).cloned();
        let Some(pod) = pod.filter(|p| p.spec.node_name.is_empty() && !p.metadata.is_deleting()) else {
            self.unschedulable.remove(key);
            return;
        };
        let now = self.now;
        let condition = |status, reason: &str, message: String| Condition {
            type_: "PodScheduled".into(),
            status,
            last_transition_time: now,
            reason: reason.into(),
            message,
        };
        match self.find_node(&pod) {
            Ok(node) => {
                self.unschedulable.remove(key);
                self.store.update::<Pod>(key, |p| {
                    p.spec.node_name = node;
                    p.status.conditions.retain(|c| c.type_ != "PodScheduled");
                    p.status.conditions.push(condition(ConditionStatus::True, "", String::new()));
                });
            }
            Err(message) => {
                self.failed_scheduling_event(&pod, &message);
                let attempts = self.unschedulable.get(key).map_or(0, |u| u.attempts).saturating_add(1);
                self.unschedulable.insert(key.clone(), Unschedulable { attempts, tried: now, planned: false });
                if pod.condition("PodScheduled").is_none_or(|c| c.message != message) {
                    self.store.update::<Pod>(key, |p| {
                        let since = p.condition("PodScheduled").map(|c| c.last_transition_time);
                        let mut new = condition(ConditionStatus::False, "Unschedulable", message);
                        new.last_transition_time = since.unwrap_or(now);
                        p.status.conditions.retain(|c| c.type_ != "PodScheduled");
                        p.status.conditions.push(new);
                    });
                }
            }
        }
    }

    /// Something changed: Pods that fit nowhere may fit now (`MoveAllToActiveOrBackoffQueue`).
    pub(crate) fn tell_scheduler(&mut self, change: &Change) {
        if self.unschedulable.is_empty() {
            return;
        }
        // What is gone or bound leaves room; what came matters to those only that look at other Pods.
        let (helps, helps_picky) = match (&change.old, &change.new) {
            (Some(Object::Node(old)), Some(Object::Node(new))) => {
                let differs = old.spec != new.spec
                    || old.metadata.labels != new.metadata.labels
                    || old.status.allocatable != new.status.allocatable;
                (differs, differs)
            }
            (Some(Object::Pod(old)), None) => (!old.spec.node_name.is_empty(), true),
            (Some(Object::Pod(old)), Some(Object::Pod(new))) if !new.spec.node_name.is_empty() => {
                let moved = old.spec.node_name != new.spec.node_name
                    || old.metadata.labels != new.metadata.labels
                    || old.metadata.is_deleting() != new.metadata.is_deleting();
                (new.is_finished() && !old.is_finished(), moved)
            }
            _ => (false, false),
        };
        if !helps && !helps_picky {
            return;
        }
        let waiting: Vec<NamespacedName> =
            self.unschedulable.iter().filter(|(_, u)| !u.planned).map(|(key, _)| key.clone()).collect();
        for key in waiting {
            let picky = |p: &Arc<Pod>| p.spec.affinity.is_some() || !p.spec.topology_spread_constraints.is_empty();
            let Some(pod) = self.store.get::<Pod>(&key) else {
                self.unschedulable.remove(&key);
                continue;
            };
            if !helps && !picky(pod) {
                continue;
            }
            let heard = self.hears_at(subject(&["kube-scheduler"]), &change.key);
            let Some(entry) = self.unschedulable.get_mut(&key) else { continue };
            let backoff = BACKOFF_FIRST.times(1 << entry.attempts.saturating_sub(1).min(4)).min(BACKOFF_MAX);
            entry.planned = true;
            let at = heard.max(entry.tried + backoff);
            self.events.plan(at, Event::Schedule(key));
        }
    }

    /// The node for a Pod, or why there is none, in Kubernetes' words (`FitError`).
    fn find_node(&self, pod: &Pod) -> Result<String, String> {
        let nodes: Vec<&Arc<Node>> = self.store.list::<Node>().collect();
        let look = filters::Look::new(self, pod);
        let mut refused: Vec<Refusal> = Vec::new();
        let mut fitting: Vec<&Node> = Vec::new();
        for node in &nodes {
            match look.check(node) {
                None => fitting.push(node),
                Some(refusal) => refused.push(refusal),
            }
        }
        let ranking = spread::Ranking::new(self, pod);
        let best = fitting.into_iter().map(|node| {
            let name = &node.metadata.name;
            let draw = self.dice.roll(Source::Allocation, subject(&[&pod.metadata.name, name]), 0);
            (ranking.of(node), self.store.pod_count_on(name), draw.bits(), name)
        });
        match best.min() {
            Some((.., name)) => Ok(name.clone()),
            None => Err(fit_error(nodes.len(), &refused)),
        }
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.store.get::<Node>(&NamespacedName::new("", name)).map(|n| &**n)
    }
}

/// `0/3 nodes are available: ...` (`FitError.Error` in `pkg/scheduler/framework/types.go`). No Pod has a lower priority than
/// another, so preemption never helps.
fn fit_error(nodes: usize, refused: &[Refusal]) -> String {
    let histogram = |reasons: &mut dyn Iterator<Item = String>| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        reasons.for_each(|reason| *counts.entry(reason).or_default() += 1);
        let mut texts: Vec<String> = counts.into_iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        texts.sort();
        texts.join(", ")
    };
    let preemption = |refusal: &Refusal| match refusal.unresolvable {
        true => "Preemption is not helpful for scheduling".to_owned(),
        false => "No preemption victims found for incoming pod".to_owned(),
    };
    let why = histogram(&mut refused.iter().flat_map(|r| r.reasons.iter().cloned()));
    let none = histogram(&mut refused.iter().map(preemption));
    format!("0/{nodes} nodes are available: {why}. preemption: 0/{nodes} nodes are available: {none}.")
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

fn tolerated(pod: &Pod, taint: &Taint) -> bool {
    pod.spec.tolerations.iter().any(|t| tolerates(t, taint))
}
