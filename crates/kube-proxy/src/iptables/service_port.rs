//! The rules of one service port: the body of the loop in `syncProxyRules`.

use super::base::at;
use super::chains::{ChainKind, ENDPOINT_PREFIX, Hash, endpoint_hash, service_hash};
use crate::endpoints_change_tracker::EndpointInfo;
use crate::origin::{Field, Fields, Piece};
use crate::proxier::Context;
use crate::service_change_tracker::ServicePortInfo;
use crate::topology::{Categorized, Reach};
use datapath::{
    ChainRef, Cidr, L4, Match, Net, OriginId, OwnChain, Probability, RuleList, Segment, Table, Target, Text,
};
use std::net::IpAddr;
use std::sync::Arc;

/// Rules and origins while they are written.
struct Writer<'a> {
    info: &'a ServicePortInfo,
    context: &'a Context<'a>,
    name: String,
    /// The comment that is only the service port's name.
    plain: Match,
    l4: L4,
    /// The hash in the names of the service port's own chains.
    hash: Hash,
    chains: Vec<OwnChain>,
    list: RuleList,
    fields: Fields,
}

const fn shared(chain: u16) -> ChainRef {
    ChainRef::Shared(chain)
}

const MARK_MASQ: Target = Target::Jump(shared(at::MARK_MASQ));

fn host(ip: IpAddr) -> Match {
    Match::Destination { net: Net::Host(ip), not: false }
}

fn source(cidr: Cidr, not: bool) -> Match {
    Match::Source { net: Net::Cidr(cidr), not }
}

impl Writer<'_> {
    fn declare(&mut self, prefix: &str, hash: &Hash) -> (ChainRef, Text) {
        let name = self.list.add_text(&[prefix, hash.text()]);
        self.chains.push(OwnChain { table: Table::Nat, name });
        (ChainRef::Own((self.chains.len() - 1) as u16), name)
    }
    fn declare_kind(&mut self, kind: ChainKind) -> ChainRef {
        self.declare(kind.prefix(), &self.hash.clone()).0
    }
    fn write(&mut self, chain: ChainRef, field: Field, matches: &[Match], target: Target) {
        let origin = self.fields.id(field, None);
        self.list.add(chain, matches, target, origin);
    }
    /// `"ns/name:port` and these texts`"`.
    fn comment(&mut self, texts: [&str; 2]) -> Match {
        Match::Comment(self.list.add_text(&[&self.name, texts[0], texts[1]]))
    }
    fn proto(&self) -> Match {
        Match::Proto(self.l4)
    }
    /// A rule of packets to this address and the service's port.
    fn capture(&mut self, chain: u16, field: Field, comment: Match, ip: IpAddr, target: Target) {
        let matches = [comment, self.proto(), host(ip), Match::DestinationPort(self.info.port)];
        self.write(shared(chain), field, &matches, target);
    }
}

/// Writes the rules of a service port.
pub(crate) fn write_service_port(
    info: &Arc<ServicePortInfo>,
    endpoints: &Categorized,
    context: &Context<'_>,
) -> (Segment, Piece) {
    let l4 = info.name.l4();
    let name = info.name.to_string();
    let reached = endpoints.all_reachable.len();
    // Room for a ClusterIP's, so that the commonest Service's list doesn't grow while it is written.
    let room = (name.len() + " -> 255.255.255.255:65535".len() + "KUBE-SEP-0123456789ABCDEF".len()) * (reached + 3);
    let mut list = RuleList::with_capacity(3 * reached + 3, 7 * reached + 10, room);
    let mut w = Writer {
        info,
        context,
        plain: Match::Comment(list.add_text(&[&name])),
        hash: service_hash(&name, l4.name()),
        name,
        l4,
        chains: Vec::with_capacity(reached + 1),
        list,
        fields: Fields::new(context.first_origin),
    };
    write(&mut w, endpoints);
    (Segment::new(w.chains, w.list), w.fields.into_piece(info))
}

