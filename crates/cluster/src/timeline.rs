//! A run that can be gone through in both directions: commands, snapshots, recording.

use crate::apply::Applied;
use crate::cluster::Cluster;
use crate::control_plane::CONNECTION_REFUSED;
use crate::scenario::Scenario;
use lab_base::{Span, Time};
use lab_protocol::{Command, Propagation, Recorded};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Distance of snapshots.
pub const SNAPSHOT_EVERY: Span = Span::from_secs(5);
/// Older snapshots than this are kept only each minute.
pub const SNAPSHOTS_DENSE: Span = Span::from_secs(600);
/// How often observers look.
pub const OBSERVE_EVERY: Span = Span::from_millis(100);

/// Events after which a run that nobody looks at drops its motions.
const SEEK_AT_ONCE: u64 = 20_000;

/// Someone who looks at the cluster at fixed simulated times and remembers what it saw (a lesson's checks).
/// What it remembers is part of every snapshot.
pub trait Observer: Clone {
    /// Looks; called each [`OBSERVE_EVERY`] of simulated time.
    fn observe(&mut self, cluster: &Cluster);
    /// Whether it has nothing to look for, so that nobody need call it.
    fn is_idle(&self) -> bool;
}

impl Observer for () {
    fn observe(&mut self, _: &Cluster) {}
    fn is_idle(&self) -> bool {
        true
    }
}

/// Everything needed to repeat a run, and the hash that it must come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// Version of the engine.
    pub engine: String,
    /// Release whose behaviour was simulated.
    pub release: String,
    /// Seed.
    pub seed: u64,
    /// The scenario file.
    pub scenario: String,
    /// Commands in order.
    pub commands: Vec<Recorded>,
    /// How far it went.
    pub until: Time,
    /// State hash at that moment.
    pub hash: String,
}

/// Version of the engine, in recordings.
pub const ENGINE: &str = env!("CARGO_PKG_VERSION");

/// One run, at one moment of it.
pub struct Timeline<O: Observer = ()> {
    scenario: String,
    seed: Option<u64>,
    commands: Vec<Recorded>,
    done: usize,
    snapshots: BTreeMap<Time, (Cluster, O, usize)>,
    cluster: Cluster,
    observer: O,
    /// Where the next look of the observer is due.
    next_look: Time,
}

impl<O: Observer> Timeline<O> {
    /// A run of a scenario at time zero. Also tells mistakes in the scenario, and objects that were refused.
    pub fn new(text: &str, seed: Option<u64>, observer: O) -> (Timeline<O>, Vec<kube_api::Diagnostic>, Vec<String>) {
        let (scenario, diagnostics) = Scenario::parse(text);
        let (cluster, refused) = Cluster::new(&scenario, seed);
        let mut timeline = Timeline {
            scenario: text.into(),
            seed,
            commands: Vec::new(),
            done: 0,
            snapshots: BTreeMap::new(),
            cluster,
            observer,
            next_look: Time::ZERO + OBSERVE_EVERY,
        };
        timeline.snapshot();
        (timeline, diagnostics, refused)
    }

    /// The cluster at the present moment.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
    /// The same, to take motions from it.
    pub fn cluster_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
    /// The observer.
    pub fn observer(&self) -> &O {
        &self.observer
    }
    /// The observer, to tell it what it can't have seen.
    pub fn observer_mut(&mut self) -> &mut O {
        &mut self.observer
    }
    /// The commands, those of the future (after going back) included.
    pub fn commands(&self) -> &[Recorded] {
        &self.commands
    }
    /// Takes up commands of an earlier run, to be replayed as time goes on.
    pub fn set_commands(&mut self, commands: Vec<Recorded>) {
        self.commands = commands;
        self.commands.sort_by_key(|c| (c.at, c.seq));
        let now = self.cluster.now();
        self.snapshots.retain(|at, _| *at <= now);
        self.done = self.commands.iter().take_while(|c| c.at < self.cluster.now()).count();
    }

