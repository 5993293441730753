//! *Why?*: the requests, and what happened to one of them; or a Pod, a Service and a node.

use super::{Pane, Session, bench::PHONE, story};
use crate::dom::{self, add};
use crate::i18n::{t, tf};
use crate::lab::{Question, with_run};
use crate::stage::words;
use lab_base::{Span, Time};
use lab_protocol::{FieldRef, Id, Motion, Outcome, Story};
use leptos::html;
use leptos::prelude::*;
use std::sync::Arc;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::Element;

/// More requests than these aren't listed.
const MOST: usize = 120;
/// How far back they are looked for.
const BACK: Span = Span::from_secs(600);

/// What is asked of a Pod.
#[derive(Clone, Default, PartialEq)]
struct Ask {
    pod: Id,
    service: Id,
    node: String,
}

/// The list, and the story beside it.
#[component]
pub fn Why(session: Session, shown: Memo<Pane>) -> impl IntoView {
    let lab = session.lab;
    let of_pods = RwSignal::new(false);
    let failed_only = RwSignal::new(false);
    let ask = RwSignal::new(Ask::default());
    let list = NodeRef::<html::Ol>::new();
    let page = NodeRef::<html::Div>::new();
    let fields: StoredValue<Vec<FieldRef>> = StoredValue::default();
    // Somebody asks.
    Effect::new(move || match lab.asked.get() {
        Some(Question::Pod(pod)) => {
            of_pods.set(true);
            let scene = lab.scene.get_untracked();
            let Some(view) = scene.pods.get(&pod) else { return };
            // The Service that means it, the first one else; the node of a client, as that is where traffic comes from.
            let fits = |s: &&Arc<lab_protocol::ServiceView>| s.selector.iter().all(|l| view.labels.contains(l));
            let own = || scene.services.values().filter(|s| s.namespace == view.namespace);
            let service = own().find(|s| !s.selector.is_empty() && fits(s)).or_else(|| own().next());
            let client = scene.clients.values().map(|c| c.node.clone()).find(|n| !n.is_empty());
            let node = client.or_else(|| scene.nodes.values().next().map(|n| n.name.clone())).unwrap_or_default();
            ask.set(Ask { pod, service: service.map(|s| s.id).unwrap_or_default(), node });
        }
        Some(Question::Request { .. }) => of_pods.set(false),
        Some(Question::Rules(_)) | None => {}
    });
    // And hears.
    Effect::new(move || {
        let question = lab.asked.get();
        let asked = of_pods.get().then(|| ask.get());
        if asked.is_some() {
            lab.commands_changed.track();
            // As time goes on what one reads stays; another moment that somebody goes to is another answer.
            if !lab.playing.get() {
                lab.view_time.track();
            }
        }
        let Some(place) = page.get() else { return };
        if shown.get() != Pane::Why {
            return;
        }
        match (asked, question) {
            (Some(asked), _) => spawn_local(async move {
                let told = lab.why_pod(asked.pod, asked.service, asked.node.clone()).await;
                if ask.try_get_untracked() == Some(asked) {
                    tell(&place, None, told.as_deref(), fields);
                }
            }),
            (None, Some(Question::Request { id, sent })) => spawn_local(async move {
                let about = with_run(lab.id, |run| run.store.motion(id).cloned()).flatten();
                let told = lab.why(id, sent, false).await;
                if lab.asked.try_get_untracked() == Some(Some(Question::Request { id, sent })) {
                    let head = about.map(|m| (m.clone(), request_words(session, &m)));
                    tell(&place, head, told.as_deref(), fields);
                    // On a phone it lies under the list.
                    if dom::window().match_media(PHONE).ok().flatten().is_some_and(|m| m.matches()) {
                        place.scroll_into_view();
                    }
                }
            }),
            _ => {
                place.set_text_content(None);
                add(&place, "p", "pane-empty", &t("why-hint"));
            }
        }
    });
    // The list follows the shown moment in steps that can be read, and stands still under the hand.
    let tick = Memo::new(move |_| {
        let every = 500_000.0 * lab.speed.get().max(0.2);
        let at = lab.view_time.get().as_micros() as f64;
        if lab.playing.get() { (at / every) as u64 } else { at as u64 }
    });
    Effect::new(move || {
        tick.get();
        let only = failed_only.get();
        let question = lab.asked.get();
        let Some(list) = list.get() else { return };
        let busy = lab.playing.get_untracked() && list.matches(":hover, :focus-within").unwrap_or(false);
        if shown.get() == Pane::Why && !of_pods.get() && !busy {
            write_list(session, &list, only, question);
        } else if let Some(Question::Request { id, .. }) = question {
            press(&list, id);
        }
    });
    let go_to = move |event: web_sys::MouseEvent| {
        let Some(button) = event.target().and_then(|t| t.dyn_into::<Element>().ok()) else { return };
        let number =
            |name: &str| button.closest(&format!("[{name}]")).ok().flatten()?.get_attribute(name)?.parse().ok();
        if let Some(field) = number(story::FIELD).and_then(|i: u64| fields.with_value(|f| f.get(i as usize).cloned())) {
            spawn_local(show_field(session, field));
        } else if let Some(at) = number("data-at") {
            lab.pause();
            lab.seek(Time::from_micros(at));
        } else if number("data-modes").is_some()
            && let (Some(Question::Request { id, sent }), Some(place)) =
                (lab.asked.get_untracked(), page.get_untracked())
        {
            spawn_local(async move {
                let told = lab.why(id, sent, true).await;
                if let Ok(Some(beside)) = place.query_selector(".modes") {
                    beside.set_text_content(None);
                    let modes = told.as_deref().map_or(&[][..], |s| &s.modes);
                    fields.set_value(story::write_modes(&beside, modes, fields.get_value()));
                }
            });
        }
    };
    let pick = move |event: web_sys::MouseEvent| {
        let Some(button) = event.target().and_then(|t| t.dyn_into::<Element>().ok()) else { return };
        let Some(button) = button.closest("button").ok().flatten() else { return };
        let number = |name| button.get_attribute(name).and_then(|n| n.parse::<u64>().ok());
        if let (Some(id), Some(sent)) = (number("data-id"), number("data-sent")) {
            lab.ask(Question::Request { id, sent: Time::from_micros(sent) });
        }
    };
    view! {
        <div class="pane-why">
            <div class="why-side">
                <div class="pane-bar">
                    <div class="seg" role="group" aria-label=t("tab-why")>
                        <button aria-pressed=move || (!of_pods.get()).to_string() on:click=move |_| of_pods.set(false)>{t("why-requests")}</button>
                        <button aria-pressed=move || of_pods.get().to_string() on:click=move |_| {
                            of_pods.set(true);
                            if ask.with_untracked(|a| a.pod == Id::default())
                                && let Some(pod) = lab.scene.with_untracked(|s| s.pods.keys().next().copied()) {
                                lab.ask(Question::Pod(pod));
                            }
                        }>{t("why-pods")}</button>
                    </div>
                    <label class="check" hidden=move || of_pods.get()><input type="checkbox" prop:checked=move || failed_only.get()
                        on:change=move |e| failed_only.set(event_target_checked(&e))/><span>{t("why-failed-only")}</span></label>
                </div>
                <ol class="why-list scrolls" node_ref=list hidden=move || of_pods.get() on:click=pick></ol>
                {move || of_pods.get().then(|| view! { <Form session ask/> })}
            </div>
            <div class="why-page scrolls" node_ref=page tabindex="0" role="region" aria-label=t("why-story") on:click=go_to></div>
        </div>
    }
}

