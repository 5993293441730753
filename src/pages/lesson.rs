//! A lesson's page.

use super::session::{Begin, read};
use super::{Session, bench, files, keys, mount, place, shell};
use crate::i18n::tf;
use crate::stage::Stage;
use crate::timebar::TimeBar;
use crate::{dom, lesson_pane};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

/// Fetches the lesson and brings its page to life.
pub fn start() {
    let root = dom::root();
    let id: &'static str = root.get_attribute("data-lesson").unwrap_or_default().leak();
    let folder = root.get_attribute("data-folder").unwrap_or_default();
    let owner = Owner::current();
    spawn_local(async move {
        let files = match files::fetch(&folder).await {
            Ok(files) => files,
            Err(why) => return lesson_pane::show_unreachable(&why),
        };
        let file = |name: &str| files.iter().find(|(n, _)| n == name).map(|(_, text)| text.clone()).unwrap_or_default();
        let begin =
            Begin { page: id, scenario: file("start.yaml"), checks: file("lesson.yaml"), text: file("editor.yaml") };
        let begun = move || {
            let session = Session::begin(begin);
            show(session);
            session
        };
        let Some(session) = owner.as_ref().map(|o| o.with(begun)) else { return };
        match read(files).await {
            Ok(lesson) => {
                let parts = move || {
                    lesson_pane::adopt(session, &lesson);
                    session.lesson_read(lesson);
                };
                let _ = owner.map(|o| o.with(parts));
            }
            Err(mistakes) => lesson_pane::show_mistakes(&folder, &mistakes),
        }
    });
}

/// Stage, time bar, bench and the foot of the book.
pub fn show(session: Session) {
    shell::share(session);
    keys::start(session);
    if let Some(element) = place("stage") {
        mount(element, move || view! { <Stage lab=session.lab/> });
    }
    if let Some(element) = place("time") {
        mount(element, move || view! { <TimeBar lab=session.lab/> });
    }
    if let Some(element) = place("bench") {
        mount(element, move || view! { <bench::Bench session=session/> });
    }
    if let Some(element) = place("steps") {
        mount(element, move || steps(session));
    }
    release(session);
}

/// How many tasks are solved: bars that fill, and the number for those who don't see them.
fn steps(session: Session) -> impl IntoView {
    move || {
        let lesson = session.lesson.get()?;
        let progress = session.progress.get();
        let solved = lesson.tasks.iter().filter(|t| progress.has(&t.id)).count();
        let label = tf("tasks-count", &[("n", &solved.to_string()), ("of", &lesson.tasks.len().to_string())]);
        let bars = lesson.tasks.iter().map(|t| view! { <i class:on=progress.has(&t.id)></i> }).collect_view();
        Some(view! { <span class="steps" role="img" aria-label=label.clone() title=label>{bars}</span> })
    }
}

/// The Kubernetes release of the cluster, in the top bar.
fn release(session: Session) {
    if let Some(element) = place("release") {
        mount(element, move || {
            move || session.lab.opened.get().map(|o| tf("release", &[("release", &o.release)])).unwrap_or_default()
        });
    }
}
