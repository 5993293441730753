//! What begins a failure, whom it strikes, and what mends it.

use super::{Course, CourseId, Due, MOST_COURSES, settings, step};
use crate::cloud::LoadBalancer;
use crate::cluster::Cluster;
use crate::event::NodeName;
use crate::fault::{fault_name, kebab, node_of, pod_of};
use crate::proxy::service_of;
use kube_api::{
    ANNOTATION_REVISION, ConditionStatus, Deployment, EndpointSlice, Kind, NamespacedName, Node, Pod, ReplicaSet,
    Service, Uid,
};
use lab_base::Time;
use lab_protocol::{CourseEnd, Fault, PartKind, Phrase, Setting, StepKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a fault is aimed at, as it stands before it happens.
pub(crate) struct Aim {
    name: &'static str,
    /// Name of the Pod, node or zone.
    target: String,
    pod: Option<Arc<Pod>>,
    nodes: Vec<NodeName>,
    /// Pods that will be struck, with the Services of which they are ready endpoints.
    struck: BTreeMap<Uid, Vec<(Uid, String)>>,
}

/// Faults that a fault mends.
fn mends(name: &str) -> &'static [&'static str] {
    match name {
        "passReadiness" => &["failReadiness"],
        "joinPod" => &["cutPod"],
        "mendPod" => &["slowPod", "fillPod"],
        "powerOn" => &["powerOff"],
        "joinNode" => &["cutNode"],
        "mendLink" => &["slowLink", "losePackets"],
        "powerOnZone" => &["powerOffZone", "powerOff"],
        _ => &[],
    }
}

/// Whether a fault takes its node out of everybody's reach at once.
fn silences(name: &str) -> bool {
    matches!(name, "powerOff" | "powerOffZone" | "cutNode")
}

/// What starts again that a fault had stopped: `startProxy` is the end of `stopProxy`.
fn starts(name: &str, stopped: &str) -> bool {
    name.strip_prefix("start").is_some_and(|what| stopped.strip_prefix("stop") == Some(what))
}

