//! The card of a Service: an address and a list, as some nodes have it now.

use super::Ctx;
use super::cards::{Pick, moved};
use super::geometry::Form;
use super::layout::HEAD;
use super::topology::{Row, Thing, rows};
use super::words::{self, clip};
use crate::i18n::{t, tf};
use lab_protocol::{Id, PodState, ServiceView};
use leptos::prelude::*;
use std::sync::Arc;

/// A row's key.
type RowKey = (u8, String);

/// The card.
#[component]
pub fn ServiceCard(ctx: Ctx, id: Id) -> impl IntoView {
    let thing = Thing::Service(id);
    let spot = ctx.spot(thing.clone());
    let view: Memo<Option<Arc<ServiceView>>> = Memo::new(move |_| ctx.lab.scene.with(|s| s.services.get(&id).cloned()));
    let listed: Memo<Vec<Row>> = Memo::new(move |_| view.get().map(|s| rows(&s)).unwrap_or_default());
    let keys: Memo<Vec<RowKey>> =
        Memo::new(move |_| listed.with(|l| l.iter().map(|r| (r.port, r.address.clone())).collect()));
    let name = Memo::new(move |_| view.get().map(|s| s.name.clone()).unwrap_or_default());
    let address = Memo::new(move |_| view.get().map(|s| words::service_address(&s)).unwrap_or_default());
    let nodes = Memo::new(move |_| ctx.lab.scene.with(|s| s.nodes.values().filter(|n| n.powered).count()));
    let caption = Memo::new(move |_| {
        view.get().filter(|s| !s.lists.is_empty()).map(|s| words::caption(&s, nodes.get())).unwrap_or_default()
    });
    let empty = Memo::new(move |_| view.get().filter(|_| keys.with(Vec::is_empty)).map(|s| words::no_endpoints(&s)));
    let label = Memo::new(move |_| match empty.get() {
        Some((what, why)) => tf(
            "stage-service-label-empty",
            &[("name", &name.get()), ("address", &address.get()), ("what", &what), ("why", &why)],
        ),
        None => {
            let n = keys.with(Vec::len).to_string();
            tf("stage-service-label", &[("name", &name.get()), ("address", &address.get()), ("n", &n)])
        }
    });
    // On one line while both have room, else the address above, beside "Service".
    let tight = Memo::new(move |_| name.get().chars().count() as f64 * 9.8 + address.get().len() as f64 * 7.3 > 172.0);
    let right = move || spot.get().w - 14.0;
    let head = move || {
        match ctx.form.get() {
        Form::Wide => view! {
            <text class="kick" x="16" y="22">{t("stage-service")}</text>
            <text class="svc-name" x="16" y="44">{move || clip(&name.get(), if tight.get() { 19 } else { 12 })}</text>
            <text class="mono svc-ip" x=right y=move || if tight.get() { "22" } else { "44" } text-anchor="end">{address}</text>
            <path class="hair" d=move || format!("M1 {HEAD}.5H{:.1}", spot.get().w - 1.0)/>
        }
        .into_any(),
        Form::Compact => view! {
            <text class="svc-name is-small" x="14" y="24">{move || clip(&name.get(), 14)}</text>
            <text class="mono dim" x="14" y="43">{move || clip(&address.get(), 19)}</text>
            <path class="hair" d=move || format!("M1 {HEAD}.5H{:.1}", spot.get().w - 1.0)/>
        }
        .into_any(),
        Form::Tall => view! {
            <text class="node-name" x="12" y="20">{move || clip(&name.get(), 14)}</text>
            <text class="mono svc-ip" x=move || spot.get().w - 12.0 y="20" text-anchor="end">
                {move || if spot.get().w > 240.0 { address.get() } else { String::new() }}
            </text>
        }
        .into_any(),
    }
    };
    let nothing = move || {
        empty.get().map(|(what, why)| {
            if ctx.form.get() == Form::Tall {
                let text = clip(&format!("{what}: {why}"), (spot.get().w / 6.4) as usize);
                return view! { <text class="dim tiny" x="12" y="40">{text}</text> }.into_any();
            }
            let most = if ctx.form.get() == Form::Wide { 32 } else { 19 };
            view! {
                <text class="empty" x="16" y=HEAD + 23.0>{what}</text>
                <text class="dim tiny" x="16" y=HEAD + 39.0>{clip(&why, most)}</text>
            }
            .into_any()
        })
    };
    let caption_text = move || match ctx.form.get() {
        Form::Tall => String::new(),
        Form::Wide => caption.get(),
        Form::Compact => clip(&caption.get(), 28),
    };
    view! {
        <Pick ctx thing id=Signal::derive(move || Some(id)) label class="service">
            <rect class="svc-box" x="0.5" y="0.5" rx="8" width=move || spot.get().w - 1.0 height=move || spot.get().h - 1.0/>
            {head}
            {nothing}
            <text class="dim tiny" x="16" y=move || spot.get().h + 18.0>{caption_text}</text>
        </Pick>
        <For each=move || keys.get() key=Clone::clone children=move |key| {
            view! { <EndpointRow ctx service=id key listed view/> }
        }/>
    }
}

