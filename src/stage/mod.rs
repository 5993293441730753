//! The stage: the cluster as a picture that moves, or as tables.

mod canvas;
mod cards;
mod dots;
mod edges;
mod geometry;
mod head;
mod layout;
mod panel;
mod pods;
#[cfg(test)]
mod sample;
mod service;
mod table;
mod topology;
pub mod words;

use crate::i18n::{t, tp};
use crate::lab::{self, EngineStatus, Lab, Notice};
use canvas::Painter;
use geometry::{Form, Geometry, ease_out};
use layout::Layouter;
use leptos::html;
use leptos::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use topology::{Thing, Topology};
use wasm_bindgen::prelude::*;

/// How long cards glide to a new place, in milliseconds.
const GLIDE: f64 = 280.0;

/// What all parts of a stage share.
#[derive(Clone, Copy)]
pub struct Ctx {
    /// The cluster.
    pub lab: Lab,
    /// Where everything is now.
    pub geo: RwSignal<Arc<Geometry>>,
    /// The stage's form.
    pub form: Memo<Form>,
    /// Rises when rates are to be reckoned anew: each half second, sooner in slow motion.
    pub tick: Memo<u64>,
    /// The one thing that the Tab key reaches; arrow keys move it.
    pub current: RwSignal<Option<Thing>>,
    /// Whether motion is unwanted.
    pub still: bool,
    /// The stage's own number, for ids.
    pub number: u32,
}

impl Ctx {
    /// The place of a thing, as it moves.
    pub fn spot(&self, thing: Thing) -> Memo<geometry::Spot> {
        let geo = self.geo;
        Memo::new(move |_| geo.with(|g| g.spot(&thing)))
    }
    /// The length of time over which rates are reckoned.
    pub fn window(&self) -> lab_base::Span {
        let speed = self.lab.speed.get_untracked();
        lab_base::Span::from_millis((2_000.0 * speed.max(1.0)) as u64)
    }
    /// Opens or closes the panel of a thing.
    pub fn activate(&self, id: lab_protocol::Id) {
        let open = self.lab.focus.get_untracked() == Some(id);
        self.lab.focus_on((!open).then_some(id));
    }
}

/// Everything about the picture that isn't a signal.
struct Picture {
    topology: Topology,
    /// Of what the graph was made of.
    digest: u64,
    layouter: Layouter,
    from: Arc<Geometry>,
    to: Arc<Geometry>,
    began: Option<f64>,
    gliding: bool,
    painter: Option<Painter>,
}

