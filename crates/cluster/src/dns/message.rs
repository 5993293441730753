//! Questions, answers and records.

use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Types of records that can be asked for (IANA's registry of DNS parameters).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[allow(missing_docs)]
pub enum RecordType {
    A,
    Ns,
    Cname,
    Soa,
    Ptr,
    Hinfo,
    Mx,
    Txt,
    Aaaa,
    Srv,
    Naptr,
    Ds,
    Dnskey,
    Svcb,
    Https,
    Ixfr,
    Axfr,
    Any,
    Caa,
}

const TYPES: [(RecordType, &str); 19] = [
    (RecordType::A, "A"),
    (RecordType::Ns, "NS"),
    (RecordType::Cname, "CNAME"),
    (RecordType::Soa, "SOA"),
    (RecordType::Ptr, "PTR"),
    (RecordType::Hinfo, "HINFO"),
    (RecordType::Mx, "MX"),
    (RecordType::Txt, "TXT"),
    (RecordType::Aaaa, "AAAA"),
    (RecordType::Srv, "SRV"),
    (RecordType::Naptr, "NAPTR"),
    (RecordType::Ds, "DS"),
    (RecordType::Dnskey, "DNSKEY"),
    (RecordType::Svcb, "SVCB"),
    (RecordType::Https, "HTTPS"),
    (RecordType::Ixfr, "IXFR"),
    (RecordType::Axfr, "AXFR"),
    (RecordType::Any, "ANY"),
    (RecordType::Caa, "CAA"),
];

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TYPES.iter().find(|(t, _)| t == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for RecordType {
    type Err = String;

    /// Reads `AAAA` or `aaaa`.
    fn from_str(text: &str) -> Result<Self, String> {
        let found = TYPES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        found.map(|(t, _)| *t).ok_or_else(|| format!("unknown record type {text:?}"))
    }
}

/// How an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Rcode {
    /// The name exists; without records: not of this type (NODATA).
    NoError,
    /// The server can't tell.
    ServFail,
    /// The name doesn't exist.
    NxDomain,
    /// The server won't tell.
    Refused,
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rcode::NoError => "NOERROR",
            Rcode::ServFail => "SERVFAIL",
            Rcode::NxDomain => "NXDOMAIN",
            Rcode::Refused => "REFUSED",
        })
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// An absolute name, with the dot at its end, in the letters in which it was asked.
    pub name: String,
    /// Of which type.
    pub type_: RecordType,
}

impl Question {
    /// A question for an absolute name.
    pub fn new(name: impl Into<String>, type_: RecordType) -> Question {
        Question { name: name.into(), type_ }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Record {
    /// Whose.
    pub name: String,
    /// Seconds for which it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name that is meant.
    Cname(String),
    /// The name of an address.
    Ptr(String),
    /// The name of a server of the zone.
    Ns(String),
    /// Text.
    Txt(String),
    /// Where a named port is.
    Srv {
        /// Lower ones first.
        priority: u16,
        /// Share among those of a priority.
        weight: u16,
        /// Port.
        port: u16,
        /// Name of the host.
        target: String,
    },
    /// The start of a zone, which comes with negative answers (RFC 2308).
    Soa {
        /// Its first server.
        mname: String,
        /// Who minds it.
        rname: String,
        /// Seconds for which a negative answer may be kept.
        minttl: u32,
    },
}

impl Data {
    /// An address.
    pub fn address(ip: IpAddr) -> Data {
        match ip {
            IpAddr::V4(ip) => Data::A(ip),
            IpAddr::V6(ip) => Data::Aaaa(ip),
        }
    }
    /// The type of the record.
    pub const fn type_(&self) -> RecordType {
        match self {
            Data::A(_) => RecordType::A,
            Data::Aaaa(_) => RecordType::Aaaa,
            Data::Cname(_) => RecordType::Cname,
            Data::Ptr(_) => RecordType::Ptr,
            Data::Ns(_) => RecordType::Ns,
            Data::Txt(_) => RecordType::Txt,
            Data::Srv { .. } => RecordType::Srv,
            Data::Soa { .. } => RecordType::Soa,
        }
    }
}

/// Serial of a zone: CoreDNS takes the time of the last change; nothing here depends on it.
const SERIAL: u32 = 1;

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::A(ip) => write!(f, "{ip}"),
            Data::Aaaa(ip) => write!(f, "{ip}"),
            Data::Cname(name) | Data::Ptr(name) | Data::Ns(name) => f.write_str(name),
            Data::Txt(text) => write!(f, "\"{text}\""),
            Data::Srv { priority, weight, port, target } => write!(f, "{priority} {weight} {port} {target}"),
            // `plugin.SOA`: refresh 7200, retry 1800, expire 86400.
            Data::Soa { mname, rname, minttl } => write!(f, "{mname} {rname} {SERIAL} 7200 1800 86400 {minttl}"),
        }
    }
}

impl fmt::Display for Record {
    /// As in a zone file: `web.shop.svc.cluster.local. 30 IN A 10.96.0.20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} IN {} {}", self.name, self.ttl, self.data.type_(), self.data)
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// How it went.
    pub rcode: Rcode,
    /// The records; an alias stands before what it leads to.
    pub answer: Vec<Record>,
    /// With a negative answer: the start of the zone.
    pub authority: Vec<Record>,
    /// Addresses of the names in `answer`.
    pub additional: Vec<Record>,
    /// Whether something was left out (TC).
    pub truncated: bool,
}

impl Answer {
    /// An answer without records.
    pub const fn empty(rcode: Rcode) -> Answer {
        Answer { rcode, answer: Vec::new(), authority: Vec::new(), additional: Vec::new(), truncated: false }
    }
    /// The addresses in it.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.answer.iter().filter_map(|r| match r.data {
            Data::A(ip) => Some(IpAddr::V4(ip)),
            Data::Aaaa(ip) => Some(IpAddr::V6(ip)),
            _ => None,
        })
    }
    /// Seconds for which it may be kept: the least of its records (RFC 2308 for a negative one). None: not at all.
    pub fn ttl(&self) -> Option<u32> {
        if matches!(self.rcode, Rcode::ServFail | Rcode::Refused) {
            return None;
        }
        self.answer.iter().chain(&self.authority).map(|r| r.ttl).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_and_printed() {
        for (type_, name) in TYPES {
            assert_eq!(name.parse(), Ok(type_));
            assert_eq!(name.to_lowercase().parse(), Ok(type_));
            assert_eq!(type_.to_string(), name);
        }
        assert!("WAT".parse::<RecordType>().is_err());
    }
}
