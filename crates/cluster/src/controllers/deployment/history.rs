//! Old ReplicaSets and their revisions (`cleanupDeployment`, `SetNewReplicaSetAnnotations`).

use super::rolling::Replicas;
use kube_api::{
    ANNOTATION_DESIRED_REPLICAS, ANNOTATION_MAX_REPLICAS, ANNOTATION_REVISION, ANNOTATION_REVISION_HISTORY, Deployment,
    ReplicaSet, StringMap,
};

/// Annotations that a ReplicaSet doesn't take from its Deployment (`annotationsToSkip`).
const NOT_COPIED: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    ANNOTATION_REVISION,
    ANNOTATION_REVISION_HISTORY,
    ANNOTATION_DESIRED_REPLICAS,
    ANNOTATION_MAX_REPLICAS,
];

/// The place of a ReplicaSet in its Deployment's history.
pub(crate) fn revision(set: &ReplicaSet) -> u64 {
    set.metadata.annotations.get(ANNOTATION_REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// An annotation that is a number.
pub(super) fn number(set: &ReplicaSet, annotation: &str) -> Option<i64> {
    set.metadata.annotations.get(annotation).and_then(|n| n.parse().ok())
}

/// Of old sets, lowest revision first, those that are dropped (`cleanupDeployment`): as many as are above the limit, but
/// none that has Pods, or of whose last change nothing is known yet.
pub fn superfluous<'a>(old: &[&'a ReplicaSet], limit: Option<i32>) -> Vec<&'a ReplicaSet> {
    let Some(limit) = limit.filter(|limit| *limit != i32::MAX) else { return Vec::new() };
    let mut sets: Vec<_> = old.iter().copied().filter(|s| !s.metadata.is_deleting()).collect();
    sets.sort_by_key(|s| revision(s));
    let over = sets.len().saturating_sub(limit.max(0) as usize);
    let empty = |s: &&ReplicaSet| {
        s.status.replicas == 0 && s.spec.replicas == Some(0) && s.metadata.generation <= s.status.observed_generation
    };
    sets.into_iter().take(over).filter(empty).collect()
}

/// What the Deployment writes beside a set's size.
pub(super) fn sized(annotations: &mut StringMap, bounds: Replicas) {
    annotations.insert(ANNOTATION_DESIRED_REPLICAS.into(), bounds.wanted.to_string());
    annotations.insert(ANNOTATION_MAX_REPLICAS.into(), (bounds.wanted + bounds.max_surge).to_string());
}

/// Gives the newest set the Deployment's annotations and its revision, which never falls. One that is made anew the newest
/// keeps in mind the revisions that it had.
pub(super) fn annotate(annotations: &mut StringMap, deployment: &Deployment, revision: u64) {
    for (key, value) in &deployment.metadata.annotations {
        if !NOT_COPIED.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let own = annotations.get(ANNOTATION_REVISION).cloned();
    if own.as_ref().and_then(|r| r.parse::<u64>().ok()).unwrap_or(0) >= revision {
        return;
    }
    if let Some(own) = own {
        let history = annotations.entry(ANNOTATION_REVISION_HISTORY.into()).or_default();
        if !history.is_empty() {
            history.push(',');
        }
        history.push_str(&own);
    }
    annotations.insert(ANNOTATION_REVISION.into(), revision.to_string());
}
