//! The whole state of the stage at one moment, built up from the engine's frames.

use lab_base::Time;
use lab_protocol::{ClientView, Counts, Frame, Id, NodeView, PodView, ServiceView};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Things of one kind by id. Scenes that follow one another share what didn't change.
pub type Things<T> = Arc<BTreeMap<Id, Arc<T>>>;

/// Everything that stands on the stage at `at`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// The moment.
    pub at: Time,
    /// Pods, also those that are gone while rules still point at them.
    pub pods: Things<PodView>,
    /// Nodes.
    pub nodes: Things<NodeView>,
    /// Services.
    pub services: Things<ServiceView>,
    /// Clients.
    pub clients: Things<ClientView>,
    /// All requests that ended so far.
    pub totals: Counts,
}

fn put<T: Clone>(things: &mut Things<T>, new: &[T], id: fn(&T) -> Id, removed: &[Id]) {
    if new.is_empty() && !removed.iter().any(|r| things.contains_key(r)) {
        return;
    }
    let map = Arc::make_mut(things);
    for r in removed {
        map.remove(r);
    }
    for thing in new {
        map.insert(id(thing), Arc::new(thing.clone()));
    }
}

impl Scene {
    /// The scene after a frame. A key frame stands by itself.
    #[must_use]
    pub fn after(&self, frame: &Frame) -> Scene {
        let mut next = if frame.key { Scene::default() } else { self.clone() };
        next.at = frame.at;
        next.totals = frame.totals;
        put(&mut next.pods, &frame.pods, |v| v.id, &frame.removed);
        put(&mut next.nodes, &frame.nodes, |v| v.id, &frame.removed);
        put(&mut next.services, &frame.services, |v| v.id, &frame.removed);
        put(&mut next.clients, &frame.clients, |v| v.id, &frame.removed);
        next
    }
}
