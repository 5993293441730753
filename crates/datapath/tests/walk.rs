//! The fast way through the rules is the way rule by rule.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use datapath::{
    Base, ChainRef, CtStates, Entry, Flow, Hook, Kernel, KernelConfig, L4, Match, Net, OriginId, OwnChain, Probability,
    RuleList, Ruleset, Segment, SharedChain, Table, Target, Text, Verdict,
};
use lab_base::Time;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const NAT_CHAIN: u16 = 5;
const FILTER_CHAIN: u16 = 6;
const MARK_CHAIN: u16 = 7;

/// A rule before it is in a list.
type Rule = (ChainRef, Vec<Match>, Target, OriginId);

/// The texts that rules have, and a list that begins with them.
fn texts() -> (RuleList, [Text; 6]) {
    let mut list = RuleList::new();
    let texts = ["some words", "L0", "L1", "L2", "A", "B"].map(|text| list.add_text(&[text]));
    (list, texts)
}

fn list_of(rules: Vec<Rule>) -> RuleList {
    let (mut list, _) = texts();
    for (chain, matches, target, origin) in rules {
        list.add(chain, &matches, target, origin);
    }
    list
}

fn base(head: Vec<Rule>, tail: Vec<Rule>) -> Base {
    let built_in =
        |table, hook: Hook| SharedChain { table, name: hook.name().into(), hook: Some(hook), printed: false };
    let named = |table, name: &str| SharedChain { table, name: name.into(), hook: None, printed: true };
    let chains = vec![
        built_in(Table::Nat, Hook::Prerouting),
        built_in(Table::Nat, Hook::Output),
        built_in(Table::Nat, Hook::Postrouting),
        built_in(Table::Filter, Hook::Input),
        built_in(Table::Filter, Hook::Forward),
        named(Table::Nat, "SERVICES"),
        named(Table::Filter, "REFUSE"),
        named(Table::Nat, "MARK"),
    ];
    let jump = |from, to| (ChainRef::Shared(from), vec![], Target::Jump(ChainRef::Shared(to)), OriginId(0));
    let mut all = vec![jump(0, NAT_CHAIN), jump(1, NAT_CHAIN), jump(3, FILTER_CHAIN), jump(4, FILTER_CHAIN)];
    let marked = Match::Mark { value: 1, mask: 1, not: false };
    all.push((ChainRef::Shared(2), vec![marked], Target::Masquerade { random_fully: true }, OriginId(0)));
    all.push((ChainRef::Shared(MARK_CHAIN), vec![], Target::MarkOr(1), OriginId(0)));
    all.extend(head);
    Base { chains, head: list_of(all), tail: list_of(tail) }
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
        3 => proto().prop_map(Match::Proto),
        3 => (1u16..4).prop_map(Match::DestinationPort),
        3 => (0u8..5, any::<bool>()).prop_map(|(n, not)| Match::Destination { net: Net::Host(ip(n)), not }),
        1 => (0u8..5, 28u8..33, any::<bool>())
            .prop_map(|(n, len, not)| Match::Destination { net: datapath::Cidr::new(ip(n), len).unwrap().into(), not }),
        1 => (0u8..5, any::<bool>()).prop_map(|(n, not)| Match::Source { net: Net::Host(ip(n)), not }),
        1 => Just(Match::Comment(texts().1[0])),
        1 => (1u32..5).prop_map(|n| Match::Statistic(Probability::one_of(n))),
        1 => any::<bool>().prop_map(|not| Match::Mark { value: 1, mask: 1, not }),
        1 => any::<bool>().prop_map(|not| Match::CtState { states: CtStates::NEW, not }),
        1 => Just(Match::DestinationLocal),
        1 => Just(Match::SourceLocal),
        1 => (0u8..3, 1u32..30)
            .prop_map(|(n, seconds)| Match::RecentCheck { name: texts().1[usize::from(n) + 1], seconds, reap: true }),
        1 => (0u8..3).prop_map(|n| Match::RecentSet { name: texts().1[usize::from(n) + 1] }),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        3 => address().prop_map(Target::dnat),
        2 => Just(Target::Jump(ChainRef::Shared(MARK_CHAIN))),
        // Chain 0 jumps to chain 1, so that rules cannot go in circles.
        3 => Just(Target::Jump(ChainRef::Own(1))),
        1 => Just(Target::Return),
        1 => Just(Target::Drop),
        1 => Just(Target::Reject),
        1 => Just(Target::Accept),
        1 => Just(Target::MarkXor(1)),
        1 => Just(Target::None),
    ]
}

fn rule(chain: impl Strategy<Value = ChainRef>) -> impl Strategy<Value = Rule> {
    (chain, prop::collection::vec(one_match(), 0..4), target(), 1u32..1000).prop_map(
        |(chain, matches, target, origin)| {
            let target = match (chain, target) {
                (ChainRef::Own(1), Target::Jump(ChainRef::Own(_))) => Target::Return,
                (_, target) => target,
            };
            (chain, matches, target, OriginId(origin))
        },
    )
}

