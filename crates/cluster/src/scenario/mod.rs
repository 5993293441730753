//! Scenario files: Kubernetes objects and our own kinds under `apiVersion: lab/v1` in one YAML stream.
//!
//! The schema is told in `docs/scenario.md`. Every part is optional; an empty file is three empty nodes.

mod client;
mod cluster;
mod duration;
mod fault;
mod workload;

pub use client::{Arrival, ClientFrom, ClientSpec, Rate, RateStep, RetrySpec};
pub use cluster::{ClusterSpec, LoadBalancerSpec, MAX_NODES, NodeEntry, Nodes};
pub use duration::parse_duration;
pub use workload::{Distribution, Sigterm, WorkloadSpec};

use fault::FaultSpec;
use kube_api::manifest::{self, Content};
use kube_api::{Diagnostic, Object, Release, yaml};
use lab_base::Time;
use lab_protocol::Fault;

/// A scenario, read.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Nodes, seed, release.
    pub cluster: ClusterSpec,
    /// Who sends requests.
    pub clients: Vec<(String, ClientSpec)>,
    /// How containers behave.
    pub workloads: Vec<(String, WorkloadSpec)>,
    /// What breaks, and when.
    pub faults: Vec<(Time, Fault)>,
    /// What is applied before the run begins.
    pub objects: Vec<Object>,
}

fn complain(tree: &yaml::Tree, document: u32, path: &str, message: &str) -> Diagnostic {
    Diagnostic::error(message, path, manifest::place(tree, path), document)
}

impl Scenario {
    /// Reads a scenario, as the release of its Cluster reads objects. What can't be read is told; what can is in the scenario
    /// all the same.
    pub fn parse(text: &str) -> (Scenario, Vec<Diagnostic>) {
        let read = Scenario::of(manifest::parse(text));
        match read.0.cluster.release.parse::<Release>() {
            Ok(release) if release != Release::default() => Scenario::of(manifest::parse_as(text, release)),
            _ => read,
        }
    }

    /// Takes a text as a scenario that has been read already.
    pub fn of(mut parsed: manifest::Parsed) -> (Scenario, Vec<Diagnostic>) {
        let mut scenario = Scenario::default();
        let mut diagnostics = core::mem::take(&mut parsed.diagnostics);
        let mut named = Vec::new();
        for manifest in parsed.manifests {
            match manifest.content {
                Content::Object(object) => scenario.objects.push(object),
                Content::Lab { kind, name, tree } => {
                    let node = tree.at(&["spec", "node"]).and_then(yaml::Tree::as_str).unwrap_or_default();
                    if !node.is_empty() {
                        named.push((node.to_owned(), complain(&tree, manifest.document, "spec.node", "")));
                    }
                    if let Err(d) = scenario.read_lab(&kind, name, &tree, manifest.document) {
                        diagnostics.push(d);
                    }
                }
            }
        }
        // The Cluster that lists the nodes may stand anywhere in the text.
        let nodes = scenario.cluster.nodes.entries();
        for (node, mut place) in named {
            if !nodes.iter().any(|n| n.name == node) {
                let names: Vec<_> = nodes.iter().take(5).map(|n| n.name.as_str()).collect();
                place.message = format!("there is no node \"{node}\"; nodes: {}", names.join(", "));
                diagnostics.push(place);
            }
        }
        (scenario, diagnostics)
    }