fn is_mended_by(fault: &(&'static str, String), aim: &Aim, zone: bool) -> bool {
    let same = mends(aim.name).contains(&fault.0) || starts(aim.name, fault.0);
    same && (fault.1 == aim.target || (zone && aim.nodes.iter().any(|n| **n == *fault.1)))
}

impl Cluster {
    /// Of which Services these Pods are ready endpoints now.
    pub(super) fn endpoints_of(&self, pods: impl Fn(Uid) -> bool) -> BTreeMap<Uid, Vec<(Uid, String)>> {
        let mut all: BTreeMap<Uid, Vec<(Uid, String)>> = BTreeMap::new();
        for slice in self.store.list::<EndpointSlice>() {
            let key = service_of(slice).map(|name| NamespacedName::new(slice.metadata.namespace.clone(), name));
            let Some(service) = key.and_then(|key| self.store.get::<Service>(&key)) else { continue };
            let ready = slice.endpoints.iter().filter(|e| e.conditions.ready.unwrap_or(true));
            for uid in ready.filter_map(|e| e.target_ref.as_ref()).map(|t| t.uid).filter(|uid| pods(*uid)) {
                let services = all.entry(uid).or_default();
                if services.iter().all(|(known, _)| *known != service.metadata.uid) {
                    services.push((service.metadata.uid, service.metadata.name.clone()));
                }
            }
        }
        all
    }

    /// Whom a fault would strike, looked at before it happens.
    pub(crate) fn failover_aim(&self, fault: &Fault) -> Aim {
        let name = fault_name(fault);
        let pod = pod_of(fault).and_then(|which| self.find_pod(which));
        let zone = match fault {
            Fault::PowerOffZone { zone } | Fault::PowerOnZone { zone } => Some(zone.as_str()),
            _ => None,
        };
        let controller = match fault {
            Fault::StopController { controller } | Fault::StartController { controller } => Some(controller.as_str()),
            _ => None,
        };
        let node = node_of(fault);
        let nodes: Vec<NodeName> = self
            .machines
            .values()
            .filter(|m| node == Some(&*m.name) || zone == Some(m.zone.as_str()))
            .map(|m| m.name.clone())
            .collect();
        let target = pod.as_ref().map(|p| p.metadata.name.clone());
        let target = target.or(node.map(str::to_owned)).or(zone.or(controller).map(str::to_owned)).unwrap_or_default();
        let mut struck = match &pod {
            Some(pod) => self.endpoints_of(|uid| uid == pod.metadata.uid),
            None if silences(name) => self.endpoints_of(|uid| {
                self.store.by_uid::<Pod>(uid).is_some_and(|p| nodes.iter().any(|n| **n == *p.spec.node_name))
            }),
            None => BTreeMap::new(),
        };
        if let Some(pod) = &pod {
            struck.entry(pod.metadata.uid).or_default();
        }
        Aim { name, target, pod, nodes, struck }
    }

    /// A fault has happened: a failure begins, or one is mended.
    pub(crate) fn failover_begins(&mut self, aim: Aim) {
        if !mends(aim.name).is_empty() || aim.name.starts_with("start") {
            return self.failover_mended(&aim);
        }
        let what = match (&aim.pod, aim.name) {
            (Some(_), _) => "pod",
            (None, name) if name.ends_with("Zone") => "zone",
            (None, "stopController") => "controller",
            _ => "node",
        };
        let mut cause = Phrase::new(&format!("mark-fault-{}", kebab(aim.name)));
        if !aim.target.is_empty() {
            cause = cause.with(what, &aim.target);
        }
        let now = self.now;
        let id = self.facts.failovers_mut().begin(now, cause, Some((aim.name, aim.target.clone())));
        if silences(aim.name) {
            self.failover_loses(&aim.nodes);
        }
        if let Some(failover) = self.facts.failovers_mut().get_mut(id) {
            failover.nodes.clone_from(&aim.nodes);
            failover.lasting = aim.struck.is_empty();
        }
        for (uid, services) in aim.struck {
            let Some(pod) = self.store.by_uid::<Pod>(uid).cloned().or_else(|| aim.pod.clone()) else { continue };
            let expected = self.noticed_by(aim.name, &pod);
            self.failover_strikes(id, &pod, services, expected);
        }
        if aim.name == "removeRule" {
            self.failover_heals(id, &aim.nodes);
        }
    }

    fn failover_heals(&mut self, id: u32, nodes: &[NodeName]) {
        let now = self.now;
        for node in nodes {
            self.facts.failovers_mut().due.entry(node.clone()).or_default().insert((now, Due::Healed(id)));
        }
    }

    /// What was wrong is right again. Where nobody had noticed, that is the end of it.
    fn failover_mended(&mut self, aim: &Aim) {
        let now = self.now;
        let zone = aim.name.ends_with("Zone");
        let hit = |f: &super::Failover| {
            f.until.is_none() && f.fault.as_ref().is_some_and(|fault| is_mended_by(fault, aim, zone))
        };
        let failovers = self.facts.failovers_mut();
        let all: Vec<u32> = failovers.all.values().filter(|f| hit(f)).map(|f| f.id).collect();
        for id in all {
            let failovers = self.facts.failovers_mut();
            let Some(failover) = failovers.get_mut(id) else { continue };
            failover.mended = true;
            failover.steps.push_back(step(now, StepKind::Mended, aim.target.as_str(), Vec::new()));
            let lasting = failover.lasting;
            let unnoticed: Vec<CourseId> = failover
                .courses
                .values()
                .filter(|c| c.over.is_none() && !c.ended(PartKind::Detection) && !aim.name.starts_with("powerOn"))
                .map(|c| (id, c.uid))
                .collect();
            for course in unnoticed {
                failovers.close(course, now, CourseEnd::Mended, false);
            }
            if lasting && aim.name == "startProxy" {
                // It is over when that kube-proxy has written its rules.
                self.failover_heals(id, &aim.nodes);
            } else if lasting && let Some(failover) = self.facts.failovers_mut().get_mut(id) {
                failover.until = Some(now);
            }
        }
    }

    /// Nodes that nobody can reach any more have no rules that matter.
    fn failover_loses(&mut self, nodes: &[NodeName]) {
        for node in nodes {
            let Some(due) = self.facts.failovers_mut().due.remove(node) else { continue };
            for (_, due) in due.iter() {
                self.failover_written(*due, None);
            }
        }
    }

    /// A Pod is struck.
    pub(super) fn failover_strikes(
        &mut self,
        id: u32,
        pod: &Arc<Pod>,
        services: Vec<(Uid, String)>,
        settings: Vec<Setting>,
    ) {
        let now = self.now;
        let owner = self.owner_key(pod);
        let failovers = self.facts.failovers_mut();
        let Some(failover) = failovers.get_mut(id) else { return };
        if failover.courses.len() >= MOST_COURSES {
            failover.more += 1;
            return;
        }
        let uid = pod.metadata.uid;
        let course = Course {
            uid,
            key: pod.metadata.key(),
            node: pod.spec.node_name.as_str().into(),
            ip: pod.status.pod_ip.parse().ok(),
            owner,
            inside: services.iter().map(|(service, _)| *service).collect(),
            services,
            at: now,
            over: None,
            deleted: false,
            removed: false,
            wants: false,
            replacement: None,
            ends: [None; 5],
            left: [0, 0],
            back: false,
            steps: vec![step(now, StepKind::Struck, pod.metadata.name.as_str(), settings)],
            failed: Default::default(),
            last_failed: None,
        };
        failovers.insert(id, course);
    }

    /// A Pod that is a ready endpoint is struck by something that is no fault, and by nothing before.
    pub(super) fn failover_by(&mut self, pod: &Arc<Pod>, cause: Phrase) -> Option<u32> {
        if self.bringing_up || !self.facts.failovers().courses_of(pod.metadata.uid).is_empty() {
            return None;
        }
        let now = self.now;
        let going_on = self.facts.failovers().going_on(&cause);
        let full = |id| self.facts.failovers().all.get(&id).is_some_and(|f| f.courses.len() >= MOST_COURSES);
        if let Some(id) = going_on.filter(|id| full(*id)) {
            if let Some(failover) = self.facts.failovers_mut().get_mut(id) {
                failover.more += 1;
            }
            return None;
        }
        let uid = pod.metadata.uid;
        let services = self.endpoints_of(|other| other == uid).remove(&uid)?;
        let id = going_on.unwrap_or_else(|| self.facts.failovers_mut().begin(now, cause, None));
        self.failover_strikes(id, pod, services, Vec::new());
        Some(id)
    }

    /// Why a Pod is deleted, as the API server's objects tell it.
    pub(super) fn cause_of_deletion(&self, pod: &Pod) -> Phrase {
        let node = pod.spec.node_name.as_str();
        let reason = pod
            .condition("DisruptionTarget")
            .filter(|c| c.status == ConditionStatus::True)
            .map(|c| c.reason.as_str())
            .unwrap_or_default();
        match reason {
            "EvictionByEvictionAPI" => return Phrase::new("failover-evicted").with("node", node),
            "DeletionByTaintManager" => return Phrase::new("failover-tainted").with("node", node),
            "PreemptionByScheduler" => return Phrase::new("failover-preempted"),
            "TerminationByKubelet" => return Phrase::new("failover-node-pressure").with("node", node),
            _ => {}
        }
        if self.store.get::<Node>(&NamespacedName::new("", node)).is_none() {
            return Phrase::new("failover-node-gone").with("node", node);
        }
        let by_hand = || Phrase::new("failover-deleted").with("pod", &pod.metadata.name);
        let Some(owner) = pod.metadata.controller() else { return by_hand() };
        let key = NamespacedName::new(pod.metadata.namespace.clone(), owner.name.clone());
        if owner.kind != Kind::ReplicaSet.name() {
            return by_hand();
        }
        let gone = |kind: &str, name: &str| Phrase::new("failover-collected").with("kind", kind).with("name", name);
        let set = self.store.get::<ReplicaSet>(&key).filter(|s| s.metadata.uid == owner.uid);
        let Some(set) = set.filter(|s| !s.metadata.is_deleting()) else {
            return gone(Kind::ReplicaSet.name(), &owner.name);
        };
        // Whoever deletes a Pod that is wanted isn't its ReplicaSet: that takes away only those that are too many.
        let left = self.store.pods_of(set.metadata.uid).filter(|p| !p.metadata.is_deleting() && !p.is_finished());
        if (left.count() as i64) < i64::from(set.spec.replicas.unwrap_or(1)) {
            return by_hand();
        }
        let deployment = self.deployment_of(pod);
        match deployment.as_ref().and_then(|key| self.store.get::<Deployment>(key)) {
            Some(deployment) if is_old(deployment, set) => Phrase::new("failover-rollout")
                .with("deployment", &deployment.metadata.name)
                .with("revision", revision(&deployment.metadata)),
            Some(deployment) => Phrase::new("failover-scaled")
                .with("deployment", &deployment.metadata.name)
                .with("replicas", deployment.spec.replicas.unwrap_or(1)),
            None => Phrase::new("failover-scaled")
                .with("replicaset", &set.metadata.name)
                .with("replicas", set.spec.replicas.unwrap_or(1)),
        }
    }

    /// Whether more is to come of a failure although nobody of those that it struck waits for anything.
    pub(super) fn failover_goes_on(&self, id: u32) -> bool {
        let Some(failover) = self.facts.failovers().all.get(&id) else { return false };
        // A load balancer hasn't found out yet what its nodes are good for now.
        let turning = |b: &Arc<LoadBalancer>| b.targets.values().any(|t| t.turns.is_some());
        let concerned = |b: &&Arc<LoadBalancer>| {
            failover.courses.values().any(|c| c.services.iter().any(|(service, _)| *service == b.service))
        };
        if self.cloud.iter().flat_map(|c| c.balancers.values()).filter(concerned).any(turning) {
            return true;
        }
        let argument =
            |name: &str| failover.cause.args.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        match failover.cause.id.as_str() {
            // Old Pods are still wanted.
            "failover-rollout" => {
                let owner = failover.courses.values().find_map(|c| c.owner.clone());
                let Some(deployment) = owner.and_then(|key| self.store.get::<Deployment>(&key)) else { return false };
                let of = |s: &&Arc<ReplicaSet>| {
                    s.metadata.controller().is_some_and(|o| o.uid == deployment.metadata.uid) && is_old(deployment, s)
                };
                self.store.list::<ReplicaSet>().filter(of).any(|s| s.spec.replicas.unwrap_or(1) > 0)
            }
            // The drain hasn't come to all Pods that were there.
            "failover-evicted" => {
                let Some(node) = argument("node") else { return false };
                let cordoned = self.node(node).is_some_and(|n| n.spec.unschedulable);
                let old = |p: &Pod| p.metadata.creation_timestamp.is_none_or(|at| at <= failover.at);
                let left = |p: &Pod| !p.metadata.is_deleting() && !p.is_finished() && p.metadata.controller().is_some();
                cordoned && self.store.pods_on(node).any(|p| old(p) && left(p))
            }
            _ => false,
        }
    }

    /// Whose Pod this is: its Deployment's, or else its ReplicaSet's.
    pub(super) fn owner_key(&self, pod: &Pod) -> Option<NamespacedName> {
        self.deployment_of(pod).or_else(|| {
            let owner = pod.metadata.controller()?;
            Some(NamespacedName::new(pod.metadata.namespace.clone(), owner.name.clone()))
        })
    }

    /// The settings by which a fault will be noticed.
    fn noticed_by(&self, fault: &str, pod: &Pod) -> Vec<Setting> {
        match fault {
            "killProcess" => settings::relist(),
            "powerOff" | "powerOffZone" | "cutNode" => settings::node_silent(self),
            "failReadiness" | "cutPod" | "slowPod" | "fillPod" => self.readiness_settings(pod, false),
            _ => Vec::new(),
        }
    }

    /// When somebody last changed what a Deployment asks for.
    pub(super) fn commanded_at(&self, deployment: &NamespacedName) -> Option<Time> {
        self.facts.failovers().commanded.get(deployment).copied()
    }
}

pub(super) fn revision(meta: &kube_api::ObjectMeta) -> u64 {
    meta.annotations.get(ANNOTATION_REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// Whether a set isn't the one with its Deployment's template.
pub(super) fn is_old(deployment: &Deployment, set: &ReplicaSet) -> bool {
    revision(&set.metadata) < revision(&deployment.metadata)
}
