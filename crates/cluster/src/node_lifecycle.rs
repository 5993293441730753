//! A node that falls silent, and one that comes back (`pkg/controller/nodelifecycle`, `pkg/controller/tainteviction`).
//!
//! Leases are renewed and looked at periodically; nothing comes of it while the node lives, so only the moments that matter
//! are computed: the last renewal that the controller has seen, and the poll that finds it too old.

use crate::cluster::Cluster;
use crate::event::{Event, NodeName};
use crate::kubelet::probe::next_tick;
use crate::scheduler::tolerates;
use kube_api::{Condition, ConditionStatus, NamespacedName, Node, Pod, Taint, Uid};
use lab_base::{Source, Span, Time, subject};
use lab_protocol::{MarkKind, Phrase};

/// How often a kubelet renews its lease (a quarter of 40 s).
pub const LEASE_RENEWAL: Span = Span::from_secs(10);
/// How often the controller looks at the leases (`--node-monitor-period`).
pub const MONITOR_PERIOD: Span = Span::from_secs(5);
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

impl Cluster {
    /// `--node-monitor-grace-period`: 40 s up to 1.31, 50 s from 1.32.
    pub fn monitor_grace(&self) -> Span {
        if self.release.0 >= 32 { Span::from_secs(50) } else { Span::from_secs(40) }
    }

    pub(crate) fn tick(&self, what: &str, node: &str, period: Span, after: Time) -> Time {
        let phase = self.dice.roll(Source::Phase, subject(&[what, node]), 0).below(period.as_micros());
        next_tick(Time::from_micros(phase), period, after + period)
    }

    /// The control plane hears nothing of a node from now on.
    pub(crate) fn fell_silent(&mut self, node: &str) {
        let now = self.now;
        let Some(machine) = self.machine_mut(node) else { return };
        machine.outage += 1;
        if machine.silent_since.is_some() {
            return;
        }
        machine.silent_since = Some(now);
        let (name, outage) = (machine.name.clone(), machine.outage);
        // The last renewal was up to 10 s ago, and seen by the poll after it.
        let renewed = self.tick("lease", node, LEASE_RENEWAL, now) - LEASE_RENEWAL.times(2);
        let seen = self.tick("monitor", "", MONITOR_PERIOD, renewed) - MONITOR_PERIOD;
        let found = self.tick("monitor", "", MONITOR_PERIOD, seen + self.monitor_grace()) - MONITOR_PERIOD;
        self.events.plan(found.max(now), Event::NodeSilent(name, outage));
    }

    pub(crate) fn node_silent(&mut self, node: &NodeName, outage: u64) {
        let now = self.now;
        let Some(machine) = self.machines.get(node).filter(|m| !m.is_reachable()) else { return };
        if machine.outage != outage {
            // Cable and power were both lost: the first loss counts.
            if machine.silent_since.is_none() {
                return;
            }
        }
        let key = NamespacedName::new("", &**node);
        self.store.update::<Node>(&key, |n| {
            set_ready(n, ConditionStatus::Unknown, "NodeStatusUnknown", "Kubelet stopped posting node status.", now);
            for effect in ["NoSchedule", "NoExecute"] {
                n.spec.taints.push(Taint {
                    key: UNREACHABLE.into(),
                    value: String::new(),
                    effect: effect.into(),
                    time_added: Some(now),
                });
            }
        });
        let phrase = Phrase::new("mark-node-not-ready").with("node", node);
        self.mark(MarkKind::Change, format!("Node/{node}"), phrase);
        // In the same pass every Pod on it becomes Ready=False.
        let pods: Vec<_> = self.store.pods_on(node).map(|p| p.metadata.key()).collect();
        for pod in pods {
            self.store.update::<Pod>(&pod, |p| {
                if let Some(c) =
                    p.status.conditions.iter_mut().find(|c| c.type_ == "Ready" && c.status == ConditionStatus::True)
                {
                    c.status = ConditionStatus::False;
                    c.last_transition_time = now;
                }
            });
        }
        self.plan_evictions(node);
    }

    /// Plans the moments at which Pods no longer put up with their node's NoExecute taints.
    pub(crate) fn plan_evictions(&mut self, node: &NodeName) {
        let outage = self.machines.get(node).map_or(0, |m| m.outage);
        let pods: Vec<_> = self.store.pods_on(node).cloned().collect();
        let mut moments: Vec<Time> = pods.iter().filter_map(|p| self.evicted_at(p)).collect();
        moments.sort_unstable();
        moments.dedup();
        for at in moments {
            self.events.plan(at.max(self.now), Event::EvictPods(node.clone(), outage));
        }
    }

