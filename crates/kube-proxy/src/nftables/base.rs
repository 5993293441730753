//! Chains, sets, maps and rules that are there without any Service (`setupNFTables`).

use crate::node_port_addresses::NodePortAddresses;
use crate::{NodeContext, Settings};
use datapath::nft::{
    Base, BaseChain, Chain, ChainType, Element, Family, Holder, Key, KeyType, Map, Match, Rule, Set, SetRef, Statement,
    Verdict,
};
use datapath::{ChainRef, Cidr, CtStates, Hook, Net, OriginId};
use kube_api::IpFamily;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Places in [`Base::chains`], [`Base::sets`] and [`Base::maps`].
pub(crate) mod at {
    pub(crate) const FILTER_PREROUTING: u16 = 0;
    pub(crate) const FILTER_INPUT: u16 = 1;
    pub(crate) const FILTER_FORWARD: u16 = 2;
    pub(crate) const FILTER_OUTPUT: u16 = 3;
    pub(crate) const FILTER_OUTPUT_POST_DNAT: u16 = 4;
    pub(crate) const NAT_PREROUTING: u16 = 5;
    pub(crate) const NAT_OUTPUT: u16 = 6;
    pub(crate) const NAT_POSTROUTING: u16 = 7;
    pub(crate) const NODEPORT_ENDPOINTS_CHECK: u16 = 8;
    pub(crate) const SERVICE_ENDPOINTS_CHECK: u16 = 9;
    pub(crate) const FIREWALL_CHECK: u16 = 10;
    pub(crate) const SERVICES: u16 = 11;
    pub(crate) const MASQUERADING: u16 = 12;
    pub(crate) const CLUSTER_IPS_CHECK: u16 = 13;
    pub(crate) const MARK_FOR_MASQUERADE: u16 = 14;
    pub(crate) const REJECT: u16 = 15;

    pub(crate) const CLUSTER_IPS: u16 = 0;
    /// Only where not all addresses of the node serve node ports.
    pub(crate) const NODEPORT_IPS: u16 = 1;

    pub(crate) const NO_ENDPOINT_SERVICES: u16 = 0;
    pub(crate) const NO_ENDPOINT_NODEPORTS: u16 = 1;
    pub(crate) const FIREWALL_IPS: u16 = 2;
    pub(crate) const SERVICE_IPS: u16 = 3;
    pub(crate) const SERVICE_NODEPORTS: u16 = 4;
}

/// `DNATPriority`, `SNATPriority` of knftables: `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_NAT_SRC` of the kernel.
const DNAT_PRIORITY: i32 = -100;
const SNAT_PRIORITY: i32 = 100;

const V4_LOOPBACK: Option<Cidr> = Cidr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);

/// The family of the table.
pub const fn table_family(family: IpFamily) -> Family {
    match family {
        IpFamily::V4 => Family::Ip,
        IpFamily::V6 => Family::Ip6,
    }
}

/// The chains (`nftablesBaseChains`, `nftablesJumpChains`). Filter chains come before DNAT, so they see the
/// destination that the client meant.
fn chains() -> Vec<Chain> {
    let base = [
        ("filter-prerouting", Hook::Prerouting, ChainType::Filter, DNAT_PRIORITY - 10),
        ("filter-input", Hook::Input, ChainType::Filter, DNAT_PRIORITY - 10),
        ("filter-forward", Hook::Forward, ChainType::Filter, DNAT_PRIORITY - 10),
        ("filter-output", Hook::Output, ChainType::Filter, DNAT_PRIORITY - 10),
        ("filter-output-post-dnat", Hook::Output, ChainType::Filter, DNAT_PRIORITY + 10),
        ("nat-prerouting", Hook::Prerouting, ChainType::Nat, DNAT_PRIORITY),
        ("nat-output", Hook::Output, ChainType::Nat, DNAT_PRIORITY),
        ("nat-postrouting", Hook::Postrouting, ChainType::Nat, SNAT_PRIORITY),
    ];
    let mut chains: Vec<Chain> = base
        .into_iter()
        .map(|(name, hook, kind, priority)| Chain {
            name: name.into(),
            base: Some(BaseChain { hook, priority, kind }),
            comment: None,
        })
        .collect();
    let plain = [
        "nodeport-endpoints-check",
        "service-endpoints-check",
        "firewall-check",
        "services",
        "masquerading",
        "cluster-ips-check",
        "mark-for-masquerade",
    ];
    chains.extend(plain.map(|name| Chain { name: name.into(), base: None, comment: None }));
    let comment = "helper for @no-endpoint-services / @no-endpoint-nodeports";
    chains.push(Chain { name: "reject-chain".into(), base: None, comment: Some(comment.into()) });
    chains
}

fn maps() -> Vec<Map> {
    let map = |name: &str, key, comment: &str| Map { name: name.into(), key, comment: Some(comment.into()) };
    vec![
        map("no-endpoint-services", KeyType::Service, "vmap to drop or reject packets to services with no endpoints"),
        map(
            "no-endpoint-nodeports",
            KeyType::Port,
            "vmap to drop or reject packets to service nodeports with no endpoints",
        ),
        map("firewall-ips", KeyType::Service, "destinations that are subject to LoadBalancerSourceRanges"),
        map("service-ips", KeyType::Service, "ClusterIP, ExternalIP and LoadBalancer IP traffic"),
        map("service-nodeports", KeyType::Port, "NodePort traffic"),
    ]
}

