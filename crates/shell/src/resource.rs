//! Types of resources, and the objects that a command line names.

use crate::World;
use crate::flags::Args;
pub use crate::item::{Body, Item, Subset, get, heartbeat, list, qos, slices_of};
use crate::select::Selector;
use kube_api::Kind;

/// A type of resource.
#[derive(Debug, PartialEq, Eq)]
pub struct Type {
    /// `pods`
    pub plural: &'static str,
    /// `Pod`
    pub kind: &'static str,
    /// `po`
    pub short: &'static [&'static str],
    /// `apps`; empty for the core group.
    pub group: &'static str,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Whether `all` means it too.
    pub in_all: bool,
}

const fn row(
    plural: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    group: &'static str,
    namespaced: bool,
    in_all: bool,
) -> Type {
    Type { plural, kind, short, group, namespaced, in_all }
}

/// The types that are simulated, in the order of `kubectl api-resources`.
pub const TYPES: &[Type] = &[
    row("configmaps", "ConfigMap", &["cm"], "", true, false),
    row("endpoints", "Endpoints", &["ep"], "", true, false),
    row("events", "Event", &["ev"], "", true, false),
    row("namespaces", "Namespace", &["ns"], "", false, false),
    row("nodes", "Node", &["no"], "", false, false),
    row("pods", "Pod", &["po"], "", true, true),
    row("services", "Service", &["svc"], "", true, true),
    row("daemonsets", "DaemonSet", &["ds"], "apps", true, true),
    row("deployments", "Deployment", &["deploy"], "apps", true, true),
    row("replicasets", "ReplicaSet", &["rs"], "apps", true, true),
    row("statefulsets", "StatefulSet", &["sts"], "apps", true, true),
    row("leases", "Lease", &[], "coordination.k8s.io", true, false),
    row("endpointslices", "EndpointSlice", &[], "discovery.k8s.io", true, false),
    row("poddisruptionbudgets", "PodDisruptionBudget", &["pdb"], "policy", true, false),
];

/// Types that a real cluster has besides: plural, then short names.
const OTHERS: &[&str] = &[
    "bindings",
    "certificatesigningrequests csr",
    "clusterrolebindings",
    "clusterroles",
    "componentstatuses cs",
    "controllerrevisions",
    "cronjobs cj",
    "customresourcedefinitions crd crds",
    "horizontalpodautoscalers hpa",
    "ingressclasses",
    "ingresses ing",
    "ipaddresses ip",
    "jobs",
    "limitranges limits",
    "networkpolicies netpol",
    "persistentvolumeclaims pvc",
    "persistentvolumes pv",
    "podtemplates",
    "priorityclasses pc",
    "replicationcontrollers rc",
    "resourcequotas quota",
    "rolebindings",
    "roles",
    "runtimeclasses",
    "secrets",
    "serviceaccounts sa",
    "servicecidrs",
    "storageclasses sc",
    "volumeattachments",
];

impl Type {
    /// `pod`
    pub fn singular(&self) -> String {
        self.kind.to_ascii_lowercase()
    }
    /// `deployment.apps`, as kubectl names an object's kind.
    pub fn full_singular(&self) -> String {
        dotted(&self.singular(), self.group)
    }
    /// `deployments.apps`, as the API server names a type.
    pub fn full_plural(&self) -> String {
        dotted(self.plural, self.group)
    }
    /// `apps/v1`
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { "v1".into() } else { format!("{}/v1", self.group) }
    }
    /// The type of a stored kind.
    pub fn of(kind: Kind) -> Option<&'static Type> {
        TYPES.iter().find(|t| t.kind == kind.name())
    }

    /// The type that a word names: `po`, `Pods`, `deployments.apps`, `deploy.v1.apps`.
    ///
    /// # Errors
    /// kubectl's complaint.
    pub fn find(word: &str) -> Result<&'static Type, String> {
        let lower = word.to_ascii_lowercase();
        let (name, group) = lower.split_once('.').map_or((lower.as_str(), None), |(n, g)| (n, Some(g)));
        let in_group = |t: &Type| {
            group.is_none_or(|g| {
                let g = g.strip_prefix("v1.").or(g.strip_prefix("v1").filter(|r| r.is_empty())).unwrap_or(g);
                g == t.group
            })
        };
        let named = |t: &&Type| t.plural == name || t.singular() == name || t.short.contains(&name);
        if let Some(found) = TYPES.iter().find(|t| named(t) && in_group(t)) {
            return Ok(found);
        }
        let other = OTHERS.iter().find(|line| {
            let mut names = line.split(' ');
            let plural = names.next().unwrap_or_default();
            let singular = plural.strip_suffix("ies").map(|s| format!("{s}y"));
            let singular = singular.or_else(|| plural.strip_suffix("sses").map(|s| format!("{s}ss")));
            let singular = singular.unwrap_or_else(|| plural.trim_end_matches('s').to_owned());
            plural == name || singular == name || names.any(|short| short == name)
        });
        match other {
            Some(line) => Err(format!("error: {} are not simulated here", line.split(' ').next().unwrap_or_default())),
            None => Err(format!("error: the server doesn't have a resource type \"{word}\"")),
        }
    }
}

