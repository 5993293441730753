//! Requests to the API server besides apply and delete: create and patch.

use crate::apply::{Applied, diagnostic};
use crate::cluster::Cluster;
use crate::facts::Deed;
use crate::store::Stored;
use kube_api::manifest::{self, Content};
use kube_api::wire::{merge, wire};
use kube_api::yaml::Tree;
use kube_api::{Kind, NamespacedName, Node, Object, ObjectMeta, Service, Taint, validation, with_kind, yaml};
use lab_protocol::{Diagnostic, MarkKind, Phrase};

impl Cluster {
    /// `kubectl create -f -`: POST. What is there already is an error.
    pub fn create_yaml(&mut self, text: &str) -> Applied {
        let parsed = manifest::parse_as(text, self.release);
        let mut applied =
            Applied { diagnostics: parsed.diagnostics.iter().map(diagnostic).collect(), ..Applied::default() };
        for manifest in &parsed.manifests {
            let Content::Object(object) = &manifest.content else { continue };
            let (kind, key) = (object.kind(), object.metadata().key());
            if self.find(kind, &key).is_some() {
                applied.results.push(format!(
                    "Error from server (AlreadyExists): {} \"{}\" already exists",
                    dotted(kind, kind.plural()),
                    key.name
                ));
                continue;
            }
            let done =
                check_version(&manifest.tree, None, kind, &key.name).and_then(|()| self.apply_object(object.clone()));
            match done {
                Ok(result) => {
                    applied.changed = true;
                    // Only apply remembers what it wrote.
                    self.last_applied.remove(&(kind, key));
                    applied.results.push(result);
                }
                Err(message) => applied.results.push(message),
            }
        }
        self.tell_watchers();
        applied
    }

    /// PATCH with a JSON merge patch. The answer is the complaint, if there is one; else the server's warnings.
    pub fn patch(&mut self, kind: &str, namespace: &str, name: &str, patch: &str) -> Applied {
        let mut applied = Applied::default();
        match self.try_patch(kind, namespace, name, patch) {
            Ok((changed, warnings)) => (applied.changed, applied.diagnostics) = (changed, warnings),
            Err(complaint) => applied.results.push(complaint),
        }
        self.tell_watchers();
        applied
    }

    fn try_patch(
        &mut self,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: &str,
    ) -> Result<(bool, Vec<Diagnostic>), String> {
        let kind =
            Kind::named(kind).ok_or_else(|| format!("error: the server doesn't have a resource type \"{kind}\""))?;
        let key = NamespacedName::new(if kind.namespaced() { namespace } else { "" }, name);
        let old = self.find(kind, &key).ok_or_else(|| {
            format!("Error from server (NotFound): {} \"{name}\" not found", dotted(kind, kind.plural()))
        })?;
        let change = match yaml::load(patch).into_iter().next() {
            Some(Ok(tree)) => tree,
            _ => return Err("error: unable to parse the patch".into()),
        };
        check_version(&change, Some(&old), kind, name)?;
        let mut tree = wire(&old);
        merge(&mut tree, &change);
        if kind == Kind::Service {
            crate::service_type::drop_dependent_fields(&mut tree, &wire(&old));
        }
        let mut parsed = manifest::parse_tree(tree, self.release);
        if let Some(answer) = parsed.answers.first() {
            return Err(answered(kind, name, &parsed.answers, answer));
        }
        let said: Vec<Diagnostic> = parsed.diagnostics.iter().filter(|d| d.remark.is_none()).map(diagnostic).collect();
        let Some(Content::Object(mut new)) = parsed.manifests.pop().map(|m| m.content) else {
            return Err("error: unable to parse the patch".into());
        };
        if new.metadata().key() != key {
            return Err(
                "Error from server (BadRequest): the name of the object does not match the name on the URL".into()
            );
        }
        kube_api::defaults::apply(&mut new);
        let changed = self.replace(&key, &old, new)?;
        if changed {
            let phrase =
                Phrase::new("mark-configured").with("object", format!("{}/{name}", kind.name().to_lowercase()));
            self.mark(MarkKind::Apply, format!("{}/{name}", kind.name()), phrase);
            self.facts.deed(self.now, Deed::Applied { kind: kind.name().into(), name: name.into() });
        }
        let generation = self.find(kind, &key).map(|o| o.metadata().generation);
        let warns = validation::warns_on_update(kind, generation != Some(old.metadata().generation));
        Ok((changed, if warns { said } else { Vec::new() }))
    }

    /// Whether `kubectl apply` wrote this object before, so that it knows what to take away.
    pub fn was_applied(&self, kind: Kind, key: &NamespacedName) -> bool {
        self.last_applied.contains_key(&(kind, key.clone()))
    }

    /// The object of this name.
    pub fn find(&self, kind: Kind, key: &NamespacedName) -> Option<Object> {
        with_kind!(kind, T => self.store.get::<T>(key).map(|o| T::wrap(o.clone())))
    }

