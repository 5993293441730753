//! The picture: lines, and the cards that they join.

use super::cards::{AddressCard, ClientCard, NodeCard, ServiceCard, ZoneCard};
use super::geometry::{Form, Wire};
use super::pods::PodRow;
use super::topology::{Thing, target_of};
use super::{Ctx, words};
use crate::i18n::t;
use crate::lab::with_run;
use lab_protocol::{Id, PodState};
use leptos::prelude::*;

/// Keys of one kind of thing.
fn keys<T: Clone + PartialEq + Send + Sync + 'static>(
    ctx: Ctx,
    pick: impl Fn(&Thing) -> Option<T> + Send + Sync + 'static,
) -> Memo<Vec<T>> {
    Memo::new(move |_| ctx.geo.with(|g| g.spots.keys().filter_map(&pick).collect()))
}

/// The whole picture but for the dots.
#[component]
pub fn Picture(ctx: Ctx) -> impl IntoView {
    let zones = keys(ctx, |t| if let Thing::Zone(z) = t { Some(z.clone()) } else { None });
    let nodes = keys(ctx, |t| if let Thing::Node(n) = t { Some(n.clone()) } else { None });
    let clients = keys(ctx, |t| if let Thing::Client(id) = t { Some(*id) } else { None });
    let services = keys(ctx, |t| if let Thing::Service(id) = t { Some(*id) } else { None });
    let addresses = keys(ctx, |t| if let Thing::Address(a) = t { Some(a.clone()) } else { None });
    let pods = keys(ctx, |t| if let Thing::Pod(id) = t { Some(*id) } else { None });
    let wires = Memo::new(move |_| ctx.geo.with(|g| g.curves.keys().cloned().collect::<Vec<_>>()));
    let view_box = move || ctx.geo.with(|g| format!("0 0 {:.0} {:.0}", g.width.max(1.0), g.height.max(1.0)));
    let form = move || match ctx.form.get() {
        Form::Wide => "stage-svg is-wide",
        Form::Compact => "stage-svg is-compact",
        Form::Tall => "stage-svg is-tall",
    };
    view! {
        <svg class=form viewBox=view_box role="group" aria-label=t("stage-picture-label")>
            <For each=move || zones.get() key=Clone::clone children=move |zone| view! { <ZoneCard ctx zone/> }/>
            <For each=move || nodes.get() key=Clone::clone children=move |node| view! { <NodeCard ctx node/> }/>
            <For each=move || wires.get() key=Clone::clone children=move |wire| view! { <Edge ctx wire/> }/>
            <For each=move || clients.get() key=|id| *id children=move |id| view! { <ClientCard ctx id/> }/>
            <For each=move || services.get() key=|id| *id children=move |id| view! { <ServiceCard ctx id/> }/>
            <For each=move || addresses.get() key=Clone::clone children=move |address| {
                view! { <AddressCard ctx address/> }
            }/>
            <For each=move || pods.get() key=|id| *id children=move |id| view! { <PodRow ctx id/> }/>
        </svg>
    }
}

/// A line along which requests go. With reduced motion it carries a number in place of dots.
#[component]
fn Edge(ctx: Ctx, wire: Wire) -> impl IntoView {
    let of = wire.clone();
    let curve = Memo::new(move |_| ctx.geo.with(|g| g.curves.get(&of).copied().unwrap_or_default()));
    let path = move || curve.get().path();
    let of = wire.clone();
    let end = Memo::new(move |_| match &of {
        Wire::In(..) => None,
        Wire::Out(_, pod) => {
            ctx.lab.scene.with(|s| s.pods.get(pod).map(|p| (p.state == PodState::Dead, p.hue)).or(Some((true, 0))))
        }
    });
    let class = move || match end.get() {
        None => "edge edge-in".to_owned(),
        Some((true, hue)) => format!("edge edge-out is-dead {}", words::hue(hue)),
        Some((false, hue)) => format!("edge edge-out {}", words::hue(hue)),
    };
    let count = ctx.still.then(|| {
        let rate = Memo::new(move |_| {
            ctx.tick.get();
            let at = ctx.lab.view_time.get_untracked();
            let text = with_run(ctx.lab.id, |run| match &wire {
                Wire::In(client, _) => run.store.client_rates(*client, at, ctx.window()).0,
                Wire::Out(_, pod) => run.store.pod_rate(*pod, at, ctx.window()),
            });
            words::rate(text.unwrap_or(0.0))
        });
        let x = move || format!("{:.1}", curve.get().at(0.5).0);
        let y = move || format!("{:.1}", curve.get().at(0.5).1 - 6.0);
        view! { <text class="edge-n num" x=x y=y text-anchor="middle" aria-hidden="true">{rate}</text> }
    });
    view! {
        <g class="wire">
            <path class=class d=path/>
            {count}
        </g>
    }
}

/// The things that a client's address stands for, in words.
pub fn target_words(ctx: Ctx, client: Id) -> String {
    ctx.lab.scene.with(|s| {
        let Some(view) = s.clients.get(&client) else { return String::new() };
        match target_of(view, s) {
            Thing::Service(id) => s.services.get(&id).map_or_else(String::new, |v| v.name.clone()),
            Thing::Address(a) => a,
            _ => String::new(),
        }
    })
}
