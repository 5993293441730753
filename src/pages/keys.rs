//! Keys for time. Nothing that the browser or a control needs is taken.

use super::Session;
use crate::dom;
use crate::lab::clock::SPEEDS;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlDialogElement, KeyboardEvent, MouseEvent};

/// Listens to the keyboard.
pub fn start(session: Session) {
    let dialog = || dom::by_id("keys").map(|d| d.unchecked_into::<HtmlDialogElement>());
    if let Some(button) = dom::by_id("keys-open") {
        dom::listen::<MouseEvent>(&button, "click", move |_| {
            if let Some(dialog) = dialog() {
                let _ = dialog.show_modal();
            }
        });
    }
    dom::listen::<KeyboardEvent>(&dom::document(), "keydown", move |e| {
        if e.default_prevented() || e.ctrl_key() || e.meta_key() || e.alt_key() || e.is_composing() {
            return;
        }
        let Some(dialog) = dialog() else { return };
        let open = dialog.open();
        let target = e.composed_path().get(0).dyn_into::<Element>().ok();
        if open || target.as_ref().is_some_and(|t| takes(t, &e.key())) {
            return;
        }
        let lab = session.lab;
        match e.key().as_str() {
            " " => lab.toggle(),
            "ArrowRight" => lab.step(),
            "ArrowLeft" => lab.back(),
            "+" | "=" => lab.set_speed(next_speed(lab.speed.get_untracked(), true)),
            "-" => lab.set_speed(next_speed(lab.speed.get_untracked(), false)),
            "?" => drop(dialog.show_modal()),
            _ => return,
        }
        e.prevent_default();
    });
}

/// Whether the focused element has a use for the key itself.
fn takes(element: &Element, key: &str) -> bool {
    let typing = "input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]:not([contenteditable=false])";
    let with = |selector: &str| element.closest(selector).ok().flatten().is_some();
    if with(typing) {
        return true;
    }
    match key {
        " " => {
            with("button, summary, a, input, [role=button], [role=tab], [role=slider], [role=option], [role=menuitem]")
        }
        "ArrowLeft" | "ArrowRight" => with(
            "input, [role=tablist], [role=slider], [role=radiogroup], [role=menu], [role=listbox], [data-arrows], pre, .scrolls",
        ),
        "+" | "=" | "-" => with("[role=slider]"),
        _ => false,
    }
}

fn next_speed(now: f64, faster: bool) -> f64 {
    let next = if faster {
        SPEEDS.iter().copied().find(|s| *s > now * 1.01)
    } else {
        SPEEDS.iter().copied().rev().find(|s| *s < now * 0.99)
    };
    next.unwrap_or(now)
}
