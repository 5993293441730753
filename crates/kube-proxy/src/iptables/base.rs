//! Chains and rules that are there without any Service.

use crate::node_port_addresses::NodePortAddresses;
use crate::{NodeContext, Settings};
use datapath::{Base, ChainRef, Cidr, CtStates, Hook, Match, Net, OriginId, RuleList, SharedChain, Table, Target};
use kube_api::IpFamily;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Places of the shared chains in [`Base::chains`]. The first ones are declared in this order.
pub(crate) mod at {
    pub(crate) const FILTER_SERVICES: u16 = 0;
    pub(crate) const EXTERNAL_SERVICES: u16 = 1;
    pub(crate) const FORWARD: u16 = 2;
    pub(crate) const FILTER_NODEPORTS: u16 = 3;
    pub(crate) const PROXY_FIREWALL: u16 = 4;
    pub(crate) const SERVICES: u16 = 5;
    pub(crate) const NODEPORTS: u16 = 6;
    pub(crate) const POSTROUTING: u16 = 7;
    pub(crate) const MARK_MASQ: u16 = 8;
    pub(crate) const HOOK_INPUT: u16 = 9;
    pub(crate) const HOOK_FORWARD: u16 = 10;
    pub(crate) const HOOK_OUTPUT: u16 = 11;
    pub(crate) const HOOK_NAT_PREROUTING: u16 = 12;
    pub(crate) const HOOK_NAT_OUTPUT: u16 = 13;
    pub(crate) const HOOK_NAT_POSTROUTING: u16 = 14;
    /// Only where node ports on 127.0.0.1 are on.
    pub(crate) const FIREWALL: u16 = 15;
}

const V4_LOOPBACK: Cidr = match Cidr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8) {
    Some(cidr) => cidr,
    None => unreachable!(),
};
const V6_LOOPBACK: Cidr = match Cidr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 128) {
    Some(cidr) => cidr,
    None => unreachable!(),
};

fn comment(list: &mut RuleList, text: &str) -> Match {
    Match::Comment(list.add_text(&[text]))
}

fn new_only() -> Match {
    Match::CtState { states: CtStates::NEW, not: false }
}

fn place(list: &mut RuleList, chain: u16, matches: &[Match], target: Target) {
    list.add(ChainRef::Shared(chain), matches, target, OriginId::NONE);
}

fn chains(localhost_node_ports: bool) -> Vec<SharedChain> {
    use Table::{Filter, Nat};
    let printed = [
        (Filter, "KUBE-SERVICES"),
        (Filter, "KUBE-EXTERNAL-SERVICES"),
        (Filter, "KUBE-FORWARD"),
        (Filter, "KUBE-NODEPORTS"),
        (Filter, "KUBE-PROXY-FIREWALL"),
        (Nat, "KUBE-SERVICES"),
        (Nat, "KUBE-NODEPORTS"),
        (Nat, "KUBE-POSTROUTING"),
        (Nat, "KUBE-MARK-MASQ"),
    ];
    let built_in = [
        (Filter, Hook::Input),
        (Filter, Hook::Forward),
        (Filter, Hook::Output),
        (Nat, Hook::Prerouting),
        (Nat, Hook::Output),
        (Nat, Hook::Postrouting),
    ];
    let named = |(table, name): (Table, &str)| SharedChain { table, name: name.into(), hook: None, printed: true };
    let mut chains: Vec<SharedChain> = printed.into_iter().map(named).collect();
    chains.extend(built_in.iter().map(|(table, hook)| SharedChain {
        table: *table,
        name: hook.name().into(),
        hook: Some(*hook),
        printed: false,
    }));
    if localhost_node_ports {
        chains.push(named((Filter, "KUBE-FIREWALL")));
    }
    chains
}

