//! serde into a tree (without places): what an object says, for validation and printing.

use super::{Key, Tree, Value};
use serde::ser::{self, Error as _, Serialize, SerializeMap};
use std::fmt;

/// Turns a value into a tree without places. `None` where a value can't be one (keys that are no text).
pub fn to_tree<T: Serialize + ?Sized>(value: &T) -> Option<Tree> {
    value.serialize(Ser).ok().map(tree)
}

fn tree(value: Value) -> Tree {
    Tree { value, ..Tree::default() }
}

#[derive(Debug)]
struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a tree")
    }
}
impl std::error::Error for Error {}
impl ser::Error for Error {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Error
    }
}

struct Ser;

struct Seq {
    variant: Option<&'static str>,
    items: Vec<Tree>,
}

struct Map {
    variant: Option<&'static str>,
    entries: Vec<(Key, Tree)>,
    key: String,
}

fn wrap(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(name) => Value::Map(vec![(Key::new(name), tree(value))]),
        None => value,
    }
}

macro_rules! integers {
    ($($name:ident $kind:ty),*) => {
        $(fn $name(self, v: $kind) -> Result<Value, Error> { Ok(Value::Int(v.into())) })*
    };
}

impl ser::Serializer for Ser {
    type Ok = Value;
    type Error = Error;
    type SerializeSeq = Seq;
    type SerializeTuple = Seq;
    type SerializeTupleStruct = Seq;
    type SerializeTupleVariant = Seq;
    type SerializeMap = Map;
    type SerializeStruct = Map;
    type SerializeStructVariant = Map;

    integers!(serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
              serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64);

    fn serialize_bool(self, v: bool) -> Result<Value, Error> {
        Ok(Value::Bool(v))
    }
    fn serialize_f32(self, v: f32) -> Result<Value, Error> {
        Ok(Value::Float(v.into()))
    }
    fn serialize_f64(self, v: f64) -> Result<Value, Error> {
        Ok(Value::Float(v))
    }
    fn serialize_char(self, v: char) -> Result<Value, Error> {
        Ok(Value::text(v))
    }
    fn serialize_str(self, v: &str) -> Result<Value, Error> {
        Ok(Value::text(v))
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Value, Error> {
        Err(Error)
    }
    fn serialize_none(self) -> Result<Value, Error> {
        Ok(Value::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Result<Value, Error> {
        v.serialize(Ser)
    }
    fn serialize_unit(self) -> Result<Value, Error> {
        Ok(Value::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Error> {
        Ok(Value::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Error> {
        Ok(Value::text(variant))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, v: &T) -> Result<Value, Error> {
        v.serialize(Ser)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Result<Value, Error> {
        Ok(wrap(Some(variant), v.serialize(Ser)?))
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Seq, Error> {
        Ok(Seq { variant: None, items: Vec::new() })
    }
    fn serialize_tuple(self, len: usize) -> Result<Seq, Error> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Seq, Error> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_variant(self, _: &'static str, _: u32, v: &'static str, _: usize) -> Result<Seq, Error> {
        Ok(Seq { variant: Some(v), items: Vec::new() })
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Map, Error> {
        Ok(Map { variant: None, entries: Vec::new(), key: String::new() })
    }
    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Map, Error> {
        self.serialize_map(Some(len))
    }
    fn serialize_struct_variant(self, _: &'static str, _: u32, v: &'static str, _: usize) -> Result<Map, Error> {
        Ok(Map { variant: Some(v), entries: Vec::new(), key: String::new() })
    }
}

macro_rules! sequence {
    ($($kind:ident $method:ident),*) => {
        $(impl ser::$kind for Seq {
            type Ok = Value;
            type Error = Error;
            fn $method<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Error> {
                self.items.push(tree(v.serialize(Ser)?));
                Ok(())
            }
            fn end(self) -> Result<Value, Error> {
                Ok(wrap(self.variant, Value::Seq(self.items)))
            }
        })*
    };
}
sequence!(SerializeSeq serialize_element, SerializeTuple serialize_element,
          SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field);

impl SerializeMap for Map {
    type Ok = Value;
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        match key.serialize(Ser)? {
            Value::Str { raw, .. } => self.key = raw,
            Value::Int(i) => self.key = i.to_string(),
            _ => return Err(Error::custom("key")),
        }
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Error> {
        let key = Key::new(std::mem::take(&mut self.key));
        // What isn't there isn't written.
        match v.serialize(Ser)? {
            Value::Null => {}
            value => self.entries.push((key, tree(value))),
        }
        Ok(())
    }
    fn end(self) -> Result<Value, Error> {
        Ok(wrap(self.variant, Value::Map(self.entries)))
    }
}

macro_rules! mapping {
    ($($kind:ident),*) => {
        $(impl ser::$kind for Map {
            type Ok = Value;
            type Error = Error;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, v: &T) -> Result<(), Error> {
                self.serialize_entry(key, v)
            }
            fn end(self) -> Result<Value, Error> {
                SerializeMap::end(self)
            }
        })*
    };
}
mapping!(SerializeStruct, SerializeStructVariant);
