//! Events as Kubernetes' components write them (`client-go/tools/record`): what `kubectl describe` and `kubectl events`
//! tell. Most follow from a change in the store; the texts are those of the components that the comments name.
//!
//! They follow from what is part of the state hash, so they aren't themselves. Events are kept for an hour
//! (`--event-ttl`) and are counted together when they say the same.

use crate::cluster::Cluster;
use crate::kubelet::probe::{self, ProbeKind};
use crate::store::Change;
use kube_api::{
    ConditionStatus, Container, ContainerState, Kind, NamespacedName, Node, Object, ObjectMeta, Pod, Probe, ReplicaSet,
    Service, Uid,
};
use lab_base::{Span, Time};
use std::sync::Arc;

/// How long the API server keeps an event (`--event-ttl`).
const TTL: Span = Span::from_secs(3_600);
/// Most events that are kept.
const MOST: usize = 2_000;

/// An event about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeEvent {
    /// Number of the event, for its name.
    pub number: u64,
    /// `Normal` or `Warning`.
    pub type_: &'static str,
    /// `Scheduled`
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Kind of the object that it is about.
    pub kind: &'static str,
    /// Its namespace; empty for Nodes.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Uid,
    /// Part of the object: `spec.containers{web}`, or empty.
    pub field: String,
    /// Who wrote it: `kubelet`.
    pub component: &'static str,
    /// On which node, or empty.
    pub host: String,
    /// When it happened first.
    pub first: Time,
    /// When it happened last.
    pub last: Time,
    /// How often.
    pub count: u32,
}

/// The events that are kept; snapshots share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct KubeEvents {
    all: Arc<Vec<Arc<KubeEvent>>>,
    made: u64,
}

struct Draft<'a> {
    type_: &'static str,
    reason: &'static str,
    component: &'static str,
    kind: Kind,
    meta: &'a ObjectMeta,
    field: String,
    host: &'a str,
}

impl KubeEvents {
    fn add(&mut self, now: Time, draft: &Draft<'_>, message: String) {
        let all = Arc::make_mut(&mut self.all);
        let same = |e: &Arc<KubeEvent>| {
            e.uid == draft.meta.uid
                && e.reason == draft.reason
                && e.message == message
                && e.component == draft.component
                && e.field == draft.field
        };
        if let Some(event) = all.iter_mut().find(|e| same(e)) {
            let event = Arc::make_mut(event);
            event.last = now;
            event.count += 1;
            return;
        }
        if all.first().is_some_and(|e| now.since(e.last) >= TTL) {
            all.retain(|e| now.since(e.last) < TTL);
        }
        if all.len() >= MOST {
            all.remove(0);
        }
        self.made += 1;
        all.push(Arc::new(KubeEvent {
            number: self.made,
            type_: draft.type_,
            reason: draft.reason,
            message,
            kind: draft.kind.name(),
            namespace: draft.meta.namespace.clone(),
            name: draft.meta.name.clone(),
            uid: draft.meta.uid,
            field: draft.field.clone(),
            component: draft.component,
            host: draft.host.into(),
            first: now,
            last: now,
            count: 1,
        }));
    }
}

impl Cluster {
    /// Events about objects, in the order in which they first happened.
    pub fn kube_events(&self) -> impl Iterator<Item = KubeEvent> {
        let now = self.now;
        let all = self.kube_events.all.iter().map(|e| self.with_repeats(e));
        all.filter(move |e| now.since(e.last) < TTL)
    }

