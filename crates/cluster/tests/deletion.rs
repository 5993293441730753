//! Finalizers, cascades, Namespaces and Nodes that go.

use cluster::{Cluster, Timeline};
use kube_api::{ConfigMap, Deployment, Kind, Namespace, NamespacedName, Node, Pod, ReplicaSet, Service};
use lab_base::Time;
use lab_protocol::{Command, Fault, Propagation};

const WEB: &str = include_str!("data/web.yaml");

fn at(seconds: u64) -> Time {
    Time::from_secs(seconds)
}

fn key(name: &str) -> NamespacedName {
    NamespacedName::new("default", name)
}

fn start() -> Timeline {
    Timeline::new(WEB, None, ()).0
}

fn delete(kind: &str, namespace: &str, name: &str) -> Command {
    Command::Delete { kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

fn cascading(name: &str, propagation: Propagation) -> Command {
    Command::DeleteCascading { kind: "Deployment".into(), namespace: "default".into(), name: name.into(), propagation }
}

/// Deployments, ReplicaSets, Pods that aren't going.
fn counts(cluster: &Cluster) -> [usize; 3] {
    let store = cluster.store();
    let pods = store.list::<Pod>().filter(|p| !p.metadata.is_deleting()).count();
    [store.list::<Deployment>().count(), store.list::<ReplicaSet>().count(), pods]
}

#[test]
fn a_finalizer_holds_an_object() {
    let mut timeline = start();
    let yaml =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/wait]}\ndata: {a: b}\n";
    timeline.execute_at(at(1), Command::Apply { yaml: yaml.into() });
    assert_eq!(
        timeline.execute_at(at(2), delete("ConfigMap", "default", "held")).1.results,
        [r#"configmap "held" deleted"#]
    );
    let held = |t: &Timeline| t.cluster().store().get::<ConfigMap>(&key("held")).cloned();
    let meta = held(&timeline).unwrap().metadata.clone();
    assert_eq!((meta.deletion_timestamp, meta.deletion_grace_period_seconds), (Some(at(2)), Some(0)));
    let patch = |patch: &str| Command::Patch {
        kind: "ConfigMap".into(),
        namespace: "default".into(),
        name: "held".into(),
        patch: patch.into(),
    };
    assert_eq!(
        timeline.execute_at(at(3), patch("{metadata: {finalizers: [example.com/wait, example.com/more]}}")).1.results,
        [
            r#"The ConfigMap "held" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/more"}"#
        ]
    );
    timeline.execute_at(at(4), patch("{data: {a: c}}"));
    assert!(held(&timeline).is_some());
    timeline.execute_at(at(5), patch("{metadata: {finalizers: []}}"));
    assert!(held(&timeline).is_none());
}

#[test]
fn a_pod_with_a_finalizer_stops_but_stays() {
    let mut timeline = start();
    let name = timeline.cluster().store().list::<Pod>().next().unwrap().metadata.name.clone();
    let patch = |patch: &str| Command::Patch {
        kind: "Pod".into(),
        namespace: "default".into(),
        name: name.clone(),
        patch: patch.into(),
    };
    timeline.execute_at(at(1), patch("{metadata: {finalizers: [example.com/wait]}}"));
    timeline.execute_at(at(2), delete("Pod", "default", &name));
    timeline.seek(at(40));
    let pod = timeline.cluster().store().get::<Pod>(&key(&name)).unwrap();
    assert_eq!(pod.metadata.deletion_grace_period_seconds, Some(0));
    assert_eq!(counts(timeline.cluster()), [1, 1, 4]);
    timeline.execute_at(at(41), patch("{metadata: {finalizers: null}}"));
    assert!(timeline.cluster().store().get::<Pod>(&key(&name)).is_none());
}

/// `kubectl delete --cascade`: background takes the owner first, foreground last, orphan leaves the rest.
#[test]
fn cascades() {
    let mut timeline = start();
    timeline.execute_at(at(1), delete("Deployment", "default", "web"));
    assert_eq!(counts(timeline.cluster()), [0, 1, 4]);
    timeline.seek(at(2));
    assert_eq!(counts(timeline.cluster()), [0, 0, 0]);

    let mut timeline = start();
    timeline.execute_at(at(1), cascading("web", Propagation::Foreground));
    assert_eq!(counts(timeline.cluster()), [1, 1, 4]);
    timeline.seek(Time::from_millis(1_050));
    // The Pods go; what they belong to waits for them, and nobody replaces them.
    assert_eq!(counts(timeline.cluster()), [1, 1, 0]);
    assert!(timeline.cluster().store().list::<ReplicaSet>().all(|s| s.metadata.finalizers == ["foregroundDeletion"]));
    assert!(timeline.cluster().store().list::<Pod>().count() > 0);
    timeline.seek(at(40));
    assert_eq!(counts(timeline.cluster()), [0, 0, 0]);
    assert_eq!(timeline.cluster().store().list::<Pod>().count(), 0);

    let mut timeline = start();
    timeline.execute_at(at(1), cascading("web", Propagation::Orphan));
    timeline.seek(at(40));
    assert_eq!(counts(timeline.cluster()), [0, 1, 4]);
    assert!(timeline.cluster().store().list::<ReplicaSet>().all(|s| s.metadata.owner_references.is_empty()));
    let recording = timeline.recording();
    assert_eq!(recording.replay(), recording.hash);
}

const SHOP: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template: {metadata: {labels: {app: cart}}, spec: {containers: [{name: cart, image: nginx}]}}
";

#[test]
fn a_namespace_goes_with_its_content() {
    let mut timeline = start();
    timeline.execute_at(at(1), Command::Apply { yaml: SHOP.into() });
    timeline.seek(at(20));
    let shop = |t: &Timeline| t.cluster().find(Kind::Namespace, &NamespacedName::new("", "shop"));
    timeline.execute_at(at(20), delete("Namespace", "", "shop"));
    assert!(shop(&timeline).unwrap().metadata().is_deleting());
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, namespace: shop}\n";
    assert_eq!(
        timeline.execute_at(at(20), Command::Create { yaml: yaml.into() }).1.results,
        [
            r#"Error from server (Forbidden): error when creating "STDIN": configmaps "late" is forbidden: unable to create new content in namespace shop because it is being terminated"#
        ]
    );
    timeline.seek(at(22));
    assert!(shop(&timeline).is_some());
    assert_eq!(timeline.cluster().store().list::<Service>().filter(|s| s.metadata.namespace == "shop").count(), 0);
    // It looks again after half of 30 s, and one more.
    timeline.seek(at(35));
    assert!(shop(&timeline).is_some());
    timeline.seek(at(37));
    assert!(shop(&timeline).is_none());
    assert!(timeline.cluster().store().list::<Pod>().all(|p| p.metadata.namespace == "default"));
    assert_eq!(counts(timeline.cluster()), [1, 1, 4]);
}

