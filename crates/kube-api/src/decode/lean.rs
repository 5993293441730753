//! From a checked tree to a lean object.

use crate::Diagnostic;
use crate::objects::{Kind, Object, Uid};
use crate::wire;
use crate::yaml::{Key, Tree, Value, from_tree};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Fills in the namespace of kinds that live in one.
pub(crate) fn namespace(kind: Kind, tree: &mut Tree) {
    if !kind.namespaced() {
        return;
    }
    let span = tree.span;
    let Value::Map(entries) = &mut tree.value else { return };
    if !entries.iter().any(|(key, _)| key.name == "metadata") {
        entries.push((Key::new("metadata"), Tree { span, value: Value::Map(Vec::new()) }));
    }
    let Some((_, metadata)) = entries.iter_mut().find(|(key, _)| key.name == "metadata") else { return };
    let Value::Map(entries) = &mut metadata.value else { return };
    let empty = |(key, tree): &(Key, Tree)| key.name == "namespace" && tree.as_str() == Some("");
    entries.retain(|entry| !empty(entry));
    if !entries.iter().any(|(key, _)| key.name == "namespace") {
        entries.push((Key::new("namespace"), Tree { span, value: Value::text("default") }));
    }
}

/// Makes the object. What the server sets by itself is left out.
pub(crate) fn lean(kind: Kind, mut tree: Tree) -> Result<Object, Diagnostic> {
    if let Value::Map(entries) = &mut tree.value {
        // Controllers and kubelets write these; a manifest's are not taken over.
        let status = !matches!(kind, Kind::Node | Kind::Service);
        entries
            .retain(|(key, _)| !(matches!(key.name.as_str(), "apiVersion" | "kind") || status && key.name == "status"));
    }
    trim(&mut tree);
    Ok(match kind {
        Kind::Namespace => Object::Namespace(read(&tree)?),
        Kind::Node => Object::Node(read(&tree)?),
        Kind::Service => Object::Service(read(&tree)?),
        Kind::EndpointSlice => Object::EndpointSlice(read(&tree)?),
        Kind::Deployment => Object::Deployment(read(&tree)?),
        Kind::ReplicaSet => Object::ReplicaSet(read(&tree)?),
        Kind::Pod => Object::Pod(read(&tree)?),
        Kind::PodDisruptionBudget => Object::PodDisruptionBudget(read(&tree)?),
        Kind::ConfigMap => Object::ConfigMap(read(&tree)?),
        Kind::StatefulSet => Object::StatefulSet(read(&tree)?),
        Kind::DaemonSet => Object::DaemonSet(read(&tree)?),
    })
}

fn read<T: DeserializeOwned>(tree: &Tree) -> Result<Arc<T>, Diagnostic> {
    from_tree(tree).map(Arc::new)
}

/// Drops what the lean objects hold in another form: times, uids and versions that only the server gives.
fn trim(tree: &mut Tree) {
    match &mut tree.value {
        Value::Seq(items) => items.iter_mut().for_each(trim),
        Value::Map(entries) => {
            const SERVER: [&str; 10] = [
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "managedFields",
                "timeAdded",
                "lastTransitionTime",
                "lastHeartbeatTime",
            ];
            // Not within labels or a container's own words: those are texts, and `creationTimestamp` no label.
            entries.retain(|(key, _)| !SERVER.contains(&key.name.as_str()));
            for (key, value) in entries {
                const WORDS: [&str; 7] =
                    ["labels", "annotations", "selector", "matchLabels", "nodeSelector", "data", "binaryData"];
                match key.name.as_str() {
                    "ownerReferences" => {
                        if let Value::Seq(items) = &mut value.value {
                            items.iter_mut().for_each(owner);
                        }
                    }
                    name if WORDS.contains(&name) => {}
                    _ => trim(value),
                }
            }
        }
        _ => {}
    }
}

/// A uid is a number here; the text of one that no object here can have is kept beside it.
fn owner(tree: &mut Tree) {
    let written = tree.str("uid").to_owned();
    let uid = Uid::parse(&written);
    wire::set(tree, "uid", Value::Int(uid.unwrap_or(Uid::FOREIGN).0.into()));
    if uid.is_none() {
        wire::set(tree, "foreign", Value::text(written));
    }
}
