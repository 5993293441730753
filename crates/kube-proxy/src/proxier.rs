//! kube-proxy of one node and family: what changed, and the rules after the last sync.

use crate::conntrack::{Events, StaleConnections, UdpServing};
use crate::endpoints_change_tracker::{EndpointsMap, endpoints_by_port, slice_service};
use crate::iptables::{self, LARGE_CLUSTER_ENDPOINTS_THRESHOLD};
use crate::node_port_addresses::NodePortAddresses;
use crate::origin::Origins;
use crate::rules::{Mode, Rules};
use crate::service_change_tracker::{ServicePortInfo, service_ports};
use crate::topology::{Categorized, categorize_endpoints};
use crate::{NodeContext, Origin, Settings};
use crate::{ipvs, nftables};
use datapath::{OriginId, Ruleset, nft};
use kube_api::{EndpointSlice, IpFamily, NamespacedName, Protocol, Service};
use lab_base::{OrdMap, OrdSet};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// An endpoint and the part of the traffic that it gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointShare {
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// 1 of all with the same share.
    pub share: f64,
}

/// What a Service's `healthCheckNodePort` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The port.
    pub port: u16,
    /// Ready endpoints on this node; terminating ones count as none.
    pub local_endpoints: usize,
}

/// What the rules of a service port depend on besides the port and its endpoints.
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) family: IpFamily,
    pub(crate) node: &'a NodeContext,
    /// The node's addresses that serve node ports in IPVS mode.
    pub(crate) node_port_ips: &'a [IpAddr],
    /// The node's first InternalIP of the family.
    pub(crate) node_ip: Option<IpAddr>,
    /// Above 1000 endpoints in all: iptables rules of endpoints without comments.
    pub(crate) large_cluster: bool,
    /// The first origin id to give out.
    pub(crate) first_origin: u32,
}

/// What is counted of a port's endpoints.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// Endpoints in whatever condition.
    known: usize,
    /// Those on this node in whatever condition.
    local: Vec<SocketAddr>,
    /// Addresses of ready ones on this node.
    local_ready: Vec<IpAddr>,
}

/// A service port as it was synced.
#[derive(Debug)]
struct Synced {
    info: ServicePortInfo,
    endpoints: Categorized,
    counts: Counts,
    first_origin: u32,
}

impl Synced {
    /// Endpoints for traffic to the cluster IP. IPVS uses endpoints anywhere where policy `Local` has none here.
    fn internal(&self, ipvs: bool) -> &[crate::endpoints_change_tracker::EndpointInfo] {
        if self.info.internal_policy_local && !(ipvs && self.endpoints.local.is_empty()) {
            &self.endpoints.local
        } else {
            &self.endpoints.cluster
        }
    }
}

type Slices = OrdMap<String, Arc<EndpointSlice>>;

/// kube-proxy of one node and family. A clone shares structure with the original.
#[derive(Clone, Debug)]
pub struct Proxier {
    settings: Arc<Settings>,
    node: Arc<NodeContext>,
    family: IpFamily,
    services: OrdMap<NamespacedName, Arc<Vec<ServicePortInfo>>>,
    /// By Service, then by name of the slice.
    slices: OrdMap<NamespacedName, Slices>,
    /// The Service of each slice, by name of the slice.
    slice_service: OrdMap<NamespacedName, NamespacedName>,
    /// Services to look at in the next sync.
    dirty: OrdSet<NamespacedName>,
    /// By key of the service port.
    synced: OrdMap<Arc<str>, Arc<Synced>>,
    synced_ports: OrdMap<NamespacedName, Arc<[Arc<str>]>>,
    known_endpoints: usize,
    /// Serving endpoints of UDP ports, by Service, as of the last sync.
    udp_serving: OrdMap<NamespacedName, Arc<UdpServing>>,
    /// What the last sync made of connections.
    events: Arc<Events>,
    large_cluster: bool,
    /// IPVS: which sets had entries when the iptables rules over them were written.
    ipvs_sets: Option<u32>,
    /// IPVS: the node's addresses that serve node ports.
    node_port_ips: Arc<[IpAddr]>,
    has_synced: bool,
    origins: Origins,
    rules: Rules,
}

