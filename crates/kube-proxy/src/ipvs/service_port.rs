//! What one service port asks for: the body of the loop in `syncProxyRules`.

use super::rules::at as chain;
use super::sets::at as set;
use crate::endpoints_change_tracker::EndpointInfo;
use crate::origin::{Field, Fields, Piece};
use crate::proxier::Context;
use crate::service_change_tracker::ServicePortInfo;
use crate::topology::Categorized;
use datapath::ipvs::{Destination, Element, Scheduler, Segment, ServerKey, VirtualServer};
use datapath::{ChainRef, L4, Match, Net, RuleList, Segment as Rules, Target};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

struct Writer<'a> {
    info: &'a ServicePortInfo,
    context: &'a Context<'a>,
    endpoints: &'a Categorized,
    l4: L4,
    scheduler: Scheduler,
    segment: Segment,
    rules: RuleList,
    fields: Fields,
}

impl Writer<'_> {
    /// An entry of a set that this port may have asked for already.
    fn entry(&mut self, set: u16, field: Field, element: Element) {
        if !self.segment.entries.iter().any(|(s, e, _)| (*s, *e) == (set, element)) {
            self.entry_of(set, field, None, element);
        }
    }
    fn entry_of(&mut self, set: u16, field: Field, endpoint: Option<SocketAddr>, element: Element) {
        let origin = self.fields.id(field, endpoint);
        self.segment.entries.push((set, element, origin));
    }
    /// The service's port at one of its addresses.
    fn at(&self, ip: IpAddr) -> Element {
        Element::IpPort(ip, self.l4, self.info.port)
    }
    /// `syncService`, `syncEndpoint`. With policy `Local` and no endpoint here, endpoints anywhere are used: "Allow
    /// access from local PODs even if no local endpoints exist".
    fn server(&mut self, field: Field, ip: IpAddr, port: u16, local: bool) {
        let list =
            if local && !self.endpoints.local.is_empty() { &self.endpoints.local } else { &self.endpoints.cluster };
        let origin = self.fields.id(field, None);
        let target = Field::TargetPort(self.info.index);
        let destination =
            |e: &EndpointInfo| Destination { addr: e.addr, weight: 1, origin: self.fields.id(target, Some(e.addr)) };
        let mut destinations: Vec<Destination> = list.iter().map(destination).collect();
        destinations.sort_unstable_by_key(|d| d.addr);
        self.segment.servers.push(Arc::new(VirtualServer {
            key: ServerKey { proto: self.l4, addr: SocketAddr::new(ip, port) },
            scheduler: self.scheduler,
            persistence: self.info.affinity_seconds,
            source_hash: self.scheduler == Scheduler::MaglevHashing,
            destinations,
            origin,
        }));
    }
    /// Gives kube-ipvs0 an address, unless another interface of the node has it.
    fn bind(&mut self, field: Field, ip: IpAddr) {
        if !self.context.node.addresses.contains(&ip) && !self.segment.bound.contains(&ip) {
            self.segment.bound.push(ip);
            self.entry(set::IPVS_IPS, field, Element::Ip(ip));
        }
    }
}

/// Writes what a service port asks for: virtual servers, entries and addresses; its iptables rules; and where
/// all that comes from. `all` are its endpoints in whatever condition.
pub(crate) fn write_service_port(
    info: &Arc<ServicePortInfo>,
    endpoints: &Categorized,
    local: &[SocketAddr],
    context: &Context<'_>,
) -> (Segment, Rules, Piece) {
    let mut w = Writer {
        info,
        context,
        endpoints,
        l4: info.name.l4(),
        // Settings with another scheduler are refused.
        scheduler: context.settings.ipvs_scheduler.parse().unwrap_or(Scheduler::RoundRobin),
        segment: Segment::default(),
        rules: RuleList::new(),
        fields: Fields::new(context.first_origin),
    };
    write(&mut w, local);
    (w.segment, Rules::new(Vec::new(), w.rules), w.fields.into_piece(info))
}

