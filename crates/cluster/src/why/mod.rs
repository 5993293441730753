//! *Why?*: what happened to one request, or why a Pod gets traffic from a node.
//!
//! No trace is kept. The moment is lived again from the last snapshot before it, on a copy, with a [`Witness`] who follows
//! one request and writes down what it meets. What happens is the same with and without a witness.
//!
//! - `way.rs`: what a request meets, step by step; `late.rs`: whose delay lost it.
//! - `rules.rs`: a packet in a node's kernel, and in those of the other modes; `tables.rs`: all rules of a node.
//! - `pod.rs`: a Pod, a Service and a node. `place.rs`: the line of YAML behind it.

mod late;
mod place;
mod pod;
mod rules;
mod tables;
mod way;

pub(crate) use way::Saw;

use crate::cluster::Cluster;
use crate::event::NodeName;
use crate::timeline::{Observer, Timeline};
use crate::traffic::{ConnectionId, RequestId};
use kube_api::Uid;
use lab_base::{Span, Time};
use lab_protocol::{Chapter, FieldRef, Id, Phrase, Story, Tone};
use std::collections::BTreeMap;

/// The longest that a request is followed; clients give up long before.
const FOLLOWED: Span = Span::from_secs(900);
/// How far before it stood a connection's first packet is looked for: as long as a client tries to connect.
const CONNECTING: Span = Span::from_secs(20);

/// Who follows a request while its moment is lived again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    request: RequestId,
    /// Whether to look at the other modes.
    modes: bool,
    story: Story,
    /// The connection on which it went, if that was there before, and since when.
    connection: Option<(ConnectionId, Time)>,
    over: bool,
    /// The node whose rules are counted, if any are, and how many packets met each.
    node: Option<NodeName>,
    met: BTreeMap<String, u32>,
}

impl<O: Observer> Timeline<O> {
    /// What happened to a request that was sent at `sent`. None: there was no such request.
    pub fn why(&self, request: RequestId, sent: Time, modes: bool) -> Option<Story> {
        let before = Time::from_micros(sent.as_micros().saturating_sub(1));
        let witness = self.follow(request, before, sent + FOLLOWED, modes);
        let mut story = witness.story;
        if let Some((connection, opened)) = witness.connection {
            let from = Time::from_micros(opened.as_micros().saturating_sub(CONNECTING.as_micros()));
            let opening = self.follow(connection, from, opened, modes).story;
            let at = story.chapters.iter().position(|c| c.text.id == "why-kept").map_or(0, |at| at + 1);
            let of_its_own = ["why-sent", "why-again", "why-served", "why-queued", "why-end"];
            let own = |c: &Chapter| of_its_own.iter().any(|id| c.text.id.starts_with(id));
            let met = opening.chapters.into_iter().filter(|c| c.at <= opened && !own(c));
            story.chapters.splice(at..at, met);
            story.modes = opening.modes;
        }
        (!story.chapters.is_empty()).then_some(story)
    }

    /// Follows a request from a moment on, until it has ended.
    fn follow(&self, request: RequestId, from: Time, until: Time, modes: bool) -> Witness {
        let mut past = self.past(from);
        let witness = Witness { request, modes, ..Witness::default() };
        past.cluster_mut().witness = Some(Box::new(witness.clone()));
        let mut step = Span::from_millis(20);
        loop {
            let to = (past.cluster().now() + step).min(until);
            past.advance(to, &mut u64::MAX.clone());
            step = step.times(2).min(Span::from_secs(5));
            past.cluster_mut().take_motions();
            let over = past.cluster().witness.as_ref().is_none_or(|w| w.over);
            if over || to >= until {
                return past.cluster_mut().witness.take().map_or(witness, |w| *w);
            }
        }
    }
}

impl Cluster {
    /// Whether somebody follows this request.
    #[inline]
    pub(crate) fn follows(&self, id: RequestId) -> bool {
        self.witness.as_ref().is_some_and(|w| w.request == id && !w.over)
    }

    /// Writes a chapter. What goes wrong again in the same way, as a packet is sent again, is told once.
    fn tell(&mut self, chapter: Chapter) {
        let Some(witness) = &mut self.witness else { return };
        let chapters = &mut witness.story.chapters;
        let wrong = matches!(chapter.tone, Tone::Bad | Tone::Cause);
        if !(wrong && chapters.iter().any(|c| c.text == chapter.text)) {
            chapters.push(chapter);
        }
    }

    fn step(&mut self, text: Phrase) {
        self.tell(Chapter { at: self.now, text, ..Chapter::default() });
    }

    fn bad(&mut self, text: Phrase) {
        self.tell(Chapter { at: self.now, tone: Tone::Bad, text, ..Chapter::default() });
    }

    /// A Pod's name, be it gone.
    fn pod_name(&self, uid: Uid) -> String {
        let gone = || self.facts.ghosts().values().find(|g| g.uid == uid).map(|g| g.key.name.clone());
        self.store.by_uid::<kube_api::Pod>(uid).map(|p| p.metadata.name.clone()).or_else(gone).unwrap_or_default()
    }

    /// A field of a Service.
    fn field_of(&self, service: Uid, field: &str) -> Option<FieldRef> {
        let meta = &self.store.by_uid::<kube_api::Service>(service)?.metadata;
        Some(FieldRef {
            object: Id(service.0),
            kind: "Service".into(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            field: field.into(),
        })
    }
}

/// `12.5`, of a hundred.
pub(crate) fn percent(part: f64) -> String {
    let tenths = (part * 1000.0 + 0.5) as u64;
    match tenths % 10 {
        0 => format!("{}", tenths / 10),
        tenth => format!("{}.{tenth}", tenths / 10),
    }
}
