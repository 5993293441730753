//! Schedulers, persistence and the end of real servers. Properties are those that `ipvsadm(8)` and the comments in
//! `net/netfilter/ipvs/ip_vs_*.c` promise; each test names its source.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use datapath::ipvs::{Base, Destination, Load, Scheduler, Segment, ServerKey, Table, VirtualServer};
use datapath::{Entry, Flow, Kernel, KernelConfig, L4, OriginId, Verdict};
use lab_base::{Span, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

const VIP: &str = "10.96.0.1:80";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn server(n: u8) -> SocketAddr {
    SocketAddr::new([10, 244, 1, n].into(), 8080)
}

fn at(seconds: u64) -> Time {
    Time::from_secs(seconds)
}

/// A virtual server while it is written.
#[derive(Clone)]
struct Service {
    proto: L4,
    scheduler: Scheduler,
    persistence: Option<u32>,
    source_hash: bool,
    weights: Vec<(u8, u32)>,
}

impl Service {
    fn new(scheduler: Scheduler, weights: &[u32]) -> Service {
        let weights = weights.iter().zip(1..).map(|(w, n)| (n, *w)).collect();
        Service { proto: L4::Tcp, scheduler, persistence: None, source_hash: false, weights }
    }
    fn key(&self) -> ServerKey {
        ServerKey { proto: self.proto, addr: addr(VIP) }
    }
    fn table(&self) -> Arc<Table> {
        let mut table = Table::new(Arc::new(Base { sets: Vec::new(), drain_check: Span::from_secs(60) }));
        let origin = OriginId::NONE;
        let destination = |(n, weight): &(u8, u32)| Destination { addr: server(*n), weight: *weight, origin };
        let server = VirtualServer {
            key: self.key(),
            scheduler: self.scheduler,
            persistence: self.persistence,
            source_hash: self.source_hash,
            destinations: self.weights.iter().map(destination).collect(),
            origin,
        };
        let segment = Segment { servers: vec![Arc::new(server)], entries: Vec::new(), bound: vec![addr(VIP).ip()] };
        table.set_segment(&"s".into(), Some(Arc::new(segment)));
        Arc::new(table)
    }
}

/// A node with one virtual server, and clients that count up.
struct Node {
    kernel: Kernel,
    service: Service,
    port: u16,
}

impl Node {
    fn new(service: Service) -> Node {
        let config = KernelConfig { addresses: vec![[192, 168, 10, 11].into()], ..KernelConfig::default() };
        let mut kernel = Kernel::new(config);
        kernel.load_ipvs(Time::ZERO, service.table());
        Node { kernel, service, port: 20_000 }
    }
    fn change(&mut self, now: Time, change: impl FnOnce(&mut Service)) {
        change(&mut self.service);
        self.kernel.load_ipvs(now, self.service.table());
    }
    fn flow(&self, client: &str, port: u16) -> Flow {
        Flow { proto: self.service.proto, src: SocketAddr::new(client.parse().unwrap(), port), dst: addr(VIP) }
    }
    /// The real server of this connection, as the last part of its address; `None`: refused.
    fn open_flow(&mut self, now: Time, flow: Flow) -> Option<u8> {
        let (traced, steps) = self.kernel.trace(now, flow, Entry::Pod, &mut |_| 0);
        let opened = self.kernel.open(now, flow, Entry::Pod, &mut |_| 0);
        assert_eq!((traced.verdict, traced.nat, traced.decided_by), (opened.verdict, opened.nat, opened.decided_by));
        assert_eq!(steps.iter().filter(|s| s.decided).count(), 1, "{steps:?}");
        match opened.verdict {
            Verdict::Forward => Some(opened.nat.dst.ip().to_string().rsplit('.').next().unwrap().parse().unwrap()),
            Verdict::Reject => None,
            other => panic!("{other:?}"),
        }
    }
    /// A new connection of a Pod from a port of its own.
    fn open(&mut self, now: Time) -> Option<u8> {
        self.port += 1;
        self.open_flow(now, self.flow("10.244.1.200", self.port))
    }
    /// Some new connections, which stay open.
    fn several(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.open(Time::ZERO).unwrap()).collect()
    }
    fn close_last(&mut self, now: Time) {
        let flow = self.flow("10.244.1.200", self.port);
        self.kernel.close(now, flow);
    }
    fn load(&self, n: u8) -> Load {
        self.kernel.ipvs_state().load(&self.service.key(), server(n))
    }
    fn weights(&self) -> Vec<(u8, u32)> {
        let all = self.kernel.ipvs_state().real_servers(&self.service.key()).unwrap();
        all.iter().map(|s| (s.addr.ip().to_string().rsplit('.').next().unwrap().parse().unwrap(), s.weight)).collect()
    }
    fn shares(&self, flow: Flow) -> BTreeMap<SocketAddr, f64> {
        self.kernel.shares(Time::ZERO, flow, Entry::Pod).iter().map(|s| (s.dst, s.probability)).collect()
    }
}

