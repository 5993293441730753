//! `behaviour/deployment-rolling.yaml`: how a Deployment rolls and resizes, by upstream's own tables.

use super::Report;
use super::behaviour::{Table, case};
use cluster::controllers::deployment::{
    Replicas, Scalable, SetSize, clean_up_unhealthy, has_timed_out, is_complete, is_progressing, progress_deadline,
    resolve_fenceposts, scale, scale_down_available, superfluous,
};
use kube_api::{
    ConditionStatus, DeploymentCondition, DeploymentSpec, DeploymentStatus, DeploymentStrategyType, IntOrString,
    ReplicaSet, RollingUpdateDeployment,
};
use lab_base::{Span, Time};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    group: String,
    input: Value,
    expect: Value,
    /// Of `scale`: what a set's annotation says, where it isn't the Deployment's former size.
    #[serde(default)]
    desired_annotation: BTreeMap<String, i64>,
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|e| e.to_string())
}

fn same<T: PartialEq + Debug>(what: &str, expected: &T, seen: &T) -> Result<(), String> {
    if expected == seen { Ok(()) } else { Err(format!("{what}: expected {expected:?}, seen {seen:?}")) }
}

/// What the groups about sizes are given; each uses its part.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Sizes {
    replicas: Option<i32>,
    max_surge: Option<IntOrString>,
    max_unavailable: Option<IntOrString>,
    strategy: DeploymentStrategyType,
    old_replicas: i64,
    old_available: i64,
    new_replicas: i64,
    new_available: i64,
    other_replica_sets: i64,
    available_pods: i64,
    available: i64,
    max_cleanup: i64,
}

impl Sizes {
    fn bounds(&self) -> Replicas {
        let mut spec = DeploymentSpec { replicas: self.replicas, ..DeploymentSpec::default() };
        spec.strategy.type_ = self.strategy;
        spec.strategy.rolling_update = Some(RollingUpdateDeployment {
            max_surge: self.max_surge.clone(),
            max_unavailable: self.max_unavailable.clone(),
        });
        Replicas::of(&spec)
    }
    fn young(&self) -> SetSize {
        SetSize { wanted: self.new_replicas, available: self.new_available }
    }
    fn old(&self) -> SetSize {
        SetSize { wanted: self.old_replicas, available: self.old_available }
    }
}

/// What the groups about sizes expect; each tells its part.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Sized {
    surge: Option<i64>,
    unavailable: Option<i64>,
    error: bool,
    scaled: Option<bool>,
    new_replicas: Option<i64>,
    old_replicas: Option<i64>,
    cleaned: Option<i64>,
    max_unavailable: Option<i64>,
}

fn sizes(case: &Case) -> Result<(), String> {
    let given: Sizes = read(&case.input)?;
    let expected: Sized = read(&case.expect)?;
    let bounds = given.bounds();
    let nothing = Sized::default();
    let seen = match case.group.as_str() {
        "fenceposts" => {
            let wanted = given.replicas.unwrap_or(1).into();
            match resolve_fenceposts(given.max_surge.as_ref(), given.max_unavailable.as_ref(), wanted) {
                Ok((surge, unavailable)) => Sized { surge: Some(surge), unavailable: Some(unavailable), ..nothing },
                Err(_) => Sized { error: true, ..nothing },
            }
        }
        "scale-up-new" => {
            let old = SetSize { available: given.old_replicas, ..given.old() };
            let up = bounds.step(given.young(), &[old]).new;
            Sized { scaled: Some(up != given.new_replicas), new_replicas: Some(up), ..nothing }
        }
        "scale-down-old" => {
            let down = bounds.scale_down_old(given.young(), &[given.old()])[0];
            Sized { scaled: Some(down != given.old_replicas), old_replicas: Some(down), ..nothing }
        }
        "cleanup-unhealthy" => {
            let old = SetSize { wanted: given.old_replicas, available: given.available };
            let mut replicas = [given.old_replicas];
            let cleaned = clean_up_unhealthy(&[old], &mut replicas, given.max_cleanup);
            same("replicas", &(given.old_replicas - cleaned), &replicas[0])?;
            Sized { cleaned: Some(cleaned), ..nothing }
        }
        "scale-down-available" => {
            let mut replicas = [given.old_replicas];
            let spare = given.available_pods - (bounds.wanted - bounds.max_unavailable);
            let scaled = scale_down_available(&mut replicas, spare);
            Sized { scaled: Some(scaled > 0), old_replicas: Some(replicas[0]), ..nothing }
        }
        "new-rs-replicas" => {
            let total = given.new_replicas + given.other_replica_sets;
            let new = bounds.new_replicas(given.strategy, given.new_replicas, total);
            Sized { new_replicas: Some(new), ..nothing }
        }
        _ => Sized { max_unavailable: Some(bounds.max_unavailable), ..nothing },
    };
    same(&case.group, &expected, &seen)
}

