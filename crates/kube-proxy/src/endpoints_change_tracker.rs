//! What kube-proxy reads from EndpointSlices (`pkg/proxy/endpointslicecache.go`, `endpoint.go`).

use crate::service_change_tracker::parse_ip_sloppy;
use datapath::digits::push_addr;
use kube_api::{
    AddressType, EndpointSlice, IpFamily, LABEL_HEADLESS, LABEL_SERVICE_NAME, LABEL_SERVICE_PROXY_NAME, NamespacedName,
    Protocol,
};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

/// An address and port as text, in place: a large cluster has a hundred thousand of them.
#[derive(Clone, Copy)]
pub struct AddrText {
    /// Long enough for an IPv6 address in brackets and a port.
    bytes: [u8; 47],
    len: u8,
}

impl AddrText {
    /// `10.0.0.1:80`, `[fd00::1]:80`; `buffer` is used to write it.
    fn new(addr: SocketAddr, buffer: &mut String) -> AddrText {
        buffer.clear();
        push_addr(buffer, addr);
        let mut text = AddrText { bytes: [0; 47], len: 0 };
        if let Some(place) = text.bytes.get_mut(..buffer.len()) {
            place.copy_from_slice(buffer.as_bytes());
            text.len = buffer.len() as u8;
        }
        text
    }
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl From<SocketAddr> for AddrText {
    fn from(addr: SocketAddr) -> AddrText {
        AddrText::new(addr, &mut String::new())
    }
}

impl Deref for AddrText {
    type Target = str;
    fn deref(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

impl PartialEq for AddrText {
    fn eq(&self, other: &AddrText) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for AddrText {}

impl PartialOrd for AddrText {
    fn partial_cmp(&self, other: &AddrText) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AddrText {
    fn cmp(&self, other: &AddrText) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl fmt::Debug for AddrText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Endpoints in order of their texts. Most often all of a port's are used, so the lists are shared.
pub type Endpoints = Arc<[EndpointInfo]>;

/// An endpoint of a service port (`BaseEndpointInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointInfo {
    /// Its address and port.
    pub addr: SocketAddr,
    /// `ip:port`, by which endpoints are sorted and told apart.
    pub text: AddrText,
    /// Whether it is on this node.
    pub is_local: bool,
    /// `conditions.ready`; nil counts as true.
    pub ready: bool,
    /// `conditions.serving`; nil counts as true.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// Who should use it, where its slice says so.
    pub hints: Option<Arc<Hints>>,
}

/// Who should use an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Zones.
    pub zones: Vec<String>,
    /// Nodes.
    pub nodes: Vec<String>,
}

impl EndpointInfo {
    /// Zones that should use it.
    pub fn zone_hints(&self) -> &[String] {
        self.hints.as_ref().map_or(&[], |hints| &hints.zones)
    }
    /// Nodes that should use it.
    pub fn node_hints(&self) -> &[String] {
        self.hints.as_ref().map_or(&[], |hints| &hints.nodes)
    }
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
pub type EndpointsMap = BTreeMap<(String, Protocol), Endpoints>;

/// The endpoints of all slices of a Service, sorted and without duplicates (`endpointInfoByServicePort`).
///
/// Of equal endpoints the first stays, unless a later one is on this node. Upstream takes slices in the
/// random order of a Go map; here their order is that of the argument.
pub fn endpoints_by_port<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    family: IpFamily,
    node: &str,
) -> EndpointsMap {
    let mut ports: BTreeMap<(String, Protocol), Vec<EndpointInfo>> = BTreeMap::new();
    let mut buffer = String::new();
    for slice in slices {
        for port in &slice.ports {
            let (Some(name), Some(number)) = (&port.name, port.port.filter(|p| *p != 0)) else { continue };
            let list = ports.entry((name.clone(), port.protocol.unwrap_or_default())).or_default();
            list.reserve(slice.endpoints.len());
            for endpoint in &slice.endpoints {
                let ip = endpoint.addresses.first().and_then(|a| parse_ip_sloppy(a));
                let Some(ip) = ip.filter(|ip| IpFamily::of(*ip) == family) else { continue };
                let addr = SocketAddr::new(ip, number);
                let names =
                    |targets: &[kube_api::HintTarget]| targets.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
                let hints = endpoint.hints.as_ref();
                list.push(EndpointInfo {
                    addr,
                    text: AddrText::new(addr, &mut buffer),
                    is_local: endpoint.node_name.as_deref() == Some(node),
                    ready: endpoint.conditions.ready.unwrap_or(true),
                    serving: endpoint.conditions.serving.unwrap_or(true),
                    terminating: endpoint.conditions.terminating.unwrap_or(false),
                    hints: hints.map(|h| Arc::new(Hints { zones: names(&h.for_zones), nodes: names(&h.for_nodes) })),
                });
            }
        }
    }
    let unique = |mut list: Vec<EndpointInfo>| {
        // Stable: among equal ones the first of the slices comes first, and a local one replaces it.
        #[expect(clippy::unnecessary_sort_by, reason = "a key would be a copy of the text")]
        list.sort_by(|a, b| a.text.cmp(&b.text));
        list.dedup_by(|later, first| {
            let same = later.text == first.text;
            if same && later.is_local {
                std::mem::swap(later, first);
            }
            same
        });
        Endpoints::from(list)
    };
    ports.into_iter().map(|(port, list)| (port, unique(list))).collect()
}
