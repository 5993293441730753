//! Connections keep their endpoint, and are forgotten when it is time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use datapath::{
    Base, ChainRef, Entry, Flow, Hook, Kernel, KernelConfig, L4, Match, Net, OriginId, OwnChain, Probability, RuleList,
    Ruleset, Segment, SharedChain, Table, Target, Verdict,
};
use lab_base::{Span, Time};
use std::net::SocketAddr;
use std::sync::Arc;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A node 10.0.0.1 with one service 10.96.0.1:80 over these endpoints; everything is masqueraded if asked for.
fn kernel(endpoints: &[&str], masquerade: bool) -> Kernel {
    let built_in =
        |hook: Hook| SharedChain { table: Table::Nat, name: hook.name().into(), hook: Some(hook), printed: false };
    let mut head = RuleList::new();
    if masquerade {
        let target = Target::Masquerade { random_fully: true };
        head.add(ChainRef::Shared(2), &[], target, OriginId::NONE);
    }
    let chains = vec![built_in(Hook::Prerouting), built_in(Hook::Output), built_in(Hook::Postrouting)];
    let mut rules = Ruleset::new(Arc::new(Base { chains, head, tail: RuleList::new() }));
    rules.set_segment(&"web".into(), Some(Arc::new(service(endpoints))));
    let config = KernelConfig { addresses: vec!["10.0.0.1".parse().unwrap()], ..KernelConfig::default() };
    let mut kernel = Kernel::new(config);
    kernel.load(Arc::new(rules));
    kernel
}

fn service(endpoints: &[&str]) -> Segment {
    let to = [Match::Destination { net: Net::Host(addr("10.96.0.1:80").ip()), not: false }, Match::DestinationPort(80)];
    let own = ChainRef::Own(0);
    let mut list = RuleList::new();
    let name = list.add_text(&["SVC"]);
    list.add(ChainRef::Shared(0), &to, Target::Jump(own), OriginId(1));
    for (i, endpoint) in endpoints.iter().enumerate() {
        let chance = Match::Statistic(Probability::one_of((endpoints.len() - i) as u32));
        list.add(own, &[chance], Target::dnat(addr(endpoint)), OriginId(2 + i as u32));
    }
    Segment::new(vec![OwnChain { table: Table::Nat, name }], list)
}

fn flow(proto: L4, port: u16) -> Flow {
    Flow { proto, src: SocketAddr::new("10.244.1.9".parse().unwrap(), port), dst: addr("10.96.0.1:80") }
}

fn low(_: u32) -> u32 {
    0
}

fn high(_: u32) -> u32 {
    u32::MAX
}

#[test]
fn a_connection_keeps_its_endpoint_when_the_rules_change() {
    let mut kernel = kernel(&["10.244.1.2:8080", "10.244.1.3:8080"], false);
    let first = kernel.open(Time::ZERO, flow(L4::Tcp, 4000), Entry::Pod, &mut low);
    assert_eq!(
        (first.nat.dst, first.verdict, first.decided_by),
        (addr("10.244.1.2:8080"), Verdict::Forward, OriginId(2))
    );
    assert_eq!(kernel.open(Time::ZERO, flow(L4::Tcp, 4001), Entry::Pod, &mut high).nat.dst, addr("10.244.1.3:8080"));

    let mut rules = (**kernel.rules()).clone();
    rules.set_segment(&"web".into(), Some(Arc::new(service(&["10.244.1.3:8080"]))));
    kernel.load(Arc::new(rules));
    assert_eq!(kernel.established(Time::from_secs(1), flow(L4::Tcp, 4000)), Some(first.nat));
    assert_eq!(
        kernel.open(Time::from_secs(1), flow(L4::Tcp, 4002), Entry::Pod, &mut low).nat.dst,
        addr("10.244.1.3:8080")
    );
}

#[test]
fn entries_expire_as_in_the_kernel() {
    let secs = Time::from_secs;
    let mut k = kernel(&["10.244.1.2:8080"], false);
    for (proto, port) in [(L4::Tcp, 1), (L4::Tcp, 2), (L4::Tcp, 3), (L4::Udp, 4), (L4::Udp, 5)] {
        k.open(Time::ZERO, flow(proto, port), Entry::Pod, &mut low);
    }
    k.established(secs(10), flow(L4::Tcp, 2));
    k.established(secs(10), flow(L4::Tcp, 3));
    k.close(secs(20), flow(L4::Tcp, 3));
    k.replied(secs(10), flow(L4::Udp, 5));
    let live = |t: u64| -> Vec<u16> { k.conntrack().iter(secs(t)).map(|(f, _)| f.src.port()).collect() };
    assert_eq!(live(29), [1, 2, 3, 4, 5]);
    assert_eq!(live(30), [1, 2, 3, 5], "UDP without an answer: 30 s");
    assert_eq!(live(120), [2, 3, 5], "a SYN without an answer: 120 s");
    assert_eq!(live(130), [2, 3], "a UDP stream: 120 s");
    assert_eq!(live(140), [2], "TIME_WAIT: 120 s");
    assert_eq!(live(10 + 24 * 3600 - 1), [2]);
    assert!(live(10 + 24 * 3600).is_empty(), "established: 24 h");
}

