//! What stands where in a text that may not parse yet: keys and values by indentation, braces and brackets.
//!
//! This is no YAML reader. It looks at one line after the other, never complains, and is only ever asked where somebody
//! is in a text and what is around.

/// One step from a document's root to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The whole document.
    Root,
    /// The value of a key.
    Key(String),
    /// An item of a list.
    Item,
}

/// A part of one line; columns from 0, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub line: usize,
    pub from: usize,
    pub to: usize,
}

impl Place {
    fn holds(self, line: usize, column: usize) -> bool {
        self.line == line && self.from <= column && column <= self.to && self.from < self.to
    }
}

/// A key with its value, or an item.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub parent: usize,
    pub step: Step,
    /// The key, or an item's dash.
    pub place: Place,
    /// What stands behind it on its line.
    pub value: Option<(Place, String)>,
    /// Whether it stands in braces or brackets.
    pub flow: bool,
    indent: isize,
}

/// Where somebody writes.
#[derive(Clone, Debug)]
pub(super) struct Caret {
    /// Behind a colon: the node whose value it is. Else the node that would get a key or an item.
    pub node: usize,
    pub behind_colon: bool,
    /// The column where the word begins.
    pub from: usize,
    pub flow: bool,
}

#[derive(Clone, Debug)]
struct Flow {
    node: usize,
    map: bool,
    /// The key (with its colon read or not), or the item.
    current: Option<(usize, bool)>,
}

/// A document, scanned.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub nodes: Vec<Node>,
    stack: Vec<usize>,
    flow: Vec<Flow>,
    /// Inside a block scalar: the indent of what it belongs to.
    block: Option<isize>,
    /// The last token of the line, if it goes to the line's end.
    caret: Option<Caret>,
}

