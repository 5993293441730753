//! `servicelab lesson check [DIR]`: lessons held to their promises.

mod prove;
mod skeleton;

pub use skeleton::new;

use kube_api::yaml;
use lab_protocol::Phrase;
use lesson::{Course, LANGUAGES, LessonSpec, Mistake};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// A line for each mistake and each lesson.
    pub lines: Vec<String>,
    /// Lessons that keep their promises.
    pub passed: usize,
    /// Those that don't, and a course that doesn't.
    pub failed: usize,
}

impl Report {
    /// The text to print.
    pub fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push_str(&format!("\nLESSONS: {} passed, {} failed\n", self.passed, self.failed));
        text
    }

    fn add(&mut self, name: &str, result: Result<String, Vec<String>>) {
        match result {
            Ok(remark) => {
                self.passed += 1;
                self.lines.push(format!("{name}: ok ({remark})"));
            }
            Err(mistakes) => {
                self.failed += 1;
                self.lines.extend(mistakes);
                self.lines.push(format!("{name}: FAILED"));
            }
        }
    }
}

/// Checks a course (a folder with `course.yaml`) or a lesson (a folder with `lesson.yaml`).
///
/// # Errors
/// The folder can't be read, or holds neither.
pub fn check(dir: &Path) -> Result<Report, String> {
    let mut report = Report::default();
    if dir.join("lesson.yaml").exists() {
        report.add(&dir.display().to_string(), hold(dir));
        return Ok(report);
    }
    let path = dir.join("course.yaml");
    if !path.exists() {
        return Err(format!("{}: neither course.yaml nor lesson.yaml is there", dir.display()));
    }
    let course = match lesson::course(&read(&path)?) {
        Ok(course) => course,
        Err(mistakes) => {
            report.add(&path.display().to_string(), Err(mistakes.iter().map(|m| line(dir, m)).collect()));
            return Ok(report);
        }
    };
    if let Err(lines) = read_alike::<Course>(dir, "course.yaml", &read(&path)?) {
        report.add(&path.display().to_string(), Err(lines));
    }
    let mistakes = course_mistakes(dir, &course)?;
    if !mistakes.is_empty() {
        report.add(&path.display().to_string(), Err(mistakes));
    }
    for folder in folders(dir, &course).filter(|f| f.join("lesson.yaml").exists()) {
        report.add(&folder.display().to_string(), hold(&folder));
    }
    Ok(report)
}

fn folders<'a>(dir: &'a Path, course: &'a Course) -> impl Iterator<Item = PathBuf> + 'a {
    course.chapters.iter().flat_map(move |c| c.lessons.iter().map(move |l| dir.join(&c.id).join(&l.id)))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}

fn line(dir: &Path, (file, d): &Mistake) -> String {
    format!("{}:{}:{}: {}", dir.join(file).display(), d.line, d.column, d.message)
}

/// The files of a lesson's folder by name.
fn files(dir: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut out = BTreeMap::new();
    let entries = fs::read_dir(dir).map_err(|why| format!("{}: {why}", dir.display()))?;
    for entry in entries {
        let path = entry.map_err(|why| format!("{}: {why}", dir.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Editors' own files are nobody's mistake.
        if path.is_file() && !name.starts_with('.') && !name.ends_with('~') {
            out.insert(name, read(&path)?);
        }
    }
    Ok(out)
}

/// A lesson held to its promises: how long its solutions take, or what is wrong.
fn hold(dir: &Path) -> Result<String, Vec<String>> {
    let files = files(dir).map_err(|why| vec![why])?;
    let mistakes = lesson::lint(&files);
    if !mistakes.is_empty() {
        return Err(mistakes.iter().map(|m| line(dir, m)).collect());
    }
    read_alike::<LessonSpec>(dir, "lesson.yaml", &files["lesson.yaml"])?;
    let spec = lesson::lesson(&files["lesson.yaml"]).map_err(|m| m.iter().map(|m| line(dir, m)).collect::<Vec<_>>())?;
    let folder = dir.canonicalize().ok().and_then(|d| d.file_name().map(|n| n.to_string_lossy().into_owned()));
    if folder.is_some_and(|name| name != spec.id) {
        let what = format!("{}: its id is `{}`; folder and id have to be the same", dir.display(), spec.id);
        return Err(vec![what]);
    }
    prove::prove(&spec, &files).map_err(|lines| lines.iter().map(|l| format!("{}: {l}", dir.display())).collect())
}

/// A second opinion: the page reads its files with the API server's YAML 1.1; an author's other tools use a reader like
/// serde_yaml. Where the two understand something else (`on`, `0777`, a repeated key), the author hears of it.
fn read_alike<T: DeserializeOwned + PartialEq>(dir: &Path, file: &str, text: &str) -> Result<(), Vec<String>> {
    let at = |what: String| vec![format!("{}: {what}", dir.join(file).display())];
    let theirs: T = serde_yaml::from_str(text).map_err(|error| at(format!("serde_yaml: {error}")))?;
    let ours =
        yaml::load(text).into_iter().next().and_then(Result::ok).and_then(|tree| yaml::from_tree::<T>(&tree).ok());
    match ours {
        Some(ours) if ours == theirs => Ok(()),
        Some(_) => Err(at("YAML 1.1 and 1.2 read it differently; quote words like on, no, 0777".into())),
        None => Ok(()), // told elsewhere, with its place
    }
}

/// What course.yaml says, held against the lessons.
fn course_mistakes(dir: &Path, course: &Course) -> Result<Vec<String>, String> {
    let path = dir.join("course.yaml");
    let mut out = Vec::new();
    let mut earlier: BTreeSet<&str> = BTreeSet::new();
    let entries = course.chapters.iter().flat_map(|c| c.lessons.iter().map(move |l| (c, l)));
    for (chapter, entry) in entries {
        let folder = dir.join(&chapter.id).join(&entry.id);
        let mut add = |what: String| out.push(format!("{}: lesson `{}`: {what}", path.display(), entry.id));
        if !folder.join("lesson.yaml").exists() {
            add(format!("{} is missing", folder.join("lesson.yaml").display()));
            continue;
        }
        let files = files(&folder)?;
        let Ok(spec) = lesson::lesson(&files["lesson.yaml"]) else { continue };
        entry_mistakes(&spec, entry, &earlier, &files, &mut add);
        earlier.insert(&entry.id);
    }
    let listed: BTreeSet<PathBuf> = folders(dir, course).collect();
    for chapter in subfolders(dir)? {
        for folder in subfolders(&chapter)?.into_iter().filter(|f| f.join("lesson.yaml").exists()) {
            if !listed.contains(&folder) {
                out.push(format!("{}: {} is in no chapter", path.display(), folder.display()));
            }
        }
    }
    Ok(out)
}

fn entry_mistakes(
    spec: &LessonSpec,
    entry: &lesson::CourseLesson,
    earlier: &BTreeSet<&str>,
    files: &BTreeMap<String, String>,
    add: &mut impl FnMut(String),
) {
    if spec.minutes != entry.minutes {
        add(format!("`minutes: {}`, but {} in lesson.yaml", entry.minutes, spec.minutes));
    }
    for other in spec.requires.iter().filter(|r| !earlier.contains(r.as_str())) {
        add(format!("it requires `{other}`, which is no earlier lesson"));
    }
    for language in LANGUAGES {
        if let Ok(view) = lesson::view(files, language) {
            let title = entry.title.get(language);
            if view.title != title {
                add(format!("its title in `{language}` is `{title}`, but `{}` in its text", view.title));
            }
        }
    }
}

fn subfolders(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|why| format!("{}: {why}", dir.display()))?;
    let mut out: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_dir()).collect();
    out.sort();
    Ok(out)
}

