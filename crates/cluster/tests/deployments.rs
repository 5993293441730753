//! Deployments in the running cluster: what they never do, and when they do what. Bounds come from their own fields.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cluster::{Cluster, Timeline};
use kube_api::{ConditionStatus, Deployment, NamespacedName, Pod, ReplicaSet};
use lab_base::Time;
use lab_protocol::Command;
use std::collections::BTreeSet;

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

/// A Deployment whose Pods need 2 s to listen, or don't come so far.
fn web(version: &str, spec: &str, health: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  {spec}
  template:
    metadata: {{labels: {{app: web, health: {health}}}}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - {{name: web, image: "shop/web:{version}", ports: [{{containerPort: 8080}}], readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}}}
"#
    )
}

fn run(deployment: &str) -> Timeline {
    let text = format!(
        "{{apiVersion: lab/v1, kind: Workload, metadata: {{name: sick}}, spec: {{selector: {{health: bad}}, startUp: 1h}}}}\n---\n{{apiVersion: lab/v1, kind: Workload, metadata: {{name: web}}, spec: {{selector: {{app: web}}, startUp: 2s}}}}\n---{deployment}"
    );
    let (timeline, diagnostics, refused) = Timeline::new(&text, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

fn apply(timeline: &mut Timeline, at: Time, yaml: String) {
    let (_, applied) = timeline.execute_at(at, Command::Apply { yaml });
    assert_eq!(applied.results, ["deployment.apps/web configured"]);
}

fn deployment(cluster: &Cluster) -> &Deployment {
    cluster.store().get::<Deployment>(&NamespacedName::new("default", "web")).unwrap()
}

/// Image and size of each set.
fn sets(cluster: &Cluster) -> BTreeSet<(String, i32)> {
    let image = |s: &ReplicaSet| s.spec.template.spec.containers[0].image.clone();
    cluster.store().list::<ReplicaSet>().map(|s| (image(s), s.spec.replicas.unwrap())).collect()
}

fn of(sizes: &[(&str, i32)]) -> BTreeSet<(String, i32)> {
    sizes.iter().map(|(version, n)| (format!("shop/web:{version}"), *n)).collect()
}

fn progressing(cluster: &Cluster) -> (ConditionStatus, String) {
    let condition = deployment(cluster).status.conditions.iter().find(|c| c.type_ == "Progressing").unwrap();
    (condition.status, condition.reason.clone())
}

#[test]
fn a_rolling_update_stays_between_surge_and_unavailable() {
    for (strategy, surge, unavailable) in [
        ("strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}", 1, 0),
        ("strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 2}}", 0, 2),
        ("", 2, 1), // 25 % of 6: 1.5, up and down
    ] {
        let spec = format!("replicas: 6\n  {strategy}");
        let mut timeline = run(&web("1", &spec, "good"));
        apply(&mut timeline, at(1.0), web("2", &spec, "good"));
        let mut done = None;
        for step in 0..1_200 {
            let now = 1.0 + f64::from(step) * 0.05;
            timeline.seek(at(now));
            let cluster = timeline.cluster();
            let living = cluster.store().list::<Pod>().filter(|p| !p.metadata.is_deleting());
            let (all, ready) = living.fold((0, 0), |(all, ready), p| (all + 1, ready + usize::from(p.is_ready())));
            assert!(all <= 6 + surge, "{strategy} {now}: {all} Pods");
            assert!(ready >= 6 - unavailable, "{strategy} {now}: {ready} ready");
            if sets(cluster) == of(&[("1", 0), ("2", 6)]) && ready == 6 {
                done = done.or(Some(now));
            }
        }
        assert!(done.is_some(), "{strategy}");
        assert_eq!(progressing(timeline.cluster()), (ConditionStatus::True, "NewReplicaSetAvailable".into()));
    }
}

#[test]
fn recreate_never_has_both_versions() {
    let spec = "replicas: 4\n  strategy: {type: Recreate}";
    let mut timeline = run(&web("1", spec, "good"));
    apply(&mut timeline, at(1.0), web("2", spec, "good"));
    for step in 0..400 {
        timeline.seek(at(1.0 + f64::from(step) * 0.05));
        let images: BTreeSet<_> =
            timeline.cluster().store().list::<Pod>().map(|p| p.spec.containers[0].image.clone()).collect();
        assert!(images.len() < 2, "{step}: {images:?}");
    }
    assert_eq!(sets(timeline.cluster()), of(&[("1", 0), ("2", 4)]));
    assert_eq!(deployment(timeline.cluster()).status.available_replicas, 4);
}

#[test]
fn a_rollout_that_gets_nowhere_is_told_after_its_deadline_and_leaves_the_old_pods() {
    let spec =
        "replicas: 4\n  progressDeadlineSeconds: 20\n  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}";
    let mut timeline = run(&web("1", spec, "good"));
    apply(&mut timeline, at(5.0), web("2", spec, "bad"));
    // The last progress is the second new Pod, right after the first old one went: a few control loops of 12 ms.
    timeline.seek(at(24.9));
    assert_eq!(progressing(timeline.cluster()), (ConditionStatus::True, "ReplicaSetUpdated".into()));
    // Strictly later than 20 s after it; the controller looks a second after that.
    timeline.seek(at(27.0));
    assert_eq!(progressing(timeline.cluster()), (ConditionStatus::False, "ProgressDeadlineExceeded".into()));
    assert_eq!(sets(timeline.cluster()), of(&[("1", 3), ("2", 2)]));
    assert_eq!(deployment(timeline.cluster()).status.available_replicas, 3);
    // Undone, by the template that it had: the old set is the newest again, and the rollout goes well.
    apply(&mut timeline, at(40.0), web("1", spec, "good"));
    timeline.seek(at(60.0));
    let cluster = timeline.cluster();
    assert_eq!(sets(cluster), of(&[("1", 4), ("2", 0)]));
    assert_eq!(progressing(cluster), (ConditionStatus::True, "NewReplicaSetAvailable".into()));
    let annotation =
        |s: &ReplicaSet, key: &str| s.metadata.annotations.get(&format!("deployment.kubernetes.io/{key}")).cloned();
    let undone = cluster.store().list::<ReplicaSet>().find(|s| s.spec.replicas == Some(4)).unwrap();
    assert_eq!(annotation(undone, "revision").as_deref(), Some("3"));
    assert_eq!(annotation(undone, "revision-history").as_deref(), Some("1"));
    assert_eq!(deployment(cluster).metadata.annotations["deployment.kubernetes.io/revision"], "3");
}

#[test]
fn a_paused_deployment_is_resized_and_not_rolled_out() {
    let mut timeline = run(&web("1", "replicas: 4", "good"));
    apply(&mut timeline, at(1.0), web("2", "replicas: 6\n  paused: true", "good"));
    timeline.seek(at(20.0));
    assert_eq!(sets(timeline.cluster()), of(&[("1", 6)]));
    assert_eq!(progressing(timeline.cluster()), (ConditionStatus::Unknown, "DeploymentPaused".into()));
    apply(&mut timeline, at(20.0), web("2", "replicas: 6", "good"));
    timeline.seek(at(60.0));
    assert_eq!(sets(timeline.cluster()), of(&[("1", 0), ("2", 6)]));
    assert_eq!(progressing(timeline.cluster()), (ConditionStatus::True, "NewReplicaSetAvailable".into()));
}

#[test]
fn a_resize_in_the_middle_is_shared_by_all_sets() {
    let spec = |n: u32| format!("replicas: {n}\n  strategy: {{rollingUpdate: {{maxSurge: 2, maxUnavailable: 2}}}}");
    let mut timeline = run(&web("1", &spec(8), "good"));
    apply(&mut timeline, at(1.0), web("2", &spec(8), "bad"));
    timeline.seek(at(20.0));
    // Stuck: 8 - 2 old ones stay, 8 + 2 in all.
    assert_eq!(sets(timeline.cluster()), of(&[("1", 6), ("2", 4)]));
    apply(&mut timeline, at(20.0), web("2", &spec(18), "bad"));
    timeline.seek(at(20.5));
    // (18 + 2) / (8 + 2) of each: 12 and 8. Then 18 - 2 have to stay available, and only 12 can be.
    assert_eq!(sets(timeline.cluster()), of(&[("1", 12), ("2", 8)]));
}

#[test]
fn old_sets_are_kept_as_far_as_the_history_goes() {
    let mut timeline = run(&web("1", "replicas: 1\n  revisionHistoryLimit: 2", "good"));
    for version in 2..=5 {
        apply(
            &mut timeline,
            at(f64::from(version) * 20.0),
            web(&version.to_string(), "replicas: 1\n  revisionHistoryLimit: 2", "good"),
        );
    }
    timeline.seek(at(140.0));
    assert_eq!(sets(timeline.cluster()), of(&[("3", 0), ("4", 0), ("5", 1)]));
}

#[test]
fn a_pod_that_loses_its_label_is_let_go_and_replaced_and_taken_in_again() {
    let mut timeline = run(&web("1", "replicas: 2", "good"));
    let owned = |c: &Cluster| -> Vec<bool> {
        let living = c.store().list::<Pod>().filter(|p| !p.metadata.is_deleting());
        living.map(|p| p.metadata.controller().is_some()).collect()
    };
    let name = timeline.cluster().store().list::<Pod>().next().unwrap().metadata.name.clone();
    let label = |value: &str| Command::Patch {
        kind: "Pod".into(),
        namespace: "default".into(),
        name: name.clone(),
        patch: format!("{{metadata: {{labels: {{app: {value}}}}}}}"),
    };
    timeline.execute_at(at(1.0), label("aside"));
    timeline.seek(at(10.0));
    let mut seen = owned(timeline.cluster());
    seen.sort_unstable();
    assert_eq!(seen, [false, true, true], "it runs on, without an owner, and another took its place");
    // With its label it is one too many: one of the three goes.
    timeline.execute_at(at(10.0), label("web"));
    timeline.seek(at(20.0));
    assert_eq!(owned(timeline.cluster()), [true, true]);
}
