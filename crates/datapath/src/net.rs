//! Addresses with a prefix length.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: address and prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cidr {
    addr: IpAddr,
    len: u8,
}

const fn masked(addr: IpAddr, len: u8) -> IpAddr {
    match addr {
        IpAddr::V4(a) => {
            let mask = if len == 0 { 0 } else { u32::MAX << (32 - len as u32) };
            IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask))
        }
        IpAddr::V6(a) => {
            let mask = if len == 0 { 0 } else { u128::MAX << (128 - len as u32) };
            IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask))
        }
    }
}

impl Cidr {
    /// The network of `addr` with this prefix length; the bits after it are cleared. `None`: too long.
    pub const fn new(addr: IpAddr, len: u8) -> Option<Cidr> {
        let most = if addr.is_ipv4() { 32 } else { 128 };
        if len <= most { Some(Cidr { addr: masked(addr, len), len }) } else { None }
    }
    /// Its first address.
    pub const fn addr(self) -> IpAddr {
        self.addr
    }
    /// Its prefix length.
    pub const fn prefix_len(self) -> u8 {
        self.len
    }
    /// Whether the address is in it; never for the other family.
    pub fn contains(self, ip: IpAddr) -> bool {
        self.addr.is_ipv4() == ip.is_ipv4() && masked(ip, self.len) == self.addr
    }
}

impl FromStr for Cidr {
    type Err = String;
    fn from_str(s: &str) -> Result<Cidr, String> {
        let bad = || format!("invalid CIDR address: {s}");
        let (addr, len) = s.split_once('/').ok_or_else(bad)?;
        let digits = !len.is_empty() && len.len() <= 3 && len.bytes().all(|b| b.is_ascii_digit());
        if !digits || (len.len() > 1 && len.starts_with('0')) {
            return Err(bad());
        }
        let len: u16 = len.parse().map_err(|_| bad())?;
        let len = u8::try_from(len).map_err(|_| bad())?;
        Cidr::new(addr.parse().map_err(|_| bad())?, len).ok_or_else(bad)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

/// The argument of `-s` and `-d`, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Net {
    /// One address, written without a prefix length.
    Host(IpAddr),
    /// A network.
    Cidr(Cidr),
}

impl Net {
    /// Whether the address is in it.
    pub fn contains(self, ip: IpAddr) -> bool {
        match self {
            Net::Host(host) => host == ip,
            Net::Cidr(cidr) => cidr.contains(ip),
        }
    }
}

impl From<IpAddr> for Net {
    fn from(ip: IpAddr) -> Net {
        Net::Host(ip)
    }
}

impl From<Cidr> for Net {
    fn from(cidr: Cidr) -> Net {
        Net::Cidr(cidr)
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Net::Host(ip) => ip.fmt(f),
            Net::Cidr(cidr) => cidr.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cidr_holds_its_addresses() {
        let c: Cidr = "203.0.113.77/25".parse().unwrap();
        assert_eq!(c.to_string(), "203.0.113.0/25");
        assert!(c.contains("203.0.113.127".parse().unwrap()));
        assert!(!c.contains("203.0.113.128".parse().unwrap()));
        assert!(!c.contains("::1".parse().unwrap()));
        let all: Cidr = "::/0".parse().unwrap();
        assert!(all.contains("fd00::1".parse().unwrap()));
    }

    #[test]
    fn malformed_cidrs_are_refused() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0/8", "::/129", "::/256", "x/8"]
        {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
