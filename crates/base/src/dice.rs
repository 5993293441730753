//! Chance as a function of (seed, source, subject, ordinal).
//!
//! No generator carries state from draw to draw. So one event more never shifts another's luck, and
//! two runs that differ in one setting meet the same luck everywhere else.

use core::fmt;
use serde::{Deserialize, Serialize};

/// What a draw is for. Each use has its own, so two uses never share luck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u16)]
pub enum Source {
    /// `-m statistic --mode random` in a node's rules; subject: connection.
    Statistic = 1,
    /// When the next request of a client leaves; subject: client.
    Arrival = 2,
    /// How long a server works on a request; subject: request.
    ServiceTime = 3,
    /// Time a packet spends on a link; subject: packet.
    LinkDelay = 4,
    /// Time from a change in the API server to its arrival at a watcher; subject: watcher.
    WatchDelay = 5,
    /// Time to pull an image and start a container; subject: Pod.
    StartUp = 6,
    /// Random parts of names; subject: owner.
    Name = 7,
    /// Random start of an allocator's search; subject: Service.
    Allocation = 8,
    /// Phase of a periodic task (lease, probe, relist); subject: its component.
    Phase = 9,
    /// Where a component's own work time varies; subject: the component.
    Work = 10,
    /// A client's ephemeral source port; subject: client.
    SourcePort = 11,
    /// A server's own random errors; subject: request.
    ServerError = 12,
    /// Time of a question to CoreDNS and its answer; subject: client.
    DnsDelay = 13,
    /// How long a client waits before it tries again; subject: client.
    Retry = 14,
    /// Whether a packet is lost on a bad link; subject: client.
    PacketLoss = 15,
    /// Which node a router or a load balancer sends a connection to; subject: connection.
    Route = 16,
}

/// The seed of a run, from which every draw follows.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dice(u64);

impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dice(seed {})", self.0)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): each input bit flips each output bit about half the time.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    /// The dice of the run with this seed.
    pub const fn new(seed: u64) -> Dice {
        Dice(seed)
    }
    /// The seed.
    pub const fn seed(self) -> u64 {
        self.0
    }
    /// The draw number `ordinal` of `source` for `subject`.
    pub const fn roll(self, source: Source, subject: u64, ordinal: u64) -> Roll {
        self.rolls(source, subject).nth(ordinal)
    }
    /// All draws of `source` for `subject`.
    pub const fn rolls(self, source: Source, subject: u64) -> Rolls {
        let a = mix(self.0.wrapping_add(GOLDEN));
        let b = mix(a ^ (source as u64).wrapping_mul(GOLDEN));
        Rolls(mix(b ^ subject.wrapping_add(GOLDEN)))
    }
}

/// The draws of one source for one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolls(u64);

impl Rolls {
    /// The draw of this number.
    pub const fn nth(self, ordinal: u64) -> Roll {
        Roll(mix(self.0 ^ ordinal.wrapping_mul(GOLDEN).wrapping_add(1)))
    }
}

/// A number for something that has a name, to be the subject of draws (FNV-1a over the parts, with a separator).
pub fn subject(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain(core::iter::once(0xff)) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// One draw: 64 uniform bits, read in the way that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roll(u64);

impl Roll {
    /// All 64 bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
    /// The high 32 bits.
    pub const fn u32(self) -> u32 {
        (self.0 >> 32) as u32
    }
    /// Uniform in `0..n`; `0` when `n` is 0.
    pub const fn below(self, n: u64) -> u64 {
        ((self.0 as u128 * n as u128) >> 64) as u64
    }
    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    pub fn unit(self) -> f64 {
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
    /// Exponential with this mean (the gap between events that come at random), same bits on every target.
    pub fn exponential(self, mean: crate::Span) -> crate::Span {
        let x = -libm::log(1.0 - self.unit()) * mean.as_micros() as f64;
        crate::Span::from_micros(x as u64)
    }
    /// Uniform between two lengths of time, both included.
    pub fn between(self, low: crate::Span, high: crate::Span) -> crate::Span {
        let (low, high) = (low.as_micros(), high.as_micros());
        crate::Span::from_micros(low + self.below(high.saturating_sub(low) + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_each_argument() {
        let d = Dice::new(7);
        let one = d.roll(Source::Arrival, 1, 1).bits();
        assert_eq!(one, Dice::new(7).roll(Source::Arrival, 1, 1).bits());
        assert_ne!(one, Dice::new(8).roll(Source::Arrival, 1, 1).bits());
        assert_ne!(one, d.roll(Source::Name, 1, 1).bits());
        assert_ne!(one, d.roll(Source::Arrival, 2, 1).bits());
        assert_ne!(one, d.roll(Source::Arrival, 1, 2).bits());
    }

    #[test]
    fn draws_are_uniform() {
        // 100,000 draws in 16 cells: each holds 6,250 +- 5 standard deviations (76.5 each).
        let d = Dice::new(3);
        let mut cells = [0u32; 16];
        for i in 0..100_000 {
            cells[d.roll(Source::Statistic, i, 0).below(16) as usize] += 1;
        }
        assert!(cells.iter().all(|c| c.abs_diff(6_250) < 383), "{cells:?}");
    }
}
