//! Deletion: graceful, held by finalizers, with or without what belongs to the object
//! (`apiserver/pkg/registry/generic/registry/store.go`, `pkg/controller/garbagecollector`).

use crate::apply::{Applied, resource};
use crate::cluster::Cluster;
use crate::facts::Deed;
use kube_api::{Kind, Namespace, NamespacedName, Pod, with_kind};
use lab_base::{Span, Time};
use lab_protocol::{MarkKind, Phrase, Propagation};

/// Finalizer of an owner that waits until its dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an owner that waits until its dependents are let go.
pub(crate) const ORPHAN: &str = "orphan";
/// Namespaces that can't be deleted (`plugin/pkg/admission/namespace/lifecycle`).
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

impl Cluster {
    /// `kubectl delete`. Answers `service "web" deleted`.
    ///
    /// # Errors
    /// kubectl's complaint.
    pub fn delete(&mut self, kind: &str, namespace: &str, name: &str) -> Result<String, String> {
        self.delete_cascading(kind, namespace, name, Propagation::Background).map(|(line, _)| line)
    }

    /// The same with a word on what becomes of the objects that belong to it. Also answers whether anything changed.
    ///
    /// # Errors
    /// kubectl's complaint.
    pub fn delete_cascading(
        &mut self,
        kind: &str,
        namespace: &str,
        name: &str,
        propagation: Propagation,
    ) -> Result<(String, bool), String> {
        let Some(kind) = Kind::named(kind) else {
            return Err(format!("error: the server doesn't have a resource type \"{kind}\""));
        };
        let key = NamespacedName::new(if kind.namespaced() { namespace } else { "" }, name);
        if self.find(kind, &key).is_none() {
            let plural = crate::requests::dotted(kind, kind.plural());
            return Err(format!("Error from server (NotFound): {plural} \"{name}\" not found"));
        }
        if kind == Kind::Namespace && IMMORTAL.contains(&name) {
            return Err(format!(
                "Error from server (Forbidden): namespaces \"{name}\" is forbidden: this namespace may not be deleted"
            ));
        }
        let changed = self.delete_object(kind, &key, propagation);
        if changed {
            let phrase = Phrase::new("mark-deleted").with("object", format!("{}/{name}", resource(kind)));
            self.mark(MarkKind::Apply, format!("{}/{name}", kind.name()), phrase);
            self.facts.deed(self.now, Deed::Deleted { kind: kind.name().into(), name: name.into() });
        }
        self.tell_watchers();
        Ok((format!("{} \"{name}\" deleted", resource(kind)), changed))
    }

    /// Deletes an object, as far as its finalizers and its kind let it. Returns whether anything changed.
    pub(crate) fn delete_object(&mut self, kind: Kind, key: &NamespacedName, propagation: Propagation) -> bool {
        let now = self.now;
        let finalizer = match propagation {
            Propagation::Background => None,
            Propagation::Orphan => Some(ORPHAN),
            Propagation::Foreground => Some(FOREGROUND),
        };
        let mut changed = false;
        if let Some(finalizer) = finalizer {
            changed = with_kind!(kind, T => self.store.update::<T>(key, |o| {
                let held = &mut o.metadata.finalizers;
                if !held.iter().any(|f| f == finalizer) {
                    held.push(finalizer.into());
                }
            }));
        }
        changed
            | match kind {
                Kind::Pod => self.delete_pod(key, None),
                // The namespace controller takes it out when it is empty.
                Kind::Namespace => self.store.update::<Namespace>(key, |o| {
                    o.metadata.deletion_timestamp.get_or_insert(now);
                }),
                _ => with_kind!(kind, T => self.store.delete::<T>(now, key)),
            }
    }

    /// Deletes a Pod: at once with grace 0 or without a node, else its kubelet has until the grace period ends.
    pub(crate) fn delete_pod(&mut self, key: &NamespacedName, grace: Option<i64>) -> bool {
        let Some(pod) = self.store.get::<Pod>(key).cloned() else { return false };
        let grace = grace.or(pod.spec.termination_grace_period_seconds).unwrap_or(30).max(0);
        if grace == 0 || pod.spec.node_name.is_empty() {
            return self.store.delete::<Pod>(self.now, key);
        }
        let deadline: Time = self.now + Span::from_secs(grace as u64);
        self.store.update::<Pod>(key, |p| {
            if p.metadata.deletion_timestamp.is_none_or(|at| at > deadline) {
                p.metadata.deletion_timestamp = Some(deadline);
                p.metadata.deletion_grace_period_seconds = Some(grace);
            }
        })
    }

    /// Deletes a Pod with a grace period of its own; 0: at once, without waiting for its kubelet.
    pub fn delete_pod_within(&mut self, namespace: &str, name: &str, grace: u32) -> Applied {
        let key = NamespacedName::new(namespace, name);
        let mut applied = Applied::default();
        if self.store.get::<Pod>(&key).is_none() {
            applied.results.push(format!("Error from server (NotFound): pods \"{name}\" not found"));
            return applied;
        }
        applied.changed = self.delete_pod(&key, Some(grace.into()));
        if applied.changed {
            let phrase = Phrase::new("mark-deleted").with("object", format!("pod/{name}"));
            self.mark(MarkKind::Apply, format!("Pod/{name}"), phrase);
            self.facts.deed(self.now, Deed::Deleted { kind: "Pod".into(), name: name.into() });
        }
        self.tell_watchers();
        applied
    }
}
