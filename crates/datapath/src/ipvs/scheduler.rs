//! Schedulers: which real server a new connection goes to (`net/netfilter/ipvs/ip_vs_*.c`).
//!
//! A scheduler sees the real servers in a fixed order, here that of their addresses; in a kernel it is the order in
//! which they were added, and kube-proxy adds them in random order.

use super::hash::{BUCKETS, bucket, maglev_entry};
use lab_base::{Span, Time};
use serde::Serialize;
use std::net::SocketAddr;
use std::str::FromStr;

/// How a virtual server chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Scheduler {
    /// `rr`: one after the other.
    RoundRobin,
    /// `wrr`: one after the other, by weight.
    WeightedRoundRobin,
    /// `lc`: where the fewest connections are.
    LeastConnection,
    /// `wlc`: where the fewest connections are for the weight.
    WeightedLeastConnection,
    /// `lblc`: the same server for one destination address, while it isn't overloaded.
    LocalityBasedLeastConnection,
    /// `lblcr`: a set of servers for one destination address.
    LocalityBasedLeastConnectionWithReplication,
    /// `sh`: by the client's address.
    SourceHashing,
    /// `dh`: by the destination's address.
    DestinationHashing,
    /// `sed`: where the wait will be shortest: (active + 1) / weight.
    ShortestExpectedDelay,
    /// `nq`: an idle server if there is one, else as `sed`.
    NeverQueue,
    /// `mh`: Maglev hashing by the client's address.
    MaglevHashing,
}

const NAMES: [(Scheduler, &str); 11] = [
    (Scheduler::RoundRobin, "rr"),
    (Scheduler::WeightedRoundRobin, "wrr"),
    (Scheduler::LeastConnection, "lc"),
    (Scheduler::WeightedLeastConnection, "wlc"),
    (Scheduler::LocalityBasedLeastConnection, "lblc"),
    (Scheduler::LocalityBasedLeastConnectionWithReplication, "lblcr"),
    (Scheduler::SourceHashing, "sh"),
    (Scheduler::DestinationHashing, "dh"),
    (Scheduler::ShortestExpectedDelay, "sed"),
    (Scheduler::NeverQueue, "nq"),
    (Scheduler::MaglevHashing, "mh"),
];

impl Scheduler {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Scheduler> {
        NAMES.iter().map(|(scheduler, _)| *scheduler)
    }
    /// Its name, as after `ipvsadm -s`.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(scheduler, _)| *scheduler == self).map_or("", |(_, name)| name)
    }
}

impl FromStr for Scheduler {
    type Err = String;
    /// As kube-proxy reads it: nothing is `rr`.
    fn from_str(text: &str) -> Result<Scheduler, String> {
        if text.is_empty() {
            return Ok(Scheduler::RoundRobin);
        }
        NAMES.iter().find(|(_, name)| *name == text).map(|(scheduler, _)| *scheduler).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
            format!("unknown scheduler {text:?}; one of {}", names.join(", "))
        })
    }
}

/// A real server as a scheduler sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) addr: SocketAddr,
    pub(super) weight: u32,
    pub(super) active: u32,
    pub(super) inactive: u32,
}

impl Candidate {
    /// `ip_vs_dest_conn_overhead`: an active connection counts as much as 256 others.
    const fn overhead(&self) -> u64 {
        (self.active as u64) * 256 + self.inactive as u64
    }
    /// `ip_vs_sed_dest_overhead`.
    const fn delay(&self) -> u64 {
        self.active as u64 + 1
    }
}

/// What a scheduler remembers of a virtual server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    /// `rr`, `wrr`: who was last. `lblc`: whom the destination has.
    last: Option<SocketAddr>,
    /// `wrr`: the weight that counts at present.
    weight: u32,
    /// `lblc`, `lblcr`: when it was last asked for.
    used: Time,
    /// `lblcr`: the set of the destination.
    members: Vec<SocketAddr>,
    /// `lblcr`: when the set changed.
    changed: Time,
}

/// `DEFAULT_EXPIRATION` of `lblc` and `lblcr`.
const LOCALITY_EXPIRATION: Span = Span::from_secs(24 * 3600);

