//! The whole way: YAML -> store -> controllers -> slices -> kube-proxy -> rules -> packets.
//! Bounds come from the constants of the components, not from earlier runs.

use cluster::{Cluster, Timeline};
use kube_api::{EndpointSlice, Pod, Service};
use lab_base::{Span, Time};
use lab_protocol::{Command, Fault, Outcome, PodRef};

const SCENARIO: &str = include_str!("data/web.yaml");

fn run(scenario: &str) -> Timeline {
    let (timeline, diagnostics, refused) = Timeline::new(scenario, None, ());
    assert!(diagnostics.iter().all(|d| d.severity != kube_api::Severity::Error), "{diagnostics:?}");
    assert!(refused.is_empty(), "{refused:?}");
    timeline
}

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6) as u64)
}

fn web(nth: u32) -> PodRef {
    PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth }
}

fn ready_endpoints(cluster: &Cluster) -> Vec<String> {
    cluster
        .store()
        .list::<EndpointSlice>()
        .filter(|s| s.metadata.name != "kubernetes")
        .flat_map(|s| s.endpoints.iter().filter(|e| e.conditions.ready == Some(true)).map(|e| e.addresses[0].clone()))
        .collect()
}

fn failures(cluster: &Cluster, from: Time, to: Time) -> Vec<(f64, Outcome)> {
    cluster
        .facts()
        .requests_in(from, to)
        .filter(|r| r.outcome != Outcome::Answered)
        .map(|r| (r.ended.as_secs_f64(), r.outcome))
        .collect()
}

#[test]
fn everything_is_up_and_settled_at_time_zero() {
    let timeline = run(SCENARIO);
    let cluster = timeline.cluster();
    assert_eq!(cluster.now(), Time::ZERO);
    let pods: Vec<_> = cluster.store().list::<Pod>().collect();
    assert_eq!(pods.len(), 4);
    assert!(pods.iter().all(|p| p.is_ready()), "{pods:#?}");
    assert_eq!(ready_endpoints(cluster).len(), 4);
    for machine in cluster.machines() {
        assert_eq!(machine.behind_since(), None, "{}", machine.name);
        assert!(machine.kernel.rules().rule_count() > 20);
    }
    let service = cluster.service_views().remove(0);
    assert_eq!(service.lists.len(), 1, "all nodes agree");
    assert_eq!(service.lists[0].endpoints.len(), 4);
}

#[test]
fn traffic_flows_in_proportion_to_the_rules() {
    let mut timeline = run(SCENARIO);
    timeline.seek(at(60.0));
    let cluster = timeline.cluster();
    let totals = cluster.facts().totals();
    assert_eq!(totals.failed(), 0, "{totals:?}");
    // 40 a second for 60 s: 2400 +- 5 standard deviations of a Poisson count.
    assert!(totals.total().abs_diff(2_400) < 250, "{totals:?}");
    for pod in cluster.pod_views() {
        // Binomial n = 2400, p = 1/4: standard deviation 21.2; 5 of them.
        assert!(pod.answered.abs_diff(totals.total() / 4) < 106, "{} {}", pod.name, pod.answered);
    }
}

#[test]
fn a_selector_that_matches_nothing_refuses_at_once() {
    let mut timeline = run(SCENARIO);
    let yaml = include_str!("data/service-wrong-selector.yaml");
    let (recorded, applied) = timeline.execute_at(at(5.0), Command::Apply { yaml: yaml.into() });
    assert_eq!(applied.results, ["service/web configured"]);
    assert!(recorded.is_some());
    timeline.seek(at(20.0));
    let cluster = timeline.cluster();
    assert!(ready_endpoints(cluster).is_empty());
    // Controller 6 ms + watch 6 ms + minSyncPeriod 1 s at most + sync 60 ms: all is refused after 7 s.
    assert!(failures(cluster, at(0.0), at(5.0)).is_empty());
    let late: Vec<_> = cluster.facts().requests_in(at(7.0), at(20.0)).collect();
    assert!(late.len() > 300);
    assert!(late.iter().all(|r| r.outcome == Outcome::Refused && r.ended.since(r.sent) < Span::from_millis(2)));
    // Mended: traffic flows again.
    let good = include_str!("data/service.yaml");
    timeline.execute_at(at(20.0), Command::Apply { yaml: good.into() });
    timeline.seek(at(30.0));
    assert!(failures(timeline.cluster(), at(22.0), at(30.0)).is_empty());
}

