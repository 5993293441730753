//! The rules of one service port: the body of the loop in `syncProxyRules`.

use super::base::at;
use super::chains::{ChainKind, endpoint_chain_name, service_chain_name};
use crate::endpoints_change_tracker::EndpointInfo;
use crate::origin::{Field, Fields, Piece};
use crate::proxier::Context;
use crate::service_change_tracker::ServicePortInfo;
use crate::topology::{Categorized, Reach};
use datapath::{ChainRef, Cidr, L4, Match, Net, OriginId, OwnChain, Placed, Probability, Rule, Segment, Table, Target};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Rules and origins while they are written.
struct Writer<'a> {
    info: &'a ServicePortInfo,
    context: &'a Context<'a>,
    name: String,
    /// The comment that is only the service port's name.
    plain: Match,
    l4: L4,
    chains: Vec<OwnChain>,
    rules: Vec<Placed>,
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
    fn declare(&mut self, name: Arc<str>) -> ChainRef {
        self.chains.push(OwnChain { table: Table::Nat, name });
        ChainRef::Own((self.chains.len() - 1) as u16)
    }
    fn declare_kind(&mut self, kind: ChainKind) -> ChainRef {
        self.declare(service_chain_name(kind, &self.name, self.l4.name()))
    }
    fn origin(&mut self, field: Field, endpoint: Option<SocketAddr>) -> OriginId {
        self.fields.id(field, endpoint)
    }
    fn write(&mut self, chain: ChainRef, field: Field, matches: impl Into<Box<[Match]>>, target: Target) {
        let origin = self.origin(field, None);
        self.rules.push(Placed { chain, rule: Rule::new(matches, target, origin) });
    }
    /// `"ns/name:port` and this text`"`.
    fn comment(&self, text: &str) -> Match {
        Match::Comment(format!("{}{text}", self.name).into())
    }
    fn proto(&self) -> Match {
        Match::Proto(self.l4)
    }
    /// A rule of packets to this address and the service's port.
    fn capture(&mut self, chain: u16, field: Field, comment: &Match, ip: IpAddr, target: Target) {
        let matches = [comment.clone(), self.proto(), host(ip), Match::DestinationPort(self.info.port)];
        self.write(shared(chain), field, matches, target);
    }
}

