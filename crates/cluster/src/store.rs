//! The API server's store: objects by kind and name, versions, and the changes that watchers hear of.

use crate::scheduler::{Requested, requests};
use kube_api::{
    ConfigMap, DaemonSet, Deployment, EndpointSlice, Kind, Namespace, NamespacedName, Node, Object, ObjectMeta, Pod,
    PodDisruptionBudget, ReplicaSet, Service, StatefulSet, Uid,
};
use lab_base::{OrdMap, OrdSet, Time};
use serde::Serialize;
use std::borrow::Borrow;
use std::sync::Arc;

/// Objects of one kind by name.
pub type Table<T> = OrdMap<NamespacedName, Arc<T>>;

/// A kind that the store holds.
pub trait Stored: Clone + PartialEq + Sized {
    /// Its kind.
    const KIND: Kind;
    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;
    /// Its metadata, to change.
    fn meta_mut(&mut self) -> &mut ObjectMeta;
    /// Where it is kept.
    fn table(store: &Store) -> &Table<Self>;
    /// Where it is kept, to change.
    fn table_mut(store: &mut Store) -> &mut Table<Self>;
    /// As one of all kinds.
    fn wrap(object: Arc<Self>) -> Object;
    /// Keeps the indexes up to a write.
    fn index(_: &mut Index, _old: Option<&Self>, _new: Option<&Self>) {}
    /// Whether what is wanted differs, which raises `metadata.generation` of kinds that count it.
    fn spec_differs(&self, other: &Self) -> bool;
    /// Takes over what a client may change besides the metadata.
    fn take(&mut self, other: &Self);
}

/// A kind, its table, whether its generation is counted, the fields that a client may change, and its index.
macro_rules! stored {
    ($type:ident, $table:ident, $counted:literal, [$($field:ident)*]) => {
        stored!($type, $table, $counted, [$($field)*], |_, _, _| {});
    };
    ($type:ident, $table:ident, $counted:literal, [$($field:ident)*], $index:expr) => {
        impl Stored for $type {
            const KIND: Kind = Kind::$type;
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
            fn table(store: &Store) -> &Table<Self> {
                &store.$table
            }
            fn table_mut(store: &mut Store) -> &mut Table<Self> {
                &mut store.$table
            }
            fn wrap(object: Arc<Self>) -> Object {
                Object::$type(object)
            }
            fn index(index: &mut Index, old: Option<&Self>, new: Option<&Self>) {
                let keep: fn(&mut Index, Option<&$type>, Option<&$type>) = $index;
                keep(index, old, new);
            }
            fn spec_differs(&self, _other: &Self) -> bool {
                $counted && (false $(|| self.$field != _other.$field)*)
            }
            fn take(&mut self, _other: &Self) {
                $(self.$field.clone_from(&_other.$field);)*
            }
        }
    };
}

stored!(Namespace, namespaces, false, []);
stored!(Node, nodes, false, [spec]);
stored!(Service, services, false, [spec]);
stored!(EndpointSlice, endpoint_slices, true, [endpoints ports]);
stored!(Deployment, deployments, true, [spec]);
stored!(ReplicaSet, replica_sets, true, [spec]);
stored!(Pod, pods, false, [spec], Index::pod);
stored!(PodDisruptionBudget, disruption_budgets, true, [spec]);
stored!(ConfigMap, config_maps, false, [data binary_data immutable]);
stored!(StatefulSet, stateful_sets, true, [spec]);
stored!(DaemonSet, daemon_sets, true, [spec]);

/// A write, as a watcher hears of it.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// What kind of object.
    pub kind: Kind,
    /// Which.
    pub key: NamespacedName,
    /// As it was; None: it was not there.
    pub old: Option<Object>,
    /// As it is; None: it is gone.
    pub new: Option<Object>,
}

/// Everything the API server has stored.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Store {
    revision: u64,
    last_uid: u64,
    namespaces: Table<Namespace>,
    nodes: Table<Node>,
    services: Table<Service>,
    endpoint_slices: Table<EndpointSlice>,
    deployments: Table<Deployment>,
    replica_sets: Table<ReplicaSet>,
    pods: Table<Pod>,
    // Left out of the bytes while there are none.
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    disruption_budgets: Table<PodDisruptionBudget>,
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    config_maps: Table<ConfigMap>,
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    stateful_sets: Table<StatefulSet>,
    #[serde(skip_serializing_if = "OrdMap::is_empty")]
    daemon_sets: Table<DaemonSet>,
    #[serde(skip)]
    changes: Vec<Change>,
    /// The revision of the last write to what names in DNS are made of.
    #[serde(skip)]
    named: u64,
    #[serde(skip)]
    index: Index,
}

impl Store {
    /// The object of this name.
    pub fn get<T: Stored>(&self, key: &NamespacedName) -> Option<&Arc<T>> {
        T::table(self).get(key)
    }

