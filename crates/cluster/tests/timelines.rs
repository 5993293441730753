//! Failover timelines: each part takes as long as the settings say that govern it. Bounds are sums of SPEC's constants and
//! of the delays that this simulation adds (named below); none comes from an earlier run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cluster::{RequestFact, Timeline};
use kube_api::{NamespacedName, Pod};
use lab_base::{Span, Time};
use lab_protocol::{
    Command, Course, CourseEnd, Failover, Fault, Outcome, Part, PartKind, PodRef, SettingKey, SettingPlace,
    SettingValue, StepKind,
};

/// `genericPlegRelistPeriod`.
const RELIST: f64 = 1.0;
/// A status on its way to the API server, and a change on its way to who watches, at most.
const WRITE: f64 = 0.025;
const WATCH: f64 = 0.006;
/// kube-proxy's `minSyncPeriod`, and the longest sync.
const MIN_SYNC: f64 = 1.0;
const SYNC: f64 = 0.06;
/// From a slice until every node's rules have it.
const RULES: f64 = WATCH + MIN_SYNC + SYNC;
/// The readiness probe: `periodSeconds: 2`, `failureThreshold: 3`.
const PERIOD: f64 = 2.0;
const FAILURES: f64 = 3.0;
/// A container that starts again, and the workload's `startUp`.
const RESTART: f64 = 0.12;
const START_UP: f64 = 1.0;
/// A new Pod: two controllers hear of it, it is placed, gets a sandbox, and its image is pulled at most.
const NEW_POD: f64 = 4.0 * WATCH + WATCH + 0.4 + 1.8;
/// The kubelet finds that the process runs and asks it; then the API server has its status.
const READY: f64 = RELIST + PERIOD + WRITE;

/// Four Pods on four nodes of two zones, and what a case adds.
struct Case {
    client: &'static str,
    cluster: &'static str,
    service: &'static str,
    workload: &'static str,
    pod: &'static str,
    container: &'static str,
}

const CASE: Case = Case {
    client: "{node: node-a, target: 'http://web/', rate: 100}",
    cluster: "",
    service: "ports: [{port: 80, targetPort: 8080}]",
    workload: "",
    pod: "",
    container: "readinessProbe: {httpGet: {port: 8080}, periodSeconds: 2}",
};

impl Case {
    fn deployment(&self, replicas: u32, version: u32) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  \
             selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      \
             {}\n      containers:\n      - name: web\n        image: 'shop/web:{version}'\n        \
             ports: [{{containerPort: 8080}}]\n        {}\n",
            self.pod, self.container
        )
    }

    fn run(&self, replicas: u32, seed: u64) -> Timeline {
        let text = format!(
            "apiVersion: lab/v1\nkind: Cluster\nspec:\n  nodes: [{{name: node-a, zone: a}}, {{name: node-b, zone: a}}, \
             {{name: node-c, zone: b}}, {{name: node-d, zone: b}}]\n  {}\n---\n\
             apiVersion: lab/v1\nkind: Client\nmetadata: {{name: c}}\nspec: {}\n---\n\
             apiVersion: lab/v1\nkind: Workload\nmetadata: {{name: web}}\n\
             spec: {{selector: {{app: web}}, port: 8080, serviceTime: 10ms, startUp: 1s, {}}}\n---\n{}---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  selector: {{app: web}}\n  {}\n",
            self.cluster,
            self.client,
            self.workload,
            self.deployment(replicas, 1),
            self.service
        );
        let (timeline, diagnostics, refused) = Timeline::new(&text, Some(seed), ());
        assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
        assert!(refused.is_empty(), "{refused:?}");
        timeline
    }
}

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6).round() as u64)
}

fn web(nth: u32) -> PodRef {
    PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth }
}

fn fault(timeline: &mut Timeline, t: f64, fault: Fault) {
    assert!(timeline.execute_at(at(t), Command::Fault(fault)).0.is_some());
}

/// All failovers up to `t`, each with its failed requests counted against the facts.
fn told(timeline: &mut Timeline, t: f64) -> Vec<Failover> {
    timeline.seek(at(t));
    let all = timeline.cluster().facts().failovers().views();
    for failover in &all {
        let counted: u64 = failover.elsewhere.failed()
            + failover.courses.iter().flat_map(|c| &c.parts).map(|p| p.failed.failed()).sum::<u64>();
        let within = |r: &&RequestFact| {
            r.outcome != Outcome::Answered && r.ended > failover.at && failover.until.is_none_or(|until| r.sent < until)
        };
        let facts = timeline.cluster().facts().requests().iter().filter(within).count() as u64;
        assert_eq!(counted, facts, "{failover:#?}");
    }
    all
}

