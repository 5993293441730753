//! Rules that come and go together.

use crate::{ChainRef, Rule, RuleList, Table, Text};

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
    list: RuleList,
    /// Rows of the rules of own chains, then of shared ones, chain by chain.
    rows: Vec<u32>,
    /// For each own chain, where its rows begin; and where the last one's end.
    own: Vec<u32>,
    /// The shared chains that have rules of this segment, in order, and where their rows begin and end.
    shared: Vec<(u16, u32, u32)>,
}

impl Segment {
    /// A segment with these chains, in the order in which they are declared, and rules as they are written.
    pub fn new(chains: Vec<OwnChain>, list: RuleList) -> Segment {
        let mut own = vec![0; chains.len() + 1];
        let mut shared: Vec<(u16, u32, u32)> = Vec::new();
        for rule in list.rules() {
            match rule.chain {
                ChainRef::Own(c) => {
                    if let Some(count) = own.get_mut(usize::from(c) + 1) {
                        *count += 1;
                    }
                }
                ChainRef::Shared(c) => match shared.iter_mut().find(|(at, ..)| *at == c) {
                    Some((.., count)) => *count += 1,
                    None => shared.push((c, 0, 1)),
                },
            }
        }
        shared.sort_unstable_by_key(|(c, ..)| *c);
        // Counts become places; each moves on to its end while rows are put there.
        let mut total = 0;
        for place in &mut own {
            total += *place;
            *place = total;
        }
        for (_, from, to) in &mut shared {
            *from = total;
            total += *to;
            *to = *from;
        }
        let mut rows = vec![0; total as usize];
        let mut next = own.clone();
        for (row, rule) in list.rules().iter().enumerate() {
            let place = match rule.chain {
                ChainRef::Own(c) => next.get_mut(usize::from(c)).filter(|_| usize::from(c) < chains.len()),
                ChainRef::Shared(c) => shared.iter_mut().find(|(at, ..)| *at == c).map(|(.., to)| to),
            };
            if let Some(place) = place {
                rows[*place as usize] = row as u32;
                *place += 1;
            }
        }
        Segment { chains, list, rows, own, shared }
    }
    /// Its chains.
    pub fn chains(&self) -> &[OwnChain] {
        &self.chains
    }
    /// The name of one of its chains.
    pub fn chain_name(&self, chain: u16) -> Option<&str> {
        self.chains.get(usize::from(chain)).map(|c| self.list.text(c.name))
    }
    /// Its rules, as they are written.
    pub fn list(&self) -> &RuleList {
        &self.list
    }
    /// The same without one of its rules.
    pub fn without(&self, row: usize) -> Segment {
        let mut list = self.list.clone();
        list.remove(row);
        Segment::new(self.chains.clone(), list)
    }
    pub(crate) fn own_rows(&self, chain: u16) -> &[u32] {
        let at = usize::from(chain);
        let range = |(from, to): (&u32, &u32)| self.rows.get(*from as usize..*to as usize);
        self.own.get(at).zip(self.own.get(at + 1)).and_then(range).unwrap_or_default()
    }
    pub(crate) fn shared_rows(&self, chain: u16) -> &[u32] {
        self.shared().find(|(c, _)| *c == chain).map_or(&[], |(_, rows)| rows)
    }
    pub(crate) fn shared(&self) -> impl Iterator<Item = (u16, &[u32])> {
        let rows = |from: u32, to: u32| self.rows.get(from as usize..to as usize).unwrap_or_default();
        self.shared.iter().map(move |(chain, from, to)| (*chain, rows(*from, *to)))
    }
    pub(crate) fn rule(&self, row: u32) -> Option<&Rule> {
        self.list.rules().get(row as usize)
    }
    /// How many rules it has in which shared chain.
    pub(crate) fn shape(&self) -> impl Iterator<Item = (u16, usize)> + '_ {
        self.shared().map(|(c, rows)| (c, rows.len()))
    }
}
