//! Allocators of cluster IPs and node ports (`pkg/registry/core/service/{ipallocator,portallocator}`, KEP-3070, KEP-3668).
//!
//! A band at the low end of each range is for those who choose themselves; automatic choice enters it only when the rest is
//! full. The search starts at a drawn offset and goes round.

use crate::cluster::{Cluster, SERVICE_CIDR};
use kube_api::{IpFamily, NamespacedName, Protocol, Service, ServiceType};
use lab_base::{Source, subject};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// First and last node port (`--service-node-port-range`).
pub const NODE_PORTS: (u16, u16) = (30_000, 32_767);

/// Numbers that are set aside for those who choose: `min(max(16, size / divisor), cap)`; none in a tiny range.
fn band(size: u32, divisor: u32, cap: u32) -> u32 {
    if size < 16 { 0 } else { (size / divisor).max(16).min(cap) }
}

/// The first free number of `0..size`, above the band first, from a drawn offset on.
fn pick(size: u32, band: u32, draw: impl Fn(u64) -> u64, taken: impl Fn(u32) -> bool) -> Option<u32> {
    let search = |from: u32, len: u32| {
        let start = draw(u64::from(len)) as u32;
        (0..len).map(|i| from + (start + i) % len).find(|n| !taken(*n))
    };
    (size > band).then(|| search(band, size - band)).flatten().or_else(|| (band > 0).then(|| search(0, band)).flatten())
}

fn service_range() -> (u32, u32) {
    let base = u32::from_be_bytes(SERVICE_CIDR.0);
    // The network's own address and the last one aren't handed out.
    (base + 1, (1u32 << (32 - SERVICE_CIDR.1)) - 2)
}

impl Cluster {
    fn cluster_ips(&self) -> BTreeSet<IpAddr> {
        self.store.list::<Service>().flat_map(|s| &s.spec.cluster_ips).filter_map(|ip| ip.parse().ok()).collect()
    }

    fn node_ports(&self, but: &NamespacedName) -> BTreeSet<(u16, Protocol)> {
        self.store
            .list::<Service>()
            .filter(|s| s.metadata.key() != *but)
            .flat_map(|s| {
                let health = Some((s.spec.health_check_node_port, Protocol::Tcp));
                s.spec.ports.iter().map(|p| (p.node_port, p.protocol)).chain(health)
            })
            .filter(|(port, _)| *port != 0)
            .collect()
    }

    /// Gives a Service what it needs and has not: cluster IP, node ports, health check port.
    ///
    /// # Errors
    /// The API server's words, when what it asks for is taken or out of range, or nothing is left.
    pub(crate) fn allocate(&self, service: &mut Service) -> Result<(), String> {
        settle_families(service)?;
        self.allocate_cluster_ip(service)?;
        self.allocate_node_ports(service)
    }

    fn allocate_cluster_ip(&self, service: &mut Service) -> Result<(), String> {
        if service.spec.type_ == ServiceType::ExternalName || service.is_headless() {
            return Ok(());
        }
        let taken = self.cluster_ips();
        let key = service.metadata.key();
        let (first, size) = service_range();
        let own = self.store.get::<Service>(&key).map(|s| s.spec.cluster_ip.clone());
        let invalid = |ip: &str, why: &str| {
            let line = format!("spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: {why}");
            Err(format!("The Service \"{}\" is invalid: {line}", key.name))
        };
        if service.spec.cluster_ip.is_empty() {
            let who = subject(&["clusterIP", &key.namespace, &key.name]);
            let draw = |n: u64| self.dice.roll(Source::Allocation, who, 0).below(n);
            let address = |n: u32| IpAddr::V4(Ipv4Addr::from(first + n));
            let Some(n) = pick(size, band(size, 16, 256), draw, |n| taken.contains(&address(n))) else {
                return Err("Error from server (InternalError): error when creating \"STDIN\": Internal error occurred: failed to allocate a serviceIP: range is full".into());
            };
            service.spec.cluster_ip = address(n).to_string();
        } else if own.as_ref() != Some(&service.spec.cluster_ip) {
            let text = service.spec.cluster_ip.clone();
            let Ok(ip) = text.parse::<IpAddr>() else { return Ok(()) };
            let inside = matches!(ip, IpAddr::V4(v4) if (first..first + size).contains(&u32::from(v4)));
            if !inside {
                let cidr = Ipv4Addr::from(SERVICE_CIDR.0);
                let why = format!(
                    "the provided IP ({text}) is not in the valid range. The range of valid IPs is {cidr}/{}",
                    SERVICE_CIDR.1
                );
                return invalid(&text, &why);
            }
            if taken.contains(&ip) {
                return invalid(&text, "provided IP is already allocated");
            }
        }
        service.spec.cluster_ips = vec![service.spec.cluster_ip.clone()];
        Ok(())
    }

