//! Containers and their probes on Kubernetes' timetable. Bounds are sums of the constants of SPEC sections 3.1 to 3.4 and of
//! what this simulation adds (named below); none comes from an earlier run.

mod config_maps;

use cluster::Timeline;
use kube_api::{ConditionStatus, ContainerState, ContainerStatus, EndpointSlice, Pod, PodPhase};
use lab_base::Time;
use lab_protocol::{Command, Fault, PodRef};

/// `genericPlegRelistPeriod`: the kubelet learns of a start or an end at its next relist.
const RELIST: f64 = 1.0;
/// Defaults of a probe (`SetDefaults_Probe`).
const PERIOD: f64 = 10.0;
const FAILURES: f64 = 3.0;
/// Crash-loop back-off: first delay, cap, and the run that clears it (SPEC 3.3).
const BACKOFF: f64 = 10.0;
const BACKOFF_CAP: f64 = 300.0;
const BACKOFF_CLEARED: f64 = 600.0;
/// `minimumGracePeriodInSeconds` (SPEC 3.4).
const MINIMUM_GRACE: f64 = 2.0;
/// What the simulation takes: API server to kubelet 6 ms twice, sandbox at most 0.4 s, image pull and creation at most 1.8 s.
const CREATION: f64 = 0.4 + 1.8 + 0.02;
/// Creation of a container whose image is there.
const RECREATION: f64 = 0.12;
/// A status on its way to the API server, at most.
const WRITE: f64 = 0.025;
/// From the last container's end until the object is gone, at most.
const TEARDOWN: f64 = 0.25;
/// When the Pod of a test is applied.
const APPLIED: f64 = 1.0;

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6).round() as u64)
}

/// Runs this Pod (the body of its spec) from 1 s on, with these other documents.
fn pod_with(spec: &str, others: &str) -> Timeline {
    let (mut timeline, diagnostics, refused) = Timeline::new(others, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    let yaml = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, labels: {{app: web}}}}\nspec:\n  {}\n",
        spec.replace('\n', "\n  ")
    );
    let (_, applied) = timeline.execute_at(at(APPLIED), Command::Apply { yaml });
    assert_eq!(applied.results, ["pod/web created"], "{applied:?}");
    timeline
}

fn run(spec: &str) -> Timeline {
    pod_with(spec, "")
}

fn pod(timeline: &Timeline) -> Option<Pod> {
    timeline.cluster().store().list::<Pod>().find(|p| p.metadata.name == "web").map(|p| (**p).clone())
}

/// The first moment, to 10 ms, at which this holds of the Pod.
fn when(timeline: &mut Timeline, from: f64, to: f64, holds: impl Fn(&Pod) -> bool) -> f64 {
    let mut t = from;
    while t <= to {
        timeline.seek(at(t));
        if pod(timeline).is_some_and(|p| holds(&p)) {
            return t;
        }
        t += 0.01;
    }
    panic!("not within {from} to {to} s: {:#?}", pod(timeline).map(|p| p.status));
}

fn gone(timeline: &mut Timeline, from: f64, to: f64) -> f64 {
    let mut t = from;
    while t <= to {
        timeline.seek(at(t));
        if pod(timeline).is_none() {
            return t;
        }
        t += 0.01;
    }
    panic!("still there at {to} s: {:#?}", pod(timeline).map(|p| p.status));
}

fn between(what: &str, low: f64, t: f64, high: f64) {
    assert!(low - 0.011 <= t && t <= high + 0.011, "{what}: {t} is not within {low} and {high}");
}

/// Before its kubelet has written one, that of a container that waits.
fn status(pod: &Pod, name: &str) -> ContainerStatus {
    let mut all = pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses);
    all.find(|s| s.name == name).cloned().unwrap_or_default()
}

fn started(pod: &Pod, name: &str) -> Option<f64> {
    match status(pod, name).state {
        ContainerState::Running { started_at } => Some(started_at.as_secs_f64()),
        _ => None,
    }
}

