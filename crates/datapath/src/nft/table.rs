//! A table, made of pieces that come and go.
//!
//! As with [`crate::Ruleset`]: a [`Base`] that is always there, and [`Segment`]s by key, each of which is replaced as
//! one, with its own chains and sets and its elements of the base's sets and maps.

use super::{Chain, Element, Family, Holder, Key, Map, Match, Rule, Set, SetRef, Statement, Verdict};
use crate::{ChainRef, Hook};
use lab_base::OrdMap;
use std::sync::Arc;

/// For each chain, its rules by their places in the list of all.
fn rows_by_chain(rules: &[Rule], chains: usize, place: impl Fn(ChainRef) -> Option<u16>) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); chains];
    for (row, rule) in rules.iter().enumerate() {
        if let Some(list) = place(rule.chain).and_then(|c| rows.get_mut(usize::from(c))) {
            list.push(row as u32);
        }
    }
    rows
}

/// What is always there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The table's name.
    pub name: Arc<str>,
    /// The table's comment.
    pub comment: Option<Arc<str>>,
    /// Chains.
    pub chains: Vec<Chain>,
    /// Sets.
    pub sets: Vec<Set>,
    /// Maps.
    pub maps: Vec<Map>,
    /// Rules, as they are written.
    pub rules: Vec<Rule>,
    /// Elements, as they are written.
    pub elements: Vec<Element>,
}

/// Objects that come and go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    chains: Vec<Chain>,
    sets: Vec<Set>,
    rules: Vec<Rule>,
    elements: Vec<Element>,
    rows: Vec<Vec<u32>>,
}

impl Segment {
    /// A segment. Its rules are all in its own chains.
    pub fn new(chains: Vec<Chain>, sets: Vec<Set>, rules: Vec<Rule>, elements: Vec<Element>) -> Segment {
        let rows = rows_by_chain(&rules, chains.len(), |chain| match chain {
            ChainRef::Own(c) => Some(c),
            ChainRef::Shared(_) => None,
        });
        Segment { chains, sets, rules, elements, rows }
    }
    /// Its chains.
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }
    /// Its sets.
    pub fn sets(&self) -> &[Set] {
        &self.sets
    }
    /// Its rules, as they are written.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
    /// Its elements, as they are written.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }
}

/// An element of a segment. Kept with the segment's key, in whose order elements stand.
#[derive(Clone, Debug)]
struct At {
    key: Arc<str>,
    segment: Arc<Segment>,
    row: u32,
}

/// A table. A clone shares everything.
#[derive(Clone, Debug, Default)]
pub struct Table {
    family: Family,
    base: Arc<Base>,
    rows: Arc<Vec<Vec<u32>>>,
    segments: OrdMap<Arc<str>, Arc<Segment>>,
    elements: OrdMap<(Holder, Key), Arc<[At]>>,
    sets: OrdMap<Arc<str>, u32>,
}

impl Table {
    /// Only the base.
    pub fn new(family: Family, base: Arc<Base>) -> Table {
        let mut table = Table { family, ..Table::default() };
        table.set_base(base);
        table
    }
    /// The same segments on another base with the same chains, sets and maps.
    pub fn set_base(&mut self, base: Arc<Base>) {
        self.rows = Arc::new(rows_by_chain(&base.rules, base.chains.len(), |chain| match chain {
            ChainRef::Shared(c) => Some(c),
            ChainRef::Own(_) => None,
        }));
        self.base = base;
    }
    /// Its family.
    pub const fn family(&self) -> Family {
        self.family
    }
    /// What is always there.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }
    /// The segment with this key.
    pub fn segment(&self, key: &str) -> Option<&Arc<Segment>> {
        self.segments.get(key)
    }
    /// All segments, in order of their keys.
    pub fn segments(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Segment>)> {
        self.segments.iter()
    }
    /// Puts a segment in place of the one with this key, or takes that away. Costs what the two segments hold.
    pub fn set_segment(&mut self, key: &Arc<str>, segment: Option<Arc<Segment>>) {
        if let Some(old) = self.segments.remove(key) {
            for element in &old.elements {
                let place = (element.holder, element.key);
                let Some(list) = self.elements.get(&place) else { continue };
                let left: Arc<[At]> = list.iter().filter(|at| at.key != *key).cloned().collect();
                if left.is_empty() {
                    self.elements.remove(&place)
                } else {
                    self.elements.insert(place, left)
                };
            }
            for set in &old.sets {
                if let Some(count) = self.sets.get_mut(&set.name) {
                    *count -= 1;
                    if *count == 0 {
                        self.sets.remove(&set.name);
                    }
                }
            }
        }
        let Some(segment) = segment else { return };
        for (row, element) in segment.elements.iter().enumerate() {
            let at = At { key: key.clone(), segment: segment.clone(), row: row as u32 };
            let place = (element.holder, element.key);
            let mut list: Vec<At> = self.elements.get(&place).map(|l| l.to_vec()).unwrap_or_default();
            list.insert(list.partition_point(|other| other.key <= at.key), at);
            self.elements.insert(place, list.into());
        }
        for set in &segment.sets {
            *self.sets.entry(set.name.clone()).or_insert(0) += 1;
        }
        self.segments.insert(key.clone(), segment);
    }
    /// Whether there is a set of this name that packets put elements in.
    pub fn has_dynamic_set(&self, name: &str) -> bool {
        self.sets.contains_key(name)
    }
    /// How many rules there are.
    pub fn rule_count(&self) -> usize {
        self.base.rules.len() + self.segments.values().map(|s| s.rules.len()).sum::<usize>()
    }

