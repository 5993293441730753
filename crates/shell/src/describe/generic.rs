//! Objects of types that `kubectl describe` has no page for (`genericDescriber`): all fields, with their names spelt out.

use super::Page;
use crate::resource::Item;
use kube_api::yaml::{Tree, Value};

pub(super) fn object(page: &mut Page<'_>, item: &Item) {
    page.head(&item.meta);
    page.labels("Labels", &item.meta.labels, "");
    page.annotations(&item.meta.annotations);
    let tree = item.wire(page.cluster);
    fields(page, &tree, 0, "");
    page.events(item.type_.kind, &item.meta);
}

/// `printUnstructuredContent`.
fn fields(page: &mut Page<'_>, tree: &Tree, level: usize, path: &str) {
    for (key, value) in tree.entries() {
        let path = format!("{path}.{}", key.name);
        if [".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations"]
            .contains(&path.as_str())
        {
            continue;
        }
        let label = spelt(&key.name);
        match &value.value {
            Value::Map(_) => {
                page.line(level, &format!("{label}:"));
                fields(page, value, level + 1, &path);
            }
            Value::Seq(items) => {
                page.line(level, &format!("{label}:"));
                for item in items {
                    match &item.value {
                        Value::Map(_) => fields(page, item, level + 1, &path),
                        _ => page.line(level + 1, &text(item)),
                    }
                }
            }
            _ => page.field(level, &label, &text(value)),
        }
    }
}

fn text(tree: &Tree) -> String {
    match &tree.value {
        Value::Int(number) => number.to_string(),
        Value::Bool(is) => is.to_string(),
        _ => tree.as_str().unwrap_or_default().to_owned(),
    }
}

/// `creationTimestamp` as `Creation Timestamp` (`smartLabelFor`).
fn spelt(name: &str) -> String {
    let mut words: Vec<String> = vec![String::new()];
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && words.last().is_some_and(|w| !w.is_empty()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    let word = |word: &String| match word.to_ascii_uppercase().as_str() {
        acronym @ ("API" | "URL" | "UID" | "OSB" | "GUID") => acronym.to_owned(),
        _ => {
            let mut letters = word.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}