    /// A readiness probe that goes on failing changes nothing, so its ticks aren't simulated. But the kubelet tells each one.
    fn with_repeats(&self, event: &Arc<KubeEvent>) -> KubeEvent {
        let mut event = (**event).clone();
        if !event.message.starts_with("Readiness probe") {
            return event;
        }
        let Some(sandbox) = self.sandboxes.get(&event.uid) else { return event };
        let kind = ProbeKind::Readiness;
        let of = |i: &usize| field_of(&sandbox.pod, sandbox.spec(*i)) == event.field;
        let Some(i) = (0..sandbox.containers.len()).find(of) else { return event };
        let run = &sandbox.containers[i];
        let fails = sandbox.is_probed(i, kind) && !run.ready && run.probe(kind).next.is_none();
        let same = |probe: &&Probe| {
            let told = run.probe(kind).told.map(|told| probe::complaint(sandbox, i, probe, told));
            told.is_some_and(|told| event.message.ends_with(&told))
        };
        let all_well = fails && self.kubelet_lives(&sandbox.node);
        if let Some(probe) = kind.of(sandbox.spec(i)).filter(|_| all_well).filter(same) {
            let period = probe::period(probe);
            let more = probe::ticks_between(sandbox.admitted_at, period, event.last, self.now);
            if more > 0 {
                event.last = probe::next_tick(sandbox.admitted_at, period, self.now) - period;
                event.count = event.count.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
            }
        }
        event
    }

    /// Writes down the repeats of a Pod's probes, before they end.
    pub(crate) fn settle_repeats(&mut self, uid: Uid) {
        let told = |e: &Arc<KubeEvent>| e.uid == uid && e.reason == "Unhealthy";
        let all = self.kube_events.all.iter().enumerate().filter(|(_, e)| told(e));
        let settled: Vec<_> = all.map(|(i, e)| (i, self.with_repeats(e), e.count)).collect();
        for (i, event, _) in settled.into_iter().filter(|(_, event, count)| event.count != *count) {
            Arc::make_mut(&mut self.kube_events.all)[i] = Arc::new(event);
        }
    }

    /// Writes the events that follow from a change.
    pub(crate) fn note_events(&mut self, change: &Change) {
        match (&change.old, &change.new) {
            (old, Some(Object::Pod(new))) => {
                let old = match old {
                    Some(Object::Pod(old)) => Some(old.clone()),
                    _ => None,
                };
                self.pod_events(old.as_deref(), &new.clone());
            }
            (Some(Object::Pod(old)), None) if !old.metadata.is_deleting() => self.deleted_by_set(&old.clone()),
            (old, Some(Object::ReplicaSet(new))) => {
                let before = match old {
                    Some(Object::ReplicaSet(old)) => old.spec.replicas.unwrap_or(1),
                    _ => 0,
                };
                self.scaling_event(before, &new.clone());
            }
            (Some(Object::Node(old)), Some(Object::Node(new))) => self.node_events(&old.clone(), &new.clone()),
            _ => {}
        }
    }

    /// `pkg/controller/disruption/disruption.go`.
    pub(crate) fn budget_event(
        &mut self,
        meta: &ObjectMeta,
        type_: &'static str,
        reason: &'static str,
        message: String,
    ) {
        let (component, kind) = ("controllermanager", Kind::PodDisruptionBudget);
        let draft = Draft { type_, reason, component, kind, meta, field: String::new(), host: "" };
        self.event(&draft, message);
    }

    fn event(&mut self, draft: &Draft<'_>, message: String) {
        self.kube_events.add(self.now, draft, message);
    }

    /// `pkg/controller/deployment/sync.go`. A first scaling told its starting point only later (SPEC section 4: about 1.32).
    fn scaling_event(&mut self, before: i32, set: &ReplicaSet) {
        let after = set.spec.replicas.unwrap_or(1);
        let Some(owner) = set.metadata.controller().filter(|_| before != after) else { return };
        let key = NamespacedName::new(set.metadata.namespace.clone(), owner.name.clone());
        let Some(deployment) = self.store.get::<kube_api::Deployment>(&key).cloned() else { return };
        let direction = if after > before { "up" } else { "down" };
        let first = before == 0 && set.status.observed_generation <= 1 && set.status.replicas == 0;
        let from = if first && self.release.0 < 32 { String::new() } else { format!("from {before} ") };
        let message = format!("Scaled {direction} replica set {} {from}to {after}", set.metadata.name);
        let draft = Draft {
            type_: "Normal",
            reason: "ScalingReplicaSet",
            component: "deployment-controller",
            kind: Kind::Deployment,
            meta: &deployment.metadata,
            field: String::new(),
            host: "",
        };
        self.event(&draft, message);
    }