    fn snapshot(&mut self) {
        let motions = self.cluster.take_motions();
        let copy = self.cluster.clone();
        self.cluster.put_back_motions(motions);
        self.snapshots.insert(self.cluster.now(), (copy, self.observer.clone(), self.done));
        let old = self.cluster.now() - SNAPSHOTS_DENSE;
        let minute = Span::from_secs(60).as_micros();
        self.snapshots.retain(|at, _| *at >= old || at.as_micros() % minute == 0);
    }

    /// Runs on to `to`, replaying what was recorded on the way. Stops after about `budget` events; false: not there yet.
    pub fn advance(&mut self, to: Time, budget: &mut u64) -> bool {
        loop {
            let now = self.cluster.now();
            if now >= to {
                return true;
            }
            let next_snapshot =
                Time::from_micros((now.as_micros() / SNAPSHOT_EVERY.as_micros() + 1) * SNAPSHOT_EVERY.as_micros());
            let next_command = self.commands.get(self.done).map_or(Time::FOREVER, |c| c.at.max(now));
            let next_look = if self.observer.is_idle() { Time::FOREVER } else { self.next_look.max(now) };
            let stop = to.min(next_snapshot).min(next_command).min(next_look);
            if !self.cluster.run_until(stop, budget) {
                return false;
            }
            // What is due now happens first, then commands, then those who look, then the snapshot.
            while self.commands.get(self.done).is_some_and(|c| c.at <= stop) {
                let command = self.commands[self.done].command.clone();
                self.done += 1;
                self.execute(&command);
            }
            if stop >= next_look {
                self.observer.observe(&self.cluster);
            }
            if stop >= self.next_look {
                let n = stop.as_micros() / OBSERVE_EVERY.as_micros() + 1;
                self.next_look = Time::from_micros(n * OBSERVE_EVERY.as_micros());
            }
            if stop == next_snapshot {
                self.snapshot();
            }
        }
    }

    /// Goes to a moment, back or on: from the last snapshot before it, replaying. A run that went back has snapshots of
    /// its future, too, until something else is done in it.
    pub fn seek(&mut self, to: Time) {
        let now = self.cluster.now();
        let before = self.snapshots.range(..=to).next_back().map(|(at, _)| *at);
        if to < now || before.is_some_and(|at| at > now) {
            self.restore(to);
        }
        let mut there = false;
        while !there {
            there = self.advance(to, &mut { SEEK_AT_ONCE });
            // Nobody looks on.
            self.cluster.take_motions();
        }
    }

    fn restore(&mut self, to: Time) {
        let found = self.snapshots.range(..=to).next_back().map(|(_, s)| s.clone());
        if let Some((cluster, observer, done)) = found {
            self.cluster = cluster;
            self.observer = observer;
            self.done = done;
        }
        let n = self.cluster.now().as_micros() / OBSERVE_EVERY.as_micros() + 1;
        self.next_look = Time::from_micros(n * OBSERVE_EVERY.as_micros());
    }

    /// Does something at `at`: goes there, drops what was recorded later, does it, and records it if it had an effect.
    pub fn execute_at(&mut self, at: Time, command: Command) -> (Option<Recorded>, Applied) {
        self.seek(at);
        // Commands of this very moment stay: they came before.
        let dropped = self.commands.len() > self.done;
        self.commands.truncate(self.done);
        self.snapshots.retain(|t, _| *t <= at);
        if dropped {
            self.next_look = self.next_look.max(at);
        }
        let applied = self.execute(&command);
        if !applied.changed {
            return (None, applied);
        }
        let seq = self.commands.last().map_or(1, |c| c.seq + 1);
        let recorded = Recorded { at, seq, command };
        self.commands.push(recorded.clone());
        self.done = self.commands.len();
        // A snapshot of this moment was taken before the command: it would lose it.
        if self.snapshots.contains_key(&at) {
            self.snapshot();
        }
        (Some(recorded), applied)
    }

