//! Connection tracking (`net/netfilter/nf_conntrack_core.c`, `nf_conntrack_proto_*.c`).
//!
//! An entry is gone at its expiry, whoever looks and whenever: every change first drops what has expired.

use crate::tuples::Tuples;
use crate::{Flow, Nat};
use lab_base::{OrdSet, Span, Time};
use serde::{Serialize, Serializer};

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
    pub(crate) queued: Time,
}

impl Entry {
    pub(crate) fn new(now: Time, nat: Nat, expires: Time) -> Entry {
        Entry { nat, state: State::New, started: now, expires, replied: false, ipvs: false, queued: expires }
    }
}

/// The table of connections.
#[derive(Clone, Debug, Default)]
pub struct Conntrack {
    tuples: Tuples,
    /// The entries' times of expiry, with their places.
    queue: OrdSet<(Time, u32)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Conntrack {
    /// The entry of this connection, if it has not expired.
    pub fn get(&self, now: Time, flow: &Flow) -> Option<Entry> {
        self.tuples.find(flow).and_then(|id| self.tuples.get(id)).filter(|e| e.expires > now)
    }
    /// All entries that have not expired, in order of their original tuples.
    pub fn iter(&self, now: Time) -> impl Iterator<Item = (Flow, Entry)> {
        self.tuples.in_order().into_iter().filter(move |(_, e)| e.expires > now)
    }
    /// How many entries there are, as of the last change.
    pub fn len(&self) -> usize {
        self.tuples.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Drops what has expired.
    pub(crate) fn expire(&mut self, now: Time) {
        while let Some((due, id)) = self.queue.get_min().copied().filter(|(due, _)| *due <= now) {
            self.queue.remove(&(due, id));
            let Some(mut entry) = self.tuples.get(id) else { continue };
            if entry.expires <= now {
                self.tuples.remove(id);
            } else {
                entry.queued = entry.expires;
                self.tuples.set(id, &entry);
                self.queue.insert((entry.expires, id));
            }
        }
    }
    /// Drops this entry.
    pub(crate) fn forget(&mut self, flow: &Flow) {
        if let Some(id) = self.tuples.find(flow)
            && let Some(entry) = self.tuples.remove(id)
        {
            self.queue.remove(&(entry.queued, id));
        }
    }
    /// Adds an entry where there is none.
    pub(crate) fn add(&mut self, now: Time, flow: Flow, nat: Nat, life: Span) {
        let expires = now + life;
        let id = self.tuples.add(flow, Entry::new(now, nat, expires));
        self.queue.insert((expires, id));
    }
    /// Puts a new entry in the place of one with the same original tuple.
    pub(crate) fn renew(&mut self, now: Time, flow: Flow, nat: Nat, life: Span) {
        let Some(id) = self.tuples.find(&flow) else { return self.add(now, flow, nat, life) };
        let Some(old) = self.tuples.get(id) else { return };
        let mut entry = Entry::new(now, nat, now + life);
        // A later time is found when the earlier one is due.
        entry.queued = entry.expires.min(old.queued);
        if entry.queued != old.queued {
            self.queue.remove(&(old.queued, id));
            self.queue.insert((entry.queued, id));
        }
        self.tuples.replace(id, &flow, &entry);
    }
    /// Changes a live entry. A time of expiry that comes nearer is queued anew; a later one is found when due.
    pub(crate) fn update(&mut self, now: Time, flow: &Flow, change: impl FnOnce(&mut Entry)) -> Option<Nat> {
        let id = self.tuples.find(flow)?;
        let mut entry = self.tuples.get(id).filter(|e| e.expires > now)?;
        let before = entry.queued;
        change(&mut entry);
        if entry.expires < before {
            entry.queued = entry.expires;
            self.queue.remove(&(before, id));
            self.queue.insert((entry.expires, id));
        }
        self.tuples.set(id, &entry);
        Some(entry.nat)
    }
    /// Deletes entries, as `conntrack -D` does. How many.
    pub(crate) fn delete(&mut self, which: impl Fn(&Flow, &Entry) -> bool) -> usize {
        let all = self.tuples.in_order().into_iter();
        let gone: Vec<Flow> = all.filter(|(f, e)| which(f, e)).map(|(f, _)| f).collect();
        for flow in &gone {
            self.forget(flow);
        }
        gone.len()
    }
    /// Whether another connection already has this translation's replies.
    pub(crate) fn is_taken(&self, flow: &Flow, nat: Nat) -> bool {
        self.tuples.is_reply_of_another(flow, nat)
    }
}

impl Serialize for Conntrack {
    /// The entries, in the order of their original tuples: where they are kept says nothing.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.tuples.in_order())
    }
}
