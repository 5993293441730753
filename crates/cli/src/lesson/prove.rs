//! A lesson's promises, kept in a run: it starts unsolved and stays so, solutions and alternatives
//! solve, wrong answers get their own finding.

use super::say;
use cluster::{Cluster, Scenario};
use kube_api::Pod;
use lab_base::{Span, Time};
use lab_protocol::{Command, PodRef, TaskReport};
use lesson::{Checker, LessonSpec, Step, TaskSpec, Wrong};
use std::collections::BTreeMap;

/// How long nothing may be solved when nobody does anything.
const UNTOUCHED: Span = Span::from_secs(600);
/// How often the checks look, as in the page.
const LOOK: Span = Span::from_millis(100);
/// How long a solution may take after its last step.
const PATIENCE: Span = Span::from_secs(60);
/// When the learner begins, and how long a wrong answer is given when it doesn't say.
const BEGIN: Span = Span::from_secs(5);
const WRONG: Span = Span::from_secs(20);

/// How long each solution took, in words.
///
/// # Errors
/// One line for each promise that isn't kept, without its file.
pub fn prove(spec: &LessonSpec, files: &BTreeMap<String, String>) -> Result<String, Vec<String>> {
    let (scenario, diagnostics) = Scenario::parse(&files["start.yaml"]);
    let mut out: Vec<String> =
        diagnostics.iter().map(|d| format!("start.yaml:{}:{}: {}", d.span.line, d.span.column, d.message)).collect();
    let mut bench = Bench::new(&scenario, spec, None, files);
    out.extend(bench.refused.iter().map(|why| format!("start.yaml: {why}")));
    if !out.is_empty() {
        return Err(out);
    }
    let mut untouched = bench.clone();
    untouched.run(UNTOUCHED, |_| false);
    for (task, at) in untouched.checker.solved() {
        out.push(format!("task `{task}` is solved at {at} though nobody did anything"));
    }
    if !out.is_empty() {
        return Err(out);
    }
    bench.run(BEGIN, |_| false);
    let took = walk(spec, bench, true, &mut out);
    // Chance must not decide: the same solutions with other luck.
    for seed in [1, 2, 3] {
        if out.is_empty() {
            let mut bench = Bench::new(&scenario, spec, Some(seed), files);
            bench.run(BEGIN, |_| false);
            walk(spec, bench, false, &mut out);
            out.iter_mut().for_each(|line| line.push_str(&format!(" (with seed {seed})")));
        }
    }
    if out.is_empty() { Ok(took) } else { Err(out) }
}

/// Goes through the tasks by their solutions; at each task it looks at the other answers, too.
fn walk(spec: &LessonSpec, mut bench: Bench<'_>, others: bool, out: &mut Vec<String>) -> String {
    let mut took = Vec::new();
    for (i, task) in spec.tasks.iter().enumerate() {
        if others {
            for (n, wrong) in task.wrong.iter().enumerate() {
                out.extend(bench.clone().wrong(task, n + 1, wrong));
            }
            for (n, steps) in task.alternatives.iter().enumerate() {
                out.extend(bench.clone().solve(task, &format!("alternative {}", n + 1), steps));
            }
        }
        let begin = bench.cluster.now();
        if let Some(why) = bench.solve(task, "the solution", &task.solution) {
            out.push(why);
            break;
        }
        let solved = bench.report(&task.id).and_then(|r| r.solved_at).unwrap_or(begin);
        took.push(format!("{} {}", task.id, solved.since(begin)));
        for later in spec.tasks[i + 1..].iter().filter(|t| bench.is_solved(&t.id)) {
            out.push(format!("task `{}` is solved by the solution of `{}`", later.id, task.id));
        }
    }
    took.join(", ")
}