impl Proxier {
    /// A kube-proxy that knows nothing yet. Until its first sync the node has no rules.
    pub fn new(settings: Arc<Settings>, node: NodeContext, family: IpFamily) -> Proxier {
        Proxier {
            settings,
            node: Arc::new(node),
            family,
            services: OrdMap::new(),
            slices: OrdMap::new(),
            slice_service: OrdMap::new(),
            dirty: OrdSet::new(),
            synced: OrdMap::new(),
            synced_ports: OrdMap::new(),
            known_endpoints: 0,
            udp_serving: OrdMap::new(),
            events: Arc::default(),
            large_cluster: false,
            ipvs_sets: None,
            node_port_ips: Arc::default(),
            has_synced: false,
            origins: Origins::default(),
            rules: Rules::none(Mode::default()),
        }
    }
    /// The same kube-proxy started again in this mode: it knows what it knew, and has written nothing yet.
    pub fn in_mode(mut self, mode: Mode) -> Proxier {
        self.rules = Rules::none(mode);
        self.synced = OrdMap::new();
        self.synced_ports = OrdMap::new();
        self.known_endpoints = 0;
        self.udp_serving = OrdMap::new();
        self.events = Arc::default();
        self.large_cluster = false;
        self.ipvs_sets = None;
        self.has_synced = false;
        self.origins = Origins::default();
        self.dirty = self.services.keys().cloned().collect();
        self
    }
    /// The kind of rules that it writes.
    pub const fn mode(&self) -> Mode {
        match self.rules {
            Rules::Iptables(_) => Mode::Iptables,
            Rules::Nftables(_) => Mode::Nftables,
            Rules::Ipvs(_) => Mode::Ipvs,
        }
    }
    /// Its configuration.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }
    /// The family that it serves.
    pub const fn family(&self) -> IpFamily {
        self.family
    }
    /// The node as it is known.
    pub fn node(&self) -> &NodeContext {
        &self.node
    }
    /// A Service was added or changed; `None`: deleted.
    pub fn set_service(&mut self, key: &NamespacedName, service: Option<Arc<Service>>) {
        let ports = service.map(|s| service_ports(&s, self.family, &self.settings)).unwrap_or_default();
        if self.services.get(key).map_or(&[][..], |p| p) == ports {
            return;
        }
        if ports.is_empty() {
            self.services.remove(key);
        } else {
            self.services.insert(key.clone(), Arc::new(ports));
        }
        self.dirty.insert(key.clone());
    }
    /// An EndpointSlice was added or changed; `None`: deleted.
    pub fn set_endpoint_slice(&mut self, key: &NamespacedName, slice: Option<Arc<EndpointSlice>>) {
        let service = slice.as_ref().and_then(|s| slice_service(s, self.family));
        let before = self.slice_service.get(key).cloned();
        if let Some(old) = before.as_ref().filter(|old| service.as_ref() != Some(old)) {
            if let Some(slices) = self.slices.get_mut(old) {
                slices.remove(&key.name);
                if slices.is_empty() {
                    self.slices.remove(old);
                }
            }
            self.slice_service.remove(key);
            self.dirty.insert(old.clone());
        }
        if let (Some(service), Some(slice)) = (service, slice) {
            let slices = self.slices.entry(service.clone()).or_default();
            let old = slices.insert(key.name.clone(), slice.clone());
            if old.is_none_or(|old| old.endpoints != slice.endpoints || old.ports != slice.ports) {
                self.dirty.insert(service.clone());
            }
            self.slice_service.insert(key.clone(), service);
        }
    }
    /// The node's own object changed: its zone decides which hints count.
    pub fn set_node(&mut self, node: NodeContext) {
        if *self.node == node {
            return;
        }
        self.node = Arc::new(node);
        self.has_synced = false;
        self.dirty = self.services.keys().cloned().collect();
    }
    /// Whether there is something that no sync has written yet.
    pub fn pending(&self) -> bool {
        !self.dirty.is_empty() || !self.has_synced
    }
    /// Writes the rules. They are those of a full sync, but only what changed is computed. In other modes than iptables
    /// that are not all of them: see [`Proxier::sync_rules`].
    pub fn sync(&mut self) -> Arc<Ruleset> {
        self.sync_rules();
        self.ruleset()
    }
    /// Writes the rules, whatever their kind. They are those of a full sync, but only what changed is computed.
    pub fn sync_rules(&mut self) -> Rules {
        if !self.pending() {
            self.events = Arc::default();
            return self.rules.clone();
        }
        if !self.has_synced {
            let (settings, node, family, node_ip) = (&self.settings, &self.node, self.family, self.node_ip());
            match &mut self.rules {
                Rules::Iptables(rules) => {
                    Arc::make_mut(rules).set_base(Arc::new(iptables::base(settings, node, family)));
                }
                Rules::Nftables(table) => {
                    let base = Arc::new(nftables::base(settings, node, family, node_ip));
                    if table.base().chains.is_empty() {
                        *table = Arc::new(nft::Table::new(nftables::table_family(family), base));
                    } else {
                        Arc::make_mut(table).set_base(base);
                    }
                }
                Rules::Ipvs(table) => {
                    if table.base().sets.is_empty() {
                        *table = Arc::new(datapath::ipvs::Table::new(Arc::new(ipvs::base(family))));
                    }
                    self.ipvs_sets = None;
                    self.node_port_ips = NodePortAddresses::new(settings, family, None).ipvs_ips(node, family).into();
                }
            }
            self.has_synced = true;
        }
        let dirty = std::mem::take(&mut self.dirty);
        let mut events = Events::default();
        let mut endpoints: Vec<(NamespacedName, EndpointsMap)> = Vec::with_capacity(dirty.len());
        for service in dirty.iter().cloned() {
            self.forget_gone_ports(&service, &mut events);
            let slices = self.slices.get(&service).into_iter().flat_map(|s| s.values()).map(Arc::as_ref);
            let map = endpoints_by_port(slices, self.family, &self.node.name);
            self.count(&service, &map);
            self.note_serving(&service, &map, &mut events);
            endpoints.push((service, map));
        }
        self.events = Arc::new(events);
        let large = self.known_endpoints > LARGE_CLUSTER_ENDPOINTS_THRESHOLD;
        if large != self.large_cluster && self.mode() == Mode::Iptables {
            self.large_cluster = large;
            let written: Vec<_> = self.synced.iter().map(|(k, s)| (k.clone(), s.clone())).collect();
            for (key, synced) in written {
                self.write(&key, synced.info.clone(), synced.endpoints.clone(), synced.counts.clone());
            }
        }
        for (service, map) in endpoints {
            let Some(ports) = self.services.get(&service).cloned() else { continue };
            let mut keys = Vec::with_capacity(ports.len());
            for info in ports.iter() {
                let list = map.get(&(info.name.port.clone(), info.name.protocol)).map_or(&[][..], Vec::as_slice);
                let chosen = categorize_endpoints(list, info, &self.node, &self.settings);
                let local: Vec<SocketAddr> = list.iter().filter(|e| e.is_local).map(|e| e.addr).collect();
                let local_ready = list.iter().filter(|e| e.is_local && e.ready).map(|e| e.addr.ip()).collect();
                let counts = Counts { known: list.len(), local, local_ready };
                let key = info.name.key();
                self.write(&key, info.clone(), chosen, counts);
                keys.push(key);
            }
            self.synced_ports.insert(service, keys.into());
        }
        if let Rules::Ipvs(table) = &mut self.rules {
            // Which rules there are depends on which sets have entries.
            let filled = table.filled_sets();
            if self.ipvs_sets != Some(filled) {
                self.ipvs_sets = Some(filled);
                let base = ipvs::iptables_base(&self.settings, self.family, filled);
                Arc::make_mut(table).rules_mut().set_base(Arc::new(base));
            }
        }
        self.rules.clone()
    }
    /// The rules after the last sync.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }
    /// The iptables rules after the last sync.
    pub fn ruleset(&self) -> Arc<Ruleset> {
        match &self.rules {
            Rules::Iptables(rules) => rules.clone(),
            Rules::Nftables(_) => Arc::default(),
            Rules::Ipvs(table) => table.rules().clone(),
        }
    }
    /// Where a rule of the last sync comes from.
    pub fn origin(&self, id: OriginId) -> Option<Origin> {
        self.origins.get(id)
    }
    /// The endpoints of traffic to the cluster IP, as of the last sync, in order of the rules.
    pub fn endpoints(&self, service: &NamespacedName, port: &str) -> Vec<EndpointShare> {
        let Some(synced) = self.find(service, port) else { return Vec::new() };
        let list = synced.internal(self.mode() == Mode::Ipvs);
        list.iter().map(|e| EndpointShare { endpoint: e.addr, share: 1.0 / list.len() as f64 }).collect()
    }
    /// What the Service's `healthCheckNodePort` answers, as of the last sync; `None`: it has none.
    pub fn health_check(&self, service: &NamespacedName) -> Option<HealthCheck> {
        let ports = self.synced_ports.get(service)?;
        let all = || ports.iter().filter_map(|key| self.synced.get(key));
        let port = all().map(|s| s.info.health_check_node_port).find(|port| *port != 0)?;
        // Each address counts once, in whatever number of ports (`LocalReadyEndpoints`).
        let local: BTreeSet<IpAddr> = all().flat_map(|s| s.counts.local_ready.iter().copied()).collect();
        Some(HealthCheck { port, local_endpoints: local.len() })
    }
    /// The connections that are to be deleted after the last sync. Up to release 1.31 that are those
    /// which its changes have made stale.
    pub fn stale_connections(&self) -> StaleConnections {
        let ports = self.udp_serving.iter().flat_map(|(service, serving)| {
            let ports = self.synced_ports.get(service).into_iter().flat_map(|keys| keys.iter());
            ports.filter_map(|key| Some((&self.synced.get(key)?.info, serving.as_ref())))
        });
        StaleConnections::new(self.family, self.settings.release, &self.events, ports)
    }
    /// The service ports of the last sync, in order of the rules.
    pub fn service_ports(&self) -> impl Iterator<Item = &ServicePortInfo> {
        self.synced.values().map(|s| &s.info)
    }
    /// How many services' rules are to be written anew.
    pub fn dirty_services(&self) -> usize {
        self.dirty.len()
    }

