//! Chances that rules take.

use crate::Probability;

/// A number that a rule draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// `-m statistic --mode random`. Way 0: it held; way 1: it did not.
    Statistic(Probability),
}

impl Draw {
    /// The way that 32 random bits choose.
    pub(crate) const fn way(self, bits: u32) -> u32 {
        match self {
            // xt_statistic.c: (get_random_u32() & 0x7FFFFFFF) < probability
            Draw::Statistic(p) => ((bits & 0x7fff_ffff) >= p.threshold()) as u32,
        }
    }
    /// How many ways there are.
    pub(crate) const fn ways(self) -> u32 {
        match self {
            Draw::Statistic(p) if p.threshold() >= 1 << 31 => 1,
            Draw::Statistic(_) => 2,
        }
    }
    /// How likely a way is.
    pub(crate) fn chance(self, way: u32) -> f64 {
        match self {
            Draw::Statistic(p) if way == 0 => p.chance(),
            Draw::Statistic(p) => 1.0 - p.chance(),
        }
    }
}
