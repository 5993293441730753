//! ConfigMap (`pkg/apis/core/validation/validation.go`).

use super::errors::Errors;
use super::{meta, names};
use crate::yaml::Tree;

/// What a ConfigMap may weigh (`MaxSecretSize`).
const MOST: usize = 1024 * 1024;

/// ValidateConfigMap.
pub(super) fn config_map(errors: &mut Errors, tree: &Tree) {
    meta::object(errors, tree, true, names::dns1123_subdomain);
    let mut size = 0;
    for (bag, other) in [("data", "binaryData"), ("binaryData", "data")] {
        for (key, value) in tree.get(bag).map(Tree::entries).unwrap_or_default() {
            let path = format!("{bag}[{}]", key.name);
            errors.each(&path, &key.name, config_key(&key.name));
            if tree.get(other).is_some_and(|t| t.get(&key.name).is_some()) {
                errors.invalid(&path, &key.name, &format!("duplicate of key present in {other}"));
            }
            let length = value.as_str().unwrap_or_default().len();
            size += if bag == "data" { length } else { length / 4 * 3 };
        }
    }
    if size > MOST {
        errors.too_long("", MOST);
    }
}

/// IsConfigMapKey.
fn config_key(key: &str) -> Vec<String> {
    let mut details = Vec::new();
    if key.len() > 253 {
        details.push("must be no more than 253 characters".to_owned());
    }
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        details.push("a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')".into());
    }
    match key {
        "." => details.push("must not be '.'".into()),
        ".." => details.push("must not be '..'".into()),
        _ if key.starts_with("..") => details.push("must not start with '..'".into()),
        _ => {}
    }
    details
}

/// ValidateConfigMapUpdate.
pub(super) fn update(errors: &mut Errors, new: &Tree, old: &Tree) {
    let fixed = |tree: &Tree| tree.get("immutable").and_then(Tree::as_bool) == Some(true);
    if !fixed(old) {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if !fixed(new) {
        errors.forbidden("immutable", detail);
    }
    for bag in ["data", "binaryData"] {
        if new.get(bag) != old.get(bag) {
            errors.forbidden(bag, detail);
        }
    }
}
