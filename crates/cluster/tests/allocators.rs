//! Cluster IPs and node ports from end to end: SPEC 1.2.

use cluster::{Applied, Timeline};
use kube_api::{NamespacedName, Service};
use lab_base::Time;
use lab_protocol::Command;
use std::net::Ipv4Addr;

struct Desk(Timeline);

impl Desk {
    fn new() -> Desk {
        Desk(Timeline::new("", None, ()).0)
    }
    fn apply(&mut self, name: &str, spec: &str) -> Applied {
        let yaml = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n");
        self.0.execute_at(Time::from_secs(1), Command::Apply { yaml }).1
    }
    fn refused(&mut self, name: &str, spec: &str) -> String {
        self.apply(name, spec).diagnostics.into_iter().find(|d| d.error).map(|d| d.message).unwrap_or_default()
    }
    fn patch(&mut self, name: &str, patch: &str) -> Vec<String> {
        let (kind, namespace, name) = ("Service".into(), "default".into(), name.into());
        self.0.execute_at(Time::from_secs(1), Command::Patch { kind, namespace, name, patch: patch.into() }).1.results
    }
    fn service(&self, name: &str) -> Service {
        let found = self.0.cluster().store().get::<Service>(&NamespacedName::new("default", name));
        found.map(|s| (**s).clone()).unwrap_or_default()
    }
}

#[test]
fn what_is_drawn_is_above_the_bands() {
    let mut desk = Desk::new();
    for i in 0..40 {
        desk.apply(&format!("s{i}"), "type: NodePort, ports: [{port: 80}]");
        let spec = desk.service(&format!("s{i}")).spec;
        let ip: Ipv4Addr = spec.cluster_ip.parse().unwrap();
        // 10.96.0.0/16 has a band of 256, the node ports one of 86.
        assert!(u32::from(ip) - u32::from(Ipv4Addr::new(10, 96, 0, 0)) > 256, "{ip}");
        assert!((30_086..=32_767).contains(&spec.ports[0].node_port), "{}", spec.ports[0].node_port);
    }
}

#[test]
fn what_is_taken_or_out_of_range_is_refused() {
    let mut desk = Desk::new();
    desk.apply("a", "type: NodePort, clusterIP: 10.96.0.10, ports: [{port: 80, nodePort: 30080}]");
    assert_eq!(desk.service("a").spec.ports[0].node_port, 30_080);
    let node_port = "The Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: ";
    assert_eq!(
        desk.refused("b", "type: NodePort, ports: [{port: 80, nodePort: 30080}]"),
        format!("{node_port}30080: provided port is already allocated")
    );
    assert_eq!(
        desk.refused("b", "type: NodePort, ports: [{port: 80, nodePort: 80}]"),
        format!("{node_port}80: provided port is not in the valid range. The range of valid ports is 30000-32767")
    );
    let cluster_ip = "The Service \"b\" is invalid: spec.clusterIPs: Invalid value: ";
    assert_eq!(
        desk.refused("b", "clusterIP: 10.96.0.10, ports: [{port: 80}]"),
        format!("{cluster_ip}[\"10.96.0.10\"]: failed to allocate IP 10.96.0.10: provided IP is already allocated")
    );
    assert_eq!(
        desk.refused("b", "clusterIP: 1.1.1.1, ports: [{port: 80}]"),
        format!(
            "{cluster_ip}[\"1.1.1.1\"]: failed to allocate IP 1.1.1.1: the provided IP (1.1.1.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16"
        )
    );
    assert_eq!(
        desk.refused(
            "b",
            "type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30080, ports: [{port: 80}]"
        ),
        "Error from server (InternalError): error when creating \"STDIN\": Internal error occurred: failed to allocate requested HealthCheck NodePort 30080: provided port is already allocated"
    );
}

#[test]
fn protocols_on_one_port_share_a_node_port() {
    let mut desk = Desk::new();
    desk.apply(
        "dns",
        "type: NodePort, ports: [{name: a, port: 53, protocol: UDP}, {name: b, port: 53, protocol: TCP}]",
    );
    let ports = desk.service("dns").spec.ports;
    assert_eq!(ports[0].node_port, ports[1].node_port);
}

