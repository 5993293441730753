//! The environment variables that a container has of Services (`pkg/kubelet/envvars/envvars.go`, `getServiceEnvVarMap` in
//! `pkg/kubelet/kubelet_pods.go`).

use kube_api::Service;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The variables of a container that starts now in `namespace`, in the order of the Services' names: those of its own
/// Namespace's Services if `links` (`enableServiceLinks`), and always those of `default/kubernetes`. A Service without a
/// cluster IP has none. What is created later is not told to a container that runs.
pub fn service_environment<'a>(
    services: impl IntoIterator<Item = &'a Arc<Service>>,
    namespace: &str,
    links: bool,
) -> Vec<(String, String)> {
    let mut chosen: Vec<(&Service, IpAddr)> = Vec::new();
    for service in services {
        let Some(ip) = service.spec.cluster_ip.parse().ok() else { continue };
        let meta = &service.metadata;
        let own = meta.namespace == namespace && links;
        let master = meta.namespace == "default" && meta.name == "kubernetes";
        if own || master {
            // A Service of one's own goes before the API server's of that name.
            chosen.retain(|(s, _)| s.metadata.name != meta.name || !own);
            if !chosen.iter().any(|(s, _)| s.metadata.name == meta.name) {
                chosen.push((service, ip));
            }
        }
    }
    chosen.sort_by(|(a, _), (b, _)| a.metadata.name.cmp(&b.metadata.name));
    let mut variables = Vec::new();
    for (service, ip) in chosen {
        let prefix = service.metadata.name.to_ascii_uppercase().replace('-', "_");
        let mut set = |name: String, value: String| variables.push((format!("{prefix}_{name}"), value));
        set("SERVICE_HOST".into(), ip.to_string());
        let Some(first) = service.spec.ports.first() else { continue };
        set("SERVICE_PORT".into(), first.port.to_string());
        for port in service.spec.ports.iter().filter(|p| !p.name.is_empty()) {
            let name = port.name.to_ascii_uppercase().replace('-', "_");
            set(format!("SERVICE_PORT_{name}"), port.port.to_string());
        }
        // Docker's links.
        for (i, port) in service.spec.ports.iter().enumerate() {
            let url = format!("{}://{}", port.protocol.lower(), SocketAddr::new(ip, port.port));
            if i == 0 {
                set("PORT".into(), url.clone());
            }
            let name = format!("PORT_{}_{}", port.port, port.protocol);
            set(name.clone(), url);
            set(format!("{name}_PROTO"), port.protocol.lower().into());
            set(format!("{name}_PORT"), port.port.to_string());
            set(format!("{name}_ADDR"), ip.to_string());
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_api::{Protocol, ServicePort};

    fn service(namespace: &str, name: &str, ip: &str, ports: &[(&str, u16, Protocol)]) -> Arc<Service> {
        let mut s = Service::default();
        s.metadata.namespace = namespace.into();
        s.metadata.name = name.into();
        s.spec.cluster_ip = ip.into();
        let port = |(name, port, protocol): &(&str, u16, Protocol)| ServicePort {
            name: (*name).into(),
            protocol: *protocol,
            app_protocol: None,
            port: *port,
            target_port: None,
            node_port: 0,
        };
        s.spec.ports = ports.iter().map(port).collect();
        s.into()
    }

    /// The example of the documentation ("Accessing the Service", environment variables), and a second port.
    #[test]
    fn variables_are_those_of_the_kubelet() {
        let services = [
            service("default", "kubernetes", "10.96.0.1", &[("https", 443, Protocol::Tcp)]),
            service("shop", "redis-primary", "10.0.0.11", &[("", 6379, Protocol::Tcp), ("m-x", 53, Protocol::Udp)]),
            service("shop", "db", "None", &[("pg", 5432, Protocol::Tcp)]),
            service("other", "web", "10.0.0.12", &[("", 80, Protocol::Tcp)]),
        ];
        let lines = |links| -> Vec<String> {
            let all = service_environment(&services, "shop", links);
            all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        let kubernetes = [
            "KUBERNETES_SERVICE_HOST=10.96.0.1",
            "KUBERNETES_SERVICE_PORT=443",
            "KUBERNETES_SERVICE_PORT_HTTPS=443",
            "KUBERNETES_PORT=tcp://10.96.0.1:443",
            "KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443",
            "KUBERNETES_PORT_443_TCP_PROTO=tcp",
            "KUBERNETES_PORT_443_TCP_PORT=443",
            "KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1",
        ];
        assert_eq!(lines(false), kubernetes);
        let redis = [
            "REDIS_PRIMARY_SERVICE_HOST=10.0.0.11",
            "REDIS_PRIMARY_SERVICE_PORT=6379",
            "REDIS_PRIMARY_SERVICE_PORT_M_X=53",
            "REDIS_PRIMARY_PORT=tcp://10.0.0.11:6379",
            "REDIS_PRIMARY_PORT_6379_TCP=tcp://10.0.0.11:6379",
            "REDIS_PRIMARY_PORT_6379_TCP_PROTO=tcp",
            "REDIS_PRIMARY_PORT_6379_TCP_PORT=6379",
            "REDIS_PRIMARY_PORT_6379_TCP_ADDR=10.0.0.11",
            "REDIS_PRIMARY_PORT_53_UDP=udp://10.0.0.11:53",
            "REDIS_PRIMARY_PORT_53_UDP_PROTO=udp",
            "REDIS_PRIMARY_PORT_53_UDP_PORT=53",
            "REDIS_PRIMARY_PORT_53_UDP_ADDR=10.0.0.11",
        ];
        assert_eq!(lines(true), [&kubernetes[..], &redis[..]].concat());
    }
}