    /// Puts a new version in the place of the old one: spec, labels and annotations. The rest is the server's.
    fn replace(&mut self, key: &NamespacedName, old: &Object, new: Object) -> Result<bool, String> {
        let kind = old.kind();
        let with = |mut meta: ObjectMeta, from: &ObjectMeta| {
            meta.labels.clone_from(&from.labels);
            meta.annotations.clone_from(&from.annotations);
            meta.finalizers.clone_from(&from.finalizers);
            meta.owner_references.clone_from(&from.owner_references);
            meta
        };
        let meta = with(old.metadata().clone(), new.metadata());
        if meta.is_deleting() {
            // ValidateObjectMetaAccessorUpdate
            let held = &old.metadata().finalizers;
            let more: Vec<String> =
                meta.finalizers.iter().filter(|f| !held.contains(f)).map(|f| format!("{f:?}")).collect();
            if !more.is_empty() {
                return Err(format!(
                    "The {} \"{}\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    kind.name(),
                    key.name,
                    more.join(", ")
                ));
            }
        }
        let errors = validation::update(&with_meta(&new, &meta), old, self.release);
        if !errors.is_empty() {
            return Err(validation::envelope(kind, &key.name, &errors));
        }
        let now = self.now;
        Ok(match new {
            Object::Namespace(n) => self.rewrite(key, meta, &*n),
            Object::Node(n) => {
                let changed = self.store.update::<Node>(key, |o| {
                    o.metadata = meta;
                    let added =
                        |t: &Taint| o.spec.taints.iter().find(|b| b.key == t.key && b.effect == t.effect)?.time_added;
                    let taints: Vec<Taint> = n
                        .spec
                        .taints
                        .iter()
                        .map(|t| Taint { time_added: added(t).or(Some(now)), ..t.clone() })
                        .collect();
                    o.spec.unschedulable = n.spec.unschedulable;
                    o.spec.taints = taints;
                });
                self.node_changed(&key.name);
                changed
            }
            Object::Service(s) => {
                let mut new = (*s).clone();
                if let Object::Service(old) = old {
                    crate::apply::keep_allocated(&mut new, old);
                    new.status.clone_from(&old.status);
                }
                new.metadata = meta;
                self.allocate(&mut new).map_err(|why| why.replace("error when creating \"STDIN\": ", ""))?;
                self.store.update::<Service>(key, |o| {
                    o.metadata = new.metadata;
                    o.spec = new.spec;
                })
            }
            Object::EndpointSlice(n) => self.rewrite(key, meta, &*n),
            Object::Deployment(n) => self.rewrite(key, meta, &*n),
            Object::ReplicaSet(n) => self.rewrite(key, meta, &*n),
            Object::Pod(n) => self.rewrite(key, meta, &*n),
            Object::PodDisruptionBudget(n) => self.rewrite(key, meta, &*n),
            Object::ConfigMap(n) => self.rewrite(key, meta, &*n),
            Object::StatefulSet(n) => self.rewrite(key, meta, &*n),
            Object::DaemonSet(n) => self.rewrite(key, meta, &*n),
        })
    }

    fn rewrite<T: Stored>(&mut self, key: &NamespacedName, meta: ObjectMeta, new: &T) -> bool {
        self.store.update::<T>(key, |old| {
            *old.meta_mut() = meta;
            old.take(new);
        })
    }
}

/// Whether what a client says about the version that it has seen is right.
///
/// # Errors
/// The server's complaint.
pub(crate) fn check_version(given: &Tree, old: Option<&Object>, kind: Kind, name: &str) -> Result<(), String> {
    let Some(version) = given.at(&["metadata", "resourceVersion"]).and_then(Tree::as_str).filter(|v| !v.is_empty())
    else {
        return Ok(());
    };
    match old.map(|o| o.metadata().resource_version.to_string()) {
        None => {
            Err("Error from server (BadRequest): resourceVersion should not be set on objects to be created".into())
        }
        Some(now) if now != version => Err(format!(
            "Error from server (Conflict): Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes to the latest version and try again",
            dotted(kind, kind.plural())
        )),
        Some(_) => Ok(()),
    }
}

fn with_meta(object: &Object, meta: &ObjectMeta) -> Object {
    let mut object = object.clone();
    object.metadata_mut().clone_from(meta);
    object
}

/// What kubectl prints of the server's answers.
fn answered(kind: Kind, name: &str, answers: &[kube_api::Diagnostic], first: &kube_api::Diagnostic) -> String {
    match first.message.split_once(": ") {
        Some(("BadRequest", rest)) => format!("Error from server (BadRequest): {rest}"),
        _ => {
            let head = format!("The {} \"{name}\" is invalid: ", kind.name());
            match answers {
                [one] => format!("{head}{}", one.message),
                many => many.iter().fold(head, |text, answer| format!("{text}\n* {}", answer.message)),
            }
        }
    }
}

/// `deployments.apps`
pub(crate) fn dotted(kind: Kind, name: &str) -> String {
    match kind.api_version().split_once('/') {
        Some((group, _)) => format!("{name}.{group}"),
        None => name.into(),
    }
}
