//! Service (`pkg/apis/core/validation/validation.go`, ValidateService), after its defaults.

use super::errors::{Errors, Port, dump, texts};
use super::{meta, names};
use crate::Release;
use crate::decode::go_quote;
use crate::yaml::Tree;
use std::collections::BTreeSet;

const NEED_LB: &str = "may only be used when `type` is 'LoadBalancer'";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
/// `MaxClientIPServiceAffinitySeconds`
const MAX_AFFINITY: i64 = 86_400;
/// The kubelet's port, which up to 1.31 no load balancer may expose.
const KUBELET_PORT: i64 = 10_250;
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];

/// A Service as the server sees it before it has judged it: any text, any number.
pub(super) struct Wide<'a> {
    tree: &'a Tree,
    spec: &'a Tree,
    type_: &'a str,
    ports: Vec<WidePort<'a>>,
    cluster_ip: &'a str,
    cluster_ips: Vec<&'a str>,
    families: Vec<&'a str>,
    external_policy: &'a str,
    affinity: &'a str,
    external_ips: Vec<&'a str>,
}

struct WidePort<'a> {
    name: &'a str,
    protocol: &'a str,
    app_protocol: Option<&'a str>,
    port: i64,
    target: Port<'a>,
    node_port: i64,
}

static NOTHING: Tree =
    Tree { span: crate::yaml::Span { line: 0, column: 0, length: 0 }, value: crate::yaml::Value::Null };

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

impl<'a> Wide<'a> {
    /// Reads a tree and fills in the defaults (`pkg/apis/core/v1/defaults.go`, SetDefaults_Service).
    pub fn read(tree: &'a Tree) -> Wide<'a> {
        let spec = tree.get("spec").unwrap_or(&NOTHING);
        let int = |tree: &Tree, key| tree.get(key).and_then(Tree::as_int).unwrap_or(0);
        let port = |item: &'a Tree| {
            let port = int(item, "port");
            let target = match Port::read(item.get("targetPort")) {
                Port::Number(0) | Port::Name("") => Port::Number(port),
                other => other,
            };
            WidePort {
                name: item.str("name"),
                protocol: or(item.str("protocol"), "TCP"),
                app_protocol: item.get("appProtocol").and_then(Tree::as_str),
                port,
                target,
                node_port: int(item, "nodePort"),
            }
        };
        let cluster_ip = spec.str("clusterIP");
        let mut cluster_ips = texts(spec.get("clusterIPs"));
        if cluster_ips.is_empty() && !cluster_ip.is_empty() {
            cluster_ips.push(cluster_ip);
        }
        let mut wide = Wide {
            tree,
            spec,
            type_: or(spec.str("type"), "ClusterIP"),
            ports: spec.get("ports").map(Tree::items).unwrap_or_default().iter().map(port).collect(),
            cluster_ip,
            cluster_ips,
            families: texts(spec.get("ipFamilies")),
            external_policy: spec.str("externalTrafficPolicy"),
            affinity: or(spec.str("sessionAffinity"), "None"),
            external_ips: texts(spec.get("externalIPs")),
        };
        if wide.externally_accessible() {
            wide.external_policy = or(wide.external_policy, "Cluster");
        }
        wide
    }

    /// `ExternallyAccessible` (`pkg/api/service/util.go`).
    fn externally_accessible(&self) -> bool {
        matches!(self.type_, "LoadBalancer" | "NodePort") || self.type_ == "ClusterIP" && !self.external_ips.is_empty()
    }

    fn headless(&self) -> bool {
        self.cluster_ips == ["None"]
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.spec.get(key).and_then(Tree::as_str)
    }

    fn annotation(&self, key: &str) -> Option<&'a str> {
        self.tree.at(&["metadata", "annotations", key]).and_then(Tree::as_str)
    }
}

