//! From endpoints to slices: labels, nodes that are missing, packing.

use super::*;

/// A sync, and what it made of the slices.
pub(super) struct Synced {
    pub plan: Plan,
    pub slices: Vec<EndpointSlice>,
}

/// Syncs, and writes what the plan says.
pub(super) fn sync(
    service: &Service,
    pods: &[Arc<Pod>],
    nodes: &[Node],
    slices: &[EndpointSlice],
    settings: Settings,
) -> Synced {
    let shared: Vec<Arc<EndpointSlice>> = slices.iter().cloned().map(Arc::new).collect();
    let ratios = cpu_ratios(nodes);
    let situation = Situation {
        service,
        pods,
        slices: &shared,
        node: &|name| nodes.iter().find(|n| n.metadata.name == name),
        ratios: ratios.as_ref(),
    };
    let plan = reconcile(&situation, settings);
    let mut after = slices.to_vec();
    after.retain(|s| !plan.delete.iter().any(|d| d.metadata.name == s.metadata.name));
    for slice in &mut after {
        if let Some(new) = plan.update.iter().find(|u| u.metadata.name == slice.metadata.name) {
            slice.clone_from(new);
        }
    }
    for (i, new) in plan.create.iter().enumerate() {
        let mut new = new.clone();
        new.metadata.name = format!("{}{}-{i}", new.metadata.generate_name, slices.len());
        after.push(new);
    }
    Synced { plan, slices: after }
}

