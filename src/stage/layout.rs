//! From the graph to places. Pods keep their order on a node, so that nothing moves that needn't.

use super::geometry::{Curve, Form, Geometry, Spot, Wire};
use super::topology::{Link, Thing, Topology};
use crate::lab::Scene;
use lab_protocol::Id;
use std::collections::BTreeMap;

/// Distance of Pods on a wide stage.
pub const ROW: f64 = 48.0;
/// Distance of Pods that stand close together.
const CLOSE: f64 = 34.0;
/// Columns of Pods that stand close together.
const COLUMNS: usize = 3;
/// More Pods than these on a node stand close together.
const ROOMY: usize = 5;
/// Height of the head of a Service's card.
pub const HEAD: f64 = 58.0;
/// Widest wide stage; beyond, it is centred.
const WIDEST: f64 = 1240.0;

/// What is remembered from one layout to the next.
#[derive(Default)]
pub struct Layouter {
    slots: BTreeMap<Id, (String, usize)>,
    room: BTreeMap<String, usize>,
}

struct Plan<'a> {
    scene: &'a Scene,
    topology: &'a Topology,
    geometry: Geometry,
}

impl Layouter {
    /// Forgets who stood where.
    pub fn clear(&mut self) {
        *self = Layouter::default();
    }

    /// Places everything on a stage of `width`.
    pub fn lay(&mut self, scene: &Scene, topology: &Topology, width: f64) -> Geometry {
        self.assign(topology);
        let form = Form::of(width);
        let mut plan = Plan { scene, topology, geometry: Geometry { form, width, ..Geometry::default() } };
        if form == Form::Tall {
            plan.tall(self);
        } else {
            plan.wide(self);
        }
        plan.geometry
    }

    /// Gives each Pod a slot on its node, new ones after the others. When one goes, those after it move up.
    fn assign(&mut self, topology: &Topology) {
        let old = std::mem::take(&mut self.slots);
        self.room.clear();
        for thing in topology.things() {
            let Thing::Node(node) = thing else { continue };
            let held = topology.of(thing, Link::Holds);
            let mut pods: Vec<Id> =
                held.iter().filter_map(|t| if let Thing::Pod(id) = t { Some(*id) } else { None }).collect();
            let before = |id: &Id| old.get(id).filter(|(n, _)| n == node).map_or(usize::MAX, |(_, slot)| *slot);
            pods.sort_by_key(|id| (before(id), *id));
            self.room.insert(node.clone(), pods.len());
            self.slots.extend(pods.into_iter().enumerate().map(|(slot, id)| (id, (node.clone(), slot))));
        }
    }
}

