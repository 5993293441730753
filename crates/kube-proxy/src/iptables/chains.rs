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
    const fn prefix(self) -> &'static str {
        match self {
            ChainKind::Service => "KUBE-SVC-",
            ChainKind::ServiceLocal => "KUBE-SVL-",
            ChainKind::External => "KUBE-EXT-",
            ChainKind::Firewall => "KUBE-FW-",
        }
    }
}

/// The first 16 characters of the hash in base 32 (RFC 4648, section 6): 80 bits.
fn hash(parts: [&str; 3]) -> [u8; 16] {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(part.as_bytes());
    }
    let digest = sha.finalize();
    let bits = digest.iter().take(10).fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    core::array::from_fn(|i| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(bits >> (75 - 5 * i) & 31) as usize])
}

fn name(prefix: &str, hash: [u8; 16]) -> Arc<str> {
    let mut text = String::with_capacity(prefix.len() + hash.len());
    text.push_str(prefix);
    text.extend(hash.iter().map(|b| char::from(*b)));
    text.into()
}

/// A chain of the service port `ns/name:port` (`portProtoHash`). Protocols are in lower case.
pub fn service_chain_name(kind: ChainKind, service_port: &str, protocol: &str) -> Arc<str> {
    name(kind.prefix(), hash([service_port, protocol, ""]))
}

/// `KUBE-SEP-`: the chain of an endpoint `ip:port` of a service port (`servicePortEndpointChainName`).
pub fn endpoint_chain_name(service_port: &str, protocol: &str, endpoint: &str) -> Arc<str> {
    name("KUBE-SEP-", hash([service_port, protocol, endpoint]))
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
