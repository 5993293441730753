//! Startup, liveness and readiness probes (`pkg/kubelet/prober/worker.go`, SPEC section 3.1).
//!
//! A worker ticks from when the kubelet took the Pod on, each `periodSeconds`. A tick is an event only while its result can
//! change something: a healthy probe costs nothing.

use super::{Process, Sandbox, command};
use crate::cluster::Cluster;
use crate::event::{EventKey, Step};
use kube_api::{Container, IntOrString, Probe, Uid};
use lab_base::{Span, Time};
use serde::Serialize;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ProbeKind {
    /// Whether the process has started; before, nothing else is asked.
    Startup,
    /// Whether it must be restarted.
    Liveness,
    /// Whether it takes traffic.
    Readiness,
}

impl ProbeKind {
    /// All of them, by number.
    pub const ALL: [ProbeKind; 3] = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness];

    /// A container's probe of this kind.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            ProbeKind::Startup => container.startup_probe.as_ref(),
            ProbeKind::Liveness => container.liveness_probe.as_ref(),
            ProbeKind::Readiness => container.readiness_probe.as_ref(),
        }
    }

    /// As events write it.
    pub fn name(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }
}

/// The state of one probe.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProbeRun {
    /// Results in a row that differ from what holds.
    pub streak: u32,
    /// Next tick, while something can change.
    pub next: Option<EventKey>,
    /// How the last try failed, if it did.
    pub told: Option<Try>,
}

/// How often a probe asks.
pub(crate) fn period(probe: &Probe) -> Span {
    Span::from_secs(probe.period_seconds.max(1) as u64)
}

/// The first tick of a grid later than `now`.
pub(crate) fn next_tick(anchor: Time, period: Span, now: Time) -> Time {
    let passed = now.since(anchor).as_micros() / period.as_micros().max(1);
    anchor + period.times(passed + 1)
}

/// How many ticks of a grid are later than `from` and not later than `to`.
pub(crate) fn ticks_between(anchor: Time, period: Span, from: Time, to: Time) -> u64 {
    let until = |t: Time| t.since(anchor).as_micros() / period.as_micros().max(1);
    until(to).saturating_sub(until(from))
}

/// The number of a port of a container: itself, or that of the container port of this name.
pub(super) fn number(container: &Container, port: Option<&IntOrString>) -> Option<u16> {
    match port? {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => container.ports.iter().find(|p| p.name == *name).map(|p| p.container_port),
    }
}

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Try {
    /// Well.
    Success,
    /// Nothing listens there, or the command fails.
    Refused,
    /// Nothing comes back in time.
    Late,
    /// An answer that says no.
    Unwell,
}

/// What a probe of this container would find now. All containers of a Pod share its address, so a port may be another's. A
/// connection is the kernel's work; an answer to a request takes the process as long as any other.
fn ask(s: &Sandbox, i: usize, kind: ProbeKind, probe: &Probe) -> Try {
    let limit = Span::from_secs(probe.timeout_seconds.max(1) as u64);
    let grpc = probe.grpc.as_ref().map(|g| IntOrString::Int(g.port));
    let asks = probe.http_get.as_ref().map(|g| g.port.as_ref());
    let asks = asks.or(probe.tcp_socket.as_ref().map(|t| t.port.as_ref())).or(grpc.as_ref().map(Some));
    let found = match asks {
        Some(_) if s.cut => Try::Late,
        Some(port) => match number(s.spec(i), port).and_then(|port| s.server(port)) {
            None => Try::Refused,
            Some(_) if probe.tcp_socket.is_some() => Try::Success,
            // It turns requests away with a 503.
            Some(_) if s.full => Try::Unwell,
            Some(_) if s.service_time() > limit => Try::Late,
            Some(_) => Try::Success,
        },
        None if !s.containers[i].process.runs() => Try::Refused,
        None => match probe.exec.as_ref().and_then(|e| command::read(e.command.iter())) {
            Some(script) if script.takes.is_none_or(|t| t > limit) => Try::Late,
            Some(script) if script.succeeds_within(limit) => Try::Success,
            Some(_) => Try::Refused,
            // Of another command nothing is known: it succeeds while the process does its work.
            None if matches!(s.containers[i].process, Process::Listening | Process::Busy) => Try::Success,
            None => Try::Refused,
        },
    };
    if found == Try::Success && kind == ProbeKind::Readiness && s.readiness_failing { Try::Unwell } else { found }
}

