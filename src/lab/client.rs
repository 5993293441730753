//! All clusters of the page and the engine behind them: what goes to the Worker, what comes from it, and what happens
//! when it dies.

use super::pump;
use super::run::{PATIENCE, Run, Writers};
use super::worker::EngineWorker;
use super::{EngineStatus, Notice, OpenOptions, Opened};
use lab_base::Time;
use lab_protocol::{Change, ClusterId, Command, Diagnostic, Fix, LessonView, Phrase, Reply, Request, RulesView};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use leptos::prelude::{GetUntracked, Set};

/// The engine may take this long to load and start, in milliseconds.
const START_PATIENCE: f64 = 90_000.0;
/// A cluster that has gone well for so long has got over its last accident, in milliseconds.
const WELL_AFTER: f64 = 8_000.0;

struct Ticket {
    request: Request,
    since: f64,
    tried: bool,
    answer: Box<dyn FnOnce(Option<Reply>)>,
}

/// The page's side of the engine.
#[derive(Default)]
pub struct Client {
    worker: Option<EngineWorker>,
    started: f64,
    ready: bool,
    pub runs: BTreeMap<ClusterId, Run>,
    tickets: BTreeMap<u32, Ticket>,
    last_id: u32,
    last_ticket: u32,
    accidents: u32,
    last_accident: f64,
}