/// An endpoint: hue, address, share, and the port from which its line leaves.
#[component]
fn EndpointRow(
    ctx: Ctx,
    service: Id,
    key: RowKey,
    listed: Memo<Vec<Row>>,
    view: Memo<Option<Arc<ServiceView>>>,
) -> impl IntoView {
    let spot = ctx.spot(Thing::Row(service, key.0, key.1.clone()));
    let row = Memo::new(move |_| listed.with(|l| l.iter().find(|r| r.port == key.0 && r.address == key.1).cloned()));
    let pod = Memo::new(move |_| {
        let pod = row.get()?.pod?;
        ctx.lab.scene.with(|s| s.pods.get(&pod).map(|p| (p.hue, p.state)))
    });
    let dead = Memo::new(move |_| pod.get().is_none_or(|(_, state)| state == PodState::Dead));
    let class = move || {
        let hue = pod.get().map_or("hue-none", |(hue, _)| words::hue(hue));
        format!("ep {hue}{}", if dead.get() { " is-dead" } else { "" })
    };
    let only = Memo::new(move |_| row.get().map(|r| words::names(&r.only)).unwrap_or_default());
    let tag = Memo::new(move |_| {
        if !only.get().is_empty() {
            tf("stage-only", &[("nodes", &only.get())])
        } else if dead.get() {
            t("stage-dead")
        } else {
            String::new()
        }
    });
    let tag_class = move || if dead.get() { "ep-tag" } else { "ep-tag is-late" };
    let share = Memo::new(move |_| row.get().map(|r| words::share(r.share)).unwrap_or_default());
    let address = Memo::new(move |_| row.get().map(|r| r.address).unwrap_or_default());
    let ports = Memo::new(move |_| view.get().map_or(1, |s| s.ports.len()));
    let middle = move || spot.get().h / 2.0;
    let base = move || spot.get().h / 2.0 + 4.0;
    let inside = move || match ctx.form.get() {
        Form::Tall => {
            let text = move || if spot.get().w >= 40.0 { words::host_end(&address.get()) } else { String::new() };
            view! {
                <text class="mono tiny" x=move || spot.get().w / 2.0 y="40" text-anchor="middle">{text}</text>
                <circle class="port" cx=move || spot.get().w / 2.0 cy=move || spot.get().h r="3.5"/>
            }
            .into_any()
        }
        form => {
            let full = form == Form::Wide;
            let right = move || spot.get().w - 14.0;
            let high = move || (spot.get().h - 8.0).clamp(10.0, 26.0);
            let text = move || {
                let shown = words::endpoint(&address.get(), ports.get());
                if full { clip(&shown, 21) } else { words::host_end(&shown) }
            };
            let tags = move || if full || only.get().is_empty() { clip(&tag.get(), 12) } else { String::new() };
            view! {
                <rect class="ep-bg" x="8" y=move || middle() - high() / 2.0 width=move || spot.get().w - 8.5 height=high rx="3"/>
                <circle class="swatch" cx="20" cy=middle r="4.5"/>
                <text class="mono" x="34" y=base>{text}</text>
                <text class=tag_class x=move || spot.get().w - if full { 50.0 } else { 42.0 } y=base text-anchor="end">{tags}</text>
                <text class="mono dim" x=right y=base text-anchor="end">{share}</text>
                <circle class="port" cx=move || spot.get().w cy=middle r="3.5"/>
            }
            .into_any()
        }
    };
    view! { <g class=class transform=moved(spot)>{inside}</g> }
}
