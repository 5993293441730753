//! The service controller (`controllers/service/controller.go` of kubernetes/cloud-provider; SPEC section 7).

use super::health::TO_BE_DELETED;
use super::{LoadBalancer, LoadBalancerTarget};
use crate::cluster::Cluster;
use crate::event::{Controller, Event, NodeName};
use crate::store::Change;
use kube_api::{LoadBalancerIngress, NamespacedName, Node, Object, Release, Service, ServiceType};
use lab_base::{OrdMap, Span, Time};
use lab_protocol::{MarkKind, Phrase};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Nodes with this label aren't behind load balancers.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Holds a Service until its load balancer is gone (`LoadBalancerCleanupFinalizer`).
const CLEANUP: &str = "service.kubernetes.io/load-balancer-cleanup";
/// How often all nodes are looked at (`nodeSyncPeriod`).
const NODE_SYNC_PERIOD: Span = Span::from_secs(100);
/// How long the cloud needs to change a load balancer that is there: assumed.
const CHANGE: Span = Span::from_secs(5);

/// Whether the built-in controller has to do with a Service.
fn wants(service: &Service) -> bool {
    service.spec.type_ == ServiceType::LoadBalancer && service.spec.load_balancer_class.is_none()
}

fn excluded(node: &Node) -> bool {
    node.metadata.labels.contains_key(EXCLUDE)
}

fn tainted(node: &Node) -> bool {
    node.spec.taints.iter().any(|t| t.key == TO_BE_DELETED)
}

/// What a change of a Service must touch for the load balancer to be ensured again (`needsUpdate`).
fn differs(old: &Service, new: &Service) -> bool {
    let (a, b) = (&old.spec, &new.spec);
    a.ports != b.ports
        || a.load_balancer_source_ranges != b.load_balancer_source_ranges
        || a.session_affinity != b.session_affinity
        || a.session_affinity_config != b.session_affinity_config
        || a.load_balancer_ip != b.load_balancer_ip
        || a.external_ips != b.external_ips
        || a.external_traffic_policy != b.external_traffic_policy
        || a.health_check_node_port != b.health_check_node_port
        || a.ip_families != b.ip_families
        || old.metadata.annotations != new.metadata.annotations
        || old.metadata.uid != new.metadata.uid
}

impl Cluster {
    /// Queues what a change concerns.
    pub(crate) fn tell_service_controller(&mut self, change: &Change) {
        if self.cloud.is_none() {
            return;
        }
        match (&change.old, &change.new) {
            (Some(Object::Service(_)), _) | (_, Some(Object::Service(_))) => {
                self.enqueue(Controller::Service, change.key.clone());
            }
            (Some(Object::Node(old)), Some(Object::Node(new))) => {
                if excluded(old) != excluded(new) {
                    self.queue_load_balancers();
                }
                if tainted(old) != tainted(new) {
                    // A taint alone starts nothing: the next look at all nodes finds it.
                    let n = self.now.as_micros() / NODE_SYNC_PERIOD.as_micros() + 1;
                    let at = Time::ZERO + NODE_SYNC_PERIOD.times(n);
                    self.events.plan(at, Event::NodeSync);
                    self.look_at_targets();
                }
            }
            _ => {}
        }
    }

    /// The service controller's look at all nodes.
    pub(crate) fn queue_load_balancers(&mut self) {
        let keys: Vec<_> = self.cloud.iter().flat_map(|c| c.balancers.keys()).cloned().collect();
        for key in keys {
            self.enqueue(Controller::Service, key);
        }
    }

    /// Nodes that belong behind load balancers, ready or not.
    fn balanced_nodes(&self) -> Vec<NodeName> {
        let belongs = |n: &&Arc<Node>| !n.metadata.is_deleting() && !excluded(n) && !tainted(n);
        let names = self.store.list::<Node>().filter(belongs).map(|n| n.metadata.name.as_str());
        names.filter_map(|name| self.machines.get(name)).map(|m| m.name.clone()).collect()
    }

