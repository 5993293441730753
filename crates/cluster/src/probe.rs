//! Readiness and liveness probes (`pkg/kubelet/prober/worker.go`).
//!
//! A probe ticks only while its result can change something: a healthy one costs nothing.

use crate::cluster::Cluster;
use crate::event::{EventKey, Step};
use crate::kubelet::{Process, Sandbox};
use kube_api::{IntOrString, Probe, Uid};
use lab_base::{Span, Time};
use serde::Serialize;

/// The state of one probe.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProbeRun {
    /// From which its ticks are counted.
    pub anchor: Time,
    /// Results in a row that differ from what holds.
    pub streak: u32,
    /// Next tick, while something can change.
    pub next: Option<EventKey>,
}

fn period(probe: &Probe) -> Span {
    Span::from_secs(probe.period_seconds.max(1) as u64)
}

/// The first tick of a grid later than `now`.
pub(crate) fn next_tick(anchor: Time, period: Span, now: Time) -> Time {
    let passed = now.since(anchor).as_micros() / period.as_micros().max(1);
    anchor + period.times(passed + 1)
}

/// The number of a probe's port: its own, or of the container port of that name.
fn number(s: &Sandbox, port: Option<&IntOrString>) -> Option<u16> {
    match port? {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let mut ports = s.pod.spec.containers.iter().flat_map(|c| &c.ports);
            ports.find(|p| p.name == *name).map(|p| p.container_port)
        }
    }
}

/// Whether the process answers a probe: it listens at the probe's port, and its cable is in. A command asks no port.
fn answers(s: &Sandbox, probe: &Probe) -> bool {
    let get = probe.http_get.as_ref().map(|g| &g.port);
    let listens = match get.or(probe.tcp_socket.as_ref().map(|t| &t.port)) {
        Some(port) => number(s, port.as_ref()).is_some_and(|port| s.accepts(port)),
        None => s.process == Process::Listening,
    };
    listens && !s.cut
}

fn readiness_result(s: &Sandbox, probe: &Probe) -> bool {
    answers(s, probe) && !s.readiness_failing
}

impl Cluster {
    /// Plans ticks for probes whose result will differ from what holds. A healthy probe costs nothing.
    pub(crate) fn look_at_probes(&mut self, uid: Uid) {
        let Some(s) = self.sandboxes.get(&uid).filter(|s| s.noticed).cloned() else { return };
        if let Some(probe) = s.readiness_probe()
            && s.readiness.next.is_none()
            && readiness_result(&s, probe) != s.ready
        {
            let at = next_tick(s.readiness.anchor, period(probe), self.now);
            let key = self.step_after(uid, at.since(self.now), Step::Readiness);
            if let Some(s) = self.sandbox_mut(uid) {
                s.readiness.next = key;
            }
        }
        if let Some(probe) = s.liveness_probe()
            && s.liveness.next.is_none()
            && s.killed_at.is_none()
            && !answers(&s, probe)
        {
            let from = s.started_at + Span::from_secs(probe.initial_delay_seconds.max(0) as u64);
            let at = next_tick(s.liveness.anchor, period(probe), self.now.max(from));
            let key = self.step_after(uid, at.since(self.now), Step::Liveness);
            if let Some(s) = self.sandbox_mut(uid) {
                s.liveness.next = key;
            }
        }
    }

    /// What a failed probe says (`pkg/probe/http`, `pkg/probe/tcp`).
    fn probe_failure(&self, s: &Sandbox, probe: &Probe) -> String {
        let ip = s.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let number = |port: &Option<IntOrString>| match (number(s, port.as_ref()), port) {
            (Some(port), _) => port.to_string(),
            (None, port) => port.as_ref().map(IntOrString::to_string).unwrap_or_default(),
        };
        let dial = if s.cut { "i/o timeout" } else { "connect: connection refused" };
        let listens = answers(s, probe);
        match (&probe.http_get, &probe.tcp_socket) {
            (Some(_), _) if listens => "HTTP probe failed with statuscode: 503".into(),
            (Some(get), _) => {
                let port = number(&get.port);
                let url = format!("Get \"http://{ip}:{port}{}\"", get.path);
                if s.cut {
                    format!("{url}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
                } else {
                    format!("{url}: dial tcp {ip}:{port}: {dial}")
                }
            }
            (_, Some(socket)) if !listens => format!("dial tcp {ip}:{}: {dial}", number(&socket.port)),
            _ => "command failed".into(),
        }
    }

    pub(crate) fn readiness_tick(&mut self, sandbox: &Sandbox) {
        let Some(probe) = sandbox.readiness_probe().cloned() else { return };
        let result = readiness_result(sandbox, &probe);
        let needed = if result { probe.success_threshold } else { probe.failure_threshold }.max(1) as u32;
        let uid = sandbox.uid;
        let mut turned = false;
        if let Some(s) = self.sandbox_mut(uid) {
            s.readiness.next = None;
            s.readiness.streak = if result == s.ready { 0 } else { s.readiness.streak + 1 };
            if s.readiness.streak >= needed {
                s.ready = result;
                s.readiness.streak = 0;
                turned = true;
            }
        }
        if !result {
            let why = self.probe_failure(sandbox, &probe);
            self.probe_event(&sandbox.pod, "Readiness", &why);
        }
        if turned {
            self.report(uid);
        } else if !result {
            self.mark_pod(sandbox, "mark-readiness-failed");
        }
        self.look_at_probes(uid);
    }

    pub(crate) fn liveness_tick(&mut self, sandbox: &Sandbox) {
        let Some(probe) = sandbox.liveness_probe().cloned() else { return };
        let alive = answers(sandbox, &probe);
        let uid = sandbox.uid;
        let mut kill = false;
        if let Some(s) = self.sandbox_mut(uid) {
            s.liveness.next = None;
            s.liveness.streak = if alive { 0 } else { s.liveness.streak + 1 };
            kill = s.liveness.streak >= probe.failure_threshold.max(1) as u32;
        }
        if !alive {
            let why = self.probe_failure(sandbox, &probe);
            self.probe_event(&sandbox.pod, "Liveness", &why);
        }
        if kill {
            self.liveness_event(&sandbox.pod);
            self.mark_pod(sandbox, "mark-liveness-failed");
            self.end_process(uid, 137);
            self.noticed_exit_of(uid);
        } else {
            self.look_at_probes(uid);
        }
    }
}
