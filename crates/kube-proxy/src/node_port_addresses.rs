//! Which of the node's addresses serve node ports (`pkg/proxy/util/nodeport_addresses.go`).

use crate::{NodeContext, Settings};
use datapath::Cidr;
use kube_api::IpFamily;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `nodePortAddresses` of one family.
pub(crate) struct NodePortAddresses {
    /// All addresses of the node.
    pub(crate) match_all: bool,
    cidrs: Vec<Cidr>,
}

impl NodePortAddresses {
    /// Without CIDRs of the family all addresses are chosen, or only `primary` where a mode has one.
    pub(crate) fn new(settings: &Settings, family: IpFamily, primary: Option<IpAddr>) -> NodePortAddresses {
        let parsed = settings.node_port_addresses.iter().filter_map(|t| t.parse::<Cidr>().ok());
        let mut cidrs: Vec<Cidr> = parsed.filter(|c| IpFamily::of(c.addr()) == family).collect();
        if cidrs.is_empty() {
            cidrs.extend(primary.and_then(|ip| Cidr::new(ip, if ip.is_ipv4() { 32 } else { 128 })));
        }
        NodePortAddresses { match_all: cidrs.is_empty() || cidrs.iter().any(|c| c.prefix_len() == 0), cidrs }
    }
    pub(crate) fn contains_ipv4_loopback(&self) -> bool {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.match_all || self.cidrs.iter().any(|c| c.contains(localhost) || c.addr().is_loopback())
    }
    /// The node's addresses at which there are virtual servers for node ports: never loopback addresses.
    pub(crate) fn ipvs_ips(&self, node: &NodeContext, family: IpFamily) -> Vec<IpAddr> {
        let chosen = if self.match_all { node.addresses.clone() } else { self.node_ips(node) };
        let usable = |ip: &IpAddr| !ip.is_loopback() && IpFamily::of(*ip) == family;
        chosen.into_iter().filter(usable).collect()
    }
    /// The node's addresses that are chosen, in order of their text; upstream's order is random.
    pub(crate) fn node_ips(&self, node: &NodeContext) -> Vec<IpAddr> {
        let lo = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let all = lo.iter().chain(&node.addresses);
        let mut ips: Vec<IpAddr> = all.copied().filter(|ip| self.cidrs.iter().any(|c| c.contains(*ip))).collect();
        ips.sort_by_cached_key(IpAddr::to_string);
        ips.dedup();
        ips
    }
}
