//! Components that stop and start (SPEC sections 3.1, 5 and 10; client-go's reflector and leader election). Bounds are computed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cluster::{CONNECTION_REFUSED, RequestFact, Timeline};
use kube_api::{ConditionStatus, EndpointSlice, LABEL_SERVICE_NAME, NamespacedName, Node, Pod};
use lab_base::{Span, Time};
use lab_protocol::{Command, Fault, Outcome, PodRef};

/// `LeaseDuration`, and the longest wait between two tries of who isn't the leader: 2 s with `JitterFactor` 1.2.
const LEASE: f64 = 15.0;
const RETRY: f64 = 4.4;
/// What a component's start and the API server's take, assumed.
const START: (f64, f64) = (0.8, 1.6);
const API_START: (f64, f64) = (2.0, 4.0);
/// The longest wait of a reflector.
const REFLECTOR: f64 = 60.0;
/// Node monitor: period, and grace since 1.32.
const POLL: f64 = 5.0;
const GRACE: f64 = 50.0;

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

fn run(release: &str) -> Timeline {
    let (_, rest) = include_str!("data/web.yaml").split_once("---\n").unwrap();
    let text = format!(
        "apiVersion: lab/v1\nkind: Cluster\nspec: {{seed: 11, release: \"{release}\"}}\n---\n{}",
        rest.replace("replicas: 4", "replicas: 3")
    );
    let (timeline, diagnostics, refused) = Timeline::new(&text, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

fn inject(timeline: &mut Timeline, seconds: f64, fault: Fault) {
    let (recorded, _) = timeline.execute_at(at(seconds), Command::Fault(fault.clone()));
    assert!(recorded.is_some(), "{fault:?}");
}

fn scale(timeline: &mut Timeline, seconds: f64, replicas: u32) {
    let patch = format!("{{spec: {{replicas: {replicas}}}}}");
    let (kind, namespace, name) = ("Deployment".into(), "default".into(), "web".into());
    let (recorded, applied) = timeline.execute_at(at(seconds), Command::Patch { kind, namespace, name, patch });
    assert!(recorded.is_some(), "{applied:?}");
}

fn web(nth: u32) -> PodRef {
    PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth }
}

fn node() -> String {
    "node-b".into()
}

/// The first moment, in seconds, of a tenth of a second at which something holds.
fn first(timeline: &mut Timeline, from: f64, to: f64, holds: impl Fn(&Timeline) -> bool) -> f64 {
    let mut now = from;
    while now <= to {
        timeline.seek(at(now));
        if holds(timeline) {
            return now;
        }
        now += 0.1;
    }
    panic!("not until {to} s");
}

fn between(seen: f64, low: f64, high: f64) {
    assert!((low..=high + 0.1).contains(&seen), "{seen}, expected {low} to {high}");
}

fn ready(timeline: &Timeline, node: &str) -> ConditionStatus {
    let node = timeline.cluster().store().get::<Node>(&NamespacedName::new("", node)).unwrap();
    node.condition("Ready").unwrap().status
}

fn pods(timeline: &Timeline) -> Vec<std::sync::Arc<Pod>> {
    timeline.cluster().store().list::<Pod>().cloned().collect()
}

fn endpoints(timeline: &Timeline) -> usize {
    let of_web =
        |s: &&std::sync::Arc<EndpointSlice>| s.metadata.labels.get(LABEL_SERVICE_NAME).is_some_and(|l| l == "web");
    let slices = timeline.cluster().store().list::<EndpointSlice>().filter(of_web);
    slices.flat_map(|s| &s.endpoints).filter(|e| e.conditions.ready == Some(true)).count()
}

fn failed(timeline: &Timeline, from: f64, to: f64) -> Vec<(f64, Outcome)> {
    let all = timeline.cluster().facts().requests().iter();
    let facts: Vec<RequestFact> =
        all.filter(|f| f.sent >= at(from) && f.sent < at(to) && f.outcome != Outcome::Answered).copied().collect();
    facts.iter().map(|f| (f.sent.as_secs_f64(), f.outcome)).collect()
}

/// Nothing can be changed, nothing is heard, and traffic goes on by the rules that are there.
#[test]
fn traffic_needs_no_api_server() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopApiServer);
    let before = timeline.cluster().store().revision();
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n".into();
    let (recorded, applied) = timeline.execute_at(at(6.0), Command::Apply { yaml });
    assert_eq!((recorded, applied.results), (None, vec![CONNECTION_REFUSED.to_owned()]));
    // `kubectl delete pod` is no more possible than anything else.
    let delete = Command::Fault(Fault::DeletePod { pod: web(1) });
    assert!(timeline.execute_at(at(6.0), delete).0.is_none());
    timeline.seek(at(300.0));
    assert_eq!(timeline.cluster().store().revision(), before);
    assert!(failed(&timeline, 0.0, 298.0).is_empty());
    // Its leases are as old as that.
    let lease = timeline.cluster().leases().remove(0);
    assert!(lease.renewed <= at(5.0) && lease.renewed >= at(5.0) - Span::from_secs(10), "{lease:?}");
}