/// The lines of the document that a line belongs to, and the number of its first line.
pub(super) fn document<'a>(lines: &'a [&'a str], line: usize) -> (usize, &'a [&'a str]) {
    let border = |l: &&str| l.starts_with("---") && l[3..].chars().next().is_none_or(char::is_whitespace);
    let line = line.min(lines.len().saturating_sub(1));
    let first = lines[..=line.min(lines.len().saturating_sub(1))].iter().rposition(border).map_or(0, |i| i + 1);
    let last = lines.iter().skip(first.max(line)).position(border).map_or(lines.len(), |i| first.max(line) + i);
    (first, &lines[first..last.max(first)])
}

impl Scan {
    /// Scans lines; `caret` is told where it stands, if it is in the way of a word.
    pub fn new(lines: &[&str], at: Option<(usize, usize)>) -> (Scan, Option<Caret>) {
        let root = Node { parent: 0, step: Step::Root, place: Place::default(), value: None, flow: false, indent: -1 };
        let mut scan = Scan { nodes: vec![root], stack: vec![0], flow: Vec::new(), block: None, caret: None };
        let mut caret = None;
        for (i, line) in lines.iter().enumerate() {
            let line: Vec<char> = line.trim_end_matches('\r').chars().collect();
            if let Some((_, column)) = at.filter(|(l, _)| *l == i) {
                let mut until = scan.clone();
                until.feed(i, &line[..column.min(line.len())]);
                scan.feed(i, &line);
                // The half line's nodes are the whole line's first ones, unless a word goes on behind the caret.
                let same = |c: &Caret| scan.nodes.get(c.node).is_some_and(|n| n.step == until.nodes[c.node].step);
                caret = until.caret.filter(same);
                continue;
            }
            scan.feed(i, &line);
        }
        (scan, caret)
    }

    /// The node whose key or value holds a place; whether it is the value.
    pub fn at(&self, line: usize, column: usize) -> Option<(usize, Place, bool)> {
        self.nodes.iter().enumerate().rev().find_map(|(i, node)| match (&node.step, &node.value) {
            (Step::Key(_), _) if node.place.holds(line, column) => Some((i, node.place, false)),
            (_, Some((place, _))) if place.holds(line, column) => Some((i, *place, true)),
            _ => None,
        })
    }

    /// From the root's child down to a node.
    pub fn path(&self, node: usize) -> Vec<usize> {
        let mut path = Vec::new();
        let mut at = node;
        while at != 0 {
            path.push(at);
            at = self.nodes[at].parent;
        }
        path.reverse();
        path
    }

    /// The nodes directly under one.
    pub fn children(&self, node: usize) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().skip(1).filter(move |(_, n)| n.parent == node)
    }

    /// A key under a node.
    pub fn child(&self, node: usize, key: &str) -> Option<usize> {
        self.children(node).find(|(_, n)| matches!(&n.step, Step::Key(k) if k == key)).map(|(i, _)| i)
    }

    /// The text behind a key under a node.
    pub fn text(&self, node: usize, key: &str) -> &str {
        self.child(node, key).and_then(|i| self.nodes[i].value.as_ref()).map_or("", |(_, text)| text)
    }

    fn top(&self) -> usize {
        self.stack.last().copied().unwrap_or(0)
    }

    fn pop_while(&mut self, gone: impl Fn(&Node) -> bool) {
        while self.stack.len() > 1 && gone(&self.nodes[self.top()]) {
            self.stack.pop();
        }
    }

    fn push(&mut self, parent: usize, step: Step, place: Place, flow: bool) -> usize {
        self.nodes.push(Node { parent, step, place, value: None, flow, indent: place.from as isize });
        self.nodes.len() - 1
    }

    fn feed(&mut self, line: usize, text: &[char]) {
        self.caret = None;
        if !self.flow.is_empty() {
            return self.flow_text(line, text, 0);
        }
        let indent = text.iter().take_while(|c| matches!(c, ' ' | '\t')).count();
        if let Some(block) = self.block {
            if indent == text.len() || indent as isize > block {
                if indent == text.len() && indent as isize <= block {
                    self.open(indent, text, false);
                }
                return;
            }
            self.block = None;
        }
        if text.get(indent) == Some(&'#') {
            return;
        }
        if indent == text.len() {
            let kept = self.stack.clone();
            self.pop_while(|n| n.indent >= indent as isize);
            self.open(indent, text, false);
            self.stack = kept;
            return;
        }
        self.block_text(line, text, indent);
    }

    /// The caret stands at the line's end, with a word from a column on.
    fn open(&mut self, from: usize, text: &[char], behind_colon: bool) {
        // Behind a blank the word is over.
        if !text[from.min(text.len())..].iter().any(|c| c.is_whitespace()) {
            self.caret = Some(Caret { node: self.top(), behind_colon, from, flow: false });
        }
    }

    fn block_text(&mut self, line: usize, text: &[char], mut at: usize) {
        let blank = |c: Option<&char>| c.is_none_or(|c| matches!(c, ' ' | '\t'));
        while text.get(at) == Some(&'-') && blank(text.get(at + 1)) {
            let dash = at as isize;
            self.pop_while(|n| n.indent > dash || n.indent == dash && n.step == Step::Item);
            let item = self.push(self.top(), Step::Item, Place { line, from: at, to: at + 1 }, false);
            self.stack.push(item);
            at += 1;
            if at == text.len() {
                return;
            }
            at = skip_blank(text, at);
            if at == text.len() {
                return self.open(at, text, false);
            }
            if text[at] == '#' {
                return;
            }
        }
        let Some((key, end, colon)) = read_key(text, at) else {
            return self.value(line, text, at, false);
        };
        self.pop_while(|n| n.indent >= at as isize);
        let node = self.push(self.top(), Step::Key(key), Place { line, from: at, to: end }, false);
        self.stack.push(node);
        let behind = skip_blank(text, colon + 1);
        if behind == text.len() {
            if behind > colon + 1 {
                self.open(behind, text, true);
            }
            return;
        }
        if text[behind] != '#' {
            self.value(line, text, behind, true);
        }
    }

    /// What stands behind a colon or a dash, or alone on a line.
    fn value(&mut self, line: usize, text: &[char], at: usize, behind_colon: bool) {
        match text[at] {
            '{' | '[' => {
                self.flow.push(Flow { node: self.top(), map: text[at] == '{', current: None });
                self.flow_text(line, text, at + 1);
            }
            '|' | '>' => self.block = Some(self.nodes[self.top()].indent),
            '&' | '!' => {
                let end = text[at..].iter().position(|c| *c == ' ').map_or(text.len(), |i| skip_blank(text, at + i));
                if end < text.len() {
                    self.value(line, text, end, behind_colon);
                }
            }
            _ => {
                let (word, end) = read_scalar(text, at, false);
                let alone = !behind_colon && self.nodes[self.top()].place.line != line;
                if alone {
                    let kept = self.stack.clone();
                    self.pop_while(|n| n.indent >= at as isize);
                    if end == text.len() {
                        self.open(at, text, false);
                    }
                    self.stack = kept;
                } else {
                    let top = self.top();
                    self.nodes[top].value = Some((Place { line, from: at, to: end }, word));
                    if end == text.len() {
                        self.open(at, text, behind_colon);
                    }
                }
            }
        }
    }

    fn flow_text(&mut self, line: usize, text: &[char], mut at: usize) {
        loop {
            at = skip_blank(text, at);
            let Some(flow) = self.flow.last().cloned() else { return };
            let value_of = flow.current.filter(|(_, colon)| *colon || !flow.map).map(|(node, _)| node);
            if at >= text.len() {
                let (node, behind_colon) = match flow.current {
                    Some((node, true)) if flow.map => (node, true),
                    None => (flow.node, false),
                    _ => return, // a key without its colon, or an item that is there
                };
                self.caret = Some(Caret { node, behind_colon, from: text.len(), flow: true });
                return;
            }
            let c = text[at];
            let set = |scan: &mut Scan, current| {
                if let Some(flow) = scan.flow.last_mut() {
                    flow.current = current;
                }
            };
            match c {
                '#' if at == 0 || matches!(text[at - 1], ' ' | '\t') => return,
                '{' | '[' => {
                    let node = match value_of {
                        Some(node) => node,
                        None => self.push(flow.node, Step::Item, Place { line, from: at, to: at + 1 }, true),
                    };
                    set(self, Some((node, true)));
                    self.flow.push(Flow { node, map: c == '{', current: None });
                }
                '}' | ']' => {
                    self.flow.pop();
                    if self.flow.is_empty() {
                        return;
                    }
                }
                ',' => set(self, None),
                ':' if flow.map => set(self, flow.current.map(|(node, _)| (node, true))),
                _ => {
                    let (word, end) = read_scalar(text, at, true);
                    let place = Place { line, from: at, to: end };
                    if let (Some(node), true) = (value_of, flow.map) {
                        self.nodes[node].value = Some((place, word));
                    } else if flow.map {
                        let node = self.push(flow.node, Step::Key(word), place, true);
                        set(self, Some((node, false)));
                    } else {
                        let node = self.push(flow.node, Step::Item, place, true);
                        self.nodes[node].value = Some((place, word));
                        set(self, Some((node, true)));
                    }
                    if end == text.len() {
                        let behind_colon = value_of.is_some() && flow.map;
                        let node = value_of.filter(|_| flow.map).unwrap_or(flow.node);
                        self.caret = Some(Caret { node, behind_colon, from: at, flow: true });
                        return;
                    }
                    at = end;
                    continue;
                }
            }
            at += 1;
        }
    }
}