fn segment() -> impl Strategy<Value = Segment> {
    let chain = prop_oneof![
        4 => Just(ChainRef::Shared(NAT_CHAIN)),
        2 => Just(ChainRef::Shared(FILTER_CHAIN)),
        2 => Just(ChainRef::Own(1)),
    ];
    prop::collection::vec(rule(chain), 0..8).prop_map(|rules| {
        let own = |name: usize| OwnChain { table: Table::Nat, name: texts().1[name] };
        Segment::new(vec![own(4), own(5)], list_of(rules))
    })
}

/// Segments put in, replaced and taken away, in any order.
fn changes() -> impl Strategy<Value = Vec<(u8, Option<Segment>)>> {
    prop::collection::vec((0u8..6, prop::option::weighted(0.8, segment())), 0..14)
}

fn key(n: u8) -> Arc<str> {
    format!("segment {n}").into()
}

fn plain(mut rule: Rule) -> Rule {
    if let Target::Jump(ChainRef::Own(_)) = rule.2 {
        rule.2 = Target::Return;
    }
    rule
}

fn shared_rules() -> impl Strategy<Value = Vec<Rule>> {
    let chain = prop_oneof![Just(ChainRef::Shared(NAT_CHAIN)), Just(ChainRef::Shared(FILTER_CHAIN))];
    prop::collection::vec(rule(chain).prop_map(plain), 0..3)
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![Just(Entry::Pod), Just(Entry::Process), Just(Entry::Wire)]
}

prop_compose! {
    fn flow()(proto in proto(), src in 0u8..5, sport in 1000u16..1004, dst in address()) -> Flow {
        Flow { proto, src: SocketAddr::new(ip(src), sport), dst }
    }
}

fn kernel(rules: Ruleset) -> Kernel {
    let mut kernel = Kernel::new(KernelConfig { addresses: vec![ip(0)], ..KernelConfig::default() });
    kernel.load(Arc::new(rules));
    kernel
}

fn dice(seed: u64) -> impl FnMut(u32) -> u32 {
    move |i| lab_base::Dice::new(seed).roll(lab_base::Source::Statistic, 0, u64::from(i)).u32()
}

/// What the shares say must come out of a draw with these bits.
fn possible(kernel: &Kernel, now: Time, flow: Flow, entry: Entry, opened: &datapath::Opened) -> bool {
    kernel.shares(now, flow, entry).iter().any(|s| {
        s.verdict == opened.verdict
            && s.decided_by == opened.decided_by
            && s.dst == opened.nat.dst
            && s.probability > 0.0
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fast_and_traced_walks_agree(
        changes in changes(),
        head in shared_rules(),
        tail in shared_rules(),
        packets in prop::collection::vec((flow(), entry(), any::<u64>(), 0u64..4), 1..50),
    ) {
        let mut rules = Ruleset::new(Arc::new(base(head, tail)));
        for (n, segment) in changes {
            rules.set_segment(&key(n), segment.map(Arc::new));
        }
        prop_assert!(rules.is_closed());
        let mut kernel = kernel(rules);
        let mut now = Time::ZERO;
        for (flow, entry, seed, seconds) in packets {
            now += lab_base::Span::from_secs(seconds);
            let fresh = kernel.conntrack().get(now, &flow).is_none();
            let before = kernel.clone();
            let (traced, steps) = kernel.trace(now, flow, entry, &mut dice(seed));
            let opened = kernel.open(now, flow, entry, &mut dice(seed));
            prop_assert_eq!(opened, traced);
            prop_assert_eq!(opened.rules_walked as usize, steps.len());
            if fresh {
                let total: f64 = before.shares(now, flow, entry).iter().map(|s| s.probability).sum();
                prop_assert!((total - 1.0).abs() < 1e-9, "shares add up to {}", total);
                prop_assert!(possible(&before, now, flow, entry, &opened), "{:?}", opened);
            }
            if matches!(opened.verdict, Verdict::Forward | Verdict::Local) {
                prop_assert_eq!(kernel.clone().established(now, flow), Some(opened.nat));
            }
        }
    }

    #[test]
    fn the_order_of_changes_leaves_no_trace(changes in changes(), packets in prop::collection::vec((flow(), entry(), any::<u64>()), 1..20)) {
        let mut last = std::collections::BTreeMap::new();
        let mut stepwise = Ruleset::new(Arc::new(base(vec![], vec![])));
        for (n, segment) in changes {
            last.insert(n, segment.clone());
            stepwise.set_segment(&key(n), segment.map(Arc::new));
        }
        let mut at_once = Ruleset::new(Arc::new(base(vec![], vec![])));
        for (n, segment) in last.into_iter().rev() {
            at_once.set_segment(&key(n), segment.map(Arc::new));
        }
        prop_assert_eq!(datapath::iptables_restore(&stepwise), datapath::iptables_restore(&at_once));
        for list in ["L0", "L1", "L2"] {
            prop_assert_eq!(stepwise.uses_recent(list), at_once.uses_recent(list));
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
