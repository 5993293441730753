//! A text in its canonical layout: two spaces for each level, list items under their key (as kubectl prints them), one
//! blank behind a colon and a dash, none at a line's end.
//!
//! Lines stay lines, in their order, with their comments; only blanks at their beginnings, between tokens and at their
//! ends change. What stands in braces or goes over several lines moves as a whole.

use super::scan::{Kind, Mark, Scanner, Token};
use super::{Tree, Value, load};
use crate::Diagnostic;

/// The text in its canonical layout. What it means is the same, value for value; where that can't be kept (`? key`), the
/// text is.
///
/// # Errors
/// The first mistake: a text that can't be read isn't touched.
pub fn format(text: &str) -> Result<String, Diagnostic> {
    let old = load(text).into_iter().collect::<Result<Vec<Tree>, Diagnostic>>()?;
    let Some(new) = layout(text) else { return Ok(text.into()) };
    let kept = load(&new).into_iter().collect::<Result<Vec<Tree>, _>>().is_ok_and(|trees| alike(&old, &trees));
    Ok(if kept { new } else { text.into() })
}

/// Whether trees are the same but for their places.
fn alike(a: &[Tree], b: &[Tree]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn same(a: &Tree, b: &Tree) -> bool {
    match (&a.value, &b.value) {
        (Value::Map(x), Value::Map(y)) => {
            let each = |((k, v), (l, w)): (&(super::Key, Tree), &(super::Key, Tree))| {
                k.name == l.name && k.text == l.text && same(v, w)
            };
            x.len() == y.len() && x.iter().zip(y).all(each)
        }
        (Value::Seq(x), Value::Seq(y)) => alike(x, y),
        (Value::Float(x), Value::Float(y)) => x.to_bits() == y.to_bits(),
        (x, y) => x == y,
    }
}

/// An open block collection.
#[derive(Clone, Copy)]
struct Level {
    /// Its column in the text, and the one that it gets.
    old: usize,
    new: usize,
}

/// What becomes of a line.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    /// Blank, or a comment: it follows its neighbours.
    Free,
    /// It begins at this column.
    At(usize),
    /// It goes on with what began before: it moves by so much, to this column or further.
    Moved(isize, usize),
    /// It is part of a block of text, and moves by so much.
    Text(isize),
}

struct Layout<'a> {
    lines: Vec<&'a str>,
    plan: Vec<Line>,
    /// Blanks within lines: line, from, to, and how many there are to be. In the text's order.
    gaps: Vec<(usize, usize, usize, usize)>,
    /// The collections that are open where a line begins, for the comments above and below.
    open: Vec<Vec<(usize, usize)>>,
    levels: Vec<Level>,
}

fn layout(text: &str) -> Option<String> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = body.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l)).collect();
    // Line breaks that only YAML knows would count differently here.
    if lines.iter().any(|l| l.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}'])) {
        return None;
    }
    let count = lines.len();
    let mut layout = Layout {
        lines,
        plan: vec![Line::Free; count],
        gaps: Vec::new(),
        open: vec![Vec::new(); count],
        levels: Vec::new(),
    };
    let mut scanner = Scanner::new(body);
    let mut tokens = Vec::new();
    while scanner.peek().ok()?.kind != Kind::StreamEnd {
        tokens.extend(scanner.take());
    }
    layout.read(&tokens)?;
    Some(layout.write())
}

