//! PodDisruptionBudgets.

use super::Page;
use crate::select::format_selector;
use kube_api::PodDisruptionBudget;

pub(super) fn budget(page: &mut Page<'_>, o: &PodDisruptionBudget) {
    page.head(&o.metadata);
    match (&o.spec.min_available, &o.spec.max_unavailable) {
        (Some(least), _) => page.field(0, "Min available", &least.to_string()),
        (None, Some(most)) => page.field(0, "Max unavailable", &most.to_string()),
        (None, None) => {}
    }
    let selector = o.spec.selector.as_ref().map_or_else(|| "<unset>".into(), format_selector);
    page.field(0, "Selector", &selector);
    page.line(0, "Status:");
    for (name, count) in [
        ("Allowed disruptions", o.status.disruptions_allowed),
        ("Current", o.status.current_healthy),
        ("Desired", o.status.desired_healthy),
        ("Total", o.status.expected_pods),
    ] {
        page.field(2, name, &count.to_string());
    }
    page.events("PodDisruptionBudget", &o.metadata);
}
