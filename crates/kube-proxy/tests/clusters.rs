//! What holds in every cluster: random Services, slices and changes to them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use datapath::ipvs::Scheduler;
use datapath::{Entry, Flow, Kernel, KernelConfig, L4, OriginId, Verdict};
use kube_api::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, HintTarget, IpFamily, LABEL_SERVICE_NAME,
    LoadBalancerIngress, NamespacedName, ObjectMeta, Protocol, Service, ServicePort, ServiceType, SessionAffinity,
    TrafficPolicy,
};
use kube_proxy::{Mode, NodeContext, Proxier, Rules, Settings};
use lab_base::{Dice, Source, Time};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

const PORTS: [&str; 2] = ["http", "dns"];

fn service_name(n: u8) -> NamespacedName {
    NamespacedName::new("default", format!("s{n}"))
}

fn service() -> impl Strategy<Value = (u8, Service)> {
    let kind = prop_oneof![Just(ServiceType::ClusterIP), Just(ServiceType::NodePort), Just(ServiceType::LoadBalancer)];
    (0u8..3, kind, any::<[bool; 5]>(), 0u8..4).prop_map(|(n, kind, [etp, itp, sticky, ranges, external], vips)| {
        let name = service_name(n);
        let mut s = Service {
            metadata: ObjectMeta { name: name.name, namespace: name.namespace, ..Default::default() },
            ..Default::default()
        };
        s.spec.type_ = kind;
        s.spec.cluster_ip = format!("10.96.0.{}", n + 1);
        s.spec.ports = vec![port(PORTS[0], Protocol::Tcp, 80, n), port(PORTS[1], Protocol::Udp, 53, n)];
        let local = |yes| Some(if yes { TrafficPolicy::Local } else { TrafficPolicy::Cluster });
        s.spec.internal_traffic_policy = local(itp);
        s.spec.external_traffic_policy = local(etp);
        if kind == ServiceType::ClusterIP {
            s.spec.ports.iter_mut().for_each(|p| p.node_port = 0);
        }
        if sticky {
            s.spec.session_affinity = SessionAffinity::ClientIP;
        }
        if external {
            s.spec.external_ips = vec![format!("198.18.0.{}", n + 1)];
        }
        if kind == ServiceType::LoadBalancer {
            if ranges {
                s.spec.load_balancer_source_ranges = vec!["203.0.113.0/25".into(), "192.168.10.0/24".into()];
            }
            let ip = |i| LoadBalancerIngress { ip: format!("198.51.100.{}", n * 10 + i), ..Default::default() };
            s.status.load_balancer.ingress = (0..vips % 3).map(ip).collect();
        }
        s.metadata.annotations.insert("service.kubernetes.io/topology-mode".into(), "Auto".into());
        (n, s)
    })
}

fn port(name: &str, protocol: Protocol, port: u16, n: u8) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol,
        app_protocol: None,
        port,
        target_port: None,
        node_port: 30_000 + port + u16::from(n),
    }
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (1u8..3, 1u8..8, any::<[Option<bool>; 3]>(), 0u8..4).prop_map(|(node, ip, [ready, serving, terminating], hint)| {
        let zones = if hint == 0 { vec![] } else { vec![HintTarget { name: format!("zone-{}", hint % 2) }] };
        Endpoint {
            addresses: vec![format!("10.244.{node}.{ip}")],
            conditions: EndpointConditions { ready, serving, terminating },
            node_name: Some(format!("node-{node}")),
            hints: Some(EndpointHints { for_zones: zones, for_nodes: vec![] }),
            ..Default::default()
        }
    })
}

fn slice() -> impl Strategy<Value = EndpointSlice> {
    (0u8..3, prop::collection::vec(endpoint(), 0..6), 0u8..4).prop_map(|(n, endpoints, ports)| {
        let port = |i: usize| EndpointPort {
            name: Some(PORTS[i].into()),
            protocol: Some(if i == 0 { Protocol::Tcp } else { Protocol::Udp }),
            port: Some(8080 + i as u16),
            app_protocol: None,
        };
        let mut s = EndpointSlice {
            endpoints,
            ports: (0..2).filter(|i| ports & (1 << i) != 0).map(port).collect(),
            ..Default::default()
        };
        s.metadata.namespace = "default".into();
        s.metadata.labels.insert(LABEL_SERVICE_NAME.into(), service_name(n).name);
        s
    })
}

