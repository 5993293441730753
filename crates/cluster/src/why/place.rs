//! The line of YAML behind a field of an object.

use crate::cluster::Cluster;
use kube_api::manifest::{self, Content};
use kube_api::wire::wire;
use kube_api::yaml::{Tree, Value};
use kube_api::{Kind, NamespacedName};
use lab_protocol::{FieldRef, Place};

impl Cluster {
    /// Where a field of an object stands in a text, and whether the text says there what the object has. None: the text
    /// doesn't have the object.
    pub fn locate(&self, text: &str, field: &FieldRef) -> Option<Place> {
        let kind = Kind::ALL.iter().copied().find(|k| k.name() == field.kind)?;
        let key = NamespacedName::new(field.namespace.clone(), field.name.clone());
        let parsed = manifest::parse_as(text, self.release);
        let manifest = parsed.manifests.iter().find(|m| match &m.content {
            Content::Object(o) => o.kind() == kind && o.metadata().key() == key,
            Content::Lab { .. } => false,
        })?;
        let stored = self.find(kind, &key).as_ref().map(wire);
        let stored = stored.as_ref().and_then(|tree| manifest::value(tree, &field.field));
        let written = manifest::value(&manifest.tree, &field.field);
        let same = match (written, stored) {
            (Some(written), Some(stored)) => is_same(written, stored),
            // What isn't written is filled in by the server.
            (None, _) => true,
            (Some(_), None) => false,
        };
        let span = manifest.place(&field.field);
        Some(Place { line: span.line, column: span.column, length: span.length, same })
    }
}

/// Whether two values are the same, wherever they stand and in whatever order their keys are.
fn is_same(a: &Tree, b: &Tree) -> bool {
    match (&a.value, &b.value) {
        (Value::Map(x), Value::Map(y)) => {
            x.len() == y.len()
                && x.iter().all(|(key, value)| b.get(&key.name).is_some_and(|other| is_same(value, other)))
        }
        (Value::Seq(x), Value::Seq(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| is_same(x, y)),
        (Value::Str { raw: x, .. }, Value::Str { raw: y, .. }) => x == y,
        (x, y) => x == y,
    }
}
