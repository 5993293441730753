//! `kubectl rollout` (`kubectl/pkg/cmd/rollout`, `polymorphichelpers`).

use super::change::{chosen, send};
use crate::describe::{same_template, sets_of, template_text};
use crate::flags::Args;
use crate::resource::{self, Body, Item, Named};
use crate::tabwriter;
use crate::{Step, World};
use kube_api::timestamp::rfc3339;
use kube_api::wire::{self, map, of};
use kube_api::yaml::Value;
use kube_api::{ANNOTATION_REVISION, Deployment, LABEL_POD_TEMPLATE_HASH, Object, ReplicaSet};
use std::sync::Arc;

/// Its flags.
pub const FLAGS: &str = "w,watch:b timeout:d revision:i to-revision:i l,selector:s o,output:s dry-run:?unchanged \
f,filename:l field-manager:s ~R,recursive:b ~k,kustomize:s ~template:s ~show-managed-fields:b";

const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// What it prints without a subcommand.
const HELP: &str = "\
Manage the rollout of one or many resources.
        
 Valid resource types include:

  *  deployments
  *  daemonsets
  *  statefulsets

Examples:
  # Rollback to the previous deployment
  kubectl rollout undo deployment/abc
  
  # Check the rollout status of a daemonset
  kubectl rollout status daemonset/foo
  
  # Restart a deployment
  kubectl rollout restart deployment/abc
  
  # Restart deployments with the 'app=nginx' label
  kubectl rollout restart deployment --selector=app=nginx

Available Commands:
  history       View rollout history
  pause         Mark the provided resource as paused
  restart       Restart a resource
  resume        Resume a paused resource
  status        Show the status of the rollout
  undo          Undo a previous rollout

Usage:
  kubectl rollout SUBCOMMAND [options]

Use \"kubectl rollout <command> --help\" for more information about a given command.
Use \"kubectl options\" for a list of global command-line options (applies to all commands).";

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    let Some((sub, rest)) = args.words.split_first() else {
        world.say(HELP);
        return Step::Done(1);
    };
    let all = args.words.join(" ");
    let mut args = args.clone();
    args.words = rest.to_vec();
    args.path = format!("kubectl rollout {sub}");
    let act: fn(&mut World<'_>, &Args, &Item, &Deployment) -> Result<(), String> = match sub.as_str() {
        "status" => return status(world, &args),
        "history" => history,
        "undo" => undo,
        "restart" => restart,
        "pause" => |world, args, item, deployment| pause(world, args, item, deployment, true),
        "resume" => |world, args, item, deployment| pause(world, args, item, deployment, false),
        _ => {
            return world
                .fail(&format!("error: unknown command {all:?}\nSee 'kubectl rollout -h' for help and examples"));
        }
    };
    if args.words.is_empty() {
        return world.fail("error: required resource not specified");
    }
    // A type alone means all its objects, for all but what needs a name.
    let found = match resource::named(&args.words) {
        Ok(Named::Types(_)) => resource::items(world, &args, &args.words),
        _ => chosen(world, &args, &args.words),
    };
    let (items, missing) = match found {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    let mut code = 0;
    for item in items {
        let result = match &item.body {
            Body::Stored(Object::Deployment(d)) if item.type_.kind == "Deployment" => {
                act(world, &args, &item, &d.clone())
            }
            Body::Stored(Object::StatefulSet(_) | Object::DaemonSet(_)) => Err(no_controller(&item)),
            _ => Err(match sub.as_str() {
                "history" => format!(
                    "error: error retrieving history for \"{0}\", no visitor method exists for {{ {0}}}",
                    item.type_.kind
                ),
                "undo" => format!("error: no rollbacker has been implemented for \"{}\"", item.type_.kind),
                _ => format!("error: {} {:?} {} is not supported", item.type_.full_plural(), item.meta.name, ing(sub)),
            }),
        };
        if let Err(complaint) = result {
            world.complain(&complaint);
            code = 1;
        }
    }
    missing.iter().for_each(|m| world.complain(m));
    Step::Done(if missing.is_empty() { code } else { 1 })
}

fn ing(verb: &str) -> &'static str {
    match verb {
        "pause" => "pausing",
        "resume" => "resuming",
        _ => "restarting",
    }
}

