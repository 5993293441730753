//! From text to tokens: indentation, simple keys, flow collections.
//!
//! The grammar, its limits and its complaints are those of libyaml, as go-yaml 2.4 has them: what Kubernetes accepts
//! is accepted, and what it refuses is refused at the same place in the same words.

use std::collections::{BTreeMap, VecDeque};

/// Deepest nesting.
pub(super) const DEPTH: usize = 10_000;
/// How far behind its beginning the `:` of a simple key may stand.
const KEY_LENGTH: usize = 1024;

/// A place in the text, from 0, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// Characters before it.
    pub index: usize,
    /// Lines before it.
    pub line: usize,
    /// Characters before it in its line.
    pub column: usize,
}

/// Who complains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The scanner.
    Scanner,
    /// The parser.
    Parser,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Who says so.
    pub by: By,
    /// In its words.
    pub text: &'static str,
    /// Where it was seen.
    pub mark: Mark,
    /// Where what it is in begins.
    pub context: Mark,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    StreamEnd,
    Version(u32, u32),
    TagDirective(String, String),
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(String),
    Anchor(String),
    Tag(String, String),
    /// Its text and whether it is plain.
    Scalar(String, bool),
}

/// A token and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: Mark,
    pub end: Mark,
}

/// What may turn out to be the key of a mapping.
#[derive(Clone, Copy, Debug, Default)]
struct SimpleKey {
    possible: bool,
    required: bool,
    token: usize,
    mark: Mark,
}

/// Makes tokens of a text.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) pos: usize,
    pub(super) mark: Mark,
    tokens: VecDeque<Token>,
    /// Tokens handed out.
    parsed: usize,
    done: bool,
    pub(super) indent: isize,
    indents: Vec<isize>,
    pub(super) flow: usize,
    pub(super) key_allowed: bool,
    keys: Vec<SimpleKey>,
    /// Which level's key a token number may be.
    by_token: BTreeMap<usize, usize>,
}