/// Writes the rules of a service port.
pub(crate) fn write_service_port(
    info: &ServicePortInfo,
    endpoints: &Categorized,
    context: &Context<'_>,
) -> (Segment, Piece) {
    let l4 = info.name.l4();
    let name = info.name.to_string();
    let mut w = Writer {
        info,
        context,
        plain: Match::Comment(name.as_str().into()),
        name,
        l4,
        chains: Vec::new(),
        rules: Vec::new(),
        fields: Fields::new(context.first_origin),
    };
    write(&mut w, endpoints);
    (Segment::new(w.chains, w.rules), w.fields.into_piece(info))
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

    let own: Vec<ChainRef> =
        endpoints.all_reachable.iter().map(|e| w.declare(endpoint_chain_name(&w.name, w.l4.name(), &e.text))).collect();
    let lists = [(cluster, &endpoints.cluster), (local, &endpoints.local)];
    for (chain, list) in lists.into_iter().filter_map(|(chain, list)| Some((chain?, list))) {
        write_service_to_endpoints(w, chain, list, endpoints, &own);
    }
    for (endpoint, chain) in endpoints.all_reachable.iter().zip(own) {
        write_endpoint(w, endpoint, chain);
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
    let refuse = |w: &Writer<'_>| match c.has_endpoints {
        true => (w.comment(" has no local endpoints"), Target::Drop),
        false => (w.comment(" has no endpoints"), Target::Reject),
    };
    let internal_field = if c.has_endpoints { Field::InternalTrafficPolicy } else { Field::Selector };
    let external_field = if c.has_endpoints { Field::ExternalTrafficPolicy } else { Field::Selector };
    let (refused, refusal) = refuse(w);

    match c.internal {
        Some(chain) => {
            let comment = w.comment(" cluster IP");
            w.capture(at::SERVICES, Field::Port(info.index), &comment, info.cluster_ip, Target::Jump(chain));
        }
        None if !c.has_internal => {
            w.capture(at::FILTER_SERVICES, internal_field, &refused, info.cluster_ip, refusal);
        }
        None => {}
    }
    let comment = w.comment(" external IP");
    for (i, ip) in &info.external_ips {
        if let Some(chain) = c.external {
            w.capture(at::SERVICES, Field::ExternalIp(*i), &comment, *ip, Target::Jump(chain));
        }
        if !c.has_external {
            w.capture(at::EXTERNAL_SERVICES, external_field, &refused, *ip, refusal);
        }
    }
    let comment = w.comment(" loadbalancer IP");
    for (i, ip) in &info.load_balancer_vips {
        if let Some(chain) = c.firewall.or(c.external) {
            w.capture(at::SERVICES, Field::Ingress(*i), &comment, *ip, Target::Jump(chain));
        }
        if c.firewall.is_some() {
            let chain = service_chain_name(ChainKind::Firewall, &w.name, w.l4.name());
            let comment = w.comment(&format!(" traffic not accepted by {chain}"));
            w.capture(at::PROXY_FIREWALL, Field::SourceRange(0), &comment, *ip, Target::Drop);
        }
    }
    if !c.has_external {
        for (_, ip) in &info.load_balancer_vips {
            w.capture(at::EXTERNAL_SERVICES, external_field, &refused, *ip, refusal);
        }
    }
    if info.node_port != 0 {
        let port = Match::DestinationPort(info.node_port);
        if let Some(chain) = c.external {
            let matches = [w.plain.clone(), w.proto(), port.clone()];
            w.write(shared(at::NODEPORTS), Field::NodePort(info.index), matches, Target::Jump(chain));
        }
        if !c.has_external {
            let matches = [refused, Match::DestinationLocal, w.proto(), port];
            w.write(shared(at::EXTERNAL_SERVICES), external_field, matches, refusal);
        }
    }
    if info.health_check_node_port != 0 {
        let comment = w.comment(" health check node port");
        let matches = [comment, Match::Proto(L4::Tcp), Match::DestinationPort(info.health_check_node_port)];
        w.write(shared(at::FILTER_NODEPORTS), Field::HealthCheckNodePort, matches, Target::Accept);
    }
}

/// Traffic to the cluster IP from elsewhere than Pods comes back only if it gets this node's address.
fn masquerade_internal(w: &mut Writer<'_>, chain: ChainRef) {
    let info = w.info;
    let detector = w.context.settings.local_traffic(w.context.family);
    let to = [w.comment(" cluster IP"), w.proto(), host(info.cluster_ip), Match::DestinationPort(info.port)];
    let mut matches = to.to_vec();
    match detector {
        _ if w.context.settings.masquerade_all => {}
        Some(cidr) => matches.push(source(cidr, true)),
        None => return,
    }
    w.write(chain, Field::Port(info.index), matches, MARK_MASQ);
}

/// The chain of traffic to node ports, external IPs and load balancer addresses.
fn write_external(w: &mut Writer<'_>, chain: ChainRef, cluster: Option<ChainRef>, policy: Option<ChainRef>) {
    let info = w.info;
    let field = Field::ExternalTrafficPolicy;
    let masked = |w: &Writer<'_>, what: &str| {
        Match::Comment(format!("{what} traffic for {} external destinations", w.name).into())
    };
    if !info.external_policy_local {
        let matches = [masked(w, "masquerade")];
        w.write(chain, field, matches, MARK_MASQ);
    } else if let Some(cluster) = cluster {
        // What comes from this node's own Pods and processes need not be told from what a cluster IP gets.
        if let Some(cidr) = w.context.settings.local_traffic(w.context.family) {
            let matches = [masked(w, "pod"), source(cidr, false)];
            w.write(chain, field, matches, Target::Jump(cluster));
        }
        let matches = [masked(w, "masquerade LOCAL"), Match::SourceLocal];
        w.write(chain, field, matches, MARK_MASQ);
        let matches = [masked(w, "route LOCAL"), Match::SourceLocal];
        w.write(chain, field, matches, Target::Jump(cluster));
    }
    if let Some(policy) = policy {
        w.write(chain, field, [], Target::Jump(policy));
    }
}

