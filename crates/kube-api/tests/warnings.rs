//! What is taken with a warning, and versions that are no longer served.

use kube_api::manifest::parse_as;
use kube_api::{Release, Severity};

fn warned(text: &str, release: u16) -> Vec<(String, u32, String)> {
    let parsed = parse_as(text, Release(release));
    assert!(parsed.answers.is_empty(), "{:?}", parsed.answers);
    let warnings = parsed.diagnostics.into_iter().filter(|d| d.severity == Severity::Warning && d.remark.is_none());
    warnings.map(|d| (d.path, d.span.line, d.message)).collect()
}

/// The texts of `pkg/api/service/warnings.go`; external IPs as SPEC 0 has them (KEP-5707).
#[test]
fn services() {
    let with = |spec: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  ports: [{{port: 80}}]\n{spec}")
    };
    let external = with("  externalIPs: [192.168.1.1]\n");
    assert_eq!(warned(&external, 35), []);
    assert_eq!(
        warned(&external, 36),
        [(
            "spec.externalIPs".into(),
            6,
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters".into()
        )]
    );
    assert_eq!(
        warned(&with("  externalName: example.com\n"), 30),
        [(
            "spec.externalName".into(),
            6,
            r#"spec.externalName is ignored when spec.type is not "ExternalName""#.into()
        )]
    );
    assert_eq!(warned(&with("  externalIPs: [192.168.1.1]\n  clusterIP: None\n"), 36), []);
    assert_eq!(
        warned(&with("  type: ExternalName\n  externalName: a.b\n  externalIPs: [192.168.1.1]\n"), 36),
        [("spec.externalIPs".into(), 8, r#"spec.externalIPs is ignored when spec.type is "ExternalName""#.into())]
    );
    let old = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n    service.kubernetes.io/topology-aware-hints: Auto\nspec: {ports: [{port: 80}]}\n";
    let found = warned(old, 30);
    assert_eq!(
        found[0].2,
        "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead"
    );
    assert_eq!((found.len(), found[0].1), (1, 6));
    assert_eq!(warned(&with(""), 36), []);
}

#[test]
fn versions_that_were_removed() {
    for (version, kind, now) in [
        ("policy/v1beta1", "PodDisruptionBudget", "policy/v1"),
        ("extensions/v1beta1", "Deployment", "apps/v1"),
        ("discovery.k8s.io/v1beta1", "EndpointSlice", "discovery.k8s.io/v1"),
    ] {
        let parsed =
            parse_as(&format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n"), Release::NEWEST);
        assert_eq!(parsed.answers.len(), 1);
        let answer = &parsed.answers[0];
        assert_eq!(answer.message, format!("no matches for kind \"{kind}\" in version \"{version}\""));
        assert_eq!((answer.path.as_str(), answer.hint.as_deref()), ("apiVersion", Some(now)));
    }
}

/// The texts of `pkg/api/pod/warnings.go`.
#[test]
fn pods() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a.b}\nspec:\n  nodeSelector: {beta.kubernetes.io/os: linux}\n  containers:\n  - name: a\n    image: a\n    env: [{name: X, value: '1'}, {name: X, value: '2'}, {name: X, value: $(X)3}]\n    resources: {limits: {memory: 100m}}\n    ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]\n  - {name: b, image: b, ports: [{containerPort: 80}, {containerPort: 80, hostPort: 80}]}\n";
    let messages: Vec<(u32, String)> = warned(text, 30).into_iter().map(|(_, line, message)| (line, message)).collect();
    let want = [
        (
            3,
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
        ),
        (5, "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead"),
        (
            10,
            "spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
        ),
        (
            10,
            "spec.containers[0].resources.requests[memory]: fractional byte value \"100m\" is invalid, must be an integer",
        ),
        (9, "spec.containers[0].env[1]: hides previous definition of \"X\", which may be dropped when using apply"),
        (12, "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]"),
        (12, "spec.containers[1].ports[1]: overlapping port definition with spec.containers[0].ports[0]"),
        (12, "spec.containers[1].ports[1]: overlapping port definition with spec.containers[1].ports[0]"),
    ];
    assert_eq!(messages, want.map(|(line, message)| (line, message.to_owned())));
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n      affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname}]}}\n      containers: [{name: a, image: a}]\n";
    assert_eq!(
        warned(deployment, 30).into_iter().map(|w| w.2).collect::<Vec<_>>(),
        [
            "spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod"
        ]
    );
}
