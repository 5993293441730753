//! A node that falls silent, and one that comes back (`pkg/controller/nodelifecycle`, SPEC section 5).
//!
//! Leases are renewed and looked at periodically; nothing comes of it while the node lives, so only the moments that matter
//! are computed: the last renewal that the controller has seen, and the poll that finds it too old.

use crate::cluster::Cluster;
use crate::control_plane::Component;
use crate::event::{Controller, Event, NodeName};
use crate::kubelet::probe::next_tick;
use kube_api::defaults::{TAINT_NOT_READY, TAINT_UNREACHABLE};
use kube_api::{Condition, ConditionStatus, NamespacedName, Node, Pod, Taint, Uid};
use lab_base::{Source, Span, Time, subject};
use lab_protocol::{MarkKind, Phrase};
use std::collections::BTreeMap;

/// How often a kubelet renews its lease (a quarter of 40 s).
pub const LEASE_RENEWAL: Span = Span::from_secs(10);
/// How often the controller looks at the leases (`--node-monitor-period`).
pub const MONITOR_PERIOD: Span = Span::from_secs(5);
/// Between two nodes of a zone whose Pods are driven out (`--node-eviction-rate` 0.1 a second).
pub const EVICTION_PERIOD: Span = Span::from_secs(10);
/// The same in a large zone of which too many nodes are unhealthy (`--secondary-node-eviction-rate` 0.01 a second).
pub const SECONDARY_EVICTION_PERIOD: Span = Span::from_secs(100);
/// A zone of more nodes than this is large (`--large-cluster-size-threshold`); in a smaller one evictions stop instead.
pub const LARGE_CLUSTER: usize = 50;
/// Share of unhealthy nodes, in hundredths, from which on too many are (`--unhealthy-zone-threshold`).
pub const UNHEALTHY_ZONE: usize = 55;
/// Taint of a cordoned node.
const TAINT_UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// How a zone stands (`ComputeZoneState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ZoneState {
    Normal,
    PartialDisruption,
    FullDisruption,
}

fn zone_state(ready: usize, not_ready: usize) -> ZoneState {
    match (ready, not_ready) {
        (0, 1..) => ZoneState::FullDisruption,
        (_, 3..) if not_ready * 100 >= UNHEALTHY_ZONE * (ready + not_ready) => ZoneState::PartialDisruption,
        _ => ZoneState::Normal,
    }
}

/// The taint that an unhealthy node has, if it is one.
fn unhealthy(node: &Node) -> Option<&'static str> {
    match node.condition("Ready").map(|c| c.status) {
        Some(ConditionStatus::True) => None,
        Some(ConditionStatus::False) => Some(TAINT_NOT_READY),
        _ => Some(TAINT_UNREACHABLE),
    }
}

