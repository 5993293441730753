//! Manifests as people write them: what is read, what is said, and where.

use kube_api::manifest::{Content, parse, parse_as, place};
use kube_api::{Kind, Object, Release, Remark, Severity, StringMap, defaults, yaml};
use serde::Deserialize;

const TUTORIAL: &str = include_str!("data/tutorial.yaml");

fn objects(text: &str) -> Vec<Object> {
    let parsed = parse(text);
    assert_eq!(parsed.answers, []);
    let object = |content| match content {
        Content::Object(object) => Some(object),
        Content::Lab { .. } => None,
    };
    parsed.manifests.into_iter().filter_map(|m| object(m.content)).collect()
}

#[test]
fn tutorials_are_taken() {
    let found = objects(TUTORIAL);
    let kinds: Vec<Kind> = found.iter().map(Object::kind).collect();
    let want = [Kind::Service, Kind::Deployment, Kind::Namespace, Kind::Node, Kind::Pod, Kind::EndpointSlice];
    assert_eq!(kinds, want);
    let Object::Deployment(deployment) = &found[1] else { panic!() };
    let container = &deployment.spec.template.spec.containers[0];
    assert_eq!(container.resources.limits["cpu"], "0.5");
    assert_eq!(found[0].metadata().namespace, "default");
    assert_eq!(found[2].metadata().namespace, "");
    assert_eq!(found[4].metadata().namespace, "dev");
}

#[test]
fn fields_without_effect_are_said_to_have_none() {
    let parsed = parse(TUTORIAL);
    let warned: Vec<&str> = parsed.diagnostics.iter().map(|d| d.path.as_str()).collect();
    assert!(parsed.diagnostics.iter().all(|d| d.severity == Severity::Warning));
    assert!(parsed.diagnostics.iter().all(|d| d.remark.as_deref() == Some(&Remark::WithoutEffect)));
    for path in
        ["spec.template.spec.volumes[0].configMap.items", "spec.template.spec.containers[0].env[1].valueFrom.fieldRef"]
    {
        assert!(warned.contains(&path), "{path}");
    }
    assert!(!warned.iter().any(|p| p.contains("replicas") || p.ends_with("readinessProbe")));
}

#[test]
fn a_value_that_changes_nothing_needs_no_word() {
    let pod = |spec: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: a, image: b}}], {spec}}}\n"
        )
    };
    let warned = |spec: &str| -> Vec<String> { parse(&pod(spec)).diagnostics.into_iter().map(|d| d.path).collect() };
    for usual in ["dnsPolicy: ClusterFirst", "hostNetwork: false", "securityContext: {}", "volumes: []", "priority: 0"]
    {
        assert_eq!(warned(usual), [""; 0], "{usual}");
    }
    for (other, path) in [
        ("dnsPolicy: None", "spec.dnsPolicy"),
        ("hostNetwork: true", "spec.hostNetwork"),
        ("securityContext: {runAsUser: 0}", "spec.securityContext"),
        ("enableServiceLinks: false", "spec.enableServiceLinks"),
    ] {
        assert_eq!(warned(other), [path], "{other}");
    }
}

#[test]
fn defaults_are_the_servers() {
    let mut found = objects(TUTORIAL);
    found.iter_mut().for_each(defaults::apply);
    let Object::Deployment(deployment) = &found[1] else { panic!() };
    let spec = &deployment.spec;
    assert_eq!((spec.revision_history_limit, spec.progress_deadline_seconds), (Some(10), Some(600)));
    assert_eq!(spec.template.spec.termination_grace_period_seconds, Some(30));
    assert_eq!(spec.template.spec.tolerations.len(), 1);
    let Object::Pod(pod) = &found[4] else { panic!() };
    assert_eq!(pod.spec.tolerations.len(), 2);
    assert_eq!(pod.spec.restart_policy, "Always");
    let Object::Namespace(namespace) = &found[2] else { panic!() };
    let label = ("kubernetes.io/metadata.name".to_string(), "dev".to_string());
    assert_eq!(namespace.metadata.labels, StringMap::from([label]));
}

/// What is underlined for the first answer to a text.
fn underlined(text: &str) -> (String, String) {
    let parsed = parse_as(text, Release(30));
    let found = &parsed.answers[0];
    let line = text.lines().nth(found.span.line as usize - 1).unwrap_or_default();
    let under = line.chars().skip(found.span.column as usize - 1).take(found.span.length as usize).collect();
    (found.message.clone(), under)
}

fn service(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: web # näme\nspec:\n{spec}")
}

