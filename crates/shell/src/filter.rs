//! What stands behind a `|`: grep, head, tail, wc, sort, over what the command before prints.

/// A program that reads lines.
#[derive(Clone, Debug)]
pub struct Filter {
    program: Program,
    /// What has come without a line break so far, or all of it for those who need all.
    kept: String,
    /// Lines that were let through.
    passed: u64,
}

#[derive(Clone, Debug)]
enum Program {
    Grep { patterns: Vec<Pattern>, invert: bool, count: bool, quiet: bool },
    Head(u64),
    Tail(usize),
    Lines,
    Sort { reverse: bool, unique: bool, numeric: bool },
}

impl Filter {
    /// A program from its words.
    ///
    /// # Errors
    /// That it isn't simulated, or its own complaint.
    pub fn new(words: &[String]) -> Result<Filter, String> {
        let Some((name, rest)) = words.split_first() else {
            return Err("bash: syntax error near unexpected token `|'".into());
        };
        let program = match name.as_str() {
            "grep" | "egrep" | "fgrep" => grep(name, rest)?,
            "head" | "tail" => {
                let mut number = 10;
                let mut rest = rest.iter();
                while let Some(word) = rest.next() {
                    let text = match word.as_str() {
                        "-n" | "--lines" => rest.next().map(String::as_str),
                        other => {
                            other.strip_prefix("-n").or(other.strip_prefix("--lines=")).or(other.strip_prefix('-'))
                        }
                    };
                    number = text
                        .and_then(|t| t.parse().ok())
                        .ok_or_else(|| format!("{name}: only -n NUMBER is simulated here"))?;
                }
                if name == "head" { Program::Head(number) } else { Program::Tail(number as usize) }
            }
            "wc" if rest.len() == 1 && rest.first().is_some_and(|w| w == "-l") => Program::Lines,
            "wc" => return Err("wc: only -l is simulated here".into()),
            "sort" => {
                let letters: String = rest.iter().filter_map(|w| w.strip_prefix('-')).collect();
                if letters.contains(|c| !"run".contains(c)) || rest.iter().any(|w| !w.starts_with('-')) {
                    return Err("sort: only -r, -u and -n are simulated here".into());
                }
                let has = |c| letters.contains(c);
                Program::Sort { reverse: has('r'), unique: has('u'), numeric: has('n') }
            }
            _ => return Err(format!("{name}: behind | only grep, head, tail, wc -l and sort are simulated here")),
        };
        Ok(Filter { program, kept: String::new(), passed: 0 })
    }

    /// Takes more text, and gives what comes out, with the code that the program would end with.
    pub fn pass(&mut self, text: &str, last: bool) -> (String, i32) {
        self.kept.push_str(text);
        let all = core::mem::take(&mut self.kept);
        let streams = matches!(self.program, Program::Grep { .. } | Program::Head(_));
        let whole = if last {
            all.len()
        } else if streams {
            all.rfind('\n').map_or(0, |i| i + 1)
        } else {
            0
        };
        self.kept = all[whole..].to_owned();
        let lines = all[..whole].lines();
        let mut out = String::new();
        let mut put = |line: &str| {
            out.push_str(line);
            out.push('\n');
        };
        match &self.program {
            Program::Grep { patterns, invert, count, quiet } => {
                for line in lines.filter(|l| patterns.iter().any(|p| p.is_in(l)) != *invert) {
                    self.passed += 1;
                    if !count && !quiet {
                        put(line);
                    }
                }
                if *count && last {
                    put(&self.passed.to_string());
                }
                return (out, i32::from(self.passed == 0));
            }
            Program::Head(most) => {
                for line in lines {
                    if self.passed < *most {
                        put(line);
                    }
                    self.passed += 1;
                }
            }
            Program::Tail(most) => {
                let lines: Vec<_> = lines.collect();
                lines[lines.len().saturating_sub(*most)..].iter().for_each(|l| put(l));
            }
            Program::Lines if last => put(&lines.count().to_string()),
            Program::Lines => {}
            Program::Sort { reverse, unique, numeric } => {
                let mut lines: Vec<_> = lines.collect();
                let number = |l: &str| {
                    let digits: String = l.trim_start().chars().take_while(char::is_ascii_digit).collect();
                    digits.parse::<u64>().unwrap_or(0)
                };
                if *numeric {
                    crate::order::sort_by(&mut lines, |a, b| number(a).cmp(&number(b)).then(a.cmp(b)));
                } else {
                    crate::order::sort_by(&mut lines, |a, b| a.cmp(b));
                }
                if *unique {
                    lines.dedup();
                }
                if *reverse {
                    lines.reverse();
                }
                lines.iter().for_each(|l| put(l));
            }
        }
        (out, 0)
    }
}

