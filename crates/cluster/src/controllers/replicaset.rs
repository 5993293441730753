//! ReplicaSet: keeps as many Pods as asked for (`pkg/controller/replicaset/replica_set.go`).

use super::ranking::{RankingGates, is_active, pods_to_delete, ready_since, slow_start_batch};
use crate::cluster::Cluster;
use crate::event::Controller;
use kube_api::{Kind, LabelSelector, NamespacedName, ObjectMeta, OwnerReference, Pod, ReplicaSet, ReplicaSetStatus};
use lab_base::{Source, Span, subject};
use lab_protocol::{MarkKind, Phrase};
use std::sync::Arc;

/// Letters of generated names (`apimachinery/pkg/util/rand`): no vowels, so that no words arise.
const NAME_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Size of the first batch of creations (`SlowStartInitialBatchSize`).
const SLOW_START_INITIAL_BATCH: usize = 1;

/// After how long a ReplicaSet that couldn't make all its Pods tries again.
const RETRY: Span = Span::from_secs(10);

/// Pods that a ReplicaSet makes or deletes in one go (`BurstReplicas`).
const BURST_REPLICAS: usize = 500;

/// Pods that a simulated cluster has room for in all. A real one has a limit too: 110 a node, and quotas.
pub const MAX_PODS: usize = 1_000;

impl Cluster {
    pub(crate) fn sync_replica_set(&mut self, key: &NamespacedName) {
        let Some(set) = self.store.get::<ReplicaSet>(key).cloned() else { return };
        if set.metadata.is_deleting() {
            // Its Pods are the garbage collector's now.
            return self.write_replica_set_status(key);
        }
        self.claim_pods(&set);
        let pods: Vec<Arc<Pod>> = self.store.pods_of(set.metadata.uid).filter(|p| is_active(p)).cloned().collect();
        let wanted = set.spec.replicas.unwrap_or(1).max(0) as usize;
        if pods.len() < wanted {
            let missing = (wanted - pods.len()).min(BURST_REPLICAS);
            let mut room = MAX_PODS.saturating_sub(self.store.list::<Pod>().count());
            let made = slow_start_batch(missing, SLOW_START_INITIAL_BATCH, &mut || {
                let fits = room > 0;
                room = room.saturating_sub(1);
                if fits {
                    self.create_pod(&set);
                }
                fits
            });
            if made < missing {
                self.tell_pod_limit(&set);
                self.enqueue_after(Controller::ReplicaSet, key.clone(), RETRY);
            }
        } else if pods.len() > wanted {
            let count = (pods.len() - wanted).min(BURST_REPLICAS);
            let related = self.related_pods(&set);
            for pod in pods_to_delete(self.now, &pods, &related, count, RankingGates::default()) {
                self.delete_pod(&pod.metadata.key(), None);
            }
        }
        self.write_replica_set_status(key);
    }

    /// Lets go of Pods that the selector no longer selects, and takes in those that it does and that nobody has
    /// (`ClaimPods` in `pkg/controller/controller_ref_manager.go`).
    fn claim_pods(&mut self, set: &ReplicaSet) {
        if set.spec.selector == LabelSelector::default() {
            return; // it would select everything
        }
        let selected = |p: &Pod| set.spec.selector.matches(&p.metadata.labels);
        let own = self.store.pods_of(set.metadata.uid).filter(|p| is_active(p) && !selected(p));
        let released: Vec<_> = own.map(|p| p.metadata.key()).collect();
        for key in released {
            self.store.update::<Pod>(&key, |p| p.metadata.owner_references.retain(|o| o.uid != set.metadata.uid));
        }
        let near = |p: &&Arc<Pod>| p.metadata.namespace == set.metadata.namespace && is_active(p) && selected(p);
        let adopted: Vec<_> = self.store.orphans().filter(near).map(|p| p.metadata.key()).collect();
        for key in adopted {
            self.store.update::<Pod>(&key, |p| p.metadata.owner_references.push(owner_of_pods(set)));
        }
    }

