//! `kubectl logs`: what a Pod's process wrote. A simulated process writes a line for each request that it answered.

use crate::flags::Args;
use crate::resource::{self, Body, Item, Type};
use crate::{Step, World};
use kube_api::timestamp::rfc3339_micro;
use kube_api::{Object, Pod, Uid};
use lab_base::{Span, Time};
use std::sync::Arc;

/// Its flags.
pub const FLAGS: &str = "f,follow:b tail:i p,previous:b c,container:s since:d timestamps:b l,selector:s prefix:b \
all-containers:b limit-bytes:i max-log-requests:i ignore-errors:b pod-running-timeout:d all-pods:b ~since-time:s \
~insecure-skip-tls-verify-backend:b";

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    if args.words.len() > 2 {
        return world.fail(&args.usage("expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command"));
    }
    let pods = match pods(world, args) {
        Ok(pods) => pods,
        Err(complaint) => return world.fail(&complaint),
    };
    for pod in &pods {
        let names: Vec<&str> = pod.spec.containers.iter().map(|c| c.name.as_str()).collect();
        if let Some(container) = args.get("container").filter(|c| !names.contains(c)) {
            return world.fail(&format!("error: container {container} is not valid for pod {}", pod.metadata.name));
        }
        let restarts = pod.status.container_statuses.iter().map(|s| s.restart_count).max().unwrap_or(0);
        let first = names.first().copied().unwrap_or_default();
        if args.on("previous") && restarts == 0 {
            return world.fail(&format!(
                "Error from server (BadRequest): previous terminated container {first:?} in pod {:?} not found",
                pod.metadata.name
            ));
        }
        let waiting = pod.status.container_statuses.iter().find_map(|s| match &s.state {
            kube_api::ContainerState::Waiting { reason } if restarts == 0 => Some(reason.clone()),
            _ => None,
        });
        if let Some(reason) =
            waiting.or_else(|| pod.status.container_statuses.is_empty().then(|| "ContainerCreating".into()))
        {
            let name = &pod.metadata.name;
            return world.fail(&format!(
                "Error from server (BadRequest): container {first:?} in pod {name:?} is waiting to start: {reason}"
            ));
        }
    }
    let prefix = args.on("prefix");
    let stamps = args.on("timestamps");
    let default_tail = if args.get("selector").is_some() { 10 } else { -1 };
    let tail = args.number("tail").unwrap_or(default_tail);
    let since = args.get("since").and_then(crate::human::parse).unwrap_or(Span::ZERO);
    let from = if since == Span::ZERO { Time::ZERO } else { world.now() - since };
    let previous = args.on("previous");
    let mut next = from;
    let follow = args.on("follow");
    let mut first = true;
    let mut look = move |world: &mut World<'_>| {
        let until = world.now();
        for pod in &pods {
            let mut lines = lines(world, pod, next, until, previous);
            if first && tail >= 0 {
                let extra = lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
                lines.drain(..extra);
            }
            for (at, line) in lines {
                let container = pod.spec.containers.first().map(|c| c.name.as_str()).unwrap_or_default();
                let head = if prefix { format!("[pod/{}/{container}] ", pod.metadata.name) } else { String::new() };
                let stamp = if stamps { format!("{} ", rfc3339_micro(at)) } else { String::new() };
                world.out.stdout.push_str(&format!("{head}{stamp}{line}\n"));
            }
        }
        (next, first) = (until, false);
        let gone = |p: &Arc<Pod>| world.cluster().process_of(p.metadata.uid).is_none();
        if follow && !pods.iter().all(gone) { None } else { Some(0) }
    };
    match look(world) {
        Some(code) => Step::Done(code),
        None => Step::Waiting(Box::new(look)),
    }
}

fn pods(world: &mut World<'_>, args: &Args) -> Result<Vec<Arc<Pod>>, String> {
    let of = |item: Item| match item.body {
        Body::Stored(Object::Pod(pod)) => Some(pod),
        _ => None,
    };
    let namespace = resource::namespace(args);
    if args.get("selector").is_some() {
        let (items, _) = resource::items(world, args, &["pods".to_owned()])?;
        if items.is_empty() {
            return Err(format!("No resources found in {namespace} namespace."));
        }
        return Ok(items.into_iter().filter_map(of).collect());
    }
    let Some(word) = args.words.first() else {
        return Err("error: expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command\nSee 'kubectl logs -h' for help and examples".into());
    };
    super::exec::pod_of(world, word, namespace).map(|pod| vec![pod])
}

/// A line for each request that a Pod's process answered in `[from, to)`: when, to whom, how.
fn lines(world: &World<'_>, pod: &Pod, from: Time, to: Time, previous: bool) -> Vec<(Time, String)> {
    let uid: Uid = pod.metadata.uid;
    let started = pod.status.container_statuses.iter().find_map(|s| match s.state {
        kube_api::ContainerState::Running { started_at } => Some(started_at),
        _ => None,
    });
    let started = started.unwrap_or_default();
    let clients: Vec<(u64, String)> = world.cluster().clients().map(|c| (c.uid.0, c.ip.to_string())).collect();
    world
        .cluster()
        .facts()
        .requests_in(from, to)
        .filter(|r| r.pod == Some(uid))
        .filter(|r| (r.sent < started) == previous)
        .filter(|r| r.status != 0)
        .map(|r| {
            let status = r.status;
            let ip = clients.iter().find(|(id, _)| *id == r.client).map_or("-", |(_, ip)| ip.as_str());
            (r.ended, format!("{ip} - - [{}] \"GET / HTTP/1.1\" {status}", rfc3339_micro(r.ended)))
        })
        .collect()
}

/// Whether a word names a type of which one Pod can be taken.
pub fn leads_to_pods(type_: &Type) -> bool {
    matches!(type_.kind, "Pod" | "Deployment" | "ReplicaSet" | "Service")
}
