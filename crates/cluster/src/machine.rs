//! A node as a machine: power, cable, kernel, and its kube-proxy.

use crate::event::NodeName;
use crate::proxy::ProxySpec;
use datapath::{Kernel, KernelConfig, Table};
use kube_api::{IpFamily, NamespacedName, Release, Uid};
use kube_proxy::iptables::{ChainKind, service_chain_name};
use kube_proxy::{Mode, NodeContext, Proxier, Settings};
use lab_base::{OrdSet, Time};
use lab_protocol::ProxyMode;
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
    /// Whether it is being started again, and hears nothing yet. Left out of the bytes of those that never were.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub starting: bool,
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
    /// The kind of rules that its kube-proxy writes. Left out of the bytes where it is the usual one.
    #[serde(skip_serializing_if = "ProxyMode::is_default")]
    pub mode: ProxyMode,
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
    pub fn new(name: &str, uid: Uid, index: u8, zone: &str, release: Release, proxy: &ProxySpec) -> Machine {
        let ip = IpAddr::V4(Ipv4Addr::new(192, 168, 10, 10 + index));
        let mode = proxy.mode.unwrap_or_default();
        let mut settings = Settings { release, ..Settings::default() };
        if !proxy.ipvs_scheduler.is_empty() {
            settings.ipvs_scheduler.clone_from(&proxy.ipvs_scheduler);
        }
        let proxier = new_proxier(name, ip, zone, Arc::new(settings), mode);
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
            mode,
            kernel: new_kernel(ip, mode),
            loaded: proxier.clone(),
            proxier,
            syncing: None,
            proxy: ProxyRunner::default(),
        };
        machine.begin_sync();
        machine.load_rules(Time::ZERO);
        machine
    }

    /// Whether the control plane and other nodes can talk to it.
    pub fn is_reachable(&self) -> bool {
        self.powered && !self.cut
    }

    /// The rules and connections of a machine that was switched off are gone.
    pub fn lose_memory(&mut self) {
        self.kernel = new_kernel(self.ip, self.mode);
        self.forget_objects();
        self.syncing = None;
        self.loaded = self.proxier.clone();
        self.proxy = ProxyRunner { syncs: self.proxy.syncs, ..ProxyRunner::default() };
    }

    /// kube-proxy drops what it has heard, to list everything anew. The rules stay until it writes again.
    pub fn forget_objects(&mut self) {
        self.proxier = new_proxier(&self.name, self.ip, &self.zone, self.proxier.settings().clone(), self.mode);
    }

    /// kube-proxy ends, its rules are cleaned up (`kube-proxy --cleanup`), and it starts again in this mode. Connections
    /// that conntrack translates go on; those of virtual servers end.
    pub fn restart_proxy(&mut self, mode: ProxyMode) {
        self.mode = mode;
        self.kernel.load(Arc::default());
        self.forget_objects();
        self.syncing = None;
        self.loaded = self.proxier.clone();
        self.proxy = ProxyRunner { syncs: self.proxy.syncs, starting: true, ..ProxyRunner::default() };
    }

    /// kube-proxy makes rules from what it knows.
    pub fn begin_sync(&mut self) {
        self.proxier.sync_rules();
        self.syncing = Some(self.proxier.clone());
    }

    /// And puts them into the kernel, all at once. Then it deletes the connections that they make stale.
    pub fn load_rules(&mut self, now: Time) {
        if let Some(synced) = self.syncing.take() {
            synced.rules().load(&mut self.kernel, now);
            synced.stale_connections().delete(&mut self.kernel, now);
            self.loaded = synced;
        }
    }

    /// Deletes the jumps from KUBE-SERVICES to a Service's chains, behind kube-proxy's back; in the other modes all that
    /// the Service has.
    pub fn remove_service_rules(&mut self, service: &NamespacedName, now: Time) -> bool {
        let ports = || self.loaded.service_ports().filter(|p| p.name.service == *service);
        if self.mode != ProxyMode::Iptables {
            let names: Vec<_> = ports().map(|p| p.name.clone()).collect();
            self.loaded.rules().without(&names).load(&mut self.kernel, now);
            return !names.is_empty();
        }
        let chains: Vec<_> = ports()
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

fn new_kernel(ip: IpAddr, mode: ProxyMode) -> Kernel {
    // kube-proxy sets route_localnet in iptables mode, for node ports on 127.0.0.1.
    let route_localnet = mode == ProxyMode::Iptables;
    let addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), ip];
    Kernel::new(KernelConfig { addresses, route_localnet, ..KernelConfig::default() })
}

fn new_proxier(name: &str, ip: IpAddr, zone: &str, settings: Arc<Settings>, mode: ProxyMode) -> Proxier {
    let zone = (!zone.is_empty()).then(|| zone.to_owned());
    let context = NodeContext { name: name.into(), addresses: vec![ip], zone, ..NodeContext::default() };
    let mode = match mode {
        ProxyMode::Iptables => Mode::Iptables,
        ProxyMode::Nftables => Mode::Nftables,
        ProxyMode::Ipvs => Mode::Ipvs,
    };
    Proxier::new(settings, context, IpFamily::V4).in_mode(mode)
}
