//! `servicelab site render DIST`: a page for each language and lesson in a built site, with its text in it.
//!
//! `index.html` is the template. Everything is read from the site itself (`i18n/`, `lessons/`), so what is rendered is what
//! is served. A lesson with mistakes gets a page that shows them; the app draws the lesson when they are mended.

mod frame;
mod parts;

use frame::{Frame, escape};
use lab_protocol::LessonView;
use lesson::{Chapter, Course, CourseLesson, LANGUAGES, Mistake};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Texts of one language.
pub struct Words {
    /// `en` or `zh`.
    pub language: &'static str,
    texts: BTreeMap<String, String>,
}

impl Words {
    fn load(dist: &Path, language: &'static str) -> Result<Words, String> {
        let path = dist.join(format!("i18n/{language}.json"));
        let texts = serde_json::from_str(&read(&path)?).map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(Words { language, texts })
    }

    /// The text of a key, as HTML. A key that is missing is shown.
    pub fn t(&self, key: &str) -> String {
        escape(self.texts.get(key).map_or(key, String::as_str))
    }

    /// The same with values in place of `{name}`.
    pub fn tf(&self, key: &str, args: &[(&str, &str)]) -> String {
        args.iter().fold(self.t(key), |text, (name, value)| text.replace(&format!("{{{name}}}"), &escape(value)))
    }

    /// A text that depends on a number. Chinese has one form, English two.
    pub fn tn(&self, key: &str, n: usize) -> String {
        let form = if n == 1 && self.language == "en" { "one" } else { "other" };
        self.tf(&format!("{key}_{form}"), &[("n", &n.to_string())])
    }
}

/// Where a lesson stands in the course.
pub struct Entry<'c> {
    /// Its chapter.
    pub chapter: &'c Chapter,
    /// Itself.
    pub lesson: &'c CourseLesson,
    /// Its place in the chapter, from 1.
    pub number: usize,
    /// How many the chapter has.
    pub of: usize,
}

/// Writes all pages and tells what was written.
///
/// # Errors
/// Something can't be read or written, or the course is no course.
pub fn render(dist: &Path) -> Result<String, String> {
    let template = read(&dist.join("index.html"))?;
    let course_path = dist.join("lessons/course.yaml");
    let course = lesson::course(&read(&course_path)?)
        .map_err(|m| m.iter().map(|m| told(&dist.join("lessons"), m)).collect::<Vec<_>>().join("\n"))?;
    let entries = entries(dist, &course);
    let mut report = String::new();
    let mut pages = 0;
    for language in LANGUAGES {
        let words = Words::load(dist, language)?;
        let frame = Frame { template: &template, words: &words };
        write(dist, language, "", &frame.page(&home(&words, &entries)))?;
        write(dist, language, "playground/", &frame.page(&playground(&words)))?;
        for (i, entry) in entries.iter().enumerate() {
            let around = (i.checked_sub(1).map(|i| &entries[i]), entries.get(i + 1));
            let folder = dist.join("lessons").join(&entry.chapter.id).join(&entry.lesson.id);
            let view = view(&folder, language);
            if let Err(mistakes) = &view {
                for mistake in mistakes {
                    report.push_str(&format!("warning: {}\n", told(&folder, mistake)));
                }
            }
            let page = frame.page(&lesson_page(&words, entry, around, view));
            write(dist, language, &format!("{}/", entry.lesson.id), &page)?;
        }
        pages += 2 + entries.len();
    }
    Ok(format!("{report}rendered {pages} pages\n"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}

fn write(dist: &Path, language: &str, path: &str, page: &str) -> Result<(), String> {
    let folder = dist.join(language).join(path);
    let tell = |why: std::io::Error| format!("{}: {why}", folder.display());
    fs::create_dir_all(&folder).map_err(tell)?;
    fs::write(folder.join("index.html"), page).map_err(tell)
}

fn told(folder: &Path, (file, d): &Mistake) -> String {
    format!("{}:{}:{}: {}", folder.join(file).display(), d.line, d.column, d.message)
}

/// The course's lessons that exist.
fn entries<'c>(dist: &Path, course: &'c Course) -> Vec<Entry<'c>> {
    let mut out = Vec::new();
    for chapter in &course.chapters {
        let there = |l: &&CourseLesson| dist.join("lessons").join(&chapter.id).join(&l.id).join("lesson.yaml").exists();
        let lessons: Vec<&CourseLesson> = chapter.lessons.iter().filter(there).collect();
        let of = lessons.len();
        out.extend(lessons.into_iter().enumerate().map(|(i, lesson)| Entry { chapter, lesson, number: i + 1, of }));
    }
    out
}

