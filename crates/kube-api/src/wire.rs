//! Objects as the API server sends them: what is stored, in the API's own form.
//!
//! The lean objects hold times as numbers, a container's state as an enum and the like. Here they become what a
//! client reads: keys in the order of the alphabet (as kubectl prints them), empty fields left out where the Go types
//! say `omitempty`. What the simulation doesn't hold isn't made up.

use crate::objects::{Kind, Object, Uid};
use crate::timestamp::rfc3339;
use crate::yaml::{Key, Tree, Value, to_tree};
use lab_base::Time;

/// Fields that hold a moment.
const TIMES: [&str; 9] = [
    "creationTimestamp",
    "deletionTimestamp",
    "finishedAt",
    "lastTransitionTime",
    "lastUpdateTime",
    "startTime",
    "startedAt",
    "timeAdded",
    "lastHeartbeatTime",
];
/// Fields without `omitempty`, or pointers: what is empty in them is written all the same.
const KEPT: [&str; 26] = [
    "allocateLoadBalancerNodePorts",
    "currentHealthy",
    "deletionGracePeriodSeconds",
    "desiredHealthy",
    "disruptionsAllowed",
    "emptyDir",
    "endpoints",
    "exitCode",
    "expectedPods",
    "lastState",
    "loadBalancer",
    "maxSurge",
    "maxUnavailable",
    "minAvailable",
    "minReplicas",
    "partition",
    "ready",
    "replicas",
    "resources",
    "restartCount",
    "revisionHistoryLimit",
    "serviceName",
    "serving",
    "started",
    "terminating",
    "terminationGracePeriodSeconds",
];

/// The object as a client gets it.
pub fn wire(object: &Object) -> Tree {
    let mut tree = to_tree(object).unwrap_or_default();
    let kind = object.kind();
    match kind {
        Kind::Pod => pod(&mut tree),
        Kind::PodDisruptionBudget => budget(&mut tree),
        _ => {}
    }
    forms(&mut tree, "");
    if matches!(kind, Kind::PodDisruptionBudget)
        && let Some(status) = get_mut(&mut tree, "status")
        && let Some(Tree { value: Value::Seq(conditions), .. }) = get_mut(status, "conditions")
    {
        // The newer conditions always have their message.
        for condition in conditions.iter_mut().filter(|c| c.get("message").is_none()) {
            set(condition, "message", Value::text(""));
        }
    }
    if matches!(kind, Kind::Deployment)
        && let Some(status) = get_mut(&mut tree, "status")
        && let Value::Map(entries) = &mut status.value
    {
        entries.retain(|(key, value)| key.name != "replicas" || value.value != Value::Int(0));
    }
    if matches!(kind, Kind::Namespace | Kind::Node | Kind::Service | Kind::Pod | Kind::ConfigMap)
        && let Some(Tree { value: Value::Map(entries), .. }) = get_mut(&mut tree, "metadata")
    {
        // Only kinds whose strategy counts generations have one.
        entries.retain(|(key, _)| key.name != "generation");
    }
    if matches!(kind, Kind::EndpointSlice)
        && let Some(Tree { value: Value::Seq(ports), .. }) = get_mut(&mut tree, "ports")
    {
        // A pointer: the one port that needn't have a name has an empty one.
        for port in ports.iter_mut().filter(|port| port.get("name").is_none()) {
            set(port, "name", Value::text(""));
        }
    }
    if matches!(kind, Kind::Namespace) {
        let phase = if object.metadata().is_deleting() { "Terminating" } else { "Active" };
        set(&mut tree, "spec", map(vec![("finalizers", Value::Seq(vec![of(Value::text("kubernetes"))]))]));
        set(&mut tree, "status", map(vec![("phase", Value::text(phase))]));
    }
    // Without a controller nobody counts; these are the numbers that have no `omitempty`.
    let counts: &[&str] = match kind {
        Kind::StatefulSet => &["availableReplicas", "replicas"],
        Kind::DaemonSet => &["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"],
        _ => &[],
    };
    if !counts.is_empty() {
        set(&mut tree, "status", map(counts.iter().map(|name| (*name, Value::Int(0))).collect()));
    }
    set(&mut tree, "apiVersion", Value::text(kind.api_version()));
    set(&mut tree, "kind", Value::text(kind.name()));
    sort(&mut tree);
    tree
}

/// A mapping of some entries.
pub fn map(entries: Vec<(&str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(k, v)| (Key::new(k), of(v))).collect())
}

/// A tree without a place.
pub fn of(value: Value) -> Tree {
    Tree { value, ..Tree::default() }
}