impl Layout<'_> {
    fn read(&mut self, tokens: &[Token]) -> Option<()> {
        let (mut flow, mut is_key) = (0usize, false);
        let mut before: Option<&Token> = None;
        for (i, token) in tokens.iter().enumerate() {
            let top = self.levels.last().copied();
            let inner = top.map_or(0, |l| l.new + 2);
            let mut want = inner;
            match &token.kind {
                Kind::BlockSequenceStart | Kind::BlockMappingStart => {
                    let list = token.kind == Kind::BlockSequenceStart;
                    // A list under a key stands under it; the item of a list, even of one in line with its key, doesn't.
                    let in_item = before.is_some_and(|b| b.kind == Kind::BlockEntry);
                    let under_key = list && !in_item;
                    let new = if under_key { top.map_or(0, |l| l.new) } else { inner };
                    self.levels.push(Level { old: token.start.column, new });
                    continue;
                }
                Kind::BlockEnd => {
                    self.levels.pop();
                    continue;
                }
                // `? key`: nobody writes it, and what may follow has no one layout.
                Kind::Key if flow == 0 && token.end != token.start => return None,
                Kind::Key => {
                    is_key = true;
                    continue;
                }
                Kind::DocumentStart | Kind::DocumentEnd | Kind::Version(..) | Kind::TagDirective(..) => want = 0,
                Kind::BlockEntry => want = top?.new,
                _ if is_key => want = top.map_or(0, |l| l.new),
                _ => {}
            }
            is_key = false;
            self.place(token, before, want, flow > 0, inner);
            match &token.kind {
                Kind::FlowSequenceStart | Kind::FlowMappingStart => flow += 1,
                Kind::FlowSequenceEnd | Kind::FlowMappingEnd => flow = flow.saturating_sub(1),
                Kind::Scalar(..) => self.go_on(token, tokens.get(i + 1), top, inner),
                _ => {}
            }
            before = Some(token);
        }
        Some(())
    }

    /// Puts a token that has a width at its column, if it is the first of its line, or at its distance from the last.
    fn place(&mut self, token: &Token, before: Option<&Token>, want: usize, flow: bool, inner: usize) {
        let Mark { line, column, .. } = token.start;
        match before.filter(|b| b.end.line == line && !ends_in_block(b, &self.lines)) {
            None if flow => self.plan[line] = Line::Moved(self.shift(before.map_or(line, |b| b.start.line)), inner),
            None => {
                self.plan[line] = Line::At(want);
                self.open[line] = self.levels.iter().map(|l| (l.old, l.new)).collect();
            }
            Some(_) if flow => {}
            Some(before) => {
                let blanks = match (&before.kind, &token.kind) {
                    // `*name:` would be another name.
                    (Kind::Alias(_), _) | (Kind::DocumentStart, _) => return,
                    (_, Kind::Value) => 0,
                    _ => 1,
                };
                if column - before.end.column != blanks || self.lines[line].contains('\t') {
                    self.gaps.push((line, before.end.column, column, blanks));
                }
            }
        }
    }

    /// How far what begins on a line is moved.
    fn shift(&self, line: usize) -> isize {
        match self.plan[line] {
            Line::At(new) => new as isize - indent(self.lines[line]) as isize,
            Line::Moved(by, least) => {
                let old = indent(self.lines[line]) as isize;
                (old + by).max(least as isize) - old
            }
            Line::Text(by) => by,
            Line::Free => 0,
        }
    }

    /// The further lines of a scalar.
    fn go_on(&mut self, token: &Token, next: Option<&Token>, top: Option<Level>, inner: usize) {
        let first = token.start.line;
        if first == token.end.line {
            return;
        }
        let head = self.lines[first].chars().nth(token.start.column);
        if !matches!(head, Some('|' | '>')) || matches!(&token.kind, Kind::Scalar(_, true)) {
            let by = self.shift(first);
            for line in first + 1..=token.end.line.min(self.lines.len() - 1) {
                self.plan[line] = Line::Moved(by, inner);
            }
            return;
        }
        let end = next.map_or(self.lines.len(), |n| n.start.line);
        let content = |l: &&str| !l.trim_matches(' ').is_empty();
        let Some(depth) = self.lines[first + 1..end.max(first + 1)].iter().find(|l| content(l)).map(|l| indent(l))
        else {
            return;
        };
        let told = self.lines[first].chars().skip(token.start.column + 1).take(2).find_map(|c| c.to_digit(10));
        let (old, new) = top.map_or((0, 0), |l| (l.old, l.new));
        // With a digit the text is so much deeper than what it belongs to; without, as deep as its first line.
        let (depth, by) = match (told, top) {
            (_, None) => (depth, 0),
            (Some(digit), _) => (old + digit as usize, new as isize - old as isize),
            (None, _) => (depth, inner as isize - depth as isize),
        };
        for line in first + 1..end {
            let text = self.lines[line];
            if content(&text) && indent(text) < depth {
                break;
            }
            self.plan[line] = Line::Text(by);
        }
    }

    fn write(&self) -> String {
        let mut out = String::new();
        let below = self.placed_below();
        let mut above = None;
        let mut gaps = self.gaps.iter().peekable();
        for (i, line) in self.lines.iter().enumerate() {
            if i > 0 {
                out.push('\n');
            }
            let mut inside: Vec<(usize, usize, usize)> = Vec::new();
            while let Some((_, from, to, blanks)) = gaps.next_if(|g| g.0 == i) {
                inside.push((*from, *to, *blanks));
            }
            let old = indent(line);
            let whole = |new: usize, line: &str| " ".repeat(new) + line.get(old..).unwrap_or_default();
            match self.plan[i] {
                Line::Text(by) if old == line.len() => {
                    // Blanks beyond the text's depth are part of it; less are none.
                    let new = old as isize + by;
                    out.push_str(&" ".repeat(new.max(0) as usize));
                }
                Line::Text(by) => out.push_str(&whole((old as isize + by).max(0) as usize, line)),
                Line::Moved(..) => {
                    let text = line.trim_start_matches([' ', '\t']);
                    if !text.is_empty() {
                        out.push_str(&" ".repeat((indent(line) as isize + self.shift(i)).max(0) as usize));
                        out.push_str(text);
                    }
                }
                Line::At(new) => {
                    above = Some(i);
                    let mut at = 0;
                    let chars: Vec<char> = line.chars().collect();
                    let mut body = String::new();
                    for (from, to, blanks) in inside {
                        body.extend(&chars[at..from]);
                        body.push_str(&" ".repeat(blanks));
                        at = to;
                    }
                    body.extend(&chars[at..]);
                    let ends_open = matches!(self.plan.get(i + 1), Some(Line::Moved(..) | Line::Text(_)));
                    let body = if ends_open { body.as_str() } else { body.trim_end_matches([' ', '\t']) };
                    out.push_str(&whole(new, body));
                }
                Line::Free => {
                    let text = line.trim_matches([' ', '\t']);
                    if !text.is_empty() {
                        out.push_str(&" ".repeat(self.beside(i, above, below[i])));
                        out.push_str(text);
                    }
                }
            }
        }
        out
    }

    /// For each line the next one below it that has a column.
    fn placed_below(&self) -> Vec<Option<usize>> {
        let mut found = vec![None; self.lines.len()];
        let mut next = None;
        for i in (0..self.lines.len()).rev() {
            found[i] = next;
            if let Line::At(_) = self.plan[i] {
                next = Some(i);
            }
        }
        found
    }

    /// The column of a comment: that of the line below if it stood there, else of what it stood in line with above, else
    /// that of the line below.
    fn beside(&self, line: usize, above: Option<usize>, below: Option<usize>) -> usize {
        let column = indent(self.lines[line]);
        let new = |i: usize| if let Line::At(new) = self.plan[i] { new } else { 0 };
        if let Some(below) = below.filter(|i| indent(self.lines[*i]) == column) {
            return new(below);
        }
        let level = above.and_then(|i| self.open[i].iter().find(|(old, _)| *old == column));
        match (level, below, above) {
            (Some((_, new)), ..) => *new,
            (None, Some(below), _) => new(below),
            (None, None, Some(above)) => new(above),
            (None, None, None) => 0,
        }
    }
}

