//! What kube-proxy reads from Services (`pkg/proxy/servicechangetracker.go`, `serviceport.go`).

use crate::Settings;
use datapath::{Cidr, L4};
use kube_api::{
    ANNOTATION_TOPOLOGY_AWARE_HINTS, ANNOTATION_TOPOLOGY_MODE, IpFamily, LABEL_HEADLESS, LABEL_SERVICE_PROXY_NAME,
    NamespacedName, Protocol, Service, ServiceType, SessionAffinity, TrafficPolicy, Uid,
};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Seconds that a client keeps its endpoint when the Service does not say (`DefaultClientIPServiceAffinitySeconds`).
pub const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;

/// A port of a Service. The order is the one in which rules are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePortName {
    /// The Service.
    pub service: NamespacedName,
    /// The port's name; empty if it has none.
    pub port: String,
    /// The port's protocol.
    pub protocol: Protocol,
}

impl ServicePortName {
    /// A key that sorts bytewise by namespace, name, port name and protocol.
    pub fn key(&self) -> Arc<str> {
        let ServicePortName { service, port, protocol } = self;
        [&service.namespace, "\0", &service.name, "\0", port, "\0", protocol.name()].concat().into()
    }
    pub(crate) const fn l4(&self) -> L4 {
        match self.protocol {
            Protocol::Tcp => L4::Tcp,
            Protocol::Udp => L4::Udp,
            Protocol::Sctp => L4::Sctp,
        }
    }
}

impl fmt::Display for ServicePortName {
    /// `ns/name:port`, or `ns/name` for a port without name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service.namespace, self.service.name)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// What the rules for one port of a Service are made from (`BaseServicePortInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePortInfo {
    /// Which port.
    pub name: ServicePortName,
    /// Its key: see [`ServicePortName::key`].
    pub key: Arc<str>,
    /// The Service's uid.
    pub uid: Uid,
    /// Place in `spec.ports`.
    pub index: usize,
    /// The cluster IP of this family.
    pub cluster_ip: IpAddr,
    /// Port on the Service's addresses.
    pub port: u16,
    /// Port on the nodes; 0: none.
    pub node_port: u16,
    /// Addresses of `status.loadBalancer` that the node answers for, with their place there.
    pub load_balancer_vips: Vec<(usize, IpAddr)>,
    /// `spec.externalIPs` of this family, with their place there.
    pub external_ips: Vec<(usize, IpAddr)>,
    /// `spec.loadBalancerSourceRanges` of this family, with their place there.
    pub source_ranges: Vec<(usize, Cidr)>,
    /// For `sessionAffinity: ClientIP`, how long a client keeps its endpoint.
    pub affinity_seconds: Option<u32>,
    /// `healthCheckNodePort`; 0: none.
    pub health_check_node_port: u16,
    /// `externalTrafficPolicy: Local`, for a Service that is reached from outside.
    pub external_policy_local: bool,
    /// `internalTrafficPolicy: Local`.
    pub internal_policy_local: bool,
    /// The annotation that asks for topology hints; empty if there is none.
    pub hints_annotation: String,
}

impl ServicePortInfo {
    /// Whether anything but the cluster IP leads to it.
    pub fn externally_accessible(&self) -> bool {
        self.node_port != 0 || !self.load_balancer_vips.is_empty() || !self.external_ips.is_empty()
    }
    /// Whether some traffic goes to endpoints anywhere. With `externalTrafficPolicy: Local` too: that of
    /// this node's own Pods and processes.
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.internal_policy_local || self.externally_accessible()
    }
    /// Whether some traffic goes to endpoints of this node only.
    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_policy_local || (self.external_policy_local && self.externally_accessible())
    }
}

/// An address as Go's `ParseIPSloppy` reads it: leading zeros in IPv4 are ignored, IPv4 in IPv6 is IPv4.
pub(crate) fn parse_ip_sloppy(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    }
    // The commonest by far; what it refuses may have leading zeros.
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(ip.into());
    }
    let mut bytes = [0u8; 4];
    let mut parts = text.split('.');
    for byte in &mut bytes {
        let part = parts.next().filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))?;
        let digits = part.trim_start_matches('0');
        *byte = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| IpAddr::from(bytes))
}

/// A network as Go's `ParseCIDRSloppy` reads it.
pub(crate) fn parse_cidr_sloppy(text: &str) -> Option<Cidr> {
    let (addr, len) = text.trim().split_once('/')?;
    if len.is_empty() || !len.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let len: u8 = len.parse().ok()?;
    let six = addr.contains(':');
    match parse_ip_sloppy(addr)? {
        // ::ffff:a.b.c.d/n counts its bits from the front of the IPv6 form.
        IpAddr::V4(ip) if six => Cidr::new(ip.into(), len.checked_sub(96)?),
        ip => Cidr::new(ip, len),
    }
}

/// Addresses of one family out of a list, with their places.
fn of_family(texts: &[String], family: IpFamily) -> Vec<(usize, IpAddr)> {
    let ips = texts.iter().enumerate().filter_map(|(i, t)| Some((i, parse_ip_sloppy(t.trim())?)));
    ips.filter(|(_, ip)| IpFamily::of(*ip) == family).collect()
}

