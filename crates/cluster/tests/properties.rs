//! What holds in every cluster, whatever is done to it.

use cluster::{Recording, Timeline};
use kube_api::{NamespacedName, Service};
use lab_base::{Span, Time};
use lab_protocol::{Command, Fault, Outcome, PodRef};
use proptest::prelude::*;

const SCENARIO: &str = include_str!("data/web.yaml");
const GOOD: &str = include_str!("data/service.yaml");
const WRONG: &str = include_str!("data/service-wrong-selector.yaml");
const V2: &str = include_str!("data/deployment-v2.yaml");

fn web(nth: u32) -> PodRef {
    PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth }
}

fn command() -> impl Strategy<Value = Command> {
    let node = || prop::sample::select(vec!["node-a", "node-b", "node-c", "nowhere"]).prop_map(str::to_owned);
    let pod = || (1u32..6).prop_map(web);
    prop_oneof![
        pod().prop_map(|pod| Command::Fault(Fault::KillProcess { pod })),
        pod().prop_map(|pod| Command::Fault(Fault::DeletePod { pod })),
        pod().prop_map(|pod| Command::Fault(Fault::KillPod { pod })),
        pod().prop_map(|pod| Command::Fault(Fault::FailReadiness { pod })),
        pod().prop_map(|pod| Command::Fault(Fault::PassReadiness { pod })),
        pod().prop_map(|pod| Command::Fault(Fault::CutPod { pod })),
        pod().prop_map(|pod| Command::Fault(Fault::JoinPod { pod })),
        node().prop_map(|node| Command::Fault(Fault::PowerOff { node })),
        node().prop_map(|node| Command::Fault(Fault::PowerOn { node })),
        node().prop_map(|node| Command::Fault(Fault::CutNode { node })),
        node().prop_map(|node| Command::Fault(Fault::JoinNode { node })),
        pod().prop_map(|pod| Command::Fault(Fault::FillPod { pod })),
        pod().prop_map(|pod| Command::Fault(Fault::SlowPod { pod, factor: 30 })),
        pod().prop_map(|pod| Command::Fault(Fault::MendPod { pod })),
        node().prop_map(|node| Command::Fault(Fault::StopProxy { node })),
        node().prop_map(|node| Command::Fault(Fault::StartProxy { node })),
        node().prop_map(|node| Command::Fault(Fault::StopKubelet { node })),
        node().prop_map(|node| Command::Fault(Fault::StartKubelet { node })),
        prop::sample::select(vec![
            Fault::StopApiServer,
            Fault::StartApiServer,
            Fault::StopControllerManager,
            Fault::StartControllerManager,
            Fault::StopScheduler,
            Fault::StartScheduler,
            Fault::StopController { controller: "replicaset-controller".into() },
            Fault::StartController { controller: "replicaset-controller".into() },
        ])
        .prop_map(Command::Fault),
        prop::sample::select(vec!["a", "b", "nowhere"])
            .prop_map(|zone| Command::Fault(Fault::PowerOffZone { zone: zone.into() })),
        prop::sample::select(vec![GOOD, WRONG, V2, "kind: nonsense", "{"])
            .prop_map(|yaml| Command::Apply { yaml: yaml.into() }),
        prop::sample::select(vec![("Service", "web"), ("Deployment", "web"), ("Pod", "no-such")]).prop_map(
            |(kind, name)| { Command::Delete { kind: kind.into(), namespace: "default".into(), name: name.into() } }
        ),
    ]
}

fn commands() -> impl Strategy<Value = Vec<(u64, Command)>> {
    prop::collection::vec((0u64..60_000, command()), 0..8).prop_map(|mut list| {
        list.sort_by_key(|(at, _)| *at);
        list
    })
}