    /// `topologycache/event.go`: a Service's hints come or go.
    pub(crate) fn hints_event(&mut self, service: &ObjectMeta, normal: bool, reason: &'static str, message: String) {
        let draft = Draft {
            type_: if normal { "Normal" } else { "Warning" },
            reason,
            component: "endpoint-slice-controller",
            kind: Kind::Service,
            meta: service,
            field: String::new(),
            host: "",
        };
        self.event(&draft, message);
    }

    /// The service controller (SPEC section 7).
    pub(crate) fn service_event(
        &mut self,
        service: &Service,
        type_: &'static str,
        reason: &'static str,
        message: &str,
    ) {
        let (component, kind, meta) = ("service-controller", Kind::Service, &service.metadata);
        let draft = Draft { type_, reason, component, kind, meta, field: String::new(), host: "" };
        self.event(&draft, message.into());
    }

    /// The ReplicaSet of a Pod.
    fn set_of(&self, pod: &Pod) -> Option<Arc<ReplicaSet>> {
        let owner = pod.metadata.controller()?;
        let key = NamespacedName::new(pod.metadata.namespace.clone(), owner.name.clone());
        self.store.get::<ReplicaSet>(&key).filter(|s| s.metadata.uid == owner.uid).cloned()
    }

    /// `pkg/controller/controller_utils.go`. Whoever deletes a Pod that is wanted isn't its ReplicaSet: it only takes
    /// those away that are too many, so as many as it wants are left.
    fn deleted_by_set(&mut self, pod: &Pod) {
        let Some(set) = self.set_of(pod) else { return };
        let left =
            self.store.pods_of(set.metadata.uid).filter(|p| !p.metadata.is_deleting() && !p.is_finished()).count();
        if left as i64 >= i64::from(set.spec.replicas.unwrap_or(1)) {
            self.set_event(&set, "SuccessfulDelete", format!("Deleted pod: {}", pod.metadata.name));
        }
    }

    fn set_event(&mut self, set: &ReplicaSet, reason: &'static str, message: String) {
        let draft = Draft {
            type_: "Normal",
            reason,
            component: "replicaset-controller",
            kind: Kind::ReplicaSet,
            meta: &set.metadata,
            field: String::new(),
            host: "",
        };
        self.event(&draft, message);
    }

    fn pod_events(&mut self, old: Option<&Pod>, new: &Pod) {
        let node = new.spec.node_name.as_str();
        let of = |type_, reason, component, host| Draft {
            type_,
            reason,
            component,
            kind: Kind::Pod,
            meta: &new.metadata,
            field: String::new(),
            host,
        };
        if old.is_none()
            && let Some(set) = self.set_of(new)
        {
            self.set_event(&set, "SuccessfulCreate", format!("Created pod: {}", new.metadata.name));
        }
        // pkg/scheduler/schedule_one.go
        if !node.is_empty() && old.is_some_and(|o| o.spec.node_name.is_empty()) {
            let message = format!("Successfully assigned {}/{} to {node}", new.metadata.namespace, new.metadata.name);
            self.event(&of("Normal", "Scheduled", "default-scheduler", ""), message);
        }
        if new.metadata.is_deleting() && !old.is_some_and(|o| o.metadata.is_deleting()) {
            self.deleted_by_set(new);
        }
        let Some(old) = old else { return };
        // pkg/kubelet/kuberuntime/kuberuntime_container.go
        let states = |p: &Pod, name: &str| {
            let mut all = p.status.init_container_statuses.iter().chain(&p.status.container_statuses);
            all.find(|s| s.name == name).map(|s| s.state.clone())
        };
        for container in new.spec.init_containers.iter().chain(&new.spec.containers) {
            let name = &container.name;
            let (was, is) = (states(old, name), states(new, name));
            let of = |type_, reason| Draft { field: field_of(new, container), ..of(type_, reason, "kubelet", node) };
            let backs_off = |s: &Option<ContainerState>| matches!(s, Some(ContainerState::Waiting { reason }) if reason == "CrashLoopBackOff");
            if backs_off(&is) && !backs_off(&was) {
                let meta = &new.metadata;
                let message = format!(
                    "Back-off restarting failed container {name} in pod {}_{}({})",
                    meta.name, meta.namespace, meta.uid
                );
                self.event(&of("Warning", "BackOff"), message);
            }
            let runs = matches!(was, Some(ContainerState::Running { .. }));
            if new.metadata.is_deleting() && !old.metadata.is_deleting() && runs && self.kubelet_lives(node) {
                self.event(&of("Normal", "Killing"), format!("Stopping container {name}"));
            }
        }
    }

