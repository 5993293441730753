//! nftables: the walk with a trace is the walk without, and tables behave as `nft(8)` says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use datapath::nft::{
    self, Base, BaseChain, Chain, ChainType, Element, Family, Holder, Key, KeyType, Map, Match, Rule, Segment, Set,
    SetRef, Statement, nft_script,
};
use datapath::{ChainRef, CtStates, Entry, Flow, Hook, Kernel, KernelConfig, L4, Net, OriginId, Verdict};
use lab_base::{Span, Time};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const FILTER: u16 = 5;
const NAT: u16 = 6;
const MARK: u16 = 7;

fn shared(chain: u16) -> ChainRef {
    ChainRef::Shared(chain)
}

fn rule(chain: ChainRef, matches: impl Into<Box<[Match]>>, statement: Statement) -> Rule {
    Rule { chain, matches: matches.into(), statement, comment: None, origin: OriginId::NONE }
}

fn jump(to: ChainRef) -> Statement {
    Statement::Verdict(nft::Verdict::Jump(to))
}

fn goto(to: ChainRef) -> Statement {
    Statement::Verdict(nft::Verdict::Goto(to))
}

/// Base chains of each hook that jump to the shared chains, which look the packet up.
fn base(more: Vec<Rule>) -> Base {
    let hooked = |name: &str, hook, kind, priority| Chain {
        name: name.into(),
        base: Some(BaseChain { hook, priority, kind }),
        comment: None,
    };
    let plain = |name: &str| Chain { name: name.into(), base: None, comment: None };
    let chains = vec![
        hooked("nat-prerouting", Hook::Prerouting, ChainType::Nat, -100),
        hooked("nat-output", Hook::Output, ChainType::Nat, -100),
        hooked("nat-postrouting", Hook::Postrouting, ChainType::Nat, 100),
        hooked("filter-input", Hook::Input, ChainType::Filter, -110),
        hooked("filter-output", Hook::Output, ChainType::Filter, -110),
        plain("filter"),
        plain("nat"),
        plain("mark"),
    ];
    let mut rules = vec![
        rule(shared(0), [], jump(shared(NAT))),
        rule(shared(1), [], jump(shared(NAT))),
        rule(shared(2), [Match::MarkUnset(1)], Statement::Verdict(nft::Verdict::Return)),
        rule(shared(2), [], Statement::Masquerade { fully_random: true }),
        rule(shared(3), [Match::CtState(CtStates::NEW)], jump(shared(FILTER))),
        rule(shared(4), [Match::CtState(CtStates::NEW)], jump(shared(FILTER))),
        rule(shared(MARK), [], Statement::MarkOr(1)),
    ];
    rules.extend(more);
    rules.push(rule(shared(FILTER), [], Statement::Lookup(1)));
    rules.push(rule(shared(NAT), [], Statement::Lookup(0)));
    rules.push(rule(shared(NAT), [Match::DestinationLocal], Statement::Lookup(2)));
    let map = |name: &str, key| Map { name: name.into(), key, comment: None };
    Base {
        name: "t".into(),
        comment: None,
        chains,
        sets: vec![Set { name: "some".into(), timeout: None, comment: None }],
        maps: vec![map("services", KeyType::Service), map("refused", KeyType::Service), map("ports", KeyType::Port)],
        rules,
        elements: vec![],
    }
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

prop_compose! {
    fn address()(n in 0u8..5, port in 1u16..4) -> SocketAddr { SocketAddr::new(ip(n), port) }
}

fn proto() -> impl Strategy<Value = L4> {
    prop_oneof![Just(L4::Tcp), Just(L4::Udp), Just(L4::Sctp)]
}

fn one_match() -> impl Strategy<Value = Match> {
    prop_oneof![
        2 => proto().prop_map(Match::Proto),
        2 => (proto(), 1u16..4).prop_map(|(proto, port)| Match::DestinationPort(proto, port)),
        2 => (0u8..5, any::<bool>()).prop_map(|(n, not)| Match::Destination { net: Net::Host(ip(n)), not }),
        2 => (0u8..5, any::<bool>()).prop_map(|(n, not)| Match::Source { net: Net::Host(ip(n)), not }),
        1 => (0u8..5, 0u8..5).prop_map(|(a, b)| Match::SourceNotIn([ip(a).into(), ip(b).into()].into())),
        1 => Just(Match::DestinationInSet(SetRef::Shared(0))),
        1 => (0u8..5, 0u8..5).prop_map(|(a, b)| Match::DestinationIn([ip(a).into(), ip(b).into()].into())),
        2 => Just(Match::SourceInSet(SetRef::Own(0))),
        1 => Just(Match::SourceLocal),
        1 => Just(Match::CtState(CtStates::NEW)),
        1 => Just(Match::MarkUnset(1)),
    ]
}

/// Chain 0 leads to chains 1 and 2, so that rules cannot go in circles.
fn statement(chain: u16) -> BoxedStrategy<Statement> {
    let end = prop_oneof![
        4 => address().prop_map(Statement::Dnat),
        2 => Just(jump(shared(MARK))),
        2 => Just(Statement::Update(SetRef::Own(0))),
        1 => Just(Statement::Verdict(nft::Verdict::Return)),
        1 => Just(Statement::Verdict(nft::Verdict::Drop)),
        1 => Just(Statement::Reject),
        1 => Just(Statement::MarkXor(1)),
    ];
    if chain > 0 {
        return end.boxed();
    }
    prop_oneof![
        2 => end,
        1 => (1u16..3).prop_map(|c| jump(ChainRef::Own(c))),
        1 => (1u16..3).prop_map(|c| goto(ChainRef::Own(c))),
        2 => prop::collection::vec((1u16..3).prop_map(ChainRef::Own), 1..5).prop_map(|l| Statement::Numgen(l.into())),
    ]
    .boxed()
}

fn segment_rule() -> impl Strategy<Value = Rule> {
    (0u16..3).prop_flat_map(|c| (Just(c), prop::collection::vec(one_match(), 0..3), statement(c), 1u32..1000)).prop_map(
        |(c, matches, statement, origin)| Rule {
            origin: OriginId(origin),
            ..rule(ChainRef::Own(c), matches, statement)
        },
    )
}

fn element() -> impl Strategy<Value = Element> {
    let verdict = prop_oneof![
        4 => (0u16..3).prop_map(|c| nft::Verdict::Goto(ChainRef::Own(c))),
        1 => Just(nft::Verdict::Drop),
    ];
    (0u16..4, address(), proto(), verdict, 1u32..1000).prop_map(|(m, at, proto, verdict, origin)| {
        let (holder, key, verdict) = match m {
            3 => (Holder::Set(0), Key::Address(at.ip()), None),
            2 => (Holder::Map(2), Key::Port(proto, at.port()), Some(verdict)),
            m => (Holder::Map(m), Key::Service(at.ip(), proto, at.port()), Some(verdict)),
        };
        Element { holder, key, verdict, comment: None, origin: OriginId(origin) }
    })
}

fn segment(n: u8) -> impl Strategy<Value = Segment> {
    let parts = (prop::collection::vec(segment_rule(), 0..10), prop::collection::vec(element(), 0..10));
    parts.prop_map(move |(rules, elements)| {
        let chain = |c: char| Chain { name: format!("{c}{n}").into(), base: None, comment: None };
        let sets = vec![Set { name: format!("set{n}").into(), timeout: Some(5), comment: None }];
        Segment::new("abc".chars().map(chain).collect(), sets, rules, elements)
    })
}

/// Segments put in, replaced and taken away, in any order.
fn changes() -> impl Strategy<Value = Vec<(u8, Option<Segment>)>> {
    let one = (0u8..6).prop_flat_map(|n| (Just(n), prop::option::weighted(0.8, segment(n))));
    prop::collection::vec(one, 0..14)
}

fn key(n: u8) -> Arc<str> {
    format!("segment {n}").into()
}

prop_compose! {
    fn flow()(proto in proto(), src in 0u8..5, sport in 1000u16..1004, dst in address()) -> Flow {
        Flow { proto, src: SocketAddr::new(ip(src), sport), dst }
    }
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![Just(Entry::Pod), Just(Entry::Process), Just(Entry::Wire)]
}

fn kernel(table: nft::Table) -> Kernel {
    let mut kernel = Kernel::new(KernelConfig { addresses: vec![ip(0)], ..KernelConfig::default() });
    kernel.load_nft(Arc::new(table));
    kernel
}

fn dice(seed: u64) -> impl FnMut(u32) -> u32 {
    move |i| lab_base::Dice::new(seed).roll(lab_base::Source::Statistic, 0, u64::from(i)).u32()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fast_and_traced_walks_agree(
        changes in changes(),
        packets in prop::collection::vec((flow(), entry(), any::<u64>(), 0u64..4), 1..50),
    ) {
        let mut table = nft::Table::new(Family::Ip, Arc::new(base(vec![])));
        for (n, segment) in changes {
            table.set_segment(&key(n), segment.map(Arc::new));
        }
        prop_assert!(table.is_closed());
        let mut kernel = kernel(table);
        let mut now = Time::ZERO;
        for (flow, entry, seed, seconds) in packets {
            now += Span::from_secs(seconds);
            let fresh = kernel.conntrack().get(now, &flow).is_none();
            let before = kernel.clone();
            let (traced, steps) = kernel.trace(now, flow, entry, &mut dice(seed));
            let opened = kernel.open(now, flow, entry, &mut dice(seed));
            prop_assert_eq!(opened, traced);
            prop_assert_eq!(opened.rules_walked as usize, steps.len());
            let refused = matches!(opened.verdict, Verdict::Reject | Verdict::Drop);
            let decisive = steps.iter().filter(|s| s.decided).count();
            prop_assert!(decisive <= 1);
            if refused || (fresh && opened.nat.dst != flow.dst) {
                prop_assert_eq!(decisive, 1);
            }
            if fresh {
                let shares = before.shares(now, flow, entry);
                let total: f64 = shares.iter().map(|s| s.probability).sum();
                prop_assert!((total - 1.0).abs() < 1e-9, "shares add up to {}", total);
                prop_assert!(shares.iter().any(|s| {
                    (s.verdict, s.decided_by, s.dst) == (opened.verdict, opened.decided_by, opened.nat.dst)
                        && s.probability > 0.0
                }), "{:?}", opened);
            }
            if !refused {
                prop_assert_eq!(kernel.clone().established(now, flow), Some(opened.nat));
            }
        }
    }

    #[test]
    fn the_order_of_changes_leaves_no_trace(
        changes in changes(),
        packets in prop::collection::vec((flow(), entry(), any::<u64>()), 1..20),
    ) {
        let mut last = std::collections::BTreeMap::new();
        let mut stepwise = nft::Table::new(Family::Ip, Arc::new(base(vec![])));
        for (n, segment) in changes {
            last.insert(n, segment.clone());
            stepwise.set_segment(&key(n), segment.map(Arc::new));
        }
        let mut at_once = nft::Table::new(Family::Ip, Arc::new(base(vec![])));
        for (n, segment) in last.into_iter().rev() {
            at_once.set_segment(&key(n), segment.map(Arc::new));
        }
        prop_assert_eq!(nft_script(&stepwise), nft_script(&at_once));
        for n in 0..6 {
            let name = format!("set{n}");
            prop_assert_eq!(stepwise.has_dynamic_set(&name), at_once.has_dynamic_set(&name));
        }
        let (mut a, mut b) = (kernel(stepwise), kernel(at_once));
        for (flow, entry, seed) in packets {
            prop_assert_eq!(
                a.open(Time::ZERO, flow, entry, &mut dice(seed)),
                b.open(Time::ZERO, flow, entry, &mut dice(seed))
            );
        }
    }
}

fn to(port: u16) -> Flow {
    Flow { proto: L4::Tcp, src: SocketAddr::new(ip(9), 1000), dst: SocketAddr::new(ip(1), port) }
}

fn one_segment(rules: Vec<Rule>) -> nft::Table {
    let chain = |name: &str| Chain { name: name.into(), base: None, comment: None };
    let sets = vec![Set { name: "clients".into(), timeout: Some(10), comment: None }];
    let element = Element {
        holder: Holder::Map(0),
        key: Key::Service(ip(1), L4::Tcp, 80),
        verdict: Some(nft::Verdict::Goto(ChainRef::Own(0))),
        comment: None,
        origin: OriginId(7),
    };
    let mut table = nft::Table::new(Family::Ip, Arc::new(base(vec![])));
    let segment = Segment::new(vec![chain("first"), chain("second")], sets, rules, vec![element]);
    table.set_segment(&"s".into(), Some(Arc::new(segment)));
    table
}

/// `goto` does not come back to the chain that it stands in, `jump` does.
#[test]
fn goto_leaves_a_chain_for_good() {
    let (first, second) = (ChainRef::Own(0), ChainRef::Own(1));
    let dnat = || rule(first, [], Statement::Dnat(SocketAddr::new(ip(2), 8080)));
    let mark = rule(second, [], Statement::MarkOr(1));
    for (statement, reached) in [(jump(second), true), (goto(second), false)] {
        let kernel = kernel(one_segment(vec![rule(first, [], statement), dnat(), mark.clone()]));
        let shares = kernel.shares(Time::ZERO, to(80), Entry::Pod);
        assert_eq!((shares.len(), shares[0].dst == to(80).dst, shares[0].masquerade), (1, !reached, true));
    }
}

/// An element that a packet puts into a set stays for the set's time after the last packet, through a reload of
/// the same set.
#[test]
fn a_client_stays_in_a_set_for_its_time() {
    let (first, second) = (ChainRef::Own(0), ChainRef::Own(1));
    let rules = vec![
        rule(first, [Match::SourceInSet(SetRef::Own(0))], goto(second)),
        rule(first, [], Statement::Update(SetRef::Own(0))),
        rule(second, [], Statement::Update(SetRef::Own(0))),
        rule(second, [], Statement::Reject),
    ];
    let table = one_segment(rules);
    let mut kernel = kernel(table.clone());
    let mut at = |seconds: u64, port: u16| {
        let flow = Flow { src: SocketAddr::new(ip(9), port), ..to(80) };
        kernel.load_nft(Arc::new(table.clone()));
        kernel.open(Time::from_secs(seconds), flow, Entry::Pod, &mut |_| 0).verdict
    };
    let seen = [at(0, 1), at(9, 2), at(18, 3), at(28, 4), at(29, 5)];
    assert_eq!(seen, [Verdict::Forward, Verdict::Reject, Verdict::Reject, Verdict::Forward, Verdict::Reject]);
    kernel.load_nft(Arc::new(nft::Table::new(Family::Ip, Arc::new(base(vec![])))));
    assert!(kernel.sets().is_empty(), "the set is gone, and its elements with it");
}

/// Where two segments have an element of the same key, the later one counts, in the walk and in the text.
#[test]
fn the_later_of_two_elements_counts() {
    let mut table = nft::Table::new(Family::Ip, Arc::new(base(vec![])));
    for (name, last) in [("b", 3), ("a", 2)] {
        let chain = Chain { name: name.into(), base: None, comment: None };
        let dnat = rule(ChainRef::Own(0), [], Statement::Dnat(SocketAddr::new(ip(last), 8080)));
        let element = Element {
            holder: Holder::Map(0),
            key: Key::Service(ip(1), L4::Tcp, 80),
            verdict: Some(nft::Verdict::Goto(ChainRef::Own(0))),
            comment: None,
            origin: OriginId(1),
        };
        let segment = Segment::new(vec![chain], vec![], vec![dnat], vec![element]);
        table.set_segment(&name.into(), Some(Arc::new(segment)));
    }
    let text = nft_script(&table);
    let elements: Vec<&str> = text.lines().filter(|l| l.starts_with("add element")).collect();
    assert_eq!(elements, ["add element ip t services { 10.0.0.1 . tcp . 80 : goto b }"]);
    assert_eq!(kernel(table).shares(Time::ZERO, to(80), Entry::Wire)[0].dst, SocketAddr::new(ip(3), 8080));
}