thread_local! {
    static CLIENT: RefCell<Client> = RefCell::default();
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Something with the page's clusters.
pub fn with<T>(f: impl FnOnce(&mut Client) -> T) -> T {
    CLIENT.with(|c| f(&mut c.borrow_mut()))
}

pub fn now() -> f64 {
    leptos::prelude::window().performance().map_or(0.0, |p| p.now())
}

impl Client {
    fn send(&mut self, request: &Request) {
        if self.worker.is_none() {
            self.start();
        }
        if let Some(worker) = &self.worker {
            worker.send(request);
        }
    }

    fn start(&mut self) {
        self.started = now();
        self.ready = false;
        match EngineWorker::start(heard, died) {
            Ok(worker) => self.worker = Some(worker),
            Err(reason) => self.fail(&reason),
        }
        if !WATCHED.with(|w| w.replace(true)) {
            gloo_timers::callback::Interval::new(1_000, || with(Client::watch)).forget();
        }
    }

    /// No engine can be had.
    fn fail(&mut self, reason: &str) {
        let diagnostic = Diagnostic {
            line: 0,
            column: 0,
            length: 0,
            error: true,
            path: String::new(),
            message: String::new(),
            phrase: Some(Phrase::new("stage-engine-failed").with("reason", reason)),
        };
        for run in self.runs.values_mut() {
            run.failed(vec![diagnostic.clone()]);
        }
    }

    /// Takes an engine that doesn't answer for dead.
    fn watch(&mut self) {
        let now = now();
        let asked = self.runs.values().filter_map(Run::waits_since).chain(self.tickets.values().map(|t| t.since));
        let Some(oldest) = asked.reduce(f64::min) else { return };
        let patience = if self.ready { PATIENCE } else { START_PATIENCE };
        if self.worker.is_some() && now - oldest.max(self.started) > patience {
            self.replace("no answer");
        }
    }

    /// Ends the engine, starts another, and does everything again that was done.
    fn replace(&mut self, reason: &str) {
        let now = now();
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
        if now - self.last_accident > WELL_AFTER {
            self.accidents = 0;
        }
        self.last_accident = now;
        self.accidents += 1;
        if self.accidents > 4 || (!self.ready && self.accidents > 2) {
            return self.fail(reason);
        }
        self.start();
        let accidents = self.accidents;
        let mut requests = Vec::new();
        for run in self.runs.values_mut() {
            // It died twice in a row: perhaps of what was done last, which would kill it again and again.
            let left_out = accidents > 2 && run.commands.pop().is_some();
            run.signals.notice.set(Some(if left_out { Notice::LeftOut } else { Notice::Recovered }));
            run.signals.status.set(EngineStatus::Recovering { times: accidents });
            requests.push(run.open_request(now));
        }
        let mut lost = Vec::new();
        for (id, ticket) in &mut self.tickets {
            ticket.since = now;
            if std::mem::replace(&mut ticket.tried, true) {
                lost.push(*id);
            } else {
                requests.push(ticket.request.clone());
            }
        }
        for request in &requests {
            self.send(request);
        }
        for id in lost {
            if let Some(ticket) = self.tickets.remove(&id) {
                (ticket.answer)(None);
            }
        }
    }

    fn take(&mut self, reply: Reply) {
        match reply {
            Reply::Ready { .. } => self.ready = true,
            Reply::Opened { cluster, seed, release, diagnostics } => {
                if let Some(run) = self.runs.get_mut(&cluster) {
                    run.opened(Opened { seed, release, diagnostics });
                }
            }
            Reply::Failed { cluster, diagnostics } => {
                if let Some(run) = self.runs.get_mut(&cluster) {
                    run.failed(diagnostics);
                }
            }
            Reply::Frames { cluster, epoch, frames, reached } => {
                if let Some(run) = self.runs.get_mut(&cluster) {
                    run.frames(epoch, &frames, reached);
                }
                self.ask_all();
            }
            Reply::Done { cluster, recorded, results, diagnostics } => {
                if let Some(run) = self.runs.get_mut(&cluster) {
                    run.done(recorded, results, diagnostics);
                }
            }
            Reply::Checked { ticket, .. }
            | Reply::Compared { ticket, .. }
            | Reply::Formatted { ticket, .. }
            | Reply::Completed { ticket, .. }
            | Reply::Explained { ticket, .. }
            | Reply::Lesson { ticket, .. }
            | Reply::LessonFailed { ticket, .. }
            | Reply::Rules { ticket, .. }
            | Reply::Why { ticket, .. }
            | Reply::Located { ticket, .. }
            | Reply::Failovers { ticket, .. }
            | Reply::Recording { ticket, .. } => {
                if let Some(ticket) = self.tickets.remove(&ticket) {
                    (ticket.answer)(Some(reply));
                }
            }
        }
    }

    /// Asks the engine for what the clocks need next.
    pub fn ask_all(&mut self) {
        let now = now();
        let requests: Vec<Request> = self.runs.values_mut().filter_map(|run| run.ask(now)).collect();
        for request in &requests {
            self.send(request);
        }
    }
}

fn heard(reply: Reply) {
    with(|c| c.take(reply));
    pump::wake();
}

fn died(reason: String) {
    with(|c| c.replace(&reason));
    pump::wake();
}

/// Makes a cluster.
pub fn open(options: OpenOptions, signals: Writers) -> ClusterId {
    super::hooks::install();
    let id = with(|c| {
        c.last_id += 1;
        let id = ClusterId(c.last_id);
        let mut run = Run::new(id, options, signals);
        let request = run.open_request(now());
        c.runs.insert(id, run);
        c.send(&request);
        id
    });
    pump::wake();
    id
}

/// Makes a cluster afresh.
pub fn reopen(id: ClusterId, options: OpenOptions) {
    with(|c| {
        let Some(old) = c.runs.remove(&id) else { return };
        let speed = old.clock.speed;
        let mut run = Run::new(id, options, old.signals);
        run.clock.speed = speed;
        let request = run.open_request(now());
        if matches!(run.signals.status.get_untracked(), EngineStatus::Failed(_)) {
            run.signals.status.set(EngineStatus::Starting);
            c.accidents = 0;
        }
        c.runs.insert(id, run);
        c.send(&request);
    });
    pump::wake();
}

/// Forgets a cluster.
pub fn close(id: ClusterId) {
    with(|c| {
        if c.runs.remove(&id).is_some() && c.worker.is_some() {
            c.send(&Request::Close { cluster: id });
        }
    });
}

/// Does something at the shown moment.
pub fn command(id: ClusterId, command: Command) {
    with(|c| {
        let Some(run) = c.runs.get_mut(&id) else { return };
        let request = run.command(command, now());
        c.send(&request);
    });
    pump::wake();
}

/// Shows another moment.
pub fn seek(id: ClusterId, to: Time) {
    with(|c| {
        let Some(run) = c.runs.get_mut(&id) else { return };
        if let Some(request) = run.seek(to, now()) {
            c.send(&request);
        }
        c.ask_all();
    });
    pump::wake();
}

/// Test hook: the engine panics.
pub fn crash() {
    with(|c| c.send(&Request::Crash));
}

/// Test hook: nothing is heard from the engine any more, as if it hung.
pub fn hang() {
    with(|c| {
        if let Some(worker) = &c.worker {
            worker.deafen();
        }
    });
}

#[derive(Default)]
struct Slot {
    /// Outer None: not answered yet.
    reply: Option<Option<Reply>>,
    waker: Option<Waker>,
}

/// What the engine will say; None: it can't.
pub struct Answer(Rc<RefCell<Slot>>);

impl Future for Answer {
    type Output = Option<Reply>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        let mut slot = self.0.borrow_mut();
        match slot.reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Tells the engine something that has no answer.
pub fn tell(request: &Request) {
    with(|c| c.send(request));
}

/// Asks the engine something.
pub fn request(make: impl FnOnce(u32) -> Request) -> Answer {
    let ticket = with(|c| {
        c.last_ticket += 1;
        c.last_ticket
    });
    ask(ticket, make(ticket))
}

fn ask(ticket: u32, request: Request) -> Answer {
    let slot = Rc::new(RefCell::new(Slot::default()));
    let filled = slot.clone();
    let answer = Box::new(move |reply| {
        let mut slot = filled.borrow_mut();
        slot.reply = Some(reply);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    });
    with(|c| {
        c.tickets.insert(ticket, Ticket { request: request.clone(), since: now(), tried: false, answer });
        c.send(&request);
    });
    Answer(slot)
}

/// Reads YAML as `apply` to a cluster would, and does nothing. Empty also when the engine can't say.
pub async fn check(cluster: ClusterId, yaml: String) -> (Vec<Diagnostic>, Vec<Fix>) {
    match request(|ticket| Request::Check { cluster: Some(cluster), ticket, yaml }).await {
        Some(Reply::Checked { diagnostics, fixes, .. }) => (diagnostics, fixes),
        _ => Default::default(),
    }
}

/// What `apply` at the shown moment would change.
pub async fn compare(cluster: ClusterId, yaml: String) -> Vec<Change> {
    let at = with(|c| c.runs.get(&cluster).map(|run| run.clock.view())).unwrap_or_default();
    match request(|ticket| Request::Compare { cluster, ticket, yaml, at }).await {
        Some(Reply::Compared { changes, .. }) => changes,
        _ => Vec::new(),
    }
}

/// A text in its canonical layout; None: the engine can't say.
///
/// # Errors
/// Why it can't be read.
pub async fn format(yaml: String) -> Result<Option<String>, Diagnostic> {
    match request(|ticket| Request::Format { ticket, yaml }).await {
        Some(Reply::Formatted { wrong: Some(wrong), .. }) => Err(wrong),
        Some(Reply::Formatted { text, .. }) => Ok(Some(text)),
        _ => Ok(None),
    }
}

/// Reads a lesson's files.
///
/// # Errors
/// Mistakes, with the file in which they stand.
pub async fn read_lesson(
    language: String,
    files: Vec<(String, String)>,
) -> Result<LessonView, Vec<(String, Diagnostic)>> {
    match request(|ticket| Request::ReadLesson { ticket, language, files }).await {
        Some(Reply::Lesson { lesson, .. }) => Ok(*lesson),
        Some(Reply::LessonFailed { diagnostics, .. }) => Err(diagnostics),
        _ => Err(Vec::new()),
    }
}

/// A node's rules.
pub async fn rules(cluster: ClusterId, at: Time, node: String) -> Option<Box<RulesView>> {
    match request(|ticket| Request::Rules { cluster, ticket, at, node }).await {
        Some(Reply::Rules { rules, .. }) => Some(rules),
        _ => None,
    }
}
