//! The kernel's part of a Service: netfilter rules that are executed, and connection tracking.
//!
//! Nothing here knows Kubernetes. Rules are typed values; the walk over them and the text of
//! `iptables-restore` or `nft` come from the same values. Behaviour follows the Linux kernel (`net/netfilter`,
//! `net/ipv4/netfilter`), `iptables-extensions(8)` and `nft(8)`.
//!
//! Not here: fragments, ICMP, the raw and mangle tables, bridges, interfaces by name.
#![forbid(unsafe_code)]

mod conntrack;
pub mod digits;
mod draw;
mod index;
pub mod ipvs;
mod kernel;
mod list;
mod net;
pub mod nft;
mod ops;
mod origins;
mod outcome;
mod packet;
mod pass;
mod ranks;
mod recent;
mod rules;
mod ruleset;
mod segment;
mod slots;
mod text;
mod tuples;
mod walk;

pub use conntrack::{Conntrack, Entry as ConntrackEntry, State as ConntrackState, Timeouts};
pub use kernel::{Kernel, KernelConfig};
pub use list::{Rule, RuleList, Text};
pub use net::{Cidr, Net};
pub use outcome::{Observed, Opened, Share};
pub use packet::{Entry, Flow, L4, Nat, OriginId, Verdict};
pub use recent::{LIST_TOT, RecentLists};
pub use rules::{ChainRef, CtStates, Hook, Match, Probability, Table, Target};
pub use ruleset::{Base, Ruleset, SharedChain};
pub use segment::{OwnChain, Segment};
pub use text::{iptables_restore, rule_text};
pub use walk::TraceStep;
