//! Which endpoints this node uses (`pkg/proxy/topology.go`).

use crate::endpoints_change_tracker::{EndpointInfo, Endpoints};
use crate::service_change_tracker::ServicePortInfo;
use crate::{NodeContext, Settings};

/// How hints narrow the choice of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopologyMode {
    /// Hints are not used.
    None,
    /// Endpoints with this node's zone among their hints.
    SameZone,
    /// Endpoints with this node among their hints.
    SameNode,
}

/// The endpoints of a service port as one node uses them. Each list is in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Categorized {
    /// For traffic with policy `Cluster`.
    pub cluster: Endpoints,
    /// For traffic with policy `Local`.
    pub local: Endpoints,
    /// All of both.
    pub all_reachable: Endpoints,
    /// Whether there is a usable endpoint anywhere.
    pub has_any: bool,
}

/// What the rules of a service port follow from, whatever the kind of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Whether there is a usable endpoint anywhere.
    pub(crate) has_endpoints: bool,
    /// Whether traffic to the cluster IP has endpoints here.
    pub(crate) has_internal: bool,
    /// Whether traffic from outside has endpoints here.
    pub(crate) has_external: bool,
    /// Whether there is a chain for policy `Cluster`.
    pub(crate) uses_cluster: bool,
    /// Whether there is a chain for policy `Local`.
    pub(crate) uses_local: bool,
    /// Whether there is a chain for traffic from outside: also without endpoints for it, because traffic of this
    /// node's own Pods and processes goes to endpoints anywhere.
    pub(crate) uses_external: bool,
}

impl Reach {
    pub(crate) fn of(info: &ServicePortInfo, endpoints: &Categorized) -> Reach {
        let has_endpoints = endpoints.has_any;
        Reach {
            has_endpoints,
            has_internal: has_endpoints && !(info.internal_policy_local && endpoints.local.is_empty()),
            has_external: has_endpoints && !(info.external_policy_local && endpoints.local.is_empty()),
            uses_cluster: !endpoints.cluster.is_empty() && info.uses_cluster_endpoints(),
            uses_local: !endpoints.local.is_empty() && info.uses_local_endpoints(),
            uses_external: has_endpoints && info.externally_accessible(),
        }
    }
}

/// `CategorizeEndpoints`. Endpoints come sorted and stay so.
pub fn categorize_endpoints(
    endpoints: &Endpoints,
    port: &ServicePortInfo,
    node: &NodeContext,
    settings: &Settings,
) -> Categorized {
    let filter = |keep: &dyn Fn(&EndpointInfo) -> bool| -> Endpoints {
        let all = endpoints.iter().all(keep);
        if all { endpoints.clone() } else { endpoints.iter().filter(|e| keep(e)).cloned().collect() }
    };
    let fallback = |e: &EndpointInfo| e.serving && e.terminating;
    let mut out = Categorized::default();
    let mut mode = TopologyMode::None;

    if port.uses_cluster_endpoints() {
        mode = topology_mode(endpoints, port, node, settings);
        let hinted = |e: &EndpointInfo| match mode {
            TopologyMode::None => true,
            TopologyMode::SameZone => node.zone.as_ref().is_some_and(|zone| e.zone_hints().contains(zone)),
            TopologyMode::SameNode => e.node_hints().contains(&node.name),
        };
        out.cluster = filter(&|e| e.ready && hinted(e));
        if out.cluster.is_empty() {
            out.cluster = filter(&fallback);
        }
        out.has_any = !out.cluster.is_empty();
    }
    if !port.uses_local_endpoints() {
        out.all_reachable.clone_from(&out.cluster);
        return out;
    }

    // For policy Local, ready endpoints count first, then those that still serve while they terminate.
    out.has_any |= endpoints.iter().any(|e| e.ready || fallback(e));
    out.local = filter(&|e| e.is_local && e.ready);
    let mut terminating = false;
    if out.local.is_empty() {
        out.local = filter(&|e| e.is_local && fallback(e));
        terminating = !out.local.is_empty();
    }
    if !port.uses_cluster_endpoints() {
        out.all_reachable.clone_from(&out.local);
    } else if mode == TopologyMode::None && !terminating {
        // Every ready endpoint is in the cluster's list, so the local ones are.
        out.all_reachable.clone_from(&out.cluster);
    } else {
        out.all_reachable = filter(&|e| {
            let has = |list: &[EndpointInfo]| list.binary_search_by_key(&e.text, |x| x.text).is_ok();
            has(&out.cluster) || has(&out.local)
        });
    }
    out
}

/// `topologyModeFromHints`; up to 1.30 `canUseTopology`, which asks for the Service's annotation too.
fn topology_mode(
    endpoints: &[EndpointInfo],
    port: &ServicePortInfo,
    node: &NodeContext,
    settings: &Settings,
) -> TopologyMode {
    if !settings.topology_hints() {
        return TopologyMode::None;
    }
    if !settings.traffic_distribution() && matches!(port.hints_annotation.as_str(), "" | "disabled" | "Disabled") {
        return TopologyMode::None;
    }
    let ready = || endpoints.iter().filter(|e| e.ready);
    if settings.node_hints()
        && ready().all(|e| !e.node_hints().is_empty())
        && ready().any(|e| e.node_hints().contains(&node.name))
    {
        return TopologyMode::SameNode;
    }
    if let Some(zone) = node.zone.as_ref().filter(|zone| !zone.is_empty())
        && ready().all(|e| !e.zone_hints().is_empty())
        && ready().any(|e| e.zone_hints().contains(zone))
    {
        return TopologyMode::SameZone;
    }
    TopologyMode::None
}
