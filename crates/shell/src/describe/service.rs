//! Services, EndpointSlices, Endpoints.

use super::Page;
use crate::columns::host_port;
use crate::resource::{Subset, slices_of};
use crate::table::first_three;
use kube_api::{EndpointSlice, IpFamily, ObjectMeta, Service, ServicePort, SessionAffinity, TrafficPolicy};

fn policy(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    }
}

fn or_unset(text: &str) -> &str {
    if text.is_empty() { "<unset>" } else { text }
}

pub(super) fn service(page: &mut Page<'_>, service: &Service) {
    let spec = &service.spec;
    page.head(&service.metadata);
    page.labels("Labels", &service.metadata.labels, "");
    page.annotations(&service.metadata.annotations);
    page.field(0, "Selector", &super::pod::selector(&spec.selector));
    page.field(0, "Type", &spec.type_.to_string());
    if let Some(policy) = &spec.ip_family_policy {
        page.field(0, "IP Family Policy", policy);
    }
    if !spec.ip_families.is_empty() {
        let families: Vec<String> = spec.ip_families.iter().map(IpFamily::to_string).collect();
        page.field(0, "IP Families", &families.join(","));
    } else {
        page.field(0, "IP Families", "<none>");
    }
    page.field(0, "IP", &spec.cluster_ip);
    let ips = if spec.cluster_ips.is_empty() { "<none>".into() } else { spec.cluster_ips.join(",") };
    page.field(0, "IPs", &ips);
    if !spec.external_ips.is_empty() {
        page.field(0, "External IPs", &spec.external_ips.join(","));
    }
    if !spec.load_balancer_ip.is_empty() {
        page.field(0, "Desired LoadBalancer IP", &spec.load_balancer_ip);
    }
    if !spec.external_name.is_empty() {
        page.field(0, "External Name", &spec.external_name);
    }
    if !service.status.load_balancer.ingress.is_empty() {
        let of = |i: &kube_api::LoadBalancerIngress| {
            let address = if i.ip.is_empty() { &i.hostname } else { &i.ip };
            match &i.ip_mode {
                Some(mode) if !i.ip.is_empty() => format!("{address} ({mode})"),
                _ => address.clone(),
            }
        };
        let all: Vec<String> = service.status.load_balancer.ingress.iter().map(of).collect();
        page.field(0, "LoadBalancer Ingress", &all.join(", "));
    }
    for port in &spec.ports {
        let name = or_unset(&port.name);
        page.line(0, &format!("Port:\t{name}\t{}/{}", port.port, port.protocol));
        let target = port.target_port.as_ref().map_or_else(|| port.port.to_string(), ToString::to_string);
        page.line(0, &format!("TargetPort:\t{target}/{}", port.protocol));
        if let Some(protocol) = &port.app_protocol {
            page.field(0, "AppProtocol", protocol);
        }
        if port.node_port != 0 {
            page.line(0, &format!("NodePort:\t{name}\t{}/{}", port.node_port, port.protocol));
        }
        let endpoints = ready_endpoints(page, service, port);
        page.field(0, "Endpoints", &endpoints);
    }
    let affinity = match spec.session_affinity {
        SessionAffinity::None => "None",
        SessionAffinity::ClientIP => "ClientIP",
    };
    page.field(0, "Session Affinity", affinity);
    if let Some(p) = spec.external_traffic_policy {
        page.field(0, "External Traffic Policy", policy(p));
    }
    if let Some(p) = spec.internal_traffic_policy {
        page.field(0, "Internal Traffic Policy", policy(p));
    }
    if let Some(distribution) = &spec.traffic_distribution {
        page.field(0, "Traffic Distribution", distribution);
    }
    if spec.health_check_node_port != 0 {
        page.field(0, "HealthCheck NodePort", &spec.health_check_node_port.to_string());
    }
    if !spec.load_balancer_source_ranges.is_empty() {
        page.field(0, "LoadBalancer Source Ranges", &spec.load_balancer_source_ranges.join(","));
    }
    page.events("Service", &service.metadata);
}

