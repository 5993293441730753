//! What the parts of a page with a cluster share: the cluster, the editor, the progress, and what is in sight.

use crate::editor::{Editor, Reading, words};
use crate::i18n::{t, tf, tn};
use crate::lab::{self, EngineStatus, Lab, Notice, OpenOptions};
use crate::storage::{self, Keep, Moment, Progress, fingerprint};
use crate::{dom, panic};
use lab_base::Time;
use lab_protocol::{Command, LessonView, Recorded, TaskReport};
use leptos::prelude::*;
use std::sync::Arc;
use wasm_bindgen_futures::spawn_local;

/// What the bench shows; on a phone the text is one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// The text (wide: the YAML).
    Lesson,
    /// The editor.
    Yaml,
    /// A node's rules.
    Rules,
    /// Why something happened.
    Why,
    /// What failures took away, and when it was back.
    Failover,
    /// Charts.
    Metrics,
    /// What happened.
    Events,
}

/// One line that is said about the editor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// The line.
    pub text: String,
    /// Whether something is wrong.
    pub wrong: bool,
    /// Whether it is what a machine wrote.
    pub machine: bool,
}

/// Everything that a page with a cluster works on. Copies are the same session.
#[derive(Clone, Copy)]
pub struct Session {
    /// The cluster.
    pub lab: Lab,
    /// The editor.
    pub editor: Editor,
    /// The lesson, when it has been read.
    pub lesson: RwSignal<Option<Arc<LessonView>>>,
    /// How far one has come.
    pub progress: RwSignal<Progress>,
    /// What the bench shows.
    pub pane: RwSignal<Pane>,
    /// What is said under the editor.
    pub said: RwSignal<Said>,
    /// Whether a text of one's own was put aside for that of a link.
    pub aside: RwSignal<bool>,
    page: StoredValue<String>,
    scenario: StoredValue<String>,
    checks: StoredValue<String>,
}

/// Of what a session is made.
pub struct Begin {
    /// Id of the lesson, or `playground`.
    pub page: &'static str,
    /// Scenario (YAML).
    pub scenario: String,
    /// `lesson.yaml`, or empty.
    pub checks: String,
    /// What the editor holds at the start.
    pub text: String,
}

impl Session {
    /// Begins, or goes on where this tab was.
    pub fn begin(from: Begin) -> Session {
        let Begin { page, scenario, checks, text: start } = from;
        let print = fingerprint(&scenario);
        let fits = |m: &Moment| m.page == page && m.scenario == print;
        let linked = super::shell::linked_moment().filter(|m| fits(m));
        let left = storage::get(Keep::Tab, &format!("moment.{page}")).and_then(|m| Moment::read(&m));
        let from_link = linked.is_some();
        let moment = linked.or(left.filter(|m| fits(m)));
        let own = storage::get(Keep::Always, &format!("text.{page}"));
        let mut text = own.clone().unwrap_or_else(|| start.clone());
        let mut aside = false;
        if from_link && let Some(moment) = &moment {
            let theirs = moment.yaml.clone().unwrap_or_else(|| start.clone());
            if let Some(own) = own.filter(|own| *own != theirs) {
                aside = storage::set(Keep::Always, &format!("aside.{page}"), &own);
            }
            text = theirs;
        }
        let progress = Progress::load(page);
        let options = OpenOptions {
            scenario: scenario.clone(),
            lesson: checks.clone(),
            solved: progress.solved.clone(),
            commands: moment.as_ref().map(|m| m.commands.clone()).unwrap_or_default(),
            at: moment.as_ref().map_or(Time::ZERO, |m| m.at),
            autoplay: moment.as_ref().is_none_or(|m| m.playing && !from_link),
            hooks: lab_hooks(),
            interactive: true,
            ..OpenOptions::default()
        };
        let lab = Lab::open(options);
        let session = Session {
            lab,
            editor: Editor::new(lab.id, text, start),
            lesson: RwSignal::new(None),
            progress: RwSignal::new(progress),
            pane: RwSignal::new(Pane::Lesson),
            said: RwSignal::default(),
            aside: RwSignal::new(aside),
            page: StoredValue::new(page.to_owned()),
            scenario: StoredValue::new(scenario),
            checks: StoredValue::new(checks),
        };
        if from_link {
            session.say(t("link-opened"));
        }
        session.keep();
        if lab_hooks() {
            panic::install_test_hook();
        }
        session
    }