type Done = Result<(), Problem>;

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Scanner {
            text,
            pos: 0,
            mark: Mark::default(),
            tokens: VecDeque::new(),
            parsed: 0,
            done: false,
            indent: -1,
            indents: Vec::new(),
            flow: 0,
            key_allowed: true,
            keys: vec![SimpleKey::default()],
            by_token: BTreeMap::new(),
        }
    }

    /// The next token, which stays.
    pub fn peek(&mut self) -> Result<&Token, Problem> {
        self.fill()?;
        // After the end there is only the end.
        if self.tokens.is_empty() {
            self.push(Kind::StreamEnd, self.mark);
        }
        Ok(&self.tokens[0])
    }

    /// Takes the token that was looked at.
    pub fn take(&mut self) -> Option<Token> {
        self.parsed += 1;
        self.tokens.pop_front()
    }

    fn fill(&mut self) -> Done {
        loop {
            if !self.tokens.is_empty() {
                // Might the first token still become a key?
                let Some(level) = self.by_token.get(&self.parsed).copied() else { break };
                if !self.valid(level)? {
                    break;
                }
            }
            if self.done {
                break;
            }
            self.fetch()?;
        }
        Ok(())
    }

    /// A byte ahead; 0 behind the end.
    pub(super) fn at(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.pos + ahead).copied().unwrap_or(0)
    }

    pub(super) fn problem<T>(&self, context: Mark, text: &'static str) -> Result<T, Problem> {
        Err(Problem { by: By::Scanner, text, mark: self.mark, context })
    }

    /// How many bytes the line break ahead has; 0: there is none.
    pub(super) fn break_at(&self, ahead: usize) -> usize {
        match self.at(ahead) {
            b'\r' if self.at(ahead + 1) == b'\n' => 2,
            b'\r' | b'\n' => 1,
            0xc2 if self.at(ahead + 1) == 0x85 => 2,
            0xe2 if self.at(ahead + 1) == 0x80 && matches!(self.at(ahead + 2), 0xa8 | 0xa9) => 3,
            _ => 0,
        }
    }

    pub(super) fn blank_at(&self, ahead: usize) -> bool {
        matches!(self.at(ahead), b' ' | b'\t')
    }

    pub(super) fn end_at(&self, ahead: usize) -> bool {
        self.pos + ahead >= self.text.len()
    }

    /// A line break or the end.
    pub(super) fn breakz_at(&self, ahead: usize) -> bool {
        self.end_at(ahead) || self.break_at(ahead) > 0
    }

    /// A blank, a line break or the end.
    pub(super) fn blankz_at(&self, ahead: usize) -> bool {
        self.blank_at(ahead) || self.breakz_at(ahead)
    }

    /// Passes one character.
    pub(super) fn skip(&mut self) {
        let width = self.text[self.pos..].chars().next().map_or(0, char::len_utf8);
        self.pos += width;
        self.mark.index += 1;
        self.mark.column += 1;
    }

    /// Passes a line break.
    pub(super) fn skip_break(&mut self) {
        let width = self.break_at(0);
        self.pos += width;
        self.mark.index += if self.text[..self.pos].ends_with("\r\n") { 2 } else { 1 };
        self.mark.column = 0;
        self.mark.line += 1;
    }

    /// Takes one character.
    pub(super) fn read(&mut self, into: &mut String) {
        into.extend(self.text[self.pos..].chars().next());
        self.skip();
    }

    /// Takes a line break: a line feed, but for Unicode's own separators.
    pub(super) fn read_break(&mut self, into: &mut String) {
        match self.text[self.pos..].chars().next() {
            Some(c @ ('\u{2028}' | '\u{2029}')) => into.push(c),
            _ => into.push('\n'),
        }
        self.skip_break();
    }

    fn push(&mut self, kind: Kind, start: Mark) {
        self.tokens.push_back(Token { kind, start, end: self.mark });
    }

    /// Puts a token where another one, by number, stands.
    fn insert(&mut self, number: usize, kind: Kind, mark: Mark) {
        let at = (number - self.parsed).min(self.tokens.len());
        self.tokens.insert(at, Token { kind, start: mark, end: mark });
    }

    fn level(&self) -> usize {
        self.keys.len() - 1
    }

    /// Whether a key is still possible; one that must be a key and can't be any more is a mistake.
    fn valid(&mut self, level: usize) -> Result<bool, Problem> {
        let key = self.keys[level];
        if key.possible && (key.mark.line < self.mark.line || key.mark.index + KEY_LENGTH < self.mark.index) {
            if key.required {
                return self.problem(key.mark, "could not find expected ':'");
            }
            self.keys[level].possible = false;
        }
        Ok(self.keys[level].possible)
    }

    fn save_key(&mut self) -> Done {
        if self.key_allowed {
            let required = self.flow == 0 && self.indent == self.mark.column as isize;
            let token = self.parsed + self.tokens.len();
            self.remove_key()?;
            let level = self.level();
            self.keys[level] = SimpleKey { possible: true, required, token, mark: self.mark };
            self.by_token.insert(token, level);
        }
        Ok(())
    }

    fn remove_key(&mut self) -> Done {
        let level = self.level();
        let key = self.keys[level];
        if key.possible {
            if key.required {
                return self.problem(key.mark, "could not find expected ':'");
            }
            self.keys[level].possible = false;
            self.by_token.remove(&key.token);
        }
        Ok(())
    }

    /// Opens a block collection where the indentation grows.
    fn roll(&mut self, number: Option<usize>, kind: Kind, mark: Mark) -> Done {
        if self.flow > 0 || self.indent >= mark.column as isize {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = mark.column as isize;
        if self.indents.len() > DEPTH {
            return self.problem(mark, "exceeded max depth of 10000");
        }
        match number {
            Some(number) => self.insert(number, kind, mark),
            None => self.tokens.push_back(Token { kind, start: mark, end: mark }),
        }
        Ok(())
    }

    /// Closes block collections where the indentation shrinks.
    fn unroll(&mut self, column: isize) {
        while self.flow == 0 && self.indent > column {
            self.push(Kind::BlockEnd, self.mark);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch(&mut self) -> Done {
        self.pass_blanks();
        self.unroll(self.mark.column as isize);
        if self.end_at(0) {
            return self.stream_end();
        }
        let c = self.at(0);
        if self.mark.column == 0 {
            if c == b'%' {
                self.unroll(-1);
                self.remove_key()?;
                self.key_allowed = false;
                let token = self.directive()?;
                self.tokens.extend(token);
                return Ok(());
            }
            let three = [c, self.at(1), self.at(2)];
            if self.blankz_at(3) && (three == *b"---" || three == *b"...") {
                self.unroll(-1);
                self.remove_key()?;
                self.key_allowed = false;
                let start = self.mark;
                (0..3).for_each(|_| self.skip());
                self.push(if c == b'-' { Kind::DocumentStart } else { Kind::DocumentEnd }, start);
                return Ok(());
            }
        }
        let (flow, next) = (self.flow > 0, self.blankz_at(1));
        match c {
            b'[' => self.flow_start(Kind::FlowSequenceStart),
            b'{' => self.flow_start(Kind::FlowMappingStart),
            b']' => self.flow_end(Kind::FlowSequenceEnd),
            b'}' => self.flow_end(Kind::FlowMappingEnd),
            b',' => self.indicator(Kind::FlowEntry, true),
            b'-' if next => self.block_entry(),
            b'?' if flow || next => self.key(),
            b':' if flow || next => self.value(),
            b'*' | b'&' => self.scalar(Scanner::anchor),
            b'!' => self.scalar(Scanner::tag),
            b'|' | b'>' if !flow => {
                self.remove_key()?;
                self.key_allowed = true;
                let token = self.block_scalar(c == b'|')?;
                self.tokens.push_back(token);
                Ok(())
            }
            b'\'' => self.scalar(|s| s.flow_scalar(true)),
            b'"' => self.scalar(|s| s.flow_scalar(false)),
            b'-' if !self.blank_at(1) => self.scalar(Scanner::plain),
            b'?' | b':' if !flow && !next => self.scalar(Scanner::plain),
            b'-' | b'?' | b':' | b'#' | b'|' | b'>' | b'%' | b'@' | b'`' | b' ' | b'\t' => {
                self.problem(self.mark, "found character that cannot start any token")
            }
            _ => self.scalar(Scanner::plain),
        }
    }

    /// A token that may begin a key.
    fn scalar(&mut self, scan: impl FnOnce(&mut Self) -> Result<Token, Problem>) -> Done {
        self.save_key()?;
        self.key_allowed = false;
        let token = scan(self)?;
        self.tokens.push_back(token);
        Ok(())
    }

    /// Passes blanks, comments and line breaks.
    fn pass_blanks(&mut self) {
        loop {
            if self.mark.index == 0 && self.text[self.pos..].starts_with('\u{feff}') {
                self.pos += '\u{feff}'.len_utf8();
            }
            while self.at(0) == b' ' || (self.at(0) == b'\t' && (self.flow > 0 || !self.key_allowed)) {
                self.skip();
            }
            if self.at(0) == b'#' {
                while !self.breakz_at(0) {
                    self.skip();
                }
            }
            if self.break_at(0) == 0 {
                return;
            }
            self.skip_break();
            if self.flow == 0 {
                self.key_allowed = true;
            }
        }
    }

    fn stream_end(&mut self) -> Done {
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
        self.unroll(-1);
        self.remove_key()?;
        self.key_allowed = false;
        self.push(Kind::StreamEnd, self.mark);
        self.done = true;
        Ok(())
    }

    fn flow_start(&mut self, kind: Kind) -> Done {
        self.save_key()?;
        self.keys.push(SimpleKey::default());
        self.flow += 1;
        if self.flow > DEPTH {
            return self.problem(self.mark, "exceeded max depth of 10000");
        }
        self.key_allowed = true;
        let start = self.mark;
        self.skip();
        self.push(kind, start);
        Ok(())
    }

    fn flow_end(&mut self, kind: Kind) -> Done {
        self.remove_key()?;
        if self.flow > 0 {
            self.flow -= 1;
            if let Some(key) = self.keys.pop().filter(|k| k.possible) {
                self.by_token.remove(&key.token);
            }
        }
        self.key_allowed = false;
        let start = self.mark;
        self.skip();
        self.push(kind, start);
        Ok(())
    }

    fn indicator(&mut self, kind: Kind, key_allowed: bool) -> Done {
        self.remove_key()?;
        self.key_allowed = key_allowed;
        let start = self.mark;
        self.skip();
        self.push(kind, start);
        Ok(())
    }

    fn block_entry(&mut self) -> Done {
        if self.flow == 0 {
            if !self.key_allowed {
                return self.problem(self.mark, "block sequence entries are not allowed in this context");
            }
            self.roll(None, Kind::BlockSequenceStart, self.mark)?;
        }
        self.indicator(Kind::BlockEntry, true)
    }

    fn key(&mut self) -> Done {
        if self.flow == 0 {
            if !self.key_allowed {
                return self.problem(self.mark, "mapping keys are not allowed in this context");
            }
            self.roll(None, Kind::BlockMappingStart, self.mark)?;
        }
        self.indicator(Kind::Key, self.flow == 0)
    }

    fn value(&mut self) -> Done {
        let level = self.level();
        if self.valid(level)? {
            let key = self.keys[level];
            self.insert(key.token, Kind::Key, key.mark);
            self.roll(Some(key.token), Kind::BlockMappingStart, key.mark)?;
            self.keys[level].possible = false;
            self.by_token.remove(&key.token);
            self.key_allowed = false;
        } else {
            if self.flow == 0 {
                if !self.key_allowed {
                    return self.problem(self.mark, "mapping values are not allowed in this context");
                }
                self.roll(None, Kind::BlockMappingStart, self.mark)?;
            }
            self.key_allowed = self.flow == 0;
        }
        let start = self.mark;
        self.skip();
        self.push(Kind::Value, start);
        Ok(())
    }
}
