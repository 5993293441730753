//! serde over a tree, for formats of our own; a mistake is told with its place.

use super::{Key, Span, Tree, Value};
use crate::Diagnostic;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor, value::StrDeserializer,
};
use serde::forward_to_deserialize_any;
use std::fmt;

/// Reads a value from a tree. An error tells the path and the place of what is wrong.
pub fn from_tree<T: DeserializeOwned>(tree: &Tree) -> Result<T, Diagnostic> {
    T::deserialize(De(tree)).map_err(|Error(error)| {
        let mut path = String::new();
        for segment in error.path.iter().rev() {
            if !path.is_empty() && !segment.starts_with('[') {
                path.push('.');
            }
            path.push_str(segment);
        }
        let message = if path.is_empty() { error.message } else { format!("{path}: {}", error.message) };
        Diagnostic::error(message, path, error.span.unwrap_or(tree.span), 0)
    })
}

/// In a box, and made out of line: every field of every type that is read has a way here.
#[derive(Debug)]
struct Error(Box<Wrong>);

#[derive(Debug)]
struct Wrong {
    message: String,
    span: Option<Span>,
    /// Innermost segment first.
    path: Vec<String>,
}

impl Error {
    #[cold]
    #[inline(never)]
    fn new(message: String) -> Error {
        Error(Box::new(Wrong { message, span: None, path: Vec::new() }))
    }
    /// Stands there, unless a place inside is known.
    #[cold]
    #[inline(never)]
    fn at(mut self, span: Span) -> Error {
        self.0.span.get_or_insert(span);
        self
    }
    #[cold]
    #[inline(never)]
    fn in_item(mut self, index: usize, span: Span) -> Error {
        self.0.path.push(format!("[{index}]"));
        self.at(span)
    }
    #[cold]
    #[inline(never)]
    fn in_entry(mut self, key: &Key) -> Error {
        self.0.path.push(key.name.clone());
        self.at(key.span)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error::new(message.to_string())
    }
}

/// A number as serde tells numbers.
enum Number {
    Signed(i64),
    Unsigned(u64),
    Neither,
}

#[inline(never)]
fn number(n: i128) -> Number {
    match (i64::try_from(n), u64::try_from(n)) {
        (Ok(i), _) => Number::Signed(i),
        (_, Ok(u)) => Number::Unsigned(u),
        _ => Number::Neither,
    }
}

#[derive(Clone, Copy)]
struct De<'a>(&'a Tree);

impl De<'_> {
    fn unexpected(&self) -> Unexpected<'_> {
        match &self.0.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(b) => Unexpected::Bool(*b),
            Value::Int(i) => Unexpected::Signed(i64::try_from(*i).unwrap_or(i64::MAX)),
            Value::Float(f) => Unexpected::Float(*f),
            Value::Str { raw, .. } => Unexpected::Str(raw),
            Value::Seq(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    #[cold]
    #[inline(never)]
    fn wrong(&self, expected: &dyn Expected) -> Error {
        Error::invalid_type(self.unexpected(), expected).at(self.0.span)
    }
}

impl<'de> Deserializer<'de> for De<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(i) => match number(*i) {
                Number::Signed(i) => visitor.visit_i64(i),
                Number::Unsigned(u) => visitor.visit_u64(u),
                Number::Neither => Err(Error::new("number out of range".into())),
            },
            Value::Float(f) => visitor.visit_f64(*f),
            Value::Str { raw, .. } => visitor.visit_str(raw),
            Value::Seq(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Map(entries) => return visitor.visit_map(Entries { entries, next: 0 }),
        };
        result.map_err(|e| e.at(self.0.span))
    }

    // What asks for a mapping or a list is not offered anything else: for each type that is read, that would be code. A
    // struct is never a list of its fields.

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Seq(items) => visitor.visit_seq(Items { items, next: 0 }).map_err(|e| e.at(self.0.span)),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match &self.0.value {
            Value::Str { raw, .. } => visitor.visit_enum(StrDeserializer::<Error>::new(raw)),
            Value::Map(entries) if entries.len() == 1 => visitor.visit_enum(Variant(&entries[0])),
            _ => Err(Error::invalid_type(self.unexpected(), &"a word or a mapping with one key")),
        };
        result.map_err(|e| e.at(self.0.span))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a> {
    items: &'a [Tree],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(De(item)).map(Some).map_err(|e| e.in_item(index, item.span))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Entries<'a> {
    entries: &'a [(Key, Tree)],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        let found = seed.deserialize(StrDeserializer::<Error>::new(&key.name));
        found.map(Some).map_err(|e| e.at(key.span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, tree) = &self.entries[self.next];
        self.next += 1;
        seed.deserialize(De(tree)).map_err(|e| e.in_entry(key))
    }
}

struct Variant<'a>(&'a (Key, Tree));

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = De<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, De<'de>), Error> {
        let (key, tree) = self.0;
        let variant = seed.deserialize(StrDeserializer::<Error>::new(&key.name));
        variant.map(|v| (v, De(tree))).map_err(|e| e.at(key.span))
    }
}

impl<'de> VariantAccess<'de> for De<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.0.is_null() { Ok(()) } else { Err(Error::invalid_type(self.unexpected(), &"nothing")) }
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }
}
