//! A Deployment that is resized while several of its ReplicaSets have Pods (`scale` in `pkg/controller/deployment/sync.go`).

use super::rolling::Replicas;

/// A ReplicaSet that may be resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalable {
    /// Its `spec.replicas`.
    pub replicas: i64,
    /// How many of its Pods are available.
    pub available: i64,
    /// Annotation `deployment.kubernetes.io/desired-replicas`: what the Deployment wanted when it was sized last.
    pub desired: Option<i64>,
    /// Annotation `deployment.kubernetes.io/max-replicas`: the same with the surge.
    pub max: Option<i64>,
}

/// Whether the Deployment was resized since its active sets were (`isScalingEvent`).
pub fn is_scaling_event(wanted: i64, sets: &[Scalable]) -> bool {
    sets.iter().filter(|s| s.replicas > 0).any(|s| s.desired.is_some_and(|desired| desired != wanted))
}

/// The sizes that the sets should have: `sets` by age, the newest first, with the new one, if there is one, at place `new`.
/// `total`: the Deployment's `status.replicas`, for sets that don't tell. None: nothing is written.
pub fn scale(bounds: Replicas, rolls: bool, sets: &[Scalable], new: Option<usize>, total: i64) -> Option<Vec<i64>> {
    let mut sizes: Vec<i64> = sets.iter().map(|s| s.replicas).collect();
    let active: Vec<usize> = (0..sets.len()).filter(|i| sets[*i].replicas > 0).collect();
    // One that has Pods takes all; where none has, the new one or else the newest.
    let only = match active.as_slice() {
        [] => Some(new.or_else(|| (!sets.is_empty()).then_some(0))?),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(only) = only {
        if sizes[only] == bounds.wanted {
            return None;
        }
        sizes[only] = bounds.wanted;
        return Some(sizes);
    }
    if new.is_some_and(|i| is_saturated(bounds.wanted, &sets[i])) {
        for i in active.into_iter().filter(|i| Some(*i) != new) {
            sizes[i] = 0;
        }
        return Some(sizes);
    }
    if !rolls {
        return None;
    }
    let allowed = if bounds.wanted > 0 { bounds.wanted + bounds.max_surge } else { 0 };
    let to_add = allowed - active.iter().map(|i| sets[*i].replicas).sum::<i64>();
    // The larger first; of equal ones the newer when growing, the older when shrinking.
    let mut order = active;
    if to_add < 0 {
        order.reverse();
    }
    order.sort_by_key(|i| core::cmp::Reverse(sets[*i].replicas));
    let mut added = 0;
    for i in &order {
        let fraction = fraction(bounds, &sets[*i], total);
        let left = to_add - added;
        let part = if left == 0 {
            0
        } else if to_add > 0 {
            fraction.min(left)
        } else {
            fraction.max(left)
        };
        sizes[*i] += part;
        added += part;
    }
    // What is left over goes to the largest.
    if let Some(first) = order.first().filter(|_| to_add != 0) {
        sizes[*first] = (sizes[*first] + to_add - added).max(0);
    }
    Some(sizes)
}

/// `IsSaturated`.
fn is_saturated(wanted: i64, set: &Scalable) -> bool {
    set.replicas == wanted && set.desired == Some(wanted) && set.available == wanted
}

/// How much a set grows or shrinks with the whole, rounded to the nearest (`getReplicaSetFraction`).
fn fraction(bounds: Replicas, set: &Scalable, total: i64) -> i64 {
    if bounds.wanted == 0 {
        return -set.replicas;
    }
    let before = set.max.filter(|n| *n != 0).unwrap_or(total);
    if before == 0 {
        return 0;
    }
    let size = (set.replicas * (bounds.wanted + bounds.max_surge)) as f64 / before as f64;
    // Halves go away from zero.
    let rounded = if size < 0.0 { size - 0.5 } else { size + 0.5 };
    rounded as i64 - set.replicas
}
