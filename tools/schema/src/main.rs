//! Writes what Kubernetes' official schema says of the simulated kinds: which fields there are and of what types, for
//! strict decoding (`crates/kube-api/data/schema.txt`), and what they mean, for people (`public/reference/`).
//!
//! `schema` writes both files, `schema --check` says whether they are as it would write them.
#![forbid(unsafe_code)]

mod api;
mod list;
mod print;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return fail("schema [--check]"),
    };
    let files = match list::read().and_then(|lists| {
        let types = api::types(&lists)?;
        Ok([
            ("crates/kube-api/data/schema.txt", print::schema(&types)),
            ("public/reference/kubernetes.txt", print::reference(&types, &lists)),
        ])
    }) {
        Ok(files) => files,
        Err(message) => return fail(&message),
    };
    let mut stale = 0;
    for (path, text) in &files {
        let old = std::fs::read_to_string(top.join(path)).unwrap_or_default();
        if old == *text {
            continue;
        }
        if check {
            stale += 1;
            let differs = |(old, new): &(&str, &str)| old != new;
            let line = old.lines().zip(text.lines()).take_while(|pair| !differs(pair)).count() + 1;
            eprintln!("{path}: differs from what the tool writes, from line {line} on: run tools/schema.sh");
        } else if let Err(error) = std::fs::write(top.join(path), text) {
            return fail(&format!("{path}: {error}"));
        }
    }
    if check {
        println!("{} passed, {stale} failed", files.len() - stale);
    }
    if stale > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("schema: {message}");
    ExitCode::from(2)
}