/// A kubelet restarts what crashes, and can't tell anybody; the endpoint stays.
#[test]
fn a_kubelet_keeps_its_pods_running() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopApiServer);
    inject(&mut timeline, 10.0, Fault::KillProcess { pod: web(1) });
    timeline.seek(at(60.0));
    assert_eq!(endpoints(&timeline), 3);
    let lost = failed(&timeline, 9.0, 58.0);
    // Relist 1 s, start 120 ms, start-up 1 s.
    assert!(!lost.is_empty() && lost.iter().all(|(sent, _)| (9.0..12.2).contains(sent)), "{lost:?}");
    assert!(pods(&timeline).iter().all(|p| p.status.container_statuses[0].restart_count == 0));
    inject(&mut timeline, 60.0, Fault::StartApiServer);
    // The status manager tries each ten seconds.
    let told =
        first(&mut timeline, 60.0, 75.0, |t| pods(t).iter().any(|p| p.status.container_statuses[0].restart_count == 1));
    between(told, 60.0 + API_START.0, 60.0 + API_START.1 + 10.0);
}

/// After a long outage no node is held for dead: the controller's new process gives each lease all of the grace period.
#[test]
fn leases_that_nobody_could_renew_condemn_nobody() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopApiServer);
    inject(&mut timeline, 305.0, Fault::StartApiServer);
    for second in 305..480 {
        timeline.seek(Time::from_secs(second));
        assert!(
            ["node-a", "node-b", "node-c"].iter().all(|n| ready(&timeline, n) == ConditionStatus::True),
            "{second}"
        );
    }
    assert!(failed(&timeline, 0.0, 478.0).is_empty());
}

/// A node that dies meanwhile is found when its whole grace period has run again.
#[test]
fn a_node_that_dies_meanwhile_gets_all_of_its_grace() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopApiServer);
    inject(&mut timeline, 10.0, Fault::PowerOff { node: node() });
    inject(&mut timeline, 200.0, Fault::StartApiServer);
    let found = first(&mut timeline, 200.0, 320.0, |t| ready(t, "node-b") != ConditionStatus::True);
    let leads = (200.0 + API_START.0 + LEASE, 200.0 + API_START.1 + RETRY + LEASE + RETRY);
    between(found, leads.0 + GRACE, leads.1 + POLL + GRACE + POLL);
}

/// An outage shorter than the renew deadline changes no leader: reflectors are back after 0.8, 1.6, 3.2, 6.4 s at most.
#[test]
fn a_short_outage_keeps_the_leaders() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopApiServer);
    inject(&mut timeline, 6.0, Fault::StartApiServer);
    // Up after 3 to 5 s; the next try comes 6.4 s after the one before at most.
    scale(&mut timeline, 6.0 + API_START.1, 4);
    let made = first(&mut timeline, 10.0, 30.0, |t| pods(t).len() == 4);
    between(made, 10.0, 10.0 + 6.4);
    timeline.seek(at(60.0));
    assert_eq!(endpoints(&timeline), 4);
    assert!(failed(&timeline, 0.0, 58.0).is_empty());
}

/// What is changed right after a long outage the kube-proxies hear within the longest wait of a reflector, not all at once.
#[test]
fn watches_come_back_one_by_one() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopApiServer);
    inject(&mut timeline, 600.0, Fault::StartApiServer);
    let yaml =
        "apiVersion: v1\nkind: Service\nmetadata: {name: two}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    timeline.execute_at(at(600.0 + API_START.1), Command::Apply { yaml: yaml.into() });
    let knows = |t: &Timeline, n: &str| {
        let machine = t.cluster().machine(n).unwrap();
        machine.loaded.service_ports().any(|p| p.name.service.name == "two")
    };
    let heard: Vec<f64> =
        ["node-a", "node-b", "node-c"].iter().map(|n| first(&mut timeline, 604.0, 670.0, |t| knows(t, n))).collect();
    // Sync 60 ms.
    heard.iter().for_each(|seen| between(*seen, 602.0, 604.0 + REFLECTOR + 0.1));
    assert!(heard.iter().any(|seen| (seen - heard[0]).abs() > 1.0), "{heard:?}");
}