fn grep(name: &str, words: &[String]) -> Result<Program, String> {
    let (mut invert, mut count, mut quiet, mut fold, mut word) = (false, false, false, false, false);
    let (mut fixed, mut extended) = (name == "fgrep", name == "egrep");
    let mut texts = Vec::new();
    let mut rest = words.iter();
    while let Some(arg) = rest.next() {
        if arg == "-e" {
            texts.push(rest.next().cloned().ok_or("grep: option requires an argument -- 'e'")?);
        } else if let Some(letters) = arg.strip_prefix('-').filter(|l| !l.is_empty()) {
            for letter in letters.chars() {
                match letter {
                    'v' => invert = true,
                    'c' => count = true,
                    'q' => quiet = true,
                    'i' => fold = true,
                    'w' => word = true,
                    'F' => fixed = true,
                    'E' => extended = true,
                    'G' => extended = false,
                    _ => return Err(format!("grep: -{letter} is not simulated here; -v -c -q -i -w -F -E -e are")),
                }
            }
        } else if texts.is_empty() {
            texts.push(arg.clone());
        } else {
            return Err(format!("grep: {arg}: No such file or directory"));
        }
    }
    if texts.is_empty() {
        return Err("usage: grep [-vcqiwFE] PATTERN".into());
    }
    let patterns = texts.iter().flat_map(|t| t.split('\n')).map(|t| {
        let pieces = if fixed { fixed_pieces(t) } else { pieces(t, extended)? };
        Ok(Pattern { pieces, fold, word })
    });
    Ok(Program::Grep { patterns: patterns.collect::<Result<_, String>>()?, invert, count, quiet })
}

/// A pattern: alternatives, each a row of atoms with how often they may stand.
#[derive(Clone, Debug)]
struct Pattern {
    pieces: Vec<Row>,
    fold: bool,
    word: bool,
}

/// An atom, and how often it may stand at least and at most.
type Piece = (Atom, u32, u32);
/// What must stand one after the other.
type Row = Vec<Piece>;

#[derive(Clone, Debug, PartialEq)]
enum Atom {
    Char(char),
    Any,
    Start,
    End,
    /// Ranges, and whether it is what isn't in them.
    Set(Vec<(char, char)>, bool),
}

fn fixed_pieces(text: &str) -> Vec<Row> {
    vec![text.chars().map(|c| (Atom::Char(c), 1, 1)).collect()]
}

/// Reads a basic or extended regular expression, without groups and back references.
fn pieces(text: &str, extended: bool) -> Result<Vec<Row>, String> {
    let mut all = vec![Vec::new()];
    let mut chars = text.chars().peekable();
    let unsupported = |what: &str| Err(format!("grep: {what} in a pattern is not simulated here"));
    while let Some(c) = chars.next() {
        let Some(row) = all.last_mut() else { break };
        // What an operator is in the one form has a backslash in the other.
        let (c, escaped) = if c == '\\' { (chars.next().ok_or("grep: Trailing backslash")?, true) } else { (c, false) };
        let operator = matches!(c, '+' | '?' | '|' | '(' | ')' | '{' | '}') && escaped != extended;
        let repeat = |row: &mut Vec<(Atom, u32, u32)>, low, high| match row.last_mut() {
            Some(last) => {
                (last.1, last.2) = (low, high);
                true
            }
            None => false,
        };
        match c {
            '|' if operator => all.push(Vec::new()),
            '+' if operator && repeat(row, 1, u32::MAX) => {}
            '?' if operator && repeat(row, 0, 1) => {}
            '(' | ')' if operator => return unsupported("a group"),
            '{' | '}' if operator => return unsupported("{}"),
            '*' if !escaped && repeat(row, 0, u32::MAX) => {}
            '.' if !escaped => row.push((Atom::Any, 1, 1)),
            '^' if !escaped && row.is_empty() => row.push((Atom::Start, 1, 1)),
            '$' if !escaped && chars.peek().is_none_or(|n| *n == '|' || *n == '\\') => row.push((Atom::End, 1, 1)),
            '[' if !escaped => {
                let not = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    let Some(low) = chars.next() else { return Err("grep: Unmatched [, [^, [:, [., or [=".into()) };
                    if low == ']' && !ranges.is_empty() {
                        break;
                    }
                    let mut ahead = chars.clone();
                    let high = match (ahead.next(), ahead.next()) {
                        (Some('-'), Some(high)) if high != ']' => {
                            chars = ahead;
                            high
                        }
                        _ => low,
                    };
                    ranges.push((low, high));
                }
                row.push((Atom::Set(ranges, not), 1, 1));
            }
            'b' | 'w' | 's' | 'd' | '<' | '>' if escaped => return unsupported(&format!("\\{c}")),
            c => row.push((Atom::Char(c), 1, 1)),
        }
    }
    Ok(all)
}

