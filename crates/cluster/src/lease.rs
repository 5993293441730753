//! Leases of nodes in `kube-node-lease`: what a kubelet renews. They are computed when someone looks
//! (`pkg/kubelet/nodelease`).

use crate::cluster::Cluster;
use kube_api::{Kind, Node, ObjectMeta, OwnerReference};
use lab_base::Time;
use std::sync::Arc;

/// Where kubelets keep their leases.
pub const NODE_LEASES: &str = "kube-node-lease";
/// Seconds for which a kubelet asks to be believed (`nodeLeaseDurationSeconds`).
pub const LEASE_SECONDS: i64 = 40;

/// A Lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// Name, owner and the rest.
    pub metadata: ObjectMeta,
    /// Who holds it.
    pub holder: String,
    /// When it was renewed last.
    pub renewed: Time,
}

impl Cluster {
    /// The leases of the nodes, by name.
    pub fn leases(&self) -> Vec<Lease> {
        self.store.list::<Node>().map(|node| self.lease(node)).collect()
    }

    fn lease(&self, node: &Arc<Node>) -> Lease {
        let name = node.metadata.name.clone();
        let heard = self.machine(&name).and_then(|m| m.silent_since).unwrap_or(self.now);
        let born = node.metadata.creation_timestamp.unwrap_or_default();
        // The same ticks after which `node_lifecycle.rs` finds a silent node.
        let renewed = self.last_renewal(&name, heard);
        Lease {
            metadata: ObjectMeta {
                name: name.clone(),
                namespace: NODE_LEASES.into(),
                uid: node.metadata.uid,
                resource_version: node.metadata.resource_version,
                creation_timestamp: node.metadata.creation_timestamp,
                owner_references: vec![OwnerReference {
                    controller: false,
                    // A kubelet doesn't ask to be waited for.
                    block_owner_deletion: false,
                    ..OwnerReference::to_controller(Kind::Node, &node.metadata)
                }],
                ..ObjectMeta::default()
            },
            holder: name,
            renewed: renewed.max(born),
        }
    }
}
