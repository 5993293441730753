//! Nodes.

use super::Page;
use super::pod::condition;
use crate::columns::{kubelet_version, node_roles};
use crate::human::age;
use crate::resource::heartbeat;
use kube_api::timestamp::rfc1123z;
use kube_api::{Node, Pod, Quantity, StringMap};
use lab_base::Time;
use std::sync::Arc;

pub(super) fn node(page: &mut Page<'_>, node: &Node) {
    page.head(&node.metadata);
    page.field(0, "Roles", &node_roles(node));
    page.labels("Labels", &node.metadata.labels, "");
    page.annotations(&node.metadata.annotations);
    page.field(0, "CreationTimestamp", &rfc1123z(node.metadata.creation_timestamp.unwrap_or_default()));
    let taints: Vec<String> = node
        .spec
        .taints
        .iter()
        .map(|t| {
            let value = if t.value.is_empty() { String::new() } else { format!("={}", t.value) };
            format!("{}{value}:{}", t.key, t.effect)
        })
        .collect();
    if taints.is_empty() {
        page.field(0, "Taints", "<none>");
    }
    for (i, taint) in taints.iter().enumerate() {
        page.line(0, &format!("{}\t{taint}", if i == 0 { "Taints:" } else { "" }));
    }
    page.field(0, "Unschedulable", if node.spec.unschedulable { "true" } else { "false" });
    lease(page, node);
    if !node.status.conditions.is_empty() {
        page.line(0, "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
        page.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
        for c in &node.status.conditions {
            let beat = rfc1123z(heartbeat(page.cluster, node, c));
            let since = rfc1123z(c.last_transition_time);
            page.line(
                1,
                &format!("{} \t{} \t{beat} \t{since} \t{} \t{}", c.type_, condition(c.status), c.reason, c.message),
            );
        }
    }
    page.line(0, "Addresses:");
    node.status.addresses.iter().for_each(|a| page.field(1, &a.type_, &a.address));
    for (name, list) in [("Capacity", &node.status.capacity), ("Allocatable", &node.status.allocatable)] {
        if !list.is_empty() {
            page.line(0, &format!("{name}:"));
            list.iter().for_each(|(k, v)| page.field(1, k, v));
        }
    }
    page.line(0, "System Info:");
    for name in
        ["Machine ID", "System UUID", "Boot ID", "Kernel Version", "OS Image", "Operating System", "Architecture"]
    {
        page.field(1, name, "");
    }
    page.field(1, "Container Runtime Version", "");
    let version = kubelet_version(page.cluster);
    page.field(1, "Kubelet Version", &version);
    if page.cluster.release().0 < 33 {
        page.field(1, "Kube-Proxy Version", &version);
    }
    if !node.spec.pod_cidr.is_empty() {
        page.field(0, "PodCIDR", &node.spec.pod_cidr);
        page.field(0, "PodCIDRs", &node.spec.pod_cidrs.join(","));
    }
    pods(page, node);
    page.events("Node", &node.metadata);
}

/// The kubelet renews its lease each 10 s, which the simulation needn't: what holds is when it could last do so.
fn lease(page: &mut Page<'_>, node: &Node) {
    let machine = page.cluster.machine(&node.metadata.name);
    let now = page.cluster.now();
    let heard: Time = machine.and_then(|m| m.silent_since).unwrap_or(now);
    let born = node.metadata.creation_timestamp.unwrap_or_default();
    let beats = heard.since(born).as_micros() / 10_000_000;
    let renewed = Time::from_micros(born.as_micros() + beats * 10_000_000);
    page.line(0, "Lease:");
    page.field(1, "HolderIdentity", &node.metadata.name);
    page.field(1, "AcquireTime", "<unset>");
    page.field(1, "RenewTime", &rfc1123z(renewed));
}

fn pods(page: &mut Page<'_>, node: &Node) {
    let mut pods: Vec<Arc<Pod>> =
        page.cluster.store().pods_on(&node.metadata.name).filter(|p| !p.is_finished()).cloned().collect();
    crate::order::sort_by_key(&mut pods, |p| p.metadata.key());
    page.line(0, &format!("Non-terminated Pods:\t({} in total)", pods.len()));
    page.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    page.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let room = |name: &str| Quantity::parse(node.status.allocatable.get(name).map_or("0", String::as_str));
    let (cpu, memory) = (room("cpu"), room("memory"));
    let mut sums = [Quantity::default(); 4];
    for pod in &pods {
        let sum = |limits: bool, name: &str| {
            pod.spec.containers.iter().fold(Quantity::default(), |all, c| {
                let list: &StringMap = if limits { &c.resources.limits } else { &c.resources.requests };
                // A limit without a request is a request too.
                let given = list.get(name).or_else(|| if limits { None } else { c.resources.limits.get(name) });
                all.plus(Quantity::parse(given.map_or("0", String::as_str)))
            })
        };
        let four = [sum(false, "cpu"), sum(true, "cpu"), sum(false, "memory"), sum(true, "memory")];
        for (all, one) in sums.iter_mut().zip(four) {
            *all = all.plus(one);
        }
        let of = |q: Quantity, room: Quantity| format!("{} ({}%)", q, q.percent(room));
        let age = age(page.cluster.now(), pod.metadata.creation_timestamp);
        page.line(
            1,
            &format!(
                "{}\t{}\t\t{}\t{}\t{}\t{}\t{age}",
                pod.metadata.namespace,
                pod.metadata.name,
                of(four[0], cpu),
                of(four[1], cpu),
                of(four[2], memory),
                of(four[3], memory)
            ),
        );
    }
    page.line(0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)");
    page.line(0, "  Resource\tRequests\tLimits");
    page.line(0, "  --------\t--------\t------");
    let of = |q: Quantity, room: Quantity| format!("{} ({}%)", q, q.percent(room));
    page.line(1, &format!("cpu\t{}\t{}", of(sums[0], cpu), of(sums[1], cpu)));
    page.line(1, &format!("memory\t{}\t{}", of(sums[2], memory), of(sums[3], memory)));
    page.line(1, "ephemeral-storage\t0 (0%)\t0 (0%)");
}
