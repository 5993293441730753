//! The objects of one service port: the body of the loop in `syncProxyRules`.

use super::base::at;
use super::chains::{ChainKind, endpoint_name_base, service_name_base};
use crate::endpoints_change_tracker::EndpointInfo;
use crate::origin::{Field, Fields, Piece};
use crate::proxier::Context;
use crate::service_change_tracker::ServicePortInfo;
use crate::topology::{Categorized, Reach};
use datapath::nft::{Chain, Element, Holder, Key, Match, Rule, Segment, Set, SetRef, Statement, Verdict};
use datapath::{ChainRef, Cidr, L4, Net};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Objects and origins while they are written.
struct Writer<'a> {
    info: &'a ServicePortInfo,
    context: &'a Context<'a>,
    /// `ns/name:port`, the comment of elements that refuse.
    name: Arc<str>,
    /// What the names of the port's chains end in.
    name_base: String,
    l4: L4,
    chains: Vec<Chain>,
    sets: Vec<Set>,
    rules: Vec<Rule>,
    elements: Vec<Element>,
    fields: Fields,
}

/// The chains of an endpoint, and its set of clients.
#[derive(Clone, Copy)]
struct Own {
    chain: ChainRef,
    affinity: Option<SetRef>,
}

const MARK: Statement = Statement::Verdict(Verdict::Jump(ChainRef::Shared(at::MARK_FOR_MASQUERADE)));

fn source(cidr: Cidr, not: bool) -> Match {
    Match::Source { net: Net::Cidr(cidr), not }
}

fn goto(chain: ChainRef) -> Statement {
    Statement::Verdict(Verdict::Goto(chain))
}

impl Writer<'_> {
    fn declare(&mut self, name: Arc<str>) -> ChainRef {
        self.chains.push(Chain { name, base: None, comment: None });
        ChainRef::Own((self.chains.len() - 1) as u16)
    }
    fn declare_kind(&mut self, kind: ChainKind) -> ChainRef {
        self.declare(kind.name(&self.name_base))
    }
    fn write(&mut self, chain: ChainRef, from: From, matches: impl Into<Box<[Match]>>, statement: Statement) {
        let origin = self.fields.id(from.0, from.1);
        self.rules.push(Rule { chain, matches: matches.into(), statement, comment: None, origin });
    }
    fn commented(&mut self, comment: &str) {
        if let Some(rule) = self.rules.last_mut() {
            rule.comment = Some(comment.into());
        }
    }
    fn element(&mut self, map: u16, field: Field, key: Key, verdict: Verdict, comment: bool) {
        let comment = comment.then(|| self.name.clone());
        let origin = self.fields.id(field, None);
        self.elements.push(Element { holder: Holder::Map(map), key, verdict: Some(verdict), comment, origin });
    }
    /// The service's port at one of its addresses.
    fn key(&self, ip: IpAddr) -> Key {
        Key::Service(ip, self.l4, self.info.port)
    }
}

/// A field and an endpoint that ask for a rule.
type From = (Field, Option<SocketAddr>);

/// Writes the objects of a service port.
pub(crate) fn write_service_port(
    info: &Arc<ServicePortInfo>,
    endpoints: &Categorized,
    context: &Context<'_>,
) -> (Segment, Piece) {
    let l4 = info.name.l4();
    let mut w = Writer {
        info,
        context,
        name: info.name.to_string().into(),
        name_base: service_name_base(&info.name.service, l4, &info.name.port),
        l4,
        chains: Vec::new(),
        sets: Vec::new(),
        rules: Vec::new(),
        elements: Vec::new(),
        fields: Fields::new(context.first_origin),
    };
    write(&mut w, endpoints);
    (Segment::new(w.chains, w.sets, w.rules, w.elements), w.fields.into_piece(info))
}

