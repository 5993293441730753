//! The cluster behind the page: one Worker, its clusters, their clocks, and signals to show them.
//!
//! The engine runs ahead of what is shown. `view_time` follows the wall clock at the chosen speed and everything on the
//! stage is a function of it, so pausing freezes, and going back plays backward.

mod client;
pub mod clock;
mod failover;
mod help;
mod hooks;
mod pump;
mod run;
pub mod scene;
pub mod store;
mod why;
mod worker;

pub use client::{check, compare, format, read_lesson};
pub use help::{complete, explain};
pub use hooks::count;
pub use pump::{add_drawer, redraw, with_run};
pub use run::Run as RunView;
pub use scene::Scene;
pub use why::Question;

use lab_base::Time;
use lab_protocol::{ClusterId, Command, Diagnostic, Fault, Id, Mark, ProxyMode, Recorded, RulesView, TaskReport};
use leptos::prelude::*;
use run::Writers;
use std::sync::Arc;

/// How a cluster is made.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Scenario file (YAML).
    pub scenario: String,
    /// `lesson.yaml`, for its checks; empty: none.
    pub lesson: String,
    /// Tasks that are solved already, by id.
    pub solved: Vec<String>,
    /// Commands to replay.
    pub commands: Vec<Recorded>,
    /// Which moment is shown first.
    pub at: Time,
    /// Overrides the scenario's seed.
    pub seed: Option<u64>,
    /// Whether test hooks are accepted.
    pub hooks: bool,
    /// Whether time runs at once.
    pub autoplay: bool,
    /// Whether things on the stage can be picked and broken.
    pub interactive: bool,
}

/// How the engine is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum EngineStatus {
    /// Not there yet.
    #[default]
    Starting,
    /// All is well.
    Running,
    /// It died and is being replaced; what was done is done again.
    Recovering {
        /// The how manieth time.
        times: u32,
    },
    /// No cluster can be made of this scenario, or no engine started.
    Failed(Vec<Diagnostic>),
}

/// Something to say in one line about time or the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The engine died, was replaced, and stands where it stood.
    Recovered,
    /// It died again of what was done last; that was left out.
    LeftOut,
    /// Time was stopped because nobody could see it.
    Hidden,
}

/// What a cluster was made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// Its seed.
    pub seed: u64,
    /// Kubernetes release, `1.36`.
    pub release: String,
    /// Mistakes and warnings in the scenario that don't prevent it.
    pub diagnostics: Vec<Diagnostic>,
}

/// What the last command came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Rises by one from command to command.
    pub serial: u64,
    /// What each object came to: `service/web created`.
    pub results: Vec<String>,
    /// Mistakes and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// A handle on one cluster: what can be done with it, and signals that show it. Copies are the same cluster.
#[derive(Clone, Copy)]
pub struct Lab {
    /// Its id in the Worker.
    pub id: ClusterId,
    /// What stands on the stage at the shown moment.
    pub scene: ReadSignal<Arc<Scene>>,
    /// The shown moment. Changes each frame while time runs.
    pub view_time: ReadSignal<Time>,
    /// The latest moment that was shown.
    pub horizon: ReadSignal<Time>,
    /// Whether time runs.
    pub playing: ReadSignal<bool>,
    /// Simulated seconds in a second.
    pub speed: ReadSignal<f64>,
    /// What happened, up to the horizon.
    pub marks: ReadSignal<Arc<Vec<Mark>>>,
    /// How the lesson's tasks stand.
    pub tasks: ReadSignal<Vec<TaskReport>>,
    /// What the last command came to.
    pub applied: ReadSignal<Option<Applied>>,
    /// Seed, release and mistakes of the scenario.
    pub opened: ReadSignal<Option<Opened>>,
    /// How the engine is.
    pub status: ReadSignal<EngineStatus>,
    /// Something to say in one line.
    pub notice: ReadSignal<Option<Notice>>,
    /// Rises when the charts have changed.
    pub charts: ReadSignal<u64>,
    /// Rises when a command was recorded (or many were dropped): time to store them.
    pub commands_changed: ReadSignal<u64>,
    /// The thing that is to be shown in full.
    pub focus: ReadSignal<Option<Id>>,
    /// What was asked last.
    pub asked: ReadSignal<Option<Question>>,
    /// Whether things on the stage can be picked and broken.
    pub interactive: bool,
    writers: Writers,
}

