//! Garbage collection: what an owner leaves behind goes, and an owner waits for it if it was asked to
//! (`pkg/controller/garbagecollector`); Pods of nodes that are gone (`pkg/controller/podgc`).

use crate::cluster::Cluster;
use crate::deletion::{FOREGROUND, ORPHAN};
use crate::event::Controller;
use crate::store::Stored;
use crate::taint_eviction::POD_GC_PERIOD;
use kube_api::{Kind, NamespacedName, Node, Object, ObjectMeta, OwnerReference, Uid, with_kind};
use lab_base::Span;
use lab_protocol::Propagation;

/// How long a missing node may come back (`quarantineTime`).
const QUARANTINE: Span = Span::from_secs(40);

/// What has become of an owner (`classifyReferences`).
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    /// It is there.
    Solid,
    /// It is being deleted, and waits for what belongs to it.
    Waiting,
    /// It isn't there, or another object has its name.
    Gone,
    /// Nobody knows: Kubernetes has no such kind.
    Unknown,
}

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
        for kind in Kind::ALL.iter().copied() {
            let owned: Vec<NamespacedName> = with_kind!(kind, T => self
                .store
                .list::<T>()
                .map(|o| o.meta())
                .filter(|m| self.has_lost_owner(m))
                .map(|m| m.key())
                .collect());
            for key in owned {
                self.collect(kind, &key);
            }
        }
    }

    /// An owner that was deleted with `orphan` lets its dependents go; one with `foregroundDeletion` deletes those first that
    /// it is to wait for.
    fn finish_owner(&mut self, kind: Kind, key: &NamespacedName, uid: Uid, orphan: bool) {
        if orphan {
            for (kind, key) in self.dependents(uid, |_| true) {
                self.forget_owners(kind, &key, |r| r.uid == uid);
            }
        } else {
            let blocking = self.dependents(uid, |r| r.block_owner_deletion);
            if !blocking.is_empty() {
                for (kind, key) in blocking {
                    self.collect(kind, &key);
                }
                return;
            }
        }
        let done = if orphan { ORPHAN } else { FOREGROUND };
        with_kind!(kind, T => self.store.update::<T>(key, |o| o.metadata.finalizers.retain(|f| f != done)));
    }

    /// `attemptToDeleteItem`: deletes an object whose owners are gone or going; one that has another lets go of those.
    fn collect(&mut self, kind: Kind, key: &NamespacedName) {
        let Some(meta) = self.find(kind, key).map(|o| o.metadata().clone()) else { return };
        let owners: Vec<Owner> = meta.owner_references.iter().map(|r| self.owner(&meta, r)).collect();
        let any = |state: Owner| owners.contains(&state);
        if meta.is_deleting() || owners.is_empty() || any(Owner::Unknown) {
            return;
        }
        if any(Owner::Solid) {
            let lost: Vec<Uid> = meta
                .owner_references
                .iter()
                .zip(&owners)
                .filter(|(_, o)| **o != Owner::Solid)
                .map(|(r, _)| r.uid)
                .collect();
            if !lost.is_empty() {
                self.forget_owners(kind, key, |r| lost.contains(&r.uid));
            }
            return;
        }
        let deep = any(Owner::Waiting) && !self.dependents(meta.uid, |_| true).is_empty();
        self.delete_object(kind, key, if deep { Propagation::Foreground } else { Propagation::Background });
    }

    fn forget_owners(&mut self, kind: Kind, key: &NamespacedName, which: impl Fn(&OwnerReference) -> bool) {
        with_kind!(kind, T => self.store.update::<T>(key, |o| o.metadata.owner_references.retain(|r| !which(r))));
    }

    /// The objects that belong to an owner, by what they say of it.
    fn dependents(&self, owner: Uid, which: fn(&OwnerReference) -> bool) -> Vec<(Kind, NamespacedName)> {
        let of = |meta: &&ObjectMeta| meta.owner_references.iter().any(|r| r.uid == owner && which(r));
        let mut found = Vec::new();
        for kind in Kind::ALL.iter().copied() {
            with_kind!(kind, T => found.extend(
                self.store.list::<T>().map(|o| o.meta()).filter(of).map(|m| (kind, m.key()))
            ));
        }
        found
    }

    /// Whether the garbage collector has something to do with an object.
    pub(super) fn has_lost_owner(&self, meta: &ObjectMeta) -> bool {
        meta.owner_references.iter().any(|r| matches!(self.owner(meta, r), Owner::Gone))
    }

    fn owner(&self, meta: &ObjectMeta, owner: &OwnerReference) -> Owner {
        let of_kind = |kind: &Kind| kind.name() == owner.kind && kind.api_version() == owner.api_version;
        let Some(kind) = Kind::ALL.iter().copied().find(of_kind) else {
            let known = kube_api::decode::is_kind_of_kubernetes(&owner.api_version, &owner.kind);
            return if known { Owner::Gone } else { Owner::Unknown };
        };
        if kind.namespaced() && meta.namespace.is_empty() {
            return Owner::Gone; // what is in no Namespace can't belong to what is in one
        }
        let home = if kind.namespaced() { meta.namespace.clone() } else { String::new() };
        match self.find(kind, &NamespacedName::new(home, owner.name.clone())).as_ref().map(Object::metadata) {
            Some(found) if found.uid != owner.uid => Owner::Gone,
            Some(found) if found.is_deleting() && found.finalizers.iter().any(|f| f == FOREGROUND) => Owner::Waiting,
            Some(_) => Owner::Solid,
            None => Owner::Gone,
        }
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
