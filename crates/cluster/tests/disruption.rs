//! PodDisruptionBudgets and evictions: what `pkg/controller/disruption/disruption_test.go` and
//! `pkg/registry/core/pod/storage/eviction_test.go` say, and that evictions never break a budget.

use cluster::controllers::disruption::{DELETION_TIMEOUT, outlook};
use cluster::{Cluster, Timeline};
use kube_api::{
    Condition, ConditionStatus, IntOrString, LabelSelector, NamespacedName, ObjectMeta, Pod, PodDisruptionBudget,
    PodDisruptionBudgetStatus, PodPhase, Uid,
};
use lab_base::{Span, Time};
use lab_protocol::{Command, Fault, PodRef};
use proptest::prelude::*;
use std::sync::Arc;

const WEB: &str = include_str!("data/web.yaml");
const NOW: Time = Time::from_secs(1_000);

fn pod(name: &str, ready: bool) -> Arc<Pod> {
    let mut pod = Pod { metadata: ObjectMeta { name: name.into(), ..ObjectMeta::default() }, ..Pod::default() };
    pod.status.phase = PodPhase::Running;
    pod.status.conditions.push(Condition {
        type_: "Ready".into(),
        status: if ready { ConditionStatus::True } else { ConditionStatus::False },
        last_transition_time: Time::ZERO,
        reason: String::new(),
        message: String::new(),
    });
    Arc::new(pod)
}

fn budget(least: Option<&str>, most: Option<&str>) -> PodDisruptionBudget {
    let value = |text: &str| match text.parse() {
        Ok(number) => IntOrString::Int(number),
        Err(_) => IntOrString::String(text.into()),
    };
    let mut budget = PodDisruptionBudget::default();
    budget.spec.min_available = least.map(value);
    budget.spec.max_unavailable = most.map(value);
    budget.spec.selector = Some(LabelSelector::default());
    budget
}

/// disruptionsAllowed, currentHealthy, desiredHealthy, expectedPods, as `VerifyPdbStatus` has them.
fn numbers(status: &PodDisruptionBudgetStatus) -> [i32; 4] {
    [status.disruptions_allowed, status.current_healthy, status.desired_healthy, status.expected_pods]
}

fn look(budget: &PodDisruptionBudget, ready: &[bool], scales: &[i32]) -> [i32; 4] {
    let pods: Vec<_> = ready.iter().enumerate().map(|(i, ready)| pod(&format!("p{i}"), *ready)).collect();
    // The i-th Pod belongs to the i-th controller, as far as there are any.
    let scale = |p: &Pod| {
        let i: usize = p.metadata.name[1..].parse().unwrap_or(0);
        Ok(scales.get(i.min(scales.len().saturating_sub(1))).map(|n| (Uid(i.min(scales.len() - 1) as u64 + 1), *n)))
    };
    outlook(budget, &pods, scale, NOW).map(|o| numbers(&o.status)).unwrap_or_default()
}

/// The expectations of upstream's tests of the same names.
#[test]
fn numbers_of_a_budget() {
    // TestNoSelector, TestUnavailable
    let three = budget(Some("3"), None);
    assert_eq!(look(&three, &[], &[]), [0, 0, 3, 0]);
    assert_eq!(look(&three, &[true, true, true], &[]), [0, 3, 3, 3]);
    assert_eq!(look(&three, &[true, true, true, true], &[]), [1, 4, 3, 4]);
    assert_eq!(look(&three, &[true, true, true, false], &[]), [0, 3, 3, 4]);
    // TestIntegerMaxUnavailable: a Pod that nobody controls counts for nothing
    assert_eq!(look(&budget(None, Some("1")), &[true], &[]), [0, 1, 0, 0]);
    // TestIntegerMaxUnavailableWithScaling
    assert_eq!(look(&budget(None, Some("2")), &[true], &[7]), [0, 1, 5, 7]);
    assert_eq!(look(&budget(None, Some("2")), &[true], &[5]), [0, 1, 3, 5]);
    // TestPercentageMaxUnavailableWithScaling
    assert_eq!(look(&budget(None, Some("30%")), &[true], &[7]), [0, 1, 4, 7]);
    assert_eq!(look(&budget(None, Some("30%")), &[true], &[3]), [0, 1, 2, 3]);
    // TestReplicaSet
    assert_eq!(look(&budget(Some("20%"), None), &[true], &[10]), [0, 1, 2, 10]);
    // TestMultipleControllers: 28 % of two controllers' 10 is 5.6, so 6
    assert_eq!(look(&budget(Some("28%"), None), &[true; 7], &[10, 10]), [1, 7, 6, 20]);
    // Neither: nothing is counted on, so nothing is allowed.
    assert_eq!(look(&budget(None, None), &[true], &[1]), [0, 1, 0, 0]);
}

