//! One cluster as the page follows it: its clock, what was told of it, and the signals that show it.

use super::clock::Clock;
use super::scene::Scene;
use super::store::FrameStore;
use super::{Applied, EngineStatus, Notice, OpenOptions, Opened};
use lab_base::{Span, Time};
use lab_protocol::{ClusterId, Command, Diagnostic, Frame, Mark, MarkKind, Recorded, Request, TaskReport};
use leptos::prelude::*;
use std::sync::Arc;

/// The signals of a cluster, for writing.
#[derive(Clone, Copy)]
pub struct Writers {
    pub scene: RwSignal<Arc<Scene>>,
    pub view_time: RwSignal<Time>,
    pub horizon: RwSignal<Time>,
    pub playing: RwSignal<bool>,
    pub speed: RwSignal<f64>,
    pub marks: RwSignal<Arc<Vec<Mark>>>,
    pub tasks: RwSignal<Vec<TaskReport>>,
    pub applied: RwSignal<Option<Applied>>,
    pub opened: RwSignal<Option<Opened>>,
    pub status: RwSignal<EngineStatus>,
    pub notice: RwSignal<Option<Notice>>,
    pub charts: RwSignal<u64>,
    pub commands: RwSignal<u64>,
    pub focus: RwSignal<Option<lab_protocol::Id>>,
    pub asked: RwSignal<Option<super::Question>>,
}

impl Writers {
    pub fn new() -> Writers {
        Writers {
            scene: RwSignal::default(),
            view_time: RwSignal::default(),
            horizon: RwSignal::default(),
            playing: RwSignal::new(false),
            speed: RwSignal::new(1.0),
            marks: RwSignal::default(),
            tasks: RwSignal::default(),
            applied: RwSignal::new(None),
            opened: RwSignal::new(None),
            status: RwSignal::new(EngineStatus::Starting),
            notice: RwSignal::new(None),
            charts: RwSignal::new(0),
            commands: RwSignal::new(0),
            focus: RwSignal::new(None),
            asked: RwSignal::new(None),
        }
    }
}

/// How long the engine may think about an answer before it is taken for dead, in milliseconds.
pub const PATIENCE: f64 = 10_000.0;

/// A cluster of the engine.
pub struct Run {
    pub id: ClusterId,
    pub options: OpenOptions,
    pub commands: Vec<Recorded>,
    pub store: FrameStore,
    pub clock: Clock,
    pub signals: Writers,
    epoch: u32,
    /// `Open` was sent, `Opened` hasn't come.
    opening: bool,
    /// The next frames are those after `Open`, whatever their epoch.
    fresh: bool,
    /// Since when an answer with frames is outstanding.
    asked: Option<f64>,
    /// Since when a command or seek is outstanding: the shown moment stands still for it.
    held: Option<Hold>,
    /// The latest moment that was shown since the last command: what was solved by then stays solved.
    seen: Time,
    /// What must be shown anew.
    dirty: bool,
    /// Wakes it when the tab is seen again.
    pub asleep: bool,
    applied: u64,
    shown_marks: (u64, Time),
    shown_charts: (u64, u32),
}

#[derive(Clone, Copy, PartialEq)]
enum Hold {
    Command,
    Seek,
}

impl Run {
    pub fn new(id: ClusterId, options: OpenOptions, signals: Writers) -> Run {
        let mut clock = Clock::default();
        clock.playing = options.autoplay;
        clock.set(options.at);
        Run {
            id,
            commands: options.commands.clone(),
            options,
            store: FrameStore::default(),
            clock,
            signals,
            epoch: 0,
            opening: false,
            fresh: false,
            asked: None,
            held: None,
            seen: Time::ZERO,
            dirty: true,
            asleep: false,
            applied: 0,
            shown_marks: (0, Time::ZERO),
            shown_charts: (0, 0),
        }
    }

    /// The request that makes this cluster, with all that was done in it, at the moment that is shown.
    pub fn open_request(&mut self, now: f64) -> Request {
        self.opening = true;
        self.fresh = true;
        self.held = None;
        self.asked = Some(now);
        Request::Open {
            cluster: self.id,
            scenario: self.options.scenario.clone(),
            seed: self.options.seed,
            lesson: self.options.lesson.clone(),
            solved: self.options.solved.clone(),
            commands: self.commands.clone(),
            at: self.clock.view(),
            hooks: self.options.hooks,
        }
    }

    /// Since when it waits for the engine.
    pub fn waits_since(&self) -> Option<f64> {
        self.asked
    }

    pub fn opened(&mut self, opened: Opened) {
        self.opening = false;
        self.signals.opened.set(Some(opened));
        self.signals.status.set(EngineStatus::Running);
        self.dirty = true;
    }

    pub fn failed(&mut self, diagnostics: Vec<Diagnostic>) {
        self.opening = false;
        self.asked = None;
        self.clock.playing = false;
        self.signals.playing.set(false);
        self.signals.status.set(EngineStatus::Failed(diagnostics));
    }