impl Lab {
    /// Makes a cluster. It is closed when the owner (component) goes.
    pub fn open(options: OpenOptions) -> Lab {
        let writers = Writers::new();
        let interactive = options.interactive;
        writers.playing.set(options.autoplay);
        writers.view_time.set(options.at);
        writers.horizon.set(options.at);
        let id = client::open(options, writers);
        on_cleanup(move || client::close(id));
        Lab {
            id,
            scene: writers.scene.read_only(),
            view_time: writers.view_time.read_only(),
            horizon: writers.horizon.read_only(),
            playing: writers.playing.read_only(),
            speed: writers.speed.read_only(),
            marks: writers.marks.read_only(),
            tasks: writers.tasks.read_only(),
            applied: writers.applied.read_only(),
            opened: writers.opened.read_only(),
            status: writers.status.read_only(),
            notice: writers.notice.read_only(),
            charts: writers.charts.read_only(),
            commands_changed: writers.commands.read_only(),
            focus: writers.focus.read_only(),
            asked: writers.asked.read_only(),
            interactive,
            writers,
        }
    }

    /// Makes the same cluster afresh, of another scenario or the same.
    pub fn reset(&self, options: OpenOptions) {
        let w = self.writers;
        w.tasks.set(Vec::new());
        w.applied.set(None);
        w.notice.set(None);
        w.marks.set(Arc::default());
        w.view_time.set(options.at);
        w.horizon.set(options.at);
        w.playing.set(options.autoplay);
        w.focus.set(None);
        w.asked.set(None);
        client::reopen(self.id, options);
        w.commands.update(|n| *n += 1);
    }

    /// `kubectl apply -f -` at the shown moment.
    pub fn apply(&self, yaml: String) {
        client::command(self.id, Command::Apply { yaml });
    }
    /// Breaks or mends something at the shown moment.
    pub fn fault(&self, fault: Fault) {
        client::command(self.id, Command::Fault(fault));
    }
    /// `kubectl delete` at the shown moment.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let (kind, namespace, name) = (kind.into(), namespace.into(), name.into());
        client::command(self.id, Command::Delete { kind, namespace, name });
    }

    /// Stops time.
    pub fn pause(&self) {
        self.set_playing(false);
    }
    /// The one or the other.
    pub fn toggle(&self) {
        self.set_playing(!self.playing.get_untracked());
    }
    fn set_playing(&self, playing: bool) {
        if self.notice.get_untracked() == Some(Notice::Hidden) {
            self.writers.notice.set(None);
        }
        self.writers.playing.set(playing);
        with_run(self.id, |run| run.clock.playing = playing);
        pump::wake();
    }
    /// Stops time and goes a frame (50 ms) further.
    pub fn step(&self) {
        self.pause();
        if let Some(to) = with_run(self.id, |run| run.next_step()) {
            self.seek(to);
        }
    }
    /// Goes back to what a person did last, or to the start.
    pub fn back(&self) {
        if let Some(to) = with_run(self.id, |run| run.previous()) {
            self.seek(to);
        }
    }
    /// Shows another moment.
    pub fn seek(&self, to: Time) {
        client::seek(self.id, to);
    }
    /// The moment that was asked for last; the page may not show it yet.
    pub fn asked_time(&self) -> Time {
        with_run(self.id, |run| run.clock.view()).unwrap_or_else(|| self.view_time.get_untracked())
    }
    /// Simulated seconds in a second, 0.1 to 100.
    pub fn set_speed(&self, speed: f64) {
        let speed = speed.clamp(0.1, 100.0);
        self.writers.speed.set(speed);
        with_run(self.id, |run| {
            run.clock.speed = speed;
            run.touch();
        });
        pump::wake();
    }

    /// The kube-proxy of a node gets another mode at the shown moment.
    pub fn set_proxy_mode(&self, node: String, mode: ProxyMode) {
        client::command(self.id, Command::SetProxyMode { node, mode });
    }
    /// A node's rules at the shown moment.
    pub async fn rules(&self, node: String) -> Option<Box<RulesView>> {
        client::rules(self.id, self.asked_time(), node).await
    }
    /// What has been done, for storage.
    pub fn commands(&self) -> Vec<Recorded> {
        with_run(self.id, |run| run.commands.clone()).unwrap_or_default()
    }
    /// Opens the panel of a Pod, Service, node or client on the stage; None closes it.
    pub fn focus_on(&self, thing: Option<Id>) {
        self.writers.focus.set(thing);
    }
    /// Asks why.
    pub fn ask(&self, question: Question) {
        self.writers.asked.set(Some(question));
    }
    /// The notice was read.
    pub fn dismiss_notice(&self) {
        self.writers.notice.set(None);
    }
}
