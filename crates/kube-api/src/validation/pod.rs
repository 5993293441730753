//! Pods and Pod templates (`pkg/apis/core/validation/validation.go`, ValidatePodSpec), as far as they are simulated.

use super::errors::{Errors, Port};
use super::pod_difference::difference;
use super::{meta, names};
use crate::decode::go_quote;
use crate::wire::set;
use crate::yaml::{Tree, Value};
use std::collections::BTreeSet;

/// Default of `terminationGracePeriodSeconds`.
const GRACE: i64 = crate::defaults::GRACE_SECONDS;

/// ValidatePodCreate.
pub(super) fn create(errors: &mut Errors, tree: &Tree) {
    meta::object(errors, tree, true, names::dns1123_subdomain);
    spec(errors, tree.get("spec").unwrap_or(&Tree::default()), "spec");
}

/// ValidatePodTemplateSpec.
pub(super) fn template(errors: &mut Errors, tree: &Tree, path: &str) {
    let metadata = |key| tree.at(&["metadata", key]);
    meta::labels(errors, metadata("labels"), &format!("{path}.labels"));
    meta::annotations(errors, metadata("annotations"), &format!("{path}.annotations"));
    spec(errors, tree.get("spec").unwrap_or(&Tree::default()), &format!("{path}.spec"));
}

fn spec(errors: &mut Errors, tree: &Tree, path: &str) {
    let grace = tree.get("terminationGracePeriodSeconds").and_then(Tree::as_int).unwrap_or(GRACE);
    volumes(errors, tree, path);
    let list = format!("{path}.containers");
    let all = tree.get("containers").map(Tree::items).unwrap_or_default();
    if all.is_empty() {
        errors.required(&list, "");
    }
    let mut seen = BTreeSet::new();
    for (i, item) in all.iter().enumerate() {
        let path = format!("{list}[{i}]");
        common(errors, item, &path);
        if !seen.insert(item.str("name")) {
            errors.duplicate(&format!("{path}.name"), &go_quote(item.str("name")));
        }
        if let Some(hooks) = item.get("lifecycle") {
            for hook in ["postStart", "preStop"] {
                if let Some(tree) = hooks.get(hook) {
                    handler(errors, tree, &format!("{path}.lifecycle.{hook}"), grace);
                }
            }
        }
        for (name, once) in [("livenessProbe", true), ("readinessProbe", false), ("startupProbe", true)] {
            if let Some(tree) = item.get(name) {
                probe(errors, tree, &format!("{path}.{name}"), grace, once);
            }
        }
    }
    let initial = tree.get("initContainers").map(Tree::items).unwrap_or_default();
    for (i, item) in initial.iter().enumerate() {
        let path = format!("{path}.initContainers[{i}]");
        common(errors, item, &path);
        if !seen.insert(item.str("name")) {
            errors.duplicate(&format!("{path}.name"), &go_quote(item.str("name")));
        }
    }
    let policy = tree.str("restartPolicy");
    if !policy.is_empty() {
        errors.one_of(&format!("{path}.restartPolicy"), policy, &["Always", "OnFailure", "Never"]);
    }
    meta::labels(errors, tree.get("nodeSelector"), &format!("{path}.nodeSelector"));
    for key in ["hostname", "subdomain"] {
        let text = tree.str(key);
        if !text.is_empty() {
            errors.each(&format!("{path}.{key}"), text, names::dns1123_label(text));
        }
    }
    tolerations(errors, tree, &format!("{path}.tolerations"));
}

/// ValidateVolumes, as far as names go.
fn volumes(errors: &mut Errors, tree: &Tree, path: &str) {
    let mut seen = BTreeSet::new();
    for (i, item) in tree.get("volumes").map(Tree::items).unwrap_or_default().iter().enumerate() {
        let (path, name) = (format!("{path}.volumes[{i}].name"), item.str("name"));
        match name {
            "" => errors.required(&path, ""),
            _ if !seen.insert(name) => errors.duplicate(&path, &go_quote(name)),
            _ => errors.each(&path, name, names::dns1123_label(name)),
        }
    }
}

