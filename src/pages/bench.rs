//! The bench: tabs, and what they show. Wide: under the stage. On a phone: the tabs lie at the bottom, the text is one of them.

use super::{Pane, Session, events::Events, failover::Failover, icon, rules::Rules, why::Why};
use crate::i18n::{t, tf, tn};
use crate::lab::Question;
use crate::{dom, lab};
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

/// Where the page has one column.
pub const PHONE: &str = "(max-width: 760px)";

const TABS: [(Pane, &str); 7] = [
    (Pane::Lesson, "lesson"),
    (Pane::Yaml, "yaml"),
    (Pane::Rules, "rules"),
    (Pane::Why, "why"),
    (Pane::Failover, "failover"),
    (Pane::Metrics, "metrics"),
    (Pane::Events, "events"),
];

/// A signal that tells whether the page has one column.
pub fn is_phone() -> RwSignal<bool> {
    let media = dom::window().match_media(PHONE).ok().flatten();
    let phone = RwSignal::new(media.as_ref().is_some_and(|m| m.matches()));
    if let Some(media) = media {
        let now = media.clone();
        dom::listen::<web_sys::Event>(&media, "change", move |_| phone.set(now.matches()));
    }
    phone
}

/// Tabs and panes.
#[component]
pub fn Bench(session: Session) -> impl IntoView {
    let phone = is_phone();
    let shown = Memo::new(move |_| match session.pane.get() {
        Pane::Lesson if !phone.get() => Pane::Yaml,
        pane => pane,
    });
    // The frame shows and hides the book by this.
    Effect::new(move || {
        let name = TABS.iter().find(|(pane, _)| *pane == shown.get()).map_or("yaml", |(_, name)| name);
        let _ = dom::root().set_attribute("data-pane", name);
    });
    // Who asks on the stage reads the answer here.
    Effect::new(move || match session.lab.asked.get() {
        Some(Question::Rules(_)) => session.pane.set(Pane::Rules),
        Some(_) => session.pane.set(Pane::Why),
        None => {}
    });
    // What was visited stays, so that nothing is lost or drawn for nothing.
    let visited = RwSignal::new(vec![Pane::Yaml]);
    Effect::new(move || {
        let pane = shown.get();
        if !visited.with_untracked(|v| v.contains(&pane)) {
            visited.update(|v| v.push(pane));
        }
    });
    let was = move |pane| visited.with(|v| v.contains(&pane));
    view! {
        <div class="bench">
            <div class="tabs" role="tablist" aria-label=t("bench-label") on:keydown=move |e| arrows(session, phone, &e)>
                {TABS.map(|(pane, name)| view! { <Tab session pane name shown/> }).collect_view()}
            </div>
            <div class="bench-body">
                <Panel pane=Pane::Yaml name="yaml" shown>
                    <Yaml session/>
                    <aside class="strip" aria-label=t("tab-metrics")>
                        <crate::chart::Charts lab=session.lab/>
                    </aside>
                </Panel>
                <Panel pane=Pane::Rules name="rules" shown>
                    {move || was(Pane::Rules).then(|| view! { <Rules session shown/> })}
                </Panel>
                <Panel pane=Pane::Why name="why" shown>
                    {move || was(Pane::Why).then(|| view! { <Why session shown/> })}
                </Panel>
                <Panel pane=Pane::Failover name="failover" shown>
                    {move || was(Pane::Failover).then(|| view! { <Failover session shown/> })}
                </Panel>
                <Panel pane=Pane::Metrics name="metrics" shown>
                    {move || was(Pane::Metrics).then(|| view! { <div class="pane-metrics scrolls"><crate::chart::Charts lab=session.lab/></div> })}
                </Panel>
                <Panel pane=Pane::Events name="events" shown>
                    {move || was(Pane::Events).then(|| view! { <Events session/> })}
                </Panel>
            </div>
        </div>
    }
}

/// Arrow keys, Home and End move between tabs.
fn arrows(session: Session, phone: RwSignal<bool>, event: &web_sys::KeyboardEvent) {
    let tabs: Vec<Pane> =
        TABS.iter().map(|(p, _)| *p).filter(|p| *p != Pane::Lesson || phone.get_untracked()).collect();
    let now = session.pane.get_untracked();
    let at = tabs.iter().position(|p| *p == now).unwrap_or(0);
    let to = match event.key().as_str() {
        "ArrowRight" => (at + 1) % tabs.len(),
        "ArrowLeft" => (at + tabs.len() - 1) % tabs.len(),
        "Home" => 0,
        "End" => tabs.len() - 1,
        _ => return,
    };
    event.prevent_default();
    session.pane.set(tabs[to]);
    if let Some((_, name)) = TABS.iter().find(|(p, _)| *p == tabs[to])
        && let Some(tab) = dom::by_id(&format!("tab-{name}"))
    {
        let _ = tab.focus();
    }
}