#[test]
fn mistakes_stand_at_their_place() {
    for (spec, under) in [
        ("  ports:\n  - port: 70000\n", "70000"),
        ("  ports:\n  - targetPort: 80\n", "targetPort"),
        ("  ports:\n  - port: \"80\"\n", "\"80\""),
        ("  ports: [{port: 80, 'protocol': tcp}]\n", "tcp"),
        ("  ports:\n  - port: 80\n  selektor: {}\n", "selektor"),
        ("  ports: [{port: 80}]\n  selector:\n    app: x\n    tier: a b\n", "a b"),
        ("  ports: [{port: 80}]\n  selector:\n    app: x\n    a/b/c: x\n", "a/b/c"),
        ("  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.0/8, foo]\n  ports: [{port: 80}]\n", "foo"),
        ("  clusterIP: 1.2.3\n  ports: [{port: 80}]\n", "1.2.3"),
        ("  type: NodePort\n", "spec"),
        ("  ports:\n  - port: 80\n    port: 81\n", "port"),
    ] {
        let (message, seen) = underlined(&service(spec));
        assert_eq!(seen, under, "{message}");
    }
}

#[test]
fn the_editor_sees_every_mistake_at_once() {
    let text = service("  replicas: 2\n  type: nodePort\n  ports:\n  - port: http\n    target: 80\n  - port: 70000\n");
    let parsed = parse(&text);
    assert_eq!(parsed.answers.len(), 1);
    let paths: Vec<&str> = parsed.diagnostics.iter().map(|d| d.path.as_str()).collect();
    for path in ["spec.replicas", "spec.type", "spec.ports[0].port", "spec.ports[0].target", "spec.ports[1].port"] {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    let hint = |path| parsed.diagnostics.iter().find(|d| d.path == path).and_then(|d| d.hint.clone());
    assert_eq!(hint("spec.ports[0].target").as_deref(), Some("targetPort"));
}

#[test]
fn workloads_in_the_servers_words() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: -1\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: wep}}\n    spec:\n      containers:\n      - name: Web\n        ports: [{containerPort: 70000}]\n";
    let seen: Vec<String> = parse(deployment).answers.into_iter().map(|a| a.message).collect();
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    assert_eq!(
        seen,
        [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.template.metadata.labels: Invalid value: map[string]string{\"app\":\"wep\"}: `selector` does not match template `labels`",
            &format!("spec.template.spec.containers[0].name: Invalid value: \"Web\": {label}"),
            "spec.template.spec.containers[0].image: Required value",
            "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ]
    );
    let strict = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replica: 3\n";
    let want = "BadRequest: Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.replica\"";
    assert_eq!(parse(strict).answers[0].message, want);
    let quantity = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b, resources: {limits: {cpu: lots}}}]}\n";
    assert!(parse(quantity).answers[0].message.contains("quantities must match the regular expression"));
}

#[test]
fn kinds_that_are_not_here() {
    let known = parse("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\n");
    assert_eq!(known.diagnostics[0].severity, Severity::Warning);
    assert_eq!(known.answers, []);
    // Their fields are looked at all the same, where the schema has them.
    let set =
        parse("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a}\nspec: {serviceName: a, replica: 3}\n");
    let want = "BadRequest: StatefulSet in version \"v1\" cannot be handled as a StatefulSet: strict decoding error: unknown field \"spec.replica\"";
    assert_eq!(set.answers.iter().map(|a| a.message.as_str()).collect::<Vec<_>>(), [want]);
    let bytes = parse("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nbinaryData: {x: aGk=, y: oops!}\n");
    assert_eq!(
        bytes.answers[0].message,
        "BadRequest: ConfigMap in version \"v1\" cannot be handled as a ConfigMap: illegal base64 data at input byte 4"
    );
    let lease = parse("apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: a}\nspec: {renewTime: now}\n");
    assert!(
        lease.answers[0].message.ends_with(
            "parsing time \"now\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"now\" as \"2006\""
        )
    );
    let elsewhere = parse("apiVersion: v1\nkind: Deployment\nmetadata: {name: a}\n");
    assert_eq!(
        (elsewhere.diagnostics[0].path.as_str(), elsewhere.diagnostics[0].hint.as_deref()),
        ("apiVersion", Some("apps/v1"))
    );
    let unknown = parse("apiVersion: v1\nkind: Servise\nmetadata: {name: a}\n");
    assert!(unknown.answers[0].message.contains("cannot be handled as a Service: no kind \"Servise\""));
    assert_eq!(unknown.diagnostics[0].hint.as_deref(), Some("Service"));
    let foreign = parse("apiVersion: example.com/v1\nkind: Gadget\n");
    assert_eq!(foreign.answers[0].message, "no matches for kind \"Gadget\" in version \"example.com/v1\"");
}

