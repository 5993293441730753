//! Where Pods go, and what Kubernetes says of those that go nowhere (`pkg/scheduler`). Nodes have 4 CPUs, 8 GiB and room for
//! 110 Pods.

use cluster::Timeline;
use kube_api::{ConditionStatus, Pod};
use lab_base::Time;
use lab_protocol::Command;
use std::collections::BTreeMap;

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6).round() as u64)
}

fn run(cluster: &str) -> Timeline {
    let text = format!("apiVersion: lab/v1\nkind: Cluster\nspec: {{{cluster}}}\n");
    let (timeline, diagnostics, refused) = Timeline::new(&text, None, ());
    assert!(diagnostics.is_empty() && refused.is_empty(), "{diagnostics:?} {refused:?}");
    timeline
}

/// Three nodes, two of them in zone a.
const ZONES: &str = "nodes: [{name: a1, zone: a}, {name: a2, zone: a}, {name: b1, zone: b}]";

fn apply(timeline: &mut Timeline, t: f64, yaml: &str) {
    let (_, applied) = timeline.execute_at(at(t), Command::Apply { yaml: yaml.into() });
    assert!(applied.diagnostics.iter().all(|d| !d.error), "{:?}", applied.diagnostics);
}

fn pod(name: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec: {{{spec}}}\n---\n")
}

fn requests(cpu: &str, memory: &str) -> String {
    format!(
        "containers: [{{name: web, image: 'shop/web:1', resources: {{requests: {{cpu: {cpu}, memory: {memory}}}}}}}]"
    )
}

const PLAIN: &str = "containers: [{name: web, image: 'shop/web:1'}]";

fn deployment(replicas: u32, spec: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec: {{replicas: {replicas}, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{{spec}}}}}}}\n---\n"
    )
}

/// Where each Pod is; empty: nowhere.
fn places(timeline: &Timeline) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for pod in timeline.cluster().store().list::<Pod>() {
        *places.entry(pod.spec.node_name.clone()).or_default() += 1;
    }
    places
}

fn node_of(timeline: &Timeline, name: &str) -> String {
    let pod = timeline.cluster().store().list::<Pod>().find(|p| p.metadata.name == name).expect("pod");
    pod.spec.node_name.clone()
}

/// What the condition of the Pods that are nowhere says.
fn complaint(timeline: &Timeline) -> String {
    let pods: Vec<_> = timeline.cluster().store().list::<Pod>().filter(|p| p.spec.node_name.is_empty()).collect();
    let condition = pods.first().expect("one waits").condition("PodScheduled").expect("PodScheduled").clone();
    assert_eq!((condition.status, condition.reason.as_str()), (ConditionStatus::False, "Unschedulable"));
    condition.message
}

