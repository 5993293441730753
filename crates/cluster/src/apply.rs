//! `kubectl apply`: text -> API server -> store.

use crate::cluster::Cluster;
use crate::facts::Deed;
use crate::store::Stored;
use kube_api::manifest::{self, Content};
use kube_api::yaml::Tree;
use kube_api::{
    Deployment, Kind, Namespace, NamespacedName, Node, Object, OwnerReference, Pod, Remark, Service, ServiceType,
    StringMap, Taint,
};
use lab_protocol::{Diagnostic, MarkKind, Phrase};
use std::sync::Arc;

/// What applying a text came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// `service/web created`, one for each object.
    pub results: Vec<String>,
    /// Mistakes and warnings, each at its place.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether anything in the store changed.
    pub changed: bool,
}

/// A mistake as the page shows it.
pub fn diagnostic(d: &kube_api::Diagnostic) -> Diagnostic {
    Diagnostic {
        line: d.span.line,
        column: d.span.column,
        length: d.span.length,
        error: d.severity == kube_api::Severity::Error,
        path: d.path.clone(),
        message: d.message.clone(),
        phrase: d.remark.as_deref().map(|remark| match remark {
            Remark::WithoutEffect => Phrase::new("diag-without-effect").with("path", &d.path),
            Remark::NoController { kind } => Phrase::new("diag-no-controller").with("kind", kind),
            Remark::NotSimulated { kind, version } => {
                Phrase::new("diag-not-simulated").with("kind", kind).with("version", version)
            }
        }),
    }
}

impl Cluster {
    /// `kubectl apply -f -`: what is right is applied, what is wrong is told.
    pub fn apply_yaml(&mut self, text: &str) -> Applied {
        let parsed = manifest::parse_as(text, self.release);
        let mut applied =
            Applied { diagnostics: parsed.diagnostics.iter().map(diagnostic).collect(), ..Applied::default() };
        for manifest in &parsed.manifests {
            let place = |path: &str| manifest.place(path);
            let complain = |path: &str, message: String, phrase: Option<Phrase>| {
                let span = place(path);
                Diagnostic {
                    line: span.line,
                    column: span.column,
                    length: span.length,
                    error: true,
                    path: path.into(),
                    message,
                    phrase,
                }
            };
            match &manifest.content {
                Content::Lab { kind, .. } => {
                    let phrase = Phrase::new("diag-lab-kind").with("kind", kind);
                    applied.diagnostics.push(complain("kind", String::new(), Some(phrase)));
                }
                Content::Object(object) => match self.apply_manifest(object, &manifest.tree) {
                    Ok(result) => {
                        applied.changed |= !result.ends_with(" unchanged");
                        applied.results.push(result);
                    }
                    Err(message) => {
                        let path = field_of(&message).unwrap_or("metadata.name").to_owned();
                        applied.diagnostics.push(complain(&path, message, None));
                    }
                },
            }
        }
        self.tell_watchers();
        applied
    }

    fn apply_manifest(&mut self, object: &Object, tree: &Tree) -> Result<String, String> {
        let (kind, key) = (object.kind(), object.metadata().key());
        crate::requests::check_version(tree, self.find(kind, &key).as_ref(), kind, &key.name)?;
        self.apply_object(object.clone())
    }