    /// When a Pod has to go because of its node's NoExecute taints; None: it puts up with them for ever.
    fn evicted_at(&self, pod: &Pod) -> Option<Time> {
        let taints = &self.node(&pod.spec.node_name)?.spec.taints;
        let of_taint = |taint: &Taint| {
            let since = taint.time_added.unwrap_or_default();
            let tolerations = pod.spec.tolerations.iter().filter(|t| tolerates(t, taint));
            // The shortest toleration that names a time counts; without any that fits, at once.
            let mut fits = false;
            let mut shortest = None;
            for toleration in tolerations {
                fits = true;
                let seconds = toleration.toleration_seconds.map(|s| Span::from_secs(s.max(0) as u64));
                shortest = match (shortest, seconds) {
                    (Some(a), Some(b)) => Some(core::cmp::min::<Span>(a, b)),
                    (a, b) => a.or(b),
                };
            }
            if fits { shortest.map(|s| since + s) } else { Some(since) }
        };
        taints.iter().filter(|t| t.effect == "NoExecute").filter_map(of_taint).min()
    }

    pub(crate) fn evict_pods(&mut self, node: &NodeName, _outage: u64) {
        let pods: Vec<_> = self
            .store
            .pods_on(node)
            .filter(|p| !p.metadata.is_deleting() && self.evicted_at(p).is_some_and(|at| at <= self.now))
            .map(|p| p.metadata.key())
            .collect();
        for pod in pods {
            self.eviction_event(&pod);
            self.delete_pod(&pod, None);
        }
    }

    /// Power or cable is back: the kubelet and kube-proxy list everything, and the lease is renewed.
    pub(crate) fn heard_again(&mut self, node: &str) {
        let now = self.now;
        let Some(machine) = self.machine_mut(node) else { return };
        machine.outage += 1;
        machine.silent_since = None;
        let (name, outage) = (machine.name.clone(), machine.outage);
        let reconnect =
            self.delay(Source::Work, subject(&["reconnect", node]), Span::from_millis(300), Span::from_millis(1_200));
        self.events.plan(now + reconnect, Event::NodeHeard(name, outage));
    }

    pub(crate) fn node_heard(&mut self, node: &NodeName, outage: u64) {
        if !self.machines.get(node).is_some_and(|m| m.is_reachable() && m.outage == outage) {
            return;
        }
        let now = self.now;
        let key = NamespacedName::new("", &**node);
        let changed = self.store.update::<Node>(&key, |n| {
            n.spec.taints.retain(|t| t.key != UNREACHABLE);
            set_ready(n, ConditionStatus::True, "KubeletReady", "kubelet is posting ready status", now);
        });
        if changed {
            self.mark(MarkKind::Change, format!("Node/{node}"), Phrase::new("mark-node-ready").with("node", node));
        }
        self.proxy_relist(node);
        // The kubelet: Pods that are new, Pods that are to go, Pods whose status it couldn't write.
        let mut keys: Vec<_> = self.store.pods_on(node).map(|p| p.metadata.key()).collect();
        keys.extend(self.sandboxes.values().filter(|s| s.node == *node).map(|s| s.key.clone()));
        keys.sort();
        keys.dedup();
        for key in keys {
            self.kubelet_hears(node, &key);
        }
        let uids: Vec<Uid> = self.sandboxes.values().filter(|s| s.node == *node).map(|s| s.uid).collect();
        for uid in uids {
            self.report(uid);
        }
    }

    /// A node that was switched on runs again: its Pods get new sandboxes, with new addresses.
    pub(crate) fn booted(&mut self, node: &NodeName, outage: u64) {
        let Some(machine) = self.machine_mut(node).filter(|m| m.outage == outage && !m.powered) else { return };
        machine.powered = true;
        let cut = machine.cut;
        let old: Vec<Uid> = self.sandboxes.values().filter(|s| s.node == *node).map(|s| s.uid).collect();
        for uid in old {
            self.recreate(uid);
        }
        if !cut {
            self.heard_again(node);
        }
    }
}

fn set_ready(node: &mut Node, status: ConditionStatus, reason: &str, message: &str, now: Time) {
    let before = node.condition("Ready").filter(|c| c.status == status).map(|c| c.last_transition_time);
    node.status.conditions.retain(|c| c.type_ != "Ready");
    node.status.conditions.push(Condition {
        type_: "Ready".into(),
        status,
        last_transition_time: before.unwrap_or(now),
        reason: reason.into(),
        message: message.into(),
    });
}
