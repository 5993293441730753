//! kube-proxy on each node: hears of Services and EndpointSlices, and writes rules at its own pace.
//!
//! `pkg/util/async/bounded_frequency_runner.go`: the first change syncs at once, later ones wait for the rest of
//! `minSyncPeriod`; bursts coalesce. A full sync comes each `syncPeriod`; it would write the same rules again here, so it
//! is an event only where somebody has changed the rules behind kube-proxy's back.

use crate::cluster::Cluster;
use crate::control_plane::Component;
use crate::event::Event;
use crate::machine::ProxyRunner;
use crate::store::{Change, Stored};
use kube_api::{EndpointSlice, Kind, LABEL_SERVICE_NAME, Object, Service};
use lab_base::{Source, Span, subject};
use lab_protocol::{MarkKind, Phrase, ProxyMode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `syncPeriod` (`pkg/proxy/apis/config/v1alpha1/defaults.go`).
pub const SYNC_PERIOD: Span = Span::from_secs(30);

/// From the end of a kube-proxy's container until the next one lists what there is: assumed, as for a small image that
/// is there.
const RESTART: (Span, Span) = (Span::from_millis(800), Span::from_millis(1_600));

/// `minSyncPeriod` of a mode (`pkg/proxy/apis/config/v1alpha1/defaults.go`).
pub const fn min_sync_period(mode: ProxyMode) -> Span {
    match mode {
        ProxyMode::Iptables | ProxyMode::Nftables => Span::from_secs(1),
        ProxyMode::Ipvs => Span::ZERO,
    }
}

/// How a kube-proxy is set up (`KubeProxyConfiguration`); what is not said is kube-proxy's default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProxySpec {
    /// `mode`.
    pub mode: Option<ProxyMode>,
    /// `ipvs.scheduler`.
    pub ipvs_scheduler: String,
}

impl ProxySpec {
    /// The same, but for what `node` says otherwise.
    pub fn overridden(&self, node: &ProxySpec) -> ProxySpec {
        let scheduler = if node.ipvs_scheduler.is_empty() { &self.ipvs_scheduler } else { &node.ipvs_scheduler };
        ProxySpec { mode: node.mode.or(self.mode), ipvs_scheduler: scheduler.clone() }
    }
    pub(crate) fn check(&self) -> Result<(), String> {
        self.ipvs_scheduler.parse::<datapath::ipvs::Scheduler>().map(drop)
    }
}

impl Cluster {
    /// Sends a change of a Service or EndpointSlice to every kube-proxy that can hear.
    pub(crate) fn tell_proxies(&mut self, change: Change) {
        if !matches!(change.kind, Kind::Service | Kind::EndpointSlice) {
            return;
        }
        let change = Arc::new(change);
        let now = self.now;
        let nodes: Vec<_> = self.machines.keys().cloned().collect();
        for node in nodes {
            let works = self.works(&Component::Proxy(node.clone()));
            if let Some(machine) = self.machine_mut(&node) {
                if !machine.powered {
                    continue;
                }
                machine.proxy.outstanding.push((now, false));
                if machine.cut || !works {
                    continue; // it will list everything when the cable or the API server is back
                }
            }
            let at = self.hears_at(subject(&["kube-proxy", &node]), &change.key);
            self.events.plan(at, Event::ProxyHears(node, change.clone()));
        }
    }

    pub(crate) fn proxy_hears(&mut self, node: &str, change: &Change) {
        let Some(machine) = self.machine_mut(node) else { return };
        if !machine.is_reachable() || machine.proxy.starting {
            return;
        }
        if let Some(entry) = machine.proxy.outstanding.iter_mut().find(|(_, heard)| !heard) {
            entry.1 = true;
        }
        match (&change.kind, &change.new) {
            (Kind::Service, Some(Object::Service(s))) => machine.proxier.set_service(&change.key, Some(s.clone())),
            (Kind::Service, _) => machine.proxier.set_service(&change.key, None),
            (_, Some(Object::EndpointSlice(s))) => machine.proxier.set_endpoint_slice(&change.key, Some(s.clone())),
            _ => machine.proxier.set_endpoint_slice(&change.key, None),
        }
        self.plan_proxy_sync(node);
    }

    /// Plans a sync as soon as minSyncPeriod allows, unless one is planned.
    fn plan_proxy_sync(&mut self, node: &str) {
        let (now, bringing_up) = (self.now, self.bringing_up);
        let Some(machine) = self.machine_mut(node) else { return };
        if machine.proxy.scheduled || machine.proxy.starting {
            return;
        }
        machine.proxy.scheduled = true;
        let earliest = match machine.proxy.began {
            Some(began) if !bringing_up => (began + min_sync_period(machine.mode)).max(now),
            _ => now,
        };
        let name = machine.name.clone();
        self.events.plan(earliest, Event::ProxySync(name));
    }

    /// A sync begins: what has been heard by now will be in the rules when it ends.
    pub(crate) fn proxy_sync(&mut self, node: &str) {
        let work =
            self.delay(Source::Work, subject(&["kube-proxy", node]), Span::from_millis(15), Span::from_millis(60));
        let now = self.now;
        let Some(machine) = self.machine_mut(node) else { return };
        if !machine.powered {
            machine.proxy.scheduled = false;
            return;
        }
        if machine.proxy.starting {
            return;
        }
        machine.proxy.began = Some(now);
        machine.proxy.in_sync = machine.proxy.outstanding.iter().take_while(|(_, heard)| *heard).count();
        machine.proxy.scheduled = false;
        // The rules are made from what is known now, and are put in at once at the end.
        machine.begin_sync();
        let name = machine.name.clone();
        self.events.plan(now + work, Event::ProxySynced(name));
    }

