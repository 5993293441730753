//! From events to trees: documents, anchors, merge keys, places.

use super::events::{Event, Parser, Placed};
use super::scan::{By, Mark, Problem};
use super::{Key, Span, Tree, Value, float, scalar};
use crate::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// Deepest nesting that is read. No Kubernetes object comes near.
pub const MAX_DEPTH: usize = 200;

/// Reads every document of a text. What parses before a mistake is still given.
///
/// A document that holds nothing is left out.
pub fn documents(text: &str) -> (Vec<Tree>, Option<Diagnostic>) {
    let mut trees = Vec::new();
    for document in load(text) {
        match document {
            Ok(tree) => trees.push(tree),
            Err(diagnostic) => return (trees, Some(diagnostic)),
        }
    }
    (trees, None)
}

/// Reads every document of a text; one that is broken doesn't hide those after it.
pub fn load(text: &str) -> Vec<Result<Tree, Diagnostic>> {
    let lines = Lines::new(text);
    let mut found = Vec::new();
    for (start, end) in lines.chunks() {
        let mut loader = Loader { lines: &lines, first_line: start, first: found.len(), ..Loader::new(&lines) };
        let broken = loader.read(lines.slice(start, end));
        found.append(&mut loader.done.into_iter().filter(|t| !t.is_null()).map(Ok).collect());
        if let Err(diagnostic) = broken {
            found.push(Err(Diagnostic { document: found.len() as u32, ..diagnostic }));
        }
    }
    found
}

/// Where the lines of a text begin, by libyaml's idea of a line break.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        // A byte order mark is no part of the first line.
        let mut starts = vec![if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }];
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let broken = match c {
                '\r' => chars.peek().is_none_or(|(_, next)| *next != '\n'),
                '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => true,
                _ => false,
            };
            if broken {
                starts.push(at + c.len_utf8());
            }
        }
        Lines { text, starts }
    }

    fn line(&self, index: usize) -> &'a str {
        let from = self.starts.get(index).copied().unwrap_or(self.text.len());
        let to = self.starts.get(index + 1).copied().unwrap_or(self.text.len());
        &self.text[from..to]
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        let to = self.starts.get(to).copied().unwrap_or(self.text.len());
        &self.text[self.starts[from]..to]
    }

    /// Runs of lines, cut before each `---` that follows content, as kubectl cuts a file.
    fn chunks(&self) -> Vec<(usize, usize)> {
        let mut chunks = Vec::new();
        let (mut start, mut content) = (0, false);
        for index in 0..self.starts.len() {
            let line = self.line(index);
            let marker = line
                .strip_prefix("---")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
            if marker && content {
                chunks.push((start, index));
                start = index;
            }
            let trimmed = line.trim();
            content = if marker { true } else { content || !(trimmed.is_empty() || trimmed.starts_with(['#', '%'])) };
        }
        chunks.push((start, self.starts.len()));
        chunks
    }
}

/// A mapping or sequence that is still open.
struct Frame {
    tree: Tree,
    anchor: Option<String>,
    key: Option<Key>,
    merge: bool,
    /// What merge keys bring.
    merged: Vec<(Key, Tree)>,
    /// Nodes in it, itself too.
    size: usize,
}

struct Loader<'a> {
    lines: &'a Lines<'a>,
    first_line: usize,
    first: usize,
    done: Vec<Tree>,
    root: Option<Tree>,
    open: Vec<Frame>,
    /// How deep, including what is too deep to be kept.
    depth: usize,
    too_deep: Option<Span>,
    anchors: BTreeMap<String, (Tree, usize)>,
    decoded: usize,
    aliased: usize,
}

impl<'a> Loader<'a> {
    fn new(lines: &'a Lines<'a>) -> Self {
        Loader {
            lines,
            first_line: 0,
            first: 0,
            done: Vec::new(),
            root: None,
            open: Vec::new(),
            depth: 0,
            too_deep: None,
            anchors: BTreeMap::new(),
            decoded: 0,
            aliased: 0,
        }
    }

    fn read(&mut self, text: &str) -> Result<(), Diagnostic> {
        if let Some(span) = self.control(text) {
            return Err(self.fail(span, "control characters are not allowed"));
        }
        self.run(&mut Parser::new(text))
    }

    fn run(&mut self, parser: &mut Parser<'_>) -> Result<(), Diagnostic> {
        loop {
            let event = parser.next().map_err(|problem| self.syntax(&problem))?;
            if event.0 == Event::StreamEnd {
                return Ok(());
            }
            self.event(event)?;
            if let Some(span) = self.too_deep.filter(|_| self.depth == 0) {
                return Err(self.fail(span, &format!("nested more than {MAX_DEPTH} levels deep")));
            }
        }
    }

