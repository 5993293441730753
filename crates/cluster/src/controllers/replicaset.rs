//! ReplicaSet: keeps as many Pods as asked for (`pkg/controller/replicaset/replica_set.go`).

use crate::cluster::Cluster;
use kube_api::{Kind, NamespacedName, ObjectMeta, OwnerReference, Pod, PodPhase, ReplicaSet, ReplicaSetStatus};
use lab_base::{Source, Span, Time, subject};
use lab_protocol::{MarkKind, Phrase};
use std::cmp::Ordering;
use std::sync::Arc;

/// Letters of generated names (`apimachinery/pkg/util/rand`): no vowels, so that no words arise.
const NAME_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Pods that a ReplicaSet makes or deletes in one go (`BurstReplicas`).
const BURST_REPLICAS: usize = 500;

/// Pods that a simulated cluster has room for in all. A real one has a limit too: 110 a node, and quotas.
pub const MAX_PODS: usize = 1_000;

impl Cluster {
    pub(crate) fn sync_replica_set(&mut self, key: &NamespacedName) {
        let Some(set) = self.store.get::<ReplicaSet>(key).cloned() else { return };
        let pods: Vec<Arc<Pod>> = self
            .store
            .pods_of(set.metadata.uid)
            .filter(|p| !p.is_finished() && !p.metadata.is_deleting())
            .cloned()
            .collect();
        let wanted = set.spec.replicas.unwrap_or(1).max(0) as usize;
        if pods.len() < wanted {
            let room = MAX_PODS.saturating_sub(self.store.list::<Pod>().count());
            let missing = wanted - pods.len();
            if missing > room {
                self.tell_pod_limit(&set);
            }
            for _ in 0..missing.min(BURST_REPLICAS).min(room) {
                self.create_pod(&set);
            }
        } else if pods.len() > wanted {
            for pod in self.ranked_for_deletion(&set, &pods).into_iter().take(pods.len() - wanted) {
                self.delete_pod(&pod.metadata.key(), None);
            }
        }
        self.write_replica_set_status(key);
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
        let pods: Vec<_> = self
            .store
            .pods_of(set.metadata.uid)
            .filter(|p| !p.is_finished() && !p.metadata.is_deleting())
            .cloned()
            .collect();
        let ready = pods.iter().filter(|p| p.is_ready()).count() as i32;
        let min_ready = Span::from_secs(set.spec.min_ready_seconds.max(0) as u64);
        let available_at = |p: &Pod| ready_since(p).map(|since| since + min_ready);
        let available = pods.iter().filter(|p| available_at(p).is_some_and(|at| at <= self.now)).count() as i32;
        // With minReadySeconds a Pod becomes available without any event: look again then.
        if let Some(next) = pods.iter().filter_map(|p| available_at(p)).filter(|at| *at > self.now).min() {
            self.enqueue_after(crate::event::Controller::ReplicaSet, key.clone(), next.since(self.now));
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
                    owner_references: vec![OwnerReference {
                        kind: Kind::ReplicaSet.name().into(),
                        name: set.metadata.name.clone(),
                        uid: set.metadata.uid,
                        controller: true,
                    }],
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

    /// Pods in the order in which they are deleted (`ActivePodsWithRanks` in `pkg/controller/controller_utils.go`).
    fn ranked_for_deletion(&self, set: &ReplicaSet, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        // Rank: how many ready Pods of the owner's other Pods share the node.
        let rank = |pod: &Pod| {
            self.store
                .list::<Pod>()
                .filter(|p| {
                    p.metadata.namespace == set.metadata.namespace
                        && set.spec.selector.matches(&p.metadata.labels)
                        && p.spec.node_name == pod.spec.node_name
                        && p.is_ready()
                })
                .count()
        };
        let mut ranked: Vec<_> = pods.iter().map(|p| (rank(p), p.clone())).collect();
        ranked.sort_by(|(rank_a, a), (rank_b, b)| self.deletion_order(a, *rank_a, b, *rank_b));
        ranked.into_iter().map(|(_, p)| p).collect()
    }

    fn deletion_order(&self, a: &Pod, rank_a: usize, b: &Pod, rank_b: usize) -> Ordering {
        let phase = |p: &Pod| match p.status.phase {
            PodPhase::Pending => 0,
            PodPhase::Unknown => 1,
            _ => 2,
        };
        let cost = |p: &Pod| -> i64 {
            let text = p.metadata.annotations.get("controller.kubernetes.io/pod-deletion-cost");
            text.and_then(|c| c.parse().ok()).unwrap_or(0)
        };
        // Times are compared by the power of two of the age in nanoseconds (LogarithmicScaleDown).
        let bucket =
            |since: Option<Time>| since.map_or(0, |t| (self.now.since(t).as_micros() * 1_000).max(1).ilog2() + 1);
        let restarts = |p: &Pod| p.status.container_statuses.iter().map(|c| c.restart_count).max().unwrap_or(0);
        let by_age = |x: Option<Time>, y: Option<Time>| {
            if x == y { Ordering::Equal } else { bucket(x).cmp(&bucket(y)).then(a.metadata.uid.cmp(&b.metadata.uid)) }
        };
        (!a.spec.node_name.is_empty())
            .cmp(&!b.spec.node_name.is_empty())
            .then(phase(a).cmp(&phase(b)))
            .then(a.is_ready().cmp(&b.is_ready()))
            .then(cost(a).cmp(&cost(b)))
            .then(rank_b.cmp(&rank_a))
            .then_with(|| if a.is_ready() { by_age(ready_since(a), ready_since(b)) } else { Ordering::Equal })
            .then(restarts(b).cmp(&restarts(a)))
            .then_with(|| by_age(a.metadata.creation_timestamp, b.metadata.creation_timestamp))
    }
}

/// Since when a Pod has been Ready.
pub(crate) fn ready_since(pod: &Pod) -> Option<Time> {
    pod.condition("Ready").filter(|c| c.status == kube_api::ConditionStatus::True).map(|c| c.last_transition_time)
}
