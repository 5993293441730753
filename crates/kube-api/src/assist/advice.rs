//! Services that will reach nobody: valid, but hardly meant. No API server says so.

use crate::manifest::{Content, Manifest, Parsed};
use crate::objects::{Container, IntOrString, Object, PodSpec, Protocol, Service, ServiceType, StringMap};
use crate::yaml::{self, Span};
use crate::{Severity, decode::kinds::nearest};

/// A Pod, or a template that Pods are made from: what a Service can choose.
#[derive(Clone, Copy, Debug)]
pub struct Backend<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its labels.
    pub labels: &'a StringMap,
    /// Its containers.
    pub spec: &'a PodSpec,
}

impl<'a> Backend<'a> {
    /// What an object is, or makes.
    pub fn of(object: &'a Object) -> Option<Backend<'a>> {
        let namespace = object.metadata().namespace.as_str();
        let (labels, spec) = match object {
            Object::Pod(o) => (&o.metadata.labels, &o.spec),
            Object::Deployment(o) => (&o.spec.template.metadata.labels, &o.spec.template.spec),
            Object::StatefulSet(o) => (&o.spec.template.metadata.labels, &o.spec.template.spec),
            Object::DaemonSet(o) => (&o.spec.template.metadata.labels, &o.spec.template.spec),
            Object::ReplicaSet(o) => (&o.spec.template.metadata.labels, &o.spec.template.spec),
            _ => return None,
        };
        Some(Backend { namespace, labels, spec })
    }

    /// Containers that can have a Service's port: those that go on running.
    fn containers(&self) -> impl Iterator<Item = &'a Container> + use<'a> {
        let sidecars = self.spec.init_containers.iter().filter(|c| c.restart_policy == "Always");
        self.spec.containers.iter().chain(sidecars)
    }

    fn ports(&self, protocol: Protocol) -> impl Iterator<Item = (&'a str, u16)> + use<'a> {
        let ports = self.containers().flat_map(|c| &c.ports).filter(move |p| p.protocol == protocol);
        ports.map(|p| (p.name.as_str(), p.container_port))
    }
}

/// What is wrong with a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing has the labels that it asks for.
    NoPod {
        /// `app=web,tier=front`.
        selector: String,
        /// Where nothing has them.
        namespace: String,
    },
    /// No container behind it declares this number; those that do declare others. Declaring is information only.
    NoPort {
        /// `8081`.
        port: i32,
        /// What they declare.
        declared: String,
    },
    /// No container behind it has a port of this name: without one there is no endpoint port.
    NoPortName {
        /// `http`.
        name: String,
        /// `TCP`.
        protocol: Protocol,
        /// What names there are.
        declared: String,
    },
}

/// A doubt and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What is doubtful.
    pub doubt: Doubt,
    /// The field.
    pub path: String,
    /// Where it stands.
    pub span: Span,
    /// What was probably meant: another word for the one that stands there.
    pub hint: Option<String>,
}

/// What to say about the Services of a text, given what else the cluster has. A text with errors is not judged: what
/// can't be read may be what is missing.
pub fn advice(parsed: &Parsed, others: &[Backend<'_>]) -> Vec<Advice> {
    if parsed.diagnostics.iter().any(|d| d.severity == Severity::Error) {
        return Vec::new();
    }
    let own = parsed.manifests.iter().filter_map(own_backend);
    let all: Vec<Backend<'_>> = own.chain(others.iter().copied()).collect();
    let mut found = Vec::new();
    for manifest in &parsed.manifests {
        let Content::Object(Object::Service(service)) = &manifest.content else { continue };
        if !service.spec.selector.is_empty() && service.spec.type_ != ServiceType::ExternalName {
            judge(manifest, service, &all, &mut found);
        }
    }
    found
}

fn own_backend(manifest: &Manifest) -> Option<Backend<'_>> {
    if let Content::Object(object) = &manifest.content { Backend::of(object) } else { None }
}

fn judge(manifest: &Manifest, service: &Service, all: &[Backend<'_>], found: &mut Vec<Advice>) {
    let (selector, namespace) = (&service.spec.selector, service.metadata.namespace.as_str());
    let has = |b: &Backend<'_>, key: &String, value: &String| b.labels.get(key) == Some(value);
    let here: Vec<&Backend<'_>> = all.iter().filter(|b| b.namespace == namespace).collect();
    let behind: Vec<&Backend<'_>> =
        here.iter().copied().filter(|b| selector.iter().all(|(k, v)| has(b, k, v))).collect();
    if behind.is_empty() {
        let (path, hint) = culprit(selector, &here);
        let selector: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let doubt = Doubt::NoPod { selector: selector.join(","), namespace: namespace.into() };
        found.push(Advice { doubt, span: manifest.place(&path), path, hint });
        return;
    }
    for (i, port) in service.spec.ports.iter().enumerate() {
        let declared: Vec<(&str, u16)> = behind.iter().flat_map(|b| b.ports(port.protocol)).collect();
        let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port.into()));
        let (doubt, hint) = match target {
            IntOrString::Int(0) => continue,
            // A container that declares none says nothing about where it listens.
            IntOrString::Int(port) if declared.is_empty() || declared.iter().any(|(_, p)| i32::from(*p) == port) => {
                continue;
            }
            IntOrString::Int(port) => {
                let numbers = distinct(declared.iter().map(|(_, p)| p.to_string()));
                (Doubt::NoPort { port, declared: list(&numbers) }, only(&numbers))
            }
            IntOrString::String(name) if declared.iter().any(|(n, _)| *n == name) => continue,
            IntOrString::String(name) => {
                let names = distinct(declared.iter().filter(|(n, _)| !n.is_empty()).map(|(n, _)| (*n).to_owned()));
                let hint = near(&name, &names).or_else(|| only(&names));
                (Doubt::NoPortName { name, protocol: port.protocol, declared: list(&names) }, hint)
            }
        };
        let written = format!("spec.ports[{i}].targetPort");
        let given = port.target_port.is_some();
        let path = if given { written } else { format!("spec.ports[{i}].port") };
        // Another port than the one that clients use is no fix.
        found.push(Advice { doubt, span: manifest.place(&path), path, hint: hint.filter(|_| given) });
    }
}

/// The one label that keeps a selector from matching, if it is one, and what it should be, if that is clear.
fn culprit(selector: &StringMap, here: &[&Backend<'_>]) -> (String, Option<String>) {
    let mut wrong = selector.iter().filter_map(|(key, value)| {
        let fits = |b: &&Backend<'_>| selector.iter().all(|(k, v)| k == key || b.labels.get(k) == Some(v));
        let fitting = here.iter().copied().filter(|b| fits(b));
        let instead = distinct(fitting.filter_map(|b| b.labels.get(key)).cloned());
        let hint = only(&instead).or_else(|| near(value, &instead));
        let hint = hint.map(|h| if yaml::plain(&h) { h } else { format!("{h:?}") });
        (!instead.is_empty()).then(|| (format!("spec.selector[{key}]"), hint))
    });
    match (wrong.next(), wrong.next()) {
        (Some(one), None) => one,
        _ => ("spec.selector".into(), None),
    }
}

/// Words in the order in which they come first.
fn distinct(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut found = Vec::new();
    for word in words {
        if !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

fn only(words: &[String]) -> Option<String> {
    if let [one] = words { Some(one.clone()) } else { None }
}

fn near(word: &str, words: &[String]) -> Option<String> {
    nearest(word, words.iter().map(String::as_str)).map(String::from)
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "-".into() } else { words[..words.len().min(5)].join(", ") }
}