    /// Takes in frames; those of another epoch are not for it.
    pub fn frames(&mut self, epoch: u32, frames: &[Frame], reached: Time) {
        let keyed = frames.first().is_some_and(|f| f.key);
        if self.opening || (self.fresh && !keyed) || (!self.fresh && epoch != self.epoch) {
            return;
        }
        let branch = self.fresh || self.held != Some(Hold::Seek);
        self.fresh = false;
        self.epoch = epoch;
        self.asked = None;
        self.held = None;
        self.store.take(frames, reached, keyed && branch);
        self.dirty = true;
    }

    pub fn done(&mut self, recorded: Option<Recorded>, results: Vec<String>, diagnostics: Vec<Diagnostic>) {
        if let Some(recorded) = recorded {
            self.commands.retain(|c| c.at <= recorded.at && c.seq != recorded.seq);
            self.commands.push(recorded);
            self.signals.commands.update(|n| *n += 1);
        }
        self.applied += 1;
        self.signals.applied.set(Some(Applied { serial: self.applied, results, diagnostics }));
    }

    pub fn command(&mut self, command: Command, now: f64) -> Request {
        self.epoch += 1;
        self.held = Some(Hold::Command);
        self.asked = Some(now);
        let at = self.clock.view();
        let seen = core::mem::replace(&mut self.seen, at).max(at);
        self.signals.horizon.set(at);
        Request::Do { cluster: self.id, epoch: self.epoch, at, command, seen }
    }

    /// Shows another moment; asks the engine only when it isn't kept.
    pub fn seek(&mut self, to: Time, now: f64) -> Option<Request> {
        self.seen = self.seen.max(self.clock.view());
        self.clock.set(to);
        self.dirty = true;
        if to >= self.store.first() && to <= self.store.reached() && !self.store.is_empty() {
            return None;
        }
        self.epoch += 1;
        self.held = Some(Hold::Seek);
        self.asked = Some(now);
        Some(Request::Seek { cluster: self.id, epoch: self.epoch, to, seen: self.seen })
    }

    /// What to ask the engine now, if anything.
    pub fn ask(&mut self, now: f64) -> Option<Request> {
        if self.opening || self.asked.is_some() || self.store.is_empty() {
            return None;
        }
        if matches!(self.signals.status.get_untracked(), EngineStatus::Failed(_)) {
            return None;
        }
        let to = self.clock.wanted(self.store.reached())?;
        self.asked = Some(now);
        let step = self.clock.frame_step();
        Some(Request::Advance { cluster: self.id, epoch: self.epoch, to, step })
    }

    /// Lets wall time pass and shows what is new. Tells whether anything changed.
    pub fn tick(&mut self, wall_ms: f64) -> bool {
        let held = self.held.is_some() || self.opening;
        let moved = !held && self.clock.pass(wall_ms, self.store.reached());
        if !moved && !self.dirty {
            return false;
        }
        self.dirty = false;
        self.show();
        true
    }

    /// Whether frames are to be drawn on and on.
    pub fn running(&self) -> bool {
        self.clock.playing && !self.asleep
    }

    /// Must be shown anew.
    pub fn touch(&mut self) {
        self.dirty = true;
    }

    fn show(&mut self) {
        let s = self.signals;
        let view = self.clock.view();
        if s.view_time.get_untracked() != view {
            s.view_time.set(view);
        }
        let horizon = s.horizon.get_untracked().max(view);
        if s.horizon.get_untracked() != horizon {
            s.horizon.set(horizon);
        }
        if let Some(scene) = self.store.scene(view)
            && !Arc::ptr_eq(&scene, &s.scene.get_untracked())
        {
            s.scene.set(scene);
            let solved: Vec<TaskReport> =
                s.tasks.get_untracked().into_iter().filter(|t| t.solved_at.is_some()).collect();
            let tasks = self.store.tasks(view, &solved);
            if tasks != s.tasks.get_untracked() {
                s.tasks.set(tasks);
            }
        }
        if self.shown_marks.0 != self.store.marks_version || self.shown_marks.1 != horizon {
            self.shown_marks = (self.store.marks_version, horizon);
            let marks = self.store.marks(horizon);
            let old = s.marks.get_untracked();
            if old.len() != marks.len() || old.last() != marks.last() {
                s.marks.set(Arc::new(marks));
            }
        }
        let tick = (view.as_micros() / 500_000) as u32;
        if self.shown_charts != (self.store.chart_version, tick) {
            let old = self.shown_charts;
            self.shown_charts = (self.store.chart_version, tick);
            if old.1 != tick || !self.clock.playing {
                s.charts.update(|n| *n += 1);
            }
        }
    }

    /// The moment that `step` leads to: a frame further.
    pub fn next_step(&self) -> Time {
        let frame = 50_000;
        Time::from_micros((self.clock.view().as_micros() / frame + 1) * frame)
    }

    /// The moment that `back` leads to: what a person did last before the shown moment, or the start.
    pub fn previous(&self) -> Time {
        let view = self.clock.view() - Span::from_millis(if self.clock.playing { 700 } else { 1 });
        let deeds = self.store.marks(view);
        let last = deeds.iter().rev().find(|m| matches!(m.kind, MarkKind::Apply | MarkKind::Fault));
        last.map_or(Time::ZERO, |m| m.at)
    }
}
