//! The iptables rules over the sets (`writeIptablesRules`, `createAndLinkKubeChain`).

use super::sets::{at as set, comment, sets};
use crate::Settings;
use datapath::ipvs::{self, Dimensions, SetInfo};
use datapath::{Base, ChainRef, Cidr, CtStates, Hook, L4, Match, Net, OriginId, RuleList, SharedChain, Table, Target};
use kube_api::IpFamily;
use lab_base::Span;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Places of the shared chains in [`Base::chains`].
pub(crate) mod at {
    pub(crate) const SERVICES: u16 = 0;
    pub(crate) const POSTROUTING: u16 = 1;
    pub(crate) const NAT_NODE_PORT: u16 = 2;
    pub(crate) const LOAD_BALANCER: u16 = 3;
    pub(crate) const MARK_MASQ: u16 = 4;
    pub(crate) const FORWARD: u16 = 5;
    pub(crate) const FILTER_NODE_PORT: u16 = 6;
    pub(crate) const PROXY_FIREWALL: u16 = 7;
    pub(crate) const SOURCE_RANGES_FIREWALL: u16 = 8;
    pub(crate) const IPVS_FILTER: u16 = 9;
    pub(crate) const IPVS_OUT_FILTER: u16 = 10;
    pub(crate) const HOOK_NAT_OUTPUT: u16 = 11;
    pub(crate) const HOOK_NAT_PREROUTING: u16 = 12;
    pub(crate) const HOOK_NAT_POSTROUTING: u16 = 13;
    pub(crate) const HOOK_INPUT: u16 = 14;
    pub(crate) const HOOK_FORWARD: u16 = 15;
    pub(crate) const HOOK_OUTPUT: u16 = 16;
}

/// `rsCheckDeleteInterval` of `graceful_termination.go`.
const DRAIN_CHECK: Span = Span::from_secs(60);

/// The sets, empty.
pub fn base(family: IpFamily) -> ipvs::Base {
    ipvs::Base { sets: sets(family), drain_check: DRAIN_CHECK }
}

/// `iptablesChains`, and the built-in chains.
fn chains() -> Vec<SharedChain> {
    use Table::{Filter, Nat};
    let printed = [
        (Nat, "KUBE-SERVICES"),
        (Nat, "KUBE-POSTROUTING"),
        (Nat, "KUBE-NODE-PORT"),
        (Nat, "KUBE-LOAD-BALANCER"),
        (Nat, "KUBE-MARK-MASQ"),
        (Filter, "KUBE-FORWARD"),
        (Filter, "KUBE-NODE-PORT"),
        (Filter, "KUBE-PROXY-FIREWALL"),
        (Filter, "KUBE-SOURCE-RANGES-FIREWALL"),
        (Filter, "KUBE-IPVS-FILTER"),
        (Filter, "KUBE-IPVS-OUT-FILTER"),
    ];
    let built_in = [
        (Nat, Hook::Output),
        (Nat, Hook::Prerouting),
        (Nat, Hook::Postrouting),
        (Filter, Hook::Input),
        (Filter, Hook::Forward),
        (Filter, Hook::Output),
    ];
    let named = |(table, name): (Table, &str)| SharedChain { table, name: name.into(), hook: None, printed: true };
    let hooked = |(table, hook): (Table, Hook)| SharedChain {
        table,
        name: hook.name().into(),
        hook: Some(hook),
        printed: false,
    };
    printed.into_iter().map(named).chain(built_in.into_iter().map(hooked)).collect()
}

/// Rules while they are written.
struct Writer {
    sets: Vec<SetInfo>,
    /// Which sets have entries: one bit each.
    filled: u32,
    list: RuleList,
}

const fn jump(chain: u16) -> Target {
    Target::Jump(ChainRef::Shared(chain))
}

impl Writer {
    fn rule(&mut self, chain: u16, matches: Vec<Match>, target: Target) {
        self.list.add(ChainRef::Shared(chain), &matches, target, OriginId::NONE);
    }
    fn comment(&mut self, text: &str) -> Match {
        Match::Comment(self.list.add_text(&[text]))
    }
    fn is_filled(&self, set: u16) -> bool {
        self.filled & 1 << set != 0
    }
    fn in_set(&mut self, set: u16, dimensions: Dimensions) -> Match {
        let name = self.list.add_text(&[self.sets.get(usize::from(set)).map_or("", |s| &s.name)]);
        Match::InSet { name, set, dimensions }
    }
}

