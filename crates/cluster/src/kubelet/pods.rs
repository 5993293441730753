//! Pods that come to a node and go: sandbox, network, the order of containers.

use super::{ContainerRun, Process, Sandbox};
use crate::cluster::Cluster;
use crate::event::{Event, NodeName, PodStep, Step};
use crate::scenario::WorkloadSpec;
use crate::store::Change;
use kube_api::{NamespacedName, Object, Pod, Uid, selects};
use lab_base::{Source, Span, subject};
use lab_protocol::{MarkKind, Phrase};
use std::sync::Arc;

impl Cluster {
    pub(crate) fn tell_kubelet(&mut self, change: &Change) {
        let Some(Object::Pod(pod)) = change.new.as_ref().or(change.old.as_ref()) else { return };
        if pod.spec.node_name.is_empty() {
            return;
        }
        let fresh = match (&change.old, &change.new) {
            (Some(Object::Pod(old)), Some(Object::Pod(new))) => {
                let gate = |p: &Pod, type_: &str| p.condition(type_).map(|c| c.status);
                old.spec.node_name != new.spec.node_name
                    || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
                    || new.spec.readiness_gates.iter().any(|g| {
                        let type_ = g.condition_type.as_str();
                        gate(old, type_) != gate(new, type_)
                    })
            }
            _ => true,
        };
        let Some(machine) = self.machines.get(pod.spec.node_name.as_str()).filter(|m| m.is_reachable()) else { return };
        let name = machine.name.clone();
        if fresh {
            let at = self.hears_at(subject(&["kubelet", &name]), &change.key);
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
            self.end_processes(uid, 137);
            self.tear_down(uid);
        }
        let Some(pod) = pod.filter(|p| p.spec.node_name == **node) else { return };
        let uid = pod.metadata.uid;
        match (self.sandboxes.contains_key(&uid), pod.metadata.is_deleting()) {
            (false, false) if !pod.is_finished() => self.admit(node, pod),
            (false, true) => {
                self.store.delete::<Pod>(self.now, key);
            }
            (true, true) => {
                let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0).max(0);
                self.begin_termination(uid, Span::from_secs(grace.unsigned_abs()));
            }
            (true, false) if !pod.spec.readiness_gates.is_empty() => self.report(uid),
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
        let count = pod.spec.init_containers.len() + pod.spec.containers.len();
        let sandbox = Sandbox {
            uid,
            key: pod.metadata.key(),
            node: node.clone(),
            pod,
            workload: Arc::new(workload),
            ip: None,
            life: 1,
            admitted_at: self.now,
            containers: (0..count).map(|_| ContainerRun::new()).collect(),
            readiness_failing: false,
            slowed: 0,
            full: false,
            cut: false,
            killed_at: None,
            finished: false,
            mount_wait: Span::ZERO,
        };
        let who = subject(&["sandbox", &sandbox.key.name]);
        self.sandboxes.insert(uid, Arc::new(sandbox));
        self.facts.choose_hue(uid, &self.sandboxes);
        let networked = self.delay(Source::StartUp, who, Span::from_millis(150), Span::from_millis(400));
        self.set_up(uid, networked);
    }

    /// Makes a Pod's network namespace, which takes so long, once its volumes are mounted.
    pub(super) fn set_up(&mut self, uid: Uid, takes: Span) {
        if self.mount(uid) {
            self.pod_step_after(uid, takes, PodStep::Networked);
        }
    }

    pub(super) fn pod_step_after(&mut self, uid: Uid, after: Span, step: PodStep) {
        if let Some(life) = self.sandboxes.get(&uid).map(|s| s.life) {
            self.events.plan(self.now + after, Event::Sandbox(uid, life, step));
        }
    }

    pub(crate) fn sandbox_mut(&mut self, uid: Uid) -> Option<&mut Sandbox> {
        self.sandboxes.get_mut(&uid).map(Arc::make_mut)
    }

    pub(crate) fn sandbox_step(&mut self, uid: Uid, life: u32, step: PodStep) {
        let Some(sandbox) = self.sandboxes.get(&uid).filter(|s| s.life == life).cloned() else { return };
        match step {
            PodStep::Networked => self.networked(&sandbox),
            PodStep::Mount => {
                let who = subject(&["sandbox", &sandbox.key.name]);
                let networked = self.delay(Source::StartUp, who, Span::from_millis(150), Span::from_millis(400));
                self.set_up(uid, networked);
            }
            PodStep::TornDown => {
                self.tear_down(uid);
                let here = self.store.get::<Pod>(&sandbox.key).is_some_and(|p| p.metadata.uid == uid);
                if here && self.kubelet_writes(&sandbox.node) {
                    self.store.delete::<Pod>(self.now, &sandbox.key);
                }
            }
        }
    }

    fn networked(&mut self, sandbox: &Sandbox) {
        let addresses = self.addresses.clone();
        let Some(machine) = self.machine_mut(&sandbox.node) else { return };
        let ip = machine.new_address(|ip| addresses.contains_key(&ip));
        let Some(ip) = ip else { return }; // the node's range is full: the Pod stays in ContainerCreating
        self.addresses.insert(ip, sandbox.uid);
        if let Some(s) = self.sandbox_mut(sandbox.uid) {
            s.ip = Some(ip);
        }
        self.start_due(sandbox.uid);
    }