fn only(mut all: Vec<Failover>) -> Failover {
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

fn part(course: &Course, kind: PartKind) -> &Part {
    course.parts.iter().find(|p| p.kind == kind).unwrap_or_else(|| panic!("no {kind:?} in {course:#?}"))
}

fn took(course: &Course, kind: PartKind) -> f64 {
    let part = part(course, kind);
    part.to.unwrap_or_else(|| panic!("{kind:?} goes on: {course:#?}")).since(part.from).as_secs_f64()
}

fn step(course: &Course, kind: StepKind) -> f64 {
    let found = course.steps.iter().find(|s| s.kind == kind).unwrap_or_else(|| panic!("no {kind:?} in {course:#?}"));
    found.at.since(course.at).as_secs_f64()
}

fn has(course: &Course, kind: StepKind) -> bool {
    course.steps.iter().any(|s| s.kind == kind)
}

fn between(what: &str, low: f64, t: f64, high: f64) {
    assert!(low - 1e-6 <= t && t <= high + 1e-6, "{what}: {t} is not within {low} and {high}");
}

/// The settings of a part: key, value in seconds or as a number, and name.
fn settings(part: &Part) -> Vec<(SettingKey, f64, &str)> {
    let all = part.settings.iter().map(|s| {
        let value = match s.value {
            SettingValue::Time(span) => span.as_secs_f64(),
            SettingValue::Count(n) => f64::from(n),
        };
        let name = match &s.place {
            SettingPlace::Field { path, .. } => path,
            SettingPlace::Flag { flag, .. } => flag,
            SettingPlace::Constant { name, .. } => name,
        };
        (s.key, value, name.as_str())
    });
    all.collect()
}

/// Once it is out of the slices, the rules of every node follow.
fn rules_follow(course: &Course, nodes: usize) {
    between("sync", 0.0, took(course, PartKind::Sync), RULES);
    assert_eq!(settings(part(course, PartKind::Sync)), [(SettingKey::MinSyncPeriod, 1.0, "iptables.minSyncPeriod")]);
    assert_eq!(course.steps.iter().filter(|s| s.kind == StepKind::RulesWithout).count(), nodes);
}

#[test]
fn a_crashed_process() {
    for seed in 1..=10 {
        let mut timeline = CASE.run(4, seed);
        fault(&mut timeline, 10.0, Fault::KillProcess { pod: web(2) });
        let failover = only(told(&mut timeline, 30.0));
        assert_eq!((failover.cause.id.as_str(), failover.at), ("mark-fault-kill-process", at(10.0)));
        let course = &failover.courses[0];
        assert_eq!((course.end, course.services.as_slice()), (Some(CourseEnd::Back), &["web".to_owned()][..]));
        assert_eq!(course.replacement.as_ref(), Some(&course.name), "the same Pod");
        between("detection", 0.0, took(course, PartKind::Detection), RELIST);
        assert!(has(course, StepKind::NoticedExit));
        let relist = (SettingKey::RelistPeriod, RELIST, "genericPlegRelistPeriod");
        assert_eq!(settings(part(course, PartKind::Detection)), [relist]);
        between("withdrawal", 0.0, took(course, PartKind::Withdrawal), WRITE + WATCH);
        rules_follow(course, 4);
        // Started at once: the first crash has no back-off.
        between("ready", START_UP, step(course, StepKind::Ready), RELIST + RESTART + START_UP + READY);
        between("return", 0.0, took(course, PartKind::Return), WATCH + RULES);
        let wanted = [
            (SettingKey::StartUp, 1.0, "spec.startUp"),
            (SettingKey::ProbePeriod, 2.0, "spec.template.spec.containers[0].readinessProbe.periodSeconds"),
        ];
        assert_eq!(settings(part(course, PartKind::Repair)), wanted);
        // Refused while the rules lead there, reset what was under way; nothing once they don't.
        let lost = |kind| part(course, kind).failed;
        assert!(lost(PartKind::Detection).of(Outcome::Refused) > 0 || took(course, PartKind::Detection) < 0.2);
        for kind in [PartKind::Detection, PartKind::Withdrawal, PartKind::Sync] {
            let failed = lost(kind);
            assert_eq!(failed.failed(), failed.of(Outcome::Refused) + failed.of(Outcome::Reset), "{kind:?}");
        }
        assert_eq!(lost(PartKind::Repair).failed() + lost(PartKind::Return).failed(), 0, "seed {seed}");
        assert!(course.last_failed <= part(course, PartKind::Sync).to);
    }
}

/// A container that crashes again waits for its back-off: 10 s after the second crash (SPEC section 3.3).
#[test]
fn a_crash_loop_waits() {
    let mut timeline = CASE.run(4, 3);
    fault(&mut timeline, 10.0, Fault::KillProcess { pod: web(2) });
    fault(&mut timeline, 30.0, Fault::KillProcess { pod: web(2) });
    let all = told(&mut timeline, 60.0);
    let course = &all[1].courses[0];
    let repair = part(course, PartKind::Repair);
    assert!(settings(repair).contains(&(SettingKey::CrashLoopBackOff, 10.0, "backOffPeriod")), "{repair:#?}");
    between("ready", 10.0 + START_UP, step(course, StepKind::Ready), 10.0 + RESTART + START_UP + READY);
}

#[test]
fn lost_readiness() {
    for seed in 1..=10 {
        let mut timeline = CASE.run(4, seed);
        fault(&mut timeline, 10.0, Fault::FailReadiness { pod: web(3) });
        fault(&mut timeline, 40.0, Fault::PassReadiness { pod: web(3) });
        let failover = only(told(&mut timeline, 60.0));
        let course = &failover.courses[0];
        // Two whole periods pass between the first and the third failure.
        between("detection", PERIOD * (FAILURES - 1.0), took(course, PartKind::Detection), PERIOD * FAILURES);
        let probe = |field: &str| format!("spec.template.spec.containers[0].readinessProbe.{field}");
        let wanted = [
            (SettingKey::ProbePeriod, PERIOD, probe("periodSeconds")),
            (SettingKey::ProbeFailureThreshold, FAILURES, probe("failureThreshold")),
            (SettingKey::ProbeTimeout, 1.0, probe("timeoutSeconds")),
        ];
        let wanted: Vec<_> = wanted.iter().map(|(key, value, name)| (*key, *value, name.as_str())).collect();
        assert_eq!(settings(part(course, PartKind::Detection)), wanted);
        assert!(has(course, StepKind::ReadinessFailed));
        between("withdrawal", 0.0, took(course, PartKind::Withdrawal), WRITE + WATCH);
        rules_follow(course, 4);
        // One success is enough.
        between("ready", 30.0, step(course, StepKind::Ready), 30.0 + PERIOD + WRITE);
        between("return", 0.0, took(course, PartKind::Return), WATCH + RULES);
        assert_eq!((course.end, failover.last_failed), (Some(CourseEnd::Back), None), "it goes on answering");
    }
    // Mended before the third failure: nobody has noticed.
    let mut timeline = CASE.run(4, 1);
    fault(&mut timeline, 10.0, Fault::FailReadiness { pod: web(3) });
    fault(&mut timeline, 13.0, Fault::PassReadiness { pod: web(3) });
    let failover = only(told(&mut timeline, 60.0));
    assert_eq!((failover.courses[0].end, failover.until), (Some(CourseEnd::Mended), Some(at(13.0))));
    assert_eq!(failover.courses[0].parts.len(), 1);
}

/// A full process fails its liveness probe twice, is stopped, and starts again.
#[test]
fn a_liveness_restart() {
    let probes = "livenessProbe: {httpGet: {port: 8080}, periodSeconds: 3, failureThreshold: 2}\n        \
                  readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 2}";
    for seed in 1..=5 {
        let mut timeline = Case { container: probes, ..CASE }.run(4, seed);
        fault(&mut timeline, 10.0, Fault::FillPod { pod: web(1) });
        fault(&mut timeline, 17.0, Fault::MendPod { pod: web(1) });
        let failover = only(told(&mut timeline, 60.0));
        let course = &failover.courses[0];
        between("detection", 3.0, took(course, PartKind::Detection), 6.0);
        between("the probe", 3.0, step(course, StepKind::LivenessFailed), 6.0);
        let probe = "spec.template.spec.containers[0].livenessProbe.failureThreshold";
        let detection = settings(part(course, PartKind::Detection));
        assert!(detection.contains(&(SettingKey::ProbeFailureThreshold, 2.0, probe)), "{detection:?}");
        assert!(part(course, PartKind::Detection).failed.of(Outcome::ServerError) > 0, "503 until then");
        let stopped = step(course, StepKind::Stopped);
        between("stopped", step(course, StepKind::Sigterm), stopped, step(course, StepKind::Sigterm) + 1.0);
        // It starts again within the same pass.
        between("restarted", stopped, step(course, StepKind::Restarting), stopped + RELIST);
        between("ready", stopped + START_UP, step(course, StepKind::Ready), stopped + RESTART + START_UP + READY);
        assert_eq!(course.end, Some(CourseEnd::Back));
    }
}

/// Endpoint and SIGTERM have no order (SPEC section 3.4): without a pause what comes before every node's rules know is
/// lost, with one that is longer than that nothing.
#[test]
fn a_rolling_update() {
    let paused = "readinessProbe: {httpGet: {port: 8080}, periodSeconds: 2}\n        \
                  lifecycle: {preStop: {sleep: {seconds: 5}}}";
    let mut lost = Vec::new();
    for container in [CASE.container, paused] {
        let case = Case { client: "{node: node-a, target: 'http://web/', rate: 200}", container, ..CASE };
        let mut timeline = case.run(4, 5);
        timeline.execute_at(at(10.0), Command::Apply { yaml: case.deployment(4, 2) });
        let failover = only(told(&mut timeline, 90.0));
        assert_eq!(failover.cause.id, "failover-rollout");
        assert!(failover.until.is_some());
        assert_eq!(failover.courses.len(), 4, "each Pod has its own course");
        let mut stands_in: Vec<_> = failover.courses.iter().map(|c| c.replacement.clone().unwrap()).collect();
        stands_in.sort();
        stands_in.dedup();
        assert_eq!(stands_in.len(), 4, "and another Pod in its place");
        for course in &failover.courses {
            assert_eq!(course.end, Some(CourseEnd::Back));
            let commanded = course.steps.iter().find(|s| s.kind == StepKind::Commanded).unwrap();
            assert_eq!((commanded.at, commanded.subject.as_str()), (at(10.0), "web"));
            assert_eq!(took(course, PartKind::Detection), 0.0, "the API server knows at once");
            between("withdrawal", 0.0, took(course, PartKind::Withdrawal), WATCH);
            rules_follow(course, 4);
            let bounds = settings(part(course, PartKind::Repair));
            let path = |name: &str| format!("spec.strategy.rollingUpdate.{name}");
            // 25 % of 4, up and down.
            assert!(bounds.contains(&(SettingKey::MaxSurge, 1.0, &*path("maxSurge"))), "{bounds:?}");
            assert!(bounds.contains(&(SettingKey::MaxUnavailable, 1.0, &*path("maxUnavailable"))), "{bounds:?}");
            between(
                "SIGTERM",
                0.0,
                step(course, StepKind::Sigterm),
                WATCH + if container == paused { 5.0 } else { 0.0 },
            );
            let hook = course.steps.iter().find(|s| s.kind == StepKind::Sigterm).unwrap().settings.first();
            let hook = hook.map(|s| (s.key, s.value));
            let pause = (SettingKey::PreStop, SettingValue::Time(Span::from_secs(5)));
            assert_eq!(hook, (container == paused).then_some(pause));
            // The new one may be there first: until nobody's rules have the old one, it isn't over.
            let without =
                course.steps.iter().filter(|s| s.kind == StepKind::RulesWithout && Some(s.at) <= course.until);
            assert_eq!(without.count(), 4, "{course:?}");
            // What is lost is lost until the rules have followed.
            assert!(course.last_failed.is_none() || course.last_failed <= part(course, PartKind::Sync).to);
        }
        let failed = timeline.cluster().facts().totals().failed();
        let of_courses: u64 = failover.courses.iter().flat_map(|c| &c.parts).map(|p| p.failed.failed()).sum();
        assert_eq!(of_courses, failed, "all that was lost was lost to an old Pod");
        lost.push(failed);
    }
    assert!(lost[0] > 0 && lost[1] == 0, "{lost:?}");
}

/// SPEC section 5: Unknown within 40 to 55 s up to 1.31, 50 to 65 s from 1.32; the Pods go 300 s later.
#[test]
fn a_dead_node() {
    for (cluster, grace) in [("release: '1.31'", 40.0), ("release: '1.32'", 50.0), ("", 50.0)] {
        for seed in 1..=3 {
            let client = "{node: node-a, target: 'http://web/', rate: [{at: 0s, rate: 40}, {at: 90s, rate: 1}]}";
            let mut timeline = Case { cluster, client, ..CASE }.run(4, seed);
            fault(&mut timeline, 10.0, Fault::PowerOff { node: "node-b".into() });
            let early = only(told(&mut timeline, 10.0 + grace - 1.0));
            let expected = settings(&early.courses[0].parts[0]);
            assert!(early.courses[0].parts[0].to.is_none());
            let failover = only(told(&mut timeline, 400.0));
            let course = failover.courses.iter().find(|c| c.node == "node-b").unwrap();
            assert_eq!((failover.courses.len(), course.end), (1, Some(CourseEnd::Back)));
            between("detection", grace, took(course, PartKind::Detection), grace + 15.0);
            assert_eq!(step(course, StepKind::NodeNotReady), took(course, PartKind::Detection));
            let wanted = [
                (SettingKey::NodeMonitorGracePeriod, grace, "--node-monitor-grace-period"),
                (SettingKey::NodeMonitorPeriod, 5.0, "--node-monitor-period"),
                (SettingKey::LeaseRenewal, 10.0, "nodeLeaseRenewIntervalFraction"),
            ];
            assert_eq!(settings(part(course, PartKind::Detection)), wanted);
            assert_eq!(expected, wanted, "what will notice is told before it does");
            between("withdrawal", 0.0, took(course, PartKind::Withdrawal), WATCH);
            rules_follow(course, 3);
            // Evicted 300 s after the taint, which comes in the same pass.
            let found = took(course, PartKind::Detection);
            between("evicted", found + 300.0, step(course, StepKind::Deleted), found + 300.0 + WATCH);
            let repair = settings(part(course, PartKind::Repair));
            assert!(repair.iter().any(|s| (s.0, s.1) == (SettingKey::TolerationSeconds, 300.0)), "{repair:?}");
            let ready = step(course, StepKind::Ready);
            between("ready", found + 300.0 + START_UP, ready, found + 300.0 + NEW_POD + START_UP + READY);
            // Nobody says no.
            let lost = part(course, PartKind::Detection).failed;
            // A quarter of 40 a second; 5 standard deviations of a Poisson count.
            let mean = 10.0 * found;
            between("lost", mean - 5.0 * mean.sqrt(), lost.failed() as f64, mean + 5.0 * mean.sqrt());
            assert_eq!(lost.failed(), lost.of(Outcome::TimedOut));
            assert!(course.last_failed <= part(course, PartKind::Sync).to);
        }
    }
}

/// A partition that heals in time is over when it heals; one that lasts is a dead node to all others.
#[test]
fn a_partition() {
    let cut = || Fault::CutNode { node: "node-b".into() };
    let join = || Fault::JoinNode { node: "node-b".into() };
    let mut timeline = CASE.run(4, 2);
    fault(&mut timeline, 10.0, cut());
    fault(&mut timeline, 40.0, join());
    let failover = only(told(&mut timeline, 100.0));
    let course = &failover.courses[0];
    assert_eq!((course.end, failover.until), (Some(CourseEnd::Mended), Some(at(40.0))));
    assert!(part(course, PartKind::Detection).failed.of(Outcome::TimedOut) > 0);
    // Found, healed a while later, and back with the Pods that it had.
    let mut timeline = CASE.run(4, 2);
    fault(&mut timeline, 10.0, cut());
    fault(&mut timeline, 120.0, join());
    let failover = only(told(&mut timeline, 200.0));
    let course = &failover.courses[0];
    assert_eq!((course.end, course.replacement.as_ref()), (Some(CourseEnd::Back), Some(&course.name)));
    between("detection", 50.0, took(course, PartKind::Detection), 65.0);
    // The kubelet and the API server find each other within 1.2 s.
    between("ready", 110.0, step(course, StepKind::Ready), 110.0 + 1.2 + WRITE);
    assert!(!has(course, StepKind::Restarting), "its process has run all the time");
}

/// A budget lets one Pod go when the one before is ready again; kubectl asks again each 5 s.
#[test]
fn a_drain_with_a_budget() {
    let mut timeline = CASE.run(4, 9);
    let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web}\n\
                  spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}\n";
    timeline.execute_at(at(1.0), Command::Apply { yaml: budget.into() });
    let scale = "spec: {replicas: 8}";
    let patch = |kind: &str, name: &str, patch: &str| Command::Patch {
        kind: kind.into(),
        namespace: if kind == "Node" { String::new() } else { "default".into() },
        name: name.into(),
        patch: patch.into(),
    };
    timeline.execute_at(at(2.0), patch("Deployment", "web", scale));
    timeline.execute_at(at(20.0), patch("Node", "node-b", "spec: {unschedulable: true}"));
    let (mut t, mut drained) = (20.0, 0);
    while t < 90.0 {
        timeline.seek(at(t));
        let on_node = timeline.cluster().store().pods_on("node-b");
        let waiting: Vec<String> =
            on_node.filter(|p| !p.metadata.is_deleting()).map(|p| p.metadata.name.clone()).collect();
        for name in waiting {
            let (namespace, grace_seconds) = ("default".into(), None);
            let evict = Command::Evict { namespace, name, grace_seconds };
            drained += usize::from(timeline.execute_at(at(t), evict).0.is_some());
        }
        t += 5.0;
    }
    let failover = only(told(&mut timeline, 100.0));
    assert_eq!(failover.cause.id, "failover-evicted");
    assert!(failover.until.is_some() && drained >= 2);
    assert_eq!(failover.courses.len(), drained);
    for pair in failover.courses.windows(2) {
        let ready = pair[0].steps.iter().find(|s| s.kind == StepKind::Ready).unwrap().at;
        assert!(ready <= pair[1].at, "the budget wants the one before to be ready first");
        assert!(pair[1].at.since(pair[0].at) >= Span::from_secs(5), "kubectl asks each 5 s");
    }
    assert_eq!(took(&failover.courses[0], PartKind::Detection), 0.0);
}

