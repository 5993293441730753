//! The hash table of conntrack (`nf_conntrack_hash`): an entry is found by its original tuple, and by that of its
//! replies, so that no two connections have the same ones.

use crate::slots::{Slots, mix};
use crate::{ConntrackEntry as Entry, ConntrackState as State, Flow, L4, Nat};
use lab_base::{Paged, Time};
use std::net::{IpAddr, SocketAddr};

/// An address and port in 20 bytes; std's have room for what only IPv6 sockets have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Addr {
    ip: IpAddr,
    port: u16,
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Addr {
        Addr { ip: addr.ip(), port: addr.port() }
    }
}

impl From<Addr> for SocketAddr {
    fn from(addr: Addr) -> SocketAddr {
        SocketAddr::new(addr.ip, addr.port)
    }
}

/// An entry with its original tuple, as small as it can be: a busy node has a hundred thousand.
#[derive(Clone, Copy, Debug)]
struct Kept {
    proto: L4,
    state: State,
    replied: bool,
    ipvs: bool,
    src: Addr,
    dst: Addr,
    nat_src: Addr,
    nat_dst: Addr,
    started: Time,
    expires: Time,
    queued: Time,
}

impl Kept {
    fn new(flow: &Flow, entry: &Entry) -> Kept {
        let Entry { nat, state, started, expires, replied, ipvs, queued } = *entry;
        Kept {
            proto: flow.proto,
            state,
            replied,
            ipvs,
            src: flow.src.into(),
            dst: flow.dst.into(),
            nat_src: nat.src.into(),
            nat_dst: nat.dst.into(),
            started,
            expires,
            queued,
        }
    }
    fn flow(&self) -> Flow {
        Flow { proto: self.proto, src: self.src.into(), dst: self.dst.into() }
    }
    fn entry(&self) -> Entry {
        let Kept { state, replied, ipvs, started, expires, queued, .. } = *self;
        let nat = Nat { src: self.nat_src.into(), dst: self.nat_dst.into() };
        Entry { nat, state, started, expires, replied, ipvs, queued }
    }
    /// Whether this is its original tuple.
    fn is(&self, flow: &Flow) -> bool {
        self.proto == flow.proto && self.src == flow.src.into() && self.dst == flow.dst.into()
    }
    /// Whether it has the replies of this translation.
    fn has_replies(&self, proto: L4, nat: Nat) -> bool {
        self.proto == proto && self.nat_dst == nat.dst.into() && self.nat_src == nat.src.into()
    }
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Used(Kept),
    /// Empty; the next empty one.
    Free(Option<u32>),
}

