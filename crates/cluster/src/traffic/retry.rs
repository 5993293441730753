//! Attempts after a failure.

use super::client::Client;
use super::request::{Request, RequestId};
use crate::cluster::Cluster;
use crate::event::Event;
use crate::scenario::RetrySpec;
use lab_base::{Source, Span};
use lab_protocol::Outcome;
use std::sync::Arc;

impl RetrySpec {
    /// The longest wait before a retry, counted from 0.
    pub fn wait(&self, nth: u8) -> Span {
        let doubled = self.backoff.times(1 << nth.min(30));
        doubled.min(self.max_backoff.max(self.backoff))
    }
}

impl Cluster {
    /// Plans another attempt, if the client makes one after such an end.
    pub(super) fn retry(&mut self, client: &Client, request: &Request, outcome: Outcome) -> bool {
        let spec = &client.spec.retries;
        if request.attempt >= spec.max || !spec.after.contains(&outcome) {
            return false;
        }
        self.facts.count_attempt(request.pod, outcome);
        let wait = spec.wait(request.attempt);
        let half = Span::from_micros(wait.as_micros() / 2);
        let luck = request.luck(client);
        let wait = self.dice.roll(Source::Retry, luck, request.ordinal).between(half, wait);
        self.last_request += 1;
        let id = self.last_request;
        let next = Request {
            began: request.began,
            attempt: request.attempt + 1,
            ordinal: request.ordinal,
            ..Request::new(client, self.now)
        };
        self.requests.insert(id, next);
        self.events.plan(self.now + wait, Event::Retry(id));
        true
    }

    /// The wait is over.
    pub(crate) fn try_again(&mut self, id: RequestId) {
        let Some(request) = self.requests.remove(&id) else { return };
        if let Some(client) = self.clients.get_mut(&request.client) {
            Arc::make_mut(client).retried += 1;
        }
        self.attempt(request);
    }
}
