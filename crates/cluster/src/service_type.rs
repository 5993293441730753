//! A Service that changes its type lets go of what only the old type had, unless the client asked for it in the same
//! breath (`dropTypeDependentFields` in `pkg/registry/core/service/strategy.go`).

use kube_api::wire::get_mut;
use kube_api::yaml::{Tree, Value};

/// Takes out of `new` what `old` had for its type, what `new`'s type has no use for, and what is the same in both.
pub(crate) fn drop_dependent_fields(new: &mut Tree, old: &Tree) {
    let text = |tree: &Tree, key: &str| tree.at(&["spec", key]).and_then(Tree::as_str).unwrap_or_default().to_owned();
    let type_of = |tree: &Tree| match text(tree, "type") {
        none if none.is_empty() => "ClusterIP".to_owned(),
        some => some,
    };
    let (now, before) = (type_of(new), type_of(old));
    let on_nodes = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let checked = |tree: &Tree, kind: &str| kind == "LoadBalancer" && text(tree, "externalTrafficPolicy") == "Local";
    let external = |tree: &Tree, kind: &str| {
        let by_ip = tree.at(&["spec", "externalIPs"]).is_some_and(|t| !t.items().is_empty());
        on_nodes(kind) || kind == "ClusterIP" && by_ip
    };
    let mut idle: Vec<&str> = Vec::new();
    if before != "ExternalName" && now == "ExternalName" {
        idle.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
    }
    if checked(old, &before) && !checked(new, &now) {
        idle.push("healthCheckNodePort");
    }
    if before == "LoadBalancer" && now != "LoadBalancer" {
        idle.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if external(old, &before) && !external(new, &now) {
        idle.push("externalTrafficPolicy");
    }
    let ports = |tree: &Tree| tree.at(&["spec", "ports"]).map(Tree::items).unwrap_or_default().to_vec();
    let numbers =
        |tree: &Tree| ports(tree).iter().map(|p| p.get("nodePort").and_then(Tree::as_int)).collect::<Vec<_>>();
    let free_ports = on_nodes(&before) && !on_nodes(&now) && numbers(new) == numbers(old);
    let Some(spec) = get_mut(new, "spec") else { return };
    if let Value::Map(entries) = &mut spec.value {
        let same = |key: &str, value: &Tree| old.at(&["spec", key]).is_some_and(|t| kube_api::wire::same(t, value));
        entries.retain(|(key, value)| !(idle.contains(&key.name.as_str()) && same(&key.name, value)));
    }
    if free_ports && let Some(Tree { value: Value::Seq(ports), .. }) = get_mut(spec, "ports") {
        for port in ports {
            if let Value::Map(entries) = &mut port.value {
                entries.retain(|(key, _)| key.name != "nodePort");
            }
        }
    }
}
