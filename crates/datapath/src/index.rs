//! Which rules of a shared chain a packet can meet at all, without walking the chain.

use crate::slots::{Slots, mix};
use crate::{Flow, L4, Segment};
use lab_base::{Paged, Vector};
use std::net::IpAddr;
use std::sync::Arc;

/// What a rule asks for, in numbers that are quickly compared: every packet looks up a few of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Key {
    /// Chain, shape, family, protocol and port; nothing where anything will do.
    head: u64,
    dst: u128,
}

impl Key {
    fn new(chain: u16, proto: Option<L4>, dst: Option<IpAddr>, port: Option<u16>) -> (Key, usize) {
        let shape = usize::from(port.is_some()) | usize::from(proto.is_some()) << 1 | usize::from(dst.is_some()) << 2;
        let (family, dst) = match dst {
            None => (0, 0),
            Some(IpAddr::V4(ip)) => (0, u128::from(u32::from(ip))),
            Some(IpAddr::V6(ip)) => (1, u128::from(ip)),
        };
        let proto = proto.map_or(0, |p| p as u64);
        let head =
            u64::from(chain) << 32 | (shape as u64) << 24 | family << 20 | proto << 16 | u64::from(port.unwrap_or(0));
        (Key { head, dst }, shape)
    }
    const fn hash(&self) -> u32 {
        (mix(mix(self.head ^ (self.dst >> 64) as u64) ^ self.dst as u64) >> 32) as u32
    }
}

/// A rule of a segment in a shared chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct At {
    /// The segment's place.
    pub(crate) slot: u32,
    /// The rule's row in the segment's list.
    pub(crate) row: u32,
    /// How many of the segment's rules stand before it in this chain.
    pub(crate) nth: u32,
}

/// Rules with one key.
#[derive(Clone, Debug, Default)]
struct Same {
    key: Key,
    /// By far the commonest is one, since no two Services have the same address and port.
    first: At,
    more: Option<Arc<[At]>>,
}

/// The segments' rules in shared chains, by what they ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Places of `rules`, by the hash of their key.
    slots: Slots,
    rules: Paged<Option<Same>>,
    free: Vector<u32>,
    /// For each shared chain, how many rules of each shape; lookups of missing shapes are skipped.
    shapes: Vec<[u32; 8]>,
}

impl Index {
    /// Chain, key with its shape, and place of each rule in a shared chain.
    fn keys(slot: u32, segment: &Segment) -> impl Iterator<Item = (u16, (Key, usize), At)> + '_ {
        segment.shared().flat_map(move |(chain, rows)| {
            rows.enumerate().filter_map(move |(nth, row)| {
                let (proto, dst, port) = segment.list().selector(segment.rule(row)?);
                Some((chain, Key::new(chain, proto, dst, port), At { slot, row, nth: nth as u32 }))
            })
        })
    }
    fn same(&self, place: u32) -> Option<&Same> {
        self.rules.get(place as usize).and_then(Option::as_ref)
    }
    fn find(&self, key: &Key) -> Option<u32> {
        self.slots.find(key.hash(), |place| self.same(place).is_some_and(|same| same.key == *key))
    }
    pub(crate) fn add(&mut self, slot: u32, segment: &Segment) {
        for (chain, (key, shape), at) in Self::keys(slot, segment) {
            let chain = usize::from(chain);
            if self.shapes.len() <= chain {
                self.shapes.resize(chain + 1, [0; 8]);
            }
            self.shapes[chain][shape] += 1;
            let found = self.find(&key).and_then(|place| self.rules.get_mut(place as usize)?.as_mut());
            if let Some(same) = found {
                same.more = Some(same.more.iter().flat_map(|more| more.iter()).copied().chain([at]).collect());
                continue;
            }
            let same = Some(Same { key, first: at, more: None });
            let place = self.free.pop_back().unwrap_or(self.rules.len() as u32);
            match self.rules.get_mut(place as usize) {
                Some(empty) => *empty = same,
                None => self.rules.push(same),
            }
            self.slots.add(key.hash(), place);
        }
    }
    pub(crate) fn remove(&mut self, slot: u32, segment: &Segment) {
        for (chain, (key, shape), at) in Self::keys(slot, segment) {
            self.shapes[usize::from(chain)][shape] -= 1;
            let Some(place) = self.find(&key) else { continue };
            let Some(entry) = self.rules.get_mut(place as usize) else { continue };
            let Some(Same { first, more, .. }) = entry.take() else { continue };
            let all = [first].into_iter().chain(more.iter().flat_map(|more| more.iter()).copied());
            let mut left = all.filter(|other| *other != at);
            if let Some(first) = left.next() {
                let more: Arc<[At]> = left.collect();
                *entry = Some(Same { key, first, more: (!more.is_empty()).then_some(more) });
            } else {
                self.slots.remove(key.hash(), place);
                self.free.push_back(place);
            }
        }
    }
    /// Rules of the chain that this packet can meet.
    pub(crate) fn candidates(&self, chain: u16, flow: &Flow) -> Candidates {
        let mut found = Candidates::None;
        let Some(shapes) = self.shapes.get(usize::from(chain)) else { return found };
        for (shape, count) in shapes.iter().enumerate() {
            if *count == 0 {
                continue;
            }
            let (key, _) = Key::new(
                chain,
                (shape & 2 != 0).then_some(flow.proto),
                (shape & 4 != 0).then(|| flow.dst.ip()),
                (shape & 1 != 0).then(|| flow.dst.port()),
            );
            if let Some(same) = self.find(&key).and_then(|place| self.same(place)) {
                found.add(same.first);
                same.more.iter().flat_map(|more| more.iter()).for_each(|at| found.add(*at));
            }
        }
        found
    }
}

/// What an index has found, in no order.
pub(crate) enum Candidates {
    None,
    One(At),
    Many(Vec<At>),
}

impl Candidates {
    fn add(&mut self, at: At) {
        match self {
            Candidates::None => *self = Candidates::One(at),
            Candidates::One(first) => *self = Candidates::Many(vec![*first, at]),
            Candidates::Many(list) => list.push(at),
        }
    }
}