/// A cluster and the checks that look at it.
#[derive(Clone)]
struct Bench<'a> {
    cluster: Cluster,
    checker: Checker,
    files: &'a BTreeMap<String, String>,
    refused: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(
        scenario: &Scenario,
        spec: &LessonSpec,
        seed: Option<u64>,
        files: &'a BTreeMap<String, String>,
    ) -> Bench<'a> {
        let (cluster, refused) = Cluster::new(scenario, seed);
        Bench { cluster, checker: Checker::new(spec, &[]), files, refused }
    }

    fn is_solved(&self, task: &str) -> bool {
        self.checker.solved().iter().any(|(id, _)| id == task)
    }

    fn report(&self, task: &str) -> Option<TaskReport> {
        self.checker.reports().into_iter().find(|r| r.id == task)
    }

    /// Runs on for a time, or until something is so.
    fn run(&mut self, length: Span, until: impl Fn(&Bench<'_>) -> bool) {
        let end = self.cluster.now() + length;
        while self.cluster.now() < end && !until(self) {
            let look = self.cluster.now().as_micros() / LOOK.as_micros() + 1;
            let next = Time::from_micros(look * LOOK.as_micros());
            self.cluster.run_until(next, &mut u64::MAX.clone());
            self.checker.step(&self.cluster);
            self.cluster.take_motions();
        }
    }

    /// The Pod that has an address.
    fn pod_at(&self, address: &str) -> Option<PodRef> {
        let pod = self.cluster.store().list::<Pod>().find(|p| p.status.pod_ip == address)?;
        let (namespace, name) = (pod.metadata.namespace.clone(), pod.metadata.name.clone());
        Some(PodRef::Named { namespace, name })
    }

    /// Does the steps. Tells what was refused.
    fn steps(&mut self, steps: &[Step]) -> Vec<String> {
        let mut refused = Vec::new();
        for step in steps {
            if let Step::Wait(length) = step {
                self.run(*length, |_| false);
            }
            if let Step::FaultAt(_, address) = step
                && self.pod_at(address).is_none()
            {
                refused.push(format!("no Pod has the address {address}"));
            }
            match step.command(|file| self.files.get(file).cloned(), |address| self.pod_at(address)) {
                Some(Command::Apply { yaml }) => {
                    let applied = self.cluster.apply_yaml(&yaml);
                    refused.extend(applied.diagnostics.into_iter().filter(|d| d.error).map(|d| {
                        let words = d.phrase.as_ref().map_or(d.message.clone(), say);
                        format!("line {}: {words}", d.line)
                    }));
                }
                Some(Command::Delete { kind, namespace, name }) => {
                    refused.extend(self.cluster.delete(&kind, &namespace, &name).err());
                }
                Some(Command::Fault(fault)) => {
                    let had_effect = self.cluster.inject(&fault);
                    refused.extend((!had_effect).then(|| format!("{fault:?} has no effect")));
                }
                // A lesson's steps are files, deletions and faults.
                Some(_) | None => {}
            }
        }
        refused
    }

    fn solve(&mut self, task: &TaskSpec, what: &str, steps: &[Step]) -> Option<String> {
        let id = &task.id;
        if let Some(why) = self.steps(steps).first() {
            return Some(format!("task `{id}`: {what} is refused: {why}"));
        }
        self.run(PATIENCE, |b| b.is_solved(id));
        let report = self.report(id).filter(|r| r.solved_at.is_none())?;
        Some(format!("task `{id}`: {what} doesn't solve it: {}", self.why(&report)))
    }

    fn wrong(mut self, task: &TaskSpec, n: usize, wrong: &Wrong) -> Option<String> {
        let id = &task.id;
        // What is refused is an answer, too.
        self.steps(&wrong.steps);
        if !wrong.steps.iter().any(|s| matches!(s, Step::Wait(_))) {
            self.run(WRONG, |_| false);
        }
        let report = self.report(id)?;
        let what = format!("task `{id}`: wrong answer {n}");
        let Some(finding) = &report.finding else {
            return Some(format!("{what} solves it"));
        };
        let failing = self.checker.failing(id).unwrap_or_default();
        let says = wrong.says.as_ref().is_none_or(|s| *s == finding.seen.id);
        (failing != wrong.finding || !says).then(|| {
            let wanted = wrong.says.as_ref().map_or(String::new(), |s| format!(" with `{s}`"));
            format!("{what} should fail check `{}`{wanted}; it gets {}", wrong.finding, self.why(&report))
        })
    }

    fn why(&self, report: &TaskReport) -> String {
        let failing = self.checker.failing(&report.id).unwrap_or("?");
        let words = report.finding.as_ref().map_or(String::new(), |f| {
            format!("expected: {}; seen: {} [{}]; at {}", say(&f.expected), say(&f.seen), f.seen.id, f.at)
        });
        format!("check `{failing}`: {words}")
    }
}
