//! The first page: a living cluster, and the way into the course.

use super::{mount, place};
use crate::dom;
use crate::i18n::{t, tf, tn};
use crate::lab::{EngineStatus, Lab, OpenOptions};
use crate::stage::Stage;
use crate::storage::Progress;
use lab_protocol::{Fault, PodRef, PodState};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlAnchorElement};

/// Six Pods on three nodes, three clients, one Service.
const SCENARIO: &str = include_str!("home.yaml");

/// Brings the page to life.
pub fn start() {
    course();
    if let Some(element) = place("hero") {
        mount(element, || view! { <Hero/> });
    }
}

/// The cluster, which breaks when one touches it.
#[component]
fn Hero() -> impl IntoView {
    let lab = Lab::open(OpenOptions {
        scenario: SCENARIO.into(),
        hooks: super::session::lab_hooks(),
        autoplay: true,
        interactive: false,
        ..OpenOptions::default()
    });
    // A click on a Pod opens no panel here: its process is killed, and one sees what becomes of its requests.
    Effect::new(move || {
        let Some(id) = lab.focus.get() else { return };
        lab.focus_on(None);
        let pod = lab.scene.with_untracked(|s| s.pods.get(&id).cloned());
        if let Some(pod) = pod.filter(|p| matches!(p.state, PodState::Ready | PodState::NotReady)) {
            let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
            lab.fault(Fault::KillProcess { pod: PodRef::Named { namespace, name } });
        }
    });
    let failed = move || matches!(lab.status.get(), EngineStatus::Failed(_));
    view! {
        <Stage lab bare=true/>
        <div class="hero-end">
            <button
                class="btn btn-icon btn-sm"
                disabled=failed
                aria-label=move || if lab.playing.get() { t("pause") } else { t("play") }
                on:click=move |_| lab.toggle()
            >
                {move || super::icon(if lab.playing.get() { "M5.5 3.5v9M10.5 3.5v9" } else { "M5 3.5v9L12 8z" })}
            </button>
        </div>
    }
}

/// What is done, what is next: a lesson that was begun comes before the next fresh one.
fn course() {
    let Ok(links) = dom::document().query_selector_all("[data-course-lesson]") else { return };
    let mut done = 0;
    let (mut begun, mut fresh): (Option<Element>, Option<Element>) = (None, None);
    for i in 0..links.length() {
        let Some(item) = links.get(i).and_then(|n| n.dyn_into::<Element>().ok()) else { continue };
        let id = item.get_attribute("data-course-lesson").unwrap_or_default();
        let progress = Progress::load(&id);
        if progress.done {
            done += 1;
            let _ = item.class_list().add_1("is-done");
            if let Ok(Some(state)) = item.query_selector("[data-state]") {
                state.set_text_content(Some(&t("course-done")));
            }
        } else if progress != Progress::default() {
            begun.get_or_insert(item);
        } else {
            fresh.get_or_insert(item);
        }
    }
    if let Some(Ok(Some(link))) = begun.as_ref().map(|item| item.query_selector("a")) {
        go_on(&link.unchecked_into());
    }
    if let Some(next) = begun.or(fresh) {
        let _ = next.class_list().add_1("is-now");
    }
    if let Some(place) = place("course-count") {
        let of = links.length().to_string();
        place.set_text_content(Some(&tf("course-count", &[("n", &done.to_string()), ("of", &of)])));
        let _ = place.set_attribute("title", &tn("course-lessons", u64::from(links.length())));
    }
}

/// The large button leads to where one was.
fn go_on(link: &HtmlAnchorElement) {
    let title = link.query_selector("[data-title]").ok().flatten().and_then(|e| e.text_content()).unwrap_or_default();
    if let Some(button) = place("go") {
        button.set_text_content(Some(&tf("home-continue", &[("title", &title)])));
        let _ = button.set_attribute("href", &link.get_attribute("href").unwrap_or_default());
    }
}
