//! Topology-aware hints: each zone gets endpoints by its share of the CPUs (`topologycache/*.go`, KEP-2433).
//!
//! Upstream goes through Go maps where several zones would do; here it is always the first by name.

use kube_api::{AddressType, ConditionStatus, Endpoint, EndpointHints, EndpointSlice, HintTarget, Node};
use std::collections::BTreeMap;

/// Endpoints of a zone may get this much more than their share of the traffic (`overloadThreshold`).
const OVERLOAD: f64 = 0.20;

/// Labels of nodes that don't count (`hasExcludedLabels`).
const EXCLUDED: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// What is told about a Service's hints, as an event of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HintEvent {
    /// Whether the event's type is Normal; else Warning.
    pub normal: bool,
    /// `TopologyAwareHintsEnabled` or `TopologyAwareHintsDisabled`.
    pub reason: &'static str,
    /// Text.
    pub message: String,
}

impl HintEvent {
    fn disabled(message: String, family: AddressType) -> HintEvent {
        let message = format!("{message}, addressType: {}", family_name(family));
        HintEvent { normal: false, reason: "TopologyAwareHintsDisabled", message }
    }
    fn enabled(family: AddressType) -> HintEvent {
        let message = format!("Topology Aware Hints has been enabled, addressType: {}", family_name(family));
        HintEvent { normal: true, reason: "TopologyAwareHintsEnabled", message }
    }
}

const fn family_name(family: AddressType) -> &'static str {
    match family {
        AddressType::IPv4 => "IPv4",
        AddressType::IPv6 => "IPv6",
        AddressType::Fqdn => "FQDN",
    }
}

/// A zone's part of the endpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allocation {
    /// As many as it needs not to be overloaded.
    pub minimum: usize,
    /// As many as it may have.
    pub maximum: usize,
    /// Its exact share.
    pub desired: f64,
}

/// Each zone's share of the CPUs (`SetNodes`). None: a node's zone or CPUs aren't known, or there are fewer than two zones.
pub fn cpu_ratios<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Option<BTreeMap<String, f64>> {
    let mut by_zone: BTreeMap<String, u64> = BTreeMap::new();
    for share in nodes.into_iter().filter_map(share) {
        let (zone, cpu) = share?;
        *by_zone.entry(zone.to_owned()).or_default() += cpu;
    }
    let total: u64 = by_zone.values().sum();
    let ratio = |(zone, cpu)| (zone, cpu as f64 / total as f64);
    (by_zone.len() > 1).then(|| by_zone.into_iter().map(ratio).collect())
}

/// A node's zone and CPUs. None: it doesn't count; Some(None): it counts, and they aren't known.
pub(crate) fn share(node: &Node) -> Option<Option<(&str, u64)>> {
    let ready = node.condition("Ready").is_some_and(|c| c.status == ConditionStatus::True);
    let counts = ready && !EXCLUDED.iter().any(|label| node.metadata.labels.contains_key(*label));
    counts.then(|| {
        let cpu = node.status.allocatable.get("cpu").and_then(|q| milli(q)).filter(|n| *n > 0)?;
        Some((node.zone().filter(|z| !z.is_empty())?, cpu))
    })
}

/// CPUs in thousandths: `4`, `1.5`, `500m`.
fn milli(quantity: &str) -> Option<u64> {
    let (number, scale) = match quantity.strip_suffix('m') {
        Some(number) => (number, 1.0),
        None => (quantity, 1_000.0),
    };
    number.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0).map(|n| (n * scale) as u64)
}

