//! The kubelet's view of a Pod, as it writes it to the API server (`getPhase` and `generateAPIPodStatus` in
//! `pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/status/generate.go`).

use super::{Process, Sandbox};
use crate::cluster::Cluster;
use kube_api::{Condition, ConditionStatus, ContainerState, ContainerStatus, Pod, PodPhase, PodStatus, Uid};
use lab_base::Time;
use lab_protocol::{MarkKind, Phrase};

impl Cluster {
    /// Writes a Pod's status as its kubelet sees it now.
    pub(crate) fn write_status(&mut self, uid: Uid) {
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        if !self.kubelet_writes(&sandbox.node) {
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
    let inits = sandbox.inits();
    let phase = phase(sandbox);
    let mut all: Vec<ContainerStatus> = (0..sandbox.containers.len()).map(|i| container_status(sandbox, i)).collect();
    // Sidecars count (KEP-753).
    let counts = |i: &usize| *i >= inits || sandbox.is_sidecar(*i);
    let unready: Vec<&str> =
        (0..all.len()).filter(|i| counts(i) && !all[*i].ready).map(|i| all[i].name.as_str()).collect();
    let mut conditions: Vec<Condition> = pod
        .status
        .conditions
        .iter()
        .filter(|c| !matches!(c.type_.as_str(), "Initialized" | "ContainersReady" | "Ready"))
        .cloned()
        .collect();
    if inits > 0 {
        let incomplete: Vec<&str> = (0..inits)
            .filter(|i| if sandbox.is_sidecar(*i) { !all[*i].started } else { !sandbox.completed(*i) })
            .map(|i| all[i].name.as_str())
            .collect();
        let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
        // Once the others run, that it was initialized stays true.
        let holds = incomplete.is_empty() || sandbox.containers[inits..].iter().any(|c| c.process != Process::Waiting);
        conditions.push(condition(pod, "Initialized", holds, "ContainersNotInitialized", &message, now));
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    let because = match phase {
        PodPhase::Succeeded => Some(("PodCompleted", "")),
        PodPhase::Failed => Some(("PodFailed", "")),
        _ if !unready.is_empty() => Some(("ContainersNotReady", message.as_str())),
        _ => None,
    };
    let (reason, message) = because.unwrap_or_default();
    conditions.push(condition(pod, "ContainersReady", because.is_none(), reason, message, now));
    let gates = gates(pod);
    let (because, message) = match because {
        None if !gates.is_empty() => (Some("ReadinessGatesNotReady"), gates.as_str()),
        other => (other.map(|(reason, _)| reason), message),
    };
    conditions.push(condition(pod, "Ready", because.is_none(), because.unwrap_or_default(), message, now));
    let container_statuses = all.split_off(inits);
    PodStatus {
        phase,
        reason: String::new(),
        conditions,
        pod_ip: sandbox.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        pod_ips: sandbox.ip.map(|ip| ip.to_string()).into_iter().collect(),
        start_time: pod.status.start_time.or(Some(now)),
        init_container_statuses: all,
        container_statuses,
    }
}

/// What readiness gates complain of; empty: nothing (`GeneratePodReadyCondition`).
fn gates(pod: &Pod) -> String {
    let complaint = |type_: &str| match pod.condition(type_).map(|c| c.status) {
        None => Some(format!("corresponding condition of pod readiness gate \"{type_}\" does not exist.")),
        Some(ConditionStatus::True) => None,
        Some(status) => Some(format!("the status of pod readiness gate \"{type_}\" is not \"True\", but {status:?}")),
    };
    let all: Vec<String> = pod.spec.readiness_gates.iter().filter_map(|g| complaint(&g.condition_type)).collect();
    all.join(", ")
}

fn phase(s: &Sandbox) -> PodPhase {
    let exit = |i: usize| match s.containers[i].process {
        Process::Exited { code, .. } => Some(code),
        _ => None,
    };
    let main = s.inits()..s.containers.len();
    if s.finished {
        let inits = (0..s.inits()).filter(|i| s.must_complete(*i));
        let well = inits.chain(main).all(|i| exit(i) == Some(0));
        return if well { PodPhase::Succeeded } else { PodPhase::Failed };
    }
    // Pending until all init containers are through and one of the others has started.
    let begun = main.clone().any(|i| s.containers[i].process.runs() || s.containers[i].last_exit.is_some());
    if begun { PodPhase::Running } else { PodPhase::Pending }
}

fn container_status(s: &Sandbox, i: usize) -> ContainerStatus {
    let run = &s.containers[i];
    let waiting = |reason: &str| ContainerState::Waiting { reason: reason.into() };
    let state = match run.process {
        // It is about to start again.
        Process::Creating if run.last_exit.is_some() => {
            ContainerState::Terminated(run.last_exit.clone().unwrap_or_default())
        }
        Process::Waiting | Process::Pulling { .. } | Process::Creating if s.inits() > 0 && !s.is_initialized() => {
            waiting("PodInitializing")
        }
        Process::Waiting | Process::Pulling { .. } | Process::Creating => waiting("ContainerCreating"),
        Process::BackOff { .. } => waiting("CrashLoopBackOff"),
        Process::Blocked { by, .. } => waiting(by.reason()),
        Process::Booting | Process::Listening | Process::Busy | Process::Draining => {
            ContainerState::Running { started_at: run.started_at }
        }
        Process::Exited { .. } => ContainerState::Terminated(run.last_exit.clone().unwrap_or_default()),
    };
    ContainerStatus {
        name: s.spec(i).name.clone(),
        ready: if s.must_complete(i) { s.completed(i) } else { run.ready && run.process.runs() },
        restart_count: run.restarts,
        started: run.started && run.process.runs(),
        state,
        last_termination: run.last_exit.clone().filter(|_| run.restarts > 0),
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