/// Endpoints of the Service as a node's rules have them.
fn endpoints(timeline: &Timeline, node: &str) -> Vec<std::net::SocketAddr> {
    let key = NamespacedName::new("default", "web");
    let machine = timeline.cluster().machine(node).expect("node");
    machine.loaded.endpoints(&key, "").into_iter().map(|e| e.endpoint).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A run can be gone back in, repeated from its recording, and comes to the same state each time.
    #[test]
    fn replay_equals_run(commands in commands(), seed in 0u64..1_000, back in 0u64..60_000) {
        let (mut timeline, _, _) = Timeline::new(SCENARIO, Some(seed), ());
        for (at, command) in commands {
            timeline.execute_at(Time::from_millis(at), command);
        }
        let end = Time::from_secs(75);
        timeline.seek(end);
        let hash = timeline.cluster().state_hash();
        timeline.seek(Time::from_millis(back));
        timeline.advance(end, &mut { u64::MAX });
        prop_assert_eq!(timeline.cluster().state_hash(), hash.clone());
        let recording: Recording = timeline.recording();
        prop_assert_eq!(recording.replay(), hash);
    }

    /// Clients of every kind send until 60 s. Soon after each of their requests has ended, and in one way only.
    #[test]
    fn every_request_ends_once(commands in commands(), seed in 0u64..1_000) {
        let clients: String = ["connections: 3", "retries: {max: 3}", "users: 5, connections: 2", "connectTimeout: 50ms"]
            .iter()
            .enumerate()
            .map(|(i, more)| format!(
                "---\n{{apiVersion: lab/v1, kind: Client, metadata: {{name: c{i}}}, spec: {{target: 'http://web/', node: node-b, \
                 rate: [{{at: 0s, rate: 20}}, {{at: 60s, rate: 0}}], {more}}}}}\n"
            ))
            .collect();
        let (mut timeline, _, _) = Timeline::new(&format!("{SCENARIO}{clients}"), Some(seed), ());
        timeline.set_commands(
            commands
                .into_iter()
                .enumerate()
                .map(|(seq, (at, command))| lab_protocol::Recorded { at: Time::from_millis(at), seq: seq as u64, command })
                .collect(),
        );
        // Four attempts of a second each, and back-offs of 0.1, 0.2 and 0.4 s; DNS gives up after 10 s.
        timeline.seek(Time::from_secs(80));
        for client in timeline.cluster().clients() {
            let (sent, ended) = (client.sent, client.counts.total());
            // Users and the scenario's own client never stop: what they have under way is theirs.
            let under_way = match client.name.as_str() {
                "frontend" => 60,
                "c2" => 5,
                _ => 0,
            };
            prop_assert!(ended <= sent && sent - ended <= under_way, "{}: {sent} sent, {ended} ended", client.name);
        }
        let facts = timeline.cluster().facts();
        prop_assert_eq!(facts.totals().total(), facts.requests().len() as u64);
    }

    /// Parts of a failover follow one another without gaps, its failed requests are those of the facts in its time, and
    /// going back and on tells the same.
    #[test]
    fn failovers_add_up(commands in commands(), seed in 0u64..1_000, back in 0u64..60_000) {
        let (mut timeline, _, _) = Timeline::new(SCENARIO, Some(seed), ());
        for (at, command) in commands {
            timeline.execute_at(Time::from_millis(at), command);
        }
        let end = Time::from_secs(75);
        timeline.seek(end);
        let told = timeline.cluster().facts().failovers().views();
        for failover in &told {
            let parts = failover.courses.iter().flat_map(|c| &c.parts);
            let counted = failover.elsewhere.failed() + parts.map(|p| p.failed.failed()).sum::<u64>();
            let requests = timeline.cluster().facts().requests().iter();
            let within = requests.filter(|r| {
                let in_time = r.ended > failover.at && failover.until.is_none_or(|until| r.sent < until);
                r.outcome != Outcome::Answered && in_time
            });
            prop_assert_eq!(counted, within.count() as u64, "{:#?}", failover);
            for course in &failover.courses {
                let mut from = Some(course.at);
                for part in &course.parts {
                    prop_assert_eq!(Some(part.from), from, "{:#?}", course);
                    prop_assert!(part.to.is_none_or(|to| to >= part.from), "{:#?}", course);
                    from = part.to;
                }
                prop_assert_eq!(from, course.until, "{:#?}", course);
                prop_assert!(course.steps.windows(2).all(|pair| pair[0].at <= pair[1].at));
            }
        }
        timeline.seek(Time::from_millis(back));
        timeline.seek(end);
        prop_assert_eq!(timeline.cluster().facts().failovers().views(), told);
    }

    /// No request reaches an endpoint that its node's rules don't have, and every request ends in one way, in time.
    #[test]
    fn requests_go_where_the_rules_say(commands in commands(), seed in 0u64..1_000) {
        let (mut timeline, _, _) = Timeline::new(SCENARIO, Some(seed), ());
        timeline.set_commands(
            commands
                .into_iter()
                .enumerate()
                .map(|(seq, (at, command))| lab_protocol::Recorded { at: Time::from_millis(at), seq: seq as u64, command })
                .collect(),
        );
        // A request that was opened just before a look arrives just after it.
        let mut earlier = endpoints(&timeline, "node-a");
        let mut before = earlier.clone();
        let mut fates = std::collections::BTreeMap::new();
        for step in 1..=3_000u64 {
            timeline.advance(Time::from_millis(step * 20), &mut u64::MAX.clone());
            let after = endpoints(&timeline, "node-a");
            let known = |address: &str| earlier.iter().chain(&before).chain(&after).any(|e| e.ip().to_string() == address);
            for motion in timeline.cluster_mut().take_motions() {
                prop_assert!(motion.sent <= motion.arrives && motion.arrives <= motion.ends.max(motion.arrives));
                prop_assert!(motion.ends.since(motion.sent) <= Span::from_millis(1_001));
                if motion.outcome == Outcome::Answered {
                    let pod = motion.pod.expect("answered by a Pod");
                    let view = timeline.cluster().pod_views().into_iter().find(|p| p.id == pod);
                    // A Pod that has gone since has no address to compare.
                    if let Some(view) = view.filter(|v| !v.ip.is_empty()) {
                        prop_assert!(known(&view.ip), "{} at {}", view.name, motion.arrives);
                    }
                }
                fates.insert(motion.id, motion);
            }
            earlier = std::mem::replace(&mut before, after);
        }
        // What was told of a request is what became of it.
        let told = fates.values().filter(|m| m.ends <= Time::from_secs(58) && m.outcome == Outcome::Answered).count();
        let counted = timeline
            .cluster()
            .facts()
            .requests_in(Time::ZERO, Time::from_micros(58_000_001))
            .filter(|r| r.outcome == Outcome::Answered)
            .count();
        prop_assert_eq!(told, counted);
        prop_assert!(timeline.cluster().store().list::<Service>().count() >= 1);
    }
}

#[test]
fn absurd_numbers_are_bounded() {
    let (mut timeline, _, _) = Timeline::new("", None, ());
    let yaml = V2.replace("replicas: 4", "replicas: 2000000000");
    let (_, applied) = timeline.execute_at(Time::from_secs(1), Command::Apply { yaml });
    assert_eq!(applied.results, ["deployment.apps/web created"], "{:?}", applied.diagnostics);
    timeline.seek(Time::from_secs(20));
    let pods = timeline.cluster().pod_views();
    assert_eq!(pods.len(), 1_000);
    // Three nodes hold 110 each; the others wait.
    assert_eq!(pods.iter().filter(|p| !p.node.is_empty()).count(), 330);
    assert!(timeline.cluster().facts().marks().iter().any(|m| m.phrase.id == "mark-pod-limit"));
}
