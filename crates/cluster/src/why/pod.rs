//! A Pod, a Service and a node: why traffic goes from there to there, or doesn't.

use super::percent;
use crate::cluster::Cluster;
use crate::machine::Machine;
use crate::proxy::{seconds, service_of};
use datapath::{Entry, Flow};
use kube_api::{Endpoint, EndpointSlice, IpFamily, Pod, Service, ServiceType, TrafficPolicy, Uid, selects};
use lab_protocol::{Chapter, Id, Phrase, Story, Tone};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// A story while it is told.
struct Teller<'a> {
    cluster: &'a Cluster,
    service: &'a Service,
    chapters: Vec<Chapter>,
}

impl Teller<'_> {
    fn tell(&mut self, tone: Tone, text: Phrase, field: &str) {
        let field = if field.is_empty() { None } else { self.cluster.field_of(self.service.metadata.uid, field) };
        self.chapters.push(Chapter { at: self.cluster.now, tone, text, field, ..Chapter::default() });
    }
    fn good(&mut self, text: Phrase, field: &str) {
        self.tell(Tone::Good, text, field);
    }
    /// Something that keeps traffic away. Ends the telling: what comes after it doesn't matter.
    fn bad(&mut self, text: Phrase, field: &str) -> Option<()> {
        self.tell(Tone::Bad, text, field);
        None
    }
}

impl Cluster {
    /// Why a Pod gets a Service's traffic from a node, or doesn't: one condition after another, until one doesn't hold.
    /// None: there is no such Pod, Service or node.
    pub fn why_pod(&self, pod: Uid, service: Uid, node: &str) -> Option<Story> {
        let (pod, service) = (self.store.by_uid::<Pod>(pod)?, self.store.by_uid::<Service>(service)?);
        let machine = self.machines.get(node)?;
        let mut teller = Teller { cluster: self, service, chapters: Vec::new() };
        let holds = self.conditions(&mut teller, pod, service, machine).is_some();
        let text = Phrase::new(if holds { "why-pod-yes" } else { "why-pod-no" });
        let text = text.with("pod", &pod.metadata.name).with("service", &service.metadata.name).with("node", node);
        let tone = if holds { Tone::Good } else { Tone::Bad };
        teller.chapters.insert(0, Chapter { at: self.now, tone, text, ..Chapter::default() });
        let endpoint = if holds { pod.status.pod_ip.clone() } else { String::new() };
        Some(Story { chapters: teller.chapters, endpoint, pod: Some(Id(pod.metadata.uid.0)), ..Story::default() })
    }

    fn conditions(&self, t: &mut Teller<'_>, pod: &Pod, service: &Service, machine: &Machine) -> Option<()> {
        self.is_selected(t, pod, service)?;
        self.has_address(t, pod, service)?;
        let (slice, endpoint) = self.is_in_a_slice(t, pod, service)?;
        let ip: IpAddr = pod.status.pod_ip.parse().ok()?;
        self.is_in_the_rules(t, pod, service, machine, &slice, &endpoint, ip)?;
        self.is_reachable(t, pod, machine)
    }

    fn is_selected(&self, t: &mut Teller<'_>, pod: &Pod, service: &Service) -> Option<()> {
        let spec = &service.spec;
        if service.metadata.namespace != pod.metadata.namespace {
            let text = Phrase::new("why-pod-namespace").with("own", &pod.metadata.namespace);
            return t.bad(text.with("namespace", &service.metadata.namespace), "metadata.namespace");
        }
        if spec.type_ == ServiceType::ExternalName {
            return t.bad(Phrase::new("why-pod-external-name").with("name", &spec.external_name), "spec.externalName");
        }
        if spec.selector.is_empty() {
            t.tell(Tone::Step, Phrase::new("why-pod-no-selector"), "spec.selector");
            return Some(());
        }
        let wanted = |(k, v): (&String, &String)| format!("{k}={v}");
        let selector = spec.selector.iter().map(wanted).collect::<Vec<_>>().join(",");
        if selects(&spec.selector, &pod.metadata.labels) {
            t.good(Phrase::new("why-pod-selected").with("selector", selector), "spec.selector");
            return Some(());
        }
        let (key, want) = spec.selector.iter().find(|(k, v)| pod.metadata.labels.get(*k) != Some(*v))?;
        let text = match pod.metadata.labels.get(key) {
            Some(has) => Phrase::new("why-pod-label").with("has", format!("{key}={has}")),
            None => Phrase::new("why-pod-no-label"),
        };
        t.bad(text.with("wanted", format!("{key}={want}")).with("key", key), "spec.selector")
    }

