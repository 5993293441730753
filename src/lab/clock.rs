//! The viewer's clock: which moment is shown, and how far ahead of it the engine must be.

use lab_base::{Span, Time};

/// Speeds that can be chosen.
pub const SPEEDS: [f64; 10] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
/// How long a dot takes from the client to the Service, at 1x, in milliseconds.
pub const FIRST_EDGE: f64 = 620.0;
/// And from there to the Pod.
pub const SECOND_EDGE: f64 = 760.0;
/// Distance of the engine's frames at 1x.
const FRAME: u64 = 50_000;
/// How much longer than a dot's way the engine runs ahead.
const SLACK: f64 = 250_000.0;
/// Longest step of wall time taken in one go: a page that was busy doesn't jump.
const LONGEST: f64 = 100.0;

/// Plays a run.
#[derive(Clone, Debug)]
pub struct Clock {
    view: f64,
    /// Whether time runs.
    pub playing: bool,
    /// How many simulated seconds pass in one.
    pub speed: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock { view: 0.0, playing: false, speed: 1.0 }
    }
}

impl Clock {
    /// The moment that is shown.
    pub fn view(&self) -> Time {
        Time::from_micros(self.view as u64)
    }
    /// Shows another moment.
    pub fn set(&mut self, at: Time) {
        self.view = at.as_micros() as f64;
    }
    /// By how much dots are stretched in simulated time: below 1x they slow down with time, above they keep their pace.
    pub fn stretch(&self) -> f64 {
        self.speed.max(1.0)
    }
    /// How far ahead of the shown moment the engine must be.
    pub fn lead(&self) -> Span {
        Span::from_micros((1_500_000.0 * self.stretch() + SLACK) as u64)
    }
    /// Distance of frames to ask for.
    pub fn frame_step(&self) -> Span {
        Span::from_micros(FRAME * (self.stretch().round() as u64).max(1))
    }
    /// How far the engine is asked to run when it has come to `reached`; None: it is far enough.
    pub fn wanted(&self, reached: Time) -> Option<Time> {
        let need = self.view() + self.lead();
        if reached >= need {
            return None;
        }
        let block = self.frame_step().as_micros() * 5;
        Some(Time::from_micros(need.as_micros().div_ceil(block) * block))
    }
    /// Lets wall time pass. Never shows what the engine hasn't told; at 1x and below not even a dot of which only the end is known.
    pub fn pass(&mut self, wall_ms: f64, reached: Time) -> bool {
        if !self.playing {
            return false;
        }
        let ahead = if self.speed <= 1.0 { (FIRST_EDGE + SECOND_EDGE) * 1_000.0 } else { 0.0 };
        let limit = reached.as_micros() as f64 - ahead;
        let next = (self.view + wall_ms.clamp(0.0, LONGEST) * 1_000.0 * self.speed).min(limit);
        let moved = next > self.view;
        self.view = self.view.max(next);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_follows_the_wall_at_the_chosen_speed() {
        let mut clock = Clock { playing: true, speed: 0.1, ..Clock::default() };
        assert!(clock.pass(50.0, Time::from_secs(9)));
        assert_eq!(clock.view(), Time::from_millis(5));
        clock.speed = 10.0;
        clock.pass(100.0, Time::from_secs(9));
        assert_eq!(clock.view(), Time::from_millis(1_005));
    }

    #[test]
    fn never_shows_what_the_engine_has_not_told() {
        let mut clock = Clock { playing: true, speed: 100.0, ..Clock::default() };
        for _ in 0..50 {
            clock.pass(100.0, Time::from_secs(3));
        }
        assert_eq!(clock.view(), Time::from_secs(3));
        let mut slow = Clock { playing: true, ..Clock::default() };
        for _ in 0..50 {
            slow.pass(100.0, Time::from_secs(3));
        }
        assert!(slow.view() < Time::from_secs(2));
    }

    #[test]
    fn the_engine_is_asked_for_whole_frames_and_left_alone_when_far_enough() {
        let clock = Clock { speed: 5.0, ..Clock::default() };
        let to = clock.wanted(Time::ZERO).unwrap_or_default();
        assert!(to >= Time::ZERO + clock.lead());
        assert_eq!(to.as_micros() % clock.frame_step().as_micros(), 0);
        assert_eq!(clock.wanted(to), None);
    }
}
