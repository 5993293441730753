//! Whose delay lost a request: the endpoint was bad, and somebody hadn't heard of it, or hadn't acted on it yet.

use crate::cluster::Cluster;
use crate::proxy::{seconds, service_of};
use crate::traffic::Request;
use kube_api::{EndpointSlice, Pod, Service};
use lab_protocol::Phrase;
use std::net::IpAddr;

impl Cluster {
    /// Why the rules of `node` still had the endpoint to which they sent a request that met nobody there. In the order in
    /// which the news travels: the kubelet or the node's lease, the EndpointSlice controller, kube-proxy.
    pub(super) fn whose_delay(&self, request: &Request, node: &str) -> Vec<Phrase> {
        let Some(service) = request.service.and_then(|uid| self.store.by_uid::<Service>(uid)) else {
            return Vec::new();
        };
        let ip = request.to.ip();
        let pod = request.pod.and_then(|uid| self.store.by_uid::<Pod>(uid));
        let counts_as_ready = pod.is_some_and(|p| p.is_ready() && !p.metadata.is_deleting());
        if let Some(pod) = pod.filter(|_| counts_as_ready) {
            // Nobody has noticed.
            let machine = self.machines.get(pod.spec.node_name.as_str());
            if machine.is_some_and(|m| !m.is_reachable()) {
                return vec![Phrase::new("why-late-lease").with("node", &pod.spec.node_name)];
            }
            return vec![Phrase::new("why-late-probe").with("pod", &pod.metadata.name)];
        }
        let mut phrases = Vec::new();
        match request.pod {
            _ if pod.is_some_and(|p| p.metadata.is_deleting()) => phrases.push(Phrase::new("why-pod-deleting")),
            _ if pod.is_some() => phrases.push(Phrase::new("why-pod-not-ready")),
            Some(uid) => {
                let gone = self.facts.ghosts().get(&ip).filter(|g| g.uid == uid);
                let ago = gone.map(|g| seconds(self.now.since(g.since))).unwrap_or_default();
                phrases.push(Phrase::new("why-pod-gone").with("seconds", ago));
            }
            None => return Vec::new(),
        }
        let name = request.pod.map(|uid| self.pod_name(uid)).unwrap_or_default();
        phrases.iter_mut().for_each(|p| p.args.push(("pod".into(), name.clone())));
        if self.slices_have(service, ip) {
            phrases.push(Phrase::new("why-late-slice").with("service", &service.metadata.name));
        } else if let Some(since) = self.machines.get(node).and_then(|m| m.behind_since()) {
            let behind = seconds(self.now.since(since));
            phrases.push(Phrase::new("why-late-proxy").with("node", node).with("seconds", behind));
        }
        phrases
    }

    /// Whether the Service's slices hold this address as an endpoint that is ready.
    fn slices_have(&self, service: &Service, ip: IpAddr) -> bool {
        let meta = &service.metadata;
        let own = |s: &&std::sync::Arc<EndpointSlice>| {
            s.metadata.namespace == meta.namespace && service_of(s) == Some(&meta.name)
        };
        let has = |e: &kube_api::Endpoint| {
            e.conditions.ready != Some(false) && e.addresses.first().is_some_and(|a| a.parse() == Ok(ip))
        };
        self.store.list::<EndpointSlice>().filter(own).any(|s| s.endpoints.iter().any(has))
    }
}
