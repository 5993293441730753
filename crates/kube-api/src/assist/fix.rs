//! How the mistakes that learners make most are put right.

use super::scan::{self, Scan, Step};
use crate::{Diagnostic, Severity};

/// A change of a text: on one line, some characters give way to others, which may have line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in Unicode characters.
    pub column: u32,
    /// How many characters go.
    pub length: u32,
    /// What comes.
    pub text: String,
}

/// What a fix does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Writes another word.
    Write(String),
    /// Takes the quotes off, so that it is a number or a truth.
    Unquote(String),
    /// Puts quotes on, so that it is a text.
    Quote(String),
    /// Indents with spaces.
    Untab,
    /// Names the ports.
    NamePorts,
}

/// How a mistake can be put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Which of the diagnostics.
    pub diagnostic: usize,
    /// What it does.
    pub remedy: Remedy,
    /// What changes, from the text's end to its beginning.
    pub edits: Vec<Edit>,
}

/// At most so many are told.
const MOST: usize = 100;

/// The fixes of a text's mistakes, at most one for each.
pub fn fixes(text: &str, diagnostics: &[Diagnostic]) -> Vec<Fix> {
    let lines: Vec<&str> = text.split('\n').map(|l| l.trim_end_matches('\r')).collect();
    let errors = diagnostics.iter().enumerate().filter(|(_, d)| d.severity == Severity::Error);
    let fix = |(diagnostic, d): (usize, &Diagnostic)| {
        let (remedy, edits) = remedy(&lines, d)?;
        Some(Fix { diagnostic, remedy, edits })
    };
    errors.filter_map(fix).take(MOST).collect()
}

fn remedy(lines: &[&str], d: &Diagnostic) -> Option<(Remedy, Vec<Edit>)> {
    let line = lines.get(d.span.line.checked_sub(1)? as usize)?;
    let raw: String = line.chars().skip(d.span.column.max(1) as usize - 1).take(d.span.length as usize).collect();
    let instead = |text: String| vec![Edit { line: d.span.line, column: d.span.column, length: d.span.length, text }];
    let write = |word: &str| Some((Remedy::Write(word.into()), instead(word.into())));
    if let Some(hint) = &d.hint {
        return write(hint);
    }
    if let Some((_, supported)) = d.message.split_once("supported values: ") {
        let bare = raw.trim_matches(['"', '\'']);
        let mut values = supported.split(", ").map(|v| v.trim_matches('"'));
        return values.find(|v| v.eq_ignore_ascii_case(bare)).and_then(write);
    }
    if let Some((_, rest)) = d.message.split_once("cannot unmarshal ") {
        let wanted = rest.rsplit(" of type ").next().unwrap_or_default();
        let inner = raw.strip_prefix(['"', '\'']).and_then(|r| r.strip_suffix(['"', '\'']));
        return match (rest.split(' ').next().unwrap_or_default(), wanted, inner) {
            ("string", "int32" | "int64", Some(inner)) if inner.parse::<i64>().is_ok() => {
                Some((Remedy::Unquote(inner.into()), instead(inner.into())))
            }
            ("string", "bool", Some(inner @ ("true" | "false"))) => {
                Some((Remedy::Unquote(inner.into()), instead(inner.into())))
            }
            ("number" | "bool", wanted, None) if is_text(wanted) && !raw.is_empty() => {
                let quoted = format!("\"{raw}\"");
                Some((Remedy::Quote(quoted.clone()), instead(quoted)))
            }
            _ => None,
        };
    }
    if d.path.ends_with("].name") && d.path.contains("ports[") && d.message.contains("Required value") {
        return name_ports(lines, d);
    }
    if d.path.is_empty() {
        return untab(lines);
    }
    None
}

/// Whether a Go type is a text.
fn is_text(go: &str) -> bool {
    let named = go.strip_prefix("v1.").is_some_and(|name| crate::schema::entry(name).is_none());
    go == "string" || go == "types.UID" || named && !matches!(go, "v1.Time" | "v1.MicroTime" | "v1.ResourceList")
}

/// YAML takes no tabs for indentation.
fn untab(lines: &[&str]) -> Option<(Remedy, Vec<Edit>)> {
    let edit = |(i, line): (usize, &&str)| {
        let blank: String = line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
        let length = blank.chars().count();
        (blank.contains('\t') && length < line.chars().count()).then(|| Edit {
            line: i as u32 + 1,
            column: 1,
            length: length as u32,
            text: blank.replace('\t', "  "),
        })
    };
    let mut edits: Vec<Edit> = lines.iter().enumerate().filter_map(edit).collect();
    edits.reverse();
    (!edits.is_empty()).then_some((Remedy::Untab, edits))
}

/// Of several ports each needs a name: what is usual at its number, else `port-8080`.
fn name_ports(lines: &[&str], d: &Diagnostic) -> Option<(Remedy, Vec<Edit>)> {
    let at = d.span.line as usize - 1;
    let (first, document) = scan::document(lines, at);
    let (scan, _) = Scan::new(document, None);
    // The list that the mistake's place is in.
    let mut list = 0;
    for (i, node) in scan.nodes.iter().enumerate() {
        let item = node.step == Step::Item && matches!(&scan.nodes[node.parent].step, Step::Key(k) if k == "ports");
        if item && node.place.line + first <= at {
            list = scan.nodes[i].parent;
        }
    }
    let items: Vec<usize> = scan.children(list).filter(|(_, n)| n.step == Step::Item).map(|(i, _)| i).collect();
    let mut taken: Vec<String> = items.iter().map(|i| scan.text(*i, "name").to_owned()).collect();
    let mut edits = Vec::new();
    for item in items {
        if scan.child(item, "name").is_some() {
            continue;
        }
        let Some((_, key)) = scan.children(item).next() else { continue };
        let name = port_name(scan.text(item, "port"), scan.text(item, "protocol"), &taken);
        taken.push(name.clone());
        let after = if key.flow { ", ".to_owned() } else { format!("\n{}", " ".repeat(key.place.from)) };
        edits.push(Edit {
            line: (key.place.line + first) as u32 + 1,
            column: key.place.from as u32 + 1,
            length: 0,
            text: format!("name: {name}{after}"),
        });
    }
    edits.reverse();
    (!edits.is_empty()).then_some((Remedy::NamePorts, edits))
}

fn port_name(port: &str, protocol: &str, taken: &[String]) -> String {
    let usual = match port {
        "53" => "dns",
        "80" | "8080" => "http",
        "443" | "8443" => "https",
        "9090" => "metrics",
        _ => "",
    };
    let number = if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) { port } else { "x" };
    let lower = protocol.to_ascii_lowercase();
    let protocol = if lower.is_empty() { "tcp" } else { &lower };
    [usual.to_owned(), format!("port-{number}"), format!("{protocol}-{number}")]
        .into_iter()
        .chain((2..).map(|n| format!("port-{number}-{n}")))
        .find(|name| !name.is_empty() && !taken.contains(name))
        .unwrap_or_default()
}
