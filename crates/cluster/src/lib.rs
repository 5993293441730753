//! The simulated cluster: clock, API store, controllers, kubelets, scheduler, kube-proxies, clients, faults, facts.
//!
//! A discrete-event simulation: the state of a [`Cluster`] changes only when an event of its queue happens, and cloning it
//! is a snapshot. [`Timeline`] adds commands, going back and recording. Everything follows from the scenario, the seed and
//! the commands.
#![forbid(unsafe_code)]

mod allocate;
mod apply;
mod cloud;
mod cluster;
mod control_plane;
pub mod controllers;
mod deletion;
pub mod dns;
mod dry_run;
mod environment;
mod event;
mod eviction;
mod facts;
mod failover;
mod fault;
mod kube_event;
mod kubelet;
mod lease;
mod machine;
mod node_lifecycle;
mod proxy;
mod report;
mod requests;
mod scenario;
mod scheduler;
mod service_type;
mod store;
mod taint_eviction;
mod target;
mod timeline;
mod traffic;
mod view;
mod visitor;
mod why;
mod workload;

pub use apply::{Applied, diagnostic};
pub use cloud::{LoadBalancer, LoadBalancerTarget};
pub use cluster::{Cluster, SERVICE_CIDR};
pub use control_plane::CONNECTION_REFUSED;
pub use environment::service_environment;
pub use event::{Controller, NodeName};
pub use facts::{Deed, Facts, Ghost, GonePod, PodTally, RequestFact, SecondFact};
pub use failover::{CourseReport, FailoverReport, Failovers, PartReport, SettingReport, StepReport};
pub use fault::fault_name;
pub use kube_event::KubeEvent;
pub use kubelet::{ContainerRun, Process, Sandbox};
pub use lease::{LEASE_SECONDS, Lease, NODE_LEASES};
pub use machine::Machine;
pub use proxy::{ProxySpec, SYNC_PERIOD, min_sync_period};
pub use report::{Report, report};
pub use scenario::{
    Arrival, ClientFrom, ClientSpec, ClusterSpec, Distribution, LoadBalancerSpec, NodeEntry, Nodes, Rate, RateStep,
    RetrySpec, Scenario, Sigterm, WorkloadSpec, parse_duration,
};
pub use store::{Store, Stored, Table};
pub use target::Target;
pub use timeline::{Observer, Recording, Timeline};
pub use traffic::{Client, Connection, ConnectionId, KnownName, Request, RequestId};
pub use view::FrameMaker;