fn write(w: &mut Writer<'_>, endpoints: &Categorized) {
    let info = w.info;
    let reach = Reach::of(info, endpoints);
    let cluster = reach.uses_cluster.then(|| w.declare_kind(ChainKind::Service));
    let local = reach.uses_local.then(|| w.declare_kind(ChainKind::ServiceLocal));
    let external = reach.uses_external.then(|| w.declare_kind(ChainKind::External));
    // Unlike in iptables mode the firewall is there without endpoints too.
    let uses_firewall = !info.load_balancer_vips.is_empty() && !info.source_ranges.is_empty();
    let firewall = uses_firewall.then(|| w.declare_kind(ChainKind::Firewall));
    let internal = if info.internal_policy_local { local } else { cluster }.filter(|_| reach.has_internal);

    capture(w, reach, internal, external, firewall);
    if let Some(chain) = firewall {
        write_firewall(w, chain);
    }
    if let Some(chain) = internal {
        masquerade_internal(w, chain);
    }
    if let Some(chain) = external {
        let policy = if info.external_policy_local { local } else { cluster }.filter(|_| reach.has_external);
        write_external(w, chain, cluster, policy);
    }
    let own: Vec<Own> = endpoints.all_reachable.iter().map(|e| declare_endpoint(w, e)).collect();
    let lists = [(cluster, &endpoints.cluster), (local, &endpoints.local)];
    for (chain, list) in lists.into_iter().filter_map(|(chain, list)| Some((chain?, list))) {
        write_service_to_endpoints(w, chain, list, endpoints, &own);
    }
    for (endpoint, own) in endpoints.all_reachable.iter().zip(own) {
        write_endpoint(w, endpoint, own);
    }
}

fn declare_endpoint(w: &mut Writer<'_>, endpoint: &EndpointInfo) -> Own {
    let name = &w.info.name;
    let base = endpoint_name_base(&name.service, w.l4, &name.port, endpoint.addr);
    let chain = w.declare(ChainKind::Endpoint.name(&base));
    let affinity = w.info.affinity_seconds.map(|seconds| {
        w.sets.push(Set { name: ChainKind::Affinity.name(&base), timeout: Some(seconds), comment: None });
        SetRef::Own((w.sets.len() - 1) as u16)
    });
    Own { chain, affinity }
}

/// Elements of the shared maps, which lead to the chains of this service port or refuse.
fn capture(
    w: &mut Writer<'_>,
    reach: Reach,
    internal: Option<ChainRef>,
    external: Option<ChainRef>,
    firewall: Option<ChainRef>,
) {
    let info = w.info;
    let (refusal, internal_field, external_field) = if reach.has_endpoints {
        (Verdict::Drop, Field::InternalTrafficPolicy, Field::ExternalTrafficPolicy)
    } else {
        (Verdict::Goto(ChainRef::Shared(at::REJECT)), Field::Selector, Field::Selector)
    };

    let origin = w.fields.id(Field::Port(info.index), None);
    let (holder, key) = (Holder::Set(at::CLUSTER_IPS), Key::Address(info.cluster_ip));
    w.elements.push(Element { holder, key, verdict: None, comment: None, origin });
    let key = w.key(info.cluster_ip);
    match internal {
        Some(chain) => w.element(at::SERVICE_IPS, Field::Port(info.index), key, Verdict::Goto(chain), false),
        None => w.element(at::NO_ENDPOINT_SERVICES, internal_field, key, refusal, true),
    }
    for (i, ip) in &info.external_ips {
        let key = w.key(*ip);
        if let Some(chain) = external {
            w.element(at::SERVICE_IPS, Field::ExternalIp(*i), key, Verdict::Goto(chain), false);
        }
        if !reach.has_external {
            w.element(at::NO_ENDPOINT_SERVICES, external_field, key, refusal, true);
        }
    }
    for (i, ip) in &info.load_balancer_vips {
        let key = w.key(*ip);
        if let Some(chain) = external {
            w.element(at::SERVICE_IPS, Field::Ingress(*i), key, Verdict::Goto(chain), false);
        }
        if let Some(chain) = firewall {
            w.element(at::FIREWALL_IPS, Field::Ingress(*i), key, Verdict::Goto(chain), true);
        }
    }
    if !reach.has_external {
        for (_, ip) in &info.load_balancer_vips {
            let key = w.key(*ip);
            w.element(at::NO_ENDPOINT_SERVICES, external_field, key, refusal, true);
        }
    }
    if info.node_port != 0 {
        let key = Key::Port(w.l4, info.node_port);
        if let Some(chain) = external {
            w.element(at::SERVICE_NODEPORTS, Field::NodePort(info.index), key, Verdict::Goto(chain), false);
        }
        if !reach.has_external {
            w.element(at::NO_ENDPOINT_NODEPORTS, external_field, key, refusal, true);
        }
    }
}

