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
    let or =
        |field: &str, usual: &str| if client.contains(field) { String::new() } else { format!("{field} {usual}, ") };
    let client = format!("{}{}{client}", or("rate:", "20"), or("timeout:", "1s"));
    let text = format!(
        r#"
{{apiVersion: lab/v1, kind: Cluster, spec: {{seed: 5, nodes: 2{cluster}}}}}
---
{{apiVersion: lab/v1, kind: Client, metadata: {{name: app}}, spec: {{node: node-a, arrival: steady, {client}}}}}
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

const IN_PODS: &str = ", dns: {pods: true}";

fn core_dns(timeline: &Timeline) -> Vec<std::sync::Arc<Pod>> {
    let own = |p: &&std::sync::Arc<Pod>| p.metadata.namespace == "kube-system";
    timeline.cluster().store().list::<Pod>().filter(own).cloned().collect()
}

fn scale_core_dns(timeline: &mut Timeline, seconds: f64, replicas: u8) {
    let (kind, namespace, name) = ("Deployment".into(), "kube-system".into(), "coredns".into());
    let patch = format!("{{spec: {{replicas: {replicas}}}}}");
    assert!(timeline.execute_at(at(seconds), Command::Patch { kind, namespace, name, patch }).0.is_some());
}

/// As kubeadm sets it up: two Pods, apart, behind 10.96.0.10.
#[test]
fn core_dns_in_pods() {
    let mut timeline = shop(IN_PODS, "target: 'http://db.shop:5432/'");
    let pods = core_dns(&timeline);
    assert_eq!(pods.len(), 2);
    assert_ne!(pods[0].spec.node_name, pods[1].spec.node_name);
    let key = kube_api::NamespacedName::new("kube-system", "kube-dns");
    let service = timeline.cluster().store().get::<kube_api::Service>(&key).expect("kube-dns");
    assert_eq!(service.spec.cluster_ip, "10.96.0.10");
    let ports: Vec<_> = service.spec.ports.iter().map(|p| (p.name.as_str(), p.port)).collect();
    assert_eq!(ports, [("dns", 53), ("dns-tcp", 53), ("metrics", 9153)]);
    timeline.seek(at(20.0));
    assert!(outcomes(timeline.cluster(), 0.0, 19.0).iter().all(|(_, o)| *o == Outcome::Answered));
    // Without Pods there is neither.
    assert!(core_dns(&shop("", "target: 'http://db.shop:5432/'")).is_empty());
}

/// Of two questions, along the search list, each goes to the dead Pod with one half: three quarters of all wait, until the
/// rules know.
#[test]
fn half_of_core_dns_is_cut_off() {
    let mut timeline = shop(IN_PODS, "target: 'http://front.shop:5432/', timeout: 1s");
    timeline.execute_at(at(5.0), Command::Fault(Fault::CutNode { node: "node-b".into() }));
    timeline.seek(at(90.0));
    let lost = |from, to| {
        let all = outcomes(timeline.cluster(), from, to);
        all.iter().filter(|(_, o)| *o != Outcome::Answered).count() as f64 / all.len() as f64
    };
    // One of two databases is cut off, too: of the quarter that knows an address a half fails. 0.875 of 800 in 40 s; five
    // standard deviations are 0.06.
    let share = lost(6.0, 46.0);
    assert!((share - 0.875).abs() < 0.06, "{share}");
    // Unknown after 50 to 65 s, then watch, minSyncPeriod and sync.
    assert_eq!(lost(5.0 + 65.0 + 1.1, 88.0), 0.0);
}

/// The C library asks once more after five seconds, from another port: who waits for so long often gets through.
#[test]
fn a_second_question_may_find_the_other_pod() {
    let mut timeline = shop(IN_PODS, "target: 'http://front.shop.svc.cluster.local.:5432/', timeout: 20s, rate: 5");
    let pod = core_dns(&timeline)[0].metadata.name.clone();
    let pod = PodRef::Named { namespace: "kube-system".into(), name: pod };
    timeline.execute_at(at(5.0), Command::Fault(Fault::CutPod { pod }));
    timeline.seek(at(30.0));
    let facts: Vec<_> = timeline.cluster().facts().requests_in(Time::ZERO, at(30.0)).collect();
    let took = |low: f64, high: f64| {
        let well = |r: &&&cluster::RequestFact| {
            let took = r.ended.since(r.sent).as_secs_f64();
            r.sent > at(5.0) && r.sent < at(15.0) && (low..high).contains(&took) && r.outcome == Outcome::Answered
        };
        facts.iter().filter(well).count()
    };
    let at_once = took(0.0, 0.5);
    let again = took(5.0, 5.5);
    let never = facts.iter().filter(|r| r.sent > at(5.0) && r.outcome == Outcome::TimedOut).count();
    // Half at once, a quarter the second time, a quarter never: of 50, five standard deviations are 18 and 15.
    assert!((7..=43).contains(&at_once) && (1..=28).contains(&again) && never > 0, "{at_once} {again} {never}");
}

/// All are refused but those whose source port conntrack remembers from a question of the last 30 s: 40 a second of 28,232
/// ports, each asked once or twice, so up to 8.5 %. kube-proxy leaves such entries alone while a Service has no endpoints.
fn mostly_refused(all: impl Iterator<Item = Outcome>) {
    let (mut refused, mut lost) = (0, 0);
    for outcome in all {
        match outcome {
            Outcome::NoSuchName => refused += 1,
            Outcome::TimedOut => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 50 && lost * 100 < (refused + lost) * 9, "{refused} {lost}");
}

/// Without endpoints the node refuses a question: a name can't be resolved, at once.
#[test]
fn core_dns_without_endpoints_fails_at_once() {
    let mut timeline = shop(IN_PODS, "target: 'http://front.shop:5432/', timeout: 20s");
    scale_core_dns(&mut timeline, 5.0, 0);
    timeline.seek(at(40.0));
    let after = timeline.cluster().facts().requests_in(Time::ZERO, at(40.0)).filter(|r| r.sent > at(7.0));
    let all: Vec<_> = after.collect();
    assert!(all.len() > 600);
    mostly_refused(all.iter().map(|r| r.outcome));
    let at_once = |r: &&&cluster::RequestFact| r.ended.since(r.sent).as_secs_f64() < 0.001;
    assert!(all.iter().filter(at_once).count() * 10 > all.len() * 9);
    scale_core_dns(&mut timeline, 40.0, 2);
    // Image there: sandbox 0.4 s, start 0.12 s, start-up 0.5 s, relists 2 s, probe 10 s, rules 1.1 s.
    timeline.seek(at(60.0));
    assert_eq!(last_failure(timeline.cluster(), 55.0), None);
}

/// What hangs doesn't answer; once its probes have failed three times it has no endpoints.
#[test]
fn core_dns_in_pods_hangs_and_goes_on() {
    let mut timeline = shop(IN_PODS, "target: 'http://front.shop:5432/'");
    timeline.execute_at(at(5.0), Command::Fault(Fault::StopDns));
    timeline.seek(at(44.0));
    let lost = outcomes(timeline.cluster(), 5.1, 43.0);
    assert!(lost.iter().all(|(_, o)| *o != Outcome::Answered));
    assert!(lost.iter().filter(|(t, _)| *t < 5.0 + 20.0).all(|(_, o)| *o == Outcome::TimedOut));
    // Three probes 30 s at most, status, slices and rules 1.2 s.
    mostly_refused(lost.iter().filter(|(t, _)| *t > 5.0 + 30.0 + 1.2).map(|(_, o)| *o));
    timeline.execute_at(at(44.0), Command::Fault(Fault::StartDns));
    timeline.seek(at(70.0));
    // The next probe, status, slices and rules.
    assert_eq!(last_failure(timeline.cluster(), 44.0 + 10.0 + 1.2), None);
}

/// A run with lookups under way is repeated to the same state.
#[test]
fn lookups_replay() {
    let mut timeline = shop(IN_PODS, "target: 'http://front.shop:5432/', timeout: 8s");
    timeline.execute_at(at(3.0), Command::Fault(Fault::CutNode { node: "node-b".into() }));
    timeline.seek(at(12.0));
    let hash = timeline.cluster().state_hash();
    timeline.seek(at(4.0));
    timeline.seek(at(12.0));
    assert_eq!(timeline.cluster().state_hash(), hash);
    assert_eq!(timeline.recording().replay(), hash);
}
