//! Names of chains and sets.

use datapath::L4;
use kube_api::NamespacedName;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The chains and sets of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// `service-`: endpoints for policy `Cluster`.
    Service,
    /// `local-`: endpoints for policy `Local`.
    ServiceLocal,
    /// `external-`: traffic to node ports, external IPs and load balancer addresses.
    External,
    /// `firewall-`: drops what no source range lets in.
    Firewall,
    /// `endpoint-`: one endpoint.
    Endpoint,
    /// `affinity-`: the set of clients that an endpoint has.
    Affinity,
}

impl ChainKind {
    const fn prefix(self) -> &'static str {
        match self {
            ChainKind::Service => "service-",
            ChainKind::ServiceLocal => "local-",
            ChainKind::External => "external-",
            ChainKind::Firewall => "firewall-",
            ChainKind::Endpoint => "endpoint-",
            ChainKind::Affinity => "affinity-",
        }
    }
    /// The name of the chain or set.
    pub fn name(self, base: &str) -> Arc<str> {
        format!("{}{base}", self.prefix()).into()
    }
}

/// The longest name that is not cut: `NFT_NAME_MAXLEN` without room for a prefix (`chainNameBaseLengthMax`).
const NAME_BASE_MAX: usize = 256 - 16;

/// `hashAndTruncate`: 40 bits of the hash in base 32 (RFC 4648, section 6) in front, and cut if too long.
fn hash_and_truncate(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let bits = digest.iter().take(5).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let hash: [u8; 8] =
        core::array::from_fn(|i| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(bits >> (35 - 5 * i) & 31) as usize]);
    let mut out: String = hash.iter().map(|b| char::from(*b)).collect();
    out.push('-');
    out.push_str(name);
    if out.len() > NAME_BASE_MAX {
        let mut end = NAME_BASE_MAX - 3;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out.push_str("...");
    }
    out
}

fn plain(service: &NamespacedName, proto: L4, port: &str) -> String {
    format!("{}/{}/{proto}/{port}", service.namespace, service.name)
}

/// `HASH-ns/name/proto/port`: what the names of a service port's chains end in (`servicePortChainNameBase`).
pub fn service_name_base(service: &NamespacedName, proto: L4, port: &str) -> String {
    hash_and_truncate(&plain(service, proto, port))
}

/// `HASH-ns/name/proto/port__ip/port`, the same for an endpoint (`servicePortEndpointChainNameBase`). Colons are not
/// allowed in names.
pub fn endpoint_name_base(service: &NamespacedName, proto: L4, port: &str, endpoint: SocketAddr) -> String {
    let ip = match endpoint.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.to_string().replace(':', "."),
    };
    hash_and_truncate(&format!("{}__{ip}/{}", plain(service, proto, port), endpoint.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kube_proxy() {
        let web = NamespacedName::new("default", "web");
        let base = service_name_base(&web, L4::Tcp, "http");
        assert_eq!(&*ChainKind::Service.name(&base), "service-SUSTUHLJ-default/web/tcp/http");
        let endpoint = "10.244.1.5:8080".parse().unwrap();
        let base = endpoint_name_base(&web, L4::Tcp, "http", endpoint);
        assert_eq!(&*ChainKind::Affinity.name(&base), "affinity-HGNPOIJ5-default/web/tcp/http__10.244.1.5/8080");
        // The example in the comment of `servicePortChainNameBase`.
        let base = service_name_base(&NamespacedName::new("ns1", "svc1"), L4::Tcp, "p80");
        assert_eq!(base, "ULMVA6XW-ns1/svc1/tcp/p80");
        let endpoint = "[fd00::5]:80".parse().unwrap();
        assert!(endpoint_name_base(&web, L4::Udp, "", endpoint).ends_with("-default/web/udp/__fd00..5/80"));
    }

    #[test]
    fn a_name_that_is_too_long_is_cut() {
        let long = NamespacedName::new("n".repeat(63), "s".repeat(63));
        let base = endpoint_name_base(
            &long,
            L4::Sctp,
            &"p".repeat(63),
            "[fd00:1111:2222:3333:4444:5555:6666:7777]:65535".parse().unwrap(),
        );
        assert_eq!((base.len(), base.ends_with("...")), (240, true));
        assert_eq!(service_name_base(&long, L4::Sctp, &"p".repeat(63)).len(), 9 + 63 * 3 + 4 + 3);
    }
}
