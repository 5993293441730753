//! What can be written at a place.

use super::Reference;
use super::scan::{self, Caret, Scan, Step};
use super::slot::{self, Slot, explained};
use crate::manifest::LAB;
use crate::schema::{self, Type};

/// What something is that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The name of a field.
    Field,
    /// A value.
    Value,
}

/// Something that can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The word itself.
    pub label: String,
    /// What is put in: the word, and what must follow it.
    pub insert: String,
    /// What it is.
    pub what: What,
    /// A field's type, as `kubectl explain` prints it.
    pub type_: String,
    /// The first sentence of its description.
    pub description: String,
    /// Whether an object can't do without it.
    pub required: bool,
    /// Whether Kubernetes acts on it and the simulation doesn't.
    pub without_effect: bool,
}

/// What can be written at a place, the likeliest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestions {
    /// Column at which the word begins that is replaced; it goes to the caret.
    pub column: u32,
    /// The suggestions, whether or not they begin as the word does.
    pub items: Vec<Suggestion>,
}

/// Longest description beside a suggestion, in characters.
const BRIEF: usize = 240;

/// What can be written at a line and column.
pub fn complete(text: &str, line: u32, column: u32, reference: &Reference) -> Suggestions {
    let lines: Vec<&str> = text.split('\n').collect();
    let (line, column) = (line.max(1) as usize - 1, column.max(1) as usize - 1);
    let Some(here) = lines.get(line) else { return Suggestions::default() };
    let (first, document) = scan::document(&lines, line);
    if line < first {
        return Suggestions::default();
    }
    let (scan, caret) = Scan::new(document, Some((line - first, column)));
    let Some(caret) = caret else { return Suggestions::default() };
    let Some(slot) = slot::of(&scan, caret.node) else { return Suggestions::default() };
    let rest: String = here.chars().skip(column).collect();
    let at = Context { scan: &scan, caret: &caret, line: line - first, rest: &rest, reference };
    Suggestions { column: caret.from as u32 + 1, items: at.suggestions(slot) }
}

struct Context<'a> {
    scan: &'a Scan,
    caret: &'a Caret,
    line: usize,
    rest: &'a str,
    reference: &'a Reference,
}

