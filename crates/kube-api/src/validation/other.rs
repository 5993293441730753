//! EndpointSlice (`pkg/apis/discovery/validation`), Node and Namespace (`pkg/apis/core/validation`).

use super::errors::{Errors, dump, texts};
use super::{meta, names, pod};
use crate::Release;
use crate::decode::go_quote;
use crate::yaml::Tree;
use std::collections::BTreeSet;

/// ValidateEndpointSlice.
pub(super) fn slice(errors: &mut Errors, tree: &Tree) {
    meta::object(errors, tree, true, names::dns1123_subdomain);
    let family = tree.str("addressType");
    if family.is_empty() {
        errors.required("addressType", "");
    } else {
        errors.one_of("addressType", family, &["FQDN", "IPv4", "IPv6"]);
    }
    for (i, item) in tree.get("endpoints").map(Tree::items).unwrap_or_default().iter().enumerate() {
        let addresses = texts(item.get("addresses"));
        if addresses.is_empty() {
            errors.required(&format!("endpoints[{i}].addresses"), "must contain at least 1 address");
        }
        for (j, address) in addresses.iter().enumerate() {
            let path = format!("endpoints[{i}].addresses[{j}]");
            let ip = names::parse_ip(address);
            match family {
                "IPv4" if ip.is_none_or(|ip| !ip.is_ipv4()) => {
                    errors.invalid(&path, address, "must be a valid IPv4 address");
                }
                "IPv6" if ip.is_none_or(|ip| !ip.is_ipv6()) => {
                    errors.invalid(&path, address, "must be a valid IPv6 address");
                }
                "IPv4" | "IPv6" => errors.each(&path, address, names::non_special(address)),
                "FQDN" => errors.each(&path, address, names::dns1123_subdomain(address)),
                _ => {}
            }
        }
        let node = item.str("nodeName");
        if !node.is_empty() {
            errors.each(&format!("endpoints[{i}].nodeName"), node, names::dns1123_subdomain(node));
        }
        let host = item.str("hostname");
        if !host.is_empty() {
            errors.each(&format!("endpoints[{i}].hostname"), host, names::dns1123_label(host));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in tree.get("ports").map(Tree::items).unwrap_or_default().iter().enumerate() {
        let name = port.str("name");
        let path = format!("ports[{i}].name");
        if !name.is_empty() {
            errors.each(&path, name, names::dns1123_label(name));
        }
        if !seen.insert(name) {
            errors.duplicate(&path, &go_quote(name));
        }
        let protocol = port.str("protocol");
        if !protocol.is_empty() {
            errors.one_of(&format!("ports[{i}].protocol"), protocol, &["SCTP", "TCP", "UDP"]);
        }
        let app = port.str("appProtocol");
        if !app.is_empty() {
            errors.each(&format!("ports[{i}].appProtocol"), app, names::qualified_name(app));
        }
    }
}

/// ValidateEndpointSliceUpdate.
pub(super) fn slice_update(errors: &mut Errors, new: &Tree, old: &Tree) {
    if new.str("addressType") != old.str("addressType") {
        errors.invalid("addressType", new.str("addressType"), "field is immutable");
    }
}

/// ValidateNode.
pub(super) fn node(errors: &mut Errors, tree: &Tree) {
    meta::object(errors, tree, false, names::dns1123_subdomain);
    let mut seen = BTreeSet::new();
    // The path is the server's: it looks below metadata.
    for (i, taint) in tree.at(&["spec", "taints"]).map(Tree::items).unwrap_or_default().iter().enumerate() {
        let path = format!("metadata.taints[{i}]");
        let (key, value, effect) = (taint.str("key"), taint.str("value"), taint.str("effect"));
        errors.each(&format!("{path}.key"), key, names::qualified_name(key));
        errors.each(&format!("{path}.value"), value, names::label_value(value));
        pod::effects(errors, effect, &format!("{path}.effect"));
        if !seen.insert((key, effect)) {
            let dump = format!(
                "core.Taint{{Key:{}, Value:{}, Effect:{}, TimeAdded:<nil>}}: taints must be unique by key and effect pair",
                go_quote(key),
                go_quote(value),
                go_quote(effect)
            );
            errors.duplicate(&path, &dump);
        }
    }
    // The old field becomes the first of the new one (`pkg/apis/core/v1/conversion.go`).
    let mut cidrs = texts(tree.at(&["spec", "podCIDRs"]));
    let first = tree.at(&["spec", "podCIDR"]).and_then(Tree::as_str).filter(|c| !c.is_empty());
    if let Some(first) = first.filter(|first| cidrs.first() != Some(first)) {
        cidrs = vec![first];
    }
    for (i, cidr) in cidrs.iter().enumerate() {
        errors.each(&format!("spec.podCIDRs[{i}]"), cidr, names::cidr(cidr, Release::OLDEST));
    }
    let v6 = cidrs.iter().filter(|c| c.contains(':')).count();
    if cidrs.len() > 2 || cidrs.len() == 2 && v6 != 1 {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.invalid_dump("spec.podCIDRs", &dump("[]string", &cidrs), detail);
    }
}

/// ValidateNamespace.
pub(super) fn namespace(errors: &mut Errors, tree: &Tree) {
    meta::object(errors, tree, false, names::dns1123_label);
}