/// The jumps from built-in chains (`iptablesJumpChains`, `iptablesKubeletJumpChains`). Each is put in front of the
/// others when kube-proxy starts, so they stand in reverse.
fn jumps(list: &mut RuleList, localhost_node_ports: bool) {
    let mut comment = |text| comment(list, text);
    let health = &[comment("kubernetes health check service ports")][..];
    let forwarding = &[comment("kubernetes forwarding rules")][..];
    let postrouting = &[comment("kubernetes postrouting rules")][..];
    let first_portals = &[comment("kubernetes service portals")][..];
    let firewall = &[new_only(), comment("kubernetes load balancer firewall")][..];
    let portals = &[new_only(), comment("kubernetes service portals")][..];
    let external = &[new_only(), comment("kubernetes externally-visible service portals")][..];
    let mut jump = |from, matches, to| place(list, from, matches, Target::Jump(ChainRef::Shared(to)));
    if localhost_node_ports {
        jump(at::HOOK_INPUT, &[], at::FIREWALL);
        jump(at::HOOK_OUTPUT, &[], at::FIREWALL);
    }
    jump(at::HOOK_INPUT, firewall, at::PROXY_FIREWALL);
    jump(at::HOOK_INPUT, health, at::FILTER_NODEPORTS);
    jump(at::HOOK_INPUT, external, at::EXTERNAL_SERVICES);
    jump(at::HOOK_FORWARD, firewall, at::PROXY_FIREWALL);
    jump(at::HOOK_FORWARD, forwarding, at::FORWARD);
    jump(at::HOOK_FORWARD, portals, at::FILTER_SERVICES);
    jump(at::HOOK_FORWARD, external, at::EXTERNAL_SERVICES);
    jump(at::HOOK_OUTPUT, firewall, at::PROXY_FIREWALL);
    jump(at::HOOK_OUTPUT, portals, at::FILTER_SERVICES);
    jump(at::HOOK_NAT_PREROUTING, first_portals, at::SERVICES);
    jump(at::HOOK_NAT_OUTPUT, first_portals, at::SERVICES);
    jump(at::HOOK_NAT_POSTROUTING, postrouting, at::POSTROUTING);
}

/// Chains and rules that are there without any Service.
pub fn base(settings: &Settings, node: &NodeContext, family: IpFamily) -> Base {
    let v4 = family == IpFamily::V4;
    let addresses = NodePortAddresses::new(settings, family, None);
    let localhost_node_ports = v4 && settings.localhost_node_ports && addresses.contains_ipv4_loopback();
    let mark = settings.masquerade_mark();
    let marked = |not| Match::Mark { value: mark, mask: mark, not };

    let mut head = RuleList::new();
    jumps(&mut head, localhost_node_ports);
    if localhost_node_ports {
        // route_localnet would let neighbours reach services on 127.0.0.1 (CVE-2020-8558).
        let states = CtStates::RELATED.or(CtStates::ESTABLISHED).or(CtStates::DNAT);
        let matches = [
            comment(&mut head, "block incoming localnet connections"),
            Match::Destination { net: Net::Cidr(V4_LOOPBACK), not: false },
            Match::Source { net: Net::Cidr(V4_LOOPBACK), not: true },
            Match::CtState { states, not: true },
        ];
        place(&mut head, at::FIREWALL, &matches, Target::Drop);
    }
    place(&mut head, at::POSTROUTING, &[marked(true)], Target::Return);
    place(&mut head, at::POSTROUTING, &[], Target::MarkXor(mark));
    let requires = [comment(&mut head, "kubernetes service traffic requiring SNAT")];
    place(&mut head, at::POSTROUTING, &requires, Target::Masquerade { random_fully: true });
    place(&mut head, at::MARK_MASQ, &[], Target::MarkOr(mark));

    let mut tail = RuleList::new();
    if !settings.conntrack_tcp_be_liberal {
        let invalid = [Match::CtState { states: CtStates::INVALID, not: false }];
        place(&mut tail, at::FORWARD, &invalid, Target::Drop);
    }
    let forwarded = [comment(&mut tail, "kubernetes forwarding rules"), marked(false)];
    place(&mut tail, at::FORWARD, &forwarded, Target::Accept);
    let known = Match::CtState { states: CtStates::RELATED.or(CtStates::ESTABLISHED), not: false };
    let known = [comment(&mut tail, "kubernetes forwarding conntrack rule"), known];
    place(&mut tail, at::FORWARD, &known, Target::Accept);

    let nodeports = comment(&mut tail, "kubernetes service nodeports; NOTE: this must be the last rule in this chain");
    let to_nodeports = Target::Jump(ChainRef::Shared(at::NODEPORTS));
    if addresses.match_all {
        let mut matches = vec![nodeports, Match::DestinationLocal];
        if !v4 {
            matches.push(Match::Destination { net: Net::Cidr(V6_LOOPBACK), not: true });
        } else if !localhost_node_ports {
            matches.push(Match::Destination { net: Net::Cidr(V4_LOOPBACK), not: true });
        }
        place(&mut tail, at::SERVICES, &matches, to_nodeports);
    } else {
        let usable = |ip: &IpAddr| !ip.is_loopback() || localhost_node_ports;
        for ip in addresses.node_ips(node).into_iter().filter(usable) {
            let matches = [nodeports, Match::Destination { net: Net::Host(ip), not: false }];
            place(&mut tail, at::SERVICES, &matches, to_nodeports);
        }
    }
    Base { chains: chains(localhost_node_ports), head, tail }
}