    fn has_address(&self, t: &mut Teller<'_>, pod: &Pod, service: &Service) -> Option<()> {
        if pod.status.pod_ip.is_empty() {
            let id = if pod.spec.node_name.is_empty() { "why-pod-unscheduled" } else { "why-pod-no-ip" };
            return t.bad(Phrase::new(id), "");
        }
        if pod.is_finished() {
            return t.bad(Phrase::new("why-pod-finished"), "");
        }
        if service.spec.publish_not_ready_addresses {
            t.tell(Tone::Step, Phrase::new("why-pod-publishes"), "spec.publishNotReadyAddresses");
            return Some(());
        }
        let since = pod.condition("Ready").map(|c| seconds(self.now.since(c.last_transition_time))).unwrap_or_default();
        if pod.metadata.is_deleting() {
            // It may still be an endpoint of last resort: the rules decide.
            t.tell(Tone::Step, Phrase::new("why-pod-terminating"), "");
        } else if pod.is_ready() {
            t.good(Phrase::new("why-pod-ready").with("seconds", since), "");
        } else {
            // Perhaps some node hasn't heard of it: the slices and the rules decide.
            t.tell(Tone::Cause, Phrase::new("why-pod-unready").with("seconds", since), "");
        }
        Some(())
    }

    fn is_in_a_slice(
        &self,
        t: &mut Teller<'_>,
        pod: &Pod,
        service: &Service,
    ) -> Option<(Arc<EndpointSlice>, Endpoint)> {
        let meta = &service.metadata;
        let slices = self.store.list::<EndpointSlice>();
        let own = |s: &&Arc<EndpointSlice>| s.metadata.namespace == meta.namespace && service_of(s) == Some(&meta.name);
        let mut found = slices.filter(own).filter_map(|s| {
            let is = |e: &&Endpoint| e.addresses.first() == Some(&pod.status.pod_ip);
            s.endpoints.iter().find(is).map(|e| (s.clone(), e.clone()))
        });
        let Some((slice, endpoint)) = found.next() else {
            t.bad(Phrase::new("why-pod-no-slice"), "");
            return None;
        };
        let conditions = &endpoint.conditions;
        let (ready, serving) =
            (conditions.ready != Some(false), conditions.serving.or(conditions.ready) != Some(false));
        let terminating = conditions.terminating == Some(true);
        let id = match (ready, serving, terminating) {
            (true, ..) => "why-pod-slice",
            (_, true, true) => "why-pod-slice-terminating",
            _ => "why-pod-slice-unready",
        };
        let tone = if ready { Tone::Good } else { Tone::Step };
        t.tell(tone, Phrase::new(id).with("slice", &slice.metadata.name), "");
        Some((slice, endpoint))
    }

