//! What the API server takes with a warning (`pkg/api/service/warnings.go`).

use crate::Release;
use crate::objects::Kind;
use crate::yaml::Tree;

/// The warnings about an object: the field, and the server's words.
pub(crate) fn warnings(kind: Kind, tree: &Tree, release: Release) -> Vec<(String, String)> {
    if kind == Kind::Service { service(tree, release) } else { Vec::new() }
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
