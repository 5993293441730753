//! Faults of servers, links, kube-proxies and zones, and what clients see of them (SPEC section 10). Bounds are computed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cluster::{RequestFact, Timeline};
use lab_base::{Span, Time};
use lab_protocol::{Command, Fault, Outcome, PodRef};

fn scenario(client: &str, service: &str, faults: &str) -> String {
    let (_, rest) = include_str!("data/web.yaml").split_once("---\n").unwrap();
    let documents: Vec<&str> = rest.split("---\n").filter(|d| !d.contains("kind: Client")).collect();
    format!(
        "apiVersion: lab/v1\nkind: Cluster\nspec:\n  seed: 5\n  nodes: [{{name: node-a, zone: a}}, {{name: node-b, zone: a}}, \
         {{name: node-c, zone: b}}, {{name: node-d, zone: b}}]\n---\n\
         apiVersion: lab/v1\nkind: Client\nmetadata: {{name: c}}\nspec: {client}\n---\n{}  {service}\n{faults}",
        documents.join("---\n")
    )
}

fn run(text: &str) -> Timeline {
    let (timeline, diagnostics, refused) = Timeline::new(text, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

const CLIENT: &str = "{node: node-a, target: 'http://web/', rate: 40}";

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

fn sent_in(timeline: &Timeline, from: f64, to: f64) -> Vec<RequestFact> {
    let all = timeline.cluster().facts().requests().iter();
    all.filter(|f| f.sent >= at(from) && f.sent < at(to)).copied().collect()
}

fn failed(facts: &[RequestFact]) -> Vec<(f64, Outcome)> {
    facts.iter().filter(|f| f.outcome != Outcome::Answered).map(|f| (f.sent.as_secs_f64(), f.outcome)).collect()
}

fn web(nth: u32) -> PodRef {
    PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth }
}

fn delete(nth: u32) -> Command {
    Command::Fault(Fault::DeletePod { pod: web(nth) })
}

/// A full server answers probes with 503 too: out after three of them, 2 s apart.
#[test]
fn a_full_pod_is_taken_out() {
    let mut timeline = run(&scenario(CLIENT, "", ""));
    timeline.execute_at(at(10.0), Command::Fault(Fault::FillPod { pod: web(2) }));
    timeline.seek(at(30.0));
    let lost = failed(&sent_in(&timeline, 0.0, 30.0));
    assert!(!lost.is_empty() && lost.iter().all(|(_, o)| *o == Outcome::ServerError), "{lost:?}");
    // Three probes 6 s at most, status 25 ms, controller and watch 12 ms, minSyncPeriod 1 s, sync 60 ms.
    assert!(lost.iter().all(|(sent, _)| (10.0..17.1).contains(sent)), "{lost:?}");
    timeline.execute_at(at(30.0), Command::Fault(Fault::MendPod { pod: web(2) }));
    timeline.seek(at(50.0));
    assert!(failed(&sent_in(&timeline, 30.0, 48.0)).is_empty());
}

/// A slow server is well by its probes until an answer takes them longer than their second.
#[test]
fn a_slow_pod_stays_in() {
    let mut timeline = run(&scenario(CLIENT, "", ""));
    timeline.execute_at(at(10.0), Command::Fault(Fault::SlowPod { pod: web(1), factor: 40 }));
    timeline.seek(at(60.0));
    let all = sent_in(&timeline, 10.0, 58.0);
    // 800 ms on average, of which a second is waited for: e^(-1/0.8) = 0.287 of a quarter of all.
    let share = failed(&all).len() as f64 / all.len() as f64;
    // 1,920 requests: 5 standard deviations are 0.03.
    assert!((share - 0.0717).abs() < 0.03, "{share}");
    assert!(failed(&all).iter().all(|(_, o)| *o == Outcome::TimedOut));
}

/// A slow cable is paid twice for a handshake, and twice for request and answer; a kept connection saves the first.
#[test]
fn a_slow_link_costs_round_trips() {
    for (connections, ways) in [(0, 4.0), (4, 2.0)] {
        let client = format!("{{node: node-a, target: 'http://web/', rate: 40, connections: {connections}}}");
        let mut timeline = run(&scenario(&client, "", ""));
        timeline.execute_at(
            at(10.0),
            Command::Fault(Fault::SlowLink { node: "node-a".into(), delay: Span::from_millis(50) }),
        );
        timeline.seek(at(40.0));
        let all = sent_in(&timeline, 12.0, 38.0);
        assert!(failed(&all).is_empty());
        let pods = timeline.cluster().pod_views();
        let is_far = |f: &&RequestFact| pods.iter().any(|p| Some(p.id.0) == f.pod.map(|u| u.0) && p.node != "node-a");
        let far: Vec<f64> = all.iter().filter(is_far).map(|f| f.ended.since(f.sent).as_secs_f64()).collect();
        let least = far.iter().copied().fold(f64::MAX, f64::min);
        assert!((ways * 0.050..ways * 0.050 + 0.006).contains(&least), "{connections}: {least}");
    }
}

/// One SYN or its answer in five is lost (1 - 0.9 * 0.9 = 0.19): such a request waits for a second, then for two more.
#[test]
fn lost_packets_are_sent_again() {
    let client = "{node: node-a, target: 'http://web/', rate: 40, timeout: 20s}";
    let mut timeline = run(&scenario(client, "", ""));
    timeline.execute_at(at(1.0), Command::Fault(Fault::LosePackets { node: "node-c".into(), percent: 10 }));
    timeline.seek(at(100.0));
    let all = sent_in(&timeline, 1.0, 79.0);
    assert!(failed(&all).is_empty());
    // Of the requests to the Pod on node-c: one in four.
    let pods = timeline.cluster().pod_views();
    let there = pods.iter().find(|p| p.node == "node-c").unwrap().id.0;
    let (there, others): (Vec<_>, Vec<_>) = all.iter().partition(|f| f.pod.is_some_and(|p| p.0 == there));
    let late = |facts: &[&RequestFact], than: f64| {
        let late = facts.iter().filter(|f| f.ended.since(f.sent).as_secs_f64() > than).count();
        late as f64 / facts.len() as f64
    };
    assert_eq!(late(&others, 0.9), 0.0);
    // 5 standard deviations for 780 requests: 0.07; a lost segment costs 0.2 s only.
    assert!((late(&there, 0.95) - 0.19).abs() < 0.07, "{}", late(&there, 0.95));
    assert!((late(&there, 2.95) - 0.036).abs() < 0.034, "{}", late(&there, 2.95));
    assert!(timeline.execute_at(at(100.0), Command::Fault(Fault::MendLink { node: "node-c".into() })).0.is_some());
    assert!(timeline.execute_at(at(100.0), Command::Fault(Fault::MendLink { node: "node-c".into() })).0.is_none());
}

/// While kube-proxy is away a node's rules grow old: its clients go on to an endpoint that is gone.
#[test]
fn rules_stay_while_kube_proxy_is_away() {
    let mut timeline = run(&scenario(CLIENT, "", ""));
    let node = || "node-a".to_owned();
    timeline.execute_at(at(5.0), Command::Fault(Fault::StopProxy { node: node() }));
    timeline.execute_at(at(6.0), delete(1));
    timeline.execute_at(at(20.0), Command::Fault(Fault::StartProxy { node: node() }));
    timeline.seek(at(40.0));
    let lost = failed(&sent_in(&timeline, 7.0, 20.0));
    // A quarter of 40 a second for 13 s: 130, 5 standard deviations 50.
    assert!(lost.len().abs_diff(130) < 50, "{}", lost.len());
    // It lists and syncs within 1.6 s and 60 ms.
    assert!(failed(&sent_in(&timeline, 21.7, 38.0)).is_empty());
}

/// With zone hints clients of the other zone don't notice; without them a part of everybody's requests is lost until the
/// leases are found old (SPEC section 5: 50 to 65 s from 1.32).
#[test]
fn a_zone_loses_power() {
    let client = "{node: node-c, target: 'http://web/', rate: 20}";
    let fault = "---\n{apiVersion: lab/v1, kind: Fault, spec: {at: 10s, type: powerOffZone, zone: a}}\n";
    let mut lost = Vec::new();
    for service in ["", "trafficDistribution: PreferClose"] {
        let mut timeline = run(&scenario(client, service, fault));
        timeline.seek(at(100.0));
        assert!(timeline.cluster().machines().filter(|m| !m.powered).all(|m| m.zone == "a"));
        assert!(failed(&sent_in(&timeline, 0.0, 9.9)).is_empty());
        // 65 s, 12 ms, and a sync of 1.06 s.
        assert!(failed(&sent_in(&timeline, 76.1, 98.0)).is_empty(), "{service}");
        lost.push(failed(&sent_in(&timeline, 9.9, 76.1)).len());
    }
    // Half of 20 a second for 50 s at least.
    assert!(lost[0] > 400 && lost[1] == 0, "{lost:?}");
}

/// The socket of a UDP client stays, so conntrack keeps its endpoint; kube-proxy deletes the entry when the endpoint goes,
/// on events up to 1.31 and by comparing from 1.32 on (SPEC section 6.7).
#[test]
fn a_udp_client_moves_when_its_endpoint_goes() {
    for release in ["1.30", "1.31", "1.32", "1.36"] {
        let client = "{node: node-a, target: 'udp://web:53/', rate: 20, arrival: steady}";
        let text = scenario(client, "", "")
            .replace("port: 80, targetPort: 8080", "port: 53, protocol: UDP, targetPort: 8080")
            .replace("  seed: 5\n", &format!("  seed: 5\n  release: '{release}'\n"));
        let mut timeline = run(&text);
        timeline.seek(at(10.0));
        let all = sent_in(&timeline, 0.0, 9.9);
        assert!(failed(&all).is_empty() && all.len() > 190);
        let first = all[0].pod.unwrap();
        assert!(all.iter().all(|f| f.pod == Some(first)), "{release}: one socket, one endpoint");
        let name = timeline.cluster().pod_views().into_iter().find(|p| p.id.0 == first.0).unwrap().name;
        let pod = PodRef::Named { namespace: "default".into(), name };
        timeline.execute_at(at(10.0), Command::Fault(Fault::KillPod { pod }));
        timeline.seek(at(40.0));
        // Controller and watch 12 ms, minSyncPeriod 1 s, sync 60 ms.
        let lost = failed(&sent_in(&timeline, 9.9, 40.0));
        assert!(!lost.is_empty() && lost.iter().all(|(sent, _)| *sent < 11.1), "{release} {lost:?}");
        let later: std::collections::BTreeSet<_> = sent_in(&timeline, 12.0, 38.0).iter().map(|f| f.pod).collect();
        assert!(later.len() == 1 && !later.contains(&Some(first)), "{release}: another one, and only that");
    }
}

/// A rolling update loses requests when Pods end before every node's rules know, and none with a preStop pause that is
/// longer than that (SPEC section 3.4: endpoint and SIGTERM have no order).
#[test]
fn a_rolling_update_needs_a_pause() {
    let v2 = |text: &str| {
        let documents = text.split("---\n").filter(|d| d.contains("kind: Deployment"));
        documents.map(|d| d.replace("shop/web:1", "shop/web:2")).collect::<String>()
    };
    let base = scenario("{node: node-a, target: 'http://web/', rate: 200}", "", "");
    let paused = base.replace(
        "          readinessProbe:",
        "          lifecycle: {preStop: {sleep: {seconds: 5}}}\n          readinessProbe:",
    );
    let mut lost = Vec::new();
    for text in [base, paused] {
        let mut timeline = run(&text);
        timeline.execute_at(at(5.0), Command::Apply { yaml: v2(&text) });
        timeline.seek(at(60.0));
        let failed = failed(&sent_in(&timeline, 0.0, 58.0));
        assert!(failed.iter().all(|(_, o)| matches!(o, Outcome::Refused | Outcome::TimedOut)), "{failed:?}");
        // Four Pods, each a quarter of 200 a second for 1.1 s at most.
        assert!(failed.len() < 220, "{}", failed.len());
        lost.push(failed.len());
    }
    assert!(lost[0] > 0 && lost[1] == 0, "{lost:?}");
}

/// Without Pods a Service refuses at once; scaled up again it answers as soon as the first Pod is ready.
#[test]
fn to_zero_and_back() {
    let mut timeline = run(&scenario(CLIENT, "", ""));
    let scale = |n: u32| Command::Patch {
        kind: "Deployment".into(),
        namespace: "default".into(),
        name: "web".into(),
        patch: format!("spec: {{replicas: {n}}}"),
    };
    timeline.execute_at(at(5.0), scale(0));
    timeline.execute_at(at(20.0), scale(3));
    timeline.seek(at(40.0));
    let none = sent_in(&timeline, 6.2, 20.0);
    assert!(none.iter().all(|f| f.outcome == Outcome::Refused && f.ended.since(f.sent) < Span::from_millis(3)));
    assert!(none.len() > 400);
    // Sandbox 0.4 s, start 1.8 s, start-up 1 s, relist 1 s, probe 2 s, status and rules 1.2 s.
    assert!(failed(&sent_in(&timeline, 27.5, 39.0)).is_empty());
}
