//! The hash table of conntrack: each entry is found by its original tuple and by that of its replies
//! (`nf_conntrack_hash`).
//!
//! Open addressing with linear probing. The hash is fixed, so that a run is the same everywhere; the order of the slots
//! is never seen.

use crate::{ConntrackEntry as Entry, Flow, Nat};
use lab_base::Paged;
use std::net::SocketAddr;

/// Slots of the smallest table.
const LEAST: usize = 64;

/// A place of the table: 0 while it is empty, else the hash above, and below it the entry's number, the direction, plus 1.
type Slot = u64;

/// Which of an entry's tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Original,
    Reply,
}

const fn slot(hash: u32, id: u32, direction: Direction) -> Slot {
    (hash as u64) << 32 | ((id as u64) << 1 | direction as u64) + 1
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Used(Flow, Entry),
    /// Empty; the next empty one.
    Free(Option<u32>),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tuples {
    slots: Paged<Slot>,
    places: Paged<Place>,
    free: Option<u32>,
    len: usize,
}

/// Mixes until every bit of the tuple counts in every bit of the hash (the finalizer of MurmurHash3).
fn hash(flow: &Flow) -> u32 {
    let mix = |n: u64| {
        let n = (n ^ n >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let n = (n ^ n >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        n ^ n >> 33
    };
    let end = |a: SocketAddr| match a {
        SocketAddr::V4(a) => u64::from(a.ip().to_bits()) << 16 | u64::from(a.port()),
        SocketAddr::V6(a) => {
            let bits = a.ip().to_bits();
            mix((bits >> 64) as u64) ^ bits as u64 ^ u64::from(a.port()) << 48
        }
    };
    let src = end(flow.src) ^ (flow.proto as u64) << 56;
    (mix(src.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ end(flow.dst)) >> 32) as u32
}

fn reply_of(flow: &Flow, nat: Nat) -> Flow {
    Flow { proto: flow.proto, src: nat.dst, dst: nat.src }
}

impl Tuples {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
    pub(crate) fn get(&self, id: u32) -> Option<&Entry> {
        self.place(id).map(|(_, entry)| entry)
    }
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Entry> {
        match self.places.get_mut(id as usize)? {
            Place::Used(_, entry) => Some(entry),
            Place::Free(_) => None,
        }
    }
    /// All entries, in order of their original tuples.
    pub(crate) fn in_order(&self) -> Vec<(&Flow, &Entry)> {
        let used = self.places.iter().filter_map(|place| match place {
            Place::Used(flow, entry) => Some((flow, entry)),
            Place::Free(_) => None,
        });
        let mut all: Vec<_> = used.collect();
        all.sort_unstable_by_key(|(flow, _)| **flow);
        all
    }
    /// The entry with this original tuple.
    pub(crate) fn find(&self, flow: &Flow) -> Option<u32> {
        self.probe(hash(flow), Direction::Original).find(|id| self.place(*id).is_some_and(|(f, _)| f == flow))
    }
    /// Whether an entry of another connection has the same replies as this translation.
    pub(crate) fn is_reply_of_another(&self, flow: &Flow, nat: Nat) -> bool {
        let reply = reply_of(flow, nat);
        let mut same = self.probe(hash(&reply), Direction::Reply).filter_map(|id| self.place(id));
        same.any(|(other, entry)| reply_of(other, entry.nat) == reply && other != flow)
    }
    /// Adds an entry; there is none with this original tuple.
    pub(crate) fn add(&mut self, flow: Flow, entry: Entry) -> u32 {
        if (self.len + 1) * 4 > self.slots.len() {
            self.grow();
        }
        let id = match self.free {
            Some(id) => {
                if let Some(place) = self.places.get_mut(id as usize) {
                    self.free = if let Place::Free(next) = place { *next } else { None };
                    *place = Place::Used(flow, entry);
                }
                id
            }
            None => {
                self.places.push(Place::Used(flow, entry));
                (self.places.len() - 1) as u32
            }
        };
        self.len += 1;
        self.put(slot(hash(&flow), id, Direction::Original));
        self.put(slot(hash(&reply_of(&flow, entry.nat)), id, Direction::Reply));
        id
    }
    pub(crate) fn remove(&mut self, id: u32) -> Option<Entry> {
        let (flow, entry) = self.place(id).map(|(flow, entry)| (*flow, *entry))?;
        self.take(slot(hash(&flow), id, Direction::Original));
        self.take(slot(hash(&reply_of(&flow, entry.nat)), id, Direction::Reply));
        *self.places.get_mut(id as usize)? = Place::Free(self.free);
        self.free = Some(id);
        self.len -= 1;
        Some(entry)
    }

    fn place(&self, id: u32) -> Option<(&Flow, &Entry)> {
        match self.places.get(id as usize)? {
            Place::Used(flow, entry) => Some((flow, entry)),
            Place::Free(_) => None,
        }
    }
    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }
    fn slot(&self, at: usize) -> Slot {
        self.slots.get(at).copied().unwrap_or_default()
    }
    fn set_slot(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }
    /// Entries whose tuple in this direction may have this hash.
    fn probe(&self, hash: u32, direction: Direction) -> impl Iterator<Item = u32> {
        let mask = self.mask();
        let slots = (0..self.slots.len()).map(move |i| self.slot((hash as usize).wrapping_add(i) & mask));
        let met = slots.take_while(|slot| *slot != 0);
        met.filter(move |slot| (slot >> 32) as u32 == hash && (slot - 1) & 1 == direction as u64)
            .map(|slot| ((slot as u32).wrapping_sub(1)) >> 1)
    }
    fn put(&mut self, slot: Slot) {
        let mask = self.mask();
        let mut at = (slot >> 32) as usize & mask;
        while self.slot(at) != 0 {
            at = (at + 1) & mask;
        }
        self.set_slot(at, slot);
    }
    /// Empties a slot, and moves those behind it up that would not be found any more.
    fn take(&mut self, slot: Slot) {
        let mask = self.mask();
        let mut gap = (slot >> 32) as usize & mask;
        loop {
            match self.slot(gap) {
                0 => return,
                found if found == slot => break,
                _ => gap = (gap + 1) & mask,
            }
        }
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let moved = self.slot(at);
            if moved == 0 {
                break;
            }
            let home = (moved >> 32) as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.set_slot(gap, moved);
                gap = at;
            }
        }
        self.set_slot(gap, 0);
    }
    fn grow(&mut self) {
        let larger = Paged::filled((self.slots.len() * 2).max(LEAST), 0);
        let before = std::mem::replace(&mut self.slots, larger);
        before.iter().filter(|slot| **slot != 0).for_each(|slot| self.put(*slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConntrackState, L4};
    use lab_base::Time;
    use std::collections::BTreeMap;

    fn flow(n: u16) -> Flow {
        let src = SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 1000 + n % 7));
        Flow { proto: L4::Tcp, src, dst: SocketAddr::from(([10, 96, 0, 1], 80)) }
    }

    /// Additions and removals in an order without pattern, against a map.
    #[test]
    fn entries_are_found_by_both_tuples_whatever_came_and_went() {
        let (mut tuples, mut model) = (Tuples::default(), BTreeMap::new());
        let mut seed = 1_u32;
        for step in 0..20_000_u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Grows first, and shrinks later.
            let (n, adds) = ((seed >> 16) as u16 % 900, (seed >> 8) % 10 < if step < 10_000 { 7 } else { 3 });
            let key = flow(n);
            let nat = Nat { src: key.src, dst: SocketAddr::from(([10, 244, 0, (n % 5) as u8], 8080)) };
            match (adds, model.contains_key(&key)) {
                (true, false) => {
                    let entry = Entry::new(Time::ZERO, nat, Time::from_secs(n.into()));
                    model.insert(key, (tuples.add(key, entry), entry));
                }
                (false, true) => {
                    let id = tuples.find(&key).expect("it is there");
                    assert_eq!(tuples.remove(id), model.remove(&key).map(|(_, entry)| entry));
                }
                _ => {}
            }
            assert_eq!(tuples.find(&key), model.get(&key).map(|(id, _)| *id));
            assert_eq!(tuples.is_reply_of_another(&flow(1000), nat), model.contains_key(&key));
            assert!(!tuples.is_reply_of_another(&key, nat));
        }
        assert_eq!(tuples.len(), model.len());
        let all: Vec<_> = model.iter().map(|(flow, (_, entry))| (flow, entry)).collect();
        assert_eq!(tuples.in_order(), all);
        assert!(all.iter().all(|(_, e)| e.state == ConntrackState::New));
    }
}
