//! Scenario files: Kubernetes objects and our own kinds under `apiVersion: lab/v1` in one YAML stream.
//!
//! The schema is told in `docs/scenario.md`. Every part is optional; an empty file is three empty nodes.

use crate::dns::{DnsCache, DnsConfig, DnsName};
use crate::proxy::ProxySpec;
use crate::target::Target;
use kube_api::manifest::{self, Content};
use kube_api::{Diagnostic, Object, StringMap, yaml};
use lab_base::{Span, Time};
use lab_protocol::{Fault, PodRef};
use serde::{Deserialize, Deserializer, Serialize};

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

/// `kind: Cluster`, `spec`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// From which all chance follows.
    pub seed: u64,
    /// Kubernetes release whose behaviour is simulated: `1.30` to `1.36`.
    pub release: String,
    /// A number, or each node's name and zone.
    pub nodes: Nodes,
    /// kube-proxy on every node.
    pub kube_proxy: ProxySpec,
    /// CoreDNS.
    pub dns: DnsConfig,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        ClusterSpec {
            seed: 1,
            release: "1.36".into(),
            nodes: Nodes::Count(3),
            kube_proxy: ProxySpec::default(),
            dns: DnsConfig::default(),
        }
    }
}

/// Nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Nodes {
    /// node-a, node-b, ... in one zone.
    Count(u32),
    /// Named.
    Named(Vec<NodeEntry>),
}

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Its name.
    pub name: String,
    /// Its zone; empty: none.
    #[serde(default)]
    pub zone: String,
    /// Its kube-proxy, where it is set up otherwise than on the other nodes.
    #[serde(default, rename = "kubeProxy")]
    pub kube_proxy: ProxySpec,
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Nodes;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a number of nodes, or a list of {name, zone}")
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Nodes, E> {
                Ok(Nodes::Count(u32::try_from(n).unwrap_or(u32::MAX)))
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Nodes, E> {
                Ok(Nodes::Count(u32::try_from(n.max(0)).unwrap_or(u32::MAX)))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Nodes, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = seq.next_element()? {
                    nodes.push(node);
                }
                Ok(Nodes::Named(nodes))
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl Nodes {
    /// Each node.
    pub fn entries(&self) -> Vec<NodeEntry> {
        match self {
            Nodes::Count(n) => (0..(*n).min(MAX_NODES as u32))
                .map(|i| {
                    let name = match i {
                        0..26 => format!("node-{}", (b'a' + i as u8) as char),
                        _ => format!("node-{}", i + 1),
                    };
                    NodeEntry { name, zone: String::new(), kube_proxy: ProxySpec::default() }
                })
                .collect(),
            Nodes::Named(list) => list.clone(),
        }
    }
}

/// More nodes than this don't fit the address plan.
pub const MAX_NODES: usize = 200;

/// `kind: Client`, `spec`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientSpec {
    /// Node that it runs on; empty: the first.
    pub node: String,
    /// Namespace of its Pod, which comes first in its search list.
    pub namespace: String,
    /// `http://NAME[:PORT]/`, `http://IP[:PORT]/`, or `*`: every Service in turn.
    pub target: String,
    /// Requests a second, each with a connection of its own.
    pub rate: f64,
    /// `random` (gaps as of many independent users) or `steady`.
    pub arrival: Arrival,
    /// After how long it gives a request up.
    #[serde(deserialize_with = "duration")]
    pub timeout: Span,
    /// How long it keeps the addresses of a name: `none`, `ttl` or a time.
    pub dns_cache: DnsCache,
}

impl Default for ClientSpec {
    fn default() -> Self {
        ClientSpec {
            node: String::new(),
            namespace: "default".into(),
            target: "*".into(),
            rate: 10.0,
            arrival: Arrival::Random,
            timeout: Span::from_secs(1),
            dns_cache: DnsCache::None,
        }
    }
}

/// How the gaps between requests are spread.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Arrival {
    /// Exponential gaps.
    Random,
    /// Equal gaps.
    Steady,
}

/// `kind: Workload`, `spec`: how the process in a matching Pod behaves.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkloadSpec {
    /// Labels of the Pods.
    pub selector: StringMap,
    /// Port that it listens on; None: what its image or its container ports say.
    pub port: Option<u16>,
    /// Mean time that a request takes.
    #[serde(deserialize_with = "duration")]
    pub service_time: Span,
    /// From the start of the process until it listens.
    #[serde(deserialize_with = "duration")]
    pub start_up: Span,
    /// What it does on SIGTERM.
    pub sigterm: Sigterm,
    /// Share of requests that it answers with an error, 0 to 1.
    pub errors: f64,
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        WorkloadSpec {
            selector: StringMap::new(),
            port: None,
            service_time: Span::from_millis(20),
            start_up: Span::from_millis(500),
            sigterm: Sigterm::Drain,
            errors: 0.0,
        }
    }
}

/// What a process does on SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Sigterm {
    /// Closes its listening socket, ends the requests that it has, exits.
    Drain,
    /// Exits at once.
    Drop,
    /// Goes on until SIGKILL.
    Ignore,
}

