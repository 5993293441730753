//! Whatever comes in: an answer, in time, and no panic.

use kube_api::manifest::{Content, parse};
use kube_api::{Severity, defaults, validation, yaml};
use proptest::prelude::*;

const TUTORIAL: &str = include_str!("data/tutorial.yaml");

fn first(text: &str) -> String {
    parse(text).diagnostics.first().map(|d| d.message.clone()).unwrap_or_default()
}

#[test]
fn deep_nesting() {
    let seq = "[".repeat(100_000);
    assert_eq!(first(&seq), "yaml: exceeded max depth of 10000");
    assert_eq!(first(&"- ".repeat(100_000)), "yaml: exceeded max depth of 10000");
    assert_eq!(first(&format!("a: 1\nb: {}", "{a: ".repeat(20_000))), "yaml: line 2: exceeded max depth of 10000");
    let whole = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(first(&whole), "yaml: nested more than 200 levels deep");
    assert!(yaml::documents(&format!("{}{}", "[".repeat(199), "]".repeat(199))).1.is_none());
}

#[test]
fn alias_bombs() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
    for i in 1..12 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        text += &format!("a{i}: &a{i} [{items}]\n");
    }
    assert_eq!(first(&text), "yaml: document contains excessive aliasing");
    assert_eq!(first("a: &a [*a]\n"), "yaml: anchor 'a' value contains itself");
    assert_eq!(first("a: *b\n"), "yaml: unknown anchor 'b' referenced");
    let mut chain = "a0: &a0 [x]\n".to_string();
    for i in 1..1_000 {
        chain += &format!("a{i}: &a{i} [*a{}]\n", i - 1);
    }
    assert!(first(&chain).starts_with("yaml: "), "{}", first(&chain));
}

#[test]
fn odd_texts() {
    assert_eq!(first("a: \0"), "yaml: control characters are not allowed");
    assert_eq!(parse("a: b\nc: \u{1}\n").diagnostics[0].span.line, 2);
    for text in ["", "\u{feff}", "\u{feff}# x", "---\n---\n", "%YAML 1.1\n---\n", "\r\n\r\n", "~", "# only"] {
        assert_eq!(parse(text).diagnostics, [], "{text:?}");
    }
    for text in
        ["\t", "a:\n\tb: c", "%", "&", "*", "!", "|", "? ", "- - -\n -", "{", "}", "\"", "'", "a: b: c", "@", "`"]
    {
        let _ = parse(text);
    }
    let windows = TUTORIAL.replace('\n', "\r\n");
    assert_eq!(parse(&windows).manifests.len(), parse(TUTORIAL).manifests.len());
    assert_eq!(parse(&format!("\u{feff}{TUTORIAL}")).manifests[0].span, parse(TUTORIAL).manifests[0].span);
}

#[test]
fn ends_within_words() {
    for text in [
        "\"\\", "a: \"x\\", "'\\", "\\", "a: !", "a: !<", "a: !!x%4", "a: |", "a: >+1", "%YAML", "%TAG ! ", "\"\\u",
        "&", "*a",
    ] {
        let _ = parse(text);
        let _ = parse(&format!("[{text}"));
        let _ = parse(&format!("[{text},"));
    }
    assert_eq!(first("a: 1\nb: \"x\\"), "yaml: line 2: found unknown escape character");
}

#[test]
fn a_broken_document_hides_no_other() {
    let text =
        format!("a: b: c\n---\n{TUTORIAL}---\nx: [\n---\napiVersion: lab/v1\nkind: Client\nmetadata: {{name: c}}\n");
    let parsed = parse(&text);
    assert_eq!(parsed.diagnostics.iter().filter(|d| d.severity == Severity::Error).count(), 2);
    assert!(
        matches!(&parsed.manifests.last().unwrap().content, Content::Lab { kind, name, .. } if kind == "Client" && name == "c")
    );
    assert_eq!(parsed.manifests.len(), parse(TUTORIAL).manifests.len() + 1);
}

/// Large pastes cost by their size, not by its square.
#[test]
fn large_pastes() {
    let size = if cfg!(debug_assertions) { 500_000 } else { 5_000_000 };
    let many = format!("{TUTORIAL}---\n").repeat(size / TUTORIAL.len());
    let lines = "- a: {b: [1, 2, 3], c: \"text\"}\n".repeat(size / 32);
    let one = "x".repeat(size);
    let list = |n: usize| (0..n).map(|i| format!("  key{i}: value\n")).collect::<String>();
    let keys = format!("a: &a\n{0}b:\n  <<: *a\n{0}", list(size / 40));
    let twice = "    k: v\n".repeat(size / 9);
    let unknown = format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels:\n{twice}");
    for (name, text) in [("many", many), ("lines", lines), ("one", one), ("keys", keys), ("twice", unknown)] {
        let parsed = parse(&text);
        assert!(!parsed.manifests.is_empty() || !parsed.diagnostics.is_empty(), "{name}");
    }
}

/// Cuts, doubles and swaps pieces of a manifest.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\t".to_string()),
        Just("\n".into()),
        Just("- ".into()),
        Just(": ".into()),
        Just("{".into()),
        Just("[".into()),
        Just("]".into()),
        Just("\"".into()),
        Just("'".into()),
        Just("&a ".into()),
        Just("*a".into()),
        Just("<<: ".into()),
        Just("!!int ".into()),
        Just("|\n".into()),
        Just("---\n".into()),
        Just("null".into()),
        Just("-1".into()),
        Just("99999999999999999999".into()),
        Just("1e400".into()),
        Just("é\u{2028}".into()),
        ".{0,4}",
    ];
    let edit = (any::<prop::sample::Index>(), 0..40usize, piece);
    prop::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text: Vec<char> = TUTORIAL.chars().collect();
        for (at, len, piece) in edits {
            let from = at.index(text.len() + 1);
            let to = (from + len).min(text.len());
            text.splice(from..to, piece.chars());
        }
        text.into_iter().collect()
    })
}

fn survive(text: &str) {
    let parsed = parse(text);
    for found in parsed.diagnostics.iter().chain(&parsed.answers) {
        assert!(found.span.line > 0 && found.span.column > 0, "{found:?} in {text:?}");
    }
    for manifest in parsed.manifests {
        assert!(manifest.place("spec.ports[0].port").line > 0);
        if let Content::Object(mut object) = manifest.content {
            defaults::apply(&mut object);
            let once = object.clone();
            defaults::apply(&mut object);
            assert_eq!(once, object);
            let errors = validation::create(&object, Default::default());
            assert_eq!(errors, [], "defaults make nothing invalid: {text}");
            assert_eq!(validation::update(&object, &object, Default::default()), []);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_manifests(text in mutated()) {
        survive(&text);
    }

    #[test]
    fn any_text(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn yaml_like_text(text in "([a-z]{0,3}|[-:?,#&*!|>'\"%@`{}\\[\\] \n\t\\\\]|!a,|\\[!|%41|\\\\x41|---\n|<<: |: |- ){0,60}") {
        survive(&text);
    }
}
