//! Pods: shape, letter and line for the state, hue for the name.

use super::cards::Pick;
use super::geometry::Form;
use super::topology::Thing;
use super::{Ctx, words};
use crate::i18n::t;
use crate::lab::with_run;
use lab_protocol::{Id, PodState, PodView};
use leptos::prelude::*;
use std::sync::Arc;

/// The outline of a state: circle, diamond, square or octagon around the origin.
pub fn outline(state: PodState, r: f64) -> String {
    match state {
        PodState::Ready => format!("M{} 0A{r} {r} 0 1 1 {r} 0A{r} {r} 0 1 1 {} 0Z", -r, -r),
        PodState::Pending | PodState::NotReady => {
            let d = r * 1.115;
            format!("M0 {}L{d} 0L0 {d}L{} 0Z", -d, -d)
        }
        PodState::Terminating => {
            let a = r * 0.885;
            format!("M{} {}H{a}V{a}H{}Z", -a, -a, -a)
        }
        PodState::Dead => {
            let b = r * 0.414;
            format!("M{} {}H{b}L{r} {}V{b}L{b} {r}H{}L{} {b}V{}Z", -b, -r, -b, -b, -r, -b)
        }
    }
}

/// Class of a state: `is-R`.
pub fn state_class(state: PodState) -> &'static str {
    match state {
        PodState::Ready => "is-R",
        PodState::Pending | PodState::NotReady => "is-N",
        PodState::Terminating => "is-T",
        PodState::Dead => "is-D",
    }
}

/// What of a Pod is drawn; without the counters, which change all the time.
#[derive(Clone, PartialEq)]
struct Looks {
    state: PodState,
    hue: u8,
    name: String,
    ip: String,
    node: String,
    cut: bool,
    waits: bool,
}