/// The value under a key, to change.
pub fn get_mut<'a>(tree: &'a mut Tree, key: &str) -> Option<&'a mut Tree> {
    match &mut tree.value {
        Value::Map(entries) => entries.iter_mut().rev().find(|(k, _)| k.name == key).map(|(_, t)| t),
        _ => None,
    }
}

/// Puts a value under a key of a mapping.
pub fn set(tree: &mut Tree, key: &str, value: Value) {
    match get_mut(tree, key) {
        Some(old) => *old = of(value),
        None => {
            if let Value::Map(entries) = &mut tree.value {
                entries.push((Key::new(key), of(value)));
            }
        }
    }
}

/// Puts all keys into the order of the alphabet.
pub fn sort(tree: &mut Tree) {
    match &mut tree.value {
        Value::Map(entries) => {
            entries.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
            entries.iter_mut().for_each(|(_, t)| sort(t));
        }
        Value::Seq(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

/// Applies a JSON merge patch (RFC 7386): null takes a key away, a mapping is merged, all else replaces.
pub fn merge(tree: &mut Tree, patch: &Tree) {
    let Value::Map(changes) = &patch.value else {
        *tree = patch.clone();
        return;
    };
    if !matches!(tree.value, Value::Map(_)) {
        tree.value = Value::Map(Vec::new());
    }
    for (key, change) in changes {
        if change.is_null() {
            if let Value::Map(entries) = &mut tree.value {
                entries.retain(|(k, _)| k.name != key.name);
            }
        } else if let Some(old) = get_mut(tree, &key.name) {
            merge(old, change);
        } else {
            let mut new = Tree::default();
            merge(&mut new, change);
            set(tree, &key.name, new.value);
        }
    }
}

/// The merge patch that makes `old` into `new`. None: they are the same.
pub fn difference(old: &Tree, new: &Tree) -> Option<Tree> {
    let (Value::Map(before), Value::Map(after)) = (&old.value, &new.value) else {
        return (!same(old, new)).then(|| new.clone());
    };
    let mut changes: Vec<(Key, Tree)> = before
        .iter()
        .filter(|(key, _)| new.get(&key.name).is_none_or(Tree::is_null))
        .map(|(key, _)| (Key::new(key.name.clone()), Tree::default()))
        .collect();
    for (key, value) in after.iter().filter(|(_, v)| !v.is_null()) {
        let change = match old.get(&key.name) {
            Some(was) => difference(was, value),
            None => Some(value.clone()),
        };
        changes.extend(change.map(|c| (Key::new(key.name.clone()), c)));
    }
    (!changes.is_empty()).then(|| of(Value::Map(changes)))
}

/// Whether two trees say the same, wherever they stand.
pub fn same(a: &Tree, b: &Tree) -> bool {
    match (&a.value, &b.value) {
        (Value::Map(x), Value::Map(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| b.get(&k.name).is_some_and(|w| same(v, w)))
        }
        (Value::Seq(x), Value::Seq(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| same(v, w)),
        (Value::Str { raw: x, .. }, Value::Str { raw: y, .. }) => x == y,
        (x, y) => x == y,
    }
}

/// Brings each value into its form, and drops what is empty.
fn forms(tree: &mut Tree, own: &str) {
    let labels =
        matches!(own, "labels" | "annotations" | "selector" | "matchLabels" | "nodeSelector" | "data" | "binaryData");
    match &mut tree.value {
        Value::Seq(items) => items.iter_mut().for_each(|item| forms(item, own)),
        // A label selector isn't a mapping of labels, as a Service's selector is.
        Value::Map(entries) if !labels || own == "selector" && entries.iter().any(|(_, t)| t.as_str().is_none()) => {
            if own == "httpGet" {
                // Not held, since it has no effect; this is the default.
                entries.push((Key::new("scheme"), of(Value::text("HTTP"))));
            }
            for (key, value) in entries.iter_mut() {
                let name = key.name.as_str();
                if let Value::Int(i) = value.value {
                    let number = u64::try_from(i).unwrap_or(0);
                    if TIMES.contains(&name) {
                        value.value = Value::text(rfc3339(Time::from_micros(number)));
                    } else if name == "uid" {
                        value.value = Value::text(if number == 0 { String::new() } else { Uid(number).to_string() });
                    } else if name == "resourceVersion" {
                        value.value = Value::text(if number == 0 { String::new() } else { number.to_string() });
                    }
                }
                forms(value, name);
            }
            entries.retain(|(key, value)| KEPT.contains(&key.name.as_str()) || !is_empty(value));
            if own == "ownerReferences"
                && let Some(at) = entries.iter().position(|(key, _)| key.name == "foreign")
            {
                let (_, written) = entries.remove(at);
                if let Some((_, uid)) = entries.iter_mut().find(|(key, _)| key.name == "uid") {
                    *uid = written;
                }
            }
        }
        _ => {}
    }
}

fn is_empty(tree: &Tree) -> bool {
    match &tree.value {
        Value::Null | Value::Bool(false) | Value::Int(0) => true,
        Value::Str { raw, .. } => raw.is_empty(),
        Value::Seq(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    }
}

/// The moments at which evictions were granted.
fn budget(tree: &mut Tree) {
    if let Some(status) = get_mut(tree, "status")
        && let Some(Tree { value: Value::Map(pods), .. }) = get_mut(status, "disruptedPods")
    {
        for (_, at) in pods {
            let micros = at.as_int().and_then(|i| u64::try_from(i).ok()).unwrap_or(0);
            at.value = Value::text(rfc3339(Time::from_micros(micros)));
        }
    }
}

/// A Pod's addresses and its containers' states.
fn pod(tree: &mut Tree) {
    let lists = ["initContainers", "containers"];
    let images: Vec<(String, String)> = lists
        .iter()
        .flat_map(|list| tree.at(&["spec", list]).map(Tree::items).unwrap_or_default())
        .map(|c| (c.str("name").to_owned(), c.str("image").to_owned()))
        .collect();
    let Some(status) = get_mut(tree, "status") else { return };
    if let Some(Tree { value: Value::Seq(ips), .. }) = get_mut(status, "podIPs") {
        for ip in ips {
            let text = core::mem::take(&mut ip.value);
            ip.value = map(vec![("ip", text)]);
        }
    }
    for list in ["initContainerStatuses", "containerStatuses"] {
        if let Some(Tree { value: Value::Seq(containers), .. }) = get_mut(status, list) {
            containers.iter_mut().for_each(|container| container_status(container, &images));
        }
    }
}

/// The state of one of them.
fn container_status(container: &mut Tree, images: &[(String, String)]) {
    let name = container.str("name").to_owned();
    let image = images.iter().find(|(n, _)| *n == name).map(|(_, i)| i.clone()).unwrap_or_default();
    set(container, "image", Value::text(image));
    if let Some(state) = get_mut(container, "state")
        && let Value::Map(entries) = &mut state.value
    {
        for (key, inner) in entries {
            key.name = key.name.to_ascii_lowercase();
            // serde names an enum's variants' fields as they are.
            if let Value::Map(fields) = &mut inner.value {
                for (field, _) in fields {
                    if field.name == "started_at" {
                        field.name = "startedAt".into();
                    }
                }
            }
        }
    }
    let last = match get_mut(container, "lastTermination").map(|t| core::mem::take(&mut t.value)) {
        Some(ended @ Value::Map(_)) => map(vec![("terminated", ended)]),
        _ => Value::Map(Vec::new()),
    };
    if let Value::Map(entries) = &mut container.value {
        entries.retain(|(key, _)| key.name != "lastTermination");
    }
    set(container, "lastState", last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn read(text: &str) -> Tree {
        yaml::load(text).into_iter().next().and_then(Result::ok).unwrap_or_default()
    }

    /// The table of RFC 7386, appendix A, as far as it has objects.
    #[test]
    fn merge_patches() {
        for (old, patch, want) in [
            ("{a: b}", "{a: c}", "{a: c}"),
            ("{a: b}", "{b: c}", "{a: b, b: c}"),
            ("{a: b}", "{a: null}", "{}"),
            ("{a: b, b: c}", "{a: null}", "{b: c}"),
            ("{a: [b]}", "{a: c}", "{a: c}"),
            ("{a: c}", "{a: [b]}", "{a: [b]}"),
            ("{a: {b: c}}", "{a: {b: d, c: null}}", "{a: {b: d}}"),
            ("{a: [{b: c}]}", "{a: [1]}", "{a: [1]}"),
            ("{}", "{a: {bb: {ccc: null}}}", "{a: {bb: {}}}"),
        ] {
            let mut tree = read(old);
            merge(&mut tree, &read(patch));
            assert!(same(&tree, &read(want)), "{old} + {patch}");
        }
    }

    #[test]
    fn a_difference_makes_the_one_into_the_other() {
        for (old, new) in [
            ("{a: b, c: {d: 1, e: [1, 2]}}", "{a: b, c: {e: [1], f: x}}"),
            ("{a: b}", "{}"),
            ("{a: {b: c}}", "{a: x, z: {y: {x: 1}}}"),
        ] {
            let (old, new) = (read(old), read(new));
            let mut patched = old.clone();
            merge(&mut patched, &difference(&old, &new).unwrap());
            assert!(same(&patched, &new));
        }
        assert_eq!(difference(&read("{a: [1, {b: c}]}"), &read("{a: [1, {b: 'c'}]}")), None);
    }
}
