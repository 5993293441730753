//! kubelet: runs Pods on a node, watches their processes, and tells the API server.
//!
//! One process stands for all containers of a Pod. Sources: `pkg/kubelet/kubelet_pods.go`, `pleg/generic.go`,
//! `prober/worker.go`, `kuberuntime/kuberuntime_container.go`.

use crate::cluster::Cluster;
use crate::event::{Event, EventKey, NodeName, Step};
use crate::probe::{ProbeRun, next_tick};
use crate::scenario::{Sigterm, WorkloadSpec};
use crate::traffic::RequestId;
use crate::workload;
use kube_api::{ContainerTermination, NamespacedName, Pod, Probe, Uid, selects};
use lab_base::{OrdSet, Source, Span, Time, subject};
use lab_protocol::{MarkKind, Outcome, Phrase};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

/// Period of the generic PLEG: how often the kubelet asks the runtime what runs (`genericPlegRelistPeriod`).
pub const RELIST_PERIOD: Span = Span::from_secs(1);
/// First delay of the crash-loop back-off, doubled up to [`BACKOFF_MAX`] (`backOffPeriod`, `MaxContainerBackOff`).
pub const BACKOFF_FIRST: Span = Span::from_secs(10);
/// Longest delay of the crash-loop back-off.
pub const BACKOFF_MAX: Span = Span::from_secs(300);
/// A container that ran this long before it died starts its back-off anew.
pub const BACKOFF_RESET: Span = Span::from_secs(600);

/// What a Pod's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Process {
    /// None yet: sandbox and image are being prepared.
    Creating,
    /// It runs but doesn't listen yet.
    Booting,
    /// It listens.
    Listening,
    /// It has closed its listening socket and ends what it has (SIGTERM).
    Draining,
    /// It has ended.
    Exited {
        /// 137 after SIGKILL, 143 after SIGTERM.
        code: i32,
        /// When.
        at: Time,
    },
    /// It waits for the end of the back-off.
    BackOff {
        /// When it starts again.
        until: Time,
    },
}

/// A Pod as it is on its node.
#[derive(Clone, Debug, Serialize)]
pub struct Sandbox {
    /// Uid of the Pod.
    pub uid: Uid,
    /// Its name.
    pub key: NamespacedName,
    /// Its node.
    pub node: NodeName,
    /// The Pod as the kubelet took it on.
    pub pod: Arc<Pod>,
    /// How its process behaves.
    pub workload: Arc<WorkloadSpec>,
    /// Its address, once networked.
    pub ip: Option<IpAddr>,
    /// What its process does.
    pub process: Process,
    /// Number of the process; steps of an older one are void.
    pub life: u32,
    /// When the process started.
    pub started_at: Time,
    /// Whether the kubelet knows that the process runs.
    pub noticed: bool,
    /// Whether the container counts as ready.
    pub ready: bool,
    /// Readiness probe.
    pub readiness: ProbeRun,
    /// Liveness probe.
    pub liveness: ProbeRun,
    /// Whether a fault makes the readiness probe fail.
    pub readiness_failing: bool,
    /// Whether its cable is pulled.
    pub cut: bool,
    /// Restarts so far.
    pub restarts: u32,
    /// Next delay of the back-off; zero: restart at once.
    pub backoff: Span,
    /// How the last process ended.
    pub last_exit: Option<ContainerTermination>,
    /// When SIGKILL comes, once it is being deleted.
    pub killed_at: Option<Time>,
    /// Requests that it works on.
    pub serving: OrdSet<RequestId>,
}

impl Sandbox {
    /// Whether new connections are taken on this port.
    pub fn accepts(&self, port: u16) -> bool {
        self.process == Process::Listening && workload::listens(&self.pod, &self.workload, port)
    }
    /// Whether its process is alive.
    pub fn is_running(&self) -> bool {
        matches!(self.process, Process::Booting | Process::Listening | Process::Draining)
    }
    pub(crate) fn readiness_probe(&self) -> Option<&Probe> {
        self.pod.spec.containers.iter().find_map(|c| c.readiness_probe.as_ref())
    }
    pub(crate) fn liveness_probe(&self) -> Option<&Probe> {
        self.pod.spec.containers.iter().find_map(|c| c.liveness_probe.as_ref())
    }
}