    fn allocate_node_ports(&self, service: &mut Service) -> Result<(), String> {
        let key = service.metadata.key();
        let balanced = service.spec.type_ == ServiceType::LoadBalancer;
        let wanted = match service.spec.type_ {
            ServiceType::NodePort => true,
            ServiceType::LoadBalancer => service.spec.allocate_load_balancer_node_ports != Some(false),
            _ => false,
        };
        let mut taken = self.node_ports(&key);
        let size = u32::from(NODE_PORTS.1 - NODE_PORTS.0) + 1;
        let who = subject(&["nodePort", &key.namespace, &key.name]);
        let choose = |taken: &BTreeSet<(u16, Protocol)>, ordinal: u64| {
            let draw = |n: u64| self.dice.roll(Source::Allocation, who, ordinal).below(n);
            let used = |n: u32| {
                let port = NODE_PORTS.0 + n as u16;
                taken.range((port, Protocol::Tcp)..).next().is_some_and(|(next, _)| *next == port)
            };
            pick(size, band(size, 32, 128), draw, used).map(|n| NODE_PORTS.0 + n as u16)
        };
        for i in 0..service.spec.ports.len() {
            let (port, protocol, number) = {
                let p = &service.spec.ports[i];
                (p.node_port, p.protocol, p.port)
            };
            if port != 0 {
                let line = |why: &str| {
                    let field = format!("spec.ports[{i}].nodePort: Invalid value: {port}: {why}");
                    Err(format!("The Service \"{}\" is invalid: {field}", key.name))
                };
                if !(NODE_PORTS.0..=NODE_PORTS.1).contains(&port) {
                    return line(&format!(
                        "provided port is not in the valid range. The range of valid ports is {}-{}",
                        NODE_PORTS.0, NODE_PORTS.1
                    ));
                }
                if taken.contains(&(port, protocol)) {
                    return line("provided port is already allocated");
                }
                taken.insert((port, protocol));
            } else if wanted {
                // Several protocols on one port number share a node port.
                let shared =
                    service.spec.ports[..i].iter().find(|p| p.port == number && p.node_port != 0).map(|p| p.node_port);
                let Some(chosen) = shared.or_else(|| choose(&taken, i as u64)) else {
                    return Err("Error from server (InternalError): error when creating \"STDIN\": Internal error occurred: failed to allocate a nodePort: range is full".into());
                };
                service.spec.ports[i].node_port = chosen;
                taken.insert((chosen, protocol));
            }
        }
        let checked = balanced && service.spec.external_traffic_policy == Some(kube_api::TrafficPolicy::Local);
        let asked = service.spec.health_check_node_port;
        let own = self.store.get::<Service>(&key).map_or(0, |s| s.spec.health_check_node_port);
        if checked && asked != 0 && asked != own {
            let why = match (NODE_PORTS.0..=NODE_PORTS.1).contains(&asked) {
                false => format!(
                    "provided port is not in the valid range. The range of valid ports is {}-{}",
                    NODE_PORTS.0, NODE_PORTS.1
                ),
                true if taken.iter().any(|(port, _)| *port == asked) => "provided port is already allocated".into(),
                true => return Ok(()),
            };
            return Err(format!(
                "Error from server (InternalError): error when creating \"STDIN\": Internal error occurred: failed to allocate requested HealthCheck NodePort {asked}: {why}"
            ));
        }
        if checked && service.spec.health_check_node_port == 0 {
            service.spec.health_check_node_port = choose(&taken, 1_000).unwrap_or(0);
        }
        Ok(())
    }
}

