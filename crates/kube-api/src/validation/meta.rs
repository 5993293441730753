//! `metadata` (`apimachinery/pkg/api/validation/objectmeta.go`) and label selectors.

use super::errors::{Errors, dump, texts};
use super::names;
use crate::decode::go_quote;
use crate::yaml::Tree;

/// What the annotations of one object may weigh.
const ANNOTATIONS: usize = 256 * 1024;

/// Validates `metadata`. `name`: the kind's rule for names.
pub(super) fn object(errors: &mut Errors, tree: &Tree, namespaced: bool, name: fn(&str) -> Vec<String>) {
    let none = Tree::default();
    let meta = tree.get("metadata").unwrap_or(&none);
    let generate = meta.str("generateName");
    if !generate.is_empty() {
        // A prefix may end in a dash.
        let masked = match generate.strip_suffix('-') {
            Some(rest) if !rest.is_empty() => {
                format!("{}a", &rest[..rest.len() - rest.chars().next_back().map_or(0, char::len_utf8)])
            }
            _ => generate.to_string(),
        };
        errors.each("metadata.generateName", generate, name(&masked));
    }
    match meta.str("name") {
        "" if generate.is_empty() => errors.required("metadata.name", "name or generateName is required"),
        "" => {}
        text => errors.each("metadata.name", text, name(text)),
    }
    let namespace = meta.str("namespace");
    if namespaced {
        if namespace.is_empty() {
            errors.required("metadata.namespace", "");
        } else {
            errors.each("metadata.namespace", namespace, names::dns1123_label(namespace));
        }
    } else if !namespace.is_empty() {
        errors.forbidden("metadata.namespace", "not allowed on this type");
    }
    errors.not_negative("metadata.generation", meta.get("generation").and_then(Tree::as_int));
    labels(errors, meta.get("labels"), "metadata.labels");
    annotations(errors, meta.get("annotations"), "metadata.annotations");
    owners(errors, meta.get("ownerReferences"), "metadata.ownerReferences");
    let finalizers = texts(meta.get("finalizers"));
    for finalizer in &finalizers {
        errors.each("metadata.finalizers", finalizer, names::qualified_name(finalizer));
        if names::qualified_name(finalizer).is_empty() && !finalizer.contains('/') {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            if !["kubernetes", "orphan", "foregroundDeletion"].contains(finalizer) {
                errors.invalid("metadata.finalizers", finalizer, detail);
            }
        }
    }
    if ["orphan", "foregroundDeletion"].iter().all(|both| finalizers.contains(both)) {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.invalid_dump("metadata.finalizers", &dump("[]string", &finalizers), detail);
    }
}

/// ValidateOwnerReferences. The paths have no index.
fn owners(errors: &mut Errors, tree: Option<&Tree>, path: &str) {
    let list = tree.map(Tree::items).unwrap_or_default();
    let mut first: Option<String> = None;
    for item in list {
        let (version, kind, name) = (item.str("apiVersion"), item.str("kind"), item.str("name"));
        // What has two slashes can't be read, and counts as nothing.
        let last = if version.matches('/').count() > 1 { "" } else { version.rsplit('/').next().unwrap_or_default() };
        if last.is_empty() {
            errors.invalid(&format!("{path}.apiVersion"), version, "version must not be empty");
        }
        if kind.is_empty() {
            errors.invalid(&format!("{path}.kind"), kind, "kind must not be empty");
        }
        if name.is_empty() {
            errors.invalid(&format!("{path}.name"), name, "name must not be empty");
        }
        // A stored one is a number.
        if item.str("uid").is_empty() && item.get("uid").is_none_or(|uid| uid.as_int().is_none()) {
            errors.invalid(&format!("{path}.uid"), "", "uid must not be empty");
        }
        if (version, kind) == ("v1", "Event") {
            errors.invalid_dump(path, &go_owner(item), "/v1, Kind=Event is disallowed from being an owner");
        }
        if item.get("controller").and_then(Tree::as_bool) != Some(true) {
            continue;
        }
        let name = format!("{kind}/{name}");
        match &first {
            Some(first) => {
                let all: Vec<String> = list.iter().map(go_owner).collect();
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                errors.invalid_dump(path, &format!("[]v1.OwnerReference{{{}}}", all.join(", ")), &detail);
            }
            None => first = Some(name),
        }
    }
}

