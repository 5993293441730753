//! What a Pod's process does with requests: a queue, workers, answers.

use super::client::Client;
use super::request::{Request, RequestId};
use crate::cluster::Cluster;
use crate::event::Event;
use crate::kubelet::Process;
use crate::scenario::{Distribution, WorkloadSpec};
use crate::why::Saw;
use datapath::L4;
use kube_api::Uid;
use lab_base::{Source, Span, Time};
use lab_protocol::Outcome;

impl Cluster {
    /// How the process of a Pod's main container stands, for those who look.
    pub fn process_of(&self, pod: Uid) -> Option<Process> {
        self.sandboxes.get(&pod).map(|s| s.main().process)
    }

    /// A request is at a container's process: a worker takes it, or it waits for one, or there is no room.
    pub(super) fn serve(&mut self, id: RequestId, uid: Uid, container: usize) {
        let Some(sandbox) = self.sandboxes.get(&uid) else { return };
        let Some(run) = sandbox.containers.get(container) else { return };
        let WorkloadSpec { concurrency, queue, .. } = *sandbox.workload;
        let busy = sandbox.full || (concurrency > 0 && run.serving.len() >= concurrency as usize);
        let room = !sandbox.full && run.waiting.len() < queue as usize;
        if !busy {
            self.work(id, uid, container);
        } else if room {
            let Some(request) = self.requests.get(&id) else { return };
            let (arrived, give_up) = (request.arrived, request.give_up.0);
            if let Some(run) = self.container_mut(uid, container) {
                run.waiting.insert((arrived, id));
            }
            self.saw(id, Saw::Queued);
            // Unless a worker comes free in time.
            self.decide(id, arrived, Outcome::TimedOut, give_up);
        } else {
            self.turn_away(id, uid);
        }
    }

    /// 503, at once; of a datagram nothing comes.
    fn turn_away(&mut self, id: RequestId, uid: Uid) {
        self.saw(id, Saw::TurnedAway);
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.flow.proto == L4::Udp {
            let arrived = request.arrived;
            self.silence(id, arrived);
            return;
        }
        request.error = 503;
        let request = request.clone();
        let Some(client) = self.clients.get(&request.client).cloned() else { return };
        let at = self.data_is_there(&client, &request, uid) + self.transit(&client, &request, Some(uid));
        self.decide(id, request.arrived, Outcome::ServerError, at);
        self.events.plan(at, Event::Finish(id, Outcome::ServerError));
    }

    /// When the server has the request: after a SYN come an answer, an ACK and the first segment.
    fn data_is_there(&self, client: &Client, request: &Request, uid: Uid) -> Time {
        if request.flow.proto == L4::Udp {
            return request.arrived;
        }
        let late = self.resending(client, request, uid, 1);
        match request.connection {
            0 => request.arrived + self.transit(client, request, Some(uid)).times(2) + late,
            connection if self.is_fresh(connection) => {
                request.arrived + self.transit(client, request, Some(uid)).times(2) + late
            }
            _ => request.arrived + late,
        }
    }

    /// A worker takes a request.
    fn work(&mut self, id: RequestId, uid: Uid, container: usize) {
        let now = self.now;
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let (Some(client), Some(sandbox)) = (self.clients.get(&request.client).cloned(), self.sandboxes.get(&uid))
        else {
            return;
        };
        let luck = request.luck(&client);
        let mean = sandbox.service_time();
        let roll = self.dice.roll(Source::ServiceTime, luck, request.ordinal);
        let work = match sandbox.workload.distribution {
            Distribution::Exponential => roll.exponential(mean),
            Distribution::Uniform => roll.between(Span::ZERO, mean.times(2)),
            Distribution::Constant => mean,
        };
        let outcome = self.answer(&client, &request, sandbox.workload.errors);
        self.saw(id, Saw::Served);
        let done = self.data_is_there(&client, &request, uid).max(now) + work;
        let back = self.transit(&client, &request, Some(uid)) + self.resending(&client, &request, uid, 2);
        if let Some(run) = self.container_mut(uid, container) {
            run.serving.insert(id);
        }
        self.events.plan(done, Event::Respond(id));
        let ends = done + back;
        if ends > request.give_up.0 {
            self.decide(id, request.arrived, Outcome::TimedOut, request.give_up.0);
        } else {
            self.decide(id, request.arrived, outcome, ends);
        }
    }