#[derive(Clone, Debug)]
enum Change {
    Service(u8, Option<Box<Service>>),
    Slice(u8, Option<Box<EndpointSlice>>),
    Sync,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        4 => service().prop_map(|(n, s)| Change::Service(n, Some(Box::new(s)))),
        1 => (0u8..3).prop_map(|n| Change::Service(n, None)),
        6 => (0u8..4, slice()).prop_map(|(n, s)| Change::Slice(n, Some(Box::new(s)))),
        1 => (0u8..4).prop_map(|n| Change::Slice(n, None)),
        2 => Just(Change::Sync),
    ];
    prop::collection::vec(change, 1..25)
}

/// What the API server holds after some changes.
#[derive(Default)]
struct World {
    services: BTreeMap<u8, Arc<Service>>,
    slices: BTreeMap<u8, Arc<EndpointSlice>>,
}

fn slice_name(n: u8) -> NamespacedName {
    NamespacedName::new("default", format!("slice-{n}"))
}

fn proxier() -> Proxier {
    proxier_with(Settings::default())
}

fn proxier_with(settings: Settings) -> Proxier {
    let node = NodeContext {
        name: "node-1".into(),
        addresses: vec!["192.168.10.11".parse().unwrap()],
        zone: Some("zone-1".into()),
        ..Default::default()
    };
    Proxier::new(Arc::new(settings), node, IpFamily::V4)
}

impl World {
    fn apply(&mut self, proxier: &mut Proxier, change: Change) {
        match change {
            Change::Service(n, s) => {
                let s = s.map(|s| Arc::new(*s));
                proxier.set_service(&service_name(n), s.clone());
                match s {
                    Some(s) => self.services.insert(n, s),
                    None => self.services.remove(&n),
                };
            }
            Change::Slice(n, s) => {
                let s = s.map(|s| Arc::new(*s));
                proxier.set_endpoint_slice(&slice_name(n), s.clone());
                match s {
                    Some(s) => self.slices.insert(n, s),
                    None => self.slices.remove(&n),
                };
            }
            Change::Sync => {
                proxier.sync();
            }
        }
    }
    /// A kube-proxy that starts now.
    fn fresh(&self, mode: Mode) -> Proxier {
        let mut p = proxier().in_mode(mode);
        self.slices.iter().for_each(|(n, s)| p.set_endpoint_slice(&slice_name(*n), Some(s.clone())));
        self.services.iter().for_each(|(n, s)| p.set_service(&service_name(*n), Some(s.clone())));
        p
    }
    /// Endpoints that may get packets: ready ones, and those that still serve while they terminate if none is ready
    /// (anywhere, or on this node for policy Local).
    fn usable(&self, n: u8, port: &str) -> BTreeSet<SocketAddr> {
        // Of copies the first counts, unless a later one is on this node.
        let mut copies: BTreeMap<SocketAddr, (EndpointConditions, bool)> = BTreeMap::new();
        let name = service_name(n).name;
        for slice in self.slices.values().filter(|s| s.metadata.labels[LABEL_SERVICE_NAME] == name) {
            let named = slice.ports.iter().find(|p| p.name.as_deref() == Some(port));
            let Some(number) = named.and_then(|p| p.port) else { continue };
            for e in &slice.endpoints {
                let addr = SocketAddr::new(e.addresses[0].parse().unwrap(), number);
                let local = e.node_name.as_deref() == Some("node-1");
                if local || !copies.contains_key(&addr) {
                    copies.insert(addr, (e.conditions, local));
                }
            }
        }
        let (mut ready, mut serving) = (BTreeSet::new(), BTreeSet::new());
        let (mut any_ready, mut local_ready) = (false, false);
        for (addr, (c, local)) in copies {
            if c.ready.unwrap_or(true) {
                ready.insert(addr);
                any_ready = true;
                local_ready |= local;
            } else if c.serving.unwrap_or(true) && c.terminating.unwrap_or(false) {
                serving.insert(addr);
            }
        }
        if !any_ready || !local_ready {
            ready.extend(serving);
        }
        ready
    }
}

