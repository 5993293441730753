//! What runs in a container, as far as a client can tell.

use crate::scenario::WorkloadSpec;
use kube_api::{Container, PodSpec};

/// Ports on which well-known images listen, whatever the manifest says.
const IMAGE_PORTS: [(&str, &[u16]); 6] = [
    ("nginx", &[80]),
    ("httpd", &[80]),
    ("caddy", &[80, 443]),
    ("hello-app", &[8080]),
    ("echoserver", &[8080]),
    ("http-echo", &[5678]),
];

/// The container of a Pod that listens on this port when it is up: for the port of the `Workload` the one that declares it,
/// else the first; without such a port one whose image is known for it, else one that declares it. Where no container is known
/// or declares any, the first listens wherever it is asked. Containers are counted through, init containers first.
pub fn server(spec: &PodSpec, workload: &WorkloadSpec, port: u16) -> Option<usize> {
    let inits = spec.init_containers.len();
    let sidecars = spec.init_containers.iter().enumerate().filter(|(_, c)| c.is_sidecar());
    let main = spec.containers.iter().enumerate().map(|(i, c)| (inits + i, c));
    let mut all = main.chain(sidecars);
    if let Some(own) = workload.port {
        let declares = |c: &Container| c.ports.iter().any(|p| p.container_port == port);
        let found = all.find(|(_, c)| declares(c)).map_or(inits, |(i, _)| i);
        return (own == port).then_some(found);
    }
    let mut declared = false;
    for (i, container) in all {
        let image = container.image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
        if let Some((_, ports)) = IMAGE_PORTS.iter().find(|(name, _)| *name == image) {
            declared = true;
            if ports.contains(&port) {
                return Some(i);
            }
        } else if !container.ports.is_empty() {
            declared = true;
            if container.ports.iter().any(|p| p.container_port == port) {
                return Some(i);
            }
        }
    }
    (!declared && !spec.containers.is_empty()).then_some(inits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_api::{ContainerPort, Pod};

    fn pod(image: &str, ports: &[u16]) -> Pod {
        let ports = ports.iter().map(|p| ContainerPort { container_port: *p, ..Default::default() }).collect();
        let mut pod = Pod::default();
        pod.spec.containers.push(Container { image: image.into(), ports, ..Default::default() });
        pod
    }

    fn listens(pod: &Pod, workload: &WorkloadSpec, port: u16) -> bool {
        server(&pod.spec, workload, port).is_some()
    }

    #[test]
    fn each_container_has_its_ports() {
        let (any, mut both) = (WorkloadSpec::default(), pod("nginx", &[]));
        both.spec.containers.extend(pod("shop/metrics:1", &[9090]).spec.containers);
        let at = |workload: &WorkloadSpec, pod: &Pod, port| server(&pod.spec, workload, port);
        assert_eq!([80, 9090, 8080].map(|port| at(&any, &both, port)), [Some(0), Some(1), None]);
        let fixed = WorkloadSpec { port: Some(9090), ..any.clone() };
        assert_eq!([80, 9090].map(|port| at(&fixed, &both, port)), [None, Some(1)], "it declares the workload's port");
        let mut beside = both.clone();
        let mut proxy = pod("envoy", &[15001]).spec.containers;
        proxy[0].restart_policy = "Always".into();
        beside.spec.init_containers = proxy.clone();
        assert_eq!([80, 9090, 15001].map(|port| at(&any, &beside, port)), [Some(1), Some(2), Some(0)]);
        beside.spec.init_containers[0].restart_policy.clear();
        assert_eq!(at(&any, &beside, 15001), None, "an init container serves nobody");
    }

    #[test]
    fn ports() {
        let any = WorkloadSpec::default();
        assert!(listens(&pod("docker.io/library/nginx:1.27", &[8080]), &any, 80));
        assert!(!listens(&pod("nginx", &[8080]), &any, 8080), "a declared port is information only");
        assert!(listens(&pod("my/app:1", &[8080]), &any, 8080));
        assert!(!listens(&pod("my/app:1", &[8080]), &any, 80));
        assert!(listens(&pod("my/app:1", &[]), &any, 9376));
        let fixed = WorkloadSpec { port: Some(7), ..any };
        assert!(listens(&pod("nginx", &[]), &fixed, 7) && !listens(&pod("nginx", &[]), &fixed, 80));
    }
}