    fn execute(&mut self, command: &Command) -> Applied {
        let apart = matches!(command, Command::Fault(_) | Command::SetProxyMode { .. } | Command::Send { .. });
        if !apart && !self.cluster.api_server_answers() {
            return Applied { results: vec![CONNECTION_REFUSED.into()], ..Applied::default() };
        }
        match command {
            Command::Apply { yaml } => self.cluster.apply_yaml(yaml),
            Command::Delete { kind, namespace, name } => {
                told(self.cluster.delete_cascading(kind, namespace, name, Propagation::Background))
            }
            Command::DeleteCascading { kind, namespace, name, propagation } => {
                told(self.cluster.delete_cascading(kind, namespace, name, *propagation))
            }
            Command::Fault(fault) => Applied { changed: self.cluster.inject(fault), ..Applied::default() },
            Command::SetProxyMode { node, mode } => {
                Applied { changed: self.cluster.set_proxy_mode(node, *mode), ..Applied::default() }
            }
            Command::Create { yaml } => self.cluster.create_yaml(yaml),
            Command::Patch { kind, namespace, name, patch } => self.cluster.patch(kind, namespace, name, patch),
            Command::Send { node, namespace, pod, url, timeout } => {
                let pod = kube_api::NamespacedName::new(namespace.clone(), pod.clone());
                self.cluster.send_once(node, &pod, url, *timeout)
            }
            Command::DeletePod { namespace, name, grace_seconds } => {
                self.cluster.delete_pod_within(namespace, name, *grace_seconds)
            }
            Command::Evict { namespace, name, grace_seconds } => self.cluster.evict(namespace, name, *grace_seconds),
        }
    }

    /// The cluster at a moment that has been, to look at or to try something on: the run stays where it is.
    pub fn cluster_at(&self, at: Time) -> Cluster {
        self.past(at).cluster
    }

    /// The run at a moment that has been, with nobody who looks on; commands are replayed as it goes on.
    pub(crate) fn past(&self, at: Time) -> Timeline {
        let found = self.snapshots.range(..=at).next_back().filter(|_| at < self.cluster.now());
        let (cluster, done) = match found {
            Some((_, (cluster, _, done))) => (cluster, *done),
            None => (&self.cluster, self.done),
        };
        let mut past = Timeline {
            scenario: String::new(),
            seed: None,
            commands: self.commands.clone(),
            done,
            snapshots: BTreeMap::new(),
            cluster: cluster.clone(),
            observer: (),
            next_look: Time::ZERO,
        };
        past.advance(at, &mut u64::MAX.clone());
        past.cluster.take_motions();
        past
    }

    /// Everything needed to repeat the run up to now.
    pub fn recording(&self) -> Recording {
        let now = self.cluster.now();
        Recording {
            engine: ENGINE.into(),
            release: self.cluster.release().to_string(),
            seed: self.seed.unwrap_or_else(|| self.cluster.seed()),
            scenario: self.scenario.clone(),
            commands: self.commands[..self.done].to_vec(),
            until: now,
            hash: self.cluster.state_hash(),
        }
    }

    /// How many snapshots are kept.
    pub fn snapshot_count(&self) -> usize {
        self.snapshots.len()
    }
}

/// The answer to a deletion.
fn told(answer: Result<(String, bool), String>) -> Applied {
    match answer {
        Ok((line, changed)) => Applied { results: vec![line], changed, ..Applied::default() },
        Err(line) => Applied { results: vec![line], ..Applied::default() },
    }
}

impl Recording {
    /// Repeats the run. Gives the hash that it comes to.
    pub fn replay(&self) -> String {
        let (mut timeline, _, _) = Timeline::new(&self.scenario, Some(self.seed), ());
        timeline.set_commands(self.commands.clone());
        timeline.seek(self.until);
        timeline.cluster().state_hash()
    }
}