/// The chain that lets source ranges in; the rest is dropped in the filter table.
fn write_firewall(w: &mut Writer<'_>, chain: ChainRef, external: ChainRef) {
    let info = w.info;
    let comment = w.comment(" loadbalancer IP");
    let mut from_node = false;
    for (i, cidr) in &info.source_ranges {
        w.write(chain, Field::SourceRange(*i), [comment.clone(), source(*cidr, false)], Target::Jump(external));
        from_node |= w.context.node_ip.is_some_and(|ip| cidr.contains(ip));
    }
    if from_node {
        // A node that has the address itself sends to it with the address as source.
        for (i, ip) in &info.load_balancer_vips {
            let matches = [comment.clone(), Match::Source { net: Net::Host(*ip), not: false }];
            w.write(chain, Field::Ingress(*i), matches, Target::Jump(external));
        }
    }
    let rest = format!("other traffic to {} will be dropped by KUBE-PROXY-FIREWALL", w.name);
    w.write(chain, Field::SourceRange(0), [Match::Comment(rest.into())], Target::None);
}

/// `writeServiceToEndpointRules`: first the endpoint that a client had, then chance.
fn write_service_to_endpoints(
    w: &mut Writer<'_>,
    chain: ChainRef,
    list: &[EndpointInfo],
    endpoints: &Categorized,
    own: &[ChainRef],
) {
    let mut to = Vec::with_capacity(list.len());
    for endpoint in list {
        let at = endpoints.all_reachable.binary_search_by(|e| e.text.cmp(&endpoint.text));
        to.extend(at.ok().and_then(|at| own.get(at)).map(|chain| (endpoint, *chain)));
    }
    let comment = |w: &Writer<'_>, endpoint: &EndpointInfo| {
        (!w.context.large_cluster).then(|| w.comment(&format!(" -> {}", endpoint.text)))
    };
    if let Some(seconds) = w.info.affinity_seconds {
        for (endpoint, own) in &to {
            let name = endpoint_chain_name(&w.name, w.l4.name(), &endpoint.text);
            let recent = Match::RecentCheck { name, seconds, reap: true };
            let matches: Vec<Match> = comment(w, endpoint).into_iter().chain([recent]).collect();
            let origin = w.origin(Field::SessionAffinity, Some(endpoint.addr));
            w.rules.push(Placed { chain, rule: Rule::new(matches, Target::Jump(*own), origin) });
        }
    }
    for (i, (endpoint, own)) in to.iter().enumerate() {
        let left = (to.len() - i) as u32;
        let chance = (left > 1).then(|| Match::Statistic(Probability::one_of(left)));
        let matches: Vec<Match> = comment(w, endpoint).into_iter().chain(chance).collect();
        let origin = w.origin(Field::TargetPort(w.info.index), Some(endpoint.addr));
        w.rules.push(Placed { chain, rule: Rule::new(matches, Target::Jump(*own), origin) });
    }
}

/// The chain of an endpoint.
fn write_endpoint(w: &mut Writer<'_>, endpoint: &EndpointInfo, chain: ChainRef) {
    let origin = w.origin(Field::TargetPort(w.info.index), Some(endpoint.addr));
    let comment = |w: &Writer<'_>| (!w.context.large_cluster).then(|| w.plain.clone());
    // A Pod that reaches itself through the Service must see another address than its own.
    let hairpin = Match::Source { net: Net::Host(endpoint.addr.ip()), not: false };
    let matches: Vec<Match> = comment(w).into_iter().chain([hairpin]).collect();
    w.rules.push(Placed { chain, rule: Rule::new(matches, MARK_MASQ, origin) });

    let mut matches: Vec<Match> = comment(w).into_iter().collect();
    if w.info.affinity_seconds.is_some() {
        matches.push(Match::RecentSet { name: endpoint_chain_name(&w.name, w.l4.name(), &endpoint.text) });
    }
    matches.push(w.proto());
    w.rules.push(Placed { chain, rule: Rule::new(matches, Target::Dnat(endpoint.addr), origin) });
}