#[test]
fn some_namespaces_stay() {
    let mut timeline = start();
    for name in ["default", "kube-system", "kube-public"] {
        assert_eq!(
            timeline.execute_at(at(1), delete("Namespace", "", name)).1.results,
            [format!(
                "Error from server (Forbidden): namespaces \"{name}\" is forbidden: this namespace may not be deleted"
            )]
        );
    }
    // The API server makes its own again.
    timeline.execute_at(at(2), delete("Namespace", "", "kube-node-lease"));
    let there =
        |t: &Timeline| t.cluster().store().get::<Namespace>(&NamespacedName::new("", "kube-node-lease")).is_some();
    timeline.seek(at(4));
    assert!(!there(&timeline));
    timeline.seek(at(70));
    assert!(there(&timeline));
}

#[test]
fn a_node_goes_and_its_pods_after_the_quarantine() {
    let mut timeline = start();
    let on_b = |t: &Timeline| t.cluster().store().pods_on("node-b").count();
    let before = on_b(&timeline);
    assert!(before > 0);
    timeline.execute_at(at(10), delete("Node", "", "node-b"));
    assert_eq!(timeline.cluster().store().list::<Node>().count(), 2);
    assert_eq!(timeline.cluster().leases().len(), 2);
    // 40 s of quarantine, and up to 20 s until the collector looks.
    timeline.seek(at(49));
    assert_eq!(on_b(&timeline), before);
    timeline.seek(at(71));
    assert_eq!(on_b(&timeline), 0);
    assert_eq!(counts(timeline.cluster()), [1, 1, 4]);
    // A kubelet registers its machine when it starts.
    timeline.execute_at(at(80), Command::Fault(Fault::PowerOff { node: "node-b".into() }));
    timeline.execute_at(at(85), Command::Fault(Fault::PowerOn { node: "node-b".into() }));
    timeline.seek(at(110));
    let node = timeline.cluster().store().get::<Node>(&NamespacedName::new("", "node-b")).cloned().unwrap();
    assert_eq!(node.condition("Ready").map(|c| c.status), Some(kube_api::ConditionStatus::True));
    let recording = timeline.recording();
    assert_eq!(recording.replay(), recording.hash);
}

/// Applies one ConfigMap with these owners.
fn owned(timeline: &mut Timeline, at_seconds: u64, name: &str, owners: &str) -> Vec<String> {
    let yaml = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, ownerReferences: [{owners}]}}\n");
    timeline.execute_at(at(at_seconds), Command::Apply { yaml }).1.results
}

