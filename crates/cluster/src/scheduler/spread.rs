//! Spreading Pods over domains (`pkg/scheduler/framework/plugins/podtopologyspread`), and the ranking of nodes.

use super::filters::{domains_with, wants_node};
use super::resources::{fullness, requests};
use super::tolerated;
use crate::cluster::Cluster;
use kube_api::{Node, Pod, TopologySpreadConstraint, Uid};
use std::collections::BTreeMap;

/// The domains of a constraint, and how many Pods each has.
pub(super) struct Domains<'a> {
    constraint: &'a TopologySpreadConstraint,
    counts: BTreeMap<&'a str, i64>,
    /// Whether the Pod itself counts.
    own: i64,
    /// Pods in the emptiest domain.
    least: i64,
}

impl Domains<'_> {
    pub fn max_skew(&self) -> i64 {
        self.constraint.max_skew.into()
    }

    /// By how many Pods a node's domain would be ahead of the emptiest. None: the node is in no domain.
    pub fn skew(&self, node: &Node) -> Option<i64> {
        let value = node.metadata.labels.get(&self.constraint.topology_key)?;
        Some(self.counts.get(value.as_str()).copied().unwrap_or(0) + self.own - self.least)
    }
}

/// Whether a constraint counts a Pod: its labels, and with `matchLabelKeys` those of the incoming Pod.
fn counts(constraint: &TopologySpreadConstraint, incoming: &Pod, pod: &Pod) -> bool {
    let (own, theirs) = (&incoming.metadata.labels, &pod.metadata.labels);
    constraint.label_selector.as_ref().is_some_and(|s| s.matches(theirs))
        && constraint.match_label_keys.iter().filter(|k| own.contains_key(*k)).all(|k| own.get(k) == theirs.get(k))
}

fn domains<'a>(cluster: &'a Cluster, pod: &'a Pod, all: &[&'a TopologySpreadConstraint]) -> Vec<Domains<'a>> {
    let of = |constraint: &&'a TopologySpreadConstraint| {
        let constraint = *constraint;
        let mut found: BTreeMap<&str, i64> = BTreeMap::new();
        for node in cluster.store.list::<Node>() {
            let labels = &node.metadata.labels;
            let taints = || node.spec.taints.iter().filter(|t| t.effect != "PreferNoSchedule");
            let counted = all.iter().all(|c| labels.contains_key(&c.topology_key))
                && (constraint.node_affinity_policy == "Ignore" || wants_node(pod, node))
                && (constraint.node_taints_policy != "Honor" || taints().all(|t| tolerated(pod, t)));
            let Some(value) = labels.get(&constraint.topology_key).filter(|_| counted) else { continue };
            let here = cluster.store.pods_on(&node.metadata.name).filter(|p| {
                p.metadata.namespace == pod.metadata.namespace
                    && !p.metadata.is_deleting()
                    && !p.is_finished()
                    && counts(constraint, pod, p)
            });
            *found.entry(value.as_str()).or_default() += i64::try_from(here.count()).unwrap_or(i64::MAX);
        }
        let few = constraint.min_domains.is_some_and(|min| i64::from(min) > found.len() as i64);
        let least = if few { 0 } else { found.values().copied().min().unwrap_or(0) };
        Domains { constraint, counts: found, own: i64::from(counts(constraint, pod, pod)), least }
    };
    all.iter().map(of).collect()
}

/// The constraints that must hold.
pub(super) fn hard_constraints<'a>(cluster: &'a Cluster, pod: &'a Pod) -> Vec<Domains<'a>> {
    let all = &pod.spec.topology_spread_constraints;
    let hard: Vec<_> = all.iter().filter(|c| c.when_unsatisfiable != "ScheduleAnyway").collect();
    domains(cluster, pod, &hard)
}

/// What makes a node the better choice; the smallest is the best.
pub(super) type Rank = (usize, i64, i64, i64, usize, usize, u64);