impl Pattern {
    fn is_in(&self, line: &str) -> bool {
        let lower = |c: char| if self.fold { c.to_lowercase().next().unwrap_or(c) } else { c };
        let text: Vec<char> = line.chars().take(4_096).map(lower).collect();
        let is_word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
        self.pieces.iter().any(|row| {
            (0..=text.len()).any(|start| {
                let before = start.checked_sub(1).and_then(|i| text.get(i));
                if self.word && is_word(before) {
                    return false;
                }
                let accept = |end: usize| !self.word || !is_word(text.get(end));
                let mut budget = 100_000;
                self.matches(row, &text, start, &accept, &mut budget)
            })
        })
    }

    fn matches(
        &self,
        row: &[Piece],
        text: &[char],
        at: usize,
        accept: &dyn Fn(usize) -> bool,
        budget: &mut u32,
    ) -> bool {
        if *budget == 0 {
            return false;
        }
        *budget -= 1;
        let Some(((atom, low, high), rest)) = row.split_first() else { return accept(at) };
        match atom {
            Atom::Start => return at == 0 && self.matches(rest, text, at, accept, budget),
            Atom::End => return at == text.len() && self.matches(rest, text, at, accept, budget),
            _ => {}
        }
        let most = text[at..].iter().take(*high as usize).take_while(|c| self.fits(atom, **c)).count();
        (*low as usize..=most).rev().any(|n| self.matches(rest, text, at + n, accept, budget))
    }

    fn fits(&self, atom: &Atom, c: char) -> bool {
        let lower = |c: char| if self.fold { c.to_lowercase().next().unwrap_or(c) } else { c };
        match atom {
            Atom::Char(want) => lower(*want) == c,
            Atom::Any => true,
            Atom::Set(ranges, not) => ranges.iter().any(|(a, b)| (lower(*a)..=lower(*b)).contains(&c)) != *not,
            Atom::Start | Atom::End => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str, text: &str) -> (String, i32) {
        let words: Vec<String> = line.split(' ').map(String::from).collect();
        Filter::new(&words).unwrap().pass(text, true)
    }

    /// Each held against GNU grep 3.8.
    #[test]
    fn grep_finds_what_grep_finds() {
        let text = "web-1 Running\nweb-2 Pending\ndb-1 Running\nWeb x\n";
        for (line, want, code) in [
            ("grep web", "web-1 Running\nweb-2 Pending\n", 0),
            ("grep -i web", "web-1 Running\nweb-2 Pending\nWeb x\n", 0),
            ("grep -v Running", "web-2 Pending\nWeb x\n", 0),
            ("grep -c Running", "2\n", 0),
            ("grep nothing", "", 1),
            ("grep ^db", "db-1 Running\n", 0),
            ("grep ing$", "web-1 Running\nweb-2 Pending\ndb-1 Running\n", 0),
            ("grep -E ^(db)", "", 2),
            ("grep -E Pending|db", "web-2 Pending\ndb-1 Running\n", 0),
            ("grep Pending\\|db", "web-2 Pending\ndb-1 Running\n", 0),
            ("grep Pending|db", "", 1),
            ("grep w.*1", "web-1 Running\n", 0),
            ("grep -F w.*1", "", 1),
            ("grep [0-9]", "web-1 Running\nweb-2 Pending\ndb-1 Running\n", 0),
            ("grep -E -v [^a-z]+", "", 1),
            ("grep -w Run", "", 1),
            ("grep -w db", "db-1 Running\n", 0),
            ("grep -E n{2}", "", 2),
            ("grep -E en?d", "web-2 Pending\n", 0),
        ] {
            let words: Vec<String> = line.split(' ').map(String::from).collect();
            match Filter::new(&words) {
                Ok(mut filter) => assert_eq!(filter.pass(text, true), (want.into(), code), "{line}"),
                Err(_) => assert_eq!(code, 2, "{line}"),
            }
        }
    }

    #[test]
    fn the_others() {
        let text = "b\na\n10\n9\na\n";
        assert_eq!(run("head -n 2", text).0, "b\na\n");
        assert_eq!(run("head -1", text).0, "b\n");
        assert_eq!(run("tail -n1", text).0, "a\n");
        assert_eq!(run("wc -l", text).0, "5\n");
        assert_eq!(run("sort", text).0, "10\n9\na\na\nb\n");
        assert_eq!(run("sort -ru", text).0, "b\na\n9\n10\n");
        assert_eq!(run("sort -n", "10\n9\n").0, "9\n10\n");
        for line in ["awk x", "wc", "sort -k 1", "head x", "grep"] {
            assert!(Filter::new(&line.split(' ').map(String::from).collect::<Vec<_>>()).is_err(), "{line}");
        }
    }
}