fn rule(chain: u16, matches: impl Into<Box<[Match]>>, statement: Statement) -> Rule {
    let chain = ChainRef::Shared(chain);
    Rule { chain, matches: matches.into(), statement, comment: None, origin: OriginId::NONE }
}

fn jump(from: u16, matches: impl Into<Box<[Match]>>, to: u16) -> Rule {
    rule(from, matches, Statement::Verdict(Verdict::Jump(ChainRef::Shared(to))))
}

/// The jumps from base chains (`nftablesJumpChains`). `reject` is only valid in input, forward and output.
fn jumps() -> Vec<Rule> {
    let new = || [Match::CtState(CtStates::NEW)];
    vec![
        jump(at::FILTER_INPUT, new(), at::NODEPORT_ENDPOINTS_CHECK),
        jump(at::FILTER_INPUT, new(), at::SERVICE_ENDPOINTS_CHECK),
        jump(at::FILTER_FORWARD, new(), at::SERVICE_ENDPOINTS_CHECK),
        jump(at::FILTER_OUTPUT, new(), at::SERVICE_ENDPOINTS_CHECK),
        jump(at::FILTER_PREROUTING, new(), at::FIREWALL_CHECK),
        jump(at::FILTER_OUTPUT, new(), at::FIREWALL_CHECK),
        jump(at::NAT_OUTPUT, [], at::SERVICES),
        jump(at::NAT_PREROUTING, [], at::SERVICES),
        jump(at::NAT_POSTROUTING, [], at::MASQUERADING),
        jump(at::FILTER_FORWARD, new(), at::CLUSTER_IPS_CHECK),
        jump(at::FILTER_OUTPUT_POST_DNAT, new(), at::CLUSTER_IPS_CHECK),
    ]
}

/// Everything that is there without any Service.
pub fn base(settings: &Settings, node: &NodeContext, family: IpFamily, node_ip: Option<IpAddr>) -> Base {
    let v4 = family == IpFamily::V4;
    // A node without an address of the family counts as being at the loopback address, which serves no node ports.
    let loopback = if v4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
    let addresses = NodePortAddresses::new(settings, family, Some(node_ip.unwrap_or(loopback)));
    let mark = settings.masquerade_mark();

    let set = |name: &str, comment: &str| Set { name: name.into(), timeout: None, comment: Some(comment.into()) };
    let mut sets = vec![set("cluster-ips", "Active ClusterIPs")];
    let mut elements = Vec::new();
    let not_localhost = match V4_LOOPBACK.filter(|_| v4) {
        Some(cidr) => Match::Destination { net: Net::Cidr(cidr), not: true },
        None => Match::Destination { net: Net::Host(loopback), not: true },
    };
    let (checked, served) = if addresses.match_all {
        (vec![not_localhost.clone()], vec![Match::DestinationLocal, not_localhost])
    } else {
        sets.push(set("nodeport-ips", "IPs that accept NodePort traffic"));
        for ip in addresses.node_ips(node).into_iter().filter(|ip| !ip.is_loopback() && ip.is_ipv4() == v4) {
            elements.push(Element {
                holder: Holder::Set(at::NODEPORT_IPS),
                key: Key::Address(ip),
                verdict: None,
                comment: None,
                origin: OriginId::NONE,
            });
        }
        let chosen = vec![Match::DestinationInSet(SetRef::Shared(at::NODEPORT_IPS))];
        (chosen.clone(), chosen)
    };

    let service_cidrs = settings.service_cidrs.iter().filter(|c| IpFamily::of(c.addr()) == family);
    let service_cidrs: Box<[Net]> = service_cidrs.map(|c| Net::Cidr(*c)).collect();
    let unallocated = (!service_cidrs.is_empty()).then(|| Rule {
        comment: Some("Drop traffic to unallocated ClusterIPs".into()),
        ..rule(at::CLUSTER_IPS_CHECK, [Match::DestinationIn(service_cidrs)], Statement::Verdict(Verdict::Drop))
    });

    let mut rules = jumps();
    rules.extend([
        rule(at::MARK_FOR_MASQUERADE, [], Statement::MarkOr(mark)),
        rule(at::MASQUERADING, [Match::MarkUnset(mark)], Statement::Verdict(Verdict::Return)),
        rule(at::MASQUERADING, [], Statement::MarkXor(mark)),
        rule(at::MASQUERADING, [], Statement::Masquerade { fully_random: true }),
        Rule {
            comment: Some("Reject traffic to invalid ports of ClusterIPs".into()),
            ..rule(at::CLUSTER_IPS_CHECK, [Match::DestinationInSet(SetRef::Shared(at::CLUSTER_IPS))], Statement::Reject)
        },
        rule(at::REJECT, [], Statement::Reject),
        rule(at::SERVICE_ENDPOINTS_CHECK, [], Statement::Lookup(at::NO_ENDPOINT_SERVICES)),
        rule(at::NODEPORT_ENDPOINTS_CHECK, checked, Statement::Lookup(at::NO_ENDPOINT_NODEPORTS)),
        rule(at::FIREWALL_CHECK, [], Statement::Lookup(at::FIREWALL_IPS)),
        rule(at::SERVICES, [], Statement::Lookup(at::SERVICE_IPS)),
        rule(at::SERVICES, served, Statement::Lookup(at::SERVICE_NODEPORTS)),
    ]);
    rules.extend(unallocated);
    Base {
        name: "kube-proxy".into(),
        comment: Some("rules for kube-proxy".into()),
        chains: chains(),
        sets,
        maps: maps(),
        rules,
        elements,
    }
}