fn counts(met: &[u8]) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    met.iter().for_each(|n| *counts.entry(*n).or_default() += 1);
    counts
}

/// ipvsadm(8): "rr - Robin Robin: distributes jobs equally amongst the available real servers."
#[test]
fn rr_takes_one_after_the_other() {
    let mut node = Node::new(Service::new(Scheduler::RoundRobin, &[1, 1, 1]));
    assert_eq!(node.several(7), [1, 2, 3, 1, 2, 3, 1]);
    node.change(Time::ZERO, |s| s.weights.push((9, 1)));
    assert_eq!(node.several(4), [2, 3, 9, 1], "one more takes its turn");
    node.change(Time::ZERO, |s| s.weights[1].1 = 0);
    assert_eq!(node.several(3), [3, 9, 1], "weight 0 gets no new connections");
}

/// ipvsadm(8): "wrr - Weighted Round Robin: assigns jobs to real servers proportionally to there real servers'
/// weight." The sequence is the example of linuxvirtualserver.org for weights 4, 3, 2: AABABCABC.
#[test]
fn wrr_takes_one_after_the_other_by_weight() {
    let mut node = Node::new(Service::new(Scheduler::WeightedRoundRobin, &[4, 3, 2]));
    let period = [1, 1, 2, 1, 2, 3, 1, 2, 3];
    assert_eq!(node.several(18), [period, period].concat());
    let flow = node.flow("10.244.1.200", 1);
    let shares = node.shares(flow);
    for (n, weight) in [(1, 4.0), (2, 3.0), (3, 2.0)] {
        assert!((shares[&server(n)] - weight / 9.0).abs() < 1e-12);
    }
}

/// ipvsadm(8): "lc - Least-Connection: assigns more jobs to real servers with fewer active jobs."
#[test]
fn lc_takes_who_has_the_fewest_connections() {
    let mut node = Node::new(Service::new(Scheduler::LeastConnection, &[1, 1, 1]));
    assert_eq!(counts(&node.several(30)).into_values().collect::<Vec<_>>(), [10, 10, 10]);
    // Ending one connection of a server makes it the least.
    node.port = 20_002;
    node.close_last(Time::ZERO);
    node.port = 30_000;
    assert_eq!(node.load(2), Load { active: 9, inactive: 1 });
    assert_eq!(node.open(Time::ZERO), Some(2));
}

/// ipvsadm(8): "wlc - Weighted Least-Connection: assigns more jobs to servers with fewer jobs and relative to the real
/// servers' weight (Ci/Wi)."
#[test]
fn wlc_fills_by_weight() {
    let mut node = Node::new(Service::new(Scheduler::WeightedLeastConnection, &[1, 2, 5]));
    assert_eq!(counts(&node.several(80)), [(1, 10), (2, 20), (3, 50)].into());
}

/// ipvsadm(8): "sed - Shortest Expected Delay: assigns an incoming job to the server with the shortest expected delay.
/// The expected delay that the job will experience is (Ci + 1) / Ui". "nq - Never Queue: assigns an incoming job to an
/// idle server if there is, instead of waiting for a fast one; if all the servers are busy, it adopts the Shortest
/// Expected Delay policy".
#[test]
fn sed_takes_the_shortest_delay_and_nq_an_idle_server_first() {
    let mut sed = Node::new(Service::new(Scheduler::ShortestExpectedDelay, &[1, 3]));
    // 1/1 and 1/3, 1/1 and 2/3, then 1/1 and 3/3: the first of equals.
    assert_eq!(sed.several(4), [2, 2, 1, 2]);
    let mut nq = Node::new(Service::new(Scheduler::NeverQueue, &[1, 3]));
    assert_eq!(nq.several(4), [1, 2, 2, 2]);
}

