//! Node ports of another node: that node's rules decide.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cluster::Timeline;
use kube_api::Pod;
use lab_base::Time;
use lab_protocol::{Command, Fault, Outcome};
use std::collections::BTreeSet;

/// Four Pods on three nodes behind node port 30080; a client on node-a asks node-b's address.
fn run(mode: &str, policy: &str) -> Timeline {
    let web = include_str!("data/web.yaml");
    let text = web
        .replace("  seed: 7\n", &format!("  seed: 7\n  kubeProxy: {{mode: {mode}}}\n"))
        .replace("http://web/", "http://192.168.10.12:30080/")
        .replace(
            "  selector: {app: web}\n  ports: [{port: 80, targetPort: 8080}]",
            &format!(
                "  type: NodePort\n  externalTrafficPolicy: {policy}\n  selector: {{app: web}}\n  ports: [{{port: 80, targetPort: 8080, nodePort: 30080}}]"
            ),
        );
    assert!(text.contains("nodePort") && text.contains("30080/") && text.contains("kubeProxy"));
    let (timeline, diagnostics, refused) = Timeline::new(&text, None, ());
    assert!(
        refused.is_empty() && diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error),
        "{diagnostics:?}"
    );
    timeline
}

/// Nodes of the Pods that answered, and how many requests ended well and badly.
fn seen(timeline: &Timeline) -> (BTreeSet<String>, usize, usize) {
    let (mut nodes, mut good, mut bad) = (BTreeSet::new(), 0, 0);
    for fact in timeline.cluster().facts().requests().iter() {
        if fact.outcome == Outcome::Answered {
            good += 1;
            let pod = timeline.cluster().store().by_uid::<Pod>(fact.pod.unwrap()).unwrap();
            nodes.insert(pod.spec.node_name.clone());
            assert!(fact.service.is_some(), "the Service behind the node port is known");
        } else {
            bad += 1;
        }
    }
    (nodes, good, bad)
}

#[test]
fn policy_cluster_reaches_every_pod_through_that_node() {
    for mode in ["iptables", "nftables", "ipvs"] {
        let mut timeline = run(mode, "Cluster");
        timeline.seek(Time::from_secs(20));
        let (nodes, good, bad) = seen(&timeline);
        assert_eq!(nodes.len(), 3, "{mode}: {nodes:?}");
        assert!(good > 600 && bad == 0, "{mode}: {good} {bad}");
        let there = timeline.cluster().machine("node-b").unwrap().kernel.conntrack().len();
        assert!(there > 100, "{mode}: node-b tracks what went through it, {there}");
    }
}

/// The client is a Pod: iptables and nftables send what comes from Pods to every endpoint whatever the policy ("short-circuit
/// pod traffic"). IPVS has only local real servers behind a node port.
#[test]
fn policy_local_is_for_traffic_from_outside() {
    for (mode, expected) in [
        ("iptables", &["node-a", "node-b", "node-c"][..]),
        ("nftables", &["node-a", "node-b", "node-c"]),
        ("ipvs", &["node-b"]),
    ] {
        let mut timeline = run(mode, "Local");
        timeline.seek(Time::from_secs(20));
        let (nodes, good, bad) = seen(&timeline);
        assert_eq!(nodes.into_iter().collect::<Vec<_>>(), expected, "{mode}");
        assert!(good > 600 && bad == 0, "{mode}: {good} {bad}");
    }
}

#[test]
fn a_node_without_power_answers_nobody() {
    let mut timeline = run("iptables", "Cluster");
    timeline.execute_at(Time::from_secs(10), Command::Fault(Fault::PowerOff { node: "node-b".into() }));
    timeline.seek(Time::from_secs(20));
    let late = timeline.cluster().facts().requests_in(Time::from_secs(12), Time::from_secs(20));
    let outcomes: BTreeSet<_> = late.map(|r| format!("{:?}", r.outcome)).collect();
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["TimedOut"]);
}
