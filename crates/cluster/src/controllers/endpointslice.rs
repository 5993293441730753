//! EndpointSlices of each Service (`kubernetes/endpointslice`: `reconciler.go`, `utils.go`).

use crate::cluster::Cluster;
use crate::proxy::service_of;
use kube_api::{
    AddressType, Endpoint, EndpointConditions, EndpointPort, EndpointSlice, IntOrString, Kind, LABEL_HEADLESS,
    LABEL_MANAGED_BY, LABEL_SERVICE_NAME, MANAGED_BY_CONTROLLER, NamespacedName, Node, ObjectMeta, ObjectReference,
    OwnerReference, Pod, Service, ServiceType, StringMap, selects,
};
use lab_protocol::{MarkKind, Phrase};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `--max-endpoints-per-slice`.
const MAX_ENDPOINTS_PER_SLICE: usize = 100;

/// Endpoints that share their ports, by address.
type Groups = BTreeMap<Vec<EndpointPort>, BTreeMap<String, Endpoint>>;

impl Cluster {
    /// Reconciles the slices of one Service.
    pub(crate) fn sync_service(&mut self, key: &NamespacedName) {
        let Some(service) = self.store.get::<Service>(key).cloned() else { return };
        if service.spec.selector.is_empty()
            || service.spec.type_ == ServiceType::ExternalName
            || service.metadata.is_deleting()
        {
            return;
        }
        let mut groups = self.wanted_endpoints(&service);
        if groups.is_empty() {
            groups.insert(Vec::new(), BTreeMap::new()); // exactly one empty slice holds the place
        }
        let existing: Vec<Arc<EndpointSlice>> = self
            .store
            .list::<EndpointSlice>()
            .filter(|s| s.metadata.namespace == key.namespace && service_of(s) == Some(&key.name))
            .filter(|s| s.metadata.labels.get(LABEL_MANAGED_BY).map(String::as_str) == Some(MANAGED_BY_CONTROLLER))
            .cloned()
            .collect();
        let before = endpoint_addresses(&existing);
        let mut unused = Vec::new();
        for slice in &existing {
            if !groups.contains_key(&slice.ports) {
                unused.push(slice.clone());
            }
        }
        for (ports, endpoints) in groups {
            let of_group: Vec<_> = existing.iter().filter(|s| s.ports == ports).cloned().collect();
            self.pack(&service, &ports, endpoints, &of_group, &mut unused);
        }
        for slice in unused {
            self.store.remove::<EndpointSlice>(&slice.metadata.key());
        }
        self.mark_endpoint_changes(&service, &before);
    }

    /// The endpoints that a Service ought to have, by the ports that its Pods resolve them to.
    fn wanted_endpoints(&self, service: &Service) -> Groups {
        let mut groups = Groups::new();
        for pod in self.store.list::<Pod>() {
            let right = pod.metadata.namespace == service.metadata.namespace
                && selects(&service.spec.selector, &pod.metadata.labels)
                && !pod.status.pod_ip.is_empty()
                && !pod.is_finished();
            if right {
                let endpoint = self.endpoint(service, pod);
                groups.entry(resolve_ports(service, pod)).or_default().insert(pod.status.pod_ip.clone(), endpoint);
            }
        }
        groups
    }

    fn endpoint(&self, service: &Service, pod: &Pod) -> Endpoint {
        let serving = pod.is_ready();
        let terminating = pod.metadata.is_deleting();
        let node = self.store.get::<Node>(&NamespacedName::new("", pod.spec.node_name.clone()));
        let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
        Endpoint {
            addresses: vec![pod.status.pod_ip.clone()],
            conditions: EndpointConditions {
                ready: Some(service.spec.publish_not_ready_addresses || (serving && !terminating)),
                serving: Some(serving),
                terminating: Some(terminating),
            },
            hostname: named.then(|| pod.spec.hostname.clone()),
            target_ref: Some(ObjectReference {
                kind: Kind::Pod.name().into(),
                namespace: pod.metadata.namespace.clone(),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid,
            }),
            node_name: Some(pod.spec.node_name.clone()).filter(|n| !n.is_empty()),
            zone: node.and_then(|n| n.zone()).map(str::to_owned),
            hints: None,
        }
    }