fn dotted(name: &str, group: &str) -> String {
    if group.is_empty() { name.into() } else { format!("{name}.{group}") }
}

/// What a command line's words name.
#[derive(Clone, Debug, PartialEq)]
pub enum Named {
    /// All objects of some types.
    Types(Vec<&'static Type>),
    /// Single objects.
    Objects(Vec<(&'static Type, String)>),
}

/// Reads `TYPE[,TYPE] [NAME...]` or `TYPE/NAME...` (`cli-runtime/pkg/resource/builder.go`).
///
/// # Errors
/// kubectl's complaint.
pub fn named(words: &[String]) -> Result<Named, String> {
    let Some(first) = words.first() else { return Ok(Named::Types(Vec::new())) };
    if words.iter().any(|w| w.contains('/')) {
        let mut objects = Vec::new();
        for word in words {
            let Some((type_, name)) = word.split_once('/') else {
                return Err("error: there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'".into());
            };
            if type_.is_empty() || name.is_empty() || name.contains('/') {
                return Err("error: arguments in resource/name form must have a single resource and name".into());
            }
            objects.push((Type::find(type_)?, name.to_owned()));
        }
        return Ok(Named::Objects(objects));
    }
    let mut types: Vec<&'static Type> = Vec::new();
    for word in first.split(',') {
        if word == "all" {
            // The order in which discovery lists them.
            types.extend(TYPES.iter().filter(|t| t.in_all));
        } else if word.is_empty() {
            return Err("error: arguments in resource/name form may not have more than one slash".into());
        } else {
            types.push(Type::find(word)?);
        }
    }
    types.dedup();
    if words.len() == 1 {
        return Ok(Named::Types(types));
    }
    Ok(Named::Objects(types.iter().flat_map(|t| words[1..].iter().map(|n| (*t, n.clone()))).collect()))
}

/// What the API server says to requests for a version that is on its way out.
pub fn warn_of_deprecated(world: &mut World<'_>, words: &[String]) {
    let old = |t: &&'static Type| t.kind == "Endpoints";
    let asked = match named(words) {
        Ok(Named::Types(types)) => types.iter().any(old),
        Ok(Named::Objects(objects)) => objects.iter().any(|(t, _)| old(t)),
        Err(_) => false,
    };
    if asked && world.cluster().release().0 >= 33 {
        world.complain("Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
    }
}

/// The namespace that a command is about.
pub fn namespace(args: &Args) -> &str {
    args.get("namespace").filter(|n| !n.is_empty()).unwrap_or("default")
}

/// `Error from server (NotFound): pods "web" not found`
pub fn not_found(type_: &Type, name: &str) -> String {
    format!("Error from server (NotFound): {} \"{name}\" not found", type_.full_plural())
}

/// The objects that a command line's words and `-l` mean, and a complaint for each that isn't there.
///
/// # Errors
/// kubectl's complaint about the words.
pub fn items(world: &World<'_>, args: &Args, words: &[String]) -> Result<(Vec<Item>, Vec<String>), String> {
    let selector = match args.get("selector") {
        Some(text) => Some(Selector::parse(text)?),
        None => None,
    };
    let everywhere = args.on("all-namespaces");
    let scope = (!everywhere).then(|| namespace(args));
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    match named(words)? {
        Named::Types(types) => {
            for type_ in types {
                let all = list(world.cluster(), type_, scope).into_iter();
                found.extend(all.filter(|i| selector.as_ref().is_none_or(|s| s.matches(&i.meta.labels))));
            }
        }
        Named::Objects(_) if selector.is_some() => {
            return Err("error: name cannot be provided when a selector is specified".into());
        }
        Named::Objects(objects) => {
            if everywhere && objects.iter().any(|(t, _)| t.namespaced) {
                return Err("error: a resource cannot be retrieved by name across all namespaces".into());
            }
            for (type_, name) in objects {
                match get(world.cluster(), type_, namespace(args), &name) {
                    Some(item) => found.push(item),
                    None => missing.push(not_found(type_, &name)),
                }
            }
        }
    }
    Ok((found, missing))
}
