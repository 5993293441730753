//! A kube-proxy that has read a set of objects, as at its start.

use crate::{NodeContext, Proxier, Settings};
use kube_api::{IpFamily, Object};
use std::fmt;
use std::sync::Arc;

/// No Node has the name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNode {
    /// The name.
    pub name: String,
    /// The names that there are.
    pub nodes: Vec<String>,
}

impl fmt::Display for UnknownNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no Node named {:?}", self.name)?;
        if self.nodes.is_empty() {
            write!(f, "; there is none at all")
        } else {
            write!(f, "; there are {}", self.nodes.join(", "))
        }
    }
}

impl std::error::Error for UnknownNode {}

/// The kube-proxy of a node among these objects. It has seen all of them, but has not synced yet.
pub fn proxier_of(
    objects: &[Object],
    node: &str,
    settings: Arc<Settings>,
    family: IpFamily,
) -> Result<Proxier, UnknownNode> {
    let nodes = || {
        objects.iter().filter_map(|o| match o {
            Object::Node(node) => Some(node),
            _ => None,
        })
    };
    let Some(found) = nodes().find(|n| n.metadata.name == node) else {
        let nodes = nodes().map(|n| n.metadata.name.clone()).collect();
        return Err(UnknownNode { name: node.into(), nodes });
    };
    let mut proxier = Proxier::new(settings, NodeContext::of(found), family);
    for object in objects {
        match object {
            Object::Service(s) => proxier.set_service(&s.metadata.key(), Some(s.clone())),
            Object::EndpointSlice(s) => proxier.set_endpoint_slice(&s.metadata.key(), Some(s.clone())),
            _ => {}
        }
    }
    Ok(proxier)
}
