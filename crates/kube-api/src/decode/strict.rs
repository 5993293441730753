use crate::objects::Kind;
use crate::yaml::{Span, Tree, Value};

/// A message, the path it is about, and its place.
pub(crate) type Problem = (String, String, Span);

/// A manifest after strict decoding.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Only what the kind has, of the right types; null left out.
    pub tree: Tree,
    /// Each mistake by itself.
    pub problems: Vec<Problem>,
    /// What the server says about them.
    pub answer: Option<Problem>,
    /// Fields that have no effect here.
    pub unused: Vec<(String, Span)>,
}

pub(crate) fn decode(_: Kind, tree: &Tree) -> Decoded {
    Decoded { tree: tree.clone(), ..Decoded::default() }
}

/// What encoding/json calls a value.
pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Str { .. } => "string",
        Value::Seq(_) => "array",
        Value::Map(_) => "object",
    }
}