/// Without its control loop a Service keeps the endpoints that it had.
#[test]
fn a_hung_endpointslice_controller() {
    let mut timeline = run("1.36");
    let controller = || "endpointslice-controller".to_owned();
    inject(&mut timeline, 5.0, Fault::StopController { controller: controller() });
    inject(&mut timeline, 10.0, Fault::DeletePod { pod: web(1) });
    timeline.seek(at(60.0));
    // The ReplicaSet has replaced it, and nobody has told.
    assert_eq!(pods(&timeline).iter().filter(|p| p.is_ready()).count(), 3);
    let lost = failed(&timeline, 20.0, 58.0);
    // A third of 40 a second goes to an address that nobody has.
    assert!(lost.len() > 300 && lost.iter().all(|(_, o)| *o == Outcome::TimedOut), "{}", lost.len());
    inject(&mut timeline, 60.0, Fault::StartController { controller: controller() });
    // Watch 6 ms, watch 6 ms, minSyncPeriod 1 s at most, sync 60 ms.
    timeline.seek(at(80.0));
    assert!(failed(&timeline, 61.2, 78.0).is_empty());
    let unknown = Command::Fault(Fault::StopController { controller: "no-such-controller".into() });
    assert!(timeline.execute_at(at(80.0), unknown).0.is_none());
}

/// Nothing is replaced while the controller manager is down, and then not before it has its lease.
#[test]
fn a_controller_manager_waits_for_its_lease() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopControllerManager);
    inject(&mut timeline, 10.0, Fault::DeletePod { pod: web(1) });
    timeline.seek(at(100.0));
    assert_eq!(pods(&timeline).len(), 2);
    inject(&mut timeline, 100.0, Fault::StartControllerManager);
    let replaced = first(&mut timeline, 100.0, 130.0, |t| pods(t).len() == 3);
    between(replaced, 100.0 + START.0 + LEASE, 100.0 + START.1 + LEASE + RETRY);
}

/// A node that died long ago is new to a controller manager that starts.
#[test]
fn a_new_controller_manager_gives_every_node_its_grace() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopControllerManager);
    inject(&mut timeline, 10.0, Fault::PowerOff { node: node() });
    inject(&mut timeline, 200.0, Fault::StartControllerManager);
    let found = first(&mut timeline, 200.0, 300.0, |t| ready(t, "node-b") != ConditionStatus::True);
    let leads = (200.0 + START.0 + LEASE, 200.0 + START.1 + LEASE + RETRY);
    between(found, leads.0 + GRACE, leads.1 + POLL + GRACE + POLL);
}

/// One that only hung saw the lease before: it judges by it at its first poll.
#[test]
fn a_hung_node_controller_remembers() {
    let mut timeline = run("1.36");
    let controller = || "node-lifecycle-controller".to_owned();
    inject(&mut timeline, 10.0, Fault::PowerOff { node: node() });
    // The last renewal has been seen by then.
    inject(&mut timeline, 20.0, Fault::StopController { controller: controller() });
    timeline.seek(at(200.0));
    assert_eq!(ready(&timeline, "node-b"), ConditionStatus::True);
    inject(&mut timeline, 200.0, Fault::StartController { controller: controller() });
    let found = first(&mut timeline, 200.0, 210.0, |t| ready(t, "node-b") != ConditionStatus::True);
    between(found, 200.0, 200.0 + POLL);
}

/// Pods wait without a scheduler.
#[test]
fn a_scheduler_that_is_down_binds_nothing() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopScheduler);
    scale(&mut timeline, 10.0, 5);
    timeline.seek(at(60.0));
    assert_eq!(pods(&timeline).iter().filter(|p| p.spec.node_name.is_empty()).count(), 2);
    inject(&mut timeline, 60.0, Fault::StartScheduler);
    let bound = first(&mut timeline, 60.0, 90.0, |t| pods(t).iter().all(|p| !p.spec.node_name.is_empty()));
    between(bound, 60.0 + START.0 + LEASE, 60.0 + START.1 + LEASE + RETRY);
}