/// Without hints everybody loses the dead zone's share until its nodes are found silent; with them only its own clients,
/// who are gone too.
#[test]
fn a_zone_outage() {
    for service in [CASE.service, "ports: [{port: 80, targetPort: 8080}]\n  trafficDistribution: PreferClose"] {
        let near = service != CASE.service;
        let case = Case { client: "{node: node-c, target: 'http://web/', rate: 40}", service, ..CASE };
        let mut timeline = case.run(4, 4);
        fault(&mut timeline, 10.0, Fault::PowerOffZone { zone: "a".into() });
        let failover = only(told(&mut timeline, 100.0));
        assert_eq!(failover.cause.args, [("zone".to_owned(), "a".to_owned())]);
        let nodes: Vec<_> = failover.courses.iter().map(|c| c.node.as_str()).collect();
        assert_eq!(nodes.len(), 2);
        assert!(nodes.iter().all(|n| ["node-a", "node-b"].contains(n)));
        for course in &failover.courses {
            between("detection", 50.0, took(course, PartKind::Detection), 65.0);
            rules_follow(course, 2);
            // A quarter of 40 a second each, or nothing.
            let lost = part(course, PartKind::Detection).failed.failed();
            assert_eq!(lost > 250, !near, "{lost}");
            assert!(!near || lost == 0, "{lost}");
            assert_eq!((course.until, part(course, PartKind::Repair).to), (None, None), "300 s aren't over");
        }
    }
}

