//! A whole set of rules, made of pieces that come and go.
//!
//! A [`Base`] holds the chains and rules that are always there. Everything else is in [`Segment`]s,
//! each of which is replaced as one: its own chains, and its rules at the end of shared chains. Segments
//! are ordered by key, so the same segments give the same rules whatever the order of changes.

use crate::index::Index;
use crate::ops::{Op, Ops};
use crate::ranks::Ranks;
use crate::{ChainRef, Hook, RuleList, Segment, Table, Target};
use lab_base::{OrdMap, Paged, Vector};
use std::sync::{Arc, OnceLock};

/// A chain that is always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedChain {
    /// Its table.
    pub table: Table,
    /// Its name.
    pub name: Arc<str>,
    /// Where it is called; only for built-in chains.
    pub hook: Option<Hook>,
    /// Whether `iptables-restore` gets it. Built-in chains and the jumps in them are set up once, by hand.
    pub printed: bool,
}

/// What is always there. Rules of `head` stand before those of the segments, rules of `tail` after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The chains, in the order in which they are declared.
    pub chains: Vec<SharedChain>,
    /// Rules before all segments, in written order.
    pub head: RuleList,
    /// Rules after all segments, in written order.
    pub tail: RuleList,
}

impl Base {
    /// The chain with this name.
    pub fn chain(&self, table: Table, name: &str) -> Option<u16> {
        let at = self.chains.iter().position(|c| c.table == table && &*c.name == name)?;
        u16::try_from(at).ok()
    }
}

/// All rules of a node for one address family. A clone shares everything.
#[derive(Clone, Debug)]
pub struct Ruleset {
    base: Arc<Base>,
    places: Arc<Places>,
    by_key: OrdMap<Arc<str>, u32>,
    slots: Paged<Option<Arc<Segment>>>,
    free: Vector<u32>,
    index: Index,
    recent: OrdMap<Arc<str>, u32>,
    ranks: Arc<OnceLock<Ranks>>,
}

impl Default for Ruleset {
    /// No rules at all: packets pass as they are.
    fn default() -> Ruleset {
        Ruleset::new(Arc::new(Base::default()))
    }
}

/// Rules of a chain that are always there: their rows, and their short forms beside them.
pub(crate) type Rows = Vec<(u32, Op)>;

/// Where the base's rules and hooks are, to be found fast.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) head: Ops,
    pub(crate) tail: Ops,
    /// For each chain, its rules in the head and in the tail.
    chains: Vec<(Rows, Rows)>,
    /// The chain of each hook of each table.
    hooks: [[Option<u16>; Hook::COUNT]; 2],
}

impl Places {
    fn of(base: &Base) -> Arc<Places> {
        let (head, tail) = (Ops::of_base(&base.head), Ops::of_base(&base.tail));
        let rows = |list: &RuleList, ops: &Ops, at: usize| {
            let rules = (0_u32..).zip(list.rules());
            let here = rules.filter(|(_, rule)| matches!(rule.chain, ChainRef::Shared(c) if usize::from(c) == at));
            here.filter_map(|(row, _)| Some((row, ops.get(row)?))).collect()
        };
        let rows_of = |at| (rows(&base.head, &head, at), rows(&base.tail, &tail, at));
        let chains = (0..base.chains.len()).map(rows_of).collect();
        let mut hooks = [[None; Hook::COUNT]; 2];
        for (at, chain) in base.chains.iter().enumerate().rev() {
            if let Some(hook) = chain.hook {
                hooks[chain.table as usize][hook as usize] = u16::try_from(at).ok();
            }
        }
        Arc::new(Places { head, tail, chains, hooks })
    }
    /// The rules of a chain in the head and in the tail.
    #[inline]
    pub(crate) fn rows(&self, chain: u16) -> Option<&(Rows, Rows)> {
        self.chains.get(usize::from(chain))
    }
    /// Whether a chain has no rules but those of segments.
    pub(crate) fn is_empty(&self, chain: u16) -> bool {
        self.rows(chain).is_none_or(|(head, tail)| head.is_empty() && tail.is_empty())
    }
}

