//! The settings that govern how long each step of a failover takes, and where they stand.

use super::step;
use crate::cloud::Cloud;
use crate::cluster::Cluster;
use crate::controllers::deployment::Replicas;
use crate::kubelet::{ProbeKind, RELIST_PERIOD};
use crate::node_lifecycle::{LEASE_RENEWAL, MONITOR_PERIOD};
use crate::proxy::{SYNC_PERIOD, min_sync_period};
use crate::traffic::Request;
use datapath::L4;
use kube_api::defaults::{TAINT_NOT_READY, TAINT_UNREACHABLE};
use kube_api::{Deployment, Pod, Probe, selects};
use lab_base::Span;
use lab_protocol::{ProxyMode, Setting, SettingKey, SettingPlace, SettingValue, Step, StepKind};

fn setting(key: SettingKey, value: SettingValue, place: SettingPlace) -> Setting {
    Setting { key, value, place }
}

fn flag(key: SettingKey, value: Span, component: &str, flag: &str) -> Setting {
    let place = SettingPlace::Flag { component: component.into(), flag: flag.into() };
    setting(key, SettingValue::Time(value), place)
}

fn constant(key: SettingKey, value: Span, component: &str, name: &str) -> Setting {
    let place = SettingPlace::Constant { component: component.into(), name: name.into() };
    setting(key, SettingValue::Time(value), place)
}

fn field(key: SettingKey, value: SettingValue, object: &str, path: String) -> Setting {
    setting(key, value, SettingPlace::Field { object: object.into(), path })
}

fn seconds(n: impl Into<i64>) -> SettingValue {
    SettingValue::Time(Span::from_secs(n.into().max(0).unsigned_abs()))
}

fn count(n: impl Into<i64>) -> SettingValue {
    SettingValue::Count(u32::try_from(n.into().max(0)).unwrap_or(u32::MAX))
}

/// How often a kubelet looks whether its containers run.
pub(super) fn relist() -> Vec<Setting> {
    vec![constant(SettingKey::RelistPeriod, RELIST_PERIOD, "kubelet", "genericPlegRelistPeriod")]
}

/// How a node is found to be silent.
pub(super) fn node_silent(cluster: &Cluster) -> Vec<Setting> {
    let controllers = "kube-controller-manager";
    let grace = cluster.monitor_grace();
    vec![
        flag(SettingKey::NodeMonitorGracePeriod, grace, controllers, "--node-monitor-grace-period"),
        flag(SettingKey::NodeMonitorPeriod, MONITOR_PERIOD, controllers, "--node-monitor-period"),
        // A quarter of nodeLeaseDurationSeconds, 40 by default.
        constant(SettingKey::LeaseRenewal, LEASE_RENEWAL, "kubelet", "nodeLeaseRenewIntervalFraction"),
    ]
}

/// How long the EndpointSlice controller gathers changes.
pub(super) fn batch_period() -> Vec<Setting> {
    let (key, name) = (SettingKey::EndpointUpdatesBatchPeriod, "--endpointslice-updates-batch-period");
    vec![flag(key, Span::ZERO, "kube-controller-manager", name)]
}

/// How often a kube-proxy writes at most.
pub(super) fn min_sync(mode: ProxyMode) -> Vec<Setting> {
    let value = SettingValue::Time(min_sync_period(mode));
    let path = format!("{}.minSyncPeriod", mode.name());
    vec![field(SettingKey::MinSyncPeriod, value, "KubeProxyConfiguration", path)]
}

/// How often it writes anew what should be there.
pub(super) fn full_sync(mode: ProxyMode) -> Vec<Setting> {
    let path = format!("{}.syncPeriod", mode.name());
    vec![field(SettingKey::SyncPeriod, SettingValue::Time(SYNC_PERIOD), "KubeProxyConfiguration", path)]
}

/// How long a container waits for its restart.
pub(super) fn back_off(wait: Span) -> Vec<Setting> {
    vec![constant(SettingKey::CrashLoopBackOff, wait, "kubelet", "backOffPeriod")]
}