#[test]
fn a_killed_process_is_refused_until_its_endpoint_is_out() {
    let mut timeline = run(SCENARIO);
    timeline.execute_at(at(10.0), Command::Fault(Fault::KillProcess { pod: web(2) }));
    timeline.seek(at(30.0));
    let cluster = timeline.cluster();
    let failed = failures(cluster, at(0.0), at(30.0));
    assert!(failed.iter().all(|(_, o)| matches!(o, Outcome::Refused | Outcome::Reset)), "{failed:?}");
    assert!(failed.iter().any(|(_, o)| *o == Outcome::Refused));
    // Relist 1 s + status 25 ms + controller 6 ms + watch 6 ms + minSyncPeriod 1 s + sync 60 ms.
    assert!(failed.iter().all(|(t, _)| (10.0..12.2).contains(t)), "{failed:?}");
    // First restart at once: the Pod is back, the same one.
    assert_eq!(ready_endpoints(cluster).len(), 4);
    assert_eq!(cluster.pod_views().iter().map(|p| p.restarts).max(), Some(1));
}

#[test]
fn a_deleted_pod_is_replaced_and_its_share_goes_to_the_others() {
    let mut timeline = run(SCENARIO);
    let before: Vec<String> = timeline.cluster().pod_views().into_iter().map(|p| p.name).collect();
    timeline.execute_at(at(10.0), Command::Fault(Fault::DeletePod { pod: web(1) }));
    timeline.seek(at(40.0));
    let cluster = timeline.cluster();
    let after: Vec<String> = cluster.pod_views().into_iter().map(|p| p.name).collect();
    assert_eq!(after.len(), 4);
    assert_eq!(after.iter().filter(|n| !before.contains(n)).count(), 1);
    assert_eq!(ready_endpoints(cluster).len(), 4);
    let new = cluster.pod_views().into_iter().find(|p| !before.contains(&p.name)).expect("replacement");
    assert!(new.answered > 50, "it has its share: {}", new.answered);
}

#[test]
fn a_pod_killed_at_once_leaves_silence() {
    // Some 40 ms pass until the rules know, 40 requests a second, a quarter of them to that Pod: 0.4 are lost in a run.
    let mut lost = 0;
    for seed in 1..=20 {
        let mut timeline = Timeline::new(SCENARIO, Some(seed), ()).0;
        timeline.execute_at(at(10.0), Command::Fault(Fault::KillPod { pod: web(1) }));
        timeline.seek(at(15.0));
        let failed = failures(timeline.cluster(), at(0.0), at(15.0));
        assert!(failed.iter().all(|(_, o)| *o == Outcome::TimedOut), "{failed:?}");
        lost += failed.len();
    }
    assert!(lost > 0);
}

#[test]
fn a_dead_node_is_found_by_its_lease() {
    for seed in 1..6 {
        let (mut timeline, _, _) = Timeline::new(SCENARIO, Some(seed), ());
        timeline.execute_at(at(10.0), Command::Fault(Fault::PowerOff { node: "node-b".into() }));
        timeline.seek(at(90.0));
        let cluster = timeline.cluster();
        let mark = cluster.facts().marks().iter().find(|m| m.phrase.id == "mark-node-not-ready").expect("noticed");
        // Grace 50 s, last renewal at most 10 s before, the next poll at most 5 s later.
        let after = mark.at.as_secs_f64() - 10.0;
        assert!((50.0..=65.0).contains(&after), "seed {seed}: {after}");
        let last = failures(cluster, at(0.0), at(90.0)).last().expect("some time out").0;
        assert!(last < mark.at.as_secs_f64() + 2.5, "seed {seed}: failures end with the endpoints: {last}");
    }
}

#[test]
fn unready_is_taken_out_and_back() {
    let mut timeline = run(SCENARIO);
    timeline.execute_at(at(10.0), Command::Fault(Fault::FailReadiness { pod: web(3) }));
    timeline.seek(at(30.0));
    assert_eq!(ready_endpoints(timeline.cluster()).len(), 3);
    assert_eq!(timeline.cluster().facts().totals().failed(), 0, "the process goes on answering");
    timeline.execute_at(
        at(30.0),
        Command::Fault(Fault::PassReadiness {
            pod: PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth: 3 },
        }),
    );
    timeline.seek(at(40.0));
    assert_eq!(ready_endpoints(timeline.cluster()).len(), 4);
}