impl Ruleset {
    /// Only the base.
    pub fn new(base: Arc<Base>) -> Ruleset {
        let places = Places::of(&base);
        Ruleset {
            base,
            places,
            by_key: OrdMap::new(),
            slots: Paged::new(),
            free: Vector::new(),
            index: Index::default(),
            recent: OrdMap::new(),
            ranks: Arc::default(),
        }
    }
    /// What is always there.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }
    /// The same segments on another base with the same chains.
    pub fn set_base(&mut self, base: Arc<Base>) {
        self.places = Places::of(&base);
        self.base = base;
        self.ranks = Arc::default();
    }
    /// The segment with this key.
    pub fn segment(&self, key: &str) -> Option<&Arc<Segment>> {
        self.by_key.get(key).and_then(|slot| self.slot(*slot))
    }
    /// All segments, in order of their keys.
    pub fn segments(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Segment>)> {
        self.by_key.iter().filter_map(|(key, slot)| Some((key, self.slot(*slot)?)))
    }
    /// Puts a segment in place of the one with this key, or takes that away. Costs what the two segments hold.
    pub fn set_segment(&mut self, key: &Arc<str>, segment: Option<Arc<Segment>>) {
        let old_slot = self.by_key.get(key).copied();
        let old = old_slot.and_then(|slot| self.slot(slot).cloned());
        if let (Some(old), Some(slot)) = (&old, old_slot) {
            self.index.remove(slot, old);
            for name in old.list().recent_names() {
                if let Some(count) = self.recent.get_mut(name) {
                    *count -= 1;
                }
            }
        }
        if let Some(segment) = &segment {
            for name in segment.list().recent_names() {
                *self.recent.entry(name.into()).or_insert(0) += 1;
            }
        }
        if let Some(old) = &old {
            for name in old.list().recent_names() {
                if self.recent.get(name) == Some(&0) {
                    self.recent.remove(name);
                }
            }
        }
        let same_shape = match (&old, &segment) {
            (Some(a), Some(b)) => a.shape() == b.shape(),
            (None, None) => true,
            _ => false,
        };
        if !same_shape {
            self.ranks = Arc::default();
        }
        match (segment, old_slot) {
            (Some(segment), Some(slot)) => {
                self.index.add(slot, &segment);
                self.set_slot(slot, Some(segment));
            }
            (Some(segment), None) => {
                let slot = self.free.pop_back().unwrap_or(self.slots.len() as u32);
                self.index.add(slot, &segment);
                if slot as usize == self.slots.len() {
                    self.slots.push(Some(segment));
                } else {
                    self.set_slot(slot, Some(segment));
                }
                self.by_key.insert(key.clone(), slot);
            }
            (None, Some(slot)) => {
                self.set_slot(slot, None);
                self.free.push_back(slot);
                self.by_key.remove(key);
            }
            (None, None) => {}
        }
    }
    /// How many rules there are, the built-in chains' included.
    pub fn rule_count(&self) -> usize {
        self.base.head.len() + self.base.tail.len() + self.segments().map(|(_, s)| s.list().len()).sum::<usize>()
    }
    /// Whether some rule uses this `recent` list.
    pub fn uses_recent(&self, name: &str) -> bool {
        self.recent.contains_key(name)
    }
    /// Deletes the rule number `nth` (from 0) of those that stand in `chain` of `table` and whose target's
    /// text begins with `target` (`-j` left out), as `iptables -D` would. Whether there was one.
    pub fn remove_rule(&mut self, table: Table, chain: &str, target: &str, nth: usize) -> bool {
        let mut left = nth;
        let base = self.base.clone();
        if let Some(at) = base.chain(table, chain) {
            for tail in [false, true] {
                if tail && self.remove_from_segments(Some(at), chain, target, &mut left) {
                    return true;
                }
                let rules = if tail { &base.tail } else { &base.head };
                for (row, rule) in rules.rules().iter().enumerate() {
                    if rule.chain != ChainRef::Shared(at)
                        || !crate::text::target_text(&base, None, &rule.target).starts_with(target)
                    {
                        continue;
                    }
                    if left == 0 {
                        let mut new = (*base).clone();
                        if tail {
                            new.tail.remove(row)
                        } else {
                            new.head.remove(row)
                        };
                        self.set_base(Arc::new(new));
                        return true;
                    }
                    left -= 1;
                }
            }
            return false;
        }
        self.remove_from_segments(None, chain, target, &mut left)
    }

    fn remove_from_segments(&mut self, shared: Option<u16>, chain: &str, target: &str, left: &mut usize) -> bool {
        let all: Vec<_> = self.segments().map(|(k, s)| (k.clone(), s.clone())).collect();
        for (key, segment) in all {
            for (row, rule) in segment.written().enumerate() {
                let here = match rule.chain {
                    ChainRef::Shared(c) => shared == Some(c),
                    ChainRef::Own(c) => segment.chain_name(c) == Some(chain),
                };
                if !here || !crate::text::target_text(&self.base, Some(&segment), &rule.target).starts_with(target) {
                    continue;
                }
                if *left == 0 {
                    self.set_segment(&key, Some(Arc::new(segment.without(row))));
                    return true;
                }
                *left -= 1;
            }
        }
        false
    }

    fn set_slot(&mut self, slot: u32, segment: Option<Arc<Segment>>) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = segment;
        }
    }
    pub(crate) fn slot(&self, slot: u32) -> Option<&Arc<Segment>> {
        self.slots.get(slot as usize).and_then(Option::as_ref)
    }
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }
    pub(crate) fn ranks(&self) -> &Ranks {
        self.ranks.get_or_init(|| self.make_ranks())
    }
    fn make_ranks(&self) -> Ranks {
        Ranks::new(&self.places, self.base.chains.len(), self.slots.len(), self.in_order())
    }
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (u32, &Arc<Segment>)> {
        self.by_key.values().filter_map(|slot| Some((*slot, self.slot(*slot)?)))
    }
    pub(crate) fn hook(&self, table: Table, hook: Hook) -> Option<u16> {
        self.places.hooks[table as usize][hook as usize]
    }
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }
    /// Whether jumps only go to chains that are there.
    pub fn is_closed(&self) -> bool {
        let shared = self.base.chains.len();
        let fits = |target: &Target, own: usize| match target {
            Target::Jump(ChainRef::Shared(c)) => usize::from(*c) < shared,
            Target::Jump(ChainRef::Own(c)) => usize::from(*c) < own,
            _ => true,
        };
        let all_fit = |list: &RuleList, own| list.rules().iter().all(|r| fits(&r.target, own));
        all_fit(&self.base.head, 0)
            && all_fit(&self.base.tail, 0)
            && self.segments().all(|(_, s)| all_fit(s.list(), s.chains().len()))
    }
}
