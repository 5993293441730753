//! Requests, drawn on a canvas over the picture: all of a frame in a few strokes.

use super::dots::{self, Blot, Phase};
use super::geometry::{Curve, Form, Geometry, Spot, Wire};
use super::topology::{Thing, Topology};
use crate::lab::{self, RunView};
use lab_base::Time;
use lab_protocol::{Id, Motion};
use leptos::prelude::{document, window};
use std::collections::BTreeMap;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

/// A full turn.
const TURN: f64 = core::f64::consts::TAU;
/// Where along its edge a ring waits.
const SHORT_OF: f64 = 0.82;
/// Directions of the eight spokes.
const SPOKES: [(f64, f64); 8] = {
    const D: f64 = core::f64::consts::FRAC_1_SQRT_2;
    [(1.0, 0.0), (D, D), (0.0, 1.0), (-D, D), (-1.0, 0.0), (-D, -D), (0.0, -1.0), (D, -D)]
};

/// A request's way on the stage.
#[derive(Clone, Copy, Default)]
struct Way {
    first: Option<Curve>,
    second: Option<Curve>,
    /// The Pod isn't on the Service's card.
    unlisted: bool,
    /// The picture has no line for the second part, so one is drawn here.
    undrawn: bool,
}

/// Colours of the theme, read once.
#[derive(Default)]
struct Colours {
    theme: (String, String),
    ink: String,
    ground: String,
    fail: String,
    line: String,
    hues: Vec<(String, String)>,
}

/// Draws requests.
pub struct Painter {
    canvas: HtmlCanvasElement,
    context: CanvasRenderingContext2d,
    colours: Colours,
    size: (u32, u32),
    ways: BTreeMap<(Id, Option<Id>, u8, Option<Id>), Way>,
    /// Where Pods stood last, and their hues: requests still go to those that are gone.
    stood: BTreeMap<Id, (Spot, u8)>,
    blank: bool,
    /// Where each request was drawn last, with the moment at which it was sent.
    drawn: Vec<((f64, f64), u64, Time)>,
}

/// Dots of one colour.
#[derive(Default)]
struct Sheet {
    ink: Vec<(f64, f64)>,
    hues: [Vec<(f64, f64)>; 6],
    blots: Vec<(Blot, f64, (f64, f64))>,
    rings: Vec<(f64, (f64, f64))>,
    /// Ways to Pods that are gone, by client and Pod.
    lost: BTreeMap<(Id, Option<Id>), Curve>,
}

impl Painter {
    /// A painter for a canvas.
    pub fn new(canvas: HtmlCanvasElement) -> Option<Painter> {
        let context = canvas.get_context("2d").ok()??.dyn_into::<CanvasRenderingContext2d>().ok()?;
        let colours = Colours::default();
        Some(Painter {
            canvas,
            context,
            colours,
            size: (0, 0),
            ways: BTreeMap::new(),
            stood: BTreeMap::new(),
            blank: true,
            drawn: Vec::new(),
        })
    }

    /// The request that was drawn next to a place, within `reach` pixels.
    pub fn at(&self, (x, y): (f64, f64), reach: f64) -> Option<(u64, Time)> {
        let far = |p: (f64, f64)| (p.0 - x) * (p.0 - x) + (p.1 - y) * (p.1 - y);
        let near = self.drawn.iter().filter(|(p, ..)| far(*p) <= reach * reach);
        near.min_by(|a, b| far(a.0).total_cmp(&far(b.0))).map(|(_, id, sent)| (*id, *sent))
    }

    /// Lines have moved.
    pub fn forget(&mut self) {
        self.ways.clear();
    }

    fn read_colours(&mut self) {
        let Some(root) = document().document_element() else { return };
        let attribute = |name: &str| root.get_attribute(name).unwrap_or_default();
        let theme = (attribute("data-theme"), attribute("data-contrast"));
        if !self.colours.ink.is_empty() && self.colours.theme == theme {
            return;
        }
        let Some(style) = window().get_computed_style(&root).ok().flatten() else { return };
        let get = |name: &str| style.get_property_value(name).unwrap_or_default().trim().to_owned();
        self.colours = Colours {
            theme,
            ink: get("--ink"),
            ground: get("--lab"),
            fail: get("--fail"),
            line: get("--ink-3"),
            hues: (1..=6).map(|i| (get(&format!("--pod-{i}-fill")), get(&format!("--pod-{i}-line")))).collect(),
        };
    }

    fn resize(&mut self, geometry: &Geometry) {
        let ratio = window().device_pixel_ratio().max(1.0);
        let size = ((geometry.width * ratio).round() as u32, (geometry.height * ratio).round() as u32);
        if self.size != size {
            self.size = size;
            self.canvas.set_width(size.0);
            self.canvas.set_height(size.1);
            self.blank = true;
        }
        let _ = self.context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
    }

