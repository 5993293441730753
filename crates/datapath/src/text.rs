//! Rules as the text that `iptables-restore` reads.

use crate::digits::{push_addr, push_ip, push_number};
use crate::{Base, ChainRef, CtStates, L4, Match, Net, Rule, RuleList, Ruleset, Segment, Table, Target};
use std::fmt::Write;
use std::net::SocketAddr;

fn chain_name<'a>(base: &'a Base, segment: Option<&'a Segment>, chain: ChainRef) -> &'a str {
    match chain {
        ChainRef::Shared(c) => base.chains.get(usize::from(c)).map_or("?", |c| &c.name),
        ChainRef::Own(c) => segment.and_then(|s| s.chain_name(c)).unwrap_or("?"),
    }
}

fn table_of(base: &Base, segment: Option<&Segment>, chain: ChainRef) -> Option<Table> {
    match chain {
        ChainRef::Shared(c) => base.chains.get(usize::from(c)).map(|c| c.table),
        ChainRef::Own(c) => segment.and_then(|s| s.chains().get(usize::from(c))).map(|c| c.table),
    }
}

/// Writing into a `String` cannot fail; hence the ignored results here and below.
pub(crate) fn write_match(out: &mut String, list: &RuleList, m: &Match) {
    let bang = |not: bool| if not { "! " } else { "" };
    let net_text = |out: &mut String, option: &str, net: &Net, not: bool| {
        out.push_str(bang(not));
        out.push_str(option);
        match net {
            Net::Host(ip) => push_ip(out, *ip),
            Net::Cidr(cidr) => {
                push_ip(out, cidr.addr());
                out.push('/');
                push_number(out, cidr.prefix_len().into());
            }
        }
    };
    // What every service port has is written without `core::fmt`.
    match m {
        Match::Comment(text) => {
            let text = list.text(*text);
            let quote = if text.contains(' ') { "\"" } else { "" };
            for part in ["-m comment --comment ", quote, text, quote] {
                out.push_str(part);
            }
        }
        Match::Source { net, not } => net_text(out, "-s ", net, *not),
        Match::Destination { net, not } => net_text(out, "-d ", net, *not),
        Match::Proto(L4::Tcp) => out.push_str("-m tcp -p tcp"),
        Match::Proto(L4::Udp) => out.push_str("-m udp -p udp"),
        Match::Proto(L4::Sctp) => out.push_str("-m sctp -p sctp"),
        Match::ProtoOnly(proto) => {
            out.push_str("-p ");
            out.push_str(proto.name());
        }
        Match::DestinationPort(port) => {
            out.push_str("--dport ");
            push_number(out, (*port).into());
        }
        Match::Statistic(p) => {
            out.push_str("-m statistic --mode random --probability ");
            let at = out.len();
            // One digit more in front gives the zeros behind the point.
            push_number(out, p.printed() + 10_000_000_000);
            let whole = if p.printed() < 10_000_000_000 { "0." } else { "1." };
            out.replace_range(at..=at, whole);
        }
        Match::CtState { states, not } => {
            let _ = write!(out, "-m conntrack {}--ctstate {}", bang(*not), ct_states(*states));
        }
        Match::Mark { value, mask, not } => {
            let _ = write!(out, "-m mark {}--mark {value:#010x}/{mask:#010x}", bang(*not));
        }
        Match::RecentCheck { name, seconds, reap } => {
            let (name, reap) = (list.text(*name), if *reap { " --reap" } else { "" });
            let _ = write!(out, "-m recent --name {name} --rcheck --seconds {seconds}{reap}");
        }
        Match::RecentSet { name } => {
            let _ = write!(out, "-m recent --name {} --set", list.text(*name));
        }
        Match::DestinationLocal => out.push_str("-m addrtype --dst-type LOCAL"),
        Match::SourceLocal => out.push_str("-m addrtype --src-type LOCAL"),
        Match::SourceNotLocal => out.push_str("-m addrtype ! --src-type LOCAL"),
        Match::InSet { name, dimensions, .. } => {
            let _ = write!(out, "-m set --match-set {} {}", list.text(*name), dimensions.text());
        }
        Match::NotFromBridge => out.push_str("-m physdev ! --physdev-is-in"),
        Match::VirtualServer { proto, ip, port } => {
            let _ = write!(out, "-m ipvs --vaddr {ip} --vproto {proto} --vport {port}");
        }
    }
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
        Target::Dnat { ip, port } => format!("DNAT --to-destination {}", SocketAddr::new(*ip, *port)),
        Target::Masquerade { random_fully: true } => "MASQUERADE --random-fully".into(),
        Target::Masquerade { random_fully: false } => "MASQUERADE".into(),
    }
}

fn write_rule(out: &mut String, base: &Base, segment: Option<&Segment>, list: &RuleList, rule: &Rule) {
    out.push_str("-A ");
    out.push_str(chain_name(base, segment, rule.chain));
    for m in list.matches(rule) {
        out.push(' ');
        write_match(out, list, m);
    }
    match rule.target {
        Target::None => {}
        // The commonest, without a string in between.
        Target::Jump(to) => {
            out.push_str(" -j ");
            out.push_str(chain_name(base, segment, to));
        }
        Target::Dnat { ip, port } => {
            out.push_str(" -j DNAT --to-destination ");
            push_addr(out, SocketAddr::new(ip, port));
        }
        _ => {
            out.push_str(" -j ");
            out.push_str(&target_text(base, segment, &rule.target));
        }
    }
}

/// One rule of a list as `-A CHAIN ... -j TARGET`. `segment` is the one that the rule is in, if it is in one.
pub fn rule_text(base: &Base, segment: Option<&Segment>, list: &RuleList, rule: &Rule) -> String {
    let mut out = String::new();
    write_rule(&mut out, base, segment, list, rule);
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
                out.push(':');
                out.push_str(segment.list().text(chain.name));
                out.push_str(" - [0:0]\n");
            }
        }
        let shown = |chain: ChainRef| match chain {
            ChainRef::Shared(c) => base.chains.get(usize::from(c)).is_some_and(|c| c.table == table && c.printed),
            ChainRef::Own(_) => false,
        };
        for rule in base.head.rules().iter().filter(|r| shown(r.chain)) {
            write_rule(out, base, None, &base.head, rule);
            out.push('\n');
        }
        for (_, segment) in rules.segments() {
            for rule in segment.written() {
                if table_of(base, Some(segment), rule.chain) == Some(table) {
                    write_rule(out, base, Some(segment), segment.list(), rule);
                    out.push('\n');
                }
            }
        }
        for rule in base.tail.rules().iter().filter(|r| shown(r.chain)) {
            write_rule(out, base, None, &base.tail, rule);
            out.push('\n');
        }
        out.push_str("COMMIT\n");
    }
}
