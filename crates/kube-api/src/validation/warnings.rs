//! What the API server takes with a warning (`pkg/api/service/warnings.go`, `pkg/api/pod/warnings.go`).

use super::names;
use crate::objects::Kind;
use crate::yaml::Tree;
use crate::{Quantity, Release};
use std::collections::{BTreeMap, BTreeSet};

/// The warnings about an object: the field, and the server's words.
pub(crate) fn warnings(kind: Kind, tree: &Tree, release: Release) -> Vec<(String, String)> {
    let mut found = Vec::new();
    match kind {
        Kind::Service => found = service(tree, release),
        Kind::Pod => {
            pod_name(&mut found, tree, "the Pod's hostname");
            pod(&mut found, tree, "");
        }
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet => {
            if matches!(kind, Kind::Deployment | Kind::ReplicaSet) {
                pod_name(&mut found, tree, "Pod names and hostnames");
            }
            if let Some(template) = tree.at(&["spec", "template"]) {
                pod(&mut found, template, "spec.template.");
            }
        }
        _ => {}
    }
    found
}

/// Whether the server looks for warnings again when an object changes: of Pods it doesn't, of what has a template only when
/// `spec` changed (`WarningsOnUpdate` of the strategies).
pub fn warns_on_update(kind: Kind, spec_changed: bool) -> bool {
    match kind {
        Kind::Pod => false,
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet => spec_changed,
        _ => true,
    }
}

type Found = Vec<(String, String)>;

/// A name that is longer than a hostname, or has dots.
fn pod_name(found: &mut Found, tree: &Tree, used: &str) {
    let details = names::dns1123_label(tree.at(&["metadata", "name"]).and_then(Tree::as_str).unwrap_or_default());
    if !details.is_empty() {
        let path = "metadata.name";
        let message = format!(
            "{path}: this is used in {used}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            details.join(" ")
        );
        found.push((path.into(), message));
    }
}

/// GetNodeLabelDeprecatedMessage.
fn deprecated_label(key: &str) -> Option<String> {
    let (since, new) = match key {
        "beta.kubernetes.io/arch" => ("1.14", "kubernetes.io/arch"),
        "beta.kubernetes.io/os" => ("1.14", "kubernetes.io/os"),
        "failure-domain.beta.kubernetes.io/region" => ("1.17", "topology.kubernetes.io/region"),
        "failure-domain.beta.kubernetes.io/zone" => ("1.17", "topology.kubernetes.io/zone"),
        "beta.kubernetes.io/instance-type" => ("1.17", "node.kubernetes.io/instance-type"),
        _ => return None,
    };
    Some(format!("deprecated since v{since}; use \"{new}\" instead"))
}