    /// Sees to it that everything is remembered.
    fn keep(self) {
        self.editor.at_rest(move |text| self.store_text(text));
        let started = self.editor;
        panic::editor_text(move || Some(started.text()));
        for (target, event) in [(dom::window().into(), "pagehide"), (dom::document().into(), "visibilitychange")] {
            let target: web_sys::EventTarget = target;
            dom::listen::<web_sys::Event>(&target, event, move |_| {
                self.store_text(&self.editor.text());
                self.store_moment();
            });
        }
        Effect::new(move |before: Option<()>| {
            self.lab.commands_changed.track();
            if before.is_some() {
                self.store_moment();
            }
        });
        Effect::new(move |before: Option<()>| {
            let progress = self.progress.get();
            if before.is_some() {
                self.page.with_value(|page| progress.save(page));
            }
        });
        Effect::new(move || self.see_solved(&self.lab.tasks.get()));
        Effect::new(move || self.say_applied());
    }

    fn store_text(self, text: &str) {
        let key = self.page.with_value(|p| format!("text.{p}"));
        if text == self.editor.start() {
            storage::remove(Keep::Always, &key);
        } else {
            storage::set(Keep::Always, &key, text);
        }
    }

    /// The cluster as it stands, with or without the editor's text.
    pub fn moment(&self, yaml: bool) -> Moment {
        let text = self.editor.text();
        Moment {
            page: self.page.get_value(),
            scenario: self.scenario.with_value(|s| fingerprint(s)),
            commands: self.lab.commands(),
            at: self.lab.view_time.get_untracked(),
            playing: self.lab.playing.get_untracked() || self.lab.notice.get_untracked() == Some(Notice::Hidden),
            yaml: (yaml && text != self.editor.start()).then_some(text),
        }
    }

    fn store_moment(self) {
        // What the link of another page's language restores, too: the key has no language in it.
        let key = self.page.with_value(|p| format!("moment.{p}"));
        storage::set(Keep::Tab, &key, &self.moment(false).write());
    }

    fn see_solved(self, tasks: &[TaskReport]) {
        let old = self.progress.get_untracked();
        let mut new = old.clone();
        for task in tasks.iter().filter(|t| t.solved_at.is_some()) {
            new.solve(&task.id);
        }
        if let Some(lesson) = self.lesson.get_untracked() {
            new.done = !lesson.tasks.is_empty() && lesson.tasks.iter().all(|t| new.has(&t.id));
        }
        if new != old {
            self.progress.set(new);
        }
    }

    /// The tasks have become known: perhaps all are solved.
    pub fn lesson_read(self, lesson: LessonView) {
        self.lesson.set(Some(Arc::new(lesson)));
        self.see_solved(&self.lab.tasks.get_untracked());
    }

    fn say_applied(self) {
        let Some(applied) = self.lab.applied.get() else { return };
        if applied.serial == 0 || (applied.results.is_empty() && applied.diagnostics.is_empty()) {
            return;
        }
        let wrong = applied.diagnostics.iter().find(|d| d.error);
        let mut lines = applied.results.clone();
        lines.extend(wrong.map(words));
        self.said.set(Said { text: lines.join("  ·  "), wrong: wrong.is_some(), machine: true });
        if !applied.diagnostics.is_empty() {
            self.editor.diagnostics.set(Arc::new(applied.diagnostics));
        }
    }

    /// Says a line.
    pub fn say(&self, text: String) {
        self.said.set(Said { text, ..Said::default() });
    }

    /// Says what prevents something.
    pub fn complain(&self, text: String) {
        self.said.set(Said { text, wrong: true, machine: false });
    }

    /// Why the text can't be applied just now; None: it can.
    pub fn obstacle(&self) -> Option<String> {
        if let EngineStatus::Failed(_) = self.lab.status.get() {
            return Some(t("apply-no-engine"));
        }
        if self.editor.reading.get() == Reading::TooLarge {
            let size = format!("{:.1}", f64::from(self.editor.length()) / 1_048_576.0);
            return Some(tf("apply-too-large", &[("size", &size)]));
        }
        let errors = self.editor.diagnostics.with(|d| d.iter().filter(|d| d.error).count());
        (errors > 0).then(|| tn("apply-errors", errors as u64))
    }

