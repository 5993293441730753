//! Which fields exist and of what types: `data/schema.txt`, read once.

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
    /// A truth.
    Bool,
    /// A moment.
    Time,
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
    /// Whether the simulation acts on it.
    pub used: bool,
}

const TEXT: &str = include_str!("../data/schema.txt");

impl Type {
    /// Reads a type as the file writes it.
    pub(crate) fn read(text: &'static str) -> Type {
        match text {
            "s" => Type::Text("string"),
            "i" => Type::Int32,
            "l" => Type::Int64,
            "b" => Type::Bool,
            "t" => Type::Time,
            "q" => Type::Quantity,
            "p" => Type::IntOrString,
            "x" => Type::Any,
            "m" => Type::Labels,
            "r" => Type::Resources,
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
            Type::Bool => "bool".into(),
            Type::Time => "v1.Time".into(),
            Type::Quantity => "resource.Quantity".into(),
            Type::IntOrString => "intstr.IntOrString".into(),
            Type::Any => "interface {}".into(),
            Type::Labels => "map[string]string".into(),
            Type::Resources => "v1.ResourceList".into(),
            Type::List(item) => format!("[]{}", Type::read(item).go()),
            Type::Struct(name) => format!("v1.{name}"),
        }
    }
}

/// The fields of a type.
pub(crate) fn fields(name: &str) -> &'static [Field] {
    static ALL: OnceLock<BTreeMap<&'static str, Vec<Field>>> = OnceLock::new();
    ALL.get_or_init(read).get(name).map(Vec::as_slice).unwrap_or_default()
}

fn read() -> BTreeMap<&'static str, Vec<Field>> {
    let lines = || TEXT.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    let parts = |line: &'static str| line.split_once(' ').unwrap_or((line, ""));
    let mut all = BTreeMap::new();
    for line in lines() {
        let (name, words) = parts(line);
        let included = |word: &'static str| match word.strip_prefix('+') {
            Some(other) => lines().map(parts).find(|(n, _)| *n == other).map_or("", |(_, words)| words),
            None => word,
        };
        let fields = words.split(' ').flat_map(|word| included(word).split(' ')).filter_map(field).collect();
        all.insert(name, fields);
    }
    all
}

fn field(word: &'static str) -> Option<Field> {
    let (name, kind) = word.split_once(':')?;
    let (name, used) = name.strip_prefix('~').map_or((name, true), |name| (name, false));
    Some(Field { name, kind: Type::read(kind), used })
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
