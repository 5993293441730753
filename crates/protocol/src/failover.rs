//! Failover timelines: what a failure took away, who noticed when, and when it was back.
//!
//! Everything here is typed: which component acted, which setting governed how long it took and where that setting stands.
//! The words are the language catalogues' own.

use crate::{Counts, Id, Phrase};
use lab_base::{Span, Time};
use serde::{Deserialize, Serialize};

/// A failure: a fault or a command that takes endpoints away, and all that followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    /// Number in the run, from 1.
    pub id: u32,
    /// What happened: `failover-killProcess`, `failover-rollout`, ... with its arguments.
    pub cause: Phrase,
    /// When.
    pub at: Time,
    /// When all was in rotation again, gone as wanted, or mended; None: it goes on.
    pub until: Option<Time>,
    /// The Pods that it struck, in that order.
    pub courses: Vec<Course>,
    /// Pods that it struck besides, of which nothing more is remembered.
    pub more: u32,
    /// What happened of which no single Pod is the subject, in order.
    pub steps: Vec<Step>,
    /// Failed requests of the time from `at` to `until` that belong to no part of a course.
    pub elsewhere: Counts,
    /// When the last request was sent that failed; one that was under way at `at` counts as sent then.
    pub last_failed: Option<Time>,
}

/// What became of one Pod that a failure struck, and of the one that took its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Its uid.
    pub pod: Id,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Node that it was on.
    pub node: String,
    /// Services that had it as a ready endpoint.
    pub services: Vec<String>,
    /// When it was struck.
    pub at: Time,
    /// When that was over.
    pub until: Option<Time>,
    /// How it was over.
    pub end: Option<CourseEnd>,
    /// Name of the Pod that took its place, or its own once it was ready again.
    pub replacement: Option<String>,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// The same in parts, one after another without gaps, from `at` to `until` or to the present one.
    pub parts: Vec<Part>,
    /// When the last request that failed was sent to it.
    pub last_failed: Option<Time>,
}

/// How a Pod's course ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CourseEnd {
    /// It, or another in its place, is ready and in the rules of every node.
    Back,
    /// It is gone, and nobody wants another.
    Gone,
    /// What was wrong was mended before anybody noticed.
    Mended,
}

impl CourseEnd {
    /// Its key.
    pub const fn key(self) -> &'static str {
        match self {
            CourseEnd::Back => "back",
            CourseEnd::Gone => "gone",
            CourseEnd::Mended => "mended",
        }
    }
}

/// Something that happened at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Time,
    /// What.
    pub kind: StepKind,
    /// To which node, Pod or Service, or through which client.
    pub subject: String,
    /// Settings that governed when.
    pub settings: Vec<Setting>,
}

/// What can happen. The component that does it is [`StepKind::component`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StepKind {
    /// A command asked for it; subject: the Deployment.
    Commanded,
    /// The failure itself; its settings are those by which it will be noticed.
    Struck,
    /// A relist finds that the process is dead.
    NoticedExit,
    /// As many readiness probes failed as it takes.
    ReadinessFailed,
    /// As many liveness probes failed as it takes.
    LivenessFailed,
    /// The node's lease is too old: its Pods count as not ready.
    NodeNotReady,
    /// The API server marks the Pod as being deleted, or removes it at once.
    Deleted,
    /// The API server has the Pod as not ready.
    NotReady,
    /// The Pod isn't among a Service's ready endpoints any more; subject: the Service.
    EndpointOut,
    /// A node's rules are without it; subject: the node.
    RulesWithout,
    /// A load balancer's health checks have found a node unwell; subject: the node.
    TargetOut,
    /// SIGTERM.
    Sigterm,
    /// The process has ended.
    Stopped,
    /// The Pod's object is gone.
    Removed,
    /// Another Pod was made in its place; subject: that Pod.
    Created,
    /// A node was found for it; subject: the node.
    Scheduled,
    /// The container is started again, now or after its back-off.
    Restarting,
    /// It, or the other Pod, is ready; subject: that Pod.
    Ready,
    /// It is among a Service's ready endpoints; subject: the Service.
    EndpointBack,
    /// A node's rules have it; subject: the node.
    RulesWith,
    /// A load balancer's health checks find a node well again; subject: the node.
    TargetBack,
    /// What was wrong was mended.
    Mended,
    /// A request failed although the rules of every node were right: its client still held to the Pod; subject: the client.
    Straggler,
}

