//! From a place in a text to its type in the schema.

use super::Reference;
use super::scan::{Scan, Step};
use crate::manifest::LAB;
use crate::objects::Kind;
use crate::schema::{self, Type};

/// Kinds of our own.
pub(super) const LAB_KINDS: [&str; 4] = ["Cluster", "Client", "Workload", "Fault"];

/// What belongs at a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub kind: Type,
    /// The field that it is, or is within: its type's name and itself.
    pub field: Option<(&'static str, &'static schema::Field)>,
    /// Whether a field above it has no effect already.
    pub without_effect: bool,
}

/// The kinds that objects of the schema can have, with their versions.
pub(super) fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    // The kinds of the schema that aren't stored yet are not offered.
    Kind::ALL.iter().map(|k| (k.api_version(), k.name())).chain(LAB_KINDS.iter().map(|k| (LAB, *k)))
}

/// The schema's type of a kind.
fn root(version: &str, kind: &str) -> Option<&'static str> {
    let (name, _) = match version {
        LAB => schema::entry(&format!("lab.{kind}")),
        _ => schema::entry(kind),
    }?;
    Some(name)
}

/// The slot of a node's value.
pub(super) fn of(scan: &Scan, node: usize) -> Option<Slot> {
    let (version, kind) = (scan.text(0, "apiVersion"), scan.text(0, "kind"));
    // Until a kind is written, an object has what all objects have.
    let name = root(version, kind).unwrap_or("Object");
    let mut slot = Slot { kind: Type::Struct(name), field: None, without_effect: false };
    for step in scan.path(node) {
        slot = match (slot.kind, &scan.nodes[step].step) {
            (Type::Struct(owner), Step::Key(key)) => {
                let field = schema::fields(owner).iter().find(|f| f.name == key)?;
                let without_effect = slot.without_effect || field.without_effect.is_some();
                Slot { kind: field.kind, field: Some((owner, field)), without_effect }
            }
            (Type::Labels | Type::Bytes, Step::Key(_)) => Slot { kind: Type::Text("string"), ..slot },
            (Type::Resources, Step::Key(_)) => Slot { kind: Type::Quantity, ..slot },
            (Type::List(item), Step::Item) => Slot { kind: Type::read(item), ..slot },
            _ => return None,
        };
    }
    Some(slot)
}

/// A field of a type, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: FieldType,
    /// Whether an object can't do without it.
    pub required: bool,
    /// Whether Kubernetes acts on it and the simulation doesn't.
    pub without_effect: bool,
}

/// A field's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldType {
    /// As `kubectl explain` prints it, without its brackets: `string`, `[]ServicePort`, `map[string]string`.
    pub text: String,
    /// The type that its fields are of, if it has any: a name for [`fields_of`].
    pub of: Option<&'static str>,
}

/// The type of a kind, for [`fields_of`] and [`Reference::of_type`].
pub fn type_of_kind(version: &str, kind: &str) -> Option<&'static str> {
    root(version, kind)
}

/// The fields of a type, by name.
pub fn fields_of(name: &str, reference: &Reference) -> Vec<Field> {
    let Some((owner, fields)) = schema::entry(name) else { return Vec::new() };
    let each = |f: &schema::Field| Field {
        name: f.name,
        kind: FieldType { text: explained(f.kind), of: inner(f.kind) },
        required: reference.required(owner, f.name),
        without_effect: f.without_effect.is_some(),
    };
    fields.iter().map(each).collect()
}

fn inner(kind: Type) -> Option<&'static str> {
    match kind {
        Type::Struct(name) => Some(name),
        Type::List(item) => inner(Type::read(item)),
        _ => None,
    }
}

/// A type as `kubectl explain` prints it (`kubectl/pkg/explain/v2/templates/plaintext.tmpl`).
pub(super) fn explained(kind: Type) -> String {
    match kind {
        Type::Text(_) => "string".into(),
        Type::Int32 | Type::Int64 => "integer".into(),
        Type::Number => "number".into(),
        Type::Bool => "boolean".into(),
        Type::Time => "Time".into(),
        Type::MicroTime => "MicroTime".into(),
        Type::Quantity => "Quantity".into(),
        Type::IntOrString => "IntOrString".into(),
        Type::Any => "Object".into(),
        Type::Labels | Type::Bytes => "map[string]string".into(),
        Type::Resources => "map[string]Quantity".into(),
        Type::Times => "map[string]Time".into(),
        Type::List(item) => format!("[]{}", explained(Type::read(item))),
        Type::Struct(name) => schema::short(name).into(),
    }
}
