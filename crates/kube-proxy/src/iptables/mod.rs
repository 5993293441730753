//! The iptables mode (`pkg/proxy/iptables/proxier.go`).

mod base;
mod chains;
mod service_port;

pub use base::base;
pub use chains::{ChainKind, endpoint_chain_name, service_chain_name};
pub(crate) use service_port::write_service_port;

/// Above this many endpoints the rules of endpoints have no comments (`largeClusterEndpointsThreshold`).
pub const LARGE_CLUSTER_ENDPOINTS_THRESHOLD: usize = 1000;