    pub(crate) fn proxy_synced(&mut self, node: &str) {
        let now = self.now;
        let Some(machine) = self.machine_mut(node) else { return };
        if !machine.powered || machine.proxy.starting {
            return;
        }
        machine.load_rules(now);
        let done = machine.proxy.in_sync.min(machine.proxy.outstanding.len());
        let changed = machine.proxy.outstanding.drain(..done).next().map(|(at, _)| at);
        machine.proxy.in_sync = 0;
        machine.proxy.synced_at = Some(now);
        machine.proxy.syncs += 1;
        let behind = now.since(changed.unwrap_or(now));
        let phrase = Phrase::new("mark-proxy-synced").with("node", node).with("seconds", seconds(behind));
        self.mark(MarkKind::Sync, format!("Node/{node}"), phrase);
        self.look_at_targets();
        self.failover_synced(node);
    }

    /// The kube-proxy of a node gets another mode. False: there is no such node, it is off, or it has that mode.
    pub fn set_proxy_mode(&mut self, node: &str, mode: ProxyMode) -> bool {
        let start = self.delay(Source::StartUp, subject(&["kube-proxy", node]), RESTART.0, RESTART.1);
        let now = self.now;
        let Some(machine) = self.machine_mut(node).filter(|m| m.powered && m.mode != mode) else { return false };
        machine.restart_proxy(mode);
        machine.proxy.outstanding.push((now, false));
        let name = machine.name.clone();
        self.events.plan(now + start, Event::ProxyStarted(name));
        let phrase = Phrase::new("mark-proxy-mode").with("node", node).with("mode", mode.name());
        self.mark(MarkKind::Sync, format!("Node/{node}"), phrase);
        self.look_at_targets();
        true
    }

    /// A node's kube-proxy stops; the rules that it has written stay. False: there is no such node, or it doesn't run.
    pub(crate) fn stop_proxy(&mut self, node: &str) -> bool {
        let Some(machine) = self.machine_mut(node).filter(|m| m.powered && !m.proxy.starting) else { return false };
        let ProxyRunner { syncs, synced_at, outstanding, .. } = core::mem::take(&mut machine.proxy);
        let outstanding = outstanding.into_iter().map(|(at, _)| (at, false)).collect();
        machine.proxy = ProxyRunner { syncs, synced_at, outstanding, starting: true, ..ProxyRunner::default() };
        machine.syncing = None;
        true
    }

    /// It starts again. False: it runs.
    pub(crate) fn start_proxy(&mut self, node: &str) -> bool {
        let start = self.delay(Source::StartUp, subject(&["kube-proxy", node]), RESTART.0, RESTART.1);
        let Some(machine) = self.machines.get(node).filter(|m| m.powered && m.proxy.starting) else { return false };
        let name = machine.name.clone();
        self.events.plan(self.now + start, Event::ProxyStarted(name));
        true
    }

    /// The new container runs.
    pub(crate) fn proxy_started(&mut self, node: &str) {
        let Some(machine) = self.machine_mut(node).filter(|m| m.powered && m.proxy.starting) else { return };
        machine.proxy.starting = false;
        let (reachable, name) = (machine.is_reachable(), machine.name.clone());
        if reachable && self.works(&Component::Proxy(name)) {
            self.proxy_relist(node);
        }
    }

    /// Plans the full sync that is due each `syncPeriod`.
    pub(crate) fn plan_full_sync(&mut self, node: &str) {
        let now = self.now;
        let Some(machine) = self.machine_mut(node) else { return };
        let due = machine.proxy.began.map_or(now, |began| (began + SYNC_PERIOD).max(now));
        let name = machine.name.clone();
        self.events.plan(due, Event::ProxySync(name));
    }

    /// kube-proxy lists everything anew: after the node has booted, or its cable is back.
    pub(crate) fn proxy_relist(&mut self, node: &str) {
        let services: Vec<_> = self.store.list::<Service>().cloned().collect();
        let slices: Vec<_> = self.store.list::<EndpointSlice>().cloned().collect();
        let now = self.now;
        let Some(machine) = self.machine_mut(node) else { return };
        machine.forget_objects();
        for service in services {
            machine.proxier.set_service(&service.meta().key(), Some(service.clone()));
        }
        for slice in slices {
            machine.proxier.set_endpoint_slice(&slice.meta().key(), Some(slice.clone()));
        }
        if machine.proxy.outstanding.is_empty() {
            machine.proxy.outstanding.push((now, true));
        }
        machine.proxy.outstanding.iter_mut().for_each(|(_, heard)| *heard = true);
        self.plan_proxy_sync(node);
    }
}

/// The Service of a slice.
pub(crate) fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.get(LABEL_SERVICE_NAME).map(String::as_str)
}

/// `0.19`, for phrases.
pub(crate) fn seconds(span: Span) -> String {
    let hundredths = (span.as_micros() + 5_000) / 10_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