/// How many endpoints each zone should have (`getAllocations`).
///
/// # Errors
/// Why there are no hints.
pub fn allocations(
    ratios: Option<&BTreeMap<String, f64>>,
    endpoints: usize,
) -> Result<BTreeMap<String, Allocation>, String> {
    let Some(ratios) = ratios else {
        return Err("Insufficient Node information: allocatable CPU or zone not specified on one or more nodes".into());
    };
    let zones = ratios.len();
    if zones < 2 {
        return Err("Nodes only ready in one zone".into());
    }
    if zones > endpoints {
        return Err(format!("Insufficient number of endpoints ({endpoints} endpoints, {zones} zones)"));
    }
    let mut allocations = BTreeMap::new();
    let mut least = 0;
    for (zone, ratio) in ratios {
        let desired = ratio * endpoints as f64;
        let minimum = (desired * (1.0 / (1.0 + OVERLOAD))).ceil() as usize;
        least += minimum;
        if least > endpoints {
            let why = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold";
            return Err(format!("{why} ({endpoints} endpoints, {zones} zones)"));
        }
        let desired = desired.max(minimum as f64);
        allocations.insert(zone.clone(), Allocation { minimum, maximum: 0, desired });
    }
    for allocation in allocations.values_mut() {
        allocation.maximum = allocation.minimum + endpoints - least;
    }
    Ok(allocations)
}

/// Numbers of endpoints by zone.
pub type Zones = BTreeMap<String, i64>;

/// How many endpoints each zone gives away, and how many each receives (`getGivingAndReceivingZones`). Nothing is moved for
/// less than half an endpoint, nor where neither side would gain a whole one.
pub fn giving_and_receiving(desired: &BTreeMap<String, f64>, allocated: &Zones) -> (Zones, Zones) {
    let (mut may_give, mut may_receive) = (BTreeMap::new(), BTreeMap::new());
    for (zone, desired) in desired {
        let difference = allocated.get(zone).copied().unwrap_or(0) as f64 - desired;
        if difference > 0.0 {
            may_give.insert(zone.as_str(), difference);
        } else if difference < 0.0 {
            may_receive.insert(zone.as_str(), -difference);
        }
    }
    for (zone, allocated) in allocated.iter().filter(|(zone, _)| !desired.contains_key(*zone)) {
        may_give.insert(zone, *allocated as f64);
    }
    let (mut giving, mut receiving) = (Zones::new(), Zones::new());
    let most = |zones: &BTreeMap<&str, f64>| {
        let mut best = ("", 0.0);
        for (zone, number) in zones {
            if *number > best.1 {
                best = (zone, *number);
            }
        }
        (best.0.to_owned(), best.1)
    };
    loop {
        let ((giver, gives), (receiver, receives)) = (most(&may_give), most(&may_receive));
        let little = (gives < 1.0 && receives < 1.0) || gives < 0.5 || receives < 0.5;
        if giver.is_empty() || receiver.is_empty() || little {
            return (giving, receiving);
        }
        if let (Some(g), Some(r)) = (may_give.get_mut(giver.as_str()), may_receive.get_mut(receiver.as_str())) {
            *g -= 1.0;
            *r -= 1.0;
        }
        *giving.entry(giver).or_default() += 1;
        *receiving.entry(receiver).or_default() += 1;
    }
}

/// Slices on their way to the API server.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// New ones.
    pub create: Vec<EndpointSlice>,
    /// Changed ones.
    pub update: Vec<EndpointSlice>,
    /// The others that stay.
    pub unchanged: Vec<EndpointSlice>,
}

/// Only endpoints that say so are ready here.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.ready == Some(true)
}

pub(super) fn zone_hint(zone: &str) -> EndpointHints {
    EndpointHints { for_zones: vec![HintTarget { name: zone.to_owned() }], for_nodes: Vec::new() }
}

/// Takes all hints away; slices that had some are changed by it (`RemoveHintsFromSlices`).
pub fn remove_hints(slices: &mut Slices) {
    for slice in slices.create.iter_mut().chain(&mut slices.update) {
        slice.endpoints.iter_mut().for_each(|e| e.hints = None);
    }
    let has_hints = |s: &EndpointSlice| s.endpoints.iter().any(|e| e.hints.is_some());
    let (mut had, rest) = core::mem::take(&mut slices.unchanged).into_iter().partition::<Vec<_>, _>(has_hints);
    had.iter_mut().flat_map(|s| &mut s.endpoints).for_each(|e| e.hints = None);
    slices.update.append(&mut had);
    slices.unchanged = rest;
}