impl StepKind {
    /// Its key.
    pub const fn key(self) -> &'static str {
        match self {
            StepKind::Commanded => "commanded",
            StepKind::Struck => "struck",
            StepKind::NoticedExit => "noticed-exit",
            StepKind::ReadinessFailed => "readiness-failed",
            StepKind::LivenessFailed => "liveness-failed",
            StepKind::NodeNotReady => "node-not-ready",
            StepKind::Deleted => "deleted",
            StepKind::NotReady => "not-ready",
            StepKind::EndpointOut => "endpoint-out",
            StepKind::RulesWithout => "rules-without",
            StepKind::TargetOut => "target-out",
            StepKind::Sigterm => "sigterm",
            StepKind::Stopped => "stopped",
            StepKind::Removed => "removed",
            StepKind::Created => "created",
            StepKind::Scheduled => "scheduled",
            StepKind::Restarting => "restarting",
            StepKind::Ready => "ready",
            StepKind::EndpointBack => "endpoint-back",
            StepKind::RulesWith => "rules-with",
            StepKind::TargetBack => "target-back",
            StepKind::Mended => "mended",
            StepKind::Straggler => "straggler",
        }
    }

    /// Who does it; empty: nobody of the cluster.
    pub const fn component(self) -> &'static str {
        match self {
            StepKind::Commanded | StepKind::Struck | StepKind::Mended => "",
            StepKind::NoticedExit
            | StepKind::ReadinessFailed
            | StepKind::LivenessFailed
            | StepKind::NotReady
            | StepKind::Sigterm
            | StepKind::Stopped
            | StepKind::Restarting
            | StepKind::Ready => "kubelet",
            StepKind::NodeNotReady => "node-lifecycle-controller",
            StepKind::Deleted | StepKind::Removed => "kube-apiserver",
            StepKind::EndpointOut | StepKind::EndpointBack => "endpoint-slice-controller",
            StepKind::RulesWithout | StepKind::RulesWith => "kube-proxy",
            StepKind::TargetOut | StepKind::TargetBack => "load-balancer",
            StepKind::Created => "replicaset-controller",
            StepKind::Scheduled => "kube-scheduler",
            StepKind::Straggler => "client",
        }
    }

    /// The part whose length it tells about.
    pub const fn part(self) -> Option<PartKind> {
        match self {
            StepKind::Struck
            | StepKind::NoticedExit
            | StepKind::ReadinessFailed
            | StepKind::LivenessFailed
            | StepKind::NodeNotReady => Some(PartKind::Detection),
            StepKind::NotReady | StepKind::EndpointOut => Some(PartKind::Withdrawal),
            StepKind::RulesWithout => Some(PartKind::Sync),
            StepKind::Deleted
            | StepKind::Created
            | StepKind::Scheduled
            | StepKind::Restarting
            | StepKind::Ready
            | StepKind::Straggler => Some(PartKind::Repair),
            StepKind::EndpointBack | StepKind::RulesWith => Some(PartKind::Return),
            _ => None,
        }
    }
}

/// A part of a course. The order is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PartKind {
    /// Until somebody notices.
    Detection,
    /// Until it isn't a ready endpoint of any Service.
    Withdrawal,
    /// Until the rules of every node are without it.
    Sync,
    /// Until it, or another in its place, is ready.
    Repair,
    /// Until that is in the rules of every node.
    Return,
}

impl PartKind {
    /// All, in order.
    pub const ALL: [PartKind; 5] =
        [PartKind::Detection, PartKind::Withdrawal, PartKind::Sync, PartKind::Repair, PartKind::Return];
    /// Its key.
    pub const fn key(self) -> &'static str {
        match self {
            PartKind::Detection => "detection",
            PartKind::Withdrawal => "withdrawal",
            PartKind::Sync => "sync",
            PartKind::Repair => "repair",
            PartKind::Return => "return",
        }
    }
}

/// A part of a course.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which.
    pub kind: PartKind,
    /// When it began.
    pub from: Time,
    /// When it ended; None: it goes on.
    pub to: Option<Time>,
    /// Settings that govern how long it is.
    pub settings: Vec<Setting>,
    /// Requests that were sent in it, to the Pod or to nobody, and failed.
    pub failed: Counts,
}

/// A setting that governs how long something takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Which.
    pub key: SettingKey,
    /// Its value.
    pub value: SettingValue,
    /// Where it stands.
    pub place: SettingPlace,
}