/// `externalTrafficPolicy: Local` with one Pod: the load balancer goes on sending to the old node until three of its checks
/// have failed, so the failure isn't over with the new Pod (SPEC sections 6.8 and 7).
#[test]
fn local_traffic_during_a_rollout() {
    let case = Case {
        client: "{from: outside, rate: 30, target: 'http://198.51.100.10/'}",
        cluster: "cloud: true",
        service: "type: LoadBalancer\n  externalTrafficPolicy: Local\n  ports: [{port: 80, targetPort: 8080}]",
        ..CASE
    };
    // The new Pod goes to another node than the old one.
    let (timeline, failover) = (1..)
        .map(|seed| {
            let mut timeline = case.run(1, seed);
            timeline.execute_at(at(10.0), Command::Apply { yaml: case.deployment(1, 2) });
            let failover = only(told(&mut timeline, 80.0));
            (timeline, failover)
        })
        .find(|(_, failover)| failover.steps.iter().any(|s| s.kind == StepKind::TargetOut))
        .unwrap();
    let course = &failover.courses[0];
    let turned = |kind| failover.steps.iter().find(|s| s.kind == kind).unwrap();
    let out = turned(StepKind::TargetOut);
    assert_eq!(out.subject, course.node);
    // Each 8 s, three times, once the node's own rules are without it.
    let without = course.steps.iter().find(|s| s.kind == StepKind::RulesWithout && s.subject == course.node).unwrap();
    between("the balancer", 16.0, out.at.since(without.at).as_secs_f64(), 24.0);
    let keys: Vec<_> = out.settings.iter().map(|s| (s.key, s.value)).collect();
    let wanted = [
        (SettingKey::HealthCheckInterval, SettingValue::Time(Span::from_secs(8))),
        (SettingKey::UnhealthyThreshold, SettingValue::Count(3)),
        (SettingKey::HealthCheckTimeout, SettingValue::Time(Span::from_secs(1))),
    ];
    assert_eq!(keys, wanted);
    // Well after one check.
    let back = turned(StepKind::TargetBack);
    let with = course.steps.iter().find(|s| s.kind == StepKind::RulesWith && s.subject == back.subject).unwrap();
    assert!(back.at.since(with.at) <= Span::from_secs(8));
    assert_eq!(failover.until, Some(out.at.max(back.at)), "over when the balancer knows");
    let lost = timeline.cluster().facts().totals().failed();
    let last = failover.last_failed.unwrap();
    assert!(lost > 100 && last <= out.at, "{lost}, {last}");
}

