//! What would become of an object, as `kubectl diff` shows it: lines of its YAML with their signs.

use crate::yaml::{Tree, Value, float, plain};
use std::fmt::Write as _;

/// What the server keeps for itself (`status` is a controller's).
const SERVERS: [&str; 5] = ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"];

/// The lines in which two versions of an object, in the API's form, differ, each behind `+`, `-` or a space: the fields
/// themselves and the keys that lead to them. Without an old version all of it. Empty: they say the same.
pub fn diff(old: Option<&Tree>, new: &Tree) -> String {
    let mut lines = Vec::new();
    for (key, value) in new.entries() {
        let before = old.and_then(|o| o.get(&key.name));
        match key.name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => between(&key.name, before.map(bare).as_ref(), Some(&bare(value)), 0, &mut lines),
            name => between(name, before, Some(value), 0, &mut lines),
        }
    }
    for (key, value) in old.map(Tree::entries).unwrap_or_default() {
        if new.get(&key.name).is_none() && key.name != "status" {
            between(&key.name, Some(value), None, 0, &mut lines);
        }
    }
    let mut out = String::new();
    for Line { sign, depth, text } in lines {
        let _ = writeln!(out, "{sign}{:depth$}{text}", "");
    }
    out
}

fn bare(metadata: &Tree) -> Tree {
    let kept = metadata.entries().iter().filter(|(k, _)| !SERVERS.contains(&k.name.as_str())).cloned();
    Tree { span: metadata.span, value: Value::Map(kept.collect()) }
}

struct Line {
    sign: char,
    depth: usize,
    text: String,
}

/// The lines of one field.
fn between(key: &str, old: Option<&Tree>, new: Option<&Tree>, depth: usize, lines: &mut Vec<Line>) {
    match (old, new) {
        (Some(a), Some(b)) if crate::wire::same(a, b) => {}
        (Some(a), Some(b)) => match (&a.value, &b.value) {
            (Value::Map(x), Value::Map(y)) if !x.is_empty() && !y.is_empty() => {
                lines.push(Line { sign: ' ', depth, text: format!("{}:", scalar(&Value::text(key))) });
                maps(a, b, depth + 2, lines);
            }
            (Value::Seq(x), Value::Seq(y)) if !x.is_empty() && !y.is_empty() => {
                lines.push(Line { sign: ' ', depth, text: format!("{}:", scalar(&Value::text(key))) });
                lists(x, y, depth, lines);
            }
            _ => {
                whole('-', key, a, depth, lines);
                whole('+', key, b, depth, lines);
            }
        },
        (Some(a), None) => whole('-', key, a, depth, lines),
        (None, Some(b)) => whole('+', key, b, depth, lines),
        (None, None) => {}
    }
}

fn maps(old: &Tree, new: &Tree, depth: usize, lines: &mut Vec<Line>) {
    let mut keys: Vec<&str> = old.entries().iter().chain(new.entries()).map(|(k, _)| k.name.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        between(key, old.get(key), new.get(key), depth, lines);
    }
}

/// Items belong together by what names them (`patchMergeKey`), the others as they follow each other.
fn lists(old: &[Tree], new: &[Tree], depth: usize, lines: &mut Vec<Line>) {
    let known = |list: &[Tree], of: &Tree| list.iter().any(|item| name(item) == name(of));
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) => {
                let paired = name(a) == name(b);
                if !paired && known(&old[i..], b) {
                    item('-', a, depth, lines);
                    i += 1;
                } else if !paired && known(&new[j..], a) {
                    item('+', b, depth, lines);
                    j += 1;
                } else {
                    changed(a, b, depth, lines);
                    (i, j) = (i + 1, j + 1);
                }
            }
            (Some(a), None) => {
                item('-', a, depth, lines);
                i += 1;
            }
            (None, Some(b)) => {
                item('+', b, depth, lines);
                j += 1;
            }
            (None, None) => {}
        }
    }
}

/// What tells an item from the others of its list.
fn name(item: &Tree) -> String {
    match &item.value {
        Value::Map(_) => ["name", "type", "key", "containerPort", "port", "ip"]
            .iter()
            .find_map(|k| item.get(k))
            .map(|t| scalar(&t.value))
            .unwrap_or_default(),
        value => scalar(value),
    }
}

fn changed(old: &Tree, new: &Tree, depth: usize, lines: &mut Vec<Line>) {
    if crate::wire::same(old, new) {
        return;
    }
    if !matches!((&old.value, &new.value), (Value::Map(_), Value::Map(_))) {
        item('-', old, depth, lines);
        return item('+', new, depth, lines);
    }
    let from = lines.len();
    if let Some((key, value)) = new.entries().iter().find(|(k, _)| k.name == "name").or(new.entries().first())
        && old.get(&key.name).is_some_and(|was| crate::wire::same(was, value))
        && !matches!(value.value, Value::Map(_) | Value::Seq(_))
    {
        whole(' ', &key.name, value, depth + 2, lines);
    }
    maps(old, new, depth + 2, lines);
    dash(from, depth, lines);
}

/// Puts an item's dash before its first line; where that is told twice, as it was and as it is, before both.
fn dash(from: usize, depth: usize, lines: &mut [Line]) {
    let Some(first) = lines.get(from).map(|l| l.sign) else { return };
    let second = (first == '-').then(|| lines[from..].iter().position(|l| l.sign == '+')).flatten();
    let second = second.filter(|i| lines[from..from + i].iter().all(|l| l.sign == '-'));
    for at in [Some(0), second].into_iter().flatten() {
        let line = &mut lines[from + at];
        line.text.insert_str(0, "- ");
        line.depth = depth;
    }
}

fn item(sign: char, tree: &Tree, depth: usize, lines: &mut Vec<Line>) {
    match &tree.value {
        Value::Map(entries) if !entries.is_empty() => {
            let from = lines.len();
            for (key, value) in entries {
                whole(sign, &key.name, value, depth + 2, lines);
            }
            lines[from].text.insert_str(0, "- ");
            lines[from].depth = depth;
        }
        value => lines.push(Line { sign, depth, text: format!("- {}", scalar(value)) }),
    }
}

/// A field with all that is in it.
fn whole(sign: char, key: &str, tree: &Tree, depth: usize, lines: &mut Vec<Line>) {
    let key = scalar(&Value::text(key));
    match &tree.value {
        Value::Map(entries) if !entries.is_empty() => {
            lines.push(Line { sign, depth, text: format!("{key}:") });
            for (key, value) in entries {
                whole(sign, &key.name, value, depth + 2, lines);
            }
        }
        Value::Seq(items) if !items.is_empty() => {
            lines.push(Line { sign, depth, text: format!("{key}:") });
            for each in items {
                item(sign, each, depth, lines);
            }
        }
        value => lines.push(Line { sign, depth, text: format!("{key}: {}", scalar(value)) }),
    }
}

/// A scalar, or an empty collection, on one line.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => float(*f),
        Value::Str { raw, .. } if plain(raw) => raw.clone(),
        Value::Str { raw, .. } => format!("{raw:?}"),
        Value::Seq(_) => "[]".into(),
        Value::Map(_) => "{}".into(),
    }
}
