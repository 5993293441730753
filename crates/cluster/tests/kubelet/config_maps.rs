//! Pods that wait for a ConfigMap. A volume is tried again after 500 ms, twice that, ... 122 s (`exponentialbackoff`), a
//! container at the next sync of its Pod, 10 to 15 s later (`backOffPeriod` with `workerBackOffPeriodJitterFactor` 0.5).

use super::*;

/// Sync of a Pod after one that failed, at least and at most.
const SYNC: (f64, f64) = (10.0, 15.0);

fn config(timeline: &mut Timeline, t: f64, data: &str) {
    let yaml = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shop}}\ndata: {{{data}}}\n");
    let (_, applied) = timeline.execute_at(at(t), Command::Apply { yaml });
    assert!(applied.changed, "{applied:?}");
}

/// The events of this reason: text, field and count.
fn told(timeline: &Timeline, reason: &str) -> Vec<(String, String, u32)> {
    let all = timeline.cluster().kube_events().filter(|e| e.reason == reason && e.name == "web");
    all.map(|e| (e.message, e.field, e.count)).collect()
}

fn web(container: &str, pod: &str) -> Timeline {
    run(&format!("containers: [{{name: web, image: shop/web:1, {container}}}]\n{pod}"))
}

#[test]
fn a_container_waits_for_its_environment() {
    for (container, why) in [
        ("envFrom: [{configMapRef: {name: shop}}]", "Error: configmap \"shop\" not found"),
        (
            "env: [{name: A, value: a}, {name: B, valueFrom: {configMapKeyRef: {name: shop, key: b}}}]",
            "Error: configmap \"shop\" not found",
        ),
    ] {
        let mut timeline = web(container, "");
        let refused = when(&mut timeline, APPLIED, 5.0, |p| waits_for(p, "CreateContainerConfigError"));
        between("refused once its image is there", APPLIED, refused, APPLIED + CREATION + WRITE);
        assert_eq!(pod(&timeline).expect("pod").status.phase, PodPhase::Pending);
        assert_eq!(told(&timeline, "Failed"), [(why.to_owned(), "spec.containers{web}".to_owned(), 1)]);
        assert!(told(&timeline, "Created").is_empty());
        config(&mut timeline, refused + 1.0, "b: x");
        let runs = when(&mut timeline, refused, 30.0, |p| started(p, "web").is_some());
        let begun = started(&pod(&timeline).expect("pod"), "web").expect("runs");
        between("made at the next sync", refused - WRITE + SYNC.0, begun, refused + SYNC.1 + RECREATION);
        between("noticed", begun, runs, begun + RELIST + WRITE);
        assert_eq!(status(&pod(&timeline).expect("pod"), "web").restart_count, 0);
    }
}

#[test]
fn a_key_that_isn_t_there_is_told() {
    let mut timeline = web("env: [{name: B, valueFrom: {configMapKeyRef: {name: shop, key: b}}}]", "");
    config(&mut timeline, APPLIED + 0.1, "a: x");
    timeline.seek(at(APPLIED + CREATION + 3.0 * (SYNC.1 + RECREATION)));
    let failed = told(&timeline, "Failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].0, "Error: couldn't find key b in ConfigMap default/shop");
    assert!((4..=5).contains(&failed[0].2), "one each 10 to 15 s: {failed:?}");
}

#[test]
fn what_is_optional_is_done_without() {
    for (container, pod_) in [
        ("envFrom: [{configMapRef: {name: shop, optional: true}}]", ""),
        ("env: [{name: B, valueFrom: {configMapKeyRef: {name: shop, key: b, optional: true}}}]", ""),
        ("ports: []", "volumes: [{name: files, configMap: {name: shop, optional: true}}]"),
    ] {
        let mut timeline = web(container, pod_);
        let runs = when(&mut timeline, APPLIED, 10.0, |p| started(p, "web").is_some());
        between("runs", APPLIED, runs, APPLIED + CREATION + RELIST + WRITE);
        assert!(told(&timeline, "Failed").is_empty() && told(&timeline, "FailedMount").is_empty());
    }
}

#[test]
fn a_volume_is_mounted_as_soon_as_the_back_off_lets_it() {
    // Tries at 0, 0.5, 1.5, 3.5, 7.5, 15.5 s after the kubelet has heard of the Pod.
    let mut timeline = web("ports: []", "volumes: [{name: files, configMap: {name: shop}}]");
    timeline.seek(at(APPLIED + 0.4));
    let why = "MountVolume.SetUp failed for volume \"files\" : configmap \"shop\" not found";
    assert_eq!(told(&timeline, "FailedMount"), [(why.to_owned(), String::new(), 1)]);
    assert!(waits_for(&pod(&timeline).expect("pod"), "ContainerCreating"));
    for (passed, tries) in [(0.45, 1), (0.6, 2), (1.45, 2), (1.6, 3), (3.45, 3), (3.6, 4), (7.45, 4), (7.6, 5)] {
        timeline.seek(at(APPLIED + passed));
        assert_eq!(told(&timeline, "FailedMount")[0].2, tries, "after {passed} s");
    }
    assert_eq!(pod(&timeline).expect("pod").status.pod_ip, "", "no network before the volumes");
    config(&mut timeline, APPLIED + 8.0, "b: x");
    when(&mut timeline, APPLIED + 8.0, 30.0, |p| started(p, "web").is_some());
    let begun = started(&pod(&timeline).expect("pod"), "web").expect("runs");
    between("mounted at the sixth try", APPLIED + 15.5, begun, APPLIED + 15.5 + CREATION);
}

#[test]
fn the_back_off_of_a_volume_ends_at_122_seconds() {
    let mut timeline = web("ports: []", "volumes: [{name: files, configMap: {name: shop}}]");
    // 0.5 s to 64 s add up to 127.5 s: the ninth try. Then one each 122 s.
    for (passed, tries) in [(127.4, 8), (127.6, 9), (127.4 + 122.0, 9), (127.6 + 122.0, 10), (127.6 + 244.0, 11)] {
        timeline.seek(at(APPLIED + passed));
        assert_eq!(told(&timeline, "FailedMount")[0].2, tries, "after {passed} s");
    }
}

#[test]
fn a_scenario_may_name_a_config_map_after_its_pod() {
    let (mut timeline, _, refused) = Timeline::new(
        "apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  volumes: [{name: files, configMap: {name: shop}}]
  containers: [{name: web, image: shop/web:1, envFrom: [{configMapRef: {name: shop}}]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
",
        None,
        (),
    );
    assert!(refused.is_empty(), "{refused:?}");
    timeline.seek(at(0.0));
    assert!(pod(&timeline).expect("pod").is_ready());
}
