//! A lesson as the page shows it. Text is HTML made by `crates/lesson` from Markdown, and safe: no raw HTML of an author,
//! no scripts, no styles, links only to http(s), `#` and relative addresses.

use crate::Phrase;
use lab_base::Time;
use serde::{Deserialize, Serialize};

/// A lesson in one language.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LessonView {
    /// `first-service`.
    pub id: String,
    /// Of its files in this language; equal to `data-lesson-hash` of a page that shows the same text.
    pub hash: String,
    /// Title.
    pub title: String,
    /// Minutes it takes.
    pub minutes: u32,
    /// The text. Where a part belongs stands `<div data-part="prediction|task|quiz" data-id="ID"></div>`.
    pub html: String,
    /// The prediction asked for before the run.
    pub prediction: Option<Question>,
    /// Tasks, in order.
    pub tasks: Vec<TaskView>,
    /// Questions, in order.
    pub quiz: Vec<Question>,
    /// What the editor holds at the start.
    pub editor: String,
    /// The scenario: nodes, workloads, clients and objects at the start.
    pub start: String,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// Unique in the lesson.
    pub id: String,
    /// What to do.
    pub html: String,
    /// Hints, from faint to plain.
    pub hints: Vec<String>,
    /// What the editor would hold (YAML), if the task is solved by YAML.
    pub solution: Option<String>,
    /// The solution in words.
    pub solution_html: String,
}

/// A question with its answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Unique in the lesson.
    pub id: String,
    /// The question.
    pub html: String,
    /// The answers.
    pub options: Vec<AnswerOption>,
    /// Shown after an answer, whichever it was.
    pub explanation: String,
}

/// An answer to choose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerOption {
    /// The answer.
    pub html: String,
    /// Whether it is right.
    pub right: bool,
    /// Shown when it was chosen.
    pub reply: String,
}

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Its id.
    pub id: String,
    /// When it was solved, if it is. A solved task stays solved.
    pub solved_at: Option<Time>,
    /// Why not yet: the first check that doesn't hold.
    pub finding: Option<Finding>,
}

/// What a check expected and saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was expected.
    pub expected: Phrase,
    /// What was seen.
    pub seen: Phrase,
    /// When it was looked at.
    pub at: Time,
}