fn view(folder: &Path, language: &str) -> Result<LessonView, Vec<Mistake>> {
    let mut files = BTreeMap::new();
    let paths = fs::read_dir(folder).map(|d| d.filter_map(|e| e.ok().map(|e| e.path())).collect()).unwrap_or_default();
    let paths: Vec<PathBuf> = paths;
    for path in paths {
        if let (Some(name), Ok(text)) = (path.file_name(), fs::read_to_string(&path)) {
            files.insert(name.to_string_lossy().into_owned(), text);
        }
    }
    lesson::view(&files, language)
}

/// What makes one page.
#[derive(Default)]
pub struct Page {
    /// `home`, `lesson`, `playground`.
    pub kind: &'static str,
    /// Below the language: empty, or `first-service/`.
    pub path: String,
    /// Id of the lesson, or `playground`.
    pub lesson: String,
    /// Folder of the lesson below `lessons/`.
    pub folder: String,
    /// For the tab (HTML).
    pub title: String,
    /// For search engines (HTML).
    pub description: String,
    /// Names on the way to this page (HTML): what is in the top bar beside the brand.
    pub crumbs: Vec<String>,
    /// What is between the top bar and the end (HTML).
    pub body: String,
    /// Class of `<body>`.
    pub class: &'static str,
}