fn proportional(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        from_replicas: i64,
        to_replicas: i64,
        max_surge: i64,
        previous_max_surge: i64,
        new_replica_set: Option<i64>,
        old_replica_sets_newest_first: Vec<i64>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        new_replica_set: Option<i64>,
        old_replica_sets_newest_first: Vec<i64>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let known = |key: &String| {
        key == "new" || (0..input.old_replica_sets_newest_first.len()).any(|i| *key == format!("old[{i}]"))
    };
    if let Some(other) = case.desired_annotation.keys().find(|k| !known(k)) {
        return Err(format!("desiredAnnotation: {other}?"));
    }
    let set = |name: String, replicas: i64| {
        let desired = case.desired_annotation.get(&name).copied().unwrap_or(input.from_replicas);
        Scalable { replicas, available: 0, desired: Some(desired), max: Some(desired + input.previous_max_surge) }
    };
    let new = input.new_replica_set.map(|n| set("new".into(), n));
    let old = input.old_replica_sets_newest_first.iter().enumerate().map(|(i, n)| set(format!("old[{i}]"), *n));
    let sets: Vec<Scalable> = new.into_iter().chain(old).collect();
    let bounds = Replicas { wanted: input.to_replicas, max_surge: input.max_surge, max_unavailable: 0 };
    let place = input.new_replica_set.map(|_| 0);
    let sizes = scale(bounds, true, &sets, place, input.from_replicas);
    let sizes = sizes.unwrap_or_else(|| sets.iter().map(|s| s.replicas).collect());
    let (new, old) = sizes.split_at(usize::from(input.new_replica_set.is_some()));
    let seen = Expect { new_replica_set: new.first().copied(), old_replica_sets_newest_first: old.to_vec() };
    same("scale", &expected, &seen)
}

fn complete(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        replicas: i32,
        current: i32,
        updated: i32,
        available: i32,
        #[serde(rename = "maxUnavailable")]
        _max_unavailable: IntOrString,
        #[serde(rename = "maxSurge")]
        _max_surge: IntOrString,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        complete: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let status = DeploymentStatus {
        replicas: input.current,
        updated_replicas: input.updated,
        available_replicas: input.available,
        ..DeploymentStatus::default()
    };
    same("complete", &expected.complete, &is_complete(input.replicas, 0, &status))
}