/// The socket of a UDP client stays with its endpoint until kube-proxy deletes the entry: on events up to 1.31, by
/// comparing since (SPEC section 6.7). Either way nothing is lost once the rules of its node are right.
#[test]
fn a_udp_client_and_its_endpoint() {
    for cluster in ["release: '1.31'", "release: '1.32'"] {
        let case = Case {
            client: "{node: node-a, target: 'udp://web:53/', rate: 50, arrival: steady}",
            cluster,
            service: "ports: [{port: 53, protocol: UDP, targetPort: 8080}]",
            container: "readinessProbe: {exec: {command: ['true']}, periodSeconds: 2}",
            ..CASE
        };
        let mut timeline = case.run(4, 6);
        timeline.seek(at(10.0));
        let pod = timeline.cluster().facts().requests().iter().next().unwrap().pod.unwrap();
        let name = timeline.cluster().store().by_uid::<Pod>(pod).unwrap().metadata.name.clone();
        fault(&mut timeline, 10.0, Fault::KillPod { pod: PodRef::Named { namespace: "default".into(), name } });
        let failover = only(told(&mut timeline, 40.0));
        let course = &failover.courses[0];
        assert_eq!(took(course, PartKind::Detection), 0.0);
        let own = |s: &&lab_protocol::Step| s.kind == StepKind::RulesWithout && s.subject == "node-a";
        let written = course.steps.iter().find(own).unwrap().at;
        assert!(course.last_failed.unwrap() <= written, "{cluster}");
        assert!(!has(course, StepKind::Straggler), "{cluster}");
        // All of 50 a second until then.
        let lost: u64 = course.parts.iter().map(|p| p.failed.of(Outcome::TimedOut)).sum();
        let mean = 50.0 * written.since(at(10.0)).as_secs_f64();
        between("lost", mean - 2.0, lost as f64, mean + 2.0);
    }
}