#[test]
fn the_service_of_every_tutorial() {
    let mut timeline = run(include_str!("data/empty.yaml"));
    let yaml = include_str!("data/my-service.yaml");
    let (_, applied) = timeline.execute_at(at(3.0), Command::Apply { yaml: yaml.into() });
    assert_eq!(applied.results, ["service/my-service created", "deployment.apps/my-app created"]);
    timeline.seek(at(40.0));
    let cluster = timeline.cluster();
    assert_eq!(ready_endpoints(cluster).len(), 3);
    let late: Vec<_> = cluster.facts().requests_in(at(12.0), at(40.0)).collect();
    assert!(late.len() > 100);
    assert!(late.iter().all(|r| r.outcome == Outcome::Answered));
    let service = cluster.store().list::<Service>().find(|s| s.metadata.name == "my-service").expect("stored");
    assert!(service.spec.cluster_ip.starts_with("10.96."));
    let again = timeline.execute_at(at(41.0), Command::Apply { yaml: yaml.into() });
    assert_eq!(again.1.results, ["service/my-service unchanged", "deployment.apps/my-app unchanged"]);
    assert_eq!(again.0, None, "nothing happened, nothing is recorded");
}

#[test]
fn a_rollout_replaces_all_pods() {
    let mut timeline = run(SCENARIO);
    let yaml = include_str!("data/deployment-v2.yaml");
    timeline.execute_at(at(5.0), Command::Apply { yaml: yaml.into() });
    timeline.seek(at(60.0));
    let cluster = timeline.cluster();
    let pods: Vec<_> = cluster.store().list::<Pod>().collect();
    assert_eq!(pods.len(), 4);
    assert!(pods.iter().all(|p| p.spec.containers[0].image == "shop/web:2" && p.is_ready()));
}

#[test]
fn going_back_and_on_again_is_the_same_run() {
    let mut timeline = run(SCENARIO);
    timeline.execute_at(at(7.3), Command::Fault(Fault::KillProcess { pod: web(2) }));
    timeline.execute_at(at(21.0), Command::Fault(Fault::DeletePod { pod: web(1) }));
    timeline.seek(at(60.0));
    let hash = timeline.cluster().state_hash();
    timeline.seek(at(47.2));
    let between = timeline.cluster().state_hash();
    for back in [0.0, 7.3, 20.0, 59.9, 33.333] {
        // What was once there is jumped to.
        timeline.seek(at(back));
        timeline.seek(at(47.2));
        assert_eq!(timeline.cluster().state_hash(), between, "by way of {back}");
        // And gone through again.
        timeline.seek(at(back));
        timeline.advance(at(60.0), &mut { u64::MAX });
        assert_eq!(timeline.cluster().state_hash(), hash, "after going back to {back}");
    }
    // In small steps, as the page runs it.
    timeline.seek(Time::ZERO);
    let mut t: f64 = 0.0;
    while t < 60.0 {
        t += 0.05;
        let mut budget = u64::MAX;
        timeline.advance(at(t.min(60.0)), &mut budget);
    }
    assert_eq!(timeline.cluster().state_hash(), hash);
    let recording = timeline.recording();
    assert_eq!(recording.replay(), hash);
    let json = serde_json::to_string(&recording).expect("json");
    let read: cluster::Recording = serde_json::from_str(&json).expect("json");
    assert_eq!(read, recording);
}

#[test]
fn a_removed_rule_loses_requests() {
    let mut timeline = run(SCENARIO);
    let fault = Fault::RemoveRule { node: "node-a".into(), namespace: "default".into(), service: "web".into() };
    let (done, _) = timeline.execute_at(at(5.0), Command::Fault(fault));
    assert!(done.is_some());
    timeline.seek(at(15.0));
    let late: Vec<_> = timeline.cluster().facts().requests_in(at(6.1), at(15.0)).collect();
    assert!(!late.is_empty() && late.iter().all(|r| r.outcome == Outcome::TimedOut));
}