    /// Draws the requests of the shown moment.
    pub fn draw(&mut self, run: &RunView, geometry: &Geometry, topology: &Topology, still: bool) {
        self.read_colours();
        self.resize(geometry);
        let sheet = if still { Sheet::default() } else { self.sheet(run, geometry, topology) };
        let count = sheet.ink.len() + sheet.hues.iter().map(Vec::len).sum::<usize>();
        let count = count + sheet.blots.len() + sheet.rings.len();
        lab::count(count);
        if count == 0 && self.blank {
            return;
        }
        self.context.clear_rect(0.0, 0.0, geometry.width, geometry.height);
        self.blank = count == 0;
        self.lost_ways(&sheet);
        let radius = if geometry.form == Form::Tall { 3.0 } else { 3.25 };
        let c = &self.context;
        // Ink dots stand out from their line by a rim of the ground's colour, under all of them.
        c.set_line_width(3.0);
        if self.dots(&sheet.ink, radius - 0.5) {
            c.set_stroke_style_str(&self.colours.ground);
            c.stroke();
            c.set_fill_style_str(&self.colours.ink);
            c.fill();
        }
        c.set_line_width(1.5);
        for (points, (fill, line)) in sheet.hues.iter().zip(&self.colours.hues) {
            if self.dots(points, radius) {
                c.set_fill_style_str(fill);
                c.fill();
                c.set_stroke_style_str(line);
                c.stroke();
            }
        }
        self.failures(&sheet);
    }

    fn sheet(&mut self, run: &RunView, geometry: &Geometry, topology: &Topology) -> Sheet {
        let (at, stretch, speed) = (run.clock.view(), run.clock.stretch(), run.clock.speed);
        let mut sheet = Sheet::default();
        self.drawn.clear();
        let Some(scene) = run.store.scene(at) else { return sheet };
        if self.ways.is_empty() {
            for (id, pod) in scene.pods.iter() {
                if let Some(spot) = geometry.spots.get(&Thing::Pod(*id)) {
                    self.stood.insert(*id, (*spot, pod.hue));
                }
            }
        }
        let rate = |client: &Id| scene.clients.get(client).map_or(0.0, |c| c.rate_milli as f64 / 1_000.0);
        let (from, to) = dots::window(at, stretch);
        let timed_out = lab_protocol::Outcome::TimedOut;
        let moving = run.store.motions(from, to).filter(|m| m.outcome != timed_out || m.arrives >= at);
        let seen = moving.chain(run.store.waiting(at, dots::faded(at, stretch)));
        for motion in seen.filter(|m| dots::sampled(m, rate(&m.client), speed)) {
            let Some(phase) = dots::phase(motion, at, stretch) else { continue };
            let key = (motion.client, motion.service, motion.port, motion.pod);
            let way = *self.ways.entry(key).or_insert_with(|| way(motion, geometry, topology, &self.stood));
            if way.unlisted && matches!(phase, Phase::Second(_)) && lists(run, motion) {
                // Its way is drawn longer than it is: the rules will have this Pod when it arrives, and don't yet.
                continue;
            }
            if let Some(curve) = way.second.filter(|_| way.undrawn && !matches!(phase, Phase::First(_))) {
                sheet.lost.insert((motion.client, motion.pod), curve);
            }
            let hue = motion.pod.and_then(|p| self.stood.get(&p)).map(|(_, hue)| usize::from(*hue % 6));
            if let Some(point) = put(&mut sheet, phase, way, hue, apart(motion.id)) {
                self.drawn.push((point, motion.id, motion.sent));
            }
        }
        sheet
    }

    /// One path of all dots; false when there are none.
    fn dots(&self, points: &[(f64, f64)], radius: f64) -> bool {
        let c = &self.context;
        c.begin_path();
        for (x, y) in points {
            c.move_to(x + radius, *y);
            let _ = c.arc(*x, *y, radius, 0.0, TURN);
        }
        !points.is_empty()
    }

    /// Dashed lines under requests that go where nothing is drawn any more.
    fn lost_ways(&self, sheet: &Sheet) {
        if sheet.lost.is_empty() {
            return;
        }
        let c = &self.context;
        c.begin_path();
        for curve in sheet.lost.values() {
            let [from, a, b, to] = curve.points();
            c.move_to(from.0, from.1);
            c.bezier_curve_to(a.0, a.1, b.0, b.1, to.0, to.1);
        }
        c.set_line_width(1.2);
        c.set_stroke_style_str(&self.colours.line);
        let _ = c.set_line_dash(&js_sys::Array::of2(&3.0.into(), &4.0.into()));
        c.stroke();
        let _ = c.set_line_dash(&js_sys::Array::new());
    }

