//! From a field path, as errors name it, to its place in the text.

use crate::yaml::{Span, Tree, Value};

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `.name`
    Field(String),
    /// `[3]`
    Index(usize),
    /// `[some/key]`
    Key(String),
}

/// Takes `spec.ports[0].port` or `metadata.annotations[example.com/x]` apart.
pub(crate) fn steps(path: &str) -> Vec<Step> {
    let mut found = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, after) = inner.split_once(']').unwrap_or((inner, ""));
            found.push(key.parse().map_or_else(|_| Step::Key(key.to_string()), Step::Index));
            rest = after;
        } else {
            let body = rest.strip_prefix('.').unwrap_or(rest);
            let end = body.find(['.', '[']).unwrap_or(body.len());
            if end > 0 {
                found.push(Step::Field(body[..end].to_string()));
            }
            rest = &body[end..];
            if end == 0 && !rest.starts_with('[') && !rest.starts_with('.') {
                break;
            }
        }
    }
    found
}

/// Where a path stands: its value, else the key that it is missing under.
pub(crate) fn find(tree: &Tree, path: &str) -> Span {
    let mut at = tree;
    // The nearest thing that is there: a key, or the item of a list.
    let mut near = first(tree);
    let steps = steps(path);
    for (i, step) in steps.iter().enumerate() {
        let next = match step {
            Step::Field(name) | Step::Key(name) => named(at, name),
            Step::Index(index) => at.items().get(*index).map(|item| (first(item), item)),
        };
        // The server speaks of clusterIPs[0] where only clusterIP was written.
        let next = next.or_else(|| match (step, steps.get(i + 1)) {
            (Step::Field(name), _) if name == "clusterIPs" => named(at, "clusterIP"),
            (Step::Field(name), _) if name == "podCIDRs" => named(at, "podCIDR"),
            // And of template.labels where it means template.metadata.labels.
            (Step::Field(name), _) if name == "labels" || name == "annotations" => {
                at.get("metadata").and_then(|metadata| named(metadata, name))
            }
            (Step::Index(0), _) if !matches!(at.value, Value::Seq(_) | Value::Map(_)) => Some((at.span, at)),
            _ => None,
        });
        let Some((key, tree)) = next else { return near };
        near = key;
        at = tree;
    }
    let empty = at.is_null() && at.span.length == 0;
    if steps.is_empty() || empty || matches!(at.value, Value::Map(_) | Value::Seq(_)) { near } else { at.span }
}

/// The value at a path.
pub(crate) fn value<'a>(tree: &'a Tree, path: &str) -> Option<&'a Tree> {
    steps(path).iter().try_fold(tree, |at, step| match step {
        Step::Field(name) | Step::Key(name) => named(at, name).map(|(_, tree)| tree),
        Step::Index(index) => at.items().get(*index),
    })
}

/// A key, or the same with a small first letter (`spec.LoadBalancerSourceRanges`).
fn named<'a>(tree: &'a Tree, name: &str) -> Option<(Span, &'a Tree)> {
    let entry = tree.entry(name).or_else(|| {
        let mut chars = name.chars();
        let lower: String = chars.next().into_iter().flat_map(char::to_lowercase).chain(chars).collect();
        tree.entry(&lower)
    });
    entry.map(|(key, tree)| (if key.span.line == 0 { tree.span } else { key.span }, tree))
}

/// The first key of a mapping, else the value itself.
fn first(tree: &Tree) -> Span {
    tree.entries().first().map_or(tree.span, |(key, _)| key.span)
}
