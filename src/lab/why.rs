//! Questions for the engine: what happened to a request, why a Pod gets traffic, and the line of YAML behind it.

use super::Lab;
use super::client::request;
use lab_base::Time;
use lab_protocol::{FieldRef, Id, Place, Reply, Request, Story};

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// What happened to this request.
    Request {
        /// Its number.
        id: u64,
        /// When it was sent.
        sent: Time,
    },
    /// Why a Pod gets traffic, or doesn't.
    Pod(Id),
    /// Which rules a Service has.
    Rules(Id),
}

impl Lab {
    /// The story of a request; with what the other modes of kube-proxy would do, if `modes`.
    pub async fn why(&self, id: u64, sent: Time, modes: bool) -> Option<Box<Story>> {
        let cluster = self.id;
        let ask = request(|ticket| Request::Why { cluster, ticket, request: id, sent, modes });
        told(ask.await)
    }

    /// Why a Pod gets a Service's traffic from a node at the shown moment, or doesn't.
    pub async fn why_pod(&self, pod: Id, service: Id, node: String) -> Option<Box<Story>> {
        let (cluster, at) = (self.id, self.asked_time());
        told(request(|ticket| Request::WhyPod { cluster, ticket, at, pod, service, node }).await)
    }

    /// Where a field of an object stands in a text; None: the text doesn't have the object.
    pub async fn locate(&self, yaml: String, field: FieldRef) -> Option<Place> {
        let (cluster, at) = (self.id, self.asked_time());
        match request(|ticket| Request::Locate { cluster, ticket, at, yaml, field }).await {
            Some(Reply::Located { place, .. }) => place,
            _ => None,
        }
    }
}

fn told(reply: Option<Reply>) -> Option<Box<Story>> {
    match reply {
        Some(Reply::Why { story, .. }) => story,
        _ => None,
    }
}
