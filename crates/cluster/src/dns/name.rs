//! Names: labels, zones, names of addresses.

use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name that may be asked for: labels of 1 to 63 octets, 253 in all (RFC 1035 2.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsName {
    text: String,
    absolute: bool,
}

impl DnsName {
    /// Reads a name; None: no resolver would ask for it.
    pub fn parse(text: &str) -> Option<DnsName> {
        let absolute = text.ends_with('.');
        let bare = text.strip_suffix('.').unwrap_or(text);
        let label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_graphic());
        let right = bare.len() <= 253 && (bare.is_empty() && absolute || bare.split('.').all(label));
        right.then(|| DnsName { text: bare.to_owned(), absolute })
    }
    /// Without the dot at the end.
    pub fn bare(&self) -> &str {
        &self.text
    }
    /// Whether it was written with a dot at the end.
    pub const fn is_absolute(&self) -> bool {
        self.absolute
    }
    /// How many dots it has, the one at the end apart.
    pub fn dots(&self) -> usize {
        self.text.bytes().filter(|b| *b == b'.').count()
    }
}

/// What stands before the zone in an absolute name, and the zone as the name has it. None: the name isn't in the zone.
pub(super) fn split_zone<'a>(name: &'a str, zone: &str) -> Option<(&'a str, &'a str)> {
    if zone == "." {
        return Some((name.trim_end_matches('.'), "."));
    }
    let cut = name.len().checked_sub(zone.len()).filter(|cut| name.is_char_boundary(*cut))?;
    let (before, own) = name.split_at(cut);
    let edge = before.is_empty() || before.ends_with('.');
    (edge && own.eq_ignore_ascii_case(zone)).then(|| (before.trim_end_matches('.'), own))
}

/// The name under which an address is looked up (RFC 1035 3.5, RFC 3596 2.5).
pub fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(ip) => {
            let mut name = String::with_capacity(72);
            for byte in ip.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", byte & 15, byte >> 4));
            }
            name + "ip6.arpa."
        }
    }
}

/// The address that such a name means (`dnsutil.ExtractAddressFromReverse`).
pub(super) fn address_of_reverse(name: &str) -> Option<IpAddr> {
    if let Some((labels, _)) = split_zone(name, "in-addr.arpa.") {
        let mut octets = labels.split('.').map(|l| l.parse::<u8>());
        let mut next = || octets.next()?.ok();
        let (d, c, b, a) = (next()?, next()?, next()?, next()?);
        return octets.next().is_none().then_some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
    }
    let (labels, _) = split_zone(name, "ip6.arpa.")?;
    let mut bits = 0u128;
    let mut count = 0;
    for label in labels.rsplit('.') {
        let digit = u128::from_str_radix(label, 16).ok().filter(|_| label.len() == 1)?;
        bits = bits << 4 | digit;
        count += 1;
    }
    (count == 32).then(|| IpAddr::V6(Ipv6Addr::from(bits)))
}

/// Whether a name is one of an address.
pub(super) fn is_reverse(name: &str) -> bool {
    split_zone(name, "in-addr.arpa.").is_some() || split_zone(name, "ip6.arpa.").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses_lead_back() {
        for ip in ["10.96.0.20", "1.2.3.4", "fd00:77:30::a", "::"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(address_of_reverse(&reverse_name(ip)), Some(ip));
        }
        for bad in ["1.2.3.in-addr.arpa.", "1.2.3.4.5.in-addr.arpa.", "x.2.3.4.in-addr.arpa.", "a.ip6.arpa.", "web."] {
            assert_eq!(address_of_reverse(bad), None, "{bad}");
        }
    }

    #[test]
    fn zones_end_at_a_label() {
        assert_eq!(split_zone("a.Cluster.Local.", "cluster.local."), Some(("a", "Cluster.Local.")));
        assert_eq!(split_zone("cluster.local.", "cluster.local."), Some(("", "cluster.local.")));
        assert_eq!(split_zone("mycluster.local.", "cluster.local."), None);
        assert_eq!(split_zone("local.", "cluster.local."), None);
    }

    #[test]
    fn only_what_can_be_asked_is_a_name() {
        for good in ["web", "web.shop.", "_http._tcp.web", "."] {
            assert!(DnsName::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a..b", ".a", "a b", &"x".repeat(64), &"a.".repeat(200), "é"] {
            assert!(DnsName::parse(bad).is_none(), "{bad}");
        }
    }
}
