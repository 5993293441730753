//! What can be seen of the cluster: views of its things, and frames that tell only what changed.

use crate::cluster::Cluster;
use crate::facts::Ghost;
use crate::kubelet::{ProbeKind, Process, Sandbox};
use kube_api::{ConditionStatus, NamespacedName, Pod, Service, Uid, selects};
use lab_base::{Span, Time};
use lab_protocol::{
    ClientView, EndpointList, EndpointView, Frame, Id, NodeView, Phrase, PodState, PodView, PortView, Second,
    ServiceView, TaskReport,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Seconds of the charts in a key frame.
const CHART: u32 = 600;

impl Cluster {
    /// All Pods, also those that are gone while some node's rules still point at them.
    pub fn pod_views(&self) -> Vec<PodView> {
        let roles = self.roles();
        let mut views: Vec<PodView> =
            self.store.list::<Pod>().map(|p| self.pod_view(p, roles.get(&p.metadata.uid))).collect();
        let present: BTreeSet<Id> = views.iter().map(|v| v.id).collect();
        let pointed = self.addresses_in_rules();
        views.extend(
            self.facts
                .ghosts()
                .values()
                .filter(|g| !present.contains(&Id(g.uid.0)) && pointed.contains(&g.ip))
                .map(|g| self.ghost_view(g)),
        );
        views
    }

    fn addresses_in_rules(&self) -> BTreeSet<IpAddr> {
        let mut all = BTreeSet::new();
        if self.facts.ghosts().is_empty() {
            return all;
        }
        for machine in self.machines.values().filter(|m| m.powered) {
            for port in machine.loaded.service_ports() {
                all.extend(
                    machine.loaded.endpoints(&port.name.service, &port.name.port).iter().map(|e| e.endpoint.ip()),
                );
            }
        }
        all
    }

    /// Each Pod's Deployment and its place among that Deployment's living Pods (from 1; 0: it is being deleted).
    fn roles(&self) -> BTreeMap<Uid, (String, u32)> {
        let mut by_owner: BTreeMap<NamespacedName, Vec<(bool, Option<Time>, Uid)>> = BTreeMap::new();
        for pod in self.store.list::<Pod>() {
            if let Some(owner) = self.deployment_of(pod) {
                let leaving = pod.metadata.is_deleting() || pod.is_finished();
                let entry = (leaving, pod.metadata.creation_timestamp, pod.metadata.uid);
                by_owner.entry(owner).or_default().push(entry);
            }
        }
        let mut roles = BTreeMap::new();
        for (owner, mut pods) in by_owner {
            pods.sort_unstable();
            for (i, (leaving, _, uid)) in pods.into_iter().enumerate() {
                roles.insert(uid, (owner.name.clone(), if leaving { 0 } else { i as u32 + 1 }));
            }
        }
        roles
    }

    fn pod_view(&self, pod: &Pod, role: Option<&(String, u32)>) -> PodView {
        let uid = pod.metadata.uid;
        let sandbox = self.sandboxes.get(&uid).map(|s| &**s);
        let (state, since, detail, until) = self.pod_state(pod, sandbox);
        let (deployment, nth) = role.cloned().unwrap_or_default();
        let tally = self.facts.pod(uid);
        PodView {
            id: Id(uid.0),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            deployment,
            nth,
            ip: pod.status.pod_ip.clone(),
            node: pod.spec.node_name.clone(),
            state,
            detail,
            until,
            since,
            hue: self.facts.hue(uid),
            labels: pod.metadata.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            restarts: sandbox.map_or(0, Sandbox::restarts),
            answered: tally.answered,
            failed: tally.failed,
            cut: sandbox.is_some_and(|s| s.cut),
            readiness_failing: sandbox.is_some_and(|s| s.readiness_failing),
        }
    }

    /// State, since when, what goes on, and when that ends.
    fn pod_state(&self, pod: &Pod, sandbox: Option<&Sandbox>) -> (PodState, Time, Option<Phrase>, Option<Time>) {
        let created = pod.metadata.creation_timestamp.unwrap_or_default();
        let phrase = |id: &str| Some(Phrase::new(id));
        let powered =
            pod.spec.node_name.is_empty() || self.machines.get(pod.spec.node_name.as_str()).is_some_and(|m| m.powered);
        if !powered {
            let since = self.machines.get(pod.spec.node_name.as_str()).and_then(|m| m.silent_since).unwrap_or(created);
            return (PodState::Dead, since, phrase("detail-node-off"), None);
        }
        if let Some(deadline) = pod.metadata.deletion_timestamp {
            let grace = Span::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0).max(0) as u64);
            return (PodState::Terminating, deadline - grace, phrase("detail-grace"), Some(deadline));
        }
        let changed = pod.condition("Ready").map_or(created, |c| c.last_transition_time);
        let Some(sandbox) = sandbox else {
            let unscheduled = pod.spec.node_name.is_empty();
            let detail = if unscheduled { "detail-unscheduled" } else { "detail-creating" };
            return (PodState::Pending, created, phrase(detail), None);
        };
        if pod.is_finished() {
            return (PodState::Dead, changed, phrase("detail-finished"), None);
        }
        let main = sandbox.main();
        match main.process {
            Process::Exited { code, at } => {
                (PodState::Dead, at, Some(Phrase::new("detail-exited").with("code", code)), None)
            }
            Process::BackOff { until } if until > self.now => {
                (PodState::NotReady, changed, phrase("detail-backoff"), Some(until))
            }
            Process::Blocked { by, until } => {
                let detail = Phrase::new("detail-blocked").with("reason", by.reason());
                (PodState::Pending, created, Some(detail), Some(until))
            }
            _ if sandbox.mount_wait > Span::ZERO => (PodState::Pending, created, phrase("detail-mount"), None),
            Process::Waiting | Process::Pulling { .. } | Process::Creating | Process::BackOff { .. } => {
                (PodState::Pending, created, phrase("detail-creating"), None)
            }
            _ if !sandbox.is_initialized() => (PodState::Pending, created, phrase("detail-init"), None),
            Process::Booting => (PodState::NotReady, changed.max(main.started_at), phrase("detail-booting"), None),
            _ if pod.is_ready() => (PodState::Ready, changed, None, None),
            _ => {
                let startup = main.probe(ProbeKind::Startup).next;
                let next = startup.or(main.probe(ProbeKind::Readiness).next).map(|(at, _)| at);
                let detail = if next.is_some() { "detail-probe" } else { "detail-not-ready" };
                (PodState::NotReady, changed, phrase(detail), next)
            }
        }
    }

    fn ghost_view(&self, ghost: &Ghost) -> PodView {
        let tally = self.facts.pod(ghost.uid);
        PodView {
            id: Id(ghost.uid.0),
            namespace: ghost.key.namespace.clone(),
            name: ghost.key.name.clone(),
            deployment: String::new(),
            nth: 0,
            ip: ghost.ip.to_string(),
            node: ghost.node.clone(),
            state: PodState::Dead,
            detail: Some(Phrase::new("detail-gone")),
            until: None,
            since: ghost.since,
            hue: self.facts.hue(ghost.uid),
            labels: Vec::new(),
            restarts: 0,
            answered: tally.answered,
            failed: tally.failed,
            cut: false,
            readiness_failing: false,
        }
    }

    /// All nodes.
    pub fn node_views(&self) -> Vec<NodeView> {
        self.machines
            .values()
            .map(|m| {
                let ready = self.node(&m.name).and_then(|n| n.condition("Ready")).map(|c| c.status);
                NodeView {
                    id: Id(m.uid.0),
                    name: m.name.to_string(),
                    ip: m.ip.to_string(),
                    zone: m.zone.clone(),
                    ready: match ready {
                        Some(ConditionStatus::True) => Some(true),
                        Some(ConditionStatus::False) => Some(false),
                        _ => None,
                    },
                    powered: m.powered,
                    cut: m.cut,
                    behind_since: m.behind_since(),
                    synced_at: m.proxy.synced_at,
                    rules: u32::try_from(m.kernel.rule_count()).unwrap_or(u32::MAX),
                }
            })
            .collect()
    }

    /// All Services but `default/kubernetes`.
    pub fn service_views(&self) -> Vec<ServiceView> {
        self.store
            .list::<Service>()
            .filter(|s| s.metadata.name != "kubernetes" || s.metadata.namespace != "default")
            .map(|s| self.service_view(s))
            .collect()
    }

    fn service_view(&self, service: &Service) -> ServiceView {
        let spec = &service.spec;
        let selected = self
            .store
            .list::<Pod>()
            .filter(|p| p.metadata.namespace == service.metadata.namespace && !p.metadata.is_deleting())
            .filter(|p| !spec.selector.is_empty() && selects(&spec.selector, &p.metadata.labels))
            .count() as u32;
        ServiceView {
            id: Id(service.metadata.uid.0),
            namespace: service.metadata.namespace.clone(),
            name: service.metadata.name.clone(),
            type_: spec.type_.to_string(),
            cluster_ip: spec.cluster_ip.clone(),
            ports: spec
                .ports
                .iter()
                .map(|p| PortView {
                    name: p.name.clone(),
                    port: p.port,
                    protocol: p.protocol.to_string(),
                    target: p.target_port.as_ref().map_or_else(|| p.port.to_string(), ToString::to_string),
                    node_port: p.node_port,
                })
                .collect(),
            selector: spec.selector.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            selected,
            lists: self.endpoint_lists(service),
        }
    }

    /// The endpoints of a Service as each node's rules have them; nodes that agree are named together.
    fn endpoint_lists(&self, service: &Service) -> Vec<EndpointList> {
        let key = service.metadata.key();
        let mut lists: Vec<EndpointList> = Vec::new();
        for machine in self.machines.values().filter(|m| m.powered) {
            let endpoints: Vec<EndpointView> = service
                .spec
                .ports
                .iter()
                .enumerate()
                .flat_map(|(i, port)| machine.loaded.endpoints(&key, &port.name).into_iter().map(move |e| (i, e)))
                .map(|(i, e)| EndpointView {
                    port: u8::try_from(i).unwrap_or(u8::MAX),
                    address: e.endpoint.to_string(),
                    pod: self.pod_at(e.endpoint.ip()),
                    share: e.share as f32,
                })
                .collect();
            match lists.iter_mut().find(|l| l.endpoints == endpoints) {
                Some(list) => list.nodes.push(machine.name.to_string()),
                None => lists.push(EndpointList { nodes: vec![machine.name.to_string()], endpoints }),
            }
        }
        lists.sort_by_key(|l| core::cmp::Reverse(l.nodes.len()));
        lists
    }

    fn pod_at(&self, ip: IpAddr) -> Option<Id> {
        let uid = self.addresses.get(&ip).copied().or_else(|| self.facts.ghost_at(ip))?;
        (!self.clients.contains_key(&uid.0)).then_some(Id(uid.0))
    }

    /// All clients.
    pub fn client_views(&self) -> Vec<ClientView> {
        self.clients
            .values()
            .map(|c| ClientView {
                id: Id(c.uid.0),
                name: c.name.clone(),
                node: c.node.to_string(),
                target: c.spec.target.clone(),
                service: self.named_service(c).map(|s| Id(s.metadata.uid.0)),
                rate_milli: (c.rate(self.now) * 1_000.0) as u64,
                sent: c.sent,
                counts: c.counts,
                recent: c.recent.iter().copied().collect(),
            })
            .collect()
    }

    fn second_view(&self, second: u32) -> Option<Second> {
        let fact = self.facts.seconds().get(&second)?;
        Some(Second { second, pods: fact.pods.iter().map(|(uid, n)| (Id(uid.0), *n)).collect(), counts: fact.counts })
    }
}