    /// All objects of a kind, by namespace and name.
    pub fn list<T: Stored + 'static>(&self) -> impl Iterator<Item = &Arc<T>> {
        T::table(self).values()
    }

    /// The object of this uid.
    pub fn by_uid<T: Stored + 'static>(&self, uid: Uid) -> Option<&Arc<T>> {
        self.get(self.index.by_uid.get(&uid)?)
    }

    /// The number of writes so far.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Hands out a uid.
    pub fn new_uid(&mut self) -> Uid {
        self.last_uid += 1;
        Uid(self.last_uid)
    }

    /// Stores a new object, with uid, version and time of creation. None: the name is taken, or its
    /// Namespace is being deleted.
    pub fn create<T: Stored>(&mut self, now: Time, mut object: T) -> Option<Arc<T>> {
        let key = object.meta().key();
        if T::table(self).contains_key(&key) || self.is_closing(&key.namespace) {
            return None;
        }
        let uid = self.new_uid();
        self.revision += 1;
        let meta = object.meta_mut();
        meta.uid = uid;
        meta.resource_version = self.revision;
        meta.generation = 1;
        meta.creation_timestamp = Some(now);
        let object = Arc::new(object);
        self.index.by_uid.insert(uid, key.clone());
        T::index(&mut self.index, None, Some(&object));
        T::table_mut(self).insert(key.clone(), object.clone());
        self.note(Change { kind: T::KIND, key, old: None, new: Some(T::wrap(object.clone())) });
        Some(object)
    }

    fn is_closing(&self, namespace: &str) -> bool {
        let home = self.namespaces.get(&NamespacedName::new("", namespace));
        home.is_some_and(|n| n.metadata.is_deleting())
    }

    /// Changes an object; nothing is written if nothing differs. Returns whether something was.
    pub fn update<T: Stored>(&mut self, key: &NamespacedName, change: impl FnOnce(&mut T)) -> bool {
        let Some(old) = T::table(self).get(key).cloned() else { return false };
        let mut new = (*old).clone();
        change(&mut new);
        if new == *old {
            return false;
        }
        let held = |o: &T| !o.meta().finalizers.is_empty();
        if held(&old) && !held(&new) && new.meta().deletion_grace_period_seconds == Some(0) {
            // The last finalizer is gone, and nothing else was waited for.
            self.remove::<T>(key);
            return true;
        }
        self.revision += 1;
        let revision = self.revision;
        if new.spec_differs(&old) {
            new.meta_mut().generation += 1;
        }
        new.meta_mut().resource_version = revision;
        let new = Arc::new(new);
        T::index(&mut self.index, Some(&old), Some(&new));
        T::table_mut(self).insert(key.clone(), new.clone());
        self.note(Change { kind: T::KIND, key: key.clone(), old: Some(T::wrap(old)), new: Some(T::wrap(new)) });
        true
    }

    /// Deletes an object: takes it out, or, while finalizers hold it, marks it as going. Returns whether anything changed.
    pub fn delete<T: Stored>(&mut self, now: Time, key: &NamespacedName) -> bool {
        let Some(old) = T::table(self).get(key) else { return false };
        if old.meta().finalizers.is_empty() {
            return self.remove::<T>(key).is_some();
        }
        self.update::<T>(key, |o| {
            let meta = o.meta_mut();
            meta.deletion_timestamp.get_or_insert(now);
            meta.deletion_grace_period_seconds = Some(0);
        })
    }

    /// Takes an object out at once. Returns it.
    pub fn remove<T: Stored>(&mut self, key: &NamespacedName) -> Option<Arc<T>> {
        let old = T::table_mut(self).remove(key)?;
        self.index.by_uid.remove(&old.meta().uid);
        T::index(&mut self.index, Some(&old), None);
        self.revision += 1;
        self.note(Change { kind: T::KIND, key: key.clone(), old: Some(T::wrap(old.clone())), new: None });
        Some(old)
    }

    fn note(&mut self, change: Change) {
        if matches!(change.kind, Kind::Namespace | Kind::Service | Kind::EndpointSlice) {
            self.named = self.revision;
        }
        self.changes.push(change);
    }

    /// Changes whenever DNS may answer otherwise than before.
    pub(crate) fn names_revision(&self) -> u64 {
        self.named
    }

    /// The writes since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        core::mem::take(&mut self.changes)
    }

    /// Pods on a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods_among(self.index.by_node.get(node))
    }

    /// How many Pods are on a node.
    pub fn pod_count_on(&self, node: &str) -> usize {
        self.index.by_node.get(node).map_or(0, OrdSet::len)
    }

    /// What the Pods of a node request that haven't ended.
    pub(crate) fn requested_on(&self, node: &str) -> Requested {
        self.index.requested.get(node).copied().unwrap_or_default()
    }

    /// Pods owned by a ReplicaSet.
    pub fn pods_of(&self, owner: Uid) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods_among(self.index.by_owner.get(&owner))
    }

    /// Pods that nothing controls.
    pub fn orphans(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods_of(Uid::default())
    }

    /// How many Pods of an owner are on a node, those that are being deleted left out.
    pub fn siblings_on(&self, owner: Uid, node: &str) -> usize {
        self.index.siblings.get(&(owner, node.to_owned())).copied().unwrap_or(0)
    }

    fn pods_among<'a>(&'a self, keys: Option<&'a OrdSet<NamespacedName>>) -> impl Iterator<Item = &'a Arc<Pod>> {
        keys.into_iter().flat_map(OrdSet::iter).filter_map(|key| self.pods.get(key))
    }
}