#[test]
fn what_is_mended_is_recorded_and_what_is_whole_is_not() {
    for (break_it, mend) in [
        (Fault::CutPod { pod: web(1) }, Fault::JoinPod { pod: web(1) }),
        (Fault::FailReadiness { pod: web(1) }, Fault::PassReadiness { pod: web(1) }),
        (Fault::CutNode { node: "node-b".into() }, Fault::JoinNode { node: "node-b".into() }),
        (Fault::PowerOff { node: "node-b".into() }, Fault::PowerOn { node: "node-b".into() }),
    ] {
        let mut timeline = run(SCENARIO);
        let mut does = |t: f64, fault: &Fault| timeline.execute_at(at(t), Command::Fault(fault.clone())).0.is_some();
        assert!(!does(1.0, &mend), "{mend:?}: nothing to mend");
        assert!(does(2.0, &break_it));
        assert!(!does(3.0, &break_it), "{break_it:?}: broken already");
        assert!(does(4.0, &mend));
    }
}

#[test]
fn pods_put_up_with_a_dead_node_for_as_long_as_they_say() {
    let scenario = SCENARIO.replace(
        "      containers:",
        "      tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 30}]\n      containers:",
    );
    for (scenario, patience) in [(SCENARIO, 300.0), (&scenario, 30.0)] {
        let mut timeline = run(scenario);
        timeline.execute_at(at(1.0), Command::Fault(Fault::PowerOff { node: "node-b".into() }));
        timeline.seek(at(80.0));
        let silent =
            timeline.cluster().facts().marks().iter().find(|m| m.phrase.id == "mark-node-not-ready").expect("found").at;
        let terminating = |t: &Timeline| t.cluster().store().list::<Pod>().filter(|p| p.metadata.is_deleting()).count();
        timeline.seek(silent + Span::from_secs(patience as u64) - Span::from_millis(10));
        assert_eq!(terminating(&timeline), 0);
        timeline.seek(silent + Span::from_secs(patience as u64) + Span::from_millis(10));
        assert!(terminating(&timeline) > 0, "evicted after {patience} s, and nobody there to say so");
    }
}

#[test]
fn a_release_reaches_every_proxy() {
    let (timeline, _, _) = Timeline::new("apiVersion: lab/v1\nkind: Cluster\nspec: {release: '1.30'}", None, ());
    assert!(timeline.cluster().machines().all(|m| m.proxier.settings().release.to_string() == "1.30"));
}

/// The rules in a node's kernel are those that `servicelab rules` prints for the objects that the API server holds.
#[test]
fn the_rules_are_those_of_the_terminal() {
    let mut timeline = run(include_str!("data/empty.yaml"));
    let yaml = include_str!("data/my-service.yaml");
    timeline.execute_at(at(3.0), Command::Apply { yaml: yaml.into() });
    timeline.seek(at(40.0));
    let cluster = timeline.cluster();
    let store = cluster.store();
    let mut objects: Vec<kube_api::Object> = Vec::new();
    objects.extend(store.list::<kube_api::Node>().cloned().map(kube_api::Object::Node));
    objects.extend(store.list::<Service>().cloned().map(kube_api::Object::Service));
    objects.extend(store.list::<EndpointSlice>().cloned().map(kube_api::Object::EndpointSlice));
    for machine in cluster.machines() {
        let settings = std::sync::Arc::new(kube_proxy::Settings::default());
        let printed =
            kube_proxy::proxier_of(&objects, &machine.name, settings, kube_api::IpFamily::V4).expect("node").sync();
        let text = datapath::iptables_restore(machine.kernel.rules());
        assert_eq!(text, datapath::iptables_restore(&printed), "{}", machine.name);
        assert!(text.contains("default/my-service cluster IP"));
    }
}

/// A scenario's objects are read as its own release reads them, wherever its Cluster stands.
#[test]
fn a_scenario_is_read_as_its_release_reads() {
    let old = |release: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{externalIPs: [192.0.2.1], ports: [{{port: 80}}]}}\n---\napiVersion: lab/v1\nkind: Cluster\nspec: {{release: \"{release}\"}}\n"
        );
        cluster::Scenario::parse(&text).1.into_iter().map(|d| d.message).collect::<Vec<_>>()
    };
    // KEP-5707
    assert_eq!(old("1.36"), ["spec.externalIPs is deprecated and may no longer be implemented in some clusters"]);
    assert_eq!(old("1.35"), Vec::<String>::new());
}