#[test]
fn what_has_expired_is_dropped_with_the_next_change_and_looking_changes_nothing() {
    let mut k = kernel(&["10.244.1.2:8080"], false);
    for port in 1..=1000 {
        k.open(Time::from_secs(u64::from(port)), flow(L4::Udp, port), Entry::Pod, &mut low);
    }
    assert_eq!(k.conntrack().len(), 30);
    let mut looked = k.clone();
    for t in 0..1100 {
        looked.conntrack().get(Time::from_secs(t), &flow(L4::Udp, 990));
        looked.shares(Time::from_secs(t), flow(L4::Udp, 990), Entry::Pod);
    }
    for kernel in [&mut k, &mut looked] {
        kernel.established(Time::from_secs(1010), flow(L4::Udp, 990));
    }
    assert_eq!(format!("{:?}", k.conntrack()), format!("{:?}", looked.conntrack()));
}

#[test]
fn a_syn_after_time_wait_opens_a_new_connection() {
    let mut k = kernel(&["10.244.1.2:8080", "10.244.1.3:8080"], false);
    k.open(Time::ZERO, flow(L4::Tcp, 1), Entry::Pod, &mut low);
    k.close(Time::from_secs(1), flow(L4::Tcp, 1));
    let again = k.open(Time::from_secs(2), flow(L4::Tcp, 1), Entry::Pod, &mut high);
    assert_eq!(again.nat.dst, addr("10.244.1.3:8080"));
    assert_eq!(k.conntrack().len(), 1);
}

#[test]
fn masqueraded_connections_get_ports_of_their_own() {
    let mut k = kernel(&["10.244.1.2:8080"], true);
    let mut seen = std::collections::BTreeSet::new();
    for port in 2000..2300 {
        let opened = k.open(Time::ZERO, flow(L4::Tcp, port), Entry::Wire, &mut |_| 7);
        assert_eq!(opened.nat.src.ip().to_string(), "10.0.0.1");
        assert!(seen.insert(opened.nat.src.port()));
    }
}

#[test]
fn a_full_table_drops() {
    let mut k = Kernel::new(KernelConfig { conntrack_max: 2, ..KernelConfig::default() });
    let verdicts: Vec<_> =
        (1..=3).map(|p| k.open(Time::ZERO, flow(L4::Udp, p), Entry::Pod, &mut low).verdict).collect();
    assert_eq!(verdicts, [Verdict::Forward, Verdict::Forward, Verdict::Drop]);
    assert_eq!(k.open(Time::from_secs(30), flow(L4::Udp, 3), Entry::Pod, &mut low).verdict, Verdict::Forward);
}

#[test]
fn a_deleted_rule_is_missed_until_the_next_load() {
    let mut k = kernel(&["10.244.1.2:8080"], false);
    let whole = k.rules().clone();
    assert!(!k.remove_rule(Table::Nat, "PREROUTING", "SVX", 0));
    assert!(!k.remove_rule(Table::Nat, "PREROUTING", "SVC", 1));
    assert!(k.remove_rule(Table::Nat, "PREROUTING", "SVC", 0));
    let lost = k.open(Time::ZERO, flow(L4::Tcp, 1), Entry::Pod, &mut low);
    assert_eq!((lost.nat.dst, lost.decided_by), (addr("10.96.0.1:80"), OriginId::NONE));
    k.load(whole);
    assert_eq!(k.open(Time::ZERO, flow(L4::Tcp, 2), Entry::Pod, &mut low).nat.dst, addr("10.244.1.2:8080"));
}

#[test]
fn stale_udp_entries_can_be_deleted() {
    let mut k = kernel(&["10.244.1.2:8080"], false);
    k.open(Time::ZERO, flow(L4::Udp, 1), Entry::Pod, &mut low);
    k.open(Time::ZERO, flow(L4::Tcp, 1), Entry::Pod, &mut low);
    assert_eq!(k.delete_conntrack(Time::from_secs(1), |f, _| f.proto == L4::Udp), 1);
    assert!(k.established(Time::from_secs(1), flow(L4::Udp, 1)).is_none());
    assert!(k.established(Time::from_secs(1) + Span::ZERO, flow(L4::Tcp, 1)).is_some());
}

#[test]
fn the_same_connections_give_the_same_bytes() {
    let bytes = |ports: &mut dyn Iterator<Item = u16>| {
        let mut k = kernel(&["10.244.1.2:8080"], false);
        for port in ports {
            k.open(Time::ZERO, flow(L4::Tcp, port), Entry::Pod, &mut low);
        }
        postcard::to_allocvec(&k).unwrap()
    };
    assert_eq!(bytes(&mut (1..200)), bytes(&mut (1..200).rev()));
    assert_ne!(bytes(&mut (1..200)), bytes(&mut (1..201)));
}
