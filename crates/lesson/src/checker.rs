//! Ticks tasks as simulated time goes by.

use crate::check::{Check, What};
use crate::facts::Facts;
use crate::judge::{Range, Verdict, judge};
use crate::spec::LessonSpec;
use crate::values::seconds;
use lab_base::{Span, Time};
use lab_protocol::{Finding, Phrase, TaskReport};
use std::sync::Arc;

/// A lesson's tasks and how they stand. A clone shares what doesn't change, so it can be part of
/// every snapshot of a run.
///
/// Call [`Checker::step`] at equal distances of simulated time. To replay a run, start from
/// `Checker::new(spec, &[])`, step it through the replay (what was solved then is solved again, at
/// the same times) and call [`Checker::keep`] at its end with what else was solved. After going back
/// in time, call `keep` with what [`Checker::solved`] said before: a solved task stays solved.
#[derive(Clone, Debug)]
pub struct Checker {
    rules: Arc<[TaskRules]>,
    tasks: Vec<TaskState>,
}

#[derive(Debug)]
struct TaskRules {
    id: String,
    /// Indices of the tasks that come before.
    after: Vec<usize>,
    checks: Vec<Check>,
    /// For each check the index of the one whose holding starts it.
    since: Vec<Option<usize>>,
}

#[derive(Clone, Debug)]
struct TaskState {
    began: Option<Time>,
    solved_at: Option<Time>,
    finding: Option<Arc<Finding>>,
    /// The first check that didn't hold when it was looked at last.
    failing: Option<usize>,
    checks: Vec<CheckState>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct CheckState {
    /// Where its time starts.
    anchor: Time,
    /// Since when it holds.
    held: Option<Time>,
    /// It held, and `once` is enough.
    latched: bool,
    /// What ended it for this anchor (`during`, `never`).
    broken: Option<Arc<Finding>>,
}

impl Checker {
    /// The tasks of a lesson at the start of a run. Those of `solved` are solved already.
    pub fn new(spec: &LessonSpec, solved: &[String]) -> Checker {
        let place = |id: &String| spec.tasks.iter().position(|t| t.id == *id);
        let rules: Vec<TaskRules> = spec
            .tasks
            .iter()
            .map(|t| TaskRules {
                id: t.id.clone(),
                after: t.after.iter().filter_map(place).collect(),
                since: t
                    .checks
                    .iter()
                    .map(|c| c.window.since.as_ref().and_then(|id| t.checks.iter().position(|o| o.id == *id)))
                    .collect(),
                checks: t.checks.clone(),
            })
            .collect();
        let state = |t: &TaskRules| TaskState {
            began: None,
            solved_at: solved.contains(&t.id).then_some(Time::ZERO),
            finding: None,
            failing: None,
            checks: vec![CheckState::default(); t.checks.len()],
        };
        let mut checker = Checker { tasks: rules.iter().map(state).collect(), rules: rules.into() };
        checker.begin(Time::ZERO);
        checker
    }

    /// Tasks that are solved, and when.
    pub fn solved(&self) -> Vec<(String, Time)> {
        let pairs = self.rules.iter().zip(&self.tasks);
        pairs.filter_map(|(r, t)| t.solved_at.map(|at| (r.id.clone(), at))).collect()
    }

    /// Takes these as solved, whatever this run says. Tasks after them begin at the next step.
    pub fn keep(&mut self, solved: &[(String, Time)]) {
        for (rules, task) in self.rules.iter().zip(&mut self.tasks) {
            let at = solved.iter().find(|(id, _)| *id == rules.id).map(|(_, at)| *at);
            if task.solved_at.is_none() && at.is_some() {
                task.solved_at = at;
                task.finding = None;
            }
        }
    }

    /// Whether there is nothing left to look for.
    pub fn all_solved(&self) -> bool {
        self.tasks.iter().all(|t| t.solved_at.is_some())
    }

    /// How every task stands.
    pub fn reports(&self) -> Vec<TaskReport> {
        (0..self.tasks.len()).map(|i| self.report(i)).collect()
    }

    /// The check by which an unsolved task fails, as its author named it. For `lesson check`.
    pub fn failing(&self, task: &str) -> Option<&str> {
        let i = self.rules.iter().position(|r| r.id == task)?;
        if self.tasks[i].solved_at.is_some() {
            return None;
        }
        self.tasks[i].failing.map(|k| self.rules[i].checks[k].id.as_str())
    }

    /// Looks at the cluster and tells how tasks stand whose state or finding is another than before.
    pub fn step(&mut self, facts: &dyn Facts) -> Vec<TaskReport> {
        let now = facts.now();
        let mut changed = Vec::new();
        for i in 0..self.tasks.len() {
            self.begin(now);
            if self.tasks[i].solved_at.is_some() {
                continue;
            }
            let finding = match self.tasks[i].began {
                Some(began) => self.look(i, began, facts),
                None => Some(self.waits(i, now)),
            };
            let task = &mut self.tasks[i];
            let same = |a: &Finding, b: &Finding| a.expected == b.expected && a.seen == b.seen;
            match finding {
                None => task.solved_at = Some(now),
                Some(f) if task.finding.as_ref().is_some_and(|old| same(old, &f)) => continue,
                Some(_) => {}
            }
            task.finding = finding.filter(|_| task.solved_at.is_none()).map(Arc::new);
            changed.push(self.report(i));
        }
        changed
    }

