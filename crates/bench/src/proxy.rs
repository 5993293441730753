//! kube-proxy and the packet path in large clusters.

use crate::{Done, Work};
use datapath::{Entry, Flow, Kernel, KernelConfig, L4};
use kube_api::manifest::{self, Content};
use kube_api::{Endpoint, EndpointSlice, IpFamily, NamespacedName, Object, Service};
use kube_proxy::{Proxier, Rules, Settings};
use lab_base::{Span, Time};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The works of this module, with the marks that the project has set itself.
pub fn works() -> Vec<Work> {
    vec![
        Work {
            name: "full sync to iptables rules, cold",
            size: "10,000 Services x 10 endpoints",
            count: 1,
            budget: Some((100.0, 300.0)),
            prepare: || {
                let objects = objects(10_000, 10);
                Box::new(move || {
                    let mut proxier = proxier(&objects);
                    let rules = proxier.sync_rules();
                    Done { checksum: format!("{} rules", rule_count(&rules)), kept: Box::new((proxier, rules)) }
                })
            },
        },
        Work {
            name: "those rules as text",
            size: "10,000 Services x 10 endpoints",
            count: 1,
            budget: Some((50.0, 100.0)),
            prepare: || {
                let rules = proxier(&objects(10_000, 10)).sync_rules();
                Box::new(move || format!("{} bytes", rules.text().len()).into())
            },
        },
        Work {
            name: "one endpoint changes in that cluster",
            size: "1,000 changes",
            count: 1_000,
            budget: Some((100.0, 300.0)),
            prepare: || {
                let objects = objects(10_000, 10);
                let changed = slices(&objects_with(10_000, 10, 3));
                let before = slices(&objects);
                let mut proxier = proxier(&objects);
                proxier.sync_rules();
                let mut turn = false;
                Box::new(move || {
                    turn = !turn;
                    let from = if turn { &changed } else { &before };
                    for (key, slice) in from.iter().step_by(10).take(1_000) {
                        proxier.set_endpoint_slice(key, Some(slice.clone()));
                        proxier.sync_rules();
                    }
                    format!("{} rules", rule_count(&proxier.sync_rules())).into()
                })
            },
        },
        Work {
            name: "new connections through the rules",
            size: "100,000 at 1,000 Services x 10",
            count: 100_000,
            budget: Some((50.0, 100.0)),
            prepare: || {
                let kernel = kernel();
                Box::new(move || {
                    let mut kernel = kernel.clone();
                    let mut sum = 0_u64;
                    for i in 0..100_000 {
                        let mut dice = draws(u64::from(i));
                        let opened = kernel.open(at(i), flow(i), Entry::Pod, &mut dice);
                        sum = sum.wrapping_mul(31).wrapping_add(port(opened.nat.dst));
                    }
                    Done { checksum: format!("{sum:016x}"), kept: Box::new(kernel) }
                })
            },
        },
        Work {
            name: "packets of known connections",
            size: "500,000 over 10,000 connections",
            count: 500_000,
            budget: Some((50.0, 100.0)),
            prepare: || {
                let mut kernel = kernel();
                for i in 0..10_000 {
                    kernel.open(at(i), flow(i), Entry::Pod, &mut draws(u64::from(i)));
                }
                Box::new(move || {
                    let mut sum = 0_u64;
                    for i in 0..500_000_u32 {
                        let nat = kernel.established(at(10_000), flow(i % 10_000));
                        sum = sum.wrapping_mul(31).wrapping_add(nat.map_or(0, |nat| port(nat.dst)));
                    }
                    format!("{sum:016x}").into()
                })
            },
        },
    ]
}

fn port(to: SocketAddr) -> u64 {
    match to.ip() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)) << 16 | u64::from(to.port()),
        IpAddr::V6(_) => u64::from(to.port()),
    }
}

