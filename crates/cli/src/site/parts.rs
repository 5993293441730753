//! The book and the frame of the bench. Parts that answer stand in the text as they will look, so that nothing moves when
//! the app takes them over.

use super::Words;
use super::frame::{BACK, NEXT, escape, icon};
use lab_protocol::{LessonView, Question, TaskView};
use lesson::Mistake;

/// Book, stage, time and bench. `before` and `after` are address and name of the neighbours.
pub fn lab_page(w: &Words, article: &str, before: (String, String), after: (String, String)) -> String {
    let next = if after.1.is_empty() {
        "<span></span>".to_owned()
    } else {
        format!(r#"<a class="btn btn-quiet" href="{}"><span>{}</span>{}</a>"#, after.0, after.1, icon(NEXT, 16))
    };
    format!(
        r#"<main class="book" id="main" tabindex="-1"><div class="book-scroll">{article}</div>
<footer class="book-foot"><a class="btn btn-quiet" href="{}">{}<span>{}</span></a><span data-mount="steps"></span>{next}</footer></main>
<section class="lab" id="lab" tabindex="-1" aria-label="{}"><div class="lab-top"><div class="stage-mount" data-mount="stage"><noscript><p class="wait">{}</p></noscript></div><div class="time-mount" data-mount="time"></div></div><div class="bench-mount" data-mount="bench"></div></section>"#,
        before.0,
        icon(BACK, 16),
        before.1,
        w.t("lab-label"),
        w.t("no-script"),
    )
}

/// The lesson's text with its parts.
pub fn body(w: &Words, view: &LessonView, path: &str) -> String {
    let mut html = view.html.replace("href=\"#s-", &format!("href=\"{}/{path}#s-", w.language));
    for (number, task) in view.tasks.iter().enumerate() {
        fill(&mut html, "task", &task.id, &task_part(w, task, number, view.tasks.len()));
    }
    if let Some(question) = &view.prediction {
        fill(&mut html, "prediction", "", &question_part(w, question, "prediction"));
    }
    for question in &view.quiz {
        fill(&mut html, "quiz", &question.id, &question_part(w, question, "quiz"));
    }
    html
}

fn fill(html: &mut String, kind: &str, id: &str, part: &str) {
    let place = format!("<div data-part=\"{kind}\" data-id=\"{id}\">");
    *html = html.replacen(&format!("{place}</div>"), &format!("{place}{part}</div>"), 1);
}

fn task_part(w: &Words, task: &TaskView, number: usize, of: usize) -> String {
    let (n, of) = ((number + 1).to_string(), of.to_string());
    let hints = if task.hints.is_empty() {
        String::new()
    } else {
        format!(
            r#"<div class="hints"><ol></ol><div class="row"><button class="btn btn-quiet btn-sm" disabled>{} <span class="count">0 / {}</span></button></div></div>"#,
            w.t("hint-first"),
            task.hints.len()
        )
    };
    format!(
        r#"<section class="task"><span class="tick"></span><div class="task-main"><h3 class="task-label">{}</h3><div class="task-text">{}</div><p class="note"></p>{hints}<details class="solution"><summary>{}<span>{}</span></summary><div class="solution-text">{}</div></details></div></section>"#,
        w.tf("task-label", &[("n", &n), ("of", &of)]),
        task.html,
        icon(NEXT, 16),
        w.t("solution"),
        task.solution_html,
    )
}

fn question_part(w: &Words, question: &Question, kind: &str) -> String {
    let options: String = question
        .options
        .iter()
        .map(|o| {
            format!(
                r#"<label class="opt"><input type="radio" name="q-{}" disabled><span class="opt-text"><span>{}</span></span></label>"#,
                escape(&question.id),
                o.html
            )
        })
        .collect();
    let (class, button) = match kind {
        "prediction" => ("quiz prediction", "prediction-keep"),
        _ => ("quiz", "quiz-check"),
    };
    format!(
        r#"<form class="{class}"><h3 class="task-label">{}</h3><div class="quiz-text">{}</div><fieldset><legend class="sr">{}</legend>{options}</fieldset><button class="btn btn-primary" disabled>{}</button></form>"#,
        w.t(&format!("{kind}-title")),
        question.html,
        w.t(&format!("{kind}-legend")),
        w.t(button),
    )
}

/// A lesson that can't be shown: its mistakes, each at its place.
pub fn mistakes(w: &Words, chapter: &str, lesson: &str, mistakes: &[Mistake]) -> String {
    let lines: String = mistakes
        .iter()
        .map(|(file, d)| {
            format!(
                "<li><code>lessons/{}/{}/{}:{}:{}</code><span>{}</span></li>",
                escape(chapter),
                escape(lesson),
                escape(file),
                d.line,
                d.column,
                escape(&d.message)
            )
        })
        .collect();
    format!(r#"<div class="mistakes"><p>{}</p><ul>{lines}</ul></div>"#, w.t("lesson-broken"))
}
