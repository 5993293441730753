//! What components tell of a failover, one call each. Each returns at once where nothing has failed.

use super::cause::is_old;
use super::{Course, CourseId, Due, drop_from, settings, step};
use crate::cluster::Cluster;
use crate::event::NodeName;
use crate::kubelet::{ProbeKind, Process, Sandbox};
use crate::store::Change;
use crate::traffic::Request;
use kube_api::{Deployment, NamespacedName, Object, Pod, ReplicaSet, Service, Uid};
use lab_base::{Span, Time};
use lab_protocol::{Outcome, PartKind, Phrase, Setting, StepKind};
use std::net::IpAddr;
use std::sync::Arc;

fn pod_in(object: &Option<Object>) -> Option<&Arc<Pod>> {
    match object {
        Some(Object::Pod(pod)) => Some(pod),
        _ => None,
    }
}

impl Cluster {
    /// The API server has written an object.
    pub(crate) fn failover_hears(&mut self, change: &Change) {
        if self.bringing_up {
            return;
        }
        match (&change.old, &change.new) {
            (Some(Object::Deployment(old)), Some(Object::Deployment(new)))
                if old.metadata.generation != new.metadata.generation =>
            {
                let now = self.now;
                self.facts.failovers_mut().commanded.insert(change.key.clone(), now);
            }
            _ => match (pod_in(&change.old), pod_in(&change.new)) {
                (None, Some(new)) => self.failover_created(&new.clone()),
                (Some(old), Some(new)) => self.failover_changed(&old.clone(), &new.clone()),
                (Some(old), None) => self.failover_removed(&old.clone()),
                (None, None) => {}
            },
        }
    }

    fn failover_step(&mut self, id: CourseId, kind: StepKind, subject: &str, settings: Vec<Setting>) {
        let step = step(self.now, kind, subject, settings);
        self.facts.failovers_mut().step(id, step);
    }

    /// The same for all courses of a Pod that was struck and ends.
    fn failover_steps(&mut self, pod: &Pod, kind: StepKind, settings: &[Setting]) {
        for id in self.ending(pod.metadata.uid) {
            self.failover_step(id, kind, &pod.metadata.name, settings.to_vec());
        }
    }

    /// Courses that aren't over of a Pod that was struck.
    fn struck(&self, pod: Uid) -> Vec<CourseId> {
        let mut all = self.facts.failovers().courses_of(pod);
        all.retain(|(_, struck)| *struck == pod);
        all
    }

    /// Those, and those that are over while the Pod still ends.
    fn ending(&self, pod: Uid) -> Vec<CourseId> {
        let mut all = self.struck(pod);
        all.extend(self.facts.failovers().leaving.get(&pod).iter().flat_map(|all| all.iter().copied()));
        all
    }

    fn failover_course(&mut self, id: CourseId) -> Option<&mut Course> {
        self.facts.failovers_mut().course_mut(id)
    }

    fn failover_ends(&mut self, id: CourseId, part: PartKind) {
        let now = self.now;
        if let Some(course) = self.failover_course(id) {
            course.end(part, now);
        }
    }

    fn failover_settle(&mut self, id: CourseId) {
        let (now, goes_on) = (self.now, self.failover_goes_on(id.0));
        self.facts.failovers_mut().settle(id, now, goes_on);
    }

    /// A new Pod may stand in for one that was struck.
    fn failover_created(&mut self, pod: &Arc<Pod>) {
        if self.facts.failovers().wanting.is_empty() {
            return;
        }
        let Some(owner) = self.owner_key(pod) else { return };
        let waiting = self.facts.failovers().wanting.get(&owner);
        // A rollout replaces by Pods of its new template; whoever else is missing is replaced by whatever comes.
        let first = waiting.and_then(|all| all.iter().copied().find(|id| self.suits(*id, pod)));
        if let Some(id) = first {
            self.failover_replaces(id, pod, self.now);
        }
    }

    /// Whether a Pod may take the place of the one of a course.
    fn suits(&self, id: CourseId, pod: &Pod) -> bool {
        let rollout = self.facts.failovers().all.get(&id.0).is_some_and(|f| f.cause.id == "failover-rollout");
        !rollout || !self.is_of_old_set(pod)
    }

