//! The time bar: back, play, step, the clock, the speed, and the line of what happened.

use crate::i18n::{t, tf};
use crate::lab::clock::SPEEDS;
use crate::lab::{EngineStatus, Lab};
use crate::stage::words;
use lab_base::Time;
use lab_protocol::{Mark, MarkKind};
use leptos::html;
use leptos::prelude::*;
use std::sync::Arc;

/// The shortest time that the line spans, in seconds.
const SHORTEST: f64 = 20.0;
/// Marks closer than this part of the line are drawn as one.
const APART: f64 = 0.006;

/// How many seconds the line spans when `seconds` have been seen: a round number with some room.
fn span_of(seconds: f64) -> f64 {
    let want = (seconds * 1.08).max(SHORTEST);
    let steps = [20.0, 30.0, 40.0, 60.0, 90.0, 120.0, 180.0, 240.0, 300.0, 420.0, 600.0, 900.0, 1_200.0, 1_800.0];
    steps.into_iter().find(|s| *s >= want).unwrap_or_else(|| (want / 3_600.0).ceil() * 3_600.0)
}

/// The end of the line in words.
fn span_word(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// Marks that are drawn: what a person did, and what then changed, without those that would lie on another.
fn drawn(marks: &[Mark], span: f64) -> Vec<(f64, bool, bool)> {
    let mut out: Vec<(f64, bool, bool)> = Vec::new();
    for mark in marks.iter().filter(|m| m.kind != MarkKind::Sync) {
        let part = mark.at.as_secs_f64() / span;
        let fault = mark.kind == MarkKind::Fault;
        let deed = fault || mark.kind == MarkKind::Apply;
        match out.last_mut() {
            Some(last) if part - last.0 < APART => {
                if deed && !last.2 {
                    *last = (part, fault, true);
                }
                last.1 |= fault;
            }
            _ => out.push((part, fault, deed)),
        }
    }
    out
}

/// The time bar of a cluster.
#[component]
pub fn TimeBar(lab: Lab) -> impl IntoView {
    let ready = Memo::new(move |_| matches!(lab.status.get(), EngineStatus::Running | EngineStatus::Recovering { .. }));
    let idle = move || !ready.get();
    let play_label = move || t(if lab.playing.get() { "time-pause" } else { "time-play" });
    let play_path = move || if lab.playing.get() { "M5.5 3.5v9M10.5 3.5v9" } else { "M5 3.2v9.6L12.5 8z" };
    let clock = move || {
        let at = lab.view_time.get().as_micros() / 1_000;
        format!("{}.{:03}", at / 1_000, at % 1_000)
    };
    view! {
        <div class="time" role="group" aria-label=t("time-label")>
            <div class="transport">
                <button class="btn btn-icon" aria-label=t("time-back") title=t("time-back") disabled=idle on:click=move |_| lab.back()>
                    <svg class="ic" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true"><path d="M12.5 3.5v9L6 8zM4 3.5v9"/></svg>
                </button>
                <button class="btn btn-icon btn-play" aria-label=play_label title=play_label disabled=idle on:click=move |_| lab.toggle()>
                    <svg class="ic" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true"><path d=play_path/></svg>
                </button>
                <button class="btn btn-icon" aria-label=t("time-step") title=t("time-step") disabled=idle on:click=move |_| lab.step()>
                    <svg class="ic" width="16" height="16" viewBox="0 0 16 16" aria-hidden="true"><path d="M3.5 3.5v9L10 8zM12 3.5v9"/></svg>
                </button>
            </div>
            <span class="clock"><b>{clock}</b><span>"s"</span></span>
            <Speed lab/>
            <Scrub lab ready/>
        </div>
    }
}

/// The speed: ten steps from a tenth to a hundredfold.
#[component]
fn Speed(lab: Lab) -> impl IntoView {
    let last = SPEEDS.len() - 1;
    let index = Memo::new(move |_| {
        let speed = lab.speed.get();
        SPEEDS.iter().position(|s| *s >= speed - 1e-9).unwrap_or(last)
    });
    let word = move || format!("{}×", SPEEDS[index.get()]);
    let said = move || tf("time-speed-value", &[("speed", &SPEEDS[index.get()].to_string())]);
    view! {
        <label class="speed">
            <span class="sr">{t("time-speed")}</span>
            <input type="range" class="speed-range" min="0" max=last.to_string() step="1" prop:value=move || index.get().to_string()
                aria-valuetext=said
                on:input=move |event| {
                    let chosen: usize = event_target_value(&event).parse().unwrap_or(3);
                    lab.set_speed(SPEEDS[chosen.min(last)]);
                }/>
            <span class="speed-v" aria-hidden="true">{word}</span>
        </label>
        // On a phone there is no room for the slider: a tap goes to the next speed, after the last to the first.
        <button class="btn btn-quiet speed-next" aria-label=move || format!("{} {}", t("time-speed"), said())
            on:click=move |_| lab.set_speed(SPEEDS[(index.get_untracked() + 1) % SPEEDS.len()])>{word}</button>
    }
}

/// The line of time: what has been seen, what happened, and the head that one moves.
#[component]
fn Scrub(lab: Lab, ready: Memo<bool>) -> impl IntoView {
    let track = NodeRef::<html::Div>::new();
    let span = Memo::new(move |_| span_of(lab.horizon.get().as_secs_f64()));
    let part = move |at: Time| (at.as_secs_f64() / span.get() * 100.0).clamp(0.0, 100.0);
    let percent = move |at: Time| format!("{:.3}%", part(at));
    let head = move || percent(lab.view_time.get());
    let seen = move || percent(lab.horizon.get());
    let marks = Memo::new(move |_| drawn(&lab.marks.get(), span.get()));
    // The last thing that a person did before the shown moment, in words above its mark.
    let named = Memo::new(move |_| {
        let marks: Arc<Vec<Mark>> = lab.marks.get();
        let now = Time::from_millis(lab.view_time.get().as_micros() / 250_000 * 250);
        let deed = |m: &&Mark| {
            matches!(m.kind, MarkKind::Fault | MarkKind::Apply) && m.at <= now + SECOND && m.at > Time::ZERO
        };
        marks.iter().rev().find(deed).map(|m| (m.at, m.kind == MarkKind::Fault, words::mark(m)))
    });
    let value = Memo::new(move |_| lab.view_time.get().as_micros() / 100_000);
    let text = move || tf("time-at", &[("time", &format!("{:.1}", value.get() as f64 / 10.0))]);
    let held = RwSignal::new(false);
    let go = move |x: i32| {
        let Some(element) = track.get_untracked() else { return };
        let rect = element.get_bounding_client_rect();
        let f = ((f64::from(x) - rect.left()) / rect.width().max(1.0)).clamp(0.0, 1.0);
        lab.seek(Time::from_millis((f * span.get_untracked() * 1_000.0) as u64));
    };
    let on_key = move |event: web_sys::KeyboardEvent| {
        let now = lab.asked_time().as_micros() as i64; // two keys may come within a frame
        let small = if event.shift_key() { 50_000 } else { 1_000_000 };
        let to = match event.key().as_str() {
            "ArrowLeft" | "ArrowDown" => now - small,
            "ArrowRight" | "ArrowUp" => now + small,
            "PageDown" => now - 10_000_000,
            "PageUp" => now + 10_000_000,
            "Home" => 0,
            "End" => lab.horizon.get_untracked().as_micros() as i64,
            _ => return,
        };
        event.prevent_default();
        lab.seek(Time::from_micros(to.max(0) as u64));
    };
    view! {
        <div class="scrub" class:is-held=move || held.get() role="slider" tabindex="0" aria-label=t("time-line") aria-valuemin="0"
            aria-valuemax=move || format!("{:.0}", span.get()) aria-valuenow=move || format!("{:.1}", value.get() as f64 / 10.0)
            aria-valuetext=text aria-disabled=move || (!ready.get()).to_string()
            on:keydown=on_key
            on:pointerdown=move |event| {
                if event.button() != 0 || !ready.get_untracked() {
                    return;
                }
                held.set(true);
                if let Some(target) = event.current_target() {
                    let target: web_sys::Element = wasm_bindgen::JsCast::unchecked_into(target);
                    let _ = target.set_pointer_capture(event.pointer_id());
                }
                go(event.client_x());
            }
            on:pointermove=move |event| if held.get_untracked() { go(event.client_x()) }
            on:pointerup=move |_| held.set(false)
            on:pointercancel=move |_| held.set(false)>
            <div class="track" node_ref=track>
                <div class="seen" style:width=seen></div>
                <div class="past" style:width=head></div>
            </div>
            <For each=move || marks.get() key=|(p, f, d)| ((p * 1e5) as u64, *f, *d) children=move |(p, fault, deed)| {
                let class = match (fault, deed) {
                    (true, _) => "mark is-deed is-fault",
                    (false, true) => "mark is-deed",
                    _ => "mark",
                };
                view! { <span class=class style:left=format!("{:.2}%", p * 100.0)></span> }
            }/>
            {move || named.get().map(|(at, fault, text)| {
                let p = part(at);
                let class = match (fault, p > 72.0, p < 22.0) {
                    (_, true, _) => "mark-l is-end",
                    (_, _, true) => "mark-l is-start",
                    _ => "mark-l",
                };
                view! { <span class=class class:is-fault=fault style:left=format!("{p:.2}%")>{text}</span> }
            })}
            <span class="head" style:left=head></span>
            <span class="tickl is-first">"0"</span>
            <span class="tickl is-last">{move || span_word(span.get())}</span>
        </div>
    }
}

/// A second.
const SECOND: lab_base::Span = lab_base::Span::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use lab_protocol::Phrase;

    #[test]
    fn the_line_spans_a_round_time_with_some_room() {
        assert_eq!(span_of(0.0), 20.0);
        assert_eq!(span_of(19.0), 30.0);
        assert_eq!(span_of(100.0), 120.0);
        assert_eq!(span_word(20.0), "20 s");
        assert_eq!(span_word(600.0), "10 min");
    }

    #[test]
    fn marks_that_would_lie_on_another_are_one() {
        let mark = |ms, kind| Mark {
            seq: ms,
            at: Time::from_millis(ms),
            kind,
            object: String::new(),
            phrase: Phrase::default(),
        };
        let marks = [
            mark(1_000, MarkKind::Change),
            mark(1_020, MarkKind::Fault),
            mark(1_500, MarkKind::Sync),
            mark(9_000, MarkKind::Apply),
        ];
        let drawn = drawn(&marks, 20.0);
        assert_eq!(drawn.iter().map(|d| (d.1, d.2)).collect::<Vec<_>>(), [(true, true), (false, true)]);
        assert!(drawn.iter().zip([0.051, 0.45]).all(|(d, at)| (d.0 - at).abs() < 1e-9), "{drawn:?}");
    }
}
