//! `servicelab validate`: what the API server answers to manifests that are to be created.

use crate::arguments::Arguments;
use crate::rules::{Failure, text_of};
use kube_api::manifest::parse_as;
use kube_api::{Diagnostic, Release, Severity};
use serde_json::json;

/// How the command is called.
pub const USAGE: &str = "servicelab validate [--format text|json] [--release 1.30..1.36] -f FILE...";

struct Options {
    json: bool,
    release: Release,
    files: Vec<String>,
}

fn options(args: &[String]) -> Result<Options, Failure> {
    let mut options = Options { json: false, release: Release::default(), files: Vec::new() };
    let mut args = Arguments::new(args);
    while let Some(name) = args.next() {
        match name {
            "--format" | "-o" => {
                options.json = match args.value()?.as_str() {
                    "json" => true,
                    "text" => false,
                    other => return Err(Failure::Usage(format!("unknown format {other:?}"))),
                };
            }
            "--release" => options.release = args.value()?.parse().map_err(Failure::Usage)?,
            "-f" | "--filename" => options.files.push(args.value()?),
            _ => return Err(args.unknown()),
        }
    }
    if options.files.is_empty() {
        return Err(Failure::Usage("-f is missing".into()));
    }
    Ok(options)
}

/// The server's answers to a text, one a line; empty when it is valid.
pub fn answers(text: &str, release: Release) -> String {
    lines(&parse_as(text, release).answers)
}

fn lines(answers: &[Diagnostic]) -> String {
    answers.iter().map(|a| format!("{}\n", a.message)).collect()
}

/// Runs the command: what it prints, what it says beside that, and whether all is valid.
pub fn run(args: &[String]) -> Result<(String, String, bool), Failure> {
    let options = options(args)?;
    let (mut text, mut found, mut remarks, mut valid) = (String::new(), Vec::new(), String::new(), true);
    for file in &options.files {
        let parsed = parse_as(&text_of(file)?, options.release);
        valid &= parsed.answers.is_empty();
        // Mistakes in our own kinds are no matter of the API server, but mistakes all the same.
        text += &lines(&parsed.answers);
        for warning in parsed.diagnostics.iter().filter(|d| d.severity == Severity::Warning) {
            let (span, message) = (warning.span, &warning.message);
            remarks += &format!("{file}:{}:{}: warning: {message}\n", span.line, span.column);
        }
        found.extend(parsed.answers.into_iter().map(|a| {
            json!({
                "file": file,
                "document": a.document,
                "message": a.message,
                "field": a.path,
                "line": a.span.line,
                "column": a.span.column,
                "length": a.span.length,
            })
        }));
    }
    if options.json {
        text = serde_json::to_string_pretty(&found).unwrap_or_default() + "\n";
    }
    Ok((text, remarks, valid))
}
