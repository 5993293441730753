//! Evictions: deletions that respect a PodDisruptionBudget (`pkg/registry/core/pod/storage/eviction.go`).

use crate::apply::Applied;
use crate::cluster::Cluster;
use crate::controllers::disruption::tell_whether_allowed;
use crate::facts::Deed;
use kube_api::UnhealthyPodEvictionPolicy::AlwaysAllow;
use kube_api::{Condition, ConditionStatus, NamespacedName, Pod, PodDisruptionBudget, PodPhase};
use lab_protocol::{MarkKind, Phrase};

/// Most evictions that a budget's status may hold unseen (`MaxDisruptedPodSize`).
const MAX_DISRUPTED: usize = 2_000;
/// The answer while a budget allows nothing.
const VIOLATES: &str =
    "Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget.";

impl Cluster {
    /// POST to a Pod's `eviction`. The answer is the complaint, if there is one; else nothing.
    pub fn evict(&mut self, namespace: &str, name: &str, grace: Option<u32>) -> Applied {
        let key = NamespacedName::new(namespace, name);
        let mut applied = Applied::default();
        match self.try_evict(&key, grace) {
            Ok(changed) => applied.changed = changed,
            Err(complaint) => applied.results.push(complaint),
        }
        self.tell_watchers();
        applied
    }

    fn try_evict(&mut self, key: &NamespacedName, grace: Option<u32>) -> Result<bool, String> {
        let not_found = || format!("Error from server (NotFound): pods \"{}\" not found", key.name);
        let pod = self.store.get::<Pod>(key).cloned().ok_or_else(not_found)?;
        let grace = grace.map(i64::from);
        // What doesn't run yet or any more isn't disrupted (`canIgnorePDB`).
        if pod.is_finished() || pod.status.phase == PodPhase::Pending || pod.metadata.is_deleting() {
            return Ok(self.evicted(key, grace));
        }
        let budgets = self.budgets_of(&pod);
        if budgets.len() > 1 {
            return Err("Error from server: This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.".into());
        }
        if let Some(budget) = budgets.first() {
            self.spend(budget, &pod)?;
        }
        let now = self.now;
        self.store.update::<Pod>(key, |p| {
            p.status.conditions.retain(|c| c.type_ != "DisruptionTarget");
            p.status.conditions.push(Condition {
                type_: "DisruptionTarget".into(),
                status: ConditionStatus::True,
                last_transition_time: now,
                reason: "EvictionByEvictionAPI".into(),
                message: "Eviction API: evicting".into(),
            });
        });
        Ok(self.evicted(key, grace))
    }

    /// Takes one from what a budget allows, or says that it allows nothing (`checkAndDecrement`).
    fn spend(&mut self, key: &NamespacedName, pod: &Pod) -> Result<(), String> {
        let Some(budget) = self.store.get::<PodDisruptionBudget>(key).cloned() else { return Ok(()) };
        let status = &budget.status;
        // A Pod that isn't ready isn't counted, so it is guarded only while those that are don't suffice.
        if !pod.is_ready() {
            let enough = status.current_healthy >= status.desired_healthy && status.desired_healthy > 0;
            if enough || budget.spec.unhealthy_pod_eviction_policy == Some(AlwaysAllow) {
                return Ok(());
            }
        }
        let forbidden = |why: &str| {
            let name = &key.name;
            Err(format!("Error from server (Forbidden): poddisruptionbudgets.policy \"{name}\" is forbidden: {why}"))
        };
        if status.observed_generation < budget.metadata.generation || status.disruptions_allowed == 0 {
            return Err(VIOLATES.into());
        }
        if status.disruptions_allowed < 0 {
            return forbidden("pdb disruptions allowed is negative");
        }
        if status.disrupted_pods.len() > MAX_DISRUPTED {
            return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
        }
        let now = self.now;
        self.store.update::<PodDisruptionBudget>(key, |b| {
            b.status.disruptions_allowed -= 1;
            b.status.disrupted_pods.insert(pod.metadata.name.clone(), now);
            if b.status.disruptions_allowed == 0 {
                tell_whether_allowed(&mut b.status, now);
            }
        });
        Ok(())
    }

    fn evicted(&mut self, key: &NamespacedName, grace: Option<i64>) -> bool {
        let changed = self.delete_pod(key, grace);
        if changed {
            let phrase = Phrase::new("mark-evicted").with("object", format!("pod/{}", key.name));
            self.mark(MarkKind::Apply, format!("Pod/{}", key.name), phrase);
            self.facts.deed(self.now, Deed::Deleted { kind: "Pod".into(), name: key.name.clone() });
        }
        changed
    }
}
