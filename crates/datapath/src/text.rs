//! Rules as the text that `iptables-restore` reads.

use crate::{Base, ChainRef, CtStates, L4, Match, Rule, Ruleset, Segment, Table, Target};
use std::fmt::Write;

fn chain_name<'a>(base: &'a Base, segment: Option<&'a Segment>, chain: ChainRef) -> &'a str {
    match chain {
        ChainRef::Shared(c) => base.chains.get(usize::from(c)).map_or("?", |c| &c.name),
        ChainRef::Own(c) => segment.and_then(|s| s.chains().get(usize::from(c))).map_or("?", |c| &c.name),
    }
}

fn table_of(base: &Base, segment: Option<&Segment>, chain: ChainRef) -> Option<Table> {
    match chain {
        ChainRef::Shared(c) => base.chains.get(usize::from(c)).map(|c| c.table),
        ChainRef::Own(c) => segment.and_then(|s| s.chains().get(usize::from(c))).map(|c| c.table),
    }
}

/// The match's text is written into a `String`, which cannot fail; hence the ignored results here and below.
pub(crate) fn write_match(out: &mut String, m: &Match) {
    let bang = |not: bool| if not { "! " } else { "" };
    let _ = match m {
        Match::Comment(text) if text.contains(' ') => write!(out, "-m comment --comment \"{text}\""),
        Match::Comment(text) => write!(out, "-m comment --comment {text}"),
        Match::Source { net, not } => write!(out, "{}-s {net}", bang(*not)),
        Match::Destination { net, not } => write!(out, "{}-d {net}", bang(*not)),
        Match::Proto(L4::Tcp) => write!(out, "-m tcp -p tcp"),
        Match::Proto(L4::Udp) => write!(out, "-m udp -p udp"),
        Match::Proto(L4::Sctp) => write!(out, "-m sctp -p sctp"),
        Match::ProtoOnly(proto) => write!(out, "-p {proto}"),
        Match::DestinationPort(port) => write!(out, "--dport {port}"),
        Match::CtState { states, not } => {
            write!(out, "-m conntrack {}--ctstate {}", bang(*not), ct_states(*states))
        }
        Match::Mark { value, mask, not } => write!(out, "-m mark {}--mark {value:#010x}/{mask:#010x}", bang(*not)),
        Match::Statistic(p) => write!(
            out,
            "-m statistic --mode random --probability {}.{:010}",
            p.0 / 10_000_000_000,
            p.0 % 10_000_000_000
        ),
        Match::RecentCheck { name, seconds, reap } => {
            write!(out, "-m recent --name {name} --rcheck --seconds {seconds}{}", if *reap { " --reap" } else { "" })
        }
        Match::RecentSet { name } => write!(out, "-m recent --name {name} --set"),
        Match::DestinationLocal => write!(out, "-m addrtype --dst-type LOCAL"),
        Match::SourceLocal => write!(out, "-m addrtype --src-type LOCAL"),
        Match::SourceNotLocal => write!(out, "-m addrtype ! --src-type LOCAL"),
        Match::InSet { name, dimensions, .. } => write!(out, "-m set --match-set {name} {}", dimensions.text()),
        Match::NotFromBridge => write!(out, "-m physdev ! --physdev-is-in"),
        Match::VirtualServer { proto, addr } => {
            write!(out, "-m ipvs --vaddr {} --vproto {proto} --vport {}", addr.ip(), addr.port())
        }
    };
}

fn ct_states(states: CtStates) -> String {
    let all = [
        (CtStates::INVALID, "INVALID"),
        (CtStates::NEW, "NEW"),
        (CtStates::RELATED, "RELATED"),
        (CtStates::ESTABLISHED, "ESTABLISHED"),
        (CtStates::DNAT, "DNAT"),
    ];
    let names: Vec<_> = all.iter().filter(|(s, _)| states.meets(*s)).map(|(_, name)| *name).collect();
    names.join(",")
}

pub(crate) fn target_text(base: &Base, segment: Option<&Segment>, target: &Target) -> String {
    match target {
        Target::None => String::new(),
        Target::Jump(chain) => chain_name(base, segment, *chain).to_owned(),
        Target::Return => "RETURN".into(),
        Target::Accept => "ACCEPT".into(),
        Target::Drop => "DROP".into(),
        Target::Reject => "REJECT".into(),
        Target::MarkXor(v) => format!("MARK --xor-mark {v:#010x}"),
        Target::MarkOr(v) => format!("MARK --or-mark {v:#010x}"),
        Target::Dnat(to) => format!("DNAT --to-destination {to}"),
        Target::Masquerade { random_fully: true } => "MASQUERADE --random-fully".into(),
        Target::Masquerade { random_fully: false } => "MASQUERADE".into(),
    }
}

fn write_rule(out: &mut String, base: &Base, segment: Option<&Segment>, chain: ChainRef, rule: &Rule) {
    out.push_str("-A ");
    out.push_str(chain_name(base, segment, chain));
    for m in &rule.matches {
        out.push(' ');
        write_match(out, m);
    }
    match rule.target {
        Target::None => {}
        // The commonest, without a string in between.
        Target::Jump(to) => {
            out.push_str(" -j ");
            out.push_str(chain_name(base, segment, to));
        }
        Target::Dnat(to) => {
            let _ = write!(out, " -j DNAT --to-destination {to}");
        }
        _ => {
            out.push_str(" -j ");
            out.push_str(&target_text(base, segment, &rule.target));
        }
    }
}

/// One rule as `-A CHAIN ... -j TARGET`. `segment` is the one that the rule is in, if it is in one.
pub fn rule_text(base: &Base, segment: Option<&Segment>, chain: ChainRef, rule: &Rule) -> String {
    let mut out = String::new();
    write_rule(&mut out, base, segment, chain, rule);
    out
}

/// The input of `iptables-restore --noflush` for these rules: filter, then nat.
pub fn iptables_restore(rules: &Ruleset) -> String {
    let mut out = String::new();
    iptables_restore_tables(&mut out, rules, &[Table::Filter, Table::Nat]);
    out
}

/// The same for these tables, in this order.
pub(crate) fn iptables_restore_tables(out: &mut String, rules: &Ruleset, tables: &[Table]) {
    let base = &**rules.base();
    for table in tables.iter().copied() {
        let _ = writeln!(out, "*{}", table.name());
        for chain in base.chains.iter().filter(|c| c.table == table && c.printed) {
            let _ = writeln!(out, ":{} - [0:0]", chain.name);
        }
        for (_, segment) in rules.segments() {
            for chain in segment.chains().iter().filter(|c| c.table == table) {
                let _ = writeln!(out, ":{} - [0:0]", chain.name);
            }
        }
        let shown = |chain: ChainRef| match chain {
            ChainRef::Shared(c) => base.chains.get(usize::from(c)).is_some_and(|c| c.table == table && c.printed),
            ChainRef::Own(_) => false,
        };
        for placed in base.head.iter().filter(|p| shown(p.chain)) {
            write_rule(out, base, None, placed.chain, &placed.rule);
            out.push('\n');
        }
        for (_, segment) in rules.segments() {
            for placed in segment.rules() {
                if table_of(base, Some(segment), placed.chain) == Some(table) {
                    write_rule(out, base, Some(segment), placed.chain, &placed.rule);
                    out.push('\n');
                }
            }
        }
        for placed in base.tail.iter().filter(|p| shown(p.chain)) {
            write_rule(out, base, None, placed.chain, &placed.rule);
            out.push('\n');
        }
        out.push_str("COMMIT\n");
    }
}
