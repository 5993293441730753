//! Files of lessons: the ones that are there, and ones with mistakes.
#![allow(clippy::unwrap_used)]

use lesson::{lint, view};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn folder(path: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(root().join(path)).unwrap().map(|e| e.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read_to_string(e.path()).unwrap())).collect()
}

const FIRST: &str = "lessons/basics/first-service";

#[test]
fn the_first_lesson_is_whole_in_both_languages() {
    let files = folder(FIRST);
    assert_eq!(lint(&files), []);
    let [en, zh] = ["en", "zh"].map(|language| view(&files, language).unwrap());
    assert_eq!((en.title.as_str(), zh.title.as_str()), ("Your first Service", "你的第一个 Service"));
    assert_ne!(en.hash, zh.hash);
    assert_eq!(en.hash.len(), 16);
    for (a, b) in en.tasks.iter().zip(&zh.tasks) {
        assert_eq!((&a.id, a.hints.len(), &a.solution), (&b.id, b.hints.len(), &b.solution));
        assert_eq!(a.hints.len(), 3, "{}", a.id);
    }
    assert!(en.html.contains("<div data-part=\"task\" data-id=\"connect\"></div>"));
    assert!(en.editor.contains("kind: Service") && en.start.contains("kind: Cluster"));
}

#[test]
fn the_page_needs_only_what_it_shows() {
    let files = folder(FIRST);
    let names = lesson::page_files(&files["lesson.yaml"], "zh");
    let expected =
        ["editor.yaml", "lesson.yaml", "solution-broken.yaml", "solution-service.yaml", "start.yaml", "zh.md"];
    assert_eq!(names, expected);
    // The page may call them by their paths.
    let some = names.iter().map(|n| (format!("lessons/x/{n}"), files[n].clone())).collect();
    assert_eq!(view(&some, "zh").unwrap(), view(&files, "zh").unwrap());
}

#[test]
fn the_hash_tells_texts_apart() {
    let mut files = folder(FIRST);
    let (en, zh) = (view(&files, "en").unwrap().hash, view(&files, "zh").unwrap().hash);
    files.get_mut("en.md").unwrap().push_str("\nMore.\n");
    assert_ne!(view(&files, "en").unwrap().hash, en);
    assert_eq!(view(&files, "zh").unwrap().hash, zh, "the other language is as it was");
}

/// What is said after `from` in `file` was replaced by `to`: `file:line:column: message`.
fn after(file: &str, from: &str, to: &str) -> Vec<String> {
    let mut files = folder(FIRST);
    let text = files.get_mut(file).unwrap();
    assert!(text.contains(from), "{from}");
    *text = text.replacen(from, to, 1);
    let line = |m: &lesson::Mistake| format!("{}:{}:{}: {}", m.0, m.1.line, m.1.column, m.1.message);
    lint(&files).iter().map(line).collect()
}

