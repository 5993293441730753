//! How the kubelet stops containers: preStop, SIGTERM, SIGKILL (`killContainer` in
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go`), and the order of sidecars (KEP-753).

use super::{ContainerRun, MINIMUM_GRACE, Process, Sandbox, Stopping, command};
use crate::cluster::Cluster;
use crate::event::Step;
use crate::scenario::Sigterm;
use kube_api::{LifecycleHandler, Uid};
use lab_base::Span;

impl Cluster {
    /// The kubelet hears that a Pod is being deleted, with this grace period. A shorter one may come later.
    pub(super) fn begin_termination(&mut self, uid: Uid, grace: Span) {
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        let deadline = self.now + grace;
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
        for i in (0..sandbox.containers.len()).filter(|i| sandbox.containers[*i].process.runs()) {
            self.stop_container(uid, i, grace);
        }
    }

    /// Stops a container: its preStop hook, SIGTERM, and SIGKILL when the grace period is over.
    pub(super) fn stop_container(&mut self, uid: Uid, i: usize, grace: Span) {
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        let run = &sandbox.containers[i];
        if !run.process.runs() || run.stopping.is_some_and(|s| s.kill_at <= self.now + grace) {
            return;
        }
        // preStop counts against the grace period, and is broken off at its end; two seconds are left in any case.
        let hook = sandbox.spec(i).lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref());
        let pause = hook.map_or(Some(Span::ZERO), |hook| self.hook_takes(&sandbox, i, hook));
        if pause.is_none() {
            self.hook_failed_event(&sandbox.pod, sandbox.spec(i));
        }
        let first = run.stopping.is_none();
        let pause = pause.unwrap_or(Span::ZERO).min(grace);
        let kill = grace.max(pause + MINIMUM_GRACE);
        let (now, kill_at) = (self.now, self.now + kill);
        if let Some(c) = self.container_mut(uid, i) {
            c.stopping = Some(Stopping { deadline: now + grace, kill_at, waits: false });
            c.probes[super::ProbeKind::Startup as usize].next = None;
            c.probes[super::ProbeKind::Liveness as usize].next = None;
        }
        if first {
            self.step_after(uid, i, pause, Step::Sigterm);
        }
        self.step_after(uid, i, kill, Step::Sigkill);
    }

    /// How long a preStop hook takes: `sleep`, an `exec` of a command that says so, or the answer to a request. None: it fails.
    fn hook_takes(&self, sandbox: &Sandbox, i: usize, hook: &LifecycleHandler) -> Option<Span> {
        if let Some(sleep) = &hook.sleep {
            return Some(Span::from_secs(sleep.seconds.max(0) as u64));
        }
        if let Some(exec) = &hook.exec {
            // Of a command that isn't known, only what it sleeps counts: sh -c 'sleep 5; nginx -s quit'.
            return match command::read(exec.command.iter()) {
                Some(script) if script.code != 0 => None,
                Some(script) => Some(script.takes.unwrap_or(Span::from_secs(u64::from(u32::MAX)))),
                None => Some(command::sleeps(&exec.command)),
            };
        }
        match &hook.http_get {
            Some(get) => {
                let port = super::probe::number(sandbox.spec(i), get.port.as_ref())?;
                sandbox.accepts(port).then_some(sandbox.workload.service_time)
            }
            None => Some(Span::ZERO),
        }
    }

    /// Whether a sidecar must wait: those after it, and all the others, end first.
    fn waits_for_others(sandbox: &Sandbox, i: usize) -> bool {
        sandbox.is_sidecar(i) && sandbox.containers[i + 1..].iter().any(|c| c.process.runs())
    }

    pub(super) fn sigterm(&mut self, sandbox: &Sandbox, i: usize) {
        let uid = sandbox.uid;
        let Some(stopping) = sandbox.containers[i].stopping else { return };
        if self.now < stopping.deadline && Self::waits_for_others(sandbox, i) {
            // It waits for its turn, at most until the end of the grace period; then it has the least that there is.
            let kill_at = stopping.deadline + MINIMUM_GRACE;
            if let Some(c) = self.container_mut(uid, i) {
                c.stopping = Some(Stopping { kill_at, waits: true, ..stopping });
            }
            self.step_after(uid, i, stopping.deadline.since(self.now), Step::Sigterm);
            self.step_after(uid, i, kill_at.since(self.now), Step::Sigkill);
            return;
        }
        let kill_at = stopping.deadline.max(self.now + MINIMUM_GRACE);
        if stopping.waits
            && let Some(c) = self.container_mut(uid, i)
        {
            // With its turn it has the rest of the grace period, but at least two seconds.
            c.stopping = Some(Stopping { kill_at, waits: false, ..stopping });
            self.step_after(uid, i, kill_at.since(self.now), Step::Sigkill);
        }
        let hook = sandbox.spec(i).lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref());
        let hook = hook.and_then(|hook| self.hook_takes(sandbox, i, hook)).unwrap_or_default();
        self.failover_sigterm(sandbox, i, hook);
        match (sandbox.containers[i].process, sandbox.workload.sigterm) {
            // A shell or `sleep` as process 1 doesn't mind SIGTERM.
            (Process::Busy, _) | (_, Sigterm::Ignore) => {}
            (process, _) if !process.runs() => {}
            (_, Sigterm::Drop) => {
                self.end_process(uid, i, 143);
                self.container_stopped(uid, i);
            }
            (_, Sigterm::Drain) => {
                if let Some(c) = self.container_mut(uid, i) {
                    c.process = Process::Draining;
                }
                self.close_idle(uid, i);
                self.look_at_probes(uid);
                self.drained(uid);
            }
        }
    }

    /// A draining process ends when it has nothing left to do.
    pub(crate) fn drained(&mut self, uid: Uid) {
        let Some(s) = self.sandboxes.get(&uid) else { return };
        let done = |c: &ContainerRun| c.process == Process::Draining && c.serving.is_empty() && c.waiting.is_empty();
        let all: Vec<usize> = (0..s.containers.len()).filter(|i| done(&s.containers[*i])).collect();
        for i in all {
            self.end_process(uid, i, 0);
            self.container_stopped(uid, i);
        }
    }

    /// A container that the kubelet stopped has ended.
    pub(super) fn container_stopped(&mut self, uid: Uid, i: usize) {
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        if sandbox.killed_at.is_none() && !sandbox.finished {
            // A probe had it killed: it is started again within the same pass.
            return self.after_exit(uid, i);
        }
        if let Some(c) = self.container_mut(uid, i) {
            c.forget();
        }
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        if !sandbox.is_running() && sandbox.killed_at.is_some() {
            return self.stopped(uid);
        }
        self.report(uid);
        // Sidecars whose turn it is now.
        let waits = |i: &usize| sandbox.containers[*i].stopping.is_some_and(|s| s.waits);
        let turn = |i: &usize| waits(i) && !Self::waits_for_others(&sandbox, *i);
        for i in (0..sandbox.inits()).filter(turn) {
            self.sigterm(&sandbox, i);
        }
    }
}