fn kernel(proxier: &mut Proxier) -> Kernel {
    let mut kernel =
        Kernel::new(KernelConfig { addresses: proxier.node().addresses.clone(), ..KernelConfig::default() });
    proxier.sync_rules().load(&mut kernel, Time::ZERO);
    kernel
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Iptables), Just(Mode::Nftables), Just(Mode::Ipvs)]
}

/// Where all rules and elements of a node that belong to a Service come from.
fn origins(proxier: &Proxier) -> Vec<OriginId> {
    match proxier.rules() {
        Rules::Iptables(rules) => {
            rules.segments().flat_map(|(_, s)| s.list().rules().iter().map(|r| r.origin)).collect()
        }
        Rules::Nftables(table) => {
            let all = table.segments().map(|(_, s)| s);
            all.flat_map(|s| s.rules().iter().map(|r| r.origin).chain(s.elements().iter().map(|e| e.origin))).collect()
        }
        Rules::Ipvs(table) => {
            let servers = table.servers().values();
            servers.flat_map(|s| s.destinations.iter().map(|d| d.origin).chain([s.origin])).collect()
        }
    }
}

/// What becomes of a connection, and how likely each outcome is.
type Outcomes = BTreeMap<(Verdict, SocketAddr, bool), f64>;

fn outcomes(kernel: &Kernel, flow: Flow, entry: Entry) -> Outcomes {
    let mut all = Outcomes::new();
    for share in kernel.shares(Time::ZERO, flow, entry) {
        let refused = matches!(share.verdict, Verdict::Drop | Verdict::Reject);
        let dst = if refused { flow.dst } else { share.dst };
        *all.entry((share.verdict, dst, share.masquerade)).or_default() += share.probability;
    }
    all
}

/// Whether two modes may differ here, as recorded on a real kernel: nftables checks the destination before DNAT also
/// for the node's own packets, and source ranges without endpoints too.
fn may_differ(flow: &Flow, entry: Entry, iptables: &Outcomes, nftables: &Outcomes) -> bool {
    let ip = flow.dst.ip().to_string();
    let outside = ip.starts_with("198.");
    let all =
        |outcomes: &Outcomes, is: &dyn Fn(Verdict, SocketAddr) -> bool| outcomes.keys().all(|(v, to, _)| is(*v, *to));
    let refused = |verdict| move |v: Verdict, _: SocketAddr| v == verdict;
    let sent = |v: Verdict| matches!(v, Verdict::Forward | Verdict::Local);
    let node = entry == Entry::Process;
    (outside && node && all(iptables, &|v, to| sent(v) && to != flow.dst) && all(nftables, &refused(Verdict::Drop)))
        || (outside
            && node
            && all(iptables, &|v, to| sent(v) && to == flow.dst)
            && (all(nftables, &refused(Verdict::Reject)) || all(nftables, &refused(Verdict::Drop))))
        || (ip.starts_with("198.51.")
            && all(iptables, &refused(Verdict::Reject))
            && all(nftables, &refused(Verdict::Drop)))
}