/// ip_vs_sh.c: "select server by the hash key of source IP address ... if (n is dead) OR (n is overloaded) or
/// (n.weight <= 0) then return NULL".
#[test]
fn sh_goes_by_the_source_address() {
    let mut node = Node::new(Service::new(Scheduler::SourceHashing, &[1, 1, 1]));
    let mut met = BTreeMap::new();
    for client in 0..=255u8 {
        let ip = format!("10.244.3.{client}");
        let first = node.open_flow(Time::ZERO, node.flow(&ip, 1));
        let second = node.open_flow(Time::ZERO, node.flow(&ip, 2));
        assert_eq!(first, second, "the port does not count");
        *met.entry(first.unwrap()).or_insert(0) += 1;
        let flow = node.flow(&ip, 3);
        assert_eq!(node.shares(flow), [(server(first.unwrap()), 1.0)].into());
    }
    assert!(met.len() == 3 && met.values().all(|n| (60..110).contains(n)), "{met:?}");
    // Clients of a server with weight 0 are refused, not sent elsewhere.
    node.change(Time::ZERO, |s| s.weights[0].1 = 0);
    let refused = (0..=255u8).filter(|c| node.open_flow(at(1), node.flow(&format!("10.244.4.{c}"), 1)).is_none());
    assert!((60..110).contains(&refused.count()));
}

/// ip_vs_dh.c: "select server by the hash key of destination IP address".
#[test]
fn dh_goes_by_the_destination_address() {
    let mut node = Node::new(Service::new(Scheduler::DestinationHashing, &[1, 1, 1]));
    assert_eq!(node.several(20).into_iter().collect::<BTreeSet<_>>().len(), 1);
}

/// ip_vs_lblc.c: "if (n is dead) or (n is overloaded, i.e. n.conns>n.weight, and there is a node m with
/// m.conns<m.weight/2) then n <- {weighted least-connection node}".
#[test]
fn lblc_keeps_the_server_of_a_destination_until_it_is_overloaded() {
    let mut node = Node::new(Service::new(Scheduler::LocalityBasedLeastConnection, &[4, 4]));
    let met = node.several(6);
    assert_eq!(met, [1, 1, 1, 1, 1, 2], "the sixth finds five, more than the weight, and another that is idle");
    assert_eq!(node.several(3), [2, 2, 2]);
}

/// ip_vs_lblcr.c: "n <- {the least-connection node in set}; if (n is null) OR (n is overloaded and a node m is half
/// loaded) then n <- least-connection node; add n to set".
#[test]
fn lblcr_adds_a_server_to_the_set_of_a_destination_when_it_is_overloaded() {
    let mut node = Node::new(Service::new(Scheduler::LocalityBasedLeastConnectionWithReplication, &[4, 4]));
    assert_eq!(node.several(9), [1, 1, 1, 1, 1, 2, 2, 2, 2], "then the least of both");
    assert_eq!(counts(&node.several(10)), [(1, 5), (2, 5)].into());
}

/// ip_vs_mh.c: consistent hashing by source address, and by port with `mh-port`; Eisenbud et al. (NSDI 16), section 3.4:
/// nearly equal parts, and little disruption when a server goes.
#[test]
fn mh_spreads_evenly_and_moves_few_when_a_server_goes() {
    let service = Service { source_hash: true, ..Service::new(Scheduler::MaglevHashing, &[1; 5]) };
    let mut node = Node::new(service.clone());
    let with = node.several(2000);
    assert!(counts(&with).values().all(|n| (320..480).contains(n)), "{:?}", counts(&with));
    let mut fewer = Node::new(Service { weights: service.weights[..4].to_vec(), ..service.clone() });
    let without = fewer.several(2000);
    let moved = with.iter().zip(&without).filter(|(a, b)| **a != 5 && a != b).count();
    assert!(moved < 200, "{moved} moved without need");
    let mut by_address = Node::new(Service { source_hash: false, ..service });
    assert_eq!(by_address.several(50).into_iter().collect::<BTreeSet<_>>().len(), 1, "without the port: one client");
}

/// ip_vs_core.c, `ip_vs_leave`: "Notify the client that the destination is unreachable ... ICMP_PORT_UNREACH is sent here
/// no matter it is TCP/UDP".
#[test]
fn without_a_real_server_clients_are_refused() {
    for scheduler in Scheduler::all() {
        let mut node = Node::new(Service::new(scheduler, &[]));
        assert_eq!(node.open(Time::ZERO), None, "{scheduler:?}");
        node.change(Time::ZERO, |s| s.weights = vec![(1, 0)]);
        assert_eq!(node.open(Time::ZERO), None, "{scheduler:?}");
        let flow = node.flow("10.244.1.200", 9);
        let shares = node.kernel.shares(Time::ZERO, flow, Entry::Pod);
        assert_eq!((shares.len(), shares[0].verdict), (1, Verdict::Reject));
        node.change(Time::ZERO, |s| s.weights = vec![(1, 1)]);
        assert_eq!(node.open(Time::ZERO), Some(1), "{scheduler:?}");
    }
}

