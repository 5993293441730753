//! What a failure took away, who noticed when, and when it was back: a picture of a Pod's course, and the same as tables.

mod draw;
mod rows;

use super::{Pane, Session, why::show_field};
use crate::dom;
use crate::i18n::{t, tf, tp};
use crate::stage::words;
use lab_base::Time;
use lab_protocol::{Failover as Failure, FieldRef, Id};
use leptos::html;
use leptos::prelude::*;
use std::sync::Arc;
use wasm_bindgen::{JsCast, prelude::Closure};
use wasm_bindgen_futures::spawn_local;
use web_sys::Element;

/// What has been told, and of which moment.
type Told = (Time, Arc<Vec<Failure>>);

/// The failures of the run, one of them in full.
#[component]
pub fn Failover(session: Session, shown: Memo<Pane>) -> impl IntoView {
    let lab = session.lab;
    let told: RwSignal<Told> = RwSignal::default();
    // None: the latest.
    let chosen: RwSignal<Option<u32>> = RwSignal::new(None);
    let pod = RwSignal::new(0usize);
    let width = RwSignal::new(0);
    let fields: StoredValue<Vec<FieldRef>> = StoredValue::default();
    let picture: StoredValue<draw::Scale> = StoredValue::default();
    let page = NodeRef::<html::Div>::new();
    ask(session, shown, told);
    let names = Memo::new(move |_| told.with(|(_, all)| all.iter().map(|f| (f.id, name(f))).collect::<Vec<_>>()));
    let now = Memo::new(move |_| {
        let wanted = chosen.get();
        told.with(|(_, all)| wanted.filter(|id| all.iter().any(|f| f.id == *id)).or(all.last().map(|f| f.id)))
    });
    page.on_load(move |page| {
        let seen = Closure::<dyn FnMut(js_sys::Array)>::new(move |entries: js_sys::Array| {
            if let Ok(entry) = entries.get(0).dyn_into::<web_sys::ResizeObserverEntry>() {
                let _ = width.try_set(entry.content_rect().width() as i32);
            }
        });
        if let Ok(observer) = web_sys::ResizeObserver::new(seen.as_ref().unchecked_ref()) {
            observer.observe(page.unchecked_ref());
            let kept = StoredValue::new_local((observer, seen));
            on_cleanup(move || {
                kept.try_with_value(|(observer, _)| observer.disconnect());
            });
        }
    });
    let last: StoredValue<Option<(Failure, Time, usize, i32)>> = StoredValue::default();
    Effect::new(move || {
        let (at, all) = told.get();
        let (id, pod, width) = (now.get(), pod.get(), width.get());
        let Some(place) = page.get() else { return };
        let Some(failure) = all.iter().find(|f| Some(f.id) == id) else {
            place.set_text_content(None);
            dom::add(&place, "p", "pane-empty", &t("failover-none"));
            last.set_value(None);
            return;
        };
        // What is over looks the same at any later moment.
        let at = failure.until.map_or(at, |over| over.min(at));
        let key = Some((failure.clone(), at, pod, width));
        if width == 0 || last.with_value(|l| *l == key) {
            return;
        }
        let same = last.with_value(|l| l.as_ref().is_some_and(|l| l.0.id == failure.id && l.2 == pod));
        last.set_value(key);
        let made = draw::write(&place, failure, pod, at, width, same);
        fields.set_value(made.fields);
        picture.set_value(made.scale);
        draw::cursor(&place, &made.scale, lab.view_time.get_untracked());
    });
    Effect::new(move || {
        let at = lab.view_time.get();
        if shown.get() == Pane::Failover
            && let Some(place) = page.get_untracked()
        {
            picture.with_value(|scale| draw::cursor(&place, scale, at));
        }
    });
    let act = move |event: web_sys::MouseEvent| {
        let Some(target) = event.target().and_then(|t| t.dyn_into::<Element>().ok()) else { return };
        let number = |name: &str| -> Option<u64> {
            target.closest(&format!("[{name}]")).ok().flatten()?.get_attribute(name)?.parse().ok()
        };
        if let Some(at) = number("data-at") {
            lab.pause();
            lab.seek(Time::from_micros(at));
        } else if let Some(i) = number("data-pod") {
            pod.set(i as usize);
        } else if let Some(field) = number("data-field").and_then(|i| fields.with_value(|f| f.get(i as usize).cloned()))
        {
            spawn_local(show_field(session, field));
        }
    };
    let start = move |_| {
        let at = told.with_untracked(|(_, all)| all.iter().find(|f| Some(f.id) == now.get_untracked()).map(|f| f.at));
        if let Some(at) = at {
            lab.pause();
            lab.seek(at);
        }
    };
    let none = move || names.with(Vec::is_empty);
    view! {
        <div class="pane-failover">
            <div class="pane-bar" hidden=none>
                <label class="pick-one">
                    <span>{t("failover-which")}</span>
                    <select on:change=move |e| { chosen.set(event_target_value(&e).parse().ok()); pod.set(0); }>
                        {move || names.get().into_iter().map(|(id, name)| {
                            let selected = now.get() == Some(id);
                            view! { <option value=id.to_string() selected=selected>{name}</option> }
                        }).collect_view()}
                    </select>
                </label>
                <button class="btn btn-sm" on:click=start>{t("why-go")}</button>
            </div>
            <div class="failover-page scrolls" node_ref=page tabindex="0" role="region" aria-label=t("failover-label") on:click=act></div>
        </div>
    }
}

/// Asks the engine while one looks: as time goes on, when one goes elsewhere in time, and after each command.
fn ask(session: Session, shown: Memo<Pane>, told: RwSignal<Told>) {
    let lab = session.lab;
    let tick = Memo::new(move |_| {
        let every = 500_000.0 * lab.speed.get().max(0.2);
        let at = lab.view_time.get().as_micros() as f64;
        if lab.playing.get() { (at / every) as u64 } else { at as u64 }
    });
    let under_way = StoredValue::new(false);
    let again = StoredValue::new(false);
    Effect::new(move || {
        tick.get();
        lab.commands_changed.track();
        if shown.get() != Pane::Failover {
            return;
        }
        if under_way.get_value() {
            return again.set_value(true);
        }
        under_way.set_value(true);
        spawn_local(async move {
            loop {
                if let Some((at, failures)) = lab.failovers().await {
                    told.try_set((at, Arc::new(failures)));
                }
                if again.try_update_value(|a| std::mem::replace(a, false)) != Some(true) {
                    break;
                }
            }
            under_way.try_update_value(|u| *u = false);
        });
    });
}

/// A failure in a line: when, and what.
fn name(failure: &Failure) -> String {
    tf("failover-name", &[("time", &words::moment(failure.at)), ("cause", &tp(&failure.cause))])
}

/// The field where a setting stands, if it stands in an object.
fn field(setting: &lab_protocol::Setting, namespace: &str) -> Option<FieldRef> {
    let lab_protocol::SettingPlace::Field { object, path } = &setting.place else { return None };
    let (kind, name) = object.split_once('/')?;
    Some(FieldRef {
        object: Id::default(),
        kind: kind.into(),
        namespace: namespace.into(),
        name: name.into(),
        field: path.clone(),
    })
}
