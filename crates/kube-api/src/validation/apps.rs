//! Deployment and ReplicaSet (`pkg/apis/apps/validation/validation.go`).

use super::errors::{Errors, Port, dump_map};
use super::{meta, names, pod};
use crate::decode::go_quote;
use crate::yaml::Tree;

/// ValidateDeployment.
pub(super) fn deployment(errors: &mut Errors, tree: &Tree) {
    let none = Tree::default();
    meta::object(errors, tree, true, names::dns1123_subdomain);
    let spec = tree.get("spec").unwrap_or(&none);
    let int = |key: &str| spec.get(key).and_then(Tree::as_int);
    errors.not_negative("spec.replicas", int("replicas"));
    selector(errors, spec, "deployment");
    template(errors, spec, "ReplicaSet");
    strategy(errors, spec.get("strategy").unwrap_or(&none));
    errors.not_negative("spec.minReadySeconds", int("minReadySeconds"));
    errors.not_negative("spec.revisionHistoryLimit", int("revisionHistoryLimit"));
    if let Some(deadline) = int("progressDeadlineSeconds") {
        let path = "spec.progressDeadlineSeconds";
        errors.not_negative(path, Some(deadline));
        if deadline <= int("minReadySeconds").unwrap_or(0) {
            errors.invalid_int(path, deadline, "must be greater than minReadySeconds");
        }
    }
}

/// ValidateReplicaSet.
pub(super) fn replica_set(errors: &mut Errors, tree: &Tree) {
    let none = Tree::default();
    meta::object(errors, tree, true, names::dns1123_subdomain);
    let spec = tree.get("spec").unwrap_or(&none);
    for key in ["replicas", "minReadySeconds"] {
        errors.not_negative(&format!("spec.{key}"), spec.get(key).and_then(Tree::as_int));
    }
    selector(errors, spec, "deployment");
    template(errors, spec, "ReplicaSet");
}

/// The selector of a workload; `kind` as the messages name it.
pub(super) fn selector(errors: &mut Errors, spec: &Tree, kind: &str) {
    let Some(selector) = spec.get("selector") else { return errors.required("spec.selector", "") };
    meta::selector(errors, Some(selector), "spec.selector");
    if meta::selects_all(Some(selector)) {
        errors.invalid_dump("spec.selector", &dump(selector), &format!("empty selector is invalid for {kind}"));
    }
}

/// What Go prints of a selector.
fn dump(selector: &Tree) -> String {
    let labels = match selector.get("matchLabels").filter(|t| !t.entries().is_empty()) {
        Some(labels) => dump_map(Some(labels)),
        None => "map[string]string(nil)".into(),
    };
    format!("v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}}")
}

/// ValidatePodTemplateSpecForReplicaSet, and the same of the other kinds.
pub(super) fn template(errors: &mut Errors, spec: &Tree, kind: &str) {
    let none = Tree::default();
    let template = spec.get("template").unwrap_or(&none);
    let labels = template.at(&["metadata", "labels"]);
    let selector = spec.get("selector");
    let matched = match selector {
        None => false,
        Some(_) => meta::selects_all(selector) || meta::selects(selector, labels),
    };
    if !matched {
        let shown =
            labels.filter(|l| !l.entries().is_empty()).map_or("map[string]string(nil)".into(), |l| dump_map(Some(l)));
        errors.invalid_dump("spec.template.metadata.labels", &shown, "`selector` does not match template `labels`");
    }
    pod::template(errors, template, "spec.template");
    let policy = template.at(&["spec", "restartPolicy"]).and_then(Tree::as_str).unwrap_or_default();
    if !policy.is_empty() {
        errors.one_of("spec.template.spec.restartPolicy", policy, &["Always"]);
    }
    if template.at(&["spec", "activeDeadlineSeconds"]).is_some_and(|t| !t.is_null()) {
        let path = "spec.template.spec.activeDeadlineSeconds";
        errors.forbidden(path, &format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

/// ValidateDeploymentStrategy.
fn strategy(errors: &mut Errors, tree: &Tree) {
    let rolling = tree.get("rollingUpdate").filter(|t| !t.is_null());
    match tree.str("type") {
        "" | "RollingUpdate" => rolling_update(errors, rolling.unwrap_or(&Tree::default())),
        "Recreate" => {
            if rolling.is_some() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                errors.forbidden("spec.strategy.rollingUpdate", detail);
            }
        }
        other => {
            let pointer = if rolling.is_some() { "0x0" } else { "nil" };
            let dump = format!(
                "apps.DeploymentStrategy{{Type:{}, RollingUpdate:(*apps.RollingUpdateDeployment)({pointer})}}",
                go_quote(other)
            );
            errors.unsupported_dump("spec.strategy", &dump, &["Recreate", "RollingUpdate"]);
        }
    }
}

fn rolling_update(errors: &mut Errors, tree: &Tree) {
    let mut zero = 0;
    let read = |key| tree.get(key).filter(|t| !t.is_null()).map_or(Port::Name("25%"), |t| Port::read(Some(t)));
    for key in ["maxUnavailable", "maxSurge"] {
        let value = read(key);
        int_or_percent(errors, &value, &format!("spec.strategy.rollingUpdate.{key}"));
        zero += usize::from(match value {
            Port::Number(number) => number == 0,
            Port::Name(text) => percent(text).is_none_or(|percent| percent == 0),
        });
    }
    let (path, value) = ("spec.strategy.rollingUpdate.maxUnavailable", read("maxUnavailable"));
    if zero == 2 {
        errors.invalid_dump(path, &show(&value), "may not be 0 when `maxSurge` is 0");
    }
    at_most_all(errors, &value, path);
}

/// What Go prints of a number or a percentage.
fn show(value: &Port<'_>) -> String {
    match value {
        Port::Number(n) => format!("intstr.IntOrString{{Type:0, IntVal:{n}, StrVal:\"\"}}"),
        Port::Name(s) => format!("intstr.IntOrString{{Type:1, IntVal:0, StrVal:{}}}", go_quote(s)),
    }
}

/// ValidatePositiveIntOrPercent.
pub(super) fn int_or_percent(errors: &mut Errors, value: &Port<'_>, path: &str) {
    match value {
        Port::Number(number) => errors.not_negative(path, Some(*number)),
        Port::Name(text) if percent(text).is_none() => {
            let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            errors.invalid_dump(path, &show(value), detail);
        }
        Port::Name(_) => {}
    }
}

/// IsNotMoreThan100Percent.
pub(super) fn at_most_all(errors: &mut Errors, value: &Port<'_>, path: &str) {
    if matches!(value, Port::Name(text) if percent(text).is_some_and(|p| p > 100)) {
        errors.invalid_dump(path, &show(value), "must not be greater than 100%");
    }
}

fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%').filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?;
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// The selector is for ever (`pkg/registry/apps/deployment/strategy.go`).
pub(super) fn update(errors: &mut Errors, new: &Tree, old: &Tree) {
    let (new, old) = (new.at(&["spec", "selector"]), old.at(&["spec", "selector"]));
    if let Some(selector) = new.filter(|_| new != old) {
        errors.invalid_dump("spec.selector", &dump(selector), "field is immutable");
    }
}