/// What `rollout status` says, and whether it is done; Err: it failed.
fn progress(deployment: &Deployment) -> Result<(String, bool), String> {
    let (name, status) = (&deployment.metadata.name, &deployment.status);
    let wait = |rest: String| Ok((format!("Waiting for deployment {name:?} rollout to finish: {rest}"), false));
    if deployment.metadata.generation > status.observed_generation {
        return Ok(("Waiting for deployment spec update to be observed...".into(), false));
    }
    if status.conditions.iter().any(|c| c.type_ == "Progressing" && c.reason == "ProgressDeadlineExceeded") {
        return Err(format!("error: deployment {name:?} exceeded its progress deadline"));
    }
    let wanted = deployment.spec.replicas.unwrap_or(1);
    if status.updated_replicas < wanted {
        return wait(format!("{} out of {wanted} new replicas have been updated...", status.updated_replicas));
    }
    if status.replicas > status.updated_replicas {
        return wait(format!("{} old replicas are pending termination...", status.replicas - status.updated_replicas));
    }
    if status.available_replicas < status.updated_replicas {
        let (available, updated) = (status.available_replicas, status.updated_replicas);
        return wait(format!("{available} of {updated} updated replicas are available..."));
    }
    Ok((format!("deployment {name:?} successfully rolled out"), true))
}

fn status(world: &mut World<'_>, args: &Args) -> Step {
    if args.words.is_empty() && args.get("filename").is_none() {
        return world.fail("error: required resource not specified");
    }
    let (items, missing) = match resource::items(world, args, &args.words) {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    if let Some(complaint) = missing.first() {
        return world.fail(complaint);
    }
    if items.is_empty() {
        let line = format!("No resources found in {} namespace.", resource::namespace(args));
        world.complain(&line);
        return Step::Done(0);
    }
    if let Some(other) = items.iter().find(|i| i.type_.kind != "Deployment") {
        if matches!(other.body, Body::Stored(Object::StatefulSet(_) | Object::DaemonSet(_))) {
            return world.fail(&no_controller(other));
        }
        return world.fail(&format!("error: no status viewer has been implemented for {}", other.type_.kind));
    }
    let once = !args.not_off("watch");
    let timeout = args.get("timeout").and_then(crate::human::parse).filter(|t| t.as_micros() > 0);
    let begun = world.now();
    let mut seen = 0;
    let mut rest: Vec<Item> = items.into_iter().rev().collect();
    let mut look = move |world: &mut World<'_>| loop {
        let Some(item) = rest.last() else { return Some(0) };
        let found = resource::get(world.cluster(), item.type_, &item.meta.namespace, &item.meta.name);
        let Some(Body::Stored(Object::Deployment(now))) = found.map(|i| i.body) else {
            world.complain("error: object has been deleted");
            return Some(1);
        };
        // A line for each change that is heard of.
        let news = now.metadata.resource_version != seen;
        seen = now.metadata.resource_version;
        match progress(&now) {
            Err(complaint) => {
                world.complain(&complaint);
                return Some(1);
            }
            Ok((line, done)) => {
                if news || done {
                    world.say(&line);
                }
                if done || once {
                    rest.pop();
                    seen = 0;
                    continue;
                }
            }
        }
        if timeout.is_some_and(|t| world.now().since(begun) >= t) {
            world.complain("error: timed out waiting for the condition");
            return Some(1);
        }
        return None;
    };
    match look(world) {
        Some(code) => Step::Done(code),
        None => Step::Waiting(Box::new(look)),
    }
}

