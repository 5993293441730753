//! EndpointSlice (`staging/src/k8s.io/api/discovery/v1/types.go`).

use super::{IpFamily, ObjectMeta, Protocol};
use serde::{Deserialize, Serialize};

/// Label that names the Service of a slice.
pub const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label that names who writes the slice.
pub const LABEL_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`] for the EndpointSlice controller.
pub const MANAGED_BY_CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Label on objects that another proxy serves.
pub const LABEL_SERVICE_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Label on headless Services and their slices.
pub const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";
/// Annotation that asked for topology-aware hints.
pub const ANNOTATION_TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
/// Its older form.
pub const ANNOTATION_TOPOLOGY_AWARE_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
/// When the change that led to a slice's content happened.
pub const ANNOTATION_LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// A part of the endpoints of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// Family of every address.
    pub address_type: AddressType,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The ports that every endpoint has.
    pub ports: Vec<EndpointPort>,
}

/// `addressType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AddressType {
    /// IPv4 addresses.
    #[default]
    IPv4,
    /// IPv6 addresses.
    IPv6,
    /// Host names; kube-proxy ignores these.
    #[serde(rename = "FQDN")]
    Fqdn,
}

impl From<IpFamily> for AddressType {
    fn from(family: IpFamily) -> Self {
        match family {
            IpFamily::V4 => AddressType::IPv4,
            IpFamily::V6 => AddressType::IPv6,
        }
    }
}

/// One endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Its addresses; kube-proxy reads the first.
    pub addresses: Vec<String>,
    /// Whether it may be used.
    pub conditions: EndpointConditions,
    /// Its host name, when the Pod has one.
    pub hostname: Option<String>,
    /// The Pod behind it.
    pub target_ref: Option<ObjectReference>,
    /// The node it is on.
    pub node_name: Option<String>,
    /// The zone it is in.
    pub zone: Option<String>,
    /// Who should use it.
    pub hints: Option<EndpointHints>,
}

/// `conditions` of an endpoint. Readers take nil as: ready true, serving as ready, terminating false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Serving, and not terminating (or Services that publish not-ready addresses).
    pub ready: Option<bool>,
    /// The Pod is Ready, terminating or not.
    pub serving: Option<bool>,
    /// The Pod is being deleted.
    pub terminating: Option<bool>,
}

/// A pointer to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: super::Uid,
}

/// `hints` of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointHints {
    /// Zones that should use it.
    pub for_zones: Vec<HintTarget>,
    /// Nodes that should use it.
    pub for_nodes: Vec<HintTarget>,
}

/// A zone or node named by a hint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HintTarget {
    /// Its name.
    pub name: String,
}

/// An entry of `ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// Name of the Service's port.
    pub name: Option<String>,
    /// Transport; nil means TCP.
    pub protocol: Option<Protocol>,
    /// Number; nil: kube-proxy skips it.
    pub port: Option<u16>,
    /// Copied from the Service.
    pub app_protocol: Option<String>,
}