/// Without a kubelet containers go on; its node is given up when its lease is too old, and what was deleted ends when it is back.
#[test]
fn containers_outlive_their_kubelet() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopKubelet { node: node() });
    let found = first(&mut timeline, 5.0, 80.0, |t| ready(t, "node-b") == ConditionStatus::Unknown);
    between(found, 5.0 + GRACE, 5.0 + GRACE + 15.0);
    // Unready Pods leave the slice, though they answer: nobody fails.
    timeline.seek(at(found + 2.0));
    assert_eq!(endpoints(&timeline), 2);
    // Evicted after 300 s, and replaced at once; the container goes on.
    timeline.seek(at(found + 310.0));
    assert_eq!(pods(&timeline).len(), 4);
    assert_eq!(endpoints(&timeline), 3);
    assert!(failed(&timeline, 0.0, found + 308.0).is_empty());
    inject(&mut timeline, 400.0, Fault::StartKubelet { node: node() });
    let back = first(&mut timeline, 400.0, 410.0, |t| ready(t, "node-b") == ConditionStatus::True);
    between(back, 400.0 + START.0, 400.0 + START.1);
    timeline.seek(at(450.0));
    assert_eq!(pods(&timeline).len(), 3);
    assert!(failed(&timeline, 0.0, 448.0).is_empty());
}

/// Nobody restarts what crashes, and nobody asks whether it is ready, until the kubelet is back.
#[test]
fn nobody_restarts_without_a_kubelet() {
    let mut timeline = run("1.36");
    let on_b = |t: &Timeline| pods(t).iter().position(|p| p.spec.node_name == "node-b").unwrap();
    let nth = 1 + on_b(&timeline) as u32;
    let name = pods(&timeline)[nth as usize - 1].metadata.name.clone();
    inject(&mut timeline, 5.0, Fault::StopKubelet { node: node() });
    let pod = PodRef::Named { namespace: "default".into(), name: name.clone() };
    inject(&mut timeline, 10.0, Fault::KillProcess { pod });
    timeline.seek(at(40.0));
    // It counts as ready, so a third of all is refused.
    assert_eq!(endpoints(&timeline), 3);
    let lost = failed(&timeline, 12.0, 38.0);
    assert!(lost.len() > 200 && lost.iter().all(|(_, o)| *o == Outcome::Refused), "{}", lost.len());
    inject(&mut timeline, 40.0, Fault::StartKubelet { node: node() });
    timeline.seek(at(60.0));
    // Start 1.6 s, relist, restart 120 ms, start-up 1 s, relist 1 s, probe each 2 s, slices and rules 1.2 s.
    assert!(failed(&timeline, 40.0 + START.1 + 0.2 + 1.0 + 1.0 + 2.0 + 1.2, 58.0).is_empty());
    let pod = pods(&timeline).into_iter().find(|p| p.metadata.name == name).unwrap();
    assert_eq!(pod.status.container_statuses[0].restart_count, 1);
}

/// KEP-4781: up to 1.34 every Pod with a readiness probe is unready after a restart of its kubelet, until it is asked again.
#[test]
fn a_restarted_kubelet_doubts_up_to_1_34() {
    for (release, doubts) in [("1.34", true), ("1.35", false)] {
        let mut timeline = run(release);
        inject(&mut timeline, 5.0, Fault::StopKubelet { node: node() });
        inject(&mut timeline, 10.0, Fault::StartKubelet { node: node() });
        let mut least = 3;
        for tenth in 100..200 {
            timeline.seek(Time::from_millis(tenth * 100));
            least = least.min(endpoints(&timeline));
        }
        assert_eq!(least, if doubts { 2 } else { 3 }, "{release}");
        // Its probe comes each 2 s.
        assert_eq!(endpoints(&timeline), 3);
    }
}

/// A node that boots while there is no API server doesn't know its Pods.
#[test]
fn a_kubelet_that_boots_alone_has_no_pods() {
    let mut timeline = run("1.36");
    inject(&mut timeline, 5.0, Fault::StopApiServer);
    inject(&mut timeline, 6.0, Fault::PowerOff { node: node() });
    inject(&mut timeline, 10.0, Fault::PowerOn { node: node() });
    timeline.seek(at(100.0));
    // A third of 40 a second.
    assert!(failed(&timeline, 60.0, 98.0).len() > 300);
    inject(&mut timeline, 100.0, Fault::StartApiServer);
    timeline.seek(at(200.0));
    // Reflector 60 s, sandbox 900 ms, start 120 ms, start-up 1 s, relists and probe 3 s, slices and rules 1.2 s.
    assert!(failed(&timeline, 100.0 + API_START.1 + REFLECTOR + 6.3, 198.0).is_empty());
    assert_eq!(endpoints(&timeline), 3);
}
