//! A node's rules, as its kernel has them at the shown moment: the text of its tool, and beside each line how many packets
//! met it, what the last sync changed, and what in the cluster asks for it.

use super::{Pane, Session, shell, why};
use crate::dom::add;
use crate::i18n::{t, tf, tn};
use crate::lab::Question;
use lab_protocol::{FieldRef, LineNote, ProxyMode, RulesView};
use leptos::html;
use leptos::prelude::*;
use std::sync::Arc;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::Element;

/// Which lines are shown.
const ALL: &str = "";
/// Those that belong to a Service.
const SERVICES: &str = "*";
const MODES: [ProxyMode; 3] = [ProxyMode::Iptables, ProxyMode::Nftables, ProxyMode::Ipvs];

/// Node, mode, filters and rules.
#[component]
pub fn Rules(session: Session, shown: Memo<Pane>) -> impl IntoView {
    let lab = session.lab;
    let nodes = Memo::new(move |_| lab.scene.with(|s| s.nodes.values().map(|n| n.name.clone()).collect::<Vec<_>>()));
    let services =
        Memo::new(move |_| lab.scene.with(|s| s.services.values().map(|s| s.name.clone()).collect::<Vec<_>>()));
    let chosen = RwSignal::new(String::new());
    let node = Memo::new(move |_| {
        let nodes = nodes.get();
        let wish = chosen.get();
        if nodes.contains(&wish) { wish } else { nodes.first().cloned().unwrap_or_default() }
    });
    let service = RwSignal::new(ALL.to_owned());
    let search = RwSignal::new(String::new());
    Effect::new(move || {
        if let Some(Question::Rules(id)) = lab.asked.get()
            && let Some(name) = lab.scene.with_untracked(|s| s.services.get(&id).map(|s| s.name.clone()))
        {
            service.set(name);
        }
    });
    let rules: RwSignal<Arc<RulesView>> = RwSignal::default();
    let list = NodeRef::<html::Pre>::new();
    // They are asked for when the node has written new ones or the shown moment has jumped, and every two seconds for the
    // packets. Nothing moves under the hand meanwhile.
    let state = Memo::new(move |_| {
        lab.scene.with(|s| s.nodes.values().find(|n| n.name == node.get()).map(|n| (n.synced_at, n.rules)))
    });
    let tick = Memo::new(move |_| {
        let at = lab.view_time.get().as_micros();
        let every = (2_000_000.0 * lab.speed.get().max(0.2)) as u64;
        if lab.playing.get() { at / every } else { at }
    });
    Effect::new(move || {
        let name = node.get();
        state.track();
        tick.track();
        lab.commands_changed.track();
        if shown.get() != Pane::Rules || name.is_empty() {
            return;
        }
        spawn_local(async move {
            let told = lab.rules(name.clone()).await;
            if let Some(told) = told.filter(|_| node.try_get_untracked().as_ref() == Some(&name)) {
                rules.set(Arc::new(*told));
            }
        });
    });
    Effect::new(move || {
        let told = rules.get();
        let (service, search) = (service.get(), search.get().to_lowercase());
        let Some(place) = list.get() else { return };
        let held = place.matches(":focus-within:not(:focus)").unwrap_or(false);
        let same = place.get_attribute("data-text").as_deref() == Some(&key(&told, &service, &search));
        if !(held && same) {
            write(&place, &told, &service, &search);
            let _ = place.set_attribute("data-text", &key(&told, &service, &search));
        }
    });
    let go_to = move |event: web_sys::MouseEvent| {
        let line = event.target().and_then(|t| t.dyn_into::<Element>().ok());
        let line = line.and_then(|l| l.closest("[data-field]").ok().flatten());
        let number = line.and_then(|l| l.get_attribute("data-field")?.parse::<usize>().ok());
        if let Some(field) =
            number.filter(|_| !is_selecting()).and_then(|i| rules.with_untracked(|r| r.fields.get(i - 1).cloned()))
        {
            spawn_local(why::show_field(session, field));
        }
    };
    let count = move || rules.with(|r| r.text.lines().filter(|l| is_rule(l)).count());
    let changes = move || {
        let (new, gone) = rules.with(|r| (r.notes.iter().filter(|n| n.new).count(), r.removed.len()));
        let args = [("new", new.to_string()), ("gone", gone.to_string())];
        let synced = state.get().and_then(|s| s.0);
        match synced {
            Some(at) if new + gone > 0 => {
                let at = crate::stage::words::moment(at);
                tf("rules-synced", &[("at", &at), ("new", &args[0].1), ("gone", &args[1].1)])
            }
            _ => String::new(),
        }
    };
    view! {
        <div class="pane-rules">
            <div class="pane-bar">
                <div class="seg" role="group" aria-label=t("rules-node")>
                    <For each=move || nodes.get() key=Clone::clone let:name>
                        {
                            let (this, pick) = (name.clone(), name.clone());
                            view! {
                                <button
                                    aria-pressed=move || (node.get() == this).to_string()
                                    on:click=move |_| chosen.set(pick.clone())
                                >{name}</button>
                            }
                        }
                    </For>
                </div>
                <label class="pick-one"><span>{t("rules-mode")}</span>
                    <select on:change=move |e| {
                        let name = event_target_value(&e);
                        if let Some(mode) = MODES.into_iter().find(|m| m.name() == name) {
                            lab.set_proxy_mode(node.get_untracked(), mode);
                        }
                    }>
                        {MODES.map(|m| view! { <option value=m.name() selected=move || rules.with(|r| r.mode == m)>{m.name()}</option> }).collect_view()}
                    </select>
                </label>
                <label class="pick-one"><span>{t("rules-of")}</span>
                    <select prop:value=move || service.get() on:change=move |e| service.set(event_target_value(&e))>
                        <option value=ALL>{t("rules-all")}</option>
                        <option value=SERVICES>{t("rules-services")}</option>
                        {move || services.get().into_iter().map(|name| {
                            let (value, this) = (name.clone(), name.clone());
                            view! { <option value=value selected=move || service.get() == this>{name}</option> }
                        }).collect_view()}
                    </select>
                </label>
                <input type="search" class="rules-search" placeholder=t("rules-search") aria-label=t("rules-search")
                    prop:value=move || search.get() on:input=move |e| search.set(event_target_value(&e))/>
                <span class="meta">{move || tn("rules-count", count() as u64)}</span>
                <button
                    class="btn btn-sm rules-copy"
                    disabled=move || rules.with(|r| r.text.is_empty())
                    on:click=move |_| spawn_local(shell::copy(rules.with_untracked(|r| r.text.clone()), "copied"))
                >{t("copy")}</button>
            </div>
            <p class="rules-note meta" role="status">
                <span>{move || tf("rules-since", &[("at", &crate::stage::words::moment(rules.with(|r| r.since)))])}</span>
                <span>{changes}</span>
            </p>
            <pre class="rules-text scrolls" tabindex="0" aria-label=t("rules-text") node_ref=list on:click=go_to></pre>
        </div>
    }
}