/// validateContainerCommon.
fn common(errors: &mut Errors, tree: &Tree, path: &str) {
    match tree.str("name") {
        "" => errors.required(&format!("{path}.name"), ""),
        name => errors.each(&format!("{path}.name"), name, names::dns1123_label(name)),
    }
    let image = tree.str("image");
    if image.is_empty() {
        errors.required(&format!("{path}.image"), "");
    } else if image.trim() != image {
        errors.invalid(&format!("{path}.image"), image, "must not have leading or trailing whitespace");
    }
    let mut seen = BTreeSet::new();
    for (i, port) in tree.get("ports").map(Tree::items).unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.ports[{i}]");
        let name = port.str("name");
        if !name.is_empty() {
            let found = names::port_name(name);
            if found.is_empty() && !seen.insert(name) {
                errors.duplicate(&format!("{path}.name"), &go_quote(name));
            }
            errors.each(&format!("{path}.name"), name, found);
        }
        match port.get("containerPort").and_then(Tree::as_int).unwrap_or(0) {
            0 => errors.required(&format!("{path}.containerPort"), ""),
            number if !names::is_port(number) => {
                errors.invalid_int(&format!("{path}.containerPort"), number, names::PORT);
            }
            _ => {}
        }
        if let Some(number) = port.get("hostPort").and_then(Tree::as_int).filter(|n| *n != 0 && !names::is_port(*n)) {
            errors.invalid_int(&format!("{path}.hostPort"), number, names::PORT);
        }
        let protocol = port.str("protocol");
        if !protocol.is_empty() {
            errors.one_of(&format!("{path}.protocol"), protocol, &["SCTP", "TCP", "UDP"]);
        }
    }
    for (i, variable) in tree.get("env").map(Tree::items).unwrap_or_default().iter().enumerate() {
        if variable.str("name").is_empty() {
            errors.required(&format!("{path}.env[{i}].name"), "");
        }
    }
}

fn probe(errors: &mut Errors, tree: &Tree, path: &str, grace: i64, once: bool) {
    handler(errors, tree, path, grace);
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        errors.not_negative(&format!("{path}.{key}"), tree.get(key).and_then(Tree::as_int));
    }
    let threshold = tree.get("successThreshold").and_then(Tree::as_int).unwrap_or(1);
    if once && !matches!(threshold, 0 | 1) {
        errors.invalid_int(&format!("{path}.successThreshold"), threshold, "must be 1");
    }
}

/// validateHandler.
fn handler(errors: &mut Errors, tree: &Tree, path: &str, grace: i64) {
    let mut handlers = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let Some(action) = tree.get(kind).filter(|t| !t.is_null()) else { continue };
        let path = format!("{path}.{kind}");
        handlers += 1;
        if handlers > 1 {
            errors.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        match kind {
            "exec" if action.get("command").is_none_or(|c| c.items().is_empty()) => {
                errors.required(&format!("{path}.command"), "");
            }
            "httpGet" | "tcpSocket" | "grpc" => {
                match Port::read(action.get("port")) {
                    Port::Number(number) if !names::is_port(number) => {
                        errors.invalid_int(&format!("{path}.port"), number, names::PORT);
                    }
                    Port::Number(_) => {}
                    Port::Name(name) => errors.each(&format!("{path}.port"), name, names::port_name(name)),
                }
                let scheme = action.str("scheme");
                if !scheme.is_empty() {
                    errors.one_of(&format!("{path}.scheme"), scheme, &["HTTP", "HTTPS"]);
                }
            }
            "sleep" => {
                let seconds = action.get("seconds").and_then(Tree::as_int).unwrap_or(0);
                if seconds <= 0 || seconds > grace {
                    let detail =
                        format!("must be greater than 0 and less than terminationGracePeriodSeconds ({grace})");
                    errors.invalid_int(&path, seconds, &detail);
                }
            }
            _ => {}
        }
    }
    if handlers == 0 {
        errors.required(path, "must specify a handler type");
    }
}