/// warningsForPodSpecAndMeta, as far as fields have an effect here.
fn pod(found: &mut Found, tree: &Tree, prefix: &str) {
    let mut warn = |path: String, message: String| found.push((path.clone(), format!("{path}: {message}")));
    let at = |key: &str| tree.at(&["spec", key]);
    let spec = format!("{prefix}spec");
    let mut keys: Vec<&str> =
        at("nodeSelector").map(Tree::entries).unwrap_or_default().iter().map(|(key, _)| key.name.as_str()).collect();
    keys.sort_unstable();
    for key in keys {
        if let Some(message) = deprecated_label(key) {
            warn(format!("{spec}.nodeSelector[{key}]"), message);
        }
    }
    for (i, item) in at("topologySpreadConstraints").map(Tree::items).unwrap_or_default().iter().enumerate() {
        let path = format!("{spec}.topologySpreadConstraints[{i}]");
        let key = item.str("topologyKey");
        if let Some(message) = deprecated_label(key) {
            warn(format!("{path}.topologyKey"), format!("{key} is {message}"));
        }
        if item.get("labelSelector").is_none() {
            warn(format!("{path}.labelSelector"), "a null labelSelector results in matching no pod".into());
        }
    }
    let containers = || {
        ["initContainers", "containers"].into_iter().flat_map(|list| {
            let items = at(list).map(Tree::items).unwrap_or_default().iter().enumerate();
            items.map(move |(i, item)| (format!("{list}[{i}]"), item))
        })
    };
    for (place, container) in containers() {
        let path = format!("{spec}.{place}");
        for bag in ["limits", "requests"] {
            for key in ["memory", "ephemeral-storage"] {
                let of = |bag: &str| container.at(&["resources", bag, key]).and_then(Tree::as_str);
                // A Pod's limits are its requests by now.
                let limit = of("limits").filter(|_| prefix.is_empty());
                let value = Quantity::parse(of(bag).or(limit).unwrap_or_default());
                if value.thousandths() % 1_000 != 0 {
                    warn(
                        format!("{path}.resources.{bag}[{key}]"),
                        format!("fractional byte value \"{value}\" is invalid, must be an integer"),
                    );
                }
            }
        }
        let mut seen = BTreeSet::new();
        for (i, item) in container.get("env").map(Tree::items).unwrap_or_default().iter().enumerate() {
            let (name, value) = (item.str("name"), item.str("value"));
            let earlier = format!("$({name})");
            let hides = item.get("valueFrom").is_some() || value == earlier || !value.contains(&earlier);
            if !seen.insert(name) && hides {
                warn(
                    format!("{path}.env[{i}]"),
                    format!("hides previous definition of \"{name}\", which may be dropped when using apply"),
                );
            }
        }
    }
    let mut ports: BTreeMap<(i64, &str), Vec<(String, &Tree)>> = BTreeMap::new();
    for (place, container) in containers() {
        for (i, port) in container.get("ports").map(Tree::items).unwrap_or_default().iter().enumerate() {
            let path = format!("{spec}.{place}.ports[{i}]");
            let number = |port: &Tree, key: &str| port.get(key).and_then(Tree::as_int).unwrap_or(0);
            let protocol = Some(port.str("protocol")).filter(|p| !p.is_empty()).unwrap_or("TCP");
            let others = ports.entry((number(port, "containerPort"), protocol)).or_default();
            for (other, theirs) in others.iter() {
                let (a, b) = (number(port, "hostPort"), number(theirs, "hostPort"));
                if a == b && port.str("hostIP") == theirs.str("hostIP") {
                    warn(path.clone(), format!("duplicate port definition with {other}"));
                } else if a == 0 || b == 0 {
                    warn(path.clone(), format!("overlapping port definition with {other}"));
                }
            }
            others.push((path, port));
        }
    }
    if at("terminationGracePeriodSeconds").and_then(Tree::as_int).is_some_and(|s| s < 0) {
        let message = "must be >= 0; negative values are invalid and will be treated as 1";
        warn(format!("{spec}.terminationGracePeriodSeconds"), message.into());
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let terms = |list: &str| at("affinity").and_then(|t| t.at(&[kind, list])).map(Tree::items).unwrap_or_default();
        for (list, inner) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", ""),
            ("preferredDuringSchedulingIgnoredDuringExecution", ".podAffinityTerm"),
        ] {
            for (i, item) in terms(list).iter().enumerate() {
                let term = if inner.is_empty() { Some(item) } else { item.get("podAffinityTerm") };
                if term.is_none_or(|t| t.get("labelSelector").is_none()) {
                    warn(
                        format!("{spec}.affinity.{kind}.{list}[{i}]{inner}.labelSelector"),
                        "a null labelSelector results in matching no pod".into(),
                    );
                }
            }
        }
    }
}

/// GetWarningsForService.
fn service(tree: &Tree, release: Release) -> Vec<(String, String)> {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    let mut found = Vec::new();
    let mut warn = |path: &str, message: String| found.push((path.to_owned(), message));
    if tree.at(&["metadata", "annotations", HINTS]).is_some() {
        let message = format!("annotation {HINTS} is deprecated, please use {MODE} instead");
        warn(&format!("metadata.annotations[{HINTS}]"), message);
    }
    let spec = |key: &str| tree.at(&["spec", key]);
    let text = |key: &str| spec(key).and_then(Tree::as_str).unwrap_or_default();
    let external = spec("externalIPs").is_some_and(|t| !t.items().is_empty());
    let headless = text("clusterIP") == "None";
    let named = text("type") == "ExternalName";
    if external && !headless && !named && release.0 >= 36 {
        let message = "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
        warn("spec.externalIPs", message.into());
    }
    if external && named {
        warn("spec.externalIPs", "spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if !named && !text("externalName").is_empty() {
        warn("spec.externalName", "spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
    found
}