fn progressing(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        before: Status,
        after: Status,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Status {
        replicas: i32,
        updated: i32,
        ready: i32,
        available: i32,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        progressing: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let status = |s: &Status| DeploymentStatus {
        replicas: s.replicas,
        updated_replicas: s.updated,
        ready_replicas: s.ready,
        available_replicas: s.available,
        ..DeploymentStatus::default()
    };
    same("progressing", &expected.progressing, &is_progressing(&status(&input.before), &status(&input.after)))
}

fn timed_out(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        progress_deadline_seconds: Option<i32>,
        seconds_since_progressing_update: Option<u64>,
        reason: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        timed_out: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let now = Time::from_secs(1_000_000);
    let since = input.seconds_since_progressing_update;
    let told = since.is_some() || !input.reason.is_empty();
    let condition = told.then(|| DeploymentCondition {
        type_: "Progressing".into(),
        status: ConditionStatus::True,
        last_update_time: now - Span::from_secs(since.unwrap_or_default()),
        last_transition_time: Time::ZERO,
        reason: input.reason.clone(),
        message: String::new(),
    });
    let spec =
        DeploymentSpec { progress_deadline_seconds: input.progress_deadline_seconds, ..DeploymentSpec::default() };
    same("timed out", &expected.timed_out, &has_timed_out(now, progress_deadline(&spec), condition.as_ref()))
}

fn history(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        old_replica_sets: Vec<GivenSet>,
        revision_history_limit: Option<i32>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct GivenSet {
        spec_replicas: i32,
        status_replicas: i32,
        deleting: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        deletions: usize,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let set = |given: &GivenSet| {
        let mut set = ReplicaSet::default();
        set.spec.replicas = Some(given.spec_replicas);
        set.status.replicas = given.status_replicas;
        set.metadata.deletion_timestamp = given.deleting.then_some(Time::ZERO);
        set
    };
    let sets: Vec<ReplicaSet> = input.old_replica_sets.iter().map(set).collect();
    let old: Vec<&ReplicaSet> = sets.iter().collect();
    same("deletions", &expected.deletions, &superfluous(&old, input.revision_history_limit).len())
}

/// A whole rollout, sync by sync; new Pods become available where nothing else happens.
fn trace(case: &Case) -> Result<(), String> {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        surge: i64,
        unavailable: i64,
        steps: Vec<String>,
    }
    let given: Sizes = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let bounds = given.bounds();
    let mut new = SetSize { wanted: 0, available: 0 };
    let mut old = SetSize { wanted: bounds.wanted, available: bounds.wanted };
    let mut steps = Vec::new();
    for _ in 0..1_000 {
        let step = bounds.step(new, &[old]);
        if step.new != new.wanted || step.old[0] != old.wanted {
            new.wanted = step.new;
            old = SetSize { wanted: step.old[0], available: old.available.min(step.old[0]) };
            steps.push(format!("old={} new={}", old.wanted, new.wanted));
        } else if new.available < new.wanted {
            new.available = new.wanted;
            steps.push("available".to_owned());
        } else {
            break;
        }
    }
    same("trace", &expected, &Expect { surge: bounds.max_surge, unavailable: bounds.max_unavailable, steps })
}

fn check(case: &Case) -> Result<(), String> {
    match case.group.as_str() {
        "fenceposts"
        | "scale-up-new"
        | "scale-down-old"
        | "cleanup-unhealthy"
        | "scale-down-available"
        | "new-rs-replicas"
        | "max-unavailable" => sizes(case),
        "scale" => proportional(case),
        "complete" => complete(case),
        "progressing" => progressing(case),
        "timed-out" => timed_out(case),
        "revision-history" => history(case),
        "rollout-trace" => trace(case),
        other => Err(format!("unknown group {other}")),
    }
}

/// Runs the table.
pub fn run(file: &Path, table: Table, report: &mut Report) {
    for (name, raw) in table.cases(file) {
        report.case("deployment-rolling", &name, case(raw).and_then(|case| check(&case)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollouts_are_upstreams() {
        let text = include_str!("../../../cluster/tests/data/behaviour/deployment-rolling.yaml");
        let run_on = |text: &str| {
            let mut report = Report::default();
            run(Path::new("deployment-rolling.yaml"), Table::read(text).unwrap(), &mut report);
            report.text()
        };
        assert_eq!(run_on(text), "deployment-rolling: 55 passed, 0 failed\n");
        for (from, to) in [
            (
                "expect: {newReplicaSet: 22, oldReplicaSetsNewestFirst: [34]}",
                "expect: {newReplicaSet: 28, oldReplicaSetsNewestFirst: [28]}",
            ),
            ("expect: {timedOut: true}", "expect: {timedOut: false}"),
        ] {
            let broken = run_on(&text.replacen(from, to, 1));
            assert!(broken.ends_with("deployment-rolling: 54 passed, 1 failed\n"), "{broken}");
        }
    }
}
