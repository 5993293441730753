//! Elements that packets put into sets.

use lab_base::{OrdMap, Span, Time};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

/// How many elements a dynamic set holds for which no size was given (`nft_dynset_init` in
/// `net/netfilter/nft_dynset.c`).
pub const DYNAMIC_SET_SIZE: usize = 0xffff;

/// Addresses and when they go, by name of the set.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct SetElements {
    sets: OrdMap<Arc<str>, OrdMap<IpAddr, Time>>,
}

impl SetElements {
    /// Whether no packet has put anything into any set.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
    /// Whether the address is in the set.
    pub fn contains(&self, set: &str, ip: IpAddr, now: Time) -> bool {
        self.sets.get(set).and_then(|s| s.get(&ip)).is_some_and(|expires| *expires > now)
    }
    /// `update @set { ip }`: puts the address in, or lets it stay longer. A full set takes no new one.
    pub fn update(&mut self, set: &Arc<str>, ip: IpAddr, now: Time, timeout: u32) {
        let elements = self.sets.entry(set.clone()).or_default();
        if !elements.contains_key(&ip) {
            if elements.values().any(|expires| *expires <= now) {
                *elements = elements.iter().filter(|(_, e)| **e > now).map(|(ip, e)| (*ip, *e)).collect();
            }
            if elements.len() >= DYNAMIC_SET_SIZE {
                return;
            }
        }
        elements.insert(ip, now + Span::from_secs(u64::from(timeout)));
    }
    /// Keeps only sets that are still there.
    pub fn keep(&mut self, used: impl Fn(&str) -> bool) {
        if self.sets.keys().any(|name| !used(name)) {
            self.sets = self.sets.iter().filter(|(name, _)| used(name)).map(|(n, s)| (n.clone(), s.clone())).collect();
        }
    }
    /// The addresses in a set and when they go.
    pub fn elements(&self, set: &str, now: Time) -> impl Iterator<Item = (IpAddr, Time)> + '_ {
        let all = self.sets.get(set).into_iter().flat_map(|s| s.iter());
        all.map(|(ip, expires)| (*ip, *expires)).filter(move |(_, expires)| *expires > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stays_for_its_timeout_after_the_last_packet() {
        let (mut sets, name): (SetElements, Arc<str>) = (SetElements::default(), "affinity-X".into());
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        sets.update(&name, ip(1), Time::from_secs(5), 60);
        assert!(sets.contains(&name, ip(1), Time::from_secs(64)));
        assert!(!sets.contains(&name, ip(1), Time::from_secs(65)));
        sets.update(&name, ip(1), Time::from_secs(30), 60);
        assert!(sets.contains(&name, ip(1), Time::from_secs(89)));
        sets.update(&name, ip(2), Time::from_secs(90), 60);
        assert_eq!(sets.elements(&name, Time::from_secs(90)).count(), 1, "the first is gone");
        sets.keep(|_| false);
        assert!(sets.is_empty());
    }
}