/// ValidateServiceCreate.
pub(super) fn create(errors: &mut Errors, service: &Wide<'_>, release: Release) {
    let name = if release >= Release(36) { names::dns1123_label } else { names::dns1035_label };
    meta::object(errors, service.tree, true, name);
    if let (Some(mode), Some(hints)) = (service.annotation(TOPOLOGY_MODE), service.annotation(TOPOLOGY_HINTS))
        && mode != hints
    {
        let detail = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
        errors.invalid(&format!("metadata.annotations[{TOPOLOGY_MODE}]"), mode, &detail);
    }
    if service.ports.is_empty() && !service.headless() && service.type_ != "ExternalName" {
        errors.required("spec.ports", "");
    }
    by_type(errors, service, release);
    let mut seen = BTreeSet::new();
    for (i, port) in service.ports.iter().enumerate() {
        one_port(errors, port, &format!("spec.ports[{i}]"), service.ports.len() > 1, &mut seen);
    }
    meta::labels(errors, service.spec.get("selector"), "spec.selector");
    affinity(errors, service);
    cluster_ips(errors, service, release);
    for (i, ip) in service.external_ips.iter().enumerate() {
        let path = format!("spec.externalIPs[{i}]");
        let found = names::ip(ip, release);
        errors.each(&path, ip, if found.is_empty() { names::non_special(ip) } else { found });
    }
    errors.one_of("spec.type", service.type_, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    ports_together(errors, service);
    source_ranges(errors, service, release);
    let allocate = service.spec.get("allocateLoadBalancerNodePorts").is_some_and(|t| !t.is_null());
    if allocate && service.type_ != "LoadBalancer" {
        errors.forbidden("spec.allocateLoadBalancerNodePorts", NEED_LB);
    }
    if let Some(class) = service.text("loadBalancerClass") {
        if service.type_ == "LoadBalancer" {
            errors.each("spec.loadBalancerClass", class, names::qualified_name(class));
        } else {
            errors.forbidden("spec.loadBalancerClass", NEED_LB);
        }
    }
    traffic(errors, service, release);
}

fn by_type(errors: &mut Errors, service: &Wide<'_>, release: Release) {
    match service.type_ {
        "LoadBalancer" => {
            for (i, port) in service.ports.iter().enumerate() {
                if port.port == KUBELET_PORT && release <= Release(31) {
                    let detail = "may not expose port 10250 externally since it is used by kubelet";
                    errors.invalid_int(&format!("spec.ports[{i}]"), port.port, detail);
                }
            }
            if service.headless() {
                errors.invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for LoadBalancer services");
            }
        }
        "NodePort" if service.headless() => {
            errors.invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for NodePort services");
        }
        "ExternalName" => {
            const NOT: &str = "may not be set for ExternalName services";
            if !service.cluster_ips.is_empty() {
                errors.forbidden("spec.clusterIPs", NOT);
            }
            if !service.families.is_empty() {
                errors.forbidden("spec.ipFamilies", NOT);
            }
            if service.text("ipFamilyPolicy").is_some() {
                errors.forbidden("spec.ipFamilyPolicy", NOT);
            }
            let name = service.spec.str("externalName");
            match name.strip_suffix('.').unwrap_or(name) {
                "" => errors.required("spec.externalName", ""),
                name => errors.each("spec.externalName", name, names::dns1123_subdomain(name)),
            }
        }
        _ => {}
    }
}

fn one_port<'a>(errors: &mut Errors, port: &WidePort<'a>, path: &str, named: bool, seen: &mut BTreeSet<&'a str>) {
    if named && port.name.is_empty() {
        errors.required(&format!("{path}.name"), "");
    } else if !port.name.is_empty() {
        errors.each(&format!("{path}.name"), port.name, names::dns1123_label(port.name));
        if !seen.insert(port.name) {
            errors.duplicate(&format!("{path}.name"), &go_quote(port.name));
        }
    }
    if !names::is_port(port.port) {
        errors.invalid_int(&format!("{path}.port"), port.port, names::PORT);
    }
    errors.one_of(&format!("{path}.protocol"), port.protocol, &["SCTP", "TCP", "UDP"]);
    match port.target {
        Port::Number(number) if !names::is_port(number) => {
            errors.invalid_int(&format!("{path}.targetPort"), number, names::PORT);
        }
        Port::Number(_) => {}
        Port::Name(name) => errors.each(&format!("{path}.targetPort"), name, names::port_name(name)),
    }
    if let Some(name) = port.app_protocol {
        errors.each(&format!("{path}.appProtocol"), name, names::qualified_name(name));
    }
}

