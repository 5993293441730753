//! Verbs that change a field: `scale`, `label`, `annotate`, `set image`, `cordon`, `edit`, `patch`.

use super::create::no_resource;
use crate::flags::Args;
use crate::print::{json, yaml};
use crate::resource::{self, Body, Item, Named, Type};
use crate::{Step, World};
use kube_api::wire::{self, map, of};
use kube_api::yaml::{Tree, Value};
use kube_api::{Object, PodSpec, StringMap};
use lab_protocol::Command;

/// Flags of scale.
pub const SCALE: &str = "replicas:i current-replicas:i l,selector:s all:b timeout:d resource-version:s o,output:s \
dry-run:?unchanged f,filename:l ~R,recursive:b ~k,kustomize:s";
/// Flags of label and annotate.
pub const LABEL: &str = "l,selector:s all:b overwrite:b list:b A,all-namespaces:b o,output:s dry-run:?unchanged \
field-selector:s resource-version:s field-manager:s f,filename:l ~local:b ~R,recursive:b ~k,kustomize:s";
/// Flags of set.
pub const SET: &str = "l,selector:s all:b o,output:s dry-run:?unchanged field-manager:s f,filename:l ~local:b \
~R,recursive:b ~k,kustomize:s";
/// Flags of cordon and uncordon.
pub const CORDON: &str = "l,selector:s dry-run:?unchanged";
/// Flags of edit.
pub const EDIT: &str = "o,output:s f,filename:l save-config:b field-manager:s validate:?strict \
~windows-line-endings:b ~output-patch:b ~R,recursive:b ~k,kustomize:s ~subresource:s";
/// Flags of patch.
pub const PATCH: &str = "p,patch:s type:s o,output:s dry-run:?unchanged f,filename:l field-manager:s ~patch-file:s \
~local:b ~R,recursive:b ~k,kustomize:s ~subresource:s";

/// Sends a patch. The complaint, or whether anything changed.
pub fn send(world: &mut World<'_>, item: &Item, patch: Tree) -> Result<bool, String> {
    let applied = world.api.execute(Command::Patch {
        kind: item.type_.kind.into(),
        namespace: item.meta.namespace.clone(),
        name: item.meta.name.clone(),
        patch: yaml::document(&patch),
    });
    match applied.results.into_iter().next() {
        Some(complaint) => Err(complaint),
        None => Ok(applied.changed),
    }
}

