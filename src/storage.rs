//! What the page remembers: texts, progress, and the moment at which the cluster stands.
//!
//! Every key has a version, and nothing that is read is trusted: a content that isn't understood is as good as none. Where
//! the browser keeps nothing (storage switched off or full), the page remembers for as long as it lives.

use crate::dom;
use lab_base::Time;
use lab_protocol::Recorded;
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, collections::BTreeMap};

/// Longer links don't survive chats and mails.
pub const LONGEST_LINK: usize = 24_000;
/// More than this is no moment of ours.
const LONGEST_MOMENT: usize = 4_000_000;

thread_local! {
    static MEMORY: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// How long something is remembered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In this browser.
    Always,
    /// In this tab.
    Tab,
}

fn store(keep: Keep) -> Option<web_sys::Storage> {
    let window = dom::window();
    match keep {
        Keep::Always => window.local_storage(),
        Keep::Tab => window.session_storage(),
    }
    .ok()
    .flatten()
}

fn full(key: &str) -> String {
    format!("servicelab.v1.{key}")
}

/// What is remembered under a key.
pub fn get(keep: Keep, key: &str) -> Option<String> {
    let key = full(key);
    if let Some(value) = MEMORY.with(|m| m.borrow().get(&key).cloned()) {
        return Some(value);
    }
    store(keep)?.get_item(&key).ok().flatten()
}

/// Remembers. Tells whether the browser does; if not, the page does while it lives.
pub fn set(keep: Keep, key: &str, value: &str) -> bool {
    let key = full(key);
    let kept = store(keep).is_some_and(|s| s.set_item(&key, value).is_ok());
    MEMORY.with(|m| {
        if kept {
            m.borrow_mut().remove(&key);
        } else {
            m.borrow_mut().insert(key, value.to_owned());
        }
    });
    kept
}

/// Forgets.
pub fn remove(keep: Keep, key: &str) {
    let key = full(key);
    MEMORY.with(|m| m.borrow_mut().remove(&key));
    if let Some(store) = store(keep) {
        let _ = store.remove_item(&key);
    }
}

/// A value under a key of the scripts that run before us (`servicelab.theme`), which have no version.
pub fn plain(key: &str) -> Option<String> {
    store(Keep::Always)?.get_item(&format!("servicelab.{key}")).ok().flatten()
}

/// Sets or forgets such a value.
pub fn set_plain(key: &str, value: Option<&str>) {
    let Some(store) = store(Keep::Always) else { return };
    let key = format!("servicelab.{key}");
    let _ = match value {
        Some(value) => store.set_item(&key, value),
        None => store.remove_item(&key),
    };
}

/// How far someone has come in a lesson.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Solved tasks.
    pub solved: Vec<String>,
    /// The answer that was given to each question, from 0.
    pub answers: BTreeMap<String, usize>,
    /// How many hints of each task are shown.
    pub hints: BTreeMap<String, usize>,
    /// All tasks are solved.
    pub done: bool,
}

impl Progress {
    /// What is remembered of a lesson.
    pub fn load(lesson: &str) -> Progress {
        get(Keep::Always, &format!("progress.{lesson}")).map(|text| Progress::read(&text)).unwrap_or_default()
    }

    /// Remembers it; nothing done is nothing to remember.
    pub fn save(&self, lesson: &str) {
        let key = format!("progress.{lesson}");
        if *self == Progress::default() {
            remove(Keep::Always, &key);
        } else {
            set(Keep::Always, &key, &self.write());
        }
    }

    fn read(text: &str) -> Progress {
        let mut progress = Progress::default();
        for line in text.lines().take(500) {
            let mut words = line.split(' ');
            let (kind, id, n) = (words.next(), words.next().unwrap_or_default(), words.next());
            let n = n.and_then(|n| n.parse::<usize>().ok()).filter(|n| *n < 100);
            match (kind, n) {
                (Some("done"), _) => progress.done = true,
                (Some("solved"), _) if !id.is_empty() => progress.solve(id),
                (Some("answer"), Some(n)) => drop(progress.answers.insert(id.into(), n)),
                (Some("hints"), Some(n)) => drop(progress.hints.insert(id.into(), n)),
                _ => {}
            }
        }
        progress
    }

    fn write(&self) -> String {
        let mut text = String::new();
        for id in &self.solved {
            text.push_str(&format!("solved {id}\n"));
        }
        for (id, n) in &self.answers {
            text.push_str(&format!("answer {id} {n}\n"));
        }
        for (id, n) in &self.hints {
            text.push_str(&format!("hints {id} {n}\n"));
        }
        if self.done {
            text.push_str("done\n");
        }
        text
    }

    /// Whether a task is solved.
    pub fn has(&self, task: &str) -> bool {
        self.solved.iter().any(|t| t == task)
    }

    /// A task is solved.
    pub fn solve(&mut self, task: &str) {
        if !self.has(task) {
            self.solved.push(task.to_owned());
        }
    }

    /// A task is open again.
    pub fn reopen(&mut self, task: &str) {
        self.solved.retain(|t| t != task);
        self.hints.remove(task);
        self.done = false;
    }
}

/// A cluster at a moment, with the editor's text: what a link holds, and what survives a reload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Id of the lesson, or `playground`.
    pub page: String,
    /// [`fingerprint`] of the scenario; on another one the commands mean something else.
    pub scenario: u64,
    /// What was done.
    pub commands: Vec<Recorded>,
    /// Which moment was shown.
    pub at: Time,
    /// Whether time ran.
    pub playing: bool,
    /// What stood in the editor; None: the lesson's own text.
    pub yaml: Option<String>,
}

impl Moment {
    /// As letters, digits, `-` and `_`.
    pub fn write(&self) -> String {
        to_base64(&lab_protocol::encode(self))
    }

    /// None: it wasn't written by this version.
    pub fn read(text: &str) -> Option<Moment> {
        if text.len() > LONGEST_MOMENT {
            return None;
        }
        lab_protocol::decode(&from_base64(text)?).ok()
    }
}

/// Tells one text from another (FNV-1a).
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for i in 0..=chunk.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * i)) as usize & 63]));
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0u32);
    for c in text.bytes() {
        let value = LETTERS.iter().position(|l| *l == c)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_base64() {
        for length in 0..40u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37)).collect();
            assert_eq!(from_base64(&to_base64(&bytes)), Some(bytes));
        }
        assert_eq!(from_base64("a b"), None);
    }

    #[test]
    fn progress_is_read_with_caution() {
        let progress =
            Progress::read("solved one\nanswer q 2\nanswer q2 minus\nhints one 99999\nnonsense\n\ndone\nsolved ");
        assert_eq!(progress.solved, ["one"]);
        assert_eq!(progress.answers.len(), 1);
        assert!(progress.hints.is_empty() && progress.done);
        assert_eq!(Progress::read(&progress.write()), progress);
    }

    #[test]
    fn a_moment_survives_and_nonsense_is_refused() {
        let moment = Moment { page: "first-service".into(), at: Time::from_millis(1234), ..Moment::default() };
        assert_eq!(Moment::read(&moment.write()), Some(moment));
        assert_eq!(Moment::read("AAAA"), None);
        assert_eq!(Moment::read("%%"), None);
    }
}