fn affinity(errors: &mut Errors, service: &Wide<'_>) {
    errors.one_of("spec.sessionAffinity", service.affinity, &["ClientIP", "None"]);
    let timeout = service.spec.at(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"]).and_then(Tree::as_int);
    if service.affinity == "ClientIP"
        && let Some(timeout) = timeout.filter(|t| *t <= 0 || *t > MAX_AFFINITY)
    {
        let detail = format!("must be greater than 0 and less than {MAX_AFFINITY}");
        errors.invalid_int("spec.sessionAffinityConfig.clientIP.timeoutSeconds", timeout, &detail);
    }
}

/// ValidateServiceClusterIPsRelatedFields.
fn cluster_ips(errors: &mut Errors, service: &Wide<'_>, release: Release) {
    if service.type_ == "ExternalName" {
        return;
    }
    let ips = &service.cluster_ips;
    let all = || dump("[]string", ips);
    match (service.cluster_ip, ips.first()) {
        ("", Some(_)) => {
            errors.invalid_dump("spec.clusterIPs", &all(), "must be empty when `clusterIP` is not specified");
        }
        (ip, Some(first)) if ip != *first => {
            errors.invalid_dump("spec.clusterIPs", &all(), "first value must match `clusterIP`");
        }
        _ => {}
    }
    for (i, family) in service.families.iter().enumerate() {
        let path = format!("spec.ipFamilies[{i}]");
        errors.one_of(&path, family, &FAMILIES);
        if service.families[..i].contains(family) {
            errors.duplicate(&path, &go_quote(family));
        }
    }
    if let Some(policy) = service.text("ipFamilyPolicy") {
        errors.one_of("spec.ipFamilyPolicy", policy, &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    }
    let mut broken = false;
    for (i, ip) in ips.iter().enumerate() {
        if i == 0 && *ip == "None" {
            if ips.len() > 1 {
                broken = true;
                errors.invalid_dump("spec.clusterIPs", &all(), "'None' must be the first and only value");
            }
            continue;
        }
        let found = names::ip(ip, release);
        broken |= !found.is_empty();
        errors.each(&format!("spec.clusterIPs[{i}]"), ip, found);
    }
    if ips.len() > 2 {
        errors.invalid_dump("spec.clusterIPs", &all(), "may only hold up to 2 values");
    }
    if broken {
        return;
    }
    let is_v6 = |ip: &str| names::parse_ip(ip).is_some_and(|ip| ip.is_ipv6());
    if ips.len() > 1 && !(ips.iter().any(|ip| is_v6(ip)) && ips.iter().any(|ip| !is_v6(ip))) {
        errors.invalid_dump("spec.clusterIPs", &all(), "may specify no more than one IP for each IP family");
    }
    if service.headless() {
        return;
    }
    for (i, (ip, family)) in ips.iter().zip(&service.families).enumerate() {
        if FAMILIES.contains(family) && (*family == "IPv6") != is_v6(ip) {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.invalid(&format!("spec.clusterIPs[{i}]"), ip, &detail);
        }
    }
}

fn ports_together(errors: &mut Errors, service: &Wide<'_>) {
    if service.type_ == "ClusterIP" {
        for (i, _) in service.ports.iter().enumerate().filter(|(_, p)| p.node_port != 0) {
            errors.forbidden(&format!("spec.ports[{i}].nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in service.ports.iter().enumerate().filter(|(_, p)| p.node_port != 0) {
        if !seen.insert((port.protocol, port.node_port)) {
            errors.duplicate(&format!("spec.ports[{i}].nodePort"), &port.node_port.to_string());
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in service.ports.iter().enumerate() {
        if !seen.insert((port.protocol, port.port)) {
            // What Go prints of a struct that holds only these two.
            let shown = format!(
                "core.ServicePort{{Name:\"\", Protocol:{}, AppProtocol:(*string)(nil), Port:{}, TargetPort:intstr.IntOrString{{Type:0, IntVal:0, StrVal:\"\"}}, NodePort:0}}",
                go_quote(port.protocol),
                port.port
            );
            errors.duplicate(&format!("spec.ports[{i}]"), &shown);
        }
    }
}

fn source_ranges(errors: &mut Errors, service: &Wide<'_>, release: Release) {
    let ranges = texts(service.spec.get("loadBalancerSourceRanges"));
    if !ranges.is_empty() {
        let path = "spec.LoadBalancerSourceRanges";
        if service.type_ != "LoadBalancer" {
            errors.forbidden(path, NEED_LB);
        }
        for (i, range) in ranges.iter().enumerate() {
            let range = range.trim();
            errors.each(&format!("{path}[{i}]"), range, names::cidr(range, release));
        }
    } else if let Some(value) = service.annotation(SOURCE_RANGES) {
        let path = format!("metadata.annotations[{SOURCE_RANGES}]");
        if service.type_ != "LoadBalancer" {
            errors.forbidden(&path, NEED_LB);
        }
        if !value.trim().is_empty() {
            for range in value.split(',').map(str::trim) {
                errors.each(&path, range, names::cidr(range, release));
            }
        }
    }
}

fn traffic(errors: &mut Errors, service: &Wide<'_>, release: Release) {
    let policy = service.external_policy;
    if service.externally_accessible() {
        errors.one_of("spec.externalTrafficPolicy", policy, &POLICIES);
    } else if !policy.is_empty() {
        errors.invalid("spec.externalTrafficPolicy", policy, "may only be set for externally-accessible services");
    }
    // Where one is needed and none given, the registry has allocated one before this.
    let health = service.spec.get("healthCheckNodePort").and_then(Tree::as_int).unwrap_or(0);
    let needed = service.type_ == "LoadBalancer" && policy == "Local";
    let detail = match needed {
        false => Some("may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"),
        true => Some(names::PORT).filter(|_| !names::is_port(health)),
    };
    if let Some(detail) = detail.filter(|_| health != 0) {
        errors.invalid_int("spec.healthCheckNodePort", health, detail);
    }
    if let Some(policy) = service.text("internalTrafficPolicy") {
        errors.one_of("spec.internalTrafficPolicy", policy, &POLICIES);
    }
    if let Some(distribution) = service.text("trafficDistribution") {
        let newer = ["PreferClose", "PreferSameNode", "PreferSameZone"];
        let supported = if release >= Release(34) { &newer[..] } else { &newer[..1] };
        errors.one_of("spec.trafficDistribution", distribution, supported);
    }
}
