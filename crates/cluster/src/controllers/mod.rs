//! The control loops of kube-controller-manager: they watch, queue keys and reconcile.

pub mod deployment;
pub mod disruption;
pub mod endpointslice;
mod garbage;
mod namespace;
pub mod ranking;
mod replicaset;

use crate::cluster::Cluster;
use crate::event::{Controller, Event};
use crate::store::Change;
use kube_api::{Kind, NamespacedName, Object, Pod, ReplicaSet, Service, selects};
use lab_base::subject;
use std::sync::Arc;

/// Puts the keys that a change concerns into the queues of those who watch.
pub(crate) fn route(cluster: &mut Cluster, change: &Change) {
    let going = |o: &Option<Object>| o.as_ref().is_some_and(|o| o.metadata().is_deleting());
    match change.kind {
        Kind::Deployment => cluster.enqueue(Controller::Deployment, change.key.clone()),
        Kind::ReplicaSet => {
            cluster.enqueue(Controller::ReplicaSet, change.key.clone());
            enqueue_owner(cluster, change, Kind::Deployment, Controller::Deployment);
        }
        Kind::Pod => pod_changed(cluster, change),
        Kind::Service => cluster.enqueue(Controller::EndpointSlice, change.key.clone()),
        Kind::EndpointSlice => {
            // A slice that someone else deleted is put right again.
            if let Some(Object::EndpointSlice(slice)) = change.new.as_ref().or(change.old.as_ref())
                && let Some(service) = crate::proxy::service_of(slice)
                && change.new.is_none()
            {
                let key = NamespacedName::new(change.key.namespace.clone(), service);
                cluster.enqueue_after(Controller::EndpointSlice, key, endpointslice::SLICE_CHANGE_DELAY);
            }
        }
        Kind::Node => {
            if change.new.is_none() {
                cluster.plan_pod_collection(&change.key);
            }
            let node = |o: &Option<Object>| match o {
                Some(Object::Node(n)) => endpointslice::share(n).map(|s| s.map(|(zone, cpu)| (zone.to_owned(), cpu))),
                _ => None,
            };
            if node(&change.old) != node(&change.new) {
                for key in cluster.services_with_topology_hints() {
                    cluster.enqueue(Controller::EndpointSlice, key);
                }
            }
        }
        Kind::PodDisruptionBudget => cluster.enqueue(Controller::Disruption, change.key.clone()),
        Kind::Namespace => {
            if change.new.is_none() {
                cluster.enqueue_after(Controller::Namespace, change.key.clone(), namespace::SYSTEM_NAMESPACE_PERIOD);
            } else if going(&change.new) {
                cluster.enqueue(Controller::Namespace, change.key.clone());
            }
        }
        // Nobody acts on these.
        Kind::ConfigMap | Kind::StatefulSet | Kind::DaemonSet => {}
    }
    let named = |o: &Object| !o.metadata().owner_references.is_empty();
    if let Some(new) = change.new.as_ref().filter(|new| named(new))
        && change.old.as_ref().is_none_or(|o| o.metadata().owner_references != new.metadata().owner_references)
        && cluster.has_lost_owner(new.metadata())
    {
        // It names an owner that isn't there: of a manifest, or taken out between a controller's look and its write.
        cluster.enqueue(Controller::GarbageCollector, NamespacedName::default());
    }
    let waits = change.new.as_ref().is_some_and(|o| !o.metadata().finalizers.is_empty());
    if change.new.is_none() || waits && going(&change.new) && !going(&change.old) {
        cluster.enqueue(Controller::GarbageCollector, NamespacedName::default());
    }
}

fn enqueue_owner(cluster: &mut Cluster, change: &Change, kind: Kind, controller: Controller) {
    let Some(object) = change.new.as_ref().or(change.old.as_ref()) else { return };
    if let Some(owner) = object.metadata().controller()
        && owner.kind == kind.name()
    {
        cluster.enqueue(controller, NamespacedName::new(change.key.namespace.clone(), owner.name.clone()));
    }
}

fn pod_changed(cluster: &mut Cluster, change: &Change) {
    enqueue_owner(cluster, change, Kind::ReplicaSet, Controller::ReplicaSet);
    let pod = |o: &Option<Object>| match o {
        Some(Object::Pod(p)) => Some(p.clone()),
        _ => None,
    };
    let (old, new) = (pod(&change.old), pod(&change.new));
    for pod in old.iter().chain(&new) {
        cluster.enqueue_budgets_of(pod);
    }
    // A Pod that nobody has may be somebody's.
    if let Some(new) = new.as_ref().filter(|p| p.metadata.controller().is_none()) {
        let selects = |s: &&Arc<ReplicaSet>| {
            s.metadata.namespace == change.key.namespace && s.spec.selector.matches(&new.metadata.labels)
        };
        let sets: Vec<_> = cluster.store.list::<ReplicaSet>().filter(selects).map(|s| s.metadata.key()).collect();
        for key in sets {
            cluster.enqueue(Controller::ReplicaSet, key);
        }
    }
    if let Some(new) = &new
        && new.spec.node_name.is_empty()
        && old.is_none()
    {
        let at = cluster.hears_at(subject(&["kube-scheduler"]), &change.key);
        cluster.events.plan(at, Event::Schedule(change.key.clone()));
    }
    // Deployments hear of their Pods only for Recreate, which waits for the last old one to go.
    if new.is_none()
        && let Some(old) = &old
        && let Some(owner) = cluster.deployment_of(old)
    {
        cluster.enqueue(Controller::Deployment, owner);
    }
    let matches = |pod: &Option<Arc<Pod>>, service: &Service| {
        pod.as_ref()
            .is_some_and(|p| !service.spec.selector.is_empty() && selects(&service.spec.selector, &p.metadata.labels))
    };
    let services: Vec<_> = cluster
        .store
        .list::<Service>()
        .filter(|s| s.metadata.namespace == change.key.namespace && (matches(&old, s) || matches(&new, s)))
        .map(|s| s.metadata.key())
        .collect();
    for key in services {
        cluster.enqueue(Controller::EndpointSlice, key);
    }
}