/// Makes frames: remembers what was told, and tells what changed.
#[derive(Default)]
pub struct FrameMaker {
    pods: BTreeMap<Id, PodView>,
    nodes: BTreeMap<Id, NodeView>,
    services: BTreeMap<Id, ServiceView>,
    clients: BTreeMap<Id, ClientView>,
    tasks: Vec<TaskReport>,
    last_mark: u64,
    last_second: u32,
    /// Store revision and number of syncs for which `services` was made: it can't change without them.
    made_for: Option<(u64, u64, u64)>,
}

/// Puts new views in the place of old ones. Gives those that are new or differ, and the ids of those that are gone.
fn difference<V: Clone + PartialEq>(
    old: &mut BTreeMap<Id, V>,
    new: Vec<V>,
    id: fn(&V) -> Id,
    removed: &mut Vec<Id>,
) -> Vec<V> {
    let mut next = BTreeMap::new();
    let mut changed = Vec::new();
    for view in new {
        if old.get(&id(&view)) != Some(&view) {
            changed.push(view.clone());
        }
        next.insert(id(&view), view);
    }
    removed.extend(old.keys().filter(|k| !next.contains_key(k)).copied());
    *old = next;
    changed
}

impl FrameMaker {
    /// The frame of the cluster's present moment. A key frame holds everything.
    pub fn frame(&mut self, cluster: &mut Cluster, key: bool, tasks: &[TaskReport]) -> Frame {
        if key {
            *self = FrameMaker::default();
        }
        let mut removed = Vec::new();
        let pods = difference(&mut self.pods, cluster.pod_views(), |v| v.id, &mut removed);
        let nodes = difference(&mut self.nodes, cluster.node_views(), |v| v.id, &mut removed);
        let clients = difference(&mut self.clients, cluster.client_views(), |v| v.id, &mut removed);
        let stamp = cluster.service_stamp();
        let services = if self.made_for == Some(stamp) {
            Vec::new()
        } else {
            self.made_for = Some(stamp);
            difference(&mut self.services, cluster.service_views(), |v| v.id, &mut removed)
        };
        let now = (cluster.now().as_micros() / 1_000_000) as u32;
        let first = if key { now.saturating_sub(CHART) } else { self.last_second };
        let seconds = (first..=now).filter_map(|s| cluster.second_view(s)).collect();
        self.last_second = now;
        let marks: Vec<_> =
            cluster.facts().marks().iter_back().take_while(|m| m.seq > self.last_mark).cloned().collect();
        if let Some(last) = marks.first() {
            self.last_mark = last.seq;
        }
        let changed_tasks: Vec<_> = tasks.iter().filter(|t| !self.tasks.contains(t)).cloned().collect();
        self.tasks = tasks.to_vec();
        Frame {
            at: cluster.now(),
            key,
            nodes,
            pods,
            services,
            clients,
            removed,
            totals: cluster.facts().totals(),
            motions: cluster.take_motions(),
            seconds,
            marks: marks.into_iter().rev().collect(),
            tasks: changed_tasks,
        }
    }
}

impl Cluster {
    /// Changes whenever a Service's view may have changed.
    fn service_stamp(&self) -> (u64, u64, u64) {
        let syncs = self.machines.values().map(|m| m.proxy.syncs).sum();
        let power = self.machines.values().map(|m| m.outage * 2 + u64::from(m.powered)).sum();
        (self.store.revision(), syncs, power)
    }
}
