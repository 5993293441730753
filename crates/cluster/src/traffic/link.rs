//! Time and luck on the wires.

use super::client::Client;
use super::request::Request;
use crate::cluster::Cluster;
use crate::event::NodeName;
use datapath::L4;
use kube_api::Uid;
use lab_base::{OrdMap, Source, Span};
use serde::Serialize;

/// How long a refusal or a reply of the own node takes.
pub(super) const LOCAL_DELAY: Span = Span::from_micros(60);
/// One way within a node.
const WITHIN: (Span, Span) = (Span::from_micros(40), Span::from_micros(90));
/// One way between two nodes of a data centre.
const BETWEEN: (Span, Span) = (Span::from_micros(180), Span::from_micros(420));
/// One way through the internet, to the cluster's edge: assumed, as within a country.
const INTERNET: (Span, Span) = (Span::from_millis(5), Span::from_millis(10));

/// First time-out of a segment on a quick link (`TCP_RTO_MIN`).
pub(super) const RTO_MIN: Span = Span::from_millis(200);
/// First time-out of a SYN (`TCP_TIMEOUT_INIT`).
pub(super) const RTO_INITIAL: Span = Span::from_secs(1);
/// How often a SYN is sent again (`net.ipv4.tcp_syn_retries`).
pub(super) const SYN_RETRIES: u8 = 6;

/// What is wrong with a node's cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Wire {
    /// What each packet is late.
    pub delay: Span,
    /// How many packets of 100 are lost.
    pub loss: u8,
}

/// Cables that something is wrong with, by node.
pub(crate) type Wires = OrdMap<NodeName, Wire>;

impl Cluster {
    /// The nodes that a request's packets cross, from its client to a Pod's node; None: the internet.
    fn way<'a>(&'a self, client: &'a Client, request: &'a Request, pod: Option<Uid>) -> [Option<&'a str>; 3] {
        let own = (!client.is_outside()).then_some(&*client.node);
        let via = request.via.as_ref().map_or(own, |(node, _)| Some(&**node));
        let end = pod.and_then(|p| self.sandboxes.get(&p)).map_or("", |s| &*s.node);
        [own, via, Some(end)]
    }

    fn hop(&self, from: Option<&str>, to: Option<&str>, luck: u64, ordinal: u64) -> Span {
        let bounds = match (from, to) {
            (None, _) => INTERNET,
            (from, to) if from == to => WITHIN,
            _ => BETWEEN,
        };
        let span = self.dice.roll(Source::LinkDelay, luck, ordinal).between(bounds.0, bounds.1);
        if self.wires.is_empty() || from == to {
            return span;
        }
        let late = |node: Option<&str>| node.and_then(|n| self.wires.get(n)).map_or(Span::ZERO, |w| w.delay);
        span + late(from) + late(to)
    }

    /// How long a packet needs from the client to the Pod, or back.
    pub(super) fn transit(&self, client: &Client, request: &Request, pod: Option<Uid>) -> Span {
        let [own, via, end] = self.way(client, request, pod);
        let luck = request.luck(client);
        match &request.via {
            None => self.hop(own, end, luck, request.ordinal),
            Some(_) => self.transit_to_node(client, request) + self.hop(via, end, luck, request.ordinal),
        }
    }

    /// How long a packet needs from the client to the node on whose address it came, if that is another one.
    pub(super) fn transit_to_node(&self, client: &Client, request: &Request) -> Span {
        if request.via.is_none() {
            return Span::ZERO;
        }
        let [own, via, _] = self.way(client, request, None);
        self.hop(own, via, request.luck(client), request.ordinal + 1) + LOCAL_DELAY
    }

    /// Whether packets pass between a client and a Pod, both ways.
    pub(super) fn passes(&self, client: &Client, request: &Request, pod: Uid) -> bool {
        let Some(sandbox) = self.sandboxes.get(&pod).filter(|s| !s.cut) else { return false };
        let way = self.way(client, request, Some(pod));
        let leaves = way.iter().any(|node| *node != Some(&*sandbox.node));
        let up = |node: &str| self.machines.get(node).is_some_and(|m| m.powered && !(leaves && m.cut));
        way.into_iter().flatten().all(up)
    }

    /// How likely it is that a packet comes through.
    fn comes_through(&self, client: &Client, request: &Request, pod: Option<Uid>) -> f64 {
        let way = self.way(client, request, pod);
        let mut through = 1.0;
        for hop in way.windows(2).filter(|w| w[0] != w[1]) {
            for wire in hop.iter().copied().flatten().filter_map(|node| self.wires.get(node)) {
                through *= 1.0 - f64::from(wire.loss) / 100.0;
            }
        }
        through
    }

    fn is_drawn_lost(&self, luck: u64, ordinal: u64, through: f64) -> bool {
        self.dice.roll(Source::PacketLoss, luck, ordinal).unit() >= through
    }

    /// Whether a datagram is lost, or a SYN or the answer to it. `packet`: which of the request's.
    pub(super) fn is_lost(&self, client: &Client, request: &Request, pod: Option<Uid>, packet: u64) -> bool {
        if self.wires.is_empty() {
            return false;
        }
        let through = self.comes_through(client, request, pod);
        let through = if request.flow.proto == L4::Tcp { through * through } else { through };
        self.is_drawn_lost(request.luck(client), request.ordinal * 64 + packet * 8, through)
    }

    /// How much later a segment of an open connection comes, since it was lost and had to be sent again: after
    /// `TCP_RTO_MIN`, then after twice that, and so on. The acknowledgement isn't looked at.
    pub(super) fn resending(&self, client: &Client, request: &Request, pod: Uid, segment: u64) -> Span {
        if self.wires.is_empty() || request.flow.proto != L4::Tcp {
            return Span::ZERO;
        }
        let through = self.comes_through(client, request, Some(pod));
        let luck = request.luck(client);
        let mut late = Span::ZERO;
        for nth in 0..7 {
            if !self.is_drawn_lost(luck, request.ordinal * 64 + segment * 8 + nth, through) {
                break;
            }
            late = late + RTO_MIN.times(1 << nth);
        }
        late
    }
}