/// `GetClusterIPByFamily` of `pkg/proxy/util/utils.go`.
fn cluster_ip_of_family(service: &Service, family: IpFamily) -> Option<IpAddr> {
    let spec = &service.spec;
    let text = if spec.ip_families.is_empty() {
        &spec.cluster_ip
    } else {
        let at = spec.ip_families.iter().position(|f| *f == family)?;
        match spec.cluster_ips.get(at) {
            Some(ip) => ip,
            // Files may leave clusterIPs out, which the API server fills from clusterIP.
            None if at == 0 && spec.cluster_ips.is_empty() => &spec.cluster_ip,
            None => return None,
        }
    };
    parse_ip_sloppy(text).filter(|ip| IpFamily::of(*ip) == family)
}

/// `ShouldSkipService` of `pkg/proxy/util/utils.go`, and the label selector of kube-proxy's informers.
fn is_skipped(service: &Service) -> bool {
    let labels = &service.metadata.labels;
    labels.contains_key(LABEL_SERVICE_PROXY_NAME)
        || labels.contains_key(LABEL_HEADLESS)
        || service.spec.type_ == ServiceType::ExternalName
        || service.spec.cluster_ip.is_empty()
        || service.is_headless()
}

/// The ports of a Service that need rules in this family (`serviceToServiceMap`).
pub fn service_ports(service: &Service, family: IpFamily, settings: &Settings) -> Vec<ServicePortInfo> {
    if is_skipped(service) {
        return Vec::new();
    }
    let Some(cluster_ip) = cluster_ip_of_family(service, family) else { return Vec::new() };
    let (meta, spec) = (&service.metadata, &service.spec);
    let reached_from_outside = match spec.type_ {
        ServiceType::LoadBalancer | ServiceType::NodePort => true,
        ServiceType::ClusterIP => !spec.external_ips.is_empty(),
        ServiceType::ExternalName => false,
    };
    let external_local = spec.external_traffic_policy == Some(TrafficPolicy::Local);
    let affinity_seconds = (spec.session_affinity == SessionAffinity::ClientIP).then(|| {
        let config = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref());
        let seconds = config.and_then(|c| c.timeout_seconds).and_then(|s| u32::try_from(s).ok());
        seconds.unwrap_or(DEFAULT_AFFINITY_SECONDS)
    });
    let ingress = service.status.load_balancer.ingress.iter().enumerate();
    let load_balancer_vips = ingress
        .filter(|(_, i)| !settings.ip_mode() || i.ip_mode.as_deref().is_none_or(|mode| mode == "VIP"))
        .filter_map(|(at, i)| Some((at, parse_ip_sloppy(&i.ip)?)))
        .filter(|(_, ip)| IpFamily::of(*ip) == family)
        .collect::<Vec<_>>();
    let ranges = spec.load_balancer_source_ranges.iter().enumerate();
    let source_ranges = ranges
        .filter_map(|(at, text)| Some((at, parse_cidr_sloppy(text)?)))
        .filter(|(_, cidr)| IpFamily::of(cidr.addr()) == family)
        .collect::<Vec<_>>();
    // The old annotation wins where both are set.
    let hints = [ANNOTATION_TOPOLOGY_AWARE_HINTS, ANNOTATION_TOPOLOGY_MODE];
    let hints_annotation = hints.iter().find_map(|a| meta.annotations.get(*a)).cloned().unwrap_or_default();
    let info = |name: ServicePortName, (index, port): (usize, &kube_api::ServicePort)| ServicePortInfo {
        key: name.key(),
        name,
        uid: meta.uid,
        index,
        cluster_ip,
        port: port.port,
        node_port: port.node_port,
        load_balancer_vips: load_balancer_vips.clone(),
        external_ips: of_family(&spec.external_ips, family),
        source_ranges: source_ranges.clone(),
        affinity_seconds,
        health_check_node_port: if spec.type_ == ServiceType::LoadBalancer && external_local {
            spec.health_check_node_port
        } else {
            0
        },
        external_policy_local: reached_from_outside && external_local,
        internal_policy_local: spec.internal_traffic_policy == Some(TrafficPolicy::Local),
        hints_annotation: hints_annotation.clone(),
    };
    // Upstream's map is keyed by name: of two ports of one name and protocol the last counts.
    let ports = spec.ports.iter().enumerate();
    let last: BTreeMap<(&str, Protocol), usize> = ports.map(|(i, p)| ((p.name.as_str(), p.protocol), i)).collect();
    let mut kept: Vec<usize> = last.into_values().collect();
    kept.sort_unstable();
    let named = |port: &kube_api::ServicePort| ServicePortName {
        service: meta.key(),
        port: port.name.clone(),
        protocol: port.protocol,
    };
    kept.into_iter().filter_map(|i| spec.ports.get(i).map(|port| info(named(port), (i, port)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        let ip = |t: &str| parse_ip_sloppy(t).map(|ip| ip.to_string());
        assert_eq!(ip("010.000.1.07").as_deref(), Some("10.0.1.7"));
        assert_eq!(ip("::ffff:10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(ip("FD00:0::1").as_deref(), Some("fd00::1"));
        for bad in ["", "10.0.0", "10.0.0.256", "10.0.0.1.2", "10..0.1", " 10.0.0.1", "+1.0.0.1"] {
            assert_eq!(ip(bad), None, "{bad}");
        }
        assert_eq!(parse_cidr_sloppy(" 203.0.113.7/24 ").map(|c| c.to_string()).as_deref(), Some("203.0.113.0/24"));
        assert_eq!(parse_cidr_sloppy("203.0.113.7"), None);
        assert_eq!(parse_cidr_sloppy("1.2.3.4/33"), None);
    }
}