impl Plan<'_> {
    fn put(&mut self, thing: Thing, x: f64, y: f64, w: f64, h: f64) {
        self.geometry.spots.insert(thing, Spot::new(x, y, w, h));
    }

    /// Zones with their nodes, then nodes without a zone, then the place for Pods without a node.
    fn groups(&self) -> Vec<(Option<String>, Vec<String>)> {
        let name = |t: &&Thing| if let Thing::Node(n) = t { Some(n.clone()) } else { None };
        let mut groups = Vec::new();
        let mut free = Vec::new();
        for thing in self.topology.things() {
            match thing {
                Thing::Zone(zone) => {
                    let nodes = self.topology.of(thing, Link::Holds).iter().filter_map(name).collect();
                    groups.push((Some(zone.clone()), nodes));
                }
                Thing::Node(node) if self.topology.on(thing, Link::Holds).is_empty() => free.push(node.clone()),
                _ => {}
            }
        }
        free.sort_by_key(String::is_empty);
        if !free.is_empty() {
            groups.push((None, free));
        }
        groups
    }

    fn clients(&self) -> Vec<Id> {
        let direct = |id: &Id| {
            let targets = self.topology.of(&Thing::Client(*id), Link::Sends);
            matches!(targets.first(), Some(Thing::Address(_)))
        };
        let mut ids: Vec<Id> = self.scene.clients.keys().copied().collect();
        ids.sort_by_key(|id| (direct(id), *id));
        ids
    }

    fn middles(&self) -> (Vec<Id>, Vec<String>) {
        let services = self.scene.services.keys().copied().collect();
        // In the order of the clients, so that lines don't cross.
        let mut addresses: Vec<String> = Vec::new();
        for client in self.clients() {
            for target in self.topology.of(&Thing::Client(client), Link::Sends) {
                if let Thing::Address(a) = target
                    && !addresses.contains(a)
                {
                    addresses.push(a.clone());
                }
            }
        }
        (services, addresses)
    }

    fn wide(&mut self, layouter: &Layouter) {
        let full = self.geometry.form == Form::Wide;
        let (margin, client_w, service_w, node_w) =
            if full { (16.0, 142.0, 216.0, 440.0) } else { (14.0, 104.0, 152.0, 206.0) };
        let width = self.geometry.width.min(WIDEST);
        let left = (self.geometry.width - width) / 2.0 + margin;
        let right = left + width - 2.0 * margin;
        let gap = (width - 2.0 * margin - client_w - service_w - node_w).max(60.0);
        let service_x = left + client_w + gap * 0.44;
        let nodes_x = right - node_w;
        let nodes_h = self.nodes(layouter, nodes_x, node_w, full);

        let (services, addresses) = self.middles();
        let counts: Vec<usize> =
            services.iter().map(|s| self.topology.of(&Thing::Service(*s), Link::Lists).len().max(1)).collect();
        let most = counts.iter().copied().max().unwrap_or(1);
        let pitch = match most {
            0..=6 => 34.0,
            7..=10 => 26.0,
            11..=20 => 19.0,
            _ => 15.0,
        } - if full { 0.0 } else { 4.0 };
        self.geometry.pitch = pitch;
        let card = |rows: usize| HEAD + 6.0 + (rows as f64 * pitch).max(if rows == 1 { 42.0 } else { 0.0 }) + 8.0;
        let caption = 30.0;
        let chip_h = 44.0;
        let middle_h =
            counts.iter().map(|n| card(*n) + caption).sum::<f64>() + addresses.len() as f64 * (chip_h + 16.0);
        let clients = self.clients();
        let client_h = if full { 92.0 } else { 50.0 };
        let count = clients.len().max(1) as f64;
        let clients_h = count * client_h + (count - 1.0) * 28.0;
        let height = (nodes_h + 6.0).max(middle_h + 16.0).max(clients_h + 20.0).max(if full { 300.0 } else { 260.0 });

        let mut y = ((height - middle_h) / 2.0).max(8.0);
        for (service, rows) in services.iter().zip(&counts) {
            let y0 = y.round();
            self.put(Thing::Service(*service), service_x.round(), y0, service_w, card(*rows));
            let listed: Vec<Thing> = self.listed(*service);
            for (i, row) in listed.into_iter().enumerate() {
                let row_y = y0 + HEAD + 6.0 + pitch * i as f64;
                self.put(row, service_x.round(), row_y, service_w, pitch);
            }
            y += card(*rows) + caption;
        }
        for address in &addresses {
            self.put(Thing::Address(address.clone()), service_x.round(), y.round(), service_w, chip_h);
            y += chip_h + 16.0;
        }
        let free = ((height - clients_h) / 2.0).max(8.0);
        for (i, client) in clients.iter().enumerate() {
            let y = (free + i as f64 * (client_h + 28.0)).round();
            self.put(Thing::Client(*client), left.round(), y, client_w, client_h);
        }
        self.geometry.height = height.round();
        self.level_curves(&clients);
    }

    /// Endpoints of a Service in the order of its card.
    fn listed(&self, service: Id) -> Vec<Thing> {
        let Some(view) = self.scene.services.get(&service) else { return Vec::new() };
        super::topology::rows(view).into_iter().map(|r| Thing::Row(service, r.port, r.address)).collect()
    }

    fn nodes(&mut self, layouter: &Layouter, x: f64, w: f64, full: bool) -> f64 {
        let mut y: f64 = 8.0;
        let groups = self.groups();
        for (zone, nodes) in groups {
            let (inset, top) = if zone.is_some() { (12.0, y) } else { (0.0, y) };
            if zone.is_some() {
                y += if full { 24.0 } else { 20.0 };
            }
            for node in nodes {
                let room = layouter.room.get(&node).copied().unwrap_or(0);
                let close = full && room > ROOMY;
                let (row, least, pad) = if full { (ROW, 104.0, 8.0) } else { (38.0, 44.0, 28.0) };
                let h = match (node.is_empty(), close) {
                    (true, _) if room == 0 => continue,
                    (_, true) => (room.div_ceil(COLUMNS) as f64 * CLOSE + 16.0).max(least),
                    (true, false) => room as f64 * row + pad + 18.0,
                    (false, false) => (room.max(1) as f64 * row + pad).max(least),
                };
                if close {
                    self.geometry.close.push(node.clone());
                }
                self.put(Thing::Node(node.clone()), x + inset, y, w - 2.0 * inset, h);
                for (pod, (_, slot)) in layouter.slots.iter().filter(|(_, (n, _))| *n == node) {
                    let left = x + inset + 8.0;
                    let spot = if close {
                        let column = (slot % COLUMNS) as f64;
                        Spot::new(left + column * 92.0, y + 8.0 + (slot / COLUMNS) as f64 * CLOSE, 90.0, CLOSE)
                    } else if full {
                        Spot::new(left, y + 4.0 + *slot as f64 * ROW, 270.0, ROW)
                    } else {
                        Spot::new(left, y + 4.0 + *slot as f64 * row, w - 2.0 * inset - 16.0, row)
                    };
                    self.geometry.spots.insert(Thing::Pod(*pod), spot);
                }
                y += h + 9.0;
            }
            if let Some(zone) = zone {
                self.put(Thing::Zone(zone), x, top, w, y - top);
                y += 8.0;
            }
        }
        y
    }

    fn level_curves(&mut self, clients: &[Id]) {
        // Lines enter a card side by side, in the order of the clients.
        let mut entering: BTreeMap<Thing, Vec<Id>> = BTreeMap::new();
        for client in clients {
            if let Some(target) = self.topology.of(&Thing::Client(*client), Link::Sends).first() {
                entering.entry((*target).clone()).or_default().push(*client);
            }
        }
        for (target, ids) in entering {
            let to = self.geometry.spot(&target);
            let apart = (20.0_f64).min((to.h - 24.0).max(0.0) / ids.len() as f64);
            for (i, id) in ids.iter().enumerate() {
                let from = self.geometry.spot(&Thing::Client(*id));
                let offset = (i as f64 - (ids.len() - 1) as f64 / 2.0) * apart;
                let curve = Curve::level((from.x + from.w, from.y + from.h / 2.0), (to.x, to.y + to.h / 2.0 + offset));
                self.geometry.curves.insert(Wire::In(*id, target.clone()), curve);
            }
        }
        self.out_curves(|from, pod, form| {
            let left = if form == Form::Compact { 6.0 } else { 6.5 };
            Curve::level((from.x + from.w, from.y + from.h / 2.0), (pod.x + left, pod.y + pod.h / 2.0))
        });
    }

    fn out_curves(&mut self, draw: impl Fn(Spot, Spot, Form) -> Curve) {
        let pods: Vec<Id> = self.scene.pods.keys().copied().collect();
        for pod in pods {
            let to = self.geometry.spot(&Thing::Pod(pod));
            for from in self.topology.on(&Thing::Pod(pod), Link::Reaches) {
                let curve = draw(self.geometry.spot(from), to, self.geometry.form);
                self.geometry.curves.insert(Wire::Out(from.clone(), pod), curve);
            }
        }
    }

    fn tall(&mut self, layouter: &Layouter) {
        let width = self.geometry.width;
        let (left, inner) = (12.0, width - 24.0);
        let clients = self.clients();
        let across = clients.len().clamp(1, 2);
        let w = (inner - 14.0 * (across - 1) as f64) / across as f64;
        let mut y = 4.0;
        for (i, client) in clients.iter().enumerate() {
            let (column, row) = ((i % across) as f64, (i / across) as f64);
            self.put(Thing::Client(*client), left + column * (w + 14.0), y + row * 42.0, w, 34.0);
        }
        y += clients.len().div_ceil(across).max(1) as f64 * 42.0 + 26.0;
        let (services, addresses) = self.middles();
        let middles = services.len() + addresses.len();
        let across = middles.clamp(1, 2);
        let w = (inner - 14.0 * (across - 1) as f64) / across as f64;
        let mut spots: Vec<(Thing, Vec<Thing>)> = Vec::new();
        spots.extend(services.iter().map(|s| (Thing::Service(*s), self.listed(*s))));
        spots.extend(addresses.iter().map(|a| (Thing::Address(a.clone()), Vec::new())));
        for (place, (thing, rows)) in spots.into_iter().enumerate() {
            let (x, top) = (left + (place % across) as f64 * (w + 14.0), y + (place / across) as f64 * 60.0);
            self.put(thing, x, top, w, 50.0);
            let pitch = w / rows.len().max(1) as f64;
            for (i, row) in rows.into_iter().enumerate() {
                self.put(row, x + i as f64 * pitch, top, pitch, 50.0);
            }
        }
        self.geometry.pitch = w;
        y += middles.max(1).div_ceil(across) as f64 * 60.0 + 36.0;
        let nodes: Vec<String> = self.groups().into_iter().flat_map(|(_, n)| n).collect();
        let nodes: Vec<String> =
            nodes.into_iter().filter(|n| !n.is_empty() || layouter.room.get(n).copied().unwrap_or(0) > 0).collect();
        let across = nodes.len().clamp(1, 3);
        let w = (inner - 12.0 * (across - 1) as f64) / across as f64;
        let beside = ((w - 4.0) / 45.0).floor().max(1.0) as usize;
        for line in nodes.chunks(across) {
            let most = line.iter().filter_map(|n| layouter.room.get(n)).copied().max().unwrap_or(0);
            let h = most.div_ceil(beside).max(1) as f64 * 50.0 + 38.0;
            for (i, node) in line.iter().enumerate() {
                let x = left + i as f64 * (w + 12.0);
                self.put(Thing::Node(node.clone()), x, y, w, h);
                let step = (w - 4.0) / beside as f64;
                let pod_w = step.min(52.0);
                for (pod, (_, slot)) in layouter.slots.iter().filter(|(_, (n, _))| n == node) {
                    let left = x + 2.0 + (slot % beside) as f64 * step + (step - pod_w) / 2.0;
                    let spot = Spot::new(left, y + 6.0 + (slot / beside) as f64 * 50.0, pod_w, 50.0);
                    self.geometry.spots.insert(Thing::Pod(*pod), spot);
                }
            }
            y += h + 10.0;
        }
        self.geometry.height = y.round();
        self.upright_curves(&clients);
    }

    fn upright_curves(&mut self, clients: &[Id]) {
        for client in clients {
            let Some(target) = self.topology.of(&Thing::Client(*client), Link::Sends).first().map(|t| (*t).clone())
            else {
                continue;
            };
            let (from, to) = (self.geometry.spot(&Thing::Client(*client)), self.geometry.spot(&target));
            let x = from.x + from.w / 2.0;
            let enter = (to.x + to.w / 2.0) + (x - (to.x + to.w / 2.0)) * 0.66;
            // A page that is being laid out can be narrower than any card.
            let enter = enter.min(to.x + to.w - 14.0).max(to.x + 14.0);
            let curve = Curve::upright((x, from.y + from.h), (enter, to.y));
            self.geometry.curves.insert(Wire::In(*client, target), curve);
        }
        self.out_curves(|from, pod, _| {
            Curve::upright((from.x + from.w / 2.0, from.y + from.h), (pod.x + pod.w / 2.0, pod.y + 4.0))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::sample;

    fn lay(scene: &Scene, width: f64) -> Geometry {
        let mut topology = Topology::default();
        topology.follow(scene);
        Layouter::default().lay(scene, &topology, width)
    }

    fn apart(a: &Spot, b: &Spot) -> bool {
        a.x + a.w <= b.x + 0.1 || b.x + b.w <= a.x + 0.1 || a.y + a.h <= b.y + 0.1 || b.y + b.h <= a.y + 0.1
    }

    #[test]
    fn nothing_lies_on_another_and_all_is_on_the_stage() {
        for (pods, nodes) in [(0, 1), (3, 3), (7, 2), (60, 3)] {
            let scene = sample::scene(nodes, pods);
            for width in [360.0, 660.0, 992.0, 1600.0] {
                let g = lay(&scene, width);
                let of = |f: fn(&Thing) -> bool| g.spots.iter().filter(move |(t, _)| f(t)).collect::<Vec<_>>();
                for group in [
                    of(|t| matches!(t, Thing::Pod(_))),
                    of(|t| matches!(t, Thing::Client(_) | Thing::Service(_) | Thing::Node(_) | Thing::Address(_))),
                ] {
                    for (i, (a, spot)) in group.iter().enumerate() {
                        assert!(spot.x >= 0.0 && spot.x + spot.w <= width, "{a:?} {spot:?} of {width}");
                        assert!(spot.y >= 0.0 && spot.y + spot.h <= g.height, "{a:?} {spot:?} of {}", g.height);
                        for (b, other) in &group[i + 1..] {
                            assert!(apart(spot, other), "{a:?} {b:?} at {width} with {pods}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn each_request_finds_its_way() {
        let scene = sample::scene(3, 4);
        let mut topology = Topology::default();
        topology.follow(&scene);
        let g = Layouter::default().lay(&scene, &topology, 992.0);
        let client = *scene.clients.keys().next().unwrap();
        let service = *scene.services.keys().next().unwrap();
        for pod in scene.pods.keys() {
            let (target, from) = topology.way(client, Some(service), 0, Some(*pod));
            assert!(g.curves.contains_key(&Wire::In(client, target.unwrap())));
            assert!(g.curves.contains_key(&Wire::Out(from.unwrap(), *pod)));
        }
    }

    #[test]
    fn pods_keep_their_places_when_one_of_another_node_goes() {
        let mut scene = sample::scene(3, 6);
        let (mut topology, mut layouter) = (Topology::default(), Layouter::default());
        topology.follow(&scene);
        let before = layouter.lay(&scene, &topology, 992.0);
        let first = *scene.pods.keys().next().unwrap();
        std::sync::Arc::make_mut(&mut scene.pods).remove(&first);
        topology.follow(&scene);
        let after = layouter.lay(&scene, &topology, 992.0);
        for pod in scene.pods.values().filter(|p| p.node != "node-0") {
            assert_eq!(before.spot(&Thing::Pod(pod.id)), after.spot(&Thing::Pod(pod.id)));
        }
    }
}
