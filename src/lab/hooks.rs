//! What is counted of the page's work, and `window.servicelab` for browser tests (only with `?hooks` in the address).

use super::{client, worker};
use js_sys::{Array, Function, Object, Reflect};
use lab_protocol::{Command, Fault};
use leptos::prelude::{document, window};
use std::cell::{Cell, RefCell};
use wasm_bindgen::prelude::*;
use web_sys::{MutationObserver, MutationObserverInit};

/// Upper ends of the histogram's columns, in milliseconds of script a frame.
const COLUMNS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, f64::INFINITY];

#[derive(Default)]
struct Stats {
    frames: u64,
    motions: u64,
    most_motions: u64,
    writes: u64,
    most_writes: u64,
    writes_before: u64,
    script: [u64; COLUMNS.len()],
    longest: f64,
    samples: Vec<f64>,
}

thread_local! {
    static ON: Cell<Option<bool>> = const { Cell::new(None) };
    static STATS: RefCell<Stats> = RefCell::default();
}

/// Whether the page was opened with `?hooks`.
pub fn wanted() -> bool {
    ON.with(|on| {
        if on.get().is_none() {
            let query = window().location().search().unwrap_or_default();
            on.set(Some(query.trim_start_matches('?').split('&').any(|p| p == "hooks" || p.starts_with("hooks="))));
        }
        on.get() == Some(true)
    })
}

/// Counts requests that were drawn in this frame.
pub fn count(motions: usize) {
    STATS.with(|s| {
        let mut s = s.borrow_mut();
        s.motions += motions as u64;
        s.most_motions = s.most_motions.max(motions as u64);
    });
}

pub fn frame_begins() -> f64 {
    if wanted() { client::now() } else { 0.0 }
}

/// Ends the measurement when the effects of this frame have run too.
pub fn frame_ends(began: f64) {
    STATS.with(|s| s.borrow_mut().frames += 1);
    if !wanted() {
        return;
    }
    wasm_bindgen_futures::spawn_local(async move {
        let took = client::now() - began;
        STATS.with(|s| {
            let mut s = s.borrow_mut();
            if let Some(column) = COLUMNS.iter().position(|c| took <= *c) {
                s.script[column] += 1;
            }
            s.longest = s.longest.max(took);
            let now = s.writes;
            s.most_writes = s.most_writes.max(now - s.writes_before);
            s.writes_before = now;
            if s.samples.len() < 20_000 {
                s.samples.push(took);
            }
        });
    });
}

fn stats() -> JsValue {
    let object = Object::new();
    let set = |name: &str, value: JsValue| {
        let _ = Reflect::set(&object, &name.into(), &value);
    };
    STATS.with(|s| {
        let s = s.borrow();
        let each = |n: u64| JsValue::from_f64(n as f64 / s.frames.max(1) as f64);
        set("frames", (s.frames as f64).into());
        set("motions", (s.motions as f64).into());
        set("motionsPerFrame", each(s.motions));
        set("mostMotions", (s.most_motions as f64).into());
        set("domWrites", (s.writes as f64).into());
        set("domWritesPerFrame", each(s.writes));
        set("mostDomWrites", (s.most_writes as f64).into());
        set("longestScript", s.longest.into());
        let mut sorted = s.samples.clone();
        sorted.sort_by(f64::total_cmp);
        set("medianScript", sorted.get(sorted.len() / 2).copied().unwrap_or(0.0).into());
        let histogram: Array = s.script.iter().map(|n| JsValue::from_f64(*n as f64)).collect();
        set("script", histogram.into());
        set("scriptColumns", COLUMNS.iter().map(|c| JsValue::from_f64(*c)).collect::<Array>().into());
    });
    set("bytes", (worker::bytes_received() as f64).into());
    object.into()
}

/// Installs the hooks, once, when the page was opened with `?hooks`.
pub fn install() {
    thread_local!(static DONE: Cell<bool> = const { Cell::new(false) });
    if !wanted() || DONE.with(|d| d.replace(true)) {
        return;
    }
    let object = Object::new();
    let crash = Closure::<dyn Fn()>::new(client::crash).into_js_value();
    let hang = Closure::<dyn Fn()>::new(client::hang).into_js_value();
    let remove = Closure::<dyn Fn(String, String, String)>::new(|node: String, namespace: String, service: String| {
        let first = client::with(|c| c.runs.keys().next().copied());
        if let Some(id) = first {
            client::command(id, Command::Fault(Fault::RemoveRule { node, namespace, service }));
        }
    })
    .into_js_value();
    let stats = Closure::<dyn Fn() -> JsValue>::new(stats).into_js_value();
    for (name, value) in [("crashWorker", crash), ("hangWorker", hang), ("removeRule", remove), ("stats", stats)] {
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    let _ = Reflect::set(&window(), &"servicelab".into(), &object);
    let seen = Closure::<dyn Fn(Array)>::new(|records: Array| {
        STATS.with(|s| s.borrow_mut().writes += u64::from(records.length()));
    })
    .into_js_value();
    let options = MutationObserverInit::new();
    options.set_subtree(true);
    options.set_child_list(true);
    options.set_attributes(true);
    options.set_character_data(true);
    if let (Ok(observer), Some(body)) = (MutationObserver::new(seen.unchecked_ref::<Function>()), document().body()) {
        let _ = observer.observe_with_options(&body, &options);
    }
}
