//! Answers that are kept for a while.

use super::message::{Answer, RecordType};
use lab_base::{OrdMap, Span, Time};
use serde::Serialize;
use std::sync::Arc;

/// Most answers that are kept (`cache` of CoreDNS holds 9984 of each sort; more names than this aren't asked for here).
const MOST: usize = 1_000;

/// Answers by question, each with the time at which it may no longer be given.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cache {
    kept: OrdMap<(String, RecordType), (Time, Arc<Answer>)>,
}

impl Cache {
    /// The answer that is kept, with what is left of its time to live.
    pub fn get(&self, now: Time, name: &str, type_: RecordType) -> Option<Answer> {
        let (until, answer) = self.kept.get(&(name.to_ascii_lowercase(), type_))?;
        let left = until.since(now).as_micros() / 1_000_000;
        if *until <= now {
            return None;
        }
        let mut answer = (**answer).clone();
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        for record in answer.answer.iter_mut().chain(&mut answer.authority).chain(&mut answer.additional) {
            record.ttl = record.ttl.min(left);
        }
        Some(answer)
    }

    /// Keeps an answer for a time.
    pub fn keep(&mut self, now: Time, name: &str, type_: RecordType, answer: &Answer, span: Span) {
        if self.kept.len() >= MOST {
            let over = |(_, (until, _)): &(&_, &(Time, _))| *until <= now;
            let old: Vec<_> = self.kept.iter().filter(over).map(|(key, _)| key.clone()).collect();
            for key in old {
                self.kept.remove(&key);
            }
        }
        if self.kept.len() < MOST && span > Span::ZERO {
            self.kept.insert((name.to_ascii_lowercase(), type_), (now + span, Arc::new(answer.clone())));
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.kept = OrdMap::new();
    }
}
