//! Names in the running cluster: search lists, caches, and CoreDNS gone. Bounds come from TTLs and time-outs.

use cluster::dns::{DnsName, Question, Rcode, RecordType};
use cluster::{Cluster, Timeline};
use kube_api::Pod;
use lab_base::Time;
use lab_protocol::{Command, Fault, Outcome, PodRef};

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

/// Two databases without a cluster IP, a Service in front of them, and one client.
fn shop(cluster: &str, client: &str) -> Timeline {
    let text = format!(
        r#"
{{apiVersion: lab/v1, kind: Cluster, spec: {{seed: 5, nodes: 2{cluster}}}}}
---
{{apiVersion: lab/v1, kind: Client, metadata: {{name: app}}, spec: {{node: node-a, rate: 20, arrival: steady, timeout: 1s, {client}}}}}
---
{{apiVersion: lab/v1, kind: Workload, metadata: {{name: db}}, spec: {{selector: {{app: db}}, serviceTime: 2ms}}}}
---
{{apiVersion: v1, kind: Namespace, metadata: {{name: shop}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: db, namespace: shop}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec: {{terminationGracePeriodSeconds: 1, containers: [{{name: db, image: "shop/db:1", ports: [{{containerPort: 5432}}]}}]}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: db, namespace: shop}}, spec: {{clusterIP: None, selector: {{app: db}}, ports: [{{port: 5432}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: front, namespace: shop}}, spec: {{clusterIP: 10.96.0.50, selector: {{app: db}}, ports: [{{port: 5432}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: alias, namespace: shop}}, spec: {{type: ExternalName, externalName: front.shop.svc.cluster.local}}}}
"#
    );
    let (timeline, diagnostics, refused) = Timeline::new(&text, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

/// When a request was sent, how it ended.
fn outcomes(cluster: &Cluster, from: f64, to: f64) -> Vec<(f64, Outcome)> {
    let sent = |r: &cluster::RequestFact| (r.sent.as_secs_f64(), r.outcome);
    let all = cluster.facts().requests_in(Time::ZERO, at(10_000.0));
    all.map(sent).filter(|(sent, _)| (from..to).contains(sent)).collect()
}

fn last_failure(cluster: &Cluster, from: f64) -> Option<f64> {
    outcomes(cluster, from, 10_000.0).into_iter().filter(|(_, o)| *o != Outcome::Answered).map(|(t, _)| t).next_back()
}

fn database(nth: u32) -> PodRef {
    PodRef::Nth { namespace: "shop".into(), deployment: "db".into(), nth }
}

#[test]
fn names_go_through_the_search_list_of_the_clients_namespace() {
    for (client, outcome) in [
        ("target: 'http://front.shop:5432/'", Outcome::Answered),
        ("target: 'http://front:5432/', namespace: shop", Outcome::Answered),
        ("target: 'http://front.shop.svc:5432/'", Outcome::Answered),
        ("target: 'http://front.shop.svc.cluster.local.:5432/'", Outcome::Answered),
        ("target: 'http://db:5432/', namespace: shop", Outcome::Answered),
        ("target: 'http://alias.shop:5432/'", Outcome::Answered),
        ("target: 'http://front:5432/'", Outcome::NoSuchName),
        ("target: 'http://front.shop.:5432/'", Outcome::NoSuchName),
        ("target: 'http://www.example.com/'", Outcome::NoSuchName),
        ("target: 'http://shop.svc.cluster.local/'", Outcome::NoSuchName),
    ] {
        let mut timeline = shop("", client);
        timeline.seek(at(2.0));
        let seen = outcomes(timeline.cluster(), 0.0, 1.5);
        assert!(seen.len() > 20 && seen.iter().all(|(_, o)| *o == outcome), "{client}: {seen:?}");
    }
}

#[test]
fn each_candidate_costs_a_round_trip() {
    let took = |client: &str| {
        let mut timeline = shop("", client);
        timeline.seek(at(2.0));
        let took = |r: &cluster::RequestFact| r.ended.since(r.sent).as_micros();
        timeline.cluster().facts().requests_in(Time::ZERO, at(2.0)).map(took).min().unwrap()
    };
    // One name, and four: 360 to 840 us each, and no connection after it.
    let one = took("target: 'http://front.shop.:5432/'");
    let four = took("target: 'http://nope:5432/'");
    assert!((360..=840).contains(&one), "{one}");
    assert!((4 * 360..=4 * 840).contains(&four), "{four}");
}

#[test]
fn without_coredns_a_name_times_out_and_an_address_does_not() {
    for (client, hurt) in [
        ("target: 'http://front.shop:5432/'", true),
        ("target: 'http://10.96.0.50:5432/'", false),
        ("target: 'http://front.shop:5432/', dnsCache: 1h", false),
    ] {
        let mut timeline = shop("", client);
        timeline.execute_at(at(5.0), Command::Fault(Fault::StopDns));
        timeline.execute_at(at(9.0), Command::Fault(Fault::StartDns));
        timeline.seek(at(14.0));
        let cluster = timeline.cluster();
        let want = if hurt { Outcome::TimedOut } else { Outcome::Answered };
        assert!(outcomes(cluster, 5.01, 8.99).iter().all(|(_, o)| *o == want), "{client}");
        assert!(outcomes(cluster, 9.01, 12.0).iter().all(|(_, o)| *o == Outcome::Answered), "{client}");
        assert!(outcomes(cluster, 0.0, 4.9).iter().all(|(_, o)| *o == Outcome::Answered), "{client}");
    }
}

/// A headless Service's client goes to a Pod's own address: it meets a dead one as long as anyone keeps its record.
#[test]
fn stale_answers_last_as_long_as_they_are_kept() {
    // Until 1.31 kubeadm let CoreDNS keep answers of the cluster's zone for 30 s; since 1.32 it doesn't.
    // The TTL is 30 s too, and a client with a cache adds its own.
    for (cluster, client, kept) in [
        ("", "", 0.0_f64),
        (", release: '1.31'", "", 30.0),
        (", release: '1.31', dns: {cache: 0s}", "", 0.0),
        (", dns: {cache: 10s}", "", 10.0),
        ("", ", dnsCache: ttl", 30.0),
        (", dns: {ttl: 5}", ", dnsCache: ttl", 5.0),
        ("", ", dnsCache: 20s", 20.0),
    ] {
        let client = format!("target: 'http://db.shop:5432/'{client}");
        let mut longest: f64 = 0.0;
        for nth in [1, 2] {
            let mut timeline = shop(cluster, &client);
            // 2 s after the first answer, so that what is kept has at least 2 s less to live.
            timeline.execute_at(at(2.0), Command::Fault(Fault::KillPod { pod: database(nth) }));
            timeline.seek(at(60.0));
            // Watch and controller: 6 ms each. A name resolved before is used right after.
            let last = last_failure(timeline.cluster(), 0.0).unwrap_or(2.0);
            assert!(last <= kept.max(2.0) + 0.1, "{cluster} {client}: {last}");
            longest = longest.max(last);
        }
        // One of the two Pods is the one that was kept.
        assert!(longest >= kept - 1.0, "{cluster} {client}: {longest}");
    }
}

#[test]
fn a_service_made_anew_has_another_address_which_a_cache_does_not_know() {
    for (cache, hurt_until) in [("none", 10.2), ("ttl", 30.1)] {
        let mut timeline = shop("", &format!("target: 'http://front.shop:5432/', dnsCache: {cache}"));
        let delete = Command::Delete { kind: "Service".into(), namespace: "shop".into(), name: "front".into() };
        timeline.execute_at(at(10.0), delete);
        let yaml = "{apiVersion: v1, kind: Service, metadata: {name: front, namespace: shop}, spec: {clusterIP: 10.96.0.51, selector: {app: db}, ports: [{port: 5432}]}}";
        timeline.execute_at(at(10.0), Command::Apply { yaml: yaml.into() });
        timeline.seek(at(50.0));
        let last = last_failure(timeline.cluster(), 10.0).unwrap_or(10.0);
        // kube-proxy: minSyncPeriod 1 s and a sync of 60 ms.
        assert!(last <= hurt_until + 1.1, "{cache}: {last}");
        assert!(cache == "none" || last >= 29.0, "{cache}: {last}");
    }
}

#[test]
fn answers_follow_the_endpoints() {
    let mut timeline = shop("", "target: 'http://front.shop:5432/'");
    let question = Question::new("db.shop.svc.cluster.local.", RecordType::A);
    let addresses = |t: &Timeline| t.cluster().dns_answer(&question).unwrap().addresses().count();
    assert_eq!(addresses(&timeline), 2);
    for nth in [2, 1] {
        timeline.execute_at(timeline.cluster().now(), Command::Fault(Fault::DeletePod { pod: database(nth) }));
    }
    // A terminating Pod leaves the answer as soon as the controller has written the slice; with none left the name is gone.
    timeline.seek(at(0.1));
    assert!(timeline.cluster().store().list::<Pod>().any(|p| p.metadata.is_deleting()));
    assert_eq!(timeline.cluster().dns_answer(&question).unwrap().rcode, Rcode::NxDomain);
    let name = DnsName::parse("front.shop").unwrap();
    let found = timeline.cluster().look_up("default", &name, RecordType::A).unwrap();
    assert_eq!(found.name.as_deref(), Some("front.shop.svc.cluster.local."), "a cluster IP stays without endpoints");
    timeline.execute_at(at(0.2), Command::Fault(Fault::StopDns));
    assert!(timeline.cluster().dns_answer(&question).is_none());
}