/// What IPVS does where iptables does this, for a connection to one of the addresses of `service`. They differ where
/// the documents say so: a virtual server refuses by itself wherever the client is; policy `Local` chooses endpoints of
/// this node for whoever comes, endpoints anywhere if it has none, and never masquerades; source ranges are checked
/// before anything else (conformance/README.md, SPEC 6.6).
fn ipvs_agrees(world: &World, service: u8, flow: &Flow, entry: Entry, kernels: [&Kernel; 2]) -> Result<(), String> {
    let [iptables, ipvs] = kernels.map(|k| outcomes(k, *flow, entry));
    let spec = &world.services[&service].spec;
    let ip = flow.dst.ip().to_string();
    let all = |outcomes: &Outcomes, verdict| outcomes.keys().all(|(v, ..)| *v == verdict);
    let differ = |why: &str| Err(format!("{why}: {entry:?} {flow:?}\n{iptables:?}\n{ipvs:?}"));
    let check = |holds: bool, why: &str| if holds { Ok(()) } else { differ(why) };

    let in_ranges = ["192.168.10.11", "203.0.113.10"].contains(&flow.src.ip().to_string().as_str());
    let ranges = ip.starts_with("198.51.") && !spec.load_balancer_source_ranges.is_empty();
    if ranges && entry != Entry::Process && !in_ranges {
        return check(all(&ipvs, Verdict::Drop), "source ranges");
    }
    // iptables refuses nothing that the node itself sends to addresses from outside.
    let untouched = iptables.keys().all(|(_, to, _)| *to == flow.dst) && !all(&iptables, Verdict::Drop);
    if untouched {
        return check(all(&ipvs, Verdict::Reject), "no endpoints");
    }
    let internal = ip.starts_with("10.96.");
    let policy = if internal { spec.internal_traffic_policy } else { spec.external_traffic_policy };
    if policy != Some(TrafficPolicy::Local) {
        let same =
            iptables.keys().eq(ipvs.keys()) && iptables.values().zip(ipvs.values()).all(|(a, b)| (a - b).abs() < 1e-6);
        return check(same, "policy Cluster");
    }
    let of = |src: &str, entry| {
        let flow = Flow { src: SocketAddr::new(src.parse().unwrap(), 40_000), ..*flow };
        let sent = outcomes(kernels[0], flow, entry).into_keys().filter(|(_, to, _)| *to != flow.dst);
        sent.map(|(_, to, _)| to).collect::<BTreeSet<_>>()
    };
    let met: BTreeSet<SocketAddr> = ipvs.keys().map(|(_, to, _)| *to).filter(|to| *to != flow.dst).collect();
    let here = if internal { of("10.244.1.200", Entry::Pod) } else { of("203.0.113.10", Entry::Wire) };
    if !here.is_empty() {
        check(met == here, "endpoints of this node")?;
    } else if !internal && !ranges {
        check(met == of("10.244.1.200", Entry::Pod), "endpoints anywhere")?;
    } else {
        check(met.is_empty() == all(&ipvs, Verdict::Reject), "endpoints anywhere, if any")?;
    }
    let hairpin = |to: &SocketAddr| to.ip() == flow.src.ip();
    let from_pod = flow.src.ip().to_string().starts_with("10.244.");
    let masked = |(_, to, masked): &(Verdict, SocketAddr, bool)| {
        met.is_empty() || *masked == (hairpin(to) || (internal && !from_pod))
    };
    check(ipvs.keys().all(masked), "masquerade")
}

/// Every address and port at which some Service might be.
fn targets() -> Vec<(L4, SocketAddr)> {
    let mut all = Vec::new();
    for n in 0..3u8 {
        for (proto, port) in [(L4::Tcp, 80u16), (L4::Udp, 53)] {
            let ips = [
                format!("10.96.0.{}", n + 1),
                format!("198.18.0.{}", n + 1),
                format!("198.51.100.{}", n * 10),
                format!("198.51.100.{}", n * 10 + 1),
            ];
            all.extend(ips.map(|ip| (proto, SocketAddr::new(ip.parse().unwrap(), port))));
            all.push((proto, SocketAddr::new("192.168.10.11".parse().unwrap(), 30_000 + port + u16::from(n))));
        }
    }
    all
}

