//! What is to be seen of a request at one moment: a pure function of the moment.

use crate::lab::clock::{FIRST_EDGE, SECOND_EDGE};
use lab_base::{Span, Time};
use lab_protocol::{Motion, Outcome};

/// How long a refusal is seen, in milliseconds.
pub const BURST: f64 = 520.0;
/// How long the ring of a request that timed out fades.
pub const RING: f64 = 1_100.0;
/// At speeds above 1x no more dots than these a second of wall time and client.
const SAMPLED: f64 = 20.0;

/// How a failure looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blot {
    /// Refused: eight spokes.
    Burst,
    /// Broken off: two short strokes apart.
    Broken,
    /// 5xx: a cross.
    Cross,
    /// The name doesn't exist: a burst at the client.
    Unknown,
}

/// What is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// On the first edge, at this part of it.
    First(f64),
    /// On the second edge.
    Second(f64),
    /// A failure, at this part of its short life; `true`: at the Pod, else before it.
    Blot(Blot, f64),
    /// Waiting for an answer that won't come.
    Waits,
    /// Fading, after the client gave up.
    Fades(f64),
}

fn millis(later: Time, earlier: Time) -> f64 {
    later.as_micros() as f64 / 1_000.0 - earlier.as_micros() as f64 / 1_000.0
}

/// How far before and after its arrival a request can be seen.
pub fn window(at: Time, stretch: f64) -> (Time, Time) {
    let part = |ms: f64| Span::from_micros((ms * stretch * 1_000.0) as u64);
    (at - part(BURST), at + part(FIRST_EDGE + SECOND_EDGE))
}

/// Requests whose client gave up before this are not seen any more.
pub fn faded(at: Time, stretch: f64) -> Time {
    at - Span::from_micros((RING * stretch * 1_000.0) as u64)
}

/// What is seen of a request at `at`. `stretch`: by how much its way is stretched in simulated time.
pub fn phase(motion: &Motion, at: Time, stretch: f64) -> Option<Phase> {
    let unknown = motion.outcome == Outcome::NoSuchName;
    let second = if motion.pod.is_some() { SECOND_EDGE } else { 0.0 };
    let first = if unknown { 0.0 } else { FIRST_EDGE };
    let left = millis(motion.arrives, at) / stretch;
    if left > first + second {
        return None;
    }
    if left > second {
        return Some(Phase::First(1.0 - (left - second) / first));
    }
    if left > 0.0 {
        return Some(Phase::Second(1.0 - left / second));
    }
    let blot = |kind| {
        let part = -left / BURST;
        (part < 1.0).then_some(Phase::Blot(kind, part))
    };
    match motion.outcome {
        Outcome::Answered => None,
        Outcome::Refused => blot(Blot::Burst),
        Outcome::Reset => blot(Blot::Broken),
        Outcome::ServerError => blot(Blot::Cross),
        Outcome::NoSuchName => blot(Blot::Unknown),
        Outcome::TimedOut => {
            let over = millis(at, motion.ends) / stretch;
            match over {
                o if o < 0.0 => Some(Phase::Waits),
                o if o < RING => Some(Phase::Fades(o / RING)),
                _ => None,
            }
        }
    }
}

/// Whether a request is drawn at this speed: all of them up to 1x, beyond a fair sample.
pub fn sampled(motion: &Motion, rate: f64, speed: f64) -> bool {
    let per_second = rate * speed;
    if speed <= 1.0 || per_second <= SAMPLED {
        return true;
    }
    // Numbers of requests are handed out in turn, so that a plain remainder would favour some client.
    let mixed = motion.id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    (mixed as f64) < SAMPLED / per_second * (1_u64 << 24) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_protocol::Id;

    fn motion(outcome: Outcome, pod: bool) -> Motion {
        Motion {
            id: 7,
            client: Id(1),
            service: Some(Id(2)),
            port: 0,
            node: Id(3),
            pod: pod.then_some(Id(4)),
            sent: Time::from_millis(5_000),
            arrives: Time::from_millis(5_000),
            ends: Time::from_millis(6_000),
            outcome,
        }
    }
    fn at(motion: &Motion, ms: u64, stretch: f64) -> Option<Phase> {
        phase(motion, Time::from_millis(ms), stretch)
    }

    #[test]
    fn a_dot_leaves_in_time_and_arrives_exactly() {
        let m = motion(Outcome::Answered, true);
        assert_eq!(at(&m, 3_600, 1.0), None);
        assert_eq!(at(&m, 3_620, 1.0), Some(Phase::First(0.0)));
        assert_eq!(at(&m, 3_930, 1.0), Some(Phase::First(0.5)));
        assert_eq!(at(&m, 4_620, 1.0), Some(Phase::Second(0.5)));
        assert_eq!(at(&m, 5_000, 1.0), None);
        // At 10x it has the same wall time for its way.
        assert_eq!(at(&m, 1_200, 10.0), Some(Phase::Second(0.5)));
    }

    #[test]
    fn failures_are_seen_where_and_when_they_happen() {
        assert_eq!(at(&motion(Outcome::Refused, true), 5_260, 1.0), Some(Phase::Blot(Blot::Burst, 0.5)));
        assert_eq!(at(&motion(Outcome::Refused, false), 4_690, 1.0), Some(Phase::First(0.5)));
        assert_eq!(at(&motion(Outcome::TimedOut, true), 5_900, 1.0), Some(Phase::Waits));
        assert_eq!(at(&motion(Outcome::TimedOut, true), 6_550, 1.0), Some(Phase::Fades(0.5)));
        assert_eq!(at(&motion(Outcome::NoSuchName, false), 4_990, 1.0), None);
    }

    #[test]
    fn the_sample_is_fair_and_small() {
        let mut drawn = 0;
        for id in 0..10_000 {
            let m = Motion { id, ..motion(Outcome::Answered, true) };
            assert!(sampled(&m, 100.0, 1.0));
            drawn += usize::from(sampled(&m, 100.0, 10.0));
        }
        assert!((150..250).contains(&drawn), "{drawn}");
    }
}