/// e2e: `should be able to change the type from NodePort to ClusterIP`, `... to ExternalName`, and back.
#[test]
fn a_change_of_type_frees_what_the_old_one_had() {
    let mut desk = Desk::new();
    desk.apply("web", "type: NodePort, ports: [{port: 80, nodePort: 30081}]");
    let ip = desk.service("web").spec.cluster_ip;
    assert_eq!(desk.patch("web", "{spec: {type: ClusterIP}}"), Vec::<String>::new());
    let spec = desk.service("web").spec;
    assert_eq!((spec.ports[0].node_port, spec.external_traffic_policy, spec.cluster_ip), (0, None, ip.clone()));
    assert_eq!(desk.refused("other", "type: NodePort, ports: [{port: 80, nodePort: 30081}]"), "");
    assert_eq!(desk.patch("web", "{spec: {type: ExternalName, externalName: example.com}}"), Vec::<String>::new());
    let spec = desk.service("web").spec;
    assert_eq!((spec.cluster_ip.as_str(), spec.cluster_ips.len()), ("", 0));
    assert_eq!(desk.refused("heir", &format!("clusterIP: {ip}, ports: [{{port: 80}}]")), "");
    assert_eq!(desk.patch("web", "{spec: {type: ClusterIP, externalName: null}}"), Vec::<String>::new());
    let again = desk.service("web").spec.cluster_ip;
    assert!(!again.is_empty() && again != ip);
    // What is asked for in the same breath is judged, not dropped.
    let answer = desk.patch("other", "{spec: {type: ClusterIP, ports: [{port: 80, nodePort: 30099}]}}");
    assert!(answer[0].contains("may not be used when `type` is 'ClusterIP'"), "{answer:?}");
}

/// 2768 node ports, all taken but one.
#[test]
fn the_range_of_node_ports_runs_out() {
    let mut desk = Desk::new();
    for (i, chunk) in (30_000..32_767_u16).collect::<Vec<_>>().chunks(500).enumerate() {
        let ports: Vec<String> =
            chunk.iter().enumerate().map(|(j, p)| format!("{{name: p{j}, port: {}, nodePort: {p}}}", j + 1)).collect();
        let applied = desk.apply(&format!("full{i}"), &format!("type: NodePort, ports: [{}]", ports.join(", ")));
        assert_eq!(applied.results, [format!("service/full{i} created")]);
    }
    let spec = "type: NodePort, ports: [{port: 80}]";
    assert_eq!(desk.apply("last", spec).results, ["service/last created"]);
    assert_eq!(desk.service("last").spec.ports[0].node_port, 32_767);
    let full = "Internal error occurred: failed to allocate a nodePort: range is full";
    assert_eq!(
        desk.refused("more", spec),
        format!("Error from server (InternalError): error when creating \"STDIN\": {full}")
    );
    assert_eq!(desk.service("more"), Service::default());
    // A Service that becomes another type gets none either, and stays as it was.
    desk.apply("plain", "ports: [{port: 80}]");
    assert_eq!(desk.patch("plain", "{spec: {type: NodePort}}"), [format!("Error from server (InternalError): {full}")]);
    assert_eq!(desk.service("plain").spec.type_, kube_api::ServiceType::ClusterIP);
    // Another protocol has ports of its own, but a free number is drawn for all of them; chosen ones may be shared.
    assert_eq!(
        desk.apply("udp", "type: NodePort, ports: [{port: 80, protocol: UDP, nodePort: 32767}]").results,
        ["service/udp created"]
    );
    let delete = Command::Delete { kind: "Service".into(), namespace: "default".into(), name: "full2".into() };
    desk.0.execute_at(Time::from_secs(1), delete);
    assert_eq!(desk.apply("more", spec).results, ["service/more created"]);
    assert!((31_000..31_500).contains(&desk.service("more").spec.ports[0].node_port));
}
