//! What failures took away, and when it was back.

use super::Lab;
use super::client::request;
use lab_base::Time;
use lab_protocol::{Failover, Reply, Request};

impl Lab {
    /// Each failure up to the shown moment, as far as it had come by then, with that moment; None: the engine can't say.
    pub async fn failovers(&self) -> Option<(Time, Vec<Failover>)> {
        let (cluster, at) = (self.id, self.asked_time());
        match request(|ticket| Request::Failovers { cluster, ticket, at }).await {
            Some(Reply::Failovers { failovers, .. }) => Some((at, failovers)),
            _ => None,
        }
    }
}
