//! Questions: the prediction before the run, and the quiz after it.

use crate::i18n::t;
use crate::pages::Session;
use lab_protocol::Question;
use leptos::prelude::*;

/// The options of a question as radio buttons.
#[component]
fn Options(
    question: Question,
    chosen: RwSignal<Option<usize>>,
    locked: Signal<bool>,
    marked: Signal<bool>,
) -> impl IntoView {
    let name = format!("q-{}", question.id);
    question
        .options
        .into_iter()
        .enumerate()
        .map(|(i, option)| {
            let is_right = option.right;
            let class = move || {
                let mine = chosen.get() == Some(i);
                match (marked.get(), mine, is_right) {
                    (true, true, true) => "opt is-right",
                    (true, true, false) => "opt is-wrong",
                    _ => "opt",
                }
            };
            let word = move || {
                let mine = marked.get() && chosen.get() == Some(i);
                mine.then(|| if is_right { t("quiz-right") } else { t("quiz-wrong") })
            };
            view! {
                <label class=class>
                    <input
                        type="radio"
                        name=name.clone()
                        prop:checked=move || chosen.get() == Some(i)
                        disabled=move || locked.get()
                        on:change=move |_| chosen.set(Some(i))
                    />
                    <span class="opt-text"><span inner_html=option.html></span>{move || word().map(|w| view! { <b class="opt-word">{w}</b> })}</span>
                </label>
            }
        })
        .collect_view()
}

/// A question of the quiz. A wrong answer gets its own reply, and one may try again.
#[component]
pub fn Quiz(session: Session, question: Question) -> impl IntoView {
    let id = StoredValue::new(question.id.clone());
    let given = session.progress.with_untracked(|p| p.answers.get(&question.id).copied());
    let given = given.filter(|i| *i < question.options.len());
    let chosen = RwSignal::new(given);
    // Which answer is being talked about.
    let checked = RwSignal::new(given);
    let marked = Signal::derive(move || checked.get().is_some() && checked.get() == chosen.get());
    let options = StoredValue::new(question.options.clone());
    let explanation = StoredValue::new(question.explanation.clone());
    let right = move || checked.get().is_some_and(|i| options.with_value(|o| o[i].right));
    // A lesson that begins again asks again.
    Effect::new(move |before: Option<bool>| {
        let now = session.progress.with(|p| id.with_value(|id| p.answers.contains_key(id)));
        if before == Some(true) && !now {
            chosen.set(None);
            checked.set(None);
        }
        now
    });
    let check = move |e: web_sys::SubmitEvent| {
        e.prevent_default();
        let Some(i) = chosen.get_untracked() else { return };
        checked.set(Some(i));
        session.progress.update(|p| {
            p.answers.insert(id.get_value(), i);
        });
    };
    let heading = format!("quiz-{}", question.id);
    let asked = format!("{heading}-text");
    let labelled = format!("{heading} {asked}");
    let text = question.html.clone();
    view! {
        <form class="quiz" aria-labelledby=labelled on:submit=check>
            <h3 class="task-label" id=heading>{t("quiz-title")}</h3>
            <div class="quiz-text" id=asked inner_html=text></div>
            <fieldset>
                <legend class="sr">{t("quiz-legend")}</legend>
                <Options question chosen locked=Signal::derive(right) marked/>
            </fieldset>
            <div class="answer" role="status">
                {move || checked.get().filter(|_| marked.get()).map(|i| view! {
                    <div class="reply" inner_html=options.with_value(|o| o[i].reply.clone())></div>
                    <div class="explanation" inner_html=explanation.get_value()></div>
                })}
            </div>
            {move || (!right()).then(|| view! {
                <button class="btn btn-primary" disabled=move || chosen.get().is_none() || marked.get()>{t("quiz-check")}</button>
            })}
        </form>
    }
}

/// What one expects, asked before it is tried; beside what happened afterwards.
#[component]
pub fn Prediction(session: Session, question: Question, until: Option<String>) -> impl IntoView {
    let id = StoredValue::new(question.id.clone());
    let given = session.progress.with_untracked(|p| p.answers.get(&question.id).copied());
    let given = given.filter(|i| *i < question.options.len());
    let chosen = RwSignal::new(given);
    let settled = Memo::new(move |_| until.as_ref().is_some_and(|task| session.progress.with(|p| p.has(task))));
    let answered = Memo::new(move |_| session.progress.with(|p| id.with_value(|id| p.answers.contains_key(id))));
    let keep = move |e: web_sys::SubmitEvent| {
        e.prevent_default();
        if let Some(i) = chosen.get_untracked() {
            session.progress.update(|p| {
                p.answers.insert(id.get_value(), i);
            });
        }
    };
    // A lesson that begins again asks again.
    Effect::new(move |before: Option<bool>| {
        let now = answered.get();
        if before == Some(true) && !now {
            chosen.set(None);
        }
        now
    });
    let options = StoredValue::new(question.options.clone());
    let explanation = StoredValue::new(question.explanation.clone());
    let locked = Signal::derive(move || settled.get() || answered.get());
    let never = Signal::derive(|| false);
    let result = move || {
        if !settled.get() {
            return answered.get().then(|| view! { <p class="note">{t("prediction-kept")}</p> }.into_any());
        }
        let right = options.with_value(|o| o.iter().find(|o| o.right).map(|o| o.html.clone())).unwrap_or_default();
        let mine = chosen.get().filter(|_| answered.get());
        let expected = mine.map(|i| options.with_value(|o| (o[i].html.clone(), o[i].reply.clone(), o[i].right)));
        let reply = expected.as_ref().map(|(_, reply, _)| reply.clone());
        Some(
            view! {
                <dl class="outcome">
                    {expected.map(|(html, _, right)| view! {
                        <div class:is-right=right><dt>{t("prediction-expected")}</dt><dd inner_html=html></dd></div>
                    })}
                    <div><dt>{t("prediction-happened")}</dt><dd inner_html=right></dd></div>
                </dl>
                {reply.map(|reply| view! { <div class="reply" inner_html=reply></div> })}
                <div class="explanation" inner_html=explanation.get_value()></div>
            }
            .into_any(),
        )
    };
    let text = question.html.clone();
    view! {
            <form class="quiz prediction" aria-labelledby="prediction-h" on:submit=keep>
                <h3 class="task-label" id="prediction-h">{t("prediction-title")}</h3>
                <div class="quiz-text" inner_html=text></div>
                <fieldset>
                    <legend class="sr">{t("prediction-legend")}</legend>
                    <Options question chosen locked marked=never/>
                </fieldset>
                {move || (!locked.get()).then(|| view! {
                    <button class="btn btn-primary" disabled=move || chosen.get().is_none()>{t("prediction-keep")}</button>
                })}
                {move || (answered.get() && !settled.get()).then(|| view! {
                    <button type="button" class="btn btn-quiet btn-sm" on:click=move |_| session.progress.update(|p| {
    p.answers.remove(&id.get_value());
    })>{t("prediction-change")}</button>
                })}
                <div class="answer" role="status">{result}</div>
            </form>
        }
}