    /// Starts the containers whose turn it is (`computePodActions`): init containers one after another, a sidecar until it has
    /// started, then all the others.
    pub(super) fn start_due(&mut self, uid: Uid) {
        let Some(s) = self.sandboxes.get(&uid).cloned() else { return };
        if s.ip.is_none() || s.killed_at.is_some() || s.finished {
            return;
        }
        for i in 0..s.inits() {
            let through = if s.is_sidecar(i) { s.containers[i].started } else { s.completed(i) };
            if !through {
                if s.containers[i].process == Process::Waiting {
                    self.create(&s, i, Span::ZERO);
                }
                return;
            }
        }
        // The kubelet creates them one after another.
        let mut after = Span::ZERO;
        for i in s.inits()..s.containers.len() {
            if s.containers[i].process == Process::Waiting {
                after = self.create(&s, i, after);
            }
        }
    }

    /// Pulls a container's image, if the node doesn't have it, and starts it. Returns how long that takes from now.
    pub(super) fn create(&mut self, s: &Sandbox, i: usize, after: Span) -> Span {
        let image = s.spec(i).image.clone();
        let pull = self.machine_mut(&s.node).is_some_and(|m| m.images.insert(image));
        let who = subject(&["container", &s.key.name, &s.spec(i).name]);
        let (low, high) = if pull { (900, 1_800) } else { (40, 120) };
        let start = self.delay(Source::StartUp, who, Span::from_millis(low), Span::from_millis(high));
        if let Some(c) = self.container_mut(s.uid, i) {
            c.process = if pull { Process::Pulling { takes: start } } else { Process::Creating };
        }
        if pull && !self.bringing_up {
            self.pulling_event(&s.pod, s.spec(i));
        }
        self.step_after(s.uid, i, after + start, Step::Started);
        after + start
    }

    /// The last process of a Pod that is being deleted has stopped: its sandbox goes, then its object.
    pub(super) fn stopped(&mut self, uid: Uid) {
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        if let Some(s) = self.sandbox_mut(uid) {
            s.life += 1;
            for c in &mut s.containers {
                c.forget();
            }
        }
        self.report(uid);
        let who = subject(&["teardown", &sandbox.key.name]);
        let down = self.delay(Source::Work, who, Span::from_millis(80), Span::from_millis(250));
        self.pod_step_after(uid, down, PodStep::TornDown);
    }

    /// All containers have ended and none is started again: the Pod keeps its status, the sandbox and its address go.
    pub(super) fn finish_pod(&mut self, uid: Uid) {
        let Some(s) = self.sandbox_mut(uid) else { return };
        s.finished = true;
        if let Some(ip) = s.ip {
            self.addresses.remove(&ip);
        }
        self.report(uid);
    }

    /// The network namespace goes: nobody answers for the address any more.
    pub(crate) fn tear_down(&mut self, uid: Uid) {
        if let Some(sandbox) = self.sandboxes.remove(&uid) {
            if let Some(ip) = sandbox.ip.filter(|ip| self.addresses.get(ip) == Some(&uid)) {
                self.addresses.remove(&ip);
            }
            let now = self.now;
            self.facts.leave_ghost(&sandbox, now);
        }
    }

    /// The machine has lost power, and every process with it.
    pub(crate) fn lose_processes(&mut self, uid: Uid) {
        let now = self.now;
        let Some(s) = self.sandbox_mut(uid) else { return };
        s.life += 1;
        for c in s.containers.iter_mut().filter(|c| !matches!(c.process, Process::Exited { .. })) {
            if matches!(c.process, Process::Blocked { .. }) {
                c.process = Process::Waiting;
            } else if c.process != Process::Waiting {
                c.process = Process::Exited { code: 137, at: now };
            }
            c.forget();
        }
    }

    /// The machine runs again: a Pod gets a new sandbox with a new address, and its containers start from the first on.
    pub(crate) fn recreate(&mut self, uid: Uid) {
        let Some(s) = self.sandboxes.get(&uid).filter(|s| !s.finished).cloned() else { return };
        if let Some(ip) = s.ip {
            self.addresses.remove(&ip);
        }
        let (inits, restarts) = (s.inits(), s.pod.spec.restart_policy != "Never");
        let Some(s) = self.sandbox_mut(uid) else { return };
        s.ip = None;
        s.life += 1;
        if !restarts {
            let now = self.now;
            let Some(s) = self.sandbox_mut(uid) else { return };
            for c in s.containers.iter_mut().filter(|c| !matches!(c.process, Process::Exited { code: 0, .. })) {
                c.process = Process::Exited { code: 137, at: now };
                c.last_exit = Some(super::containers::termination(137, now));
            }
            return self.finish_pod(uid);
        }
        for (i, c) in s.containers.iter_mut().enumerate() {
            let ran = c.process != Process::Waiting;
            c.process = Process::Waiting;
            c.life += 1;
            // An init container that is run anew counts no restart.
            c.restarts += u32::from(ran && i >= inits);
        }
        let who = subject(&["sandbox", &s.key.name]);
        let wait = self.delay(Source::StartUp, who, Span::from_millis(300), Span::from_millis(900));
        self.set_up(uid, wait);
    }

    /// Plans a write of the Pod's status.
    pub(crate) fn report(&mut self, uid: Uid) {
        let Some(s) = self.sandboxes.get(&uid) else { return };
        if !self.kubelet_writes(&s.node) {
            return; // written when the node is heard again
        }
        let write =
            self.delay(Source::Work, subject(&["status", &s.key.name]), Span::from_millis(5), Span::from_millis(25));
        self.events.plan(self.now + write, Event::Status(uid));
    }

    pub(super) fn mark_pod(&mut self, sandbox: &Sandbox, id: &str) {
        let name = &sandbox.key.name;
        self.mark(MarkKind::Change, format!("Pod/{name}"), Phrase::new(id).with("pod", name));
    }
}
