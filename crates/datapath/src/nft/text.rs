//! A table as the text that `nft -f` reads.

use super::{Chain, ChainType, Element, Holder, Key, KeyType, Match, Rule, Segment, Set, SetRef, Statement};
use super::{Table, Verdict};
use crate::{ChainRef, CtStates};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// What is written into a `String` cannot fail; hence the ignored results here and below.
struct Writer<'a> {
    table: &'a Table,
    out: String,
}

fn or(name: Option<&Arc<str>>) -> &str {
    name.map_or("?", |n| n)
}

impl<'a> Writer<'a> {
    fn chain(&self, segment: Option<&'a Segment>, chain: ChainRef) -> &'a str {
        or(self.table.chain(segment, chain).map(|c| &c.name))
    }
    fn set(&self, segment: Option<&'a Segment>, set: SetRef) -> &'a str {
        or(self.table.set(segment, set).map(|s| &s.name))
    }
    fn map(&self, map: u16) -> &'a str {
        or(self.table.map(map).map(|m| &m.name))
    }
    fn matching(&mut self, segment: Option<&'a Segment>, m: &Match) {
        let ip = self.table.family().name();
        let ne = |not: bool| if not { "!= " } else { "" };
        let _ = match m {
            Match::CtState(states) => {
                let names = [
                    (CtStates::INVALID, "invalid"),
                    (CtStates::NEW, "new"),
                    (CtStates::RELATED, "related"),
                    (CtStates::ESTABLISHED, "established"),
                ];
                let names: Vec<_> = names.iter().filter(|(s, _)| states.meets(*s)).map(|(_, n)| *n).collect();
                write!(self.out, "ct state {}", names.join(","))
            }
            Match::Source { net, not } => write!(self.out, "{ip} saddr {}{net}", ne(*not)),
            Match::SourceNotIn(nets) => {
                let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
                write!(self.out, "{ip} saddr != {{ {} }}", nets.join(" , "))
            }
            Match::SourceInSet(set) => write!(self.out, "{ip} saddr @{}", self.set(segment, *set)),
            Match::Destination { net, not } => write!(self.out, "{ip} daddr {}{net}", ne(*not)),
            Match::DestinationIn(nets) => {
                // kube-proxy writes this list without spaces.
                let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
                write!(self.out, "{ip} daddr {{ {} }}", nets.join(","))
            }
            Match::DestinationInSet(set) => write!(self.out, "{ip} daddr @{}", self.set(segment, *set)),
            Match::Proto(proto) => write!(self.out, "meta l4proto {proto}"),
            Match::DestinationPort(proto, port) => write!(self.out, "{proto} dport {port}"),
            Match::SourceLocal => write!(self.out, "fib saddr type local"),
            Match::DestinationLocal => write!(self.out, "fib daddr type local"),
            Match::MarkUnset(mask) => write!(self.out, "mark and {mask:#010x} == 0"),
        };
    }
    fn verdict(&mut self, segment: Option<&'a Segment>, verdict: Verdict) {
        let _ = match verdict {
            Verdict::Drop => write!(self.out, "drop"),
            Verdict::Return => write!(self.out, "return"),
            Verdict::Jump(chain) => write!(self.out, "jump {}", self.chain(segment, chain)),
            Verdict::Goto(chain) => write!(self.out, "goto {}", self.chain(segment, chain)),
        };
    }
    fn statement(&mut self, segment: Option<&'a Segment>, statement: &Statement) {
        let ip = self.table.family().name();
        let _ = match statement {
            Statement::Verdict(verdict) => {
                self.verdict(segment, *verdict);
                Ok(())
            }
            Statement::Lookup(map) => {
                if self.table.map(*map).is_some_and(|m| m.key == KeyType::Service) {
                    let _ = write!(self.out, "{ip} daddr . ");
                }
                write!(self.out, "meta l4proto . th dport vmap @{}", self.map(*map))
            }
            Statement::Numgen(chains) => {
                let _ = write!(self.out, "numgen random mod {} vmap {{", chains.len());
                for (i, chain) in chains.iter().enumerate() {
                    let comma = if i > 0 { " ," } else { "" };
                    let _ = write!(self.out, "{comma} {i} : goto {}", self.chain(segment, *chain));
                }
                write!(self.out, " }}")
            }
            Statement::MarkOr(mark) => write!(self.out, "mark set mark or {mark:#010x}"),
            Statement::MarkXor(mark) => write!(self.out, "mark set mark xor {mark:#010x}"),
            Statement::Update(set) => write!(self.out, "update @{} {{ {ip} saddr }}", self.set(segment, *set)),
            Statement::Dnat(to) => write!(self.out, "dnat to {to}"),
            Statement::Reject => write!(self.out, "reject"),
            Statement::Masquerade { fully_random: true } => write!(self.out, "masquerade fully-random"),
            Statement::Masquerade { fully_random: false } => write!(self.out, "masquerade"),
        };
    }
    fn rule(&mut self, segment: Option<&'a Segment>, rule: &Rule) {
        self.add("rule", self.chain(segment, rule.chain));
        for m in &rule.matches {
            self.out.push(' ');
            self.matching(segment, m);
        }
        self.out.push(' ');
        self.statement(segment, &rule.statement);
        self.comment(rule.comment.as_ref(), "");
    }
    fn add(&mut self, what: &str, name: &str) {
        let _ = write!(self.out, "add {what} {} {} {name}", self.table.family().name(), self.table.base().name);
    }
    fn comment(&mut self, comment: Option<&Arc<str>>, end: &str) {
        if let Some(comment) = comment {
            let _ = write!(self.out, " comment \"{comment}\"{end}");
        }
    }
    fn add_table(&mut self) {
        let base = self.table.base();
        let _ = write!(self.out, "add table {} {}", self.table.family().name(), base.name);
        if base.comment.is_some() {
            self.out.push_str(" {");
            self.comment(base.comment.as_ref(), " ; }");
        }
        self.out.push('\n');
    }
    fn add_chain(&mut self, chain: &Chain) {
        self.add("chain", &chain.name);
        if chain.base.is_some() || chain.comment.is_some() {
            self.out.push_str(" {");
            if let Some(base) = chain.base {
                let kind = match base.kind {
                    ChainType::Filter => "filter",
                    ChainType::Nat => "nat",
                };
                let hook = base.hook.name().to_ascii_lowercase();
                let _ = write!(self.out, " type {kind} hook {hook} priority {} ;", base.priority);
            }
            self.comment(chain.comment.as_ref(), " ;");
            self.out.push_str(" }");
        }
        self.out.push('\n');
    }
    fn add_set(&mut self, set: &Set) {
        self.add("set", &set.name);
        let _ = write!(self.out, " {{ type {} ;", self.table.family().addr_type());
        if let Some(seconds) = set.timeout {
            let _ = write!(self.out, " flags dynamic,timeout ; timeout {seconds}s ;");
        }
        self.comment(set.comment.as_ref(), " ;");
        self.out.push_str(" }\n");
    }
    fn add_map(&mut self, map: &super::Map) {
        self.add("map", &map.name);
        self.out.push_str(" { type ");
        if map.key == KeyType::Service {
            let _ = write!(self.out, "{} . ", self.table.family().addr_type());
        }
        self.out.push_str("inet_proto . inet_service : verdict ;");
        self.comment(map.comment.as_ref(), " ;");
        self.out.push_str(" }\n");
    }
    fn add_element(&mut self, holder: &str, segment: Option<&'a Segment>, element: &Element) {
        self.add("element", holder);
        let _ = match element.key {
            Key::Address(ip) => write!(self.out, " {{ {ip}"),
            Key::Service(ip, proto, port) => write!(self.out, " {{ {ip} . {proto} . {port}"),
            Key::Port(proto, port) => write!(self.out, " {{ {proto} . {port}"),
        };
        self.comment(element.comment.as_ref(), "");
        if let Some(verdict) = element.verdict {
            self.out.push_str(" : ");
            self.verdict(segment, verdict);
        }
        self.out.push_str(" }\n");
    }
    /// The elements of a set or map. One that is added again keeps its place and gets the later verdict.
    fn add_elements(&mut self, holder: Holder, name: &str) {
        let pieces = self.table.segments().map(|(_, s)| Some(s.as_ref()));
        let mut list: Vec<(Option<&'a Segment>, &'a Element)> = Vec::new();
        let mut places: BTreeMap<Key, usize> = BTreeMap::new();
        for segment in [None].into_iter().chain(pieces) {
            let elements = segment.map_or(&self.table.base().elements[..], Segment::elements);
            for element in elements.iter().filter(|e| e.holder == holder) {
                match places.get(&element.key) {
                    Some(at) => list[*at] = (segment, element),
                    None => {
                        places.insert(element.key, list.len());
                        list.push((segment, element));
                    }
                }
            }
        }
        for (segment, element) in list {
            self.add_element(name, segment, element);
        }
    }
}

/// One rule as `add rule ...`. `segment` is the one that the rule is in, if it is in one.
pub fn rule_text(table: &Table, segment: Option<&Segment>, rule: &Rule) -> String {
    let mut w = Writer { table, out: String::new() };
    w.rule(segment, rule);
    w.out
}

/// One element of a set or map as `add element ...`.
pub fn element_text(table: &Table, segment: &Segment, element: &Element) -> String {
    let mut w = Writer { table, out: String::new() };
    let base = table.base();
    let name = match element.holder {
        Holder::Set(set) => base.sets.get(usize::from(set)).map(|s| &s.name),
        Holder::Map(map) => base.maps.get(usize::from(map)).map(|m| &m.name),
    };
    w.add_element(or(name), Some(segment), element);
    w.out.truncate(w.out.trim_end().len());
    w.out
}

pub(crate) fn match_text(table: &Table, segment: Option<&Segment>, m: &Match) -> String {
    let mut w = Writer { table, out: String::new() };
    w.matching(segment, m);
    w.out
}

pub(crate) fn statement_text(table: &Table, segment: Option<&Segment>, statement: &Statement) -> String {
    let mut w = Writer { table, out: String::new() };
    w.statement(segment, statement);
    w.out
}

pub(crate) fn verdict_text(table: &Table, segment: Option<&Segment>, verdict: Verdict) -> String {
    let mut w = Writer { table, out: String::new() };
    w.verdict(segment, verdict);
    w.out
}

/// The whole table for `nft -f`: objects sorted by name, then the rules of each chain, then elements.
pub fn nft_script(table: &Table) -> String {
    let base = table.base();
    let mut w = Writer { table, out: String::new() };
    w.add_table();
    let pieces = || table.segments().map(|(_, s)| s.as_ref());

    let mut chains: Vec<(&Chain, Option<&Segment>, ChainRef)> = Vec::new();
    chains.extend(base.chains.iter().enumerate().map(|(i, c)| (c, None, ChainRef::Shared(i as u16))));
    for segment in pieces() {
        let own = segment.chains().iter().enumerate();
        chains.extend(own.map(|(i, c)| (c, Some(segment), ChainRef::Own(i as u16))));
    }
    chains.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    chains.iter().for_each(|(chain, _, _)| w.add_chain(chain));

    let mut sets: Vec<&Set> = base.sets.iter().chain(pieces().flat_map(Segment::sets)).collect();
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    sets.into_iter().for_each(|set| w.add_set(set));
    let mut maps: Vec<_> = base.maps.iter().enumerate().collect();
    maps.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    maps.iter().for_each(|(_, map)| w.add_map(map));

    for (_, segment, at) in chains {
        let (rules, rows) = table.rules_of(segment, at);
        for rule in rows.iter().filter_map(|row| rules.get(*row as usize)) {
            w.rule(segment, rule);
            w.out.push('\n');
        }
    }
    let mut sets: Vec<_> = base.sets.iter().enumerate().collect();
    sets.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    for (at, set) in sets {
        w.add_elements(Holder::Set(at as u16), &set.name);
    }
    for (at, map) in maps {
        w.add_elements(Holder::Map(at as u16), &map.name);
    }
    w.out
}