/// Of these, all others are copies.
const TEMPLATES: &str = "\
apiVersion: v1
kind: Node
metadata: {name: node-a}
status: {addresses: [{type: InternalIP, address: 192.168.10.11}]}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], selector: {app: s}, ports: [{port: 80, targetPort: 8080, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{name: '', port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.0.1], conditions: {ready: true}, nodeName: node-b}]
";

/// Services `s0` ... with a slice each; addresses of all endpoints differ.
fn objects(services: u32, endpoints: u32) -> Vec<Object> {
    objects_with(services, endpoints, 0)
}

/// The same, with the first endpoint of each Service `moved` networks (/14) further.
fn objects_with(services: u32, endpoints: u32, moved: u32) -> Vec<Object> {
    let template = |object: manifest::Manifest| match object.content {
        Content::Object(object) => Some(object),
        Content::Lab { .. } => None,
    };
    let templates: Vec<Object> = manifest::parse(TEMPLATES).manifests.into_iter().filter_map(template).collect();
    let [Object::Node(node), Object::Service(service), Object::EndpointSlice(slice)] = &templates[..] else {
        panic!("three templates");
    };
    let mut all = vec![Object::Node(node.clone())];
    for s in 0..services {
        let mut service = Service::clone(service);
        service.metadata.name = format!("s{s}");
        let ip = Ipv4Addr::from(0x0a60_0100 + s).to_string();
        service.spec.cluster_ips = vec![ip.clone()];
        service.spec.cluster_ip = ip;
        all.push(Object::Service(Arc::new(service)));
        let mut slice = EndpointSlice::clone(slice);
        slice.metadata.name = format!("s{s}-1");
        slice.metadata.labels.insert("kubernetes.io/service-name".into(), format!("s{s}"));
        let endpoint = slice.endpoints.remove(0);
        slice.endpoints = (0..endpoints)
            .map(|e| {
                let network = if e == 0 { moved << 18 } else { 0 };
                let ip = Ipv4Addr::from(0x0af4_0000 + network + s * endpoints + e);
                Endpoint { addresses: vec![ip.to_string()], ..endpoint.clone() }
            })
            .collect();
        all.push(Object::EndpointSlice(Arc::new(slice)));
    }
    all
}

fn slices(objects: &[Object]) -> Vec<(NamespacedName, Arc<EndpointSlice>)> {
    let slice = |object: &Object| match object {
        Object::EndpointSlice(slice) => Some((slice.metadata.key(), slice.clone())),
        _ => None,
    };
    objects.iter().filter_map(slice).collect()
}

fn proxier(objects: &[Object]) -> Proxier {
    kube_proxy::proxier_of(objects, "node-a", Arc::new(Settings::default()), IpFamily::V4).expect("the node is there")
}

fn rule_count(rules: &Rules) -> usize {
    match rules {
        Rules::Iptables(rules) => rules.rule_count(),
        other => other.text().lines().count(),
    }
}

/// A node's kernel with the rules of 1,000 Services x 10.
fn kernel() -> Kernel {
    let mut kernel = Kernel::new(KernelConfig::default());
    proxier(&objects(1_000, 10)).sync_rules().load(&mut kernel, Time::ZERO);
    kernel
}

fn at(i: u32) -> Time {
    Time::ZERO + Span::from_micros(u64::from(i) * 10)
}

/// The i-th connection: another client port and Service each time.
fn flow(i: u32) -> Flow {
    let client = SocketAddr::new(Ipv4Addr::from(0x0af4_0002 + i / 50_000).into(), (1_024 + i % 50_000) as u16);
    let service = Ipv4Addr::from(0x0a60_0100 + i.wrapping_mul(7_919) % 1_000);
    Flow { proto: L4::Tcp, src: client, dst: SocketAddr::new(service.into(), 80) }
}

/// Plain chance, the same everywhere.
fn draws(seed: u64) -> impl FnMut(u32) -> u32 {
    move |n| {
        let mixed = (seed << 8 | u64::from(n)).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32) as u32
    }
}
