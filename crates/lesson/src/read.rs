//! Reads course and lesson files; mistakes with their places.

use crate::check::Check;
use crate::markdown::is_id;
use crate::spec::{Course, LANGUAGES, LessonSpec, QuestionSpec, Step, TaskSpec};
use crate::values::Text;
use kube_api::yaml::{self, Span};
use lab_protocol::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// A mistake in a file: its name, and what is wrong where.
pub type Mistake = (String, Diagnostic);

/// Reads `course.yaml`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn course(yaml: &str) -> Result<Course, Vec<Mistake>> {
    let course: Course = parse("course.yaml", yaml)?;
    let mut found = Found { file: "course.yaml", text: yaml, mistakes: Vec::new() };
    let mut ids = BTreeSet::new();
    found.text("the course's title", "title:", &course.title);
    for chapter in &course.chapters {
        found.id(&chapter.id, &mut ids, "");
        found.text("a chapter's title", &chapter.id, &chapter.title);
        for lesson in &chapter.lessons {
            found.id(&lesson.id, &mut ids, "");
            found.text("a lesson's title", &lesson.id, &lesson.title);
            found.text("a lesson's summary", &lesson.id, &lesson.summary);
        }
    }
    found.done(course)
}

/// Reads `lesson.yaml`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn lesson(yaml: &str) -> Result<LessonSpec, Vec<Mistake>> {
    let spec: LessonSpec = parse("lesson.yaml", yaml)?;
    let mut found = Found { file: "lesson.yaml", text: yaml, mistakes: Vec::new() };
    found.lesson(&spec);
    found.done(spec)
}

/// Files that the page needs to show a lesson in one language, found by looking through the text of
/// its `lesson.yaml` (no YAML is read, so that this costs the page nothing).
pub fn page_files(lesson_yaml: &str, language: &str) -> Vec<String> {
    let mut names: BTreeSet<String> = ["lesson.yaml", "start.yaml", "editor.yaml"].map(String::from).into();
    names.insert(format!("{language}.md"));
    for rest in lesson_yaml.split("apply:").skip(1) {
        let rest = rest.trim_start_matches([' ', '"', '\'']);
        let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).next().unwrap_or("");
        if name.starts_with(SOLUTION) && is_file(name) {
            names.insert(name.to_owned());
        }
    }
    names.into_iter().collect()
}

/// What names of files begin with that a solution applies.
const SOLUTION: &str = "solution-";

/// Every file of a lesson in one language.
pub(crate) fn all_files(spec: &LessonSpec, lesson_yaml: &str, language: &str) -> Vec<String> {
    let mut names: BTreeSet<String> = page_files(lesson_yaml, language).into_iter().collect();
    for step in spec.tasks.iter().flat_map(|t| t.paths().flatten()) {
        if let Step::Apply(file) = step {
            names.insert(file.clone());
        }
    }
    names.into_iter().collect()
}

/// Reads a file's one document, with the reader that reads manifests.
fn parse<T: serde::de::DeserializeOwned>(file: &str, yaml: &str) -> Result<T, Vec<Mistake>> {
    let mistake = |d: kube_api::Diagnostic| {
        let message = d.message.trim_start_matches("yaml: ").to_owned();
        vec![(file.to_owned(), diagnostic(d.span.line, d.span.column, d.span.length.max(1), message))]
    };
    let mut documents = yaml::load(yaml).into_iter();
    let tree = match (documents.next(), documents.next()) {
        (Some(Ok(tree)), None) => tree,
        (Some(Err(wrong)), _) | (_, Some(Err(wrong))) => return Err(mistake(wrong)),
        (None, _) => return Err(vec![(file.to_owned(), diagnostic(1, 1, 1, "the file is empty".into()))]),
        (_, Some(Ok(second))) => {
            let Span { line, column, .. } = second.span;
            let message = "a second document; there is one in a file".into();
            return Err(vec![(file.to_owned(), diagnostic(line, column, 1, message))]);
        }
    };
    yaml::from_tree(&tree).map_err(mistake)
}

/// A mistake that prevents a lesson from being shown.
pub(crate) fn diagnostic(line: u32, column: u32, length: u32, message: String) -> Diagnostic {
    Diagnostic { line, column, length, error: true, path: String::new(), message, phrase: None }
}

