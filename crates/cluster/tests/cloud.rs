//! The service controller and load balancers (SPEC section 7). The health check's numbers are the scenario's: each 8 s, once
//! well, three times ill, 1 s to wait.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cluster::{RequestFact, Timeline};
use kube_api::{NamespacedName, Service};
use lab_base::Time;
use lab_protocol::{Command, Fault, Outcome};

fn scenario(cluster: &str, service: &str, pod: &str, replicas: u32) -> String {
    format!(
        "apiVersion: lab/v1\nkind: Cluster\nspec: {{seed: 3, nodes: 3, {cluster}}}\n---\n\
         apiVersion: lab/v1\nkind: Client\nmetadata: {{name: c}}\nspec: {{from: outside, rate: 30, target: 'http://198.51.100.10/'}}\n---\n\
         apiVersion: lab/v1\nkind: Workload\nspec: {{selector: {{app: web}}, port: 8080, serviceTime: 5ms}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      \
         {pod}\n      containers:\n      - name: web\n        image: 'shop/web:1'\n        \
         readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}\n        {}\n---\n{}",
        if pod.is_empty() { "" } else { "lifecycle: {preStop: {sleep: {seconds: 30}}}" },
        balanced(service)
    )
}

fn balanced(spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  type: LoadBalancer\n  selector: {{app: web}}\n  \
         ports: [{{port: 80, targetPort: 8080}}]\n  {spec}\n"
    )
}

fn run(text: &str) -> Timeline {
    let (timeline, diagnostics, refused) = Timeline::new(text, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

fn facts(timeline: &Timeline) -> Vec<RequestFact> {
    timeline.cluster().facts().requests().iter().copied().collect()
}

fn failed(timeline: &Timeline) -> Vec<(f64, Outcome)> {
    let all = facts(timeline).into_iter().filter(|f| f.outcome != Outcome::Answered);
    all.map(|f| (f.sent.as_secs_f64(), f.outcome)).collect()
}

fn service(timeline: &Timeline) -> std::sync::Arc<Service> {
    timeline.cluster().store().get::<Service>(&NamespacedName::new("default", "web")).unwrap().clone()
}

fn addresses(timeline: &Timeline) -> Vec<(String, Option<String>)> {
    service(timeline).status.load_balancer.ingress.iter().map(|i| (i.ip.clone(), i.ip_mode.clone())).collect()
}

fn events(timeline: &Timeline) -> Vec<&'static str> {
    let of = |e: &cluster::KubeEvent| e.component == "service-controller";
    timeline.cluster().kube_events().filter(of).map(|e| e.reason).collect()
}

#[test]
fn an_address_takes_its_time_and_a_cloud() {
    let base = scenario("cloud: true, loadBalancer: {addressAfter: 20s}", "", "", 3);
    let (others, _) = base.rsplit_once("---\n").unwrap();
    for (cluster, spec, comes) in [
        (others.to_owned(), "", true),
        (others.to_owned(), "loadBalancerClass: example.com/mine", false),
        (others.replace("cloud: true", "cloud: false"), "", false),
    ] {
        let mut timeline = run(&cluster);
        timeline.execute_at(at(5.0), Command::Apply { yaml: balanced(spec) });
        timeline.seek(at(24.9));
        assert!(addresses(&timeline).is_empty());
        // The controller hears of it within 6 ms.
        timeline.seek(at(25.01));
        assert_eq!(!addresses(&timeline).is_empty(), comes, "{spec}");
        timeline.seek(at(60.0));
        let late = facts(&timeline).into_iter().filter(|f| f.sent > at(27.0));
        assert!(late.clone().count() > 800);
        assert!(late.into_iter().all(|f| (f.outcome == Outcome::Answered) == comes), "{spec}");
        if comes {
            assert_eq!(addresses(&timeline), [("198.51.100.10".to_owned(), Some("VIP".to_owned()))]);
            assert_eq!(events(&timeline), ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]);
            // Applied again, with another port: the address stays, the balancer changes.
            let yaml = balanced("").replace("port: 80,", "port: 8000,");
            timeline.execute_at(at(60.0), Command::Apply { yaml });
            timeline.seek(at(80.0));
            assert_eq!(addresses(&timeline).len(), 1);
            assert!(failed(&timeline).iter().any(|(sent, outcome)| *sent > 66.0 && *outcome == Outcome::TimedOut));
            let gone = Command::Delete { kind: "Service".into(), namespace: "default".into(), name: "web".into() };
            timeline.execute_at(at(80.0), gone);
            timeline.seek(at(90.0));
            assert_eq!(events(&timeline)[2..], ["DeletingLoadBalancer", "DeletedLoadBalancer"]);
            assert_eq!(timeline.cluster().load_balancers().count(), 0);
        } else {
            assert!(events(&timeline).is_empty());
        }
    }
}

