//! Where rules come from.

use crate::service_change_tracker::ServicePortInfo;
use datapath::OriginId;
use kube_api::{NamespacedName, Uid};
use lab_base::OrdMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where a rule comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The Service.
    pub service: NamespacedName,
    /// Its uid.
    pub uid: Uid,
    /// Name of its port; empty if it has none.
    pub port: String,
    /// Path of the field that asks for the rule, as `spec.ports[0].nodePort`.
    pub field: String,
    /// The endpoint, for rules of one.
    pub endpoint: Option<SocketAddr>,
}

/// A field of a Service that asks for rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Port(usize),
    TargetPort(usize),
    NodePort(usize),
    ExternalIp(usize),
    Ingress(usize),
    SourceRange(usize),
    Selector,
    SessionAffinity,
    InternalTrafficPolicy,
    ExternalTrafficPolicy,
    HealthCheckNodePort,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Port(i) => write!(f, "spec.ports[{i}].port"),
            Field::TargetPort(i) => write!(f, "spec.ports[{i}].targetPort"),
            Field::NodePort(i) => write!(f, "spec.ports[{i}].nodePort"),
            Field::ExternalIp(i) => write!(f, "spec.externalIPs[{i}]"),
            Field::Ingress(i) => write!(f, "status.loadBalancer.ingress[{i}].ip"),
            Field::SourceRange(i) => write!(f, "spec.loadBalancerSourceRanges[{i}]"),
            Field::Selector => f.write_str("spec.selector"),
            Field::SessionAffinity => f.write_str("spec.sessionAffinity"),
            Field::InternalTrafficPolicy => f.write_str("spec.internalTrafficPolicy"),
            Field::ExternalTrafficPolicy => f.write_str("spec.externalTrafficPolicy"),
            Field::HealthCheckNodePort => f.write_str("spec.healthCheckNodePort"),
        }
    }
}

/// Origins while the rules of a service port are written.
#[derive(Debug)]
pub(crate) struct Fields {
    first: u32,
    list: Vec<(Field, Option<SocketAddr>)>,
}

impl Fields {
    pub(crate) const fn new(first: u32) -> Fields {
        Fields { first, list: Vec::new() }
    }
    /// The id of an origin that has none yet.
    pub(crate) fn add(&mut self, field: Field, endpoint: Option<SocketAddr>) -> OriginId {
        self.list.push((field, endpoint));
        OriginId(self.first + self.list.len() as u32 - 1)
    }
    /// The id of this origin.
    pub(crate) fn id(&mut self, field: Field, endpoint: Option<SocketAddr>) -> OriginId {
        let at = match self.list.iter().rposition(|f| *f == (field, endpoint)) {
            Some(at) => at,
            None => {
                self.list.push((field, endpoint));
                self.list.len() - 1
            }
        };
        OriginId(self.first + at as u32)
    }
    pub(crate) fn into_piece(self, info: &Arc<ServicePortInfo>) -> Piece {
        Piece { port: info.clone(), fields: self.list }
    }
}

/// The origins of one service port's rules.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) port: Arc<ServicePortInfo>,
    pub(crate) fields: Vec<(Field, Option<SocketAddr>)>,
}

/// Origins of all rules of a node. Each piece has a range of ids of its own, never used again.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    pieces: OrdMap<u32, Arc<Piece>>,
    next: u32,
}

impl Default for Origins {
    fn default() -> Origins {
        Origins { pieces: OrdMap::new(), next: 1 }
    }
}

impl Origins {
    /// The first id of the next piece.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }
    /// Keeps a piece whose ids begin at [`Origins::next`].
    pub(crate) fn add(&mut self, piece: Piece) {
        let first = self.next;
        self.next = self.next.saturating_add(piece.fields.len() as u32);
        if !piece.fields.is_empty() {
            self.pieces.insert(first, Arc::new(piece));
        }
    }
    /// Forgets a piece.
    pub(crate) fn remove(&mut self, first: u32) {
        self.pieces.remove(&first);
    }
    pub(crate) fn get(&self, id: OriginId) -> Option<Origin> {
        let (first, piece) = self.pieces.get_prev(&id.0)?;
        let (field, endpoint) = piece.fields.get((id.0 - first) as usize)?;
        Some(Origin {
            service: piece.port.name.service.clone(),
            uid: piece.port.uid,
            port: piece.port.name.port.clone(),
            field: field.to_string(),
            endpoint: *endpoint,
        })
    }
}
