//! What may not change about a Service (ValidateServiceUpdate).

use super::errors::{Errors, dump, texts};
use crate::decode::go_quote;
use crate::yaml::Tree;

const ONCE: &str = "may not change once set";

pub(super) fn update(errors: &mut Errors, new: &Tree, old: &Tree) {
    let spec = |tree: &'_ Tree, key: &str| tree.at(&["spec", key]).cloned().unwrap_or_default();
    let text = |tree: &Tree, key: &str| spec(tree, key).as_str().map(String::from);
    let kind = |tree: &Tree| text(tree, "type").unwrap_or_default();
    let (new_kind, old_kind) = (kind(new), kind(old));
    let single = text(new, "ipFamilyPolicy").as_deref() == Some("SingleStack");
    let policy = text(new, "ipFamilyPolicy").unwrap_or_else(|| "null".into());
    let (new_ips, old_ips) = (spec(new, "clusterIPs"), spec(old, "clusterIPs"));
    let (ips, before) = (texts(Some(&new_ips)), texts(Some(&old_ips)));
    let headless = |ips: &[&str]| ips == ["None"];
    let named = new_kind == "ExternalName" || old_kind == "ExternalName";
    let release = |what: &str| format!("must be set to 'SingleStack' when releasing the secondary {what}");
    if !(named || headless(&ips) && headless(&before)) {
        let shown = dump("[]string", &ips);
        let changed = |errors: &mut Errors, i: usize| {
            errors.invalid_dump(&format!("spec.clusterIPs[{i}]"), &shown, ONCE);
        };
        if ips.len() == before.len() {
            (0..ips.len()).filter(|i| ips[*i] != before[*i]).for_each(|i| changed(errors, i));
        } else {
            if ips.is_empty() {
                errors.invalid_dump("spec.clusterIPs[0]", &shown, "primary clusterIP can not be unset");
            }
            if let (Some(one), Some(other)) = (ips.first(), before.first())
                && one != other
            {
                changed(errors, 0);
            }
            if before.len() > ips.len() && ips.len() == 1 && !single {
                errors.invalid("spec.ipFamilyPolicy", &policy, &release("clusterIP"));
            }
        }
    }
    let (new_families, old_families) = (spec(new, "ipFamilies"), spec(old, "ipFamilies"));
    let (families, earlier) = (texts(Some(&new_families)), texts(Some(&old_families)));
    if !named && !headless(&ips) && !headless(&before) {
        let path = "spec.ipFamilies[0]";
        if families.len() == earlier.len() {
            for _ in families.iter().zip(&earlier).filter(|(a, b)| a != b) {
                errors.invalid_dump(path, &dump("[]core.IPFamily", &families), ONCE);
            }
        } else {
            if let (Some(one), Some(other)) = (families.first(), earlier.first())
                && one != other
            {
                errors.invalid_dump(path, &dump("[]string", &ips), ONCE);
            }
            if earlier.len() > families.len() && families.len() == 1 && !single {
                errors.invalid("spec.ipFamilyPolicy", &policy, &release("ipFamily"));
            }
        }
    }
    let class = |tree: &Tree| text(tree, "loadBalancerClass");
    let balanced = new_kind == "LoadBalancer" && old_kind == "LoadBalancer";
    if balanced && class(new) != class(old) {
        let shown = go_quote(&class(new).unwrap_or_else(|| "null".into()));
        errors.invalid_dump("spec.loadBalancerClass", &shown, ONCE);
    }
    let checked = |tree: &Tree| text(tree, "externalTrafficPolicy").as_deref() == Some("Local");
    let health = |tree: &Tree| spec(tree, "healthCheckNodePort").as_int().unwrap_or(0);
    if balanced && checked(new) && checked(old) && health(new) != health(old) {
        errors.forbidden("spec.healthCheckNodePort", "field is immutable");
    }
}