impl Default for Place {
    fn default() -> Place {
        Place::Free(None)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tuples {
    /// Entries by the sources of their original tuples.
    originals: Slots,
    /// Entries whose source was translated, by the tuples of their replies. The others' replies go back to where the
    /// connection comes from, so `originals` has them.
    replies: Slots,
    places: Paged<Place>,
    free: Option<u32>,
    len: usize,
}

/// What of an address goes into a hash.
#[inline]
fn bits(addr: SocketAddr) -> u64 {
    match addr {
        SocketAddr::V4(a) => u64::from(a.ip().to_bits()) << 16 | u64::from(a.port()),
        SocketAddr::V6(a) => {
            let bits = a.ip().to_bits();
            mix((bits >> 64) as u64) ^ bits as u64 ^ u64::from(a.port()) << 48
        }
    }
}

/// The hash of a source alone: a source's port rarely has more than one connection, and a connection's two tuples are
/// found in one place.
#[inline]
fn hash_source(proto: L4, src: SocketAddr) -> u32 {
    (mix(bits(src) ^ (proto as u64) << 56) >> 32) as u32
}

/// The hash of replies from here to there. Many clients may share a node's address and port.
fn hash_replies(proto: L4, nat: Nat) -> u32 {
    let src = bits(nat.dst) ^ (proto as u64) << 56;
    (mix(src.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ bits(nat.src)) >> 32) as u32
}

impl Tuples {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
    pub(crate) fn get(&self, id: u32) -> Option<Entry> {
        self.kept(id).map(Kept::entry)
    }
    /// Changes an entry, but not its source after translation.
    pub(crate) fn set(&mut self, id: u32, entry: &Entry) {
        if let Some(Place::Used(kept)) = self.places.get_mut(id as usize) {
            *kept = Kept::new(&kept.flow(), entry);
        }
    }
    /// All entries, in order of their original tuples.
    pub(crate) fn in_order(&self) -> Vec<(Flow, Entry)> {
        let used = self.places.iter().filter_map(|place| match place {
            Place::Used(kept) => Some((kept.flow(), kept.entry())),
            Place::Free(_) => None,
        });
        let mut all: Vec<_> = used.collect();
        all.sort_unstable_by_key(|(flow, _)| *flow);
        all
    }
    /// The entry with this original tuple.
    pub(crate) fn find(&self, flow: &Flow) -> Option<u32> {
        let is_it = |id| self.kept(id).is_some_and(|kept| kept.is(flow));
        self.originals.find(hash_source(flow.proto, flow.src), is_it)
    }
    /// Whether an entry of another connection has the same replies as this translation.
    pub(crate) fn is_reply_of_another(&self, flow: &Flow, nat: Nat) -> bool {
        let is_it = |id| self.kept(id).is_some_and(|kept| kept.has_replies(flow.proto, nat) && !kept.is(flow));
        self.originals.find(hash_source(flow.proto, nat.src), is_it).is_some()
            || !self.replies.is_empty() && self.replies.find(hash_replies(flow.proto, nat), is_it).is_some()
    }
    /// Adds an entry; there is none with this original tuple.
    pub(crate) fn add(&mut self, flow: Flow, entry: Entry) -> u32 {
        let id = match self.free {
            Some(id) => {
                if let Some(place) = self.places.get_mut(id as usize) {
                    self.free = if let Place::Free(next) = place { *next } else { None };
                    *place = Place::Used(Kept::new(&flow, &entry));
                }
                id
            }
            None => {
                self.places.push(Place::Used(Kept::new(&flow, &entry)));
                (self.places.len() - 1) as u32
            }
        };
        self.len += 1;
        self.originals.add(hash_source(flow.proto, flow.src), id);
        if entry.nat.src != flow.src {
            self.replies.add(hash_replies(flow.proto, entry.nat), id);
        }
        id
    }
    /// Puts an entry in the place of another one with the same original tuple.
    pub(crate) fn replace(&mut self, id: u32, flow: &Flow, entry: &Entry) {
        let Some(old) = self.get(id) else { return };
        if old.nat.src != flow.src {
            self.replies.remove(hash_replies(flow.proto, old.nat), id);
        }
        if entry.nat.src != flow.src {
            self.replies.add(hash_replies(flow.proto, entry.nat), id);
        }
        self.set(id, entry);
    }
    pub(crate) fn remove(&mut self, id: u32) -> Option<Entry> {
        let (flow, entry) = self.kept(id).map(|kept| (kept.flow(), kept.entry()))?;
        self.originals.remove(hash_source(flow.proto, flow.src), id);
        if entry.nat.src != flow.src {
            self.replies.remove(hash_replies(flow.proto, entry.nat), id);
        }
        *self.places.get_mut(id as usize)? = Place::Free(self.free);
        self.free = Some(id);
        self.len -= 1;
        Some(entry)
    }

    #[inline]
    fn kept(&self, id: u32) -> Option<&Kept> {
        match self.places.get(id as usize)? {
            Place::Used(kept) => Some(kept),
            Place::Free(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            // Every third one leaves with another address, which tells the clients apart by their ports.
            let src = if n % 3 == 0 { SocketAddr::from(([192, 168, 0, 1], n)) } else { key.src };
            let nat = Nat { src, dst: SocketAddr::from(([10, 244, 0, (n % 5) as u8], 8080)) };
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
        let all: Vec<_> = model.iter().map(|(flow, (_, entry))| (*flow, *entry)).collect();
        assert_eq!(tuples.in_order(), all);
        assert!(all.iter().all(|(_, e)| e.state == State::New));
    }
}