#[test]
fn releases_differ() {
    let text = |name: &str, rest: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  ports: [{{port: 80}}]\n{rest}")
    };
    let ok = |text: &str, minor| parse_as(text, Release(minor)).answers.is_empty();
    let digit = text("1st", "");
    assert!(!ok(&digit, 35) && ok(&digit, 36));
    let near = text("web", "  trafficDistribution: PreferSameNode\n");
    assert!(!ok(&near, 33) && ok(&near, 34));
    let zeros = text("web", "  externalIPs: [010.0.0.1]\n");
    assert!(ok(&zeros, 35) && !ok(&zeros, 36));
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Client {
    rate: f64,
    #[serde(default)]
    retries: Option<u8>,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Target {
    service: String,
}

#[test]
fn kinds_of_our_own() {
    let read = |text: &str| yaml::from_tree::<Client>(&yaml::documents(text).0[0]);
    let whole = read("rate: 5\nretries: 2\ntargets: [{service: web}]\n").unwrap();
    assert_eq!(whole, Client { rate: 5.0, retries: Some(2), targets: vec![Target { service: "web".into() }] });
    for (text, path, line, column, length) in [
        ("rate: 5\nretires: 2\n", "", 2, 1, 7),
        ("rate: fast\n", "rate", 1, 7, 4),
        ("rate: 1\nretries: 300\n", "retries", 2, 10, 3),
        ("rate: 1\ntargets:\n- service: web\n- servise: web\n", "targets[1]", 4, 3, 7),
        ("rate: 1\ntargets:\n- service: 5\n", "targets[0].service", 3, 12, 1),
        ("targets: []\n", "", 1, 1, 11),
    ] {
        let found = read(text).unwrap_err();
        let span = found.span;
        assert_eq!(
            (found.path.as_str(), span.line, span.column, span.length),
            (path, line, column, length),
            "{found:?}"
        );
    }
}

#[test]
fn places_of_paths() {
    let tree = &yaml::documents("metadata:\n  annotations:\n    a.b/c: x\nspec:\n  ports:\n  - port: 80\n").0[0];
    for (path, line, column) in [
        ("spec.ports[0].port", 6, 11),
        ("spec.ports[0].name", 6, 5),
        ("spec.ports[7]", 5, 3),
        ("spec.type", 4, 1),
        ("metadata.annotations[a.b/c]", 3, 12),
        ("metadata.name", 1, 1),
        ("", 1, 1),
    ] {
        let span = place(tree, path);
        assert_eq!((span.line, span.column), (line, column), "{path}");
    }
}

#[test]
fn merge_keys() {
    let text = "base: &base {app: web, tier: a}\nother: &other {tier: b, zone: c}\nmerged:\n  tier: own\n  <<: [*base, *other]\n";
    let tree = &yaml::documents(text).0[0];
    let merged = tree.get("merged").unwrap();
    let of = |key| merged.str(key).to_string();
    assert_eq!((of("app"), of("tier"), of("zone")), ("web".into(), "own".into(), "c".into()));
    assert_eq!(merged.entries().len(), 3);
}

/// ValidateOwnerReferences (`apimachinery/pkg/api/validation/objectmeta.go`, 1.30).
#[test]
fn owners_in_the_servers_words() {
    let said = |meta: &str| {
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n{meta}");
        parse_as(&text, Release(30)).answers.into_iter().map(|a| a.message).collect::<Vec<_>>()
    };
    let path = "metadata.ownerReferences";
    assert_eq!(
        said("  ownerReferences: [{}]\n"),
        [
            format!("{path}.apiVersion: Invalid value: \"\": version must not be empty"),
            format!("{path}.kind: Invalid value: \"\": kind must not be empty"),
            format!("{path}.name: Invalid value: \"\": name must not be empty"),
            format!("{path}.uid: Invalid value: \"\": uid must not be empty"),
        ]
    );
    assert_eq!(
        said("  ownerReferences: [{apiVersion: v1, kind: Event, name: e, uid: u}]\n"),
        [format!(
            "{path}: Invalid value: v1.OwnerReference{{APIVersion:\"v1\", Kind:\"Event\", Name:\"e\", UID:\"u\", Controller:(*bool)(nil), BlockOwnerDeletion:(*bool)(nil)}}: /v1, Kind=Event is disallowed from being an owner"
        )]
    );
    let two = said(
        "  ownerReferences:\n  - {apiVersion: apps/v1, kind: A, name: a, uid: u, controller: true}\n  - {apiVersion: apps/v1, kind: B, name: b, uid: v, controller: true}\n",
    );
    assert_eq!(two.len(), 1);
    assert!(
        two[0].ends_with(
            "Only one reference can have Controller set to true. Found \"true\" in references for A/a and B/b"
        ),
        "{two:?}"
    );
    assert_eq!(
        said("  finalizers: [orphan, foregroundDeletion]\n"),
        [
            "metadata.finalizers: Invalid value: []string{\"orphan\", \"foregroundDeletion\"}: finalizer orphan and foregroundDeletion cannot be both set"
        ]
    );
}
