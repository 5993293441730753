//! JSON as kubectl prints it: Go's `json.MarshalIndent` with four blanks.

use kube_api::yaml::{Tree, Value};

/// Over several lines, with a line break at the end.
pub fn pretty(tree: &Tree) -> String {
    let mut out = String::new();
    write(&mut out, tree, Some(0));
    out.push('\n');
    out
}

/// In one line.
pub fn compact(tree: &Tree) -> String {
    let mut out = String::new();
    write(&mut out, tree, None);
    out
}

fn line(out: &mut String, depth: Option<usize>) {
    if let Some(depth) = depth {
        out.push('\n');
        out.extend(core::iter::repeat_n(' ', depth * 4));
    }
}

fn write(out: &mut String, tree: &Tree, depth: Option<usize>) {
    let inner = depth.map(|d| d + 1);
    match &tree.value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(f) => out.push_str(&f.to_string()),
        Value::Str { raw, .. } => quote(out, raw),
        Value::Seq(items) if items.is_empty() => out.push_str("[]"),
        Value::Seq(items) => {
            for (i, item) in items.iter().enumerate() {
                out.push(if i == 0 { '[' } else { ',' });
                line(out, inner);
                write(out, item, inner);
            }
            line(out, depth);
            out.push(']');
        }
        Value::Map(entries) if entries.is_empty() => out.push_str("{}"),
        Value::Map(entries) => {
            for (i, (key, value)) in entries.iter().enumerate() {
                out.push(if i == 0 { '{' } else { ',' });
                line(out, inner);
                quote(out, &key.name);
                out.push_str(if depth.is_some() { ": " } else { ":" });
                write(out, value, inner);
            }
            line(out, depth);
            out.push('}');
        }
    }
}

/// A text in quotes, as Go's `encoding/json` escapes it (HTML's special characters too).
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
