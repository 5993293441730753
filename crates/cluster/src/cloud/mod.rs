//! A cloud provider: the service controller (`kubernetes/cloud-provider`, SPEC section 7) and the load balancers that it
//! orders. Without a cloud a Service of type LoadBalancer waits for its address for ever.

mod health;
mod load_balancer;
mod service_controller;

use crate::scenario::LoadBalancerSpec;
use kube_api::NamespacedName;
use lab_base::OrdMap;
pub(crate) use load_balancer::Balanced;
pub use load_balancer::{LoadBalancer, LoadBalancerTarget};
use serde::Serialize;
use std::sync::Arc;

/// The cloud that a cluster runs in.
#[derive(Clone, Debug, Serialize)]
pub struct Cloud {
    /// How its load balancers are.
    pub spec: LoadBalancerSpec,
    /// Load balancers, by Service.
    pub balancers: OrdMap<NamespacedName, Arc<LoadBalancer>>,
    /// Those that are being made or changed.
    pub(crate) ordered: OrdMap<NamespacedName, ()>,
    /// How many addresses have been given out.
    pub(crate) given: u8,
    /// Whether a fault has stopped the health checks.
    pub checks_stopped: bool,
}

impl Cloud {
    pub(crate) fn new(spec: &LoadBalancerSpec) -> Cloud {
        Cloud { spec: spec.clone(), balancers: OrdMap::new(), ordered: OrdMap::new(), given: 0, checks_stopped: false }
    }
}