    fn read_lab(&mut self, kind: &str, name: String, tree: &yaml::Tree, document: u32) -> Result<(), Diagnostic> {
        let empty = yaml::Tree { value: yaml::Value::Map(Vec::new()), ..yaml::Tree::default() };
        let spec = tree.get("spec").unwrap_or(&empty);
        let at = |mut d: Diagnostic| {
            d.document = document;
            d.path = if d.path.is_empty() { "spec".into() } else { format!("spec.{}", d.path) };
            d
        };
        match kind {
            "Cluster" => {
                let spec: ClusterSpec = yaml::from_tree(spec).map_err(at)?;
                let entries = spec.nodes.entries();
                let counted = matches!(spec.nodes, Nodes::Count(n) if n as usize > MAX_NODES);
                if entries.is_empty() || entries.len() > MAX_NODES || counted {
                    return Err(complain(tree, document, "spec.nodes", "a cluster has 1 to 200 nodes"));
                }
                if entries.iter().enumerate().any(|(i, e)| entries[..i].iter().any(|f| f.name == e.name)) {
                    return Err(complain(tree, document, "spec.nodes", "two nodes have the same name"));
                }
                let label = |n: &str| {
                    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
                    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
                    n.len() <= 253 && edge(n.as_bytes().first()) && edge(n.as_bytes().last()) && n.bytes().all(inner)
                };
                if let Some(wrong) = entries.iter().position(|e| !label(&e.name)) {
                    let path = format!("spec.nodes[{wrong}].name");
                    let message = "a node's name consists of lower case letters, digits, '-' and '.'";
                    return Err(complain(tree, document, &path, message));
                }
                let proxies = entries.iter().enumerate().map(|(i, e)| (format!("spec.nodes[{i}]"), &e.kube_proxy));
                for (of, proxy) in [("spec".to_owned(), &spec.kube_proxy)].into_iter().chain(proxies) {
                    if let Err(message) = proxy.check() {
                        let path = format!("{of}.kubeProxy.ipvsScheduler");
                        return Err(complain(tree, document, &path, &message));
                    }
                }
                if spec.release.parse::<kube_api::Release>().is_err() {
                    return Err(complain(tree, document, "spec.release", "a release from 1.30 to 1.36"));
                }
                if spec.dns.ttl > 3_600 {
                    return Err(complain(tree, document, "spec.dns.ttl", "0 to 3600 seconds"));
                }
                if let Some((path, expected)) = spec.load_balancer.mistake() {
                    return Err(complain(tree, document, path, expected));
                }
                self.cluster = spec;
            }
            "Client" => {
                let spec: ClientSpec = yaml::from_tree(spec).map_err(at)?;
                if let Some((path, expected)) = spec.mistake() {
                    return Err(complain(tree, document, path, expected));
                }
                if self.clients.len() >= 50 || self.clients.iter().any(|(n, _)| *n == name) {
                    return Err(complain(
                        tree,
                        document,
                        "metadata.name",
                        "at most 50 clients, each with a name of its own",
                    ));
                }
                self.clients.push((name, spec));
            }
            "Workload" => {
                let spec: WorkloadSpec = yaml::from_tree(spec).map_err(at)?;
                if let Some((path, expected)) = spec.mistake() {
                    return Err(complain(tree, document, path, expected));
                }
                self.workloads.push((name, spec));
            }
            "Fault" => {
                let spec: FaultSpec = yaml::from_tree(spec).map_err(at)?;
                let fault = spec.fault().ok_or_else(|| {
                    complain(tree, document, "spec.type", "killProcess, deletePod, killPod, failReadiness, passReadiness, cutPod, joinPod, slowPod (with factor, 1 to 1000), fillPod or mendPod with pod; powerOff, powerOn, cutNode, joinNode, slowLink (with delay), losePackets (with percent, 1 to 100), mendLink, stopProxy, startProxy, stopKubelet or startKubelet with node; powerOffZone or powerOnZone with zone; stopController or startController with controller, such as endpointslice-controller; stopDns, startDns, stopHealthChecks, startHealthChecks, stopApiServer, startApiServer, stopControllerManager, startControllerManager, stopScheduler or startScheduler")
                })?;
                self.faults.push((Time::ZERO + spec.at, fault));
                self.faults.sort_by_key(|(at, _)| *at);
            }
            _ => return Err(complain(tree, document, "kind", "lab/v1 knows Cluster, Client, Workload and Fault")),
        }
        Ok(())
    }
}
