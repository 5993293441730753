//! `kubectl label` and `kubectl annotate` (`kubectl/pkg/cmd/label`, `annotate`).

use super::change::{chosen, end, send, tell};
use crate::flags::Args;
use crate::{Step, World};
use kube_api::StringMap;
use kube_api::wire::{map, of};
use kube_api::yaml::Value;

/// Flags of label and annotate.
pub const LABEL: &str = "l,selector:s all:b overwrite:b list:b A,all-namespaces:b o,output:s dry-run:?unchanged \
field-selector:s resource-version:s field-manager:s f,filename:l ~local:b ~R,recursive:b ~k,kustomize:s";

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
    if words.is_empty() && args.get("filename").is_none() {
        return world.fail("error: one or more resources must be specified as <resource> <name> or <resource>/<name>");
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
