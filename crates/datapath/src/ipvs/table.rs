//! What is configured, made of pieces that come and go.
//!
//! As with [`crate::Ruleset`]: a [`Base`] that is always there, and [`Segment`]s by key, each of which is replaced as
//! one. Where segments ask for the same virtual server the last one has it; an entry of a set and an address stay as
//! long as a segment asks for them.

use super::scheduler::Scheduler;
use super::sets::{Dimensions, Element, SetInfo, SetKind};
use crate::{Cidr, Flow, L4, OriginId, Ruleset};
use lab_base::{OrdMap, Span};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Protocol, address and port of a virtual server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServerKey {
    /// Transport.
    pub proto: L4,
    /// Where clients connect to.
    pub addr: SocketAddr,
}

/// A real server as it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its address and port.
    pub addr: SocketAddr,
    /// `-w`. 0: no new connections.
    pub weight: u32,
    /// Where it comes from.
    pub origin: OriginId,
}

/// A virtual server as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualServer {
    /// Where clients connect to.
    pub key: ServerKey,
    /// `-s`.
    pub scheduler: Scheduler,
    /// `-p`: for how many seconds a client keeps its real server.
    pub persistence: Option<u32>,
    /// `-b mh-port`: the client's port counts for the hash too.
    pub source_hash: bool,
    /// Real servers, each once, in order of their addresses.
    pub destinations: Vec<Destination>,
    /// Where it comes from.
    pub origin: OriginId,
}

/// What is always there.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// The sets; empty ones too.
    pub sets: Vec<SetInfo>,
    /// How often somebody looks whether a real server that is to go, and has weight 0 till then, has connections left.
    pub drain_check: Span,
}

/// What comes and goes together. Its iptables rules are in [`Table::rules`], under the same key.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// Virtual servers.
    pub servers: Vec<Arc<VirtualServer>>,
    /// Entries of sets, by the set's place in [`Base::sets`], and where they come from; each once.
    pub entries: Vec<(u16, Element, OriginId)>,
    /// Addresses of the dummy interface; each once.
    pub bound: Vec<IpAddr>,
}

/// A segment's key, and the virtual server as it wants it.
type Claim = (Arc<str>, Arc<VirtualServer>);

/// Everything for one address family. A clone shares everything.
#[derive(Clone, Debug, Default)]
pub struct Table {
    base: Arc<Base>,
    segments: OrdMap<Arc<str>, Arc<Segment>>,
    /// Who asks for a virtual server, in order of their keys.
    claims: OrdMap<ServerKey, Arc<[Claim]>>,
    servers: OrdMap<ServerKey, Arc<VirtualServer>>,
    /// For each set its entries: how many segments ask for it, and where the last of them comes from.
    entries: Vec<OrdMap<Element, (u32, OriginId)>>,
    bound: OrdMap<IpAddr, u32>,
    rules: Arc<Ruleset>,
}

