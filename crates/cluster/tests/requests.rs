//! Requests that kubectl makes besides apply, and the events that components write.

use cluster::{Cluster, Timeline};
use kube_api::{Deployment, NamespacedName, Node, Object, Pod};
use lab_base::Time;
use lab_protocol::Command;

const WEB: &str = include_str!("data/web.yaml");

fn at(seconds: u64) -> Time {
    Time::from_secs(seconds)
}

fn patch(kind: &str, name: &str, patch: &str) -> Command {
    let namespace = if kind == "Node" { "" } else { "default" };
    Command::Patch { kind: kind.into(), namespace: namespace.into(), name: name.into(), patch: patch.into() }
}

fn deployment(cluster: &Cluster) -> Deployment {
    let found = cluster.store().get::<Deployment>(&NamespacedName::new("default", "web"));
    found.map(|d| (**d).clone()).unwrap_or_default()
}

#[test]
fn a_patch_scales_and_replays() {
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    let (recorded, _) = timeline.execute_at(at(5), patch("Deployment", "web", "{spec: {replicas: 2}}"));
    assert!(recorded.is_some());
    timeline.seek(at(60));
    assert_eq!(timeline.cluster().store().list::<Pod>().count(), 2);
    let recording = timeline.recording();
    assert_eq!(recording.replay(), recording.hash);
    // The same once more changes nothing, so nothing is recorded.
    let (recorded, _) = timeline.execute_at(at(61), patch("Deployment", "web", "{spec: {replicas: 2}}"));
    assert_eq!(recorded, None);
}

