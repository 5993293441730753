//! A lesson in one language, as the page shows it.

use crate::markdown::{Rendered, document, fragment};
use crate::read::{Mistake, all_files, by_name, diagnostic, lesson, page_files, place};
use crate::spec::{LANGUAGES, LessonSpec, QuestionSpec};
use crate::values::Text;
use lab_protocol::{AnswerOption, LessonView, Question, TaskView};
use std::collections::BTreeMap;

/// Makes the page's view of a lesson from the files of its folder (names with or without folders before them).
///
/// # Errors
/// Every mistake in the files that this language needs, with its file and place.
pub fn view(files: &BTreeMap<String, String>, language: &str) -> Result<LessonView, Vec<Mistake>> {
    let files = by_name(files);
    let (spec, text) = (spec(&files)?, format!("{language}.md"));
    let needed = page_files(files["lesson.yaml"], language);
    let mut mistakes = missing(&needed, &files);
    let Some(markdown) = files.get(text.as_str()) else { return Err(mistakes) };
    let page = document(markdown);
    mistakes.extend(text_mistakes(&spec, &text, markdown, &page));
    mistakes.extend(small_texts(&spec, files["lesson.yaml"], language));
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let html = |t: &Text| fragment(t.get(language)).html;
    let file = |name: &str| files.get(name).copied().unwrap_or_default().to_owned();
    let question = |q: &QuestionSpec| Question {
        id: q.id.clone(),
        html: html(&q.text),
        options: q
            .options
            .iter()
            .map(|o| AnswerOption { html: html(&o.text), right: o.right, reply: html(&o.reply) })
            .collect(),
        explanation: html(&q.explanation),
    };
    Ok(LessonView {
        id: spec.id.clone(),
        hash: hash(&needed, &files),
        title: page.title,
        minutes: spec.minutes,
        html: page.html,
        prediction: spec.prediction.as_ref().map(question),
        tasks: spec
            .tasks
            .iter()
            .map(|t| TaskView {
                id: t.id.clone(),
                html: html(&t.text),
                hints: t.hints.iter().map(html).collect(),
                solution: t.solution_file().map(file),
                solution_html: html(&t.explain),
            })
            .collect(),
        quiz: spec.quiz.iter().map(question).collect(),
        editor: file("editor.yaml"),
        start: file("start.yaml"),
    })
}

/// Everything that is wrong with a lesson's folder, in whichever language, that can be known without running it.
pub fn lint(files: &BTreeMap<String, String>) -> Vec<Mistake> {
    let files = by_name(files);
    let spec = match spec(&files) {
        Ok(spec) => spec,
        Err(mistakes) => return mistakes,
    };
    let mut mistakes: Vec<Mistake> = Vec::new();
    let mut parts: Option<(&str, Rendered)> = None;
    let mut wanted: Vec<String> = Vec::new();
    for language in LANGUAGES {
        let names = all_files(&spec, files["lesson.yaml"], language);
        mistakes.extend(missing(&names, &files));
        wanted.extend(names);
        mistakes.extend(small_texts(&spec, files["lesson.yaml"], language));
        let name = format!("{language}.md");
        let Some(markdown) = files.get(name.as_str()) else { continue };
        let page = document(markdown);
        mistakes.extend(text_mistakes(&spec, &name, markdown, &page));
        match &parts {
            None => parts = Some((language, page)),
            Some((first, other)) => {
                for (what, a, b) in [
                    ("parts", keys(&other.parts), keys(&page.parts)),
                    ("headings' ids", other.anchors.join(", "), page.anchors.join(", ")),
                ] {
                    if a != b {
                        mistakes
                            .push(at_start(&name, format!("{what} differ: `{first}.md` has {a}; this text has {b}")));
                    }
                }
            }
        }
    }
    for name in files.keys().filter(|n| !wanted.iter().any(|w| w == *n)) {
        mistakes.push(at_start(name, "nothing in the lesson uses this file".into()));
    }
    mistakes
        .sort_by(|a, b| (&a.0, a.1.line, a.1.column, &a.1.message).cmp(&(&b.0, b.1.line, b.1.column, &b.1.message)));
    mistakes.dedup();
    mistakes
}

fn keys(parts: &[(String, String)]) -> String {
    parts.iter().map(|(kind, id)| format!("{kind} {id}").trim_end().to_owned()).collect::<Vec<_>>().join(", ")
}

fn at_start(file: &str, message: String) -> Mistake {
    (file.to_owned(), diagnostic(1, 1, 1, message))
}