/// Which Pod, Service and node.
#[component]
fn Form(session: Session, ask: RwSignal<Ask>) -> impl IntoView {
    let scene = session.lab.scene;
    let choices = Memo::new(move |_| {
        scene.with(|s| {
            let id = |id: Id| id.0.to_string();
            [
                s.pods.values().map(|p| (id(p.id), p.name.clone())).collect::<Vec<_>>(),
                s.services.values().map(|s| (id(s.id), s.name.clone())).collect(),
                s.nodes.values().map(|n| (n.name.clone(), n.name.clone())).collect(),
            ]
        })
    });
    let now = move |which: usize| {
        ask.with(|a| match which {
            0 => a.pod.0.to_string(),
            1 => a.service.0.to_string(),
            _ => a.node.clone(),
        })
    };
    let choose = move |which: usize, value: String| {
        ask.update(|a| match which {
            0 => a.pod = Id(value.parse().unwrap_or(0)),
            1 => a.service = Id(value.parse().unwrap_or(0)),
            _ => a.node = value,
        });
    };
    let select = move |which: usize, label: &'static str| {
        view! {
            <label><span>{t(label)}</span>
                <select on:change=move |e| choose(which, event_target_value(&e))>
                    {move || choices.with(|c| c[which].clone()).into_iter().map(|(value, name)| {
                        let selected = now(which) == value;
                        view! { <option value=value selected=selected>{name}</option> }
                    }).collect_view()}
                </select>
            </label>
        }
    };
    view! { <div class="why-form">{select(0, "stage-pod")}{select(1, "stage-service")}{select(2, "node-word")}</div> }
}