#[component]
fn Tab(session: Session, pane: Pane, name: &'static str, shown: Memo<Pane>) -> impl IntoView {
    let selected = move || shown.get() == pane;
    let wrong = move || pane == Pane::Yaml && session.editor.diagnostics.with(|d| d.iter().any(|d| d.error));
    let count = move || {
        let marks = if pane == Pane::Events { session.lab.marks.with(|m| m.len()) } else { 0 };
        (marks > 0).then(|| view! { <span class="count">{marks}</span> })
    };
    let open = move |_| {
        session.pane.set(pane);
        if dom::window().match_media(PHONE).ok().flatten().is_some_and(|m| m.matches()) {
            dom::window().scroll_to_with_x_and_y(0.0, 0.0);
        }
    };
    view! {
        <button
            role="tab"
            id=format!("tab-{name}")
            class:phone-only=pane == Pane::Lesson
            aria-controls=if pane == Pane::Lesson { "main".to_owned() } else { format!("pane-{name}") }
            aria-selected=move || selected().to_string()
            tabindex=move || if selected() { "0" } else { "-1" }
            on:click=open
        >
            <span>{t(&format!("tab-{name}"))}</span>
            {move || wrong().then(|| view! { <i class="pip"></i><span class="sr">{t("tab-wrong")}</span> })}
            {count}
        </button>
    }
}

#[component]
fn Panel(pane: Pane, name: &'static str, shown: Memo<Pane>, children: Children) -> impl IntoView {
    view! {
        <div
            class="pane"
            role="tabpanel"
            id=format!("pane-{name}")
            aria-labelledby=format!("tab-{name}")
            class:is-shown=move || shown.get() == pane
        >
            {children()}
        </div>
    }
}

/// The editor with its bar and what is said about it.
#[component]
fn Yaml(session: Session) -> impl IntoView {
    let editor = session.editor;
    let host = NodeRef::<html::Div>::new();
    host.on_load(move |host| editor.mount(host.unchecked_into(), move || session.apply(), move || session.format()));
    compare_again(session);
    let errors = move || editor.diagnostics.with(|d| d.iter().filter(|d| d.error).count());
    let warnings = move || editor.diagnostics.with(|d| d.iter().filter(|d| !d.error).count());
    let first = move || {
        let place = editor.diagnostics.with_untracked(|d| {
            let worst = d.iter().any(|d| d.error);
            d.iter().filter(|d| d.error == worst).map(|d| (d.line, d.column)).min()
        });
        if let Some((line, column)) = place {
            editor.go_to(line.max(1), column.max(1));
        }
    };
    let problems = move || {
        let (errors, warnings) = (errors(), warnings());
        let text = match (errors, warnings) {
            (0, 0) => return None,
            (0, n) => tn("editor-warnings", n as u64),
            (n, _) => tn("editor-problems", n as u64),
        };
        Some(view! {
            <button class="prob" class:is-warning=errors == 0 on:click=move |_| first()>
                {icon("M8 5v3.5M8 10.8v.2M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11z")}
                <span>{text}</span>
            </button>
        })
    };
    view! {
        <div class="pane-yaml">
            <div class="pane-bar">
                <Documents session/>
                {problems}
                <button
                    class="btn btn-quiet btn-sm"
                    aria-pressed=move || editor.comparing.get().to_string()
                    aria-keyshortcuts="Shift+Alt+D"
                    title=t("editor-changes-why")
                    hidden=move || editor.plain.get()
                    on:click=move |_| editor.toggle_compare()
                >
                    {t("editor-changes")}
                </button>
                <button
                    class="btn btn-quiet btn-sm"
                    aria-keyshortcuts="Shift+Alt+F"
                    title=t("editor-format-why")
                    on:click=move |_| session.format()
                >
                    {t("editor-format")}
                </button>
                <button
                    class="btn btn-quiet btn-sm"
                    disabled=move || !editor.changed.get()
                    title=t("editor-reset-why")
                    on:click=move |_| {
                        editor.set_text(&editor.start());
                        session.say(t("editor-reset-done"));
                    }
                >
                    {t("editor-reset")}
                </button>
                <button
                    class="btn btn-primary btn-sm"
                    class:is-blocked=move || session.obstacle().is_some()
                    id="apply"
                    aria-keyshortcuts="Control+S Control+Enter"
                    title=move || session.obstacle().unwrap_or_else(|| t("apply-why"))
                    on:click=move |_| session.apply()
                >
                    {t("apply")}
                </button>
            </div>
            <div class="editor" node_ref=host></div>
            <Problems session/>
            <div class="said" class:is-wrong=move || session.said.with(|s| s.wrong)>
                <p role="status" class:mono=move || session.said.with(|s| s.machine)>{move || session.said.with(|s| s.text.clone())}</p>
                {move || session.aside.get().then(|| view! {
                    <button class="btn btn-sm" on:click=move |_| session.take_back()>{t("text-take-back")}</button>
                })}
            </div>
        </div>
    }
}