impl Context<'_> {
    fn suggestions(&self, slot: Slot) -> Vec<Suggestion> {
        let mut found = self.unfilled_list().map(|list| self.at(list)).unwrap_or_default();
        found.extend(self.at(slot));
        found
    }

    /// On an empty line right under `ports:` an item is as likely as the next field.
    fn unfilled_list(&self) -> Option<Slot> {
        if self.caret.flow || self.caret.behind_colon {
            return None;
        }
        let above = |n: &scan::Node| n.place.line < self.line;
        let (last, node) = self.scan.children(self.caret.node).filter(|(_, n)| above(n)).last()?;
        let bare = node.value.is_none() && self.scan.children(last).next().is_none();
        let slot = slot::of(self.scan, last)?;
        (bare && node.place.from == self.caret.from && matches!(slot.kind, Type::List(_))).then_some(slot)
    }

    fn at(&self, slot: Slot) -> Vec<Suggestion> {
        match slot.kind {
            // `spec: ` with something behind it is no place for a field.
            Type::Struct(owner) if !self.caret.behind_colon => self.fields(owner, slot, ""),
            Type::List(item) if !self.caret.behind_colon => {
                let item = Slot { kind: Type::read(item), ..slot };
                let dash = if self.caret.flow { "" } else { "- " };
                match item.kind {
                    Type::Struct(_) if self.caret.flow => Vec::new(),
                    Type::Struct(owner) => self.fields(owner, item, dash),
                    _ => self.values(item, dash),
                }
            }
            Type::Struct(_) | Type::List(_) => Vec::new(),
            _ => self.values(slot, ""),
        }
    }

    fn fields(&self, owner: &'static str, slot: Slot, before: &str) -> Vec<Suggestion> {
        let own = |n: &scan::Node| n.place.line == self.line && n.place.from == self.caret.from;
        let present: Vec<&str> = if before.is_empty() {
            let others = self.scan.children(self.caret.node).filter(|(_, n)| !own(n));
            others.filter_map(|(_, n)| if let Step::Key(key) = &n.step { Some(key.as_str()) } else { None }).collect()
        } else {
            Vec::new()
        };
        let mut fields: Vec<&schema::Field> =
            schema::fields(owner).iter().filter(|f| !present.contains(&f.name)).collect();
        fields.sort_by_key(|f| (self.rank(owner, f), f.name));
        let each = |f: &&schema::Field| Suggestion {
            label: format!("{before}{}", f.name),
            insert: format!("{before}{}", self.written(f, before.len())),
            what: What::Field,
            type_: explained(f.kind),
            description: brief(&self.reference.of_field(owner, f.name)),
            required: self.reference.required(owner, f.name),
            without_effect: slot.without_effect || f.without_effect.is_some(),
        };
        fields.iter().map(each).collect()
    }

    /// What one writes first comes first; what has no effect or is the server's comes last.
    fn rank(&self, owner: &str, field: &schema::Field) -> usize {
        const FIRST: [&str; 6] = ["apiVersion", "kind", "metadata", "name", "spec", "data"];
        const SERVERS: [&str; 7] = [
            "status",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ];
        match FIRST.iter().position(|f| *f == field.name) {
            Some(i) => i,
            _ if SERVERS.contains(&field.name) => 30,
            _ if field.without_effect.is_some() => 20,
            _ if self.reference.required(owner, field.name) => 10,
            _ => 11,
        }
    }

    /// A field's name with its colon, and the start of what belongs under it.
    fn written(&self, field: &schema::Field, dash: usize) -> String {
        let name = field.name;
        if self.rest.trim_start_matches(|c: char| c.is_alphanumeric()).trim_start().starts_with(':') {
            return name.into();
        }
        let indent = " ".repeat(self.caret.from + dash);
        match field.kind {
            _ if self.caret.flow || !self.rest.trim().is_empty() => format!("{name}: "),
            Type::Struct(_) | Type::Labels | Type::Resources | Type::Bytes => format!("{name}:\n{indent}  "),
            Type::List(_) => format!("{name}:\n{indent}- "),
            _ => format!("{name}: "),
        }
    }

    fn values(&self, slot: Slot, before: &str) -> Vec<Suggestion> {
        let value = |label: &str, type_: &str| Suggestion {
            label: format!("{before}{label}"),
            insert: format!("{before}{label}"),
            what: What::Value,
            type_: type_.into(),
            description: String::new(),
            required: false,
            without_effect: slot.without_effect,
        };
        let Some((owner, field)) = slot.field else { return Vec::new() };
        let root = self.scan.nodes[self.caret.node].parent == 0 && self.caret.behind_colon;
        match (field.name, slot.kind) {
            ("kind", _) if root => {
                let version = self.scan.text(0, "apiVersion");
                let fits = |v: &str| version.is_empty() || v == version;
                let mut all: Vec<_> = slot::kinds().collect();
                all.sort_by_key(|(v, _)| !fits(v));
                let each = |(v, kind): &(&str, &'static str)| Suggestion {
                    description: brief(&self.reference.of_type(slot::type_of_kind(v, kind).unwrap_or_default())),
                    ..value(kind, v)
                };
                all.iter().map(each).collect()
            }
            ("apiVersion", _) if root => {
                let kind = self.scan.text(0, "kind");
                let mut all: Vec<&str> = slot::kinds().map(|(v, _)| v).collect();
                all.sort_by_key(|v| (!slot::kinds().any(|(version, k)| version == *v && k == kind), *v == LAB, *v));
                all.dedup();
                all.into_iter().map(|v| value(v, "")).collect()
            }
            (_, Type::Bool) => ["true", "false"].map(|b| value(b, "")).into(),
            (name, Type::Text(go)) => {
                self.reference.values(owner, name, go).into_iter().map(|v| value(v, "")).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The first sentence.
fn brief(text: &str) -> String {
    let line = text.split('\n').next().unwrap_or_default();
    let end = line
        .match_indices(". ")
        .map(|(i, _)| i + 1)
        .find(|i| !line[..*i].ends_with("e.g.") && !line[..*i].ends_with("i.e."));
    let sentence = &line[..end.unwrap_or(line.len())];
    if sentence.chars().count() <= BRIEF {
        return sentence.into();
    }
    sentence.chars().take(BRIEF).chain(['…']).collect()
}
