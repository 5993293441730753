//! YAML as Kubernetes reads it: libyaml's grammar, YAML 1.1 scalars, and the place of every key and value.

#[cfg(test)]
mod compare;
mod de;
mod events;
mod format;
mod load;
mod scalar;
mod scan;
mod ser;
mod words;

pub use de::from_tree;
pub use format::format;
pub use load::{MAX_DEPTH, documents, load};
pub use scalar::{float, plain};
pub use ser::to_tree;

use serde::{Deserialize, Serialize};

/// A place in a text. Counted from 1, in Unicode characters. A value of several lines is cut to its first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// Number of characters.
    pub length: u32,
}

/// A value and its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a YAML node means under YAML 1.1, as go-yaml resolves it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing, `~`, `null`.
    #[default]
    Null,
    /// `true`, `yes`, `on` and the like, unquoted.
    Bool(bool),
    /// `80`, `0777`, `0x1f`, `1_000`.
    Int(i128),
    /// `80.5`, `1e3`, `.inf`.
    Float(f64),
    /// Everything else, and everything in quotes.
    Str {
        /// The text, escapes resolved.
        raw: String,
        /// Whether it stood in quotes or in a block scalar.
        quoted: bool,
    },
    /// A sequence.
    Seq(Vec<Tree>),
    /// A mapping in the order of the text. A key that is given twice is there twice; the last one counts.
    Map(Vec<(Key, Tree)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Its text, as JSON has it.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Whether it was text, not a number or a boolean.
    pub text: bool,
}

impl Key {
    /// A key of text without a place.
    pub fn new(name: impl Into<String>) -> Key {
        Key { name: name.into(), span: Span::default(), text: true }
    }
}

impl Value {
    /// A text.
    pub fn text(raw: impl Into<String>) -> Value {
        Value::Str { raw: raw.into(), quoted: false }
    }
}

impl Tree {
    /// The value under a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.entry(key).map(|(_, tree)| tree)
    }
    /// The key and the value under a key of a mapping.
    pub fn entry(&self, key: &str) -> Option<(&Key, &Tree)> {
        self.entries().iter().rev().find(|(k, _)| k.name == key).map(|(k, t)| (k, t))
    }
    /// The value under several keys, one below the other.
    pub fn at(&self, path: &[&str]) -> Option<&Tree> {
        path.iter().try_fold(self, |tree, key| tree.get(key))
    }
    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[(Key, Tree)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }
    /// The items of a sequence; none for anything else.
    pub fn items(&self) -> &[Tree] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str { raw, .. } => Some(raw),
            _ => None,
        }
    }
    /// The number of an integer.
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            Value::Int(i) => i64::try_from(i).ok(),
            _ => None,
        }
    }
    /// The truth of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }
    /// The text under a key; empty when there is none.
    pub fn str(&self, key: &str) -> &str {
        self.get(key).and_then(Tree::as_str).unwrap_or_default()
    }
}
