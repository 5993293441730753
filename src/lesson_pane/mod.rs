//! The book: the lesson's text, and the parts in it that answer.
//!
//! The text is there before the app. It is drawn anew only when the lesson's files are no longer those that it was made of.

mod diff;
mod question;
mod task;

use crate::i18n::{lang, t, tf};
use crate::pages::{Session, mount};
use crate::{dom, editor};
use lab_protocol::{Diagnostic, LessonView};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

fn article() -> Option<HtmlElement> {
    dom::document().query_selector("article[data-lesson-hash]").ok().flatten().map(JsCast::unchecked_into)
}

/// Takes over the page's text, or draws it anew, and puts the parts into their places.
pub fn adopt(session: Session, lesson: &LessonView) {
    let Some(article) = article() else { return };
    if article.get_attribute("data-lesson-hash").as_deref() != Some(&lesson.hash) {
        if let Some(body) = article.query_selector(".lesson-body").ok().flatten() {
            body.set_inner_html(&lesson.html);
        }
        if let Some(title) = article.query_selector("h1").ok().flatten() {
            title.set_text_content(Some(&lesson.title));
        }
        let _ = article.set_attribute("data-lesson-hash", &lesson.hash);
        session.editor.set_start(lesson.editor.clone());
    }
    let Ok(list) = article.query_selector_all("[data-part]") else { return };
    let places: Vec<HtmlElement> = (0..list.length()).filter_map(|i| list.get(i)?.dyn_into().ok()).collect();
    let tasks_after = |from: usize| {
        places[from..].iter().find(|p| kind(p) == "task").map(|p| p.get_attribute("data-id").unwrap_or_default())
    };
    for (i, place) in places.iter().enumerate() {
        let id = place.get_attribute("data-id").unwrap_or_default();
        match kind(place).as_str() {
            "task" => {
                let Some(number) = lesson.tasks.iter().position(|t| t.id == id) else { continue };
                let task = lesson.tasks[number].clone();
                let of = lesson.tasks.len();
                mount(place.clone(), move || view! { <task::Task session task number of/> });
            }
            "prediction" => {
                let Some(question) = lesson.prediction.clone() else { continue };
                let until = tasks_after(i);
                mount(place.clone(), move || view! { <question::Prediction session question until/> });
            }
            "quiz" => {
                let Some(question) = lesson.quiz.iter().find(|q| q.id == id).cloned() else { continue };
                mount(place.clone(), move || view! { <question::Quiz session question/> });
            }
            _ => {}
        }
    }
    end(session, &article);
}

fn kind(place: &Element) -> String {
    place.get_attribute("data-part").unwrap_or_default()
}

/// After the text: what one has done, and how to begin again.
fn end(session: Session, article: &HtmlElement) {
    let Ok(Some(element)) = article.query_selector("[data-mount='end']") else { return };
    mount(element.unchecked_into(), move || {
        let sure = RwSignal::new(false);
        view! {
            <section class="lesson-end" aria-label=t("reset-title")>
                {move || session.progress.with(|p| p.done).then(|| view! { <p class="lesson-done" role="status">{t("lesson-done")}</p> })}
                <div class="row">
                    <button class="btn btn-sm" on:click=move |_| session.reset_cluster()>{t("reset-cluster")}</button>
                    <button
                        class="btn btn-sm"
                        on:click=move |_| {
                            if sure.get_untracked() {
                                session.reset_lesson();
                            }
                            sure.update(|s| *s = !*s);
                        }
                        on:blur=move |_| sure.set(false)
                    >
                        {move || if sure.get() { t("reset-lesson-sure") } else { t("reset-lesson") }}
                    </button>
                </div>
                <p class="meta">{t("reset-why")}</p>
            </section>
        }
    });
}

/// The lesson's files can't be had.
pub fn show_unreachable(why: &str) {
    let heading = tf("lesson-unreachable", &[("why", why)]);
    notice(&heading, Vec::new());
}

/// The lesson's files hold mistakes: they are shown where the parts would be, and everything else goes on.
pub fn show_mistakes(folder: &str, mistakes: &[(String, Diagnostic)]) {
    let lines = mistakes
        .iter()
        .map(|(file, d)| (format!("lessons/{folder}/{file}:{}:{}", d.line.max(1), d.column.max(1)), editor::words(d)));
    notice(&t("lesson-broken"), lines.take(50).collect());
}

fn notice(heading: &str, lines: Vec<(String, String)>) {
    let Some(article) = article() else { return };
    let Ok(place) = dom::document().create_element("div") else { return };
    let _ = article.prepend_with_node_1(&place);
    let heading = heading.to_owned();
    let list = (!lines.is_empty()).then_some(lines);
    mount(place.unchecked_into(), move || {
        view! {
            <div class="mistakes" role="alert" lang=lang()>
                <p>{heading}</p>
                {list.map(|lines| view! {
                    <ul>{lines.into_iter().map(|(at, what)| view! { <li><code>{at}</code><span>{what}</span></li> }).collect_view()}</ul>
                })}
            </div>
        }
    });
}