/// What is looked up by other things than names; made from the objects, so no state of its own.
#[derive(Clone, Debug, Default)]
pub struct Index {
    by_uid: OrdMap<Uid, NamespacedName>,
    /// Pods by node; those without one under the empty name.
    by_node: OrdMap<String, OrdSet<NamespacedName>>,
    /// Pods by the object that controls them; those without one under the uid 0, which no object has.
    by_owner: OrdMap<Uid, OrdSet<NamespacedName>>,
    /// Counts by controller and node, without Pods that are being deleted.
    siblings: OrdMap<(Uid, String), usize>,
    /// What is requested on each node, without Pods that have ended.
    requested: OrdMap<String, Requested>,
}

impl Index {
    /// Keeps what is requested on the nodes up to a write.
    fn requests(&mut self, old: Option<&Pod>, new: Option<&Pod>) {
        let on = |pod: Option<&Pod>| {
            pod.filter(|p| !p.is_finished()).map(|p| p.spec.node_name.clone()).filter(|n| !n.is_empty())
        };
        let (before, after) = (on(old), on(new));
        if before == after {
            return;
        }
        let of = |pod: &Pod| {
            let choosy = pod.spec.affinity.as_ref().is_some_and(|a| !a.pod_anti_affinity.required.is_empty());
            (requests(&pod.spec), usize::from(choosy))
        };
        if let Some((node, pod)) = before.zip(old) {
            let ((cpu, memory), choosy) = of(pod);
            let sum = self.requested.entry(node).or_default();
            sum.cpu = sum.cpu.saturating_sub(cpu);
            sum.memory = sum.memory.saturating_sub(memory);
            sum.pods = sum.pods.saturating_sub(1);
            sum.choosy = sum.choosy.saturating_sub(choosy);
        }
        if let Some((node, pod)) = after.zip(new) {
            let ((cpu, memory), choosy) = of(pod);
            let sum = self.requested.entry(node).or_default();
            sum.cpu = sum.cpu.saturating_add(cpu);
            sum.memory = sum.memory.saturating_add(memory);
            sum.pods += 1;
            sum.choosy += choosy;
        }
    }

    fn pod(&mut self, old: Option<&Pod>, new: Option<&Pod>) {
        self.requests(old, new);
        let owner = |pod: &Pod| pod.metadata.controller().map(|o| o.uid);
        let place = |pod: Option<&Pod>| pod.map(|p| (p.spec.node_name.clone(), owner(p), p.metadata.is_deleting()));
        if place(old) == place(new) {
            return;
        }
        if let Some(pod) = old {
            let key = pod.metadata.key();
            take(&mut self.by_node, &pod.spec.node_name, &key);
            take(&mut self.by_owner, &owner(pod).unwrap_or_default(), &key);
            if let Some(owner) = owner(pod).filter(|_| !pod.metadata.is_deleting()) {
                let place = (owner, pod.spec.node_name.clone());
                match self.siblings.get(&place).copied() {
                    Some(n) if n > 1 => self.siblings.insert(place, n - 1),
                    _ => self.siblings.remove(&place),
                };
            }
        }
        if let Some(pod) = new {
            let key = pod.metadata.key();
            self.by_owner.entry(owner(pod).unwrap_or_default()).or_default().insert(key.clone());
            if let Some(owner) = owner(pod).filter(|_| !pod.metadata.is_deleting()) {
                *self.siblings.entry((owner, pod.spec.node_name.clone())).or_default() += 1;
            }
            self.by_node.entry(pod.spec.node_name.clone()).or_default().insert(key);
        }
    }
}

/// Takes a key out of a set among others, and the set when it is empty.
fn take<K, Q>(sets: &mut OrdMap<K, OrdSet<NamespacedName>>, of: &Q, key: &NamespacedName)
where
    K: Ord + Clone + Borrow<Q>,
    Q: Ord + ?Sized,
{
    if let Some(set) = sets.get_mut(of) {
        set.remove(key);
        if set.is_empty() {
            sets.remove(of);
        }
    }
}
