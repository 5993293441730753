//! Verbs that change a field: `scale`, `set image`, `cordon`; and the way of a patch.

use super::expose::no_resource;
use crate::flags::Args;
use crate::print::yaml;
use crate::resource::{self, Body, Item, Named};
use crate::{Step, World};
use kube_api::wire::{self, map, of};
use kube_api::yaml::{Tree, Value};
use kube_api::{Object, PodSpec};
use lab_protocol::Command;

/// Flags of scale.
pub const SCALE: &str = "replicas:i current-replicas:i l,selector:s all:b timeout:d resource-version:s o,output:s \
dry-run:?unchanged f,filename:l ~R,recursive:b ~k,kustomize:s";
/// Flags of set.
pub const SET: &str = "l,selector:s all:b o,output:s dry-run:?unchanged field-manager:s f,filename:l ~local:b \
~R,recursive:b ~k,kustomize:s";
/// Flags of cordon and uncordon.
pub const CORDON: &str = "l,selector:s dry-run:?unchanged";

/// Sends a patch. The complaint, or whether anything changed.
pub fn send(world: &mut World<'_>, item: &Item, patch: Tree) -> Result<bool, String> {
    let applied = world.api.execute(Command::Patch {
        kind: item.type_.kind.into(),
        namespace: item.meta.namespace.clone(),
        name: item.meta.name.clone(),
        patch: yaml::document(&patch),
    });
    applied.diagnostics.iter().filter(|d| !d.error).for_each(|d| world.warn(&d.message));
    match applied.results.into_iter().next() {
        Some(complaint) => Err(complaint),
        None => Ok(applied.changed),
    }
}

/// Says what was done to an object.
pub fn tell(world: &mut World<'_>, args: &Args, item: &Item, done: &str) {
    let dry = super::manifest::dry(args).unwrap_or_default();
    let name = item.slashed();
    match args.get("output") {
        Some("name") => world.say(&name),
        _ => world.say(&format!("{name} {done}{dry}")),
    }
}

/// The objects that words, `-l` and `--all` mean; types alone mean nothing.
///
/// # Errors
/// kubectl's complaint.
pub fn chosen(world: &World<'_>, args: &Args, words: &[String]) -> Result<(Vec<Item>, Vec<String>), String> {
    if words.is_empty() {
        return Err(no_resource());
    }
    let picks = args.on("all") || args.get("selector").is_some();
    if matches!(resource::named(words)?, Named::Types(_)) && !picks {
        return Err("error: resource(s) were provided, but no name was specified".into());
    }
    resource::items(world, args, words)
}

/// The end: complaints about what wasn't there.
pub fn end(world: &mut World<'_>, code: i32, missing: &[String]) -> Step {
    missing.iter().for_each(|m| world.complain(m));
    Step::Done(if missing.is_empty() { code } else { 1 })
}

/// `kubectl scale`.
pub fn scale(world: &mut World<'_>, args: &Args) -> Step {
    if let Err(complaint) = super::required(args, &["replicas"]) {
        return world.fail(&complaint);
    }
    let wanted = args.number("replicas").unwrap_or(0);
    if wanted < 0 {
        return world
            .fail("error: The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0");
    }
    let (items, missing) = match chosen(world, args, &args.words) {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    if items.is_empty() {
        let why = missing.first().and_then(|m| m.strip_prefix("Error from server (NotFound): "));
        return world.fail(&format!("error: no objects passed to scale {}", why.unwrap_or_default()));
    }
    let mut code = 0;
    for item in items {
        let now = match &item.body {
            Body::Stored(Object::Deployment(o)) => o.spec.replicas.unwrap_or(1),
            Body::Stored(Object::ReplicaSet(o)) => o.spec.replicas.unwrap_or(1),
            Body::Stored(Object::StatefulSet(o)) => o.spec.replicas.unwrap_or(1),
            _ => {
                world.complain("Error from server (NotFound): the server could not find the requested resource");
                code = 1;
                continue;
            }
        };
        if let Some(current) = args.number("current-replicas").filter(|c| *c >= 0 && *c != i64::from(now)) {
            world.complain(&format!("error: Expected replicas to be {current}, was {now}"));
            code = 1;
            continue;
        }
        if super::manifest::dry(args).is_none() {
            let patch = of(map(vec![("spec", map(vec![("replicas", Value::Int(wanted.into()))]))]));
            if let Err(complaint) = send(world, &item, patch) {
                world.complain(&complaint);
                code = 1;
                continue;
            }
        }
        tell(world, args, &item, "scaled");
    }
    end(world, code, &missing)
}

/// The containers of an object, and the path of its Pods' spec.
fn pod_spec(object: &Object) -> Option<(&PodSpec, &'static [&'static str])> {
    match object {
        Object::Pod(o) => Some((&o.spec, &["spec"])),
        Object::Deployment(o) => Some((&o.spec.template.spec, &["spec", "template", "spec"])),
        Object::ReplicaSet(o) => Some((&o.spec.template.spec, &["spec", "template", "spec"])),
        Object::StatefulSet(o) => Some((&o.spec.template.spec, &["spec", "template", "spec"])),
        Object::DaemonSet(o) => Some((&o.spec.template.spec, &["spec", "template", "spec"])),
        _ => None,
    }
}