/// Line, column and length (from 1, in characters) of a range of bytes.
pub(crate) fn place(text: &str, start: usize, end: usize) -> (u32, u32, u32) {
    let start = (0..=start.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let before = &text[..start];
    let line = before.matches('\n').count() as u32 + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u32 + 1;
    let rest = text.get(start..end.max(start)).unwrap_or("").lines().next().unwrap_or("");
    (line, column, rest.chars().count().max(1) as u32)
}

/// Where a word stands in a text: the last time, since mistakes in references come after what they refer to.
fn word(text: &str, word: &str) -> (u32, u32, u32) {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
    let whole = |i: &usize| !inside(text[..*i].chars().next_back()) && !inside(text[*i + word.len()..].chars().next());
    let found = text.match_indices(word).map(|(i, _)| i).filter(whole).last();
    found.map_or((1, 1, 1), |i| place(text, i, i + word.len()))
}

/// Mistakes of one file.
struct Found<'a> {
    file: &'a str,
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl Found<'_> {
    fn done<T>(self, value: T) -> Result<T, Vec<Mistake>> {
        if self.mistakes.is_empty() { Ok(value) } else { Err(self.mistakes) }
    }

    fn add(&mut self, near: &str, message: String) {
        let (line, column, length) = word(self.text, near);
        self.mistakes.push((self.file.to_owned(), diagnostic(line, column, length, message)));
    }

    fn id(&mut self, id: &str, ids: &mut BTreeSet<String>, of: &str) {
        if !is_id(id) {
            self.add(id, format!("`{id}` is no id; use letters a to z, digits and `-`, a letter first"));
        } else if !ids.insert(id.to_owned()) {
            self.add(id, format!("`{id}` is there twice{of}"));
        }
    }

    /// Each language has the text, and no unknown one.
    fn text(&mut self, what: &str, near: &str, text: &Text) {
        for language in LANGUAGES {
            if text.get(language).trim().is_empty() {
                self.add(near, format!("{what} (`{near}`) is missing in `{language}`"));
            }
        }
        for language in text.0.keys().filter(|l| !LANGUAGES.contains(&l.as_str())) {
            self.add(near, format!("{what} (`{near}`) is in a language that isn't known: `{language}`"));
        }
    }

    fn lesson(&mut self, spec: &LessonSpec) {
        let mut ids = BTreeSet::new();
        self.id(&spec.id, &mut BTreeSet::new(), "");
        if spec.minutes == 0 {
            self.add("minutes", "a lesson takes at least a minute".into());
        }
        if spec.tasks.is_empty() {
            self.add("tasks", "a lesson has at least one task".into());
        }
        for question in spec.prediction.iter().chain(&spec.quiz) {
            self.id(&question.id, &mut ids, "");
            self.question(question);
        }
        for (i, task) in spec.tasks.iter().enumerate() {
            self.id(&task.id, &mut ids, "");
            for other in &task.after {
                if !spec.tasks[..i].iter().any(|t| t.id == *other) {
                    self.add(other, format!("task `{}` comes after `{other}`, which is no earlier task", task.id));
                }
            }
            self.task(task);
        }
    }

    fn question(&mut self, q: &QuestionSpec) {
        self.text("the question", &q.id, &q.text);
        self.text("the explanation", &q.id, &q.explanation);
        if q.options.len() < 2 {
            self.add(&q.id, format!("question `{}` has fewer than two answers", q.id));
        }
        let right = q.options.iter().filter(|o| o.right).count();
        if right != 1 {
            self.add(&q.id, format!("question `{}` has {right} right answers; it should have one", q.id));
        }
        for option in &q.options {
            self.text("an answer", &q.id, &option.text);
            self.text("the reply to an answer", &q.id, &option.reply);
        }
    }

    fn task(&mut self, task: &TaskSpec) {
        self.text("the task", &task.id, &task.text);
        self.text("the solution in words", &task.id, &task.explain);
        if task.hints.is_empty() {
            self.add(&task.id, format!("task `{}` has no hint", task.id));
        }
        for hint in &task.hints {
            self.text("a hint", &task.id, hint);
        }
        if task.checks.is_empty() {
            self.add(&task.id, format!("task `{}` has no check, so it would be solved at once", task.id));
        }
        if task.solution.is_empty() {
            self.add(&task.id, format!("task `{}` has no solution", task.id));
        }
        let mut ids = BTreeSet::new();
        for check in &task.checks {
            self.since(task, check, &ids);
            self.id(&check.id, &mut ids, &format!(" in task `{}`", task.id));
        }
        for wrong in &task.wrong {
            if !ids.contains(&wrong.finding) {
                let what =
                    format!("task `{}` has no check `{}` that a wrong answer could fail", task.id, wrong.finding);
                self.add(&wrong.finding, what);
            }
        }
        for step in task.paths().flatten() {
            match step {
                Step::Apply(file) if !is_file(file) => {
                    self.add(file, format!("`{file}` is no YAML file of the lesson's own folder"));
                }
                _ => {}
            }
        }
        if let Some(file) = task.solution_file().filter(|f| !f.starts_with(SOLUTION)) {
            self.add(
                file,
                format!("`{file}` should be called `{SOLUTION}...`: the page fetches a solution by this name"),
            );
        }
        if task.wrong.is_empty() && task.solution_file().is_some() {
            self.add(&task.id, format!("task `{}` is solved by YAML and has no wrong answer", task.id));
        }
    }

    fn since(&mut self, task: &TaskSpec, check: &Check, earlier: &BTreeSet<String>) {
        if let Some(since) = check.window.since.as_ref().filter(|s| !earlier.contains(*s)) {
            let what = format!("check `{}` of task `{}`: no check before it is called `{since}`", check.id, task.id);
            self.add(since, what);
        }
    }
}

fn is_file(name: &str) -> bool {
    name.ends_with(".yaml")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !name.starts_with('.')
}

/// The text of each file by name; names may have folders before them.
pub(crate) fn by_name(files: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    files.iter().map(|(path, text)| (path.rsplit('/').next().unwrap_or(path), text.as_str())).collect()
}
