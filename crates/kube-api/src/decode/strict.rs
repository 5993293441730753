//! Strict decoding: the mistakes that Go's decoders find, in their words and their order.
//!
//! The way of a manifest in the API server (`apimachinery/pkg/runtime/serializer/json`): YAML becomes JSON with
//! sorted keys; the first value of a wrong type ends it (`encoding/json`); else doubled keys (`go-yaml`) and unknown
//! fields (`sigs.k8s.io/json`) make up one answer.

use super::kinds::nearest;
use crate::schema::{Type, fields, short};
use crate::yaml::{Key, Span, Tree, Value, float};

/// A message, the path it is about, and its place.
pub(crate) type Problem = (String, String, Span);

/// A manifest after strict decoding.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Only what the kind has, of the right types; null left out.
    pub tree: Tree,
    /// Each mistake by itself, and what was probably meant.
    pub problems: Vec<(Problem, Option<String>)>,
    /// What the server says about them.
    pub answer: Option<Problem>,
    /// Fields that have no effect here.
    pub unused: Vec<(String, Span)>,
}

/// Most mistakes of one kind that are told (`sigs.k8s.io/json`: 100).
const MOST: usize = 100;

#[derive(Default)]
struct Walk {
    /// Wrong types, the first one first.
    types: Vec<Problem>,
    unknown: Vec<Problem>,
    hints: Vec<Option<String>>,
    unused: Vec<(String, Span)>,
    /// Field names from the root, without indices.
    stack: Vec<&'static str>,
}

/// Decodes a manifest of a kind of the schema.
pub(crate) fn decode(version: &str, name: &'static str, tree: &Tree) -> Decoded {
    let mut doubles = Vec::new();
    doubled(tree, "", &mut doubles);
    let mut walk = Walk::default();
    let typed = walk.object(tree, name, "");
    let short = version.rsplit('/').next().unwrap_or_default();
    let cannot = format!("BadRequest: {name} in version \"{}\" cannot be handled as a {name}: ", short);
    let answer = if let Some((message, path, span)) = walk.types.first() {
        Some((format!("{cannot}{message}"), path.clone(), *span))
    } else {
        let first = doubles.first().or(walk.unknown.first()).map(|(_, path, span)| (path.clone(), *span));
        first.map(|(path, span)| {
            let mut parts = Vec::new();
            if !doubles.is_empty() {
                let lines: Vec<&str> = doubles.iter().map(|(message, ..)| message.as_str()).collect();
                parts.push(format!("yaml: unmarshal errors:\n  {}", lines.join("\n  ")));
            }
            parts.extend(walk.unknown.iter().map(|(message, ..)| message.clone()));
            (format!("{cannot}strict decoding error: {}", parts.join(", ")), path, span)
        })
    };
    let strict = |(message, path, span): Problem| (format!("strict decoding error: {message}"), path, span);
    let mut problems: Vec<_> = walk.types.into_iter().map(|p| (p, None)).collect();
    problems.extend(doubles.into_iter().map(|p| (strict(p), None)));
    problems.extend(walk.unknown.into_iter().map(strict).zip(walk.hints));
    problems.sort_by_key(|((_, _, span), _)| *span);
    Decoded { tree: typed.unwrap_or_default(), problems, answer, unused: walk.unused }
}

