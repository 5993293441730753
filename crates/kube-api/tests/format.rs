//! The canonical layout never loses or alters a value: on every file of the repository, and on random texts.

use kube_api::yaml::{Tree, Value, format, load};
use std::path::Path;

/// What a text means, and how its scalars were written; without places.
fn meaning(text: &str) -> Option<Vec<String>> {
    fn write(tree: &Tree, out: &mut String) {
        match &tree.value {
            Value::Map(entries) => {
                out.push('{');
                for (key, value) in entries {
                    *out += &format!("{:?}/{}:", key.name, key.text);
                    write(value, out);
                }
                out.push('}');
            }
            Value::Seq(items) => {
                out.push('[');
                items.iter().for_each(|item| write(item, out));
                out.push(']');
            }
            value => *out += &format!("{value:?};"),
        }
    }
    let each = |tree: Result<Tree, _>| {
        let mut out = String::new();
        write(&tree.ok()?, &mut out);
        Some(out)
    };
    load(text).into_iter().map(each).collect()
}

/// All words of a text in their order, comments too; a comment's inner blanks don't matter here.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn check(text: &str) -> Option<String> {
    let new = format(text).ok()?;
    assert_eq!(meaning(text), meaning(&new), "{text}\n=>\n{new}");
    // `a :` becomes `a:`.
    assert_eq!(words(text).concat(), words(&new).concat(), "{text}\n=>\n{new}");
    assert_eq!(text.matches('\n').count(), new.matches('\n').count(), "{text}\n=>\n{new}");
    assert_eq!(format(&new).as_deref(), Ok(new.as_str()), "twice");
    Some(new)
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_of_the_repository() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["lessons", "crates"] {
        files(&top.join(folder), &mut found);
    }
    let texts: Vec<String> = found.iter().filter_map(|p| std::fs::read_to_string(p).ok()).collect();
    let formatted = texts.iter().filter(|t| check(t).is_some()).count();
    assert!(formatted > 200 && formatted * 10 > texts.len() * 9, "{formatted} of {}", texts.len());
}

/// Random numbers, the same ones each time.
struct Luck(u64);

impl Luck {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
    fn blanks(&mut self, least: usize) -> String {
        " ".repeat(least + self.below(4) * self.below(2))
    }
}

const SCALARS: [&str; 16] = [
    "80",
    "web",
    "\"80\"",
    "'it''s'",
    "true",
    "on",
    "0777",
    "1e3",
    "~",
    "http://web:80/",
    "a#b",
    "名字",
    "\"a \\\" b\"",
    "10.0.0.1",
    "-1",
    "x y",
];

/// A value behind a key or a dash that stands at `column`: the rest of that line and the lines below.
fn value(luck: &mut Luck, column: usize, depth: usize, in_list: bool, out: &mut String) {
    match luck.below(if depth > 4 { 4 } else { 9 }) {
        0 | 1 => *out += &format!("{}{}", luck.blanks(1), luck.of(&SCALARS)),
        2 => *out += &format!("{}{{a: {},  b: [1,{}2]}}", luck.blanks(1), luck.of(&SCALARS[..6]), luck.blanks(0)),
        3 => {
            let pad = " ".repeat(column + 1 + luck.below(4));
            let (head, last) = (luck.of(&["|", ">", "|-", ">-"]), luck.below(2));
            *out += &format!(" {head}\n{pad}one\n{pad}  two: # no comment\n");
            *out += &["\n", "   \n"][last].repeat(luck.below(2));
            *out += &format!("{pad}three");
        }
        4 => {
            let pad = " ".repeat(column + 1 + luck.below(3));
            *out += &format!("\n{pad}{}", luck.of(&["\"one\n      two\"", "[a,\n   b,\n          {c: d}]", "plain"]));
        }
        5 | 6 => {
            let indent = column + luck.below(4) + usize::from(in_list);
            list(luck, indent, depth + 1, out);
        }
        _ => {
            let indent = column + 1 + luck.below(4);
            map(luck, indent, depth + 1, out);
        }
    }
    if luck.below(6) == 0 && !out.ends_with("three") {
        *out += &format!("{}# why", luck.blanks(1));
    }
}

fn between(luck: &mut Luck, indent: usize, out: &mut String) {
    if out.ends_with("three") && luck.below(2) == 0 {
        return; // what follows a block of text as deep as it, is text
    }
    match luck.below(8) {
        0 => *out += &format!("\n{}# {}", " ".repeat(indent), luck.of(&["note", "- x", "a: b"])),
        1 => *out += "\n",
        _ => {}
    }
}

fn list(luck: &mut Luck, indent: usize, depth: usize, out: &mut String) {
    for _ in 0..=luck.below(3) {
        between(luck, indent, out);
        *out += &format!("\n{}-", " ".repeat(indent));
        if luck.below(2) == 0 {
            // A mapping that begins on the dash's line.
            let gap = luck.blanks(1);
            let column = indent + 1 + gap.len();
            *out += &format!("{gap}name:");
            value(luck, column, depth + 1, false, out);
            between(luck, column, out);
            *out += &format!("\n{}port: {}", " ".repeat(column), luck.of(&SCALARS));
        } else {
            value(luck, indent, depth, true, out);
        }
    }
}

fn map(luck: &mut Luck, indent: usize, depth: usize, out: &mut String) {
    for i in 0..=luck.below(4) {
        between(luck, indent, out);
        let colon = luck.of(&[":", ":", ":", " :"]);
        *out += &format!("\n{}{}{i}{colon}", " ".repeat(indent), luck.of(&["key", "name", "名"]));
        value(luck, indent, depth, false, out);
    }
}

#[test]
fn random_texts() {
    let mut read = 0;
    for seed in 0..3_000 {
        let mut luck = Luck(seed);
        let mut text = String::new();
        // Never where it belongs, so that a text that was left alone can be told.
        let indent = 1 + luck.below(3);
        map(&mut luck, indent, 0, &mut text);
        text.push('\n');
        if let Some(new) = check(&text) {
            read += 1;
            assert_ne!(new, text);
        }
    }
    assert!(read > 2_000, "{read}");
}