/// The chain that drops what no source range lets in.
fn write_firewall(w: &mut Writer<'_>, chain: ChainRef) {
    let info = w.info;
    let mut sources: Vec<Net> = info.source_ranges.iter().map(|(_, cidr)| Net::Cidr(*cidr)).collect();
    let from_node = w.context.node_ip.is_some_and(|ip| info.source_ranges.iter().any(|(_, c)| c.contains(ip)));
    if from_node {
        // A node that has the address itself sends to it with the address as source.
        sources.extend(info.load_balancer_vips.iter().map(|(_, ip)| Net::Host(*ip)));
    }
    let matches = [Match::SourceNotIn(sources.into())];
    w.write(chain, (Field::SourceRange(0), None), matches, Statement::Verdict(Verdict::Drop));
}

/// Traffic to the cluster IP from elsewhere than Pods comes back only if it gets this node's address.
fn masquerade_internal(w: &mut Writer<'_>, chain: ChainRef) {
    let info = w.info;
    let to = Match::Destination { net: Net::Host(info.cluster_ip), not: false };
    let mut matches = vec![to, Match::DestinationPort(w.l4, info.port)];
    match w.context.settings.local_traffic(w.context.family) {
        _ if w.context.settings.masquerade_all => {}
        Some(cidr) => matches.push(source(cidr, true)),
        None => return,
    }
    w.write(chain, (Field::Port(info.index), None), matches, MARK);
}

/// The chain of traffic to node ports, external IPs and load balancer addresses.
fn write_external(w: &mut Writer<'_>, chain: ChainRef, cluster: Option<ChainRef>, policy: Option<ChainRef>) {
    let from = (Field::ExternalTrafficPolicy, None);
    if !w.info.external_policy_local {
        w.write(chain, from, [], MARK);
    } else if let Some(cluster) = cluster {
        if let Some(cidr) = w.context.settings.local_traffic(w.context.family) {
            w.write(chain, from, [source(cidr, false)], goto(cluster));
            w.commented("short-circuit pod traffic");
        }
        w.write(chain, from, [Match::SourceLocal], MARK);
        w.commented("masquerade local traffic");
        w.write(chain, from, [Match::SourceLocal], goto(cluster));
        w.commented("short-circuit local traffic");
    }
    if let Some(policy) = policy {
        w.write(chain, from, [], goto(policy));
    }
}

/// `writeServiceToEndpointRules`: first the endpoint that a client had, then chance.
fn write_service_to_endpoints(
    w: &mut Writer<'_>,
    chain: ChainRef,
    list: &[EndpointInfo],
    endpoints: &Categorized,
    own: &[Own],
) {
    let mut to = Vec::with_capacity(list.len());
    for endpoint in list {
        let at = endpoints.all_reachable.binary_search_by_key(&endpoint.text, |e| e.text);
        to.extend(at.ok().and_then(|at| own.get(at)).map(|own| (endpoint, *own)));
    }
    for (endpoint, own) in &to {
        if let Some(set) = own.affinity {
            let from = (Field::SessionAffinity, Some(endpoint.addr));
            w.write(chain, from, [Match::SourceInSet(set)], goto(own.chain));
        }
    }
    let chains: Box<[ChainRef]> = to.iter().map(|(_, own)| own.chain).collect();
    w.write(chain, (Field::TargetPort(w.info.index), None), [], Statement::Numgen(chains));
}

/// The chain of an endpoint.
fn write_endpoint(w: &mut Writer<'_>, endpoint: &EndpointInfo, own: Own) {
    let from = (Field::TargetPort(w.info.index), Some(endpoint.addr));
    // A Pod that reaches itself through the Service must see another address than its own.
    let hairpin = Match::Source { net: Net::Host(endpoint.addr.ip()), not: false };
    w.write(own.chain, from, [hairpin], MARK);
    if let Some(set) = own.affinity {
        w.write(own.chain, from, [], Statement::Update(set));
    }
    w.write(own.chain, from, [Match::Proto(w.l4)], Statement::Dnat(endpoint.addr));
}
