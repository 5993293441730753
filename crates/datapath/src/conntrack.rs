//! Connection tracking (`net/netfilter/nf_conntrack_core.c`, `nf_conntrack_proto_*.c`).
//!
//! An entry is gone at its expiry, whoever looks and whenever: every change first drops what has expired.

use crate::{Flow, L4, Nat};
use lab_base::{OrdMap, OrdSet, Span, Time};
use serde::Serialize;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// Only its first packet was seen.
    New,
    /// Packets went both ways.
    Established,
    /// It was closed; the entry waits for stragglers.
    TimeWait,
}

/// How long entries live without packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `nf_conntrack_tcp_timeout_syn_sent`.
    pub tcp_syn_sent: Span,
    /// `nf_conntrack_tcp_timeout_established`; kube-proxy sets 24 h, the kernel's own default is 5 days.
    pub tcp_established: Span,
    /// `nf_conntrack_tcp_timeout_time_wait`.
    pub tcp_time_wait: Span,
    /// `nf_conntrack_udp_timeout`.
    pub udp: Span,
    /// `nf_conntrack_udp_timeout_stream`: answered, and still alive after two seconds.
    pub udp_stream: Span,
    /// `nf_conntrack_sctp_timeout_cookie_wait`.
    pub sctp_cookie_wait: Span,
    /// `nf_conntrack_sctp_timeout_established`.
    pub sctp_established: Span,
    /// `nf_conntrack_sctp_timeout_closed`.
    pub sctp_closed: Span,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            tcp_syn_sent: Span::from_secs(120),
            tcp_established: Span::from_secs(24 * 3600),
            tcp_time_wait: Span::from_secs(120),
            udp: Span::from_secs(30),
            udp_stream: Span::from_secs(120),
            sctp_cookie_wait: Span::from_secs(3),
            sctp_established: Span::from_secs(210),
            sctp_closed: Span::from_secs(10),
        }
    }
}

/// A tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Where its packets go.
    pub nat: Nat,
    /// How far it is.
    pub state: State,
    /// When its first packet came.
    pub started: Time,
    /// When it is forgotten, unless packets come before.
    pub expires: Time,
    /// Whether the other side has answered.
    pub replied: bool,
    /// Whether IPVS translated it. Left out where it didn't, so that other nodes' bytes don't depend on it.
    #[serde(skip_serializing_if = "is_false")]
    pub ipvs: bool,
    /// When the queue looks at it next; never after `expires`.
    #[serde(skip)]
    queued: Time,
}

/// Source and destination of replies: who answers, whom.
type ReplyTuple = Flow;

/// The table of connections.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Conntrack {
    entries: OrdMap<Flow, Entry>,
    #[serde(skip)]
    replies: OrdMap<ReplyTuple, Flow>,
    #[serde(skip)]
    queue: OrdSet<(Time, Flow)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !*value
}

fn reply_of(proto: L4, nat: Nat) -> ReplyTuple {
    Flow { proto, src: nat.dst, dst: nat.src }
}

impl Conntrack {
    /// The entry of this connection, if it has not expired.
    pub fn get(&self, now: Time, flow: &Flow) -> Option<&Entry> {
        self.entries.get(flow).filter(|e| e.expires > now)
    }
    /// All entries that have not expired, in order of their original tuples.
    pub fn iter(&self, now: Time) -> impl Iterator<Item = (&Flow, &Entry)> {
        self.entries.iter().filter(move |(_, e)| e.expires > now)
    }
    /// How many entries there are, as of the last change.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// Drops what has expired.
    pub(crate) fn expire(&mut self, now: Time) {
        while let Some((due, flow)) = self.queue.get_min().copied().filter(|(due, _)| *due <= now) {
            self.queue.remove(&(due, flow));
            let Some(entry) = self.entries.get_mut(&flow).filter(|e| e.queued == due) else { continue };
            if entry.expires <= now {
                self.forget(&flow);
            } else {
                entry.queued = entry.expires;
                self.queue.insert((entry.expires, flow));
            }
        }
    }
    /// Drops this entry.
    pub(crate) fn forget(&mut self, flow: &Flow) {
        if let Some(entry) = self.entries.remove(flow) {
            self.queue.remove(&(entry.queued, *flow));
            let reply = reply_of(flow.proto, entry.nat);
            if self.replies.get(&reply) == Some(flow) {
                self.replies.remove(&reply);
            }
        }
    }
    pub(crate) fn insert(&mut self, now: Time, flow: Flow, nat: Nat, life: Span) {
        self.forget(&flow);
        let expires = now + life;
        self.replies.insert(reply_of(flow.proto, nat), flow);
        self.queue.insert((expires, flow));
        let entry =
            Entry { nat, state: State::New, started: now, expires, replied: false, ipvs: false, queued: expires };
        self.entries.insert(flow, entry);
    }
    /// Changes a live entry. A time of expiry that comes nearer is queued anew; a later one is found when due.
    pub(crate) fn update(&mut self, now: Time, flow: &Flow, change: impl FnOnce(&mut Entry)) -> Option<Nat> {
        let entry = self.entries.get_mut(flow).filter(|e| e.expires > now)?;
        change(entry);
        if entry.expires < entry.queued {
            self.queue.remove(&(entry.queued, *flow));
            entry.queued = entry.expires;
            self.queue.insert((entry.expires, *flow));
        }
        Some(entry.nat)
    }
    /// Deletes entries, as `conntrack -D` does. How many.
    pub(crate) fn delete(&mut self, which: impl Fn(&Flow, &Entry) -> bool) -> usize {
        let gone: Vec<Flow> = self.entries.iter().filter(|(f, e)| which(f, e)).map(|(f, _)| *f).collect();
        for flow in &gone {
            self.forget(flow);
        }
        gone.len()
    }
    /// Whether another connection already has this translation's replies.
    pub(crate) fn is_taken(&self, flow: &Flow, nat: Nat) -> bool {
        self.replies.get(&reply_of(flow.proto, nat)).is_some_and(|other| other != flow)
    }
}