/// A load balancer's way to its opinion of a node.
pub(super) fn health_checks(cloud: &Cloud, well: bool) -> Vec<Setting> {
    let (spec, object) = (&cloud.spec, "Cluster");
    let path = |name: &str| format!("spec.loadBalancer.{name}");
    let interval = SettingValue::Time(spec.interval);
    let mut all = vec![field(SettingKey::HealthCheckInterval, interval, object, path("interval"))];
    if well {
        let threshold = count(spec.healthy_threshold);
        all.push(field(SettingKey::HealthyThreshold, threshold, object, path("healthyThreshold")));
    } else {
        let threshold = count(spec.unhealthy_threshold);
        all.push(field(SettingKey::UnhealthyThreshold, threshold, object, path("unhealthyThreshold")));
        let timeout = SettingValue::Time(spec.timeout);
        all.push(field(SettingKey::HealthCheckTimeout, timeout, object, path("timeout")));
    }
    all
}

impl Cluster {
    /// Where a Pod's spec is written down: in its Deployment or ReplicaSet, else in itself.
    fn written_in(&self, pod: &Pod) -> (String, &'static str) {
        if let Some(key) = self.deployment_of(pod) {
            return (format!("Deployment/{}", key.name), "spec.template.spec");
        }
        match pod.metadata.controller() {
            Some(owner) => (format!("{}/{}", owner.kind, owner.name), "spec.template.spec"),
            None => (format!("Pod/{}", pod.metadata.name), "spec"),
        }
    }

    /// Settings of a probe, as far as they make it slower to notice, or slower to be content.
    pub(super) fn probe_settings(&self, pod: &Pod, container: usize, kind: ProbeKind, well: bool) -> Vec<Setting> {
        let (object, spec) = self.written_in(pod);
        let inits = pod.spec.init_containers.len();
        let (list, i) =
            if container < inits { ("initContainers", container) } else { ("containers", container - inits) };
        let of = if container < inits { pod.spec.init_containers.get(i) } else { pod.spec.containers.get(i) };
        let Some(probe) = of.and_then(|c| kind.of(c)) else { return Vec::new() };
        let name = format!("{}Probe", kind.name().to_ascii_lowercase());
        let at = |field: &str| format!("{spec}.{list}[{i}].{name}.{field}");
        let Probe {
            period_seconds, failure_threshold, success_threshold, timeout_seconds, initial_delay_seconds, ..
        } = probe;
        let mut all = vec![field(SettingKey::ProbePeriod, seconds(*period_seconds), &object, at("periodSeconds"))];
        if well {
            if *success_threshold > 1 {
                let path = at("successThreshold");
                all.push(field(SettingKey::ProbeSuccessThreshold, count(*success_threshold), &object, path));
            }
            if *initial_delay_seconds > 0 {
                let path = at("initialDelaySeconds");
                all.push(field(SettingKey::ProbeInitialDelay, seconds(*initial_delay_seconds), &object, path));
            }
        } else {
            let path = at("failureThreshold");
            all.push(field(SettingKey::ProbeFailureThreshold, count(*failure_threshold), &object, path));
            all.push(field(SettingKey::ProbeTimeout, seconds(*timeout_seconds), &object, at("timeoutSeconds")));
        }
        all
    }

    /// Settings of the readiness probes of a Pod.
    pub(super) fn readiness_settings(&self, pod: &Pod, well: bool) -> Vec<Setting> {
        let count = pod.spec.init_containers.len() + pod.spec.containers.len();
        (0..count).flat_map(|i| self.probe_settings(pod, i, ProbeKind::Readiness, well)).collect()
    }

