//! What runs in a container, as far as a client can tell.

use crate::scenario::WorkloadSpec;
use kube_api::{LifecycleHandler, Pod};
use lab_base::Span;

/// Ports on which well-known images listen, whatever the manifest says.
const IMAGE_PORTS: [(&str, &[u16]); 6] = [
    ("nginx", &[80]),
    ("httpd", &[80]),
    ("caddy", &[80, 443]),
    ("hello-app", &[8080]),
    ("echoserver", &[8080]),
    ("http-echo", &[5678]),
];

/// Whether a Pod's process listens on this port: the port of its `Workload`, else what its image is known for, else the
/// declared container ports; a container that declares none of them listens wherever it is asked.
pub fn listens(pod: &Pod, workload: &WorkloadSpec, port: u16) -> bool {
    if let Some(own) = workload.port {
        return own == port;
    }
    let mut declared = false;
    for container in &pod.spec.containers {
        let image = container.image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
        if let Some((_, ports)) = IMAGE_PORTS.iter().find(|(name, _)| *name == image) {
            declared = true;
            if ports.contains(&port) {
                return true;
            }
        } else if !container.ports.is_empty() {
            declared = true;
            if container.ports.iter().any(|p| p.container_port == port) {
                return true;
            }
        }
    }
    !declared
}

/// How long a preStop hook takes: `sleep`, or an `exec` of `sleep N`; other commands take no time.
pub fn hook_takes(hook: &LifecycleHandler) -> Span {
    if let Some(sleep) = &hook.sleep {
        return Span::from_secs(sleep.seconds.max(0) as u64);
    }
    let words: Vec<&str> = hook.exec.iter().flat_map(|e| &e.command).flat_map(|c| c.split_whitespace()).collect();
    words
        .windows(2)
        .find(|w| w[0].rsplit('/').next() == Some("sleep"))
        .and_then(|w| w[1].trim_end_matches('s').parse().ok())
        .map_or(Span::ZERO, Span::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_api::{Container, ContainerPort, ExecAction};

    fn pod(image: &str, ports: &[u16]) -> Pod {
        let ports = ports.iter().map(|p| ContainerPort { container_port: *p, ..Default::default() }).collect();
        let mut pod = Pod::default();
        pod.spec.containers.push(Container { image: image.into(), ports, ..Default::default() });
        pod
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

    #[test]
    fn hooks() {
        let exec = |words: &[&str]| LifecycleHandler {
            sleep: None,
            exec: Some(ExecAction { command: words.iter().map(|w| (*w).to_owned()).collect() }),
        };
        assert_eq!(hook_takes(&exec(&["sh", "-c", "sleep 5"])), Span::from_secs(5));
        assert_eq!(hook_takes(&exec(&["/bin/sleep", "10"])), Span::from_secs(10));
        assert_eq!(hook_takes(&exec(&["nginx", "-s", "quit"])), Span::ZERO);
    }
}