fn spec(files: &BTreeMap<&str, &str>) -> Result<LessonSpec, Vec<Mistake>> {
    match files.get("lesson.yaml") {
        Some(yaml) => lesson(yaml),
        None => Err(vec![at_start("lesson.yaml", "this file is missing".into())]),
    }
}

fn missing(names: &[String], files: &BTreeMap<&str, &str>) -> Vec<Mistake> {
    let missing = names.iter().filter(|n| !files.contains_key(n.as_str()));
    missing.map(|n| at_start(n, "this file is missing".into())).collect()
}

/// Mistakes in a text: Markdown, places of parts, links within it.
fn text_mistakes(spec: &LessonSpec, name: &str, markdown: &str, page: &Rendered) -> Vec<Mistake> {
    let mut out: Vec<Mistake> = Vec::new();
    for (range, message) in &page.problems {
        let (line, column, length) = place(markdown, range.start, range.end);
        out.push((name.to_owned(), diagnostic(line, column, length, message.clone())));
    }
    let mut wanted: Vec<(&str, &str)> = spec.prediction.iter().map(|_| ("prediction", "")).collect();
    wanted.extend(spec.tasks.iter().map(|t| ("task", t.id.as_str())));
    wanted.extend(spec.quiz.iter().map(|q| ("quiz", q.id.as_str())));
    let at = |kind: &str, id: &str| {
        let line = if id.is_empty() { format!("::{kind}") } else { format!("::{kind}{{id={id}}}") };
        let start = markdown.rfind(&line);
        (start.map_or((1, 1, 1), |s| place(markdown, s, s + line.len())), line)
    };
    let mut add = |kind: &str, id: &str, message: &str| {
        let ((line, column, length), directive) = at(kind, id);
        out.push((name.to_owned(), diagnostic(line, column, length, format!("`{directive}` {message}"))));
    };
    for (kind, id) in &wanted {
        match page.parts.iter().filter(|(k, i)| k == kind && i == id).count() {
            0 => add(kind, id, "is missing from the text"),
            1 => {}
            _ => add(kind, id, "is in the text more than once"),
        }
    }
    for (kind, id) in page.parts.iter().filter(|(k, i)| !wanted.contains(&(k.as_str(), i.as_str()))) {
        add(kind, id, "places something that lesson.yaml doesn't have");
    }
    for link in page.links.iter().filter_map(|l| l.strip_prefix('#')) {
        if !page.anchors.iter().any(|a| a == link) {
            let start = markdown.find(&format!("#{link})")).unwrap_or(0);
            let (line, column, length) = place(markdown, start, start + link.len() + 1);
            out.push((name.to_owned(), diagnostic(line, column, length, format!("no heading has the id `{link}`"))));
        }
    }
    out
}

/// Mistakes in the Markdown of `lesson.yaml`.
fn small_texts(spec: &LessonSpec, yaml: &str, language: &str) -> Vec<Mistake> {
    let mut texts: Vec<(&str, &Text)> = Vec::new();
    for q in spec.prediction.iter().chain(&spec.quiz) {
        texts.extend([(q.id.as_str(), &q.text), (&q.id, &q.explanation)]);
        texts.extend(q.options.iter().flat_map(|o| [(q.id.as_str(), &o.text), (&q.id, &o.reply)]));
    }
    for t in &spec.tasks {
        texts.extend([(t.id.as_str(), &t.text), (&t.id, &t.explain)]);
        texts.extend(t.hints.iter().map(|h| (t.id.as_str(), h)));
    }
    let mut out = Vec::new();
    for (id, text) in texts {
        let rendered = fragment(text.get(language));
        for (range, message) in rendered.problems {
            let source = text.get(language).get(range).unwrap_or("").lines().next().unwrap_or("");
            let start = yaml.find(source).filter(|_| !source.is_empty()).or_else(|| yaml.find(&format!("id: {id}")));
            let (line, column, length) = place(yaml, start.unwrap_or(0), start.unwrap_or(0) + source.len());
            out.push((
                "lesson.yaml".to_owned(),
                diagnostic(line, column, length, format!("`{id}`, {language}: {message}")),
            ));
        }
    }
    out
}

/// FNV-1a (64 bits) over names and contents of the files that the page needs.
fn hash(names: &[String], files: &BTreeMap<&str, &str>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut eat = |bytes: &[u8]| {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for name in names {
        eat(name.as_bytes());
        eat(files.get(name.as_str()).copied().unwrap_or_default().as_bytes());
    }
    format!("{hash:016x}")
}
