//! A virtual server as the kernel has it.

use super::hash::maglev_table;
use super::scheduler::{Arrival, Candidate, Memory};
use super::state::{Load, RealServer};
use super::table::VirtualServer;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

/// A virtual server, its real servers in order of their addresses.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Service {
    #[serde(skip)]
    pub(super) spec: Arc<VirtualServer>,
    pub(super) servers: Vec<RealServer>,
    memory: Memory,
    /// Follows from the real servers; made when it is first asked for.
    #[serde(skip)]
    maglev: Arc<OnceLock<Vec<u16>>>,
}

/// Where a new connection goes.
#[derive(Clone, Debug)]
pub(super) struct Pick {
    pub(super) server: usize,
    pub(super) memory: Memory,
}

impl Service {
    pub(super) fn new(spec: Arc<VirtualServer>) -> Service {
        let mut service =
            Service { spec: spec.clone(), servers: Vec::new(), memory: Memory::default(), maglev: Arc::default() };
        service.change(spec, |_| false);
        service
    }
    /// Makes it what is wanted now. Of real servers that are no longer wanted `stays` says which wait with weight 0.
    pub(super) fn change(&mut self, spec: Arc<VirtualServer>, stays: impl Fn(SocketAddr) -> bool) {
        if self.spec.scheduler != spec.scheduler {
            self.memory = Memory::default();
        }
        self.servers.retain_mut(|s| {
            if spec.destinations.iter().any(|d| d.addr == s.addr) {
                return true;
            }
            s.weight = 0;
            // One that waits already is looked at with all the others that wait.
            core::mem::replace(&mut s.draining, true) || stays(s.addr)
        });
        for d in &spec.destinations {
            let new =
                RealServer { addr: d.addr, weight: d.weight, last_weight: d.weight, draining: false, origin: d.origin };
            match self.servers.iter_mut().find(|s| s.addr == d.addr) {
                // `last_weight` is the last one that was not 0.
                Some(s) => *s = RealServer { last_weight: if d.weight > 0 { d.weight } else { s.last_weight }, ..new },
                None => self.servers.push(new),
            }
        }
        self.servers.sort_by_key(|s| s.addr);
        self.spec = spec;
        self.maglev = Arc::default();
    }
    pub(super) fn remove(&mut self, gone: impl Fn(&RealServer) -> bool) {
        self.servers.retain(|s| !gone(s));
        self.maglev = Arc::default();
    }
    pub(super) fn remember(&mut self, memory: Memory) {
        self.memory = memory;
    }
    pub(super) fn server(&self, addr: SocketAddr) -> Option<&RealServer> {
        self.servers.iter().find(|s| s.addr == addr)
    }
    fn candidates(&self, load: impl Fn(SocketAddr) -> Load) -> Vec<Candidate> {
        let candidate = |s: &RealServer| {
            let Load { active, inactive } = load(s.addr);
            Candidate { addr: s.addr, weight: s.weight, active, inactive }
        };
        self.servers.iter().map(candidate).collect()
    }
    /// An entry of the `mh` table.
    fn maglev(&self, entry: usize) -> Option<u16> {
        let table = self.maglev.get_or_init(|| {
            let servers: Vec<(SocketAddr, u32)> = self.servers.iter().map(|s| (s.addr, s.last_weight)).collect();
            maglev_table(&servers)
        });
        table.get(entry).copied()
    }
    pub(super) fn pick(&self, load: impl Fn(SocketAddr) -> Load, arrival: &Arrival) -> Option<Pick> {
        let list = self.candidates(load);
        let (server, memory) = self.spec.scheduler.pick(&list, &self.memory, &|e| self.maglev(e), arrival)?;
        Some(Pick { server, memory })
    }
    pub(super) fn long_run(&self, load: impl Fn(SocketAddr) -> Load, arrival: &Arrival) -> Vec<(usize, u32)> {
        self.spec.scheduler.long_run(&self.candidates(load), &self.memory, &|e| self.maglev(e), arrival)
    }
}
