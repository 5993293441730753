//! `kind: Workload`.

use super::duration::duration;
use kube_api::StringMap;
use lab_base::Span;
use serde::{Deserialize, Serialize};

/// `kind: Workload`, `spec`: how the process in a matching Pod behaves.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkloadSpec {
    /// Labels of the Pods.
    pub selector: StringMap,
    /// Port that it listens on; None: what its image or its container ports say.
    pub port: Option<u16>,
    /// Mean time that a request takes.
    #[serde(deserialize_with = "duration")]
    pub service_time: Span,
    /// How service times are spread around their mean.
    pub distribution: Distribution,
    /// Requests that it works on at the same time; 0: as many as come.
    pub concurrency: u32,
    /// Requests that wait for one of those to end; those that find the queue full get 503.
    pub queue: u32,
    /// How long it keeps an idle connection; zero: it closes each one after its answer.
    #[serde(deserialize_with = "duration")]
    pub keep_alive: Span,
    /// From the start of the process until it listens.
    #[serde(deserialize_with = "duration")]
    pub start_up: Span,
    /// What it does on SIGTERM.
    pub sigterm: Sigterm,
    /// Share of requests that it answers with an error, 0 to 1.
    pub errors: f64,
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        WorkloadSpec {
            selector: StringMap::new(),
            port: None,
            service_time: Span::from_millis(20),
            distribution: Distribution::Exponential,
            concurrency: 0,
            // Tomcat's acceptCount.
            queue: 100,
            // nginx's keepalive_timeout.
            keep_alive: Span::from_secs(75),
            start_up: Span::from_millis(500),
            sigterm: Sigterm::Drain,
            errors: 0.0,
        }
    }
}

/// How service times are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Distribution {
    /// Many short ones, few long ones.
    Exponential,
    /// Anything from nothing to twice the mean.
    Uniform,
    /// Each the same.
    Constant,
}

/// What a process does on SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Sigterm {
    /// Closes its listening socket, ends the requests that it has, exits.
    Drain,
    /// Exits at once.
    Drop,
    /// Goes on until SIGKILL.
    Ignore,
}

impl WorkloadSpec {
    /// The first thing in it that can't be: where, and what is expected.
    pub(super) fn mistake(&self) -> Option<(&'static str, &'static str)> {
        if !(self.errors.is_finite() && (0.0..=1.0).contains(&self.errors)) {
            return Some(("spec.errors", "a share from 0 to 1"));
        }
        if self.queue > 10_000 {
            return Some(("spec.queue", "0 to 10000 requests"));
        }
        None
    }
}
