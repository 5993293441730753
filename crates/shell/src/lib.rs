//! kubectl and the tools of nodes and Pods: (cluster, command line) -> output.
//!
//! A [`Job`] is a command that was typed. It looks at the cluster and changes it through [`Api`], by commands that are
//! recorded, and tells what it prints, with standard output and standard error apart. What takes time in the cluster
//! (`rollout status`, `get -w`, `curl`) waits: the caller lets the simulation run on and polls the job again.
#![forbid(unsafe_code)]

mod columns;
mod describe;

mod filter;
mod flags;
mod human;
mod item;
mod kubectl;
mod order;
mod print;
mod resource;
mod select;
mod table;
mod tabwriter;
mod tools;
mod words;

use cluster::{Applied, Cluster};
use kube_api::assist::Reference;
use lab_base::Time;
use lab_protocol::Command;

/// What a command acts on: a cluster in its run, and the files around.
pub trait Api {
    /// The cluster at the present moment.
    fn cluster(&self) -> &Cluster;
    /// Does something now, and records it if it had an effect.
    fn execute(&mut self, command: Command) -> Applied;
    /// The text of a file (`kubectl apply -f FILE`); `-` is what was given on standard input.
    fn file(&self, name: &str) -> Option<String>;
    /// What fields mean (`kubectl explain`), once it has been loaded.
    fn reference(&self) -> Option<&Reference> {
        None
    }
}

/// What a command has printed since it was last polled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How it ended; None: it goes on.
    pub code: Option<i32>,
    /// A text to edit (`kubectl edit`): hand it back with [`Job::edited`].
    pub edit: Option<String>,
}

/// Goes on with a command that waits for something. Some: the code it ended with.
pub(crate) type Waiting = Box<dyn FnMut(&mut World<'_>) -> Option<i32>>;

/// How far a command has come.
pub(crate) enum Step {
    /// It has ended.
    Done(i32),
    /// It goes on later.
    Waiting(Waiting),
}

/// What a command sees while it runs.
pub(crate) struct World<'a> {
    pub api: &'a mut dyn Api,
    pub out: &'a mut Output,
    /// The text that came back from an editor.
    pub edited: Option<String>,
}

impl World<'_> {
    pub fn cluster(&self) -> &Cluster {
        self.api.cluster()
    }
    pub fn now(&self) -> Time {
        self.api.cluster().now()
    }
    /// A line on standard output.
    pub fn say(&mut self, line: &str) {
        self.out.stdout.push_str(line);
        self.out.stdout.push('\n');
    }
    /// A line on standard error.
    pub fn complain(&mut self, line: &str) {
        self.out.stderr.push_str(line);
        self.out.stderr.push('\n');
    }
    /// A warning of the server: each is told once (`NewWarningWriter` with `Deduplicate`).
    pub fn warn(&mut self, message: &str) {
        let line = format!("Warning: {message}");
        if !self.out.stderr.lines().any(|l| l == line) {
            self.complain(&line);
        }
    }
    /// A line on standard error, and the end.
    pub fn fail(&mut self, line: &str) -> Step {
        self.complain(line);
        Step::Done(1)
    }
}

/// A command that was typed.
pub struct Job {
    words: Vec<String>,
    filters: Vec<filter::Filter>,
    waiting: Option<Waiting>,
    edited: Option<String>,
    begun: bool,
    code: Option<i32>,
}

impl Job {
    /// A line as one types it: quotes, escapes, pipes.
    ///
    /// # Errors
    /// What a shell says to a line that it can't read; exit code 2.
    pub fn of_line(line: &str) -> Result<Job, String> {
        let mut commands = words::split(line)?.commands.into_iter();
        let words = commands.next().unwrap_or_default();
        let filters = commands.map(|c| filter::Filter::new(&c)).collect::<Result<_, _>>()?;
        Ok(Job { filters, ..Job::of_words(words) })
    }

    /// Words that have been split already.
    pub fn of_words(words: Vec<String>) -> Job {
        Job { words, filters: Vec::new(), waiting: None, edited: None, begun: false, code: None }
    }

    /// Goes on as far as it can at the present moment.
    pub fn poll(&mut self, api: &mut dyn Api) -> Output {
        let mut out = Output::default();
        if self.code.is_some() {
            return Output { code: self.code, ..out };
        }
        let mut world = World { api, out: &mut out, edited: self.edited.take() };
        if !self.begun {
            self.begun = true;
            match run(&mut world, &self.words) {
                Step::Done(code) => self.code = Some(code),
                Step::Waiting(next) => self.waiting = Some(next),
            }
        } else if let Some(next) = &mut self.waiting {
            self.code = next(&mut world);
        }
        if self.code.is_some() {
            self.waiting = None;
        }
        for filter in &mut self.filters {
            let (text, code) = filter.pass(&out.stdout, self.code.is_some());
            out.stdout = text;
            self.code = self.code.map(|_| code);
        }
        out.code = self.code;
        out
    }

    /// Hands an edited text back to `kubectl edit`; the next poll goes on with it.
    pub fn edited(&mut self, text: String) {
        self.edited = Some(text);
    }

    /// Ctrl+C.
    pub fn interrupt(&mut self) {
        self.waiting = None;
        self.code.get_or_insert(130);
    }
}

fn run(world: &mut World<'_>, words: &[String]) -> Step {
    let Some((name, rest)) = words.split_first() else { return Step::Done(0) };
    match name.as_str() {
        "kubectl" | "k" => kubectl::run(world, rest),
        "node" | "ssh" => tools::on_node(world, name, rest),
        "clear" | "true" | ":" => Step::Done(0),
        _ => {
            world.complain(&format!("bash: {name}: command not found"));
            Step::Done(127)
        }
    }
}
