//! Cards of clients, addresses, nodes and zones, and what makes a thing a button.

use super::geometry::Form;
pub use super::service::ServiceCard;
use super::topology::{Thing, owner_of};
use super::words::{self, clip};
use super::{Ctx, edges};
use crate::i18n::{t, tf};
use crate::lab::with_run;
use lab_protocol::{ClientView, Id, NodeView, Outcome, PodState};
use leptos::prelude::*;
use std::sync::Arc;

/// The id of a thing's element.
pub fn dom_id(ctx: Ctx, thing: &Thing) -> Option<String> {
    let n = ctx.number;
    Some(match thing {
        Thing::Client(id) | Thing::Service(id) | Thing::Pod(id) => format!("stage-{n}-{}", id.0),
        Thing::Node(name) => format!("stage-{n}-node-{name}"),
        _ => return None,
    })
}

/// Where a thing's group stands.
pub fn moved(spot: Memo<super::geometry::Spot>) -> impl Fn() -> String + Copy {
    move || spot.with(|s| format!("translate({:.1} {:.1})", s.x, s.y))
}

/// A thing that can be picked: a button with its name and state in words.
#[component]
pub fn Pick(
    ctx: Ctx,
    thing: Thing,
    #[prop(into)] id: Signal<Option<Id>>,
    #[prop(into)] label: Signal<String>,
    class: &'static str,
    children: Children,
) -> impl IntoView {
    let spot = ctx.spot(thing.clone());
    let here = thing.clone();
    // One stop for Tab, arrows from there. While none was chosen, or the chosen one is gone, each can be stopped at.
    let tabindex = move || if ctx.current.with(|c| c.as_ref().is_none_or(|c| *c == here)) { "0" } else { "-1" };
    let gone = thing.clone();
    on_cleanup(move || {
        if ctx.current.try_with_untracked(|c| c.as_ref() == Some(&gone)) == Some(true) {
            let _ = ctx.current.try_set(None);
        }
    });
    let open = move || ctx.lab.focus.get().is_some_and(|f| Some(f) == id.get()).to_string();
    let activate = move || {
        if let Some(id) = id.get_untracked() {
            ctx.activate(id);
        }
    };
    let on_key = move |event: web_sys::KeyboardEvent| {
        if event.key() == "Enter" || event.key() == " " {
            event.prevent_default();
            activate();
        }
    };
    let element = dom_id(ctx, &thing);
    let name = thing_kind(&thing);
    view! {
        <g class=format!("thing {class}") data-kind=name transform=moved(spot)
            on:click=move |event| { event.stop_propagation(); activate(); }>
            // The button lies under what is written, so that its name is not asked to hold every number of it.
            <rect class="pick" id=element role="button" tabindex=tabindex aria-label=label aria-expanded=open
                width=move || spot.get().w height=move || spot.get().h
                on:keydown=on_key on:focus=move |_| ctx.current.set(Some(thing.clone()))/>
            {children()}
        </g>
    }
}

/// What kind of thing it is, for tests and styles.
fn thing_kind(thing: &Thing) -> &'static str {
    match thing {
        Thing::Client(_) => "client",
        Thing::Service(_) => "service",
        Thing::Pod(_) => "pod",
        Thing::Node(_) => "node",
        _ => "other",
    }
}

/// The area of a zone.
#[component]
pub fn ZoneCard(ctx: Ctx, zone: String) -> impl IntoView {
    let spot = ctx.spot(Thing::Zone(zone.clone()));
    let label = tf("stage-zone", &[("zone", &zone)]);
    view! {
        <g class="zone" transform=moved(spot)>
            <rect x="0.5" y="0.5" rx="10" width=move || spot.get().w - 1.0 height=move || spot.get().h - 1.0/>
            <text x="12" y="17">{label}</text>
        </g>
    }
}