    /// Applies the text, or says why not and shows the place.
    pub fn apply(self) {
        spawn_local(async move {
            if self.editor.reading.get_untracked() != Reading::Done {
                self.editor.read_now().await;
            }
            if let Some(why) = untrack(|| self.obstacle()) {
                self.complain(why);
                let first = self
                    .editor
                    .diagnostics
                    .with_untracked(|d| d.iter().filter(|d| d.error).map(|d| (d.line, d.column)).min());
                if let Some((line, column)) = first.filter(|(line, _)| *line > 0) {
                    self.editor.go_to(line, column);
                }
                return;
            }
            let text = self.editor.text();
            let said = |line: &str| {
                let line = line.trim();
                !line.is_empty() && !line.starts_with('#') && line != "---"
            };
            if !text.lines().any(said) {
                return self.complain(t("apply-empty"));
            }
            self.lab.apply(text);
        });
    }

    /// Puts the text into its canonical layout, or says why not and shows the place.
    pub fn format(self) {
        spawn_local(async move {
            match self.editor.format().await {
                Ok(changed) => self.say(t(if changed { "editor-formatted" } else { "editor-format-same" })),
                Err(wrong) => {
                    self.complain(tf("editor-format-wrong", &[("why", &words(&wrong))]));
                    self.editor.go_to(wrong.line.max(1), wrong.column.max(1));
                }
            }
        });
    }

    /// Puts a text into the editor and shows it.
    pub fn put(&self, text: &str) {
        self.editor.set_text(text);
        self.pane.set(Pane::Yaml);
        self.say(t("editor-filled"));
        let editor = self.editor;
        set_timeout(move || editor.focus(), std::time::Duration::from_millis(30));
    }

    /// Takes one's own text back that was put aside for that of a link.
    pub fn take_back(&self) {
        let key = self.page.with_value(|p| format!("aside.{p}"));
        if let Some(own) = storage::get(Keep::Always, &key) {
            self.editor.set_text(&own);
            storage::remove(Keep::Always, &key);
            self.say(t("text-taken-back"));
        }
        self.aside.set(false);
    }

    fn options(&self, commands: Vec<Recorded>, at: Time, solved: Vec<String>) -> OpenOptions {
        OpenOptions {
            scenario: self.scenario.get_value(),
            lesson: self.checks.get_value(),
            solved,
            commands,
            at,
            autoplay: true,
            hooks: lab_hooks(),
            interactive: true,
            ..OpenOptions::default()
        }
    }

    /// The cluster as it was at the start. Text and progress stay.
    pub fn reset_cluster(&self) {
        self.lab.reset(self.options(Vec::new(), Time::ZERO, self.progress.get_untracked().solved));
        self.store_moment();
        self.say(t("reset-cluster-done"));
    }

    /// Everything as it was at the start.
    pub fn reset_lesson(&self) {
        self.progress.set(Progress::default());
        self.editor.set_text(&self.editor.start());
        self.lab.reset(self.options(Vec::new(), Time::ZERO, Vec::new()));
        self.store_moment();
        self.say(t("reset-lesson-done"));
    }

    /// A task is open again, with cluster and text as they were when it began.
    pub fn reset_task(&self, task: &str) {
        let tasks = self.lab.tasks.get_untracked();
        let order = self.lesson.get_untracked().map(|l| l.tasks.iter().map(|t| t.id.clone()).collect::<Vec<_>>());
        let order = order.unwrap_or_default();
        let Some(place) = order.iter().position(|id| id == task) else { return };
        let solved_at = |id: &String| tasks.iter().find(|t| t.id == *id).and_then(|t| t.solved_at);
        let began = order[..place].iter().filter_map(solved_at).max().unwrap_or(Time::ZERO);
        let mut commands = self.lab.commands();
        commands.retain(|c| c.at <= began);
        let text = commands.iter().rev().find_map(|c| match &c.command {
            Command::Apply { yaml } => Some(yaml.clone()),
            _ => None,
        });
        self.editor.set_text(&text.unwrap_or_else(|| self.editor.start()));
        let mut progress = self.progress.get_untracked();
        for id in &order[place..] {
            progress.reopen(id);
        }
        self.progress.set(progress.clone());
        self.lab.reset(self.options(commands, began, progress.solved));
        self.store_moment();
        self.say(t("reset-task-done"));
    }
}

/// Whether the page was opened with `?hooks`.
pub fn lab_hooks() -> bool {
    let query = dom::window().location().search().unwrap_or_default();
    query.trim_start_matches('?').split('&').any(|p| p == "hooks" || p.starts_with("hooks="))
}

/// Reads a lesson's files in the engine, and keeps what is wrong with them apart.
pub async fn read(files: Vec<(String, String)>) -> Result<LessonView, Vec<(String, lab_protocol::Diagnostic)>> {
    lab::read_lesson(crate::i18n::lang().to_owned(), files).await
}