/// What a failed try says (`pkg/probe/http`, `pkg/probe/tcp`, `pkg/probe/grpc`, `pkg/probe/exec`).
pub(crate) fn complaint(s: &Sandbox, i: usize, probe: &Probe, found: Try) -> String {
    let ip = s.ip.map(|ip| ip.to_string()).unwrap_or_default();
    let number = |port: &Option<IntOrString>| match (number(s.spec(i), port.as_ref()), port) {
        (Some(port), _) => port.to_string(),
        (None, port) => port.as_ref().map(IntOrString::to_string).unwrap_or_default(),
    };
    let dial = if found == Try::Late { "i/o timeout" } else { "connect: connection refused" };
    if let Some(get) = &probe.http_get {
        let port = number(&get.port);
        let url = format!("Get \"http://{ip}:{port}{}\"", get.path);
        return match found {
            Try::Unwell => "HTTP probe failed with statuscode: 503".into(),
            Try::Late => format!("{url}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"),
            _ => format!("{url}: dial tcp {ip}:{port}: {dial}"),
        };
    }
    match (&probe.tcp_socket, &probe.grpc, &probe.exec) {
        (Some(socket), ..) => format!("dial tcp {ip}:{}: {dial}", number(&socket.port)),
        (_, Some(_), _) if found == Try::Unwell => "service unhealthy (responded with \"NOT_SERVING\")".into(),
        (_, Some(grpc), _) => format!(
            "timeout: failed to connect service \"{ip}:{}\" within {}s: context deadline exceeded",
            grpc.port, probe.timeout_seconds
        ),
        (.., Some(exec)) if found == Try::Late => format!("command {:?} timed out", exec.command.join(" ")),
        _ => "command failed".into(),
    }
}

impl Sandbox {
    /// Whether this probe of a container asks at all now.
    pub(crate) fn is_probed(&self, i: usize, kind: ProbeKind) -> bool {
        let run = &self.containers[i];
        let held = run.stopping.is_some() || self.killed_at.is_some() || self.finished;
        run.noticed
            && match kind {
                ProbeKind::Startup => !run.started && !held,
                ProbeKind::Liveness => run.started && !held,
                // Readiness goes on while the Pod terminates.
                ProbeKind::Readiness => run.started,
            }
    }
}

impl Cluster {
    /// Plans ticks for probes whose result will differ from what holds. A healthy probe costs nothing.
    pub(crate) fn look_at_probes(&mut self, uid: Uid) {
        let Some(s) = self.sandboxes.get(&uid).cloned() else { return };
        for i in 0..s.containers.len() {
            for kind in ProbeKind::ALL {
                if let Some(probe) = kind.of(s.spec(i)) {
                    self.look_at_probe(&s, i, kind, probe);
                }
            }
        }
    }

    fn look_at_probe(&mut self, s: &Sandbox, i: usize, kind: ProbeKind, probe: &Probe) {
        let run = &s.containers[i];
        if run.probe(kind).next.is_some() || !s.is_probed(i, kind) {
            return;
        }
        let found = ask(s, i, kind, probe);
        let success = found == Try::Success;
        let matters = match kind {
            ProbeKind::Startup => true,
            ProbeKind::Liveness => !success,
            // What goes on failing in another way is told once more.
            ProbeKind::Readiness => success != run.ready || (!success && run.probe(kind).told != Some(found)),
        };
        if matters {
            let at = self.next_try(s, i, probe, success);
            self.plan_try(s.uid, i, kind, at);
        }
    }

