//! What the engine has told so far: scenes by time, requests in motion, charts, marks, tasks.

use super::scene::Scene;
use lab_base::{Span, Time};
use lab_protocol::{Frame, Id, Mark, Motion, Outcome, Second, TaskReport};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Scenes younger than this are all kept; older ones twice a second.
const DENSE: Span = Span::from_secs(60);
/// Older scenes are forgotten; the engine can go back to them.
const KEPT: Span = Span::from_secs(600);
/// Distance of the older scenes.
const THIN: u64 = 500_000;
/// No more motions than these are kept.
const MAX_MOTIONS: usize = 30_000;

/// Frames of one cluster, put together.
#[derive(Default)]
pub struct FrameStore {
    scenes: BTreeMap<Time, Arc<Scene>>,
    motions: BTreeMap<(Time, u64), Motion>,
    arrival: BTreeMap<u64, Time>,
    waiting: BTreeMap<(Time, u64), Time>,
    stale: BTreeSet<(Time, u64)>,
    seconds: BTreeMap<u32, Second>,
    marks: BTreeMap<u64, Mark>,
    tasks: BTreeMap<Time, Arc<Vec<TaskReport>>>,
    reached: Time,
    thinned: Time,
    /// Rises whenever marks change.
    pub marks_version: u64,
    /// Rises whenever the charts change.
    pub chart_version: u64,
}

impl FrameStore {
    /// Takes in frames. After a key frame that follows a command (`branch`), what was told of later times is void; after one
    /// that follows a seek, later marks will come again and stay.
    pub fn take(&mut self, frames: &[Frame], reached: Time, branch: bool) {
        let before = self.reached;
        for frame in frames {
            if frame.key {
                self.cut(frame, branch);
            }
            let base = self.scenes.range(..=frame.at).next_back().map(|(_, s)| s.clone()).unwrap_or_default();
            self.scenes.insert(frame.at, Arc::new(base.after(frame)));
            for motion in &frame.motions {
                self.put_motion(motion);
            }
            for second in &frame.seconds {
                self.seconds.insert(second.second, second.clone());
            }
            for mark in &frame.marks {
                self.marks.insert(mark.seq, mark.clone());
                self.marks_version += 1;
            }
            if !frame.seconds.is_empty() {
                self.chart_version += 1;
            }
            if !frame.tasks.is_empty() {
                self.put_tasks(frame);
            }
        }
        self.reached = reached;
        let void: Vec<_> = self.stale.range(..=(reached, u64::MAX)).copied().collect();
        for key in void {
            self.drop_motion(key);
        }
        if reached >= before || reached.since(self.thinned) > DENSE.times(2) {
            self.thin();
        }
    }

    fn cut(&mut self, key: &Frame, branch: bool) {
        self.scenes.split_off(&key.at);
        self.tasks.split_off(&(key.at + Span::from_micros(1)));
        let later = self.motions.range((key.at + Span::from_micros(1), 0)..).map(|(k, _)| *k);
        self.stale.extend(later);
        self.seconds.split_off(&((key.at.as_micros() / 1_000_000) as u32));
        if branch {
            self.marks.clear();
        }
        self.marks_version += 1;
        self.chart_version += 1;
        self.thinned = self.thinned.min(key.at);
    }

    fn put_tasks(&mut self, frame: &Frame) {
        let before = self.tasks.range(..=frame.at).next_back().filter(|_| !frame.key);
        let mut all = before.map(|(_, all)| all.to_vec()).unwrap_or_default();
        for report in &frame.tasks {
            match all.iter_mut().find(|r| r.id == report.id) {
                Some(old) => *old = report.clone(),
                None => all.push(report.clone()),
            }
        }
        self.tasks.insert(frame.at, Arc::new(all));
    }

    fn put_motion(&mut self, motion: &Motion) {
        if let Some(at) = self.arrival.get(&motion.id).copied() {
            self.drop_motion((at, motion.id));
        }
        let key = (motion.arrives, motion.id);
        self.arrival.insert(motion.id, motion.arrives);
        if motion.outcome == Outcome::TimedOut {
            self.waiting.insert((motion.ends, motion.id), motion.arrives);
        }
        self.motions.insert(key, motion.clone());
        if self.motions.len() > MAX_MOTIONS
            && let Some(first) = self.motions.keys().next().copied()
        {
            self.drop_motion(first);
        }
    }

    fn drop_motion(&mut self, key: (Time, u64)) {
        self.stale.remove(&key);
        if let Some(motion) = self.motions.remove(&key) {
            self.arrival.remove(&motion.id);
            self.waiting.remove(&(motion.ends, motion.id));
        }
    }

