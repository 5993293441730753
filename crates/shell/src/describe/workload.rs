//! Deployments and ReplicaSets.

use super::Page;
use super::pod::{condition, template};
use crate::select::{format_labels, format_selector};
use cluster::Cluster;
use kube_api::timestamp::rfc1123z;
use kube_api::{
    DaemonSet, Deployment, DeploymentStrategyType, IntOrString, LABEL_POD_TEMPLATE_HASH, LabelSelector, ObjectMeta,
    Pod, PodPhase, ReplicaSet, StatefulSet,
};
use std::sync::Arc;

pub(super) fn deployment(page: &mut Page<'_>, o: &Deployment) {
    let (spec, status) = (&o.spec, &o.status);
    page.head(&o.metadata);
    page.field(0, "CreationTimestamp", &rfc1123z(o.metadata.creation_timestamp.unwrap_or_default()));
    page.labels("Labels", &o.metadata.labels, "");
    page.annotations(&o.metadata.annotations);
    page.field(0, "Selector", &format_selector(&spec.selector));
    page.field(
        0,
        "Replicas",
        &format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            spec.replicas.unwrap_or(1),
            status.updated_replicas,
            status.replicas,
            status.available_replicas,
            status.unavailable_replicas
        ),
    );
    let recreate = spec.strategy.type_ == DeploymentStrategyType::Recreate;
    page.field(0, "StrategyType", if recreate { "Recreate" } else { "RollingUpdate" });
    page.field(0, "MinReadySeconds", &spec.min_ready_seconds.to_string());
    if let Some(rolling) = spec.strategy.rolling_update.as_ref().filter(|_| !recreate) {
        let text = |v: &Option<IntOrString>| v.as_ref().map_or_else(|| "25%".into(), ToString::to_string);
        page.field(
            0,
            "RollingUpdateStrategy",
            &format!("{} max unavailable, {} max surge", text(&rolling.max_unavailable), text(&rolling.max_surge)),
        );
    }
    template(page, &spec.template);
    if !status.conditions.is_empty() {
        page.line(0, "Conditions:\n  Type\tStatus\tReason\n  ----\t------\t------");
        for c in &status.conditions {
            page.line(1, &format!("{} \t{}\t{}", c.type_, condition(c.status), c.reason));
        }
    }
    let sets = sets_of(page.cluster, o);
    let (new, old): (Vec<_>, Vec<_>) = sets.into_iter().partition(|s| same_template(o, s));
    let list = |sets: &[Arc<ReplicaSet>]| {
        let texts: Vec<String> = sets
            .iter()
            .map(|s| {
                let wanted = s.spec.replicas.unwrap_or(1);
                format!("{} ({}/{wanted} replicas created)", s.metadata.name, s.status.replicas)
            })
            .collect();
        if texts.is_empty() { "<none>".into() } else { texts.join(", ") }
    };
    page.field(0, "OldReplicaSets", &list(&old));
    page.field(0, "NewReplicaSet", &list(&new));
    page.events("Deployment", &o.metadata);
}

/// The ReplicaSets of a Deployment, oldest first.
pub(crate) fn sets_of(cluster: &Cluster, o: &Deployment) -> Vec<Arc<ReplicaSet>> {
    let mut sets: Vec<_> = cluster
        .store()
        .list::<ReplicaSet>()
        .filter(|s| s.metadata.controller().is_some_and(|c| c.uid == o.metadata.uid))
        .cloned()
        .collect();
    crate::order::sort_by_key(&mut sets, |s| (s.metadata.creation_timestamp, s.metadata.uid));
    sets
}

/// Whether a ReplicaSet is of the Deployment's present template.
pub(crate) fn same_template(o: &Deployment, set: &ReplicaSet) -> bool {
    let mut template = set.spec.template.clone();
    template.metadata.labels.remove(LABEL_POD_TEMPLATE_HASH);
    template == o.spec.template
}

pub(super) fn replica_set(page: &mut Page<'_>, o: &ReplicaSet) {
    page.head(&o.metadata);
    page.field(0, "Selector", &format_selector(&o.spec.selector));
    page.labels("Labels", &o.metadata.labels, "");
    page.annotations(&o.metadata.annotations);
    if let Some(owner) = o.metadata.controller() {
        page.field(0, "Controlled By", &format!("{}/{}", owner.kind, owner.name));
    }
    page.field(0, "Replicas", &format!("{} current / {} desired", o.status.replicas, o.spec.replicas.unwrap_or(1)));
    pods_status(page, &o.metadata, &o.spec.selector);
    template(page, &o.spec.template);
    page.events("ReplicaSet", &o.metadata);
}

/// How many Pods of an object are in which phase.
fn pods_status(page: &mut Page<'_>, meta: &ObjectMeta, selector: &LabelSelector) {
    let mut phases = [0; 4];
    for pod in page.cluster.store().list::<Pod>() {
        let ours = pod.metadata.controller().is_some_and(|c| c.uid == meta.uid);
        if ours && selector.matches(&pod.metadata.labels) {
            match pod.status.phase {
                PodPhase::Running => phases[0] += 1,
                PodPhase::Pending => phases[1] += 1,
                PodPhase::Succeeded => phases[2] += 1,
                PodPhase::Failed => phases[3] += 1,
                PodPhase::Unknown => {}
            }
        }
    }
    let [running, waiting, succeeded, failed] = phases;
    page.field(
        0,
        "Pods Status",
        &format!("{running} Running / {waiting} Waiting / {succeeded} Succeeded / {failed} Failed"),
    );
}

pub(super) fn stateful_set(page: &mut Page<'_>, o: &StatefulSet) {
    page.head(&o.metadata);
    page.field(0, "CreationTimestamp", &rfc1123z(o.metadata.creation_timestamp.unwrap_or_default()));
    page.field(0, "Selector", &format_selector(&o.spec.selector));
    page.labels("Labels", &o.metadata.labels, "");
    page.annotations(&o.metadata.annotations);
    page.field(0, "Replicas", &format!("{} desired | 0 total", o.spec.replicas.unwrap_or(1)));
    page.field(0, "Update Strategy", &o.spec.update_strategy.type_);
    if let Some(partition) = o.spec.update_strategy.rolling_update.as_ref().and_then(|r| r.partition) {
        page.field(1, "Partition", &partition.to_string());
    }
    pods_status(page, &o.metadata, &o.spec.selector);
    template(page, &o.spec.template);
    page.field(0, "Volume Claims", "<none>");
    page.events("StatefulSet", &o.metadata);
}

pub(super) fn daemon_set(page: &mut Page<'_>, o: &DaemonSet) {
    page.head(&o.metadata);
    page.field(0, "Selector", &format_selector(&o.spec.selector));
    page.field(0, "Node-Selector", &format_labels(&o.spec.template.spec.node_selector));
    page.labels("Labels", &o.metadata.labels, "");
    page.annotations(&o.metadata.annotations);
    for what in [
        "Desired Number of Nodes Scheduled",
        "Current Number of Nodes Scheduled",
        "Number of Nodes Scheduled with Up-to-date Pods",
        "Number of Nodes Scheduled with Available Pods",
        "Number of Nodes Misscheduled",
    ] {
        page.line(0, &format!("{what}: 0"));
    }
    pods_status(page, &o.metadata, &o.spec.selector);
    template(page, &o.spec.template);
    page.events("DaemonSet", &o.metadata);
}
