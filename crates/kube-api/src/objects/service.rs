//! Service (`staging/src/k8s.io/api/core/v1/types.go`).

use super::{IntOrString, ObjectMeta, StringMap};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// A stable name and address for a set of Pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: ServiceSpec,
    /// What is.
    pub status: ServiceStatus,
}

/// `spec` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// How the Service is reached.
    #[serde(rename = "type")]
    pub type_: ServiceType,
    /// Labels that a Pod must have. Without any, controllers leave the slices alone.
    pub selector: StringMap,
    /// What it listens on.
    pub ports: Vec<ServicePort>,
    /// `None` (headless), empty (not allocated) or the first of `cluster_ips`.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    /// One address a family, or only `None`.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    /// `IPv4`, `IPv6`: families of `cluster_ips`, in that order.
    pub ip_families: Vec<IpFamily>,
    /// How many families.
    pub ip_family_policy: Option<String>,
    /// Addresses of others that the nodes accept for this Service.
    #[serde(rename = "externalIPs")]
    pub external_ips: Vec<String>,
    /// A DNS name (`type: ExternalName`).
    pub external_name: String,
    /// Whether a client keeps its endpoint.
    pub session_affinity: SessionAffinity,
    /// How long it keeps it.
    pub session_affinity_config: Option<SessionAffinityConfig>,
    /// Endpoints for traffic from outside.
    pub external_traffic_policy: Option<TrafficPolicy>,
    /// Endpoints for traffic to the ClusterIP.
    pub internal_traffic_policy: Option<TrafficPolicy>,
    /// Where a load balancer asks whether a node has endpoints; 0: none.
    pub health_check_node_port: u16,
    /// Whether a load balancer Service gets node ports.
    pub allocate_load_balancer_node_ports: Option<bool>,
    /// Whose load balancer.
    pub load_balancer_class: Option<String>,
    /// Deprecated wish for a load balancer address.
    #[serde(rename = "loadBalancerIP")]
    pub load_balancer_ip: String,
    /// Who may use the load balancer's address (CIDRs).
    pub load_balancer_source_ranges: Vec<String>,
    /// Whether endpoints count as ready from the start.
    pub publish_not_ready_addresses: bool,
    /// Preference for near endpoints.
    pub traffic_distribution: Option<String>,
}

/// `spec.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServiceType {
    /// An address inside the cluster.
    #[default]
    ClusterIP,
    /// And a port on every node.
    NodePort,
    /// And an address of a load balancer.
    LoadBalancer,
    /// Only a DNS alias.
    ExternalName,
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServiceType::ClusterIP => "ClusterIP",
            ServiceType::NodePort => "NodePort",
            ServiceType::LoadBalancer => "LoadBalancer",
            ServiceType::ExternalName => "ExternalName",
        })
    }
}

/// `spec.sessionAffinity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionAffinity {
    /// Each connection chooses anew.
    #[default]
    None,
    /// Connections of one source address stay together.
    ClientIP,
}

/// `spec.sessionAffinityConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionAffinityConfig {
    /// For `ClientIP`.
    #[serde(rename = "clientIP")]
    pub client_ip: Option<ClientIPConfig>,
}

/// `spec.sessionAffinityConfig.clientIP`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIPConfig {
    /// Idle seconds after which a client is forgotten (1 to 86400; default 10800).
    pub timeout_seconds: Option<i32>,
}

/// `externalTrafficPolicy`, `internalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrafficPolicy {
    /// Endpoints anywhere.
    #[default]
    Cluster,
    /// Only endpoints on the node that the packet is on.
    Local,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
}

impl Protocol {
    /// `TCP`, as in a manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }
    /// `tcp`, as in iptables rules and chain names' hashes.
    pub const fn lower(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An IP family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IpFamily {
    /// IPv4.
    #[default]
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

impl IpFamily {
    /// The family of an address.
    pub const fn of(ip: IpAddr) -> IpFamily {
        match ip {
            IpAddr::V4(_) => IpFamily::V4,
            IpAddr::V6(_) => IpFamily::V6,
        }
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IpFamily::V4 => "IPv4",
            IpFamily::V6 => "IPv6",
        })
    }
}

/// An entry of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Needed when there is more than one.
    #[serde(default)]
    pub name: String,
    /// Transport.
    #[serde(default)]
    pub protocol: Protocol,
    /// Copied to the slice; no effect on packets.
    #[serde(default)]
    pub app_protocol: Option<String>,
    /// Where the Service listens.
    pub port: u16,
    /// Where the Pod listens: a number or the name of a container port. `None`: as `port`.
    #[serde(default)]
    pub target_port: Option<IntOrString>,
    /// Where every node listens; 0: nowhere.
    #[serde(default)]
    pub node_port: u16,
}

/// `status` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// What the cloud gave.
    pub load_balancer: LoadBalancerStatus,
}

/// `status.loadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerStatus {
    /// Addresses of the load balancer.
    pub ingress: Vec<LoadBalancerIngress>,
}

/// An address of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerIngress {
    /// An IP, or empty.
    pub ip: String,
    /// A name, or empty.
    pub hostname: String,
    /// `VIP` (nodes answer for the address) or `Proxy` (they don't).
    pub ip_mode: Option<String>,
}

impl Service {
    /// `clusterIP: None`.
    pub fn is_headless(&self) -> bool {
        self.spec.cluster_ip == "None"
    }
    /// The cluster IP of this family, if it has been allocated.
    pub fn cluster_ip(&self, family: IpFamily) -> Option<IpAddr> {
        let first = core::iter::once(&self.spec.cluster_ip);
        self.spec
            .cluster_ips
            .iter()
            .chain(first)
            .filter_map(|ip| ip.parse().ok())
            .find(|ip| IpFamily::of(*ip) == family)
    }
}