fn has(node: &Node, key: &str, effect: &str) -> bool {
    node.spec.taints.iter().any(|t| t.key == key && t.effect == effect)
}

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
        let name = machine.name.clone();
        let at = self.silence_found_at(node, now);
        self.events.plan(at, Event::NodeSilent(name, now.as_micros()));
    }

    /// The poll finds a lease too old; void if the node was heard since the silence that began at `since`.
    pub(crate) fn node_silent(&mut self, node: &NodeName, since: u64) {
        let now = self.now;
        let silent = |m: &crate::Machine| m.silent_since.map(Time::as_micros) == Some(since);
        if !self.machines.get(node).is_some_and(|m| silent(m)) {
            return;
        }
        let key = NamespacedName::new("", &**node);
        self.store.update::<Node>(&key, |n| {
            lose(n, now);
        });
        let phrase = Phrase::new("mark-node-not-ready").with("node", node);
        self.mark(MarkKind::Change, format!("Node/{node}"), phrase);
        self.failover_silent(node);
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
        self.node_changed(node);
    }

    /// Something about a node is another: its taints follow from its conditions (`doNoScheduleTaintingPass`), and who must not
    /// stay on it is driven out.
    pub(crate) fn node_changed(&mut self, node: &str) {
        let now = self.now;
        let key = NamespacedName::new("", node);
        if !self.controller_works(Controller::NodeLifecycle) {
            self.queued.insert((Controller::NodeLifecycle, key));
            return self.plan_evictions(node);
        }
        self.store.update::<Node>(&key, |n| {
            let state = unhealthy(n);
            let wanted = |key: &str| (key == TAINT_UNSCHEDULABLE && n.spec.unschedulable) || state == Some(key);
            let own = [TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE];
            let missing: Vec<&str> = own.into_iter().filter(|k| wanted(k) && !has(n, k, "NoSchedule")).collect();
            let stale: Vec<&str> = own.into_iter().filter(|k| !wanted(k)).collect();
            n.spec.taints.retain(|t| !(stale.contains(&t.key.as_str()) && t.effect != "PreferNoSchedule"));
            n.spec.taints.extend(missing.into_iter().map(|key| taint(key, "NoSchedule", now)));
        });
        self.taint_pass();
        self.plan_evictions(node);
    }

    /// Gives unhealthy nodes the taint that drives their Pods out: in each zone one after another, at the rate that the zone's
    /// state allows, and none while every zone is down, since then it is rather the control plane that is cut off
    /// (`handleDisruption`, `doNoExecuteTaintingPass`).
    pub(crate) fn taint_pass(&mut self) {
        let now = self.now;
        let mut zones: BTreeMap<String, (usize, Vec<NodeName>)> = BTreeMap::new();
        for node in self.store.list::<Node>() {
            let zone = node.zone().unwrap_or_default().to_owned();
            let (size, bad) = zones.entry(zone).or_default();
            *size += 1;
            if unhealthy(node).is_some() {
                bad.push(node.metadata.name.as_str().into());
            }
        }
        let state = |(size, bad): &(usize, Vec<NodeName>)| zone_state(size - bad.len(), bad.len());
        if zones.values().all(|zone| state(zone) == ZoneState::FullDisruption) {
            for node in zones.into_values().flat_map(|(_, bad)| bad) {
                self.store.update::<Node>(&NamespacedName::new("", &*node), |n| {
                    let own = |t: &Taint| [TAINT_NOT_READY, TAINT_UNREACHABLE].contains(&t.key.as_str());
                    n.spec.taints.retain(|t| !(own(t) && t.effect == "NoExecute"));
                });
            }
            return;
        }
        for (zone, nodes) in zones {
            let period = match state(&nodes) {
                ZoneState::PartialDisruption if nodes.0 > LARGE_CLUSTER => SECONDARY_EVICTION_PERIOD,
                ZoneState::PartialDisruption => continue,
                ZoneState::Normal | ZoneState::FullDisruption => EVICTION_PERIOD,
            };
            let bad = nodes.1;
            let waits = |node: &NodeName| {
                self.node(node).is_some_and(|n| unhealthy(n).is_some_and(|key| !has(n, key, "NoExecute")))
            };
            let mut queue: Vec<NodeName> = bad.into_iter().filter(waits).collect();
            // In the order in which they became unhealthy.
            queue.sort_by_key(|node| {
                self.node(node).and_then(|n| n.condition("Ready")).map_or(now, |c| c.last_transition_time)
            });
            let mut queue = queue.into_iter();
            let free = self.eviction_pace.get(&zone).copied().unwrap_or(Time::ZERO);
            if free <= now
                && let Some(node) = queue.next()
            {
                self.store.update::<Node>(&NamespacedName::new("", &*node), |n| {
                    if let Some(key) = unhealthy(n) {
                        n.spec.taints.push(taint(key, "NoExecute", now));
                    }
                });
                self.eviction_pace.insert(zone.clone(), now + period);
                self.plan_evictions(&node);
            }
            if queue.next().is_some() {
                let at = self.eviction_pace.get(&zone).copied().unwrap_or(now);
                self.events.plan(at, Event::TaintPass);
            }
        }
    }

    /// Power or cable is back: the kubelet and kube-proxy list everything, and the lease is renewed.
    pub(crate) fn heard_again(&mut self, node: &str) {
        let now = self.now;
        let renews = self.kubelet_runs(node);
        let Some(machine) = self.machine_mut(node) else { return };
        machine.outage += 1;
        if renews {
            machine.silent_since = None;
        }
        let (name, outage) = (machine.name.clone(), machine.outage);
        let reconnect =
            self.delay(Source::Work, subject(&["reconnect", node]), Span::from_millis(300), Span::from_millis(1_200));
        self.events.plan(now + reconnect, Event::NodeHeard(name, outage));
    }

    pub(crate) fn node_heard(&mut self, node: &NodeName, outage: u64) {
        if !self.machines.get(node).is_some_and(|m| m.is_reachable() && m.outage == outage) {
            return;
        }
        // Who finds no API server lists when it is back.
        if self.works(&Component::Proxy(node.clone())) {
            self.proxy_relist(node);
        }
        if self.works(&Component::Kubelet(node.clone())) {
            self.kubelet_heard(node);
        }
    }

    /// A kubelet lists its Pods, and writes what it couldn't.
    pub(crate) fn kubelet_heard(&mut self, node: &NodeName) {
        let now = self.now;
        let key = NamespacedName::new("", &**node);
        let changed = self.store.update::<Node>(&key, |n| {
            post(n, now);
        });
        if changed {
            self.mark(MarkKind::Change, format!("Node/{node}"), Phrase::new("mark-node-ready").with("node", node));
            self.node_changed(node);
        }
        // Pods that are new, Pods that are to go, Pods whose status it couldn't write.
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
        // Without an API server a kubelet doesn't know its Pods.
        if self.kubelet_boots(node) {
            let old: Vec<Uid> = self.sandboxes.values().filter(|s| s.node == *node).map(|s| s.uid).collect();
            for uid in old {
                self.recreate(uid);
            }
            if !cut {
                self.register_node(node);
            }
        }
        if !cut {
            self.heard_again(node);
        }
    }
}

