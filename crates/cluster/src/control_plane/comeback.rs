//! How components stop, start, and find the API server again.
//!
//! A watch that ends is asked for again after 0.8 s, and then after twice as long each time, up to 30 s, each wait drawn
//! between once and twice that (`NewReflectorWithOptions` in client-go `tools/cache/reflector.go`). Of the controller managers
//! and schedulers that could run only the holder of a lease works: it gives up when it couldn't renew for 10 s, and its
//! successor, which may be the same program started again, waits until it has seen the lease unchanged for 15 s
//! (`tools/leaderelection`, `component-base/config/v1alpha1/defaults.go`).

use super::{Apart, Component, STATUS_SYNC_PERIOD, process_of};
use crate::cluster::Cluster;
use crate::event::{Controller, Event, NodeName, Step};
use crate::kubelet::ProbeKind;
use crate::kubelet::probe::period;
use kube_api::{NamespacedName, Node, Pod, Uid};
use lab_base::{Source, Span, Time, subject};
use lab_protocol::{MarkKind, Phrase};

/// First wait for a watch.
const BACKOFF_FIRST: Span = Span::from_millis(800);
/// Longest wait, before it is drawn.
const BACKOFF_MAX: Span = Span::from_secs(30);
/// `LeaseDuration` of a leader election.
pub const LEASE_DURATION: Span = Span::from_secs(15);
/// `RenewDeadline`.
pub const RENEW_DEADLINE: Span = Span::from_secs(10);
/// `RetryPeriod`. Who isn't the leader draws its waits between once and 2.2 times that (`JitterFactor`).
pub const RETRY_PERIOD: Span = Span::from_secs(2);
/// Longest wait of who isn't the leader.
const RETRY_MAX: Span = Span::from_millis(4_400);
/// From starting the API server's container until it answers: assumed.
const API_SERVER_START: (Span, Span) = (Span::from_secs(2), Span::from_secs(4));
/// From starting another component until it asks the API server: assumed, as for kube-proxy.
const START: (Span, Span) = (Span::from_millis(800), Span::from_millis(1_600));
/// A kubelet that was started again trusts what it wrote of its containers since this release (KEP-4781); before, they weren't
/// ready until their probes had succeeded once more.
const TRUSTS_ITS_STATUS: u16 = 35;

impl Cluster {
    pub(crate) fn stop_api_server(&mut self) -> bool {
        let now = self.now;
        let plane = self.plane();
        if plane.down_since.is_some() {
            return false;
        }
        plane.turns += 1;
        plane.down_since = Some(now);
        let mut all = vec![Component::ControllerManager, Component::CloudControllerManager, Component::Scheduler];
        for node in self.machines.keys() {
            all.extend([Component::Kubelet(node.clone()), Component::Proxy(node.clone())]);
        }
        for component in all {
            if !self.control_plane.stopped.contains(&component) {
                let fresh = self.control_plane.apart.get(&component).is_some_and(|a| a.fresh);
                self.set_apart(component, fresh);
            }
        }
        true
    }

    pub(crate) fn start_api_server(&mut self) -> bool {
        let takes = self.delay(Source::StartUp, subject(&["kube-apiserver"]), API_SERVER_START.0, API_SERVER_START.1);
        let plane = self.plane();
        if plane.down_since.is_none() || plane.starting {
            return false;
        }
        plane.starting = true;
        self.events.plan(self.now + takes, Event::ApiServerReady);
        true
    }

    /// The API server answers: everybody who tries finds it, each at its time.
    pub(crate) fn api_server_ready(&mut self) {
        let now = self.now;
        let plane = self.plane();
        let Some(since) = plane.down_since.take() else { return };
        plane.starting = false;
        plane.last_outage = Some((since, now));
        self.mark(MarkKind::Change, "ControlPlane/kube-apiserver".into(), Phrase::new("mark-api-server-ready"));
        let all: Vec<Component> = self.control_plane.apart.keys().cloned().collect();
        for component in all {
            self.plan_comeback(&component);
        }
        let nodes: Vec<NodeName> = self.machines.keys().cloned().collect();
        for node in nodes {
            let at = self.tick("status", &node, STATUS_SYNC_PERIOD, now) - STATUS_SYNC_PERIOD;
            self.events.plan(at, Event::StatusBatch(node));
        }
    }