pub(super) fn one_pod(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        service: GivenService,
        pod: GivenPod,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct GivenService {
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        #[serde(rename = "clusterIPs", default)]
        cluster_ips: Vec<String>,
        ip_families: Vec<IpFamily>,
        labels: StringMap,
        #[serde(default)]
        publish_not_ready_addresses: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        slices: Vec<ExpectSlice>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct ExpectSlice {
        address_type: AddressType,
        labels: StringMap,
        endpoints: Vec<ExpectEndpoint>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.cluster_ip = input.service.cluster_ip;
    service.spec.cluster_ips = input.service.cluster_ips;
    service.spec.ip_families = input.service.ip_families;
    service.metadata.labels = input.service.labels;
    service.spec.publish_not_ready_addresses = input.service.publish_not_ready_addresses;
    let nodes = [node(&input.pod.node, &input.pod.zone)];
    let pods = [Arc::new(input.pod.pod(9))];
    let synced = sync(&service, &pods, &nodes, &[], Settings::of(Release::default()));
    let mut seen: Vec<ExpectSlice> = synced
        .slices
        .iter()
        .map(|s| ExpectSlice {
            address_type: s.address_type,
            labels: s.metadata.labels.clone(),
            endpoints: s.endpoints.iter().map(|e| seen_endpoint(e, false)).collect(),
        })
        .collect();
    seen.sort_by_key(|s| format!("{:?}", s.address_type));
    same("slices", &expected.slices, &seen)
}

pub(super) fn labels(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        service: GivenService,
        slice_labels: StringMap,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct GivenService {
        name: String,
        headless: bool,
        labels: StringMap,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        labels: StringMap,
        changed: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.metadata.name = input.service.name;
    service.metadata.labels = input.service.labels;
    if input.service.headless {
        service.spec.cluster_ip = "None".into();
    }
    same("labels and change", &(expected.labels, expected.changed), &slice_labels(&service, &input.slice_labels))
}

pub(super) fn node_missing(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        publish_not_ready_addresses: bool,
        pods: Vec<GivenPod>,
        nodes_known: Vec<String>,
        existing_slice_endpoints: usize,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        endpoints_in_slice: usize,
        slices: usize,
        created: usize,
        updated: usize,
        deleted: usize,
        sync_returns_error: bool,
    }
    let mut input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.publish_not_ready_addresses = input.publish_not_ready_addresses;
    for (i, pod) in input.pods.iter_mut().enumerate() {
        pod.pod_ips = vec![format!("1.2.3.{}", i + 4)];
    }
    let pods: Vec<Arc<Pod>> = input.pods.iter().zip(10..).map(|(p, uid)| Arc::new(p.pod(uid))).collect();
    let settings = Settings::of(Release::default());
    let every: Vec<Node> = input.pods.iter().map(|p| node(&p.node, "")).collect();
    let before = match input.existing_slice_endpoints {
        0 => Vec::new(),
        n => sync(&service, &pods[..n.min(pods.len())], &every, &[], settings).slices,
    };
    let known: Vec<Node> = input.nodes_known.iter().map(|n| node(n, "")).collect();
    let Synced { plan, slices } = sync(&service, &pods, &known, &before, settings);
    let seen = Expect {
        endpoints_in_slice: slices.iter().map(|s| s.endpoints.len()).sum(),
        slices: slices.len(),
        created: plan.create.len(),
        updated: plan.update.len(),
        deleted: plan.delete.len(),
        sync_returns_error: plan.incomplete,
    };
    same("sync", &expected, &seen)
}

pub(super) fn packing(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        pods: usize,
        existing: Vec<usize>,
        max: usize,
        #[serde(default)]
        change: Option<String>,
        #[serde(default)]
        existing_owner: Option<String>,
        #[serde(default)]
        service_ports: Option<Vec<ServicePort>>,
        #[serde(default)]
        headless: bool,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        slice_lengths: Vec<usize>,
        created: usize,
        updated: usize,
        deleted: usize,
        #[serde(default)]
        placeholder_ports: Option<Vec<EndpointPort>>,
    }
    let input: Input = read(&case.input)?;
    let mut expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.ports = input.service_ports.unwrap_or(service.spec.ports);
    if input.headless {
        service.spec.cluster_ip = "None".into();
    }
    let settings = Settings { max_endpoints: input.max, ..Settings::of(Release::default()) };
    let nodes = [node("node-1", "")];
    let mut pods: Vec<Pod> = (0..input.pods)
        .map(|i| {
            let ip = format!("10.{}.{}.{}", i / 65_536, i / 256 % 256, i % 256);
            let given = GivenPod {
                name: format!("pod{i}"),
                node: "node-1".into(),
                pod_ips: vec![ip],
                ready: true,
                ..Default::default()
            };
            given.pod(100 + i as u64)
        })
        .collect();
    let shared = |pods: &[Pod]| pods.iter().cloned().map(Arc::new).collect::<Vec<_>>();
    // The slices that are there: each made for a part of the Pods.
    let mut owner = service.clone();
    match input.existing_owner.as_deref() {
        None | Some("same UID") => {}
        Some("other UID") => owner.metadata.uid = Uid(2),
        Some(other) => return Err(format!("owner {other}?")),
    }
    let mut before = Vec::new();
    let mut from = 0;
    for (i, n) in input.existing.iter().enumerate() {
        let part = shared(pods.get(from..from + n).ok_or("more endpoints than Pods")?);
        from += n;
        let whole = Settings { max_endpoints: part.len().max(1), ..settings };
        for mut slice in sync(&owner, &part, &nodes, &[], whole).slices {
            slice.metadata.name = format!("foo-{i}");
            before.push(slice);
        }
    }
    for change in input.change.iter().flat_map(|c| c.split(';')).map(str::trim) {
        let words: Vec<&str> = change.split_whitespace().collect();
        match words.as_slice() {
            _ if change.contains("reserved") && change.contains("label") => {
                service.metadata.labels.insert("kubernetes.io/service-name".into(), "bad".into());
            }
            _ if change.contains("service label") => drop(service.metadata.labels.insert("foo".into(), "bar".into())),
            ["targetPort", numbers, ..] => {
                let new = numbers.rsplit("->").next().and_then(|n| n.parse().ok()).ok_or("targetPort A->B")?;
                service.spec.ports.iter_mut().for_each(|p| p.target_port = Some(IntOrString::Int(new)));
            }
            // Of each slice the first Pod.
            [.., "become", "not", "ready"] => {
                let mut first = 0;
                for n in &input.existing {
                    if let Some(pod) = pods.get_mut(first) {
                        pod.status.conditions = vec![ready(false)];
                    }
                    first += n;
                }
            }
            [count, "pods" | "pod", "added"] => {
                let added = input.pods - from.min(input.pods);
                same("added", &count.parse().map_err(|_| "how many?")?, &added)?;
            }
            _ => return Err(format!("unknown change: {change}")),
        }
    }
    let Synced { plan, slices } = sync(&service, &shared(&pods), &nodes, &before, settings);
    let mut lengths: Vec<usize> = slices.iter().map(|s| s.endpoints.len()).collect();
    lengths.sort_by_key(|n| core::cmp::Reverse(*n));
    expected.slice_lengths.sort_by_key(|n| core::cmp::Reverse(*n));
    let placeholder = slices.iter().find(|s| s.endpoints.is_empty()).map(|s| s.ports.clone());
    let seen = Expect {
        slice_lengths: lengths,
        created: plan.create.len(),
        updated: plan.update.len(),
        deleted: plan.delete.len(),
        placeholder_ports: placeholder.filter(|_| expected.placeholder_ports.is_some()),
    };
    same("slices", &expected, &seen)?;
    let again = sync(&service, &shared(&pods), &nodes, &slices, settings).plan;
    same("writes of a second sync", &0, &(again.create.len() + again.update.len() + again.delete.len()))
}