    fn is_of_old_set(&self, pod: &Pod) -> bool {
        let set = pod.metadata.controller().and_then(|owner| self.store.by_uid::<ReplicaSet>(owner.uid));
        let deployment = self.deployment_of(pod);
        let deployment = deployment.as_ref().and_then(|key| self.store.get::<Deployment>(key));
        matches!((set, deployment), (Some(set), Some(deployment)) if is_old(deployment, set))
    }

    fn failover_replaces(&mut self, id: CourseId, pod: &Arc<Pod>, at: Time) {
        let (uid, name) = (pod.metadata.uid, pod.metadata.name.clone());
        let mut settings = Vec::new();
        if let Some(key) = self.deployment_of(pod)
            && let Some(deployment) = self.store.get::<Deployment>(&key).cloned()
            && self.facts.failovers().all.get(&id.0).is_some_and(|f| f.cause.id == "failover-rollout")
        {
            settings = self.rollout_settings(&deployment);
        }
        let failovers = self.facts.failovers_mut();
        let Some(course) = failovers.course_mut(id) else { return };
        course.replacement = Some((uid, name.clone()));
        course.wants = false;
        let owner = course.owner.clone();
        failovers.step(id, step(at, StepKind::Created, name, settings));
        failovers.by_pod.entry(uid).or_default().push_back(id);
        if let Some(owner) = owner {
            drop_from(&mut failovers.wanting, &owner, id);
        }
    }

    fn failover_changed(&mut self, old: &Pod, new: &Arc<Pod>) {
        let uid = new.metadata.uid;
        if new.metadata.is_deleting() && !old.metadata.is_deleting() {
            self.failover_deleted(new);
        }
        let (was, is) = (old.is_ready(), new.is_ready());
        if was && !is && !new.metadata.is_deleting() && !new.is_finished() {
            // Nobody has told what is wrong.
            let cause = Phrase::new("failover-unready").with("pod", &new.metadata.name);
            self.failover_by(new, cause);
        }
        if self.facts.failovers().by_pod.is_empty() {
            return;
        }
        for id in self.facts.failovers().courses_of(uid) {
            if old.spec.node_name.is_empty() && !new.spec.node_name.is_empty() {
                self.failover_step(id, StepKind::Scheduled, &new.spec.node_name, Vec::new());
            }
            if was && !is && id.1 == uid {
                self.failover_step(id, StepKind::NotReady, &new.metadata.name, settings::batch_period());
                self.failover_ends(id, PartKind::Detection);
            }
            let stands_in = id.1 != uid || !new.metadata.is_deleting();
            if !was && is && stands_in {
                self.failover_ready(id, new);
            }
        }
    }

    /// A Pod is ready: the one that was struck, or the one in its place.
    fn failover_ready(&mut self, id: CourseId, pod: &Arc<Pod>) {
        let now = self.now;
        let since = self.facts.failovers().course(id).map_or(now, |c| c.at);
        let started = self.sandboxes.get(&pod.metadata.uid).is_some_and(|s| s.main().started_at >= since);
        let settings = self.ready_settings(pod, started || id.1 != pod.metadata.uid);
        self.failover_step(id, StepKind::Ready, &pod.metadata.name, settings);
        if let Some(course) = self.failover_course(id) {
            // Its endpoint may have come into the rules before the struck one was out of them.
            course.ends[PartKind::Repair as usize].get_or_insert(now);
            course.replacement.get_or_insert((pod.metadata.uid, pod.metadata.name.clone()));
        }
        self.failover_settle(id);
    }