    fn set_apart(&mut self, component: Component, fresh: bool) {
        let since = self.now;
        let plane = self.plane();
        plane.turns += 1;
        plane.apart.insert(component, Apart { since, fresh, way: plane.turns });
    }

    /// Plans the moment at which a component has its watches again. The API server answers.
    fn plan_comeback(&mut self, component: &Component) {
        let Some(apart) = self.control_plane.apart.get(component).copied() else { return };
        let who = component.subject();
        let draw = |nth: u64, low: Span, high: Span| {
            self.dice.roll(Source::Work, who ^ apart.since.as_micros(), nth).between(low, high)
        };
        let up = self.control_plane.last_outage.map_or(Time::ZERO, |(_, to)| to);
        let mut fresh = apart.fresh;
        // A process that is new begins later.
        let begins = if fresh { apart.since + draw(0, START.0, START.1) } else { apart.since };
        let mut at = begins;
        if component.leads() {
            // It gives up ten seconds after the last try to renew began.
            let beat = self.tick("leader", component.name(), RETRY_PERIOD, apart.since) - RETRY_PERIOD;
            fresh |= up >= beat + RENEW_DEADLINE;
        }
        if component.leads() && fresh {
            if at < up {
                at = up + draw(1, Span::ZERO, RETRY_MAX);
            }
            // It sees who holds the lease, and waits for it to run out.
            let over = at + LEASE_DURATION;
            let mut nth = 2;
            while at < over {
                at += draw(nth, RETRY_PERIOD, RETRY_MAX);
                nth += 1;
            }
        } else {
            let mut wait = BACKOFF_FIRST;
            let mut nth = 1;
            while at < up || at == apart.since {
                at += draw(nth, wait, wait.times(2));
                wait = wait.times(2).min(BACKOFF_MAX);
                nth += 1;
            }
        }
        if let Some(apart) = self.plane().apart.get_mut(component) {
            apart.fresh = fresh;
        }
        self.events.plan(at.max(self.now), Event::Reconnected(component.clone(), apart.way));
    }

    /// A component has its watches, and has listed what there is.
    pub(crate) fn reconnected(&mut self, component: &Component, way: u64) {
        let Some(apart) = self.control_plane.apart.get(component).copied().filter(|a| a.way == way) else { return };
        if !self.api_server_answers() {
            return;
        }
        self.plane().apart.remove(component);
        match component {
            Component::Kubelet(node) => return self.kubelet_back(node),
            Component::Proxy(node) => {
                let behind = |m: &crate::Machine| {
                    let knows = m.proxy.outstanding.is_empty() && m.proxy.began.is_some();
                    m.is_reachable() && !m.proxy.starting && !knows
                };
                if self.machines.get(node).is_some_and(|m| behind(m)) {
                    self.proxy_relist(node);
                }
                return;
            }
            _ => {}
        }
        if apart.fresh {
            let name = component.name();
            let phrase = Phrase::new("mark-leads").with("component", name);
            self.mark(MarkKind::Change, format!("ControlPlane/{name}"), phrase);
        }
        let own: Vec<Controller> =
            Controller::ALL.iter().map(|(c, _)| *c).filter(|c| process_of(*c) == *component).collect();
        // A new process remembers no lease.
        let since = if apart.fresh { Time::ZERO } else { apart.since };
        self.resume(&own, since);
    }

