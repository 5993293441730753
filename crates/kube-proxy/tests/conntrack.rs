//! UDP clients get off endpoints that are gone, by release.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use datapath::{Entry, Flow, Kernel, KernelConfig, L4};
use kube_api::{
    Endpoint, EndpointConditions, EndpointPort, EndpointSlice, IpFamily, LABEL_SERVICE_NAME, NamespacedName,
    ObjectMeta, Protocol, Release, Service, ServicePort, ServiceType,
};
use kube_proxy::{Mode, NodeContext, Proxier, Settings};
use lab_base::Time;
use std::net::SocketAddr;
use std::sync::Arc;

const NODE: &str = "192.168.10.11";

fn name() -> NamespacedName {
    NamespacedName::new("ns", "svc")
}

fn meta() -> ObjectMeta {
    ObjectMeta { namespace: "ns".into(), name: "svc".into(), ..ObjectMeta::default() }
}

fn service() -> Arc<Service> {
    let mut s = Service { metadata: meta(), ..Service::default() };
    s.spec.type_ = ServiceType::NodePort;
    s.spec.cluster_ip = "10.96.0.10".into();
    s.spec.ports = vec![ServicePort {
        name: "dns".into(),
        protocol: Protocol::Udp,
        app_protocol: None,
        port: 53,
        target_port: None,
        node_port: 30_053,
    }];
    Arc::new(s)
}

/// Endpoints by the last part of their address; whether each serves.
fn slice(endpoints: &[(u8, bool)]) -> Arc<EndpointSlice> {
    let mut s = EndpointSlice { metadata: meta(), ..EndpointSlice::default() };
    s.metadata.labels.insert(LABEL_SERVICE_NAME.into(), "svc".into());
    let port =
        EndpointPort { name: Some("dns".into()), protocol: Some(Protocol::Udp), port: Some(5353), app_protocol: None };
    s.ports = vec![port];
    let endpoint = |(n, serving): &(u8, bool)| Endpoint {
        addresses: vec![format!("10.244.1.{n}")],
        conditions: EndpointConditions { ready: Some(*serving), serving: Some(*serving), terminating: Some(!serving) },
        ..Endpoint::default()
    };
    s.endpoints = endpoints.iter().map(endpoint).collect();
    Arc::new(s)
}

/// A node with its kube-proxy, and what syncs did.
struct Machine {
    proxier: Proxier,
    kernel: Kernel,
}

impl Machine {
    fn new(release: Release, mode: Mode) -> Machine {
        let settings = Settings { release, ..Settings::default() };
        let addresses = vec![NODE.parse().unwrap()];
        let node = NodeContext { name: "n".into(), addresses: addresses.clone(), ..NodeContext::default() };
        let proxier = Proxier::new(Arc::new(settings), node, IpFamily::V4).in_mode(mode);
        Machine { proxier, kernel: Kernel::new(KernelConfig { addresses, ..KernelConfig::default() }) }
    }
    fn endpoints(&mut self, endpoints: &[(u8, bool)]) -> usize {
        self.proxier.set_endpoint_slice(&name(), Some(slice(endpoints)));
        self.sync()
    }
    fn sync(&mut self) -> usize {
        self.proxier.sync_rules().load(&mut self.kernel, Time::ZERO);
        self.proxier.stale_connections().delete(&mut self.kernel, Time::ZERO)
    }
    /// Where a datagram of this client goes.
    fn send(&mut self, client: u16, to: &str) -> SocketAddr {
        let src = SocketAddr::new("10.244.1.200".parse().unwrap(), client);
        let flow = Flow { proto: L4::Udp, src, dst: to.parse().unwrap() };
        self.kernel.open(Time::ZERO, flow, Entry::Pod, &mut |_| 0).nat.dst
    }
}

const CLUSTER_IP: &str = "10.96.0.10:53";
const NODE_PORT: &str = "192.168.10.11:30053";

#[test]
fn clients_leave_an_endpoint_that_is_gone() {
    for release in [Release(30), Release(31), Release(32), Release(33), Release::default()] {
        for mode in [Mode::Iptables, Mode::Nftables] {
            let mut m = Machine::new(release, mode);
            m.proxier.set_service(&name(), Some(service()));
            m.endpoints(&[(5, true), (6, true)]);
            assert_eq!(m.send(1, CLUSTER_IP).to_string(), "10.244.1.5:5353");
            assert_eq!(m.send(2, NODE_PORT).to_string(), "10.244.1.5:5353");
            assert_eq!(
                m.endpoints(&[(5, true), (6, true), (7, true)]),
                0,
                "{release} {mode:?}: one more changes nothing"
            );
            assert_eq!(m.endpoints(&[(5, false), (6, true)]), 2, "{release} {mode:?}: not serving any more");
            assert_eq!(m.send(1, CLUSTER_IP).to_string(), "10.244.1.6:5353");
            assert_eq!(m.sync(), 0, "{release} {mode:?}: nothing is stale now");
        }
    }
}

#[test]
fn clients_of_a_service_without_endpoints_get_the_first_one() {
    for release in [Release(30), Release(32), Release::default()] {
        let mut m = Machine::new(release, Mode::Iptables);
        // Before the Service is known its address is like any other.
        assert_eq!(m.send(1, CLUSTER_IP).to_string(), CLUSTER_IP);
        m.proxier.set_service(&name(), Some(service()));
        assert_eq!(m.sync(), 0, "{release}: no endpoint yet");
        assert_eq!(m.endpoints(&[(5, false)]), 0, "{release}: none that serves");
        assert_eq!(m.endpoints(&[(5, true)]), 1, "{release}");
        assert_eq!(m.send(1, CLUSTER_IP).to_string(), "10.244.1.5:5353");
    }
}

#[test]
fn only_up_to_1_31_a_removed_service_takes_its_connections_along() {
    for (release, deleted) in [(Release(30), 1), (Release(31), 1), (Release(32), 0), (Release::default(), 0)] {
        let mut m = Machine::new(release, Mode::Nftables);
        m.proxier.set_service(&name(), Some(service()));
        m.endpoints(&[(5, true)]);
        m.send(1, CLUSTER_IP);
        m.proxier.set_service(&name(), None);
        assert_eq!(m.sync(), deleted, "{release}");
    }
}

#[test]
fn a_restarted_kube_proxy_of_1_30_starts_with_new_connections() {
    for (release, deleted) in [(Release(30), 1), (Release(32), 0)] {
        let mut m = Machine::new(release, Mode::Iptables);
        m.proxier.set_service(&name(), Some(service()));
        m.endpoints(&[(5, true)]);
        m.send(1, CLUSTER_IP);
        m.proxier = m.proxier.clone().in_mode(Mode::Iptables);
        assert_eq!(m.sync(), deleted, "{release}");
    }
}
