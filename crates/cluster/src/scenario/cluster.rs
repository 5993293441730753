//! `kind: Cluster`.

use super::duration::duration;
use crate::dns::DnsConfig;
use crate::proxy::ProxySpec;
use lab_base::Span;
use serde::{Deserialize, Deserializer, Serialize};

/// `kind: Cluster`, `spec`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// From which all chance follows.
    pub seed: u64,
    /// Kubernetes release whose behaviour is simulated: `1.30` to `1.36`.
    pub release: String,
    /// A number, or each node's name and zone.
    pub nodes: Nodes,
    /// kube-proxy on every node.
    pub kube_proxy: ProxySpec,
    /// CoreDNS.
    pub dns: DnsConfig,
    /// Whether it runs in a cloud, which gives load balancers.
    pub cloud: bool,
    /// How those are.
    pub load_balancer: LoadBalancerSpec,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        ClusterSpec {
            seed: 1,
            release: "1.36".into(),
            nodes: Nodes::Count(3),
            kube_proxy: ProxySpec::default(),
            dns: DnsConfig::default(),
            cloud: false,
            load_balancer: LoadBalancerSpec::default(),
        }
    }
}

/// How a cloud's load balancers are. The health check's numbers are those of Google Cloud's provider
/// (`gceHcCheckIntervalSeconds` and its kin in cloud-provider-gcp, `gce_healthchecks.go`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoadBalancerSpec {
    /// `VIP`: packets keep the balancer's address, and nodes answer for it. `Proxy`: it opens connections of its own.
    pub ip_mode: String,
    /// How long the cloud needs to make one.
    #[serde(deserialize_with = "duration")]
    pub address_after: Span,
    /// Time between two health checks of a node.
    #[serde(deserialize_with = "duration")]
    pub interval: Span,
    /// How long a health check waits.
    #[serde(deserialize_with = "duration")]
    pub timeout: Span,
    /// So many checks in a row must succeed.
    pub healthy_threshold: u8,
    /// So many checks in a row must fail.
    pub unhealthy_threshold: u8,
}

impl Default for LoadBalancerSpec {
    fn default() -> Self {
        LoadBalancerSpec {
            ip_mode: "VIP".into(),
            address_after: Span::from_secs(30),
            interval: Span::from_secs(8),
            timeout: Span::from_secs(1),
            healthy_threshold: 1,
            unhealthy_threshold: 3,
        }
    }
}

impl LoadBalancerSpec {
    /// The first thing in it that can't be: where, and what is expected.
    pub(super) fn mistake(&self) -> Option<(&'static str, &'static str)> {
        if !["VIP", "Proxy"].contains(&self.ip_mode.as_str()) {
            return Some(("spec.loadBalancer.ipMode", "VIP or Proxy"));
        }
        if self.interval < Span::from_millis(100) {
            return Some(("spec.loadBalancer.interval", "100ms or more"));
        }
        None
    }
}

/// Nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Nodes {
    /// node-a, node-b, ... in one zone.
    Count(u32),
    /// Named.
    Named(Vec<NodeEntry>),
}

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Its name.
    pub name: String,
    /// Its zone; empty: none.
    #[serde(default)]
    pub zone: String,
    /// Its kube-proxy, where it is set up otherwise than on the other nodes.
    #[serde(default, rename = "kubeProxy")]
    pub kube_proxy: ProxySpec,
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Nodes;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a number of nodes, or a list of {name, zone}")
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Nodes, E> {
                Ok(Nodes::Count(u32::try_from(n).unwrap_or(u32::MAX)))
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Nodes, E> {
                Ok(Nodes::Count(u32::try_from(n.max(0)).unwrap_or(u32::MAX)))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Nodes, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = seq.next_element()? {
                    nodes.push(node);
                }
                Ok(Nodes::Named(nodes))
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl Nodes {
    /// Each node.
    pub fn entries(&self) -> Vec<NodeEntry> {
        match self {
            Nodes::Count(n) => (0..(*n).min(MAX_NODES as u32))
                .map(|i| {
                    let name = match i {
                        0..26 => format!("node-{}", (b'a' + i as u8) as char),
                        _ => format!("node-{}", i + 1),
                    };
                    NodeEntry { name, zone: String::new(), kube_proxy: ProxySpec::default() }
                })
                .collect(),
            Nodes::Named(list) => list.clone(),
        }
    }
}

/// More nodes than this don't fit the address plan.
pub const MAX_NODES: usize = 200;
