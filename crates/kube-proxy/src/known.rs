//! What is known of a Service: what was heard, and what was synced last.

use crate::conntrack::UdpServing;
use crate::endpoints_change_tracker::EndpointInfo;
use crate::service_change_tracker::ServicePortInfo;
use crate::topology::Categorized;
use kube_api::{EndpointSlice, NamespacedName};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What is counted of a port's endpoints.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Endpoints in whatever condition.
    pub(crate) known: usize,
    /// Those on this node in whatever condition.
    pub(crate) local: Vec<SocketAddr>,
    /// Addresses of ready ones on this node.
    pub(crate) local_ready: Vec<IpAddr>,
}

/// A service port as it was synced.
#[derive(Debug)]
pub(crate) struct Synced {
    pub(crate) info: Arc<ServicePortInfo>,
    pub(crate) endpoints: Categorized,
    pub(crate) counts: Counts,
    pub(crate) first_origin: u32,
}

impl Synced {
    /// Endpoints for traffic to the cluster IP. IPVS uses endpoints anywhere where policy `Local` has none here.
    pub(crate) fn internal(&self, ipvs: bool) -> &[EndpointInfo] {
        if self.info.internal_policy_local && !(ipvs && self.endpoints.local.is_empty()) {
            &self.endpoints.local
        } else {
            &self.endpoints.cluster
        }
    }
}

/// A Service as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) key: Arc<NamespacedName>,
    /// Whether the next sync looks at it.
    pub(crate) dirty: bool,
    /// Its ports, as of its object.
    pub(crate) ports: Arc<[Arc<ServicePortInfo>]>,
    /// Its slices by name, in order.
    pub(crate) slices: Vec<(String, Arc<EndpointSlice>)>,
    /// Its ports as of the last sync, in order of the rules.
    pub(crate) synced: Vec<Arc<Synced>>,
    /// Serving endpoints of its UDP ports, as of the last sync.
    pub(crate) udp_serving: Arc<UdpServing>,
}

impl Known {
    pub(crate) fn new(key: Arc<NamespacedName>) -> Known {
        let (ports, udp_serving) = (Arc::default(), Arc::default());
        Known { key, dirty: false, ports, slices: Vec::new(), synced: Vec::new(), udp_serving }
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.slices.is_empty() && self.synced.is_empty()
    }
    pub(crate) fn synced(&self, key: &str) -> Option<&Arc<Synced>> {
        self.synced.iter().find(|s| &*s.info.key == key)
    }
    /// Its slice of this name, or where it would stand.
    pub(crate) fn slice(&self, name: &str) -> Result<usize, usize> {
        self.slices.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }
}