    /// These control loops work again, after a time in which they saw nothing.
    fn resume(&mut self, controllers: &[Controller], blind_since: Time) {
        let works = |c: &Controller| controllers.contains(c) && self.controller_works(*c);
        let waiting: Vec<_> = self.queued.iter().filter(|(c, _)| works(c)).cloned().collect();
        let lifecycle = works(&Controller::NodeLifecycle);
        for (controller, key) in waiting {
            let at = self.hears_at(subject(&["resumed", crate::cluster::controller_name(controller)]), &key);
            self.events.plan(at, Event::Reconcile(controller, key));
        }
        if lifecycle {
            self.plane().blind = Some((blind_since, self.now));
            let silent: Vec<(NodeName, Time)> =
                self.machines.values().filter_map(|m| Some((m.name.clone(), m.silent_since?))).collect();
            for (node, since) in silent {
                if self.node(&node).is_some_and(crate::node_lifecycle::is_heard) {
                    let at = self.silence_found_at(&node, since);
                    self.events.plan(at, Event::NodeSilent(node, since.as_micros()));
                }
            }
            let nodes: Vec<NamespacedName> = self.store.list::<Node>().map(|n| n.metadata.key()).collect();
            for node in nodes {
                self.enqueue(Controller::NodeLifecycle, node);
            }
        }
        self.replay();
    }

    /// Lets happen what waited for somebody who works now.
    fn replay(&mut self) {
        let parked = core::mem::take(&mut self.plane().parked);
        for event in parked.iter() {
            if self.hold(event).is_some() {
                self.plane().parked.push(event.clone());
                continue;
            }
            let mut at = self.now;
            if let Event::Container(uid, i, _, Step::Sigkill) = event {
                // The kubelet stops the container once more, with all of the grace period.
                let key = self.sandboxes.get(uid).map(|s| s.key.clone()).unwrap_or_default();
                let grace = self.store.get::<Pod>(&key).and_then(|p| p.metadata.deletion_grace_period_seconds);
                at += Span::from_secs(grace.unwrap_or(0).max(0).unsigned_abs());
                if let Some(stopping) = self.container_mut(*uid, usize::from(*i)).and_then(|c| c.stopping.as_mut()) {
                    stopping.kill_at = at;
                }
            }
            self.events.plan(at, event.clone());
        }
    }

    /// Stops a component. False: it doesn't run.
    pub(crate) fn stop_component(&mut self, component: Component) -> bool {
        let plane = self.plane();
        if plane.stopped.contains(&component) {
            return false;
        }
        plane.turns += 1;
        plane.apart.remove(&component);
        plane.stopped.push(component);
        true
    }

    /// Starts it again. False: it runs.
    pub(crate) fn start_component(&mut self, component: Component) -> bool {
        let Some(at) = self.control_plane.stopped.iter().position(|c| *c == component) else { return false };
        self.plane().stopped.swap_remove(at);
        self.set_apart(component.clone(), true);
        if self.api_server_answers() {
            self.plan_comeback(&component);
        }
        true
    }

    pub(crate) fn start_controller_manager(&mut self) -> bool {
        let started = self.start_component(Component::ControllerManager);
        if started {
            // What hung in the old process doesn't in the new one.
            self.plane().hung.retain(|(c, _)| process_of(*c) != Component::ControllerManager);
        }
        started
    }

    /// A control loop hangs. False: there is none of this name, or it hangs already.
    pub(crate) fn stop_controller(&mut self, name: &str) -> bool {
        let Some(controller) = Controller::named(name) else { return false };
        let now = self.now;
        let plane = self.plane();
        let runs = plane.hung.iter().all(|(c, _)| *c != controller);
        if runs {
            plane.turns += 1;
            plane.hung.push((controller, now));
        }
        runs
    }

    /// It goes on. False: it doesn't hang.
    pub(crate) fn start_controller(&mut self, name: &str) -> bool {
        let Some(controller) = Controller::named(name) else { return false };
        let Some(at) = self.control_plane.hung.iter().position(|(c, _)| *c == controller) else { return false };
        let (_, since) = self.plane().hung.swap_remove(at);
        self.resume(&[controller], since);
        true
    }

    /// A kubelet ends: its containers go on, its lease isn't renewed any more. False: there is none that runs.
    pub(crate) fn stop_kubelet(&mut self, node: &str) -> bool {
        let Some(name) = self.machines.get(node).filter(|m| m.powered).map(|m| m.name.clone()) else { return false };
        if !self.stop_component(Component::Kubelet(name.clone())) {
            return false;
        }
        self.plane().take_unlisted(&name);
        for uid in self.sandboxes_on(&name) {
            self.settle_repeats(uid);
            self.forget_probes(uid);
        }
        self.fell_silent(node);
        true
    }

