//! Names of chains.

use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The chains of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// `KUBE-SVC-`: endpoints for policy `Cluster`.
    Service,
    /// `KUBE-SVL-`: endpoints for policy `Local`.
    ServiceLocal,
    /// `KUBE-EXT-`: traffic to node ports, external IPs and load balancer addresses.
    External,
    /// `KUBE-FW-`: traffic to load balancer addresses with source ranges.
    Firewall,
}

impl ChainKind {
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            ChainKind::Service => "KUBE-SVC-",
            ChainKind::ServiceLocal => "KUBE-SVL-",
            ChainKind::External => "KUBE-EXT-",
            ChainKind::Firewall => "KUBE-FW-",
        }
    }
}

/// The first 16 characters of a hash in base 32 (RFC 4648, section 6): 80 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash([u8; 16]);

impl Hash {
    fn of(parts: [&str; 3]) -> Hash {
        let mut sha = Sha256::new();
        for part in parts {
            sha.update(part.as_bytes());
        }
        let digest = sha.finalize();
        let bits = digest.iter().take(10).fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
        Hash(core::array::from_fn(|i| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(bits >> (75 - 5 * i) & 31) as usize]))
    }
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Before the hash in the name of an endpoint's chain.
pub(crate) const ENDPOINT_PREFIX: &str = "KUBE-SEP-";

/// What the names of the chains of the service port `ns/name:port` have in common. Protocols are in lower case.
pub(crate) fn service_hash(service_port: &str, protocol: &str) -> Hash {
    Hash::of([service_port, protocol, ""])
}

/// What is in the name of the chain of an endpoint `ip:port` of a service port.
pub(crate) fn endpoint_hash(service_port: &str, protocol: &str, endpoint: &str) -> Hash {
    Hash::of([service_port, protocol, endpoint])
}

/// The chain of the service port `ns/name:port` (`portProtoHash`).
pub fn service_chain_name(kind: ChainKind, service_port: &str, protocol: &str) -> Arc<str> {
    [kind.prefix(), service_hash(service_port, protocol).text()].concat().into()
}

/// `KUBE-SEP-`: the chain of an endpoint `ip:port` of a service port (`servicePortEndpointChainName`).
pub fn endpoint_chain_name(service_port: &str, protocol: &str, endpoint: &str) -> Arc<str> {
    [ENDPOINT_PREFIX, endpoint_hash(service_port, protocol, endpoint).text()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kube_proxy() {
        let name = service_chain_name(ChainKind::Service, "default/web:http", "tcp");
        assert_eq!(&*name, "KUBE-SVC-CDGGSHYLG3RE2FKL");
        let name = endpoint_chain_name("default/web:http", "tcp", "10.244.1.5:8080");
        assert_eq!(&*name, "KUBE-SEP-AFGSLHOD2HFNCBX4");
        let name = endpoint_chain_name("default/web:http", "tcp", "[fd00:10:244:1::5]:8080");
        assert_eq!(&*name, "KUBE-SEP-VQWBXALWTGJK2BTN");
    }
}