/// ValidateTolerations.
fn tolerations(errors: &mut Errors, tree: &Tree, path: &str) {
    for (i, item) in tree.get("tolerations").map(Tree::items).unwrap_or_default().iter().enumerate() {
        let path = format!("{path}[{i}]");
        let (key, operator, effect) = (item.str("key"), item.str("operator"), item.str("effect"));
        if !key.is_empty() {
            errors.each(&format!("{path}.key"), key, names::qualified_name(key));
        }
        if key.is_empty() && operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&format!("{path}.operator"), operator, detail);
        }
        if item.get("tolerationSeconds").is_some_and(|t| !t.is_null()) && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&format!("{path}.effect"), effect, detail);
        }
        match operator {
            "Equal" | "" => {
                let found = names::label_value(item.str("value"));
                errors.each(&format!("{path}.operator"), item.str("value"), found);
            }
            "Exists" if !item.str("value").is_empty() => {
                errors.invalid(
                    &format!("{path}.operator"),
                    operator,
                    "value must be empty when `operator` is 'Exists'",
                );
            }
            "Exists" => {}
            other => errors.unsupported(&format!("{path}.operator"), other, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            effects(errors, effect, &format!("{path}.effect"));
        }
    }
}

/// validateTaintEffect.
pub(super) fn effects(errors: &mut Errors, effect: &str, path: &str) {
    errors.one_of(path, effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
}

/// ValidatePodUpdate: little of a Pod may change.
pub(super) fn update(errors: &mut Errors, new: &Tree, old: &Tree) {
    const FIELDS: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    let all = |tree: &Tree, key: &str| tree.at(&["spec", key]).map(Tree::items).unwrap_or_default().to_vec();
    for key in ["containers", "initContainers"] {
        let containers = all(new, key);
        if containers.len() != all(old, key).len() {
            // Nothing else is looked at then.
            return errors.forbidden(&format!("spec.{key}"), "pod updates may not add or remove containers");
        }
        for (i, _) in containers.iter().enumerate().filter(|(_, c)| c.str("image").is_empty()) {
            errors.required(&format!("spec.{key}[{i}].image"), "");
        }
    }
    let timeless = |tree: &Tree| {
        let mut tree = tree.clone();
        if let Value::Map(entries) = &mut tree.value {
            entries.retain(|(key, _)| key.name != "tolerationSeconds");
        }
        tree
    };
    let kept: Vec<Tree> = all(new, "tolerations").iter().map(timeless).collect();
    if all(old, "tolerations").iter().any(|t| !kept.contains(&timeless(t))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.forbidden("spec.tolerations", detail);
    }
    let (after, before) = (munged(new, old), old.get("spec").cloned().unwrap_or_default());
    if after != before {
        let difference = difference(&before, &after);
        let detail = format!("pod updates may not change fields other than {FIELDS}\n{difference}");
        errors.forbidden("spec", &detail);
    }
}

/// The new spec, where what may change is as it was (`mungedPodSpec`).
fn munged(new: &Tree, old: &Tree) -> Tree {
    let mut spec = new.get("spec").cloned().unwrap_or_default();
    let Value::Map(entries) = &mut spec.value else { return spec };
    for (key, value) in entries {
        let Some(was) = old.at(&["spec", &key.name]) else { continue };
        match key.name.as_str() {
            "tolerations" | "activeDeadlineSeconds" => *value = was.clone(),
            "containers" | "initContainers" => {
                let Value::Seq(items) = &mut value.value else { continue };
                for (item, was) in items.iter_mut().zip(was.items()) {
                    set(item, "image", Value::text(was.str("image")));
                }
            }
            _ => {}
        }
    }
    spec
}
