//! `kubectl diff`: what applying a text would change, object by object, and nothing changes.

use crate::cluster::Cluster;
use kube_api::assist;
use kube_api::manifest::{self, Content};
use kube_api::wire::wire;
use lab_protocol::{Change, Verb};

impl Cluster {
    /// What applying a text would do to each of its objects, in the order of the text, and the lines in which each differs
    /// from what is stored now: after defaults, so that order, comments and what the server would fill in anyway count for
    /// nothing. Objects with mistakes are left out; [`Cluster::apply_yaml`] tells those.
    pub fn compare(mut self, text: &str) -> Vec<Change> {
        let parsed = manifest::parse_as(text, self.release);
        let each = |manifest: manifest::Manifest| match manifest.content {
            Content::Lab { kind, name, .. } => {
                Change { object: format!("{kind}/{name}"), verb: Verb::Scenario, lines: String::new() }
            }
            Content::Object(object) => {
                let (kind, key) = (object.kind(), object.metadata().key());
                let stored = |cluster: &Cluster| cluster.find(kind, &key).as_ref().map(wire);
                let before = stored(&self);
                let (verb, lines) = match (self.apply_object(object), stored(&self)) {
                    (Err(message), _) => (Verb::Refused, message),
                    (Ok(_), Some(after)) => {
                        let lines = assist::diff(before.as_ref(), &after);
                        let verb = match before {
                            None => Verb::Created,
                            Some(_) if lines.is_empty() => Verb::Unchanged,
                            Some(_) => Verb::Configured,
                        };
                        (verb, lines)
                    }
                    (Ok(_), None) => (Verb::Unchanged, String::new()),
                };
                Change { object: format!("{}/{}", kind.name(), key.name), verb, lines }
            }
        };
        parsed.manifests.into_iter().map(each).collect()
    }
}
