//! kube-proxy and the packet path in large clusters.

use crate::Work;
use datapath::{Entry, Flow, Kernel, KernelConfig, L4};
use kube_api::{IpFamily, NamespacedName, Object, manifest};
use kube_proxy::{NodeContext, Proxier, Rules, Settings};
use lab_base::{Span, Time};
use std::fmt::Write;
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
                    format!("{} rules", rule_count(&proxier.sync_rules()))
                })
            },
        },
        Work {
            name: "those rules as text",
            size: "10,000 Services x 10 endpoints",
            count: 1,
            budget: Some((150.0 - 100.0, 400.0 - 300.0)),
            prepare: || {
                let rules = proxier(&objects(10_000, 10)).sync_rules();
                Box::new(move || format!("{} bytes", rules.text().len()))
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
                    format!("{} rules", rule_count(&proxier.sync_rules()))
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
                    format!("{sum:016x}")
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
                    format!("{sum:016x}")
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

/// Services `s0` ... with a slice each; addresses of all endpoints differ.
fn objects(services: u32, endpoints: u32) -> Vec<Object> {
    objects_with(services, endpoints, 0)
}

/// The same, with the first endpoint's address in another network of /14.
fn objects_with(services: u32, endpoints: u32, moved: u8) -> Vec<Object> {
    let mut yaml = String::from(
        "apiVersion: v1\nkind: Node\nmetadata: {name: node-a}\nstatus: {addresses: [{type: InternalIP, address: 192.168.10.11}]}\n",
    );
    for s in 0..services {
        let ip = Ipv4Addr::from(0x0a60_0100 + s);
        let _ = write!(
            yaml,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{s}, namespace: default}}\n\
             spec: {{clusterIP: {ip}, clusterIPs: [{ip}], selector: {{app: s{s}}}, ports: [{{port: 80, targetPort: 8080, protocol: TCP}}]}}\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: s{s}-1, namespace: default, labels: {{kubernetes.io/service-name: s{s}}}}}\n\
             addressType: IPv4\nports: [{{name: '', port: 8080, protocol: TCP}}]\nendpoints:\n"
        );
        for e in 0..endpoints {
            let network = if e == 0 { moved } else { 0 };
            let n = s * endpoints + e;
            let _ = writeln!(
                yaml,
                "- {{addresses: [10.{}.{}.{}], conditions: {{ready: true}}, nodeName: node-b}}",
                244 + u32::from(network) * 4 + (n >> 16),
                n >> 8 & 255,
                n & 255
            );
        }
    }
    let content = |document: manifest::Document| match document.content {
        manifest::Content::Object(object) => Some(*object),
        _ => None,
    };
    manifest::read(&yaml).documents.into_iter().filter_map(content).collect()
}

fn slices(objects: &[Object]) -> Vec<(NamespacedName, Arc<kube_api::EndpointSlice>)> {
    let slice = |object: &Object| match object {
        Object::EndpointSlice(slice) => Some((slice.metadata.key(), slice.clone())),
        _ => None,
    };
    objects.iter().filter_map(slice).collect()
}

fn proxier(objects: &[Object]) -> Proxier {
    kube_proxy::proxier_of(objects, "node-a", Arc::new(Settings::default()), IpFamily::IPv4).expect("the node is there")
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
