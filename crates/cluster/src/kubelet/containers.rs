//! One container: start, death, restart with the crash-loop back-off.

use super::command::{self, Script};
use super::probe::{ProbeKind, next_tick};
use super::{BACKOFF_FIRST, BACKOFF_MAX, BACKOFF_RESET, Blocked, ContainerRun, Process, RELIST_PERIOD, Sandbox};
use crate::cluster::Cluster;
use crate::event::{Event, EventKey, Step};
use kube_api::{ContainerTermination, Uid};
use lab_base::{Source, Span, Time, subject};

/// How a process ended, as the runtime tells it.
pub(super) fn termination(code: i32, at: Time) -> ContainerTermination {
    let reason = if code == 0 { "Completed" } else { "Error" };
    ContainerTermination { exit_code: code, reason: reason.into(), finished_at: at }
}

impl Cluster {
    /// Plans a step of a container's present process.
    pub(super) fn step_after(&mut self, uid: Uid, i: usize, after: Span, step: Step) -> Option<EventKey> {
        let life = self.sandboxes.get(&uid)?.containers.get(i)?.life;
        let event = Event::Container(uid, u8::try_from(i).ok()?, life, step);
        Some(self.events.plan(self.now + after, event))
    }

    pub(crate) fn container_mut(&mut self, uid: Uid, i: usize) -> Option<&mut ContainerRun> {
        self.sandbox_mut(uid)?.containers.get_mut(i)
    }

    pub(crate) fn container_step(&mut self, uid: Uid, i: u8, life: u32, step: Step) {
        let i = usize::from(i);
        let same = |c: &ContainerRun| c.life == life;
        let Some(sandbox) = self.sandboxes.get(&uid).filter(|s| s.containers.get(i).is_some_and(same)).cloned() else {
            return;
        };
        match step {
            Step::Started => self.process_started(&sandbox, i),
            Step::Listens => {
                if sandbox.containers[i].process == Process::Booting
                    && let Some(c) = self.container_mut(uid, i)
                {
                    c.process = Process::Listening;
                    self.look_at_probes(uid);
                }
            }
            Step::Ends(code) => {
                if sandbox.containers[i].process.runs() {
                    self.failover_crash(uid, code);
                    self.end_process(uid, i, code);
                    self.plan_notice(uid, i);
                    self.look_at_probes(uid);
                }
            }
            Step::NoticedRunning => self.noticed_running(&sandbox, i),
            Step::NoticedExit => self.noticed_exit(&sandbox, i),
            Step::Create => {
                if matches!(sandbox.containers[i].process, Process::Blocked { .. }) {
                    self.create(&sandbox, i, Span::ZERO);
                }
            }
            Step::Probe(kind) => self.probe_tick(&sandbox, i, kind),
            Step::Sigterm => self.sigterm(&sandbox, i),
            Step::Sigkill => {
                // A grace period that was shortened has another, earlier end.
                if sandbox.containers[i].stopping.is_some_and(|s| s.kill_at <= self.now) {
                    self.end_process(uid, i, 137);
                    self.container_stopped(uid, i);
                }
            }
        }
    }