/// ipvsadm(8): "-p: Specify that a virtual service is persistent. If this option is specified, multiple requests from a
/// client are redirected to the same real server selected for the first request."
#[test]
fn a_persistent_client_keeps_its_server_as_long_as_it_comes_in_time() {
    let service = Service { persistence: Some(100), ..Service::new(Scheduler::RoundRobin, &[1, 1, 1]) };
    let mut node = Node::new(service);
    assert_eq!(node.several(5), [1; 5]);
    let other = node.flow("10.244.1.201", 1);
    assert_eq!(node.open_flow(Time::ZERO, other), Some(2), "another client has another server");
    assert_eq!(node.shares(node.flow("10.244.1.200", 2)), [(server(1), 1.0)].into());
    assert_eq!(node.open(at(99)), Some(1));
    assert_eq!(node.open(at(198)), Some(1), "each new connection counts anew");
    // The last connections wait for their SYN-ACK until 258; the template is due at 298.
    assert_eq!(node.open(at(299)), Some(3), "and then it is forgotten");
}

/// ip_vs_conn.c, `ip_vs_conn_expire`: a template lives on for a minute at a time while connections hang on it.
#[test]
fn a_template_outlives_its_time_while_a_connection_is_open() {
    let service = Service { persistence: Some(10), ..Service::new(Scheduler::RoundRobin, &[1, 1]) };
    let mut node = Node::new(service);
    assert_eq!(node.open(Time::ZERO), Some(1));
    let open = node.flow("10.244.1.200", node.port);
    assert!(node.kernel.replied(at(1), open).is_some());
    assert_eq!(node.open(at(300)), Some(1), "the first connection is still open");
    let key = node.service.key();
    assert_eq!(node.kernel.ipvs_state().template(at(300), open.src.ip(), &key), Some((server(1), at(310))));
}

/// Documentation/networking/ipvs-sysctl.rst, `expire_quiescent_template`: "a persistence template of a quiescent server
/// is expired", so that a client finds another when its server is at weight 0.
#[test]
fn a_template_of_a_server_with_weight_0_does_not_count() {
    let service = Service { persistence: Some(1000), ..Service::new(Scheduler::RoundRobin, &[1, 1]) };
    let mut node = Node::new(service);
    assert_eq!(node.open(Time::ZERO), Some(1));
    node.change(at(1), |s| s.weights.retain(|(n, _)| *n != 1));
    assert_eq!(node.weights(), [(1, 0), (2, 1)]);
    assert_eq!(node.open(at(1)), Some(2));
}

/// `ip_vs_proto_tcp.c`, `tcp_state_active_table`: active from SYN to FIN; UDP is never active.
#[test]
fn connections_are_counted_as_active_and_inactive() {
    let mut tcp = Node::new(Service::new(Scheduler::RoundRobin, &[1]));
    tcp.several(3);
    assert_eq!(tcp.load(1), Load { active: 3, inactive: 0 });
    tcp.close_last(Time::ZERO);
    assert_eq!(tcp.load(1), Load { active: 2, inactive: 1 });
    tcp.open(at(61));
    assert_eq!(tcp.load(1), Load { active: 1, inactive: 1 }, "SYNs that nobody answers are forgotten after a minute");
    tcp.open(at(121));
    assert_eq!(tcp.load(1), Load { active: 1, inactive: 0 }, "a closed one after two");
    let mut udp = Node::new(Service { proto: L4::Udp, ..Service::new(Scheduler::RoundRobin, &[1]) });
    udp.several(3);
    assert_eq!(udp.load(1), Load { active: 0, inactive: 3 });
}