impl Table {
    /// Only the base.
    pub fn new(base: Arc<Base>) -> Table {
        Table { entries: vec![OrdMap::new(); base.sets.len()], base, ..Table::default() }
    }
    /// What is always there.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }
    /// The iptables rules over the sets.
    pub const fn rules(&self) -> &Arc<Ruleset> {
        &self.rules
    }
    /// The iptables rules over the sets, to change them.
    pub fn rules_mut(&mut self) -> &mut Ruleset {
        Arc::make_mut(&mut self.rules)
    }
    /// All segments, in order of their keys.
    pub fn segments(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Segment>)> {
        self.segments.iter()
    }
    /// The virtual servers, by protocol, address and port.
    pub const fn servers(&self) -> &OrdMap<ServerKey, Arc<VirtualServer>> {
        &self.servers
    }
    /// The addresses of the dummy interface, in order.
    pub fn bound(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.bound.keys().copied()
    }
    /// Whether the dummy interface has this address.
    pub fn is_bound(&self, ip: IpAddr) -> bool {
        self.bound.contains_key(&ip)
    }
    /// Which sets have entries: one bit each.
    pub fn filled_sets(&self) -> u32 {
        self.entries.iter().enumerate().fold(0, |bits, (set, all)| bits | u32::from(!all.is_empty()) << set)
    }
    /// The entries of a set, in no order that means anything.
    pub fn entries(&self, set: u16) -> impl Iterator<Item = Element> + '_ {
        self.entries.get(usize::from(set)).into_iter().flat_map(|all| all.keys().copied())
    }
    /// Puts a segment in place of the one with this key, or takes that away. Costs what the two segments hold.
    pub fn set_segment(&mut self, key: &Arc<str>, segment: Option<Arc<Segment>>) {
        let old = self.segments.remove(key);
        // First what comes, then what goes, so that what stays is never gone.
        for (set, element, origin) in segment.iter().flat_map(|s| &s.entries) {
            if let Some(all) = self.entries.get_mut(usize::from(*set)) {
                let count = all.get(element).map_or(0, |(count, _)| *count) + 1;
                all.insert(*element, (count, *origin));
            }
        }
        for ip in segment.iter().flat_map(|s| &s.bound) {
            *self.bound.entry(*ip).or_insert(0) += 1;
        }
        for (set, element, _) in old.iter().flat_map(|s| &s.entries) {
            if let Some(all) = self.entries.get_mut(usize::from(*set)) {
                release(all, element, |(count, _)| count);
            }
        }
        for ip in old.iter().flat_map(|s| &s.bound) {
            release(&mut self.bound, ip, |count| count);
        }
        let mut changed: Vec<ServerKey> = old.iter().chain(&segment).flat_map(|s| &s.servers).map(|s| s.key).collect();
        changed.sort_unstable();
        changed.dedup();
        for server in changed {
            let wanted = segment.iter().flat_map(|s| &s.servers).rev().find(|s| s.key == server);
            self.claim(server, key, wanted.cloned());
        }
        if let Some(segment) = segment {
            self.segments.insert(key.clone(), segment);
        }
    }
    /// Of several segments that ask for a virtual server the last one gets it.
    fn claim(&mut self, server: ServerKey, key: &Arc<str>, wanted: Option<Arc<VirtualServer>>) {
        let before = self.claims.get(&server).into_iter().flat_map(|list| list.iter());
        let mut list: Vec<Claim> = before.filter(|(k, _)| k != key).cloned().collect();
        if let Some(wanted) = wanted {
            list.insert(list.partition_point(|(k, _)| k < key), (key.clone(), wanted));
        }
        match list.last() {
            Some((_, spec)) => {
                self.servers.insert(server, spec.clone());
                self.claims.insert(server, list.into());
            }
            None => {
                self.servers.remove(&server);
                self.claims.remove(&server);
            }
        }
    }
    /// Takes a virtual server away until its segment is written again. For tests that break a node on purpose.
    pub fn remove_server(&mut self, key: &ServerKey) -> bool {
        self.servers.remove(key).is_some()
    }
    /// Takes an entry out of a set until its segment is written again. For tests that break a node on purpose.
    pub fn remove_entry(&mut self, set: &str, element: Element) -> bool {
        let Some(at) = self.base.sets.iter().position(|s| &*s.name == set) else { return false };
        self.entries.get_mut(at).is_some_and(|all| all.remove(&element).is_some())
    }
    /// Where the entry comes from that a packet's addresses and ports are in a set by.
    pub(crate) fn contains(&self, set: u16, dimensions: Dimensions, flow: &Flow) -> Option<OriginId> {
        let (Some(info), Some(all)) = (self.base.sets.get(usize::from(set)), self.entries.get(usize::from(set))) else {
            return None;
        };
        let found = |element: Element| all.get(&element).map(|(_, origin)| *origin);
        let kind = info.kind;
        if let (SetKind::HashIpPortNet, Dimensions::DstDstSrc) = (kind, dimensions) {
            let (dst, port) = (flow.dst.ip(), flow.dst.port());
            let src = flow.src.ip();
            let longest = if src.is_ipv4() { 32 } else { 128 };
            // ipset(8): a network with prefix length 0 can't be in such a set; adding one fails.
            let mut nets = (1..=longest).filter_map(|len| Cidr::new(src, len));
            return nets.find_map(|net| found(Element::IpPortNet(dst, flow.proto, port, net)));
        }
        dimensions.element(kind, flow).and_then(found)
    }
}

/// One segment less asks for it.
fn release<K: Ord + Clone, V: Clone>(counts: &mut OrdMap<K, V>, key: &K, count: impl Fn(&mut V) -> &mut u32) {
    if let Some(value) = counts.get_mut(key) {
        let count = count(value);
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