    fn find(&self, service: &NamespacedName, port: &str) -> Option<&Arc<Synced>> {
        let ports = self.synced_ports.get(service)?;
        ports.iter().filter_map(|key| self.synced.get(key)).find(|s| s.info.name.port == port)
    }
    /// The node's first address of the family.
    fn node_ip(&self) -> Option<IpAddr> {
        self.node.addresses.iter().copied().find(|ip| IpFamily::of(*ip) == self.family)
    }
    fn forget_gone_ports(&mut self, service: &NamespacedName, events: &mut Events) {
        let Some(keys) = self.synced_ports.get(service).cloned() else { return };
        let now: BTreeSet<Arc<str>> =
            self.services.get(service).map(|ports| ports.iter().map(|i| i.name.key()).collect()).unwrap_or_default();
        for key in keys.iter().filter(|key| !now.contains(*key)) {
            if let Some(synced) = self.synced.remove(key) {
                events.gone(&synced.info);
                self.known_endpoints -= synced.counts.known;
                self.origins.remove(synced.first_origin);
            }
            self.rules.remove(key);
        }
        if now.is_empty() {
            self.synced_ports.remove(service);
        }
    }
    /// Brings the number of known endpoints up to date before rules are written, which depend on it.
    fn count(&mut self, service: &NamespacedName, map: &EndpointsMap) {
        let Some(ports) = self.services.get(service) else { return };
        for info in ports.iter() {
            let known = map.get(&(info.name.port.clone(), info.name.protocol)).map_or(0, Vec::len);
            let before = self.synced.get(&info.name.key()).map_or(0, |s| s.counts.known);
            self.known_endpoints = self.known_endpoints + known - before;
        }
    }
    /// Brings the serving endpoints of UDP ports up to date, and says what that makes of connections.
    fn note_serving(&mut self, service: &NamespacedName, map: &EndpointsMap, events: &mut Events) {
        let mut new = UdpServing::new();
        for ((port, _), list) in map.iter().filter(|((_, protocol), _)| *protocol == Protocol::Udp) {
            let serving = list.iter().filter(|e| e.serving).map(|e| e.addr);
            new.insert(port.clone(), Arc::new(serving.collect()));
        }
        let old = self.udp_serving.get(service).cloned().unwrap_or_default();
        if *old == new {
            return;
        }
        for info in self.services.get(service).into_iter().flat_map(|ports| ports.iter()) {
            events.changed(info, &old, &new);
        }
        if new.is_empty() {
            self.udp_serving.remove(service);
        } else {
            self.udp_serving.insert(service.clone(), Arc::new(new));
        }
    }
    fn write(&mut self, key: &Arc<str>, info: ServicePortInfo, endpoints: Categorized, counts: Counts) {
        let context = Context {
            settings: &self.settings,
            family: self.family,
            node_ip: self.node_ip(),
            node: &self.node,
            node_port_ips: &self.node_port_ips,
            large_cluster: self.large_cluster,
            first_origin: self.origins.next(),
        };
        let piece = match &mut self.rules {
            Rules::Iptables(rules) => {
                let (segment, piece) = iptables::write_service_port(&info, &endpoints, &context);
                Arc::make_mut(rules).set_segment(key, Some(Arc::new(segment)));
                piece
            }
            Rules::Nftables(table) => {
                let (segment, piece) = nftables::write_service_port(&info, &endpoints, &context);
                Arc::make_mut(table).set_segment(key, Some(Arc::new(segment)));
                piece
            }
            Rules::Ipvs(table) => {
                let (segment, rules, piece) = ipvs::write_service_port(&info, &endpoints, &counts.local, &context);
                let table = Arc::make_mut(table);
                table.set_segment(key, Some(Arc::new(segment)));
                table.rules_mut().set_segment(key, Some(Arc::new(rules)));
                piece
            }
        };
        if let Some(old) = self.synced.get(key) {
            self.origins.remove(old.first_origin);
        }
        let first_origin = self.origins.next();
        self.origins.add(piece);
        self.synced.insert(key.clone(), Arc::new(Synced { info, endpoints, counts, first_origin }));
    }
}
