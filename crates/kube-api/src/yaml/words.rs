//! The scanner's longer tokens: scalars, anchors, tags, directives.

use super::scan::{Kind, Mark, Problem, Scanner, Token};

impl Scanner<'_> {
    fn token(&self, kind: Kind, start: Mark) -> Token {
        Token { kind, start, end: self.mark }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while self.at(0).is_ascii_alphanumeric() || matches!(self.at(0), b'_' | b'-') {
            self.read(&mut word);
        }
        word
    }

    /// `&name`, `*name`
    pub(super) fn anchor(&mut self) -> Result<Token, Problem> {
        let (start, alias) = (self.mark, self.at(0) == b'*');
        self.skip();
        let name = self.word();
        let ended = self.blankz_at(0) || matches!(self.at(0), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`');
        if name.is_empty() || !ended {
            return self.problem(start, "did not find expected alphabetic or numeric character");
        }
        Ok(self.token(if alias { Kind::Alias(name) } else { Kind::Anchor(name) }, start))
    }

    /// `!name`, `!!name`, `!<uri>`
    pub(super) fn tag(&mut self) -> Result<Token, Problem> {
        let start = self.mark;
        let (mut handle, mut suffix) = (String::new(), String::new());
        if self.at(1) == b'<' {
            self.skip();
            self.skip();
            self.uri(start, &mut suffix, false)?;
            if self.at(0) != b'>' {
                return self.problem(start, "did not find the expected '>'");
            }
            self.skip();
        } else {
            self.handle(start, false, &mut handle)?;
            if handle.len() > 1 && handle.ends_with('!') {
                self.uri(start, &mut suffix, false)?;
            } else {
                suffix.push_str(&handle[1..]);
                self.uri(start, &mut suffix, true)?;
                handle = "!".into();
                if suffix.is_empty() {
                    std::mem::swap(&mut handle, &mut suffix);
                }
            }
        }
        if !self.blankz_at(0) {
            return self.problem(start, "did not find expected whitespace or line break");
        }
        Ok(self.token(Kind::Tag(handle, suffix), start))
    }

    fn handle(&mut self, start: Mark, directive: bool, handle: &mut String) -> Result<(), Problem> {
        if self.at(0) != b'!' {
            return self.problem(start, "did not find expected '!'");
        }
        self.read(handle);
        handle.push_str(&self.word());
        if self.at(0) == b'!' {
            self.read(handle);
        } else if directive && handle != "!" {
            return self.problem(start, "did not find expected '!'");
        }
        Ok(())
    }

    fn uri(&mut self, start: Mark, uri: &mut String, headed: bool) -> Result<(), Problem> {
        let mut any = headed;
        while self.at(0).is_ascii_alphanumeric() || b"_-;/?:@&=+$,.!~*'()[]%".contains(&self.at(0)) {
            if self.at(0) == b'%' {
                self.escape(start, uri)?
            } else {
                self.read(uri)
            }
            any = true;
        }
        if any { Ok(()) } else { self.problem(start, "did not find expected tag URI") }
    }

    /// One character as `%xx` of its UTF-8.
    fn escape(&mut self, start: Mark, uri: &mut String) -> Result<(), Problem> {
        let mut bytes: Vec<u8> = Vec::new();
        let mut width = 1;
        while bytes.len() < width {
            let digit = |at: u8| char::from(at).to_digit(16);
            let (Some(high), Some(low)) = (digit(self.at(1)), digit(self.at(2))) else {
                return self.problem(start, "did not find URI escaped octet");
            };
            if self.at(0) != b'%' {
                return self.problem(start, "did not find URI escaped octet");
            }
            let octet = (high * 16 + low) as u8;
            if bytes.is_empty() {
                width = match octet {
                    0..0x80 => 1,
                    0xc0..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    0xf0..0xf8 => 4,
                    _ => return self.problem(start, "found an incorrect leading UTF-8 octet"),
                };
            } else if octet & 0xc0 != 0x80 {
                return self.problem(start, "found an incorrect trailing UTF-8 octet");
            }
            bytes.push(octet);
            (0..3).for_each(|_| self.skip());
        }
        uri.push_str(&String::from_utf8_lossy(&bytes));
        Ok(())
    }

    /// `%YAML`, `%TAG`
    pub(super) fn directive(&mut self) -> Result<Option<Token>, Problem> {
        let start = self.mark;
        self.skip();
        let name = self.word();
        if name.is_empty() {
            return self.problem(start, "could not find expected directive name");
        }
        if !self.blankz_at(0) {
            return self.problem(start, "found unexpected non-alphabetical character");
        }
        let blanks = |s: &mut Self| {
            while s.blank_at(0) {
                s.skip();
            }
        };
        blanks(self);
        let kind = match name.as_str() {
            "YAML" => {
                let major = self.version(start)?;
                if self.at(0) != b'.' {
                    return self.problem(start, "did not find expected digit or '.' character");
                }
                self.skip();
                Kind::Version(major, self.version(start)?)
            }
            "TAG" => {
                let (mut handle, mut prefix) = (String::new(), String::new());
                self.handle(start, true, &mut handle)?;
                if !self.blank_at(0) {
                    return self.problem(start, "did not find expected whitespace");
                }
                blanks(self);
                self.uri(start, &mut prefix, false)?;
                if !self.blankz_at(0) {
                    return self.problem(start, "did not find expected whitespace or line break");
                }
                Kind::TagDirective(handle, prefix)
            }
            _ => return self.problem(start, "found unknown directive name"),
        };
        let token = self.token(kind, start);
        self.rest_of_line(start)?;
        Ok(Some(token))
    }

    fn version(&mut self, start: Mark) -> Result<u32, Problem> {
        let (mut value, mut length) = (0, 0);
        while self.at(0).is_ascii_digit() {
            length += 1;
            if length > 2 {
                return self.problem(start, "found extremely long version number");
            }
            value = value * 10 + u32::from(self.at(0) - b'0');
            self.skip();
        }
        if length == 0 { self.problem(start, "did not find expected version number") } else { Ok(value) }
    }

    /// Only blanks and a comment may come.
    fn rest_of_line(&mut self, start: Mark) -> Result<(), Problem> {
        while self.blank_at(0) {
            self.skip();
        }
        if self.at(0) == b'#' {
            while !self.breakz_at(0) {
                self.skip();
            }
        }
        if !self.breakz_at(0) {
            return self.problem(start, "did not find expected comment or line break");
        }
        if self.break_at(0) > 0 {
            self.skip_break();
        }
        Ok(())
    }

    /// `|` and `>`
    pub(super) fn block_scalar(&mut self, literal: bool) -> Result<Token, Problem> {
        let start = self.mark;
        self.skip();
        let (mut chomping, mut increment) = (0, 0);
        for _ in 0..2 {
            match self.at(0) {
                b'+' if chomping == 0 => chomping = 1,
                b'-' if chomping == 0 => chomping = -1,
                b'0' if increment == 0 => return self.problem(start, "found an indentation indicator equal to 0"),
                c @ b'1'..=b'9' if increment == 0 => increment = isize::from(c - b'0'),
                _ => break,
            }
            self.skip();
        }
        self.rest_of_line(start)?;
        let mut end = self.mark;
        let mut indent = if increment > 0 { self.indent.max(0) + increment } else { 0 };
        let (mut text, mut leading, mut trailing) = (String::new(), String::new(), String::new());
        self.block_breaks(&mut indent, &mut trailing, start, &mut end)?;
        let mut leading_blank = false;
        while self.mark.column as isize == indent && !self.end_at(0) {
            let trailing_blank = self.blank_at(0);
            if !literal && leading.starts_with('\n') && !leading_blank && !trailing_blank {
                if trailing.is_empty() {
                    text.push(' ');
                }
            } else {
                text.push_str(&leading);
            }
            leading.clear();
            text.push_str(&trailing);
            trailing.clear();
            leading_blank = self.blank_at(0);
            while !self.breakz_at(0) {
                self.read(&mut text);
            }
            if !self.end_at(0) {
                self.read_break(&mut leading);
            }
            self.block_breaks(&mut indent, &mut trailing, start, &mut end)?;
        }
        if chomping != -1 {
            text.push_str(&leading);
        }
        if chomping == 1 {
            text.push_str(&trailing);
        }
        Ok(Token { kind: Kind::Scalar(text, false), start, end })
    }

    /// Blank lines, and the indentation where it isn't known yet.
    fn block_breaks(
        &mut self,
        indent: &mut isize,
        breaks: &mut String,
        start: Mark,
        end: &mut Mark,
    ) -> Result<(), Problem> {
        *end = self.mark;
        let mut most = 0;
        loop {
            while (*indent == 0 || (self.mark.column as isize) < *indent) && self.at(0) == b' ' {
                self.skip();
            }
            most = most.max(self.mark.column as isize);
            if (*indent == 0 || (self.mark.column as isize) < *indent) && self.at(0) == b'\t' {
                return self.problem(start, "found a tab character where an indentation space is expected");
            }
            if self.break_at(0) == 0 {
                break;
            }
            self.read_break(breaks);
            *end = self.mark;
        }
        if *indent == 0 {
            *indent = most.max(self.indent + 1).max(1);
        }
        Ok(())
    }

    /// `'...'` and `"..."`
    pub(super) fn flow_scalar(&mut self, single: bool) -> Result<Token, Problem> {
        let start = self.mark;
        let quote = if single { b'\'' } else { b'"' };
        self.skip();
        let mut text = String::new();
        loop {
            let three = [self.at(0), self.at(1), self.at(2)];
            if self.mark.column == 0 && (three == *b"---" || three == *b"...") && self.blankz_at(3) {
                return self.problem(start, "found unexpected document indicator");
            }
            if self.end_at(0) {
                return self.problem(start, "found unexpected end of stream");
            }
            let mut folded = false;
            while !self.blankz_at(0) {
                match self.at(0) {
                    b'\'' if single && self.at(1) == b'\'' => {
                        text.push('\'');
                        self.skip();
                        self.skip();
                    }
                    c if c == quote => break,
                    b'\\' if !single && self.break_at(1) > 0 => {
                        self.skip();
                        self.skip_break();
                        folded = true;
                        break;
                    }
                    b'\\' if !single => self.escaped(start, &mut text)?,
                    _ => self.read(&mut text),
                }
            }
            if self.at(0) == quote {
                break;
            }
            self.fold(&mut text, folded);
        }
        self.skip();
        Ok(self.token(Kind::Scalar(text, false), start))
    }

    /// Blanks and line breaks within a quoted scalar. `folded`: a line break was escaped before.
    fn fold(&mut self, text: &mut String, folded: bool) {
        let (mut blanks, mut leading, mut trailing) = (String::new(), String::new(), String::new());
        let mut broken = folded;
        while self.blank_at(0) || self.break_at(0) > 0 {
            if self.blank_at(0) {
                if broken { self.skip() } else { self.read(&mut blanks) }
            } else if broken {
                self.read_break(&mut trailing);
            } else {
                blanks.clear();
                self.read_break(&mut leading);
                broken = true;
            }
        }
        join(text, broken, &blanks, &leading, &trailing);
    }

    fn escaped(&mut self, start: Mark, text: &mut String) -> Result<(), Problem> {
        let digits = match self.at(1) {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            c => {
                text.push(match c {
                    b'0' => '\0',
                    b'a' => '\x07',
                    b'b' => '\x08',
                    b't' | b'\t' => '\t',
                    b'n' => '\n',
                    b'v' => '\x0b',
                    b'f' => '\x0c',
                    b'r' => '\r',
                    b'e' => '\x1b',
                    b' ' => ' ',
                    b'"' => '"',
                    b'\'' => '\'',
                    b'\\' => '\\',
                    b'/' => '/',
                    b'N' => '\u{85}',
                    b'_' => '\u{a0}',
                    b'L' => '\u{2028}',
                    b'P' => '\u{2029}',
                    _ => return self.problem(start, "found unknown escape character"),
                });
                0
            }
        };
        self.skip();
        self.skip();
        if digits > 0 {
            let mut value = 0;
            for ahead in 0..digits {
                let Some(digit) = char::from(self.at(ahead)).to_digit(16) else {
                    return self.problem(start, "did not find expected hexdecimal number");
                };
                value = (value << 4) + digit;
            }
            let Some(c) = char::from_u32(value) else {
                return self.problem(start, "found invalid Unicode character escape code");
            };
            text.push(c);
            (0..digits).for_each(|_| self.skip());
        }
        Ok(())
    }

    /// A scalar without quotes.
    pub(super) fn plain(&mut self) -> Result<Token, Problem> {
        let start = self.mark;
        let mut end = start;
        let indent = self.indent + 1;
        let (mut text, mut blanks, mut leading, mut trailing) =
            (String::new(), String::new(), String::new(), String::new());
        let mut broken = false;
        loop {
            let three = [self.at(0), self.at(1), self.at(2)];
            if self.mark.column == 0 && (three == *b"---" || three == *b"...") && self.blankz_at(3) {
                break;
            }
            if self.at(0) == b'#' {
                break;
            }
            while !self.blankz_at(0) {
                let ends = match self.at(0) {
                    b':' => self.blankz_at(1),
                    b',' | b'?' | b'[' | b']' | b'{' | b'}' => self.flow > 0,
                    _ => false,
                };
                if ends {
                    break;
                }
                if broken || !blanks.is_empty() {
                    join(&mut text, broken, &blanks, &leading, &trailing);
                    (broken, blanks, leading, trailing) = Default::default();
                }
                self.read(&mut text);
                end = self.mark;
            }
            if !(self.blank_at(0) || self.break_at(0) > 0) {
                break;
            }
            while self.blank_at(0) || self.break_at(0) > 0 {
                if self.blank_at(0) {
                    if broken && (self.mark.column as isize) < indent && self.at(0) == b'\t' {
                        return self.problem(start, "found a tab character that violates indentation");
                    }
                    if broken { self.skip() } else { self.read(&mut blanks) }
                } else if broken {
                    self.read_break(&mut trailing);
                } else {
                    blanks.clear();
                    self.read_break(&mut leading);
                    broken = true;
                }
            }
            if self.flow == 0 && (self.mark.column as isize) < indent {
                break;
            }
        }
        if broken {
            self.key_allowed = true;
        }
        Ok(Token { kind: Kind::Scalar(text, true), start, end })
    }
}

/// Lines of a scalar become one: a single break a space, several one less.
fn join(text: &mut String, broken: bool, blanks: &str, leading: &str, trailing: &str) {
    if !broken {
        text.push_str(blanks);
    } else if leading.starts_with('\n') {
        text.push_str(if trailing.is_empty() { " " } else { trailing });
    } else {
        text.push_str(leading);
        text.push_str(trailing);
    }
}
