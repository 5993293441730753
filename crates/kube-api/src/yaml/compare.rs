//! Our reader beside libyaml: the same events and the same complaints at the same places.

use super::events::{Event, Parser};
use super::scan::Mark;
use libyaml_safer::EventData;
use proptest::prelude::*;

fn place(mark: libyaml_safer::Mark) -> (usize, usize) {
    (mark.line as usize, mark.column as usize)
}

fn ours(text: &str) -> Vec<String> {
    let mut parser = Parser::new(text);
    let mut seen = Vec::new();
    let at = |mark: Mark| (mark.line, mark.column);
    loop {
        match parser.next() {
            Ok((Event::StreamEnd, ..)) => return seen,
            Ok((Event::DocumentStart, ..)) => seen.push("document".into()),
            Ok((Event::MappingEnd, start, _)) => seen.push(format!("end {:?}", at(start))),
            Ok((event, start, end)) => seen.push(format!("{event:?} {:?} {:?}", at(start), at(end))),
            Err(problem) => {
                seen.push(format!("{} {:?}", problem.text, at(problem.mark)));
                return seen;
            }
        }
    }
}

fn theirs(text: &str) -> Vec<String> {
    let mut bytes = text.as_bytes();
    let mut parser = libyaml_safer::Parser::new();
    parser.set_encoding(libyaml_safer::Encoding::Utf8);
    parser.set_input_string(&mut bytes);
    let mut seen = Vec::new();
    loop {
        let event = match parser.parse() {
            Ok(event) => event,
            Err(error) => {
                seen.push(format!("{} {:?}", error.problem(), place(error.problem_mark().unwrap_or_default())));
                return seen;
            }
        };
        let same = match event.data {
            EventData::StreamStart { .. } => continue,
            EventData::StreamEnd => return seen,
            EventData::DocumentStart { .. } => {
                seen.push("document".into());
                continue;
            }
            EventData::DocumentEnd { .. } => Event::DocumentEnd,
            EventData::Alias { anchor } => Event::Alias(anchor),
            EventData::Scalar { anchor, tag, value, style, .. } => {
                let plain = style == libyaml_safer::ScalarStyle::Plain;
                Event::Scalar { anchor, tag, text: value, plain }
            }
            EventData::SequenceStart { anchor, .. } => Event::SequenceStart { anchor },
            EventData::SequenceEnd => Event::SequenceEnd,
            EventData::MappingStart { anchor, .. } => Event::MappingStart { anchor },
            EventData::MappingEnd => {
                // The end of a pair in a flow sequence has no length.
                seen.push(format!("end {:?}", place(event.start_mark)));
                continue;
            }
        };
        seen.push(format!("{same:?} {:?} {:?}", place(event.start_mark), place(event.end_mark)));
    }
}

/// What go-yaml reads otherwise than libyaml 0.2.5.
fn comparable(text: &str) -> bool {
    let apart = ["!", "?", "%", "\\'", ":,", ":[", ":]", ":{", ":}"];
    !apart.iter().any(|a| text.contains(a))
}

fn same(text: &str) {
    if !comparable(text) {
        return;
    }
    let mut ours = ours(text);
    // The crate panics on some ends of text.
    let Ok(mut theirs) = std::panic::catch_unwind(|| theirs(text)) else { return };
    let failed = |seen: &[String]| {
        seen.last().is_some_and(|s| s.contains("expected") || s.contains("found") || s.contains("allowed"))
    };
    if failed(&ours) && failed(&theirs) {
        // go-yaml looks later for keys that can't be keys any more: after another event, to the same end.
        (ours, theirs) = (ours.split_off(ours.len() - 1), theirs.split_off(theirs.len() - 1));
        if theirs[0].starts_with("could not find expected ':'") {
            return;
        }
    }
    if let Some(at) = (0..ours.len().max(theirs.len())).find(|i| ours.get(*i) != theirs.get(*i)) {
        panic!("{:?}, not {:?}, in {text:?}", ours.get(at), theirs.get(at));
    }
}

const TUTORIAL: &str = include_str!("../../tests/data/tutorial.yaml");

#[test]
fn known_texts() {
    same(TUTORIAL);
    for text in [
        "a: b: c",
        "a:\n\tb: c",
        "- a\n-\tb",
        "a: |\n  x\n   y\n\n z\n",
        "a: >-\n  x\n  y\n\n  z\n\n",
        "a: |2+\n    x\n\n",
        "\"a\\\n  b\\tc \\x41\\u00e9\"",
        "'it''s\n\n fine'",
        "a\n b\n\n c: d",
        "{a: 1, b: [x, y: z], c}",
        "[a, [b, {c: d}]]",
        "- - a\n  - b\n- c: d\n  e:\n  - f\n",
        "--- a\n...\n--- b\n",
        "&x a: *x",
        "# c\n\na: # d\n  b # e\n",
        "a: 'x",
        "[a",
        "{a",
        "a: b\n c: d",
        "a\nb: c",
        "- a\n b",
        "a:\n  - b\n - c",
        "a: é\u{2028}b",
        "a: \"\\q\"",
        "a: \"\\u12\"",
    ] {
        same(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces(text in "([a-c]{0,3}|[-:#,&*|>'\"{}\\[\\] \n]|\t|\\\\|---\n|<<: |: |- |\n  |\n- |a: |\\.\\.\\.\n|\\\\x41|é){0,40}") {
        same(&text);
    }

    #[test]
    fn spoiled(edits in prop::collection::vec((any::<prop::sample::Index>(), 0..20usize, "[-:,\\[\\]{}'\"|>&*# \n\t]{0,3}"), 1..4)) {
        let mut text: Vec<char> = TUTORIAL.chars().collect();
        for (at, len, piece) in edits {
            let from = at.index(text.len() + 1);
            text.splice(from..(from + len).min(text.len()), piece.chars());
        }
        same(&text.into_iter().collect::<String>());
    }
}
