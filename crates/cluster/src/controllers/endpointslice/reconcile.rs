//! What has to be written so that a Service's slices are right (`reconciler.go`).
//!
//! Slices are not rebalanced for tidiness: endpoints stay where they are, and few slices are touched.

use super::distribution::{Distribution, reconcile_hints};
use super::endpoint::{address_types, endpoint_ports, hints_enabled, is_eligible, pod_to_endpoint, slice_labels};
use super::topology::{HintEvent, Slices, add_hints, remove_hints};
use kube_api::{
    AddressType, Endpoint, EndpointPort, EndpointSlice, Kind, Node, ObjectMeta, OwnerReference, Pod, Release, Service,
    Uid,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How the controller is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `--max-endpoints-per-slice`.
    pub max_endpoints: usize,
    /// Gate ServiceTrafficDistribution.
    pub traffic_distribution: bool,
    /// Gate PreferSameTrafficDistribution.
    pub prefer_same: bool,
    /// The release as far as there is no gate for it.
    pub release: Release,
}

impl Settings {
    /// As a release has it.
    pub fn of(release: Release) -> Settings {
        Settings {
            max_endpoints: 100,
            traffic_distribution: release >= Release(31),
            prefer_same: release >= Release(34),
            release,
        }
    }
}

/// What the controller looks at.
pub struct Situation<'a> {
    /// The Service.
    pub service: &'a Service,
    /// The Pods that its selector selects.
    pub pods: &'a [Arc<Pod>],
    /// Its slices that the controller manages.
    pub slices: &'a [Arc<EndpointSlice>],
    /// A node by name.
    pub node: &'a dyn Fn(&str) -> Option<&'a Node>,
    /// Each zone's share of the CPUs.
    pub ratios: Option<&'a BTreeMap<String, f64>>,
}

/// What has to be written.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// New slices, without a name yet.
    pub create: Vec<EndpointSlice>,
    /// Slices with new content.
    pub update: Vec<EndpointSlice>,
    /// Slices that go.
    pub delete: Vec<EndpointSlice>,
    /// Events of the Service.
    pub events: Vec<HintEvent>,
    /// Whether a Pod's node isn't known, so that the Service has to be looked at again.
    pub incomplete: bool,
}

/// An endpoint as it is found again (`endpointHash`).
type Key = (Vec<String>, Option<String>, Option<(Uid, String)>);

fn key(endpoint: &Endpoint) -> Key {
    let target = endpoint.target_ref.as_ref().map(|t| (t.uid, t.name.clone()));
    (endpoint.addresses.clone(), endpoint.hostname.clone(), target)
}

/// Whether two endpoints of one key are the same but for hints (`EndpointsEqualBeyondHash`).
fn same(a: &Endpoint, b: &Endpoint) -> bool {
    a.node_name == b.node_name && a.zone == b.zone && a.conditions == b.conditions
}

/// Ports in whatever order (`NewPortMapKey`).
fn ports_key(ports: &[EndpointPort]) -> Vec<EndpointPort> {
    let mut key = ports.to_vec();
    key.sort();
    key
}

/// Reconciles a Service's slices.
pub fn reconcile(situation: &Situation, settings: Settings) -> Plan {
    let families = address_types(situation.service);
    let mut plan = Plan::default();
    let living = situation.slices.iter().filter(|s| !s.metadata.is_deleting());
    let (of_families, others): (Vec<_>, Vec<_>) = living.partition(|s| families.contains(&s.address_type));
    for family in families {
        let existing: Vec<_> = of_families.iter().copied().filter(|s| s.address_type == family).collect();
        one_family(situation, settings, family, &existing, &mut plan);
    }
    plan.delete.extend(others.into_iter().map(|s| (**s).clone()));
    plan
}

fn owned_by(slice: &EndpointSlice, service: &Service) -> bool {
    slice.metadata.owner_references.iter().any(|o| o.uid == service.metadata.uid)
}

fn one_family(
    situation: &Situation,
    settings: Settings,
    family: AddressType,
    existing: &[&Arc<EndpointSlice>],
    plan: &mut Plan,
) {
    let service = situation.service;
    let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
    let mut delete: Vec<EndpointSlice> = Vec::new();
    for slice in existing {
        if owned_by(slice, service) {
            by_ports.entry(ports_key(&slice.ports)).or_default().push(slice);
        } else {
            delete.push((***slice).clone());
        }
    }
    let mut slices = Slices::default();
    for (ports, wanted) in wanted(situation, settings, family, &mut plan.incomplete) {
        let of_ports = by_ports.remove(&ports_key(&ports)).unwrap_or_default();
        pack(service, settings.max_endpoints, family, &ports, wanted, &of_ports, &mut slices, &mut delete);
    }
    delete.extend(by_ports.into_values().flatten().map(|s| (**s).clone()));
    // Where there would be no slice at all, an empty one holds the place.
    if slices.create.is_empty() && delete.len() == existing.len() {
        let placeholder = new_slice(service, family, Vec::new());
        let is_placeholder = |s: &EndpointSlice| {
            s.endpoints.is_empty()
                && s.ports.is_empty()
                && s.metadata.labels == placeholder.metadata.labels
                && owned_by(s, service)
        };
        match delete.as_slice() {
            [one] if is_placeholder(one) => delete.clear(),
            _ => slices.create.push(placeholder),
        }
    }
    // The annotation goes before the field.
    let had = existing.iter().flat_map(|s| &s.endpoints).any(|e| e.hints.is_some());
    if hints_enabled(&service.metadata.annotations) {
        plan.events.extend(add_hints(&mut slices, situation.ratios, family, had));
    } else if settings.traffic_distribution {
        let field = service.spec.traffic_distribution.as_deref();
        reconcile_hints(&mut slices, Distribution::read(field, settings.prefer_same));
    } else {
        remove_hints(&mut slices);
    }
    finalize(service, slices, delete, plan);
}