/// Whether a token is a block of text: the next token of its last line is the first one.
fn ends_in_block(token: &Token, lines: &[&str]) -> bool {
    let head = || lines[token.start.line].chars().nth(token.start.column);
    let long = token.start.line != token.end.line && matches!(&token.kind, Kind::Scalar(_, false));
    long && matches!(head(), Some('|' | '>'))
}

/// Spaces at a line's beginning.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(text: &str) -> String {
        let new = layout(text).unwrap_or_else(|| panic!("{text}"));
        let read =
            |t: &str| load(t).into_iter().collect::<Result<Vec<_>, _>>().unwrap_or_else(|d| panic!("{d:?} in\n{t}"));
        assert!(alike(&read(text), &read(&new)), "{text}\nbecame\n{new}");
        assert_eq!(format(text).as_deref(), Ok(new.as_str()));
        assert_eq!(format(&new).as_deref(), Ok(new.as_str()), "twice");
        new
    }

    #[test]
    fn two_spaces_a_level_and_items_under_their_key() {
        for (old, new) in [
            ("a:\n    b: 1\n    c:\n        - x\n        - y\n", "a:\n  b: 1\n  c:\n  - x\n  - y\n"),
            ("a:\n  -   b:   1\n      c : 2\n  - - d\n    - e\n", "a:\n- b: 1\n  c: 2\n- - d\n  - e\n"),
            ("  a: 1\n  b: 2\n", "a: 1\nb: 2\n"),
            ("a:   \n   {b: 1,   c: 2}  \n", "a:\n  {b: 1,   c: 2}\n"),
            ("a: 1   # one\n---\n-  x\n", "a: 1   # one\n---\n- x\n"),
            (
                "a:\n    - b: 1\n      c:\n          d: [1,\n              2]\n",
                "a:\n- b: 1\n  c:\n    d: [1,\n        2]\n",
            ),
            ("a: &x   {b: 1}\nc:  *x\n", "a: &x {b: 1}\nc: *x\n"),
            ("a:\n\n\n    b: 1\n\n", "a:\n\n\n  b: 1\n\n"),
            ("a:\tb\r\nc: d", "a: b\nc: d"),
            ("a:\n -\n    b: 1\n -\n  - c\n", "a:\n-\n  b: 1\n-\n  - c\n"),
        ] {
            assert_eq!(formatted(old), new);
        }
    }

    #[test]
    fn comments_go_with_what_they_stand_beside() {
        for (old, new) in [
            (
                "# top\na:\n    # of b\n    b: 1\n    # end of a\n# of c\nc: 2\n",
                "# top\na:\n  # of b\n  b: 1\n  # end of a\n# of c\nc: 2\n",
            ),
            ("a:\n    - x\n    # between\n    - y\n    # last\n", "a:\n- x\n# between\n- y\n# last\n"),
            ("a:\n      # lone\n   b: 1\n", "a:\n  # lone\n  b: 1\n"),
            ("# only\n", "# only\n"),
        ] {
            assert_eq!(formatted(old), new);
        }
    }

    #[test]
    fn blocks_of_text_move_as_they_are() {
        for (old, new) in [
            (
                "a:\n    b: |\n        one\n          two  \n\n        three\n    c: 1\n",
                "a:\n  b: |\n    one\n      two  \n\n    three\n  c: 1\n",
            ),
            ("a:\n    b: |2-\n         one\n      two\n", "a:\n  b: |2-\n       one\n    two\n"),
            (
                "a:\n    - >\n       folded\n       more\n    # no text\n    - x\n",
                "a:\n- >\n  folded\n  more\n# no text\n- x\n",
            ),
            (
                "a:\n    b: \"one\n        two\"\n    c: plain\n      more\n",
                "a:\n  b: \"one\n      two\"\n  c: plain\n    more\n",
            ),
            ("a:\n        'one\n   two'\n", "a:\n  'one\n  two'\n"),
            ("a: |+\n  x\n\n\n", "a: |+\n  x\n\n\n"),
            ("   a:\n    -    name:\n\n         -\n            - name:  1\n", "a:\n- name:\n\n  -\n    - name: 1\n"),
            (
                "  a:\n             key0 : >-\n              one\n                two: # no comment\n   \n              three\n",
                "a:\n  key0: >-\n    one\n      two: # no comment\n\n    three\n",
            ),
            (
                "  a:\n             key0 : >-\n              one\n                two: # no comment\n              three\n             key: 1",
                "a:\n  key0: >-\n    one\n      two: # no comment\n    three\n  key: 1",
            ),
            ("  - name: >\n        one\n\n    port: 1\n", "- name: >\n    one\n\n  port: 1\n"),
            (" a: \n  - name: >\n        one\n    port: 1\n", "a:\n- name: >\n    one\n  port: 1\n"),
        ] {
            assert_eq!(formatted(old), new);
        }
    }

    #[test]
    fn large_texts_take_no_longer_than_they_are_long() {
        for text in ["#\n".repeat(300_000), format!("a: [{}]\n", "'x',".repeat(100_000)), "a: 1\n---\n".repeat(50_000)]
        {
            assert!(format(&text).is_ok());
        }
    }

    #[test]
    fn a_text_with_a_mistake_is_left_alone_and_says_why() {
        let wrong = format("a: 1\nb:\n\t- x\n").unwrap_err();
        assert_eq!(wrong.span.line, 3, "{}", wrong.message);
        // And what has no one layout stays.
        assert_eq!(format("? a\n:   b\n").as_deref(), Ok("? a\n:   b\n"));
    }
}
