//! A load balancer: it takes connections for its address and hands them to nodes that its health checks find well.

use crate::cluster::Cluster;
use crate::event::{EventKey, NodeName};
use crate::traffic::l4;
use datapath::{Cidr, Flow};
use kube_api::{Service, Uid};
use lab_base::{OrdMap, Source};
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Where a balancer that is a proxy sends from, in the nodes' network.
const PROXY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 10, 250));

/// A load balancer.
#[derive(Clone, Debug, Serialize)]
pub struct LoadBalancer {
    /// Uid of its Service.
    pub service: Uid,
    /// Its address.
    pub ip: IpAddr,
    /// Whether it ends connections and opens its own to a node port (`ipMode: Proxy`).
    pub proxy: bool,
    /// The Service as it was when the cloud last heard of it.
    #[serde(skip)]
    pub(crate) ordered: Arc<Service>,
    /// Its nodes.
    pub targets: OrdMap<NodeName, LoadBalancerTarget>,
}

/// A node of a load balancer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadBalancerTarget {
    /// What its health checks have come to.
    pub healthy: bool,
    /// When they will come to the contrary, if nothing changes.
    pub(crate) turns: Option<EventKey>,
}

/// What a load balancer does with a connection.
pub(crate) enum Balanced {
    /// The address isn't a balancer's.
    NotMine,
    /// It takes no such connection.
    Dropped,
    /// It goes to this node, so.
    To(NodeName, Flow),
}

impl Cluster {
    /// A connection reaches the cloud's network.
    pub(crate) fn balance(&self, sent: Flow, draw: u64) -> Balanced {
        let Some(cloud) = &self.cloud else { return Balanced::NotMine };
        let Some(balancer) = cloud.balancers.values().find(|b| b.ip == sent.dst.ip()) else {
            return Balanced::NotMine;
        };
        let spec = &balancer.ordered.spec;
        let listener = spec.ports.iter().find(|p| p.port == sent.dst.port() && l4(p.protocol) == sent.proto);
        let ranges = spec.load_balancer_source_ranges.iter().filter_map(|range| range.trim().parse::<Cidr>().ok());
        let ranges: Vec<Cidr> = ranges.collect();
        let welcome = ranges.is_empty() || ranges.iter().any(|range| range.contains(sent.src.ip()));
        let Some(listener) = listener.filter(|p| welcome && !(balancer.proxy && p.node_port == 0)) else {
            return Balanced::Dropped;
        };
        let well: Vec<&NodeName> = balancer.targets.iter().filter(|(_, t)| t.healthy).map(|(n, _)| n).collect();
        // Where no target is well the usual clouds try them all ("fail open").
        let among = if well.is_empty() { balancer.targets.keys().collect() } else { well };
        let nth = self.dice.roll(Source::Route, draw, 1).below(among.len() as u64);
        let Some(node) = among.get(nth as usize).and_then(|name| self.machines.get(*name)) else {
            return Balanced::Dropped;
        };
        let flow = if balancer.proxy {
            let port = 1_024 + self.dice.roll(Source::SourcePort, draw, 1).below(64_512);
            Flow {
                src: SocketAddr::new(PROXY_ADDRESS, port as u16),
                dst: SocketAddr::new(node.ip, listener.node_port),
                ..sent
            }
        } else {
            sent
        };
        Balanced::To(node.name.clone(), flow)
    }

    /// The cloud's load balancers.
    pub fn load_balancers(&self) -> impl Iterator<Item = &LoadBalancer> {
        self.cloud.iter().flat_map(|cloud| cloud.balancers.values().map(|b| &**b))
    }
}
