//! What fields mean, for people: `public/reference/*.txt`, fetched when somebody first asks.

use std::collections::BTreeMap;

/// Descriptions of types and fields, and the values that texts can have.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    text: String,
    /// `Type` and `Type.field`: where the description is, and whether the field is required. `=Type` and `=Type.field`:
    /// where the values are.
    index: BTreeMap<String, (usize, usize, bool)>,
}

impl Reference {
    /// Reads files of the form that `tools/schema` writes, one after the other. What isn't of that form is left out.
    pub fn read(text: String) -> Reference {
        let mut index = BTreeMap::new();
        let (mut at, mut owner) = (0, "");
        for line in text.split('\n') {
            let (from, end) = (at, at + line.trim_end_matches('\r').len());
            at += line.len() + 1;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, rest) = line.split_once(' ').unwrap_or((line.trim_end(), ""));
            let start = if rest.is_empty() { end } else { from + name.len() + 1 };
            let key = match name.strip_prefix('\t') {
                Some(field) => format!("{owner}.{}", field.trim_end_matches('!')),
                None => {
                    owner = name;
                    name.to_owned()
                }
            };
            index.insert(key, (start, end.max(start), name.ends_with('!')));
        }
        Reference { text, index }
    }

    /// Whether nothing has been read.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn get(&self, key: &str) -> Option<&str> {
        let (from, to, _) = self.index.get(key)?;
        self.text.get(*from..*to)
    }

    /// What a type is.
    pub fn of_type(&self, name: &str) -> String {
        unescape(self.get(name).unwrap_or_default())
    }

    /// What a field of a type is.
    pub fn of_field(&self, owner: &str, field: &str) -> String {
        unescape(self.get(&format!("{owner}.{field}")).unwrap_or_default())
    }

    /// Whether an object can't do without a field.
    pub fn required(&self, owner: &str, field: &str) -> bool {
        self.index.get(&format!("{owner}.{field}")).is_some_and(|(.., required)| *required)
    }

    /// Values that a field can have, where they are known. `type_` is its type's name in Go (`v1.ServiceType`).
    pub fn values(&self, owner: &str, field: &str, type_: &str) -> Vec<&str> {
        let name = type_.strip_prefix("v1.").unwrap_or(type_);
        let found = self.get(&format!("={owner}.{field}")).or_else(|| self.get(&format!("={name}")));
        found.unwrap_or_default().split(' ').filter(|word| !word.is_empty()).collect()
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                other => out.extend(other),
            },
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines() {
        let text = "# a note\n=Mode A B\n=Thing.free x y\nThing What it is.\\nMore: a \\\\ b.\n\tname! Its name.\n\tmode\n\tfree Text.\n";
        let reference = Reference::read(text.into());
        assert_eq!(reference.of_type("Thing"), "What it is.\nMore: a \\ b.");
        assert_eq!(reference.of_field("Thing", "name"), "Its name.");
        assert!(reference.required("Thing", "name") && !reference.required("Thing", "mode"));
        assert_eq!(reference.of_field("Thing", "mode"), "");
        assert_eq!(reference.values("Thing", "mode", "v1.Mode"), ["A", "B"]);
        assert_eq!(reference.values("Thing", "free", "string"), ["x", "y"]);
        assert!(Reference::default().is_empty() && Reference::default().values("a", "b", "c").is_empty());
    }
}
