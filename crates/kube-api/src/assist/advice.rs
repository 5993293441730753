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
                let mut numbers: Vec<u16> = declared.iter().map(|(_, p)| *p).collect();
                numbers.sort_unstable();
                numbers.dedup();
                let hint = if let [one] = numbers[..] { Some(one.to_string()) } else { None };
                (Doubt::NoPort { port, declared: list(numbers) }, hint)
            }
            IntOrString::String(name) if declared.iter().any(|(n, _)| *n == name) => continue,
            IntOrString::String(name) => {
                let mut names: Vec<&str> = declared.iter().map(|(n, _)| *n).filter(|n| !n.is_empty()).collect();
                names.sort_unstable();
                names.dedup();
                let near = nearest(&name, names.iter().copied()).map(String::from);
                let hint = near.or(if let [one] = names[..] { Some(one.into()) } else { None });
                (Doubt::NoPortName { name, protocol: port.protocol, declared: list(names) }, hint)
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
        let mut instead: Vec<&String> =
            here.iter().copied().filter(|b| fits(b)).filter_map(|b| b.labels.get(key)).collect();
        instead.sort_unstable();
        instead.dedup();
        let near = || nearest(value, instead.iter().map(|s| s.as_str()));
        let hint = if let [one] = instead[..] { Some(one.as_str()) } else { near() };
        let hint = hint.map(|h| if yaml::plain(h) { h.to_owned() } else { format!("{h:?}") });
        (!instead.is_empty()).then(|| (format!("spec.selector[{key}]"), hint))
    });
    match (wrong.next(), wrong.next()) {
        (Some(one), None) => one,
        _ => ("spec.selector".into(), None),
    }
}

fn list<T: ToString>(words: Vec<T>) -> String {
    let words: Vec<String> = words.iter().take(5).map(T::to_string).collect();
    if words.is_empty() { "-".into() } else { words.join(", ") }
}
