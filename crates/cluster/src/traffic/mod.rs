//! Clients and their requests, through the nodes' rules to the servers and back.
//!
//! The way there: name -> address (DNS), the node's netfilter hooks (`datapath`), the link, the Pod's socket. What goes wrong
//! where decides what the client sees (SPEC section 10): a RST or an ICMP error at once, or nothing until it gives up.
//!
//! - `client.rs`: who sends when; `retry.rs`: and again.
//! - `request.rs`: an attempt, from its sending until its client knows how it ended.
//! - `connection.rs`: the first packet's way; `link.rs`: time and luck on the wires; `pool.rs`: connections that are kept.
//! - `lookup.rs`: questions to CoreDNS, where it runs in Pods.
//! - `server.rs`: the queue and the workers of a Pod's process.

mod client;
mod connection;
mod link;
mod lookup;
mod pool;
mod request;
mod retry;
mod server;

pub(crate) use client::l4;
pub use client::{Client, KnownName};
pub(crate) use link::{Wire, Wires};
pub(crate) use lookup::Lookup;
pub use pool::{Connection, ConnectionId};
pub use request::{Request, RequestId};
