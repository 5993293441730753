//! Help while one writes, in the terms of the page.

use kube_api::assist::{self, Reference, Remedy, What};
use kube_api::manifest;
use lab_protocol::{Explanation, Fix, Phrase, Reply, Suggestion, TextEdit};

pub(crate) fn check(ticket: u32, yaml: &str) -> Reply {
    let found = manifest::parse(yaml).diagnostics;
    let fixes = assist::fixes(yaml, &found).into_iter().map(fix).collect();
    Reply::Checked { ticket, diagnostics: found.iter().map(cluster::diagnostic).collect(), fixes }
}

fn fix(fix: assist::Fix) -> Fix {
    let title = match fix.remedy {
        Remedy::Write(word) => Phrase::new("fix-write").with("word", word),
        Remedy::Unquote(word) => Phrase::new("fix-unquote").with("word", word),
        Remedy::Quote(word) => Phrase::new("fix-quote").with("word", word),
        Remedy::Untab => Phrase::new("fix-untab"),
        Remedy::NamePorts => Phrase::new("fix-name-ports"),
    };
    let edit = |e: assist::Edit| TextEdit { line: e.line, column: e.column, length: e.length, text: e.text };
    Fix { diagnostic: fix.diagnostic as u32, title, edits: fix.edits.into_iter().map(edit).collect() }
}

pub(crate) fn complete(ticket: u32, yaml: &str, line: u32, column: u32, reference: &Reference) -> Reply {
    let found = assist::complete(yaml, line, column, reference);
    let suggestion = |s: assist::Suggestion| Suggestion {
        label: s.label,
        insert: s.insert,
        field: s.what == What::Field,
        type_: s.type_,
        description: s.description,
        required: s.required,
        without_effect: s.without_effect,
    };
    let suggestions = found.items.into_iter().map(suggestion).collect();
    Reply::Completed { ticket, column: found.column, suggestions, reference: !reference.is_empty() }
}

pub(crate) fn explain(ticket: u32, yaml: &str, line: u32, column: u32, reference: &Reference) -> Reply {
    let explanation = assist::hover(yaml, line, column, reference).map(|h| Explanation {
        column: h.column,
        length: h.length,
        name: h.name,
        type_: h.type_,
        description: h.description,
        values: h.values,
        required: h.required,
        without_effect: h.without_effect,
    });
    Reply::Explained { ticket, explanation, reference: !reference.is_empty() }
}