    #[allow(clippy::too_many_arguments)]
    fn is_in_the_rules(
        &self,
        t: &mut Teller<'_>,
        pod: &Pod,
        service: &Service,
        machine: &Machine,
        slice: &EndpointSlice,
        endpoint: &Endpoint,
        ip: IpAddr,
    ) -> Option<()> {
        let (key, node) = (service.metadata.key(), machine.name.to_string());
        let mode = machine.mode.name();
        if !machine.powered {
            return t.bad(Phrase::new("why-node-off").with("node", node), "");
        }
        if service.is_headless() {
            t.good(Phrase::new("why-pod-headless"), "spec.clusterIP");
            return Some(());
        }
        let has = |port: &str| machine.loaded.endpoints(&key, port).iter().any(|e| e.endpoint.ip() == ip);
        let port = service.spec.ports.iter().position(|p| has(&p.name));
        let behind = machine.behind_since().map(|since| seconds(self.now.since(since)));
        let Some(port) = port else {
            if let Some(behind) = behind {
                return t.bad(Phrase::new("why-pod-not-synced").with("node", node).with("seconds", behind), "");
            }
            if slice.ports.is_empty() {
                return t.bad(Phrase::new("why-pod-no-port"), "spec.ports[0].targetPort");
            }
            let elsewhere = endpoint.node_name.as_deref() != Some(&node);
            if service.spec.internal_traffic_policy == Some(TrafficPolicy::Local) && elsewhere {
                let text = Phrase::new("why-pod-local").with("node", node).with("own", &pod.spec.node_name);
                return t.bad(text, "spec.internalTrafficPolicy");
            }
            let hints = endpoint.hints.as_ref().filter(|_| endpoint.conditions.ready != Some(false));
            if let Some(hints) = hints {
                let names: Vec<&str> =
                    hints.for_nodes.iter().chain(&hints.for_zones).map(|h| h.name.as_str()).collect();
                let text = Phrase::new("why-pod-hint").with("node", node).with("zone", &machine.zone);
                return t.bad(text.with("hints", names.join(", ")), "spec.trafficDistribution");
            }
            if endpoint.conditions.ready == Some(false) {
                return t.bad(Phrase::new("why-pod-not-used"), "");
            }
            return t.bad(Phrase::new("why-pod-not-chosen").with("node", node), "");
        };
        // What the kernel makes of a packet is what counts, whatever kube-proxy has written.
        let share = self.share_of(service, port, machine, ip);
        let Some(share) = share.filter(|share| *share > 0.0) else {
            return t.bad(Phrase::new("why-rule-deleted").with("node", node), "");
        };
        let text = Phrase::new("why-pod-rules").with("node", &node).with("mode", mode).with("percent", percent(share));
        t.good(text, &format!("spec.ports[{port}].targetPort"));
        if let Some(behind) = behind.filter(|_| endpoint.conditions.ready == Some(false)) {
            t.tell(Tone::Cause, Phrase::new("why-pod-stale").with("node", node).with("seconds", behind), "");
        }
        Some(())
    }

    /// What part of the connections that Pods of a node open to a port of a Service goes to an address.
    fn share_of(&self, service: &Service, port: usize, machine: &Machine, ip: IpAddr) -> Option<f64> {
        let port = service.spec.ports.get(port)?;
        // An address of the node that no Pod is given, so that no connection and no affinity is known of it.
        let src = SocketAddr::new(Ipv4Addr::new(10, 244, machine.index, 255).into(), 40_000);
        let dst = SocketAddr::new(service.cluster_ip(IpFamily::V4)?, port.port);
        let flow = Flow { proto: crate::traffic::l4(port.protocol), src, dst };
        let shares = machine.kernel.shares(self.now, flow, Entry::Pod);
        Some(shares.iter().filter(|s| s.dst.ip() == ip).map(|s| s.probability).sum())
    }

    fn is_reachable(&self, t: &mut Teller<'_>, pod: &Pod, machine: &Machine) -> Option<()> {
        let Some(sandbox) = self.sandboxes.get(&pod.metadata.uid) else {
            return t.bad(Phrase::new("why-pod-dead"), "");
        };
        let home = self.machines.get(&sandbox.node);
        let gone = |m: &Machine| !m.powered || (m.cut && m.name != machine.name);
        if home.is_none_or(|m| gone(m)) {
            let id = if home.is_some_and(|m| m.powered) { "why-node-cut" } else { "why-node-off" };
            return t.bad(Phrase::new(id).with("node", &sandbox.node), "");
        }
        if machine.cut && sandbox.node != machine.name {
            return t.bad(Phrase::new("why-node-cut").with("node", &machine.name), "");
        }
        if sandbox.cut {
            return t.bad(Phrase::new("why-pod-cut").with("pod", &pod.metadata.name), "");
        }
        if !sandbox.is_running() {
            return t.bad(Phrase::new("why-pod-dead"), "");
        }
        Some(())
    }
}
