//! Nodes that die, are cut off and come back, on Kubernetes' timetable. Bounds are sums of the constants of SPEC section 5 and
//! of what this simulation adds (named below); none comes from an earlier run.

use cluster::Timeline;
use kube_api::{ConditionStatus, EndpointSlice, Node, Pod};
use lab_base::{Span, Time};
use lab_protocol::{Command, Fault};

/// A lease is renewed each 10 s, and looked at each 5 s (`--node-monitor-period`).
const RENEWAL: f64 = 10.0;
const MONITOR: f64 = 5.0;
/// `--node-monitor-grace-period` up to 1.31 and since.
const GRACE: [(&str, f64); 2] = [("1.31", 40.0), ("1.32", 50.0)];
/// `tolerationSeconds` that admission adds.
const TOLERATION: f64 = 300.0;
/// A zone's nodes are tainted at 0.1 a second; in a large one that is partly disrupted at 0.01.
const EVICTION: f64 = 1.0 / 0.1;
const SECONDARY: f64 = 1.0 / 0.01;
/// `gcCheckPeriod` of the garbage collector of Pods.
const POD_GC: f64 = 20.0;
/// A kubelet and the API server find each other again within this, then a status takes 25 ms.
const RECONNECT: f64 = 1.2 + 0.025 + 0.012;
/// When a test lets something fail.
const FAILS: f64 = 10.0;

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6).round() as u64)
}

