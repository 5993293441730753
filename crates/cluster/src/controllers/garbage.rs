//! Garbage collection: what an owner leaves behind goes, and an owner waits for it if it was asked to
//! (`pkg/controller/garbagecollector`); Pods of nodes that are gone (`pkg/controller/podgc`).

use crate::cluster::Cluster;
use crate::deletion::{FOREGROUND, ORPHAN};
use crate::event::Controller;
use crate::store::Stored;
use crate::taint_eviction::POD_GC_PERIOD;
use kube_api::{EndpointSlice, Kind, NamespacedName, Node, ObjectMeta, Pod, ReplicaSet, Uid, with_kind};
use lab_base::Span;
use lab_protocol::Propagation;

/// Kinds whose objects belong to others.
const OWNED: [Kind; 3] = [Kind::ReplicaSet, Kind::EndpointSlice, Kind::Pod];
/// How long a missing node may come back (`quarantineTime`).
const QUARANTINE: Span = Span::from_secs(40);

impl Cluster {
    pub(crate) fn collect_garbage(&mut self) {
        for kind in Kind::ALL.iter().copied() {
            let waiting: Vec<(NamespacedName, Uid, bool)> = with_kind!(kind, T => self
                .store
                .list::<T>()
                .map(|o| o.meta())
                .filter(|m| m.is_deleting())
                .filter_map(|m| {
                    let has = |name: &str| m.finalizers.iter().any(|f| f == name);
                    (has(ORPHAN) || has(FOREGROUND)).then(|| (m.key(), m.uid, has(ORPHAN)))
                })
                .collect());
            for (key, uid, orphan) in waiting {
                self.finish_owner(kind, &key, uid, orphan);
            }
        }
        for kind in OWNED {
            let left: Vec<NamespacedName> = with_kind!(kind, T => self
                .store
                .list::<T>()
                .filter(|o| self.is_orphan(o.meta()))
                .map(|o| o.meta().key())
                .collect());
            for key in left {
                self.delete_object(kind, &key, Propagation::Background);
            }
        }
    }

    /// An owner that was deleted with `orphan` lets its dependents go; one with `foregroundDeletion` deletes them first.
    fn finish_owner(&mut self, kind: Kind, key: &NamespacedName, uid: Uid, orphan: bool) {
        let dependents = self.dependents(uid);
        if orphan {
            for (kind, key) in &dependents {
                with_kind!(*kind, T => self.store.update::<T>(key, |o| {
                    o.metadata.owner_references.retain(|r| r.uid != uid);
                }));
            }
        } else if !dependents.is_empty() {
            for (kind, key) in dependents {
                let own = self.find(kind, &key).map(|o| (o.metadata().uid, o.metadata().is_deleting()));
                let Some((uid, false)) = own else { continue };
                let deep = !self.dependents(uid).is_empty();
                self.delete_object(kind, &key, if deep { Propagation::Foreground } else { Propagation::Background });
            }
            return;
        }
        let done = if orphan { ORPHAN } else { FOREGROUND };
        with_kind!(kind, T => self.store.update::<T>(key, |o| o.metadata.finalizers.retain(|f| f != done)));
    }

    /// The objects that belong to an owner.
    fn dependents(&self, owner: Uid) -> Vec<(Kind, NamespacedName)> {
        let of = |meta: &ObjectMeta| meta.owner_references.iter().any(|r| r.uid == owner);
        let sets = self.store.list::<ReplicaSet>().map(|o| (Kind::ReplicaSet, &o.metadata));
        let slices = self.store.list::<EndpointSlice>().map(|o| (Kind::EndpointSlice, &o.metadata));
        let pods = self.store.list::<Pod>().map(|o| (Kind::Pod, &o.metadata));
        sets.chain(slices).chain(pods).filter(|(_, m)| of(m)).map(|(kind, m)| (kind, m.key())).collect()
    }

    /// Whether all that an object belongs to is gone.
    fn is_orphan(&self, meta: &ObjectMeta) -> bool {
        !meta.owner_references.is_empty()
            && meta.owner_references.iter().all(|owner| {
                let Some(kind) = Kind::named(&owner.kind) else { return false };
                let key = NamespacedName::new(meta.namespace.clone(), owner.name.clone());
                with_kind!(kind, T => self.store.get::<T>(&key).is_none_or(|o| o.metadata.uid != owner.uid))
            })
    }

    /// A Node object is gone: its Pods are looked at when the quarantine is over.
    pub(super) fn plan_pod_collection(&mut self, node: &NamespacedName) {
        let seen = self.tick("podgc", "", POD_GC_PERIOD, self.now) - POD_GC_PERIOD;
        self.enqueue_after(Controller::PodGarbageCollector, node.clone(), seen.since(self.now) + QUARANTINE);
    }

    /// `gcOrphaned`: nobody but the kubelet of a node that is gone could end its Pods.
    pub(crate) fn collect_pods_of(&mut self, node: &NamespacedName) {
        if self.store.get::<Node>(node).is_some() {
            return;
        }
        let pods: Vec<NamespacedName> = self.store.pods_on(&node.name).map(|p| p.metadata.key()).collect();
        for key in pods {
            self.delete_pod(&key, Some(0));
        }
    }
}