/// Whether the node controller holds a node's kubelet for alive.
pub(crate) fn is_heard(node: &Node) -> bool {
    node.condition("Ready").is_some_and(|c| c.status != ConditionStatus::Unknown)
}

fn taint(key: &str, effect: &str, now: Time) -> Taint {
    Taint { key: key.into(), value: String::new(), effect: effect.into(), time_added: Some(now) }
}

/// What a kubelet tells of its node, in its order (`pkg/kubelet/nodestatus/setters.go`): type, whether it is so, reason and
/// message.
const POSTED: [(&str, ConditionStatus, &str, &str); 4] = [
    ("MemoryPressure", ConditionStatus::False, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", ConditionStatus::False, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", ConditionStatus::False, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", ConditionStatus::True, "KubeletReady", "kubelet is posting ready status"),
];

/// The kubelet tells that all is well.
pub(crate) fn post(node: &mut Node, now: Time) {
    for (type_, status, reason, message) in POSTED {
        set(node, type_, status, reason, message, now);
    }
}

/// Nobody has heard of the kubelet for too long (`tryUpdateNodeHealth`). What others than the kubelet tell stays.
fn lose(node: &mut Node, now: Time) {
    for (type_, ..) in POSTED {
        set(node, type_, ConditionStatus::Unknown, "NodeStatusUnknown", "Kubelet stopped posting node status.", now);
    }
}

/// Sets a condition in its place, or adds it at the end.
pub(crate) fn set(node: &mut Node, type_: &str, status: ConditionStatus, reason: &str, message: &str, now: Time) {
    let before = node.condition(type_).filter(|c| c.status == status).map(|c| c.last_transition_time);
    let new = Condition {
        type_: type_.into(),
        status,
        last_transition_time: before.unwrap_or(now),
        reason: reason.into(),
        message: message.into(),
    };
    match node.status.conditions.iter_mut().find(|c| c.type_ == type_) {
        Some(c) => *c = new,
        None => node.status.conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `TestMonitorNodeHealthEvictPodsWithDisruption`: full, partial from 0.55 on with more than two, else normal.
    #[test]
    fn zones() {
        use ZoneState::{FullDisruption, Normal, PartialDisruption};
        for (ready, not_ready, state) in [
            (3, 0, Normal),
            (0, 0, Normal),
            (0, 1, FullDisruption),
            (1, 2, Normal),
            (2, 3, PartialDisruption),
            (3, 3, Normal),
            (9, 11, PartialDisruption),
            (46, 54, Normal),
            (45, 55, PartialDisruption),
        ] {
            assert_eq!(zone_state(ready, not_ready), state, "{ready} ready, {not_ready} not");
        }
    }
}