fn write(w: &mut Writer<'_>, endpoints: &Categorized) {
    let info = w.info;
    let reach = Reach::of(info, endpoints);
    let Reach { has_endpoints, has_internal, has_external, uses_cluster, uses_local, uses_external } = reach;

    // Upstream works with the names of chains whether they get rules or not; here they are declared first.
    let uses_firewall = has_endpoints && !info.load_balancer_vips.is_empty() && !info.source_ranges.is_empty();
    let external = uses_external.then(|| w.declare_kind(ChainKind::External));
    let firewall = uses_firewall.then(|| w.declare_kind(ChainKind::Firewall));
    let cluster = uses_cluster.then(|| w.declare_kind(ChainKind::Service));
    let local = uses_local.then(|| w.declare_kind(ChainKind::ServiceLocal));
    let internal = if info.internal_policy_local { local } else { cluster }.filter(|_| has_internal);

    capture(w, Captures { has_endpoints, has_internal, has_external, external, firewall, internal });
    if let Some(chain) = internal {
        masquerade_internal(w, chain);
    }
    if let Some(chain) = external {
        let policy = if info.external_policy_local { local } else { cluster }.filter(|_| has_external);
        write_external(w, chain, cluster, policy);
    }
    if let (Some(chain), Some(external)) = (firewall, external) {
        write_firewall(w, chain, external);
    }

    let mut own = Vec::with_capacity(endpoints.all_reachable.len());
    for endpoint in endpoints.all_reachable.iter() {
        let hash = endpoint_hash(&w.name, w.l4.name(), &endpoint.text);
        let (chain, name) = w.declare(ENDPOINT_PREFIX, &hash);
        own.push(Own { chain, name, origin: w.fields.add(Field::TargetPort(info.index), Some(endpoint.addr)) });
    }
    let lists = [(cluster, &endpoints.cluster), (local, &endpoints.local)];
    for (chain, list) in lists.into_iter().filter_map(|(chain, list)| Some((chain?, list))) {
        write_service_to_endpoints(w, chain, list, endpoints, &own);
    }
    for (endpoint, own) in endpoints.all_reachable.iter().zip(&own) {
        write_endpoint(w, endpoint, own);
    }
}

#[derive(Clone, Copy)]
struct Captures {
    has_endpoints: bool,
    has_internal: bool,
    has_external: bool,
    external: Option<ChainRef>,
    firewall: Option<ChainRef>,
    internal: Option<ChainRef>,
}