/// Keys that a mapping has twice, in the order in which go-yaml meets them.
fn doubled(tree: &Tree, path: &str, found: &mut Vec<Problem>) {
    match &tree.value {
        Value::Seq(items) => {
            for (i, item) in items.iter().enumerate() {
                doubled(item, &format!("{path}[{i}]"), found);
            }
        }
        Value::Map(entries) => {
            let mut seen = std::collections::BTreeSet::new();
            for (key, value) in entries {
                let path = below(path, &key.name);
                doubled(value, &path, found);
                if !seen.insert((&key.name, key.text)) && found.len() < MOST {
                    let name = if key.text { go_quote(&key.name) } else { key.name.clone() };
                    let message = format!("line {}: key {name} already set in map", value.span.line);
                    found.push((message, path, key.span));
                }
            }
        }
        _ => {}
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

impl Walk {
    /// A struct. `None`: it isn't one.
    fn object(&mut self, tree: &Tree, name: &'static str, path: &str) -> Option<Tree> {
        let fields = fields(name);
        let mut kept = Vec::new();
        for (key, value) in sorted(tree) {
            let path = below(path, &key.name);
            let Some(field) = fields.iter().find(|f| f.name == key.name) else {
                if self.unknown.len() < MOST {
                    let near = nearest(&key.name, fields.iter().map(|f| f.name));
                    self.hints.push(near.map(String::from));
                    self.unknown.push((format!("unknown field \"{path}\""), path, key.span));
                }
                continue;
            };
            self.stack.push(field.name);
            let before = self.unused.len();
            let typed = self.value(value, field.kind, name, &path);
            if let Some(usual) = field.without_effect {
                self.unused.truncate(before);
                if !changes_nothing(value, usual) {
                    self.unused.push((path, key.span));
                }
            }
            self.stack.pop();
            if let Some(typed) = typed {
                kept.push((key.clone(), typed));
            }
        }
        Some(Tree { span: tree.span, value: Value::Map(kept) })
    }

    /// A value of a field of `owner`; what is null or wrong is left out.
    fn value(&mut self, tree: &Tree, kind: Type, owner: &'static str, path: &str) -> Option<Tree> {
        if tree.is_null() {
            return None;
        }
        let same = || Some(tree.clone());
        match (kind, &tree.value) {
            (Type::Any, _) | (Type::Text(_), Value::Str { .. }) | (Type::Bool, Value::Bool(_)) => same(),
            (Type::IntOrString, Value::Str { .. }) => same(),
            (Type::Number, Value::Int(_) | Value::Float(_)) => same(),
            (Type::Int32 | Type::Int64 | Type::IntOrString, Value::Int(_) | Value::Float(_)) => {
                self.int(tree, kind, owner, path)
            }
            (Type::IntOrString, _) => self.wrong(tree, "int32", owner, path, None),
            (Type::Time | Type::MicroTime, Value::Str { raw, .. }) => {
                if !moment(raw) {
                    let quoted = go_quote(raw);
                    let micros = if kind == Type::MicroTime { ".000000" } else { "" };
                    let layout = format!("2006-01-02T15:04:05{micros}Z07:00");
                    let message = format!("parsing time {quoted} as \"{layout}\": cannot parse {quoted} as \"2006\"");
                    self.types.push((message, path.into(), tree.span));
                }
                None
            }
            (Type::Time | Type::MicroTime, _) => self.wrong(tree, "string", owner, path, None),
            (Type::Quantity, _) => self.quantity(tree, path),
            (Type::Labels | Type::Resources | Type::Bytes | Type::Times, Value::Map(_)) => {
                let mut kept = Vec::new();
                for (key, value) in sorted(tree) {
                    let path = format!("{path}[{}]", key.name);
                    let typed = match (kind, &value.value) {
                        (Type::Resources, Value::Null) => Some(text("0", value.span)),
                        (Type::Resources, _) => self.quantity(value, &path),
                        (Type::Times, _) => self.value(value, Type::Time, owner, &path),
                        (Type::Bytes, Value::Str { raw, .. }) => self.bytes(value, raw, &path),
                        (Type::Bytes, v) if *v != Value::Null => self.wrong(value, "[]uint8", owner, &path, None),
                        (_, Value::Null) => Some(text("", value.span)),
                        (_, Value::Str { .. }) => Some(value.clone()),
                        _ => self.wrong(value, "string", owner, &path, None),
                    };
                    kept.extend(typed.map(|t| (key.clone(), t)));
                }
                Some(Tree { span: tree.span, value: Value::Map(kept) })
            }
            (Type::List(item), Value::Seq(items)) => {
                let kind = Type::read(item);
                let mut kept = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    let zero = || match kind {
                        Type::Struct(_) => Some(Tree { span: item.span, value: Value::Map(Vec::new()) }),
                        Type::Text(_) => Some(text("", item.span)),
                        _ => None,
                    };
                    let typed = if item.is_null() { zero() } else { self.value(item, kind, owner, &path) };
                    kept.extend(typed);
                }
                Some(Tree { span: tree.span, value: Value::Seq(kept) })
            }
            (Type::Struct(name), Value::Map(_)) => self.object(tree, name, path),
            _ => self.wrong(tree, &kind.go(), owner, path, None),
        }
    }

    fn int(&mut self, tree: &Tree, kind: Type, owner: &'static str, path: &str) -> Option<Tree> {
        let (go, least, most) = match kind {
            Type::Int64 => ("int64", i64::MIN.into(), i64::MAX.into()),
            _ => ("int32", i32::MIN.into(), i32::MAX.into()),
        };
        let (literal, whole): (String, Option<i128>) = match tree.value {
            Value::Int(i) => (i.to_string(), Some(i)),
            // JSON can't tell 80.0 from 80; Go writes the shorter one.
            Value::Float(f) => (float(f), float(f).parse().ok()),
            _ => return None,
        };
        match whole.filter(|i| (least..=most).contains(i)) {
            Some(i) => Some(Tree { span: tree.span, value: Value::Int(i) }),
            None => self.wrong(tree, go, owner, path, Some(&literal)),
        }
    }

    /// Bytes in base64 (`encoding/base64`, which passes over line ends).
    fn bytes(&mut self, tree: &Tree, raw: &str, path: &str) -> Option<Tree> {
        if let Some(at) = bad_base64(raw) {
            let message = format!("illegal base64 data at input byte {at}");
            self.types.push((message, path.into(), tree.span));
            return None;
        }
        Some(tree.clone())
    }

    fn quantity(&mut self, tree: &Tree, path: &str) -> Option<Tree> {
        let written = match &tree.value {
            Value::Str { raw, .. } => raw.trim().to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => float(*f),
            _ => "?".into(),
        };
        if let Err(message) = check_quantity(&written) {
            self.types.push((message.into(), path.into(), tree.span));
            return None;
        }
        Some(text(&written, tree.span))
    }

    fn wrong(&mut self, tree: &Tree, go: &str, owner: &str, path: &str, number: Option<&str>) -> Option<Tree> {
        let mut what = json_type(&tree.value).to_string();
        if let Some(number) = number {
            what = format!("number {number}");
        }
        let field = self.stack.join(".");
        let message =
            format!("json: cannot unmarshal {what} into Go struct field {}.{field} of type {go}", short(owner));
        if self.types.len() < MOST {
            self.types.push((message, path.into(), tree.span));
        }
        None
    }
}

fn text(raw: &str, span: Span) -> Tree {
    Tree { span, value: Value::text(raw) }
}

/// Whether a value of a field without effect has none in Kubernetes either: it is empty, or what it would be anyway.
fn changes_nothing(tree: &Tree, usual: &str) -> bool {
    match &tree.value {
        Value::Null => true,
        Value::Bool(b) => usual == if *b { "true" } else { "false" },
        Value::Int(i) => usual.parse() == Ok(*i),
        Value::Float(_) => false,
        Value::Str { raw, .. } => raw.is_empty() || raw == usual,
        Value::Seq(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
    }
}

/// Where a text stops being base64, as Go's `base64.StdEncoding` counts.
fn bad_base64(text: &str) -> Option<usize> {
    let letters: Vec<(usize, u8)> = text.bytes().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n')).collect();
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    let body = letters.iter().position(|(_, b)| !good(*b)).unwrap_or(letters.len());
    match (letters.get(body), body % 4, &letters[body..]) {
        (None, 0, _) | (_, 2, [(_, b'='), (_, b'=')]) | (_, 3, [(_, b'=')]) => None,
        (None, over, _) => Some(text.len() - over),
        (Some((_, b'=')), 2, [_]) => Some(text.len()),
        (Some((_, b'=')), 2, [_, (at, next), ..]) if *next != b'=' => Some(at - 1),
        (Some((_, b'=')), 2, [_, _, (at, _), ..]) | (Some((_, b'=')), 3, [_, (at, _), ..]) => Some(*at),
        (Some((at, _)), ..) => Some(*at),
    }
}

/// Entries by name, the last of equal ones only: a JSON object made from a Go map.
fn sorted(tree: &Tree) -> Vec<&(Key, Tree)> {
    let mut entries: Vec<&(Key, Tree)> = tree.entries().iter().collect();
    entries.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    entries.reverse();
    entries.dedup_by(|a, b| a.0.name == b.0.name);
    entries.reverse();
    entries
}

/// `apimachinery/pkg/api/resource/quantity.go`, `ParseQuantity`.
fn check_quantity(text: &str) -> Result<(), &'static str> {
    const FORMAT: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    const SUFFIX: &str = "unable to parse quantity's suffix";
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
    let (number, suffix) = body.split_at(end);
    let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let exponent = letters.strip_prefix(['+', '-']).unwrap_or(letters);
    let shaped = exponent.bytes().all(|b| b.is_ascii_digit());
    if number.is_empty() || number.matches('.').count() > 1 || number == "." || !shaped {
        return Err(FORMAT);
    }
    const SUFFIXES: [&str; 16] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let scientific = suffix.len() > 1 && suffix.starts_with(['e', 'E']) && {
        let digits = suffix[1..].strip_prefix(['+', '-']).unwrap_or(&suffix[1..]);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    if scientific || SUFFIXES.contains(&suffix) { Ok(()) } else { Err(SUFFIX) }
}

/// Whether a text looks like `2024-01-31T10:00:00Z`.
fn moment(text: &str) -> bool {
    let shape = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(t, p)| if p == b'0' { t.is_ascii_digit() } else { t == p })
    };
    let Some(head) = text.get(..19) else { return false };
    let tail = &text[19..];
    let zone = tail.strip_prefix('.').map_or(tail, |t| t.trim_start_matches(|c: char| c.is_ascii_digit()));
    shape(head, "0000-00-00T00:00:00") && (zone == "Z" || shape(zone, "+00:00") || shape(zone, "-00:00"))
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

/// Go's `%q`.
pub(crate) fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || (c.is_whitespace() && c != ' ') || c == '\u{feff}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.22's `base64.StdEncoding` answers.
    #[test]
    fn base64_as_go_reads_it() {
        for (text, at) in [
            ("", None),
            ("aGVsbG8=", None),
            ("aGVs\nbG8=\n", None),
            ("aGk=", None),
            ("aA==", None),
            ("abc", Some(0)),
            ("abcde", Some(4)),
            ("a?cd", Some(1)),
            ("a===", Some(1)),
            ("ab=", Some(3)),
            ("ab=c", Some(2)),
            ("ab==c", Some(4)),
            ("abc=d", Some(4)),
        ] {
            assert_eq!(bad_base64(text), at, "{text:?}");
        }
    }
}
