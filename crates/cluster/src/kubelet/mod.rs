//! kubelet: runs Pods on a node, watches their containers, and tells the API server.
//!
//! Each container is a process of its own. What is periodic and comes to nothing (a healthy probe, a lease) isn't simulated.
//! Sources: `pkg/kubelet/kubelet.go`, `kuberuntime/kuberuntime_manager.go`, `kuberuntime/kuberuntime_container.go`,
//! `pleg/generic.go`, `prober/worker.go`, `status/generate.go`.

pub(crate) mod command;
mod config;
mod containers;
mod pods;
pub(crate) mod probe;
mod status;
mod termination;

use crate::event::NodeName;
use crate::scenario::WorkloadSpec;
use crate::traffic::RequestId;
use crate::workload;
use kube_api::{Container, ContainerTermination, NamespacedName, Pod, Uid};
use lab_base::{OrdSet, Span, Time};
pub use probe::{ProbeKind, ProbeRun};
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
/// First delay before a volume that couldn't be mounted is tried again, doubled up to [`MOUNT_BACKOFF_MAX`]
/// (`initialDurationBeforeRetry`, `maxDurationBeforeRetry` of `pkg/util/goroutinemap/exponentialbackoff`).
pub const MOUNT_BACKOFF_FIRST: Span = Span::from_millis(500);
/// Longest such delay.
pub const MOUNT_BACKOFF_MAX: Span = Span::from_secs(122);
/// However little is left of the grace period, a container has this long between SIGTERM and SIGKILL
/// (`minimumGracePeriodInSeconds`).
pub const MINIMUM_GRACE: Span = Span::from_secs(2);

/// What a container's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Process {
    /// None yet: the Pod's sandbox isn't there, or it isn't this container's turn.
    Waiting,
    /// None yet: its image is being pulled.
    Pulling {
        /// How long that takes.
        takes: Span,
    },
    /// None yet: it is being created, or is about to start again.
    Creating,
    /// It runs but doesn't listen yet.
    Booting,
    /// It listens.
    Listening,
    /// It runs a command that listens nowhere.
    Busy,
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
    /// None: the kubelet can't make it, and tries again.
    Blocked {
        /// Why.
        by: Blocked,
        /// When it tries again.
        until: Time,
    },
}

/// Why a container can't be made: the reasons that its status gives (`pkg/kubelet/container/sync_result.go`,
/// `kuberuntime_container.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Blocked {
    /// Its environment asks for what isn't there.
    CreateContainerConfigError,
}

impl Blocked {
    /// As the container's status has it.
    pub fn reason(self) -> &'static str {
        match self {
            Blocked::CreateContainerConfigError => "CreateContainerConfigError",
        }
    }
}

impl Process {
    /// Whether there is a process.
    pub fn runs(self) -> bool {
        matches!(self, Process::Booting | Process::Listening | Process::Busy | Process::Draining)
    }
}

/// How far the end of a container is that the kubelet stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stopping {
    /// When the grace period ends.
    pub deadline: Time,
    /// When SIGKILL comes.
    pub kill_at: Time,
    /// Whether its preStop hook has ended and SIGTERM waits for the containers that must end before it.
    pub waits: bool,
}

/// A container as it is on its node.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerRun {
    /// What its process does.
    pub process: Process,
    /// Number of the process; steps of an older one are void.
    pub life: u32,
    /// When the process started.
    pub started_at: Time,
    /// Whether the kubelet knows that the process runs.
    pub noticed: bool,
    /// Whether the process counts as started: the startup probe has succeeded, or there is none.
    pub started: bool,
    /// Whether it counts as ready.
    pub ready: bool,
    /// Its probes, by [`ProbeKind`].
    pub probes: [ProbeRun; 3],
    /// Restarts so far.
    pub restarts: u32,
    /// Next delay of the back-off; zero: restart at once.
    pub backoff: Span,
    /// How the last process ended.
    pub last_exit: Option<ContainerTermination>,
    /// While the kubelet stops it.
    pub stopping: Option<Stopping>,
    /// Requests that it works on.
    pub serving: OrdSet<RequestId>,
    /// Requests that wait for a worker, by the time at which they came. Left out of the bytes while there is none.
    #[serde(skip_serializing_if = "OrdSet::is_empty")]
    pub waiting: OrdSet<(Time, RequestId)>,
}

impl ContainerRun {
    fn new() -> ContainerRun {
        ContainerRun {
            process: Process::Waiting,
            life: 1,
            started_at: Time::ZERO,
            noticed: false,
            started: false,
            ready: false,
            probes: Default::default(),
            restarts: 0,
            backoff: Span::ZERO,
            last_exit: None,
            stopping: None,
            serving: OrdSet::new(),
            waiting: OrdSet::new(),
        }
    }

