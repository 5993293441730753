//! A Namespace that is deleted goes when it is empty (`pkg/controller/namespace/deletion`).

use crate::cluster::{Cluster, SYSTEM_NAMESPACES};
use crate::event::Controller;
use crate::store::Stored;
use kube_api::{Kind, Namespace, NamespacedName, Pod, PodPhase, with_kind};
use lab_base::Span;
use lab_protocol::Propagation;

/// How long finalizers are expected to take (`finalizerEstimateSeconds`).
const FINALIZER_SECONDS: i64 = 15;
/// How often the API server looks for its own namespaces (`pkg/controlplane/controller/systemnamespaces`).
pub(super) const SYSTEM_NAMESPACE_PERIOD: Span = Span::from_secs(60);

impl Cluster {
    pub(crate) fn sync_namespace(&mut self, key: &NamespacedName) {
        let Some(namespace) = self.store.get::<Namespace>(key).cloned() else {
            if SYSTEM_NAMESPACES.contains(&key.name.as_str()) {
                self.store.create(self.now, Namespace::named(&key.name));
            }
            return;
        };
        if !namespace.metadata.is_deleting() {
            return;
        }
        for (kind, key, _) in self.content_of(&key.name) {
            self.delete_object(kind, &key, Propagation::Background);
        }
        let left = self.content_of(&key.name);
        if left.is_empty() {
            if namespace.metadata.finalizers.is_empty() {
                self.store.remove::<Namespace>(key);
            }
            return;
        }
        // It looks again after half the time that the slowest Pod may take (`syncNamespaceFromKey`).
        let grace = |key: &NamespacedName| {
            let pod = self.store.get::<Pod>(key).filter(|p| p.status.phase == PodPhase::Running)?;
            pod.spec.termination_grace_period_seconds
        };
        let pods = left.iter().filter(|(kind, ..)| *kind == Kind::Pod).filter_map(|(_, key, _)| grace(key)).max();
        let held = left.iter().any(|(.., held)| *held).then_some(FINALIZER_SECONDS);
        let estimate = pods.max(held).unwrap_or(0).max(0).unsigned_abs();
        self.enqueue_after(Controller::Namespace, key.clone(), Span::from_secs(estimate / 2 + 1));
    }

    /// Everything in a namespace, and whether finalizers hold it.
    fn content_of(&self, namespace: &str) -> Vec<(Kind, NamespacedName, bool)> {
        let mut found = Vec::new();
        for kind in Kind::ALL.iter().copied().filter(|k| k.namespaced()) {
            with_kind!(kind, T => found.extend(
                self.store
                    .list::<T>()
                    .map(|o| o.meta())
                    .filter(|m| m.namespace == namespace)
                    .map(|m| (kind, m.key(), !m.finalizers.is_empty()))
            ));
        }
        found
    }
}