/// The endpoints that a Service ought to have, by the ports that its Pods resolve them to.
fn wanted(
    situation: &Situation,
    settings: Settings,
    family: AddressType,
    incomplete: &mut bool,
) -> BTreeMap<Vec<EndpointPort>, BTreeMap<Key, Endpoint>> {
    let mut groups: BTreeMap<_, BTreeMap<Key, Endpoint>> = BTreeMap::new();
    for pod in situation.pods.iter().filter(|p| is_eligible(p, true)) {
        let group = groups.entry(endpoint_ports(situation.service, pod, settings.release)).or_default();
        let node = (situation.node)(&pod.spec.node_name);
        if node.is_none() && !situation.service.spec.publish_not_ready_addresses {
            // A Pod on a node that isn't there is left out, and looked at again later.
            *incomplete = true;
            continue;
        }
        let endpoint = pod_to_endpoint(pod, node, situation.service, family);
        if !endpoint.addresses.is_empty() {
            group.insert(key(&endpoint), endpoint);
        }
    }
    groups
}

/// Endpoints of one set of ports into slices (`reconcileByPortMapping`): those that are in a slice stay there; new ones go
/// into slices that change anyway, fullest first; what is left into the fullest that takes it all, else into new ones.
#[allow(clippy::too_many_arguments)]
fn pack(
    service: &Service,
    most: usize,
    family: AddressType,
    ports: &[EndpointPort],
    mut wanted: BTreeMap<Key, Endpoint>,
    existing: &[&Arc<EndpointSlice>],
    slices: &mut Slices,
    delete: &mut Vec<EndpointSlice>,
) {
    let (mut update, mut unchanged): (Vec<EndpointSlice>, Vec<EndpointSlice>) = Default::default();
    for slice in existing {
        let mut kept = Vec::with_capacity(slice.endpoints.len());
        let mut changed = false;
        for endpoint in &slice.endpoints {
            if let Some(got) = wanted.remove(&key(endpoint)) {
                changed |= !same(&got, endpoint);
                kept.push(got);
            }
        }
        let (labels, labels_changed) = slice_labels(service, &slice.metadata.labels);
        let mut slice = (***slice).clone();
        if changed || kept.len() != slice.endpoints.len() {
            if kept.is_empty() {
                delete.push(slice);
                continue;
            }
            slice.endpoints = kept;
            slice.metadata.labels = labels;
            update.push(slice);
        } else if labels_changed {
            slice.metadata.labels = labels;
            update.push(slice);
        } else {
            unchanged.push(slice);
        }
    }
    update.sort_by_key(|s| core::cmp::Reverse(s.endpoints.len()));
    for slice in &mut update {
        fill(slice, &mut wanted, most);
    }
    while !wanted.is_empty() {
        let fits = |s: &EndpointSlice| wanted.len() < most && s.endpoints.len() + wanted.len() <= most;
        let fullest = (0..unchanged.len())
            .filter(|i| fits(&unchanged[*i]))
            .max_by_key(|i| (unchanged[*i].endpoints.len(), core::cmp::Reverse(*i)));
        match fullest {
            Some(i) => {
                let mut slice = unchanged.remove(i);
                fill(&mut slice, &mut wanted, most);
                update.push(slice);
            }
            None => {
                let mut slice = new_slice(service, family, ports.to_vec());
                fill(&mut slice, &mut wanted, most);
                slices.create.push(slice);
            }
        }
    }
    slices.update.append(&mut update);
    slices.unchanged.append(&mut unchanged);
}

fn fill(slice: &mut EndpointSlice, wanted: &mut BTreeMap<Key, Endpoint>, most: usize) {
    while slice.endpoints.len() < most.max(1) {
        let Some((_, endpoint)) = wanted.pop_first() else { return };
        slice.endpoints.push(endpoint);
    }
}

fn new_slice(service: &Service, family: AddressType, ports: Vec<EndpointPort>) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: format!("{}-", service.metadata.name),
            namespace: service.metadata.namespace.clone(),
            labels: slice_labels(service, &Default::default()).0,
            owner_references: vec![OwnerReference::to_controller(Kind::Service, &service.metadata)],
            ..ObjectMeta::default()
        },
        address_type: family,
        endpoints: Vec::new(),
        ports,
    }
}

/// A slice that would go takes the content of one that would be made (`finalize`).
fn finalize(service: &Service, slices: Slices, delete: Vec<EndpointSlice>, plan: &mut Plan) {
    let Slices { mut create, update, .. } = slices;
    plan.update.extend(update);
    for old in delete {
        let takes = owned_by(&old, service) && create.last().is_some_and(|new| new.address_type == old.address_type);
        match create.pop_if(|_| takes) {
            Some(new) => {
                let metadata = ObjectMeta { labels: new.metadata.labels, ..old.metadata };
                plan.update.push(EndpointSlice { metadata, ..new });
            }
            None => plan.delete.push(old),
        }
    }
    if !service.metadata.is_deleting() {
        plan.create.append(&mut create);
    }
}

/// The addresses of some slices that are ready.
pub(super) fn ready_addresses<'a>(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> BTreeSet<String> {
    let endpoints = slices.into_iter().flat_map(|s| &s.endpoints).filter(|e| e.conditions.ready.unwrap_or(true));
    endpoints.filter_map(|e| e.addresses.first().cloned()).collect()
}