impl Cluster {
    pub(crate) fn tell_kubelet(&mut self, change: &crate::store::Change) {
        let Some(kube_api::Object::Pod(pod)) = change.new.as_ref().or(change.old.as_ref()) else { return };
        if pod.spec.node_name.is_empty() {
            return;
        }
        let node = pod.spec.node_name.clone();
        let fresh = match (&change.old, &change.new) {
            (Some(kube_api::Object::Pod(old)), Some(kube_api::Object::Pod(new))) => {
                old.spec.node_name != new.spec.node_name
                    || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
            }
            _ => true,
        };
        let Some(machine) = self.machines.get(node.as_str()).filter(|m| m.is_reachable()) else { return };
        let name = machine.name.clone();
        if fresh {
            let at = self.hears_at(subject(&["kubelet", &node]), &change.key);
            self.events.plan(at, Event::KubeletHears(name, change.key.clone()));
        }
    }

    pub(crate) fn kubelet_hears(&mut self, node: &NodeName, key: &NamespacedName) {
        if !self.machines.get(node).is_some_and(|m| m.is_reachable()) {
            return;
        }
        // Sandboxes of this name whose Pod object is gone or another (forced deletion) are torn down at once.
        let pod = self.store.get::<Pod>(key).cloned();
        let stale: Vec<Uid> = self
            .sandboxes
            .values()
            .filter(|s| s.key == *key && s.node == *node && pod.as_ref().is_none_or(|p| p.metadata.uid != s.uid))
            .map(|s| s.uid)
            .collect();
        for uid in stale {
            self.end_process(uid, 137);
            self.tear_down(uid);
        }
        let Some(pod) = pod.filter(|p| p.spec.node_name == **node) else { return };
        let uid = pod.metadata.uid;
        match (self.sandboxes.contains_key(&uid), pod.metadata.deletion_timestamp) {
            (false, None) if !pod.is_finished() => self.admit(node, pod),
            (false, Some(_)) => {
                self.store.remove::<Pod>(key);
            }
            (true, Some(deadline)) => self.begin_termination(uid, deadline),
            _ => {}
        }
    }

    fn admit(&mut self, node: &NodeName, pod: Arc<Pod>) {
        let uid = pod.metadata.uid;
        let workload = self
            .workloads
            .iter()
            .find(|(_, w)| !w.selector.is_empty() && selects(&w.selector, &pod.metadata.labels))
            .map_or_else(WorkloadSpec::default, |(_, w)| w.clone());
        let sandbox = Sandbox {
            uid,
            key: pod.metadata.key(),
            node: node.clone(),
            pod,
            workload: Arc::new(workload),
            ip: None,
            process: Process::Creating,
            life: 1,
            started_at: self.now,
            noticed: false,
            ready: false,
            readiness: ProbeRun::default(),
            liveness: ProbeRun::default(),
            readiness_failing: false,
            cut: false,
            restarts: 0,
            backoff: Span::ZERO,
            last_exit: None,
            killed_at: None,
            serving: OrdSet::new(),
        };
        let who = subject(&["sandbox", &sandbox.key.name]);
        self.sandboxes.insert(uid, Arc::new(sandbox));
        self.facts.choose_hue(uid, &self.sandboxes);
        let networked = self.delay(Source::StartUp, who, Span::from_millis(150), Span::from_millis(400));
        self.step_after(uid, networked, Step::Networked);
    }

    /// Plans a step of the present process.
    pub(crate) fn step_after(&mut self, uid: Uid, after: Span, step: Step) -> Option<EventKey> {
        let life = self.sandboxes.get(&uid)?.life;
        Some(self.events.plan(self.now + after, Event::Sandbox(uid, life, step)))
    }

    pub(crate) fn sandbox_mut(&mut self, uid: Uid) -> Option<&mut Sandbox> {
        self.sandboxes.get_mut(&uid).map(Arc::make_mut)
    }

    pub(crate) fn sandbox_step(&mut self, uid: Uid, life: u32, step: Step) {
        let Some(sandbox) = self.sandboxes.get(&uid).filter(|s| s.life == life).cloned() else { return };
        match step {
            Step::Networked => self.networked(&sandbox),
            Step::Started => self.process_started(&sandbox),
            Step::Listens => {
                if sandbox.process == Process::Booting
                    && let Some(s) = self.sandbox_mut(uid)
                {
                    s.process = Process::Listening;
                    self.look_at_probes(uid);
                }
            }
            Step::NoticedRunning => self.noticed_running(&sandbox),
            Step::NoticedExit => self.noticed_exit(&sandbox),
            Step::Readiness => self.readiness_tick(&sandbox),
            Step::Liveness => self.liveness_tick(&sandbox),
            Step::Sigterm => self.sigterm(&sandbox),
            Step::Sigkill => {
                if sandbox.is_running() || matches!(sandbox.process, Process::Creating | Process::BackOff { .. }) {
                    self.end_process(uid, 137);
                    self.stopped(uid);
                }
            }
            Step::TornDown => {
                self.tear_down(uid);
                let gone = self.store.get::<Pod>(&sandbox.key).is_some_and(|p| p.metadata.uid == uid);
                if gone && self.machines.get(&sandbox.node).is_some_and(|m| m.is_reachable()) {
                    self.store.remove::<Pod>(&sandbox.key);
                }
            }
        }
    }

