//! `trafficDistribution`: hints to the own zone or node (`trafficdist/trafficdist.go`, KEP-4444, KEP-3015).

use super::topology::{Slices, zone_hint};
use kube_api::{Endpoint, EndpointHints, HintTarget};

/// What `spec.trafficDistribution` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// No hints.
    None,
    /// `PreferClose`, `PreferSameZone`: the endpoint's own zone.
    SameZone,
    /// `PreferSameNode`: its own node, and its zone.
    SameNode,
}

impl Distribution {
    /// Reads the field. `prefer_same`: whether the values of KEP-3015 are known (gate PreferSameTrafficDistribution).
    pub fn read(field: Option<&str>, prefer_same: bool) -> Distribution {
        match field {
            Some("PreferClose") => Distribution::SameZone,
            Some("PreferSameZone") if prefer_same => Distribution::SameZone,
            Some("PreferSameNode") if prefer_same => Distribution::SameNode,
            _ => Distribution::None,
        }
    }

    fn hints(self, endpoint: &Endpoint) -> Option<EndpointHints> {
        if endpoint.conditions.ready != Some(true) {
            return None;
        }
        let zone = endpoint.zone.as_ref().filter(|z| !z.is_empty() && self != Distribution::None);
        let mut hints = zone.map(|z| zone_hint(z)).unwrap_or_default();
        if let Some(node) = endpoint.node_name.as_ref().filter(|n| !n.is_empty() && self == Distribution::SameNode) {
            hints.for_nodes.push(HintTarget { name: node.clone() });
        }
        (hints != EndpointHints::default()).then_some(hints)
    }
}

/// Gives each ready endpoint its hints, nothing computed, nothing balanced (`ReconcileHints`). A slice that isn't changed
/// otherwise is, if one of its hints is wrong.
pub fn reconcile_hints(slices: &mut Slices, distribution: Distribution) {
    for slice in core::mem::take(&mut slices.unchanged) {
        // Without a distribution any hint is wrong; with one, an endpoint that isn't ready is no reason to write.
        let wrong = |e: &Endpoint| {
            let looked_at = distribution == Distribution::None || e.conditions.ready == Some(true);
            looked_at && e.hints != distribution.hints(e)
        };
        if slice.endpoints.iter().any(wrong) {
            slices.update.push(slice);
        } else {
            slices.unchanged.push(slice);
        }
    }
    for endpoint in slices.create.iter_mut().chain(&mut slices.update).flat_map(|s| &mut s.endpoints) {
        endpoint.hints = distribution.hints(endpoint);
    }
}