    fn process_started(&mut self, sandbox: &Sandbox, i: usize) {
        if sandbox.killed_at.is_some() || sandbox.finished {
            return;
        }
        let (uid, now) = (sandbox.uid, self.now);
        let spec = sandbox.spec(i);
        let pulled = match sandbox.containers[i].process {
            Process::Pulling { takes } => Some(takes),
            _ => None,
        };
        self.pulled_event(&sandbox.pod, spec, pulled);
        if let Some(missing) = self.missing_from_environment(&sandbox.pod, spec) {
            self.failed_event(&sandbox.pod, spec, format!("Error: {missing}"));
            return self.block(sandbox, i, Blocked::CreateContainerConfigError);
        }
        self.start_events(&sandbox.pod, spec);
        let mut script = command::of_container(spec);
        if script.is_none() && sandbox.must_complete(i) {
            // What an init container does isn't known; it does it well.
            script = Some(Script { takes: Some(sandbox.workload.start_up), code: 0 });
        }
        if let Some(c) = self.container_mut(uid, i) {
            c.process = if script.is_some() { Process::Busy } else { Process::Booting };
            c.started_at = now;
            c.noticed = false;
        }
        match script {
            None => {
                let boot = self.takes(sandbox.workload.start_up);
                self.step_after(uid, i, boot, Step::Listens);
            }
            Some(Script { takes: Some(takes), code }) => {
                // A command that succeeds takes no time while the cluster is brought up; what fails there fails for long.
                let takes = if code == 0 && sandbox.must_complete(i) { self.takes(takes) } else { takes };
                self.step_after(uid, i, takes, Step::Ends(code));
            }
            Some(_) => {}
        }
        let relist = self.next_relist(&sandbox.node);
        self.step_after(uid, i, relist, Step::NoticedRunning);
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

    fn noticed_running(&mut self, sandbox: &Sandbox, i: usize) {
        if !sandbox.containers[i].process.runs() {
            return; // it ran for less than a relist's period
        }
        let (uid, spec) = (sandbox.uid, sandbox.spec(i));
        let waits = spec.startup_probe.is_some();
        if let Some(c) = self.container_mut(uid, i) {
            c.noticed = true;
        }
        if waits {
            self.report(uid);
        } else {
            self.container_started(uid, i);
        }
        self.look_at_probes(uid);
    }

    /// The container counts as started: readiness and liveness are asked from now on, and who waits for it goes on.
    pub(super) fn container_started(&mut self, uid: Uid, i: usize) {
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        let readiness = ProbeKind::Readiness.of(sandbox.spec(i)).is_some();
        if let Some(c) = self.container_mut(uid, i) {
            c.started = true;
            c.ready = !readiness;
        }
        self.report(uid);
        if readiness {
            self.try_readiness(uid, i);
        }
        if sandbox.is_sidecar(i) {
            self.start_due(uid);
        }
    }

    /// A process ends, now. Connections to it are reset; the network namespace stands.
    pub(super) fn end_process(&mut self, uid: Uid, i: usize, code: i32) {
        let now = self.now;
        let Some(c) = self.container_mut(uid, i) else { return };
        c.last_exit = Some(termination(code, now));
        c.process = Process::Exited { code, at: now };
        self.failover_stopped(uid, i);
        self.reset_connections(uid, i);
    }

    /// All processes of a Pod end, now.
    pub(super) fn end_processes(&mut self, uid: Uid, code: i32) {
        let running = |s: &Sandbox| -> Vec<usize> {
            (0..s.containers.len()).filter(|i| s.containers[*i].process.runs()).collect()
        };
        let all = self.sandboxes.get(&uid).map(|s| running(s)).unwrap_or_default();
        for i in all {
            self.end_process(uid, i, code);
        }
    }

    /// SIGKILL to the Pod's first container that runs, behind the kubelet's back: it finds out at its next relist.
    /// False: none runs.
    pub(crate) fn kill_process(&mut self, uid: Uid) -> bool {
        let Some(s) = self.sandboxes.get(&uid) else { return false };
        let order = (s.inits()..s.containers.len()).chain(0..s.inits());
        let Some(i) = order.into_iter().find(|i| s.containers[*i].process.runs()) else { return false };
        self.end_process(uid, i, 137);
        self.plan_notice(uid, i);
        self.look_at_probes(uid);
        true
    }

    /// The kubelet will find out at its next relist that a process has ended.
    fn plan_notice(&mut self, uid: Uid, i: usize) {
        let Some(node) = self.sandboxes.get(&uid).map(|s| s.node.clone()) else { return };
        let relist = self.next_relist(&node);
        self.step_after(uid, i, relist, Step::NoticedExit);
    }

    fn noticed_exit(&mut self, sandbox: &Sandbox, i: usize) {
        if matches!(sandbox.containers[i].process, Process::Exited { .. }) {
            if sandbox.killed_at.is_some() {
                self.container_stopped(sandbox.uid, i);
                return;
            }
            if !sandbox.completed(i) {
                self.mark_pod(sandbox, "mark-process-noticed");
                self.failover_exit(&sandbox.pod);
            }
            self.after_exit(sandbox.uid, i);
        }
    }

    /// The kubelet knows that a container has ended: it is started again, or what comes next happens.
    pub(super) fn after_exit(&mut self, uid: Uid, i: usize) {
        let Some(sandbox) = self.sandboxes.get(&uid).filter(|s| !s.finished).cloned() else { return };
        let run = &sandbox.containers[i];
        let Process::Exited { code, at } = run.process else { return };
        let again = sandbox.restarts_after(i, code);
        if let Some(c) = self.container_mut(uid, i) {
            c.forget();
        }
        if again {
            // A container that ran for long starts its back-off anew; the delay counts from its end.
            let ran = at.since(run.started_at);
            let wait = if ran >= BACKOFF_RESET { Span::ZERO } else { run.backoff };
            let next = if wait == Span::ZERO { BACKOFF_FIRST } else { wait.times(2).min(BACKOFF_MAX) };
            let until = (at + wait).max(self.now);
            if let Some(c) = self.container_mut(uid, i) {
                c.process = if wait == Span::ZERO { Process::Creating } else { Process::BackOff { until } };
                c.backoff = next;
                c.restarts += 1;
            }
            self.failover_restart(&sandbox, wait);
            let who = subject(&["restart", &sandbox.key.name, &sandbox.spec(i).name]);
            let start = self.delay(Source::StartUp, who, Span::from_millis(40), Span::from_millis(120));
            self.step_after(uid, i, until.since(self.now) + start, Step::Started);
            self.report(uid);
            return;
        }
        let for_good = |i: usize| match sandbox.containers[i].process {
            Process::Exited { code, .. } => !sandbox.restarts_after(i, code),
            _ => false,
        };
        let failed_init = sandbox.must_complete(i) && code != 0;
        if failed_init || (sandbox.inits()..sandbox.containers.len()).all(for_good) {
            // What is left are sidecars: they end after the containers that they serve.
            let grace = Span::from_secs(sandbox.pod.spec.termination_grace_period_seconds.unwrap_or(30).max(0) as u64);
            self.finish_pod(uid);
            for j in (0..sandbox.inits()).filter(|j| sandbox.containers[*j].process.runs()) {
                self.stop_container(uid, j, grace);
            }
            return;
        }
        self.report(uid);
        self.start_due(uid);
    }
}