    fn networked(&mut self, sandbox: &Sandbox) {
        let addresses = self.addresses.clone();
        let image = sandbox.pod.spec.containers.first().map(|c| c.image.clone()).unwrap_or_default();
        let Some(machine) = self.machine_mut(&sandbox.node) else { return };
        let pulled = !machine.images.insert(image);
        let ip = machine.new_address(|ip| addresses.contains_key(&ip));
        let Some(ip) = ip else { return }; // the node's range is full: the Pod stays in ContainerCreating
        self.addresses.insert(ip, sandbox.uid);
        if let Some(s) = self.sandbox_mut(sandbox.uid) {
            s.ip = Some(ip);
        }
        let who = subject(&["container", &sandbox.key.name]);
        let (low, high) = if pulled { (40, 120) } else { (900, 1_800) };
        let start = self.delay(Source::StartUp, who, Span::from_millis(low), Span::from_millis(high));
        self.step_after(sandbox.uid, start, Step::Started);
    }

    fn process_started(&mut self, sandbox: &Sandbox) {
        self.start_events(&sandbox.pod);
        let now = self.now;
        let uid = sandbox.uid;
        let boot = self.takes(sandbox.workload.start_up);
        if let Some(s) = self.sandbox_mut(uid) {
            s.process = Process::Booting;
            s.started_at = now;
            s.noticed = false;
        }
        self.step_after(uid, boot, Step::Listens);
        let relist = self.next_relist(&sandbox.node);
        self.step_after(uid, relist, Step::NoticedRunning);
    }

    /// Time until the kubelet of this node looks at its containers again.
    fn next_relist(&self, node: &str) -> Span {
        if self.bringing_up {
            return Span::ZERO;
        }
        let phase = self.dice.roll(Source::Phase, subject(&["pleg", node]), 0).below(RELIST_PERIOD.as_micros());
        let now = self.now + RELIST_PERIOD;
        next_tick(Time::from_micros(phase), RELIST_PERIOD, now).since(now)
    }

    fn noticed_running(&mut self, sandbox: &Sandbox) {
        let uid = sandbox.uid;
        let now = self.now;
        if let Some(s) = self.sandbox_mut(uid) {
            s.noticed = true;
            s.ready = s.readiness_probe().is_none();
            s.readiness = ProbeRun { anchor: now, ..ProbeRun::default() };
            s.liveness = ProbeRun { anchor: now, ..ProbeRun::default() };
        }
        self.report(uid);
        // A container that isn't ready is probed at once; initialDelaySeconds counts from its start.
        if let Some(probe) = sandbox.readiness_probe() {
            let first = sandbox.started_at + self.takes(Span::from_secs(probe.initial_delay_seconds.max(0) as u64));
            let key = self.step_after(uid, first.since(now), Step::Readiness);
            if let Some(s) = self.sandbox_mut(uid) {
                s.readiness.next = key;
            }
        }
        self.look_at_probes(uid);
    }

    /// The process ends, now. Connections to it are reset; the network namespace stands.
    pub(crate) fn end_process(&mut self, uid: Uid, code: i32) {
        let now = self.now;
        let Some(s) = self.sandbox_mut(uid) else { return };
        let serving = core::mem::take(&mut s.serving);
        let reason = if code == 0 { "Completed" } else { "Error" };
        s.last_exit = Some(ContainerTermination { exit_code: code, reason: reason.into(), finished_at: now });
        s.process = Process::Exited { code, at: now };
        for id in serving.iter().copied() {
            self.break_off(id, Outcome::Reset);
        }
    }

    /// A process has been killed: the kubelet will find out at its next relist.
    pub(crate) fn plan_notice(&mut self, uid: Uid) {
        let Some(node) = self.sandboxes.get(&uid).map(|s| s.node.clone()) else { return };
        let relist = self.next_relist(&node);
        self.step_after(uid, relist, Step::NoticedExit);
    }

    pub(crate) fn noticed_exit_of(&mut self, uid: Uid) {
        if let Some(s) = self.sandboxes.get(&uid).cloned() {
            self.noticed_exit(&s);
        }
    }

