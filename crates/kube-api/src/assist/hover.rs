//! What stands under the caret.

use super::Reference;
use super::scan::{self, Scan};
use super::slot::{self, explained};
use crate::schema::Type;

/// The field at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// Column at which the word begins.
    pub column: u32,
    /// Its length.
    pub length: u32,
    /// The field's name, or the kind's.
    pub name: String,
    /// Its type, as `kubectl explain` prints it; a kind's version.
    pub type_: String,
    /// What it is, in full.
    pub description: String,
    /// Values that it can have, where they are known.
    pub values: Vec<String>,
    /// Whether an object can't do without it.
    pub required: bool,
    /// Whether Kubernetes acts on it and the simulation doesn't.
    pub without_effect: bool,
}

/// The field whose name or value stands at a line and column.
pub fn hover(text: &str, line: u32, column: u32, reference: &Reference) -> Option<Hover> {
    let lines: Vec<&str> = text.split('\n').collect();
    let (line, column) = (line.max(1) as usize - 1, column.max(1) as usize - 1);
    let (first, document) = scan::document(&lines, line);
    let (scan, _) = Scan::new(document, None);
    let (node, place, is_value) = scan.at(line.checked_sub(first)?, column)?;
    let slot = slot::of(&scan, node)?;
    let (owner, field) = slot.field?;
    let span = |name: &str, type_: String, description: String, values| Hover {
        column: place.from as u32 + 1,
        length: (place.to - place.from) as u32,
        name: name.into(),
        type_,
        description,
        values,
        required: false,
        without_effect: slot.without_effect,
    };
    if is_value && field.name == "kind" && scan.nodes[node].parent == 0 {
        let kind = scan.text(0, "kind");
        let type_ = slot::type_of_kind(scan.text(0, "apiVersion"), kind)?;
        return Some(span(kind, scan.text(0, "apiVersion").into(), reference.of_type(type_), Vec::new()));
    }
    let values = match slot.kind {
        Type::Text(go) => reference.values(owner, field.name, go).into_iter().map(String::from).collect(),
        _ => Vec::new(),
    };
    let mut description = reference.of_field(owner, field.name);
    if let (true, Type::Struct(name)) = (description.is_empty(), field.kind) {
        description = reference.of_type(name);
    }
    let mut hover = span(field.name, explained(field.kind), description, values);
    hover.required = reference.required(owner, field.name);
    Some(hover)
}
