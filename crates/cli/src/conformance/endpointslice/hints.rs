//! Hints: by the zones' CPUs, and by `trafficDistribution`.

use super::slices::sync;
use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenEndpoint {
    address: String,
    zone: Option<String>,
    #[serde(default)]
    node: Option<String>,
    ready: Option<bool>,
    #[serde(default)]
    existing_zone_hint: Option<String>,
    #[serde(default)]
    existing_node_hint: Option<String>,
}

impl GivenEndpoint {
    fn endpoint(&self) -> Endpoint {
        let hint = |name: &Option<String>| -> Vec<HintTarget> {
            name.iter().map(|name| HintTarget { name: name.clone() }).collect()
        };
        let hints =
            EndpointHints { for_zones: hint(&self.existing_zone_hint), for_nodes: hint(&self.existing_node_hint) };
        Endpoint {
            addresses: vec![self.address.clone()],
            conditions: EndpointConditions { ready: self.ready, ..EndpointConditions::default() },
            zone: self.zone.clone(),
            node_name: self.node.clone(),
            hints: (hints != EndpointHints::default()).then_some(hints),
            ..Endpoint::default()
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExpectEvent {
    #[serde(rename = "type")]
    type_: String,
    reason: String,
    message_prefix: String,
}

fn hints_by_zone<'a>(
    endpoints: impl IntoIterator<Item = &'a Endpoint>,
) -> (BTreeMap<String, u32>, BTreeMap<String, u32>, u32) {
    let (mut zones, mut nodes, mut crossed) = (BTreeMap::new(), BTreeMap::new(), 0);
    for endpoint in endpoints {
        let Some(hints) = &endpoint.hints else { continue };
        for zone in &hints.for_zones {
            *zones.entry(zone.name.clone()).or_default() += 1;
            crossed += u32::from(endpoint.zone.as_ref() != Some(&zone.name));
        }
        for node in &hints.for_nodes {
            *nodes.entry(node.name.clone()).or_default() += 1;
        }
    }
    (zones, nodes, crossed)
}

pub(super) fn topology(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        cpu_ratio_by_zone: Option<BTreeMap<String, f64>>,
        #[serde(default)]
        endpoints: Vec<GivenEndpoint>,
        #[serde(default)]
        endpoints_by_zone: BTreeMap<String, u32>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        #[serde(default)]
        hints: Option<BTreeMap<String, Option<String>>>,
        #[serde(default)]
        hints_by_zone: Option<BTreeMap<String, u32>>,
        #[serde(default)]
        cross_zone_hints: Option<u32>,
        #[serde(default)]
        event: Option<ExpectEvent>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let endpoints = input.endpoints.iter().map(GivenEndpoint::endpoint).collect();
    let mut slice = EndpointSlice { endpoints, ..EndpointSlice::default() };
    for (zone, n) in &input.endpoints_by_zone {
        let of_zone = |i| GivenEndpoint {
            address: format!("10.0.{}.{i}", slice.endpoints.len()),
            zone: Some(zone.clone()),
            node: None,
            ready: Some(true),
            existing_zone_hint: None,
            existing_node_hint: None,
        };
        let more: Vec<Endpoint> = (0..*n).map(|i| of_zone(i).endpoint()).collect();
        slice.endpoints.extend(more);
    }
    let mut slices = Slices { create: vec![slice], ..Slices::default() };
    let event = add_hints(&mut slices, input.cpu_ratio_by_zone.as_ref(), AddressType::IPv4, false);
    let endpoints: Vec<&Endpoint> = slices.create.iter().flat_map(|s| &s.endpoints).collect();
    let hint = |e: &&Endpoint| {
        let zone = e.hints.as_ref().and_then(|h| h.for_zones.first()).map(|z| z.name.clone());
        (e.addresses.join(","), zone)
    };
    match &expected.hints {
        Some(hints) => same("hints", hints, &endpoints.iter().map(hint).collect())?,
        None if expected.hints_by_zone.is_none() => {
            same("hints", &0, &endpoints.iter().filter(|e| e.hints.is_some()).count())?
        }
        None => {}
    }
    let (by_zone, _, crossed) = hints_by_zone(endpoints);
    if let Some(zones) = &expected.hints_by_zone {
        same("hints by zone", zones, &by_zone)?;
    }
    if let Some(n) = &expected.cross_zone_hints {
        same("hints to another zone", n, &crossed)?;
    }
    check_event(expected.event.as_ref(), event.as_ref())
}

fn check_event(expected: Option<&ExpectEvent>, seen: Option<&HintEvent>) -> Result<(), String> {
    let Some(expected) = expected else { return same("event", &None, &seen) };
    let seen = seen.map(|e| {
        let prefix: String = e.message.chars().take(expected.message_prefix.chars().count()).collect();
        let type_ = if e.normal { "Normal" } else { "Warning" };
        ExpectEvent { type_: type_.into(), reason: e.reason.into(), message_prefix: prefix }
    });
    same("event", &Some(expected), &seen.as_ref())
}

pub(super) fn ratios(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        nodes: Vec<GivenNode>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct GivenNode {
        zone: Option<String>,
        cpu_milli: Option<u64>,
        ready: bool,
        control_plane: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        sufficient: bool,
        ratios: Option<BTreeMap<String, f64>>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let made = |(i, given): (usize, &GivenNode)| {
        let mut node = node(&format!("node-{i}"), given.zone.as_deref().unwrap_or_default());
        node.status.conditions = vec![ready(given.ready)];
        node.status.allocatable.clear();
        if let Some(cpu) = given.cpu_milli {
            node.status.allocatable.insert("cpu".into(), format!("{cpu}m"));
        }
        if given.control_plane {
            node.metadata.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
        }
        node
    };
    let nodes: Vec<Node> = input.nodes.iter().enumerate().map(made).collect();
    let seen = cpu_ratios(&nodes);
    same("sufficient", &expected.sufficient, &seen.is_some())?;
    let near = |a: f64, b: f64| (a - b).abs() < 0.01;
    match (&expected.ratios, &seen) {
        (None, None) => Ok(()),
        (Some(a), Some(b)) if a.len() == b.len() && a.iter().all(|(z, r)| b.get(z).is_some_and(|s| near(*r, *s))) => {
            Ok(())
        }
        (a, b) => Err(format!("ratios: expected {a:?}, seen {b:?}")),
    }
}

pub(super) fn giving(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        desired: BTreeMap<String, f64>,
        allocated: BTreeMap<String, i64>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        giving: BTreeMap<String, i64>,
        receiving: BTreeMap<String, i64>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let seen = giving_and_receiving(&input.desired, &input.allocated);
    same("giving and receiving", &(expected.giving, expected.receiving), &seen)
}

pub(super) fn distribution(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        traffic_distribution: Option<String>,
        endpoints: Vec<GivenEndpoint>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        hints: BTreeMap<String, Option<ExpectHints>>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ExpectHints {
        zones: Vec<String>,
        nodes: Vec<String>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let endpoints = input.endpoints.iter().map(GivenEndpoint::endpoint).collect();
    let slice = EndpointSlice { endpoints, ..EndpointSlice::default() };
    let distribution = Distribution::read(input.traffic_distribution.as_deref(), true);
    // The same comes out whether the slice is new, changed or unchanged otherwise.
    for kind in 0..3 {
        let mut slices = Slices::default();
        [&mut slices.create, &mut slices.update, &mut slices.unchanged][kind].push(slice.clone());
        reconcile_hints(&mut slices, distribution);
        let endpoints = slices.create.iter().chain(&slices.update).chain(&slices.unchanged).flat_map(|s| &s.endpoints);
        let names = |list: &[HintTarget]| list.iter().map(|t| t.name.clone()).collect();
        let hints = |h: &EndpointHints| ExpectHints { zones: names(&h.for_zones), nodes: names(&h.for_nodes) };
        let seen = endpoints.map(|e| (e.addresses.join(","), e.hints.as_ref().map(hints))).collect();
        same("hints", &expected.hints, &seen)?;
        if kind == 2 {
            let right = input.endpoints.iter().map(GivenEndpoint::endpoint).all(|e| {
                let had = e.hints.as_ref().map(hints);
                expected.hints.get(&e.addresses.join(",")).is_some_and(|h| *h == had)
            });
            same("updated", &!right, &!slices.update.is_empty())?;
        }
    }
    Ok(())
}

pub(super) fn distributed(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        traffic_distribution: Option<String>,
        topology_annotation: String,
        #[serde(rename = "PreferSameTrafficDistribution")]
        prefer_same: bool,
        nodes: BTreeMap<String, String>,
        pods_by_node: BTreeMap<String, u64>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        hints_by_zone: BTreeMap<String, u32>,
        hints_by_node: BTreeMap<String, u32>,
        cross_zone_hints: u32,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.traffic_distribution = input.traffic_distribution;
    if let Some(annotation) = empty_as_none(Some(&input.topology_annotation)) {
        service.metadata.annotations.insert(ANNOTATION_TOPOLOGY_MODE.into(), annotation);
    }
    let nodes: Vec<Node> = input.nodes.iter().map(|(name, zone)| node(name, zone)).collect();
    let mut pods = Vec::new();
    for (n, (name, count)) in input.pods_by_node.iter().enumerate() {
        for i in 0..*count {
            let ips = vec![format!("10.0.{n}.{i}")];
            let given = GivenPod {
                name: format!("{name}-{i}"),
                node: name.clone(),
                pod_ips: ips,
                ready: true,
                ..Default::default()
            };
            pods.push(Arc::new(given.pod(100 + pods.len() as u64)));
        }
    }
    let settings = Settings { prefer_same: input.prefer_same, ..Settings::of(Release::default()) };
    let synced = sync(&service, &pods, &nodes, &[], settings);
    let (hints_by_zone, hints_by_node, cross_zone_hints) =
        hints_by_zone(synced.slices.iter().flat_map(|s| &s.endpoints));
    same("hints", &expected, &Expect { hints_by_zone, hints_by_node, cross_zone_hints })
}