    /// Brings the cloud to what a Service asks for.
    pub(crate) fn sync_load_balancer(&mut self, key: &NamespacedName) {
        let Some(cloud) = &self.cloud else { return };
        let service = self.store.get::<Service>(key).cloned();
        let wanted = service.clone().filter(|s| wants(s) && !s.metadata.is_deleting());
        let present = cloud.balancers.get(key).cloned();
        let ordered = cloud.ordered.contains_key(key);
        match (wanted, present) {
            (None, Some(balancer)) => self.delete_load_balancer(key, &balancer),
            (Some(service), present) => {
                let nodes = self.balanced_nodes();
                let same = present.as_ref().is_some_and(|b| !differs(&b.ordered, &service));
                if same {
                    self.update_hosts(key, &service, &nodes);
                } else if !ordered {
                    self.service_event(&service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer");
                    self.store.update::<Service>(key, |s| {
                        if !s.metadata.finalizers.iter().any(|f| f == CLEANUP) {
                            s.metadata.finalizers.push(CLEANUP.into());
                        }
                    });
                    let takes = if present.is_some() { CHANGE } else { cloud_delay(self) };
                    if let Some(cloud) = &mut self.cloud {
                        cloud.ordered.insert(key.clone(), ());
                    }
                    let at = self.now + self.takes(takes);
                    self.events.plan(at, Event::LoadBalancerReady(key.clone()));
                }
            }
            (None, None) => self.let_go(key),
        }
    }

    /// The controller has no more to do with a Service.
    fn let_go(&mut self, key: &NamespacedName) {
        self.store.update::<Service>(key, |s| {
            if s.metadata.finalizers.iter().any(|f| f == CLEANUP) {
                s.metadata.finalizers.retain(|f| f != CLEANUP);
                s.status = Default::default();
            }
        });
    }

    fn delete_load_balancer(&mut self, key: &NamespacedName, balancer: &LoadBalancer) {
        let old = balancer.ordered.clone();
        self.service_event(&old, "Normal", "DeletingLoadBalancer", "Deleting load balancer");
        if let Some(cloud) = &mut self.cloud {
            for target in cloud.balancers.remove(key).iter().flat_map(|b| b.targets.values()) {
                target.turns.inspect(|turn| self.events.cancel(*turn));
            }
        }
        self.let_go(key);
        self.service_event(&old, "Normal", "DeletedLoadBalancer", "Deleted load balancer");
    }

    fn update_hosts(&mut self, key: &NamespacedName, service: &Service, nodes: &[NodeName]) {
        let balancer = self.cloud.as_ref().and_then(|c| c.balancers.get(key));
        if balancer.is_some_and(|b| b.targets.keys().eq(nodes.iter())) {
            return;
        }
        self.set_targets(key, nodes);
        self.service_event(service, "Normal", "UpdatedLoadBalancer", "Updated load balancer with new hosts");
        if nodes.is_empty() {
            let message = "There are no available nodes for LoadBalancer";
            self.service_event(service, "Warning", "UnAvailableLoadBalancer", message);
        }
    }

    /// Gives a balancer its nodes. A new one is checked before it gets anything.
    fn set_targets(&mut self, key: &NamespacedName, nodes: &[NodeName]) {
        let Some(balancer) = self.cloud.as_ref().and_then(|c| c.balancers.get(key)).cloned() else { return };
        let mut targets = OrdMap::new();
        for node in nodes {
            let healthy = || self.check_target(key, &balancer, node);
            let new = || LoadBalancerTarget { healthy: healthy(), turns: None };
            targets.insert(node.clone(), balancer.targets.get(node).cloned().unwrap_or_else(new));
        }
        for (_, target) in balancer.targets.iter().filter(|(name, _)| !nodes.contains(name)) {
            target.turns.inspect(|turn| self.events.cancel(*turn));
        }
        if let Some(balancer) = self.cloud.as_mut().and_then(|c| c.balancers.get_mut(key)) {
            Arc::make_mut(balancer).targets = targets;
        }
        self.look_at_targets();
    }

    /// The cloud has made or changed a load balancer.
    pub(crate) fn load_balancer_ready(&mut self, key: &NamespacedName) {
        let release = self.release;
        let Some(cloud) = &mut self.cloud else { return };
        cloud.ordered.remove(key);
        let Some(service) = self.store.get::<Service>(key).filter(|s| wants(s)).cloned() else { return };
        let before = cloud.balancers.get(key).cloned();
        let ip = before.as_ref().map_or_else(
            || {
                cloud.given = cloud.given.saturating_add(1);
                // 198.51.100.0/24 is for examples (RFC 5737).
                IpAddr::V4(Ipv4Addr::new(198, 51, 100, cloud.given.saturating_add(9)))
            },
            |b| b.ip,
        );
        let proxy = cloud.spec.ip_mode == "Proxy";
        let balancer = LoadBalancer {
            service: service.metadata.uid,
            ip,
            proxy,
            ordered: service.clone(),
            targets: before.map_or_else(OrdMap::new, |b| b.targets.clone()),
        };
        cloud.balancers.insert(key.clone(), Arc::new(balancer));
        let nodes = self.balanced_nodes();
        self.set_targets(key, &nodes);
        if nodes.is_empty() {
            let message = "There are no available nodes for LoadBalancer";
            self.service_event(&service, "Warning", "UnAvailableLoadBalancer", message);
        }
        // KEP-1860: the field is on from 1.30.
        let mode = if proxy { "Proxy" } else { "VIP" };
        let ip_mode = (release >= Release(30)).then(|| mode.to_owned());
        let ingress = LoadBalancerIngress { ip: ip.to_string(), hostname: String::new(), ip_mode };
        let changed = self.store.update::<Service>(key, |s| s.status.load_balancer.ingress = vec![ingress]);
        self.service_event(&service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer");
        if changed {
            let phrase = Phrase::new("mark-load-balancer-ready").with("service", &key.name).with("ip", ip);
            self.mark(MarkKind::Change, format!("Service/{}", key.name), phrase);
        }
        // What changed while the cloud was at work.
        self.enqueue(Controller::Service, key.clone());
    }
}

fn cloud_delay(cluster: &Cluster) -> Span {
    cluster.cloud.as_ref().map_or(Span::ZERO, |c| c.spec.address_after)
}