    /// A Pod is being deleted, or its object is gone at once.
    fn failover_deleted(&mut self, pod: &Arc<Pod>) {
        let uid = pod.metadata.uid;
        if pod.status.pod_ip.is_empty() && self.facts.failovers().by_pod.is_empty() {
            return;
        }
        let cause = self.cause_of_deletion(pod);
        let scaled = cause.id == "failover-scaled" || cause.id == "failover-collected";
        let rollout = cause.id == "failover-rollout";
        let tainted = cause.id == "failover-tainted";
        let commanded = self.owner_key(pod).filter(|_| scaled || rollout);
        if let Some(id) = self.failover_by(pod, cause)
            && let Some(key) = commanded
            && let Some(at) = self.commanded_at(&key)
        {
            let commanded = step(at, StepKind::Commanded, key.name, Vec::new());
            self.facts.failovers_mut().step((id, uid), commanded);
        }
        let settings = if tainted { self.toleration_settings(pod) } else { Vec::new() };
        for id in self.facts.failovers().courses_of(uid) {
            let replaced = !scaled && pod.metadata.controller().is_some();
            if id.1 != uid {
                // The one in its place goes too.
                let failovers = self.facts.failovers_mut();
                drop_from(&mut failovers.by_pod, &uid, id);
                if let Some(course) = failovers.course_mut(id) {
                    course.replacement = None;
                }
            } else {
                self.failover_step(id, StepKind::Deleted, &pod.metadata.name, settings.clone());
                self.failover_ends(id, PartKind::Detection);
                if let Some(course) = self.failover_course(id) {
                    course.deleted = true;
                    if course.replacement.as_ref().is_some_and(|(other, _)| *other == uid) {
                        course.replacement = None;
                    }
                }
            }
            if replaced {
                self.failover_wants(id);
            }
        }
    }

    /// A course waits for a Pod in place of its own. In a rollout that may be there before.
    fn failover_wants(&mut self, id: CourseId) {
        let failovers = self.facts.failovers_mut();
        let Some(course) = failovers.course_mut(id).filter(|c| c.replacement.is_none()) else { return };
        course.wants = true;
        let Some(owner) = course.owner.clone() else { return };
        failovers.wanting.entry(owner.clone()).or_default().push_back(id);
        if self.facts.failovers().all.get(&id.0).is_none_or(|f| f.cause.id != "failover-rollout") {
            return;
        }
        let since = self.commanded_at(&owner);
        let Some(deployment) = self.store.get::<Deployment>(&owner).cloned() else { return };
        let own = |s: &&Arc<ReplicaSet>| {
            s.metadata.controller().is_some_and(|o| o.uid == deployment.metadata.uid) && !is_old(&deployment, s)
        };
        let sets = self.store.list::<ReplicaSet>().filter(own);
        let free = |p: &&Arc<Pod>| {
            p.metadata.creation_timestamp >= since
                && !p.metadata.is_deleting()
                && self.facts.failovers().courses_of(p.metadata.uid).is_empty()
                && !self.facts.failovers().is_replacement(id.0, p.metadata.uid)
        };
        let waiting = sets.flat_map(|s| self.store.pods_of(s.metadata.uid)).filter(free);
        let first = waiting.min_by_key(|p| (p.metadata.creation_timestamp, p.metadata.uid)).cloned();
        if let Some(pod) = first {
            let created = pod.metadata.creation_timestamp.unwrap_or(self.now);
            self.failover_replaces(id, &pod, created);
            if pod.is_ready() {
                self.failover_stands_ready(id, &pod);
            }
        }
    }

    /// The Pod in place of a struck one was ready before: its endpoint is in some rules, and comes into the others.
    fn failover_stands_ready(&mut self, id: CourseId, pod: &Arc<Pod>) {
        self.failover_ready(id, pod);
        let uid = pod.metadata.uid;
        if let Some(services) = self.endpoints_of(|other| other == uid).remove(&uid) {
            for (_, service) in services {
                self.failover_returns(id, &service);
            }
        }
    }

    fn failover_removed(&mut self, pod: &Arc<Pod>) {
        if !pod.metadata.is_deleting() {
            self.failover_deleted(pod);
        }
        let ending = self.ending(pod.metadata.uid);
        self.facts.failovers_mut().leaving.remove(&pod.metadata.uid);
        for id in ending {
            self.failover_step(id, StepKind::Removed, &pod.metadata.name, Vec::new());
            if let Some(course) = self.failover_course(id) {
                course.removed = true;
            }
            self.failover_settle(id);
        }
    }

