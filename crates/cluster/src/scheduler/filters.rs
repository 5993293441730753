//! The filters of the default plugins, in their order (`pkg/scheduler/framework/plugins`).

use super::resources::{refuses, requests};
use super::spread::{Domains, hard_constraints};
use super::tolerated;
use crate::cluster::Cluster;
use kube_api::{Node, Pod, PodAffinityTerm, Taint, selects};
use std::collections::BTreeMap;

/// Why a node can't take a Pod.
pub(super) struct Refusal {
    /// In the plugin's words.
    pub reasons: Vec<String>,
    /// Whether nothing that leaves the node would help.
    pub unresolvable: bool,
}

fn no(reason: impl Into<String>) -> Option<Refusal> {
    Some(Refusal { reasons: vec![reason.into()], unresolvable: false })
}

fn never(reason: impl Into<String>) -> Option<Refusal> {
    Some(Refusal { reasons: vec![reason.into()], unresolvable: true })
}

/// Whether a node has what a Pod's `nodeSelector` and required node affinity ask for.
pub(super) fn wants_node(pod: &Pod, node: &Node) -> bool {
    let required = pod.spec.affinity.as_ref().and_then(|a| a.node_affinity.required.as_ref());
    selects(&pod.spec.node_selector, &node.metadata.labels)
        && required.is_none_or(|r| r.matches(&node.metadata.name, &node.metadata.labels))
}

/// Whether a term of `of`'s affinity means this other Pod.
pub(super) fn means(term: &PodAffinityTerm, of: &Pod, other: &Pod) -> bool {
    let here = match &term.namespaces[..] {
        [] => other.metadata.namespace == of.metadata.namespace,
        some => some.contains(&other.metadata.namespace),
    };
    here && term.label_selector.as_ref().is_some_and(|s| s.matches(&other.metadata.labels))
}

/// What a scheduling cycle knows before it looks at the nodes (`PreFilter`).
pub(super) struct Look<'a> {
    cluster: &'a Cluster,
    pod: &'a Pod,
    requests: (u64, u64),
    constraints: Vec<Domains<'a>>,
    /// For each required term of the Pod's affinity, and then of its anti-affinity: domains with Pods that it means.
    near: Vec<BTreeMap<&'a str, u32>>,
    /// Domains from which others keep this Pod away: key and value of the label.
    kept_away: Vec<(&'a str, &'a str)>,
}

impl<'a> Look<'a> {
    pub fn new(cluster: &'a Cluster, pod: &'a Pod) -> Look<'a> {
        let affinity = pod.spec.affinity.as_deref();
        let terms = affinity.iter().flat_map(|a| a.pod_affinity.required.iter().chain(&a.pod_anti_affinity.required));
        let near = terms.map(|term| domains_with(cluster, pod, term)).collect();
        let mut kept_away = Vec::new();
        for node in cluster.store.list::<Node>().filter(|n| cluster.store.requested_on(&n.metadata.name).choosy > 0) {
            for other in cluster.store.pods_on(&node.metadata.name).filter(|p| !p.is_finished()) {
                let terms = other.spec.affinity.iter().flat_map(|a| &a.pod_anti_affinity.required);
                for term in terms.filter(|term| means(term, other, pod)) {
                    if let Some(value) = node.metadata.labels.get(&term.topology_key) {
                        kept_away.push((term.topology_key.as_str(), value.as_str()));
                    }
                }
            }
        }
        Look {
            cluster,
            pod,
            requests: requests(&pod.spec),
            constraints: hard_constraints(cluster, pod),
            near,
            kept_away,
        }
    }

    /// Why a node can't take the Pod, by the first plugin that says so.
    pub fn check(&self, node: &Node) -> Option<Refusal> {
        self.unschedulable(node)
            .or_else(|| self.taints(node))
            .or_else(|| {
                (!wants_node(self.pod, node)).then(|| never("node(s) didn't match Pod's node affinity/selector"))?
            })
            .or_else(|| {
                let used = self.cluster.store.requested_on(&node.metadata.name);
                refuses(&self.pod.spec, self.requests, node, used, self.cluster.release())
            })
            .or_else(|| self.spread(node))
            .or_else(|| self.affinity(node))
    }

    fn unschedulable(&self, node: &Node) -> Option<Refusal> {
        let taint =
            Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
        (node.spec.unschedulable && !tolerated(self.pod, &taint)).then(|| never("node(s) were unschedulable"))?
    }

    fn taints(&self, node: &Node) -> Option<Refusal> {
        let bad = |t: &&Taint| t.effect != "PreferNoSchedule" && !tolerated(self.pod, t);
        let taint = node.spec.taints.iter().find(bad)?;
        never(format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value))
    }

    fn spread(&self, node: &Node) -> Option<Refusal> {
        const TEXT: &str = "node(s) didn't match pod topology spread constraints";
        for constraint in &self.constraints {
            match constraint.skew(node) {
                None => return never(format!("{TEXT} (missing required label)")),
                Some(skew) if skew > constraint.max_skew() => return no(TEXT),
                Some(_) => {}
            }
        }
        None
    }

    fn affinity(&self, node: &Node) -> Option<Refusal> {
        let label = |key: &str| node.metadata.labels.get(key).map(String::as_str);
        if let Some(affinity) = self.pod.spec.affinity.as_deref() {
            let wanted = &affinity.pod_affinity.required;
            let (near, away) = self.near.split_at(wanted.len());
            // The first of a group that wants to be together may go anywhere.
            let first = near.iter().all(BTreeMap::is_empty) && wanted.iter().all(|t| means(t, self.pod, self.pod));
            let found = |(term, domains): (&PodAffinityTerm, &BTreeMap<&str, u32>)| {
                label(&term.topology_key).is_some_and(|value| first || domains.contains_key(value))
            };
            if !wanted.iter().zip(near).all(found) {
                return never("node(s) didn't match pod affinity rules");
            }
            let mut away = affinity.pod_anti_affinity.required.iter().zip(away);
            if away.any(|(term, domains)| label(&term.topology_key).is_some_and(|value| domains.contains_key(value))) {
                return no("node(s) didn't match pod anti-affinity rules");
            }
        }
        let away = self.kept_away.iter().any(|(key, value)| label(key) == Some(*value));
        away.then(|| no("node(s) didn't satisfy existing pods anti-affinity rules"))?
    }
}

/// How many Pods each domain has that a term of this Pod means.
pub(super) fn domains_with<'a>(cluster: &'a Cluster, pod: &Pod, term: &PodAffinityTerm) -> BTreeMap<&'a str, u32> {
    let mut domains = BTreeMap::new();
    for node in cluster.store.list::<Node>() {
        let Some(value) = node.metadata.labels.get(&term.topology_key) else { continue };
        let pods = cluster.store.pods_on(&node.metadata.name);
        let count = pods.filter(|p| !p.is_finished() && means(term, pod, p)).count();
        if count > 0 {
            *domains.entry(value.as_str()).or_default() += u32::try_from(count).unwrap_or(u32::MAX);
        }
    }
    domains
}
