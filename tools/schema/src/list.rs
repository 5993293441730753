//! What the schema doesn't know: Go's names of texts, their values, and which fields have no effect here.

use std::collections::{BTreeMap, BTreeSet};

/// The lists beside this tool, read.
pub struct Lists {
    /// The Go type of a field that is a text, by `Type.field`.
    pub go_names: BTreeMap<String, String>,
    /// The values of a text, by its Go type or by `Type.field`, in the order of the list.
    pub values: Vec<(String, String)>,
    /// `Type.field`s, and the value that Kubernetes gives each anyway.
    pub without_effect: BTreeMap<String, String>,
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Reads them.
pub fn read() -> Result<Lists, String> {
    let mut lists = Lists { go_names: BTreeMap::new(), values: Vec::new(), without_effect: BTreeMap::new() };
    for line in lines(include_str!("../texts.txt")) {
        let (head, values) = line.split_once(" = ").map_or((line, None), |(head, values)| (head, Some(values)));
        let mut words = head.split_whitespace();
        let name = words.next().unwrap_or_default();
        if let Some(values) = values {
            lists.values.push((name.into(), values.into()));
        }
        for path in words {
            if lists.go_names.insert(path.into(), name.into()).is_some() {
                return Err(format!("texts.txt: {path} twice"));
            }
        }
    }
    for line in lines(include_str!("../without-effect.txt")) {
        let mut words = line.split_whitespace();
        let owner = words.next().unwrap_or_default();
        lists.without_effect.extend(words.map(|word| {
            let (field, value) = word.split_once('=').unwrap_or((word, ""));
            (format!("{owner}.{field}"), value.to_owned())
        }));
    }
    Ok(lists)
}

impl Lists {
    /// Every line must be of use: a field that has gone is noticed.
    pub fn all_needed(&self, needed: &BTreeSet<String>) -> Result<(), String> {
        let listed = self.go_names.keys().chain(self.without_effect.keys());
        let idle: Vec<&str> = listed.filter(|path| !needed.contains(*path)).map(String::as_str).collect();
        if idle.is_empty() { Ok(()) } else { Err(format!("listed, but not in the schema: {}", idle.join(" "))) }
    }
}
