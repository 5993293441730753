//! Which Pods of a ReplicaSet go first, and how many are made at once (`ActivePodsWithRanks` in
//! `pkg/controller/controller_utils.go`, `getPodsToDelete` and `slowStartBatch` in `pkg/controller/replicaset`).

use kube_api::{ConditionStatus, Pod, PodPhase};
use lab_base::Time;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Annotation that makes a Pod dearer to delete.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Feature gates that decide about the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankingGates {
    /// PodDeletionCost (beta since 1.22).
    pub pod_deletion_cost: bool,
    /// LogarithmicScaleDown (on since 1.22).
    pub logarithmic_scale_down: bool,
}

impl Default for RankingGates {
    fn default() -> Self {
        RankingGates { pod_deletion_cost: true, logarithmic_scale_down: true }
    }
}

/// Since when a Pod has been Ready.
pub(crate) fn ready_since(pod: &Pod) -> Option<Time> {
    pod.condition("Ready").filter(|c| c.status == ConditionStatus::True).map(|c| c.last_transition_time)
}

/// Whether a Pod counts: neither finished nor being deleted (`IsPodActive`).
pub fn is_active(pod: &Pod) -> bool {
    !pod.is_finished() && !pod.metadata.is_deleting()
}

/// A Pod that may go.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The Pod.
    pub pod: &'a Pod,
    /// How many active related Pods are on its node.
    pub rank: usize,
    /// Since when it has been Ready (`podReadyTime`).
    pub ready_since: Option<Time>,
}

/// `Less` means: the first is deleted first. The comparison stops at the first difference.
pub fn deletion_order(now: Time, first: Candidate, second: Candidate, gates: RankingGates) -> Ordering {
    let (a, b) = (first.pod, second.pod);
    let assigned = |p: &Pod| !p.spec.node_name.is_empty();
    let phase = |p: &Pod| match p.status.phase {
        PodPhase::Pending => 0,
        PodPhase::Unknown => 1,
        _ => 2,
    };
    let cost = |p: &Pod| -> i64 {
        let text = p.metadata.annotations.get(DELETION_COST).filter(|_| gates.pod_deletion_cost);
        text.and_then(|c| c.parse::<i32>().ok()).unwrap_or(0).into()
    };
    let restarts = |p: &Pod| p.status.container_statuses.iter().map(|c| c.restart_count).max().unwrap_or(0);
    let newer = |x: Option<Time>, y: Option<Time>| by_age(now, (a, x), (b, y), gates.logarithmic_scale_down);
    assigned(a)
        .cmp(&assigned(b))
        .then(phase(a).cmp(&phase(b)))
        .then(a.is_ready().cmp(&b.is_ready()))
        .then(cost(a).cmp(&cost(b)))
        .then(second.rank.cmp(&first.rank))
        .then_with(|| if a.is_ready() { newer(first.ready_since, second.ready_since) } else { Ordering::Equal })
        .then(restarts(b).cmp(&restarts(a)))
        .then_with(|| newer(a.metadata.creation_timestamp, b.metadata.creation_timestamp))
}

/// The younger first; one whose time isn't known is the youngest. With LogarithmicScaleDown ages are compared by the power
/// of two of their nanoseconds, and within one the smaller uid goes first, so that a rank says little about age.
fn by_age(now: Time, a: (&Pod, Option<Time>), b: (&Pod, Option<Time>), logarithmic: bool) -> Ordering {
    let (Some(x), Some(y)) = (a.1, b.1) else { return a.1.is_some().cmp(&b.1.is_some()) };
    if x == y {
        return Ordering::Equal;
    }
    if !logarithmic {
        return y.cmp(&x);
    }
    let bucket = |t: Time| (now.since(t).as_micros() * 1_000).checked_ilog2().map_or(-1, i64::from);
    let uid = |p: &Pod| p.metadata.uid.to_string();
    bucket(x).cmp(&bucket(y)).then_with(|| uid(a.0).cmp(&uid(b.0)))
}

/// The Pods that go when `count` of `pods` have to. All of them: as they stand. `related`: the Pods of all ReplicaSets of
/// the same owner.
pub fn pods_to_delete(
    now: Time,
    pods: &[Arc<Pod>],
    related: &[Arc<Pod>],
    count: usize,
    gates: RankingGates,
) -> Vec<Arc<Pod>> {
    let mut chosen = pods.to_vec();
    if count < pods.len() {
        let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
        for pod in related.iter().filter(|p| is_active(p)) {
            *on_node.entry(&pod.spec.node_name).or_default() += 1;
        }
        fn candidate<'a>(pod: &'a Pod, on_node: &BTreeMap<&str, usize>) -> Candidate<'a> {
            let rank = on_node.get(pod.spec.node_name.as_str()).copied().unwrap_or(0);
            Candidate { pod, rank, ready_since: ready_since(pod) }
        }
        chosen.sort_by(|a, b| deletion_order(now, candidate(a, &on_node), candidate(b, &on_node), gates));
    }
    chosen.truncate(count);
    chosen
}

/// Calls in batches of 1, 2, 4, ...; a batch with a failure is the last. Returns how many succeeded.
pub fn slow_start_batch(count: usize, initial: usize, call: &mut dyn FnMut() -> bool) -> usize {
    let (mut left, mut succeeded) = (count, 0);
    let mut batch = initial.min(left);
    while batch > 0 {
        let right = (0..batch).filter(|_| call()).count();
        succeeded += right;
        left -= batch;
        if right < batch {
            break;
        }
        batch = (2 * batch).min(left);
    }
    succeeded
}
