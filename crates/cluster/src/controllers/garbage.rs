//! Garbage collection: what an owner leaves behind goes (`pkg/controller/garbagecollector`, background deletion).

use crate::cluster::Cluster;
use crate::store::Stored;
use kube_api::{EndpointSlice, Kind, NamespacedName, ObjectMeta, Pod, ReplicaSet, Service};

impl Cluster {
    pub(crate) fn collect_garbage(&mut self) {
        let orphans = self.orphans::<ReplicaSet>();
        for key in orphans {
            self.store.remove::<ReplicaSet>(&key);
        }
        let orphans = self.orphans::<EndpointSlice>();
        for key in orphans {
            self.store.remove::<EndpointSlice>(&key);
        }
        let orphans = self.orphans::<Pod>();
        for key in orphans {
            self.delete_pod(&key, None);
        }
    }

    fn orphans<T: Stored + 'static>(&self) -> Vec<NamespacedName> {
        self.store.list::<T>().filter(|o| self.is_orphan(o.meta())).map(|o| o.meta().key()).collect()
    }

    fn is_orphan(&self, meta: &ObjectMeta) -> bool {
        !meta.owner_references.is_empty()
            && meta.owner_references.iter().all(|owner| {
                let key = NamespacedName::new(meta.namespace.clone(), owner.name.clone());
                let uid = match owner.kind.as_str() {
                    k if k == Kind::Deployment.name() => {
                        self.store.get::<kube_api::Deployment>(&key).map(|o| o.metadata.uid)
                    }
                    k if k == Kind::ReplicaSet.name() => self.store.get::<ReplicaSet>(&key).map(|o| o.metadata.uid),
                    k if k == Kind::Service.name() => self.store.get::<Service>(&key).map(|o| o.metadata.uid),
                    _ => return false,
                };
                uid != Some(owner.uid)
            })
    }
}