/// The card of a client.
#[component]
pub fn ClientCard(ctx: Ctx, id: Id) -> impl IntoView {
    let thing = Thing::Client(id);
    let spot = ctx.spot(thing.clone());
    let view: Memo<Option<Arc<ClientView>>> = Memo::new(move |_| {
        ctx.tick.get();
        ctx.lab.scene.with_untracked(|s| s.clients.get(&id).cloned())
    });
    let name = view.get_untracked().map(|c| c.name.clone()).unwrap_or_default();
    let node = view.get_untracked().map(|c| c.node.clone()).unwrap_or_default();
    let rates = Memo::new(move |_| {
        ctx.tick.get();
        let at = ctx.lab.view_time.get_untracked();
        let rates = with_run(ctx.lab.id, |run| run.store.client_rates(id, at, ctx.window())).unwrap_or_default();
        (words::rate(rates.0), if rates.1 > 0.04 { words::rate(rates.1) } else { String::new() })
    });
    let said = name.clone();
    let label = Memo::new(move |_| {
        let (sent, failing) = rates.get();
        let target = edges::target_words(ctx, id);
        let args = [("name", said.as_str()), ("target", &target), ("rate", &sent), ("failing", &failing)];
        tf(if failing.is_empty() { "stage-client-label" } else { "stage-client-label-failing" }, &args)
    });
    let failing = move || rates.with(|r| r.1.clone());
    let recent = Memo::new(move |_| view.get().map(|c| c.recent.clone()).unwrap_or_default());
    let short = clip(&name, 12);
    let full = move || {
        match ctx.form.get() {
        Form::Wide => view! {
            <text class="node-name" x="12" y="22">{clip(&name, 11)}</text>
            <text class="dim tiny" x="130" y="22" text-anchor="end">{clip(&node, 9)}</text>
            <Units recent/>
            <path class="hair" d="M12 60.5H130"/>
            <text class="num" x="12" y="80">{move || rates.with(|r| r.0.clone())}<tspan class="unit-t" dx="3">{t("stage-rps")}</tspan></text>
            <text class="num failtxt" x="130" y="80" text-anchor="end">
                {failing}<tspan class="unit-t" dx="3">{move || (!failing().is_empty()).then(|| t("stage-failing"))}</tspan>
            </text>
        }
        .into_any(),
        Form::Compact => view! {
            <text class="node-name" x="12" y="20">{short.clone()}</text>
            <text class="num" x="12" y="39">{move || rates.with(|r| r.0.clone())}<tspan class="unit-t" dx="3">{t("stage-rps")}</tspan></text>
            <text class="num failtxt" x=move || spot.get().w - 12.0 y="39" text-anchor="end">{failing}</text>
        }
        .into_any(),
        Form::Tall => view! {
            <text class="node-name" x="12" y="22">{clip(&name, 10)}</text>
            <text class="num" x=move || spot.get().w - 12.0 y="22" text-anchor="end">
                // Room for one number: what goes wrong before what goes.
                <tspan class:failtxt=move || !failing().is_empty()>
                    {move || rates.with(|r| if r.1.is_empty() { r.0.clone() } else { r.1.clone() })}
                </tspan>
                <tspan class="unit-t" class:failtxt=move || !failing().is_empty() dx="3">
                    {move || t(if failing().is_empty() { "stage-rps" } else { "stage-failing" })}
                </tspan>
            </text>
        }
        .into_any(),
    }
    };
    view! {
        <Pick ctx thing id=Signal::derive(move || Some(id)) label class="client">
            <rect class="node-card" x="0.5" y="0.5" rx="6" width=move || spot.get().w - 1.0 height=move || spot.get().h - 1.0/>
            {full}
        </Pick>
    }
}

/// How the last requests ended, oldest first.
#[component]
fn Units(recent: Memo<Vec<Outcome>>) -> impl IntoView {
    (0..9_usize)
        .map(|i| {
            let class = Memo::new(move |_| {
                recent.with(|r| {
                    let first = r.len().saturating_sub(9);
                    match r.get(first + i) {
                        None => "unit is-none",
                        Some(Outcome::Answered) => "unit",
                        Some(_) => "unit is-fail",
                    }
                })
            });
            view! { <rect class=class x=12.5 + 13.0 * i as f64 y="38.5" width="8" height="8" rx="1.5"/> }
        })
        .collect_view()
}

