//! The API server's recorded answers, word for word.

use kube_api::Release;
use kube_api::manifest::parse_as;
use std::fs;
use std::path::Path;

fn answer(text: &str) -> String {
    let answers = parse_as(text, Release(30)).answers;
    answers.iter().map(|a| format!("{}\n", a.message)).collect()
}

#[test]
fn every_case() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/validation");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    let mut failed = Vec::new();
    for file in &files {
        let want = fs::read_to_string(file.with_extension("errors")).unwrap();
        let seen = answer(&fs::read_to_string(file).unwrap());
        if want.trim_end() != seen.trim_end() {
            failed.push(format!("{}\nexpected:\n{want}seen:\n{seen}", file.display()));
        }
    }
    assert!(files.len() > 100);
    assert!(failed.is_empty(), "{} of {} failed\n\n{}", failed.len(), files.len(), failed.join("\n"));
}

/// Every mistake in a valid document's place: nothing is without one.
#[test]
fn every_answer_has_a_place() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/validation");
    for file in fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()) {
        if file.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let parsed = parse_as(&text, Release(30));
        for found in parsed.answers.iter().chain(&parsed.diagnostics) {
            let line = text.lines().nth(found.span.line as usize - 1).unwrap_or_else(|| panic!("{found:?}"));
            let (from, to) = (found.span.column as usize - 1, found.span.length as usize);
            assert!(to > 0 && from + to <= line.chars().count().max(1), "{}: {found:?}", file.display());
        }
        assert_eq!(parsed.answers.is_empty(), !parsed.manifests.is_empty(), "{}", file.display());
    }
}