    /// The Pods of all ReplicaSets that have the same owner (`getIndirectlyRelatedPods`).
    fn related_pods(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let owner = |s: &ReplicaSet| s.metadata.controller().map(|o| o.uid);
        let of_owner = |s: &&Arc<ReplicaSet>| {
            s.metadata.uid == set.metadata.uid || (owner(set).is_some() && owner(s) == owner(set))
        };
        let sets = self.store.list::<ReplicaSet>().filter(of_owner);
        sets.flat_map(|s| self.store.pods_of(s.metadata.uid)).cloned().collect()
    }

    /// The cluster is full; said once a minute.
    fn tell_pod_limit(&mut self, set: &ReplicaSet) {
        let object = format!("ReplicaSet/{}", set.metadata.name);
        let recent = self.now - Span::from_secs(60);
        let told = self.facts.marks().iter_back().take_while(|m| m.at >= recent).any(|m| m.object == object);
        if !told {
            self.mark(MarkKind::Change, object, Phrase::new("mark-pod-limit").with("limit", MAX_PODS));
        }
    }

    fn write_replica_set_status(&mut self, key: &NamespacedName) {
        let Some(set) = self.store.get::<ReplicaSet>(key).cloned() else { return };
        let pods: Vec<_> = self.store.pods_of(set.metadata.uid).filter(|p| is_active(p)).cloned().collect();
        let ready = pods.iter().filter(|p| p.is_ready()).count() as i32;
        let min_ready = Span::from_secs(set.spec.min_ready_seconds.max(0) as u64);
        let available_at = |p: &Pod| ready_since(p).map(|since| since + min_ready);
        let available = pods.iter().filter(|p| available_at(p).is_some_and(|at| at <= self.now)).count() as i32;
        // With minReadySeconds a Pod becomes available without any event: look again then.
        if let Some(next) = pods.iter().filter_map(|p| available_at(p)).filter(|at| *at > self.now).min() {
            self.enqueue_after(Controller::ReplicaSet, key.clone(), next.since(self.now));
        }
        let generation = set.metadata.generation;
        self.store.update::<ReplicaSet>(key, |s| {
            s.status = ReplicaSetStatus {
                observed_generation: generation,
                replicas: pods.len() as i32,
                ready_replicas: ready,
                available_replicas: available,
            };
        });
    }

    fn create_pod(&mut self, set: &ReplicaSet) {
        for attempt in 0..50 {
            let name = format!("{}-{}", set.metadata.name, self.random_suffix(&set.metadata.name, attempt));
            let pod = Pod {
                metadata: ObjectMeta {
                    name,
                    generate_name: format!("{}-", set.metadata.name),
                    namespace: set.metadata.namespace.clone(),
                    labels: set.spec.template.metadata.labels.clone(),
                    annotations: set.spec.template.metadata.annotations.clone(),
                    owner_references: vec![owner_of_pods(set)],
                    ..Default::default()
                },
                spec: set.spec.template.spec.clone(),
                status: Default::default(),
            };
            let mut object = kube_api::Object::Pod(Arc::new(pod));
            kube_api::defaults::apply(&mut object);
            if let kube_api::Object::Pod(pod) = object
                && self.store.create(self.now, (*pod).clone()).is_some()
            {
                return;
            }
        }
    }

    /// Five letters for a name, drawn for its owner.
    pub(crate) fn random_suffix(&self, owner: &str, attempt: u64) -> String {
        // The number of objects ever made is the ordinal: a name is not drawn again after its bearer is gone.
        let ordinal = self.store.revision() * 64 + attempt;
        let mut bits = self.dice.roll(Source::Name, subject(&[owner]), ordinal).bits();
        (0..5)
            .map(|_| {
                let letter = NAME_LETTERS[(bits % 27) as usize] as char;
                bits /= 27;
                letter
            })
            .collect()
    }
}

fn owner_of_pods(set: &ReplicaSet) -> OwnerReference {
    OwnerReference::to_controller(Kind::ReplicaSet, &set.metadata)
}