/// Gives hints by zone (`AddHints`). `had`: whether the Service had any before.
pub fn add_hints(
    slices: &mut Slices,
    ratios: Option<&BTreeMap<String, f64>>,
    family: AddressType,
    had: bool,
) -> Option<HintEvent> {
    let all = slices.create.iter().chain(&slices.update).chain(&slices.unchanged);
    let ready = all.flat_map(|s| &s.endpoints).filter(|e| is_ready(e)).count();
    let none = |slices: &mut Slices, why: &str| {
        remove_hints(slices);
        Some(HintEvent::disabled(why.to_owned(), family))
    };
    let allocations = match allocations(ratios, ready) {
        Ok(allocations) => allocations,
        Err(why) => return none(slices, &why),
    };
    // What stays as it is keeps its hints while no zone has too many.
    let mut allocated = Zones::new();
    for slice in core::mem::take(&mut slices.unchanged) {
        match kept_hints(&slice, &allocated, &allocations) {
            Some(kept) => {
                for (zone, n) in kept {
                    *allocated.entry(zone).or_default() += n;
                }
                slices.unchanged.push(slice);
            }
            None => slices.update.push(slice),
        }
    }
    // First each endpoint is for its own zone, ...
    let unzoned = |e: &Endpoint| is_ready(e) && e.zone.as_ref().is_none_or(String::is_empty);
    if slices.create.iter().chain(&slices.update).flat_map(|s| &s.endpoints).any(unzoned) {
        return none(slices, "One or more endpoints do not have a zone specified");
    }
    for endpoint in slices.create.iter_mut().chain(&mut slices.update).flat_map(|s| &mut s.endpoints) {
        endpoint.hints = None;
        if let Some(zone) = endpoint.zone.clone().filter(|_| is_ready(endpoint)) {
            endpoint.hints = Some(zone_hint(&zone));
            *allocated.entry(zone).or_default() += 1;
        }
    }
    // ... then zones that have too many give to those that have too few.
    let desired = allocations.iter().map(|(zone, a)| (zone.clone(), a.desired)).collect();
    let (mut giving, mut receiving) = giving_and_receiving(&desired, &allocated);
    for endpoint in slices.create.iter_mut().chain(&mut slices.update).flat_map(|s| &mut s.endpoints) {
        let Some(zone) = endpoint.zone.clone().filter(|_| is_ready(endpoint)) else { continue };
        let (Some(gives), Some((receiver, receives))) =
            (giving.get_mut(&zone).filter(|n| **n > 0), receiving.iter_mut().find(|(_, n)| **n > 0))
        else {
            continue;
        };
        endpoint.hints = Some(zone_hint(receiver));
        *gives -= 1;
        *receives -= 1;
        *allocated.entry(receiver.clone()).or_default() += 1;
        *allocated.entry(zone).or_default() -= 1;
    }
    if allocated.is_empty() {
        return none(slices, "No hints allocated for zones");
    }
    (!had).then(|| HintEvent::enabled(family))
}

/// A slice's hints by zone; None: it needs new ones (`getHintsByZone`).
fn kept_hints(slice: &EndpointSlice, before: &Zones, allocations: &BTreeMap<String, Allocation>) -> Option<Zones> {
    let mut zones = Zones::new();
    for endpoint in slice.endpoints.iter().filter(|e| is_ready(e)) {
        let hints = endpoint.hints.as_ref().filter(|h| !h.for_zones.is_empty())?;
        for zone in &hints.for_zones {
            allocations.get(&zone.name)?;
            *zones.entry(zone.name.clone()).or_default() += 1;
        }
    }
    let fits = |(zone, n): (&String, &i64)| {
        let maximum = allocations.get(zone).map_or(0, |a| a.maximum as i64);
        n + before.get(zone).copied().unwrap_or(0) <= maximum
    };
    (!zones.is_empty() && zones.iter().all(fits)).then_some(zones)
}
