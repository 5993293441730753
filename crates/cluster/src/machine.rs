//! A node as a machine: power, cable, kernel, and its kube-proxy.

use crate::event::NodeName;
use datapath::{Kernel, KernelConfig, Table};
use kube_api::{IpFamily, NamespacedName, Release, Uid};
use kube_proxy::iptables::{ChainKind, service_chain_name};
use kube_proxy::{NodeContext, Proxier, Settings};
use lab_base::{OrdSet, Time};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// How a node's kube-proxy stands with the API server and with its rules.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProxyRunner {
    /// When the changes happened that aren't in the rules yet, oldest first; true: the proxy has heard of it.
    pub outstanding: Vec<(Time, bool)>,
    /// How many of `outstanding` the running sync will put into the rules.
    pub in_sync: usize,
    /// Whether a sync is planned or running.
    pub scheduled: bool,
    /// When the last sync began (minSyncPeriod counts from it).
    pub began: Option<Time>,
    /// When the last sync ended.
    pub synced_at: Option<Time>,
    /// How many syncs there were.
    pub syncs: u64,
}

/// A node.
#[derive(Clone, Serialize)]
pub struct Machine {
    /// Name.
    pub name: NodeName,
    /// Uid of the Node object.
    pub uid: Uid,
    /// Place in the address plan: 192.168.10.(10+n), 10.244.n.0/24.
    pub index: u8,
    /// InternalIP.
    pub ip: IpAddr,
    /// Zone, or empty.
    pub zone: String,
    /// Whether it has power.
    pub powered: bool,
    /// Whether its cable is pulled.
    pub cut: bool,
    /// Rises with each loss of power or cable; timers of an older silence are void.
    pub outage: u64,
    /// Since when the control plane can't hear it.
    pub silent_since: Option<Time>,
    /// Last part of the address that was given to a Pod (the host-local plugin goes round).
    pub last_host: u8,
    /// Images that have been pulled.
    pub images: OrdSet<String>,
    /// Its kernel: rules, conntrack.
    pub kernel: Kernel,
    /// Its kube-proxy's view of Services and endpoints. Follows from what it has heard; not hashed.
    #[serde(skip)]
    pub proxier: Proxier,
    /// The same as of the sync that is under way.
    #[serde(skip)]
    pub syncing: Option<Proxier>,
    /// The same as of the rules that are loaded.
    #[serde(skip)]
    pub loaded: Proxier,
    /// When its kube-proxy does what.
    pub proxy: ProxyRunner,
}

impl Machine {
    /// A node that has just been switched on.
    pub fn new(name: &str, uid: Uid, index: u8, zone: &str, release: Release) -> Machine {
        let ip = IpAddr::V4(Ipv4Addr::new(192, 168, 10, 10 + index));
        let mut machine = Machine {
            name: name.into(),
            uid,
            index,
            ip,
            zone: zone.into(),
            powered: true,
            cut: false,
            outage: 0,
            silent_since: None,
            last_host: 1,
            images: OrdSet::new(),
            kernel: new_kernel(ip),
            proxier: new_proxier(name, ip, zone, release),
            syncing: None,
            loaded: new_proxier(name, ip, zone, release),
            proxy: ProxyRunner::default(),
        };
        machine.begin_sync();
        machine.load_rules();
        machine
    }

    /// Whether the control plane and other nodes can talk to it.
    pub fn is_reachable(&self) -> bool {
        self.powered && !self.cut
    }

    /// The rules and connections of a machine that was switched off are gone.
    pub fn lose_memory(&mut self) {
        self.kernel = new_kernel(self.ip);
        self.proxier = new_proxier(&self.name, self.ip, &self.zone, self.proxier.settings().release);
        self.syncing = None;
        self.loaded = self.proxier.clone();
        self.proxy = ProxyRunner { syncs: self.proxy.syncs, ..ProxyRunner::default() };
    }

    /// kube-proxy drops what it has heard, to list everything anew. The rules stay until it writes again.
    pub fn forget_objects(&mut self) {
        self.proxier = new_proxier(&self.name, self.ip, &self.zone, self.proxier.settings().release);
    }

    /// kube-proxy makes rules from what it knows.
    pub fn begin_sync(&mut self) {
        self.proxier.sync();
        self.syncing = Some(self.proxier.clone());
    }

    /// And iptables-restore puts them into the kernel, all at once.
    pub fn load_rules(&mut self) {
        if let Some(synced) = self.syncing.take() {
            self.kernel.load(synced.ruleset());
            self.loaded = synced;
        }
    }

    /// Deletes the jumps from KUBE-SERVICES to a Service's chains, behind kube-proxy's back.
    pub fn remove_service_jumps(&mut self, service: &NamespacedName) -> bool {
        let chains: Vec<_> = self
            .loaded
            .service_ports()
            .filter(|p| p.name.service == *service)
            .map(|p| service_chain_name(ChainKind::Service, &p.name.to_string(), p.name.protocol.lower()))
            .collect();
        let removed = chains
            .iter()
            .map(|chain| self.kernel.remove_rule(Table::Nat, "KUBE-SERVICES", chain, 0))
            .collect::<Vec<_>>();
        removed.contains(&true)
    }

    /// An address for a Pod that none of `taken` has: the next one up, as the host-local plugin gives them.
    pub fn new_address(&mut self, taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        for _ in 0..253 {
            self.last_host = if self.last_host >= 254 { 2 } else { self.last_host + 1 };
            let ip = IpAddr::V4(Ipv4Addr::new(10, 244, self.index, self.last_host));
            if !taken(ip) {
                return Some(ip);
            }
        }
        None
    }

    /// Since when kube-proxy's rules are not what the API server holds.
    pub fn behind_since(&self) -> Option<Time> {
        self.proxy.outstanding.first().map(|(at, _)| *at)
    }
}

fn new_kernel(ip: IpAddr) -> Kernel {
    Kernel::new(KernelConfig { addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), ip], ..KernelConfig::default() })
}

fn new_proxier(name: &str, ip: IpAddr, zone: &str, release: Release) -> Proxier {
    let zone = (!zone.is_empty()).then(|| zone.to_owned());
    let context = NodeContext { name: name.into(), addresses: vec![ip], zone, ..NodeContext::default() };
    Proxier::new(Arc::new(Settings { release, ..Settings::default() }), context, IpFamily::V4)
}