/// A request in words: client, Service, Pod, outcome.
fn request_words(session: Session, motion: &Motion) -> [String; 4] {
    let at = session.lab.asked_time().max(motion.arrives);
    let scene = with_run(session.lab.id, |run| run.store.scene(at)).flatten().unwrap_or_default();
    let client = scene.clients.get(&motion.client).map(|c| c.name.clone()).unwrap_or_default();
    let target = || scene.clients.get(&motion.client).map(|c| words::host(&c.target).to_owned()).unwrap_or_default();
    let service = motion.service.and_then(|s| scene.services.get(&s)).map(|s| s.name.clone()).unwrap_or_else(target);
    let pod = motion.pod.and_then(|p| scene.pods.get(&p)).map(|p| words::short(p)).unwrap_or_default();
    let over = motion.ends <= session.lab.asked_time();
    let outcome = if over { words::outcome_word(motion.outcome) } else { t("why-under-way") };
    [client, service, pod, outcome]
}

fn write_list(session: Session, list: &Element, only: bool, question: Option<Question>) {
    let at = session.lab.asked_time();
    let found: Vec<Motion> = with_run(session.lab.id, |run| {
        let all = run.store.motions(at - BACK, at).rev();
        let wanted = |m: &&Motion| !only || (m.outcome != Outcome::Answered && m.ends <= at);
        all.filter(wanted).take(MOST).cloned().collect()
    })
    .unwrap_or_default();
    list.set_text_content(None);
    if found.is_empty() {
        add(list, "li", "pane-empty", &t(if only { "why-none-failed" } else { "why-none" }));
    }
    for motion in &found {
        let [client, service, pod, outcome] = request_words(session, motion);
        let over = motion.ends <= at;
        let class = if over && motion.outcome != Outcome::Answered { "is-fail" } else { "" };
        let button = add(&add(list, "li", class, ""), "button", "", "");
        let time = format!("{:.3}", motion.sent.as_micros() as f64 / 1e6);
        add(&button, "span", "mono", &time);
        add(&button, "span", "what", &format!("{client} → {service}"));
        add(&button, "span", "mono dim", &pod);
        add(&button, "span", "how", &outcome);
        for (name, value) in [("data-id", motion.id), ("data-sent", motion.sent.as_micros())] {
            let _ = button.set_attribute(name, &value.to_string());
        }
    }
    if let Some(Question::Request { id, .. }) = question {
        press(list, id);
    }
}

/// Shows which request is read.
fn press(list: &Element, id: u64) {
    let Ok(buttons) = list.query_selector_all("button") else { return };
    for i in 0..buttons.length() {
        let Some(button) = buttons.get(i).and_then(|b| b.dyn_into::<Element>().ok()) else { continue };
        let own = button.get_attribute("data-id") == Some(id.to_string());
        let _ =
            if own { button.set_attribute("aria-current", "true") } else { button.remove_attribute("aria-current") };
    }
}

fn tell(
    place: &Element,
    about: Option<(Motion, [String; 4])>,
    told: Option<&Story>,
    fields: StoredValue<Vec<FieldRef>>,
) {
    place.set_text_content(None);
    place.set_scroll_top(0);
    let Some(told) = told else {
        add(place, "p", "pane-empty", &t("why-forgotten"));
        return;
    };
    if let Some((motion, [client, service, _, outcome])) = about {
        let head = add(place, "div", "why-head", "");
        let line = add(&head, "p", "why-req", "");
        add(&line, "span", "mono", &tf("why-request", &[("id", &motion.id.to_string())]));
        let fail = if motion.outcome == Outcome::Answered { "tag" } else { "tag tag-fail" };
        add(&line, "span", fail, &outcome);
        add(&line, "span", "mono dim", &format!("{client} → {service}"));
        let go = add(&head, "button", "btn btn-sm", &t("why-go"));
        let _ = go.set_attribute("data-at", &motion.sent.as_micros().to_string());
        if told.chapters.iter().any(|c| !c.rules.is_empty()) {
            let modes = add(&head, "button", "btn btn-sm", &t("why-modes"));
            let _ = modes.set_attribute("data-modes", "1");
            let _ = modes.set_attribute("title", &t("why-modes-why"));
        }
        add(place, "div", "modes", "");
    }
    fields.set_value(story::write(place, told));
}

/// Shows the line of YAML behind something.
pub async fn show_field(session: Session, field: FieldRef) {
    let place = session.lab.locate(session.editor.text(), field.clone()).await;
    let names = [("kind", field.kind.as_str()), ("name", &field.name), ("field", &field.field)];
    let Some(place) = place else { return super::shell::announce(&tf("why-field-none", &names)) };
    session.pane.set(Pane::Yaml);
    if place.same {
        session.say(tf("why-field", &names));
    } else {
        session.complain(t("why-field-changed"));
    }
    // The editor must be seen before it can have the focus.
    dom::sleep(30).await;
    session.editor.go_to(place.line, place.column);
}