#[test]
fn mistakes_are_told_with_their_place() {
    let cases = [
        ("lesson.yaml", "minutes: 12", "minutes: twelve", "invalid type: string \"twelve\""),
        ("lesson.yaml", "minutes: 12", "minutes: 12\nlevel: 3", "unknown field `level`"),
        ("lesson.yaml", "minutes: 12", "minutes: [", "lesson.yaml:"),
        ("lesson.yaml", "last: 3s", "last: 3 s", "no length of time"),
        ("lesson.yaml", "last: 3s", "last: 3", "integer `3`, expected a string"),
        ("lesson.yaml", "gone: {min: 1}", "gone: {min: 2, max: 1}", "is more than `max: 1`"),
        ("lesson.yaml", "service: {name: web}", "service: {}", "missing field `name`"),
        ("lesson.yaml", "      - id: exists\n        service: {name: web}", "      - id: exists", "exactly one of"),
        ("lesson.yaml", "after: [break]", "after: [brake]", "`brake`, which is no earlier task"),
        ("lesson.yaml", "since: whole", "since: hole", "no check before it is called `hole`"),
        ("lesson.yaml", "finding: lost", "finding: found", "no check `found`"),
        ("lesson.yaml", "- id: mend", "- id: break", "`break` is there twice"),
        ("lesson.yaml", "- id: mend", "- id: Mend", "no id"),
        ("lesson.yaml", "apply: wrong-case.yaml", "apply: ../wrong-case.yaml", "no YAML file of the lesson's own"),
        (
            "lesson.yaml",
            "apply: wrong-case.yaml",
            "apply: wrong-other.yaml",
            "wrong-other.yaml:1:1: this file is missing",
        ),
        ("lesson.yaml", "apply: wrong-case.yaml", "apply: wrong-selector.yaml", "nothing in the lesson uses this file"),
        ("lesson.yaml", "      right: true\n", "", "0 right answers"),
        ("lesson.yaml", "pod: {address: 10.244.1.2}", "node: web", "wants a `pod`"),
        ("lesson.yaml", "nth: 1", "nth: 0", "counted from 1"),
        ("lesson.yaml", "en: Only one of", "fr: Only one of", "is missing in `en`"),
        ("lesson.yaml", "Choose *Delete Pod*,", "Choose <b>it</b>", "HTML is not part"),
        ("en.md", "# Your first Service\n", "", "begin with its title"),
        ("en.md", "::task{id=mend}", "::task{id=mind}", "`::task{id=mend}` is missing"),
        ("en.md", "::prediction", "", "parts differ"),
        ("en.md", "{#summary}", "{#sum}", "headings' ids differ"),
        ("en.md", "(https://kubernetes.io/", "(javascript:alert(1)//", "en.md:"),
        ("en.md", "Three Pods", "[Three](#nowhere) Pods", "en.md:3:9: no heading has the id `nowhere`"),
        ("en.md", "Three Pods", "<script>", "HTML is not part"),
    ];
    for (file, from, to, expected) in cases {
        let said = after(file, from, to);
        assert!(said.iter().any(|s| s.contains(expected)), "{from} -> {to}: {said:#?}");
        let placed = said.iter().all(|s| !s.starts_with("lesson.yaml:1:1:"));
        assert!(placed, "{from} -> {to}: {said:#?}");
    }
}

#[test]
fn a_broken_lesson_is_no_view_and_no_panic() {
    let files = folder(FIRST);
    for (name, text) in &files {
        let cuts = text.char_indices().map(|(i, _)| i).step_by(97);
        for cut in cuts.take(if name == "lesson.yaml" { 400 } else { 20 }) {
            let mut broken = files.clone();
            broken.insert(name.clone(), text[..cut].to_owned());
            let _ = (view(&broken, "en"), lint(&broken));
        }
        let mut without = files.clone();
        without.remove(name);
        assert!(!lint(&without).is_empty(), "{name}");
    }
}

#[test]
fn every_phrase_of_checks_is_in_both_catalogues() {
    let [en, zh] = ["en", "zh"].map(|l| {
        let text = fs::read_to_string(root().join(format!("public/i18n/{l}.json"))).unwrap();
        serde_json::from_str::<BTreeMap<String, String>>(&text).unwrap()
    });
    let mut ids = BTreeSet::new();
    for file in ["judge.rs", "checker.rs"] {
        let text = fs::read_to_string(root().join("crates/lesson/src").join(file)).unwrap();
        for rest in text.split("\"check-").skip(1) {
            ids.insert(format!("check-{}", rest.split('"').next().unwrap()));
        }
    }
    ids.retain(|id| !id.contains('{'));
    assert!(ids.len() > 40, "{}", ids.len());
    let names = |text: &str| {
        let names: BTreeSet<String> =
            text.split('{').skip(1).map(|t| t.split('}').next().unwrap().to_owned()).collect();
        names
    };
    for id in ids.iter().chain(en.keys().filter(|k| k.starts_with("check-"))) {
        let (a, b) = (en.get(id), zh.get(id));
        assert!(a.is_some() && b.is_some(), "{id}");
        assert_eq!(a.map(|t| names(t)), b.map(|t| names(t)), "{id}");
    }
}