fn revision(set: &ReplicaSet) -> i64 {
    set.metadata.annotations.get(ANNOTATION_REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// The ReplicaSets of a Deployment by revision.
fn by_revision(world: &World<'_>, deployment: &Deployment) -> Vec<Arc<ReplicaSet>> {
    let mut sets = sets_of(world.cluster(), deployment);
    crate::order::sort_by_key(&mut sets, |s| revision(s));
    sets
}

fn history(world: &mut World<'_>, args: &Args, item: &Item, deployment: &Deployment) -> Result<(), String> {
    let sets = by_revision(world, deployment);
    let name = item.slashed();
    if let Some(wanted) = args.number("revision").filter(|r| *r != 0) {
        if wanted < 0 {
            return Err("error: revision must be a positive integer: ".to_owned() + &wanted.to_string());
        }
        let set = sets.iter().find(|s| revision(s) == wanted);
        let set = set.ok_or_else(|| "error: unable to find the specified revision".to_owned())?;
        let mut template = set.spec.template.clone();
        if let Some(cause) = set.metadata.annotations.get(CHANGE_CAUSE) {
            template.metadata.annotations.insert(CHANGE_CAUSE.into(), cause.clone());
        }
        world.say(&format!("{name} with revision #{wanted}\n{}", template_text(world.cluster(), &template)));
        return Ok(());
    }
    if sets.is_empty() {
        world.say(&format!("{name} \nNo rollout history found."));
        return Ok(());
    }
    let mut text = String::from("REVISION\tCHANGE-CAUSE\n");
    for set in &sets {
        let cause = set.metadata.annotations.get(CHANGE_CAUSE).map_or("<none>", String::as_str);
        text += &format!("{}\t{cause}\n", revision(set));
    }
    world.say(&format!("{name} \n{}", tabwriter::align(&text)));
    Ok(())
}

fn undo(world: &mut World<'_>, args: &Args, item: &Item, deployment: &Deployment) -> Result<(), String> {
    let wanted = args.number("to-revision").unwrap_or(0);
    if wanted < 0 {
        return Err(format!("error: unable to find specified revision {wanted} in history"));
    }
    let mut sets = by_revision(world, deployment);
    let set = if wanted == 0 {
        sets.pop();
        sets.pop().ok_or_else(|| format!("error: no rollout history found for deployment {:?}", item.meta.name))?
    } else {
        let found = sets.into_iter().find(|s| revision(s) == wanted);
        found.ok_or_else(|| format!("error: unable to find specified revision {wanted} in history"))?
    };
    if deployment.spec.paused {
        return Err("error: you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again".into());
    }
    if same_template(deployment, &set) {
        let number = revision(&set);
        tell(world, args, item, &format!("skipped rollback (current template already matches revision {number})"));
        return Ok(());
    }
    let mut old = (*set).clone();
    old.spec.template.metadata.labels.remove(LABEL_POD_TEMPLATE_HASH);
    let old = wire::wire(&Object::ReplicaSet(Arc::new(old)));
    let before = item.wire(world.cluster());
    let template = |t: &kube_api::yaml::Tree| t.at(&["spec", "template"]).cloned().unwrap_or_default();
    if let Some(change) = wire::difference(&template(&before), &template(&old)) {
        let patch = of(map(vec![("spec", map(vec![("template", change.value)]))]));
        if super::manifest::dry(args).is_none() {
            send(world, item, patch)?;
        }
    }
    tell(world, args, item, "rolled back");
    Ok(())
}

fn restart(world: &mut World<'_>, args: &Args, item: &Item, deployment: &Deployment) -> Result<(), String> {
    if deployment.spec.paused {
        return Err(format!(
            "error: deployments.apps {:?} can't restart paused deployment (run rollout resume first)",
            item.meta.name
        ));
    }
    let now = rfc3339(world.now());
    if deployment.spec.template.metadata.annotations.get(RESTARTED) == Some(&now) {
        return Err(format!(
            "error: failed to patch: if restart has already been triggered within the past second, please wait before attempting to trigger another for {}",
            item.slashed()
        ));
    }
    let annotations = map(vec![(RESTARTED, Value::text(now))]);
    let patch =
        map(vec![("spec", map(vec![("template", map(vec![("metadata", map(vec![("annotations", annotations)]))]))]))]);
    send(world, item, of(patch))?;
    tell(world, args, item, "restarted");
    Ok(())
}

fn no_controller(item: &Item) -> String {
    format!("error: no controller acts on {} in this simulation", item.type_.plural)
}

fn pause(world: &mut World<'_>, args: &Args, item: &Item, deployment: &Deployment, pause: bool) -> Result<(), String> {
    let name = &item.meta.name;
    if deployment.spec.paused == pause {
        let state = if pause { "already paused" } else { "not paused" };
        return Err(format!("error: deployments.apps {name:?} is {state}"));
    }
    let value = if pause { Value::Bool(true) } else { Value::Null };
    send(world, item, of(map(vec![("spec", map(vec![("paused", value)]))])))?;
    tell(world, args, item, if pause { "paused" } else { "resumed" });
    Ok(())
}

fn tell(world: &mut World<'_>, args: &Args, item: &Item, done: &str) {
    let dry = super::manifest::dry(args).unwrap_or_default();
    let name = item.slashed();
    world.say(&format!("{name} {done}{dry}"));
}
