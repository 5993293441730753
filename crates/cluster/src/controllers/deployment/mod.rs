//! Deployment: one ReplicaSet for each version of the template (`pkg/controller/deployment`).

mod history;
mod progress;
mod rolling;
mod scale;

pub use history::superfluous;
pub use progress::{has_timed_out, is_complete, is_progressing, progress_deadline};
pub use rolling::{Replicas, SetSize, Step, clean_up_unhealthy, resolve_fenceposts, scale_down_available};
pub use scale::{Scalable, is_scaling_event, scale};

use crate::cluster::Cluster;
use crate::event::Controller;
use history::{annotate, number, revision, sized};
use kube_api::{
    ANNOTATION_DESIRED_REPLICAS, ANNOTATION_MAX_REPLICAS, ANNOTATION_REVISION, ConditionStatus, Deployment,
    DeploymentStatus, DeploymentStrategyType, Kind, LABEL_POD_TEMPLATE_HASH, NamespacedName, ObjectMeta,
    OwnerReference, Pod, PodTemplateSpec, ReplicaSet, ReplicaSetSpec,
};
use progress::{AVAILABLE, PROGRESSING, TIMED_OUT, condition, look_again, new_condition, set_condition, tell_progress};
use std::sync::Arc;

/// A Deployment's sets: the one with its template, and the others by age.
struct Sets {
    new: Option<Arc<ReplicaSet>>,
    old: Vec<Arc<ReplicaSet>>,
}

impl Sets {
    fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().chain(&self.new)
    }
}

fn wanted(set: &ReplicaSet) -> i64 {
    set.spec.replicas.unwrap_or(1).into()
}

fn size(set: &ReplicaSet) -> SetSize {
    SetSize { wanted: wanted(set), available: set.status.available_replicas.into() }
}

fn scalable(set: &ReplicaSet) -> Scalable {
    Scalable {
        replicas: wanted(set),
        available: set.status.available_replicas.into(),
        desired: number(set, ANNOTATION_DESIRED_REPLICAS),
        max: number(set, ANNOTATION_MAX_REPLICAS),
    }
}

impl Cluster {
    pub(crate) fn sync_deployment(&mut self, key: &NamespacedName) {
        let Some(deployment) = self.store.get::<Deployment>(key).cloned() else { return };
        self.tell_pause(&deployment);
        let Some(deployment) = self.store.get::<Deployment>(key).cloned() else { return };
        if deployment.metadata.is_deleting() {
            return self.write_rollout_status(&deployment); // `syncStatusOnly`
        }
        let bounds = Replicas::of(&deployment.spec);
        let sets = self.sets_of(&deployment);
        let sizes: Vec<Scalable> = sets.all().map(|s| scalable(s)).collect();
        if deployment.spec.paused || is_scaling_event(bounds.wanted, &sizes) {
            self.resize(&deployment, bounds);
        } else if deployment.spec.strategy.type_ == DeploymentStrategyType::Recreate {
            self.roll_recreate(&deployment, bounds);
        } else {
            self.roll(&deployment, bounds);
        }
    }

    fn sets_of(&self, deployment: &Deployment) -> Sets {
        let own = |s: &&Arc<ReplicaSet>| s.metadata.controller().is_some_and(|o| o.uid == deployment.metadata.uid);
        let mut old: Vec<Arc<ReplicaSet>> = self.store.list::<ReplicaSet>().filter(own).cloned().collect();
        old.sort_by_key(|s| (s.metadata.creation_timestamp, s.metadata.uid));
        let hash = template_hash(&deployment.spec.template);
        let place = old.iter().position(|s| s.metadata.labels.get(LABEL_POD_TEMPLATE_HASH) == Some(&hash));
        Sets { new: place.map(|i| old.remove(i)), old }
    }

    /// The sets, with annotations and revision of the newest in order; it is made if it isn't there and `create`
    /// (`getAllReplicaSetsAndSyncRevision`).
    fn sets_with_revision(&mut self, deployment: &Deployment, bounds: Replicas, create: bool) -> Sets {
        let mut sets = self.sets_of(deployment);
        let next = sets.old.iter().map(|s| revision(s)).max().unwrap_or(0) + 1;
        let mut reason = "FoundNewReplicaSet";
        let new = match sets.new.take() {
            Some(new) => {
                let key = new.metadata.key();
                self.store.update::<ReplicaSet>(&key, |s| {
                    annotate(&mut s.metadata.annotations, deployment, next);
                    s.spec.min_ready_seconds = deployment.spec.min_ready_seconds;
                });
                self.store.get::<ReplicaSet>(&key).cloned()
            }
            None if create => {
                reason = "NewReplicaSetCreated";
                self.create_set(deployment, bounds, next, &sets.old)
            }
            None => None,
        };
        if let Some(new) = &new {
            let (now, revision) = (self.now, revision(new).to_string());
            let what = if reason == "FoundNewReplicaSet" { "Found" } else { "Created" };
            let message = format!("{what} new replica set {:?}", new.metadata.name);
            self.store.update::<Deployment>(&deployment.metadata.key(), |d| {
                d.metadata.annotations.insert(ANNOTATION_REVISION.into(), revision);
                let told = condition(&d.status, PROGRESSING).is_some() && what == "Found";
                if progress_deadline(&d.spec).is_some() && !told {
                    let created = new_condition(now, PROGRESSING, ConditionStatus::True, reason, message);
                    set_condition(&mut d.status, created);
                }
            });
        }
        Sets { new, ..sets }
    }