    fn thin(&mut self) {
        let dense = self.reached - DENSE;
        if dense.since(self.thinned) < DENSE {
            return;
        }
        let mut last = u64::MAX;
        let excess: Vec<Time> = self
            .scenes
            .range(self.thinned..dense)
            .filter(|(at, _)| {
                let slot = at.as_micros() / THIN;
                let same = slot == last;
                last = slot;
                same
            })
            .map(|(at, _)| *at)
            .collect();
        for at in excess {
            self.scenes.remove(&at);
        }
        let kept = self.reached - KEPT;
        self.scenes = self.scenes.split_off(&kept);
        self.tasks = self.tasks.split_off(&kept);
        self.thinned = dense;
    }

    /// How far the engine has come.
    pub fn reached(&self) -> Time {
        self.reached
    }

    /// The first moment that can be shown without asking the engine.
    pub fn first(&self) -> Time {
        self.scenes.keys().next().copied().unwrap_or_default()
    }

    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        self.scenes.is_empty()
    }

    /// The scene at a moment: the last one told not after it.
    pub fn scene(&self, at: Time) -> Option<Arc<Scene>> {
        self.scenes.range(..=at).next_back().map(|(_, s)| s.clone())
    }

    /// Requests whose first packet reaches its end between the moments.
    pub fn motions(&self, from: Time, to: Time) -> impl DoubleEndedIterator<Item = &Motion> {
        self.motions.range((from, 0)..=(to, u64::MAX)).map(|(_, m)| m)
    }

    /// The request of this number.
    pub fn motion(&self, id: u64) -> Option<&Motion> {
        self.motions.get(&(*self.arrival.get(&id)?, id))
    }

    /// Requests that arrived before `at` and whose client gives up after `fading`.
    pub fn waiting(&self, at: Time, fading: Time) -> impl Iterator<Item = &Motion> {
        self.waiting
            .range((fading, 0)..)
            .filter(move |(_, arrives)| **arrives < at)
            .filter_map(|((_, id), arrives)| self.motions.get(&(*arrives, *id)))
    }

    /// Seconds of the charts.
    pub fn seconds(&self, from: u32, to: u32) -> impl Iterator<Item = &Second> {
        self.seconds.range(from..=to).map(|(_, s)| s)
    }

    /// Marks not after `until`.
    pub fn marks(&self, until: Time) -> Vec<Mark> {
        self.marks.values().filter(|m| m.at <= until).cloned().collect()
    }

    /// How the tasks stand at a moment. What was solved once stays solved.
    pub fn tasks(&self, at: Time, solved: &[TaskReport]) -> Vec<TaskReport> {
        let mut now = self.tasks.range(..=at).next_back().map(|(_, all)| all.to_vec()).unwrap_or_default();
        for old in solved {
            match now.iter_mut().find(|r| r.id == old.id) {
                Some(report) if report.solved_at.is_none() => *report = old.clone(),
                _ => {}
            }
        }
        now
    }

    /// Answered requests a second of a Pod over the `window` before `at`.
    pub fn pod_rate(&self, pod: Id, at: Time, window: Span) -> f64 {
        self.rate(at, window, |s| s.pods.get(&pod).map(|p| p.answered))
    }

    /// Requests sent and failed a second of a client over the `window` before `at`.
    pub fn client_rates(&self, client: Id, at: Time, window: Span) -> (f64, f64) {
        (
            self.rate(at, window, |s| s.clients.get(&client).map(|c| c.sent)),
            self.rate(at, window, |s| s.clients.get(&client).map(|c| c.counts.failed())),
        )
    }

    fn rate(&self, at: Time, window: Span, count: impl Fn(&Scene) -> Option<u64>) -> f64 {
        let Some(now) = self.scene(at) else { return 0.0 };
        let from = at - window;
        let then = self.scene(from).or_else(|| self.scenes.values().next().cloned());
        let Some(then) = then else { return 0.0 };
        let length = at.since(from.max(then.at)).as_secs_f64();
        let delta = count(&now).unwrap_or(0).saturating_sub(count(&then).unwrap_or(0));
        if length < 0.05 { 0.0 } else { delta as f64 / length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_protocol::{Counts, MarkKind, Phrase};

    fn motion(id: u64, arrives: u64, outcome: Outcome) -> Motion {
        let at = Time::from_millis;
        Motion {
            id,
            client: Id(1),
            service: Some(Id(2)),
            port: 0,
            node: Id(3),
            pod: Some(Id(4)),
            sent: at(arrives),
            arrives: at(arrives),
            ends: at(arrives + 1_000),
            outcome,
        }
    }
    fn frame(ms: u64, key: bool, motions: Vec<Motion>) -> Frame {
        let totals = Counts([ms, 0, 0, 0, 0, 0]);
        Frame { at: Time::from_millis(ms), key, totals, motions, ..Frame::default() }
    }

    #[test]
    fn shows_the_last_scene_not_after_the_moment() {
        let mut store = FrameStore::default();
        store.take(&[frame(0, true, vec![]), frame(50, false, vec![])], Time::from_millis(50), false);
        assert_eq!(store.scene(Time::from_millis(49)).map(|s| s.totals.0[0]), Some(0));
        assert_eq!(store.scene(Time::from_millis(60)).map(|s| s.totals.0[0]), Some(50));
    }

    #[test]
    fn a_command_voids_what_was_told_of_later_times() {
        let mut store = FrameStore::default();
        let old = frame(0, true, vec![motion(1, 40, Outcome::Answered), motion(2, 400, Outcome::Answered)]);
        store.take(&[old, frame(500, false, vec![])], Time::from_millis(500), false);
        store.take(&[frame(100, true, vec![])], Time::from_millis(100), true);
        assert_eq!(store.scene(Time::from_millis(900)).map(|s| s.at), Some(Time::from_millis(100)));
        // Until the engine has told that time again, the dots on their way stay, so that nothing flickers.
        assert_eq!(store.motions(Time::ZERO, Time::FOREVER).count(), 2);
        store.take(&[frame(450, false, vec![motion(2, 420, Outcome::Refused)])], Time::from_millis(450), false);
        let left: Vec<_> = store.motions(Time::ZERO, Time::FOREVER).map(|m| (m.id, m.outcome)).collect();
        assert_eq!(left, [(1, Outcome::Answered), (2, Outcome::Refused)]);
    }

    #[test]
    fn a_request_that_times_out_waits_until_its_client_gives_up() {
        let mut store = FrameStore::default();
        store.take(&[frame(0, true, vec![motion(1, 100, Outcome::TimedOut)])], Time::ZERO, false);
        let at = Time::from_millis;
        assert_eq!(store.waiting(at(600), at(0)).count(), 1);
        assert_eq!(store.waiting(at(50), at(0)).count(), 0);
        assert_eq!(store.waiting(at(2_500), at(1_400)).count(), 0);
    }

    #[test]
    fn a_solved_task_stays_solved_on_rewind() {
        let report = |id: &str, ms: Option<u64>| TaskReport {
            id: id.into(),
            solved_at: ms.map(Time::from_millis),
            finding: None,
        };
        let mut first = frame(0, true, vec![]);
        first.tasks = vec![report("a", None), report("b", None)];
        let mut later = frame(500, false, vec![]);
        later.tasks = vec![report("b", Some(500))];
        let mut store = FrameStore::default();
        store.take(&[first, later], Time::from_secs(1), false);
        let now = store.tasks(Time::from_millis(700), &[]);
        assert_eq!(now.iter().map(|t| t.solved_at.is_some()).collect::<Vec<_>>(), [false, true]);
        assert!(store.tasks(Time::from_millis(100), &[])[1].solved_at.is_none());
        assert!(store.tasks(Time::from_millis(100), &now[1..])[1].solved_at.is_some());
    }

    #[test]
    fn old_scenes_are_thinned_and_forgotten() {
        let mut store = FrameStore::default();
        for i in 0..20_000u64 {
            store.take(&[frame(i * 50, i == 0, vec![])], Time::from_millis(i * 50), false);
        }
        assert!(store.scenes.len() < 5_000, "{}", store.scenes.len());
        assert!(store.first() > Time::from_secs(300));
    }

    #[test]
    fn a_seek_keeps_later_marks_and_a_command_drops_them() {
        let mark = |seq, ms| Mark {
            seq,
            at: Time::from_millis(ms),
            kind: MarkKind::Change,
            object: String::new(),
            phrase: Phrase::default(),
        };
        let mut store = FrameStore::default();
        let mut first = frame(0, true, vec![]);
        first.marks = vec![mark(1, 0), mark(2, 800)];
        store.take(&[first], Time::from_secs(1), false);
        let mut key = frame(100, true, vec![]);
        key.marks = vec![mark(1, 0)];
        store.take(&[key.clone()], Time::from_millis(100), false);
        assert_eq!(store.marks(Time::FOREVER).len(), 2);
        store.take(&[key], Time::from_millis(100), true);
        assert_eq!(store.marks(Time::FOREVER).len(), 1);
    }
}