/// The stage of a cluster.
#[component]
pub fn Stage(
    /// The cluster.
    lab: Lab,
    /// Without head, tables and notices: a figure on another page.
    #[prop(optional)]
    bare: bool,
) -> impl IntoView {
    thread_local!(static NUMBER: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let number = NUMBER.with(|n| n.replace(n.get() + 1));
    let still = window().match_media("(prefers-reduced-motion: reduce)").ok().flatten().is_some_and(|m| m.matches());
    let geo = RwSignal::new(Arc::new(Geometry::default()));
    let form = Memo::new(move |_| geo.with(|g| g.form));
    let tick = Memo::new(move |_| {
        let every = 500_000.0 * lab.speed.get().max(0.2);
        (lab.view_time.get().as_micros() as f64 / every) as u64
    });
    let ctx = Ctx { lab, geo, form, tick, current: RwSignal::new(None), still, number };
    let width = RwSignal::new(0.0_f64);
    let as_table = RwSignal::new(false);

    let picture = Rc::new(RefCell::new(Picture {
        topology: Topology::default(),
        digest: 0,
        layouter: Layouter::default(),
        from: Arc::default(),
        to: Arc::default(),
        began: None,
        gliding: false,
        painter: None,
    }));
    let view_box = NodeRef::<html::Div>::new();
    let canvas = NodeRef::<html::Canvas>::new();
    let scroll = NodeRef::<html::Div>::new();
    watch_size(view_box, width);
    place(ctx, width, picture.clone());
    paint(ctx, canvas, picture.clone());
    let picture = StoredValue::new_local(picture);
    let ask = move |event: web_sys::MouseEvent| {
        let Some(element) = view_box.get_untracked().filter(|_| lab.interactive) else { return };
        let rect = element.get_bounding_client_rect();
        let point = (f64::from(event.client_x()) - rect.left(), f64::from(event.client_y()) - rect.top());
        // A finger is less exact than a mouse.
        let coarse = window().match_media("(pointer: coarse)").ok().flatten().is_some_and(|m| m.matches());
        let reach = if coarse { 22.0 } else { 12.0 };
        let found = picture.with_value(|p| p.borrow().painter.as_ref().and_then(|p| p.at(point, reach)));
        if let Some((id, sent)) = found {
            lab.ask(crate::lab::Question::Request { id, sent });
        }
    };

    let closed = move || lab.focus_on(None);
    let size = move || {
        let height = geo.with(|g| g.height);
        format!("{height:.0}px")
    };
    view! {
        <section class="stage" class:stage-bare=bare class:is-compact=move || form.get() == Form::Compact
            class:is-tall=move || form.get() == Form::Tall aria-label=t("stage-cluster")>
            {(!bare).then(|| view! { <head::Head ctx as_table/> })}
            <Notices lab/>
            <div class="stage-body" class:is-hidden=move || as_table.get()>
                <div class="stage-scroll" tabindex="-1" node_ref=scroll>
                    <div class="stage-view" node_ref=view_box style:height=size on:keydown=move |e| keys(ctx, &e) on:click=ask>
                        <edges::Picture ctx/>
                        <canvas class="stage-dots" node_ref=canvas aria-hidden="true"></canvas>
                    </div>
                </div>
                <panel::Panel ctx scroll close=Callback::new(move |()| closed())/>
            </div>
            {(!bare).then(|| view! {
                <Show when=move || as_table.get()><table::Tables ctx/></Show>
            })}
            <Announcer lab/>
        </section>
    }
}

/// Arrow keys move between things; Escape closes the panel.
fn keys(ctx: Ctx, event: &web_sys::KeyboardEvent) {
    let direction = match event.key().as_str() {
        "ArrowRight" => (1.0, 0.0),
        "ArrowLeft" => (-1.0, 0.0),
        "ArrowDown" => (0.0, 1.0),
        "ArrowUp" => (0.0, -1.0),
        _ => return,
    };
    let target = event.target().and_then(|t| t.dyn_into::<web_sys::Element>().ok());
    if target.is_none_or(|t| t.closest(".thing").ok().flatten().is_none()) {
        return;
    }
    let geo = ctx.geo.get_untracked();
    let from = ctx.current.get_untracked();
    let Some(next) = from.and_then(|from| geo.neighbour(&from, direction).cloned()) else { return };
    event.prevent_default();
    ctx.current.set(Some(next.clone()));
    focus(ctx, &next);
}

/// Gives a thing the keyboard's focus.
fn focus(ctx: Ctx, thing: &Thing) {
    let Some(id) = cards::dom_id(ctx, thing) else { return };
    if let Some(element) = document().get_element_by_id(&id) {
        let _ = js_sys::Reflect::get(&element, &"focus".into())
            .ok()
            .and_then(|f| f.dyn_into::<js_sys::Function>().ok())
            .map(|f| f.call0(&element));
    }
}

/// Follows the width that the page gives the stage.
fn watch_size(view_box: NodeRef<html::Div>, width: RwSignal<f64>) {
    Effect::new(move |_| {
        let Some(element) = view_box.get() else { return };
        let first = f64::from(element.client_width());
        if first > 0.0 {
            width.set(first);
        }
        let seen = Closure::<dyn FnMut(js_sys::Array)>::new(move |entries: js_sys::Array| {
            let entry = entries.get(0).dyn_into::<web_sys::ResizeObserverEntry>();
            let Ok(entry) = entry else { return };
            let new = entry.content_rect().width().round();
            if new > 0.0 && (new - width.try_get_untracked().unwrap_or(new)).abs() >= 1.0 {
                width.set(new);
            }
        });
        if let Ok(observer) = web_sys::ResizeObserver::new(seen.as_ref().unchecked_ref()) {
            observer.observe(&element);
            let kept = StoredValue::new_local((observer, seen));
            on_cleanup(move || {
                kept.try_with_value(|(observer, _)| observer.disconnect());
            });
        }
    });
}

/// Places things whenever the cluster or the width changes.
fn place(ctx: Ctx, width: RwSignal<f64>, picture: Rc<RefCell<Picture>>) {
    let run = StoredValue::new_local(picture);
    Effect::new(move |before: Option<(f64, usize)>| {
        let wide = width.get();
        let scene = ctx.lab.scene.get();
        let cast = scene.nodes.len();
        if wide < 1.0 {
            return (wide, cast);
        }
        let resized = before.is_none_or(|(w, n)| (w - wide).abs() > 0.5 || (n == 0) != (cast == 0));
        run.with_value(|picture| {
            let mut p = picture.borrow_mut();
            let p = &mut *p;
            let digest = topology::digest(&scene);
            if !resized && digest == p.digest {
                return;
            }
            p.digest = digest;
            if cast == 0 {
                p.layouter.clear();
            }
            p.topology.follow(&scene);
            let next = p.layouter.lay(&scene, &p.topology, wide);
            let lost = ctx.current.with_untracked(|c| c.as_ref().is_none_or(|c| !next.spots.contains_key(c)));
            if lost {
                ctx.current.set(next.spots.keys().find(|t| cards::dom_id(ctx, t).is_some()).cloned());
            }
            if next == *p.to {
                return;
            }
            let next = Arc::new(next);
            p.to = next.clone();
            if resized || ctx.still {
                p.gliding = false;
                p.from = next.clone();
                ctx.geo.set(next);
            } else {
                p.from = ctx.geo.get_untracked();
                p.began = None;
                p.gliding = true;
                // New things stand at their places at once, old ones glide from where they are.
                ctx.geo.set(Arc::new(p.from.toward(&next, 0.0)));
            }
            if let Some(painter) = &mut p.painter {
                painter.forget();
            }
        });
        if resized || run.with_value(|p| p.borrow().gliding) {
            lab::redraw(ctx.lab.id);
        }
        (wide, cast)
    });
}

/// Draws the dots in each frame.
fn paint(ctx: Ctx, canvas: NodeRef<html::Canvas>, picture: Rc<RefCell<Picture>>) {
    let kept = StoredValue::new_local(picture);
    Effect::new(move |_| {
        let Some(element) = canvas.get() else { return };
        let picture = kept.get_value();
        picture.borrow_mut().painter = Painter::new(element);
        let remove = lab::add_drawer(
            ctx.lab.id,
            Rc::new(move |run, at, changed| {
                let mut p = picture.borrow_mut();
                let p = &mut *p;
                let glided = p.gliding;
                if p.gliding {
                    let began = *p.began.get_or_insert(at);
                    let f = (at - began) / GLIDE;
                    p.gliding = f < 1.0;
                    let now = if p.gliding { Arc::new(p.from.toward(&p.to, ease_out(f))) } else { p.to.clone() };
                    ctx.geo.set(now);
                }
                if let Some(painter) = &mut p.painter {
                    if glided {
                        painter.forget();
                    }
                    if changed || glided {
                        let geometry = ctx.geo.get_untracked();
                        painter.draw(run, &geometry, &p.topology, ctx.still);
                    }
                }
                p.gliding
            }),
        );
        let theme = Closure::<dyn FnMut(js_sys::Array)>::new(move |_| lab::redraw(ctx.lab.id));
        let options = web_sys::MutationObserverInit::new();
        options.set_attributes(true);
        let observer = web_sys::MutationObserver::new(theme.as_ref().unchecked_ref());
        if let (Ok(observer), Some(root)) = (&observer, document().document_element()) {
            let _ = observer.observe_with_options(&root, &options);
        }
        let watched = StoredValue::new_local((observer, theme));
        on_cleanup(move || {
            remove();
            watched.try_with_value(|(observer, _)| observer.as_ref().map(web_sys::MutationObserver::disconnect).ok());
        });
    });
}

/// What is to be said about the engine and about time, in one line.
#[component]
fn Notices(lab: Lab) -> impl IntoView {
    let text = move || match lab.status.get() {
        EngineStatus::Recovering { times } => {
            Some((crate::i18n::tf("stage-recovering", &[("times", &times.to_string())]), false))
        }
        EngineStatus::Failed(diagnostics) => {
            let why: Vec<String> = diagnostics
                .iter()
                .filter(|d| d.error)
                .map(|d| match &d.phrase {
                    Some(phrase) if d.message.is_empty() => tp(phrase),
                    _ => d.message.clone(),
                })
                .collect();
            Some((format!("{} {}", t("stage-failed"), why.join(" · ")), false))
        }
        EngineStatus::Starting | EngineStatus::Running => lab.notice.get().map(|notice| {
            let key = match notice {
                Notice::Recovered => "stage-recovered",
                Notice::LeftOut => "stage-left-out",
                Notice::Hidden => "stage-hidden",
            };
            (t(key), true)
        }),
    };
    view! {
        <div class="stage-notice" role="status">
            {move || text().map(|(text, closes)| view! {
                <p>
                    <span>{text}</span>
                    {closes.then(|| view! {
                        <button class="btn btn-quiet btn-sm" on:click=move |_| lab.dismiss_notice()>{t("stage-dismiss")}</button>
                    })}
                </p>
            })}
        </div>
    }
}

/// Says what happens to those who can't see it: not more than one sentence each two seconds.
#[component]
fn Announcer(lab: Lab) -> impl IntoView {
    let said = RwSignal::new(String::new());
    let last = StoredValue::new((0_u64, 0.0_f64));
    Effect::new(move |_| {
        let marks = lab.marks.get();
        let Some(newest) = marks.last().map(|m| m.seq) else { return };
        let now = window().performance().map_or(0.0, |p| p.now());
        let (seq, at) = last.get_value();
        if seq == 0 || newest < seq {
            return last.set_value((newest, now));
        }
        if now - at < 2_000.0 {
            return;
        }
        let view = lab.view_time.get_untracked();
        let news: Vec<String> = marks
            .iter()
            .filter(|m| m.seq > seq && m.at <= view && m.kind != lab_protocol::MarkKind::Sync)
            .map(words::mark)
            .collect();
        if !news.is_empty() {
            let from = news.len().saturating_sub(3);
            said.set(news[from..].join(". "));
            last.set_value((newest, now));
        }
    });
    view! { <p class="sr" aria-live="polite">{said}</p> }
}
