//! Rules that come and go together.

use crate::ops::Ops;
use crate::{ChainRef, Rule, RuleList, Table, Text};
use std::ops::Range;

/// A chain of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnChain {
    /// Its table.
    pub table: Table,
    /// Its name, in the segment's list.
    pub name: Text,
}

/// Rules that come and go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    chains: Vec<OwnChain>,
    /// The rules of shared chains, then those of own ones, chain by chain.
    list: RuleList,
    /// The same for packets.
    ops: Ops,
    /// The shared chains that have rules of this segment, in order, and how many.
    shared: Vec<(u16, u32)>,
    /// For each own chain, where its rules begin; and where the last one's end.
    own: Vec<u32>,
    /// The rows in the order in which they are written, where that is another one.
    written: Option<Box<[u32]>>,
}

impl Segment {
    /// A segment with these chains, in the order in which they are declared, and rules as they are written.
    pub fn new(chains: Vec<OwnChain>, mut list: RuleList) -> Segment {
        let mut own = vec![0; chains.len() + 1];
        let mut shared: Vec<(u16, u32)> = Vec::new();
        for rule in list.rules() {
            match rule.chain {
                ChainRef::Own(c) => {
                    if let Some(count) = own.get_mut(usize::from(c) + 1) {
                        *count += 1;
                    }
                }
                ChainRef::Shared(c) => match shared.iter_mut().find(|(at, _)| *at == c) {
                    Some((_, count)) => *count += 1,
                    None => shared.push((c, 1)),
                },
            }
        }
        shared.sort_unstable_by_key(|(c, _)| *c);
        let mut total = shared.iter().map(|(_, count)| count).sum();
        for place in &mut own {
            total += *place;
            *place = total;
        }
        let key = |chain: ChainRef| match chain {
            ChainRef::Shared(c) => (0, c),
            ChainRef::Own(c) => (1, c),
        };
        let mut written = None;
        if !list.rules().is_sorted_by_key(|rule| key(rule.chain)) {
            let mut by_chain: Vec<u32> = (0..list.len() as u32).collect();
            by_chain.sort_by_key(|row| list.rules().get(*row as usize).map(|rule| key(rule.chain)));
            list.reorder(&by_chain);
            let mut rows = vec![0; by_chain.len()];
            for (row, was) in by_chain.iter().enumerate() {
                rows[*was as usize] = row as u32;
            }
            written = Some(rows.into());
        }
        let ops = Ops::of_segment(&list, |chain| rows_of(&own, chain));
        Segment { chains, list, ops, shared, own, written }
    }
    /// Its chains.
    pub fn chains(&self) -> &[OwnChain] {
        &self.chains
    }
    /// The name of one of its chains.
    pub fn chain_name(&self, chain: u16) -> Option<&str> {
        self.chains.get(usize::from(chain)).map(|c| self.list.text(c.name))
    }
    /// Its rules, chain by chain.
    pub fn list(&self) -> &RuleList {
        &self.list
    }
    /// Its rules, as they are written.
    pub fn written(&self) -> impl Iterator<Item = &Rule> {
        let row = |i: u32| self.written.as_ref().and_then(|rows| rows.get(i as usize)).map_or(i, |row| *row);
        (0..self.list.len() as u32).filter_map(move |i| self.rule(row(i)))
    }
    /// The same without one of its rules, counted as they are written.
    pub fn without(&self, nth: usize) -> Segment {
        let mut list = self.list.clone();
        let rows = self.written.as_deref().map_or_else(|| (0..self.list.len() as u32).collect(), <[u32]>::to_vec);
        list.reorder(&rows);
        list.remove(nth);
        Segment::new(self.chains.clone(), list)
    }
    /// The rows of an own chain.
    pub(crate) fn own_rows(&self, chain: u16) -> Range<u32> {
        rows_of(&self.own, chain)
    }
    /// The same rules for packets, row by row.
    pub(crate) const fn ops(&self) -> &Ops {
        &self.ops
    }
    /// The rows of its rules in a shared chain.
    pub(crate) fn shared_rows(&self, chain: u16) -> Range<u32> {
        self.shared().find(|(c, _)| *c == chain).map_or(0..0, |(_, rows)| rows)
    }
    /// The shared chains that have rules of this segment, in order, and the rows of these.
    pub(crate) fn shared(&self) -> impl Iterator<Item = (u16, Range<u32>)> + '_ {
        let mut next = 0;
        self.shared.iter().map(move |(chain, count)| {
            next += count;
            (*chain, next - count..next)
        })
    }
    pub(crate) fn rule(&self, row: u32) -> Option<&Rule> {
        self.list.rules().get(row as usize)
    }
    /// How many rules it has in which shared chain.
    pub(crate) fn shape(&self) -> &[(u16, u32)] {
        &self.shared
    }
}

fn rows_of(own: &[u32], chain: u16) -> Range<u32> {
    let at = usize::from(chain);
    own.get(at).zip(own.get(at + 1)).map_or(0..0, |(from, to)| *from..*to)
}