    /// State of a probe.
    pub fn probe(&self, kind: ProbeKind) -> &ProbeRun {
        &self.probes[kind as usize]
    }

    /// The process is no more, or another: what the kubelet knew of it is void.
    fn forget(&mut self) {
        self.life += 1;
        self.noticed = false;
        self.started = false;
        self.ready = false;
        self.stopping = None;
        self.probes = Default::default();
    }
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
    /// How its processes behave.
    pub workload: Arc<WorkloadSpec>,
    /// Its address, once networked.
    pub ip: Option<IpAddr>,
    /// Number of the sandbox; steps of an older one are void.
    pub life: u32,
    /// When the kubelet took it on; probes tick from here.
    pub admitted_at: Time,
    /// Its init containers, then the others, as in its spec.
    pub containers: Vec<ContainerRun>,
    /// Whether a fault makes the readiness probes fail.
    pub readiness_failing: bool,
    /// How many times as long as usual its work takes; 0: as usual.
    pub slowed: u16,
    /// Whether something has taken all its workers: each request is answered with 503.
    pub full: bool,
    /// Whether its cable is pulled.
    pub cut: bool,
    /// When the grace period ends, once it is being deleted.
    pub killed_at: Option<Time>,
    /// Whether all has ended for good: nothing is started any more.
    pub finished: bool,
    /// How long it waits before its volumes are mounted again; zero: they are mounted. Left out of the bytes then.
    #[serde(skip_serializing_if = "nothing")]
    pub mount_wait: Span,
}

fn nothing(wait: &Span) -> bool {
    *wait == Span::ZERO
}

impl Sandbox {
    /// How many of its containers are init containers.
    pub fn inits(&self) -> usize {
        self.pod.spec.init_containers.len()
    }
    /// The spec of a container.
    pub fn spec(&self, i: usize) -> &Container {
        let inits = &self.pod.spec.init_containers;
        inits.get(i).unwrap_or_else(|| &self.pod.spec.containers[i - inits.len()])
    }
    /// Whether a container is an init container that must end before the next begins.
    pub fn must_complete(&self, i: usize) -> bool {
        i < self.inits() && !self.spec(i).is_sidecar()
    }
    /// Whether a container is a sidecar: an init container that goes on.
    pub fn is_sidecar(&self, i: usize) -> bool {
        i < self.inits() && self.spec(i).is_sidecar()
    }
    /// Whether all init containers are through, and the sidecars have started.
    pub fn is_initialized(&self) -> bool {
        (0..self.inits()).all(|i| if self.is_sidecar(i) { self.containers[i].started } else { self.completed(i) })
    }
    /// Whether a container has ended well.
    fn completed(&self, i: usize) -> bool {
        matches!(self.containers[i].process, Process::Exited { code: 0, .. })
    }
    /// The container that would listen on this port, if one does now.
    pub fn server(&self, port: u16) -> Option<usize> {
        workload::server(&self.pod.spec, &self.workload, port)
            .filter(|i| self.containers.get(*i).is_some_and(|c| c.process == Process::Listening))
    }
    /// Whether new connections are taken on this port.
    pub fn accepts(&self, port: u16) -> bool {
        self.server(port).is_some()
    }
    /// Whether one of its processes is alive.
    pub fn is_running(&self) -> bool {
        self.containers.iter().any(|c| c.process.runs())
    }
    /// Mean time that a request takes now.
    pub fn service_time(&self) -> Span {
        self.workload.service_time.times(u64::from(self.slowed.max(1)))
    }
    /// Restarts of its containers.
    pub fn restarts(&self) -> u32 {
        self.containers.iter().map(|c| c.restarts).sum()
    }
    /// The container that says most about the Pod: the first that keeps it from being ready, else the first of the spec.
    pub fn main(&self) -> &ContainerRun {
        let inits = self.inits();
        let before = (0..inits).find(|i| !self.is_initialized() && !self.completed(*i) && !self.containers[*i].started);
        let trouble = (inits..self.containers.len()).find(|i| !self.containers[*i].ready);
        &self.containers[before.or(trouble).unwrap_or(inits)]
    }
    /// What a container that has ended with this code does next.
    fn restarts_after(&self, i: usize, code: i32) -> bool {
        match self.pod.spec.restart_policy.as_str() {
            _ if self.is_sidecar(i) => true,
            _ if self.must_complete(i) && code == 0 => false,
            "Never" => false,
            "OnFailure" => code != 0,
            // An init container of a Pod that always restarts is run until it succeeds.
            _ => true,
        }
    }
}