fn even(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

#[test]
fn requests_have_to_fit() {
    let mut timeline = run("nodes: 3");
    apply(&mut timeline, 1.0, &deployment(4, &requests("'3'", "1Gi")));
    timeline.seek(at(10.0));
    assert_eq!(places(&timeline), even(&[("", 1), ("node-a", 1), ("node-b", 1), ("node-c", 1)]));
    assert_eq!(
        complaint(&timeline),
        "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
    );
    // Next is the Deployment's progressDeadlineSeconds, 600: waiting is no event.
    assert!(timeline.cluster().next_event_at().is_none_or(|next| next >= at(600.0)));
    // 1 CPU and 7 GiB are left on each node.
    apply(&mut timeline, 10.0, &pod("fits", &requests("'1'", "7Gi")));
    apply(&mut timeline, 10.0, &pod("too-big", &requests("100m", "7.5Gi")));
    timeline.seek(at(20.0));
    assert!(!node_of(&timeline, "fits").is_empty() && node_of(&timeline, "too-big").is_empty());
    // Somebody leaves: the wait ends, after the back-off at most 10 s later.
    let (_, applied) = timeline.execute_at(at(20.0), Command::Apply { yaml: deployment(3, &requests("'3'", "1Gi")) });
    assert!(applied.changed);
    timeline.seek(at(22.0));
    assert!(node_of(&timeline, "too-big").is_empty(), "the Pod that went had no node");
    timeline.execute_at(
        at(22.0),
        Command::DeletePod { namespace: "default".into(), name: "fits".into(), grace_seconds: 0 },
    );
    timeline.seek(at(33.0));
    assert!(node_of(&timeline, "too-big").is_empty(), "7.5 GiB don't fit beside 1 GiB anywhere");
    apply(&mut timeline, 33.0, &deployment(2, &requests("'3'", "1Gi")));
    timeline.seek(at(33.0 + 10.0 + 1.0));
    assert!(!node_of(&timeline, "too-big").is_empty(), "an empty node has room for it");
}

#[test]
fn what_no_node_could_hold() {
    for (release, helps) in
        [("1.30", "No preemption victims found for incoming pod"), ("1.36", "Preemption is not helpful for scheduling")]
    {
        let mut timeline = run(&format!("nodes: 3, release: '{release}'"));
        apply(&mut timeline, 1.0, &pod("big", &requests("'5'", "9Gi")));
        timeline.seek(at(3.0));
        let want = format!(
            "0/3 nodes are available: 3 Insufficient cpu, 3 Insufficient memory. preemption: 0/3 nodes are available: 3 {helps}."
        );
        assert_eq!(complaint(&timeline), want);
        let events: Vec<_> = timeline.cluster().kube_events().filter(|e| e.reason == "FailedScheduling").collect();
        assert_eq!((events.len(), &events[0].message, events[0].count), (1, &want, 1));
    }
}

#[test]
fn reasons_are_counted_by_node() {
    let mut timeline = run("nodes: 3");
    apply(&mut timeline, 1.0, "apiVersion: v1\nkind: Node\nmetadata: {name: node-b}\nspec: {unschedulable: true}\n");
    apply(&mut timeline, 1.0, &deployment(3, &requests("'3'", "1Gi")));
    timeline.seek(at(10.0));
    assert_eq!(places(&timeline), even(&[("", 1), ("node-a", 1), ("node-c", 1)]));
    assert_eq!(
        complaint(&timeline),
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
    );
    // Uncordoned: the next try is at once, its back-off of 1 s is long over.
    apply(&mut timeline, 10.0, "apiVersion: v1\nkind: Node\nmetadata: {name: node-b}\nspec: {unschedulable: false}\n");
    timeline.seek(at(10.1));
    assert_eq!(places(&timeline), even(&[("node-a", 1), ("node-b", 1), ("node-c", 1)]));
}

#[test]
fn taints_selectors_and_node_affinity() {
    let mut timeline = run(ZONES);
    apply(
        &mut timeline,
        1.0,
        "apiVersion: v1\nkind: Node\nmetadata: {name: b1, labels: {disk: ssd, cores: '8'}}\nspec: {taints: [{key: gpu, value: 'yes', effect: NoSchedule}]}\n",
    );
    let affinity = |terms: &str| {
        format!(
            "{PLAIN}, affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{terms}]}}}}}}"
        )
    };
    let tolerates = "tolerations: [{key: gpu, operator: Equal, value: 'yes'}]";
    for (name, spec, node) in [
        ("selector", format!("{PLAIN}, nodeSelector: {{disk: ssd}}, {tolerates}"), Some("b1")),
        ("untolerated", format!("{PLAIN}, nodeSelector: {{disk: ssd}}"), None),
        (
            "in",
            format!(
                "{}, {tolerates}",
                affinity("{matchExpressions: [{key: disk, operator: In, values: [ssd, nvme]}]}")
            ),
            Some("b1"),
        ),
        (
            "gt",
            format!("{}, {tolerates}", affinity("{matchExpressions: [{key: cores, operator: Gt, values: ['4']}]}")),
            Some("b1"),
        ),
        (
            "gt-more",
            format!("{}, {tolerates}", affinity("{matchExpressions: [{key: cores, operator: Gt, values: ['8']}]}")),
            None,
        ),
        (
            "or",
            affinity(
                "{matchExpressions: [{key: none, operator: Exists}]}, {matchFields: [{key: metadata.name, operator: In, values: [a2]}]}",
            ),
            Some("a2"),
        ),
        (
            "not",
            affinity("{matchExpressions: [{key: topology.kubernetes.io/zone, operator: NotIn, values: [a]}]}"),
            None,
        ),
    ] {
        apply(&mut timeline, 2.0, &pod(name, &spec));
        timeline.seek(at(3.0));
        assert_eq!(node_of(&timeline, name), node.unwrap_or_default(), "{name}");
    }
    assert_eq!(
        complaint(&timeline),
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
    let untolerated =
        timeline.cluster().store().list::<Pod>().find(|p| p.metadata.name == "untolerated").cloned().expect("pod");
    assert_eq!(
        untolerated.condition("PodScheduled").expect("PodScheduled").message,
        "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
}

#[test]
fn wishes() {
    let mut timeline = run(ZONES);
    apply(
        &mut timeline,
        1.0,
        "apiVersion: v1\nkind: Node\nmetadata: {name: a1, labels: {disk: ssd}}\nspec: {taints: [{key: old, effect: PreferNoSchedule}]}\n",
    );
    apply(&mut timeline, 1.0, &pod("anchor", &format!("{PLAIN}, nodeSelector: {{topology.kubernetes.io/zone: b}}")));
    timeline.seek(at(2.0));
    let prefers = |what: &str, rule: &str| {
        format!("{PLAIN}, affinity: {{{what}: {{preferredDuringSchedulingIgnoredDuringExecution: [{rule}]}}}}")
    };
    let near = "{weight: 10, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: anchor}}}}";
    apply(
        &mut timeline,
        2.0,
        &pod(
            "fast",
            &format!(
                "{}, tolerations: [{{operator: Exists}}]",
                prefers(
                    "nodeAffinity",
                    "{weight: 1, preference: {matchExpressions: [{key: disk, operator: In, values: [ssd]}]}}"
                )
            ),
        ),
    );
    apply(&mut timeline, 2.0, &pod("near", &prefers("podAffinity", near)));
    apply(&mut timeline, 2.0, &pod("apart", &prefers("podAntiAffinity", near)));
    timeline.seek(at(3.0));
    assert_eq!(["fast", "near", "apart"].map(|name| node_of(&timeline, name)), ["a1", "b1", "a2"]);
}

#[test]
fn spread_constraints_that_must_hold() {
    let spread = |more: &str| {
        format!(
            "{PLAIN}, topologySpreadConstraints: [{{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{app: web}}}}{more}}}]"
        )
    };
    let mut timeline = run(ZONES);
    apply(&mut timeline, 1.0, &deployment(6, &spread("")));
    timeline.seek(at(10.0));
    let found = places(&timeline);
    assert_eq!((found["a1"] + found["a2"], found["b1"]), (3, 3), "{found:?}");
    // Zone b is closed: zone a may be ahead by one.
    let mut timeline = run(ZONES);
    apply(&mut timeline, 1.0, "apiVersion: v1\nkind: Node\nmetadata: {name: b1}\nspec: {unschedulable: true}\n");
    apply(&mut timeline, 1.0, &deployment(4, &spread("")));
    timeline.seek(at(10.0));
    assert_eq!(places(&timeline)[""], 3);
    assert_eq!(
        complaint(&timeline),
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread constraints. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
    );
    // Where tainted nodes don't count, there is no zone b.
    let mut timeline = run(ZONES);
    apply(&mut timeline, 1.0, "apiVersion: v1\nkind: Node\nmetadata: {name: b1}\nspec: {unschedulable: true}\n");
    apply(&mut timeline, 1.0, &deployment(4, &spread(", nodeTaintsPolicy: Honor")));
    timeline.seek(at(10.0));
    assert_eq!(places(&timeline), even(&[("a1", 2), ("a2", 2)]));
    // With three domains asked for, two count as if a third were empty: one Pod each.
    let mut timeline = run(ZONES);
    apply(&mut timeline, 1.0, &deployment(4, &spread(", minDomains: 3")));
    timeline.seek(at(10.0));
    assert_eq!(places(&timeline)[""], 2);
    // A node without the label is in no domain.
    let mut timeline = run("nodes: 2");
    apply(&mut timeline, 1.0, &deployment(1, &spread("")));
    timeline.seek(at(10.0));
    assert_eq!(
        complaint(&timeline),
        "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints (missing required label). preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    );
}

#[test]
fn spread_constraints_that_should_hold() {
    let mut timeline =
        run("nodes: [{name: a1, zone: a}, {name: a2, zone: a}, {name: a3, zone: a}, {name: b1, zone: b}]");
    let spec = format!(
        "{PLAIN}, topologySpreadConstraints: [{{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {{matchLabels: {{app: web}}}}}}]"
    );
    apply(&mut timeline, 1.0, &deployment(6, &spec));
    timeline.seek(at(10.0));
    assert_eq!(places(&timeline)["b1"], 3);
    // Without any of its own the default constraints spread over nodes first.
    let mut timeline = run(ZONES);
    apply(&mut timeline, 1.0, &deployment(6, PLAIN));
    timeline.seek(at(10.0));
    assert_eq!(places(&timeline), even(&[("a1", 2), ("a2", 2), ("b1", 2)]));
}

#[test]
fn pods_apart_and_together() {
    let term = |app: &str, key: &str| {
        format!(
            "requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: {key}, labelSelector: {{matchLabels: {{app: {app}}}}}}}]"
        )
    };
    let host = "kubernetes.io/hostname";
    let mut timeline = run(ZONES);
    apply(
        &mut timeline,
        1.0,
        &deployment(4, &format!("{PLAIN}, affinity: {{podAntiAffinity: {{{}}}}}", term("web", host))),
    );
    timeline.seek(at(5.0));
    assert_eq!(places(&timeline), even(&[("", 1), ("a1", 1), ("a2", 1), ("b1", 1)]));
    assert_eq!(
        complaint(&timeline),
        "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
    );
    // Who is not wanted by those who are there, though it doesn't mind them itself.
    let mut timeline = run(ZONES);
    apply(
        &mut timeline,
        1.0,
        &pod(
            "loner",
            &format!("{PLAIN}, affinity: {{podAntiAffinity: {{{}}}}}", term("noisy", "topology.kubernetes.io/zone")),
        ),
    );
    timeline.seek(at(2.0));
    let zone = |t: &Timeline, name: &str| node_of(t, name).chars().next();
    apply(&mut timeline, 2.0, &pod("noisy", PLAIN));
    timeline.seek(at(3.0));
    assert!(zone(&timeline, "noisy").is_some() && zone(&timeline, "noisy") != zone(&timeline, "loner"));
    // Together: the first of a group goes anywhere, the others to its zone; who wants what isn't there waits.
    let mut timeline = run(ZONES);
    apply(
        &mut timeline,
        1.0,
        &deployment(
            4,
            &format!("{PLAIN}, affinity: {{podAffinity: {{{}}}}}", term("web", "topology.kubernetes.io/zone")),
        ),
    );
    apply(
        &mut timeline,
        1.0,
        &pod("late", &format!("{PLAIN}, affinity: {{podAffinity: {{{}}}}}", term("friend", host))),
    );
    timeline.seek(at(5.0));
    let pods = timeline.cluster().store().list::<Pod>().filter(|p| !p.spec.node_name.is_empty());
    let zones: std::collections::BTreeSet<_> = pods.map(|p| p.spec.node_name.chars().next()).collect();
    assert_eq!(zones.len(), 1);
    assert_eq!(
        complaint(&timeline),
        "0/3 nodes are available: 3 node(s) didn't match pod affinity rules. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
    apply(&mut timeline, 5.0, &pod("friend", PLAIN));
    timeline.seek(at(5.1));
    assert_eq!(node_of(&timeline, "late"), node_of(&timeline, "friend"));
}

#[test]
fn a_node_holds_110_pods() {
    let mut timeline = run("nodes: 1");
    apply(&mut timeline, 1.0, &deployment(111, PLAIN));
    timeline.seek(at(20.0));
    assert_eq!(places(&timeline), even(&[("", 1), ("node-a", 110)]));
    assert_eq!(
        complaint(&timeline),
        "0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    );
}

#[test]
fn init_containers_and_pods_that_have_ended() {
    let container = |name: &str, cpu: &str, more: &str| {
        format!("{{name: {name}, image: 'shop/web:1', resources: {{requests: {{cpu: '{cpu}'}}}}{more}}}")
    };
    let mut timeline = run("nodes: 1");
    // max(1 + sidecar 1, sidecar 1 + init 2) = 3 CPUs: one more fits, two don't.
    let spec = format!(
        "initContainers: [{}, {}], containers: [{}]",
        container("side", "1", ", restartPolicy: Always"),
        container("init", "2", ", command: [sleep, '1']"),
        container("web", "1", "")
    );
    apply(&mut timeline, 1.0, &pod("three", &spec));
    timeline.seek(at(2.0));
    apply(&mut timeline, 2.0, &pod("two", &requests("'2'", "1Mi")));
    apply(
        &mut timeline,
        2.0,
        &pod(
            "one",
            &format!("restartPolicy: Never, containers: [{}]", container("web", "1", ", command: [sleep, '20']")),
        ),
    );
    timeline.seek(at(5.0));
    assert_eq!(["three", "two", "one"].map(|name| node_of(&timeline, name).is_empty()), [false, true, false]);
    // It asks for 4 of 4 CPUs when the one that ended after 20 s, and then the big one, have gone.
    timeline.seek(at(40.0));
    assert!(node_of(&timeline, "two").is_empty(), "one CPU is free");
    timeline.execute_at(
        at(40.0),
        Command::DeletePod { namespace: "default".into(), name: "three".into(), grace_seconds: 0 },
    );
    timeline.seek(at(51.0));
    assert_eq!(node_of(&timeline, "two"), "node-a");
}
