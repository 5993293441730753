//! What may not change, whether it comes by apply or by patch, and who came too late.

use cluster::{Applied, Timeline};
use kube_api::{Kind, NamespacedName, Pod};
use lab_base::Time;
use lab_protocol::Command;

const WEB: &str = include_str!("data/web.yaml");
const POD_FIELDS: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What was to change, in the API server's internal names.
const PORT_ADDED: &str = r#"@@ -8,7 +8,15 @@
       "Command": null,
       "Args": null,
       "WorkingDir": "",
-      "Ports": null,
+      "Ports": [
+        {
+          "Name": "",
+          "HostPort": 0,
+          "ContainerPort": 80,
+          "Protocol": "TCP",
+          "HostIP": ""
+        }
+      ],
       "EnvFrom": null,
       "Env": null,
       "Resources": {
"#;

struct Desk(Timeline);

impl Desk {
    fn new() -> Desk {
        let mut desk = Desk(Timeline::new(WEB, None, ()).0);
        for (kind, spec) in [("ReplicaSet", "replicas: 1, "), ("StatefulSet", "serviceName: x, "), ("DaemonSet", "")] {
            let applied = desk.apply(&set(kind, spec, "a"));
            assert!(applied.results[0].ends_with(" created"), "{applied:?}");
        }
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: alone}\nspec: {containers: [{name: c, image: nginx}]}\n";
        desk.apply(pod);
        desk
    }
    fn run(&mut self, command: Command) -> Applied {
        self.0.execute_at(Time::from_secs(1), command).1
    }
    fn apply(&mut self, yaml: &str) -> Applied {
        self.run(Command::Apply { yaml: yaml.into() })
    }
    fn patch(&mut self, kind: &str, name: &str, patch: &str) -> Vec<String> {
        let (kind, namespace, name) = (kind.into(), "default".into(), name.into());
        self.run(Command::Patch { kind, namespace, name, patch: patch.into() }).results
    }
    fn version(&self, kind: Kind, name: &str) -> u64 {
        let found = self.0.cluster().find(kind, &NamespacedName::new("default", name));
        found.map_or(0, |o| o.metadata().resource_version)
    }
}

fn set(kind: &str, spec: &str, app: &str) -> String {
    let template =
        format!("{{metadata: {{labels: {{app: {app}}}}}, spec: {{containers: [{{name: c, image: nginx}}]}}}}");
    format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{{spec}selector: {{matchLabels: {{app: {app}}}}}, template: {template}}}\n"
    )
}

fn complaint(applied: &Applied) -> String {
    applied.diagnostics.iter().find(|d| d.error).map(|d| d.message.clone()).unwrap_or_default()
}

#[test]
fn selectors_are_for_ever() {
    let mut desk = Desk::new();
    let fixed = r#"spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"b"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"#;
    for (kind, spec) in [("ReplicaSet", "replicas: 1, "), ("DaemonSet", "")] {
        let wanted = format!("The {kind} \"x\" is invalid: {fixed}");
        assert_eq!(complaint(&desk.apply(&set(kind, spec, "b"))), wanted);
        let patch = "{spec: {selector: {matchLabels: {app: b}}, template: {metadata: {labels: {app: b}}}}}";
        assert_eq!(desk.patch(kind, "x", patch), [wanted]);
    }
    let web =
        WEB.split("---").find(|d| d.contains("kind: Deployment")).unwrap_or_default().replace("app: web", "app: b");
    assert_eq!(complaint(&desk.apply(&web)), format!("The Deployment \"web\" is invalid: {fixed}"));
    assert!(
        complaint(&desk.apply(&set("StatefulSet", "serviceName: x, ", "b")))
            .contains("updates to statefulset spec for fields other than")
    );
}

#[test]
fn little_of_a_pod_may_change() {
    let mut desk = Desk::new();
    let wanted = |what: &str| [format!("The Pod \"alone\" is invalid: {what}")];
    assert_eq!(
        desk.patch("Pod", "alone", "{spec: {containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]}}"),
        wanted(&format!("spec: Forbidden: {POD_FIELDS}\n{PORT_ADDED}"))
    );
    assert_eq!(
        desk.patch("Pod", "alone", "{spec: {containers: [{name: c, image: nginx}, {name: d, image: nginx}]}}"),
        wanted("spec.containers: Forbidden: pod updates may not add or remove containers")
    );
    assert_eq!(desk.patch("Pod", "alone", "{spec: {tolerations: [{key: a, operator: Exists}]}}"), Vec::<String>::new());
    assert_eq!(
        desk.patch("Pod", "alone", "{spec: {tolerations: [{key: b, operator: Exists}]}}"),
        wanted("spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds")
    );
    assert_eq!(
        desk.patch("Pod", "alone", "{spec: {containers: [{name: c, image: \"nginx:2\"}]}}"),
        Vec::<String>::new()
    );
    let pod = desk.0.cluster().store().get::<Pod>(&NamespacedName::new("default", "alone")).cloned();
    assert_eq!(pod.map(|p| p.spec.containers[0].image.clone()).as_deref(), Some("nginx:2"));
}

#[test]
fn who_saw_an_older_version_comes_too_late() {
    let mut desk = Desk::new();
    let before = desk.version(Kind::Deployment, "web");
    let scale = |version: u64, replicas: u32| {
        format!("{{metadata: {{resourceVersion: \"{version}\"}}, spec: {{replicas: {replicas}}}}}")
    };
    assert_eq!(desk.patch("Deployment", "web", &scale(before, 3)), Vec::<String>::new());
    assert_eq!(
        desk.patch("Deployment", "web", &scale(before, 2)),
        [
            "Error from server (Conflict): Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again"
        ]
    );
    assert!(desk.version(Kind::Deployment, "web") > before);
    let service = |version: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web, resourceVersion: \"{version}\"}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}\n"
        )
    };
    assert_eq!(
        complaint(&desk.apply(&service("1"))),
        "Error from server (Conflict): Operation cannot be fulfilled on services \"web\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let now = desk.version(Kind::Service, "web").to_string();
    assert_eq!(desk.apply(&service(&now)).results, ["service/web unchanged"]);
    let new = service("1").replace("name: web", "name: new");
    assert_eq!(
        desk.run(Command::Create { yaml: new }).results,
        ["Error from server (BadRequest): resourceVersion should not be set on objects to be created"]
    );
}

/// Kinds that count generations do so by what is wanted, and their controllers say which one they have seen.
#[test]
fn generations() {
    let mut desk = Desk::new();
    let generation = |desk: &Desk, kind| {
        desk.0.cluster().find(kind, &NamespacedName::new("default", "x")).map(|o| o.metadata().generation)
    };
    for kind in [Kind::ReplicaSet, Kind::StatefulSet, Kind::DaemonSet] {
        assert_eq!(generation(&desk, kind), Some(1), "{kind:?}");
        desk.patch(kind.name(), "x", "{metadata: {labels: {a: b}}}");
        assert_eq!(generation(&desk, kind), Some(1), "{kind:?}");
        desk.patch(kind.name(), "x", "{spec: {minReadySeconds: 1}}");
        assert_eq!(generation(&desk, kind), Some(2), "{kind:?}");
    }
    desk.0.seek(Time::from_secs(3));
    let set = desk.0.cluster().store().get::<kube_api::ReplicaSet>(&NamespacedName::new("default", "x")).cloned();
    assert_eq!(set.map(|s| s.status.observed_generation), Some(2));
}
