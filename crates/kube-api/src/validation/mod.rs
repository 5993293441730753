//! Validation in the API server's words (`pkg/apis/*/validation`), in its order.

use crate::objects::{Kind, Object};
use crate::yaml::{Span, Tree, to_tree};
use crate::{Release, place};
use serde::{Deserialize, Serialize};

/// One complaint about one field (`apimachinery/pkg/util/validation/field/errors.go`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// `spec.ports[0].port`.
    pub path: String,
    /// The full line: `spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive`.
    pub message: String,
    /// The value that is complained about, where it is a text: tells which of several is meant.
    pub value: Option<String>,
}

impl FieldError {
    /// Where it stands in the text that a tree was read from.
    pub fn place(&self, tree: &Tree) -> Span {
        place::find(tree, &self.path)
    }
}

/// What the API server complains about when this object is to be created.
pub fn create(object: &Object, release: Release) -> Vec<FieldError> {
    to_tree(object).map(|tree| create_tree(object.kind(), &tree, release)).unwrap_or_default()
}

/// What the API server complains about when `new` is to replace `old`.
pub fn update(new: &Object, _old: &Object, release: Release) -> Vec<FieldError> {
    create(new, release)
}

/// As kubectl prints them: `The Service "x" is invalid: spec.x: ...`, or one bullet a line.
pub fn envelope(kind: Kind, name: &str, errors: &[FieldError]) -> String {
    match errors {
        [one] => format!("The {} \"{name}\" is invalid: {}", kind.name(), one.message),
        many => {
            let lines = many.iter().map(|e| format!("* {}\n", e.message)).collect::<String>();
            format!("The {} \"{name}\" is invalid: \n{}", kind.name(), lines.trim_end())
        }
    }
}

pub(crate) fn create_tree(_: Kind, _: &Tree, _: Release) -> Vec<FieldError> {
    Vec::new()
}