/// Address families, as the server fills them in on a cluster that has IPv4 only
/// (`defaultOnCreateOrUpdate` and `initIPFamilyFields` in `pkg/registry/core/service/storage/alloc.go`).
fn settle_families(service: &mut Service) -> Result<(), String> {
    if service.spec.type_ == ServiceType::ExternalName {
        return Ok(());
    }
    let invalid = |field: &str, value: &str, why: &str| {
        let name = &service.metadata.name;
        Err(format!("The Service \"{name}\" is invalid: spec.{field}: Invalid value: \"{value}\": {why}"))
    };
    // Nobody but who makes the endpoints knows their families.
    let unknown = service.is_headless() && service.spec.selector.is_empty();
    if let Some(at) = service.spec.ip_families.iter().position(|f| *f == IpFamily::V6)
        && !unknown
    {
        return invalid(&format!("ipFamilies[{at}]"), "IPv6", "not configured on this cluster");
    }
    if service.spec.ip_family_policy.as_deref() == Some("RequireDualStack") && !unknown {
        return invalid("ipFamilyPolicy", "RequireDualStack", "this cluster is not configured for dual-stack services");
    }
    let policy = if unknown { "RequireDualStack" } else { "SingleStack" };
    let policy = service.spec.ip_family_policy.get_or_insert_with(|| policy.into());
    if service.spec.ip_families.is_empty() {
        service.spec.ip_families.push(IpFamily::V4);
        if policy == "RequireDualStack" {
            service.spec.ip_families.push(IpFamily::V6);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_base::Time;

    #[test]
    fn bands() {
        // SPEC 1.2: /16 and /20 -> 256, /22 -> 64 (of 1022 usable: 63), /24 -> 16; node ports -> 86.
        for (usable, want) in [(65_534, 256), (4_094, 255), (1_022, 63), (254, 16), (62, 16), (14, 0)] {
            assert_eq!(band(usable, 16, 256), want, "{usable}");
        }
        assert_eq!(band(2_768, 32, 128), 86);
    }

    #[test]
    fn the_band_comes_last() {
        assert!((0..50).all(|d| pick(100, 16, |n| d % n, |_| false).is_some_and(|n| n >= 16)));
        assert!(pick(100, 16, |n| 3 % n, |n| n >= 16).is_some_and(|n| n < 16));
        assert_eq!(pick(100, 16, |n| 3 % n, |_| true), None);
    }

    /// A cluster whose every free address of the Service CIDR but one is some Service's.
    #[test]
    fn the_range_of_addresses_runs_out() {
        let (mut cluster, _) = Cluster::new(&crate::Scenario::default(), None);
        let (first, size) = service_range();
        let taken = cluster.cluster_ips();
        let free: Vec<Ipv4Addr> =
            (0..size).map(|n| Ipv4Addr::from(first + n)).filter(|ip| !taken.contains(&IpAddr::V4(*ip))).collect();
        let key = |ip: &Ipv4Addr| NamespacedName::new("default", format!("s-{}", u32::from(*ip)));
        for ip in &free[1..] {
            let mut service = Service::default();
            service.metadata.name = key(ip).name;
            service.metadata.namespace = "default".into();
            service.spec.cluster_ip = ip.to_string();
            service.spec.cluster_ips = vec![ip.to_string()];
            cluster.store.create(Time::ZERO, service);
        }
        // Nobody needs to hear of so many.
        cluster.store.take_changes();
        let create = |cluster: &mut Cluster, name: &str| {
            let text = format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{ports: [{{port: 80}}]}}}}"
            );
            cluster.create_yaml(&text).results
        };
        assert_eq!(create(&mut cluster, "last"), ["service/last created"]);
        let last = cluster.store.get::<Service>(&NamespacedName::new("default", "last")).unwrap();
        assert_eq!(last.spec.cluster_ip, free[0].to_string());
        assert_eq!(
            create(&mut cluster, "more"),
            [
                "Error from server (InternalError): error when creating \"STDIN\": Internal error occurred: failed to allocate a serviceIP: range is full"
            ]
        );
        // One that goes leaves its address.
        cluster.store.remove::<Service>(&key(&free[7]));
        assert_eq!(create(&mut cluster, "more"), ["service/more created"]);
        let more = cluster.store.get::<Service>(&NamespacedName::new("default", "more")).unwrap();
        assert_eq!(more.spec.cluster_ip, free[7].to_string());
    }
}
