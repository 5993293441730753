//! Help while one writes: what the editor asks about a place in its text. Lines and columns count from 1, in Unicode
//! characters.

use crate::Phrase;
use serde::{Deserialize, Serialize};

/// Something that can be written at a place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The word itself.
    pub label: String,
    /// What is put in: the word, and what must follow it.
    pub insert: String,
    /// Whether it is the name of a field, not a value.
    pub field: bool,
    /// A field's type, as `kubectl explain` prints it.
    pub type_: String,
    /// What it is, in a sentence: Kubernetes' own words, or those of the reference that was given.
    pub description: String,
    /// Whether an object can't do without it.
    pub required: bool,
    /// Whether Kubernetes acts on it and the simulation doesn't.
    pub without_effect: bool,
}

/// What a word of the text means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
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

/// What applying a text would do to one of its objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `Service/web`.
    pub object: String,
    /// What would become of it.
    pub verb: Verb,
    /// Lines of YAML behind `+`, `-` or a space; if it is refused, what the API server says.
    pub lines: String,
}

/// What becomes of an object, in the words of `kubectl apply`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// It is new.
    Created,
    /// It is there, otherwise.
    Configured,
    /// It is there as it should be.
    Unchanged,
    /// The API server doesn't take it.
    Refused,
    /// It is one of our own kinds: it makes a cluster and isn't applied to one.
    Scenario,
}

/// How a mistake can be put right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// Which of the diagnostics it belongs to.
    pub diagnostic: u32,
    /// What it does, in words.
    pub title: Phrase,
    /// What changes, from the text's end to its beginning.
    pub edits: Vec<TextEdit>,
}

/// A change of a text: on one line, some characters give way to others, which may have line ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextEdit {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// How many characters go.
    pub length: u32,
    /// What comes.
    pub text: String,
}
