//! `kubectl describe` (`kubectl/pkg/describe/describe.go`), its lines and their order.

mod config;
mod generic;
mod node;
mod pod;
mod policy;
mod service;
mod workload;

use crate::human::human;
use crate::resource::{Body, Item};
use crate::tabwriter;
use cluster::{Cluster, KubeEvent};
use kube_api::{Object, ObjectMeta, StringMap};
use lab_base::Time;

/// A description under way: lines with tabs, which are laid out at the end.
pub(crate) struct Page<'a> {
    pub cluster: &'a Cluster,
    done: String,
    open: String,
    events: bool,
}

impl Page<'_> {
    /// A line, so many levels in.
    pub fn line(&mut self, level: usize, text: &str) {
        self.open.extend(core::iter::repeat_n("  ", level));
        self.open.push_str(text);
        self.open.push('\n');
    }

    /// `Name:\tvalue`
    pub fn field(&mut self, level: usize, name: &str, value: &str) {
        self.line(level, &format!("{name}:\t{value}"));
    }

    /// What follows has columns of its own.
    pub fn flush(&mut self) {
        self.done.push_str(&tabwriter::align(&core::mem::take(&mut self.open)));
    }

    /// Labels, one a line, under a name.
    pub fn labels(&mut self, name: &str, labels: &StringMap, skip: &str) {
        self.labels_at(0, name, labels, skip, "=");
    }

    pub fn labels_at(&mut self, level: usize, name: &str, labels: &StringMap, skip: &str, separator: &str) {
        let mut shown = labels.iter().filter(|(k, _)| *k != skip).peekable();
        if shown.peek().is_none() {
            return self.field(level, name, "<none>");
        }
        for (i, (key, value)) in shown.enumerate() {
            let head = if i == 0 { format!("{name}:\t") } else { "\t".into() };
            self.line(level, &format!("{head}{key}{separator}{value}"));
        }
    }

    /// Annotations, without what apply writes for itself.
    pub fn annotations(&mut self, annotations: &StringMap) {
        const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
        let mut shown = annotations.iter().filter(|(k, _)| *k != LAST_APPLIED).peekable();
        if shown.peek().is_none() {
            return self.field(0, "Annotations", "<none>");
        }
        for (i, (key, value)) in shown.enumerate() {
            let head = if i == 0 { "Annotations:\t" } else { "\t" };
            // A long value, or one of several lines, begins on a line of its own.
            if value.contains('\n') || key.chars().count() + value.chars().count() + 2 > 140 {
                self.line(0, &format!("{head}{key}:"));
                for line in value.trim_end_matches('\n').split('\n') {
                    let cut: String = line.chars().take(140).collect();
                    let dots = if cut.len() < line.len() { "..." } else { "" };
                    self.line(0, &format!("\t  {cut}{dots}"));
                }
            } else {
                self.line(0, &format!("{head}{key}: {value}"));
            }
        }
    }

    /// Name, namespace, labels, annotations.
    pub fn head(&mut self, meta: &ObjectMeta) {
        self.field(0, "Name", &meta.name);
        if !meta.namespace.is_empty() {
            self.field(0, "Namespace", &meta.namespace);
        }
    }

    /// What happened to an object, oldest first.
    pub fn events(&mut self, kind: &str, meta: &ObjectMeta) {
        if !self.events {
            return;
        }
        let events = of_object(self.cluster, kind, meta);
        if events.is_empty() {
            return self.field(0, "Events", "<none>");
        }
        self.flush();
        let now = self.cluster.now();
        self.line(0, "Events:");
        self.line(1, "Type\tReason\tAge\tFrom\tMessage");
        self.line(1, "----\t------\t----\t----\t-------");
        for event in events {
            let text = format!(
                "{}\t{}\t{}\t{}\t{}",
                event.type_,
                event.reason,
                interval(&event, now),
                event.component,
                event.message.trim()
            );
            self.line(1, &text);
        }
    }
}

/// `30s`, or `5s (x3 over 2m)`.
pub(crate) fn interval(event: &KubeEvent, now: Time) -> String {
    let last = human(now.since(event.last));
    if event.count > 1 { format!("{last} (x{} over {})", event.count, human(now.since(event.first))) } else { last }
}

/// The events of an object, by time.
pub(crate) fn of_object(cluster: &Cluster, kind: &str, meta: &ObjectMeta) -> Vec<KubeEvent> {
    let mut events: Vec<KubeEvent> = cluster
        .kube_events()
        .filter(|e| e.kind == kind && e.name == meta.name && e.namespace == meta.namespace)
        .collect();
    crate::order::sort_by_key(&mut events, |e| e.last);
    events
}

/// Describes an object.
pub(crate) fn describe(item: &Item, cluster: &Cluster, events: bool) -> String {
    let mut page = Page { cluster, done: String::new(), open: String::new(), events };
    match &item.body {
        Body::Stored(Object::Pod(o)) => pod::pod(&mut page, o),
        Body::Stored(Object::Service(o)) => service::service(&mut page, o),
        Body::Stored(Object::EndpointSlice(o)) => service::slice(&mut page, o),
        Body::Stored(Object::Deployment(o)) => workload::deployment(&mut page, o),
        Body::Stored(Object::ReplicaSet(o)) => workload::replica_set(&mut page, o),
        Body::Stored(Object::Node(o)) => node::node(&mut page, o),
        Body::Stored(Object::PodDisruptionBudget(o)) => policy::budget(&mut page, o),
        Body::Stored(Object::Namespace(o)) => {
            page.head(&o.metadata);
            page.labels("Labels", &o.metadata.labels, "");
            page.annotations(&o.metadata.annotations);
            page.field(0, "Status", crate::columns::namespace_phase(&o.metadata));
            page.line(0, "\nNo resource quota.\n\nNo LimitRange resource.");
        }
        Body::Stored(Object::ConfigMap(o)) => config::config_map(&mut page, o),
        Body::Stored(Object::StatefulSet(o)) => workload::stateful_set(&mut page, o),
        Body::Stored(Object::DaemonSet(o)) => workload::daemon_set(&mut page, o),
        Body::Lease(_) => generic::object(&mut page, item),
        Body::Endpoints(subsets) => service::endpoints(&mut page, &item.meta, subsets),
        Body::Event(event) => {
            page.head(&item.meta);
            for (name, value) in [
                ("Reason", event.reason),
                ("Type", event.type_),
                ("Message", &event.message),
                ("Involved Object", &format!("{}/{}", event.kind, event.name)),
            ] {
                page.field(0, name, value);
            }
        }
    }
    page.flush();
    page.done
}

pub(crate) use workload::{same_template, sets_of};

/// A template as `kubectl rollout history --revision` shows it: tabs and all.
pub(crate) fn template_text(cluster: &Cluster, template: &kube_api::PodTemplateSpec) -> String {
    let mut page = Page { cluster, done: String::new(), open: String::new(), events: false };
    pod::template(&mut page, template);
    page.open
}

/// `True`, as kubectl writes truths.
pub(crate) fn truth(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}
