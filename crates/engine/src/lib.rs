//! The engine behind a message port: many clusters by id; requests in, replies out. Knows no browser, so the same code is
//! driven by the page's worker, by tests and by Node.
#![forbid(unsafe_code)]

mod help;
mod running;

use kube_api::Uid;
use kube_api::assist::Reference;
use lab_protocol::{ClusterId, Diagnostic, Reply, Request};
use running::Running;
use std::collections::BTreeMap;

/// All clusters of a page.
#[derive(Default)]
pub struct Engine {
    clusters: BTreeMap<ClusterId, Running>,
    /// What fields mean, once the page has told.
    reference: Reference,
}

/// Version of the engine, as recordings name it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Engine {
    /// An engine without clusters.
    pub fn new() -> Engine {
        Engine::default()
    }

    /// What it says when it starts.
    pub fn ready() -> Reply {
        Reply::Ready { engine: VERSION.into() }
    }

    /// Answers a request.
    ///
    /// # Panics
    /// At [`Request::Crash`], which a test sends to see the page put up with it, and only with a cluster that was opened
    /// with hooks.
    pub fn handle(&mut self, request: Request) -> Vec<Reply> {
        match request {
            Request::Open { cluster, scenario, seed, lesson, solved, commands, at, hooks } => {
                let (running, diagnostics) = Running::open(&scenario, seed, &lesson, &solved, commands, at, hooks);
                let opened = Reply::Opened {
                    cluster,
                    seed: running.cluster().seed(),
                    release: running.cluster().release().to_string(),
                    diagnostics,
                };
                let mut running = running;
                let frames = running.key_frame(cluster, 0);
                self.clusters.insert(cluster, running);
                vec![opened, frames]
            }
            Request::Close { cluster } => {
                self.clusters.remove(&cluster);
                Vec::new()
            }
            Request::Advance { cluster, epoch, to, step } => {
                self.with(cluster, |running| vec![running.advance(cluster, epoch, to, step)])
            }
            Request::Seek { cluster, epoch, to, seen } => self.with(cluster, |running| {
                running.seek(to, seen);
                vec![running.key_frame(cluster, epoch)]
            }),
            Request::Do { cluster, epoch, at, command, seen } => self.with(cluster, |running| {
                let done = running.execute(cluster, at, command, seen);
                vec![done, running.key_frame(cluster, epoch)]
            }),
            Request::Check { cluster, ticket, yaml } => {
                let cluster = cluster.and_then(|id| self.clusters.get(&id)).map(Running::cluster);
                vec![help::check(ticket, &yaml, cluster)]
            }
            Request::Compare { cluster, ticket, yaml, at } => {
                self.with(cluster, |running| vec![Reply::Compared { ticket, changes: running.compare(&yaml, at) }])
            }
            Request::Format { ticket, yaml } => vec![help::format(ticket, yaml)],
            Request::Reference { text } => {
                self.reference = Reference::read(text);
                Vec::new()
            }
            Request::Complete { ticket, yaml, line, column } => {
                vec![help::complete(ticket, &yaml, line, column, &self.reference)]
            }
            Request::Explain { ticket, yaml, line, column } => {
                vec![help::explain(ticket, &yaml, line, column, &self.reference)]
            }
            Request::ReadLesson { ticket, language, files } => {
                let files: BTreeMap<String, String> = files.into_iter().collect();
                vec![match lesson::view(&files, &language) {
                    Ok(lesson) => Reply::Lesson { ticket, lesson: Box::new(lesson) },
                    Err(mistakes) => Reply::LessonFailed { ticket, diagnostics: mistakes },
                }]
            }
            Request::Rules { cluster, ticket, at, node } => {
                self.with(cluster, |running| vec![Reply::Rules { ticket, rules: Box::new(running.rules(&node, at)) }])
            }
            Request::Why { cluster, ticket, request, sent, modes } => self.with(cluster, |running| {
                vec![Reply::Why { ticket, story: running.why(request, sent, modes).map(Box::new) }]
            }),
            Request::WhyPod { cluster, ticket, at, pod, service, node } => self.with(cluster, |running| {
                let story = running.at(at).why_pod(Uid(pod.0), Uid(service.0), &node);
                vec![Reply::Why { ticket, story: story.map(Box::new) }]
            }),
            Request::Locate { cluster, ticket, at, yaml, field } => self
                .with(cluster, |running| vec![Reply::Located { ticket, place: running.at(at).locate(&yaml, &field) }]),
            Request::Failovers { cluster, ticket, at } => {
                self.with(cluster, |running| vec![Reply::Failovers { ticket, failovers: running.failovers(at) }])
            }
            Request::Record { cluster, ticket } => self.with(cluster, |running| {
                let json = serde_json::to_string_pretty(&running.recording()).unwrap_or_default();
                vec![Reply::Recording { ticket, json }]
            }),
            Request::Crash => {
                assert!(!self.clusters.values().any(Running::has_hooks), "crashed on request");
                Vec::new()
            }
        }
    }

    fn with(&mut self, cluster: ClusterId, f: impl FnOnce(&mut Running) -> Vec<Reply>) -> Vec<Reply> {
        match self.clusters.get_mut(&cluster) {
            Some(running) => f(running),
            None => vec![Reply::Failed { cluster, diagnostics: Vec::<Diagnostic>::new() }],
        }
    }
}
