//! StatefulSet and DaemonSet (`pkg/apis/apps/validation/validation.go`).

use super::apps::{at_most_all, int_or_percent, selector, template};
use super::errors::{Errors, Port};
use super::{meta, names};
use crate::Release;
use crate::yaml::{Tree, Value};

/// ValidateStatefulSet.
pub(super) fn stateful_set(errors: &mut Errors, tree: &Tree) {
    let none = Tree::default();
    meta::object(errors, tree, true, names::dns1123_subdomain);
    let spec = tree.get("spec").unwrap_or(&none);
    let policy = spec.str("podManagementPolicy");
    if !matches!(policy, "" | "OrderedReady" | "Parallel") {
        errors.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'");
    }
    strategy(errors, spec, "StatefulSet");
    for key in ["replicas", "minReadySeconds"] {
        errors.not_negative(&format!("spec.{key}"), spec.get(key).and_then(Tree::as_int));
    }
    selector(errors, spec, "statefulset");
    template(errors, spec, "StatefulSet");
}

/// ValidateDaemonSet.
pub(super) fn daemon_set(errors: &mut Errors, tree: &Tree) {
    let none = Tree::default();
    meta::object(errors, tree, true, names::dns1123_subdomain);
    let spec = tree.get("spec").unwrap_or(&none);
    selector(errors, spec, "daemonset");
    template(errors, spec, "DaemonSet");
    errors.not_negative("spec.minReadySeconds", spec.get("minReadySeconds").and_then(Tree::as_int));
    strategy(errors, spec, "DaemonSet");
    errors.not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit").and_then(Tree::as_int));
}

/// `updateStrategy` of both.
fn strategy(errors: &mut Errors, spec: &Tree, kind: &str) {
    let Some(tree) = spec.get("updateStrategy") else { return };
    let rolling = tree.get("rollingUpdate").filter(|t| !t.is_null());
    match (tree.str("type"), kind) {
        ("" | "RollingUpdate", _) => {
            let Some(rolling) = rolling else { return };
            let path = "spec.updateStrategy.rollingUpdate";
            errors.not_negative(&format!("{path}.partition"), rolling.get("partition").and_then(Tree::as_int));
            for key in ["maxUnavailable", "maxSurge"] {
                if let Some(value) = rolling.get(key).filter(|t| !t.is_null()).map(|t| Port::read(Some(t))) {
                    int_or_percent(errors, &value, &format!("{path}.{key}"));
                    at_most_all(errors, &value, &format!("{path}.{key}"));
                }
            }
        }
        ("OnDelete", "StatefulSet") if rolling.is_some() => {
            let path = "spec.updateStrategy.rollingUpdate";
            errors.invalid_dump(path, "{}", "only allowed for updateStrategy 'RollingUpdate'");
        }
        ("OnDelete", _) => {}
        (other, "StatefulSet") => {
            errors.invalid("spec.updateStrategy", other, "must be 'RollingUpdate' or 'OnDelete'");
        }
        (other, _) => errors.unsupported("spec.updateStrategy.type", other, &["OnDelete", "RollingUpdate"]),
    }
}

/// ValidateStatefulSetUpdate: little of a StatefulSet may change.
pub(super) fn stateful_update(errors: &mut Errors, new: &Tree, old: &Tree, release: Release) {
    const MAY: [&str; 6] = [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "persistentVolumeClaimRetentionPolicy",
    ];
    let limit = release.0 >= 33;
    let frozen = |tree: &Tree| {
        let mut spec = tree.get("spec").cloned().unwrap_or_default();
        if let Value::Map(entries) = &mut spec.value {
            entries
                .retain(|(key, _)| !(MAY.contains(&key.name.as_str()) || limit && key.name == "revisionHistoryLimit"));
        }
        spec
    };
    if frozen(new) != frozen(old) {
        let also = if limit { " 'revisionHistoryLimit'," } else { "" };
        let detail = format!(
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',{also} 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        );
        errors.forbidden("spec", &detail);
    }
}