/// An owner as Go's `%#v` prints it. A pointer's address is another one each time; this one stands for all.
fn go_owner(tree: &Tree) -> String {
    let text = |key: &str| go_quote(tree.str(key));
    let flag = |key: &str| match tree.get(key).and_then(Tree::as_bool) {
        Some(_) => "(*bool)(0xc000123456)",
        None => "(*bool)(nil)",
    };
    format!(
        "v1.OwnerReference{{APIVersion:{}, Kind:{}, Name:{}, UID:{}, Controller:{}, BlockOwnerDeletion:{}}}",
        text("apiVersion"),
        text("kind"),
        text("name"),
        text("uid"),
        flag("controller"),
        flag("blockOwnerDeletion")
    )
}

/// Validates labels, or an equality selector.
pub(super) fn labels(errors: &mut Errors, tree: Option<&Tree>, path: &str) {
    for (key, value) in by_key(tree) {
        errors.each(path, key, names::qualified_name(key));
        errors.each(path, value, names::label_value(value));
    }
}

/// Validates annotations.
pub(super) fn annotations(errors: &mut Errors, tree: Option<&Tree>, path: &str) {
    let mut size = 0;
    for (key, value) in by_key(tree) {
        errors.each(path, key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS {
        errors.too_long(path, ANNOTATIONS);
    }
}

fn by_key(tree: Option<&Tree>) -> Vec<(&str, &str)> {
    let entries = tree.map(Tree::entries).unwrap_or_default();
    let mut pairs: Vec<_> =
        entries.iter().map(|(key, value)| (key.name.as_str(), value.as_str().unwrap_or_default())).collect();
    pairs.sort_unstable();
    pairs
}

/// Validates a label selector (`apimachinery/pkg/apis/meta/v1/validation`).
pub(super) fn selector(errors: &mut Errors, tree: Option<&Tree>, path: &str) {
    let Some(tree) = tree else { return };
    labels(errors, tree.get("matchLabels"), &format!("{path}.matchLabels"));
    for (i, item) in tree.get("matchExpressions").map(Tree::items).unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let values = texts(item.get("values"));
        match item.str("operator") {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.required(&format!("{path}.values"), detail);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.forbidden(&format!("{path}.values"), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&format!("{path}.operator"), other, "not a valid selector operator"),
        }
        let key = item.str("key");
        errors.each(&format!("{path}.key"), key, names::qualified_name(key));
        for (j, value) in values.iter().enumerate() {
            errors.each(&format!("{path}.values[{j}]"), value, names::label_value(value));
        }
    }
}

/// Whether a selector selects everything.
pub(super) fn selects_all(tree: Option<&Tree>) -> bool {
    let size = |name: &str| tree.and_then(|t| t.get(name)).map_or(0, |t| t.entries().len() + t.items().len());
    size("matchLabels") + size("matchExpressions") == 0
}

/// Whether a selector selects some labels.
pub(super) fn selects(selector: Option<&Tree>, labels: Option<&Tree>) -> bool {
    let value = |key: &str| labels.and_then(|l| l.get(key)).map(|v| v.as_str().unwrap_or_default());
    let pairs = selector.and_then(|s| s.get("matchLabels")).map(Tree::entries).unwrap_or_default();
    let rules = selector.and_then(|s| s.get("matchExpressions")).map(Tree::items).unwrap_or_default();
    pairs.iter().all(|(key, want)| value(&key.name) == Some(want.as_str().unwrap_or_default()))
        && rules.iter().all(|rule| {
            let (value, values) = (value(rule.str("key")), texts(rule.get("values")));
            match rule.str("operator") {
                "In" => value.is_some_and(|v| values.contains(&v)),
                "NotIn" => value.is_none_or(|v| !values.contains(&v)),
                "Exists" => value.is_some(),
                _ => value.is_none(),
            }
        })
}
