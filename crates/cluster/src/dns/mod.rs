//! DNS of the cluster: CoreDNS's answers, the resolver in a Pod that asks for them, and what both keep.
//!
//! [`Zones::answer`] is a pure function over what CoreDNS knows (`plugin/kubernetes` of coredns/coredns, kubernetes/dns
//! `docs/specification.md` 1.1.0). [`Resolver`] is a Pod's `/etc/resolv.conf` and what the C library makes of it.

mod cache;
mod message;
mod name;
mod records;
mod resolver;
mod server;
mod zones;

pub use cache::Cache;
pub use message::{Answer, Data, Question, Rcode, Record, RecordType};
pub use name::{DnsName, reverse_name};
pub use records::{Knowledge, Objects, PodRecord};
pub use resolver::{Resolution, Resolver, Tried};
pub use server::{DNS_ADDRESS, DnsCache, DnsConfig, DnsServer};
pub(crate) use server::{GIVES_UP_AFTER, service_of_name};
pub use zones::{PodRecords, Upstream, Zones};