/// A new connection to be scheduled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
    /// `mh-port`.
    pub(super) with_port: bool,
    pub(super) now: Time,
}

pub(super) const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The first of those that cost least for their weight: `loh * dest->weight > doh * least->weight` replaces.
fn least(list: &[Candidate], cost: impl Fn(&Candidate) -> u64, weighted: bool) -> Option<usize> {
    let weight = |c: &Candidate| if weighted { u128::from(c.weight) } else { 1 };
    let mut best: Option<usize> = None;
    for (i, c) in list.iter().enumerate().filter(|(_, c)| c.weight > 0) {
        let better = best
            .and_then(|b| list.get(b))
            .is_none_or(|b| u128::from(cost(b)) * weight(c) > u128::from(cost(c)) * weight(b));
        if better {
            best = Some(i);
        }
    }
    best
}

/// `is_overloaded` of `lblc` and `lblcr`: more active connections than weight, while another has less than half.
fn is_overloaded(list: &[Candidate], at: usize) -> bool {
    list.get(at).is_some_and(|c| c.active > c.weight) && list.iter().any(|c| c.active * 2 < c.weight)
}

fn position(list: &[Candidate], addr: Option<SocketAddr>) -> Option<usize> {
    list.iter().position(|c| Some(c.addr) == addr)
}

impl Scheduler {
    /// The real server of a new connection, and what to remember then. `None`: no destination.
    pub(super) fn pick(
        self,
        list: &[Candidate],
        memory: &Memory,
        maglev: &dyn Fn(usize) -> Option<u16>,
        arrival: &Arrival,
    ) -> Option<(usize, Memory)> {
        let mut next = memory.clone();
        let willing = |at: usize| list.get(at).is_some_and(|c| c.weight > 0).then_some(at);
        let found = match self {
            Scheduler::RoundRobin => {
                let from = position(list, memory.last).map_or(0, |at| at + 1);
                let found = (0..list.len()).map(|i| (from + i) % list.len()).find_map(willing)?;
                next.last = list.get(found).map(|c| c.addr);
                found
            }
            Scheduler::WeightedRoundRobin => weighted_round_robin(list, &mut next)?,
            Scheduler::LeastConnection => least(list, Candidate::overhead, false)?,
            Scheduler::WeightedLeastConnection => least(list, Candidate::overhead, true)?,
            Scheduler::ShortestExpectedDelay => least(list, Candidate::delay, true)?,
            Scheduler::NeverQueue => match list.iter().position(|c| c.weight > 0 && c.active == 0) {
                Some(idle) => idle,
                None => least(list, Candidate::delay, true)?,
            },
            Scheduler::LocalityBasedLeastConnection => locality(list, &mut next, arrival)?,
            Scheduler::LocalityBasedLeastConnectionWithReplication => replication(list, &mut next, arrival)?,
            Scheduler::SourceHashing => willing(weighted_bucket(list, bucket(arrival.src.ip()))?)?,
            // Weights don't count for `dh`.
            Scheduler::DestinationHashing if list.is_empty() => return None,
            Scheduler::DestinationHashing => willing(bucket(arrival.dst.ip()) % list.len())?,
            Scheduler::MaglevHashing => {
                let port = if arrival.with_port { arrival.src.port() } else { 0 };
                willing(usize::from(maglev(maglev_entry(arrival.src.ip(), port))?))?
            }
        };
        Some((found, next))
    }

    /// What part of very many new connections each real server gets, as whole numbers. Schedulers that hash or keep
    /// to a destination give all to one. Those that count connections are taken at their long run: all connections are
    /// alike and stay open.
    pub(super) fn long_run(
        self,
        list: &[Candidate],
        memory: &Memory,
        maglev: &dyn Fn(usize) -> Option<u16>,
        arrival: &Arrival,
    ) -> Vec<(usize, u32)> {
        let weighted = match self {
            Scheduler::RoundRobin | Scheduler::LeastConnection => false,
            Scheduler::WeightedRoundRobin
            | Scheduler::WeightedLeastConnection
            | Scheduler::ShortestExpectedDelay
            | Scheduler::NeverQueue => true,
            _ => return self.pick(list, memory, maglev, arrival).map(|(at, _)| (at, 1)).into_iter().collect(),
        };
        let divisor = list.iter().fold(0, |g, c| gcd(g, c.weight)).max(1);
        let willing = list.iter().enumerate().filter(|(_, c)| c.weight > 0);
        willing.map(|(at, c)| (at, if weighted { c.weight / divisor } else { 1 })).collect()
    }
}

