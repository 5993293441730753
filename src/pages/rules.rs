//! A node's rules, as its kernel has them at the shown moment.

use super::{Pane, Session, shell};
use crate::i18n::{t, tn};
use leptos::prelude::*;
use std::sync::Arc;
use wasm_bindgen_futures::spawn_local;

/// Node, filter and rules.
#[component]
pub fn Rules(session: Session, shown: Memo<Pane>) -> impl IntoView {
    let lab = session.lab;
    let nodes = Memo::new(move |_| lab.scene.with(|s| s.nodes.values().map(|n| n.name.clone()).collect::<Vec<_>>()));
    let chosen = RwSignal::new(String::new());
    let node = Memo::new(move |_| {
        let nodes = nodes.get();
        let wish = chosen.get();
        if nodes.contains(&wish) { wish } else { nodes.first().cloned().unwrap_or_default() }
    });
    // They are asked for when the node has written new ones, or the shown moment has jumped.
    let state = Memo::new(move |_| {
        lab.scene.with(|s| s.nodes.values().find(|n| n.name == node.get()).map(|n| (n.synced_at, n.rules)))
    });
    let text = RwSignal::new(Arc::new(String::new()));
    Effect::new(move || {
        let name = node.get();
        state.track();
        lab.commands_changed.track();
        if shown.get() != Pane::Rules || name.is_empty() {
            return;
        }
        spawn_local(async move {
            let rules = lab.rules(name.clone()).await;
            if node.try_get_untracked().as_ref() == Some(&name) {
                text.set(Arc::new(rules));
            }
        });
    });
    let services_only = RwSignal::new(false);
    let lines = Memo::new(move |_| {
        let only = services_only.get();
        text.with(|text| text.lines().filter(|l| !only || of_service(l)).map(str::to_owned).collect::<Vec<_>>())
    });
    let count = move || text.with(|text| text.lines().filter(|l| l.starts_with("-A")).count());
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
                <span class="meta">{move || tn("rules-count", count() as u64)}</span>
                <label class="check"><input type="checkbox" prop:checked=move || services_only.get()
                    on:change=move |e| services_only.set(event_target_checked(&e))/><span>{t("rules-services")}</span></label>
                <button
                    class="btn btn-sm rules-copy"
                    disabled=move || text.with(|t| t.is_empty())
                    on:click=move |_| spawn_local(shell::copy(text.get_untracked().to_string(), "copied"))
                >{t("copy")}</button>
            </div>
            <pre class="rules-text scrolls" tabindex="0" aria-label=t("rules-text")>
                {move || lines.get().into_iter().map(|line| {
                    let class = class_of(&line);
                    view! { <span class=class>{line}{"\n"}</span> }
                }).collect_view()}
            </pre>
            {move || (services_only.get() && lines.with(Vec::is_empty)).then(|| view! { <p class="pane-empty">{t("rules-none")}</p> })}
        </div>
    }
}

/// Whether a line is about Services and their endpoints.
fn of_service(line: &str) -> bool {
    ["KUBE-SVC-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-", "has no endpoints"].iter().any(|s| line.contains(s))
}

fn class_of(line: &str) -> &'static str {
    match line.as_bytes().first() {
        Some(b'*') => "r-table",
        Some(b':') => "r-chain",
        Some(b'#') => "r-dim",
        _ if line.contains("-j REJECT") => "r-reject",
        _ if of_service(line) => "r-service",
        _ => "r-dim",
    }
}