/// A Pod on its node.
#[component]
pub fn PodRow(ctx: Ctx, id: Id) -> impl IntoView {
    let thing = Thing::Pod(id);
    let spot = ctx.spot(thing.clone());
    let view = move || -> Option<Arc<PodView>> { ctx.lab.scene.with(|s| s.pods.get(&id).cloned()) };
    let looks = Memo::new(move |before: Option<&Looks>| {
        let Some(p) = view() else {
            return before.cloned().unwrap_or(Looks {
                state: PodState::Dead,
                hue: 0,
                name: String::new(),
                ip: String::new(),
                node: String::new(),
                cut: false,
                waits: false,
            });
        };
        Looks {
            state: p.state,
            hue: p.hue,
            name: words::short(&p),
            ip: p.ip.clone(),
            node: p.node.clone(),
            cut: p.cut,
            waits: p.detail.is_some() || p.cut,
        }
    });
    let label = Memo::new(move |_| {
        looks.track();
        ctx.lab.scene.with_untracked(|s| s.pods.get(&id).map(|p| words::pod_label(p))).unwrap_or_default()
    });
    let detail = Memo::new(move |_| {
        if !looks.get().waits {
            return String::new();
        }
        // In steps of a twentieth of a second, as one can read it.
        let at = lab_base::Time::from_millis(ctx.lab.view_time.get().as_micros() / 50_000 * 50);
        ctx.lab.scene.with_untracked(|s| s.pods.get(&id).map(|p| words::detail(p, at))).unwrap_or_default()
    });
    let rate = Memo::new(move |_| {
        ctx.tick.get();
        let at = ctx.lab.view_time.get_untracked();
        let rate = with_run(ctx.lab.id, |run| run.store.pod_rate(id, at, ctx.window())).unwrap_or(0.0);
        (rate * 10.0).round() / 10.0
    });
    let bar = Memo::new(move |_| {
        // An even share fills three fifths of the bar.
        let even = ctx.lab.scene.with_untracked(|s| {
            let rate: u64 = s.clients.values().map(|c| c.rate_milli).sum();
            let ready = s.pods.values().filter(|p| p.state == PodState::Ready).count().max(1);
            rate as f64 / 1_000.0 / ready as f64
        });
        (54.0 * (rate.get() / (even * 1.65).max(0.1)).min(1.0)).round()
    });
    let serves = move || looks.with(|l| !l.waits && l.state == PodState::Ready);
    let close = Memo::new(move |_| looks.with(|l| ctx.geo.with(|g| g.close.contains(&l.node))));
    let glyph = move |x: f64, y: f64, r: f64| {
        let class = move || looks.with(|l| format!("pod-glyph {} {}", state_class(l.state), words::hue(l.hue)));
        let shape = move || looks.with(|l| outline(l.state, r));
        let text = move || looks.with(|l| words::letter(l.state));
        view! {
            <g class=class transform=format!("translate({x} {y})")>
                <path d=shape/>
                <text x="0" y={if r > 10.0 { "4.2" } else { "3.6" }}>{text}</text>
            </g>
        }
    };
    let name = move || looks.with(|l| l.name.clone());
    let state_text = move || looks.with(|l| words::state_word(l.state));
    let state_style = move || looks.with(|l| if l.state == PodState::Dead { "pod-st failtxt" } else { "pod-st" });
    let pod_w = Memo::new(move |_| spot.get().w);
    let inside = move || {
        match (ctx.form.get(), close.get()) {
        (Form::Wide, false) => view! {
            <rect class="hit" x="2" y="1" width="270" height="46" rx="4"/>
            {glyph(21.5, 24.0, 13.0)}
            <text class="pod-name" x="49.5" y="21.5">{name}</text>
            <text class="mono dim" x="49.5" y="36.5">{move || looks.with(|l| words::clip(&l.ip, 14))}</text>
            <text class=state_style x="141.5" y="21.5">{state_text}</text>
            <Show when=serves fallback=move || view! {
                <text class="dim tiny" x="141.5" y="36.5">{move || words::clip(&detail.get(), 24)}</text>
            }>
                <g class=move || looks.with(|l| words::hue(l.hue))>
                    <rect class="bar-bg" x="141.5" y="29.5" width="54" height="4" rx="2"/>
                    <rect class="bar" x="141.5" y="29.5" width=bar height="4" rx="2"/>
                </g>
                <text class="num" x="262" y="35" text-anchor="end">
                    {move || words::rate(rate.get())}<tspan class="unit-t" dx="3">{t("stage-rps")}</tspan>
                </text>
            </Show>
        }
        .into_any(),
        (Form::Wide, true) => view! {
            <rect class="hit" x="0" y="1" width="90" height="32" rx="4"/>
            {glyph(14.0, 17.0, 10.0)}
            <text class="pod-name is-small" x="30" y="21">{move || looks.with(|l| words::clip(&l.name, 8))}</text>
        }
        .into_any(),
        (Form::Compact, _) => view! {
            <rect class="hit" x="0" y="1" width=move || spot.get().w height="36" rx="4"/>
            {glyph(18.0, 19.0, 12.0)}
            <text class="pod-name is-small" x="40" y="23">{move || looks.with(|l| words::clip(&l.name, 11))}</text>
            <text class=move || if serves() { "num dim" } else { "tiny dim" } x=move || spot.get().w - 4.0 y="23" text-anchor="end">
                {move || if serves() { words::rate(rate.get()) } else { state_text() }}
            </text>
        }
        .into_any(),
        (Form::Tall, _) => {
            let middle = pod_w.get() / 2.0;
            view! {
                <rect class="hit" x="0" y="0" width=middle * 2.0 height="50" rx="4"/>
                {glyph(middle, 18.0, 13.0)}
                <text class="mono tiny pod-below" x=middle y="45" text-anchor="middle">
                    {move || looks.with(|l| words::clip(&l.name, 7))}
                </text>
            }
        }
        .into_any(),
    }
    };
    let class_state = Memo::new(move |_| looks.with(|l| state_class(l.state)));
    view! {
        <Pick ctx thing id=Signal::derive(move || Some(id)) label class="pod">
            <g class=class_state>{inside}</g>
        </Pick>
    }
}
