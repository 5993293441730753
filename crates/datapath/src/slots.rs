//! A hash table of numbers, shared between clones: who has a number's key is asked whether it is the one.
//!
//! Open addressing with linear probing. Hashes are fixed, so that a run is the same everywhere; the order of the slots
//! is never seen.

use lab_base::Paged;

/// Slots of the smallest table.
const LEAST: usize = 64;

/// A place of the table: 0 while it is empty, else the hash above, and below it the number plus 1.
type Slot = u64;

const fn slot(hash: u32, number: u32) -> Slot {
    (hash as u64) << 32 | (number as u64 + 1)
}

/// Mixes until every bit counts in every bit (the finalizer of MurmurHash3).
#[inline]
pub(crate) const fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let n = (n ^ n >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    n ^ n >> 33
}

/// Numbers by hash. The same number may be there under several hashes, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    slots: Paged<Slot, 128>,
    len: usize,
}

impl Slots {
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }
    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }
    #[inline]
    fn at(&self, at: usize) -> Slot {
        self.slots.get(at).copied().unwrap_or_default()
    }
    fn set(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }
    /// The first number with this hash that is the one.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.mask();
        let mut at = hash as usize & mask;
        loop {
            let slot = self.at(at);
            if slot == 0 {
                return None;
            }
            let number = (slot as u32).wrapping_sub(1);
            if (slot >> 32) as u32 == hash && is_it(number) {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }
    /// Adds a number; it isn't there under this hash.
    pub(crate) fn add(&mut self, hash: u32, number: u32) {
        // At most three quarters of the slots are used, so that every search soon meets an empty one.
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.put(slot(hash, number));
        self.len += 1;
    }
    fn grow(&mut self) {
        let mut larger: Vec<Slot> = vec![0; (self.slots.len() * 2).max(LEAST)];
        let mask = larger.len() - 1;
        for slot in self.slots.iter().filter(|slot| **slot != 0) {
            let mut at = (*slot >> 32) as usize & mask;
            while larger[at] != 0 {
                at = (at + 1) & mask;
            }
            larger[at] = *slot;
        }
        self.slots = Paged::from_items(larger);
    }
    fn put(&mut self, slot: Slot) {
        let mask = self.mask();
        let mut at = (slot >> 32) as usize & mask;
        while self.at(at) != 0 {
            at = (at + 1) & mask;
        }
        self.set(at, slot);
    }
    /// Takes a number out: those behind it that would not be found any more move up.
    pub(crate) fn remove(&mut self, hash: u32, number: u32) {
        let mask = self.mask();
        let gone = slot(hash, number);
        let mut gap = hash as usize & mask;
        loop {
            match self.at(gap) {
                0 => return,
                found if found == gone => break,
                _ => gap = (gap + 1) & mask,
            }
        }
        self.len -= 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let moved = self.at(at);
            if moved == 0 {
                break;
            }
            let home = (moved >> 32) as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.set(gap, moved);
                gap = at;
            }
        }
        self.set(gap, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Numbers whose hashes crowd together, added and removed in an order without pattern, against a set.
    #[test]
    fn numbers_are_found_whatever_came_and_went() {
        let (mut slots, mut model) = (Slots::default(), BTreeSet::new());
        let hash = |n: u32| (n % 37 * 3).wrapping_add((n & 1) * 0xffff_fff0);
        let mut seed = 1_u32;
        for step in 0..20_000_u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Grows first, and shrinks later.
            let (n, adds) = ((seed >> 16) % 900, (seed >> 8) % 10 < if step < 10_000 { 7 } else { 3 });
            match (adds, model.contains(&n)) {
                (true, false) => {
                    slots.add(hash(n), n);
                    model.insert(n);
                }
                (false, true) => {
                    slots.remove(hash(n), n);
                    model.remove(&n);
                }
                _ => {}
            }
            assert_eq!(slots.find(hash(n), |m| m == n).is_some(), model.contains(&n));
            assert_eq!(slots.len, model.len());
        }
        for n in 0..900 {
            assert_eq!(slots.find(hash(n), |m| m == n), model.get(&n).copied());
        }
    }
}