    /// An address has come to the ready endpoints of a Service, or gone from them.
    pub(crate) fn failover_endpoint(&mut self, service: &Service, ip: &str, added: bool) {
        if self.bringing_up {
            return;
        }
        let Ok(ip) = ip.parse::<IpAddr>() else { return };
        let (uid, name) = (service.metadata.uid, service.metadata.name.as_str());
        if added {
            let Some(pod) = self.addresses.get(&ip).copied() else { return };
            for id in self.facts.failovers().courses_of(pod) {
                let stands_in = self.facts.failovers().course(id).is_some_and(|c| {
                    c.services.iter().any(|(s, _)| *s == uid) && c.replacement.as_ref().is_some_and(|r| r.0 == pod)
                });
                if stands_in {
                    self.failover_returns(id, name);
                }
            }
            return;
        }
        let struck = self.facts.failovers().by_ip.get(&ip);
        let Some(pod) = self.addresses.get(&ip).or(struck).copied() else { return };
        if self.struck(pod).is_empty()
            && let Some(pod) = self.store.by_uid::<Pod>(pod).cloned()
        {
            // The Pod is as it was: the Service selects another, or its labels have changed.
            let cause = Phrase::new("failover-deselected").with("service", name);
            self.failover_leaves(&pod, cause, service);
        }
        for id in self.struck(pod) {
            self.failover_step(id, StepKind::EndpointOut, name, settings::batch_period());
            let now = self.now;
            let Some(course) = self.failover_course(id) else { continue };
            course.inside.retain(|s| *s != uid);
            if course.inside.is_empty() && !course.ended(PartKind::Withdrawal) {
                course.end(PartKind::Withdrawal, now);
                self.failover_due(id, 0);
            }
        }
    }

    /// A Service lets a Pod go that is well.
    fn failover_leaves(&mut self, pod: &Arc<Pod>, cause: Phrase, service: &Service) {
        let (now, uid) = (self.now, pod.metadata.uid);
        if pod.metadata.is_deleting() || !pod.is_ready() {
            return;
        }
        let going_on = self.facts.failovers().going_on(&cause);
        let id = going_on.unwrap_or_else(|| self.facts.failovers_mut().begin(now, cause, None));
        let services = vec![(service.metadata.uid, service.metadata.name.clone())];
        self.failover_strikes(id, pod, services, Vec::new());
        if let Some(course) = self.failover_course((id, uid)) {
            // It is ready all the time; what is missing is the Service's interest.
            course.replacement = Some((uid, course.key.name.clone()));
            course.ends[PartKind::Repair as usize] = Some(now);
        }
    }

    fn failover_returns(&mut self, id: CourseId, service: &str) {
        self.failover_step(id, StepKind::EndpointBack, service, Vec::new());
        if self.facts.failovers().course(id).is_some_and(|c| !c.back && c.left[1] == 0) {
            self.failover_due(id, 1);
        }
    }

    /// Every node's rules have to follow: without the endpoint (0), or with it (1). Nodes that can't be reached have none that
    /// matter.
    fn failover_due(&mut self, id: CourseId, which: usize) {
        let now = self.now;
        let nodes: Vec<NodeName> =
            self.machines.values().filter(|m| m.is_reachable()).map(|m| m.name.clone()).collect();
        if let Some(course) = self.failover_course(id) {
            course.left[which] = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        }
        let due = if which == 0 { Due::Without(id) } else { Due::With(id) };
        for node in nodes {
            self.facts.failovers_mut().due.entry(node).or_default().insert((now, due));
        }
    }

    /// A kube-proxy has written its rules.
    pub(crate) fn failover_synced(&mut self, node: &str) {
        if self.facts.failovers().due.is_empty() {
            return;
        }
        let Some(machine) = self.machines.get(node) else { return };
        let (name, behind) = (machine.name.clone(), machine.behind_since().unwrap_or(Time::FOREVER));
        let Some(due) = self.facts.failovers().due.get(node) else { return };
        let written: Vec<(Time, Due)> = due.iter().copied().take_while(|(at, _)| *at < behind).collect();
        if let Some(due) = self.facts.failovers_mut().due.get_mut(node) {
            for entry in &written {
                due.remove(entry);
            }
            if due.is_empty() {
                self.facts.failovers_mut().due.remove(node);
            }
        }
        for (_, due) in written {
            self.failover_written(due, Some(&name));
        }
    }

