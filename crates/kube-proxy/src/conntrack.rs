//! Which connections kube-proxy deletes after a sync (`pkg/proxy/conntrack/cleanup.go`).
//!
//! A datagram of a known pair goes where the first one went, so a UDP client that goes on sending keeps an endpoint
//! that is gone. TCP and SCTP clients find out by themselves; their entries stay.
//!
//! Up to 1.31 the changes of a sync say what goes. From 1.32 on every entry is held to the present endpoints, from
//! 1.33 on with their ports.

use crate::service_change_tracker::ServicePortInfo;
use datapath::{Flow, Kernel, L4, Nat};
use kube_api::{IpFamily, Protocol, Release};
use lab_base::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Serving endpoints of a Service's UDP ports, by name of the port.
pub(crate) type UdpServing = BTreeMap<String, Arc<BTreeSet<SocketAddr>>>;

/// Entries that one call of `conntrack -D -p udp` deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Filter {
    /// `--orig-dst`.
    to: Option<IpAddr>,
    /// `--orig-port-dst`.
    port: Option<u16>,
    /// `--dst-nat`.
    endpoint: Option<IpAddr>,
}

impl Filter {
    fn matches(&self, flow: &Flow, nat: Nat) -> bool {
        self.to.is_none_or(|ip| flow.dst.ip() == ip)
            && self.port.is_none_or(|port| flow.dst.port() == port)
            && self.endpoint.is_none_or(|ip| nat.dst.ip() == ip)
    }
}

/// What the changes of one sync make stale (`deleteStaleServiceConntrackEntries`,
/// `deleteStaleEndpointConntrackEntries` up to 1.31).
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    filters: BTreeSet<Filter>,
}

impl Events {
    /// A service port is gone (`DeletedUDPClusterIPs`).
    pub(crate) fn gone(&mut self, port: &ServicePortInfo) {
        if port.name.protocol == Protocol::Udp {
            self.filters.insert(Filter { to: Some(port.cluster_ip), port: None, endpoint: None });
        }
    }
    /// A service port's serving endpoints have changed (`NewlyActiveUDPServices`, `DeletedUDPEndpoints`).
    pub(crate) fn changed(&mut self, port: &ServicePortInfo, old: &UdpServing, new: &UdpServing) {
        if port.name.protocol != Protocol::Udp {
            return;
        }
        let of = |serving: &UdpServing| serving.get(&port.name.port).cloned().unwrap_or_default();
        let (old, new) = (of(old), of(new));
        if old.is_empty() && !new.is_empty() {
            self.both(port, None);
        }
        for gone in old.difference(&new) {
            self.both(port, Some(gone.ip()));
        }
    }
    /// Entries by the port's addresses and by its node port.
    fn both(&mut self, port: &ServicePortInfo, endpoint: Option<IpAddr>) {
        self.filters.extend(addresses(port).map(|ip| Filter { to: Some(ip), port: None, endpoint }));
        if port.node_port != 0 {
            self.filters.insert(Filter { to: None, port: Some(port.node_port), endpoint });
        }
    }
}

fn addresses(port: &ServicePortInfo) -> impl Iterator<Item = IpAddr> + '_ {
    let external = port.external_ips.iter().chain(&port.load_balancer_vips);
    [port.cluster_ip].into_iter().chain(external.map(|(_, ip)| *ip))
}

/// The present serving endpoints, by what leads to them (`CleanStaleEntries` from 1.32 on).
#[derive(Clone, Debug, Default)]
struct Scan {
    services: BTreeMap<SocketAddr, Arc<BTreeSet<SocketAddr>>>,
    node_ports: BTreeMap<u16, Arc<BTreeSet<SocketAddr>>>,
    /// Whether the endpoint's port counts too.
    with_port: bool,
}

impl Scan {
    fn new<'a>(ports: impl Iterator<Item = (&'a ServicePortInfo, &'a UdpServing)>, with_port: bool) -> Scan {
        let mut scan = Scan { with_port, ..Scan::default() };
        for (port, serving) in ports.filter(|(port, _)| port.name.protocol == Protocol::Udp) {
            // A Service without endpoints needs no cleaning.
            let Some(serving) = serving.get(&port.name.port).filter(|s| !s.is_empty()) else { continue };
            for ip in addresses(port) {
                scan.services.insert(SocketAddr::new(ip, port.port), serving.clone());
            }
            if port.node_port != 0 {
                scan.node_ports.insert(port.node_port, serving.clone());
            }
        }
        scan
    }
    fn is_stale(&self, flow: &Flow, nat: Nat) -> bool {
        let served = |serving: &BTreeSet<SocketAddr>| match self.with_port {
            true => serving.contains(&nat.dst),
            false => serving.iter().any(|e| e.ip() == nat.dst.ip()),
        };
        let by_address = self.services.get(&flow.dst);
        let by_port = self.node_ports.get(&flow.dst.port());
        by_address.into_iter().chain(by_port).any(|serving| !served(serving))
    }
}

#[derive(Clone, Debug)]
enum Rule {
    Events(Events),
    Scan(Scan),
}

/// The connections that kube-proxy deletes after a sync.
#[derive(Clone, Debug)]
pub struct StaleConnections {
    family: IpFamily,
    rule: Rule,
}

impl StaleConnections {
    /// After a sync with these changes, where these are all service ports with their serving endpoints.
    pub(crate) fn new<'a>(
        family: IpFamily,
        release: Release,
        events: &Events,
        ports: impl Iterator<Item = (&'a ServicePortInfo, &'a UdpServing)>,
    ) -> StaleConnections {
        let rule = if release >= Release(32) {
            Rule::Scan(Scan::new(ports, release >= Release(33)))
        } else {
            Rule::Events(events.clone())
        };
        StaleConnections { family, rule }
    }
    /// Whether this connection goes.
    pub fn is_stale(&self, flow: &Flow, nat: Nat) -> bool {
        if flow.proto != L4::Udp || IpFamily::of(flow.dst.ip()) != self.family {
            return false;
        }
        match &self.rule {
            Rule::Events(events) => events.filters.iter().any(|f| f.matches(flow, nat)),
            Rule::Scan(scan) => scan.is_stale(flow, nat),
        }
    }
    /// Deletes them. How many.
    pub fn delete(&self, kernel: &mut Kernel, now: Time) -> usize {
        kernel.delete_conntrack(now, |flow, entry| self.is_stale(flow, entry.nat))
    }
}
