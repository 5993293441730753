//! Rules, kept close together: a list has one piece of memory for all options and one for all texts, so that a cluster's
//! hundred thousands of rules are written fast and a packet finds those of a chain side by side.

use crate::{ChainRef, L4, Match, Net, OriginId, Target};
use std::net::IpAddr;

/// A text of a [`RuleList`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    start: u32,
    len: u32,
}

/// A rule at the end of a chain (`-A CHAIN ...`), in a [`RuleList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What happens to a packet that meets all options.
    pub target: Target,
    /// Where the rule comes from.
    pub origin: OriginId,
    /// The chain.
    pub chain: ChainRef,
    /// Its options: the first one's place in the list, and how many.
    first: u32,
    count: u16,
    /// Whether nothing has an effect before the last option of the header, so that all can be looked at in the order in
    /// which they are written.
    pub(crate) in_order: bool,
}

/// Rules in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleList {
    text: String,
    matches: Vec<Match>,
    rules: Vec<Rule>,
}

impl RuleList {
    /// An empty list.
    pub fn new() -> RuleList {
        RuleList::default()
    }
    /// An empty list with room for so many rules, options and bytes of text.
    pub fn with_capacity(rules: usize, matches: usize, text: usize) -> RuleList {
        RuleList {
            text: String::with_capacity(text),
            matches: Vec::with_capacity(matches),
            rules: Vec::with_capacity(rules),
        }
    }
    /// Keeps a text, made of these parts.
    pub fn add_text(&mut self, parts: &[&str]) -> Text {
        let start = self.text.len();
        parts.iter().for_each(|part| self.text.push_str(part));
        Text { start: start as u32, len: (self.text.len() - start) as u32 }
    }
    /// A text of this list; empty if it is another list's.
    pub fn text(&self, text: Text) -> &str {
        self.text.get(text.start as usize..(text.start + text.len) as usize).unwrap_or_default()
    }
    /// Writes a rule at the end of a chain. All of `matches` must hold; they are in the order in which they are written.
    pub fn add(&mut self, chain: ChainRef, matches: &[Match], target: Target, origin: OriginId) {
        let last_header = matches.iter().rposition(Match::is_header);
        let first_effect = matches.iter().position(Match::has_effect);
        let in_order = first_effect.is_none_or(|effect| last_header.is_none_or(|header| header < effect));
        let (first, count) = (self.matches.len() as u32, matches.len() as u16);
        self.matches.extend_from_slice(matches);
        self.rules.push(Rule { target, origin, chain, first, count, in_order });
    }
    /// Puts the rules into another order: first the one at `rows[0]`, ...
    pub(crate) fn reorder(&mut self, rows: &[u32]) {
        self.rules = rows.iter().filter_map(|row| self.rules.get(*row as usize).copied()).collect();
    }
    /// Takes a rule out.
    pub(crate) fn remove(&mut self, row: usize) {
        self.rules.remove(row);
    }
    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
    /// A rule's options.
    pub fn matches(&self, rule: &Rule) -> &[Match] {
        let first = rule.first as usize;
        self.matches.get(first..first + usize::from(rule.count)).unwrap_or_default()
    }
    /// The rule's protocol, single destination address and port, if it asks for them before anything that
    /// draws a number or touches a list (addresses and protocol are always asked for first).
    pub(crate) fn selector(&self, rule: &Rule) -> (Option<L4>, Option<IpAddr>, Option<u16>) {
        let (mut proto, mut dst, mut port) = (None, None, None);
        let mut pure = true;
        for m in self.matches(rule) {
            match m {
                Match::Proto(p) | Match::ProtoOnly(p) => proto = Some(*p),
                Match::Destination { net: Net::Host(ip), not: false } => dst = Some(*ip),
                Match::DestinationPort(p) if pure => port = Some(*p),
                Match::Statistic(_) | Match::RecentCheck { .. } | Match::RecentSet { .. } => pure = false,
                _ => {}
            }
        }
        (proto, dst, port)
    }
    /// Names of the `recent` lists that rules use, each as often as it is used.
    pub(crate) fn recent_names(&self) -> impl Iterator<Item = &str> {
        self.matches.iter().filter_map(|m| match m {
            Match::RecentCheck { name, .. } | Match::RecentSet { name } => Some(self.text(*name)),
            _ => None,
        })
    }
}
