//! What kube-proxy reads from EndpointSlices (`pkg/proxy/endpointslicecache.go`, `endpoint.go`).

use crate::service_change_tracker::parse_ip_sloppy;
use kube_api::{
    AddressType, EndpointSlice, IpFamily, LABEL_HEADLESS, LABEL_SERVICE_NAME, LABEL_SERVICE_PROXY_NAME, NamespacedName,
    Protocol,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// An endpoint of a service port (`BaseEndpointInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointInfo {
    /// Its address and port.
    pub addr: SocketAddr,
    /// `ip:port`, by which endpoints are sorted and told apart.
    pub text: Arc<str>,
    /// Whether it is on this node.
    pub is_local: bool,
    /// `conditions.ready`; nil counts as true.
    pub ready: bool,
    /// `conditions.serving`; nil counts as true.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// Zones that should use it.
    pub zone_hints: Vec<String>,
    /// Nodes that should use it.
    pub node_hints: Vec<String>,
}

/// The Service that a slice is for, or `None` if kube-proxy ignores the slice.
pub fn slice_service(slice: &EndpointSlice, family: IpFamily) -> Option<NamespacedName> {
    let labels = &slice.metadata.labels;
    if slice.address_type != AddressType::from(family)
        || labels.contains_key(LABEL_SERVICE_PROXY_NAME)
        || labels.contains_key(LABEL_HEADLESS)
    {
        return None;
    }
    let name = labels.get(LABEL_SERVICE_NAME).filter(|name| !name.is_empty())?;
    Some(NamespacedName::new(slice.metadata.namespace.clone(), name.clone()))
}

/// Endpoints by port name and protocol.
pub type EndpointsMap = BTreeMap<(String, Protocol), Vec<EndpointInfo>>;

/// The endpoints of all slices of a Service, sorted and without duplicates (`endpointInfoByServicePort`).
///
/// Of equal endpoints the first stays, unless a later one is on this node. Upstream takes slices in the
/// random order of a Go map; here their order is that of the argument.
pub fn endpoints_by_port<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    family: IpFamily,
    node: &str,
) -> EndpointsMap {
    let mut ports: EndpointsMap = BTreeMap::new();
    for slice in slices {
        for port in &slice.ports {
            let (Some(name), Some(number)) = (&port.name, port.port.filter(|p| *p != 0)) else { continue };
            let list = ports.entry((name.clone(), port.protocol.unwrap_or_default())).or_default();
            for endpoint in &slice.endpoints {
                let ip = endpoint.addresses.first().and_then(|a| parse_ip_sloppy(a));
                let Some(ip) = ip.filter(|ip| IpFamily::of(*ip) == family) else { continue };
                let addr = SocketAddr::new(ip, number);
                let names =
                    |targets: &[kube_api::HintTarget]| targets.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
                let hints = endpoint.hints.as_ref();
                list.push(EndpointInfo {
                    addr,
                    text: addr.to_string().into(),
                    is_local: endpoint.node_name.as_deref() == Some(node),
                    ready: endpoint.conditions.ready.unwrap_or(true),
                    serving: endpoint.conditions.serving.unwrap_or(true),
                    terminating: endpoint.conditions.terminating.unwrap_or(false),
                    zone_hints: hints.map(|h| names(&h.for_zones)).unwrap_or_default(),
                    node_hints: hints.map(|h| names(&h.for_nodes)).unwrap_or_default(),
                });
            }
        }
    }
    for list in ports.values_mut() {
        // Stable: among equal ones the first of the slices comes first, and a local one replaces it.
        list.sort_by(|a, b| a.text.cmp(&b.text));
        let mut unique: Vec<EndpointInfo> = Vec::with_capacity(list.len());
        for endpoint in list.drain(..) {
            match unique.last_mut().filter(|last| last.text == endpoint.text) {
                Some(last) if endpoint.is_local => *last = endpoint,
                Some(_) => {}
                None => unique.push(endpoint),
            }
        }
        *list = unique;
    }
    ports
}
