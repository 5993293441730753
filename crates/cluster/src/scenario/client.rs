//! `kind: Client`.

use super::duration::duration;
use crate::dns::{DnsCache, DnsName};
use crate::target::Target;
use lab_base::{Span, Time};
use lab_protocol::Outcome;
use serde::{Deserialize, Deserializer, Serialize};

/// Most requests a second that one client sends.
const MAX_RATE: f64 = 2_000.0;
/// Most users, and most connections, of one client.
const MAX_USERS: u32 = 1_000;

/// `kind: Client`, `spec`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientSpec {
    /// `cluster`, or `outside` of it.
    pub from: ClientFrom,
    /// Node that it runs on; empty: the first.
    pub node: String,
    /// Namespace of its Pod, which comes first in its search list.
    pub namespace: String,
    /// `http://NAME[:PORT]/`, `http://IP[:PORT]/`, the same with `udp`, or `*`: every Service in turn.
    pub target: String,
    /// Requests a second, whatever becomes of them (open loop).
    pub rate: Rate,
    /// So many users instead, each of whom waits for an answer and then thinks (closed loop); 0: none.
    pub users: u32,
    /// Mean time that a user thinks between an answer and the next request.
    #[serde(deserialize_with = "duration")]
    pub think_time: Span,
    /// `random` (gaps as of many independent users) or `steady`; the same for times to think.
    pub arrival: Arrival,
    /// After how long it gives an attempt up.
    #[serde(deserialize_with = "duration")]
    pub timeout: Span,
    /// After how long it gives up before the connection stands; zero: as `timeout`.
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Span,
    /// How many connections it keeps and uses again; 0: each request has one of its own.
    pub connections: u32,
    /// What it does after a failure.
    pub retries: RetrySpec,
    /// How long it keeps the addresses of a name: `none`, `ttl` or a time.
    pub dns_cache: DnsCache,
}

impl Default for ClientSpec {
    fn default() -> Self {
        ClientSpec {
            from: ClientFrom::Cluster,
            node: String::new(),
            namespace: "default".into(),
            target: "*".into(),
            rate: Rate::constant(10.0),
            users: 0,
            think_time: Span::from_secs(1),
            arrival: Arrival::Random,
            timeout: Span::from_secs(1),
            connect_timeout: Span::ZERO,
            connections: 0,
            retries: RetrySpec::default(),
            dns_cache: DnsCache::None,
        }
    }
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientFrom {
    /// On a node, with an address of the node's Pod range.
    Cluster,
    /// In the internet.
    Outside,
}

/// How the gaps between requests are spread.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Arrival {
    /// Exponential gaps.
    Random,
    /// Equal gaps.
    Steady,
}

/// Requests a second as time goes on: each step holds until the next one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rate(Vec<RateStep>);

/// A step of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RateStep {
    /// From when on, counted from the start of the run.
    #[serde(deserialize_with = "duration")]
    pub at: Span,
    /// Requests a second.
    pub rate: f64,
}

impl Rate {
    /// The same all the time.
    pub fn constant(rate: f64) -> Rate {
        Rate(vec![RateStep { at: Span::ZERO, rate }])
    }
    /// The rate at a moment, and until when it holds. Before the first step nothing is sent.
    pub fn at(&self, now: Time) -> (f64, Time) {
        let since = now.since(Time::ZERO);
        let next = self.0.iter().find(|s| s.at > since).map_or(Time::FOREVER, |s| Time::ZERO + s.at);
        let rate = self.0.iter().rev().find(|s| s.at <= since).map_or(0.0, |s| s.rate);
        (rate, next)
    }
    fn is_right(&self) -> bool {
        let rising = self.0.windows(2).all(|w| w[0].at < w[1].at);
        rising && self.0.iter().all(|s| s.rate.is_finite() && (0.0..=MAX_RATE).contains(&s.rate))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Rate;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("requests a second, or a list of {at, rate}")
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Rate, E> {
                Ok(Rate::constant(n as f64))
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Rate, E> {
                Ok(Rate::constant(n as f64))
            }
            fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Rate, E> {
                Ok(Rate::constant(n))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Rate, A::Error> {
                let mut steps = Vec::new();
                while let Some(step) = seq.next_element()? {
                    steps.push(step);
                }
                Ok(Rate(steps))
            }
        }
        d.deserialize_any(Visitor)
    }
}

/// What a client does after a failure.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetrySpec {
    /// How often it tries again.
    pub max: u8,
    /// Before the first retry it waits this long at most, and half of it at least; twice that before the next.
    #[serde(deserialize_with = "duration")]
    pub backoff: Span,
    /// Longest wait.
    #[serde(deserialize_with = "duration")]
    pub max_backoff: Span,
    /// After which outcomes.
    #[serde(deserialize_with = "outcomes")]
    pub after: Vec<Outcome>,
}

impl Default for RetrySpec {
    fn default() -> Self {
        RetrySpec {
            max: 0,
            backoff: Span::from_millis(100),
            max_backoff: Span::from_secs(10),
            after: Outcome::ALL[1..].to_vec(),
        }
    }
}

fn outcomes<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Outcome>, D::Error> {
    let names = Vec::<String>::deserialize(d)?;
    let failures = &Outcome::ALL[1..];
    let outcome = |name: &String| failures.iter().copied().find(|o| o.key() == name);
    names
        .iter()
        .map(outcome)
        .collect::<Option<_>>()
        .ok_or_else(|| serde::de::Error::custom("expected refused, timed-out, reset, server-error or no-such-name"))
}

impl ClientSpec {
    /// The first thing in it that can't be: where, and what is expected.
    pub(super) fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let target = Target::parse(&self.target);
        if target.is_none() {
            return Some(("spec.target", "http://NAME[:PORT]/, http://IP[:PORT]/, the same with udp, or *"));
        }
        if !self.rate.is_right() {
            return Some(("spec.rate", "0 to 2000 requests a second, or such steps in order of their time"));
        }
        if self.users > MAX_USERS {
            return Some(("spec.users", "0 to 1000 users"));
        }
        if self.users > 0 && self.think_time < Span::from_millis(1) {
            return Some(("spec.thinkTime", "1ms or more"));
        }
        if DnsName::parse(&self.namespace).is_none_or(|n| n.dots() > 0 || n.is_absolute()) {
            return Some(("spec.namespace", "the name of a Namespace"));
        }
        if self.timeout == Span::ZERO {
            return Some(("spec.timeout", "more than 0"));
        }
        if self.connections > MAX_USERS {
            return Some(("spec.connections", "0 to 1000 connections"));
        }
        let udp = self.is_udp();
        if self.connections > 0 && (udp || target == Some(Target::EveryService)) {
            return Some(("spec.connections", "only a client of one TCP target keeps connections"));
        }
        if self.retries.max > 0 && self.retries.backoff == Span::ZERO {
            return Some(("spec.retries.backoff", "more than 0"));
        }
        let outside = self.from == ClientFrom::Outside;
        if outside && !self.node.is_empty() {
            return Some(("spec.node", "a client outside of the cluster is on no node"));
        }
        None
    }

    /// Whether it sends datagrams.
    pub fn is_udp(&self) -> bool {
        self.target.starts_with("udp://")
    }
}