    /// The next tick of a worker at which the container is old enough. What succeeds takes no time while the cluster is
    /// brought up.
    fn next_try(&self, s: &Sandbox, i: usize, probe: &Probe, success: bool) -> Time {
        if self.bringing_up && success {
            return self.now;
        }
        let old_enough = s.containers[i].started_at + Span::from_secs(probe.initial_delay_seconds.max(0) as u64);
        next_tick(s.admitted_at, period(probe), self.now.max(old_enough - Span::from_micros(1)))
    }

    pub(crate) fn plan_try(&mut self, uid: Uid, i: usize, kind: ProbeKind, at: Time) {
        if self.sandboxes.get(&uid).is_some_and(|s| s.containers[i].probe(kind).told.is_some()) {
            self.settle_repeats(uid);
        }
        let key = self.step_after(uid, i, at.since(self.now), Step::Probe(kind));
        if let Some(c) = self.container_mut(uid, i) {
            c.probes[kind as usize].next = key;
        }
    }

    /// A container that isn't ready is probed at once when the kubelet writes its state down
    /// (`UpdatePodStatus` triggers the worker), unless `initialDelaySeconds` aren't over.
    pub(super) fn try_readiness(&mut self, uid: Uid, i: usize) {
        let Some(s) = self.sandboxes.get(&uid).cloned() else { return };
        let Some(probe) = ProbeKind::Readiness.of(s.spec(i)) else { return };
        let delay = Span::from_secs(probe.initial_delay_seconds.max(0) as u64);
        let old_enough = self.now.since(s.containers[i].started_at) >= self.takes(delay);
        let at = if old_enough { self.now } else { self.next_try(&s, i, probe, false) };
        self.plan_try(uid, i, ProbeKind::Readiness, at);
    }

    pub(super) fn probe_tick(&mut self, s: &Sandbox, i: usize, kind: ProbeKind) {
        let uid = s.uid;
        if let Some(c) = self.container_mut(uid, i) {
            c.probes[kind as usize].next = None;
        }
        let Some(probe) = kind.of(s.spec(i)).filter(|_| s.is_probed(i, kind)) else { return };
        let found = ask(s, i, kind, probe);
        let success = found == Try::Success;
        // What holds: not started, alive, as ready as it is.
        let holds = match kind {
            ProbeKind::Startup => None,
            ProbeKind::Liveness => Some(true),
            ProbeKind::Readiness => Some(s.containers[i].ready),
        };
        let needed = if success { probe.success_threshold } else { probe.failure_threshold }.max(1) as u32;
        let mut turned = false;
        if let Some(c) = self.container_mut(uid, i) {
            let run = &mut c.probes[kind as usize];
            run.told = (!success).then_some(found);
            run.streak = if holds == Some(success) || (holds.is_none() && success) { 0 } else { run.streak + 1 };
            turned = run.streak >= needed || (holds.is_none() && success);
            if turned {
                run.streak = 0;
            }
        }
        if !success {
            let why = complaint(s, i, probe, found);
            self.probe_event(&s.pod, s.spec(i), kind, &why);
        }
        if turned && !success {
            self.failover_probe(s, i, kind);
        }
        match kind {
            ProbeKind::Readiness if turned => {
                if let Some(c) = self.container_mut(uid, i) {
                    c.ready = success;
                }
                self.report(uid);
            }
            ProbeKind::Readiness if !success => self.mark_pod(s, "mark-readiness-failed"),
            ProbeKind::Startup if turned && success => self.container_started(uid, i),
            ProbeKind::Startup | ProbeKind::Liveness if turned => {
                self.killing_event(&s.pod, s.spec(i), kind);
                let mark = if kind == ProbeKind::Startup { "mark-startup-failed" } else { "mark-liveness-failed" };
                self.mark_pod(s, mark);
                let grace = probe.termination_grace_period_seconds.or(s.pod.spec.termination_grace_period_seconds);
                self.stop_container(uid, i, Span::from_secs(grace.unwrap_or(30).max(0) as u64));
            }
            _ => {}
        }
        self.look_at_probes(uid);
    }
}
