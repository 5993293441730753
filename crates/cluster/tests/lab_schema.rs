//! The editor offers exactly the fields that a scenario's own kinds have.

use cluster::Scenario;
use kube_api::assist::{Reference, fields_of};
use kube_api::manifest::{Content, Manifest, Parsed};
use kube_api::yaml;

#[test]
fn the_editor_knows_the_fields_of_our_own_kinds() {
    for (type_, kind, spec) in [
        ("lab.ClusterSpec", "Cluster", "{zz: 1}"),
        ("lab.Node", "Cluster", "{nodes: [{name: a, zz: 1}]}"),
        ("lab.Proxy", "Cluster", "{kubeProxy: {zz: 1}}"),
        ("lab.LoadBalancer", "Cluster", "{loadBalancer: {zz: 1}}"),
        ("lab.Dns", "Cluster", "{dns: {zz: 1}}"),
        ("lab.ClientSpec", "Client", "{zz: 1}"),
        ("lab.RateStep", "Client", "{rate: [{at: 0s, rate: 1, zz: 1}]}"),
        ("lab.Retries", "Client", "{retries: {zz: 1}}"),
        ("lab.WorkloadSpec", "Workload", "{zz: 1}"),
        ("lab.FaultSpec", "Fault", "{zz: 1}"),
        ("lab.PodRole", "Fault", "{at: 1s, type: killPod, pod: {zz: 1}}"),
    ] {
        let text = format!("apiVersion: lab/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n");
        let tree = yaml::load(&text).remove(0).unwrap();
        // Past the strict reader, which reads by the schema itself.
        let content = Content::Lab { kind: kind.into(), name: "a".into(), tree: tree.clone() };
        let manifest = Manifest { span: tree.span, document: 0, content, tree };
        let (_, diagnostics) = Scenario::of(Parsed { manifests: vec![manifest], ..Parsed::default() });
        let message = &diagnostics.first().unwrap_or_else(|| panic!("{text}")).message;
        // serde: unknown field `zz`, expected one of `a`, `b`
        let (_, expected) = message.split_once("expected ").unwrap_or_else(|| panic!("{message}"));
        let mut expected: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        expected.sort_unstable();
        let mut offered: Vec<&str> = fields_of(type_, &Reference::default()).iter().map(|f| f.name).collect();
        offered.sort_unstable();
        assert_eq!(offered, expected, "{type_}");
    }
}
