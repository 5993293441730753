//! Health checks of load balancers.
//!
//! `externalTrafficPolicy: Cluster`: kube-proxy's `:10256/healthz` on each node; `Local`: the Service's
//! `healthCheckNodePort` (SPEC sections 6.8 and 7). A check that finds what it found before isn't an event: only the moment
//! is planned at which enough checks in a row have found something else.

use super::LoadBalancer;
use crate::cluster::Cluster;
use crate::event::{Event, NodeName};
use kube_api::{NamespacedName, TrafficPolicy};
use lab_base::{Source, Span, Time, subject};
use lab_protocol::{MarkKind, Phrase};
use std::sync::Arc;

/// Taint of a node that the cluster autoscaler is about to remove.
pub(super) const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

impl Cluster {
    /// What a check of this node would find now.
    pub(super) fn check_target(&self, key: &NamespacedName, balancer: &LoadBalancer, node: &str) -> bool {
        let Some(machine) = self.machines.get(node).filter(|m| m.is_reachable() && !m.proxy.starting) else {
            return false;
        };
        if balancer.ordered.spec.external_traffic_policy == Some(TrafficPolicy::Local) {
            return machine.loaded.health_check(key).is_some_and(|check| check.local_endpoints > 0);
        }
        let leaving =
            |n: &kube_api::Node| n.metadata.is_deleting() || n.spec.taints.iter().any(|t| t.key == TO_BE_DELETED);
        self.node(node).is_some_and(|n| !leaving(n))
    }

    /// Plans the turns of targets whose checks find something else than what holds. A turn that isn't due any more is
    /// taken back.
    pub(crate) fn look_at_targets(&mut self) {
        let Some(cloud) = self.cloud.as_ref().filter(|c| !c.balancers.is_empty()) else { return };
        let (spec, stopped) = (cloud.spec.clone(), cloud.checks_stopped);
        let mut turns = Vec::new();
        for (key, balancer) in cloud.balancers.iter() {
            for (node, target) in balancer.targets.iter() {
                let differs = !stopped && self.check_target(key, balancer, node) != target.healthy;
                if differs != target.turns.is_some() {
                    turns.push((key.clone(), node.clone(), target.clone(), differs));
                }
            }
        }
        for (key, node, target, differs) in turns {
            let planned = if differs {
                let needed = if target.healthy { spec.unhealthy_threshold } else { spec.healthy_threshold };
                let silent = target.healthy && !self.machines.get(&node).is_some_and(|m| m.is_reachable());
                let first = self.next_check(&key, &node, spec.interval);
                let wait = spec.interval.times(u64::from(needed.max(1)) - 1);
                let at = first + wait + if silent { spec.timeout } else { Span::ZERO };
                Some(self.events.plan(at, Event::TargetTurns(key.clone(), node.clone())))
            } else {
                target.turns.inspect(|key| self.events.cancel(*key));
                None
            };
            self.set_target(&key, &node, |t| t.turns = planned);
        }
    }

    /// Each target has its own phase.
    fn next_check(&self, key: &NamespacedName, node: &str, interval: Span) -> Time {
        let who = subject(&["health-check", &key.namespace, &key.name, node]);
        let phase = self.dice.roll(Source::Phase, who, 0).below(interval.as_micros());
        crate::kubelet::probe::next_tick(Time::from_micros(phase), interval, self.now + interval) - interval
    }

    fn set_target(&mut self, key: &NamespacedName, node: &str, f: impl FnOnce(&mut super::LoadBalancerTarget)) {
        let balancer = self.cloud.as_mut().and_then(|c| c.balancers.get_mut(key)).map(Arc::make_mut);
        if let Some(target) = balancer.and_then(|b| b.targets.get_mut(node)) {
            f(target);
        }
    }

    /// At time zero the checks have come to what is.
    pub(crate) fn settle_targets(&mut self) {
        let balancers: Vec<_> = self.cloud.iter().flat_map(|c| c.balancers.iter()).collect();
        let targets = balancers.into_iter().flat_map(|(key, balancer)| {
            let found = |node: &NodeName| (key.clone(), node.clone(), self.check_target(key, balancer, node));
            balancer.targets.keys().map(found)
        });
        for (key, node, healthy) in targets.collect::<Vec<_>>() {
            self.set_target(&key, &node, |t| t.healthy = healthy);
        }
        self.look_at_targets();
    }

    /// A fault stops the checks, or lets them go on. False: there is no cloud, or it is so already.
    pub(crate) fn switch_health_checks(&mut self, stop: bool) -> bool {
        let Some(cloud) = self.cloud.as_mut().filter(|c| c.checks_stopped != stop) else { return false };
        cloud.checks_stopped = stop;
        true
    }

    /// Enough checks in a row have found the same.
    pub(crate) fn target_turns(&mut self, key: &NamespacedName, node: &NodeName) {
        let Some(balancer) = self.cloud.as_ref().and_then(|c| c.balancers.get(key)).cloned() else { return };
        let Some(target) = balancer.targets.get(node) else { return };
        let healthy = self.check_target(key, &balancer, node);
        let turned = healthy != target.healthy;
        self.set_target(key, node, |t| {
            t.turns = None;
            t.healthy = healthy;
        });
        if turned {
            let id = if healthy { "mark-target-healthy" } else { "mark-target-unhealthy" };
            let phrase = Phrase::new(id).with("node", node).with("service", &key.name);
            self.mark(MarkKind::Change, format!("Service/{}", key.name), phrase);
            self.failover_target(key, node, healthy);
        }
    }
}