fn tell(world: &mut World<'_>, args: &Args, item: &Item, done: &str) {
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

fn end(world: &mut World<'_>, code: i32, missing: &[String]) -> Step {
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

/// `kubectl label` and `kubectl annotate`.
struct Marks {
    /// `label`, `annotation`
    word: &'static str,
    /// `labels`
    field: &'static str,
}

/// `kubectl label`.
pub fn label(world: &mut World<'_>, args: &Args) -> Step {
    marks(world, args, &Marks { word: "label", field: "labels" })
}

/// `kubectl annotate`.
pub fn annotate(world: &mut World<'_>, args: &Args) -> Step {
    marks(world, args, &Marks { word: "annotation", field: "annotations" })
}

fn marks(world: &mut World<'_>, args: &Args, marks: &Marks) -> Step {
    let is_pair = |w: &String| w.contains('=') || w.ends_with('-');
    let split = args.words.iter().position(is_pair).unwrap_or(args.words.len());
    let (words, pairs) = args.words.split_at(split);
    let (mut new, mut removed) = (Vec::new(), Vec::new());
    for pair in pairs {
        match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => new.push((key.to_owned(), value.to_owned())),
            None if pair.ends_with('-') && pair.len() > 1 => removed.push(pair[..pair.len() - 1].to_owned()),
            _ => return world.fail(&format!("error: invalid {} spec: {pair}", marks.word)),
        }
    }
    let both: Vec<&str> = removed.iter().filter(|k| new.iter().any(|(n, _)| n == *k)).map(String::as_str).collect();
    if !both.is_empty() {
        let which = if marks.word == "label" { "a label" } else { "the following annotation(s)" };
        let names = if marks.word == "label" { String::new() } else { format!(": {}", both.join(", ")) };
        return world.fail(&format!("error: can not both modify and remove {which} in the same command{names}"));
    }
    let list = args.on("list");
    if new.is_empty() && removed.is_empty() && !list {
        return world.fail(&format!("error: at least one {} update is required", marks.word));
    }
    if marks.word == "label" {
        for (_, value) in &new {
            if let Err(why) = crate::select::label_value(value) {
                return world.fail(&format!("error: invalid label value: {value:?}: {why}"));
            }
        }
    }
    let (items, missing) = match chosen(world, args, words) {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    let mut code = 0;
    let several = items.len() > 1;
    for item in items {
        let old = if marks.field == "labels" { &item.meta.labels } else { &item.meta.annotations };
        if list {
            if several {
                let head = format!("Listing {}s for {}/{}:", marks.word, item.type_.kind, item.meta.name);
                world.say(&head);
            }
            let lines: Vec<String> =
                old.iter().map(|(k, v)| format!("{}{k}={v}", if several { " " } else { "" })).collect();
            lines.iter().for_each(|l| world.say(l));
            continue;
        }
        if !args.on("overwrite") {
            let taken: Vec<String> = new
                .iter()
                .filter_map(|(k, v)| old.get(k).filter(|o| *o != v).map(|o| (k, o)))
                .map(|(k, o)| format!("'{k}' already has a value ({o})"))
                .collect();
            if !taken.is_empty() {
                let text = if marks.word == "label" {
                    format!("error: {}, and --overwrite is false", taken[0])
                } else {
                    format!(
                        "error: --overwrite is false but found the following declared annotation(s): {}",
                        taken.join("; ")
                    )
                };
                world.complain(&text);
                code = 1;
                continue;
            }
        }
        for key in removed.iter().filter(|k| !old.contains_key(*k) && marks.word == "label") {
            world.say(&format!("label {key:?} not found."));
        }
        let mut changed: StringMap = old.clone();
        removed.iter().for_each(|k| {
            changed.remove(k);
        });
        changed.extend(new.iter().cloned());
        let differs = changed != *old;
        let done = if marks.word == "annotation" {
            "annotated"
        } else if !differs {
            "not labeled"
        } else if !args.on("overwrite") && length(&changed) < length(old) {
            "unlabeled"
        } else {
            "labeled"
        };
        if differs && super::manifest::dry(args).is_none() {
            let mut entries: Vec<(&str, Value)> =
                new.iter().map(|(k, v)| (k.as_str(), Value::text(v.clone()))).collect();
            entries.extend(removed.iter().map(|k| (k.as_str(), Value::Null)));
            let patch = of(map(vec![("metadata", map(vec![(marks.field, map(entries))]))]));
            if let Err(complaint) = send(world, &item, patch) {
                world.complain(&complaint);
                code = 1;
                continue;
            }
        }
        tell(world, args, &item, done);
    }
    end(world, code, &missing)
}

/// How long a mapping is as JSON: what `updateDataChangeMsg` goes by.
fn length(labels: &StringMap) -> usize {
    labels.iter().map(|(k, v)| k.len() + v.len() + 6).sum()
}

/// The containers of an object, and the path of its Pods' spec.
fn pod_spec(object: &Object) -> Option<(&PodSpec, &'static [&'static str])> {
    match object {
        Object::Pod(o) => Some((&o.spec, &["spec"])),
        Object::Deployment(o) => Some((&o.spec.template.spec, &["spec", "template", "spec"])),
        Object::ReplicaSet(o) => Some((&o.spec.template.spec, &["spec", "template", "spec"])),
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
        _ => return world.fail(&format!("error: unknown command {sub:?}\nSee 'kubectl set -h' for help and examples")),
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

const EDIT_HEAD: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n# and an empty file will abort the edit. If an error occurs while saving this file will be\n# reopened with the relevant failures.\n#\n";

/// `kubectl edit`: hands out a text, and patches what comes back changed.
pub fn edit(world: &mut World<'_>, args: &Args) -> Step {
    let (items, missing) = match chosen(world, args, &args.words) {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    if let Some(complaint) = missing.first() {
        return world.fail(complaint);
    }
    let [item] = &items[..] else {
        return world.fail("error: one object at a time can be edited here");
    };
    let item = item.clone();
    let before = item.wire(world.cluster());
    let body = if args.get("output") == Some("json") { json::pretty(&before) } else { yaml::document(&before) };
    world.out.edit = Some(format!("{EDIT_HEAD}{body}"));
    Step::Waiting(Box::new(move |world| {
        let text = world.edited.take()?;
        let bare: String = text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
        if bare.trim().is_empty() {
            world.complain("Edit cancelled, saved file was empty.");
            return Some(1);
        }
        let reopen = |world: &mut World<'_>, why: &str| {
            let lines: String = why.lines().map(|l| format!("# {l}\n")).collect();
            world.complain(&format!("error: {} {:?} is invalid", item.type_.full_plural(), item.meta.name));
            world.out.edit = Some(format!("{EDIT_HEAD}{lines}#\n{bare}"));
        };
        let after = match kube_api::yaml::load(&bare).into_iter().next() {
            Some(Ok(tree)) => tree,
            Some(Err(d)) => {
                reopen(world, &format!("The edited file had a syntax error: yaml: {}", d.message));
                return None;
            }
            None => return Some(1),
        };
        let Some(patch) = wire::difference(&before, &after) else {
            world.complain("Edit cancelled, no changes made.");
            return Some(0);
        };
        match send(world, &item, patch) {
            Ok(_) => {
                let name = item.slashed();
                world.say(&format!("{name} edited"));
                Some(0)
            }
            Err(complaint) => {
                reopen(world, &complaint);
                None
            }
        }
    }))
}

/// `kubectl patch`.
pub fn patch(world: &mut World<'_>, args: &Args) -> Step {
    let Some(text) = args.get("patch") else {
        return world.fail("error: must specify --patch or --patch-file containing the contents of the patch");
    };
    let strategic = match args.get("type") {
        None | Some("strategic") => true,
        Some("merge") => false,
        Some("json") => return world.fail("error: --type=json is not simulated here; merge and strategic are"),
        Some(_) => return world.fail("error: --type must be one of [json merge strategic], not \"\""),
    };
    let change = match kube_api::yaml::load(text).into_iter().next() {
        Some(Ok(tree)) if matches!(tree.value, Value::Map(_)) => tree,
        _ => return world.fail(&format!("error: unable to parse {text:?}: yaml: did not find expected node content")),
    };
    let (items, missing) = match chosen(world, args, &args.words) {
        Ok(found) => found,
        Err(complaint) => return world.fail(&complaint),
    };
    let mut code = 0;
    for item in items {
        let before = item.wire(world.cluster());
        let change = if strategic { by_keys(&before, &change) } else { change.clone() };
        let result = match super::manifest::dry(args) {
            Some(_) => Ok(true),
            None => send(world, &item, change),
        };
        match result {
            Ok(true) => tell(world, args, &item, "patched"),
            Ok(false) => tell(world, args, &item, "patched (no change)"),
            Err(complaint) => {
                world.complain(&complaint);
                code = 1;
            }
        }
    }
    end(world, code, &missing)
}

/// A strategic merge patch as a plain one: lists of named things are merged by their key (`patchMergeKey` of the types).
fn by_keys(old: &Tree, patch: &Tree) -> Tree {
    let Value::Map(changes) = &patch.value else { return patch.clone() };
    let entries = changes
        .iter()
        .map(|(key, change)| {
            let before = old.get(&key.name);
            let merge_key = match key.name.as_str() {
                "containers" | "readinessGates" => "name",
                "ports" if change.items().iter().any(|i| i.get("containerPort").is_some()) => "containerPort",
                "ports" => "port",
                "conditions" => "type",
                _ => "",
            };
            let value = match (before, &change.value) {
                (Some(before), Value::Seq(items)) if !merge_key.is_empty() => {
                    let mut all = before.items().to_vec();
                    for item in items {
                        let same = |a: &Tree, b: &Tree| match (a.get(merge_key), b.get(merge_key)) {
                            (Some(a), Some(b)) => wire::same(a, b),
                            _ => false,
                        };
                        match all.iter_mut().find(|t| same(t, item)) {
                            Some(found) => {
                                let change = by_keys(found, item);
                                wire::merge(found, &change);
                            }
                            None => all.push(item.clone()),
                        }
                    }
                    of(Value::Seq(all))
                }
                (Some(before), Value::Map(_)) => by_keys(before, change),
                _ => change.clone(),
            };
            (key.clone(), value)
        })
        .collect();
    of(Value::Map(entries))
}

/// Whether a type has replicas.
pub fn rolls(type_: &Type) -> bool {
    type_.kind == "Deployment"
}