fn waits_for(pod: &Pod, why: &str) -> bool {
    pod.status
        .init_container_statuses
        .iter()
        .chain(&pod.status.container_statuses)
        .any(|s| matches!(&s.state, ContainerState::Waiting { reason } if reason == why))
}

fn delete(timeline: &mut Timeline, t: f64) {
    let which = PodRef::Named { namespace: "default".into(), name: "web".into() };
    let (done, _) = timeline.execute_at(at(t), Command::Fault(Fault::DeletePod { pod: which }));
    assert!(done.is_some());
}

fn workload(spec: &str) -> String {
    format!("apiVersion: lab/v1\nkind: Workload\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, {spec}}}\n")
}

#[test]
fn a_startup_probe_comes_before_the_others() {
    let boot = 12.0;
    let mut timeline = pod_with(
        "containers:
- name: web
  image: shop/web:1
  ports: [{containerPort: 80}]
  startupProbe: {httpGet: {port: 80}, periodSeconds: 4, failureThreshold: 5}
  livenessProbe: {httpGet: {port: 80}, periodSeconds: 1, failureThreshold: 1}
  readinessProbe: {httpGet: {port: 80}, periodSeconds: 100}",
        &workload("startUp: 12s"),
    );
    let runs = when(&mut timeline, APPLIED, 5.0, |p| started(p, "web").is_some());
    let begun = started(&pod(&timeline).expect("pod"), "web").expect("runs");
    between("noticed by the relist", begun, runs, begun + RELIST + WRITE);
    // The startup probe's first tick after the process listens; readiness is then asked at once, whatever its period.
    let ready = when(&mut timeline, runs, 40.0, Pod::is_ready);
    between("ready", begun + boot, ready, begun + boot + 4.0 + WRITE);
    let pod = pod(&timeline).expect("pod");
    assert!(status(&pod, "web").started);
    assert_eq!(status(&pod, "web").restart_count, 0, "liveness waits for the startup probe");
}

#[test]
fn a_startup_probe_that_never_succeeds_has_the_container_killed() {
    let mut timeline = pod_with(
        "containers:
- name: web
  image: shop/web:1
  ports: [{containerPort: 80}]
  startupProbe: {tcpSocket: {port: 80}, periodSeconds: 2, failureThreshold: 4}",
        &workload("startUp: 1h"),
    );
    when(&mut timeline, APPLIED, 5.0, |p| started(p, "web").is_some());
    let begun = started(&pod(&timeline).expect("pod"), "web").expect("runs");
    let again = when(&mut timeline, begun, 30.0, |p| status(p, "web").restart_count == 1);
    // Four ticks fail, the first at most one period after the kubelet has noticed the start.
    between("restarted", begun + 3.0 * 2.0, again, begun + RELIST + 4.0 * 2.0 + RECREATION + RELIST + WRITE);
    let events: Vec<_> =
        timeline.cluster().kube_events().filter(|e| e.reason == "Killing").map(|e| e.message).collect();
    assert_eq!(events, ["Container web failed startup probe, will be restarted"]);
}

#[test]
fn liveness_kills_after_its_threshold_with_its_own_grace() {
    // A probe at a port where nothing listens: the process is well and ignores SIGTERM.
    for (own, grace) in [("", 30.0), (", terminationGracePeriodSeconds: 5", 5.0)] {
        let mut timeline = pod_with(
            &format!(
                "containers:
- name: web
  image: shop/web:1
  ports: [{{containerPort: 80}}]
  livenessProbe: {{httpGet: {{port: 81}}{own}}}"
            ),
            &workload("sigterm: ignore"),
        );
        when(&mut timeline, APPLIED, 5.0, |p| started(p, "web").is_some());
        let begun = started(&pod(&timeline).expect("pod"), "web").expect("runs");
        let again = when(&mut timeline, begun, 90.0, |p| status(p, "web").restart_count == 1);
        // The third failed tick; SIGTERM is ignored; SIGKILL after the grace period; the first restart comes at once.
        let low = begun + (FAILURES - 1.0) * PERIOD + grace;
        between("restarted", low, again, begun + RELIST + FAILURES * PERIOD + grace + RECREATION + WRITE);
        let pod = pod(&timeline).expect("pod");
        let end = status(&pod, "web").last_termination.expect("ended");
        assert_eq!(end.exit_code, 137);
        assert!(!waits_for(&pod, "CrashLoopBackOff"), "the first restart comes at once");
    }
}