    fn report(&self, i: usize) -> TaskReport {
        let task = &self.tasks[i];
        TaskReport {
            id: self.rules[i].id.clone(),
            solved_at: task.solved_at,
            finding: task.finding.as_deref().cloned(),
        }
    }

    /// Begins the tasks whose predecessors are solved.
    fn begin(&mut self, now: Time) {
        for i in 0..self.tasks.len() {
            if self.tasks[i].began.is_none() && self.rules[i].after.iter().all(|k| self.tasks[*k].solved_at.is_some()) {
                self.tasks[i].began = Some(now);
            }
        }
    }

    fn waits(&self, i: usize, at: Time) -> Finding {
        let open = self.rules[i].after.iter().find(|k| self.tasks[**k].solved_at.is_none());
        let expected = Phrase::new("check-expected-earlier").with("task", open.map_or(0, |k| k + 1));
        Finding { expected, seen: Phrase::new("check-seen-not-yet"), at }
    }

    /// The first check that doesn't hold. Those after it start anew.
    fn look(&mut self, i: usize, began: Time, facts: &dyn Facts) -> Option<Finding> {
        let TaskState { checks: states, failing, .. } = &mut self.tasks[i];
        let rules = &self.rules[i];
        for k in 0..rules.checks.len() {
            let anchor = rules.since[k].and_then(|s| states[s].held).unwrap_or(began);
            if let Some(finding) = states[k].look(&rules.checks[k], anchor, facts) {
                for later in &mut states[k + 1..] {
                    if !later.latched {
                        *later = CheckState::default();
                    }
                }
                *failing = Some(k);
                return Some(finding);
            }
        }
        *failing = None;
        None
    }
}

impl CheckState {
    /// None: it holds.
    fn look(&mut self, check: &Check, anchor: Time, facts: &dyn Facts) -> Option<Finding> {
        if self.latched {
            return None;
        }
        if self.anchor != anchor {
            *self = CheckState { anchor, ..CheckState::default() };
        }
        let finding = match check.window.during {
            Some(length) => self.throughout(check, length, facts),
            None => self.now(check, facts),
        };
        self.latched = check.window.once && finding.is_none();
        finding
    }

    /// `for`, `within`, `last`, or just now.
    fn now(&mut self, check: &Check, facts: &dyn Facts) -> Option<Finding> {
        let (now, window) = (facts.now(), &check.window);
        let from = window.last.map_or(self.anchor, |last| self.anchor.max(now - last));
        let verdict = judge(&check.what, facts, Range { from, to: now, last: window.last });
        if !verdict.ok {
            self.held = None;
            return Some(verdict.finding(now));
        }
        let passed = now.since(self.anchor);
        if let Some(last) = window.last.filter(|last| passed < *last) {
            self.held = None;
            return Some(verdict.because("check-seen-so-far", passed, last, now));
        }
        let since = verdict.at.or(self.held).unwrap_or(now);
        self.held = Some(since);
        if let Some(limit) = window.within.filter(|limit| since > self.anchor + *limit) {
            self.held = None;
            return Some(verdict.because("check-seen-too-late", since.since(self.anchor), limit, now));
        }
        let hold = window.hold.filter(|hold| now.since(since) < *hold)?;
        Some(verdict.because("check-seen-holds-for", now.since(since), hold, now))
    }

    /// `during`, `never`.
    fn throughout(&mut self, check: &Check, length: Span, facts: &dyn Facts) -> Option<Finding> {
        if self.held.is_some() {
            return None;
        }
        if let Some(broken) = &self.broken {
            return Some(Finding::clone(broken));
        }
        let (now, end) = (facts.now(), self.anchor + length);
        let over = now >= end;
        let verdict = judge(&check.what, facts, Range { from: self.anchor, to: now.min(end), last: None });
        // Numbers of requests and deeds add up, so only their end counts, or more than was allowed.
        let adds_up = matches!(check.what, What::Requests(_) | What::Shares(_) | What::Command(_));
        if !verdict.ok && (over || verdict.over || !adds_up) {
            let finding = verdict.finding(now);
            self.broken = Some(Arc::new(finding.clone()));
            return Some(finding);
        }
        if !over {
            return Some(verdict.because("check-seen-so-far", now.since(self.anchor), length, now));
        }
        self.held = Some(end);
        None
    }
}

impl Verdict {
    fn finding(self, at: Time) -> Finding {
        Finding { expected: self.expected, seen: self.seen, at }
    }
    fn because(self, id: &str, passed: Span, of: Span, at: Time) -> Finding {
        let seen = Phrase::new(id).with("seconds", seconds(passed)).with("of", seconds(of));
        Finding { expected: self.expected, seen, at }
    }
}
