//! `kubectl edit` and `kubectl patch`.

use super::change::{chosen, end, send, tell};
use crate::flags::Args;
use crate::print::{json, yaml};
use crate::{Step, World};
use kube_api::wire::{self, of};
use kube_api::yaml::{Tree, Value};

/// Flags of edit.
pub const EDIT: &str = "o,output:s f,filename:l save-config:b field-manager:s validate:?strict \
~windows-line-endings:b ~output-patch:b ~R,recursive:b ~k,kustomize:s ~subresource:s";
/// Flags of patch.
pub const PATCH: &str = "p,patch:s type:s o,output:s dry-run:?unchanged f,filename:l field-manager:s ~patch-file:s \
~local:b ~R,recursive:b ~k,kustomize:s ~subresource:s";

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