/// A rule that is there as soon as its set has entries (`ipsetWithIptablesChain`).
fn over_set(w: &mut Writer, set: u16, chain: u16, target: Target, dimensions: Dimensions, proto: Option<L4>) {
    if w.is_filled(set) {
        let mut matches: Vec<Match> = proto.map(Match::ProtoOnly).into_iter().collect();
        matches.push(w.comment(comment(set)));
        matches.push(w.in_set(set, dimensions));
        w.rule(chain, matches, target);
    }
}

/// The jumps from built-in chains (`iptablesJumpChain`). Each is put in front of the others when kube-proxy starts, so
/// they stand in reverse.
fn jumps(w: &mut Writer) {
    let jumps = [
        (at::HOOK_NAT_OUTPUT, at::SERVICES, "kubernetes service portals"),
        (at::HOOK_NAT_PREROUTING, at::SERVICES, "kubernetes service portals"),
        (at::HOOK_NAT_POSTROUTING, at::POSTROUTING, "kubernetes postrouting rules"),
        (at::HOOK_FORWARD, at::FORWARD, "kubernetes forwarding rules"),
        (at::HOOK_INPUT, at::FILTER_NODE_PORT, "kubernetes health check rules"),
        (at::HOOK_INPUT, at::PROXY_FIREWALL, "kube-proxy firewall rules"),
        (at::HOOK_FORWARD, at::PROXY_FIREWALL, "kube-proxy firewall rules"),
        (at::HOOK_INPUT, at::IPVS_FILTER, "kubernetes ipvs access filter"),
        (at::HOOK_OUTPUT, at::IPVS_OUT_FILTER, "kubernetes ipvs access filter"),
    ];
    for (from, to, comment) in jumps.into_iter().rev() {
        let comment = w.comment(comment);
        w.rule(from, vec![comment], jump(to));
    }
}