    /// Keeps endpoints in the slices in which they are, drops those that are gone, and puts new ones where there is room:
    /// first into slices that change anyway (fullest first), then into the fullest that takes them all, then into new ones.
    fn pack(
        &mut self,
        service: &Service,
        ports: &[EndpointPort],
        mut wanted: BTreeMap<String, Endpoint>,
        existing: &[Arc<EndpointSlice>],
        unused: &mut Vec<Arc<EndpointSlice>>,
    ) {
        let placeholder = wanted.is_empty();
        let mut kept: Vec<(Arc<EndpointSlice>, Vec<Endpoint>, bool)> = Vec::new();
        for slice in existing {
            let endpoints: Vec<_> =
                slice.endpoints.iter().filter_map(|e| wanted.remove(e.addresses.first()?)).collect();
            let changed = endpoints != slice.endpoints;
            if endpoints.is_empty() && !(placeholder && kept.is_empty()) {
                unused.push(slice.clone());
            } else {
                kept.push((slice.clone(), endpoints, changed));
            }
        }
        let mut new: Vec<Endpoint> = wanted.into_values().collect();
        kept.sort_by_key(|(s, e, _)| (core::cmp::Reverse(e.len()), s.metadata.name.clone()));
        for (_, endpoints, _) in kept.iter_mut().filter(|(_, _, changed)| *changed) {
            let room = MAX_ENDPOINTS_PER_SLICE - endpoints.len().min(MAX_ENDPOINTS_PER_SLICE);
            endpoints.extend(new.drain(..room.min(new.len())));
        }
        if !new.is_empty()
            && let Some((_, endpoints, changed)) =
                kept.iter_mut().find(|(_, e, changed)| !changed && e.len() + new.len() <= MAX_ENDPOINTS_PER_SLICE)
        {
            endpoints.append(&mut new);
            *changed = true;
        }
        let was_kept = !kept.is_empty();
        let labels = slice_labels(service);
        for (slice, endpoints, _) in kept {
            self.store.update::<EndpointSlice>(&slice.metadata.key(), |s| {
                s.endpoints = endpoints;
                s.metadata.labels = labels.clone();
            });
        }
        let empty_one = placeholder && !was_kept;
        while !new.is_empty() || (empty_one && new.is_empty()) {
            // An empty slice that holds the place of a group may be reused; otherwise a new one is made.
            let rest = new.split_off(new.len().min(MAX_ENDPOINTS_PER_SLICE));
            let endpoints = core::mem::replace(&mut new, rest);
            let reuse = unused.iter().position(|s| s.endpoints.is_empty());
            match reuse {
                Some(i) => {
                    let slice = unused.remove(i);
                    let (ports, labels) = (ports.to_vec(), labels.clone());
                    self.store.update::<EndpointSlice>(&slice.metadata.key(), |s| {
                        s.endpoints = endpoints;
                        s.ports = ports;
                        s.metadata.labels = labels;
                    });
                }
                None => self.create_slice(service, ports, endpoints, &labels),
            }
            if empty_one {
                break;
            }
        }
    }

    fn create_slice(
        &mut self,
        service: &Service,
        ports: &[EndpointPort],
        endpoints: Vec<Endpoint>,
        labels: &StringMap,
    ) {
        for attempt in 0..50 {
            let name = format!("{}-{}", service.metadata.name, self.random_suffix(&service.metadata.name, attempt));
            let slice = EndpointSlice {
                metadata: ObjectMeta {
                    name,
                    generate_name: format!("{}-", service.metadata.name),
                    namespace: service.metadata.namespace.clone(),
                    labels: labels.clone(),
                    owner_references: vec![OwnerReference {
                        kind: Kind::Service.name().into(),
                        name: service.metadata.name.clone(),
                        uid: service.metadata.uid,
                        controller: true,
                    }],
                    ..Default::default()
                },
                address_type: AddressType::IPv4,
                endpoints: endpoints.clone(),
                ports: ports.to_vec(),
            };
            if self.store.create(self.now, slice).is_some() {
                return;
            }
        }
    }

    /// Tells which addresses became ready or ceased to be.
    fn mark_endpoint_changes(&mut self, service: &Service, before: &BTreeMap<String, bool>) {
        let slices: Vec<_> = self
            .store
            .list::<EndpointSlice>()
            .filter(|s| s.metadata.namespace == service.metadata.namespace)
            .filter(|s| service_of(s) == Some(&service.metadata.name))
            .cloned()
            .collect();
        let after = endpoint_addresses(&slices);
        let ready = |map: &BTreeMap<String, bool>, ip: &str| map.get(ip).copied().unwrap_or(false);
        let object = format!("Service/{}", service.metadata.name);
        let count = after.values().filter(|r| **r).count();
        let all: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed: Vec<_> = all
            .into_iter()
            .filter(|ip| ready(before, ip) != ready(&after, ip))
            .map(|ip| (ip.clone(), ready(&after, ip)))
            .collect();
        for (ip, now_ready) in changed {
            let id = if now_ready { "mark-endpoint-added" } else { "mark-endpoint-removed" };
            let phrase = Phrase::new(id).with("ip", ip).with("service", &service.metadata.name).with("count", count);
            self.mark(MarkKind::Change, object.clone(), phrase);
        }
    }
}

/// Each address with whether it is ready.
fn endpoint_addresses(slices: &[Arc<EndpointSlice>]) -> BTreeMap<String, bool> {
    slices
        .iter()
        .flat_map(|s| &s.endpoints)
        .filter_map(|e| Some((e.addresses.first()?.clone(), e.conditions.ready.unwrap_or(true))))
        .collect()
}

/// The Service's ports as this Pod has them: a named target port is looked up in its containers; one that it doesn't
/// have is left out.
fn resolve_ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    service
        .spec
        .ports
        .iter()
        .filter_map(|port| {
            let number = match &port.target_port {
                None => port.port,
                Some(IntOrString::Int(0)) => port.port,
                Some(IntOrString::Int(n)) => u16::try_from(*n).ok()?,
                Some(IntOrString::String(name)) => {
                    pod.spec
                        .containers
                        .iter()
                        .flat_map(|c| &c.ports)
                        .find(|p| p.name == *name && p.protocol == port.protocol)?
                        .container_port
                }
            };
            Some(EndpointPort {
                name: Some(port.name.clone()),
                protocol: Some(port.protocol),
                port: Some(number),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

fn slice_labels(service: &Service) -> StringMap {
    let mut labels = service.metadata.labels.clone();
    labels.insert(LABEL_SERVICE_NAME.into(), service.metadata.name.clone());
    labels.insert(LABEL_MANAGED_BY.into(), MANAGED_BY_CONTROLLER.into());
    if service.is_headless() {
        labels.insert(LABEL_HEADLESS.into(), String::new());
    } else {
        labels.remove(LABEL_HEADLESS);
    }
    labels
}
