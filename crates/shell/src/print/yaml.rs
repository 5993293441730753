//! YAML as kubectl prints it: `sigs.k8s.io/yaml`, that is go-yaml's emitter (`emitterc.go`, `encode.go`).

use kube_api::yaml::{self, Tree, Value};

/// Column from which on a blank becomes a line break (`best_width`).
const WIDTH: usize = 80;

/// A document.
pub fn document(tree: &Tree) -> String {
    let mut out = String::new();
    match &tree.value {
        Value::Map(entries) if !entries.is_empty() => map(&mut out, tree, 0),
        Value::Seq(items) if !items.is_empty() => seq(&mut out, tree, 0),
        _ => {
            scalar(&mut out, tree, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, depth: usize) {
    out.extend(core::iter::repeat_n(' ', depth));
}

/// A mapping; the first key stands where the text is now.
fn map(out: &mut String, tree: &Tree, depth: usize) {
    for (i, (key, value)) in tree.entries().iter().enumerate() {
        if i > 0 {
            indent(out, depth);
        }
        out.push_str(&text(&key.name, None));
        out.push(':');
        match &value.value {
            Value::Map(entries) if !entries.is_empty() => {
                out.push('\n');
                indent(out, depth + 2);
                map(out, value, depth + 2);
            }
            // A sequence in a mapping isn't indented.
            Value::Seq(items) if !items.is_empty() => {
                out.push('\n');
                indent(out, depth);
                seq(out, value, depth);
            }
            _ => {
                out.push(' ');
                scalar(out, value, depth + 2);
                out.push('\n');
            }
        }
    }
}

fn seq(out: &mut String, tree: &Tree, depth: usize) {
    for (i, item) in tree.items().iter().enumerate() {
        if i > 0 {
            indent(out, depth);
        }
        out.push_str("- ");
        match &item.value {
            Value::Map(entries) if !entries.is_empty() => map(out, item, depth + 2),
            Value::Seq(items) if !items.is_empty() => seq(out, item, depth + 2),
            _ => {
                scalar(out, item, depth + 2);
                out.push('\n');
            }
        }
    }
}

fn scalar(out: &mut String, tree: &Tree, depth: usize) {
    match &tree.value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(f) => out.push_str(&f.to_string()),
        Value::Str { raw, .. } => {
            let column = out.len() - out.rfind('\n').map_or(0, |i| i + 1);
            out.push_str(&text(raw, Some((column, depth))));
        }
        Value::Seq(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

/// A text in the style that the emitter chooses. Without a place, it is a key and stays on its line.
fn text(raw: &str, place: Option<(usize, usize)>) -> String {
    let special = raw.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{feff}' || c == '\u{85}'));
    let broken = raw.contains('\n');
    if special || (broken && (place.is_none() || raw.ends_with(' ') || raw.starts_with([' ', '\n']))) {
        return double(raw);
    }
    if broken {
        let depth = place.map_or(0, |(_, depth)| depth);
        let chomp = match (raw.ends_with('\n'), raw.ends_with("\n\n")) {
            (false, _) => "-",
            (true, true) => "+",
            (true, false) => "",
        };
        let mut out = format!("|{chomp}");
        for line in raw.strip_suffix('\n').unwrap_or(raw).split('\n') {
            out.push('\n');
            if !line.is_empty() {
                indent(&mut out, depth);
                out.push_str(line);
            }
        }
        return out;
    }
    if raw.is_empty() || means_something_else(raw) {
        return double(raw);
    }
    if plain(raw) {
        return fold(raw, "", place);
    }
    fold(&raw.replace('\'', "''"), "'", place)
}

/// Breaks a long text at blanks.
fn fold(raw: &str, quote: &str, place: Option<(usize, usize)>) -> String {
    let mut out = String::from(quote);
    let mut column = place.map_or(0, |(column, _)| column) + quote.len();
    let mut blank = false;
    let mut chars = raw.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let last = chars.peek().is_none();
        if let Some((_, depth)) = place
            && c == ' '
            && !blank
            && !first
            && !last
            && column > WIDTH
            && chars.peek() != Some(&' ')
        {
            out.push('\n');
            indent(&mut out, depth);
            column = depth;
        } else {
            out.push(c);
            column += 1;
        }
        blank = c == ' ';
        first = false;
    }
    out + quote
}

fn double(raw: &str) -> String {
    let mut out = String::from("\"");
    for c in raw.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            '\u{feff}' => out.push_str("\\ufeff"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a reader would take the plain text for a number, a truth, nothing, or a moment.
fn means_something_else(raw: &str) -> bool {
    if !plain(raw) {
        return false;
    }
    let read = yaml::load(raw).into_iter().next().and_then(Result::ok);
    if !matches!(read.map(|t| t.value), Some(Value::Str { .. })) {
        return true;
    }
    let b = raw.as_bytes();
    let date = b.len() >= 8 && b[..4].iter().all(u8::is_ascii_digit) && b[4] == b'-' && {
        let rest = &raw[5..];
        let (day, time) = rest.split_at(rest.find(['T', 't', ' ']).unwrap_or(rest.len()));
        let number = |s: &str| (1..=2).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        day.split_once('-').is_some_and(|(m, d)| number(m) && number(d))
            && (time.is_empty() || time[1..].bytes().all(|b| b.is_ascii_digit() || b":.+-Z".contains(&b)))
    };
    // Base 60, which YAML 1.1 reads as a number: 10:30.
    let sixty = raw.contains(':')
        && raw
            .trim_start_matches(['-', '+'])
            .split(':')
            .all(|p| !p.is_empty() && p.len() <= 12 && p.bytes().all(|b| b.is_ascii_digit() || b == b'_' || b == b'.'));
    date || sixty
}

/// Whether a text can stand without quotes (`yaml_emitter_analyze_scalar`).
fn plain(raw: &str) -> bool {
    let mut before = ' ';
    let mut chars = raw.chars().enumerate().peekable();
    if raw.starts_with("---") || raw.starts_with("...") || raw.starts_with(' ') || raw.ends_with(' ') {
        return false;
    }
    while let Some((i, c)) = chars.next() {
        let ends = chars.peek().is_none_or(|(_, next)| *next == ' ');
        let wrong = match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                if i == 0 =>
            {
                true
            }
            '?' | '-' if i == 0 => ends,
            ':' => ends,
            '#' => before == ' ',
            _ => false,
        };
        if wrong {
            return false;
        }
        before = c;
    }
    !raw.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(raw: &str) -> String {
        text(raw, Some((0, 2)))
    }

    /// As `kubectl get -o yaml` (1.32.4) prints annotations of these values.
    #[test]
    fn scalars() {
        for (raw, want) in [
            ("web", "web"),
            ("", "\"\""),
            ("80", "\"80\""),
            ("true", "\"true\""),
            ("on", "\"on\""),
            ("n", "\"n\""),
            ("null", "\"null\""),
            ("~", "\"~\""),
            ("1e3", "\"1e3\""),
            ("0777", "\"0777\""),
            ("10:30", "\"10:30\""),
            ("2026-01-01T00:00:30Z", "\"2026-01-01T00:00:30Z\""),
            ("2026-01-01", "\"2026-01-01\""),
            ("25%", "25%"),
            ("*", "'*'"),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("a #b", "'a #b'"),
            ("it's", "it's"),
            ("'x'", "'''x'''"),
            ("{x}", "'{x}'"),
            ("- a", "'- a'"),
            ("-a", "-a"),
            (" a", "' a'"),
            ("a\tb", "\"a\\tb\""),
            ("a\nb\n", "|\n  a\n  b"),
            ("a\nb", "|-\n  a\n  b"),
            ("10.96.0.1", "10.96.0.1"),
            ("10.244.1.0/24", "10.244.1.0/24"),
        ] {
            assert_eq!(print(raw), want, "{raw:?}");
        }
    }
}