    fn event(&mut self, (event, start, end): Placed) -> Result<(), Diagnostic> {
        let span = self.span(start, end);
        match event {
            Event::DocumentStart => {
                self.anchors.clear();
                (self.decoded, self.aliased) = (0, 0);
            }
            // Only now the document is known to be whole.
            Event::DocumentEnd => self.done.extend(self.root.take()),
            Event::Scalar { anchor, tag, text, plain } if self.too_deep.is_none() => {
                let merge = plain && tag.is_none() && text == "<<";
                let value = self.scalar(tag.as_deref(), text, plain, span)?;
                self.decoded += 1;
                self.node(Tree { span, value }, anchor, merge, 1)?;
            }
            Event::Alias(anchor) if self.too_deep.is_none() => self.alias(&anchor, span)?,
            Event::SequenceStart { anchor } => self.start(Value::Seq(Vec::new()), anchor, span)?,
            Event::MappingStart { anchor } => self.start(Value::Map(Vec::new()), anchor, span)?,
            Event::SequenceEnd | Event::MappingEnd => {
                self.depth -= 1;
                if self.too_deep.is_none()
                    && let Some(mut frame) = self.open.pop()
                {
                    frame.tree.span = self.stretch(frame.tree.span, end);
                    if let Value::Map(entries) = &mut frame.tree.value {
                        add_merged(entries, frame.merged);
                    }
                    self.decoded += 1;
                    self.node(frame.tree, frame.anchor, false, frame.size)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, value: Value, anchor: Option<String>, span: Span) -> Result<(), Diagnostic> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.too_deep = self.too_deep.or(Some(span));
            return Ok(());
        }
        self.open.push(Frame {
            tree: Tree { span, value },
            anchor,
            key: None,
            merge: false,
            merged: Vec::new(),
            size: 1,
        });
        Ok(())
    }

    /// An alias stands for a copy; go-yaml's measure of too many (`decode.go`, `allowedAliasRatio`).
    fn alias(&mut self, anchor: &str, span: Span) -> Result<(), Diagnostic> {
        if self.open.iter().any(|f| f.anchor.as_deref() == Some(anchor)) {
            return Err(self.fail(span, &format!("anchor '{anchor}' value contains itself")));
        }
        let Some((tree, size)) = self.anchors.get(anchor) else {
            return Err(self.fail(span, &format!("unknown anchor '{anchor}' referenced")));
        };
        self.decoded += size;
        self.aliased += size;
        let allowed = match self.decoded {
            ..=400_000 => 0.99,
            4_000_000.. => 0.10,
            n => 0.99 - 0.89 * (n - 400_000) as f64 / 3_600_000.0,
        };
        if self.aliased > 100 && self.decoded > 1000 && self.aliased as f64 / self.decoded as f64 > allowed {
            return Err(self.fail(span, "document contains excessive aliasing"));
        }
        // Nobody needs a deep tree made of shallow ones.
        if self.open.len() + depth(tree) > MAX_DEPTH {
            return Err(self.fail(span, &format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let (mut tree, size) = (tree.clone(), *size);
        tree.span = span;
        self.node(tree, None, false, size)
    }

    /// Puts a finished node where it belongs.
    fn node(&mut self, tree: Tree, anchor: Option<String>, merge: bool, size: usize) -> Result<(), Diagnostic> {
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, (tree.clone(), size));
        }
        let span = tree.span;
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(tree);
            return Ok(());
        };
        frame.size += size;
        let mut problem = None;
        match &mut frame.tree.value {
            Value::Seq(items) => items.push(tree),
            Value::Map(entries) => match frame.key.take() {
                None => {
                    frame.merge = merge;
                    match key(tree) {
                        Ok(key) => frame.key = Some(key),
                        Err(found) => problem = Some(found),
                    }
                }
                Some(_) if std::mem::take(&mut frame.merge) => {
                    problem = merge_into(&mut frame.merged, tree).err().map(String::from);
                }
                Some(key) => {
                    entries.push((key, tree));
                }
            },
            _ => {}
        }
        problem.map_or(Ok(()), |problem| Err(self.fail(span, &problem)))
    }

    fn scalar(&self, tag: Option<&str>, text: String, plain: bool, span: Span) -> Result<Value, Diagnostic> {
        let tag = tag.map(|t| t.strip_prefix("tag:yaml.org,2002:").unwrap_or(t));
        let value = match tag {
            None if plain => return Ok(scalar::resolve(&text)),
            None | Some("!" | "str") => return Ok(Value::Str { raw: text, quoted: true }),
            Some("int" | "float" | "bool" | "null") => scalar::resolve(&text),
            Some(_) => return Ok(Value::Str { raw: text, quoted: true }),
        };
        let (kind, value) = match value {
            Value::Int(i) if tag == Some("float") => ("float", Value::Float(i as f64)),
            Value::Int(_) => ("int", value),
            Value::Float(_) => ("float", value),
            Value::Bool(_) => ("bool", value),
            Value::Null => ("null", value),
            _ => ("str", value),
        };
        if tag == Some(kind) {
            return Ok(value);
        }
        let tag = tag.unwrap_or_default();
        Err(self.fail(span, &format!("cannot decode !!{kind} `{text}` as a !!{tag}")))
    }

    fn span(&self, start: Mark, end: Mark) -> Span {
        let line = self.first_line + start.line;
        let column = start.column as u32 + 1;
        let length = if end.line == start.line {
            end.column.saturating_sub(start.column) as u32
        } else {
            // The first line only, without what follows it in blanks.
            let text = self.lines.line(line).trim_end();
            (text.chars().skip(start.column).count()) as u32
        };
        Span { line: line as u32 + 1, column, length }
    }

    /// A mapping or sequence: known to its end only now.
    fn stretch(&self, span: Span, end: Mark) -> Span {
        let start_line = span.line as usize - 1;
        let last = self.first_line + end.line == start_line;
        let length = if last {
            (end.column as u32 + 1).saturating_sub(span.column)
        } else {
            let text = self.lines.line(start_line);
            let text = text.split(" #").next().unwrap_or(text).trim_end();
            text.chars().skip(span.column as usize - 1).count() as u32
        };
        Span { length: length.max(1), ..span }
    }

    fn fail(&self, span: Span, problem: &str) -> Diagnostic {
        Diagnostic::error(format!("yaml: {problem}"), "", span, self.first as u32)
    }

    /// go-yaml's `parser.fail`: the line as it counts it. The scanner's lines count from 0 and are put right; the
    /// parser's are not.
    fn syntax(&self, problem: &Problem) -> Diagnostic {
        let line = match (problem.by, problem.mark.line) {
            (_, 0) => problem.context.line,
            (By::Scanner, line) => line + 1,
            (By::Parser, line) => line,
        };
        let place = if line > 0 { format!("line {}: ", self.first_line + line) } else { String::new() };
        let span = self.span(problem.mark, problem.mark);
        self.fail(Span { length: 1, ..span }, &format!("{place}{}", problem.text))
    }

    /// The first character that YAML doesn't allow.
    fn control(&self, text: &str) -> Option<Span> {
        let bad = |c: char| !matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        if !text.contains(bad) {
            return None;
        }
        let index = (self.first_line..self.lines.starts.len()).find(|index| self.lines.line(*index).contains(bad))?;
        let column = self.lines.line(index).chars().position(bad)?;
        Some(Span { line: index as u32 + 1, column: column as u32 + 1, length: 1 })
    }
}

fn merge_into(merged: &mut Vec<(Key, Tree)>, tree: Tree) -> Result<(), &'static str> {
    match tree.value {
        Value::Map(entries) => {
            merged.extend(entries);
            Ok(())
        }
        Value::Seq(items) if items.iter().all(|i| matches!(i.value, Value::Map(_))) => {
            items.into_iter().try_for_each(|item| merge_into(merged, item))
        }
        _ => Err("map merge requires map or sequence of maps as the value"),
    }
}