/// A phrase in English.
pub fn say(phrase: &Phrase) -> String {
    let catalogue = include_str!("../../../public/i18n/en.json");
    let texts: BTreeMap<String, String> = serde_json::from_str(catalogue).unwrap_or_default();
    let mut text = texts.get(&phrase.id).cloned().unwrap_or_else(|| phrase.id.clone());
    for (name, value) in &phrase.args {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> BTreeMap<String, String> {
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lessons/basics/first-service")).unwrap()
    }

    /// What is said when `from` in `file` is replaced by `to`.
    fn after(file: &str, from: &str, to: &str) -> Vec<String> {
        let mut files = first();
        let text = files.get_mut(file).unwrap();
        assert!(text.contains(from), "{from}");
        *text = text.replacen(from, to, 1);
        let spec = lesson::lesson(&files["lesson.yaml"]).unwrap();
        prove::prove(&spec, &files).err().unwrap_or_default()
    }

    #[test]
    fn the_course_keeps_its_promises() {
        let report = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lessons")).unwrap();
        assert_eq!(report.failed, 0, "{}", report.text());
    }

    #[test]
    fn broken_promises_are_told() {
        let cases = [
            (
                "lesson.yaml",
                "gone: {min: 1}",
                "gone: {min: 2}",
                "`lose-address`: the solution doesn't solve it: check `gone`",
            ),
            (
                "solution-service.yaml",
                "app: web\n  ports",
                "app: wbe\n  ports",
                "`connect`: the solution doesn't solve it",
            ),
            ("solution-service.yaml", "port: 80\n", "port: 80000\n", "the solution is refused: line"),
            ("wrong-selector.yaml", "app: website", "app: web", "`connect`: wrong answer 3 solves it"),
            ("wrong-port.yaml", "port: 8080\n---", "port: 80\n---", "wrong answer 2 should fail check `port` with"),
            (
                "solution-broken.yaml",
                "app: shop",
                "app: web",
                "`break`: the solution doesn't solve it: check `nothing`",
            ),
            ("start.yaml", "seed: 7", "sede: 7", "start.yaml:"),
        ];
        for (file, from, to, expected) in cases {
            let said = after(file, from, to);
            assert!(said.iter().any(|line| line.contains(expected)), "{from}: {said:#?}");
        }
    }

    #[test]
    fn a_lesson_that_is_solved_from_the_start_is_none() {
        let mut files = first();
        let service = files["solution-service.yaml"].split("---").next().unwrap().to_owned();
        files.get_mut("start.yaml").unwrap().push_str(&format!("---\n{service}"));
        let text = files.get_mut("lesson.yaml").unwrap();
        *text = text.replacen("after: [lose-address]", "after: []", 1);
        let spec = lesson::lesson(&files["lesson.yaml"]).unwrap();
        let said = prove::prove(&spec, &files).unwrap_err();
        assert!(said[0].contains("`connect` is solved at") && said[0].ends_with("nobody did anything"), "{said:#?}");
    }

    #[test]
    fn a_new_lesson_keeps_its_promises() {
        let dir = std::env::temp_dir().join(format!("servicelab-lesson-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("course.yaml"), "title: {en: a, zh: a}\nchapters: []\n").unwrap();
        new(&dir, "my-chapter/my-lesson").unwrap();
        let report = check(&dir.join("my-chapter/my-lesson")).unwrap();
        let again = new(&dir, "my-chapter/my-lesson").unwrap_err();
        let outside = new(&dir, "../my-lesson").unwrap_err();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!((report.passed, report.failed), (1, 0), "{}", report.text());
        assert!(again.contains("there already") && outside.contains("no id"));
    }
}
