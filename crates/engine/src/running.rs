//! One cluster as the page runs it: its timeline, its lesson's checks, and the frames that were told.

use cluster::{Cluster, FrameMaker, Recording, Timeline, diagnostic};
use lab_base::{Span, Time};
use lab_protocol::{
    Change, ClusterId, Command, Diagnostic, Failover, Fault, Frame, Recorded, Reply, RulesView, Story, TaskReport,
};
use lesson::{Checker, Checks};

/// Events after which an answer is given even if the goal isn't reached, so that a message never blocks for long.
const EVENTS_PER_ANSWER: u64 = 20_000;
/// Frames in one answer.
const FRAMES_PER_ANSWER: usize = 400;

pub(crate) struct Running {
    timeline: Timeline<Checks>,
    frames: FrameMaker,
    hooks: bool,
    /// Tasks that were solved, in whichever future: a solved task stays solved when one goes back.
    solved: Vec<(String, Time)>,
}

impl Running {
    pub(crate) fn open(
        scenario: &str,
        seed: Option<u64>,
        lesson: &str,
        solved: &[String],
        commands: Vec<Recorded>,
        at: Time,
        hooks: bool,
    ) -> (Running, Vec<Diagnostic>) {
        // A broken lesson file is told by ReadLesson; the cluster runs all the same.
        let checks =
            Checks(lesson::lesson(lesson).ok().filter(|_| !lesson.is_empty()).map(|spec| Checker::new(&spec, &[])));
        let (timeline, mistakes, refused) = Timeline::new(scenario, seed, checks);
        let mut diagnostics: Vec<Diagnostic> = mistakes.iter().map(diagnostic).collect();
        diagnostics.extend(refused.into_iter().map(|message| Diagnostic {
            line: 1,
            column: 1,
            length: 1,
            error: true,
            path: String::new(),
            message,
            phrase: None,
        }));
        let mut running = Running { timeline, frames: FrameMaker::default(), hooks, solved: Vec::new() };
        let commands = commands.into_iter().filter(|c| hooks || !is_hook(&c.command)).collect();
        running.timeline.set_commands(commands);
        running.timeline.seek(at);
        running.solved = solved.iter().map(|id| (id.clone(), Time::ZERO)).collect();
        running.restore_solved();
        (running, diagnostics)
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        self.timeline.cluster()
    }

    pub(crate) fn compare(&self, yaml: &str, at: Time) -> Vec<Change> {
        self.at(at).compare(yaml)
    }

    /// The cluster at a moment that has been.
    pub(crate) fn at(&self, at: Time) -> Cluster {
        self.timeline.cluster_at(at)
    }

    pub(crate) fn why(&self, request: u64, sent: Time, modes: bool) -> Option<Story> {
        self.timeline.why(request, sent, modes)
    }

    /// As they were known at a moment; one that is now or to come costs nothing more.
    pub(crate) fn failovers(&self, at: Time) -> Vec<Failover> {
        if at >= self.cluster().now() {
            return self.cluster().facts().failovers().views();
        }
        self.at(at).facts().failovers().views()
    }

    pub(crate) fn rules(&self, node: &str, at: Time) -> RulesView {
        self.timeline.rules(node, at)
    }

    pub(crate) fn has_hooks(&self) -> bool {
        self.hooks
    }

    pub(crate) fn recording(&self) -> Recording {
        self.timeline.recording()
    }

    /// Remembers what was solved by `seen`, the latest moment that was shown (the engine runs ahead of it), and lets what was
    /// solved in another future be solved.
    fn keep_solved(&mut self, seen: Time) {
        for (id, at) in self.solved_now().into_iter().filter(|(_, at)| *at <= seen) {
            if !self.solved.iter().any(|(other, _)| *other == id) {
                self.solved.push((id, at));
            }
        }
    }

    /// A solved task stays solved when one goes back.
    fn restore_solved(&mut self) {
        let solved = self.solved.clone();
        if let Some(checker) = &mut self.timeline.observer_mut().0 {
            checker.keep(&solved);
        }
    }

    fn solved_now(&self) -> Vec<(String, Time)> {
        self.timeline.observer().0.as_ref().map(Checker::solved).unwrap_or_default()
    }

    fn reports(&self) -> Vec<TaskReport> {
        self.timeline.observer().0.as_ref().map(Checker::reports).unwrap_or_default()
    }

    fn frame(&mut self, key: bool) -> Frame {
        let reports = self.reports();
        self.frames.frame(self.timeline.cluster_mut(), key, &reports)
    }

    pub(crate) fn key_frame(&mut self, cluster: ClusterId, epoch: u32) -> Reply {
        let frame = self.frame(true);
        Reply::Frames { cluster, epoch, reached: frame.at, frames: vec![frame] }
    }

    pub(crate) fn advance(&mut self, cluster: ClusterId, epoch: u32, to: Time, step: Span) -> Reply {
        let step = step.as_micros().max(1_000);
        let mut budget = EVENTS_PER_ANSWER;
        let mut frames = Vec::new();
        while self.timeline.cluster().now() < to && frames.len() < FRAMES_PER_ANSWER {
            let now = self.timeline.cluster().now().as_micros();
            let next = Time::from_micros((now / step + 1) * step).min(to);
            if !self.timeline.advance(next, &mut budget) {
                break;
            }
            frames.push(self.frame(false));
        }
        Reply::Frames { cluster, epoch, frames, reached: self.timeline.cluster().now() }
    }

    pub(crate) fn seek(&mut self, to: Time, seen: Time) {
        self.keep_solved(seen);
        self.timeline.seek(to);
        self.restore_solved();
    }

    pub(crate) fn execute(&mut self, cluster: ClusterId, at: Time, command: Command, seen: Time) -> Reply {
        self.keep_solved(seen);
        if is_hook(&command) && !self.hooks {
            return Reply::Done { cluster, recorded: None, results: Vec::new(), diagnostics: Vec::new() };
        }
        let (recorded, applied) = self.timeline.execute_at(at, command);
        self.restore_solved();
        Reply::Done { cluster, recorded, results: applied.results, diagnostics: applied.diagnostics }
    }
}

fn is_hook(command: &Command) -> bool {
    matches!(command, Command::Fault(Fault::RemoveRule { .. }))
}
