//! What packets need to know of whole shared chains.

use crate::ops::{Act, Op, Test};
use crate::ruleset::Places;
use crate::walk::{MAX_DEPTH, Packet};
use crate::{CtStates, Segment};
use std::sync::Arc;

/// A shared chain.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    /// How many rules the segments have in it.
    total: u32,
    /// Whether it has no rule at all.
    empty: bool,
    /// How many rules a plain packet meets in it, where it comes out of it as it went in.
    plain: Option<u32>,
}

/// Where the segments' rules stand in the shared chains, were they walked one by one, and what all packets meet there.
#[derive(Debug, Default)]
pub(crate) struct Ranks {
    chains: Vec<Chain>,
    /// For each shared chain by slot: how many rules of earlier segments.
    before: Vec<Vec<u32>>,
}

impl Ranks {
    pub(crate) fn new<'a>(
        places: &Places,
        chains: usize,
        slots: usize,
        segments: impl Iterator<Item = (u32, &'a Arc<Segment>)>,
    ) -> Ranks {
        let mut before = vec![vec![0; slots]; chains];
        let mut all = vec![Chain::default(); chains];
        for (slot, segment) in segments {
            for (chain, rows) in segment.shared() {
                let chain = usize::from(chain);
                if let (Some(before), Some(Chain { total, .. })) = (before.get_mut(chain), all.get_mut(chain)) {
                    before[slot as usize] = *total;
                    *total += rows.len() as u32;
                }
            }
        }
        for (at, chain) in (0..).zip(&mut all) {
            chain.empty = chain.total == 0 && places.is_empty(at);
        }
        let mut ranks = Ranks { chains: all, before };
        for at in 0..chains {
            ranks.chains[at].plain = ranks.met_by_plain(places, at as u16, 0);
        }
        ranks
    }
    /// Whether this chain has no rules.
    #[inline]
    pub(crate) fn is_empty(&self, chain: u16) -> bool {
        self.chains.get(usize::from(chain)).is_none_or(|chain| chain.empty)
    }
    /// How many rules the segments have in this chain.
    #[inline]
    pub(crate) fn total(&self, chain: u16) -> u32 {
        self.chains.get(usize::from(chain)).map_or(0, |chain| chain.total)
    }
    /// How many of them stand before the rules of this slot.
    pub(crate) fn before(&self, chain: u16, slot: u32) -> u32 {
        self.before.get(usize::from(chain)).and_then(|b| b.get(slot as usize)).copied().unwrap_or(0)
    }
    /// How many rules this packet meets in this chain, if it is a plain one and none of them does anything to it.
    #[inline]
    pub(crate) fn passed_by(&self, chain: u16, packet: &Packet) -> Option<u32> {
        let plain = packet.mark == 0 && PLAIN.contains(&packet.state);
        self.chains.get(usize::from(chain)).and_then(|chain| chain.plain).filter(|_| plain)
    }

    fn met_by_plain(&self, places: &Places, chain: u16, depth: u32) -> Option<u32> {
        let mut met = 0;
        if depth >= MAX_DEPTH || self.total(chain) > 0 {
            return None;
        }
        let (head, tail) = places.rows(chain)?;
        for (_, op) in head.iter().chain(tail) {
            met += 1;
            match (holds_for_plain(op)?, op.act) {
                (false, _) => {}
                (true, Act::Return) => break,
                (true, Act::Shared(to)) => met += self.met_by_plain(places, to, depth + 1)?,
                (true, _) => return None,
            }
        }
        Some(met)
    }
}

/// States of a plain packet: the first of a connection, without a mark; as it came or on its way to an endpoint. Most
/// are, and most rules of FORWARD and POSTROUTING are about others.
const PLAIN: [CtStates; 2] = [CtStates::NEW, CtStates::NEW.or(CtStates::DNAT)];

/// Whether a rule holds for all plain packets, or for none. `None`: it depends.
fn holds_for_plain(op: &Op) -> Option<bool> {
    match op.test {
        Test::Always => Some(true),
        Test::Mark(mask, not) => Some((mask == 0) != not),
        Test::State(states, not) => {
            let [as_it_came, translated] = PLAIN.map(|state| state.meets(states) != not);
            (as_it_came == translated).then_some(as_it_came)
        }
        _ => None,
    }
}