fn scenario(release: &str, nodes: &str) -> String {
    format!(
        "apiVersion: lab/v1
kind: Cluster
spec: {{release: '{release}', nodes: {nodes}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 6
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers: [{{name: web, image: 'shop/web:1', ports: [{{containerPort: 80}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
"
    )
}

fn run(text: &str, seed: u64) -> Timeline {
    let (timeline, diagnostics, refused) = Timeline::new(text, Some(seed), ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

fn fault(timeline: &mut Timeline, t: f64, fault: Fault) {
    assert!(timeline.execute_at(at(t), Command::Fault(fault)).0.is_some());
}

fn off(node: &str) -> Fault {
    Fault::PowerOff { node: node.into() }
}

fn node(timeline: &Timeline, name: &str) -> Node {
    timeline.cluster().store().list::<Node>().find(|n| n.metadata.name == name).map(|n| (**n).clone()).expect("node")
}

fn pods_on(timeline: &Timeline, name: &str) -> Vec<Pod> {
    timeline.cluster().store().pods_on(name).map(|p| (**p).clone()).collect()
}

fn ready(node: &Node) -> ConditionStatus {
    node.condition("Ready").expect("Ready").status
}

fn taint(node: &Node, effect: &str) -> Option<Time> {
    let found = |t: &&kube_api::Taint| t.key == "node.kubernetes.io/unreachable" && t.effect == effect;
    node.spec.taints.iter().find(found).and_then(|t| t.time_added)
}

/// When a node that fails at 10 s is found, in seconds after.
fn found(timeline: &mut Timeline, name: &str) -> f64 {
    timeline.seek(at(FAILS + 80.0));
    let node = node(timeline, name);
    assert_eq!(ready(&node), ConditionStatus::Unknown);
    node.condition("Ready").expect("Ready").last_transition_time.as_secs_f64() - FAILS
}

fn between(what: &str, low: f64, t: f64, high: f64) {
    assert!(low - 1e-6 <= t && t <= high + 1e-6, "{what}: {t} is not within {low} and {high}");
}

#[test]
fn a_dead_node_is_unknown_after_its_grace_and_its_pods_go_300_seconds_later() {
    for (release, grace) in GRACE {
        for seed in 1..=25 {
            let mut timeline = run(&scenario(release, "3"), seed);
            fault(&mut timeline, FAILS, off("node-b"));
            // Last renewal at most one period before, seen at most one poll later, found at a poll.
            let after = found(&mut timeline, "node-b");
            between(&format!("{release}, seed {seed}"), grace, after, grace + RENEWAL + MONITOR);
            if seed > 3 {
                continue;
            }
            let t = FAILS + after;
            timeline.seek(at(t));
            let dead = node(&timeline, "node-b");
            let condition = dead.condition("Ready").expect("Ready").clone();
            assert_eq!(condition.reason, "NodeStatusUnknown");
            assert_eq!(condition.message, "Kubelet stopped posting node status.");
            // Both taints, and in the same pass every Pod on it is Ready=False.
            assert_eq!([taint(&dead, "NoSchedule"), taint(&dead, "NoExecute")], [Some(at(t)); 2]);
            let before = pods_on(&timeline, "node-b");
            assert!(!before.is_empty() && before.iter().all(|p| !p.is_ready() && !p.metadata.is_deleting()));
            // The slices follow within the controller's watch and write, 12 ms: not ready, not serving, not terminating.
            timeline.seek(at(t + 0.02));
            let conditions = |t: &Timeline| -> Vec<[Option<bool>; 3]> {
                let slices = t.cluster().store().list::<EndpointSlice>().cloned().collect::<Vec<_>>();
                let all = slices.iter().flat_map(|s| &s.endpoints);
                let of = all.filter(|e| e.node_name.as_deref() == Some("node-b"));
                of.map(|e| [e.conditions.ready, e.conditions.serving, e.conditions.terminating]).collect()
            };
            assert!(conditions(&timeline).iter().all(|c| *c == [Some(false), Some(false), Some(false)]));
            assert_eq!(conditions(&timeline).len(), before.len());
            // 300 s later the Pods are deleted. Nobody there says that they have ended: they stay, replaced elsewhere.
            timeline.seek(at(t + TOLERATION - 0.01));
            assert!(pods_on(&timeline, "node-b").iter().all(|p| !p.metadata.is_deleting()));
            timeline.seek(at(t + TOLERATION + 0.01));
            assert!(pods_on(&timeline, "node-b").iter().all(|p| p.metadata.is_deleting()));
            let told = |t: &Timeline| t.cluster().kube_events().filter(|e| e.reason == "TaintManagerEviction").count();
            assert_eq!(told(&timeline), before.len());
            timeline.seek(at(t + TOLERATION + 60.0));
            let terminating = pods_on(&timeline, "node-b");
            assert_eq!(terminating.len(), before.len());
            assert!(
                terminating
                    .iter()
                    .all(|p| p.condition("DisruptionTarget").is_some_and(|c| c.reason == "DeletionByTaintManager"))
            );
            assert!(conditions(&timeline).iter().all(|c| *c == [Some(false), Some(false), Some(true)]));
            let living = timeline.cluster().store().list::<Pod>().filter(|p| p.is_ready()).count();
            assert_eq!(living, 6, "all replaced, none on the dead node");
            // The node boots, in 18 s at most: its kubelet sees to it that they go, and the taints do.
            fault(&mut timeline, t + TOLERATION + 60.0, Fault::PowerOn { node: "node-b".into() });
            timeline.seek(at(t + TOLERATION + 60.0 + 18.0 + RECONNECT + 0.3));
            assert!(pods_on(&timeline, "node-b").is_empty());
            let back = node(&timeline, "node-b");
            assert!(ready(&back) == ConditionStatus::True && back.spec.taints.is_empty());
        }
    }
}

#[test]
fn a_partition_that_heals_in_time_moves_nobody() {
    let mut timeline = run(&scenario("1.36", "3"), 5);
    let before = pods_on(&timeline, "node-c");
    fault(&mut timeline, FAILS, Fault::CutNode { node: "node-c".into() });
    let t = FAILS + found(&mut timeline, "node-c");
    timeline.seek(at(t + 0.02));
    assert!(pods_on(&timeline, "node-c").iter().all(|p| !p.is_ready()));
    let heals = t + TOLERATION - 10.0;
    fault(&mut timeline, heals, Fault::JoinNode { node: "node-c".into() });
    timeline.seek(at(heals + RECONNECT));
    let after = pods_on(&timeline, "node-c");
    assert!(after.iter().all(|p| p.is_ready() && p.status.container_statuses[0].restart_count == 0));
    let uids = |pods: &[Pod]| pods.iter().map(|p| p.metadata.uid).collect::<Vec<_>>();
    assert_eq!(uids(&after), uids(&before));
    // The eviction that was planned doesn't come.
    timeline.seek(at(t + TOLERATION + 30.0));
    assert_eq!(uids(&pods_on(&timeline, "node-c")), uids(&before));
}

#[test]
fn a_partition_that_lasts_ends_with_the_old_pods_stopped() {
    let mut timeline = run(&scenario("1.36", "3"), 6);
    fault(&mut timeline, FAILS, Fault::CutNode { node: "node-c".into() });
    let t = FAILS + found(&mut timeline, "node-c");
    let heals = t + TOLERATION + 100.0;
    timeline.seek(at(heals - 0.01));
    let old = pods_on(&timeline, "node-c");
    assert!(!old.is_empty() && old.iter().all(|p| p.metadata.is_deleting()));
    fault(&mut timeline, heals, Fault::JoinNode { node: "node-c".into() });
    // The kubelet hears of the deletions; idle processes end at once, and their sandboxes within 250 ms.
    timeline.seek(at(heals + RECONNECT + 0.3));
    assert!(pods_on(&timeline, "node-c").is_empty());
    assert_eq!(timeline.cluster().store().list::<Pod>().filter(|p| p.is_ready()).count(), 6);
}

#[test]
fn a_zones_nodes_are_tainted_one_after_another() {
    let mut timeline = run(&scenario("1.36", "5"), 7);
    for name in ["node-a", "node-b"] {
        fault(&mut timeline, FAILS, off(name));
    }
    timeline.seek(at(200.0));
    let times: Vec<Time> =
        ["node-a", "node-b"].map(|n| taint(&node(&timeline, n), "NoExecute").expect("tainted")).into();
    let (first, second) = (times[0].min(times[1]), times[0].max(times[1]));
    assert_eq!(second.since(first), Span::from_micros((EVICTION * 1e6) as u64), "{times:?}");
    // A third node: 3 of 5 are more than 0.55, and the zone is small. No eviction any more.
    fault(&mut timeline, 200.0, off("node-c"));
    timeline.seek(at(600.0));
    let third = node(&timeline, "node-c");
    assert!(ready(&third) == ConditionStatus::Unknown && taint(&third, "NoSchedule").is_some());
    assert_eq!(taint(&third, "NoExecute"), None);
    assert!(pods_on(&timeline, "node-c").iter().all(|p| !p.metadata.is_deleting()));
    // Another comes back: 2 of 5 are few, and the third is tainted at once.
    fault(&mut timeline, 600.0, Fault::PowerOn { node: "node-a".into() });
    timeline.seek(at(600.0 + 18.0 + RECONNECT));
    assert!(taint(&node(&timeline, "node-c"), "NoExecute").is_some());
}

#[test]
fn in_a_large_zone_evictions_slow_down() {
    let mut timeline = run(&scenario("1.36", "60"), 8);
    let names: Vec<String> = timeline.cluster().machines().map(|m| m.name.to_string()).take(40).collect();
    for name in &names {
        fault(&mut timeline, FAILS, off(name));
    }
    timeline.seek(at(FAILS + 400.0));
    let mut times: Vec<Time> = names.iter().filter_map(|n| taint(&node(&timeline, n), "NoExecute")).collect();
    times.sort();
    // 40 of 60 are more than 0.55. Once all are found (15 s at most), each further one waits for 100 s.
    assert!((2..=6).contains(&times.len()), "{times:?}");
    let last: Vec<f64> = times.windows(2).map(|w| w[1].since(w[0]).as_secs_f64()).collect();
    assert_eq!(last.last(), Some(&SECONDARY), "{times:?}");
}

#[test]
fn when_all_zones_are_down_nobody_is_driven_out() {
    let zones = "[{name: a1, zone: a}, {name: a2, zone: a}, {name: b1, zone: b}]";
    let mut timeline = run(&scenario("1.36", zones), 9);
    // One whole zone: the others are well, so its Pods have to go, node by node.
    fault(&mut timeline, FAILS, off("a1"));
    fault(&mut timeline, FAILS, off("a2"));
    timeline.seek(at(120.0));
    assert!(["a1", "a2"].iter().all(|n| taint(&node(&timeline, n), "NoExecute").is_some()));
    // The last zone too: the taints are withdrawn, and nobody is deleted at 300 s.
    fault(&mut timeline, 120.0, off("b1"));
    timeline.seek(at(800.0));
    for name in ["a1", "a2", "b1"] {
        let node = node(&timeline, name);
        assert_eq!((taint(&node, "NoExecute"), taint(&node, "NoSchedule").is_some()), (None, true), "{name}");
        assert!(pods_on(&timeline, name).iter().all(|p| !p.metadata.is_deleting()), "{name}");
    }
    // One recovers: the others are tainted anew.
    fault(&mut timeline, 800.0, Fault::PowerOn { node: "b1".into() });
    timeline.seek(at(800.0 + 18.0 + RECONNECT + EVICTION));
    assert!(["a1", "a2"].iter().all(|n| taint(&node(&timeline, n), "NoExecute").is_some()));
}

#[test]
fn what_is_out_of_service_is_deleted_by_force() {
    let mut timeline = run(&scenario("1.36", "3"), 10);
    fault(&mut timeline, FAILS, off("node-b"));
    let t = FAILS + found(&mut timeline, "node-b") + 20.0;
    timeline.seek(at(t));
    let mut taints: Vec<String> = node(&timeline, "node-b")
        .spec
        .taints
        .iter()
        .map(|t| format!("{{\"key\": \"{}\", \"effect\": \"{}\"}}", t.key, t.effect))
        .collect();
    taints.push(
        "{\"key\": \"node.kubernetes.io/out-of-service\", \"value\": \"nodeshutdown\", \"effect\": \"NoExecute\"}"
            .into(),
    );
    let command = Command::Patch {
        kind: "Node".into(),
        namespace: String::new(),
        name: "node-b".into(),
        patch: format!("{{\"spec\": {{\"taints\": [{}]}}}}", taints.join(", ")),
    };
    assert!(timeline.execute_at(at(t), command).0.is_some());
    timeline.seek(at(t + 0.01));
    assert!(pods_on(&timeline, "node-b").iter().all(|p| p.metadata.is_deleting()), "nobody tolerates it");
    timeline.seek(at(t + POD_GC + 0.01));
    assert!(pods_on(&timeline, "node-b").is_empty());
    assert_eq!(timeline.cluster().store().list::<Pod>().count(), 6);
}

#[test]
fn a_cordoned_node_has_its_taint_however_it_was_cordoned() {
    let mut timeline = run(&scenario("1.36", "3"), 11);
    let apply =
        |text: &str| Command::Apply { yaml: format!("apiVersion: v1\nkind: Node\nmetadata: {{name: node-b}}\n{text}") };
    timeline.execute_at(at(1.0), apply("spec: {unschedulable: true}\n"));
    timeline.seek(at(1.01));
    let found: Vec<String> =
        node(&timeline, "node-b").spec.taints.iter().map(|t| format!("{}:{}", t.key, t.effect)).collect();
    assert_eq!(found, ["node.kubernetes.io/unschedulable:NoSchedule"]);
    timeline.execute_at(at(2.0), apply("spec: {unschedulable: false}\n"));
    timeline.seek(at(2.01));
    assert!(node(&timeline, "node-b").spec.taints.is_empty());
}

/// The kubelet's four conditions (SPEC section 5): its own words while it is heard, Unknown with one reason when it is lost, and
/// back. What a cloud's route controller tells isn't the kubelet's and stays.
#[test]
fn conditions_of_a_node() {
    let text = scenario("1.36", "3").replace("nodes: 3", "nodes: 3, cloud: true");
    let mut timeline = run(&text, 3);
    let seen = |timeline: &Timeline| -> Vec<(String, ConditionStatus, String, String)> {
        let key = kube_api::NamespacedName::new("", "node-b");
        let node = timeline.cluster().store().get::<Node>(&key).expect("node");
        let all = node.status.conditions.iter();
        all.map(|c| (c.type_.clone(), c.status, c.reason.clone(), c.message.clone())).collect()
    };
    let row = |type_: &str, status, reason: &str, message: &str| (type_.into(), status, reason.into(), message.into());
    let network = row("NetworkUnavailable", ConditionStatus::False, "RouteCreated", "RouteController created a route");
    let no = ConditionStatus::False;
    let well = vec![
        network.clone(),
        row("MemoryPressure", no, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        row("DiskPressure", no, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        row("PIDPressure", no, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        row("Ready", ConditionStatus::True, "KubeletReady", "kubelet is posting ready status"),
    ];
    assert_eq!(seen(&timeline), well);
    timeline.execute_at(at(FAILS), Command::Fault(Fault::CutNode { node: "node-b".into() }));
    timeline.seek(at(FAILS + 65.0));
    let lost =
        |type_| row(type_, ConditionStatus::Unknown, "NodeStatusUnknown", "Kubelet stopped posting node status.");
    let expected = [network, lost("MemoryPressure"), lost("DiskPressure"), lost("PIDPressure"), lost("Ready")];
    assert_eq!(seen(&timeline), expected);
    timeline.execute_at(at(100.0), Command::Fault(Fault::JoinNode { node: "node-b".into() }));
    timeline.seek(at(100.0 + RECONNECT));
    assert_eq!(seen(&timeline), well);
    // Without a cloud nobody tells of routes.
    assert_eq!(seen(&run(&scenario("1.36", "3"), 3)), well[1..]);
}
