//! Which fields exist and of what types: `data/schema.txt`, and for our own kinds `data/lab.txt`, read once.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// A text, under its name in Go.
    Text(&'static str),
    /// A 32-bit number.
    Int32,
    /// A 64-bit number.
    Int64,
    /// A number with or without a fraction.
    Number,
    /// A truth.
    Bool,
    /// A moment.
    Time,
    /// A moment, to the microsecond.
    MicroTime,
    /// `500m`, `1Gi`.
    Quantity,
    /// A number or a name.
    IntOrString,
    /// Not looked into.
    Any,
    /// `map[string]string`.
    Labels,
    /// Quantities by name.
    Resources,
    /// Bytes by name, in base64.
    Bytes,
    /// Moments by name.
    Times,
    /// A list of `&str`, written as in the file.
    List(&'static str),
    /// A type of the file.
    Struct(&'static str),
}

/// A field of a type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Where the simulation doesn't act on it: the value that Kubernetes gives it anyway, or nothing.
    pub without_effect: Option<&'static str>,
}

const TEXTS: [&str; 2] = [include_str!("../data/schema.txt"), include_str!("../data/lab.txt")];
/// What every object has.
const OBJECT: &str = "Object apiVersion:s kind:s metadata:ObjectMeta spec:x";

impl Type {
    /// Reads a type as the file writes it.
    pub(crate) fn read(text: &'static str) -> Type {
        match text {
            "s" => Type::Text("string"),
            "i" => Type::Int32,
            "l" => Type::Int64,
            "n" => Type::Number,
            "b" => Type::Bool,
            "t" => Type::Time,
            "u" => Type::MicroTime,
            "q" => Type::Quantity,
            "p" => Type::IntOrString,
            "x" => Type::Any,
            "m" => Type::Labels,
            "r" => Type::Resources,
            "y" => Type::Bytes,
            "w" => Type::Times,
            _ => match (text.strip_prefix("[]"), text.strip_prefix("s=")) {
                (Some(item), _) => Type::List(item),
                (_, Some(name)) => Type::Text(name),
                _ => Type::Struct(text),
            },
        }
    }

    /// The type's name in Go's messages.
    pub(crate) fn go(self) -> String {
        match self {
            Type::Text(name) => name.into(),
            Type::Int32 => "int32".into(),
            Type::Int64 => "int64".into(),
            Type::Number => "float64".into(),
            Type::Bool => "bool".into(),
            Type::Time => "v1.Time".into(),
            Type::MicroTime => "v1.MicroTime".into(),
            Type::Quantity => "resource.Quantity".into(),
            Type::IntOrString => "intstr.IntOrString".into(),
            Type::Any => "interface {}".into(),
            Type::Labels => "map[string]string".into(),
            Type::Resources => "v1.ResourceList".into(),
            Type::Bytes => "map[string][]uint8".into(),
            Type::Times => "map[string]v1.Time".into(),
            Type::List(item) => format!("[]{}", Type::read(item).go()),
            Type::Struct(name) => format!("v1.{}", short(name)),
        }
    }
}

/// The fields of a type.
pub(crate) fn fields(name: &str) -> &'static [Field] {
    entry(name).map_or(&[], |(_, fields)| fields)
}

/// A type's name and fields.
pub(crate) fn entry(name: &str) -> Option<(&'static str, &'static [Field])> {
    static ALL: OnceLock<BTreeMap<&'static str, Vec<Field>>> = OnceLock::new();
    ALL.get_or_init(read).get_key_value(name).map(|(name, fields)| (*name, fields.as_slice()))
}

/// A type's name without the group that tells two of one name apart (`core.EndpointPort`).
pub(crate) fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn read() -> BTreeMap<&'static str, Vec<Field>> {
    let lines = TEXTS.iter().flat_map(|t| t.lines()).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let line = |line: &'static str| {
        let (name, words) = line.split_once(' ').unwrap_or((line, ""));
        (name, words.split(' ').filter_map(field).collect())
    };
    lines.chain([OBJECT]).map(line).collect()
}

fn field(word: &'static str) -> Option<Field> {
    let (name, kind) = word.split_once(':')?;
    let kind = Type::read(kind);
    let Some(name) = name.strip_prefix('~') else { return Some(Field { name, kind, without_effect: None }) };
    let (name, usual) = name.split_once('=').unwrap_or((name, ""));
    Some(Field { name, kind, without_effect: Some(usual) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_there() {
        for (name, fields) in read() {
            assert!(!fields.is_empty(), "{name}");
            for field in fields {
                let mut kind = field.kind;
                if let Type::List(item) = kind {
                    kind = Type::read(item);
                }
                if let Type::Struct(other) = kind {
                    assert!(!super::fields(other).is_empty(), "{name}.{}: {other}", field.name);
                }
            }
        }
    }
}
