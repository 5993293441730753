//! kube-proxy of one node and family: what changed, and the rules after the last sync.

use crate::conntrack::{Events, StaleConnections, UdpServing};
use crate::endpoints_change_tracker::{Endpoints, EndpointsMap, endpoints_by_port, slice_service};
use crate::iptables::{self, LARGE_CLUSTER_ENDPOINTS_THRESHOLD};
use crate::known::{Counts, Known, Synced};
use crate::node_port_addresses::NodePortAddresses;
use crate::origin::Origins;
use crate::rules::{Mode, Rules};
use crate::service_change_tracker::{ServicePortInfo, service_ports};
use crate::topology::{Categorized, categorize_endpoints};
use crate::{NodeContext, Origin, Settings};
use crate::{ipvs, nftables};
use datapath::{OriginId, Ruleset, nft};
use kube_api::{EndpointSlice, IpFamily, NamespacedName, Protocol, Service};
use lab_base::OrdMap;
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

/// kube-proxy of one node and family. A clone shares structure with the original.
#[derive(Clone, Debug)]
pub struct Proxier {
    settings: Arc<Settings>,
    node: Arc<NodeContext>,
    family: IpFamily,
    /// By name of the Service.
    services: OrdMap<Arc<NamespacedName>, Arc<Known>>,
    /// The Service of each slice, by name of the slice.
    slice_service: OrdMap<NamespacedName, Arc<NamespacedName>>,
    /// Services to look at in the next sync, each once.
    dirty: Vec<Arc<NamespacedName>>,
    known_endpoints: usize,
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
            slice_service: OrdMap::new(),
            dirty: Vec::new(),
            known_endpoints: 0,
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
        let unsynced = |known: &Known| Known { synced: Vec::new(), udp_serving: Arc::default(), ..known.clone() };
        self.services = self.services.iter().map(|(key, known)| (key.clone(), Arc::new(unsynced(known)))).collect();
        self.known_endpoints = 0;
        self.events = Arc::default();
        self.large_cluster = false;
        self.ipvs_sets = None;
        self.has_synced = false;
        self.origins = Origins::default();
        self.all_dirty();
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
        if ports.is_empty() && self.services.get(key).is_none() {
            return;
        }
        let known = self.known_mut(key);
        if !known.ports.iter().map(Arc::as_ref).eq(&ports) {
            known.ports = ports.into_iter().map(Arc::new).collect();
            self.mark_dirty(key);
        }
    }
    /// An EndpointSlice was added or changed; `None`: deleted.
    pub fn set_endpoint_slice(&mut self, key: &NamespacedName, slice: Option<Arc<EndpointSlice>>) {
        let service = slice.as_ref().and_then(|s| slice_service(s, self.family));
        let before = self.slice_service.get(key).cloned();
        if let Some(old) = before.as_ref().filter(|old| service.as_ref() != Some(old.as_ref())) {
            let known = self.known_mut(old);
            if let Ok(at) = known.slice(&key.name) {
                known.slices.remove(at);
            }
            self.slice_service.remove(key);
            self.mark_dirty(old);
        }
        let (Some(service), Some(slice)) = (service, slice) else { return };
        let known = self.known_mut(&service);
        let changed = match known.slice(&key.name) {
            Ok(at) => {
                let old = std::mem::replace(&mut known.slices[at].1, slice.clone());
                old.endpoints != slice.endpoints || old.ports != slice.ports
            }
            Err(at) => {
                known.slices.insert(at, (key.name.clone(), slice));
                true
            }
        };
        if before.as_deref() != Some(&service) {
            let service = known.key.clone();
            self.slice_service.insert(key.clone(), service);
        }
        if changed {
            self.mark_dirty(&service);
        }
    }
    fn known_mut(&mut self, service: &NamespacedName) -> &mut Known {
        if self.services.get(service).is_none() {
            let key = Arc::new(service.clone());
            self.services.insert(key.clone(), Arc::new(Known::new(key)));
        }
        Arc::make_mut(self.services.get_mut(service).expect("it is there or was just put there"))
    }
    fn mark_dirty(&mut self, service: &NamespacedName) {
        if let Some(known) = self.services.get_mut(service).filter(|known| !known.dirty) {
            Arc::make_mut(known).dirty = true;
            self.dirty.push(known.key.clone());
        }
    }
    fn all_dirty(&mut self) {
        for service in self.services.keys().cloned().collect::<Vec<_>>() {
            self.mark_dirty(&service);
        }
    }
    /// The node's own object changed: its zone decides which hints count.
    pub fn set_node(&mut self, node: NodeContext) {
        if *self.node == node {
            return;
        }
        self.node = Arc::new(node);
        self.has_synced = false;
        self.all_dirty();
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
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        let mut events = Events::default();
        let mut endpoints: Vec<(Arc<Known>, EndpointsMap)> = Vec::with_capacity(dirty.len());
        for service in &dirty {
            let Some(known) = self.services.get(service).cloned() else { continue };
            let map =
                endpoints_by_port(known.slices.iter().map(|(_, slice)| slice.as_ref()), self.family, &self.node.name);
            self.count(&known, &map);
            let known = self.note_changes(known, &map, &mut events);
            endpoints.push((known, map));
        }
        self.events = Arc::new(events);
        let large = self.known_endpoints > LARGE_CLUSTER_ENDPOINTS_THRESHOLD;
        if large != self.large_cluster && self.mode() == Mode::Iptables {
            self.large_cluster = large;
            self.write_others_anew();
        }
        for (known, map) in endpoints {
            let mut synced = Vec::with_capacity(known.ports.len());
            for info in known.ports.iter() {
                let list = map.get(&(info.name.port.clone(), info.name.protocol)).cloned().unwrap_or_default();
                let chosen = categorize_endpoints(&list, info, &self.node, &self.settings);
                let local: Vec<SocketAddr> = list.iter().filter(|e| e.is_local).map(|e| e.addr).collect();
                let local_ready = list.iter().filter(|e| e.is_local && e.ready).map(|e| e.addr.ip()).collect();
                let counts = Counts { known: list.len(), local, local_ready };
                let old = known.synced(&info.key).map(|old| old.first_origin);
                synced.push(self.write(old, info.clone(), chosen, counts));
            }
            synced.sort_unstable_by(|a, b| a.info.key.cmp(&b.info.key));
            let key = known.key.clone();
            // So that what is known is changed where it is.
            drop(known);
            let Some(known) = self.services.get_mut(&key) else { continue };
            let known = Arc::make_mut(known);
            known.synced = synced;
            known.dirty = false;
            if known.is_empty() {
                self.services.remove(&key);
            }
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
        let Some(synced) = self.services.get(service).and_then(|k| k.synced.iter().find(|s| s.info.name.port == port))
        else {
            return Vec::new();
        };
        let list = synced.internal(self.mode() == Mode::Ipvs);
        list.iter().map(|e| EndpointShare { endpoint: e.addr, share: 1.0 / list.len() as f64 }).collect()
    }
    /// What the Service's `healthCheckNodePort` answers, as of the last sync; `None`: it has none.
    pub fn health_check(&self, service: &NamespacedName) -> Option<HealthCheck> {
        let all = || self.services.get(service).into_iter().flat_map(|known| &known.synced);
        let port = all().map(|s| s.info.health_check_node_port).find(|port| *port != 0)?;
        // Each address counts once, in whatever number of ports (`LocalReadyEndpoints`).
        let local: BTreeSet<IpAddr> = all().flat_map(|s| s.counts.local_ready.iter().copied()).collect();
        Some(HealthCheck { port, local_endpoints: local.len() })
    }
    /// The connections that are to be deleted after the last sync. Up to release 1.31 that are those
    /// which its changes have made stale.
    pub fn stale_connections(&self) -> StaleConnections {
        let ports = self.services.values().flat_map(|known| {
            let serving = known.udp_serving.as_ref();
            known.synced.iter().filter(|_| !serving.is_empty()).map(move |s| (s.info.as_ref(), serving))
        });
        StaleConnections::new(self.family, self.settings.release, &self.events, ports)
    }
    /// The service ports of the last sync, in order of the rules.
    pub fn service_ports(&self) -> impl Iterator<Item = &ServicePortInfo> {
        self.services.values().flat_map(|known| &known.synced).map(|s| s.info.as_ref())
    }
    /// How many services' rules are to be written anew.
    pub fn dirty_services(&self) -> usize {
        self.dirty.len()
    }

    /// The node's first address of the family.
    fn node_ip(&self) -> Option<IpAddr> {
        self.node.addresses.iter().copied().find(|ip| IpFamily::of(*ip) == self.family)
    }
    /// Forgets ports that are gone and brings the serving endpoints up to date, and says what that makes of connections.
    fn note_changes(&mut self, mut known: Arc<Known>, map: &EndpointsMap, events: &mut Events) -> Arc<Known> {
        let stays = |synced: &Arc<Synced>| known.ports.iter().any(|port| port.key == synced.info.key);
        let serving = udp_serving(map);
        if known.synced.iter().all(stays) && *known.udp_serving == serving {
            return known;
        }
        let now = Arc::make_mut(&mut known);
        let ports = now.ports.clone();
        now.synced.retain(|synced| {
            let stays = ports.iter().any(|port| port.key == synced.info.key);
            if !stays {
                events.gone(&synced.info);
                self.known_endpoints -= synced.counts.known;
                self.origins.remove(synced.first_origin);
                self.rules.remove(&synced.info.key);
            }
            stays
        });
        ports.iter().for_each(|port| events.changed(port, &now.udp_serving, &serving));
        now.udp_serving = Arc::new(serving);
        self.services.insert(known.key.clone(), known.clone());
        known
    }
    /// Brings the number of known endpoints up to date before rules are written, which depend on it.
    fn count(&mut self, service: &Known, map: &EndpointsMap) {
        for info in service.ports.iter() {
            let known = map.get(&(info.name.port.clone(), info.name.protocol)).map_or(0, |list| list.len());
            let before = service.synced(&info.key).map_or(0, |s| s.counts.known);
            self.known_endpoints = self.known_endpoints + known - before;
        }
    }
    /// Writes Services once more that haven't changed themselves.
    fn write_others_anew(&mut self) {
        let others: Vec<Arc<Known>> = self.services.values().filter(|k| !k.dirty).cloned().collect();
        for mut known in others {
            let anew = |s: &Arc<Synced>| {
                self.write(Some(s.first_origin), s.info.clone(), s.endpoints.clone(), s.counts.clone())
            };
            let synced = known.synced.iter().map(anew).collect();
            Arc::make_mut(&mut known).synced = synced;
            self.services.insert(known.key.clone(), known);
        }
    }
    /// Writes the rules of a service port; `old` is where the origins of those before begin.
    fn write(
        &mut self,
        old: Option<u32>,
        info: Arc<ServicePortInfo>,
        endpoints: Categorized,
        counts: Counts,
    ) -> Arc<Synced> {
        let key = &info.key;
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
        if let Some(old) = old {
            self.origins.remove(old);
        }
        let first_origin = self.origins.next();
        self.origins.add(piece);
        Arc::new(Synced { info, endpoints, counts, first_origin })
    }
}

/// The serving endpoints of UDP ports.
fn udp_serving(map: &EndpointsMap) -> UdpServing {
    let ports = map.iter().filter(|((_, protocol), _)| *protocol == Protocol::Udp);
    let serving = |list: &Endpoints| Arc::new(list.iter().filter(|e| e.serving).map(|e| e.addr).collect());
    ports.map(|((port, _), list)| (port.clone(), serving(list))).collect()
}