    fn failures(&self, sheet: &Sheet) {
        let c = &self.context;
        c.set_stroke_style_str(&self.colours.fail);
        c.set_line_cap("round");
        c.set_line_width(1.8);
        for (blot, f, (x, y)) in &sheet.blots {
            c.set_global_alpha(1.0 - f * f);
            c.begin_path();
            match blot {
                Blot::Burst | Blot::Unknown => {
                    let inner = 4.0 + 5.0 * f;
                    let outer = inner + 5.0 * (1.0 - f) + 1.5;
                    for (dx, dy) in SPOKES {
                        c.move_to(x + dx * inner, y + dy * inner);
                        c.line_to(x + dx * outer, y + dy * outer);
                    }
                }
                Blot::Broken => {
                    let gap = 2.0 + 4.0 * f;
                    for side in [-1.0, 1.0] {
                        c.move_to(x + side * gap - 2.0, y + 6.0);
                        c.line_to(x + side * gap + 2.0, y - 6.0);
                    }
                }
                Blot::Cross => {
                    let r = 4.0 + 2.0 * f;
                    for side in [-1.0, 1.0] {
                        c.move_to(x - r * side, y - r);
                        c.line_to(x + r * side, y + r);
                    }
                }
            }
            c.stroke();
        }
        c.set_line_width(1.6);
        for (f, (x, y)) in &sheet.rings {
            c.set_global_alpha(1.0 - f * 0.85);
            c.begin_path();
            let _ = c.arc(*x, *y, 3.5 + 3.0 * f, 0.0, TURN);
            c.stroke();
        }
        c.set_global_alpha(1.0);
    }
}

/// By how much a ring waits further away than another, so that many don't lie on one place.
fn apart(id: u64) -> f64 {
    f64::from((id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8) / 256.0 * 0.2
}

/// Puts one request on the sheet. Where it is, if anywhere.
fn put(sheet: &mut Sheet, phase: Phase, way: Way, hue: Option<usize>, apart: f64) -> Option<(f64, f64)> {
    let Way { first, second, .. } = way;
    let place = |short: f64| match (second, first) {
        (Some(curve), _) => Some(curve.at(short)),
        (None, Some(curve)) => Some(curve.at(if short < 0.9 { short + 0.08 } else { 1.0 })),
        _ => None,
    };
    let point = match phase {
        Phase::First(f) => first.map(|c| c.at(f)),
        Phase::Second(f) => second.map(|c| c.at(f)),
        Phase::Blot(Blot::Unknown, _) => first.map(|c| c.at(0.0)),
        Phase::Blot(..) => place(0.95),
        Phase::Waits | Phase::Fades(_) => place(SHORT_OF - apart),
    }?;
    match (phase, hue) {
        (Phase::Second(_), Some(hue)) => sheet.hues[hue].push(point),
        (Phase::First(_) | Phase::Second(_), _) => sheet.ink.push(point),
        (Phase::Blot(blot, f), _) => sheet.blots.push((blot, f, point)),
        (Phase::Waits, _) => sheet.rings.push((0.0, point)),
        (Phase::Fades(f), _) => sheet.rings.push((f, point)),
    }
    Some(point)
}

/// A request's way. A Service's row may be gone from the card while requests still go to its Pod: then from the card's edge.
fn way(motion: &Motion, geometry: &Geometry, topology: &Topology, stood: &BTreeMap<Id, (Spot, u8)>) -> Way {
    let (target, from) = topology.way(motion.client, motion.service, motion.port, motion.pod);
    let Some(target) = target else { return Way::default() };
    let unlisted = from.is_none() && motion.pod.is_some() && matches!(target, Thing::Service(_));
    let first = geometry.curves.get(&Wire::In(motion.client, target.clone())).copied().or_else(|| {
        let (a, b) = (geometry.spots.get(&Thing::Client(motion.client))?, geometry.spots.get(&target)?);
        Some(match geometry.form {
            Form::Tall => Curve::upright((a.x + a.w / 2.0, a.y + a.h), (b.x + b.w / 2.0, b.y)),
            _ => Curve::level((a.x + a.w, a.y + a.h / 2.0), (b.x, b.y + b.h / 2.0)),
        })
    });
    let known = motion.pod.zip(from).and_then(|(pod, from)| geometry.curves.get(&Wire::Out(from, pod)).copied());
    let second = motion.pod.and_then(|pod| {
        known.or_else(|| {
            let here = geometry.spots.get(&Thing::Pod(pod));
            // Another Pod may stand where this one stood: requests to it end before that place, since nobody gets them.
            let (b, inside) = here.map(|b| (b, 6.0)).or_else(|| stood.get(&pod).map(|(b, _)| (b, -18.0)))?;
            let a = geometry.spots.get(&target)?;
            Some(match geometry.form {
                Form::Tall => Curve::upright((a.x + a.w / 2.0, a.y + a.h), (b.x + b.w / 2.0, b.y + inside)),
                _ => Curve::level((a.x + a.w, a.y + a.h / 2.0), (b.x + inside, b.y + b.h / 2.0)),
            })
        })
    });
    Way { first, second, unlisted, undrawn: second.is_some() && known.is_none() }
}

/// Whether the Service's rules have the request's Pod when it arrives (a kept connection goes on without them).
fn lists(run: &RunView, motion: &Motion) -> bool {
    let (Some(service), Some(scene)) = (motion.service, run.store.scene(motion.arrives)) else { return false };
    let Some(view) = scene.services.get(&service) else { return false };
    view.lists.iter().flat_map(|l| &l.endpoints).any(|e| e.pod == motion.pod)
}
