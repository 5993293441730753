//! The kubelet's view of a Pod, as it writes it to the API server (`pkg/kubelet/status/generate.go`).

use crate::cluster::Cluster;
use crate::kubelet::{Process, Sandbox};
use kube_api::{Condition, ConditionStatus, ContainerState, ContainerStatus, Pod, PodPhase, PodStatus, Uid};
use lab_base::Time;
use lab_protocol::{MarkKind, Phrase};

impl Cluster {
    /// Writes a Pod's status as its kubelet sees it now.
    pub(crate) fn write_status(&mut self, uid: Uid) {
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        if !self.machines.get(&sandbox.node).is_some_and(|m| m.is_reachable()) {
            return;
        }
        let now = self.now;
        let Some(pod) = self.store.get::<Pod>(&sandbox.key).filter(|p| p.metadata.uid == uid).cloned() else { return };
        let status = status_of(&pod, &sandbox, now);
        let (was, is) =
            (pod.is_ready(), status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == ConditionStatus::True));
        self.store.update::<Pod>(&sandbox.key, |p| p.status = status);
        if was != is {
            let id = if is { "mark-pod-ready" } else { "mark-pod-not-ready" };
            let name = &sandbox.key.name;
            self.mark(MarkKind::Change, format!("Pod/{name}"), Phrase::new(id).with("pod", name));
        }
    }
}

fn status_of(pod: &Pod, sandbox: &Sandbox, now: Time) -> PodStatus {
    let running = sandbox.is_running();
    let ready = sandbox.ready && running;
    let ever = running || sandbox.last_exit.is_some();
    let state = match sandbox.process {
        Process::Creating => ContainerState::Waiting { reason: "ContainerCreating".into() },
        Process::BackOff { .. } => ContainerState::Waiting { reason: "CrashLoopBackOff".into() },
        Process::Booting | Process::Listening | Process::Draining => {
            ContainerState::Running { started_at: sandbox.started_at }
        }
        Process::Exited { .. } => ContainerState::Terminated(sandbox.last_exit.clone().unwrap_or_default()),
    };
    let gates = pod
        .spec
        .readiness_gates
        .iter()
        .all(|gate| pod.condition(&gate.condition_type).is_some_and(|c| c.status == ConditionStatus::True));
    let mut conditions: Vec<Condition> = pod
        .status
        .conditions
        .iter()
        .filter(|c| !matches!(c.type_.as_str(), "ContainersReady" | "Ready"))
        .cloned()
        .collect();
    let names: Vec<&str> = pod.spec.containers.iter().map(|c| c.name.as_str()).collect();
    let unready = format!("containers with unready status: [{}]", names.join(" "));
    conditions.push(condition(pod, "ContainersReady", ready, "ContainersNotReady", &unready, now));
    let (reason, message) =
        if ready { ("ReadinessGatesNotReady", "") } else { ("ContainersNotReady", unready.as_str()) };
    conditions.push(condition(pod, "Ready", ready && gates, reason, message, now));
    PodStatus {
        phase: if ever { PodPhase::Running } else { PodPhase::Pending },
        reason: String::new(),
        conditions,
        pod_ip: sandbox.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        pod_ips: sandbox.ip.map(|ip| ip.to_string()).into_iter().collect(),
        start_time: pod.status.start_time.or(Some(now)),
        container_statuses: pod
            .spec
            .containers
            .iter()
            .map(|c| ContainerStatus {
                name: c.name.clone(),
                ready,
                restart_count: sandbox.restarts,
                started: running,
                state: state.clone(),
                last_termination: sandbox.last_exit.clone().filter(|_| sandbox.restarts > 0),
            })
            .collect(),
    }
}

fn condition(pod: &Pod, type_: &str, holds: bool, reason: &str, message: &str, now: Time) -> Condition {
    let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
    let before = pod.condition(type_).filter(|c| c.status == status);
    Condition {
        type_: type_.into(),
        status,
        last_transition_time: before.map_or(now, |c| c.last_transition_time),
        reason: if holds { String::new() } else { reason.into() },
        message: if holds { String::new() } else { message.into() },
    }
}
