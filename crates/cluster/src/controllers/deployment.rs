//! Deployment: one ReplicaSet for each version of the template (`pkg/controller/deployment`).

use super::rolling::{Replicas, SetSize};
use crate::cluster::Cluster;
use kube_api::{
    ANNOTATION_REVISION, Condition, ConditionStatus, Deployment, DeploymentStatus, DeploymentStrategyType, Kind,
    LABEL_POD_TEMPLATE_HASH, NamespacedName, ObjectMeta, OwnerReference, Pod, PodTemplateSpec, ReplicaSet,
    ReplicaSetSpec,
};
use lab_base::Time;
use std::sync::Arc;

impl Cluster {
    pub(crate) fn sync_deployment(&mut self, key: &NamespacedName) {
        let Some(deployment) = self.store.get::<Deployment>(key).cloned() else { return };
        let sets = self.sets_of(&deployment);
        let hash = template_hash(&deployment.spec.template);
        let new = sets.iter().find(|s| s.metadata.labels.get(LABEL_POD_TEMPLATE_HASH) == Some(&hash)).cloned();
        if !deployment.spec.paused || new.is_some() {
            let new = match new {
                Some(set) => self.as_newest(&set, &sets),
                None if deployment.spec.strategy.type_ == DeploymentStrategyType::Recreate
                    && self.old_pods_run(&sets, &hash) =>
                {
                    for set in &sets {
                        self.scale_set(&set.metadata.key(), 0);
                    }
                    self.write_deployment_status(key);
                    return;
                }
                None => self.create_set(&deployment, &hash, &sets),
            };
            if let Some(new) = new {
                self.roll(&deployment, &new, &sets);
                self.drop_old_sets(&deployment, &new, &sets);
            }
        }
        self.write_deployment_status(key);
    }

    fn sets_of(&self, deployment: &Deployment) -> Vec<Arc<ReplicaSet>> {
        self.store
            .list::<ReplicaSet>()
            .filter(|s| s.metadata.controller().is_some_and(|o| o.uid == deployment.metadata.uid))
            .cloned()
            .collect()
    }

    fn old_pods_run(&self, sets: &[Arc<ReplicaSet>], hash: &str) -> bool {
        sets.iter()
            .filter(|s| s.metadata.labels.get(LABEL_POD_TEMPLATE_HASH).map(String::as_str) != Some(hash))
            .any(|s| self.store.pods_of(s.metadata.uid).any(|p| !p.is_finished()))
    }

    /// A template that comes back makes its ReplicaSet the newest again.
    fn as_newest(&mut self, set: &Arc<ReplicaSet>, sets: &[Arc<ReplicaSet>]) -> Option<Arc<ReplicaSet>> {
        let newest = sets.iter().map(|s| revision(s)).max().unwrap_or(0);
        if revision(set) < newest {
            let key = set.metadata.key();
            self.store.update::<ReplicaSet>(&key, |s| {
                s.metadata.annotations.insert(ANNOTATION_REVISION.into(), (newest + 1).to_string());
            });
            return self.store.get::<ReplicaSet>(&key).cloned();
        }
        Some(set.clone())
    }

    fn create_set(&mut self, deployment: &Deployment, hash: &str, sets: &[Arc<ReplicaSet>]) -> Option<Arc<ReplicaSet>> {
        let mut template = deployment.spec.template.clone();
        template.metadata.labels.insert(LABEL_POD_TEMPLATE_HASH.into(), hash.into());
        let mut selector = deployment.spec.selector.clone();
        selector.match_labels.insert(LABEL_POD_TEMPLATE_HASH.into(), hash.into());
        let newest = sets.iter().map(|s| revision(s)).max().unwrap_or(0);
        let set = ReplicaSet {
            metadata: ObjectMeta {
                name: format!("{}-{hash}", deployment.metadata.name),
                namespace: deployment.metadata.namespace.clone(),
                labels: template.metadata.labels.clone(),
                annotations: [(ANNOTATION_REVISION.to_owned(), (newest + 1).to_string())].into(),
                owner_references: vec![OwnerReference {
                    kind: Kind::Deployment.name().into(),
                    name: deployment.metadata.name.clone(),
                    uid: deployment.metadata.uid,
                    controller: true,
                }],
                ..Default::default()
            },
            spec: ReplicaSetSpec {
                replicas: Some(0),
                selector,
                template,
                min_ready_seconds: deployment.spec.min_ready_seconds,
            },
            status: Default::default(),
        };
        self.store.create(self.now, set)
    }

