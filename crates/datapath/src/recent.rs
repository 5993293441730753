//! The lists of the `recent` match (`net/netfilter/xt_recent.c`).

use lab_base::{OrdMap, Span, Time};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

/// `ip_list_tot`: how many addresses a list holds; a new one then pushes out the one not seen longest.
pub const LIST_TOT: usize = 100;

/// Source addresses and when they were last set, by list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RecentLists {
    lists: OrdMap<Arc<str>, OrdMap<IpAddr, Time>>,
}

impl RecentLists {
    /// Whether the address was set in this list since at most `seconds`.
    pub fn check(&self, list: &str, ip: IpAddr, now: Time, seconds: u32) -> bool {
        self.lists.get(list).and_then(|l| l.get(&ip)).is_some_and(|stamp| *stamp >= oldest(now, seconds))
    }
    /// Forgets the list's oldest address if it is older than `seconds`, as `--reap` does on each check.
    pub fn reap(&mut self, list: &str, now: Time, seconds: u32) {
        if let Some(entries) = self.lists.get_mut(list)
            && let Some(ip) = least_recent(entries)
            && entries.get(&ip).is_some_and(|stamp| *stamp < oldest(now, seconds))
        {
            entries.remove(&ip);
        }
    }
    /// Writes the address into the list.
    pub fn set(&mut self, list: &Arc<str>, ip: IpAddr, now: Time) {
        let entries = self.lists.entry(list.clone()).or_default();
        if entries.len() >= LIST_TOT
            && !entries.contains_key(&ip)
            && let Some(oldest) = least_recent(entries)
        {
            entries.remove(&oldest);
        }
        entries.insert(ip, now);
    }
    /// Keeps only lists that some rule still uses: the kernel frees a list with its last rule.
    pub fn keep(&mut self, used: impl Fn(&str) -> bool) {
        if self.lists.keys().any(|name| !used(name)) {
            self.lists =
                self.lists.iter().filter(|(name, _)| used(name)).map(|(n, l)| (n.clone(), l.clone())).collect();
        }
    }
    /// The addresses of a list and when they were set.
    pub fn list(&self, name: &str) -> impl Iterator<Item = (IpAddr, Time)> + '_ {
        self.lists.get(name).into_iter().flat_map(|l| l.iter().map(|(ip, t)| (*ip, *t)))
    }
}

fn oldest(now: Time, seconds: u32) -> Time {
    now - Span::from_secs(u64::from(seconds))
}

fn least_recent(entries: &OrdMap<IpAddr, Time>) -> Option<IpAddr> {
    entries.iter().min_by_key(|(ip, stamp)| (**stamp, **ip)).map(|(ip, _)| *ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_forgotten_after_its_seconds_and_the_oldest_gives_way() {
        let mut lists = RecentLists::default();
        let name: Arc<str> = "KUBE-SEP-X".into();
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        lists.set(&name, ip(1), Time::from_secs(5));
        assert!(lists.check(&name, ip(1), Time::from_secs(65), 60));
        assert!(!lists.check(&name, ip(1), Time::from_secs(66), 60));
        for n in 2..=LIST_TOT as u8 + 1 {
            lists.set(&name, ip(n), Time::from_secs(10));
        }
        assert_eq!(lists.list(&name).count(), LIST_TOT);
        assert!(!lists.check(&name, ip(1), Time::from_secs(11), 60), "pushed out");
        lists.keep(|_| false);
        assert_eq!(lists.list(&name).count(), 0);
    }
}