const SOURCES: [(&str, Entry); 5] = [
    ("10.244.1.200", Entry::Pod),
    ("10.244.1.3", Entry::Pod),
    ("192.168.10.11", Entry::Process),
    ("203.0.113.10", Entry::Wire),
    ("203.0.113.250", Entry::Wire),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_partial_sync_leaves_what_a_full_one_writes(changes in changes(), mode in mode()) {
        let (mut world, mut proxier) = (World::default(), proxier().in_mode(mode));
        for change in changes {
            world.apply(&mut proxier, change);
        }
        let rules = proxier.sync_rules();
        prop_assert!(!proxier.pending());
        let mut fresh = world.fresh(mode);
        prop_assert_eq!(rules.text(), fresh.sync_rules().text());
        for id in origins(&proxier) {
            prop_assert!(proxier.origin(id).is_some(), "{:?}", id);
        }
        for n in 0..3 {
            for port in PORTS {
                prop_assert_eq!(proxier.endpoints(&service_name(n), port), fresh.endpoints(&service_name(n), port));
            }
        }
    }

    #[test]
    fn packets_reach_only_usable_endpoints(changes in changes(), mode in mode()) {
        let (mut world, mut proxier) = (World::default(), proxier().in_mode(mode));
        for change in changes {
            world.apply(&mut proxier, change);
        }
        let kernel = kernel(&mut proxier);
        for (proto, dst) in targets() {
            for (src, entry) in SOURCES {
                let flow = Flow { proto, src: SocketAddr::new(src.parse().unwrap(), 40_000), dst };
                let shares = kernel.shares(Time::ZERO, flow, entry);
                let total: f64 = shares.iter().map(|s| s.probability).sum();
                prop_assert!((total - 1.0).abs() < 1e-9);
                for share in shares.iter().filter(|s| s.dst != dst) {
                    prop_assert!(matches!(share.verdict, Verdict::Forward | Verdict::Local));
                    let origin = proxier.origin(share.decided_by).expect("the rule that chose an endpoint");
                    prop_assert_eq!(origin.endpoint, Some(share.dst));
                    let n = origin.service.name[1..].parse().unwrap();
                    prop_assert!(world.usable(n, &origin.port).contains(&share.dst), "{:?}", share);
                }
            }
        }
        for (n, service) in &world.services {
            for (i, port) in PORTS.into_iter().enumerate() {
                let told = proxier.endpoints(&service_name(*n), port);
                let proto = if i == 0 { L4::Tcp } else { L4::Udp };
                let dst = SocketAddr::new(service.spec.cluster_ip.parse().unwrap(), service.spec.ports[i].port);
                let flow = Flow { proto, src: "10.244.1.200:40000".parse().unwrap(), dst };
                let shares = kernel.shares(Time::ZERO, flow, Entry::Pod);
                let real: BTreeMap<_, _> = shares.iter().filter(|s| s.dst != dst).map(|s| (s.dst, s.probability)).collect();
                prop_assert_eq!(told.len(), real.len());
                for share in told {
                    prop_assert!((real[&share.endpoint] - share.share).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn all_modes_send_packets_the_same_way(changes in changes()) {
        let (mut world, mut proxier) = (World::default(), proxier());
        for change in changes {
            world.apply(&mut proxier, change);
        }
        let iptables = kernel(&mut proxier);
        let nftables = kernel(&mut world.fresh(Mode::Nftables));
        for (proto, dst) in targets() {
            for (src, entry) in SOURCES {
                let flow = Flow { proto, src: SocketAddr::new(src.parse().unwrap(), 40_000), dst };
                let (a, b) = (outcomes(&iptables, flow, entry), outcomes(&nftables, flow, entry));
                let same = a.keys().eq(b.keys()) && a.values().zip(b.values()).all(|(a, b)| (a - b).abs() < 1e-6);
                prop_assert!(same || may_differ(&flow, entry, &a, &b), "{entry:?} {flow:?}\n{a:?}\n{b:?}");
            }
        }
        let ipvs = kernel(&mut world.fresh(Mode::Ipvs));
        for (proto, dst) in targets() {
            let at = |(_, s): &(&u8, &Arc<Service>)| {
                let ingress = s.status.load_balancer.ingress.iter().map(|i| &i.ip);
                let ips = s.spec.external_ips.iter().chain(ingress).chain([&s.spec.cluster_ip]);
                let numbers: Vec<u16> = s.spec.ports.iter().map(|p| p.node_port).collect();
                ips.into_iter().any(|ip| *ip == dst.ip().to_string()) || numbers.contains(&dst.port())
            };
            let Some((n, _)) = world.services.iter().find(at) else { continue };
            for (src, entry) in SOURCES {
                let flow = Flow { proto, src: SocketAddr::new(src.parse().unwrap(), 40_000), dst };
                let answer = ipvs_agrees(&world, *n, &flow, entry, [&iptables, &ipvs]);
                prop_assert!(answer.is_ok(), "{}", answer.unwrap_err());
            }
        }
        // A port that no Service has on the address of one.
        for service in world.services.values() {
            let dst = SocketAddr::new(service.spec.cluster_ip.parse().unwrap(), 81);
            let flow = Flow { proto: L4::Tcp, src: "10.244.1.200:40000".parse().unwrap(), dst };
            let verdicts = [&iptables, &nftables, &ipvs].map(|k| k.shares(Time::ZERO, flow, Entry::Pod)[0].verdict);
            prop_assert_eq!(verdicts, [Verdict::Forward, Verdict::Reject, Verdict::Reject]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// 100 clusters, 1000 packets each: what is found by index is what a walk from rule to rule finds.
    #[test]
    fn the_fast_verdict_is_the_traced_one(
        changes in changes(),
        mode in mode(),
        scheduler in prop::sample::select(Scheduler::all().collect::<Vec<_>>()),
        seed in any::<u64>(),
    ) {
        let settings = Settings { ipvs_scheduler: scheduler.name().into(), ..Settings::default() };
        let (mut world, mut proxier) = (World::default(), proxier_with(settings).in_mode(mode));
        for change in changes {
            world.apply(&mut proxier, change);
        }
        let mut kernel = kernel(&mut proxier);
        let (dice, targets) = (Dice::new(seed), targets());
        for i in 0..1000u64 {
            let draw = |of: u64, n: usize| dice.roll(Source::Allocation, of, i).below(n as u64) as usize;
            let (proto, mut dst) = targets[draw(0, targets.len())];
            if draw(1, 10) == 0 {
                dst.set_port(draw(2, 65_536) as u16);
            }
            let (src, entry) = SOURCES[draw(3, SOURCES.len())];
            let src = SocketAddr::new(src.parse().unwrap(), 1024 + draw(4, 200) as u16);
            let flow = Flow { proto, src, dst };
            let now = Time::from_secs(i / 10);
            let mut bits = |at: u32| dice.roll(Source::Statistic, i, u64::from(at)).u32();
            let (traced, _) = kernel.trace(now, flow, entry, &mut bits);
            let fast = kernel.open(now, flow, entry, &mut bits);
            prop_assert_eq!(fast, traced, "{:?} {:?}", entry, flow);
        }
    }
}

#[test]
fn with_one_rule_deleted_the_service_is_lost() {
    let (mut world, mut p) = (World::default(), proxier());
    let mut service = Service {
        metadata: ObjectMeta { name: "s0".into(), namespace: "default".into(), ..Default::default() },
        ..Default::default()
    };
    service.spec.cluster_ip = "10.96.0.1".into();
    service.spec.ports = vec![port(PORTS[0], Protocol::Tcp, 80, 0)];
    world.apply(&mut p, Change::Service(0, Some(Box::new(service))));
    let mut slice = EndpointSlice::default();
    slice.metadata.namespace = "default".into();
    slice.metadata.labels.insert(LABEL_SERVICE_NAME.into(), "s0".into());
    slice.endpoints = vec![Endpoint { addresses: vec!["10.244.1.5".into()], ..Default::default() }];
    slice.ports = vec![EndpointPort { name: Some(PORTS[0].into()), port: Some(8080), ..Default::default() }];
    world.apply(&mut p, Change::Slice(0, Some(Box::new(slice))));
    let mut kernel = kernel(&mut p);
    let flow = |port| Flow {
        proto: L4::Tcp,
        src: SocketAddr::new("10.244.1.200".parse().unwrap(), port),
        dst: "10.96.0.1:80".parse().unwrap(),
    };
    let opened = kernel.open(Time::ZERO, flow(1), Entry::Pod, &mut |_| 0);
    assert_eq!(opened.nat.dst.to_string(), "10.244.1.5:8080");
    let origin = p.origin(opened.decided_by).unwrap();
    assert_eq!((origin.service, origin.field.as_str()), (service_name(0), "spec.ports[0].targetPort"));
    assert!(kernel.remove_rule(datapath::Table::Nat, "KUBE-SERVICES", "KUBE-SVC-", 0));
    let lost = kernel.open(Time::ZERO, flow(2), Entry::Pod, &mut |_| 0);
    assert_eq!((lost.verdict, lost.nat.dst), (Verdict::Forward, flow(2).dst));
}