    /// It starts again. False: it runs, or the node is off.
    pub(crate) fn start_kubelet(&mut self, node: &str) -> bool {
        let Some(name) = self.machines.get(node).filter(|m| m.powered).map(|m| m.name.clone()) else { return false };
        if !self.control_plane.stopped.contains(&Component::Kubelet(name.clone())) {
            return false;
        }
        self.plane().unlisted.push((name.clone(), false));
        self.start_component(Component::Kubelet(name))
    }

    /// The machine of a kubelet has booted. True: it can list its Pods, and what it has stopped is forgotten.
    pub(crate) fn kubelet_boots(&mut self, node: &NodeName) -> bool {
        if self.control_plane.is_untouched() {
            return true;
        }
        let answers = self.api_server_answers();
        let plane = self.plane();
        plane.stopped.retain(|c| *c != Component::Kubelet(node.clone()));
        plane.take_unlisted(node);
        if answers {
            plane.apart.remove(&Component::Kubelet(node.clone()));
            plane.apart.remove(&Component::Proxy(node.clone()));
        } else {
            plane.unlisted.push((node.clone(), true));
            self.set_apart(Component::Kubelet(node.clone()), true);
            self.set_apart(Component::Proxy(node.clone()), true);
        }
        answers
    }

    fn sandboxes_on(&self, node: &NodeName) -> Vec<Uid> {
        self.sandboxes.values().filter(|s| s.node == *node).map(|s| s.uid).collect()
    }

    /// A kubelet has listed its Pods, for the first time or again.
    fn kubelet_back(&mut self, node: &NodeName) {
        let first = self.plane().take_unlisted(node);
        let Some(machine) = self.machines.get(node).filter(|m| m.powered).cloned() else { return };
        match first {
            Some(true) => {
                for uid in self.sandboxes_on(node) {
                    self.recreate(uid);
                }
            }
            Some(false) => {
                for uid in self.sandboxes_on(node) {
                    self.probe_anew(uid);
                }
            }
            None => {}
        }
        self.replay();
        if machine.is_reachable() {
            if first.is_some() {
                self.register_node(node);
            }
            if let Some(machine) = self.machine_mut(node) {
                machine.silent_since = None;
            }
            self.kubelet_heard(node);
        }
    }

    fn forget_probes(&mut self, uid: Uid) {
        let mut planned = Vec::new();
        let Some(s) = self.sandbox_mut(uid) else { return };
        for c in &mut s.containers {
            planned.extend(c.probes.iter().filter_map(|p| p.next));
            c.probes = Default::default();
        }
        planned.into_iter().for_each(|key| self.events.cancel(key));
    }

    /// The workers of a Pod's probes begin anew, each within its first period (`prober/worker.go`).
    fn probe_anew(&mut self, uid: Uid) {
        let trusts = self.release.0 >= TRUSTS_ITS_STATUS;
        let now = self.now;
        self.forget_probes(uid);
        let Some(s) = self.sandbox_mut(uid) else { return };
        s.admitted_at = now;
        let mut doubted = Vec::new();
        for i in 0..s.containers.len() {
            if trusts || !s.containers[i].noticed {
                continue;
            }
            let probed = |kind: ProbeKind| kind.of(s.spec(i)).map(period);
            let (startup, readiness) = (probed(ProbeKind::Startup), probed(ProbeKind::Readiness));
            let c = &mut s.containers[i];
            c.started &= startup.is_none();
            c.ready &= startup.is_none() && readiness.is_none();
            if let Some(period) = readiness.filter(|_| c.started) {
                doubted.push((i, period));
            }
        }
        for (i, period) in doubted {
            let who = subject(&["worker", &uid.0.to_string(), &i.to_string()]);
            let wait = self.delay(Source::Phase, who, Span::from_micros(1), period);
            self.plan_try(uid, i, ProbeKind::Readiness, now + wait);
        }
        self.look_at_probes(uid);
        self.report(uid);
    }

    /// What a kubelet couldn't write it writes now.
    pub(crate) fn status_batch(&mut self, node: &NodeName) {
        for uid in self.sandboxes_on(node) {
            self.write_status(uid);
        }
    }
}
