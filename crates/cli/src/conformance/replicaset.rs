//! `behaviour/replicaset-ranking.yaml`: which Pods a ReplicaSet deletes first, by upstream's own tables.

use super::Report;
use super::behaviour::{Table, case};
use cluster::controllers::ranking::{Candidate, RankingGates, deletion_order, pods_to_delete, slow_start_batch};
use cluster::parse_duration;
use kube_api::{Condition, ConditionStatus, ContainerStatus, Pod, PodPhase, Uid};
use lab_base::{Span, Time};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    group: String,
    input: Value,
    expect: Value,
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|e| e.to_string())
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenPod {
    name: String,
    #[serde(default)]
    uid: Option<String>,
    node: String,
    phase: PodPhase,
    ready: bool,
    #[serde(default)]
    restarts: u32,
    #[serde(default)]
    ready_since: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    deletion_cost: Option<i64>,
}

/// The table's present moment, long after its oldest.
const NOW: Time = Time::from_micros(365 * 24 * 3_600 * 1_000_000);

/// `now`, `-1month`, `-5h`, `-0.12s`.
fn moment(text: Option<&String>) -> Result<Option<Time>, String> {
    let Some(text) = text else { return Ok(None) };
    let span = match text.as_str() {
        "now" => Span::ZERO,
        "-1month" => Span::from_secs(30 * 24 * 3_600),
        other => other.strip_prefix('-').and_then(parse_duration).ok_or_else(|| format!("{text}: what time?"))?,
    };
    Ok(Some(Time::ZERO + NOW.since(Time::ZERO + span)))
}

impl GivenPod {
    fn pod(&self, uid: Uid) -> Result<Pod, String> {
        let mut pod = Pod::default();
        pod.metadata.name.clone_from(&self.name);
        pod.metadata.uid = uid;
        pod.metadata.creation_timestamp = moment(self.created.as_ref())?;
        pod.spec.node_name.clone_from(&self.node);
        pod.status.phase = self.phase;
        pod.status.conditions.push(Condition {
            type_: "Ready".into(),
            status: if self.ready { ConditionStatus::True } else { ConditionStatus::False },
            last_transition_time: moment(self.ready_since.as_ref())?.unwrap_or_default(),
            reason: String::new(),
            message: String::new(),
        });
        pod.status.container_statuses =
            vec![ContainerStatus { restart_count: self.restarts, ..ContainerStatus::default() }];
        if let Some(cost) = self.deletion_cost {
            pod.metadata.annotations.insert("controller.kubernetes.io/pod-deletion-cost".into(), cost.to_string());
        }
        Ok(pod)
    }
}

/// The Pods with uids that are in the order of those of the table, as they are written.
fn pods(given: &[GivenPod]) -> Result<Vec<Arc<Pod>>, String> {
    let mut uids: Vec<Uid> = (1..=given.len() as u64).map(Uid).collect();
    uids.sort_by_key(ToString::to_string);
    let named: BTreeSet<&String> = given.iter().filter_map(|p| p.uid.as_ref()).collect();
    let uid = |(i, p): (usize, &GivenPod)| {
        let place = p.uid.as_ref().and_then(|uid| named.iter().position(|n| *n == uid)).unwrap_or(i);
        p.pod(uids.get(place).copied().unwrap_or_default()).map(Arc::new)
    };
    given.iter().enumerate().map(uid).collect()
}

fn names(pods: &[Arc<Pod>]) -> Vec<String> {
    pods.iter().map(|p| p.metadata.name.clone()).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, seen: &T) -> Result<(), String> {
    if expected == seen { Ok(()) } else { Err(format!("{what}: expected {expected:?}, seen {seen:?}")) }
}

/// Without ranks and buckets (`ActivePods`).
fn order(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        pods: Vec<GivenPod>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        order: Vec<String>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let pods = pods(&input.pods)?;
    let since: Vec<_> = input.pods.iter().map(|p| moment(p.ready_since.as_ref())).collect::<Result<_, _>>()?;
    let gates = RankingGates { pod_deletion_cost: false, logarithmic_scale_down: false };
    let candidate = |i: usize| Candidate { pod: &pods[i], rank: 0, ready_since: since[i] };
    let mut places: Vec<usize> = (0..pods.len()).collect();
    places.sort_by(|a, b| deletion_order(NOW, candidate(*a), candidate(*b), gates));
    same("order", &expected.order, &places.iter().map(|i| pods[*i].metadata.name.clone()).collect())
}