    /// What a Pod that has become ready had to wait for; `started`: its process too.
    pub(super) fn ready_settings(&self, pod: &Pod, started: bool) -> Vec<Setting> {
        let mut all = Vec::new();
        let workload =
            self.workloads.iter().find(|(_, w)| !w.selector.is_empty() && selects(&w.selector, &pod.metadata.labels));
        if let Some((name, workload)) = workload.filter(|_| started) {
            let (value, object) = (SettingValue::Time(workload.start_up), format!("Workload/{name}"));
            all.push(field(SettingKey::StartUp, value, &object, "spec.startUp".into()));
        }
        let count = pod.spec.init_containers.len() + pod.spec.containers.len();
        for kind in [ProbeKind::Startup, ProbeKind::Readiness].into_iter().skip(usize::from(!started)) {
            all.extend((0..count).flat_map(|i| self.probe_settings(pod, i, kind, true)));
        }
        all
    }

    /// How long Pods put up with a dead node.
    pub(super) fn toleration_settings(&self, pod: &Pod) -> Vec<Setting> {
        let own = |key: &str| key == TAINT_NOT_READY || key == TAINT_UNREACHABLE;
        let all = pod.spec.tolerations.iter().enumerate().filter(|(_, t)| own(&t.key) || t.key.is_empty());
        let shortest = all.filter_map(|(i, t)| Some((t.toleration_seconds?, i))).min();
        let object = format!("Pod/{}", pod.metadata.name);
        shortest
            .map(|(value, i)| {
                let path = format!("spec.tolerations[{i}].tolerationSeconds");
                field(SettingKey::TolerationSeconds, seconds(value), &object, path)
            })
            .into_iter()
            .collect()
    }

    /// How far a rollout may go ahead.
    pub(super) fn rollout_settings(&self, deployment: &Deployment) -> Vec<Setting> {
        let bounds = Replicas::of(&deployment.spec);
        let object = format!("Deployment/{}", deployment.metadata.name);
        let path = |name: &str| format!("spec.strategy.rollingUpdate.{name}");
        vec![
            field(SettingKey::MaxSurge, count(bounds.max_surge), &object, path("maxSurge")),
            field(SettingKey::MaxUnavailable, count(bounds.max_unavailable), &object, path("maxUnavailable")),
        ]
    }

    /// How long a preStop hook holds SIGTERM back.
    pub(super) fn pre_stop_settings(&self, pod: &Pod, container: usize, takes: Span) -> Vec<Setting> {
        if takes == Span::ZERO {
            return Vec::new();
        }
        let (object, spec) = self.written_in(pod);
        let i = container.saturating_sub(pod.spec.init_containers.len());
        let path = format!("{spec}.containers[{i}].lifecycle.preStop");
        vec![field(SettingKey::PreStop, SettingValue::Time(takes), &object, path)]
    }

    /// When SIGKILL comes.
    pub(super) fn grace_settings(&self, pod: &Pod) -> Vec<Setting> {
        let (object, spec) = self.written_in(pod);
        let grace = pod.spec.termination_grace_period_seconds.unwrap_or(30);
        let path = format!("{spec}.terminationGracePeriodSeconds");
        vec![field(SettingKey::TerminationGracePeriod, seconds(grace), &object, path)]
    }

    /// Why a client still holds to an endpoint that no rule leads to.
    pub(super) fn straggler(&self, request: &Request) -> Option<Step> {
        let client = self.clients.get(&request.client)?;
        let object = format!("Client/{}", client.name);
        let held = if request.connection != 0 {
            let connections = count(i64::from(client.spec.connections));
            field(SettingKey::KeptConnections, connections, &object, "spec.connections".into())
        } else if request.flow.proto == L4::Udp {
            constant(SettingKey::UdpTimeout, Span::from_secs(120), "kernel", "nf_conntrack_udp_timeout_stream")
        } else if let Some(known) = &client.known {
            let left = SettingValue::Time(known.until.since(self.now));
            field(SettingKey::DnsCache, left, &object, "spec.dnsCache".into())
        } else {
            return None;
        };
        Some(step(self.now, StepKind::Straggler, client.name.as_str(), vec![held]))
    }
}