    /// The element with this key. Of several segments' the last counts: each `add element` replaces.
    pub(crate) fn element(&self, holder: Holder, key: Key) -> Option<(Option<&Arc<Segment>>, &Element)> {
        if let Some(at) = self.elements.get(&(holder, key)).and_then(|list| list.last()) {
            return Some((Some(&at.segment), at.segment.elements.get(at.row as usize)?));
        }
        let mut own = self.base.elements.iter().rev();
        own.find(|e| e.holder == holder && e.key == key).map(|e| (None, e))
    }
    /// The base chains of a hook, in order of their priorities.
    pub(crate) fn hooked(&self, hook: Hook) -> impl Iterator<Item = (u16, super::ChainType)> + use<> {
        let mut found: Vec<(i32, u16, super::ChainType)> = Vec::new();
        for (at, chain) in self.base.chains.iter().enumerate() {
            if let Some(base) = chain.base.filter(|b| b.hook == hook) {
                found.push((base.priority, at as u16, base.kind));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, at, kind)| (at, kind))
    }
    /// The rules of a chain.
    pub(crate) fn rules_of<'a>(&'a self, segment: Option<&'a Segment>, chain: ChainRef) -> (&'a [Rule], &'a [u32]) {
        let of = |rows: &'a [Vec<u32>], c: u16| rows.get(usize::from(c)).map_or(&[][..], Vec::as_slice);
        match (chain, segment) {
            (ChainRef::Shared(c), _) => (&self.base.rules, of(&self.rows, c)),
            (ChainRef::Own(c), Some(segment)) => (&segment.rules, of(&segment.rows, c)),
            (ChainRef::Own(_), None) => (&[], &[]),
        }
    }
    pub(crate) fn chain<'a>(&'a self, segment: Option<&'a Segment>, chain: ChainRef) -> Option<&'a Chain> {
        match chain {
            ChainRef::Shared(c) => self.base.chains.get(usize::from(c)),
            ChainRef::Own(c) => segment?.chains.get(usize::from(c)),
        }
    }
    pub(crate) fn set<'a>(&'a self, segment: Option<&'a Segment>, set: SetRef) -> Option<&'a Set> {
        match set {
            SetRef::Shared(s) => self.base.sets.get(usize::from(s)),
            SetRef::Own(s) => segment?.sets.get(usize::from(s)),
        }
    }
    pub(crate) fn map(&self, map: u16) -> Option<&Map> {
        self.base.maps.get(usize::from(map))
    }
    /// Whether rules and elements only name chains, sets and maps that are there, which `nft` asks for.
    pub fn is_closed(&self) -> bool {
        let pieces = || self.segments.values().map(|s| Some(s.as_ref())).chain([None]);
        pieces().all(|segment| {
            let chain = |c: ChainRef| self.chain(segment, c).is_some();
            let verdict = |v: &Verdict| match v {
                Verdict::Jump(c) | Verdict::Goto(c) => chain(*c),
                Verdict::Drop | Verdict::Return => true,
            };
            let set = |s: SetRef| self.set(segment, s).is_some();
            let rule = |r: &Rule| {
                let matches = r.matches.iter().all(|m| match m {
                    Match::SourceInSet(s) | Match::DestinationInSet(s) => set(*s),
                    _ => true,
                });
                let statement = match &r.statement {
                    Statement::Verdict(v) => verdict(v),
                    Statement::Lookup(m) => self.map(*m).is_some(),
                    Statement::Numgen(list) => list.iter().all(|c| chain(*c)),
                    Statement::Update(s) => set(*s),
                    _ => true,
                };
                chain(r.chain) && matches && statement
            };
            let element = |e: &Element| {
                let held = match e.holder {
                    Holder::Set(s) => self.base.sets.get(usize::from(s)).is_some(),
                    Holder::Map(m) => self.map(m).is_some() && e.verdict.is_some(),
                };
                held && e.verdict.iter().all(verdict)
            };
            let (rules, elements) = match segment {
                Some(s) => (&s.rules, &s.elements),
                None => (&self.base.rules, &self.base.elements),
            };
            rules.iter().all(rule) && elements.iter().all(element)
        })
    }
}