/// `kind: Fault`, `spec`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FaultSpec {
    #[serde(deserialize_with = "duration")]
    at: Span,
    #[serde(rename = "type")]
    type_: String,
    #[serde(default)]
    pod: Option<PodRole>,
    #[serde(default)]
    node: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PodRole {
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    deployment: Option<String>,
    #[serde(default = "first")]
    nth: u32,
    #[serde(default)]
    name: Option<String>,
}

fn first() -> u32 {
    1
}

/// Reads a length of time as `250ms`, `20s`, `1.5s`, `1m30s`.
pub fn parse_duration(text: &str) -> Option<Span> {
    let mut rest = text;
    let mut total = 0.0f64;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(split);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let number: f64 = number.parse().ok()?;
        total += number
            * match unit {
                "us" => 1.0,
                "ms" => 1e3,
                "s" => 1e6,
                "m" => 60e6,
                "h" => 3600e6,
                _ => return None,
            };
        rest = after;
    }
    (!text.is_empty() && total.is_finite() && total <= 1e15).then(|| Span::from_micros(total as u64))
}

fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Span, D::Error> {
    let text = String::deserialize(d)?;
    parse_duration(&text).ok_or_else(|| serde::de::Error::custom("expected a time such as 250ms, 20s or 2m"))
}

impl FaultSpec {
    fn fault(&self) -> Option<Fault> {
        let pod = || {
            let p = self.pod.as_ref()?;
            let namespace = p.namespace.clone().unwrap_or_else(|| "default".into());
            match (&p.deployment, &p.name) {
                (Some(d), None) => Some(PodRef::Nth { namespace, deployment: d.clone(), nth: p.nth }),
                (None, Some(n)) => Some(PodRef::Named { namespace, name: n.clone() }),
                _ => None,
            }
        };
        let node = || self.node.clone();
        Some(match self.type_.as_str() {
            "killProcess" => Fault::KillProcess { pod: pod()? },
            "deletePod" => Fault::DeletePod { pod: pod()? },
            "killPod" => Fault::KillPod { pod: pod()? },
            "failReadiness" => Fault::FailReadiness { pod: pod()? },
            "passReadiness" => Fault::PassReadiness { pod: pod()? },
            "cutPod" => Fault::CutPod { pod: pod()? },
            "joinPod" => Fault::JoinPod { pod: pod()? },
            "powerOff" => Fault::PowerOff { node: node()? },
            "powerOn" => Fault::PowerOn { node: node()? },
            "cutNode" => Fault::CutNode { node: node()? },
            "joinNode" => Fault::JoinNode { node: node()? },
            "stopDns" => Fault::StopDns,
            "startDns" => Fault::StartDns,
            _ => return None,
        })
    }
}

fn complain(tree: &yaml::Tree, document: u32, path: &str, message: &str) -> Diagnostic {
    Diagnostic::error(message, path, manifest::place(tree, path), document)
}

impl Scenario {
    /// Reads a scenario. What can't be read is told; what can is in the scenario all the same.
    pub fn parse(text: &str) -> (Scenario, Vec<Diagnostic>) {
        let mut parsed = manifest::parse(text);
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
                self.cluster = spec;
            }
            "Client" => {
                let spec: ClientSpec = yaml::from_tree(spec).map_err(at)?;
                if Target::parse(&spec.target).is_none() {
                    return Err(complain(tree, document, "spec.target", "http://NAME[:PORT]/, http://IP[:PORT]/ or *"));
                }
                if !(spec.rate.is_finite() && (0.0..=2_000.0).contains(&spec.rate)) {
                    return Err(complain(tree, document, "spec.rate", "0 to 2000 requests a second"));
                }
                if DnsName::parse(&spec.namespace).is_none_or(|n| n.dots() > 0 || n.is_absolute()) {
                    return Err(complain(tree, document, "spec.namespace", "the name of a Namespace"));
                }
                if spec.timeout == Span::ZERO {
                    return Err(complain(tree, document, "spec.timeout", "more than 0"));
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
                if !(spec.errors.is_finite() && (0.0..=1.0).contains(&spec.errors)) {
                    return Err(complain(tree, document, "spec.errors", "a share from 0 to 1"));
                }
                self.workloads.push((name, spec));
            }
            "Fault" => {
                let spec: FaultSpec = yaml::from_tree(spec).map_err(at)?;
                let fault = spec.fault().ok_or_else(|| {
                    complain(tree, document, "spec.type", "killProcess, deletePod, killPod, failReadiness, passReadiness, cutPod or joinPod with pod; powerOff, powerOn, cutNode or joinNode with node; stopDns or startDns")
                })?;
                self.faults.push((Time::ZERO + spec.at, fault));
                self.faults.sort_by_key(|(at, _)| *at);
            }
            _ => return Err(complain(tree, document, "kind", "lab/v1 knows Cluster, Client, Workload and Fault")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("250ms", Some(250_000)),
            ("1.5s", Some(1_500_000)),
            ("2m", Some(120_000_000)),
            ("1m30s", Some(90_000_000)),
            ("", None),
            ("1m30", None),
            ("20", None),
            ("s", None),
            ("-1s", None),
            ("1e9s", None),
            ("9999999999999h", None),
        ] {
            assert_eq!(parse_duration(text).map(Span::as_micros), want, "{text}");
        }
    }
}