fn write(w: &mut Writer<'_>, local: &[SocketAddr]) {
    let info = w.info;
    // A Pod that reaches itself through the Service must see another address than its own.
    for addr in local {
        let element = Element::IpPortIp(addr.ip(), w.l4, addr.port(), addr.ip());
        w.entry_of(set::LOOP_BACK, Field::TargetPort(info.index), Some(*addr), element);
    }
    w.entry(set::CLUSTER_IP, Field::Port(info.index), w.at(info.cluster_ip));
    w.server(Field::Port(info.index), info.cluster_ip, info.port, info.internal_policy_local);
    w.bind(Field::Port(info.index), info.cluster_ip);

    for (i, ip) in &info.external_ips {
        let set = if info.external_policy_local { set::EXTERNAL_IP_LOCAL } else { set::EXTERNAL_IP };
        w.entry(set, Field::ExternalIp(*i), w.at(*ip));
        w.server(Field::ExternalIp(*i), *ip, info.port, info.external_policy_local);
        w.bind(Field::ExternalIp(*i), *ip);
    }
    for (i, ip) in &info.load_balancer_vips {
        w.entry(set::LOAD_BALANCER, Field::Ingress(*i), w.at(*ip));
        if info.external_policy_local {
            w.entry(set::LOAD_BALANCER_LOCAL, Field::ExternalTrafficPolicy, w.at(*ip));
        }
        if !info.source_ranges.is_empty() {
            write_firewall(w, *ip);
        }
        w.server(Field::Ingress(*i), *ip, info.port, info.external_policy_local);
        w.bind(Field::Ingress(*i), *ip);
    }
    if info.node_port != 0 {
        let addresses: Vec<IpAddr> = w.context.node_port_ips.to_vec();
        if addresses.is_empty() {
            // Without an address for node ports, upstream goes on with the next service port.
            return;
        }
        write_node_port(w, &addresses);
    }
    if info.health_check_node_port != 0 {
        w.entry(set::HEALTH_CHECK, Field::HealthCheckNodePort, Element::Port(info.health_check_node_port));
    }
}

/// Source ranges of a load balancer's address.
fn write_firewall(w: &mut Writer<'_>, ip: IpAddr) {
    let info = w.info;
    w.entry(set::LOAD_BALANCER_FW, Field::SourceRange(0), w.at(ip));
    for (i, cidr) in &info.source_ranges {
        w.entry(set::SOURCE_CIDR, Field::SourceRange(*i), Element::IpPortNet(ip, w.l4, info.port, *cidr));
    }
    let from_node = w.context.node_ip.is_some_and(|node| info.source_ranges.iter().any(|(_, c)| c.contains(node)));
    if from_node {
        // A process of the node sends with the address itself as source, since kube-ipvs0 has it.
        w.entry(set::SOURCE_IP, Field::SourceRange(0), Element::IpPortIp(ip, w.l4, info.port, ip));
        return;
    }
    // IPVS takes such packets before any rule of the filter table sees where they were sent, so they are dropped after.
    let origin = w.fields.id(Field::SourceRange(0), None);
    let matches =
        [Match::Source { net: Net::Host(ip), not: false }, Match::VirtualServer { proto: w.l4, ip, port: info.port }];
    w.rules.add(ChainRef::Shared(chain::IPVS_OUT_FILTER), &matches, Target::Drop, origin);
}

fn write_node_port(w: &mut Writer<'_>, addresses: &[IpAddr]) {
    let info = w.info;
    let (all, local) = match w.l4 {
        L4::Tcp => (set::NODE_PORT_TCP, set::NODE_PORT_LOCAL_TCP),
        L4::Udp => (set::NODE_PORT_UDP, set::NODE_PORT_LOCAL_UDP),
        L4::Sctp => (set::NODE_PORT_SCTP, set::NODE_PORT_LOCAL_SCTP),
    };
    let sets = [(all, Field::NodePort(info.index)), (local, Field::ExternalTrafficPolicy)];
    for (set, field) in sets.into_iter().take(1 + usize::from(info.external_policy_local)) {
        for ip in addresses {
            let element = match w.l4 {
                L4::Sctp => Element::IpPort(*ip, w.l4, info.node_port),
                L4::Tcp | L4::Udp => Element::Port(info.node_port),
            };
            w.entry(set, field, element);
        }
    }
    for ip in addresses {
        w.server(Field::NodePort(info.index), *ip, info.node_port, info.external_policy_local);
    }
}