    /// One step of the strategy: up, or else down.
    fn roll(&mut self, deployment: &Deployment, new: &ReplicaSet, sets: &[Arc<ReplicaSet>]) {
        let wanted = deployment.spec.replicas.unwrap_or(1).max(0);
        let mut old: Vec<_> = sets.iter().filter(|s| s.metadata.uid != new.metadata.uid).collect();
        old.sort_by_key(|s| (s.metadata.creation_timestamp, s.metadata.uid));
        if deployment.spec.strategy.type_ == DeploymentStrategyType::Recreate {
            for set in &old {
                self.scale_set(&set.metadata.key(), 0);
            }
            self.scale_set(&new.metadata.key(), wanted);
            return;
        }
        let size = |s: &ReplicaSet| SetSize {
            wanted: s.spec.replicas.unwrap_or(1).into(),
            available: s.status.available_replicas.into(),
        };
        let bounds = Replicas::new(wanted.into(), deployment.spec.strategy.rolling_update.as_ref());
        let old_sizes: Vec<_> = old.iter().map(|s| size(s)).collect();
        let step = bounds.step(size(new), &old_sizes);
        let number = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
        self.scale_set(&new.metadata.key(), number(step.new));
        for (set, replicas) in old.iter().zip(step.old) {
            self.scale_set(&set.metadata.key(), number(replicas));
        }
    }

    fn scale_set(&mut self, key: &NamespacedName, replicas: i32) {
        self.store.update::<ReplicaSet>(key, |s| s.spec.replicas = Some(replicas));
    }

    fn drop_old_sets(&mut self, deployment: &Deployment, new: &ReplicaSet, sets: &[Arc<ReplicaSet>]) {
        let limit = deployment.spec.revision_history_limit.unwrap_or(10).max(0) as usize;
        let mut old: Vec<_> = sets
            .iter()
            .filter(|s| s.metadata.uid != new.metadata.uid && s.spec.replicas == Some(0) && s.status.replicas == 0)
            .collect();
        old.sort_by_key(|s| revision(s));
        for set in old.iter().take(old.len().saturating_sub(limit)) {
            self.store.remove::<ReplicaSet>(&set.metadata.key());
        }
    }

    fn write_deployment_status(&mut self, key: &NamespacedName) {
        let Some(deployment) = self.store.get::<Deployment>(key).cloned() else { return };
        let sets = self.sets_of(&deployment);
        let hash = template_hash(&deployment.spec.template);
        let sum = |f: fn(&ReplicaSet) -> i32| sets.iter().map(|s| f(s)).sum::<i32>();
        let updated = sets
            .iter()
            .filter(|s| s.metadata.labels.get(LABEL_POD_TEMPLATE_HASH) == Some(&hash))
            .map(|s| s.status.replicas)
            .sum();
        let wanted = deployment.spec.replicas.unwrap_or(1).max(0);
        let available = sum(|s| s.status.available_replicas);
        let bounds = Replicas::new(wanted.into(), deployment.spec.strategy.rolling_update.as_ref());
        let enough = i64::from(available) >= i64::from(wanted) - bounds.max_unavailable;
        let (now, generation) = (self.now, deployment.metadata.generation);
        let (replicas, ready) = (sum(|s| s.status.replicas), sum(|s| s.status.ready_replicas));
        self.store.update::<Deployment>(key, |d| {
            let conditions = available_condition(&d.status.conditions, enough, now);
            d.status = DeploymentStatus {
                observed_generation: generation,
                replicas,
                updated_replicas: updated,
                ready_replicas: ready,
                available_replicas: available,
                unavailable_replicas: (wanted - available).max(0),
                conditions,
            };
        });
    }

    /// The Deployment that a Pod belongs to through its ReplicaSet.
    pub(crate) fn deployment_of(&self, pod: &Pod) -> Option<NamespacedName> {
        let owner = pod.metadata.controller()?;
        let key = NamespacedName::new(pod.metadata.namespace.clone(), owner.name.clone());
        let set = self.store.get::<ReplicaSet>(&key).filter(|s| s.metadata.uid == owner.uid)?;
        let owner = set.metadata.controller()?;
        Some(NamespacedName::new(pod.metadata.namespace.clone(), owner.name.clone()))
    }
}

fn available_condition(conditions: &[Condition], enough: bool, now: Time) -> Vec<Condition> {
    let status = if enough { ConditionStatus::True } else { ConditionStatus::False };
    let (reason, message) = if enough {
        ("MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    let before = conditions.iter().find(|c| c.type_ == "Available" && c.status == status);
    vec![Condition {
        type_: "Available".into(),
        status,
        last_transition_time: before.map_or(now, |c| c.last_transition_time),
        reason: reason.into(),
        message: message.into(),
    }]
}

fn revision(set: &ReplicaSet) -> u64 {
    set.metadata.annotations.get(ANNOTATION_REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// FNV-32a over the template, written in letters that make no words (`ComputeHash`, `SafeEncodeString`).
/// The real one hashes Go's own dump of the struct, so its letters differ.
fn template_hash(template: &PodTemplateSpec) -> String {
    let bytes = postcard::to_extend(template, Vec::new()).unwrap_or_default();
    let mut hash = 0x811c_9dc5_u32;
    for byte in bytes {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.to_string().bytes().map(|b| LETTERS[b as usize % LETTERS.len()] as char).collect()
}
