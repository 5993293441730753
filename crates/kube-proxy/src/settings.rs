//! What a kube-proxy is configured with, and the node it runs on.

use datapath::Cidr;
use datapath::ipvs::Scheduler;
use kube_api::{IpFamily, Node, Release, StringMap};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Feature gates that change what kube-proxy does; `None`: the release's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct FeatureGates {
    /// KEP-4444: hints count without the Service's annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_traffic_distribution: Option<bool>,
    /// KEP-3015: node hints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_same_traffic_distribution: Option<bool>,
    /// KEP-2433: hints count at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology_aware_hints: Option<bool>,
    /// KEP-1860: `ipMode: Proxy` keeps the node from answering for a load balancer's address.
    #[serde(rename = "LoadBalancerIPMode", skip_serializing_if = "Option::is_none")]
    pub load_balancer_ip_mode: Option<bool>,
}

/// kube-proxy's configuration. The default is what the conformance cases were recorded with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// `clusterCIDR`: IPv4 traffic from there is Pod traffic.
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// The same for IPv6.
    #[serde(rename = "clusterCIDR6")]
    pub cluster_cidr6: String,
    /// `iptables.masqueradeAll`: traffic to ClusterIPs always gets the node's address as source.
    pub masquerade_all: bool,
    /// `iptables.masqueradeBit`: which bit of the mark asks for masquerading.
    pub masquerade_bit: u8,
    /// `nodePortAddresses`: CIDRs of the node's addresses that serve node ports; empty: all.
    pub node_port_addresses: Vec<String>,
    /// `iptables.localhostNodePorts`: node ports on 127.0.0.1.
    pub localhost_node_ports: bool,
    /// `ipvs.scheduler`.
    pub ipvs_scheduler: String,
    /// No way to tell Pod traffic from other traffic (`detectLocalMode` without its CIDR).
    pub no_local_detector: bool,
    /// Feature gates.
    pub feature_gates: FeatureGates,
    /// `nf_conntrack_tcp_be_liberal`: no rule that drops INVALID packets.
    #[serde(skip)]
    pub conntrack_tcp_be_liberal: bool,
    /// The ranges of ClusterIPs, where kube-proxy is told them (it watches ServiceCIDR objects where there are any).
    /// In nftables mode an address in there that no Service has is dropped.
    #[serde(skip)]
    pub service_cidrs: Vec<Cidr>,
    /// Release whose behaviour is simulated.
    #[serde(skip)]
    pub release: Release,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            cluster_cidr: "10.244.0.0/16".into(),
            cluster_cidr6: "fd00:10:244::/56".into(),
            masquerade_all: false,
            masquerade_bit: 14,
            node_port_addresses: Vec::new(),
            localhost_node_ports: true,
            ipvs_scheduler: "rr".into(),
            no_local_detector: false,
            feature_gates: FeatureGates::default(),
            conntrack_tcp_be_liberal: false,
            service_cidrs: Vec::new(),
            release: Release::default(),
        }
    }
}

/// A setting that kube-proxy refuses to start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// Its name in the settings.
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Checks what kube-proxy checks at its start (`pkg/proxy/apis/config/validation`).
    pub fn check(&self) -> Result<(), SettingsError> {
        let cidr = |field, text: &str, family| match text.parse::<Cidr>() {
            Ok(c) if IpFamily::of(c.addr()) == family => Ok(()),
            Ok(_) => Err(SettingsError { field, message: format!("{text} is not {family}") }),
            Err(message) => Err(SettingsError { field, message }),
        };
        cidr("clusterCIDR", &self.cluster_cidr, IpFamily::V4)?;
        cidr("clusterCIDR6", &self.cluster_cidr6, IpFamily::V6)?;
        for text in &self.node_port_addresses {
            if let Err(message) = text.parse::<Cidr>() {
                return Err(SettingsError { field: "nodePortAddresses", message });
            }
        }
        if let Err(message) = self.ipvs_scheduler.parse::<Scheduler>() {
            return Err(SettingsError { field: "ipvsScheduler", message });
        }
        if self.masquerade_bit > 31 {
            return Err(SettingsError { field: "masqueradeBit", message: "must be within the range [0, 31]".into() });
        }
        Ok(())
    }
    /// `clusterCIDR` of this family, if Pod traffic is told by it.
    pub fn local_traffic(&self, family: IpFamily) -> Option<Cidr> {
        let text = match family {
            IpFamily::V4 => &self.cluster_cidr,
            IpFamily::V6 => &self.cluster_cidr6,
        };
        if self.no_local_detector { None } else { text.parse().ok() }
    }
    /// The bit of the mark that asks for masquerading.
    pub const fn masquerade_mark(&self) -> u32 {
        1 << (self.masquerade_bit & 31)
    }
    /// Whether hints count without the Service's annotation (KEP-4444).
    pub fn traffic_distribution(&self) -> bool {
        self.feature_gates.service_traffic_distribution.unwrap_or(self.release > Release::OLDEST)
    }
    /// Whether hints count at all (KEP-2433).
    pub fn topology_hints(&self) -> bool {
        self.feature_gates.topology_aware_hints.unwrap_or(true)
    }
    /// Whether node hints count (KEP-3015: 1.33 alpha, 1.34 on).
    pub fn node_hints(&self) -> bool {
        self.feature_gates.prefer_same_traffic_distribution.unwrap_or(self.release >= Release(34))
    }
    /// Whether `ipMode` counts (KEP-1860).
    pub fn ip_mode(&self) -> bool {
        self.feature_gates.load_balancer_ip_mode.unwrap_or(true)
    }
}

/// The node that a kube-proxy runs on, as far as it cares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeContext {
    /// Name of the Node object.
    pub name: String,
    /// The addresses of the node's interfaces without loopback, InternalIPs first.
    pub addresses: Vec<IpAddr>,
    /// The zone label.
    pub zone: Option<String>,
    /// All labels.
    pub labels: StringMap,
}

impl NodeContext {
    /// What a Node object says.
    pub fn of(node: &Node) -> NodeContext {
        NodeContext {
            name: node.metadata.name.clone(),
            addresses: node.internal_ips().collect(),
            zone: node.zone().map(str::to_owned),
            labels: node.metadata.labels.clone(),
        }
    }
}
