//! Validation in the API server's words (`pkg/apis/*/validation`), in its order.
//!
//! It works on trees, where a value may still be anything of its JSON type: the lean objects can't hold
//! `port: 70000` or `type: nodePort`.

mod apps;
mod config;
mod errors;
mod meta;
mod names;
mod other;
mod pod;
mod pod_difference;
mod policy;
mod service;
mod service_update;
mod sets;
mod unified;
mod warnings;

pub use errors::FieldError;
pub(crate) use warnings::warnings;
pub use warnings::warns_on_update;

use crate::Release;
use crate::objects::{Kind, Object};
use crate::yaml::{Tree, to_tree};
use errors::Errors;

/// What the API server complains about when this object is to be created.
pub fn create(object: &Object, release: Release) -> Vec<FieldError> {
    to_tree(object).map(|tree| create_tree(object.kind(), &tree, release)).unwrap_or_default()
}

/// What the API server complains about when `new` is to replace `old`. Both as they are stored, with defaults.
pub fn update(new: &Object, old: &Object, release: Release) -> Vec<FieldError> {
    let (Some(tree), Some(before)) = (to_tree(new), to_tree(old)) else { return Vec::new() };
    let (mut first, mut last) = (Errors::default(), Errors::default());
    match new.kind() {
        Kind::Service => service_update::update(&mut first, &tree, &before),
        Kind::Deployment | Kind::ReplicaSet => apps::update(&mut last, &tree, &before),
        Kind::Pod => pod::update(&mut last, &tree, &before),
        Kind::EndpointSlice => other::slice_update(&mut last, &tree, &before),
        Kind::ConfigMap => config::update(&mut first, &tree, &before),
        Kind::StatefulSet => sets::stateful_update(&mut last, &tree, &before, release),
        Kind::DaemonSet => apps::update(&mut last, &tree, &before),
        Kind::Namespace | Kind::Node | Kind::PodDisruptionBudget => {}
    }
    first.0.into_iter().chain(create_tree(new.kind(), &tree, release)).chain(last.0).collect()
}

/// As kubectl prints them: `The Service "x" is invalid: spec.x: ...`, or a bullet for each.
pub fn envelope(kind: Kind, name: &str, errors: &[FieldError]) -> String {
    let head = format!("The {} \"{name}\" is invalid: ", kind.name());
    match errors {
        [one] => format!("{head}{}", one.message),
        many => many.iter().fold(head, |text, error| format!("{text}\n* {}", error.message)),
    }
}

/// Validates what strict decoding left.
pub(crate) fn create_tree(kind: Kind, tree: &Tree, release: Release) -> Vec<FieldError> {
    let mut errors = Errors::default();
    match kind {
        Kind::Service => service::create(&mut errors, &service::Wide::read(tree), release),
        Kind::Pod => pod::create(&mut errors, tree),
        Kind::Deployment => apps::deployment(&mut errors, tree),
        Kind::ReplicaSet => apps::replica_set(&mut errors, tree),
        Kind::EndpointSlice => other::slice(&mut errors, tree),
        Kind::Node => other::node(&mut errors, tree),
        Kind::Namespace => other::namespace(&mut errors, tree),
        Kind::PodDisruptionBudget => policy::budget(&mut errors, tree),
        Kind::ConfigMap => config::config_map(&mut errors, tree),
        Kind::StatefulSet => sets::stateful_set(&mut errors, tree),
        Kind::DaemonSet => sets::daemon_set(&mut errors, tree),
    }
    errors.0
}
