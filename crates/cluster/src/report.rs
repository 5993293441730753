//! What a headless run came to, for `servicelab run`.

use crate::cluster::Cluster;
use crate::failover::FailoverReport;
use kube_api::{NamespacedName, Pod, Service};
use lab_protocol::{Counts, Mark, Outcome};
use serde::Serialize;
use std::collections::BTreeMap;

/// A run in numbers. Times are in milliseconds unless a name says otherwise.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Release whose behaviour was simulated.
    pub release: String,
    /// Seed.
    pub seed: u64,
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// Requests that ended.
    pub requests: u64,
    /// Of those, answered.
    pub answered: u64,
    /// The others, by cause.
    pub failed: BTreeMap<&'static str, u64>,
    /// Attempts that failed and were made again, by cause.
    pub retried: BTreeMap<&'static str, u64>,
    /// Latency of answered requests.
    pub latency: Latency,
    /// By Service.
    pub services: Vec<ServiceReport>,
    /// Requests by client.
    pub clients: BTreeMap<String, u64>,
    /// Things that happened, in order.
    pub timeline: Vec<TimelineEntry>,
    /// Failures that took endpoints away, and what followed.
    pub failovers: Vec<FailoverReport>,
    /// State hash at the end.
    pub hash: String,
}

/// Quantiles of latency.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 90 of 100 are faster.
    pub p90: f64,
    /// 99 of 100 are faster.
    pub p99: f64,
}

/// A Service's requests.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceReport {
    /// Namespace and name.
    pub service: String,
    /// Answered requests by Pod, with their share of all that were answered.
    pub pods: BTreeMap<String, PodShare>,
}

/// A Pod's part of a Service's requests.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PodShare {
    /// How many it answered.
    pub answered: u64,
    /// Of all that were answered.
    pub share: f64,
}

/// A thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct TimelineEntry {
    /// When, in seconds.
    pub at: f64,
    /// To what.
    pub object: String,
    /// What: a key of the language catalogues.
    pub event: String,
    /// Its arguments.
    pub arguments: BTreeMap<String, String>,
}

/// What a cluster's run came to.
pub fn report(cluster: &Cluster) -> Report {
    let facts = cluster.facts();
    let totals = facts.totals();
    let mut latencies: Vec<u64> = facts
        .requests()
        .iter()
        .filter(|r| r.outcome == Outcome::Answered)
        .map(|r| r.ended.since(r.sent).as_micros())
        .collect();
    latencies.sort_unstable();
    // The smallest value that at least this share of all don't exceed.
    let quantile = |percent: usize| {
        let n = latencies.len();
        let rank = (n * percent).div_ceil(100).max(1) - 1;
        latencies.get(rank).map_or(0.0, |micros| *micros as f64 / 1e3)
    };
    Report {
        release: cluster.release().to_string(),
        seed: cluster.seed(),
        seconds: cluster.now().as_secs_f64(),
        requests: totals.total(),
        answered: totals.of(Outcome::Answered),
        failed: failures(totals),
        retried: failures(facts.retried()),
        latency: Latency { p50: quantile(50), p90: quantile(90), p99: quantile(99) },
        services: cluster.store().list::<Service>().filter_map(|s| service_report(cluster, s)).collect(),
        clients: cluster.clients().map(|c| (c.name.clone(), c.counts.total())).collect(),
        timeline: facts.marks().iter().map(entry).collect(),
        failovers: facts.failovers().views().iter().map(FailoverReport::from).collect(),
        hash: cluster.state_hash(),
    }
}

pub(crate) fn failures(counts: Counts) -> BTreeMap<&'static str, u64> {
    let all = Outcome::ALL.into_iter().filter(|o| *o != Outcome::Answered && counts.of(*o) > 0);
    all.map(|o| (o.key(), counts.of(o))).collect()
}

fn service_report(cluster: &Cluster, service: &Service) -> Option<ServiceReport> {
    let mut by_uid: BTreeMap<_, u64> = BTreeMap::new();
    for request in cluster.facts().requests() {
        if request.service == Some(service.metadata.uid)
            && request.outcome == Outcome::Answered
            && let Some(pod) = request.pod
        {
            *by_uid.entry(pod).or_default() += 1;
        }
    }
    let all: u64 = by_uid.values().sum();
    if all == 0 {
        return None;
    }
    let name = |uid| {
        cluster
            .store()
            .by_uid::<Pod>(uid)
            .map(|p| p.metadata.name.clone())
            .or_else(|| {
                cluster
                    .facts()
                    .gone_pods()
                    .iter()
                    .find(|g| g.pod.metadata.uid == uid)
                    .map(|g| g.pod.metadata.name.clone())
            })
            .unwrap_or_else(|| uid.to_string())
    };
    let key: NamespacedName = service.metadata.key();
    Some(ServiceReport {
        service: key.to_string(),
        pods: by_uid
            .into_iter()
            .map(|(uid, answered)| (name(uid), PodShare { answered, share: answered as f64 / all as f64 }))
            .collect(),
    })
}

fn entry(mark: &Mark) -> TimelineEntry {
    TimelineEntry {
        at: mark.at.as_secs_f64(),
        object: mark.object.clone(),
        event: mark.phrase.id.clone(),
        arguments: mark.phrase.args.iter().cloned().collect(),
    }
}
