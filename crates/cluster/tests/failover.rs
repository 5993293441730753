//! From a failure to the last request that it costs: each delay on the way is a constant of Kubernetes or a named one of this
//! simulation, and the bounds are their sums.

use cluster::{Cluster, Timeline};
use lab_base::Time;
use lab_protocol::{Command, Fault, Outcome, PodRef};

/// `genericPlegRelistPeriod`.
const RELIST: f64 = 1.0;
/// A status on its way to the API server, at most.
const WRITE: f64 = 0.025;
/// A change on its way to who watches, at most: twice, to the controller and from its slice to kube-proxy.
const WATCH: f64 = 0.006;
/// kube-proxy's `minSyncPeriod`, and the longest sync.
const MIN_SYNC: f64 = 1.0;
const SYNC: f64 = 0.06;
/// From the API server's first word until every node's rules have it.
const ROLL_OUT: f64 = 2.0 * WATCH + MIN_SYNC + SYNC;
/// The scenario's readiness probe: `periodSeconds: 2`, and three failures by default.
const PERIOD: f64 = 2.0;
const FAILURES: f64 = 3.0;
/// The scenario's `startUp`, and a container that starts again at most.
const START: f64 = 1.0 + 0.12;
/// A client waits so long for an answer that is under way.
const TIMEOUT: f64 = 1.0;

const SCENARIO: &str = include_str!("data/web.yaml");

fn at(seconds: f64) -> Time {
    Time::from_micros((seconds * 1e6).round() as u64)
}

fn web(nth: u32) -> PodRef {
    PodRef::Nth { namespace: "default".into(), deployment: "web".into(), nth }
}

/// How many endpoints each node's rules have, from the fewest to the most.
fn endpoints(cluster: &Cluster) -> (usize, usize) {
    let service = cluster.service_views().into_iter().find(|s| s.name == "web").expect("Service");
    let lists: Vec<usize> = service.lists.iter().map(|l| l.endpoints.len()).collect();
    (lists.iter().copied().min().unwrap_or(0), lists.iter().copied().max().unwrap_or(0))
}

/// The requests that failed: when each ended, and how.
fn failures(cluster: &Cluster, to: f64) -> Vec<(f64, Outcome)> {
    let all = cluster.facts().requests_in(Time::ZERO, at(to));
    all.filter(|r| r.outcome != Outcome::Answered).map(|r| (r.ended.as_secs_f64(), r.outcome)).collect()
}

#[test]
fn a_crashed_process_costs_requests_until_every_node_knows() {
    for seed in 1..=10 {
        let mut timeline = Timeline::new(SCENARIO, Some(seed), ()).0;
        timeline.execute_at(at(10.0), Command::Fault(Fault::KillProcess { pod: web(2) }));
        let known = 10.0 + RELIST + WRITE + ROLL_OUT;
        timeline.seek(at(40.0));
        let failed = failures(timeline.cluster(), 40.0);
        assert!(failed.iter().all(|(_, o)| matches!(o, Outcome::Refused | Outcome::Reset)), "{failed:?}");
        assert!(failed.iter().all(|(t, _)| (10.0..=known).contains(t)), "seed {seed}: {failed:?}, {known}");
        // Restarted at once, noticed, asked at once or at the next tick, and rolled out.
        let back = known + START + RELIST + PERIOD + WRITE + ROLL_OUT;
        timeline.seek(at(back));
        assert_eq!(endpoints(timeline.cluster()), (4, 4), "seed {seed}");
    }
}

#[test]
fn lost_readiness_costs_nothing() {
    for seed in 1..=10 {
        let mut timeline = Timeline::new(SCENARIO, Some(seed), ()).0;
        timeline.execute_at(at(10.0), Command::Fault(Fault::FailReadiness { pod: web(3) }));
        // Two full periods pass before the third failure.
        timeline.seek(at(10.0 + (FAILURES - 1.0) * PERIOD));
        assert_eq!(endpoints(timeline.cluster()), (4, 4), "seed {seed}: too early");
        timeline.seek(at(10.0 + FAILURES * PERIOD + WRITE + ROLL_OUT));
        assert_eq!(endpoints(timeline.cluster()), (3, 3), "seed {seed}");
        assert_eq!(failures(timeline.cluster(), 30.0), [], "the process goes on answering");
    }
}

#[test]
fn a_dead_node_costs_time_outs_until_it_is_found() {
    // Release 1.36: 50 s of grace, a lease's period of 10 s and a poll of 5 s.
    let (grace, slack) = (50.0, 15.0);
    for seed in 1..=5 {
        let mut timeline = Timeline::new(SCENARIO, Some(seed), ()).0;
        timeline.execute_at(at(10.0), Command::Fault(Fault::PowerOff { node: "node-b".into() }));
        timeline.seek(at(110.0));
        let failed = failures(timeline.cluster(), 110.0);
        assert!(failed.iter().all(|(_, o)| *o == Outcome::TimedOut), "seed {seed}: nobody says no");
        let last = failed.last().expect("some are lost").0;
        // A quarter or more of 40 requests a second go there, so the last is lost shortly before the rules change.
        assert!(last >= 10.0 + grace - 1.0, "seed {seed}: {last}");
        assert!(last <= 10.0 + grace + slack + ROLL_OUT + TIMEOUT, "seed {seed}: {last}");
    }
}
