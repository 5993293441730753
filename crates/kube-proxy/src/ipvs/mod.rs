//! The IPVS mode (`pkg/proxy/ipvs/proxier.go`): virtual servers for balancing, and iptables rules over ipsets for
//! masquerading and source ranges.
//!
//! The real servers are the same that the other modes use, but for one difference: traffic with policy `Local` without
//! an endpoint on this node goes to endpoints anywhere.

mod rules;
mod service_port;
mod sets;

pub use rules::{base, iptables_base};
pub(crate) use service_port::write_service_port;
