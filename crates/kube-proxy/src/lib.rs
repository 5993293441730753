//! kube-proxy of one node: Services and EndpointSlices in, the node's rules out.
//!
//! The parts and their names are those of `pkg/proxy` in Kubernetes: [`service_change_tracker`] and
//! [`endpoints_change_tracker`] keep what the API server says, [`topology`] chooses the endpoints of
//! this node, [`iptables`], [`nftables`] and [`ipvs`] write the rules. Behaviour is that of release 1.30 but where a later
//! release is asked for and differs.
#![forbid(unsafe_code)]

mod conntrack;
pub mod endpoints_change_tracker;
pub mod iptables;
pub mod ipvs;
mod known;
pub mod nftables;
mod node_port_addresses;
mod objects;
mod origin;
mod proxier;
mod rules;
pub mod service_change_tracker;
mod settings;
pub mod topology;

pub use conntrack::StaleConnections;
pub use objects::{UnknownNode, proxier_of};
pub use origin::Origin;
pub use proxier::{EndpointShare, HealthCheck, Proxier};
pub use rules::{Mode, Rules};
pub use settings::{FeatureGates, NodeContext, Settings, SettingsError};
