//! The nftables mode (`pkg/proxy/nftables/proxier.go`).

mod base;
mod chains;
mod service_port;

pub use base::{base, table_family};
pub use chains::{ChainKind, endpoint_name_base, service_name_base};
pub(crate) use service_port::write_service_port;