/// kube-proxy, `graceful_termination.go`: a TCP real server that is to go has weight 0 until it has no connections, which
/// is looked at once a minute; UDP goes at once.
#[test]
fn a_tcp_server_drains_before_it_goes() {
    let mut node = Node::new(Service::new(Scheduler::RoundRobin, &[1, 1]));
    assert_eq!(node.several(2), [1, 2]);
    let (one, two) = (node.flow("10.244.1.200", 20_001), node.flow("10.244.1.200", 20_002));
    for flow in [one, two] {
        assert!(node.kernel.replied(at(1), flow).is_some());
    }
    node.change(at(10), |s| s.weights.retain(|(n, _)| *n != 1));
    assert_eq!(node.weights(), [(1, 0), (2, 1)]);
    assert_eq!(node.open(at(11)), Some(2));
    assert_eq!(node.kernel.established(at(200), one).unwrap().dst, server(1), "what is open goes on");
    node.kernel.close(at(205), one);
    node.change(at(300), |_| {});
    assert_eq!(node.weights(), [(1, 0), (2, 1)], "it waits for the closed connection to be forgotten, at 325");
    node.open(at(359));
    assert_eq!(node.weights(), [(1, 0), (2, 1)], "nobody has looked since");
    node.open(at(360));
    assert_eq!(node.weights(), [(2, 1)], "the check at each full minute");

    // One that nobody is connected to goes at once.
    let mut idle = Node::new(Service::new(Scheduler::RoundRobin, &[1, 1]));
    idle.change(at(10), |s| s.weights.retain(|(n, _)| *n != 1));
    assert_eq!(idle.weights(), [(2, 1)]);
    // One that is wanted again while it drains is there again, connections and all.
    let mut back = Node::new(Service::new(Scheduler::RoundRobin, &[1, 1]));
    back.several(2);
    let all = back.service.weights.clone();
    back.change(at(10), |s| s.weights.retain(|(n, _)| *n != 1));
    back.change(at(20), |s| s.weights = all);
    assert_eq!((back.weights(), back.load(1)), (vec![(1, 1), (2, 1)], Load { active: 1, inactive: 0 }));
}

/// Documentation/networking/ipvs-sysctl.rst, `expire_nodest_conn`: "the client connection is terminated ... after its
/// destination server is not available, so that the client may reconnect".
#[test]
fn a_udp_client_of_a_server_that_is_gone_loses_one_datagram() {
    let mut node = Node::new(Service { proto: L4::Udp, ..Service::new(Scheduler::RoundRobin, &[1, 1]) });
    let flow = node.flow("10.244.1.200", 1);
    assert_eq!(node.open_flow(Time::ZERO, flow), Some(1));
    assert_eq!(node.open_flow(at(1), flow), Some(1), "a known pair");
    node.change(at(2), |s| s.weights.retain(|(n, _)| *n != 1));
    assert_eq!(node.weights(), [(2, 1)]);
    let lost = node.kernel.open(at(3), flow, Entry::Pod, &mut |_| 0);
    assert_eq!(lost.verdict, Verdict::Drop);
    assert_eq!(node.open_flow(at(4), flow), Some(2));
}

/// ip_vs_proto_tcp.c: an established connection is forgotten after 15 minutes without a packet, long before conntrack
/// forgets it.
#[test]
fn an_idle_tcp_connection_is_forgotten_after_15_minutes() {
    let mut node = Node::new(Service::new(Scheduler::RoundRobin, &[1]));
    node.open(Time::ZERO);
    let flow = node.flow("10.244.1.200", node.port);
    assert!(node.kernel.replied(at(1), flow).is_some());
    assert!(node.kernel.established(at(900), flow).is_some());
    assert!(node.kernel.established(at(1801), flow).is_none());
}

/// Documentation/networking/ipvs-sysctl.rst, `conn_reuse_mode` 0: "a client that comes again from the same port is sent
/// to the same real server".
#[test]
fn a_client_that_comes_again_from_its_port_meets_the_same_server() {
    let mut node = Node::new(Service::new(Scheduler::RoundRobin, &[1, 1]));
    let flow = node.flow("10.244.1.200", 7);
    assert_eq!(node.open_flow(Time::ZERO, flow), Some(1));
    node.kernel.close(at(1), flow);
    assert_eq!(node.open_flow(at(2), flow), Some(1));
    assert_eq!(node.load(1), Load { active: 1, inactive: 0 });
}

#[test]
fn when_virtual_servers_go_their_connections_end_and_others_stay() {
    let mut node = Node::new(Service::new(Scheduler::RoundRobin, &[1]));
    node.open(Time::ZERO);
    let flow = node.flow("10.244.1.200", node.port);
    let past = Flow { dst: addr("10.244.2.5:80"), ..flow };
    assert_eq!(node.kernel.open(Time::ZERO, past, Entry::Pod, &mut |_| 0).verdict, Verdict::Forward);
    assert!(node.kernel.replied(at(1), flow).is_some() && node.kernel.replied(at(1), past).is_some());
    node.kernel.load(Arc::default());
    assert!(node.kernel.established(at(2), flow).is_none());
    assert!(node.kernel.established(at(2), past).is_some());
}
