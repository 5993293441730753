//! PodDisruptionBudget (`pkg/apis/policy/validation/validation.go`).

use super::apps::{at_most_all, int_or_percent};
use super::errors::{Errors, Port};
use super::{meta, names};
use crate::yaml::Tree;

/// ValidatePodDisruptionBudget.
pub(super) fn budget(errors: &mut Errors, tree: &Tree) {
    let none = Tree::default();
    meta::object(errors, tree, true, names::dns1123_subdomain);
    let spec = tree.get("spec").unwrap_or(&none);
    let given = |key: &str| spec.get(key).filter(|t| !t.is_null());
    let (least, most) = (given("minAvailable"), given("maxUnavailable"));
    if least.is_some() && most.is_some() {
        // Go prints addresses of its memory here.
        let pointer = |key: &str| if given(key).is_some() { "0x0" } else { "nil" };
        let dump = format!(
            "policy.PodDisruptionBudgetSpec{{MinAvailable:(*intstr.IntOrString)(0x0), Selector:(*v1.LabelSelector)({}), MaxUnavailable:(*intstr.IntOrString)(0x0), UnhealthyPodEvictionPolicy:(*policy.UnhealthyPodEvictionPolicyType)({})}}",
            pointer("selector"),
            pointer("unhealthyPodEvictionPolicy")
        );
        errors.invalid_dump("spec", &dump, "minAvailable and maxUnavailable cannot be both set");
    }
    for (value, path) in [(least, "spec.minAvailable"), (most, "spec.maxUnavailable")] {
        if let Some(value) = value.map(|t| Port::read(Some(t))) {
            int_or_percent(errors, &value, path);
            at_most_all(errors, &value, path);
        }
    }
    meta::selector(errors, given("selector"), "spec.selector");
    if let Some(policy) = given("unhealthyPodEvictionPolicy").and_then(Tree::as_str) {
        errors.one_of("spec.unhealthyPodEvictionPolicy", policy, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}