    fn create_set(
        &mut self,
        deployment: &Deployment,
        bounds: Replicas,
        revision: u64,
        old: &[Arc<ReplicaSet>],
    ) -> Option<Arc<ReplicaSet>> {
        let hash = template_hash(&deployment.spec.template);
        let mut template = deployment.spec.template.clone();
        template.metadata.labels.insert(LABEL_POD_TEMPLATE_HASH.into(), hash.clone());
        let mut selector = deployment.spec.selector.clone();
        selector.match_labels.insert(LABEL_POD_TEMPLATE_HASH.into(), hash.clone());
        let total = old.iter().map(|s| wanted(s)).sum();
        let replicas = bounds.new_replicas(deployment.spec.strategy.type_, 0, total);
        let mut set = ReplicaSet {
            metadata: ObjectMeta {
                name: format!("{}-{hash}", deployment.metadata.name),
                namespace: deployment.metadata.namespace.clone(),
                labels: template.metadata.labels.clone(),
                owner_references: vec![OwnerReference::to_controller(Kind::Deployment, &deployment.metadata)],
                ..ObjectMeta::default()
            },
            spec: ReplicaSetSpec {
                replicas: Some(narrow(replicas)),
                selector,
                template,
                min_ready_seconds: deployment.spec.min_ready_seconds,
            },
            status: Default::default(),
        };
        annotate(&mut set.metadata.annotations, deployment, revision);
        sized(&mut set.metadata.annotations, bounds);
        self.store.create(self.now, set)
    }

    /// One step of a rolling update: up, or else down (`rolloutRolling`).
    fn roll(&mut self, deployment: &Deployment, bounds: Replicas) {
        let sets = self.sets_with_revision(deployment, bounds, true);
        let Some(new) = &sets.new else { return };
        let old_sizes: Vec<_> = sets.old.iter().map(|s| size(s)).collect();
        let step = bounds.step(size(new), &old_sizes);
        let mut scaled = self.scale_set(new, step.new, bounds);
        for (set, replicas) in sets.old.iter().zip(step.old) {
            scaled |= self.scale_set(set, replicas, bounds);
        }
        if !scaled {
            self.drop_old_sets(deployment, &sets);
        }
        self.write_rollout_status(deployment);
    }

    /// All old Pods go before a new one comes (`rolloutRecreate`).
    fn roll_recreate(&mut self, deployment: &Deployment, bounds: Replicas) {
        let sets = self.sets_with_revision(deployment, bounds, false);
        let mut scaled = false;
        for set in &sets.old {
            scaled |= self.scale_set(set, 0, bounds);
        }
        // A Pod that terminates still runs.
        let has_pods =
            |s: &Arc<ReplicaSet>| s.status.replicas > 0 || self.store.pods_of(s.metadata.uid).any(|p| !p.is_finished());
        if !scaled && !sets.old.iter().any(has_pods) {
            let sets = self.sets_with_revision(deployment, bounds, true);
            if let Some(new) = &sets.new {
                self.scale_set(new, bounds.wanted, bounds);
            }
            self.drop_old_sets(deployment, &sets);
        }
        self.write_rollout_status(deployment);
    }

    /// The Deployment was resized, or is paused: its sets follow, and nothing is rolled out (`sync`).
    fn resize(&mut self, deployment: &Deployment, bounds: Replicas) {
        let sets = self.sets_with_revision(deployment, bounds, false);
        let mut newest_first: Vec<&Arc<ReplicaSet>> = sets.all().collect();
        newest_first.sort_by_key(|s| core::cmp::Reverse((s.metadata.creation_timestamp, s.metadata.uid)));
        let place = |new: &Arc<ReplicaSet>| newest_first.iter().position(|s| s.metadata.uid == new.metadata.uid);
        let new = sets.new.as_ref().and_then(place);
        let scalables: Vec<_> = newest_first.iter().map(|s| scalable(s)).collect();
        let rolls = deployment.spec.strategy.type_ == DeploymentStrategyType::RollingUpdate;
        let total = deployment.status.replicas.into();
        if let Some(sizes) = scale(bounds, rolls, &scalables, new, total) {
            for (set, replicas) in newest_first.iter().zip(sizes) {
                if wanted(set) > 0 || replicas > 0 {
                    self.write_size(set, replicas, bounds);
                }
            }
        }
        if deployment.spec.paused {
            self.drop_old_sets(deployment, &sets);
        }
        let before = deployment.status.clone();
        let after = self.status_of(deployment, &before);
        self.store.update::<Deployment>(&deployment.metadata.key(), |d| d.status = after);
    }