/// Scaled to zero nobody is wanted in the place of those who go; scaling up is no failure.
#[test]
fn to_zero_and_back() {
    let mut timeline = CASE.run(3, 8);
    let scale = |n: u32| Command::Patch {
        kind: "Deployment".into(),
        namespace: "default".into(),
        name: "web".into(),
        patch: format!("spec: {{replicas: {n}}}"),
    };
    timeline.execute_at(at(5.0), scale(0));
    timeline.execute_at(at(20.0), scale(3));
    let failover = only(told(&mut timeline, 40.0));
    assert_eq!(failover.cause.id, "failover-scaled");
    assert_eq!(
        failover.cause.args,
        [("deployment", "web"), ("replicas", "0")].map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    assert_eq!(failover.courses.len(), 3);
    for course in &failover.courses {
        assert_eq!((course.end, course.replacement.as_ref()), (Some(CourseEnd::Gone), None));
        // Out in one go, gone when the process and its sandbox are.
        between("out", 0.0, step(course, StepKind::EndpointOut), WATCH);
        between("gone", 0.0, step(course, StepKind::Removed), 1.0 + WRITE + 0.25);
    }
    assert!(timeline.cluster().facts().requests_in(at(8.0), at(20.0)).all(|r| r.outcome == Outcome::Refused));
}

/// A kept connection is never new, so no rule moves it: it stays with a Pod that is out of all rules, and breaks when that
/// ends.
#[test]
fn a_client_that_keeps_its_connections() {
    let case = Case { client: "{node: node-a, target: 'http://web/', rate: 60, connections: 1}", ..CASE };
    let mut timeline = case.run(4, 1);
    timeline.seek(at(10.0));
    let pod = timeline.cluster().facts().requests().iter().next().unwrap().pod.unwrap();
    let name = timeline.cluster().store().by_uid::<Pod>(pod).unwrap().metadata.name.clone();
    let named = || PodRef::Named { namespace: "default".into(), name: name.clone() };
    fault(&mut timeline, 10.0, Fault::FailReadiness { pod: named() });
    let unready = only(told(&mut timeline, 30.0));
    let synced = part(&unready.courses[0], PartKind::Sync).to.unwrap();
    let later: Vec<RequestFact> =
        timeline.cluster().facts().requests().iter().filter(|r| r.sent > synced).copied().collect();
    assert!(later.len() > 500 && later.iter().all(|r| r.pod == Some(pod)), "it never rebalances");
    assert_eq!(unready.last_failed, None);
    fault(&mut timeline, 30.0, Fault::CutPod { pod: named() });
    timeline.seek(at(40.0));
    let unready = &told(&mut timeline, 40.0)[0];
    let straggler = unready.courses[0].steps.iter().find(|s| s.kind == StepKind::Straggler).unwrap();
    assert_eq!((straggler.subject.as_str(), straggler.settings[0].key), ("c", SettingKey::KeptConnections));
    assert!(part(&unready.courses[0], PartKind::Repair).failed.of(Outcome::TimedOut) > 0);
}

/// A kube-proxy that is away keeps a Pod in one node's rules that is long gone: the part is as long as that takes.
#[test]
fn rules_that_grow_old() {
    let mut timeline = CASE.run(4, 3);
    fault(&mut timeline, 10.0, Fault::StopProxy { node: "node-a".into() });
    fault(&mut timeline, 12.0, Fault::KillPod { pod: web(1) });
    fault(&mut timeline, 32.0, Fault::StartProxy { node: "node-a".into() });
    let all = told(&mut timeline, 60.0);
    let [stopped, killed] = all.as_slice() else { panic!("{all:#?}") };
    let course = &killed.courses[0];
    // It starts within 0.8 to 1.6 s and lists everything.
    between("sync", 20.0 + 0.8 - WATCH, took(course, PartKind::Sync), 20.0 + 1.6 + SYNC);
    let last = course.steps.iter().rfind(|s| s.kind == StepKind::RulesWithout).unwrap();
    assert_eq!(last.subject, "node-a");
    assert!(part(course, PartKind::Sync).failed.of(Outcome::TimedOut) > 100);
    assert_eq!(stopped.until, part(course, PartKind::Sync).to);
    assert_eq!(stopped.elsewhere.failed(), course.parts.iter().map(|p| p.failed.failed()).sum::<u64>());
}

/// A Service that selects something else lets go of Pods that are well, and takes them in again.
#[test]
fn a_selector_that_is_mistaken() {
    let mut timeline = CASE.run(4, 1);
    let select = |app: &str| Command::Patch {
        kind: "Service".into(),
        namespace: "default".into(),
        name: "web".into(),
        patch: format!("spec: {{selector: {{app: {app}}}}}"),
    };
    timeline.execute_at(at(10.0), select("wbe"));
    timeline.execute_at(at(20.0), select("web"));
    let failover = only(told(&mut timeline, 30.0));
    assert_eq!((failover.cause.id.as_str(), failover.courses.len()), ("failover-deselected", 4));
    between("back", 20.0, failover.until.unwrap().as_secs_f64(), 20.0 + WATCH + RULES);
    let lost: u64 = failover.courses.iter().flat_map(|c| &c.parts).map(|p| p.failed.of(Outcome::Refused)).sum();
    assert!(lost > 500, "{lost}");
    assert!(timeline.cluster().store().get::<kube_api::Service>(&NamespacedName::new("default", "web")).is_some());
}