/// Rules in the shared chains, which lead to the chains of this service port or refuse.
fn capture(w: &mut Writer<'_>, c: Captures) {
    let info = w.info;
    let internal_field = if c.has_endpoints { Field::InternalTrafficPolicy } else { Field::Selector };
    let external_field = if c.has_endpoints { Field::ExternalTrafficPolicy } else { Field::Selector };
    let (refused, refusal) = match c.has_endpoints {
        true => (" has no local endpoints", Target::Drop),
        false => (" has no endpoints", Target::Reject),
    };

    match c.internal {
        Some(chain) => {
            let comment = w.comment([" cluster IP", ""]);
            w.capture(at::SERVICES, Field::Port(info.index), comment, info.cluster_ip, Target::Jump(chain));
        }
        None if !c.has_internal => {
            let refused = w.comment([refused, ""]);
            w.capture(at::FILTER_SERVICES, internal_field, refused, info.cluster_ip, refusal);
        }
        None => {}
    }
    for (i, ip) in &info.external_ips {
        if let Some(chain) = c.external {
            let comment = w.comment([" external IP", ""]);
            w.capture(at::SERVICES, Field::ExternalIp(*i), comment, *ip, Target::Jump(chain));
        }
        if !c.has_external {
            let refused = w.comment([refused, ""]);
            w.capture(at::EXTERNAL_SERVICES, external_field, refused, *ip, refusal);
        }
    }
    for (i, ip) in &info.load_balancer_vips {
        if let Some(chain) = c.firewall.or(c.external) {
            let comment = w.comment([" loadbalancer IP", ""]);
            w.capture(at::SERVICES, Field::Ingress(*i), comment, *ip, Target::Jump(chain));
        }
        if c.firewall.is_some() {
            let chain = [ChainKind::Firewall.prefix(), w.hash.text()].concat();
            let comment = w.comment([" traffic not accepted by ", &chain]);
            w.capture(at::PROXY_FIREWALL, Field::SourceRange(0), comment, *ip, Target::Drop);
        }
    }
    if !c.has_external {
        for (_, ip) in &info.load_balancer_vips {
            let refused = w.comment([refused, ""]);
            w.capture(at::EXTERNAL_SERVICES, external_field, refused, *ip, refusal);
        }
    }
    if info.node_port != 0 {
        let port = Match::DestinationPort(info.node_port);
        if let Some(chain) = c.external {
            let matches = [w.plain, w.proto(), port];
            w.write(shared(at::NODEPORTS), Field::NodePort(info.index), &matches, Target::Jump(chain));
        }
        if !c.has_external {
            let matches = [w.comment([refused, ""]), Match::DestinationLocal, w.proto(), port];
            w.write(shared(at::EXTERNAL_SERVICES), external_field, &matches, refusal);
        }
    }
    if info.health_check_node_port != 0 {
        let comment = w.comment([" health check node port", ""]);
        let matches = [comment, Match::Proto(L4::Tcp), Match::DestinationPort(info.health_check_node_port)];
        w.write(shared(at::FILTER_NODEPORTS), Field::HealthCheckNodePort, &matches, Target::Accept);
    }
}

/// Traffic to the cluster IP from elsewhere than Pods comes back only if it gets this node's address.
fn masquerade_internal(w: &mut Writer<'_>, chain: ChainRef) {
    let info = w.info;
    let detector = w.context.settings.local_traffic(w.context.family);
    let elsewhere = match detector {
        _ if w.context.settings.masquerade_all => None,
        Some(cidr) => Some(source(cidr, true)),
        None => return,
    };
    let comment = w.comment([" cluster IP", ""]);
    let to = [comment, w.proto(), host(info.cluster_ip), Match::DestinationPort(info.port)];
    let matches: Vec<Match> = to.into_iter().chain(elsewhere).collect();
    w.write(chain, Field::Port(info.index), &matches, MARK_MASQ);
}

/// The chain of traffic to node ports, external IPs and load balancer addresses.
fn write_external(w: &mut Writer<'_>, chain: ChainRef, cluster: Option<ChainRef>, policy: Option<ChainRef>) {
    let info = w.info;
    let field = Field::ExternalTrafficPolicy;
    let masked = |w: &mut Writer<'_>, what: &str| {
        Match::Comment(w.list.add_text(&[what, " traffic for ", &w.name, " external destinations"]))
    };
    if !info.external_policy_local {
        let matches = [masked(w, "masquerade")];
        w.write(chain, field, &matches, MARK_MASQ);
    } else if let Some(cluster) = cluster {
        // What comes from this node's own Pods and processes need not be told from what a cluster IP gets.
        if let Some(cidr) = w.context.settings.local_traffic(w.context.family) {
            let matches = [masked(w, "pod"), source(cidr, false)];
            w.write(chain, field, &matches, Target::Jump(cluster));
        }
        let matches = [masked(w, "masquerade LOCAL"), Match::SourceLocal];
        w.write(chain, field, &matches, MARK_MASQ);
        let matches = [masked(w, "route LOCAL"), Match::SourceLocal];
        w.write(chain, field, &matches, Target::Jump(cluster));
    }
    if let Some(policy) = policy {
        w.write(chain, field, &[], Target::Jump(policy));
    }
}