fn pair(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        a: GivenPod,
        b: GivenPod,
        rank_a: usize,
        rank_b: usize,
        #[serde(default)]
        pod_deletion_cost: bool,
        logarithmic_scale_down: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        a_before_b: bool,
        b_before_a: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    // Pods of one name and time are one Pod, compared with itself; uids of others don't matter unless they say so.
    let told = input.a.uid.is_some() && input.b.uid.is_some();
    let (a, b) = match pods(&[input.a.clone(), input.b.clone()])?.as_slice() {
        [a, b] if told => ((**a).clone(), (**b).clone()),
        _ => (input.a.pod(Uid(1))?, input.b.pod(Uid(1))?),
    };
    let gates = RankingGates {
        pod_deletion_cost: input.pod_deletion_cost,
        logarithmic_scale_down: input.logarithmic_scale_down,
    };
    let first = Candidate { pod: &a, rank: input.rank_a, ready_since: moment(input.a.ready_since.as_ref())? };
    let second = Candidate { pod: &b, rank: input.rank_b, ready_since: moment(input.b.ready_since.as_ref())? };
    let less = |x, y| deletion_order(NOW, x, y, gates) == Ordering::Less;
    same(
        "a before b, b before a",
        &(expected.a_before_b, expected.b_before_a),
        &(less(first, second), less(second, first)),
    )
}

fn delete(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        pods: Vec<GivenPod>,
        #[serde(default)]
        related: Option<Vec<String>>,
        diff: usize,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        delete: Vec<String>,
        ordered: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let pods = pods(&input.pods)?;
    let mut left = pods.clone();
    let related = match &input.related {
        None => pods.clone(),
        Some(names) => {
            let take = |name: &String| {
                let place = left.iter().position(|p| p.metadata.name == *name);
                place.map(|i| left.remove(i)).ok_or_else(|| format!("no Pod {name}"))
            };
            names.iter().map(take).collect::<Result<_, _>>()?
        }
    };
    let mut seen = names(&pods_to_delete(NOW, &pods, &related, input.diff, RankingGates::default()));
    let mut wanted = expected.delete;
    if !expected.ordered {
        wanted.sort();
        seen.sort();
    }
    same("deleted", &wanted, &seen)
}

fn slow_start(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        count: usize,
        initial_batch: usize,
        calls_that_succeed: usize,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        successes: usize,
        calls: usize,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut calls = 0;
    let successes = slow_start_batch(input.count, input.initial_batch, &mut || {
        calls += 1;
        calls <= input.calls_that_succeed
    });
    same("slow start", &expected, &Expect { successes, calls })
}

fn check(case: &Case) -> Result<(), String> {
    match case.group.as_str() {
        "order" => order(case),
        "equal" | "before" => pair(case),
        "pods-to-delete" => delete(case),
        "slow-start-batch" => slow_start(case),
        other => Err(format!("unknown group {other}")),
    }
}

/// Runs the table.
pub fn run(file: &Path, table: Table, report: &mut Report) {
    for (name, raw) in table.cases(file) {
        report.case("replicaset-ranking", &name, case(raw).and_then(|case| check(&case)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_go_in_upstreams_order() {
        let text = include_str!("../../../cluster/tests/data/behaviour/replicaset-ranking.yaml");
        let run_on = |text: &str| {
            let mut report = Report::default();
            run(Path::new("replicaset-ranking.yaml"), Table::read(text).unwrap(), &mut report);
            report.text()
        };
        assert_eq!(run_on(text), "replicaset-ranking: 24 passed, 0 failed\n");
        for (from, to) in
            [("{aBeforeB: true, bBeforeA: false}", "{aBeforeB: false, bBeforeA: true}"), ("calls: 7", "calls: 10")]
        {
            let broken = run_on(&text.replacen(from, to, 1));
            assert!(broken.ends_with("replicaset-ranking: 23 passed, 1 failed\n"), "{broken}");
        }
    }
}