/// A mapping's own keys override those that merges brought, and earlier ones of these the later ones.
fn add_merged(entries: &mut Vec<(Key, Tree)>, merged: Vec<(Key, Tree)>) {
    if merged.is_empty() {
        return;
    }
    let mut seen: BTreeSet<String> = entries.iter().map(|(k, _)| k.name.clone()).collect();
    entries.extend(merged.into_iter().filter(|(k, _)| seen.insert(k.name.clone())));
}

/// A key as it stands in JSON (`sigs.k8s.io/yaml`, `convertToJSONableObject`).
fn key(tree: Tree) -> Result<Key, String> {
    let span = tree.span;
    let key = |name: String, text| Ok(Key { name, span, text });
    match tree.value {
        Value::Str { raw, .. } => key(raw, true),
        Value::Int(i) => key(i.to_string(), false),
        Value::Bool(b) => key(b.to_string(), false),
        Value::Float(f) => key(float(f), false),
        Value::Null => Err("unsupported map key of type: invalid, key: <nil>, value: <nil>".into()),
        Value::Seq(_) => Err("invalid map key: []interface {}".into()),
        Value::Map(_) => Err("invalid map key: map[interface {}]interface {}".into()),
    }
}

fn depth(tree: &Tree) -> usize {
    match &tree.value {
        Value::Seq(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|(_, t)| depth(t)).max().unwrap_or(0),
        _ => 0,
    }
}
