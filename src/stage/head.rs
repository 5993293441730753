//! The stage's head: what stands there, how requests ended, picture or table.

use super::Ctx;
use super::words::outcome_word;
use crate::i18n::{group, t, tf, tn};
use lab_protocol::{Counts, Outcome};
use leptos::prelude::*;

/// The head.
#[component]
pub fn Head(ctx: Ctx, as_table: RwSignal<bool>) -> impl IntoView {
    let lab = ctx.lab;
    let meta = Memo::new(move |_| {
        let scene = lab.scene.get();
        if scene.nodes.is_empty() {
            return String::new();
        }
        let pods = scene.pods.values().filter(|p| p.nth > 0 || p.deployment.is_empty()).count() as u64;
        let mut parts = vec![tn("stage-nodes", scene.nodes.len() as u64), tn("stage-pods", pods)];
        if let Some(opened) = lab.opened.get() {
            parts.push(tf("stage-seed", &[("seed", &opened.seed.to_string())]));
        }
        parts.join(" · ")
    });
    view! {
        <div class="stage-head">
            <h2>{t("stage-cluster")}</h2>
            <span class="meta wide-only">{meta}</span>
            <Tally ctx/>
            <div class="seg stage-switch" role="group" aria-label=t("stage-view")>
                <button aria-pressed=move || (!as_table.get()).to_string() on:click=move |_| as_table.set(false)>
                    {t("stage-picture")}
                </button>
                <button aria-pressed=move || as_table.get().to_string() on:click=move |_| as_table.set(true)>
                    {t("stage-table")}
                </button>
            </div>
        </div>
    }
}

/// How requests ended so far.
#[component]
fn Tally(ctx: Ctx) -> impl IntoView {
    let totals: Memo<Counts> = Memo::new(move |_| ctx.lab.scene.with(|s| s.totals));
    let number = move |outcome: Outcome| Memo::new(move |_| group(totals.get().of(outcome)));
    let others = Memo::new(move |_| {
        let counts = totals.get();
        let rest = [Outcome::Reset, Outcome::ServerError, Outcome::NoSuchName];
        rest.into_iter().filter(|o| counts.of(*o) > 0).map(|o| (o, counts.of(o))).collect::<Vec<_>>()
    });
    let item = move |mark: &'static str, outcome: Outcome| {
        view! { <span><i class=mark aria-hidden="true"></i><b>{number(outcome)}</b>{outcome_word(outcome)}</span> }
    };
    view! {
        <div class="tally">
            {item("m-ok", Outcome::Answered)}
            {item("m-burst", Outcome::Refused)}
            {item("m-ring", Outcome::TimedOut)}
            <For each=move || others.get() key=|(o, n)| (*o as u8, *n) children=move |(outcome, n)| {
                let mark = match outcome {
                    Outcome::Reset => "m-broken",
                    Outcome::ServerError => "m-cross",
                    _ => "m-burst",
                };
                view! { <span><i class=mark aria-hidden="true"></i><b>{group(n)}</b>{outcome_word(outcome)}</span> }
            }/>
        </div>
    }
}