    fn answer(&self, client: &Client, request: &Request, errors: f64) -> Outcome {
        let fails = self.dice.roll(Source::ServerError, request.luck(client), request.ordinal).unit() < errors;
        if fails { Outcome::ServerError } else { Outcome::Answered }
    }

    /// The server has its answer.
    pub(crate) fn respond(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let (Some(client), Some(pod)) = (self.clients.get(&request.client).cloned(), request.pod) else { return };
        if !self.drop_from_server(id, pod) {
            return;
        }
        let errors = self.sandboxes.get(&pod).map_or(0.0, |s| s.workload.errors);
        let outcome = self.answer(&client, &request, errors);
        let lost = request.flow.proto == L4::Udp && self.is_lost(&client, &request, Some(pod), 2);
        if self.passes(&client, &request, pod) && !lost {
            let back = self.transit(&client, &request, Some(pod)) + self.resending(&client, &request, pod, 2);
            self.events.plan(self.now + back, Event::Finish(id, outcome));
        } else {
            self.saw(id, if lost { Saw::LostOnWire } else { Saw::NobodyThere });
            self.decide(id, request.arrived, Outcome::TimedOut, request.give_up.0);
        }
        self.server_is_free(pod);
    }

    /// Takes a request off a server's hands. False: it isn't there any more.
    pub(super) fn drop_from_server(&mut self, id: RequestId, pod: Uid) -> bool {
        let Some(arrived) = self.requests.get(&id).map(|r| r.arrived) else { return false };
        let Some(s) = self.sandbox_mut(pod) else { return false };
        s.containers.iter_mut().any(|c| c.serving.remove(&id) || c.waiting.remove(&(arrived, id)))
    }

    /// A worker is free: for the request that has waited longest. A process that drains may have done its last.
    pub(crate) fn server_is_free(&mut self, pod: Uid) {
        let Some(s) = self.sandboxes.get(&pod) else { return };
        let workers = s.workload.concurrency.max(1) as usize;
        let next = s.containers.iter().enumerate().find_map(|(i, c)| {
            let first = c.waiting.get_min().copied();
            first.filter(|_| c.serving.len() < workers).map(|first| (i, first))
        });
        if let Some((i, (arrived, id))) = next {
            if let Some(run) = self.container_mut(pod, i) {
                run.waiting.remove(&(arrived, id));
            }
            self.work(id, pod, i);
        }
        self.drained(pod);
    }

    /// A process has ended: what it worked on, what waited and what stood open is reset.
    pub(crate) fn reset_connections(&mut self, uid: Uid, container: usize) {
        let Some(run) = self.container_mut(uid, container) else { return };
        let serving = core::mem::take(&mut run.serving);
        let waiting = core::mem::take(&mut run.waiting);
        for id in serving.iter().copied().chain(waiting.iter().map(|(_, id)| *id)) {
            self.break_off(id, Outcome::Reset);
        }
        self.hang_up(uid, container, |_| true);
    }

    /// The server's process died with the request in its hands.
    fn break_off(&mut self, id: RequestId, outcome: Outcome) {
        self.saw(id, Saw::ProcessEnded);
        let Some(request) = self.requests.get(&id).cloned() else { return };
        let (Some(client), Some(pod)) = (self.clients.get(&request.client).cloned(), request.pod) else { return };
        if self.passes(&client, &request, pod) && request.flow.proto == L4::Tcp {
            let at = self.now + self.transit(&client, &request, Some(pod));
            self.decide(id, request.arrived, outcome, at);
            self.events.plan(at, Event::Finish(id, outcome));
        } else {
            self.decide(id, request.arrived, Outcome::TimedOut, request.give_up.0);
        }
    }

    /// The requests in a server's hands are lost without a word: its machine or its network namespace is gone.
    pub(crate) fn fall_silent(&mut self, uid: Uid) {
        let Some(s) = self.sandbox_mut(uid) else { return };
        let mut lost = Vec::new();
        for run in &mut s.containers {
            lost.extend(core::mem::take(&mut run.serving).iter().copied());
            lost.extend(core::mem::take(&mut run.waiting).iter().map(|(_, id)| *id));
        }
        for id in lost {
            self.saw(id, Saw::FellSilent);
            if let Some(request) = self.requests.get(&id).cloned() {
                self.decide(id, request.arrived, Outcome::TimedOut, request.give_up.0);
            }
        }
    }
}