/// `kubectl set image`; other parts of set aren't simulated.
pub fn set(world: &mut World<'_>, args: &Args) -> Step {
    let Some((sub, rest)) = args.words.split_first() else {
        world.complain("Configure application resources.\n\n These commands help you make changes to existing application resources.\n\nAvailable Commands:\n  env              Update environment variables on a pod template\n  image            Update the image of a pod template\n  resources        Update resource requests/limits on objects with pod templates\n  selector         Set the selector on a resource\n  serviceaccount   Update the service account of a resource\n  subject          Update the user, group, or service account in a role binding or cluster role binding\n\nUsage:\n  kubectl set SUBCOMMAND [options]\n\nUse \"kubectl set <command> --help\" for more information about a given command.\nUse \"kubectl options\" for a list of global command-line options (applies to all commands).");
        return Step::Done(1);
    };
    match sub.as_str() {
        "image" => {}
        "env" | "resources" | "selector" | "serviceaccount" | "sa" | "subject" => {
            return world.fail(&format!("error: kubectl set {sub} is not simulated here"));
        }
        _ => {
            return world.fail(&format!(
                "error: unknown command {:?}\nSee 'kubectl set -h' for help and examples",
                args.words.join(" ")
            ));
        }
    }
    let (pairs, words): (Vec<String>, Vec<String>) = rest.iter().cloned().partition(|w| w.contains('='));
    let named = chosen(world, args, &words);
    if pairs.is_empty() && named.is_ok() {
        return world.fail("error: at least one image update is required");
    }
    let (items, missing) = match named {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    let mut code = 0;
    for item in items {
        let Body::Stored(object) = &item.body else { continue };
        let Some((spec, path)) = pod_spec(object) else {
            world.complain(&format!(
                "error: {}/{} the object is not a pod or does not have a pod template: *v1.{}",
                item.type_.plural, item.meta.name, item.type_.kind
            ));
            code = 1;
            continue;
        };
        let mut tree = item.wire(world.cluster());
        let mut failed = false;
        for pair in &pairs {
            let Some((name, image)) = pair.split_once('=') else { continue };
            if name != "*" && !spec.containers.iter().any(|c| c.name == name) {
                world.complain(&format!("error: unable to find container named {name:?}"));
                failed = true;
                continue;
            }
            let Some(pod) = path.iter().try_fold(&mut tree, |at, key| wire::get_mut(at, key)) else { continue };
            if let Some(Tree { value: Value::Seq(containers), .. }) = wire::get_mut(pod, "containers") {
                for container in containers.iter_mut().filter(|c| name == "*" || c.str("name") == name) {
                    wire::set(container, "image", Value::text(image));
                }
            }
        }
        if failed {
            code = 1;
            continue;
        }
        let Some(patch) = wire::difference(&item.wire(world.cluster()), &tree) else { continue };
        if super::manifest::dry(args).is_none()
            && let Err(complaint) = send(world, &item, patch)
        {
            world.complain(&complaint);
            code = 1;
            continue;
        }
        tell(world, args, &item, "image updated");
    }
    end(world, code, &missing)
}

/// The nodes that words or `-l` mean.
///
/// # Errors
/// kubectl's complaint.
pub fn nodes(world: &World<'_>, args: &Args, verb: &str) -> Result<(Vec<Item>, Vec<String>), String> {
    if args.words.is_empty() && args.get("selector").is_none() {
        return Err(args.usage(&format!("USAGE: {verb} NODE [flags]")));
    }
    let words: Vec<String> = match args.words.iter().any(|w| w.contains('/')) {
        true => args.words.clone(),
        false => core::iter::once("nodes".to_owned()).chain(args.words.iter().cloned()).collect(),
    };
    resource::items(world, args, &words)
}

/// `kubectl cordon`.
pub fn cordon(world: &mut World<'_>, args: &Args) -> Step {
    match nodes(world, args, "cordon") {
        Ok((items, missing)) => {
            let code = set_schedulable(world, args, &items, true);
            end(world, code, &missing)
        }
        Err(complaint) => world.fail(&complaint),
    }
}

/// `kubectl uncordon`.
pub fn uncordon(world: &mut World<'_>, args: &Args) -> Step {
    match nodes(world, args, "uncordon") {
        Ok((items, missing)) => {
            let code = set_schedulable(world, args, &items, false);
            end(world, code, &missing)
        }
        Err(complaint) => world.fail(&complaint),
    }
}

/// Sets `spec.unschedulable` of nodes.
pub fn set_schedulable(world: &mut World<'_>, args: &Args, items: &[Item], cordoned: bool) -> i32 {
    let done = if cordoned { "cordoned" } else { "uncordoned" };
    let mut code = 0;
    for item in items {
        let Body::Stored(Object::Node(node)) = &item.body else { continue };
        if node.spec.unschedulable == cordoned {
            tell(world, args, item, &format!("already {done}"));
            continue;
        }
        let value = if cordoned { Value::Bool(true) } else { Value::Null };
        let patch = of(map(vec![("spec", map(vec![("unschedulable", value)]))]));
        if super::manifest::dry(args).is_none()
            && let Err(complaint) = send(world, item, patch)
        {
            world.complain(&complaint);
            code = 1;
            continue;
        }
        tell(world, args, item, done);
    }
    code
}