#[test]
fn a_patch_is_validated_and_keeps_what_the_server_gave() {
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    let before = deployment(timeline.cluster());
    let (_, applied) = timeline.execute_at(at(1), patch("Deployment", "web", "{spec: {replicas: -1}}"));
    assert_eq!(
        applied.results,
        [r#"The Deployment "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#]
    );
    timeline.execute_at(at(2), patch("Deployment", "web", "{metadata: {labels: {tier: front}, annotations: {a: b}}}"));
    let after = deployment(timeline.cluster());
    assert_eq!((after.metadata.uid, after.metadata.generation), (before.metadata.uid, before.metadata.generation));
    assert_eq!((&after.spec, &after.status), (&before.spec, &before.status));
    assert_eq!(after.metadata.labels.get("tier").map(String::as_str), Some("front"));
    timeline.execute_at(at(3), patch("Deployment", "web", "{metadata: {labels: {tier: null}}}"));
    assert!(deployment(timeline.cluster()).metadata.labels.is_empty());
    let (_, applied) = timeline.execute_at(at(4), patch("Service", "nope", "{}"));
    assert_eq!(applied.results, [r#"Error from server (NotFound): services "nope" not found"#]);
}

#[test]
fn a_cordoned_node_has_the_taint_and_gets_no_pods() {
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    timeline.execute_at(at(1), patch("Node", "node-c", "{spec: {unschedulable: true}}"));
    let node = |t: &Timeline| t.cluster().store().get::<Node>(&NamespacedName::new("", "node-c")).unwrap().clone();
    let key = |n: &Node| n.spec.taints.iter().map(|t| t.key.clone()).collect::<Vec<_>>();
    assert_eq!(key(&node(&timeline)), ["node.kubernetes.io/unschedulable"]);
    timeline.execute_at(at(2), patch("Deployment", "web", "{spec: {replicas: 9}}"));
    let before = timeline.cluster().store().pods_on("node-c").count();
    timeline.seek(at(30));
    assert_eq!(timeline.cluster().store().pods_on("node-c").count(), before);
    timeline.execute_at(at(31), patch("Node", "node-c", "{spec: {unschedulable: null}}"));
    assert!(node(&timeline).spec.taints.is_empty() && !node(&timeline).spec.unschedulable);
}

#[test]
fn create_refuses_what_is_there() {
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    let yaml = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}";
    let (recorded, applied) = timeline.execute_at(at(1), Command::Create { yaml: yaml.into() });
    assert_eq!(recorded, None);
    assert_eq!(applied.results, [r#"Error from server (AlreadyExists): services "web" already exists"#]);
    let (recorded, applied) = timeline.execute_at(at(1), Command::Create { yaml: yaml.replace("web", "x") });
    assert!(recorded.is_some() && applied.results == ["service/x created"]);
}

#[test]
fn a_forced_deletion_takes_the_object_at_once() {
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    let name = timeline.cluster().store().list::<Pod>().next().unwrap().metadata.name.clone();
    let delete = Command::DeletePod { namespace: "default".into(), name: name.clone(), grace_seconds: 0 };
    timeline.execute_at(at(1), delete);
    assert!(timeline.cluster().store().get::<Pod>(&NamespacedName::new("default", name)).is_none());
    // A ReplicaSet takes away only what is too many.
    let reasons = |t: &Timeline| t.cluster().kube_events().filter(|e| e.reason == "SuccessfulDelete").count();
    timeline.seek(at(20));
    assert_eq!(reasons(&timeline), 0);
    timeline.execute_at(at(21), patch("Deployment", "web", "{spec: {replicas: 1}}"));
    timeline.seek(at(40));
    assert_eq!(reasons(&timeline), 3);
}

/// Texts of SPEC sections 3 to 5.
#[test]
fn components_tell_what_they_do() {
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    let pod = timeline.cluster().store().list::<Pod>().next().unwrap().metadata.clone();
    let fault = lab_protocol::Fault::FailReadiness {
        pod: lab_protocol::PodRef::Named { namespace: "default".into(), name: pod.name.clone() },
    };
    timeline.execute_at(at(5), Command::Fault(fault));
    timeline.seek(at(30));
    let find =
        |t: &Timeline, reason: &str| t.cluster().kube_events().find(|e| e.name == pod.name && e.reason == reason);
    let event = find(&timeline, "Unhealthy").unwrap();
    assert_eq!(event.message, "Readiness probe failed: HTTP probe failed with statuscode: 503");
    // Each 2 s from 5 s on.
    assert!((11..=14).contains(&event.count), "{}", event.count);
    assert!(find(&timeline, "Scheduled").unwrap().message.starts_with("Successfully assigned default/web-"));
    let off = lab_protocol::Fault::PowerOff { node: "node-b".into() };
    timeline.execute_at(at(31), Command::Fault(off));
    timeline.seek(at(100));
    let node = timeline.cluster().kube_events().find(|e| e.kind == "Node" && e.reason == "NodeNotReady").unwrap();
    assert_eq!((node.message.as_str(), node.component), ("Node node-b status is now: NodeNotReady", "node-controller"));
    assert!(matches!(
        timeline.cluster().find(kube_api::Kind::Node, &NamespacedName::new("", "node-b")),
        Some(Object::Node(_))
    ));
}

/// A request of one's own travels like any other, is counted like any other, and nobody stays behind.
#[test]
fn a_single_request_travels() {
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    let clients = timeline.cluster().clients().count();
    let send = |url: &str| Command::Send {
        node: "node-b".into(),
        namespace: "default".into(),
        pod: String::new(),
        url: url.into(),
        timeout: lab_base::Span::from_secs(2),
    };
    let ip = timeline.cluster().store().list::<kube_api::Service>().find(|s| s.metadata.name == "web");
    let ip = ip.map(|s| s.spec.cluster_ip.clone()).unwrap_or_default();
    for (url, want) in [
        (format!("http://{ip}/"), lab_protocol::Outcome::Answered),
        (format!("http://{ip}:81/"), lab_protocol::Outcome::TimedOut),
    ] {
        let now = timeline.cluster().now();
        let (recorded, applied) = timeline.execute_at(now, send(&url));
        assert!(recorded.is_some());
        let number: u64 = applied.results[0].parse().unwrap_or_default();
        timeline.seek(now + lab_base::Span::from_secs(5));
        let found = timeline.cluster().facts().requests().iter().find(|r| r.client == number).map(|r| r.outcome);
        assert_eq!(found, Some(want), "{url}");
    }
    assert_eq!(timeline.cluster().clients().count(), clients);
    let recording = timeline.recording();
    assert_eq!(recording.replay(), recording.hash);
}