#[test]
fn thresholds_and_initial_delay_of_readiness() {
    let mut timeline = run("containers:
- name: web
  image: shop/web:1
  ports: [{containerPort: 80}]
  readinessProbe: {httpGet: {port: 80}, initialDelaySeconds: 7, periodSeconds: 3, successThreshold: 3}");
    when(&mut timeline, APPLIED, 5.0, |p| started(p, "web").is_some());
    let begun = started(&pod(&timeline).expect("pod"), "web").expect("runs");
    let ready = when(&mut timeline, begun, 40.0, Pod::is_ready);
    // First tick after 7 s, then two more.
    between("ready", begun + 7.0 + 2.0 * 3.0, ready, begun + 7.0 + 3.0 * 3.0 + WRITE);
    let which = PodRef::Named { namespace: "default".into(), name: "web".into() };
    timeline.execute_at(at(40.0), Command::Fault(Fault::FailReadiness { pod: which.clone() }));
    let unready = when(&mut timeline, 40.0, 60.0, |p| !p.is_ready());
    between("not ready", 40.0 + (FAILURES - 1.0) * 3.0, unready, 40.0 + FAILURES * 3.0 + WRITE);
    let not = pod(&timeline).expect("pod");
    let condition = not.condition("Ready").expect("Ready");
    assert_eq!((condition.reason.as_str(), condition.status), ("ContainersNotReady", ConditionStatus::False));
    assert_eq!(condition.message, "containers with unready status: [web]");
    timeline.execute_at(at(60.0), Command::Fault(Fault::PassReadiness { pod: which }));
    let ready = when(&mut timeline, 60.0, 80.0, Pod::is_ready);
    between("ready again", 60.0 + 2.0 * 3.0, ready, 60.0 + 3.0 * 3.0 + WRITE);
}

#[test]
fn a_server_slower_than_the_timeout_is_not_ready() {
    for (time, probe, ready) in [
        ("1100ms", "httpGet: {port: 80}", false),
        ("1100ms", "httpGet: {port: 80}, timeoutSeconds: 2", true),
        ("1100ms", "tcpSocket: {port: 80}", true),
        ("1100ms", "grpc: {port: 80}", false),
        ("20ms", "grpc: {port: 80}", true),
        ("20ms", "grpc: {port: 81}", false),
        ("20ms", "exec: {command: [sh, -c, 'exit 1']}", false),
        ("20ms", "exec: {command: [sleep, '5']}", false),
        ("20ms", "exec: {command: [sleep, '5']}, timeoutSeconds: 6", true),
    ] {
        let mut timeline = pod_with(
            &format!(
                "containers: [{{name: web, image: 'shop/web:1', ports: [{{containerPort: 80}}], readinessProbe: {{{probe}}}}}]"
            ),
            &workload(&format!("serviceTime: {time}")),
        );
        timeline.seek(at(30.0));
        assert_eq!(pod(&timeline).expect("pod").is_ready(), ready, "{time} {probe}");
    }
    let mut timeline = pod_with(
        "containers: [{name: web, image: 'shop/web:1', ports: [{containerPort: 80}], readinessProbe: {httpGet: {port: 80}}}]",
        &workload("serviceTime: 5s"),
    );
    timeline.seek(at(30.0));
    let ip = pod(&timeline).expect("pod").status.pod_ip;
    let why =
        timeline.cluster().kube_events().find(|e| e.reason == "Unhealthy" && e.count > 1).expect("Unhealthy").message;
    assert_eq!(
        why,
        format!(
            "Readiness probe failed: Get \"http://{ip}:80/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )
    );
}

/// When a container started, each time.
fn starts(timeline: &mut Timeline, until: u64) -> Vec<f64> {
    let mut all: Vec<f64> = Vec::new();
    let events = |t: &Timeline| t.cluster().kube_events().find(|e| e.reason == "Started").map(|e| (e.count, e.last));
    let mut seen = 0;
    for tenth in 10..until * 10 {
        timeline.seek(Time::from_millis(tenth * 100));
        if let Some((count, last)) = events(timeline).filter(|(count, _)| *count > seen) {
            seen = count;
            all.push(last.as_secs_f64());
        }
    }
    all
}

#[test]
fn a_crash_loop_backs_off_from_10_to_300_seconds() {
    let mut timeline = run("containers: [{name: web, image: 'shop/web:1', command: [sh, -c, 'sleep 1; exit 1']}]");
    let all = starts(&mut timeline, 900);
    let mut delay = 0.0;
    for (i, pair) in all.windows(2).enumerate() {
        let gap = pair[1] - (pair[0] + 1.0);
        // The delay counts from the end of the process, which the relist finds.
        between(&format!("restart {}", i + 1), delay, gap, f64::max(delay, RELIST) + RECREATION);
        delay = if delay == 0.0 { BACKOFF } else { f64::min(delay * 2.0, BACKOFF_CAP) };
    }
    // 10 + 20 + 40 + 80 + 160 + 300 = 610 s until the seventh restart.
    assert_eq!(all.len(), 8, "{all:?}");
    let pod = pod(&timeline).expect("pod");
    assert!(waits_for(&pod, "CrashLoopBackOff") && pod.status.phase == PodPhase::Running);
    assert_eq!(status(&pod, "web").restart_count as usize, all.len());
}

#[test]
fn ten_good_minutes_clear_the_back_off() {
    for (ran, cleared) in [(BACKOFF_CLEARED as u64 - 10, false), (BACKOFF_CLEARED as u64 + 1, true)] {
        let mut timeline = run(&format!("containers: [{{name: web, image: 'shop/web:1', command: [sleep, '{ran}']}}]"));
        let all = starts(&mut timeline, 3 * ran);
        // The second restart of a container that still has its back-off waits for 10 s.
        let gap = all[2] - (all[1] + ran as f64);
        let least = if cleared { 0.0 } else { BACKOFF };
        between("second restart", least, gap, f64::max(least, RELIST) + RECREATION);
    }
}

#[test]
fn restart_policies() {
    for (policy, command, phase, restarts) in [
        ("Never", "sleep 2", PodPhase::Succeeded, 0),
        ("Never", "sleep 2; exit 3", PodPhase::Failed, 0),
        ("OnFailure", "sleep 2", PodPhase::Succeeded, 0),
        // At 1 s and once more at once; the third run waits for 10 s.
        ("OnFailure", "sleep 2; exit 3", PodPhase::Running, 2),
        ("Always", "sleep 2", PodPhase::Running, 2),
    ] {
        let mut timeline = run(&format!(
            "restartPolicy: {policy}\ncontainers: [{{name: web, image: 'shop/web:1', command: [sh, -c, '{command}']}}]"
        ));
        timeline.seek(at(APPLIED + CREATION + 2.0 * (2.0 + RELIST) + 2.0));
        let pod = pod(&timeline).expect("pod");
        assert_eq!((pod.status.phase, status(&pod, "web").restart_count), (phase, restarts), "{policy} {command}");
        assert!(!pod.is_ready());
        if pod.is_finished() {
            let reason = if phase == PodPhase::Succeeded { "PodCompleted" } else { "PodFailed" };
            assert_eq!(pod.condition("Ready").expect("Ready").reason, reason);
            assert!(!waits_for(&pod, "CrashLoopBackOff"));
            // It stays until it is deleted, and goes at once then.
            delete(&mut timeline, 60.0);
            between("gone", 60.0, gone(&mut timeline, 60.0, 70.0), 60.0 + 0.02 + TEARDOWN);
        }
    }
}

#[test]
fn init_containers_run_one_after_another_before_the_others() {
    let mut timeline = run("initContainers:
- {name: one, image: 'shop/one:1', command: [sleep, '3']}
- name: proxy
  image: shop/proxy:1
  restartPolicy: Always
  ports: [{containerPort: 15001}]
  startupProbe: {tcpSocket: {port: 15001}, periodSeconds: 1}
- {name: two, image: 'shop/two:1', command: [sleep, '2']}
containers:
- {name: web, image: 'shop/web:1', ports: [{containerPort: 80}]}
- {name: log, image: 'shop/log:1', command: [sleep, infinity]}");
    let one = when(&mut timeline, APPLIED, 5.0, |p| started(p, "one").is_some());
    between("first init container", APPLIED, one, APPLIED + CREATION + RELIST + WRITE);
    let at_one = pod(&timeline).expect("pod");
    assert!(waits_for(&at_one, "PodInitializing") && at_one.status.phase == PodPhase::Pending);
    let condition = at_one.condition("Initialized").expect("Initialized");
    assert_eq!(condition.message, "containers with incomplete status: [one proxy two]");
    let begun = started(&at_one, "one").expect("runs");
    let ready = when(&mut timeline, one, 30.0, Pod::is_ready);
    let after = pod(&timeline).expect("pod");
    let (proxy, web) = (started(&after, "proxy").expect("runs"), started(&after, "web").expect("runs"));
    between("sidecar", begun + 3.0, proxy, begun + 3.0 + RELIST + 1.8);
    // It has started after its start-up of 0.5 s, its relist, and its probe's next tick; then the second, and the others.
    let low = proxy + 0.5 + 2.0;
    between("the others", low, web, proxy + RELIST + 1.0 + 1.8 + 2.0 + RELIST + 1.8);
    between("ready", web, ready, web + 1.8 + RELIST + WRITE);
    assert_eq!(after.status.container_statuses.len(), 2);
    assert!(after.status.container_statuses.iter().all(|s| s.ready));
    assert_eq!(after.condition("Initialized").expect("Initialized").status, ConditionStatus::True);
}

#[test]
fn a_failing_init_container_keeps_the_pod_back() {
    let yaml = |policy: &str| {
        format!(
            "restartPolicy: {policy}\ninitContainers: [{{name: one, image: 'shop/one:1', command: ['false']}}]\ncontainers: [{{name: web, image: 'shop/web:1'}}]"
        )
    };
    let mut timeline = run(&yaml("Always"));
    timeline.seek(at(APPLIED + CREATION + RELIST + RECREATION + RELIST + 1.0));
    let waiting = pod(&timeline).expect("pod");
    assert!(waits_for(&waiting, "CrashLoopBackOff") && waits_for(&waiting, "PodInitializing"));
    assert_eq!(waiting.status.phase, PodPhase::Pending);
    let mut timeline = run(&yaml("Never"));
    timeline.seek(at(APPLIED + CREATION + RELIST + 1.0));
    assert_eq!(pod(&timeline).expect("pod").status.phase, PodPhase::Failed);
}

#[test]
fn the_grace_period_holds_pre_stop_sigterm_and_sigkill() {
    // (hook, workload's answer to SIGTERM, grace) -> seconds until the process has ended.
    for (hook, sigterm, grace, ends) in [
        ("", "drain", 30.0, 0.0),
        ("", "ignore", 6.0, 6.0),
        ("sleep: {seconds: 4}", "drain", 30.0, 4.0),
        ("exec: {command: [sh, -c, 'sleep 4; nginx -s quit']}", "drop", 30.0, 4.0),
        ("sleep: {seconds: 4}", "ignore", 10.0, 10.0),
        // The hook uses all of it up: two seconds more.
        ("exec: {command: [sleep, '60']}", "ignore", 5.0, 5.0 + MINIMUM_GRACE),
        ("exec: {command: [sleep, '60']}", "drain", 5.0, 5.0),
        // One second is left, two are given.
        ("sleep: {seconds: 4}", "ignore", 5.0, 4.0 + MINIMUM_GRACE),
        // A hook that fails takes no time, and is told.
        ("httpGet: {port: 81}", "drain", 30.0, 0.0),
        ("httpGet: {port: 80}", "drain", 30.0, 0.02),
    ] {
        let lifecycle = if hook.is_empty() { String::new() } else { format!(", lifecycle: {{preStop: {{{hook}}}}}") };
        let mut timeline = pod_with(
            &format!(
                "terminationGracePeriodSeconds: {grace}\ncontainers: [{{name: web, image: 'shop/web:1', ports: [{{containerPort: 80}}]{lifecycle}}}]"
            ),
            &workload(&format!("sigterm: {sigterm}")),
        );
        delete(&mut timeline, 10.0);
        let end = gone(&mut timeline, 10.0, 60.0);
        between(&format!("{hook} {sigterm} {grace}"), 10.0 + ends, end, 10.0 + ends + 0.02 + TEARDOWN);
        let failed = timeline.cluster().kube_events().any(|e| e.reason == "FailedPreStopHook");
        assert_eq!(failed, hook.contains("81"), "{hook}");
    }
}

#[test]
fn a_shorter_grace_period_counts() {
    let mut timeline = pod_with(
        "containers: [{name: web, image: 'shop/web:1', lifecycle: {preStop: {sleep: {seconds: 25}}}}]",
        &workload("sigterm: ignore"),
    );
    delete(&mut timeline, 10.0);
    let shorter = Command::DeletePod { namespace: "default".into(), name: "web".into(), grace_seconds: 3 };
    timeline.execute_at(at(12.0), shorter);
    let end = gone(&mut timeline, 12.0, 60.0);
    between("gone", 12.0 + 3.0, end, 12.0 + 3.0 + MINIMUM_GRACE + 0.02 + TEARDOWN);
}

#[test]
fn sidecars_end_last_and_in_reverse() {
    let mut timeline = run("initContainers:
- {name: first, image: 'shop/first:1', restartPolicy: Always, ports: [{containerPort: 1}]}
- {name: second, image: 'shop/second:1', restartPolicy: Always, ports: [{containerPort: 2}]}
containers:
- {name: web, image: 'shop/web:1', ports: [{containerPort: 80}], lifecycle: {preStop: {sleep: {seconds: 5}}}}");
    when(&mut timeline, APPLIED, 15.0, Pod::is_ready);
    delete(&mut timeline, 20.0);
    timeline.seek(at(24.9));
    let stopping = pod(&timeline).expect("pod");
    assert!(["first", "second", "web"].iter().all(|name| started(&stopping, name).is_some()), "{:#?}", stopping.status);
    // The preStop hook ends after 5 s, and then one after another within an instant.
    let end = gone(&mut timeline, 24.9, 40.0);
    between("gone", 25.0, end, 25.0 + 0.02 + TEARDOWN);
}

#[test]
fn readiness_is_asked_while_the_pod_terminates() {
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    let mut timeline = pod_with(
        "containers:
- name: web
  image: shop/web:1
  ports: [{containerPort: 80}]
  readinessProbe: {httpGet: {port: 80}, periodSeconds: 2, failureThreshold: 1}
  livenessProbe: {httpGet: {port: 81}, periodSeconds: 20, failureThreshold: 2}
  lifecycle: {preStop: {sleep: {seconds: 28}}}",
        service,
    );
    when(&mut timeline, APPLIED, 15.0, Pod::is_ready);
    delete(&mut timeline, 15.0);
    let serving = |t: &Timeline| {
        let slices = t.cluster().store().list::<EndpointSlice>();
        let mut all = slices.flat_map(|s| s.endpoints.clone()).filter(|e| e.conditions.terminating == Some(true));
        all.next().map(|e| (e.conditions.ready == Some(true), e.conditions.serving == Some(true)))
    };
    timeline.seek(at(16.0));
    assert_eq!(serving(&timeline), Some((false, true)));
    let which = PodRef::Named { namespace: "default".into(), name: "web".into() };
    timeline.execute_at(at(18.0), Command::Fault(Fault::FailReadiness { pod: which }));
    // One period, the status, the controller's watch and its write.
    timeline.seek(at(18.0 + 2.0 + WRITE + 0.02));
    assert_eq!(serving(&timeline), Some((false, false)));
    // Liveness has stopped: its second failure, within 40 s, restarts nothing.
    timeline.seek(at(42.0));
    let last = pod(&timeline).expect("pod");
    assert_eq!(status(&last, "web").restart_count, 0);
}

#[test]
fn each_container_is_a_process_of_its_own() {
    let mut timeline = run("containers:
- {name: web, image: 'shop/web:1', ports: [{containerPort: 80}], readinessProbe: {httpGet: {port: 80}}}
- {name: side, image: 'shop/side:1', ports: [{containerPort: 90}], readinessProbe: {httpGet: {port: 90}, periodSeconds: 5}}");
    when(&mut timeline, APPLIED, 15.0, Pod::is_ready);
    let which = PodRef::Named { namespace: "default".into(), name: "web".into() };
    timeline.execute_at(at(20.0), Command::Fault(Fault::KillProcess { pod: which }));
    let unready = when(&mut timeline, 20.0, 25.0, |p| !p.is_ready());
    between("noticed", 20.0, unready, 20.0 + RELIST + WRITE);
    let now = pod(&timeline).expect("pod");
    assert_eq!(now.condition("Ready").expect("Ready").message, "containers with unready status: [web]");
    assert!(status(&now, "side").ready && status(&now, "side").restart_count == 0);
    // Restarted at once, boots for 0.5 s, is noticed and asked at once or, while it boots, at the next tick.
    let ready = when(&mut timeline, unready, 40.0, Pod::is_ready);
    between("back", unready, ready, unready + RECREATION + RELIST + PERIOD + WRITE);
    assert_eq!(pod(&timeline).expect("pod").status.container_statuses.iter().map(|s| s.restart_count).sum::<u32>(), 1);
}

#[test]
fn a_gate_that_nobody_opens() {
    let mut timeline =
        run("readinessGates: [{conditionType: example.com/lb}]\ncontainers: [{name: web, image: 'shop/web:1'}]");
    timeline.seek(at(10.0));
    let pod = pod(&timeline).expect("pod");
    let ready = pod.condition("Ready").expect("Ready");
    assert_eq!((ready.status, ready.reason.as_str()), (ConditionStatus::False, "ReadinessGatesNotReady"));
    assert_eq!(ready.message, "corresponding condition of pod readiness gate \"example.com/lb\" does not exist.");
    assert_eq!(pod.condition("ContainersReady").map(|c| c.status), Some(ConditionStatus::True));
}

#[test]
fn a_healthy_probe_is_no_event() {
    let probe = "{httpGet: {port: 80}, periodSeconds: 1}";
    let spec = format!(
        "containers: [{{name: web, image: 'shop/web:1', ports: [{{containerPort: 80}}], startupProbe: {probe}, livenessProbe: {probe}, readinessProbe: {probe}}}]"
    );
    let mut timeline = pod_with(&spec, "");
    timeline.seek(at(30.0));
    assert!(pod(&timeline).expect("pod").is_ready());
    assert_eq!(timeline.cluster().next_event_at(), None, "nothing will happen by itself");
}
