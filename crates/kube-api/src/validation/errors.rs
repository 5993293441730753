use crate::decode::go_quote;
use crate::place;
use crate::yaml::{Span, Tree, Value};
use serde::{Deserialize, Serialize};

/// One complaint about one field (`apimachinery/pkg/util/validation/field/errors.go`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// `spec.ports[0].port`.
    pub path: String,
    /// The full line: `spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive`.
    pub message: String,
    /// The value that is complained about, where it is a text: it tells which of several entries is meant.
    pub value: Option<String>,
}

impl FieldError {
    /// Where it stands in the text that a tree was read from.
    pub fn place(&self, tree: &Tree) -> Span {
        let entries = place::value(tree, &self.path).map(Tree::entries).unwrap_or_default();
        let meant = |text: &String| {
            let key = entries.iter().find(|(key, _)| key.name == *text && key.span.line > 0).map(|(key, _)| key.span);
            key.or_else(|| entries.iter().find(|(_, v)| v.as_str() == Some(text)).map(|(_, v)| v.span))
        };
        self.value.as_ref().and_then(meant).unwrap_or_else(|| place::find(tree, &self.path))
    }
}

/// Complaints as they are found.
#[derive(Debug, Default)]
pub(super) struct Errors(pub Vec<FieldError>);

impl Errors {
    fn push(&mut self, path: &str, body: String, value: Option<&str>) {
        let (message, value) = (format!("{path}: {body}"), value.map(String::from));
        self.0.push(FieldError { path: path.into(), message, value });
    }

    /// `Invalid value: "x": detail`
    pub fn invalid(&mut self, path: &str, value: &str, detail: &str) {
        self.push(path, format!("Invalid value: {}: {detail}", go_quote(value)), Some(value));
    }

    /// `Invalid value: 0: detail`
    pub fn invalid_int(&mut self, path: &str, value: i64, detail: &str) {
        self.push(path, format!("Invalid value: {value}: {detail}"), None);
    }

    /// `Invalid value: []string{"x"}: detail`, or what Go's `%#v` says.
    pub fn invalid_dump(&mut self, path: &str, dump: &str, detail: &str) {
        self.push(path, format!("Invalid value: {dump}: {detail}"), None);
    }

    /// `Required value`, with or without a reason.
    pub fn required(&mut self, path: &str, detail: &str) {
        let body = if detail.is_empty() { "Required value".into() } else { format!("Required value: {detail}") };
        self.push(path, body, None);
    }

    /// `Forbidden: detail`
    pub fn forbidden(&mut self, path: &str, detail: &str) {
        self.push(path, format!("Forbidden: {detail}"), None);
    }

    /// `Unsupported value: "x": supported values: "A", "B"`
    pub fn unsupported(&mut self, path: &str, value: &str, supported: &[&str]) {
        let list = supported.iter().map(|s| go_quote(s)).collect::<Vec<_>>().join(", ");
        self.push(path, format!("Unsupported value: {}: supported values: {list}", go_quote(value)), Some(value));
    }

    /// The same with what Go's `%#v` says.
    pub fn unsupported_dump(&mut self, path: &str, dump: &str, supported: &[&str]) {
        let list = supported.iter().map(|s| go_quote(s)).collect::<Vec<_>>().join(", ");
        self.push(path, format!("Unsupported value: {dump}: supported values: {list}"), None);
    }

    /// `Duplicate value: "x"`, the value as Go prints it.
    pub fn duplicate(&mut self, path: &str, shown: &str) {
        self.push(path, format!("Duplicate value: {shown}"), None);
    }

    /// `Too long: may not be more than 253 bytes`
    pub fn too_long(&mut self, path: &str, most: usize) {
        self.push(path, format!("Too long: may not be more than {most} bytes"), None);
    }

    /// Each of some details about one value.
    pub fn each(&mut self, path: &str, value: &str, details: Vec<String>) {
        for detail in details {
            self.invalid(path, value, &detail);
        }
    }

    /// One of some words.
    pub fn one_of(&mut self, path: &str, value: &str, supported: &[&str]) {
        if !supported.contains(&value) {
            self.unsupported(path, value, supported);
        }
    }

    /// `must be greater than or equal to 0`
    pub fn not_negative(&mut self, path: &str, value: Option<i64>) {
        if let Some(value) = value.filter(|v| *v < 0) {
            self.invalid_int(path, value, "must be greater than or equal to 0");
        }
    }
}

/// Texts of a list.
pub(super) fn texts(tree: Option<&Tree>) -> Vec<&str> {
    tree.map(|t| t.items().iter().map(|i| i.as_str().unwrap_or_default()).collect()).unwrap_or_default()
}

/// `[]string{"a", "b"}`
pub(super) fn dump(kind: &str, texts: &[&str]) -> String {
    if texts.is_empty() {
        return format!("{kind}(nil)");
    }
    format!("{kind}{{{}}}", texts.iter().map(|t| go_quote(t)).collect::<Vec<_>>().join(", "))
}

/// `map[string]string{"a":"b"}`
pub(super) fn dump_map(tree: Option<&Tree>) -> String {
    let mut entries: Vec<_> = tree.map(Tree::entries).unwrap_or_default().iter().collect();
    entries.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let pair = |(key, value): &&(crate::yaml::Key, Tree)| {
        format!("{}:{}", go_quote(&key.name), go_quote(value.as_str().unwrap_or_default()))
    };
    format!("map[string]string{{{}}}", entries.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// A number or a name.
pub(super) enum Port<'a> {
    /// A number.
    Number(i64),
    /// A name.
    Name(&'a str),
}

impl<'a> Port<'a> {
    /// Reads one; nothing counts as 0.
    pub fn read(tree: Option<&'a Tree>) -> Port<'a> {
        match tree.map(|t| &t.value) {
            Some(Value::Str { raw, .. }) => Port::Name(raw),
            _ => Port::Number(tree.and_then(Tree::as_int).unwrap_or(0)),
        }
    }
}