    /// Creates or changes one object.
    ///
    /// # Errors
    /// kubectl's complaint.
    pub(crate) fn apply_object(&mut self, mut object: Object) -> Result<String, String> {
        let kind = object.kind();
        let key = object.metadata().key();
        if kind.namespaced() && self.store.get::<Namespace>(&NamespacedName::new("", key.namespace.clone())).is_none() {
            return Err(format!(
                "Error from server (NotFound): error when creating \"STDIN\": namespaces \"{}\" not found",
                key.namespace
            ));
        }
        let home = self.store.get::<Namespace>(&NamespacedName::new("", key.namespace.clone()));
        if home.is_some_and(|n| n.metadata.is_deleting()) && self.find(kind, &key).is_none() {
            return Err(format!(
                "Error from server (Forbidden): error when creating \"STDIN\": {} \"{}\" is forbidden: unable to create new content in namespace {} because it is being terminated",
                crate::requests::dotted(kind, kind.plural()),
                key.name,
                key.namespace
            ));
        }
        let given = object.clone();
        kube_api::defaults::apply(&mut object);
        let verb = match object {
            Object::Namespace(o) => self.put_over(&key, &*o)?,
            Object::Node(o) => self.apply_node(&key, &o)?,
            Object::Service(o) => self.apply_service(&key, (*o).clone())?,
            Object::EndpointSlice(o) => self.put_over(&key, &*o)?,
            Object::Deployment(o) => self.apply_deployment(&key, (*o).clone(), &given)?,
            Object::ReplicaSet(o) => self.put_over(&key, &*o)?,
            Object::Pod(o) => self.apply_pod(&key, (*o).clone())?,
            Object::PodDisruptionBudget(o) => self.put_over(&key, &*o)?,
            Object::ConfigMap(o) => self.put_over(&key, &*o)?,
            Object::StatefulSet(o) => self.put_over(&key, &*o)?,
            Object::DaemonSet(o) => self.put_over(&key, &*o)?,
        };
        self.last_applied.insert((kind, key.clone()), given);
        let name = format!("{}/{}", resource(kind), key.name);
        if verb != "unchanged" {
            let phrase =
                Phrase::new(if verb == "created" { "mark-created" } else { "mark-configured" }).with("object", &name);
            self.mark(MarkKind::Apply, format!("{}/{}", kind.name(), key.name), phrase);
            self.facts.deed(self.now, Deed::Applied { kind: kind.name().into(), name: key.name });
        }
        Ok(format!("{name} {verb}"))
    }

    /// Stores an object: new, or in place of the old one, if the server lets it.
    fn put_over<T: Stored>(&mut self, key: &NamespacedName, new: &T) -> Result<&'static str, String> {
        if let Some(old) = self.store.get::<T>(key) {
            let mut next = (**old).clone();
            next.take(new);
            let (next, old) = (T::wrap(Arc::new(next)), T::wrap(old.clone()));
            let errors = kube_api::validation::update(&next, &old, self.release);
            if !errors.is_empty() {
                return Err(kube_api::validation::envelope(T::KIND, &key.name, &errors));
            }
        }
        Ok(self.put(key, new.clone()))
    }

    /// Stores an object: new, or in place of the old one (labels, annotations, and what a client may change).
    fn put<T: Stored>(&mut self, key: &NamespacedName, new: T) -> &'static str {
        if self.store.get::<T>(key).is_none() {
            self.store.create(self.now, new);
            return "created";
        }
        let before = self.last_applied.get(&(T::KIND, key.clone())).map(|o| o.metadata().clone()).unwrap_or_default();
        let changed = self.store.update::<T>(key, |old| {
            let (meta, from) = (old.meta_mut(), new.meta());
            three_way(&mut meta.labels, &before.labels, &from.labels);
            three_way(&mut meta.annotations, &before.annotations, &from.annotations);
            meta.finalizers.retain(|f| !before.finalizers.contains(f) || from.finalizers.contains(f));
            let new_ones = from.finalizers.iter().filter(|f| !meta.finalizers.contains(f)).cloned();
            let new_ones: Vec<String> = new_ones.collect();
            meta.finalizers.extend(new_ones);
            merge_owners(&mut meta.owner_references, &before.owner_references, &from.owner_references);
            old.take(&new);
        });
        if changed { "configured" } else { "unchanged" }
    }

    fn apply_node(&mut self, key: &NamespacedName, new: &Node) -> Result<&'static str, String> {
        if self.store.get::<Node>(key).is_none() {
            return Err(format!(
                "nodes \"{}\" not found: a node is a machine, which a manifest can't make; the scenario's Cluster lists them",
                key.name
            ));
        }
        let now = self.now;
        let changed = self.store.update::<Node>(key, |old| {
            old.metadata.labels.extend(new.metadata.labels.clone());
            old.spec.unschedulable = new.spec.unschedulable;
            let added = |t: &Taint| old.spec.taints.iter().find(|o| o.key == t.key && o.effect == t.effect)?.time_added;
            old.spec.taints =
                new.spec.taints.iter().map(|t| Taint { time_added: added(t).or(Some(now)), ..t.clone() }).collect();
        });
        self.node_changed(&key.name);
        Ok(if changed { "configured" } else { "unchanged" })
    }

    fn apply_service(&mut self, key: &NamespacedName, mut new: Service) -> Result<&'static str, String> {
        if let Some(old) = self.store.get::<Service>(key) {
            keep_allocated(&mut new, old);
            let errors = kube_api::validation::update(
                &Object::Service(Arc::new(new.clone())),
                &Object::Service(old.clone()),
                self.release,
            );
            if !errors.is_empty() {
                return Err(kube_api::validation::envelope(Kind::Service, &key.name, &errors));
            }
        }
        self.allocate(&mut new)?;
        // The API server clears `status` on create and keeps it on update; a cloud's controller is what writes it.
        new.status = self.store.get::<Service>(key).map(|old| old.status.clone()).unwrap_or_default();
        Ok(self.put(key, new))
    }

    fn apply_deployment(
        &mut self,
        key: &NamespacedName,
        mut new: Deployment,
        given: &Object,
    ) -> Result<&'static str, String> {
        if let Some(old) = self.store.get::<Deployment>(key) {
            // The three-way merge: a number of replicas that was never applied is somebody else's and stays.
            let asked = |o: &Object| matches!(o, Object::Deployment(d) if d.spec.replicas.is_some());
            let before = self.last_applied.get(&(Kind::Deployment, key.clone()));
            if !asked(given) && !before.is_some_and(asked) {
                new.spec.replicas = old.spec.replicas;
            }
        }
        self.put_over(key, &new)
    }

    fn apply_pod(&mut self, key: &NamespacedName, mut new: Pod) -> Result<&'static str, String> {
        if let Some(old) = self.store.get::<Pod>(key)
            && new.spec.node_name.is_empty()
        {
            // The scheduler's choice; apply leaves alone what it never wrote.
            new.spec.node_name.clone_from(&old.spec.node_name);
        }
        self.put_over(key, &new)
    }
}