/// The value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettingValue {
    /// A length of time.
    Time(Span),
    /// A number.
    Count(u32),
}

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettingPlace {
    /// A field of an object or of a configuration file: `Deployment/web`, `spec.template.spec...`.
    Field {
        /// Kind and name, or the kind of a configuration file.
        object: String,
        /// Path.
        path: String,
    },
    /// A command-line flag of a component.
    Flag {
        /// Component.
        component: String,
        /// Flag, with its dashes.
        flag: String,
    },
    /// A constant in the source of a component, or a setting of the kernel's.
    Constant {
        /// Component.
        component: String,
        /// Name.
        name: String,
    },
}

/// The settings that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SettingKey {
    /// `genericPlegRelistPeriod`.
    RelistPeriod,
    /// `periodSeconds` of a probe.
    ProbePeriod,
    /// `failureThreshold` of a probe.
    ProbeFailureThreshold,
    /// `successThreshold` of a probe.
    ProbeSuccessThreshold,
    /// `timeoutSeconds` of a probe.
    ProbeTimeout,
    /// `initialDelaySeconds` of a probe.
    ProbeInitialDelay,
    /// How often a kubelet renews its lease.
    LeaseRenewal,
    /// `--node-monitor-period`.
    NodeMonitorPeriod,
    /// `--node-monitor-grace-period`.
    NodeMonitorGracePeriod,
    /// `--endpointslice-updates-batch-period`.
    EndpointUpdatesBatchPeriod,
    /// `minSyncPeriod` of kube-proxy.
    MinSyncPeriod,
    /// `syncPeriod` of kube-proxy.
    SyncPeriod,
    /// How long a preStop hook takes.
    PreStop,
    /// `terminationGracePeriodSeconds`.
    TerminationGracePeriod,
    /// `tolerationSeconds` of the taint of a dead node.
    TolerationSeconds,
    /// The present delay of the crash-loop back-off.
    CrashLoopBackOff,
    /// How long a process needs until it listens.
    StartUp,
    /// Time between two health checks of a load balancer.
    HealthCheckInterval,
    /// How long one waits.
    HealthCheckTimeout,
    /// So many in a row must fail.
    UnhealthyThreshold,
    /// So many in a row must succeed.
    HealthyThreshold,
    /// `maxSurge` of a Deployment, as Pods.
    MaxSurge,
    /// `maxUnavailable` of a Deployment, as Pods.
    MaxUnavailable,
    /// Connections that a client keeps: they stay with their endpoint.
    KeptConnections,
    /// How long a client keeps the address of a name.
    DnsCache,
    /// How long the kernel keeps a UDP client with its endpoint.
    UdpTimeout,
}

impl SettingKey {
    /// Its key.
    pub const fn key(self) -> &'static str {
        match self {
            SettingKey::RelistPeriod => "relist-period",
            SettingKey::ProbePeriod => "probe-period",
            SettingKey::ProbeFailureThreshold => "probe-failure-threshold",
            SettingKey::ProbeSuccessThreshold => "probe-success-threshold",
            SettingKey::ProbeTimeout => "probe-timeout",
            SettingKey::ProbeInitialDelay => "probe-initial-delay",
            SettingKey::LeaseRenewal => "lease-renewal",
            SettingKey::NodeMonitorPeriod => "node-monitor-period",
            SettingKey::NodeMonitorGracePeriod => "node-monitor-grace-period",
            SettingKey::EndpointUpdatesBatchPeriod => "endpoint-updates-batch-period",
            SettingKey::MinSyncPeriod => "min-sync-period",
            SettingKey::SyncPeriod => "sync-period",
            SettingKey::PreStop => "pre-stop",
            SettingKey::TerminationGracePeriod => "termination-grace-period",
            SettingKey::TolerationSeconds => "toleration-seconds",
            SettingKey::CrashLoopBackOff => "crash-loop-back-off",
            SettingKey::StartUp => "start-up",
            SettingKey::HealthCheckInterval => "health-check-interval",
            SettingKey::HealthCheckTimeout => "health-check-timeout",
            SettingKey::UnhealthyThreshold => "unhealthy-threshold",
            SettingKey::HealthyThreshold => "healthy-threshold",
            SettingKey::MaxSurge => "max-surge",
            SettingKey::MaxUnavailable => "max-unavailable",
            SettingKey::KeptConnections => "kept-connections",
            SettingKey::DnsCache => "dns-cache",
            SettingKey::UdpTimeout => "udp-timeout",
        }
    }
}
