//! A task that ticks itself.

use super::diff;
use crate::i18n::{t, tf, tp};
use crate::pages::{Session, icon};
use lab_protocol::TaskView;
use leptos::prelude::*;

const TICK: &str = "M3.5 8.5l3 3 6-7";

/// A task: what to do, how it stands, hints, the solution.
#[component]
pub fn Task(session: Session, task: TaskView, number: usize, of: usize) -> impl IntoView {
    let id = StoredValue::new(task.id.clone());
    let heading = format!("task-{}", task.id);
    let labelled = heading.clone();
    let solved = Memo::new(move |_| session.progress.with(|p| id.with_value(|id| p.has(id))));
    let next = Memo::new(move |_| {
        let order = session.lesson.get()?;
        let progress = session.progress.get();
        order.tasks.iter().find(|t| !progress.has(&t.id)).map(|t| t.id.clone())
    });
    let is_next = move || next.with(|n| n.as_ref().is_some_and(|n| id.with_value(|id| id == n)));
    let report = Memo::new(move |_| {
        session.lab.tasks.with(|tasks| id.with_value(|id| tasks.iter().find(|t| t.id == *id).cloned()))
    });
    let note = move || {
        let report = report.get();
        if solved.get() {
            let at = report.and_then(|r| r.solved_at).filter(|at| at.as_micros() > 0);
            let at = at.map(|at| format!("{:.2}", at.as_micros() as f64 / 1e6));
            return at.map_or_else(|| t("task-solved"), |at| tf("task-solved-at", &[("at", &at)]));
        }
        match report.and_then(|r| r.finding) {
            Some(f) if is_next() => tf("task-finding", &[("expected", &tp(&f.expected)), ("seen", &tp(&f.seen))]),
            _ => String::new(),
        }
    };
    let label = tf("task-label", &[("n", &(number + 1).to_string()), ("of", &of.to_string())]);
    let state = move || if solved.get() { t("task-state-solved") } else { t("task-state-open") };
    let hints = task.hints.clone();
    let text = task.html.clone();
    view! {
        <section class="task" class:is-done=move || solved.get() class:is-next=is_next aria-labelledby=labelled>
            <span class="tick">{move || solved.get().then(|| icon(TICK))}</span>
            <div class="task-main">
                <h3 class="task-label" id=heading>{label}<span class="sr">{move || format!(" {}", state())}</span></h3>
                <div class="task-text" inner_html=text></div>
                <p class="note" role="status">{note}</p>
                <Hints session id hints/>
                <Solution session task solved/>
            </div>
        </section>
    }
}

/// Hints come one by one, from faint to plain.
#[component]
fn Hints(session: Session, id: StoredValue<String>, hints: Vec<String>) -> impl IntoView {
    let count = hints.len();
    let shown = Memo::new(move |_| {
        session.progress.with(|p| id.with_value(|id| p.hints.get(id).copied().unwrap_or(0))).min(count)
    });
    let more =
        move |_| session.progress.update(|p| *p.hints.entry(id.get_value()).or_default() = shown.get_untracked() + 1);
    let hide = move |_| {
        session.progress.update(|p| {
            p.hints.remove(&id.get_value());
        })
    };
    let hints = StoredValue::new(hints);
    (count > 0).then(|| view! {
        <div class="hints">
            <ol aria-live="polite">
                {move || hints.with_value(|h| h.iter().take(shown.get()).map(|hint| view! { <li inner_html=hint.clone()></li> }).collect_view())}
            </ol>
            <div class="row">
                {move || (shown.get() < count).then(|| view! {
                    <button class="btn btn-quiet btn-sm" on:click=more>
                        {if shown.get() == 0 { t("hint-first") } else { t("hint-next") }}
                        <span class="count">{format!("{} / {count}", shown.get())}</span>
                    </button>
                })}
                {move || (shown.get() > 0).then(|| view! {
                    <button class="btn btn-quiet btn-sm" on:click=hide>{t("hint-hide")}</button>
                })}
            </div>
        </div>
    })
}

/// The solution: in words, as a difference to the present text, and into the editor.
#[component]
fn Solution(session: Session, task: TaskView, solved: Memo<bool>) -> impl IntoView {
    let open = RwSignal::new(false);
    let TaskView { id, solution, solution_html, .. } = task;
    let solution = StoredValue::new(solution);
    let words = StoredValue::new(solution_html);
    let id = StoredValue::new(id);
    // Compared with the text as it was when the solution was opened: what one reads doesn't change meanwhile.
    let body = move || {
        if !open.get() {
            return None;
        }
        let yaml = solution.get_value().map(|yaml| {
            let rows = diff::lines(&untrack(|| session.editor.text()), &yaml);
            let shown = if rows.is_empty() {
                view! { <p class="note">{t("solution-same")}</p> }.into_any()
            } else {
                let rows = diff::view(&rows);
                view! { <pre class="diff scrolls" tabindex="0" aria-label=t("solution-diff")>{rows}</pre> }.into_any()
            };
            view! {
                {shown}
                <div class="row">
                    <button class="btn btn-sm" on:click=move |_| session.put(&yaml)>{t("solution-put")}</button>
                </div>
            }
        });
        Some(view! { <div class="solution-text" inner_html=words.get_value()></div>{yaml} })
    };
    view! {
        <details class="solution" on:toggle=move |e| {
            use wasm_bindgen::JsCast;
            if let Some(d) = e.target().and_then(|t| t.dyn_into::<web_sys::HtmlDetailsElement>().ok()) {
                open.set(d.open());
            }
        }>
            <summary>{icon("M6 3.5L10.5 8 6 12.5")}<span>{t("solution")}</span></summary>
            {body}
        </details>
        {move || solved.get().then(|| view! {
            <button class="btn btn-quiet btn-sm task-again" on:click=move |_| id.with_value(|id| session.reset_task(id))>{t("task-again")}</button>
        })}
    }
}
