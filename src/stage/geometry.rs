//! Places and lines, in CSS pixels of the stage.

use super::topology::Thing;
use lab_protocol::Id;
use std::collections::BTreeMap;

/// A place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spot {
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl Spot {
    /// A place.
    pub const fn new(x: f64, y: f64, w: f64, h: f64) -> Spot {
        Spot { x, y, w, h }
    }
    /// Its middle.
    pub fn middle(&self) -> (f64, f64) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }
    fn toward(&self, to: &Spot, f: f64) -> Spot {
        let l = |a: f64, b: f64| a + (b - a) * f;
        Spot::new(l(self.x, to.x), l(self.y, to.y), l(self.w, to.w), l(self.h, to.h))
    }
}

/// Points of the table by which a curve is walked at even speed.
const SAMPLES: usize = 16;

/// A cubic curve along which requests go.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Curve {
    points: [(f64, f64); 4],
    lengths: [f64; SAMPLES],
}

impl Curve {
    /// A curve through its four control points.
    pub fn new(points: [(f64, f64); 4]) -> Curve {
        let mut curve = Curve { points, lengths: [0.0; SAMPLES] };
        let (mut length, mut last) = (0.0, points[0]);
        for i in 0..SAMPLES {
            let here = curve.raw((i + 1) as f64 / SAMPLES as f64);
            length += ((here.0 - last.0) * (here.0 - last.0) + (here.1 - last.1) * (here.1 - last.1)).sqrt();
            curve.lengths[i] = length;
            last = here;
        }
        curve
    }

    /// A line that leaves and arrives level, as edges on a wide stage do.
    pub fn level(a: (f64, f64), b: (f64, f64)) -> Curve {
        let reach = (b.0 - a.0) * 0.5;
        Curve::new([a, (a.0 + reach, a.1), (b.0 - reach, b.1), b])
    }

    /// A line that leaves and arrives upright, as edges on a tall stage do.
    pub fn upright(a: (f64, f64), b: (f64, f64)) -> Curve {
        let reach = (b.1 - a.1) * 0.5;
        Curve::new([a, (a.0, a.1 + reach), (b.0, b.1 - reach), b])
    }

    fn raw(&self, t: f64) -> (f64, f64) {
        let u = 1.0 - t;
        let [a, b, c, d] = self.points;
        let w = [u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t];
        let sum = |f: fn(&(f64, f64)) -> f64| w[0] * f(&a) + w[1] * f(&b) + w[2] * f(&c) + w[3] * f(&d);
        (sum(|p| p.0), sum(|p| p.1))
    }

    /// The point at a part of its length, 0 to 1.
    pub fn at(&self, part: f64) -> (f64, f64) {
        let length = self.lengths[SAMPLES - 1];
        let want = part.clamp(0.0, 1.0) * length;
        let i = self.lengths.iter().position(|l| *l >= want).unwrap_or(SAMPLES - 1);
        let before = if i == 0 { 0.0 } else { self.lengths[i - 1] };
        let span = (self.lengths[i] - before).max(1e-9);
        self.raw((i as f64 + (want - before) / span) / SAMPLES as f64)
    }

    /// Its four control points.
    pub fn points(&self) -> [(f64, f64); 4] {
        self.points
    }

    /// The `d` of an SVG path.
    pub fn path(&self) -> String {
        let [a, b, c, d] = self.points;
        format!("M{:.1} {:.1}C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}", a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1)
    }

    fn toward(&self, to: &Curve, f: f64) -> Curve {
        let mut points = self.points;
        for (p, q) in points.iter_mut().zip(to.points) {
            *p = (p.0 + (q.0 - p.0) * f, p.1 + (q.1 - p.1) * f);
        }
        Curve::new(points)
    }
}

/// A line on the stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wire {
    /// From a client to a Service or an address.
    In(Id, Thing),
    /// From an endpoint's row (or an address) to a Pod.
    Out(Thing, Id),
}

/// How the stage is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// From left to right, with all particulars.
    #[default]
    Wide,
    /// From left to right, with names and numbers only.
    Compact,
    /// From top to bottom.
    Tall,
}