/// `ip_vs_wrr_schedule`: those with at least the present weight one after the other, then with less.
fn weighted_round_robin(list: &[Candidate], memory: &mut Memory) -> Option<usize> {
    let most = list.iter().map(|c| c.weight).max().filter(|most| *most > 0)?;
    let step = list.iter().fold(0, |g, c| gcd(g, c.weight));
    let top = most - (step - 1);
    if memory.weight == 0 || memory.weight > top {
        memory.weight = top;
    }
    let mut from = position(list, memory.last).map_or(0, |at| at + 1);
    loop {
        // The heaviest has at least `top`, so this ends at the latest when the weight has come round to it.
        if let Some(at) = (from..list.len()).find(|at| list[*at].weight >= memory.weight) {
            memory.last = Some(list[at].addr);
            return Some(at);
        }
        from = 0;
        memory.weight = if memory.weight > step { memory.weight - step } else { top };
    }
}

/// The server of one of the 256 buckets of `sh` (`ip_vs_sh_reassign`): servers in turn, each as often in a row as its
/// weight says, and once if that is 0.
fn weighted_bucket(list: &[Candidate], bucket: usize) -> Option<usize> {
    let turns = |c: &Candidate| (c.weight as usize).clamp(1, BUCKETS);
    let round: usize = list.iter().map(turns).sum();
    let mut left = if round == 0 { return None } else { bucket % round };
    for (at, c) in list.iter().enumerate() {
        if left < turns(c) {
            return Some(at);
        }
        left -= turns(c);
    }
    None
}

/// `ip_vs_lblc_schedule`. A virtual server has one destination address, so there is one entry.
fn locality(list: &[Candidate], memory: &mut Memory, arrival: &Arrival) -> Option<usize> {
    let known = arrival.now.since(memory.used) <= LOCALITY_EXPIRATION;
    let kept = position(list, memory.last).filter(|at| known && list[*at].weight > 0 && !is_overloaded(list, *at));
    let at = match kept {
        Some(at) => at,
        None => least(list, Candidate::overhead, true)?,
    };
    memory.last = Some(list[at].addr);
    memory.used = arrival.now;
    Some(at)
}

/// `ip_vs_lblcr_schedule`. A virtual server has one destination address, so there is one set.
fn replication(list: &[Candidate], memory: &mut Memory, arrival: &Arrival) -> Option<usize> {
    if arrival.now.since(memory.used) > LOCALITY_EXPIRATION {
        memory.members.clear();
    }
    memory.members.retain(|addr| position(list, Some(*addr)).is_some());
    let members: Vec<Candidate> = list.iter().filter(|c| memory.members.contains(&c.addr)).copied().collect();
    let chosen = least(&members, Candidate::overhead, true).and_then(|at| position(list, Some(members[at].addr)));
    if members.len() > 1 && arrival.now.since(memory.changed) > LOCALITY_EXPIRATION {
        // `ip_vs_dest_set_max`: the one with the most connections for its weight goes.
        let mut worst: Option<&Candidate> = None;
        for c in members.iter().filter(|c| c.weight > 0) {
            let (load, weight) = (u128::from(c.overhead()), u128::from(c.weight));
            if worst.is_none_or(|w| u128::from(w.overhead()) * weight < load * u128::from(w.weight)) {
                worst = Some(c);
            }
        }
        if let Some(worst) = worst {
            memory.members.retain(|addr| *addr != worst.addr);
            memory.changed = arrival.now;
        }
    }
    memory.used = arrival.now;
    if let Some(at) = chosen.filter(|at| !is_overloaded(list, *at)) {
        return Some(at);
    }
    let at = least(list, Candidate::overhead, true)?;
    if !memory.members.contains(&list[at].addr) {
        memory.members.push(list[at].addr);
        memory.changed = arrival.now;
    }
    Some(at)
}