/// What the ranking of nodes needs to know once for each Pod.
pub(super) struct Ranking<'a> {
    cluster: &'a Cluster,
    pod: &'a Pod,
    requests: (u64, u64),
    soft: Vec<Domains<'a>>,
    /// Key, weight and domains of what the Pod wants near (weight above 0) or not.
    wishes: Vec<(&'a str, i64, BTreeMap<&'a str, u32>)>,
    /// Whose Pods the default constraints spread.
    owner: Option<Uid>,
    in_zones: BTreeMap<&'a str, usize>,
}

impl<'a> Ranking<'a> {
    pub fn new(cluster: &'a Cluster, pod: &'a Pod) -> Ranking<'a> {
        let all = &pod.spec.topology_spread_constraints;
        let soft: Vec<_> = all.iter().filter(|c| c.when_unsatisfiable == "ScheduleAnyway").collect();
        let affinity = pod.spec.affinity.as_deref();
        let near = affinity.iter().flat_map(|a| a.pod_affinity.preferred.iter().map(|t| (t, 1)));
        let away = affinity.iter().flat_map(|a| a.pod_anti_affinity.preferred.iter().map(|t| (t, -1)));
        let wish = |(term, sign): (&'a kube_api::WeightedPodAffinityTerm, i64)| {
            let domains = domains_with(cluster, pod, &term.pod_affinity_term);
            (term.pod_affinity_term.topology_key.as_str(), sign * i64::from(term.weight), domains)
        };
        // The default constraints (hostname and zone, ScheduleAnyway) hold for Pods without any of their own.
        let owner = pod.metadata.controller().map(|o| o.uid).filter(|_| all.is_empty());
        let mut in_zones: BTreeMap<&str, usize> = BTreeMap::new();
        if let Some(owner) = owner {
            for node in cluster.store.list::<Node>() {
                if let Some(zone) = node.zone() {
                    *in_zones.entry(zone).or_default() += cluster.store.siblings_on(owner, &node.metadata.name);
                }
            }
        }
        Ranking {
            cluster,
            pod,
            requests: requests(&pod.spec),
            soft: domains(cluster, pod, &soft),
            wishes: near.chain(away).map(wish).collect(),
            owner,
            in_zones,
        }
    }

    /// A node's rank: taints that it would rather not, wishes of node and Pod affinity, its own spread constraints and the
    /// default ones, and how full it would be.
    pub fn of(&self, node: &Node) -> Rank {
        let labels = &node.metadata.labels;
        let avoid =
            node.spec.taints.iter().filter(|t| t.effect == "PreferNoSchedule" && !tolerated(self.pod, t)).count();
        let nodes = self.pod.spec.affinity.iter().flat_map(|a| &a.node_affinity.preferred);
        let nodes: i64 =
            nodes.filter(|w| w.preference.matches(&node.metadata.name, labels)).map(|w| i64::from(w.weight)).sum();
        let near = |(key, weight, domains): &(&str, i64, BTreeMap<&str, u32>)| {
            let count = labels.get(*key).and_then(|value| domains.get(value.as_str())).copied().unwrap_or(0);
            weight.saturating_mul(count.into())
        };
        let pods: i64 = self.wishes.iter().map(near).sum();
        // A node that is in no domain comes last.
        let skew = |d: &Domains<'_>| d.skew(node).unwrap_or(i64::from(u32::MAX));
        let skews: i64 = self.soft.iter().map(skew).sum();
        let siblings = self.owner.map_or(0, |owner| self.cluster.store.siblings_on(owner, &node.metadata.name));
        let zone = node.zone().and_then(|z| self.in_zones.get(z)).copied().unwrap_or(0);
        let used = self.cluster.store.requested_on(&node.metadata.name);
        (avoid, -nodes, -pods, skews, siblings, zone, fullness(node, used, self.requests))
    }
}