/// The ready endpoints of a port, over all slices.
fn ready_endpoints(page: &Page<'_>, service: &Service, port: &ServicePort) -> String {
    let slices = slices_of(page.cluster, &service.metadata.key());
    if slices.is_empty() {
        return "<none>".into();
    }
    let mut all = Vec::new();
    for slice in &slices {
        if slice.ports.is_empty() {
            continue;
        }
        for of_slice in slice.ports.iter().filter(|p| p.name.as_deref().unwrap_or_default() == port.name) {
            for endpoint in slice.endpoints.iter().filter(|e| e.conditions.ready.unwrap_or(true)) {
                let address = endpoint.addresses.iter();
                all.extend(address.filter_map(|ip| Some(host_port(ip, of_slice.port?))));
            }
        }
    }
    first_three(&all, "")
}

pub(super) fn slice(page: &mut Page<'_>, slice: &EndpointSlice) {
    page.head(&slice.metadata);
    page.labels("Labels", &slice.metadata.labels, "");
    page.annotations(&slice.metadata.annotations);
    let family = match slice.address_type {
        kube_api::AddressType::IPv4 => "IPv4",
        kube_api::AddressType::IPv6 => "IPv6",
        kube_api::AddressType::Fqdn => "FQDN",
    };
    page.field(0, "AddressType", family);
    if slice.ports.is_empty() {
        page.field(0, "Ports", "<unset>");
    } else {
        page.line(0, "Ports:");
        page.line(1, "Name\tPort\tProtocol");
        page.line(1, "----\t----\t--------");
        for port in &slice.ports {
            let number = port.port.map_or_else(|| "<unset>".into(), |p| p.to_string());
            let name = or_unset(port.name.as_deref().unwrap_or_default());
            page.line(1, &format!("{name}\t{number}\t{}", port.protocol.unwrap_or_default()));
        }
    }
    if slice.endpoints.is_empty() {
        page.line(0, "Endpoints: <none>");
    } else {
        page.line(0, "Endpoints:");
        for endpoint in &slice.endpoints {
            page.field(1, "- Addresses", &endpoint.addresses.join(","));
            page.line(2, "Conditions:");
            let ready = endpoint.conditions.ready.map_or("<unset>", |r| if r { "true" } else { "false" });
            page.field(3, "Ready", ready);
            page.field(2, "Hostname", or_unset(endpoint.hostname.as_deref().unwrap_or_default()));
            if let Some(target) = &endpoint.target_ref {
                page.field(2, "TargetRef", &format!("{}/{}", target.kind, target.name));
            }
            page.field(2, "NodeName", or_unset(endpoint.node_name.as_deref().unwrap_or_default()));
            page.field(2, "Zone", or_unset(endpoint.zone.as_deref().unwrap_or_default()));
            if let Some(hints) = endpoint.hints.as_ref().filter(|h| !h.for_zones.is_empty()) {
                let zones: Vec<&str> = hints.for_zones.iter().map(|z| z.name.as_str()).collect();
                page.line(2, "Hints:");
                page.field(3, "For Zones", &zones.join(","));
            }
        }
    }
    page.events("EndpointSlice", &slice.metadata);
}

pub(super) fn endpoints(page: &mut Page<'_>, meta: &ObjectMeta, subsets: &[Subset]) {
    page.head(meta);
    page.labels("Labels", &meta.labels, "");
    page.annotations(&meta.annotations);
    page.line(0, "Subsets:");
    for subset in subsets {
        let join = |list: &[(String, String, String)]| {
            let ips: Vec<&str> = list.iter().map(|(ip, ..)| ip.as_str()).collect();
            if ips.is_empty() { "<none>".to_owned() } else { ips.join(",") }
        };
        page.field(1, "Addresses", &join(&subset.ready));
        page.field(1, "NotReadyAddresses", &join(&subset.not_ready));
        if !subset.ports.is_empty() {
            page.line(1, "Ports:");
            page.line(2, "Name\tPort\tProtocol");
            page.line(2, "----\t----\t--------");
            for (name, port, protocol) in &subset.ports {
                page.line(2, &format!("{}\t{port}\t{protocol}", or_unset(name)));
            }
        }
        page.line(0, "");
    }
    page.events("Endpoints", meta);
}