    /// The rules of a node have followed; None: they matter no more.
    pub(super) fn failover_written(&mut self, due: Due, node: Option<&NodeName>) {
        let now = self.now;
        let mode = node.and_then(|n| self.machines.get(n)).map(|m| m.mode).unwrap_or_default();
        let (id, which, kind, part) = match due {
            Due::Without(id) => (id, 0, StepKind::RulesWithout, PartKind::Sync),
            Due::With(id) => (id, 1, StepKind::RulesWith, PartKind::Return),
            Due::Healed(id) => {
                if let Some(failover) = self.facts.failovers_mut().get_mut(id) {
                    let name = node.map(|n| n.to_string()).unwrap_or_default();
                    let removed = failover.fault.as_ref().is_some_and(|f| f.0 == "removeRule");
                    let settings = if removed { settings::full_sync(mode) } else { Vec::new() };
                    failover.steps.push_back(step(now, StepKind::RulesWith, name, settings));
                    failover.until.get_or_insert(now);
                }
                return;
            }
        };
        let Some(course) = self.failover_course(id) else { return };
        course.left[which] = course.left[which].saturating_sub(1);
        let last = course.left[which] == 0;
        if let Some(node) = node {
            // Said once, of the node that the others had to wait for.
            let settings = if last { settings::min_sync(mode) } else { Vec::new() };
            self.failover_step(id, kind, node, settings);
        }
        if last {
            if which == 0 {
                self.failover_ends(id, part);
            } else if let Some(course) = self.failover_course(id) {
                course.back = true;
            }
            self.failover_settle(id);
        }
    }

    /// A kubelet's relist finds a process dead.
    pub(crate) fn failover_exit(&mut self, pod: &Pod) {
        let settings = settings::relist();
        self.failover_noticed(pod, StepKind::NoticedExit, &settings);
    }

    fn failover_noticed(&mut self, pod: &Pod, kind: StepKind, settings: &[Setting]) {
        for id in self.struck(pod.metadata.uid) {
            if self.facts.failovers().course(id).is_some_and(|c| !c.ended(PartKind::Detection)) {
                self.failover_step(id, kind, &pod.metadata.name, settings.to_vec());
                self.failover_ends(id, PartKind::Detection);
            }
        }
    }

    /// A probe has come to its end: too many tries have failed in a row.
    pub(crate) fn failover_probe(&mut self, sandbox: &Sandbox, container: usize, kind: ProbeKind) {
        let Some(pod) = self.store.by_uid::<Pod>(sandbox.uid).cloned() else { return };
        let (id, what) = match kind {
            ProbeKind::Readiness => ("failover-unready", StepKind::ReadinessFailed),
            ProbeKind::Liveness => ("failover-unalive", StepKind::LivenessFailed),
            ProbeKind::Startup => return,
        };
        if !pod.metadata.is_deleting() {
            self.failover_by(&pod, Phrase::new(id).with("pod", &pod.metadata.name));
        }
        if self.struck(sandbox.uid).is_empty() {
            return;
        }
        let settings = self.probe_settings(&pod, container, kind, false);
        self.failover_noticed(&pod, what, &settings);
    }

    /// A process ends by itself.
    pub(crate) fn failover_crash(&mut self, uid: Uid, code: i32) {
        if let Some(pod) = self.store.by_uid::<Pod>(uid).cloned() {
            let cause = Phrase::new("failover-exited").with("pod", &pod.metadata.name).with("code", code);
            self.failover_by(&pod, cause);
        }
    }

    /// A container that ended is started again, after `wait`.
    pub(crate) fn failover_restart(&mut self, sandbox: &Sandbox, wait: Span) {
        let settings = if wait > Span::ZERO { settings::back_off(wait) } else { Vec::new() };
        for id in self.facts.failovers().courses_of(sandbox.uid) {
            self.failover_step(id, StepKind::Restarting, &sandbox.key.name, settings.clone());
        }
    }

    /// SIGTERM to a container, after a preStop hook that took so long.
    pub(crate) fn failover_sigterm(&mut self, sandbox: &Sandbox, container: usize, hook: Span) {
        if self.ending(sandbox.uid).is_empty() {
            return;
        }
        let settings = self.pre_stop_settings(&sandbox.pod, container, hook);
        self.failover_steps(&sandbox.pod, StepKind::Sigterm, &settings);
    }

