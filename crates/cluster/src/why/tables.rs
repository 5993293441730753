//! All rules of a node: the text of its tool, where each line comes from, what the last sync changed, and how many
//! packets met it. Nothing is counted as time goes by: the last seconds are lived again.

use super::Witness;
use super::rules::field;
use crate::cluster::Cluster;
use crate::timeline::{Observer, Timeline};
use datapath::{Entry, Flow};
use lab_base::{Span, Time};
use lab_protocol::{FieldRef, LineNote, RulesView};
use std::collections::{BTreeMap, BTreeSet};

/// For how long packets are counted, back from the moment that is asked for.
const COUNTED: Span = Span::from_secs(5);

impl<O: Observer> Timeline<O> {
    /// A node's rules at a moment. Empty: there is no such node.
    pub fn rules(&self, node: &str, at: Time) -> RulesView {
        let now = self.cluster_at(at);
        let Some(machine) = now.machine(node) else { return RulesView::default() };
        let text = machine.kernel.rules_text();
        let before = machine.proxy.synced_at.map(|at| {
            let past = self.past(Time::from_micros(at.as_micros().saturating_sub(1)));
            past.cluster().machine(node).filter(|m| m.mode == machine.mode).map(|m| m.kernel.rules_text())
        });
        let before = before.flatten();
        let since = Time::from_micros(at.as_micros().saturating_sub(COUNTED.as_micros()));
        let since = since.max(machine.proxy.synced_at.unwrap_or_default());
        let met = self.count(node, since, at);
        let origins = machine.kernel.rule_origins();
        let old: Option<BTreeSet<String>> = before.as_ref().map(|text| keyed(text).map(|(key, _)| key).collect());
        let mut present = BTreeSet::new();
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut numbers: BTreeMap<(u64, String), u32> = BTreeMap::new();
        let mut notes = Vec::new();
        for (line, (key, _)) in (0u32..).zip(keyed(&text)) {
            let new = old.as_ref().is_some_and(|old| !old.contains(&key));
            present.insert(key.clone());
            // A real server is the same with another weight.
            let key = match key.contains('\n') {
                true => key.rsplit_once(' ').map_or(key.clone(), |(server, _)| server.to_owned()),
                false => key,
            };
            let from = origins.get(&key).and_then(|origin| field(&machine.loaded, *origin));
            let number = from.map_or(0, |field| {
                *numbers.entry((field.object.0, field.field.clone())).or_insert_with(|| {
                    fields.push(field);
                    fields.len() as u32
                })
            });
            let note = LineNote { line, field: number, packets: met.get(&key).copied().unwrap_or(0), new };
            if note != (LineNote { line, ..LineNote::default() }) {
                notes.push(note);
            }
        }
        let gone = before.iter().flat_map(|text| keyed(text)).filter(|(key, _)| !present.contains(key));
        let removed = gone.map(|(_, line)| line.to_owned()).collect();
        RulesView { mode: machine.mode, removed, notes, fields, since, text }
    }

    /// How many packets met each rule of a node between two moments.
    fn count(&self, node: &str, since: Time, until: Time) -> BTreeMap<String, u32> {
        let mut past = self.past(since);
        past.cluster_mut().witness = Some(Box::new(Witness { node: Some(node.into()), ..Witness::default() }));
        past.advance(until, &mut u64::MAX.clone());
        past.cluster_mut().witness.take().map(|w| w.met).unwrap_or_default()
    }
}

/// The lines of a text, each by what tells it from others: a real server's has its virtual server's before it.
fn keyed(text: &str) -> impl Iterator<Item = (String, &str)> {
    let mut server = "";
    text.lines().map(move |line| {
        if line.starts_with("  -> ") {
            return (format!("{server}\n{line}"), line);
        }
        server = line;
        (line.to_owned(), line)
    })
}

impl Cluster {
    /// A packet comes to a node's kernel whose rules are counted.
    pub(super) fn count_rules(&mut self, node: &str, flow: Flow, entry: Entry, chance: &mut dyn FnMut(u32) -> u32) {
        let counted = self.witness.as_ref().is_some_and(|w| w.node.as_deref() == Some(node));
        let Some(machine) = self.machines.get(node).filter(|_| counted) else { return };
        let (_, steps) = machine.kernel.trace(self.now, flow, entry, chance);
        let Some(witness) = &mut self.witness else { return };
        for step in steps.into_iter().filter(|step| step.matched) {
            if step.table == "ipvs" && !step.target.is_empty() {
                *witness.met.entry(format!("{}\n  -> {}", step.text, step.target)).or_default() += 1;
            }
            *witness.met.entry(step.text).or_default() += 1;
        }
    }
}