/// The chain that lets source ranges in; the rest is dropped in the filter table.
fn write_firewall(w: &mut Writer<'_>, chain: ChainRef, external: ChainRef) {
    let info = w.info;
    let comment = w.comment([" loadbalancer IP", ""]);
    let mut from_node = false;
    for (i, cidr) in &info.source_ranges {
        w.write(chain, Field::SourceRange(*i), &[comment, source(*cidr, false)], Target::Jump(external));
        from_node |= w.context.node_ip.is_some_and(|ip| cidr.contains(ip));
    }
    if from_node {
        // A node that has the address itself sends to it with the address as source.
        for (i, ip) in &info.load_balancer_vips {
            let matches = [comment, Match::Source { net: Net::Host(*ip), not: false }];
            w.write(chain, Field::Ingress(*i), &matches, Target::Jump(external));
        }
    }
    let rest = w.list.add_text(&["other traffic to ", &w.name, " will be dropped by KUBE-PROXY-FIREWALL"]);
    w.write(chain, Field::SourceRange(0), &[Match::Comment(rest)], Target::None);
}

/// What the rules of an endpoint share.
struct Own {
    chain: ChainRef,
    /// The chain's name, which is that of its `recent` list too.
    name: Text,
    origin: OriginId,
}

/// `writeServiceToEndpointRules`: first the endpoint that a client had, then chance.
fn write_service_to_endpoints(
    w: &mut Writer<'_>,
    chain: ChainRef,
    list: &[EndpointInfo],
    endpoints: &Categorized,
    own: &[Own],
) {
    // Most often they are the same.
    let same = list.len() == own.len();
    let own_of = |i: usize, endpoint: &EndpointInfo| match same {
        true => own.get(i),
        false => {
            let at = endpoints.all_reachable.binary_search_by_key(&endpoint.text, |e| e.text);
            at.ok().and_then(|at| own.get(at))
        }
    };
    let comment = |w: &mut Writer<'_>, endpoint: &EndpointInfo| {
        (!w.context.large_cluster).then(|| w.comment([" -> ", &endpoint.text]))
    };
    if let Some(seconds) = w.info.affinity_seconds {
        for (i, endpoint) in list.iter().enumerate() {
            let Some(own) = own_of(i, endpoint) else { continue };
            let recent = Match::RecentCheck { name: own.name, seconds, reap: true };
            let origin = w.fields.add(Field::SessionAffinity, Some(endpoint.addr));
            match comment(w, endpoint) {
                Some(comment) => w.list.add(chain, &[comment, recent], Target::Jump(own.chain), origin),
                None => w.list.add(chain, &[recent], Target::Jump(own.chain), origin),
            }
        }
    }
    for (i, endpoint) in list.iter().enumerate() {
        let Some(own) = own_of(i, endpoint) else { continue };
        let left = (list.len() - i) as u32;
        let (comment, chance) = (comment(w, endpoint), Match::Statistic(Probability::one_of(left)));
        let matches = match &comment {
            Some(comment) => &[*comment, chance][..],
            None => &[chance][..],
        };
        // The last one takes what is left.
        let count = matches.len() - usize::from(left == 1);
        w.list.add(chain, &matches[..count], Target::Jump(own.chain), own.origin);
    }
}

/// The chain of an endpoint.
fn write_endpoint(w: &mut Writer<'_>, endpoint: &EndpointInfo, own: &Own) {
    let (plain, proto) = (w.plain, w.proto());
    // In a large cluster without comments.
    let first = usize::from(w.context.large_cluster);
    // A Pod that reaches itself through the Service must see another address than its own.
    let hairpin = Match::Source { net: Net::Host(endpoint.addr.ip()), not: false };
    w.list.add(own.chain, &[plain, hairpin][first..], MARK_MASQ, own.origin);
    let target = Target::dnat(endpoint.addr);
    if w.info.affinity_seconds.is_some() {
        let recent = Match::RecentSet { name: own.name };
        w.list.add(own.chain, &[plain, recent, proto][first..], target, own.origin);
    } else {
        w.list.add(own.chain, &[plain, proto][first..], target, own.origin);
    }
}
