//! The types that the simulated kinds are made of, from `k8s-openapi`.

use crate::list::Lists;
use k8s_openapi::api::{apps, coordination, core, discovery, policy};
use k8s_openapi::schemars::{JsonSchema, SchemaGenerator};
use k8s_openapi::serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A type with fields.
pub struct Type {
    /// Its name in Go, without its package; a second one of the same name has its group before it (`core.EndpointPort`).
    pub name: String,
    /// `apps/v1`, where it is a kind.
    pub version: Option<&'static str>,
    /// What it is.
    pub description: String,
    /// Its fields, by name.
    pub fields: Vec<Field>,
}

/// A field of a type.
pub struct Field {
    /// Its name in JSON.
    pub name: String,
    /// Its type, as `schema.txt` writes it.
    pub kind: String,
    /// Whether an object can't do without it.
    pub required: bool,
    /// Where the simulation doesn't act on it: the value that Kubernetes gives it anyway, or nothing.
    pub without_effect: Option<String>,
    /// What it is.
    pub description: String,
}

struct Walk<'a> {
    lists: &'a Lists,
    definitions: Map<String, Value>,
    /// Full names of types, and the short ones they go by.
    names: BTreeMap<String, String>,
    found: Vec<Type>,
    /// Lines of the lists that were needed.
    needed: BTreeSet<String>,
}

/// Every type, kind by kind, each before those that it is made of.
pub fn types(lists: &Lists) -> Result<Vec<Type>, String> {
    let mut generator = SchemaGenerator::default();
    let mut roots = Vec::new();
    macro_rules! kinds {
        ($($version:literal: $($kind:path),+;)+) => {
            $($(
                generator.subschema_for::<$kind>();
                roots.push(($version, <$kind>::schema_name().into_owned()));
            )+)+
        };
    }
    kinds! {
        "v1": core::v1::Namespace, core::v1::Node, core::v1::Service;
        "discovery.k8s.io/v1": discovery::v1::EndpointSlice;
        "v1": core::v1::Endpoints;
        "apps/v1": apps::v1::Deployment, apps::v1::ReplicaSet, apps::v1::StatefulSet, apps::v1::DaemonSet;
        "v1": core::v1::Pod, core::v1::ConfigMap, core::v1::Event;
        "policy/v1": policy::v1::PodDisruptionBudget;
        "coordination.k8s.io/v1": coordination::v1::Lease;
    }
    let definitions = generator.take_definitions(true);
    let mut walk = Walk { lists, definitions, names: BTreeMap::new(), found: Vec::new(), needed: BTreeSet::new() };
    for (version, full) in roots {
        walk.named(&full, Some(version))?;
    }
    lists.all_needed(&walk.needed)?;
    Ok(walk.found)
}

impl Walk<'_> {
    /// A type of the definitions; what it is called.
    fn named(&mut self, full: &str, version: Option<&'static str>) -> Result<String, String> {
        if let Some(name) = self.names.get(full) {
            return Ok(name.clone());
        }
        let mut parts = full.rsplit('.');
        let (short, group) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
        let taken = self.names.values().any(|name| name == short);
        let name = if taken { format!("{group}.{short}") } else { short.to_owned() };
        self.names.insert(full.into(), name.clone());
        let definition = self.definitions.get(full).cloned().ok_or_else(|| format!("{full}: no definition"))?;
        let place = self.found.len();
        self.found.push(Type { name: name.clone(), version, description: text(&definition), fields: Vec::new() });
        let empty = Map::new();
        let properties = definition.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let mut fields = Vec::new();
        for (field, value) in properties {
            let path = format!("{name}.{field}");
            // Where k8s-openapi has no Option, its schema says "required"; but an object may come without metadata.
            let bare = version.is_some() && field == "metadata" && name != "Event";
            let required = definition.get("required").and_then(Value::as_array);
            fields.push(Field {
                name: field.clone(),
                kind: self.kind(value, &path)?,
                required: !bare && required.is_some_and(|all| all.iter().any(|each| each == field.as_str())),
                without_effect: self.lists.without_effect.get(&path).cloned().inspect(|_| {
                    self.needed.insert(path.clone());
                }),
                description: text(value),
            });
        }
        if fields.is_empty() {
            return Err(format!("{full}: no fields, and no letter of its own"));
        }
        self.found[place].fields = fields;
        Ok(name)
    }

    /// A type as `schema.txt` writes it.
    fn kind(&mut self, value: &Value, path: &str) -> Result<String, String> {
        let get = |key: &str| value.get(key).and_then(Value::as_str);
        let unknown = || format!("{path}: no letter for {value}");
        if let Some(reference) = get("$ref") {
            let full = reference.rsplit('/').next().unwrap_or_default();
            return Ok(match full.rsplit('.').next().unwrap_or_default() {
                "Time" => "t".into(),
                "MicroTime" => "u".into(),
                "Quantity" => "q".into(),
                "IntOrString" => "p".into(),
                "FieldsV1" | "RawExtension" => "x".into(),
                _ => self.named(full, None)?,
            });
        }
        Ok(match (get("type"), get("format")) {
            (Some("string"), None) => match self.lists.go_names.get(path) {
                Some(name) => {
                    self.needed.insert(path.into());
                    format!("s={}", if name.contains('.') { name.clone() } else { format!("v1.{name}") })
                }
                None => "s".into(),
            },
            (Some("integer"), Some("int32")) => "i".into(),
            (Some("integer"), Some("int64")) => "l".into(),
            (Some("boolean"), None) => "b".into(),
            (Some("array"), None) => {
                let items = value.get("items").ok_or_else(unknown)?;
                format!("[]{}", self.kind(items, path)?)
            }
            (Some("object"), None) => {
                let items = value.get("additionalProperties").ok_or_else(unknown)?;
                let bytes = items.get("format").is_some_and(|f| f == "byte");
                match self.kind(items, path) {
                    _ if bytes => "y".into(),
                    Ok(item) if item == "s" => "m".into(),
                    Ok(item) if item == "q" => "r".into(),
                    Ok(item) if item == "t" => "w".into(),
                    _ => return Err(unknown()),
                }
            }
            _ => return Err(unknown()),
        })
    }
}

fn text(value: &Value) -> String {
    value.get("description").and_then(Value::as_str).unwrap_or_default().into()
}
