//! Messages between the page and the engine's worker.

use crate::{
    Change, Command, Explanation, Failover, FieldRef, Fix, Frame, Id, LessonView, Phrase, Place, Recorded, RulesView,
    Story, Suggestion,
};
use lab_base::{Span, Time};
use serde::{Deserialize, Serialize};

/// Names one of the worker's clusters. Chosen by the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub u32);

/// From the page to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Makes a cluster (and replays `commands` up to `at`, after a reload or a dead worker). Answer: `Opened` and a key frame, or `Failed`.
    Open {
        /// Its id; an older cluster of this id is closed.
        cluster: ClusterId,
        /// Scenario file (YAML).
        scenario: String,
        /// Overrides the scenario's seed.
        seed: Option<u64>,
        /// `lesson.yaml`, for its checks; empty: none.
        lesson: String,
        /// Tasks that are solved already, by id: they stay solved.
        solved: Vec<String>,
        /// Commands to replay.
        commands: Vec<Recorded>,
        /// Where to stand afterwards.
        at: Time,
        /// Whether `Fault::RemoveRule` and `Crash` are accepted.
        hooks: bool,
    },
    /// Forgets a cluster.
    Close {
        /// Which.
        cluster: ClusterId,
    },
    /// Runs on to `to` and tells frames every `step` (on multiples of it). Answer: `Frames`; when the work takes more than
    /// some milliseconds, `reached` is earlier than `to` and the page asks again.
    Advance {
        /// Which.
        cluster: ClusterId,
        /// The page's epoch; frames of another are not for it.
        epoch: u32,
        /// How far.
        to: Time,
        /// Distance of frames.
        step: Span,
    },
    /// Goes back (or on) to `to`; what was recorded stays and is replayed when time runs on. Answer: `Frames` with a key frame.
    Seek {
        /// Which.
        cluster: ClusterId,
        /// The page's new epoch.
        epoch: u32,
        /// Where to.
        to: Time,
        /// The latest moment that was shown: a task that was solved by then stays solved.
        seen: Time,
    },
    /// Does something at `at`: the engine goes back to `at` (it may have run ahead of what is shown), drops commands that were
    /// recorded later, does it, and answers `Done` and `Frames` with a key frame.
    Do {
        /// Which.
        cluster: ClusterId,
        /// The page's new epoch.
        epoch: u32,
        /// Simulated time of the command.
        at: Time,
        /// What.
        command: Command,
        /// The latest moment that was shown: a task that was solved by then stays solved.
        seen: Time,
    },
    /// Reads YAML as `Apply` would, without doing anything. Answer: `Checked`.
    Check {
        /// As whose release reads it, and beside whose objects it would stand; none: as the newest release, beside nothing.
        cluster: Option<ClusterId>,
        /// Comes back in the answer.
        ticket: u32,
        /// The text.
        yaml: String,
    },
    /// What `Apply` at a moment would change, object by object. Answer: `Compared`.
    Compare {
        /// Which.
        cluster: ClusterId,
        /// Comes back in the answer.
        ticket: u32,
        /// The text.
        yaml: String,
        /// The moment.
        at: Time,
    },
    /// The text in its canonical layout. Answer: `Formatted`.
    Format {
        /// Comes back in the answer.
        ticket: u32,
        /// The text.
        yaml: String,
    },
    /// What fields mean (files of `public/reference/`, one after the other), for the answers to come. No answer.
    Reference {
        /// The files.
        text: String,
    },
    /// What can be written at a place. Answer: `Completed`.
    Complete {
        /// Comes back in the answer.
        ticket: u32,
        /// The text.
        yaml: String,
        /// Line of the caret, from 1.
        line: u32,
        /// Column of the caret, from 1, in Unicode characters.
        column: u32,
    },
    /// What the word at a place means. Answer: `Explained`.
    Explain {
        /// Comes back in the answer.
        ticket: u32,
        /// The text.
        yaml: String,
        /// Line, from 1.
        line: u32,
        /// Column, from 1, in Unicode characters.
        column: u32,
    },
    /// Reads a lesson's files. Answer: `Lesson` or `LessonFailed`.
    ReadLesson {
        /// Comes back in the answer.
        ticket: u32,
        /// `en` or `zh`.
        language: String,
        /// Path and content of each file of the lesson's folder.
        files: Vec<(String, String)>,
    },
    /// A node's rules at a moment. Answer: `Rules`.
    Rules {
        /// Which.
        cluster: ClusterId,
        /// Comes back in the answer.
        ticket: u32,
        /// The moment.
        at: Time,
        /// Node.
        node: String,
    },
    /// What happened to a request. Answer: `Why`.
    Why {
        /// Which.
        cluster: ClusterId,
        /// Comes back in the answer.
        ticket: u32,
        /// Number of the request, as in its motion.
        request: u64,
        /// When it was sent.
        sent: Time,
        /// Whether to show its connection in the other modes of kube-proxy, too.
        modes: bool,
    },
    /// Why a Pod gets a Service's traffic from a node, or doesn't. Answer: `Why`.
    WhyPod {
        /// Which.
        cluster: ClusterId,
        /// Comes back in the answer.
        ticket: u32,
        /// The moment.
        at: Time,
        /// The Pod.
        pod: Id,
        /// The Service.
        service: Id,
        /// Name of the node.
        node: String,
    },
    /// Where a field of an object stands in a text. Answer: `Located`.
    Locate {
        /// Which.
        cluster: ClusterId,
        /// Comes back in the answer.
        ticket: u32,
        /// The moment whose object is meant.
        at: Time,
        /// The text.
        yaml: String,
        /// The field.
        field: FieldRef,
    },
    /// What each failure up to `at` took away, and what followed. Answer: `Failovers`.
    Failovers {
        /// Which.
        cluster: ClusterId,
        /// Comes back in the answer.
        ticket: u32,
        /// The moment: the run stays where it is.
        at: Time,
    },
    /// Everything needed to repeat the run. Answer: `Recording`.
    Record {
        /// Which.
        cluster: ClusterId,
        /// Comes back in the answer.
        ticket: u32,
    },
    /// Test hook: the worker panics.
    Crash,
}

