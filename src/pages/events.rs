//! What happened, newest first; a time leads back to its moment.

use super::Session;
use crate::i18n::{t, tp};
use lab_protocol::MarkKind;
use leptos::prelude::*;

/// More lines than this help nobody.
const MOST: usize = 300;

/// The list of events.
#[component]
pub fn Events(session: Session) -> impl IntoView {
    let lab = session.lab;
    let people_only = RwSignal::new(false);
    let rows = Memo::new(move |_| {
        let only = people_only.get();
        let of_people = |kind: MarkKind| matches!(kind, MarkKind::Apply | MarkKind::Fault);
        lab.marks.with(|marks| {
            marks.iter().rev().filter(|m| !only || of_people(m.kind)).take(MOST).cloned().collect::<Vec<_>>()
        })
    });
    view! {
        <div class="pane-events">
            <div class="pane-bar">
                <label class="check"><input type="checkbox" prop:checked=move || people_only.get()
                    on:change=move |e| people_only.set(event_target_checked(&e))/><span>{t("events-own")}</span></label>
            </div>
            <div class="events-scroll scrolls" tabindex="0" role="group" aria-label=t("tab-events")>
                <ol class="events">
                    <For each=move || rows.get() key=|m| (m.seq, m.at) let:mark>
                        {
                            let at = mark.at;
                            let time = format!("{:.3} s", at.as_micros() as f64 / 1e6);
                            let class = match mark.kind {
                                MarkKind::Apply => "event is-apply",
                                MarkKind::Fault => "event is-fault",
                                MarkKind::Change => "event",
                                MarkKind::Sync => "event is-sync",
                            };
                            view! {
                                <li class=class>
                                    <button class="event-at" title=t("events-go") on:click=move |_| { lab.pause(); lab.seek(at); }>{time}</button>
                                    <span class="event-object">{mark.object.clone()}</span>
                                    <span class="event-what">{tp(&mark.phrase)}</span>
                                </li>
                            }
                        }
                    </For>
                </ol>
                {move || rows.with(Vec::is_empty).then(|| view! {
                    <p class="pane-empty">{if people_only.get() { t("events-none-own") } else { t("events-none") }}</p>
                })}
            </div>
        </div>
    }
}