/// What would change is something else before and after each command, whether time runs over it or somebody goes there.
fn compare_again(session: Session) {
    let done = Memo::new(move |_| {
        if !session.editor.comparing.get() {
            return 0;
        }
        session.lab.commands_changed.track();
        let now = session.lab.view_time.get();
        lab::with_run(session.lab.id, |run| run.commands.iter().filter(|c| c.at <= now).count()).unwrap_or(0)
    });
    Effect::new(move || {
        done.get();
        session.editor.refresh_compare();
    });
}

/// What is wrong, as a list: where the plain text area can't show it in its place.
#[component]
fn Problems(session: Session) -> impl IntoView {
    let editor = session.editor;
    move || {
        if !editor.plain.get() {
            return None;
        }
        let items = editor.diagnostics.with(|d| {
            d.iter()
                .take(20)
                .map(|d| {
                    let (line, column) = (d.line.max(1), d.column.max(1));
                    view! {
                        <li><button on:click=move |_| editor.go_to(line, column)>
                            <b>{format!("{line}:{column}")}</b><span>{crate::editor::words(d)}</span>
                        </button></li>
                    }
                })
                .collect_view()
        });
        Some(view! { <ul class="problems">{items}</ul> })
    }
}

/// The text's documents; a click leads there.
#[component]
fn Documents(session: Session) -> impl IntoView {
    let editor = session.editor;
    let found = Memo::new(move |_| {
        editor.version.track();
        // Reading has ended, so nobody is typing just now.
        editor.reading.track();
        if editor.length() > 100_000 { Vec::new() } else { documents(&editor.text()) }
    });
    view! {
        <div class="files">
            {move || found.get().into_iter().take(6).map(|(line, name)| {
                let service = name.strip_prefix("Service/").map(str::to_owned);
                let label = tf("rules-of-service", &[("name", service.as_deref().unwrap_or_default())]);
                let rules = service.map(|service| view! {
                    <button class="files-rules" aria-label=label.clone() title=label on:click=move |_| {
                        let scene = session.lab.scene.get_untracked();
                        if let Some(found) = scene.services.values().find(|s| s.name == service) {
                            session.lab.ask(Question::Rules(found.id));
                        }
                    }>{t("tab-rules")}</button>
                });
                view! {
                    <button on:click=move |_| editor.go_to(line, 1) title=t("editor-go-to")>{name}</button>
                    {rules}
                }
            }).collect_view()}
            {move || editor.changed.get().then(|| view! { <i class="dirty" title=t("editor-changed")></i><span class="sr">{t("editor-changed")}</span> })}
        </div>
    }
}

/// Line and name (`Service/web`) of each document.
fn documents(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    let (mut kind, mut name, mut start, mut inside) = (String::new(), String::new(), 1, false);
    let mut close = |kind: &mut String, name: &mut String, start: u32| {
        if !kind.is_empty() {
            let label = if name.is_empty() { kind.clone() } else { format!("{kind}/{name}") };
            found.push((start, label));
        }
        kind.clear();
        name.clear();
    };
    for (i, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            close(&mut kind, &mut name, start);
            start = i as u32 + 2;
            inside = false;
        } else if let Some(value) = line.strip_prefix("kind:") {
            kind = value.trim().trim_matches(['"', '\'']).to_owned();
        } else if let Some(value) = line.strip_prefix("metadata:") {
            inside = true;
            let inline = value.split("name:").nth(1).map(|v| v.split([',', '}']).next().unwrap_or_default());
            name = inline.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned();
        } else if inside && name.is_empty() && line.starts_with("  name:") {
            name = line[7..].trim().trim_matches(['"', '\'']).to_owned();
        } else if !line.starts_with([' ', '#']) && !line.is_empty() {
            inside = false;
        }
    }
    close(&mut kind, &mut name, start);
    found
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[test]
    fn documents_are_named() {
        let text = "# a\nkind: Service\nmetadata:\n  name: web\n---\nmetadata: {name: \"x\", labels: {}}\nkind: Pod\n---\n---\nkind: Lone\n";
        let found = documents(text);
        assert_eq!(found, [(1, "Service/web".into()), (6, "Pod/x".into()), (10, "Lone".into())]);
    }
}