#[test]
fn a_granted_eviction_counts_until_its_pod_goes_or_two_minutes_are_over() {
    // TestUpdateDisruptedPods
    let mut three = budget(Some("1"), None);
    three.status.disrupted_pods.insert("p1".into(), NOW);
    three.status.disrupted_pods.insert("p2".into(), Time::from_secs(1_000 - 180));
    three.status.disrupted_pods.insert("gone".into(), NOW);
    let mut going = (*pod("p4", true)).clone();
    going.metadata.deletion_timestamp = Some(NOW);
    let pods = [pod("p1", true), pod("p2", true), pod("p3", true), Arc::new(going)];
    let found = outlook(&three, &pods, |_| Ok(None), NOW).unwrap();
    assert_eq!(numbers(&found.status), [1, 2, 1, 4]);
    assert_eq!(found.status.disrupted_pods.keys().collect::<Vec<_>>(), ["p1"]);
    assert_eq!(found.again, Some(NOW + DELETION_TIMEOUT));
}

const BUDGET: &str = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web}\nspec: {minAvailable: 3, selector: {matchLabels: {app: web}}}\n";

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.store().list::<Pod>().map(|p| p.metadata.name.clone()).collect()
}

fn evict(name: &str) -> Command {
    Command::Evict { namespace: "default".into(), name: name.into(), grace_seconds: None }
}

fn status(cluster: &Cluster, name: &str) -> PodDisruptionBudgetStatus {
    let key = NamespacedName::new("default", name);
    cluster.store().get::<PodDisruptionBudget>(&key).map(|b| b.status.clone()).unwrap_or_default()
}

const VIOLATES: &str =
    "Error from server (TooManyRequests): Cannot evict pod as it would violate the pod's disruption budget.";