#[test]
fn proxies_and_source_ranges() {
    for (cluster, spec, right) in [
        ("cloud: true, loadBalancer: {ipMode: Proxy}", "", true),
        ("cloud: true, loadBalancer: {ipMode: Proxy}", "allocateLoadBalancerNodePorts: false", false),
        ("cloud: true", "allocateLoadBalancerNodePorts: false", true),
        ("cloud: true", "loadBalancerSourceRanges: [203.0.113.0/24]", true),
        ("cloud: true", "loadBalancerSourceRanges: [192.0.2.0/24]", false),
    ] {
        // What is there at the beginning has its address.
        let mut timeline = run(&scenario(cluster, spec, "", 3));
        timeline.seek(at(10.0));
        let all = facts(&timeline);
        let wanted = if right { Outcome::Answered } else { Outcome::TimedOut };
        assert!(all.len() > 200 && all.iter().all(|f| f.outcome == wanted), "{cluster} {spec} {:?}", failed(&timeline));
    }
}

/// A dead node is found by the balancer's own checks: the third that fails comes 16 to 24 s later, and waits 1 s.
#[test]
fn health_checks_find_dead_nodes() {
    let text = scenario("cloud: true", "externalTrafficPolicy: Local", "", 3);
    let mut timeline = run(&text);
    timeline.execute_at(at(10.0), Command::Fault(Fault::PowerOff { node: "node-b".into() }));
    timeline.seek(at(60.0));
    let failed = failed(&timeline);
    // A third of 30 a second for 17 s at least.
    assert!(failed.len() > 100, "{}", failed.len());
    let last = failed.iter().map(|(sent, _)| *sent).fold(0.0, f64::max);
    assert!((10.0 + 16.8..10.0 + 25.0).contains(&last), "{last}");
    assert!(failed.iter().all(|(sent, outcome)| *sent >= 9.98 && *outcome == Outcome::TimedOut));
    let marks = timeline.cluster().facts().marks();
    let turned = marks.iter().find(|m| m.phrase.id == "mark-target-unhealthy").unwrap().at.as_secs_f64();
    assert!((27.0..35.0).contains(&turned), "{turned}");
    // Only the balancer's check can know: with its checks stopped nobody does.
    let mut blind = run(&text);
    blind.execute_at(at(9.0), Command::Fault(Fault::StopHealthChecks));
    blind.execute_at(at(10.0), Command::Fault(Fault::PowerOff { node: "node-b".into() }));
    blind.seek(at(60.0));
    assert!(facts(&blind).iter().any(|f| f.sent > at(55.0) && f.outcome == Outcome::TimedOut));
}

/// With `Local` only nodes with ready endpoints pass their checks. A Pod that ends at once leaves its node with none, and
/// the balancer goes on sending there for three checks. One that lives on for 30 s is served from until the balancer knows
/// (SPEC section 6.8: terminating endpoints don't count for the check, but are used).
#[test]
fn local_traffic_during_a_rollout() {
    let v2 = |text: &str| {
        let documents = text.split("---\n").filter(|d| d.contains("kind: Deployment"));
        documents.map(|d| d.replace("shop/web:1", "shop/web:2")).collect::<String>()
    };
    for (pod, lost) in [("", true), ("terminationGracePeriodSeconds: 60", false)] {
        let text = scenario("cloud: true", "externalTrafficPolicy: Local", pod, 1);
        let mut timeline = run(&text);
        timeline.seek(at(10.0));
        let balancer = timeline.cluster().load_balancers().next().unwrap();
        assert_eq!(balancer.targets.values().filter(|t| t.healthy).count(), 1, "one Pod, one node");
        timeline.execute_at(at(10.0), Command::Apply { yaml: v2(&text) });
        timeline.seek(at(80.0));
        let failed = failed(&timeline);
        assert_eq!(!failed.is_empty(), lost, "{pod} {failed:?}");
        // The new Pod is ready within 0.4 + 1.8 + 0.5 + 1 s and a probe; from then on three checks at most.
        assert!(failed.iter().all(|(sent, _)| (10.0..10.0 + 5.0 + 25.0).contains(sent)), "{failed:?}");
        if lost {
            assert!(failed.len() > 100, "{}", failed.len());
        }
    }
}

#[test]
fn nodes_can_be_left_out() {
    let mut timeline = run(&scenario("cloud: true", "", "", 3));
    let labels = "apiVersion: v1\nkind: Node\nmetadata:\n  name: node-a\n  labels: {node.kubernetes.io/exclude-from-external-load-balancers: ''}\n";
    timeline.execute_at(at(5.0), Command::Apply { yaml: labels.into() });
    timeline.seek(at(6.0));
    let targets = |t: &Timeline| -> Vec<String> {
        t.cluster().load_balancers().flat_map(|b| b.targets.keys().map(ToString::to_string)).collect()
    };
    assert_eq!(targets(&timeline), ["node-b", "node-c"]);
    assert_eq!(events(&timeline).last(), Some(&"UpdatedLoadBalancer"));
    // The autoscaler's taint fails the check at once and is found by the look each 100 s.
    let taint = "spec: {taints: [{key: ToBeDeletedByClusterAutoscaler, value: '1', effect: NoSchedule}]}";
    let patch =
        Command::Patch { kind: "Node".into(), namespace: String::new(), name: "node-b".into(), patch: taint.into() };
    assert!(timeline.execute_at(at(10.0), patch).0.is_some());
    timeline.seek(at(36.0));
    let balancer = timeline.cluster().load_balancers().next().unwrap();
    assert_eq!(balancer.targets.values().map(|t| t.healthy).collect::<Vec<_>>(), [false, true]);
    timeline.seek(at(101.0));
    assert_eq!(targets(&timeline), ["node-c"]);
    assert!(failed(&timeline).is_empty());
}
