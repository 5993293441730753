//! `kubectl exec`: a command in a Pod.

use super::logs::leads_to_pods;
use crate::flags::Args;
use crate::resource::{self, Body, Type};
use crate::{Step, World};
use kube_api::{Object, Pod, StringMap, selects};
use std::sync::Arc;

/// Its flags.
pub const FLAGS: &str = "i,stdin:b t,tty:b c,container:s q,quiet:b pod-running-timeout:d ~f,filename:l";

/// The Pod that `POD` or `TYPE/NAME` means: of several, the first by name that runs.
///
/// # Errors
/// kubectl's complaint.
pub fn pod_of(world: &World<'_>, word: &str, namespace: &str) -> Result<Arc<Pod>, String> {
    let (type_, name) = word.split_once('/').unwrap_or(("pods", word));
    let type_ = Type::find(type_)?;
    if !leads_to_pods(type_) {
        return Err(format!(
            "error: cannot get the logs from *v1.{}: selector for *v1.{} not implemented",
            type_.kind, type_.kind
        ));
    }
    let item =
        resource::get(world.cluster(), type_, namespace, name).ok_or_else(|| resource::not_found(type_, name))?;
    let of_labels = |test: &dyn Fn(&StringMap) -> bool| {
        let mut pods: Vec<Arc<Pod>> = world
            .cluster()
            .store()
            .list::<Pod>()
            .filter(|p| p.metadata.namespace == namespace && test(&p.metadata.labels))
            .cloned()
            .collect();
        // controller.ByLogging, ActivePods: ready ones first.
        crate::order::sort_by_key(&mut pods, |p| (!p.is_ready(), p.metadata.name.clone()));
        pods.into_iter().next().ok_or_else(|| "error: timed out waiting for the condition".to_owned())
    };
    match &item.body {
        Body::Stored(Object::Pod(pod)) => Ok(pod.clone()),
        Body::Stored(Object::Deployment(o)) => of_labels(&|l| o.spec.selector.matches(l)),
        Body::Stored(Object::ReplicaSet(o)) => of_labels(&|l| o.spec.selector.matches(l)),
        Body::Stored(Object::Service(o)) => of_labels(&|l| selects(&o.spec.selector, l)),
        _ => Err(resource::not_found(type_, name)),
    }
}

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    let before = args.dash.unwrap_or(args.words.len());
    let Some(word) = args.words.first().filter(|_| before > 0) else {
        return world.fail("error: pod, type/name or --filename must be specified");
    };
    if args.dash.is_none() && args.words.len() > 1 {
        return world.fail("error: exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\nSee 'kubectl exec -h' for help and examples");
    }
    let command = &args.words[1..];
    if command.is_empty() {
        return world.fail("error: you must specify at least one command for the container");
    }
    let pod = match pod_of(world, word, resource::namespace(args)) {
        Ok(pod) => pod,
        Err(complaint) => return world.fail(&complaint),
    };
    let names: Vec<&str> = pod.spec.containers.iter().map(|c| c.name.as_str()).collect();
    if let Some(container) = args.get("container").filter(|c| !names.contains(c)) {
        let name = &pod.metadata.name;
        return world
            .fail(&format!("Error from server (BadRequest): container {container} is not valid for pod {name}"));
    }
    if pod.is_finished() {
        let phase = if pod.status.phase == kube_api::PodPhase::Failed { "Failed" } else { "Succeeded" };
        return world
            .fail(&format!("error: cannot exec into a container in a completed pod; current phase is {phase}"));
    }
    crate::tools::in_pod(world, &pod, command)
}