    fn kubelet_lives(&self, node: &str) -> bool {
        self.machines.get(node).is_some_and(|m| m.is_reachable()) && self.kubelet_runs(node)
    }

    /// The kubelet about one of a Pod's containers.
    fn container_event(&mut self, pod: &Pod, container: &Container, reason: &'static str, message: String) {
        self.kubelet_event(pod, field_of(pod, container), reason, message);
    }

    /// The kubelet about a Pod, or a part of it.
    fn kubelet_event(&mut self, pod: &Pod, field: String, reason: &'static str, message: String) {
        if !self.kubelet_lives(&pod.spec.node_name) {
            return;
        }
        let warning = matches!(reason, "Unhealthy" | "Failed" | "FailedMount" | "FailedPreStopHook");
        let draft = Draft {
            type_: if warning { "Warning" } else { "Normal" },
            reason,
            component: "kubelet",
            kind: Kind::Pod,
            meta: &pod.metadata,
            field,
            host: &pod.spec.node_name,
        };
        self.event(&draft, message);
    }

    /// The kubelet pulls an image (`pkg/kubelet/images/image_manager.go`).
    pub(crate) fn pulling_event(&mut self, pod: &Pod, container: &Container) {
        self.container_event(pod, container, "Pulling", format!("Pulling image {:?}", container.image));
    }

    /// A volume can't be mounted (`pkg/volume/util/operationexecutor`).
    pub(crate) fn failed_mount_event(&mut self, pod: &Pod, volume: &str, why: &str) {
        let message = format!("MountVolume.SetUp failed for volume {volume:?} : {why}");
        self.kubelet_event(pod, String::new(), "FailedMount", message);
    }

    /// A container can't be made.
    pub(crate) fn failed_event(&mut self, pod: &Pod, container: &Container, message: String) {
        self.container_event(pod, container, "Failed", message);
    }

    /// A container's image is there, after a pull that took so long (`pkg/kubelet/images/image_manager.go`).
    pub(crate) fn pulled_event(&mut self, pod: &Pod, container: &Container, pulled: Option<Span>) {
        let image = &container.image;
        let message = match pulled.filter(|takes| *takes > Span::ZERO) {
            Some(takes) => {
                let (seconds, millis) = (takes.as_micros() / 1_000_000, takes.as_micros() / 1_000 % 1_000);
                let takes = match (seconds, millis) {
                    (0, millis) => format!("{millis}ms"),
                    (seconds, 0) => format!("{seconds}s"),
                    _ => format!("{}s", format!("{seconds}.{millis:03}").trim_end_matches('0')),
                };
                format!("Successfully pulled image {image:?} in {takes} ({takes} including waiting)")
            }
            None => format!("Container image {image:?} already present on machine"),
        };
        self.container_event(pod, container, "Pulled", message);
    }

    /// The kubelet starts a container (`pkg/kubelet/kuberuntime/kuberuntime_container.go`).
    pub(crate) fn start_events(&mut self, pod: &Pod, container: &Container) {
        let name = &container.name;
        let colon = if self.release.0 >= 32 { ":" } else { "" };
        self.container_event(pod, container, "Created", format!("Created container{colon} {name}"));
        self.container_event(pod, container, "Started", format!("Started container {name}"));
    }