/// Chains and rules, as far as they don't belong to one service port; `filled` says which sets have entries.
pub fn iptables_base(settings: &Settings, family: IpFamily, filled: u32) -> Base {
    use Dimensions::{Dst, DstDst, DstDstSrc, SrcDst};
    let v4 = family == IpFamily::V4;
    let mark = settings.masquerade_mark();
    let marked = |not| Match::Mark { value: mark, mask: mark, not };
    let w = &mut Writer { sets: sets(family), filled, list: RuleList::new() };

    jumps(w);
    let loopback =
        if v4 { (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8) } else { (IpAddr::V6(Ipv6Addr::LOCALHOST), 128) };
    let from_loopback = Cidr::new(loopback.0, loopback.1).map(|c| Match::Source { net: Net::Cidr(c), not: false });
    w.rule(at::SERVICES, from_loopback.into_iter().collect(), Target::Return);

    let masquerade = Target::Masquerade { random_fully: false };
    let mark_masq = jump(at::MARK_MASQ);
    over_set(w, set::LOOP_BACK, at::POSTROUTING, masquerade, DstDstSrc, None);
    over_set(w, set::LOAD_BALANCER, at::SERVICES, jump(at::LOAD_BALANCER), DstDst, None);
    over_set(w, set::LOAD_BALANCER_LOCAL, at::LOAD_BALANCER, Target::Return, DstDst, None);
    for (proto, local, all, dimensions) in [
        (L4::Tcp, set::NODE_PORT_LOCAL_TCP, set::NODE_PORT_TCP, Dst),
        (L4::Udp, set::NODE_PORT_LOCAL_UDP, set::NODE_PORT_UDP, Dst),
        (L4::Sctp, set::NODE_PORT_LOCAL_SCTP, set::NODE_PORT_SCTP, DstDst),
    ] {
        over_set(w, local, at::NAT_NODE_PORT, Target::Return, dimensions, Some(proto));
        over_set(w, all, at::NAT_NODE_PORT, mark_masq, dimensions, Some(proto));
    }
    let firewall = jump(at::SOURCE_RANGES_FIREWALL);
    over_set(w, set::LOAD_BALANCER_FW, at::PROXY_FIREWALL, firewall, DstDst, None);
    over_set(w, set::SOURCE_CIDR, at::SOURCE_RANGES_FIREWALL, Target::Return, DstDstSrc, None);
    over_set(w, set::SOURCE_IP, at::SOURCE_RANGES_FIREWALL, Target::Return, DstDstSrc, None);

    if w.is_filled(set::CLUSTER_IP) {
        let text = w.comment(comment(set::CLUSTER_IP));
        let matches = match settings.local_traffic(family) {
            _ if settings.masquerade_all => vec![text, w.in_set(set::CLUSTER_IP, DstDst)],
            Some(cidr) => {
                vec![text, w.in_set(set::CLUSTER_IP, DstDst), Match::Source { net: Net::Cidr(cidr), not: true }]
            }
            // A process of the node gets the cluster IP itself as source, since kube-ipvs0 has it.
            None => vec![text, w.in_set(set::CLUSTER_IP, SrcDst)],
        };
        w.rule(at::SERVICES, matches, mark_masq);
    }
    for external in [set::EXTERNAL_IP, set::EXTERNAL_IP_LOCAL] {
        if !w.is_filled(external) {
            continue;
        }
        let to = vec![w.comment(comment(external)), w.in_set(external, DstDst)];
        let and = |more: &[Match]| [&to[..], more].concat();
        if external == set::EXTERNAL_IP {
            w.rule(at::SERVICES, to.clone(), mark_masq);
        }
        w.rule(at::SERVICES, and(&[Match::NotFromBridge, Match::SourceNotLocal]), Target::Accept);
        w.rule(at::SERVICES, and(&[Match::DestinationLocal]), Target::Accept);
    }
    w.rule(at::SERVICES, vec![Match::DestinationLocal], jump(at::NAT_NODE_PORT));
    w.rule(at::LOAD_BALANCER, vec![], mark_masq);
    w.rule(at::SOURCE_RANGES_FIREWALL, vec![], Target::Drop);
    // Here stand the rules of the service ports, in KUBE-IPVS-OUT-FILTER.
    let head = core::mem::take(&mut w.list);

    for accepted in [set::CLUSTER_IP, set::LOAD_BALANCER] {
        if w.is_filled(accepted) {
            let matches = vec![w.in_set(accepted, DstDst)];
            w.rule(at::SERVICES, matches, Target::Accept);
        }
    }
    let forwarding = w.comment("kubernetes forwarding rules");
    w.rule(at::FORWARD, vec![forwarding, marked(false)], Target::Accept);
    let known = Match::CtState { states: CtStates::RELATED.or(CtStates::ESTABLISHED), not: false };
    let conntrack = w.comment("kubernetes forwarding conntrack rule");
    w.rule(at::FORWARD, vec![conntrack, known], Target::Accept);
    let health = vec![w.comment(comment(set::HEALTH_CHECK)), w.in_set(set::HEALTH_CHECK, Dst)];
    w.rule(at::FILTER_NODE_PORT, health, Target::Accept);
    for (served, dimensions) in [
        (set::LOAD_BALANCER, DstDst),
        (set::CLUSTER_IP, DstDst),
        (set::EXTERNAL_IP, DstDst),
        (set::EXTERNAL_IP_LOCAL, DstDst),
        (set::HEALTH_CHECK, Dst),
    ] {
        let matches = vec![w.in_set(served, dimensions)];
        w.rule(at::IPVS_FILTER, matches, Target::Return);
    }
    let new = Match::CtState { states: CtStates::NEW, not: false };
    let rest = vec![new, w.in_set(set::IPVS_IPS, Dst)];
    w.rule(at::IPVS_FILTER, rest, Target::Reject);
    w.rule(at::POSTROUTING, vec![marked(true)], Target::Return);
    w.rule(at::POSTROUTING, vec![], Target::MarkXor(mark));
    let requires = vec![w.comment("kubernetes service traffic requiring SNAT")];
    w.rule(at::POSTROUTING, requires, Target::Masquerade { random_fully: true });
    w.rule(at::MARK_MASQ, vec![], Target::MarkOr(mark));
    Base { chains: chains(), head, tail: core::mem::take(&mut w.list) }
}