    /// Resizes a set; one that has its size already is left alone (`scaleReplicaSetAndRecordEvent`).
    fn scale_set(&mut self, set: &ReplicaSet, replicas: i64, bounds: Replicas) -> bool {
        wanted(set) != replicas && self.write_size(set, replicas, bounds)
    }

    fn write_size(&mut self, set: &ReplicaSet, replicas: i64, bounds: Replicas) -> bool {
        self.store.update::<ReplicaSet>(&set.metadata.key(), |s| {
            s.spec.replicas = Some(narrow(replicas));
            sized(&mut s.metadata.annotations, bounds);
        })
    }

    fn drop_old_sets(&mut self, deployment: &Deployment, sets: &Sets) {
        let spec = &deployment.spec;
        let done = is_complete(spec.replicas.unwrap_or(1), deployment.metadata.generation, &deployment.status);
        if !done && !spec.paused {
            return;
        }
        let old: Vec<&ReplicaSet> = sets.old.iter().map(|s| &**s).collect();
        for set in superfluous(&old, spec.revision_history_limit) {
            self.store.delete::<ReplicaSet>(self.now, &set.metadata.key());
        }
    }

    /// A pause isn't counted against the deadline (`checkPausedConditions`).
    fn tell_pause(&mut self, deployment: &Deployment) {
        let present = condition(&deployment.status, PROGRESSING);
        if progress_deadline(&deployment.spec).is_none() || present.is_some_and(|c| c.reason == TIMED_OUT) {
            return;
        }
        let told = present.is_some_and(|c| c.reason == "DeploymentPaused");
        let (reason, message) = match (deployment.spec.paused, told) {
            (true, false) => ("DeploymentPaused", "Deployment is paused"),
            (false, true) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return,
        };
        let new = new_condition(self.now, PROGRESSING, ConditionStatus::Unknown, reason, message.into());
        self.store.update::<Deployment>(&deployment.metadata.key(), |d| set_condition(&mut d.status, new));
    }

    /// `calculateStatus`.
    fn status_of(&self, deployment: &Deployment, before: &DeploymentStatus) -> DeploymentStatus {
        let sets = self.sets_of(deployment);
        let sum = |f: fn(&ReplicaSet) -> i32| sets.all().map(|s| f(s)).sum::<i32>();
        let bounds = Replicas::of(&deployment.spec);
        let available = sum(|s| s.status.available_replicas);
        let mut after = DeploymentStatus {
            observed_generation: deployment.metadata.generation,
            replicas: sum(|s| s.status.replicas),
            updated_replicas: sets.new.as_ref().map_or(0, |s| s.status.replicas),
            ready_replicas: sum(|s| s.status.ready_replicas),
            available_replicas: available,
            unavailable_replicas: (sum(|s| s.spec.replicas.unwrap_or(1)) - available).max(0),
            conditions: before.conditions.clone(),
        };
        let enough = i64::from(available) >= bounds.wanted - bounds.max_unavailable;
        let (status, reason, message) = if enough {
            (ConditionStatus::True, "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            (ConditionStatus::False, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set_condition(&mut after, new_condition(self.now, AVAILABLE, status, reason, message.into()));
        after
    }

    /// `syncRolloutStatus`.
    fn write_rollout_status(&mut self, deployment: &Deployment) {
        let key = deployment.metadata.key();
        let Some(present) = self.store.get::<Deployment>(&key).cloned() else { return };
        let mut after = self.status_of(&present, &present.status);
        let subject = match self.sets_of(&present).new {
            Some(new) => format!("ReplicaSet {:?}", new.metadata.name),
            None => format!("Deployment {:?}", present.metadata.name),
        };
        let generation = present.metadata.generation;
        tell_progress(self.now, &present.spec, generation, &subject, &present.status, &mut after);
        if after != present.status {
            self.store.update::<Deployment>(&key, |d| d.status = after);
        } else if let Some(wait) = look_again(self.now, &present.spec, generation, &after) {
            self.enqueue_after(Controller::Deployment, key, wait);
        }
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

fn narrow(replicas: i64) -> i32 {
    i32::try_from(replicas.max(0)).unwrap_or(i32::MAX)
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