/// An address or name that a client uses and that is no Service.
#[component]
pub fn AddressCard(ctx: Ctx, address: String) -> impl IntoView {
    let thing = Thing::Address(address.clone());
    let spot = ctx.spot(thing.clone());
    let of = address.clone();
    let owner = Memo::new(move |_| {
        ctx.lab.scene.with(|s| owner_of(&of, s).filter(|p| p.state != PodState::Dead).map(|p| p.hue))
    });
    let is_ip = words::host(&address).chars().all(|c| c.is_ascii_digit() || c == '.' || c == ':');
    let note = move || match (owner.get(), is_ip) {
        (Some(_), _) => t("stage-address-direct"),
        (None, true) => t("stage-address-nobody"),
        (None, false) => t("stage-address-unknown"),
    };
    let port = move || {
        owner.get().map(|hue| {
            let (x, y) = match ctx.form.get() {
                Form::Tall => (spot.get().w / 2.0, spot.get().h),
                _ => (spot.get().w, spot.get().h / 2.0),
            };
            view! { <circle class=format!("port {}", words::hue(hue)) cx=x cy=y r="3.5"/> }
        })
    };
    view! {
        <g class="address" transform=moved(spot)>
            <rect class="address-box" x="0.5" y="0.5" rx="6" width=move || spot.get().w - 1.0 height=move || spot.get().h - 1.0/>
            <text class="mono address-ip" x="14" y="19">{clip(&address, 26)}</text>
            <text class="dim tiny" x="14" y="35">{note}</text>
            {port}
        </g>
    }
}

/// The card of a node; its Pods stand on it by themselves.
#[component]
pub fn NodeCard(ctx: Ctx, node: String) -> impl IntoView {
    let thing = Thing::Node(node.clone());
    let spot = ctx.spot(thing.clone());
    let width = move || spot.get().w - 1.0;
    let height = move || spot.get().h - 1.0;
    if node.is_empty() {
        return view! {
            <g class="homeless" transform=moved(spot)>
                <rect x="0.5" y="0.5" rx="6" width=width height=height/>
                <text class="dim tiny" x="12" y=move || spot.get().h - 9.0>{t("stage-unscheduled")}</text>
            </g>
        }
        .into_any();
    }
    let name = node.clone();
    let view: Memo<Option<Arc<NodeView>>> =
        Memo::new(move |_| ctx.lab.scene.with(|s| s.nodes.values().find(|n| n.name == name).cloned()));
    let id = Signal::derive(move || view.get().map(|n| n.id));
    let trouble = Memo::new(move |_| view.get().and_then(|n| words::node_trouble(&n)));
    let proxy = Memo::new(move |_| {
        let Some(node) = view.get() else { return (String::new(), None) };
        let Some(since) = node.behind_since.filter(|_| node.powered) else {
            return (if node.powered { t("node-synced") } else { t("node-stopped") }, None);
        };
        // In steps of a twentieth of a second: a number that races can't be read.
        let at = lab_base::Time::from_millis(ctx.lab.view_time.get().as_micros() / 50_000 * 50);
        let part = (at.since(since).as_secs_f64() * 20.0).round() / 20.0;
        (words::proxy_word(&node, at.max(since)), Some(part))
    });
    let said = node.clone();
    let label = Memo::new(move |_| {
        let proxy = if proxy.with(|p| p.1.is_some()) { t("node-behind-word") } else { proxy.get().0 };
        match trouble.get() {
            Some(trouble) => tf("node-label-trouble", &[("name", &said), ("trouble", &trouble), ("proxy", &proxy)]),
            None => tf("node-label", &[("name", &said), ("proxy", &proxy)]),
        }
    });
    let class = move || match view.get() {
        Some(n) if !n.powered => "node-card is-off",
        Some(n) if n.cut => "node-card is-cut",
        _ => "node-card",
    };
    let inside = move || match ctx.form.get() {
        Form::Wide => {
            let left = move |x: f64| move || spot.get().w - x;
            let node = node.clone();
            let second = move || trouble.get().unwrap_or_else(|| view.get().map(|n| n.ip.clone()).unwrap_or_default());
            let second_class = move || if trouble.get().is_some() { "trouble" } else { "mono dim" };
            view! {
                <path class="hair" d=move || format!("M{:.1} 13.5V{:.1}", spot.get().w - 133.5, spot.get().h - 13.5)/>
                <text class="node-name" x=left(118.5) y="27">{clip(&node, 14)}</text>
                <text class=second_class x=left(118.5) y="43">{second}</text>
                <g class="kp" class:is-behind=move || proxy.get().1.is_some()
                    transform=move || format!("translate({:.1} 56)", spot.get().w - 122.0)>
                    <rect x="0.5" y="0.5" width="112" height="34" rx="4"/>
                    <text class="kp-name" x="10" y="15">"kube-proxy"</text>
                    <text class="kp-st" x="10" y="28">{move || proxy.get().0}</text>
                    <KubeProxyMark proxy x=100.0 y=17.0 off=Signal::derive(move || view.get().is_some_and(|n| !n.powered))/>
                </g>
            }
            .into_any()
        }
        Form::Compact => {
            let node = node.clone();
            let says = move || trouble.get().unwrap_or_default();
            view! {
                <text class="dim tiny" x="12" y=move || spot.get().h - 9.0>{clip(&node, 14)}</text>
                <text class="trouble tiny" x=move || spot.get().w - 30.0 y=move || spot.get().h - 9.0 text-anchor="end">{says}</text>
                <g class="kp" class:is-behind=move || proxy.get().1.is_some()
                    transform=move || format!("translate({:.1} {:.1})", spot.get().w - 17.0, spot.get().h - 13.0)>
                    <KubeProxyMark proxy x=0.0 y=0.0 off=Signal::derive(move || view.get().is_some_and(|n| !n.powered))/>
                </g>
            }
            .into_any()
        }
        Form::Tall => {
            let node = node.clone();
            let says = move || trouble.get().unwrap_or_default();
            view! {
                <path class="hair" d=move || format!("M0 {:.1}H{:.1}", spot.get().h - 26.5, spot.get().w)/>
                <text class="dim tiny" x="10" y=move || spot.get().h - 9.0>{clip(&node, 9)}</text>
                <text class="trouble tiny" x=move || spot.get().w - 26.0 y=move || spot.get().h - 9.0 text-anchor="end">{says}</text>
                <g class="kp" class:is-behind=move || proxy.get().1.is_some()
                    transform=move || format!("translate({:.1} {:.1})", spot.get().w - 15.0, spot.get().h - 13.0)>
                    <KubeProxyMark proxy x=0.0 y=0.0 off=Signal::derive(move || view.get().is_some_and(|n| !n.powered))/>
                </g>
            }
            .into_any()
        }
    };
    view! {
        <Pick ctx thing id label class="node">
            <rect class=class x="0.5" y="0.5" rx="6" width=width height=height/>
            {inside}
        </Pick>
    }
    .into_any()
}