    /// The kubelet finds the process dead: not ready, and restarted with the crash-loop back-off.
    fn noticed_exit(&mut self, sandbox: &Sandbox) {
        let Process::Exited { .. } = sandbox.process else { return };
        let uid = sandbox.uid;
        if sandbox.killed_at.is_some() {
            self.stopped(uid);
            return;
        }
        let restart = sandbox.pod.spec.restart_policy.as_str();
        let ran = self.now.since(sandbox.started_at);
        let wait = if ran >= BACKOFF_RESET { Span::ZERO } else { sandbox.backoff };
        let next = if wait == Span::ZERO { BACKOFF_FIRST } else { wait.times(2).min(BACKOFF_MAX) };
        let until = self.now + wait;
        let again = restart != "Never";
        if let Some(s) = self.sandbox_mut(uid) {
            s.noticed = false;
            s.ready = false;
            s.readiness.next = None;
            s.liveness.next = None;
            s.life += 1;
            if again {
                s.process = Process::BackOff { until };
                s.backoff = next;
                s.restarts += 1;
            }
        }
        self.mark_pod(sandbox, "mark-process-noticed");
        self.report(uid);
        if again {
            let start = self.delay(
                Source::StartUp,
                subject(&["restart", &sandbox.key.name]),
                Span::from_millis(40),
                Span::from_millis(120),
            );
            self.step_after(uid, wait + start, Step::Started);
        }
    }

    fn begin_termination(&mut self, uid: Uid, deadline: Time) {
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        if sandbox.killed_at.is_some_and(|at| at <= deadline) {
            return;
        }
        if let Some(s) = self.sandbox_mut(uid) {
            s.killed_at = Some(deadline);
        }
        if !sandbox.is_running() {
            self.stopped(uid);
            return;
        }
        let hook = sandbox.pod.spec.containers.iter().find_map(|c| c.lifecycle.as_ref()?.pre_stop.as_ref());
        let pause = hook.map_or(Span::ZERO, workload::hook_takes);
        // preStop counts against the grace; when it uses it all up, two seconds more are given.
        let kill = deadline.max(if self.now + pause >= deadline { deadline + Span::from_secs(2) } else { deadline });
        self.step_after(uid, pause.min(kill.since(self.now)), Step::Sigterm);
        self.step_after(uid, kill.since(self.now), Step::Sigkill);
    }

    fn sigterm(&mut self, sandbox: &Sandbox) {
        let uid = sandbox.uid;
        match sandbox.workload.sigterm {
            _ if !sandbox.is_running() => {}
            Sigterm::Ignore => {}
            Sigterm::Drop => {
                self.end_process(uid, 143);
                self.stopped(uid);
            }
            Sigterm::Drain => {
                if let Some(s) = self.sandbox_mut(uid) {
                    s.process = Process::Draining;
                }
                self.drained(uid);
            }
        }
    }

    /// A draining process ends when it has nothing left to do.
    pub(crate) fn drained(&mut self, uid: Uid) {
        let done = self.sandboxes.get(&uid).is_some_and(|s| s.process == Process::Draining && s.serving.is_empty());
        if done {
            self.end_process(uid, 0);
            self.stopped(uid);
        }
    }

    /// The process of a Pod that is being deleted has stopped: its sandbox goes, then its object.
    fn stopped(&mut self, uid: Uid) {
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        if let Some(s) = self.sandbox_mut(uid) {
            s.ready = false;
            s.life += 1;
        }
        self.report(uid);
        let down = self.delay(
            Source::Work,
            subject(&["teardown", &sandbox.key.name]),
            Span::from_millis(80),
            Span::from_millis(250),
        );
        self.step_after(uid, down, Step::TornDown);
    }

    /// The network namespace goes: nobody answers for the address any more.
    pub(crate) fn tear_down(&mut self, uid: Uid) {
        if let Some(sandbox) = self.sandboxes.remove(&uid) {
            if let Some(ip) = sandbox.ip {
                self.addresses.remove(&ip);
            }
            let now = self.now;
            self.facts.leave_ghost(&sandbox, now);
        }
    }

    /// Plans a write of the Pod's status.
    pub(crate) fn report(&mut self, uid: Uid) {
        let Some(s) = self.sandboxes.get(&uid) else { return };
        if !self.machines.get(&s.node).is_some_and(|m| m.is_reachable()) {
            return; // written when the node is heard again
        }
        let write =
            self.delay(Source::Work, subject(&["status", &s.key.name]), Span::from_millis(5), Span::from_millis(25));
        self.events.plan(self.now + write, Event::Status(uid));
    }

    pub(crate) fn mark_pod(&mut self, sandbox: &Sandbox, id: &str) {
        let name = &sandbox.key.name;
        self.mark(MarkKind::Change, format!("Pod/{name}"), Phrase::new(id).with("pod", name));
    }
}