fn home(w: &Words, entries: &[Entry<'_>]) -> Page {
    let first = entries.first();
    let go = first.map_or(String::new(), |e| {
        format!(
            r#"<a class="btn btn-primary btn-lg" data-mount="go" href="{}/{}/">{}</a>"#,
            w.language,
            e.lesson.id,
            w.tf("home-start", &[("title", e.lesson.title.get(w.language))])
        )
    });
    let body = format!(
        r#"<main id="main" tabindex="-1">
<section class="hero">
<div class="hero-text"><h1>{}</h1>
<p class="lead">{}</p>
<div class="cta">{go}<a class="btn btn-lg" href="{}/playground/">{}</a></div>
<p class="fine">{}</p></div>
<figure class="hero-stage"><div class="hero-mount" data-mount="hero"><noscript><p class="wait">{}</p></noscript></div>
<figcaption><span><i class="m-burst" aria-hidden="true"></i>{}</span><span><i class="m-ring" aria-hidden="true"></i>{}</span><span class="dim">{}</span></figcaption></figure>
</section>
{}
</main>"#,
        w.t("home-title"),
        w.t("home-lead"),
        w.language,
        w.t("home-playground"),
        w.tn("home-fine", entries.len()),
        w.t("no-script"),
        w.t("stage-refused"),
        w.t("stage-timed-out"),
        w.t("home-live"),
        map(w, entries),
    );
    Page {
        kind: "home",
        title: w.t("site-title"),
        description: w.t("home-lead"),
        body,
        class: "home",
        ..Page::default()
    }
}

/// The course: chapters, and lessons that exist.
fn map(w: &Words, entries: &[Entry<'_>]) -> String {
    let mut columns = String::new();
    for first in entries.iter().filter(|e| e.number == 1) {
        let mut list = String::new();
        for e in entries.iter().filter(|e| e.chapter.id == first.chapter.id) {
            list.push_str(&format!(
                r#"<li data-course-lesson="{id}"><a href="{lang}/{id}/"><span class="tick">{}</span><span class="map-lesson"><span class="map-title" data-title>{}</span><span class="map-summary">{}</span></span><span class="meta">{}</span><span class="sr" data-state></span></a></li>"#,
                frame::icon("M3.5 8.5l3 3 6-7", 12),
                escape(e.lesson.title.get(w.language)),
                escape(e.lesson.summary.get(w.language)),
                w.tn("minutes", e.lesson.minutes as usize),
                id = e.lesson.id,
                lang = w.language,
            ));
        }
        columns.push_str(&format!(
            "<section><h3>{}</h3><ol>{list}</ol></section>",
            escape(first.chapter.title.get(w.language))
        ));
    }
    format!(
        r#"<section class="map" id="course" aria-labelledby="map-h"><div class="map-head"><h2 id="map-h">{}</h2><span class="meta" data-mount="course-count">{}</span></div><div class="map-cols">{columns}</div></section>"#,
        w.t("course"),
        w.tn("course-lessons", entries.len()),
    )
}

fn lesson_page(
    w: &Words,
    entry: &Entry<'_>,
    around: (Option<&Entry<'_>>, Option<&Entry<'_>>),
    view: Result<LessonView, Vec<Mistake>>,
) -> Page {
    let title = entry.lesson.title.get(w.language);
    let path = format!("{}/", entry.lesson.id);
    let (hash, text) = match &view {
        Ok(view) => (view.hash.clone(), parts::body(w, view, &path)),
        Err(mistakes) => (String::new(), parts::mistakes(w, &entry.chapter.id, &entry.lesson.id, mistakes)),
    };
    let shown = view.as_ref().map_or(title, |v| v.title.as_str());
    let article = format!(
        r#"<article class="prose" data-lesson-hash="{hash}"><p class="kicker"><span>{}</span><span>{}</span><span>{}</span></p>
<h1>{}</h1>
<div class="lesson-body">{text}</div>
<div data-mount="end"></div></article>"#,
        escape(entry.chapter.title.get(w.language)),
        w.tf("lesson-of", &[("n", &entry.number.to_string()), ("of", &entry.of.to_string())]),
        w.tn("minutes", entry.lesson.minutes as usize),
        escape(shown),
    );
    let link = |target: Option<&Entry<'_>>, other: (&str, &str)| match target {
        Some(e) => (format!("{}/{}/", w.language, e.lesson.id), escape(e.lesson.title.get(w.language))),
        None => (format!("{}/{}", w.language, other.0), w.t(other.1)),
    };
    let body = parts::lab_page(
        w,
        &article,
        link(around.0, ("#course", "course")),
        link(around.1, ("playground/", "playground")),
    );
    Page {
        kind: "lesson",
        lesson: entry.lesson.id.clone(),
        folder: format!("{}/{}", entry.chapter.id, entry.lesson.id),
        title: format!("{} · {}", escape(shown), w.t("site-title")),
        description: escape(entry.lesson.summary.get(w.language)),
        crumbs: vec![escape(entry.chapter.title.get(w.language)), escape(shown)],
        path,
        body,
        class: "app",
    }
}

fn playground(w: &Words) -> Page {
    let sample = |name: &str| {
        format!(
            r#"<li><button class="btn btn-sm" data-sample="{name}" disabled>{}</button></li>"#,
            w.t(&format!("sample-{name}"))
        )
    };
    let article = format!(
        r#"<article class="prose playground"><p class="kicker"><span>{}</span></p><h1>{}</h1>
<p>{}</p><p>{}</p>
<ul class="samples">{}{}{}</ul>
<p>{}</p><p>{}</p><div class="row" data-mount="reset"></div></article>"#,
        w.t("playground-kicker"),
        w.t("playground"),
        w.t("playground-lead"),
        w.t("playground-how"),
        sample("deployment"),
        sample("service"),
        sample("pod"),
        w.t("playground-break"),
        w.t("playground-kept"),
    );
    let home = (format!("{}/#course", w.language), w.t("course"));
    Page {
        kind: "playground",
        path: "playground/".into(),
        lesson: "playground".into(),
        title: format!("{} · {}", w.t("playground"), w.t("site-title")),
        description: w.t("playground-lead"),
        crumbs: vec![w.t("playground")],
        body: parts::lab_page(w, &article, home, (String::new(), String::new())),
        class: "app",
        ..Page::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn catalogue(language: &str) -> BTreeMap<String, String> {
        serde_json::from_str(&read(&root().join(format!("public/i18n/{language}.json"))).unwrap()).unwrap()
    }

    fn arguments(text: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            text.split('{').skip(1).filter_map(|t| t.split_once('}')).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    #[test]
    fn both_languages_say_the_same() {
        let (en, zh) = (catalogue("en"), catalogue("zh"));
        for (key, text) in &en {
            // Chinese has one form where English has two.
            let Some(other) = zh.get(key) else {
                assert!(key.ends_with("_one") && zh.contains_key(&key.replace("_one", "_other")), "zh lacks `{key}`");
                continue;
            };
            assert!(!text.trim().is_empty() && !other.trim().is_empty(), "`{key}` is empty");
            let (a, b) = (arguments(text), arguments(other));
            assert!(a == b || key.ends_with("_one"), "`{key}` has {a:?} in en and {b:?} in zh");
        }
        for key in zh.keys() {
            assert!(en.contains_key(key), "en lacks `{key}`");
        }
    }

    /// Every file of ours that speaks.
    fn sources(folder: &Path, out: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push((path.clone(), read(&path).unwrap()));
            }
        }
    }

    #[test]
    fn every_key_that_is_used_has_a_text() {
        let en = catalogue("en");
        let mut files = Vec::new();
        for folder in ["src", "crates/cluster/src", "crates/lesson/src", "crates/engine/src", "crates/cli/src/site"] {
            sources(&root().join(folder), &mut files);
        }
        let mut missing = Vec::new();
        for (path, text) in &files {
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (call, suffix) in
                [("t(\"", ""), ("tf(\"", ""), ("tn(\"", "_other"), ("tnf(\"", "_other"), ("Phrase::new(\"", "")]
            {
                for (at, _) in text.match_indices(call) {
                    // `assert("`, `insert("` and the like end in the same letters.
                    if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                        continue;
                    }
                    let key = text[at + call.len()..].split('"').next().unwrap_or_default();
                    if key.contains(['{', ' ']) || en.contains_key(&format!("{key}{suffix}")) {
                        continue;
                    }
                    missing.push(format!("{}: `{key}{suffix}`", path.display()));
                }
            }
        }
        assert!(missing.is_empty(), "no text in public/i18n:\n{}", missing.join("\n"));
    }

    #[test]
    fn pages_are_written_with_their_text() {
        let dist = std::env::temp_dir().join(format!("servicelab-site-{}", std::process::id()));
        let copy = |from: &str, to: &str| {
            let to = dist.join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(root().join(from), to).unwrap();
        };
        copy("index.html", "index.html");
        for name in ["en", "zh"] {
            copy(&format!("public/i18n/{name}.json"), &format!("i18n/{name}.json"));
        }
        copy("lessons/course.yaml", "lessons/course.yaml");
        for entry in fs::read_dir(root().join("lessons/basics/first-service")).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            let path = format!("lessons/basics/first-service/{name}");
            copy(&path, &path);
        }
        render(&dist).unwrap();
        let page = read(&dist.join("zh/first-service/index.html")).unwrap();
        for expected in [
            r#"<html lang="zh-CN" data-page="lesson" data-lesson="first-service" data-folder="basics/first-service""#,
            r#"<base href="../../">"#,
            "<h1>你的第一个 Service</h1>",
            r#"data-part="task""#,
            r#"hreflang="en""#,
        ] {
            assert!(page.contains(expected), "{expected}");
        }
        assert!(!page.contains(" style=") && !page.contains("<script>"), "the policy forbids these");
        let bytes = "  a: b\n\t- [";
        fs::write(dist.join("lessons/basics/first-service/lesson.yaml"), bytes).unwrap();
        let report = render(&dist).unwrap();
        assert!(report.contains("lesson.yaml:"), "{report}");
        assert!(read(&dist.join("en/first-service/index.html")).unwrap().contains("mistakes"));
        fs::remove_dir_all(&dist).unwrap();
    }
}