/// `attemptToDeleteItem`: a dependant goes when none of its owners is there, and forgets those that aren't.
#[test]
fn owners_of_a_manifest() {
    let mut timeline = start();
    let there = |t: &Timeline, name: &str| t.cluster().store().get::<ConfigMap>(&key(name)).cloned();
    let yaml = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: logs}\nspec:\n  selector: {matchLabels: {app: logs}}\n  template:\n    metadata: {labels: {app: logs}}\n    spec: {containers: [{name: a, image: a}]}\n";
    timeline.execute_at(at(1), Command::Apply { yaml: yaml.into() });
    let uid = timeline.cluster().store().get::<kube_api::DaemonSet>(&key("logs")).unwrap().metadata.uid;
    let good = format!("{{apiVersion: apps/v1, kind: DaemonSet, name: logs, uid: {uid}, controller: true}}");
    let bad = "{apiVersion: v1, kind: ConfigMap, name: nobody, uid: 0f3c-1}";
    let job = "{apiVersion: batch/v1, kind: Job, name: nobody, uid: 0f3c-2}";
    let own = "{apiVersion: example.com/v1, kind: Widget, name: w, uid: 0f3c-3}";
    for (name, owners) in
        [("a", good.clone()), ("b", bad.into()), ("c", format!("{bad}, {good}")), ("d", job.into()), ("e", own.into())]
    {
        assert_eq!(owned(&mut timeline, 2, name, &owners), [format!("configmap/{name} created")]);
    }
    // What was written is held as it was written, until the collector has looked.
    let written = kube_api::wire::wire(&kube_api::Object::ConfigMap(there(&timeline, "b").unwrap()));
    let owner = &written.at(&["metadata", "ownerReferences"]).unwrap().items()[0];
    assert_eq!((owner.str("uid"), owner.str("apiVersion"), owner.get("foreign")), ("0f3c-1", "v1", None));
    timeline.seek(at(4));
    let left: Vec<bool> = ["a", "b", "c", "d", "e"].iter().map(|n| there(&timeline, n).is_some()).collect();
    assert_eq!(left, [true, false, true, false, true]);
    let names = |t: &Timeline, name: &str| {
        let meta = there(t, name).unwrap().metadata.clone();
        meta.owner_references.iter().map(|o| (o.name.clone(), o.uid)).collect::<Vec<_>>()
    };
    assert_eq!(names(&timeline, "c"), [("logs".to_owned(), uid)]);
    // The three-way merge goes by uid.
    assert_eq!(owned(&mut timeline, 5, "a", &good), ["configmap/a unchanged"]);
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    assert_eq!(timeline.execute_at(at(6), Command::Apply { yaml: yaml.into() }).1.results, ["configmap/a configured"]);
    assert!(names(&timeline, "a").is_empty());
    // A patch replaces the list; then the owner goes, and takes what belongs to it.
    let patch = Command::Patch {
        kind: "ConfigMap".into(),
        namespace: "default".into(),
        name: "a".into(),
        patch: format!("{{metadata: {{ownerReferences: [{good}]}}}}"),
    };
    assert!(timeline.execute_at(at(7), patch).1.results.is_empty());
    assert_eq!(names(&timeline, "a"), [("logs".to_owned(), uid)]);
    timeline.execute_at(at(8), delete("DaemonSet", "default", "logs"));
    timeline.seek(at(9));
    assert!(there(&timeline, "a").is_none() && there(&timeline, "c").is_none());
    assert_eq!(counts(timeline.cluster()), [1, 1, 4]);
}

/// `--cascade=foreground` waits for those that ask for it with `blockOwnerDeletion`.
#[test]
fn foreground_waits_for_those_that_block() {
    for (block, waits) in [(true, true), (false, false)] {
        let mut timeline = start();
        let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: top}\n";
        timeline.execute_at(at(1), Command::Apply { yaml: yaml.into() });
        let uid = timeline.cluster().store().get::<ConfigMap>(&key("top")).unwrap().metadata.uid;
        let yaml = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: low, finalizers: [example.com/wait], ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: top, uid: {uid}, blockOwnerDeletion: {block}}}]}}\n"
        );
        timeline.execute_at(at(2), Command::Apply { yaml });
        let command = Command::DeleteCascading {
            kind: "ConfigMap".into(),
            namespace: "default".into(),
            name: "top".into(),
            propagation: Propagation::Foreground,
        };
        timeline.execute_at(at(3), command);
        timeline.seek(at(5));
        assert_eq!(timeline.cluster().store().get::<ConfigMap>(&key("top")).is_some(), waits);
        let low = timeline.cluster().store().get::<ConfigMap>(&key("low")).unwrap();
        assert!(low.metadata.is_deleting());
    }
}