/// Whether text is selected: who marks a line with the mouse means to copy it.
fn is_selecting() -> bool {
    let document = crate::dom::document();
    let get = js_sys::Reflect::get(&document, &"getSelection".into()).ok().and_then(|f| f.dyn_into().ok());
    let selection = get.and_then(|get: js_sys::Function| get.call0(&document).ok());
    selection.is_some_and(|s| js_sys::Object::from(s).to_string().length() > 0)
}

/// By what one sees whether the same is shown.
fn key(rules: &RulesView, service: &str, search: &str) -> String {
    format!("{} {} {service} {search}", rules.text.len(), rules.removed.len())
}

/// Whether a line is a rule, in whatever tool's words.
fn is_rule(line: &str) -> bool {
    ["-A ", "add rule ", "TCP ", "UDP ", "SCTP "].iter().any(|start| line.starts_with(start))
}

fn write(place: &Element, rules: &RulesView, service: &str, search: &str) {
    place.set_text_content(None);
    let of = |note: &LineNote| rules.fields.get((note.field as usize).checked_sub(1)?);
    let mut notes = rules.notes.iter().peekable();
    let mut shown = 0;
    for (i, line) in (0u32..).zip(rules.text.lines()) {
        let note = notes.next_if(|n| n.line == i).copied().unwrap_or_default();
        let field = of(&note);
        let wanted = match service {
            ALL => true,
            SERVICES => field.is_some(),
            name => field.is_some_and(|f| f.name == name),
        };
        if wanted && (search.is_empty() || line.to_lowercase().contains(search)) {
            row(place, line, &note, field);
            shown += 1;
        }
    }
    for line in rules.removed.iter().filter(|l| shown > 0 && service == ALL && l.to_lowercase().contains(search)) {
        let gone = add(place, "del", "r-line r-gone", "");
        add(&gone, "i", "r-gutter", &t("rules-gone"));
        add(&gone, "span", "", line);
    }
    if shown == 0 {
        add(place, "span", "pane-empty", &t("rules-none"));
    }
}

fn row(place: &Element, line: &str, note: &LineNote, field: Option<&FieldRef>) {
    let class = match line.as_bytes().first() {
        Some(b'*' | b'[') => "r-line r-table",
        Some(b':') => "r-line r-chain",
        _ if line.contains("REJECT") || line.ends_with("reject") => "r-line r-reject",
        _ if field.is_some() => "r-line r-service",
        _ => "r-line r-dim",
    };
    let row = add(place, "span", class, "");
    if note.new {
        let _ = row.class_list().add_1("is-new");
    }
    let gutter = add(&row, "i", "r-gutter", &if note.packets > 0 { note.packets.to_string() } else { String::new() });
    if note.new {
        add(&gutter, "b", "", &t("rules-new"));
    }
    let origin = add(&row, "i", "r-origin", "");
    if let Some(field) = field {
        let button = add(&origin, "button", "", &field.name);
        let args = [("field", field.field.as_str()), ("kind", &field.kind), ("name", &field.name)];
        let _ = button.set_attribute("aria-label", &tf("why-field", &args));
        let _ = button.set_attribute("title", &tf("why-field", &args));
        let _ = row.set_attribute("data-field", &note.field.to_string());
    }
    add(&row, "span", "r-text", line);
    row.append_with_str_1("\n").unwrap_or_default();
}