/// From the engine to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The worker has started.
    Ready {
        /// Version of the engine.
        engine: String,
    },
    /// A cluster stands.
    Opened {
        /// Which.
        cluster: ClusterId,
        /// Its seed.
        seed: u64,
        /// `1.36`.
        release: String,
        /// Mistakes and warnings in the scenario that don't prevent it.
        diagnostics: Vec<Diagnostic>,
    },
    /// A cluster could not be made.
    Failed {
        /// Which.
        cluster: ClusterId,
        /// Why.
        diagnostics: Vec<Diagnostic>,
    },
    /// What there is to see.
    Frames {
        /// Which.
        cluster: ClusterId,
        /// As asked.
        epoch: u32,
        /// In order of time. After `Open`, `Seek` and `Do` the first is a key frame, and frames after its time are void.
        frames: Vec<Frame>,
        /// How far the engine has come.
        reached: Time,
    },
    /// A command was done, in whole, in part, or not.
    Done {
        /// Which.
        cluster: ClusterId,
        /// As recorded; None: it had no effect at all and isn't recorded.
        recorded: Option<Recorded>,
        /// What each object came to: `service/web created`.
        results: Vec<String>,
        /// Mistakes and warnings.
        diagnostics: Vec<Diagnostic>,
    },
    /// What `Check` found.
    Checked {
        /// As asked.
        ticket: u32,
        /// Mistakes and warnings.
        diagnostics: Vec<Diagnostic>,
        /// How some of them can be put right.
        fixes: Vec<Fix>,
    },
    /// What applying a text would change.
    Compared {
        /// As asked.
        ticket: u32,
        /// Each object of the text that has no mistakes.
        changes: Vec<Change>,
    },
    /// A text in its canonical layout.
    Formatted {
        /// As asked.
        ticket: u32,
        /// The text; as it was, where it can't be read.
        text: String,
        /// Why it can't be read.
        wrong: Option<Diagnostic>,
    },
    /// What can be written at a place, the likeliest first.
    Completed {
        /// As asked.
        ticket: u32,
        /// Column at which the word begins that is replaced; it goes to the caret.
        column: u32,
        /// What can be written.
        suggestions: Vec<Suggestion>,
        /// Whether the engine has been given a reference.
        reference: bool,
    },
    /// What a word means, if it means anything.
    Explained {
        /// As asked.
        ticket: u32,
        /// The word and its meaning.
        explanation: Option<Explanation>,
        /// Whether the engine has been given a reference.
        reference: bool,
    },
    /// A lesson.
    Lesson {
        /// As asked.
        ticket: u32,
        /// The lesson.
        lesson: Box<LessonView>,
    },
    /// A lesson that can't be read.
    LessonFailed {
        /// As asked.
        ticket: u32,
        /// Mistakes with the file in which they stand.
        diagnostics: Vec<(String, Diagnostic)>,
    },
    /// A node's rules.
    Rules {
        /// As asked.
        ticket: u32,
        /// The rules and what is known of them.
        rules: Box<RulesView>,
    },
    /// Why it is so.
    Why {
        /// As asked.
        ticket: u32,
        /// The story; None: there is no such request, Pod, Service or node.
        story: Option<Box<Story>>,
    },
    /// Where a field stands.
    Located {
        /// As asked.
        ticket: u32,
        /// Its place; None: the text doesn't have the object.
        place: Option<Place>,
    },
    /// Failover timelines.
    Failovers {
        /// As asked.
        ticket: u32,
        /// In order of their beginning.
        failovers: Vec<Failover>,
    },
    /// Everything needed to repeat the run.
    Recording {
        /// As asked.
        ticket: u32,
        /// JSON, the form of `servicelab run --record`.
        json: String,
    },
}

/// A mistake or warning in a text, in the API server's words or as a phrase of our own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in Unicode characters.
    pub column: u32,
    /// Length in Unicode characters.
    pub length: u32,
    /// Whether it prevents the document from being applied.
    pub error: bool,
    /// `spec.ports[0].port`, or empty.
    pub path: String,
    /// Kubernetes' own words (English, as on a real cluster), or what a terminal says.
    pub message: String,
    /// Our own words, which go before `message`.
    pub phrase: Option<Phrase>,
}