#[test]
fn a_budget_allows_what_it_can_spare() {
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    timeline.execute_at(at(1_000), Command::Apply { yaml: BUDGET.into() });
    let pods = names(timeline.cluster());
    // The controller hasn't seen it yet.
    assert_eq!(timeline.execute_at(at(1_000), evict(&pods[0])).1.results, [VIOLATES]);
    timeline.seek(at(1_100));
    let now = status(timeline.cluster(), "web");
    assert_eq!((numbers(&now), now.observed_generation), ([1, 4, 3, 4], 1));
    assert_eq!((now.conditions[0].reason.as_str(), now.conditions[0].observed_generation), ("SufficientPods", 1));
    let (done, applied) = timeline.execute_at(at(2_000), evict(&pods[0]));
    assert!(done.is_some() && applied.results.is_empty());
    let evicted = timeline.cluster().store().get::<Pod>(&NamespacedName::new("default", pods[0].clone())).unwrap();
    assert!(evicted.metadata.is_deleting());
    let target = evicted.condition("DisruptionTarget").unwrap();
    assert_eq!((target.reason.as_str(), target.message.as_str()), ("EvictionByEvictionAPI", "Eviction API: evicting"));
    let now = status(timeline.cluster(), "web");
    assert_eq!((now.disruptions_allowed, now.conditions[0].reason.as_str()), (0, "InsufficientPods"));
    let (done, applied) = timeline.execute_at(at(2_000), evict(&pods[1]));
    assert_eq!((done, applied.results), (None, vec![VIOLATES.to_owned()]));
    // What goes already may be evicted again: nothing happens. What isn't there is told.
    assert_eq!(timeline.execute_at(at(2_000), evict(&pods[0])).1.results, Vec::<String>::new());
    assert_eq!(
        timeline.execute_at(at(2_000), evict("x")).1.results,
        [r#"Error from server (NotFound): pods "x" not found"#]
    );
    // The Deployment's new Pod becomes ready: one may go again.
    timeline.seek(at(30_000));
    assert_eq!(numbers(&status(timeline.cluster(), "web")), [1, 4, 3, 4]);
    assert_eq!(timeline.execute_at(at(30_000), evict(&pods[1])).1.results, Vec::<String>::new());
    let recording = timeline.recording();
    assert_eq!(recording.replay(), recording.hash);
}

/// KEP-3017: a Pod that isn't ready is guarded while the ready ones don't suffice, unless the budget says otherwise.
#[test]
fn unhealthy_pods() {
    for (least, policy, refused) in [
        (3, "", false),
        (4, "", true),
        (4, ", unhealthyPodEvictionPolicy: IfHealthyBudget", true),
        (4, ", unhealthyPodEvictionPolicy: AlwaysAllow", false),
    ] {
        let (mut timeline, _, _) = Timeline::new(WEB, None, ());
        let yaml = BUDGET.replace("minAvailable: 3", &format!("minAvailable: {least}{policy}"));
        timeline.execute_at(at(1_000), Command::Apply { yaml });
        let name = names(timeline.cluster()).remove(0);
        let pod = PodRef::Named { namespace: "default".into(), name: name.clone() };
        timeline.execute_at(at(1_000), Command::Fault(Fault::FailReadiness { pod }));
        timeline.seek(at(20_000));
        assert_eq!(status(timeline.cluster(), "web").current_healthy, 3);
        let answer = timeline.execute_at(at(20_000), evict(&name)).1.results;
        assert_eq!(answer.first().map(String::as_str), refused.then_some(VIOLATES), "{least}{policy}");
    }
}

#[test]
fn two_budgets_for_one_pod_are_not_supported() {
    let (mut timeline, _, _) = Timeline::new(WEB, None, ());
    let yaml = format!("{BUDGET}---\n{}", BUDGET.replace("name: web", "name: other"));
    timeline.execute_at(at(1_000), Command::Apply { yaml });
    timeline.seek(at(2_000));
    let name = names(timeline.cluster()).remove(0);
    assert_eq!(
        timeline.execute_at(at(2_000), evict(&name)).1.results,
        [
            "Error from server: This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        ]
    );
}

#[test]
fn what_is_wrong_with_a_budget() {
    let answer = |spec: &str| {
        let text = format!("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: x}}\nspec: {spec}\n");
        let answers = kube_api::manifest::parse(&text).answers;
        answers.into_iter().map(|a| a.message).collect::<Vec<_>>()
    };
    assert_eq!(
        answer("{minAvailable: -1}"),
        ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]
    );
    assert_eq!(
        answer("{maxUnavailable: 110%}"),
        [
            r#"spec.maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:"110%"}: must not be greater than 100%"#
        ]
    );
    assert!(
        answer("{maxUnavailable: half}")[0].contains("a valid percent string must be a numeric string followed by")
    );
    assert!(
        answer("{minAvailable: 1, maxUnavailable: 1}")[0]
            .ends_with("minAvailable and maxUnavailable cannot be both set")
    );
    assert_eq!(
        answer("{minAvailable: 1, unhealthyPodEvictionPolicy: Never}"),
        [
            r#"spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", "IfHealthyBudget""#
        ]
    );
    assert_eq!(answer("{minAvailable: 50%, selector: {}}"), Vec::<String>::new());
}

#[derive(Clone, Debug)]
enum Deed {
    Evict(usize),
    Do(Command),
}

fn deed() -> impl Strategy<Value = Deed> {
    let web = |nth: u32| PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth };
    let pod = move || (1u32..6).prop_map(web);
    let spec =
        prop::sample::select(vec!["minAvailable: 3", "minAvailable: 50%", "maxUnavailable: 1", "maxUnavailable: 40%"]);
    prop_oneof![
        6 => (0usize..8).prop_map(Deed::Evict),
        1 => pod().prop_map(|pod| Deed::Do(Command::Fault(Fault::KillProcess { pod }))),
        1 => pod().prop_map(|pod| Deed::Do(Command::Fault(Fault::FailReadiness { pod }))),
        1 => pod().prop_map(|pod| Deed::Do(Command::Fault(Fault::PassReadiness { pod }))),
        1 => pod().prop_map(|pod| Deed::Do(Command::Fault(Fault::DeletePod { pod }))),
        1 => (2u32..6).prop_map(|n| Deed::Do(Command::Patch {
            kind: "Deployment".into(),
            namespace: "default".into(),
            name: "web".into(),
            patch: format!("{{spec: {{replicas: {n}}}}}"),
        })),
        1 => spec.prop_map(|spec| Deed::Do(Command::Apply { yaml: BUDGET.replace("minAvailable: 3", spec) })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However evictions are mixed with faults, scaling and new budgets: one that is granted to a ready Pod leaves as
    /// many ready Pods as its budget asks for. What changed in the last moments, which the controller may not have
    /// heard of, isn't the eviction's doing.
    #[test]
    fn evictions_never_break_a_budget(deeds in prop::collection::vec((0u64..4_000, deed()), 1..30), seed in 0u64..1_000) {
        const UNHEARD: Span = Span::from_millis(20);
        let (mut timeline, _, _) = Timeline::new(WEB, Some(seed), ());
        timeline.execute_at(at(10), Command::Apply { yaml: BUDGET.into() });
        let mut now = 100;
        let mut granted = 0;
        for (gap, deed) in deeds {
            // Some come at one and the same moment.
            now += gap.saturating_sub(2_000);
            let nth = match deed {
                Deed::Evict(nth) => nth,
                Deed::Do(command) => {
                    now += UNHEARD.as_micros() / 1_000;
                    timeline.execute_at(at(now), command);
                    now += UNHEARD.as_micros() / 1_000;
                    continue;
                }
            };
            timeline.seek(at(now));
            let pods = names(timeline.cluster());
            let Some(name) = pods.get(nth % pods.len().max(1)) else { continue };
            let key = NamespacedName::new("default", name.clone());
            let before = timeline.cluster().store().get::<Pod>(&key).cloned().unwrap();
            let (done, _) = timeline.execute_at(at(now), evict(name));
            let guarded = before.is_ready() && !before.metadata.is_deleting();
            if done.is_none() || !guarded {
                continue;
            }
            granted += 1;
            let cluster = timeline.cluster();
            let fresh = |p: &Pod| {
                let since = p.condition("Ready").map(|c| c.last_transition_time).unwrap_or_default();
                cluster.now().since(since) < UNHEARD
            };
            let left = cluster
                .store()
                .list::<Pod>()
                .filter(|p| p.metadata.name != *name && !p.metadata.is_deleting() && (p.is_ready() || fresh(p)))
                .count() as i32;
            prop_assert!(left >= status(cluster, "web").desired_healthy, "{granted}: {left} left");
        }
    }
}
