//! `kubectl drain` (`kubectl/pkg/drain`): cordon, then evict, then wait.

use super::change::{nodes, set_schedulable};
use crate::flags::Args;
use crate::resource::Item;
use crate::select::Selector;
use crate::{Step, World};
use kube_api::{NamespacedName, Pod, Uid};
use lab_protocol::Command;
use std::sync::Arc;

/// Its flags.
pub const FLAGS: &str = "ignore-daemonsets:b delete-emptydir-data:b delete-local-data:b force:b grace-period:i \
timeout:d l,selector:s pod-selector:s disable-eviction:b dry-run:?unchanged chunk-size:i skip-wait-for-delete-timeout:i";

struct Node {
    item: Item,
    pods: Vec<(NamespacedName, Uid)>,
}

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    let (items, missing) = match nodes(world, args, "drain") {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    if let Some(complaint) = missing.first() {
        return world.fail(complaint);
    }
    let selector = match Selector::parse(args.text("pod-selector")) {
        Ok(selector) => selector,
        Err(complaint) => return world.fail(&complaint),
    };
    let code = set_schedulable(world, args, &items, true);
    if code != 0 {
        return Step::Done(code);
    }
    let mut plan: Vec<Node> = Vec::new();
    let mut failed: Vec<(String, String)> = Vec::new();
    for item in items {
        let name = item.meta.name.clone();
        let pods: Vec<Arc<Pod>> =
            world.cluster().store().pods_on(&name).filter(|p| selector.matches(&p.metadata.labels)).cloned().collect();
        let alone: Vec<String> = pods
            .iter()
            .filter(|p| p.metadata.controller().is_none() && !p.is_finished())
            .map(|p| p.metadata.key().to_string())
            .collect();
        if !alone.is_empty() && !args.on("force") {
            let why = format!(
                "cannot delete cannot delete Pods that declare no controller (use --force to override): {}",
                alone.join(", ")
            );
            world.complain(&format!("error: unable to drain node {name:?} due to error: {why}, continuing command..."));
            failed.push((name, why));
            continue;
        }
        if !alone.is_empty() {
            world.complain(&format!("Warning: deleting Pods that declare no controller: {}", alone.join(", ")));
        }
        let pods = pods.iter().map(|p| (p.metadata.key(), p.metadata.uid)).collect();
        plan.push(Node { item, pods });
    }
    let dry = super::manifest::dry(args);
    let grace = args.number("grace-period").filter(|g| *g >= 0).and_then(|g| u32::try_from(g).ok());
    for node in &plan {
        for (key, _) in &node.pods {
            world.say(&format!("evicting pod {key}{}", dry.unwrap_or_default()));
            if dry.is_some() {
                continue;
            }
            let (namespace, name) = (key.namespace.clone(), key.name.clone());
            world.api.execute(match grace {
                Some(grace_seconds) => Command::DeletePod { namespace, name, grace_seconds },
                None => Command::Delete { kind: "Pod".into(), namespace, name },
            });
        }
    }
    let timeout = args.get("timeout").and_then(crate::human::parse).filter(|t| t.as_micros() > 0);
    let begun = world.now();
    let mut look = move |world: &mut World<'_>| {
        for node in &mut plan {
            let gone = |key: &NamespacedName, uid: Uid| {
                dry.is_some() || world.api.cluster().store().get::<Pod>(key).is_none_or(|p| p.metadata.uid != uid)
            };
            let (left, right): (Vec<_>, Vec<_>) = node.pods.drain(..).partition(|(key, uid)| !gone(key, *uid));
            node.pods = left;
            for (key, _) in right.iter().filter(|_| dry.is_none()) {
                world.out.stdout.push_str(&format!("pod/{} evicted\n", key.name));
            }
        }
        let (done, rest): (Vec<_>, Vec<_>) = plan.drain(..).partition(|n| n.pods.is_empty());
        plan = rest;
        for node in done {
            let name = node.item.slashed();
            world.say(&format!("{name} drained{}", dry.unwrap_or_default()));
        }
        if plan.is_empty() {
            if failed.is_empty() {
                return Some(0);
            }
            world.complain("There are pending nodes to be drained:");
            failed.iter().for_each(|(name, _)| world.complain(&format!(" {name}")));
            failed.iter().for_each(|(_, why)| world.complain(why));
            return Some(1);
        }
        if timeout.is_some_and(|t| world.now().since(begun) >= t) {
            let name = plan.first().map(|n| n.item.meta.name.clone()).unwrap_or_default();
            let time = timeout.map(crate::human::go).unwrap_or_default();
            world.complain(&format!("There are pending nodes to be drained:\n {name}\nerror when waiting for pods to terminate: global timeout reached: {time}"));
            return Some(1);
        }
        None
    };
    match look(world) {
        Some(code) => Step::Done(code),
        None => Step::Waiting(Box::new(look)),
    }
}
