//! `kubectl delete` (`kubectl/pkg/cmd/delete`).

use super::expose::no_resource;
use crate::flags::Args;
use crate::resource::{self, Item, Named};
use crate::{Step, World};
use kube_api::{Kind, Uid};
use lab_protocol::{Command, Propagation};

/// Its flags.
pub const FLAGS: &str = "f,filename:l l,selector:s A,all-namespaces:b all:b grace-period:i force:b now:b wait:b \
ignore-not-found:b o,output:s dry-run:?unchanged timeout:d field-selector:s cascade:?background i,interactive:b \
~R,recursive:b ~k,kustomize:s ~raw:s";

pub fn run(world: &mut World<'_>, args: &Args) -> Step {
    if args.on("interactive") {
        return world.fail("error: kubectl delete -i is not simulated here");
    }
    let propagation = match args.get("cascade") {
        None | Some("background" | "true") => Propagation::Background,
        Some("orphan" | "false") => Propagation::Orphan,
        Some("foreground") => Propagation::Foreground,
        Some(other) => {
            return world.fail(&format!(
                "error: invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
            ));
        }
    };
    let (items, missing) = match targets(world, args) {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    let mut grace = args.number("grace-period").filter(|g| *g >= 0);
    if args.on("now") {
        if grace.is_some() {
            return world.fail("error: --now and --grace-period cannot be specified together");
        }
        grace = Some(1);
    }
    if grace == Some(0) && !args.on("force") {
        // Without --force it becomes 1, and kubectl waits for the Pod to go.
        grace = Some(1);
    }
    if args.on("force") {
        if grace.is_some_and(|g| g > 0) {
            return world.fail("error: --force and --grace-period greater than 0 cannot be specified together");
        }
        grace = Some(0);
        world.complain("Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.");
    }
    let mut waits: Vec<(Item, Uid)> = Vec::new();
    let mut code = 0;
    let quiet = items.is_empty() && missing.is_empty();
    for item in items {
        let kind = item.type_.kind;
        if Kind::named(kind).is_none() {
            let what = item.type_.plural;
            world.complain(&format!("error: {what} follow from other objects here and can only be read"));
            code = 1;
            continue;
        }
        if super::manifest::dry(args).is_none() {
            let (namespace, name) = (item.meta.namespace.clone(), item.meta.name.clone());
            let applied = match grace.and_then(|g| u32::try_from(g).ok()).filter(|_| kind == "Pod") {
                Some(grace_seconds) => world.api.execute(Command::DeletePod { namespace, name, grace_seconds }),
                None if propagation == Propagation::Background => {
                    world.api.execute(Command::Delete { kind: kind.into(), namespace, name })
                }
                None => world.api.execute(Command::DeleteCascading { kind: kind.into(), namespace, name, propagation }),
            };
            let refused = applied.results.first().filter(|r| r.starts_with("Error") || r.starts_with("error"));
            if let Some(complaint) = refused {
                world.complain(complaint);
                code = 1;
                continue;
            }
        }
        report(world, args, &item, grace == Some(0));
        waits.push((item.clone(), item.meta.uid));
    }
    if !args.on("ignore-not-found") {
        for complaint in &missing {
            world.complain(complaint);
            code = 1;
        }
    }
    if quiet && args.words.len() <= 1 {
        world.say("No resources found");
    }
    if !args.not_off("wait") || args.on("force") || super::manifest::dry(args).is_some() {
        return Step::Done(code);
    }
    let timeout = args.get("timeout").and_then(crate::human::parse).filter(|t| t.as_micros() > 0);
    let begun = world.now();
    let look = move |world: &mut World<'_>| {
        let gone = |item: &Item, uid: Uid| {
            let found = resource::get(world.cluster(), item.type_, &item.meta.namespace, &item.meta.name);
            found.is_none_or(|i| i.meta.uid != uid)
        };
        if waits.iter().all(|(item, uid)| gone(item, *uid)) {
            return Some(code);
        }
        if timeout.is_some_and(|t| world.now().since(begun) >= t) {
            world.complain("error: timed out waiting for the condition");
            return Some(1);
        }
        None
    };
    match look(world) {
        Some(code) => Step::Done(code),
        None => Step::Waiting(Box::new(look)),
    }
}

/// `pod "web" deleted`; from 1.34 on with its namespace.
fn report(world: &mut World<'_>, args: &Args, item: &Item, forced: bool) {
    if args.get("output") == Some("name") {
        let line = item.slashed();
        return world.say(&line);
    }
    let done = if forced { "force deleted" } else { "deleted" };
    let place = if item.type_.namespaced && world.cluster().release().0 >= 34 {
        format!(" from {} namespace", item.meta.namespace)
    } else {
        String::new()
    };
    let dry = super::manifest::dry(args).unwrap_or_default();
    world.say(&format!("{} {:?} {done}{place}{dry}", item.type_.full_singular(), item.meta.name));
}

fn targets(world: &World<'_>, args: &Args) -> Result<(Vec<Item>, Vec<String>), String> {
    let mut found = (Vec::new(), Vec::new());
    if args.get("filename").is_some() {
        for name in args.all("filename") {
            let text = world.api.file(name).ok_or_else(|| format!("error: the path {name:?} does not exist"))?;
            for manifest in kube_api::manifest::parse_as(&text, world.cluster().release()).manifests {
                let kube_api::manifest::Content::Object(object) = manifest.content else { continue };
                let Some(type_) = resource::Type::of(object.kind()) else { continue };
                let meta = object.metadata();
                match resource::get(world.cluster(), type_, &meta.namespace, &meta.name) {
                    Some(item) => found.0.push(item),
                    None => found.1.push(format!(
                        "Error from server (NotFound): error when deleting {name:?}: {} {:?} not found",
                        type_.full_plural(),
                        meta.name
                    )),
                }
            }
        }
        return Ok(found);
    }
    if args.words.is_empty() {
        return Err(no_resource());
    }
    let named = resource::named(&args.words)?;
    let picks = args.on("all") || args.get("selector").is_some() || args.get("field-selector").is_some();
    match named {
        Named::Types(_) if !picks => Err("error: resource(s) were provided, but no name was specified".into()),
        Named::Objects(_) if args.on("all") => {
            Err("error: name cannot be provided when a selector is specified".into())
        }
        _ => resource::items(world, args, &args.words),
    }
}
