//! IPVS: virtual servers in the kernel, with the ipsets and iptables rules that kube-proxy writes around them.
//!
//! [`Table`] is what is configured, as `ipvsadm`, `ipset`, `ip address` and `iptables` show it; [`State`] is what
//! the kernel makes of it: connections, templates of persistent clients, and each scheduler's memory. Behaviour follows
//! `net/netfilter/ipvs`, `net/netfilter/ipset`, `ipvsadm(8)` and `ipset(8)`.
//!
//! Set as kube-proxy sets it: `conntrack=1`, `conn_reuse_mode=0`, `expire_nodest_conn=1`,
//! `expire_quiescent_template=1`. Forwarding is by masquerading only (`ipvsadm -m`); no firewall marks, no one-packet
//! scheduling, no synchronisation, no thresholds.

mod hash;
mod pass;
mod scheduler;
mod service;
mod sets;
mod state;
mod table;
mod text;

pub use pass::Echo;
pub use scheduler::Scheduler;
pub use sets::{Dimensions, Element, SetInfo, SetKind};
pub use state::{Load, RealServer, State, TIMEOUTS, Timeouts};
pub use table::{Base, Destination, Segment, ServerKey, Table, VirtualServer};
pub use text::listing;
pub(crate) use text::{flags, server_name};

pub(crate) use state::Scheduled;