    /// A container's process has ended, whoever ended it.
    pub(crate) fn failover_stopped(&mut self, uid: Uid, container: usize) {
        if self.ending(uid).is_empty() {
            return;
        }
        let Some(sandbox) = self.sandboxes.get(&uid).cloned() else { return };
        let run = &sandbox.containers[container];
        let killed = matches!(run.process, Process::Exited { code: 137, .. }) && run.stopping.is_some();
        let settings = if killed { self.grace_settings(&sandbox.pod) } else { Vec::new() };
        self.failover_steps(&sandbox.pod, StepKind::Stopped, &settings);
    }

    /// The node controller finds a node silent, before it marks the Pods on it.
    pub(crate) fn failover_silent(&mut self, node: &str) {
        let on_node: Vec<Arc<Pod>> = self.store.pods_on(node).cloned().collect();
        let settings = settings::node_silent(self);
        let about = |f: &&Arc<super::Failover>| f.until.is_none() && f.nodes.iter().any(|n| **n == *node);
        let known = self.facts.failovers().all.values().find(about).map(|f| f.id);
        for pod in on_node {
            let uid = pod.metadata.uid;
            if self.struck(uid).is_empty() {
                match known {
                    Some(id) => {
                        if let Some(services) = self.endpoints_of(|other| other == uid).remove(&uid) {
                            self.failover_strikes(id, &pod, services, Vec::new());
                        }
                    }
                    None => {
                        self.failover_by(&pod, Phrase::new("failover-node-silent").with("node", node));
                    }
                }
            }
            for id in self.struck(uid) {
                if self.facts.failovers().course(id).is_some_and(|c| !c.ended(PartKind::Detection)) {
                    self.failover_step(id, StepKind::NodeNotReady, node, settings.clone());
                    self.failover_ends(id, PartKind::Detection);
                }
            }
        }
    }

    /// A load balancer's health checks think otherwise of a node than before.
    pub(crate) fn failover_target(&mut self, service: &NamespacedName, node: &str, well: bool) {
        let now = self.now;
        let Some(cloud) = &self.cloud else { return };
        let settings = settings::health_checks(cloud, well);
        let kind = if well { StepKind::TargetBack } else { StepKind::TargetOut };
        let about = |f: &&Arc<super::Failover>| {
            let behind = |c: &Arc<Course>| {
                c.key.namespace == service.namespace && c.services.iter().any(|(_, s)| *s == service.name)
            };
            f.until.is_none() && (f.nodes.iter().any(|n| **n == *node) || f.courses.values().any(behind))
        };
        let all: Vec<u32> = self.facts.failovers().all.values().filter(about).map(|f| f.id).collect();
        for id in all {
            if let Some(failover) = self.facts.failovers_mut().get_mut(id) {
                failover.steps.push_back(step(now, kind, node, settings.clone()));
            }
            if !self.failover_goes_on(id) {
                self.facts.failovers_mut().finish(id, now);
            }
        }
    }

    /// A request has failed.
    pub(crate) fn failover_fails(&mut self, request: &Request, outcome: Outcome) {
        if outcome == Outcome::Answered || self.facts.failovers().is_empty() {
            return;
        }
        let now = self.now;
        self.facts.failovers_mut().count(now, request.began, request.pod, outcome);
        let Some(pod) = request.pod else { return };
        for id in self.struck(pod) {
            let Some(course) = self.facts.failovers().course(id) else { continue };
            let late = course.ends[PartKind::Sync as usize].is_some_and(|synced| request.sent > synced);
            if late
                && let Some(step) = self.straggler(request)
                && !course.steps.iter().any(|s| s.kind == StepKind::Straggler && s.subject == step.subject)
            {
                self.facts.failovers_mut().step(id, step);
            }
        }
    }
}

impl super::Failovers {
    /// Whether a Pod has taken the place of another in this failure.
    fn is_replacement(&self, id: u32, pod: Uid) -> bool {
        let taken = |c: &Arc<Course>| c.replacement.as_ref().is_some_and(|r| r.0 == pod);
        self.all.get(&id).is_some_and(|f| f.courses.values().any(taken))
    }
}
