//! From a Pod to an endpoint: conditions, host names, ports, families.

use super::*;

pub(super) fn pod_endpoint(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        pod: GivenPod,
        node_labels: StringMap,
        service: GivenName,
        address_type: AddressType,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct GivenName {
        name: String,
        publish_not_ready_addresses: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: ExpectEndpoint = read(&case.expect)?;
    let mut service = service();
    service.metadata.name = input.service.name;
    service.spec.publish_not_ready_addresses = input.service.publish_not_ready_addresses;
    let mut node = node(&input.pod.node, "");
    node.metadata.labels = input.node_labels;
    let seen = pod_to_endpoint(&input.pod.pod(9), Some(&node), &service, input.address_type);
    same("endpoint", &expected, &seen_endpoint(&seen, true))
}

pub(super) fn eligible(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        phase: PodPhase,
        #[serde(rename = "restartPolicy")]
        _restart_policy: String,
        #[serde(rename = "podIPs")]
        pod_ips: Vec<String>,
        deletion_timestamp: bool,
        include_terminating: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        included: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let given = GivenPod { pod_ips: input.pod_ips, deletion_timestamp: input.deletion_timestamp, ..Default::default() };
    let mut pod = given.pod(1);
    pod.status.phase = input.phase;
    same("included", &expected.included, &is_eligible(&pod, input.include_terminating))
}

pub(super) fn hostname(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        pod_namespace: String,
        hostname: String,
        subdomain: String,
        service_namespace: String,
        service_name: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        sets_hostname: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let given = GivenPod { hostname: input.hostname, subdomain: input.subdomain, ..Default::default() };
    let mut pod = given.pod(1);
    pod.metadata.namespace = input.pod_namespace;
    let mut service = service();
    service.metadata.namespace = input.service_namespace;
    service.metadata.name = input.service_name;
    same("sets the host name", &expected.sets_hostname, &sets_hostname(&pod, &service))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenPort {
    name: String,
    container_port: i32,
    protocol: String,
    #[serde(rename = "hostIP", default)]
    _host_ip: Option<String>,
    #[serde(rename = "hostPort", default)]
    _host_port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenInit {
    restart_policy: Option<String>,
    ports: Vec<GivenPort>,
}

fn declared(ports: &[GivenPort]) -> impl Iterator<Item = DeclaredPort<'_>> {
    ports.iter().map(|p| DeclaredPort { name: &p.name, protocol: &p.protocol, number: p.container_port })
}

fn sidecars(init: &[GivenInit]) -> impl Iterator<Item = DeclaredPort<'_>> {
    init.iter().filter(|c| c.restart_policy.as_deref() == Some("Always")).flat_map(|c| declared(&c.ports))
}

pub(super) fn target_port(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        target_port: IntOrString,
        service_port_protocol: String,
        containers: Vec<Vec<GivenPort>>,
        init_containers: Vec<GivenInit>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        port: Option<i32>,
        #[serde(default)]
        error: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut containers = input.containers.iter().flat_map(|c| declared(c));
    let mut sidecars = sidecars(&input.init_containers);
    let seen = find_port(&input.target_port, &input.service_port_protocol, &mut containers, &mut sidecars);
    same("port", &expected.port, &seen)?;
    same("error", &expected.error, &seen.is_none())
}

pub(super) fn ports(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        service_ports: Vec<ServicePort>,
        containers: Vec<Vec<GivenPort>>,
        init_containers: Vec<GivenInit>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        ports: Vec<EndpointPort>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.ports = input.service_ports;
    let container = |ports: &Vec<GivenPort>, policy: Option<&String>| -> Result<Container, String> {
        let port = |p: &GivenPort| {
            Ok(ContainerPort {
                name: p.name.clone(),
                container_port: u16::try_from(p.container_port).map_err(|e| e.to_string())?,
                protocol: read(&Value::String(p.protocol.clone()))?,
            })
        };
        let ports = ports.iter().map(port).collect::<Result<_, String>>()?;
        Ok(Container { ports, restart_policy: policy.cloned().unwrap_or_default(), ..Container::default() })
    };
    let mut pod = GivenPod::default().pod(1);
    pod.spec.containers = input.containers.iter().map(|c| container(c, None)).collect::<Result<_, _>>()?;
    let init = |c: &GivenInit| container(&c.ports, c.restart_policy.as_ref());
    pod.spec.init_containers = input.init_containers.iter().map(init).collect::<Result<_, _>>()?;
    same("ports", &expected.ports, &endpoint_ports(&service, &pod, Release::default()))
}

pub(super) fn families(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        ip_families: Vec<IpFamily>,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        has_selector: bool,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Expect {
        address_types: Vec<AddressType>,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    let mut service = service();
    service.spec.ip_families = input.ip_families;
    service.spec.cluster_ip = input.cluster_ip;
    if !input.has_selector {
        service.spec.selector.clear();
    }
    let names = |list: &[AddressType]| list.iter().map(|t| format!("{t:?}")).collect::<BTreeSet<_>>();
    same("address types", &names(&expected.address_types), &names(&address_types(&service)))
}

pub(super) fn annotation(case: &Case) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        annotations: StringMap,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expect {
        enabled: bool,
    }
    let input: Input = read(&case.input)?;
    let expected: Expect = read(&case.expect)?;
    same("enabled", &expected.enabled, &hints_enabled(&input.annotations))
}