impl Form {
    /// The form for a stage of this width.
    pub fn of(width: f64) -> Form {
        match width {
            w if w >= 880.0 => Form::Wide,
            w if w >= 520.0 => Form::Compact,
            _ => Form::Tall,
        }
    }
}

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Geometry {
    /// Its form.
    pub form: Form,
    /// Width of the stage.
    pub width: f64,
    /// Height of the stage.
    pub height: f64,
    /// Places of things.
    pub spots: BTreeMap<Thing, Spot>,
    /// Lines.
    pub curves: BTreeMap<Wire, Curve>,
    /// Distance of the rows on Services' cards.
    pub pitch: f64,
    /// Nodes on which Pods stand close together, without particulars.
    pub close: Vec<String>,
}

impl Geometry {
    /// The place of a thing.
    pub fn spot(&self, thing: &Thing) -> Spot {
        self.spots.get(thing).copied().unwrap_or_default()
    }

    /// On the way to another geometry.
    #[must_use]
    pub fn toward(&self, to: &Geometry, f: f64) -> Geometry {
        let mut now = to.clone();
        for (thing, spot) in &mut now.spots {
            if let Some(from) = self.spots.get(thing) {
                *spot = from.toward(spot, f);
            }
        }
        for (wire, curve) in &mut now.curves {
            if let Some(from) = self.curves.get(wire) {
                *curve = from.toward(curve, f);
            }
        }
        now.height = self.height + (to.height - self.height) * f;
        now
    }

    /// The nearest thing from `from` in a direction (`(1, 0)`: to the right), of those that can be picked.
    pub fn neighbour(&self, from: &Thing, direction: (f64, f64)) -> Option<&Thing> {
        let here = self.spots.get(from)?.middle();
        let pickable =
            |t: &Thing| matches!(t, Thing::Client(_) | Thing::Service(_) | Thing::Pod(_) | Thing::Node(_)) && t != from;
        self.spots
            .iter()
            .filter(|(t, _)| pickable(t) && **t != Thing::Node(String::new()))
            .filter_map(|(t, spot)| {
                let there = spot.middle();
                let (dx, dy) = (there.0 - here.0, there.1 - here.1);
                let along = dx * direction.0 + dy * direction.1;
                let aside = (dx * direction.1).abs() + (dy * direction.0).abs();
                (along > 1.0).then_some((along + aside * 2.0, t))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, t)| t)
    }
}

/// Arrives softly: fast at first, slow at the end.
pub fn ease_out(f: f64) -> f64 {
    let u = 1.0 - f.clamp(0.0, 1.0);
    1.0 - u * u * u
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_walked_at_even_speed() {
        let curve = Curve::level((0.0, 0.0), (200.0, 120.0));
        assert_eq!(curve.at(0.0), (0.0, 0.0));
        assert_eq!(curve.at(1.0), (200.0, 120.0));
        let mut steps: Vec<f64> = Vec::new();
        for i in 0..20 {
            let (a, b) = (curve.at(f64::from(i) / 20.0), curve.at(f64::from(i + 1) / 20.0));
            steps.push(((a.0 - b.0) * (a.0 - b.0) + (a.1 - b.1) * (a.1 - b.1)).sqrt());
        }
        let (least, most) = (steps.iter().copied().fold(f64::MAX, f64::min), steps.iter().copied().fold(0.0, f64::max));
        assert!(most / least < 1.1, "{least} {most}");
    }

    #[test]
    fn the_nearest_thing_in_a_direction_is_found() {
        let mut geometry = Geometry::default();
        let mut put = |t: Thing, x: f64, y: f64| geometry.spots.insert(t, Spot::new(x, y, 10.0, 10.0));
        put(Thing::Client(Id(1)), 0.0, 0.0);
        put(Thing::Service(Id(2)), 100.0, 10.0);
        put(Thing::Pod(Id(3)), 200.0, 0.0);
        put(Thing::Pod(Id(4)), 200.0, 50.0);
        let to = |from: &Thing, d| geometry.neighbour(from, d).cloned();
        assert_eq!(to(&Thing::Client(Id(1)), (1.0, 0.0)), Some(Thing::Service(Id(2))));
        assert_eq!(to(&Thing::Pod(Id(3)), (0.0, 1.0)), Some(Thing::Pod(Id(4))));
        assert_eq!(to(&Thing::Pod(Id(4)), (0.0, 1.0)), None);
    }
}