    /// `pkg/kubelet/prober/prober.go`
    pub(crate) fn probe_event(&mut self, pod: &Pod, container: &Container, kind: ProbeKind, why: &str) {
        self.container_event(pod, container, "Unhealthy", format!("{} probe failed: {why}", kind.name()));
    }

    /// A probe has a container killed (`computePodActions` in `pkg/kubelet/kuberuntime/kuberuntime_manager.go`).
    pub(crate) fn killing_event(&mut self, pod: &Pod, container: &Container, kind: ProbeKind) {
        let name = &container.name;
        let kind = kind.name().to_lowercase();
        let message = format!("Container {name} failed {kind} probe, will be restarted");
        self.container_event(pod, container, "Killing", message);
    }

    /// `pkg/kubelet/lifecycle/handlers.go`
    pub(crate) fn hook_failed_event(&mut self, pod: &Pod, container: &Container) {
        self.container_event(pod, container, "FailedPreStopHook", "PreStopHook failed".into());
    }

    /// `pkg/scheduler/schedule_one.go`: each try that fails is told.
    pub(crate) fn failed_scheduling_event(&mut self, pod: &Pod, message: &str) {
        let draft = Draft {
            type_: "Warning",
            reason: "FailedScheduling",
            component: "default-scheduler",
            kind: Kind::Pod,
            meta: &pod.metadata,
            field: String::new(),
            host: "",
        };
        self.event(&draft, message.into());
    }

    /// `pkg/controller/tainteviction/taint_eviction.go`
    pub(crate) fn eviction_event(&mut self, key: &NamespacedName) {
        let Some(pod) = self.store.get::<Pod>(key).cloned() else { return };
        let draft = Draft {
            type_: "Normal",
            reason: "TaintManagerEviction",
            component: "taint-eviction-controller",
            kind: Kind::Pod,
            meta: &pod.metadata,
            field: String::new(),
            host: "",
        };
        self.event(&draft, format!("Marking for deletion Pod {key}"));
    }

    /// `pkg/controller/nodelifecycle/node_lifecycle_controller.go`, `pkg/kubelet/kubelet_node_status.go`
    fn node_events(&mut self, old: &Node, new: &Node) {
        let name = &new.metadata.name;
        let ready = |n: &Node| n.condition("Ready").is_some_and(|c| c.status == ConditionStatus::True);
        let status = |reason: &str| format!("Node {name} status is now: {reason}");
        let of = |reason, component| Draft {
            type_: "Normal",
            reason,
            component,
            kind: Kind::Node,
            meta: &new.metadata,
            field: String::new(),
            host: "",
        };
        match (ready(old), ready(new)) {
            (true, false) => {
                self.event(&of("NodeNotReady", "node-controller"), status("NodeNotReady"));
                let pods: Vec<_> = self.store.pods_on(name).cloned().collect();
                for pod in pods {
                    let draft = Draft {
                        type_: "Warning",
                        kind: Kind::Pod,
                        meta: &pod.metadata,
                        ..of("NodeNotReady", "node-controller")
                    };
                    self.event(&draft, "Node is not ready".into());
                }
            }
            (false, true) => self.event(&of("NodeReady", "kubelet"), status("NodeReady")),
            _ => {}
        }
        match (old.spec.unschedulable, new.spec.unschedulable) {
            (false, true) => self.event(&of("NodeNotSchedulable", "kubelet"), status("NodeNotSchedulable")),
            (true, false) => self.event(&of("NodeSchedulable", "kubelet"), status("NodeSchedulable")),
            _ => {}
        }
    }
}

/// The part of a Pod that an event about a container names.
fn field_of(pod: &Pod, container: &Container) -> String {
    let init = pod.spec.init_containers.iter().any(|c| c.name == container.name);
    format!("spec.{}{{{}}}", if init { "initContainers" } else { "containers" }, container.name)
}
