//! `target` of a client.

use crate::dns::DnsName;
use serde::Serialize;
use std::net::IpAddr;

/// Where a client sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Target {
    /// Every Service that has a cluster IP, in turn.
    EveryService,
    /// A name, as the client's resolver gets it.
    Name(DnsName, u16),
    /// An address.
    Address(IpAddr, u16),
}

impl Target {
    /// Reads `http://web.shop:8080/`, `http://10.96.0.5/`, `udp://dns:53` or `*`.
    pub fn parse(text: &str) -> Option<Target> {
        if text == "*" {
            return Some(Target::EveryService);
        }
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("udp://")).unwrap_or(text);
        let authority = rest.split('/').next()?;
        if authority.is_empty() {
            return None;
        }
        if let Ok(addr) = authority.parse::<std::net::SocketAddr>() {
            return Some(Target::Address(addr.ip(), addr.port()));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|p| *p > 0)?),
            None => (authority, 80),
        };
        if let Ok(ip) = host.parse() {
            return Some(Target::Address(ip, port));
        }
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let name = DnsName::parse(host).filter(|n| !n.bare().is_empty() && host.bytes().all(letter))?;
        Some(Target::Name(name, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let name = |n: &str, p| DnsName::parse(n).map(|n| Target::Name(n, p));
        assert_eq!(Target::parse("http://web/"), name("web", 80));
        assert_eq!(Target::parse("http://web.shop:8080/x"), name("web.shop", 8080));
        assert_eq!(Target::parse("web.shop.svc.cluster.local."), name("web.shop.svc.cluster.local.", 80));
        assert_eq!(Target::parse("http://10.96.0.5/"), Some(Target::Address("10.96.0.5".parse().unwrap(), 80)));
        assert_eq!(Target::parse("*"), Some(Target::EveryService));
        for bad in ["", "http://", "http://web:0/", "http://a b/", "http://a..b/", "http://$x/", "http://./"] {
            assert_eq!(Target::parse(bad), None, "{bad}");
        }
    }
}
