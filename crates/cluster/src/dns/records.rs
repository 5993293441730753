//! What CoreDNS knows of the cluster.

use crate::store::Store;
use kube_api::{EndpointSlice, Namespace, NamespacedName, Pod, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// A Pod as far as DNS is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRecord {
    /// Its Namespace.
    pub namespace: String,
    /// Its address.
    pub ip: IpAddr,
}

/// The objects that CoreDNS watches.
pub trait Knowledge {
    /// Whether there is a Namespace of this name.
    fn has_namespace(&self, name: &str) -> bool;
    /// The Service of this name.
    fn service(&self, key: &NamespacedName) -> Option<&Service>;
    /// All Services, by namespace and name.
    fn services(&self) -> Box<dyn Iterator<Item = &Service> + '_>;
    /// All EndpointSlices, by namespace and name.
    fn slices(&self) -> Box<dyn Iterator<Item = &EndpointSlice> + '_>;
    /// Whether a Pod in this Namespace has this address.
    fn has_pod(&self, namespace: &str, ip: IpAddr) -> bool;
}

impl Knowledge for Store {
    fn has_namespace(&self, name: &str) -> bool {
        self.get::<Namespace>(&NamespacedName::new("", name)).is_some()
    }
    fn service(&self, key: &NamespacedName) -> Option<&Service> {
        self.get::<Service>(key).map(|s| &**s)
    }
    fn services(&self) -> Box<dyn Iterator<Item = &Service> + '_> {
        Box::new(self.list::<Service>().map(|s| &**s))
    }
    fn slices(&self) -> Box<dyn Iterator<Item = &EndpointSlice> + '_> {
        Box::new(self.list::<EndpointSlice>().map(|s| &**s))
    }
    fn has_pod(&self, namespace: &str, ip: IpAddr) -> bool {
        self.list::<Pod>()
            .any(|p| p.metadata.namespace == namespace && p.status.pod_ips.iter().any(|own| own.parse() == Ok(ip)))
    }
}

/// Objects that stand by themselves, without a cluster around them.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Namespaces that exist.
    pub namespaces: BTreeSet<String>,
    /// Services.
    pub services: BTreeMap<NamespacedName, Arc<Service>>,
    /// EndpointSlices.
    pub slices: BTreeMap<NamespacedName, Arc<EndpointSlice>>,
    /// Pods.
    pub pods: Vec<PodRecord>,
}

impl Knowledge for Objects {
    fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }
    fn service(&self, key: &NamespacedName) -> Option<&Service> {
        self.services.get(key).map(|s| &**s)
    }
    fn services(&self) -> Box<dyn Iterator<Item = &Service> + '_> {
        Box::new(self.services.values().map(|s| &**s))
    }
    fn slices(&self) -> Box<dyn Iterator<Item = &EndpointSlice> + '_> {
        Box::new(self.slices.values().map(|s| &**s))
    }
    fn has_pod(&self, namespace: &str, ip: IpAddr) -> bool {
        self.pods.iter().any(|p| p.namespace == namespace && p.ip == ip)
    }
}
