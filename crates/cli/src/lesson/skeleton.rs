//! `servicelab lesson new [CHAPTER/]ID`: a small lesson that works, to be rewritten.

use std::fs;
use std::path::Path;

const FILES: [(&str, &str); 7] = [
    ("lesson.yaml", include_str!("skeleton/lesson.yaml")),
    ("start.yaml", include_str!("skeleton/start.yaml")),
    ("editor.yaml", include_str!("skeleton/editor.yaml")),
    ("solution-service.yaml", include_str!("skeleton/solution-service.yaml")),
    ("wrong-selector.yaml", include_str!("skeleton/wrong-selector.yaml")),
    ("en.md", include_str!("skeleton/en.md")),
    ("zh.md", include_str!("skeleton/zh.md")),
];

/// Writes the files of a new lesson into a course. Gives what to do next.
///
/// # Errors
/// The name is none, the lesson is there already, or the files can't be written.
pub fn new(course: &Path, name: &str) -> Result<String, String> {
    let yaml = super::read(&course.join("course.yaml"))?;
    let chapters =
        lesson::course(&yaml).map_err(|m| m.iter().map(|m| super::line(course, m)).collect::<Vec<_>>().join("\n"))?;
    let last = chapters.chapters.last().map_or("drafts", |c| c.id.as_str());
    let (chapter, id) = name.split_once('/').unwrap_or((last, name));
    for part in [chapter, id] {
        if !lesson::is_id(part) {
            return Err(format!("`{part}` is no id; use letters a to z, digits and `-`, a letter first"));
        }
    }
    let dir = course.join(chapter).join(id);
    if dir.exists() {
        return Err(format!("{} is there already", dir.display()));
    }
    let failed = |why: std::io::Error| format!("{}: {why}", dir.display());
    fs::create_dir_all(&dir).map_err(failed)?;
    for (file, text) in FILES {
        fs::write(dir.join(file), text.replace("LESSON", id)).map_err(failed)?;
    }
    let entry = format!(
        "      - id: {id}\n        title: {{en: {id}, zh: {id}}}\n        summary: {{en: ..., zh: ...}}\n        minutes: 5\n"
    );
    let (dir, file) = (dir.display(), course.join("course.yaml"));
    Ok(format!(
        "{dir} is there. Add it to chapter `{chapter}` of {}:\n\n{entry}\nthen: servicelab lesson check {dir}\n",
        file.display()
    ))
}