/// The three-way merge of a mapping: what was applied before and is left out now goes, what others put there stays.
fn three_way(now: &mut StringMap, before: &StringMap, new: &StringMap) {
    now.retain(|key, _| !before.contains_key(key) || new.contains_key(key));
    now.extend(new.clone());
}

/// The three-way merge of owners, by uid (`patchMergeKey`): those that this client never named are somebody else's.
fn merge_owners(now: &mut Vec<OwnerReference>, before: &[OwnerReference], new: &[OwnerReference]) {
    let has = |list: &[OwnerReference], r: &OwnerReference| list.iter().any(|o| o.same_owner(r));
    now.retain(|r| !has(before, r) || has(new, r));
    for owner in new {
        match now.iter_mut().find(|r| r.same_owner(owner)) {
            Some(old) => old.clone_from(owner),
            None => now.push(owner.clone()),
        }
    }
}

/// What the server gave out stays when a manifest doesn't mention it (`patchAllocatedValues` in
/// `pkg/registry/core/service/storage/storage.go`).
pub(crate) fn keep_allocated(new: &mut Service, old: &Service) {
    let has_ip = |s: &Service| s.spec.type_ != ServiceType::ExternalName;
    if has_ip(new) && has_ip(old) && new.spec.cluster_ip.is_empty() && new.spec.cluster_ips.is_empty() {
        new.spec.cluster_ip.clone_from(&old.spec.cluster_ip);
        new.spec.cluster_ips.clone_from(&old.spec.cluster_ips);
    }
    if new.spec.ip_families.is_empty() {
        new.spec.ip_families.clone_from(&old.spec.ip_families);
    }
    if new.spec.ip_family_policy.is_none() {
        new.spec.ip_family_policy.clone_from(&old.spec.ip_family_policy);
    }
    let on_nodes = |s: &Service| matches!(s.spec.type_, ServiceType::NodePort | ServiceType::LoadBalancer);
    if on_nodes(new) && on_nodes(old) {
        for port in &mut new.spec.ports {
            if port.node_port == 0
                && let Some(same) = old.spec.ports.iter().find(|p| p.port == port.port && p.protocol == port.protocol)
            {
                port.node_port = same.node_port;
            }
        }
        if new.spec.health_check_node_port == 0 && new.spec.external_traffic_policy == old.spec.external_traffic_policy
        {
            new.spec.health_check_node_port = old.spec.health_check_node_port;
        }
    }
}

/// The field that an answer of the API server complains about.
fn field_of(message: &str) -> Option<&str> {
    let rest = message.split(" is invalid: ").nth(1)?;
    let path = rest.split(": ").next()?;
    path.starts_with("spec").then_some(path)
}

/// `deployment.apps`, as kubectl names an object's kind.
pub(crate) fn resource(kind: Kind) -> String {
    let name = kind.name().to_ascii_lowercase();
    match kind.api_version().split_once('/') {
        Some((group, _)) => format!("{name}.{group}"),
        None => name,
    }
}
