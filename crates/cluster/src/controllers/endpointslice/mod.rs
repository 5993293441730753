//! EndpointSlices of each Service (`kubernetes/endpointslice`: `reconciler.go`, `utils.go`, `topologycache`, `trafficdist`).

mod distribution;
mod endpoint;
mod reconcile;
mod topology;

pub use distribution::{Distribution, reconcile_hints};
pub use endpoint::{
    DeclaredPort, address_types, endpoint_ports, find_port, hints_enabled, is_eligible, pod_to_endpoint, sets_hostname,
    slice_labels,
};
pub use reconcile::{Plan, Settings, Situation, reconcile};
pub use topology::{
    Allocation, HintEvent, Slices, Zones, add_hints, allocations, cpu_ratios, giving_and_receiving, remove_hints,
};

pub(crate) use topology::share;

use crate::cluster::Cluster;
use crate::event::Controller;
use crate::proxy::service_of;
use kube_api::{
    EndpointSlice, LABEL_MANAGED_BY, MANAGED_BY_CONTROLLER, NamespacedName, Node, Pod, Service, ServiceType, selects,
};
use lab_base::Span;
use lab_protocol::{MarkKind, Phrase};
use reconcile::ready_addresses;
use std::collections::BTreeSet;
use std::sync::Arc;

/// From a change of a slice that isn't the controller's own until it looks at the Service
/// (`endpointSliceChangeMinSyncDelay`).
pub(crate) const SLICE_CHANGE_DELAY: Span = Span::from_secs(1);

/// After how long a Service that couldn't be done whole is looked at again (the rate limiter's first delay).
const RETRY: Span = Span::from_secs(1);

impl Cluster {
    /// Reconciles the slices of one Service.
    pub(crate) fn sync_service(&mut self, key: &NamespacedName) {
        let Some(service) = self.store.get::<Service>(key).cloned() else { return };
        let by_hand = service.spec.selector.is_empty() || service.spec.type_ == ServiceType::ExternalName;
        if by_hand || service.metadata.is_deleting() {
            return;
        }
        let selected = |p: &&Arc<Pod>| {
            p.metadata.namespace == key.namespace && selects(&service.spec.selector, &p.metadata.labels)
        };
        let pods: Vec<_> = self.store.list::<Pod>().filter(selected).cloned().collect();
        let slices = self.slices_of(key, true);
        let before = ready_addresses(self.slices_of(key, false).iter().map(|s| &**s));
        let hinted = hints_enabled(&service.metadata.annotations);
        let ratios = if hinted { cpu_ratios(self.store.list::<Node>().map(|n| &**n)) } else { None };
        let situation = Situation {
            service: &service,
            pods: &pods,
            slices: &slices,
            node: &|name| self.store.get::<Node>(&NamespacedName::new("", name)).map(|n| &**n),
            ratios: ratios.as_ref(),
        };
        let plan = reconcile(&situation, Settings::of(self.release));
        if plan.incomplete {
            self.enqueue_after(Controller::EndpointSlice, key.clone(), RETRY);
        }
        self.write_slices(&service, plan);
        self.mark_endpoint_changes(&service, &before);
    }

    /// A Service's slices; `managed`: only those of the controller.
    fn slices_of(&self, service: &NamespacedName, managed: bool) -> Vec<Arc<EndpointSlice>> {
        self.store
            .list::<EndpointSlice>()
            .filter(|s| s.metadata.namespace == service.namespace && service_of(s) == Some(&service.name))
            .filter(|s| {
                let manager = s.metadata.labels.get(LABEL_MANAGED_BY).map(String::as_str);
                !managed || manager == Some(MANAGED_BY_CONTROLLER)
            })
            .cloned()
            .collect()
    }

    fn write_slices(&mut self, service: &Service, plan: Plan) {
        for slice in plan.update {
            let key = slice.metadata.key();
            self.store.update::<EndpointSlice>(&key, |s| *s = slice);
        }
        for mut slice in plan.create {
            for attempt in 0..50 {
                let suffix = self.random_suffix(&service.metadata.name, attempt);
                slice.metadata.name = format!("{}{suffix}", slice.metadata.generate_name);
                if self.store.create(self.now, slice.clone()).is_some() {
                    break;
                }
            }
        }
        for slice in plan.delete {
            self.store.delete::<EndpointSlice>(self.now, &slice.metadata.key());
        }
        for event in plan.events {
            self.hints_event(&service.metadata, event.normal, event.reason, event.message);
        }
    }

    /// Tells which addresses became ready or ceased to be.
    fn mark_endpoint_changes(&mut self, service: &Service, before: &BTreeSet<String>) {
        let slices = self.slices_of(&service.metadata.key(), false);
        let after = ready_addresses(slices.iter().map(|s| &**s));
        let object = format!("Service/{}", service.metadata.name);
        for ip in before.symmetric_difference(&after) {
            let id = if after.contains(ip) { "mark-endpoint-added" } else { "mark-endpoint-removed" };
            let count = after.len();
            let phrase = Phrase::new(id).with("ip", ip).with("service", &service.metadata.name).with("count", count);
            self.mark(MarkKind::Change, object.clone(), phrase);
            self.failover_endpoint(service, ip, after.contains(ip));
        }
    }

    /// The Services whose hints depend on the nodes' CPUs (`GetOverloadedServices` looks at these).
    pub(super) fn services_with_topology_hints(&self) -> Vec<NamespacedName> {
        let hinted = |key: &NamespacedName| {
            self.slices_of(key, true).iter().flat_map(|s| &s.endpoints).any(|e| e.hints.is_some())
        };
        self.store
            .list::<Service>()
            .filter(|s| hints_enabled(&s.metadata.annotations))
            .map(|s| s.metadata.key())
            .filter(hinted)
            .collect()
    }
}
