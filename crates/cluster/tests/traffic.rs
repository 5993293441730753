//! Clients and servers: loops, queues, retries, connections that are kept. Bounds are computed from the scenario and from
//! the assumed times of links (`traffic/link.rs`): 40 to 420 us one way, CoreDNS 360 to 840 us.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cluster::{RequestFact, Timeline};
use lab_base::{Span, Time};
use lab_protocol::{Command, Fault, Outcome, PodRef};

/// A Deployment `web` behind a Service, and these documents of our own kinds.
fn run(replicas: u32, workload: &str, client: &str, more: &str) -> Timeline {
    let text = format!(
        "apiVersion: lab/v1\nkind: Cluster\nspec: {{seed: 11, nodes: 3}}\n---\n\
         apiVersion: lab/v1\nkind: Client\nmetadata: {{name: c}}\nspec: {client}\n---\n\
         apiVersion: lab/v1\nkind: Workload\nspec: {workload}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      \
         containers: [{{name: web, image: 'shop/web:1', ports: [{{containerPort: 8080}}]}}]\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  selector: {{app: web}}\n  \
         ports: [{{port: 80, targetPort: 8080}}]\n{more}"
    );
    let (timeline, diagnostics, refused) = Timeline::new(&text, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

const WEB: &str = "{selector: {app: web}, port: 8080, serviceTime: 10ms, distribution: constant}";

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

fn facts(timeline: &Timeline) -> Vec<RequestFact> {
    timeline.cluster().facts().requests().iter().copied().collect()
}

fn took(fact: &RequestFact) -> f64 {
    fact.ended.since(fact.sent).as_secs_f64()
}

fn count(facts: &[RequestFact], outcome: Outcome) -> usize {
    facts.iter().filter(|f| f.outcome == outcome).count()
}

fn web(nth: u32) -> PodRef {
    PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth }
}

/// How many requests each Pod answered.
fn by_pod(facts: &[RequestFact]) -> Vec<usize> {
    let mut pods = std::collections::BTreeMap::new();
    for fact in facts.iter().filter(|f| f.outcome == Outcome::Answered) {
        *pods.entry(fact.pod).or_insert(0) += 1;
    }
    pods.into_values().collect()
}

/// A closed loop sends as fast as it is answered: users / (think + answer).
#[test]
fn users_wait_for_answers() {
    for (service, most) in [("20ms", 0.0245), ("200ms", 0.2045)] {
        let workload = WEB.replace("10ms", service);
        let client = "{users: 10, thinkTime: 100ms, arrival: steady, target: 'http://web/'}";
        let mut timeline = run(2, &workload, client, "");
        timeline.seek(at(60.0));
        let all = facts(&timeline);
        // Four ways on the wire, a question to CoreDNS: 0.52 to 2.52 ms.
        let least = most - 0.0045 + 0.0005;
        let (low, high) = (10.0 * 59.8 / (0.1 + most), 10.0 * 60.0 / (0.1 + least));
        assert!((low..=high).contains(&(all.len() as f64)), "{} not in {low}..{high}", all.len());
        assert!(all.iter().all(|f| f.outcome == Outcome::Answered));
    }
}

/// M/M/1: at half its load a single worker's requests take twice as long as its work.
#[test]
fn a_single_worker_has_a_queue() {
    let workload = "{selector: {app: web}, port: 8080, serviceTime: 10ms, concurrency: 1, queue: 1000}";
    let mut timeline = run(1, workload, "{rate: 50, target: 'http://web/', timeout: 30s}", "");
    timeline.seek(at(400.0));
    let all = facts(&timeline);
    assert!(all.iter().all(|f| f.outcome == Outcome::Answered));
    let mean = all.iter().map(took).sum::<f64>() / all.len() as f64;
    // W = 1 / (100 - 50) = 20 ms, and the worker waits for the first segment (0.7 ms a request or less); wires 2.5 ms
    // at most. 20,000 requests whose times hang together: 10 %.
    assert!((0.0185..0.0265).contains(&mean), "{mean}");
}

#[test]
fn a_full_queue_answers_503() {
    let workload =
        "{selector: {app: web}, port: 8080, serviceTime: 10ms, distribution: constant, concurrency: 1, queue: 5}";
    let mut timeline = run(1, workload, "{rate: 200, arrival: steady, target: 'http://web/'}", "");
    timeline.seek(at(20.0));
    let all: Vec<_> = facts(&timeline).into_iter().filter(|f| f.sent >= at(1.0)).collect();
    // 100 a second are done, as many are turned away.
    let (done, away) = (count(&all, Outcome::Answered), count(&all, Outcome::ServerError));
    assert!(done.abs_diff(1_900) < 20 && away.abs_diff(1_900) < 20, "{done} {away}");
    assert_eq!(done + away, all.len());
    for fact in &all {
        match fact.outcome {
            // Six times 10 ms at most, wires and CoreDNS.
            Outcome::Answered => assert!(fact.status == 200 && took(fact) < 0.0630, "{fact:?}"),
            _ => assert!(fact.status == 503 && took(fact) < 0.003, "{fact:?}"),
        }
    }
    let errors = WEB.replace("}, port", "}, errors: 1, port");
    let mut timeline = run(1, &errors, "{rate: 20, target: 'http://web/'}", "");
    timeline.seek(at(5.0));
    assert!(facts(&timeline).iter().all(|f| f.status == 500));
}

#[test]
fn a_rate_has_steps() {
    let client = "{rate: [{at: 0s, rate: 10}, {at: 10s, rate: 100}, {at: 20s, rate: 0}, {at: 30s, rate: 50}], \
                  arrival: steady, target: 'http://web/'}";
    let mut timeline = run(1, WEB, client, "");
    timeline.seek(at(41.0));
    let sent = |from: f64, to: f64| facts(&timeline).iter().filter(|f| f.sent >= at(from) && f.sent < at(to)).count();
    assert!(sent(0.0, 10.0).abs_diff(100) <= 1);
    assert!(sent(10.0, 20.0).abs_diff(1_000) <= 1);
    assert!(sent(20.05, 30.0) == 0);
    assert!(sent(30.0, 40.0).abs_diff(500) <= 1);
}

/// Each request ends once; attempts are counted apart.
#[test]
fn retries_wait_longer_each_time() {
    let workload = WEB.replace("}, port", "}, errors: 0.5, port");
    let client = "{rate: 50, target: 'http://web/', retries: {max: 2, backoff: 100ms, after: [server-error]}}";
    let mut timeline = run(2, &workload, client, "");
    timeline.seek(at(100.0));
    let all = facts(&timeline);
    let n = all.len() as f64;
    let share = |attempts: u8, outcome| {
        all.iter().filter(|f| f.attempts == attempts && f.outcome == outcome).count() as f64 / n
    };
    // 5 standard deviations of a share of 5,000 requests: 0.035 at most.
    for (attempts, outcome, wanted) in [
        (1, Outcome::Answered, 0.5),
        (2, Outcome::Answered, 0.25),
        (3, Outcome::Answered, 0.125),
        (3, Outcome::ServerError, 0.125),
        (1, Outcome::ServerError, 0.0),
    ] {
        assert!(
            (share(attempts, outcome) - wanted).abs() < 0.036,
            "{attempts} {outcome:?} {}",
            share(attempts, outcome)
        );
    }
    for fact in &all {
        // Half of the wait to all of it: 50 to 100 ms, then 100 to 200 ms.
        let (low, high) = [(0.0, 0.0), (0.05, 0.1), (0.15, 0.3)][usize::from(fact.attempts) - 1];
        let work = 0.010 * f64::from(fact.attempts);
        assert!((low + work..high + work + 0.009).contains(&took(fact)), "{fact:?}");
    }
    let attempts: u64 = all.iter().map(|f| u64::from(f.attempts)).sum();
    let client = timeline.cluster().clients().next().unwrap();
    assert_eq!(client.counts.total(), all.len() as u64);
    // But for those under way at the end, of which there are 50 * 0.2 or so.
    assert!((attempts - all.len() as u64).abs_diff(timeline.cluster().facts().retried().total()) < 40);
}

/// iptables draws for each new connection, and a kept one is never new: the client stays with one Pod of four, also when
/// more come, until that Pod goes.
#[test]
fn kept_connections_never_rebalance() {
    let client = "{rate: 50, target: 'http://web/', connections: 1}";
    let mut timeline = run(4, WEB, client, "");
    timeline.seek(at(10.0));
    let before = facts(&timeline);
    assert_eq!(by_pod(&before), [before.len()], "all with one Pod");
    // One way there, one back; the first one also connects.
    assert!(before[1..].iter().any(|f| took(f) < 0.0109), "no handshake, no question to CoreDNS");
    let scale = Command::Patch {
        kind: "Deployment".into(),
        namespace: "default".into(),
        name: "web".into(),
        patch: "spec: {replicas: 8}".into(),
    };
    timeline.execute_at(at(10.0), scale);
    timeline.seek(at(30.0));
    let later: Vec<_> = facts(&timeline);
    assert_eq!(by_pod(&later).len(), 1, "the new Pods get nothing");
    // Without keep-alive each of them gets its eighth.
    let mut other = run(8, WEB, "{rate: 50, target: 'http://web/'}", "");
    other.seek(at(20.0));
    assert_eq!(by_pod(&facts(&other)).len(), 8);
    // The server drains: it closes the idle connection, and the client opens the next one to another Pod.
    let pod = later[0].pod.unwrap();
    let name = timeline.cluster().pod_views().into_iter().find(|p| p.id.0 == pod.0).unwrap().name;
    timeline.execute_at(
        at(30.0),
        Command::Fault(Fault::DeletePod { pod: PodRef::Named { namespace: "default".into(), name } }),
    );
    timeline.seek(at(40.0));
    let all = facts(&timeline);
    assert_eq!(by_pod(&all).len(), 2, "another one from now on");
    // Until the rules know (controller 6 ms, watch 6 ms, sync 60 ms, and 1 s if one came just before) one in eight new
    // connections is refused; a request that crosses the FIN is reset.
    assert!(all.len() - count(&all, Outcome::Answered) <= 3, "{all:?}");
}

/// A connection dies with its server's process, and with its machine only when somebody waits in vain.
#[test]
fn kept_connections_break_with_their_server() {
    let client = "{rate: 20, arrival: steady, target: 'http://web/', connections: 2}";
    let mut timeline = run(1, WEB, client, "");
    timeline.execute_at(at(5.0), Command::Fault(Fault::KillProcess { pod: web(1) }));
    timeline.seek(at(15.0));
    let failed: Vec<_> = facts(&timeline).into_iter().filter(|f| f.outcome != Outcome::Answered).collect();
    // The process is back after 1 s of relist, 0.12 s and its start-up of 0.5 s; the next relist finds it, and the rules
    // have it a sync later: 1.06 s.
    assert!(!failed.is_empty() && failed.iter().all(|f| matches!(f.outcome, Outcome::Refused | Outcome::Reset)));
    assert!(failed.iter().all(|f| (5.0..8.8).contains(&f.sent.as_secs_f64())), "{failed:?}");
    let mut timeline = run(1, WEB, client, "");
    timeline.execute_at(at(5.0), Command::Fault(Fault::CutPod { pod: web(1) }));
    timeline.execute_at(at(8.0), Command::Fault(Fault::JoinPod { pod: web(1) }));
    timeline.seek(at(15.0));
    let failed: Vec<_> = facts(&timeline).into_iter().filter(|f| f.outcome != Outcome::Answered).collect();
    assert!(failed.len() > 30 && failed.iter().all(|f| f.outcome == Outcome::TimedOut));
    // A segment is sent again after 0.2, 0.6 s; a SYN not within the second that the client waits.
    assert!(failed.iter().all(|f| f.sent < at(8.0)), "{failed:?}");
}

/// The server closes what has been idle for its keep-alive time; `0s` closes each connection after its answer.
#[test]
fn idle_connections_are_closed() {
    let client = "{rate: 1, arrival: steady, target: 'http://web/', connections: 1}";
    for (keep, opened) in [("keepAlive: 300ms", 10), ("keepAlive: 5s", 1), ("keepAlive: 0s", 10)] {
        let workload = WEB.replace("}, port", &format!("}}, {keep}, port"));
        let mut timeline = run(2, &workload, client, "");
        timeline.seek(at(10.5));
        assert!(facts(&timeline).iter().all(|f| f.outcome == Outcome::Answered), "{keep}");
        // conntrack remembers closed connections for two minutes.
        let node = timeline.cluster().machine("node-a").unwrap();
        assert_eq!(node.kernel.conntrack().iter(at(10.5)).count(), opened, "{keep}");
        let open = timeline.cluster().connections().count();
        assert_eq!(open, usize::from(opened == 1), "{keep}");
    }
}

/// More requests than connections: they wait for one.
#[test]
fn a_pool_is_a_limit() {
    let workload = WEB.replace("10ms", "100ms");
    let client = "{rate: 40, arrival: steady, target: 'http://web/', connections: 2, timeout: 30s}";
    let mut timeline = run(2, &workload, client, "");
    timeline.seek(at(20.0));
    let all: Vec<_> = facts(&timeline).into_iter().filter(|f| f.ended >= at(4.0)).collect();
    // A request takes 100 ms and two ways of 40 to 420 us, on each of two connections, for 16 s.
    let done = count(&all, Outcome::Answered);
    assert!((316..=321).contains(&done) && done == all.len(), "{done}");
    assert_eq!(timeline.cluster().connections().filter(|c| !c.closed).count(), 2);
}

/// `connectTimeout` ends what finds nobody; a slow answer has until `timeout`.
#[test]
fn connecting_has_a_time_limit_of_its_own() {
    let workload = WEB.replace("10ms", "400ms");
    let client = "{rate: 10, arrival: steady, target: 'http://web/', timeout: 2s, connectTimeout: 100ms}";
    let mut timeline = run(1, &workload, client, "");
    timeline.execute_at(at(5.0), Command::Fault(Fault::CutPod { pod: web(1) }));
    timeline.seek(at(10.0));
    for fact in facts(&timeline) {
        let sent = fact.sent.as_secs_f64();
        match fact.outcome {
            Outcome::Answered => assert!(sent < 4.61 && took(&fact) > 0.4, "{fact:?}"),
            _ if sent < 5.0 => assert_eq!(fact.ended.since(fact.sent), Span::from_secs(2)),
            _ => assert_eq!(fact.ended.since(fact.sent), Span::from_millis(100)),
        }
    }
}

/// Linux sends a SYN again after 1 s, then after 2 s more: who waits long enough is answered late.
#[test]
fn a_syn_is_sent_again() {
    let client = "{rate: 10, arrival: steady, target: 'http://web/', timeout: 10s}";
    let mut timeline = run(1, WEB, client, "");
    timeline.execute_at(at(5.0), Command::Fault(Fault::CutPod { pod: web(1) }));
    timeline.execute_at(at(7.0), Command::Fault(Fault::JoinPod { pod: web(1) }));
    timeline.seek(at(20.0));
    let all = facts(&timeline);
    assert!(all.iter().all(|f| f.outcome == Outcome::Answered));
    for fact in all.iter().filter(|f| f.sent > at(5.0) && f.sent < at(7.0)) {
        let sent = fact.sent.as_secs_f64();
        // Sent before 6 s, also the second SYN is lost.
        let late = if sent < 5.999 { 3.0 } else { 1.0 };
        assert!((late + 0.010..late + 0.014).contains(&took(fact)), "{fact:?}");
    }
}

/// From outside a request comes by a node's port, and that node's rules choose the endpoint.
#[test]
fn clients_outside_come_by_node_ports() {
    let more = "---\napiVersion: v1\nkind: Service\nmetadata: {name: open}\nspec:\n  type: NodePort\n  selector: {app: web}\n  \
                ports: [{port: 80, targetPort: 8080, nodePort: 30080}]\n  externalIPs: [198.51.100.9]\n";
    for (target, right) in [
        ("http://192.168.10.12:30080/", true),
        ("http://198.51.100.9/", true),
        ("http://10.96.0.1:443/", false),
        ("http://10.244.1.2:8080/", false),
    ] {
        let client = format!("{{from: outside, rate: 20, target: '{target}'}}");
        let mut timeline = run(3, WEB, &client, more);
        timeline.seek(at(20.0));
        let all = facts(&timeline);
        let wanted = if right { Outcome::Answered } else { Outcome::TimedOut };
        assert!(all.len() > 200 && all.iter().all(|f| f.outcome == wanted), "{target} {all:?}");
        if right {
            assert_eq!(by_pod(&all).len(), 3, "{target}");
            // 5 to 10 ms through the internet, four times.
            assert!(all.iter().all(|f| (0.030..0.0525).contains(&took(f))), "{target}");
        }
    }
    let mut timeline = run(3, WEB, "{from: outside, target: 'http://web/'}", more);
    timeline.seek(at(5.0));
    assert!(facts(&timeline).iter().all(|f| f.outcome == Outcome::NoSuchName));
}

#[test]
fn what_cannot_be_is_told_with_its_place() {
    for (spec, path) in [
        ("{users: 5000}", "spec.users"),
        ("{users: 5, thinkTime: 0s}", "spec.thinkTime"),
        ("{connections: 2}", "spec.connections"),
        ("{connections: 2, target: 'udp://web/'}", "spec.connections"),
        ("{rate: [{at: 5s, rate: 1}, {at: 5s, rate: 2}]}", "spec.rate"),
        ("{rate: -1}", "spec.rate"),
        ("{from: outside, node: node-a}", "spec.node"),
        ("{retries: {max: 1, backoff: 0s}}", "spec.retries.backoff"),
        ("{retries: {after: [answered]}}", "spec.retries.after"),
        ("{retries: {often: 1}}", "spec.retries.often"),
    ] {
        let text = format!("apiVersion: lab/v1\nkind: Client\nmetadata: {{name: c}}\nspec: {spec}\n");
        let (_, diagnostics, _) = Timeline::new(&text, None, ());
        let told: Vec<_> = diagnostics.iter().map(|d| d.path.as_str()).collect();
        assert_eq!(told, [path], "{spec} {diagnostics:?}");
    }
}
