//! The pages. Their text is there before the app: `servicelab site render` writes it, and the app moves into the places that
//! are marked with `data-mount` and `data-part`.

mod bench;
mod events;
mod failover;
mod files;
mod home;
mod keys;
mod lesson;
mod playground;
mod rules;
mod session;
mod shell;
mod story;
mod why;

pub use session::{Pane, Session};

use crate::{dom, theme};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

/// Brings the page to life.
pub fn start() {
    // The first mount starts Leptos' executor, without which there are no effects.
    if let Ok(nowhere) = dom::document().create_element("div") {
        leptos::mount::mount_to(nowhere.unchecked_into(), || ()).forget();
    }
    let owner = Owner::new();
    owner.with(|| {
        theme::start();
        shell::start();
        match dom::root().get_attribute("data-page").as_deref() {
            Some("home") => home::start(),
            Some("lesson") => lesson::start(),
            Some("playground") => playground::start(),
            _ => {}
        }
    });
    // The page lives until the browser leaves it.
    std::mem::forget(owner);
    dom::root().class_list().add_1("is-ready").unwrap_or_default();
}

/// The place where a part of the app goes.
pub fn place(name: &str) -> Option<HtmlElement> {
    dom::document().query_selector(&format!("[data-mount='{name}']")).ok().flatten().map(JsCast::unchecked_into)
}

/// Puts a view into an element in place of what was there.
pub fn mount<F, N>(element: HtmlElement, view: F)
where
    F: FnOnce() -> N + 'static,
    N: IntoView + 'static,
{
    element.replace_children_with_node_0();
    leptos::mount::mount_to(element, view).forget();
}

/// A line icon of 16 by 16.
pub fn icon(path: &'static str) -> impl IntoView {
    view! {
        <svg class="ic" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
            <path d=path></path>
        </svg>
    }
}