/// A tick when the rules are those that the API server would want; else a clock that fills in a second.
#[component]
fn KubeProxyMark(proxy: Memo<(String, Option<f64>)>, x: f64, y: f64, #[prop(into)] off: Signal<bool>) -> impl IntoView {
    let mark = Memo::new(move |_| match proxy.get().1 {
        None if off.get() => (format!("M{} {y}H{}", x - 4.0, x + 4.0), String::new()),
        None => (format!("M{} {}l3.2 3.2 5.6-6.2", x - 4.6, y + 0.4), String::new()),
        Some(part) => {
            let f = part.clamp(0.02, 0.999);
            let (dx, dy) = (sine(f), -cosine(f));
            let large = u8::from(f > 0.5);
            (
                format!("M{} {y}a6 6 0 1 1 12 0a6 6 0 1 1-12 0Z", x - 6.0),
                format!("M{x} {y}V{}A6 6 0 {large} 1 {:.2} {:.2}Z", y - 6.0, x + 6.0 * dx, y + 6.0 * dy),
            )
        }
    });
    view! {
        <path class="kp-fill" d=move || mark.get().1/>
        <path class="kp-mark" d=move || mark.get().0/>
    }
}

/// Sine of a part of a full turn, drawn only.
fn sine(turn: f64) -> f64 {
    js_sys::Math::sin(turn * core::f64::consts::TAU)
}

/// Cosine of a part of a full turn, drawn only.
fn cosine(turn: f64) -> f64 {
    js_sys::Math::cos(turn * core::f64::consts::TAU)
}