fn skip_blank(text: &[char], at: usize) -> usize {
    at + text.get(at..).unwrap_or_default().iter().take_while(|c| matches!(c, ' ' | '\t')).count()
}

/// A key with its colon: its text, where it ends, where the colon is.
fn read_key(text: &[char], at: usize) -> Option<(String, usize, usize)> {
    if matches!(text.get(at), None | Some('{' | '[' | '#' | '|' | '>' | '&' | '*' | '!' | '-')) {
        return None;
    }
    let (word, end) = read_scalar(text, at, false);
    let colon = skip_blank(text, end);
    let blank = text.get(colon + 1).is_none_or(|c| matches!(c, ' ' | '\t'));
    (text.get(colon) == Some(&':') && blank && !word.is_empty()).then_some((word, end, colon))
}

/// A plain or quoted word, up to a colon, a comment, in braces also a comma or what closes them; where it ends.
fn read_scalar(text: &[char], at: usize, flow: bool) -> (String, usize) {
    let quote = text[at];
    if quote == '"' || quote == '\'' {
        let end = text[at + 1..].iter().position(|c| *c == quote).map(|i| at + 1 + i);
        let word = text[at + 1..end.unwrap_or(text.len())].iter().collect();
        return (word, end.map_or(text.len(), |e| e + 1));
    }
    let mut end = at;
    while end < text.len() {
        let next = text.get(end + 1);
        match text[end] {
            ':' if next.is_none_or(|c| matches!(c, ' ' | '\t') || flow && matches!(c, ',' | '}' | ']')) => break,
            '#' if end > at && matches!(text[end - 1], ' ' | '\t') => break,
            ',' | '{' | '}' | '[' | ']' if flow => break,
            _ => end += 1,
        }
    }
    let mut to = end;
    while to > at && matches!(text[to - 1], ' ' | '\t') && end < text.len() {
        to -= 1;
    }
    (text[at..to].iter().collect::<String>().trim_end().to_owned(), if to == at { end.max(at + 1) } else { to })
}
