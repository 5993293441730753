//! Chances that rules take.

/// A number that a rule draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// `-m statistic --mode random`. Way 0: it held; way 1: it did not.
    Statistic {
        /// Of 2^31 numbers, how many hold.
        threshold: u32,
    },
    /// `numgen random mod`.
    Numgen(u32),
    /// A virtual server's real servers, of so many parts in all. Only ways are asked for, never drawn.
    Share(u32),
}

impl Draw {
    /// The way that 32 random bits choose.
    pub(crate) const fn way(self, bits: u32) -> u32 {
        match self {
            // xt_statistic.c: (get_random_u32() & 0x7FFFFFFF) < probability
            Draw::Statistic { threshold } => ((bits & 0x7fff_ffff) >= threshold) as u32,
            // nft_numgen.c: reciprocal_scale(get_random_u32(), modulus)
            Draw::Numgen(n) | Draw::Share(n) => ((bits as u64 * n as u64) >> 32) as u32,
        }
    }
    /// How many ways there are.
    pub(crate) const fn ways(self) -> u32 {
        match self {
            Draw::Statistic { threshold } if threshold >= 1 << 31 => 1,
            Draw::Statistic { .. } => 2,
            Draw::Numgen(0) | Draw::Share(0) => 1,
            Draw::Numgen(n) | Draw::Share(n) => n,
        }
    }
    /// How likely a way is.
    pub(crate) fn chance(self, way: u32) -> f64 {
        match self {
            Draw::Statistic { threshold } => {
                let held = f64::from(threshold) / f64::from(1u32 << 31);
                if way == 0 { held } else { 1.0 - held }
            }
            Draw::Share(n) => 1.0 / f64::from(n.max(1)),
            // Of 2^32 numbers, those that are scaled to this way.
            Draw::Numgen(n) => {
                let first = |way: u32| (u64::from(way) << 32).div_ceil(u64::from(n.max(1)));
                (first(way + 1) - first(way)) as f64 / (1u64 << 32) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numgen_gives_each_way_its_part_of_all_numbers() {
        for n in [1, 2, 3, 7, 1000] {
            let draw = Draw::Numgen(n);
            let total: f64 = (0..draw.ways()).map(|way| draw.chance(way)).sum();
            assert!((total - 1.0).abs() < 1e-12, "{n}: {total}");
            assert_eq!((draw.way(0), draw.way(u32::MAX)), (0, n - 1));
        }
        assert_eq!(Draw::Numgen(2).way(1 << 31), 1);
        assert_eq!(Draw::Numgen(2).way((1 << 31) - 1), 0);
        assert_eq!(Draw::Numgen(4).chance(3), 0.25);
    }
}
