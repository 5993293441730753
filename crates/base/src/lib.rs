//! What every floor of the house shares: simulated time, seeded chance, collections that share structure.
//!
//! Nothing here knows Kubernetes, the network or the browser. Time and chance are always
//! arguments, so the same inputs give the same run on every target.
#![forbid(unsafe_code)]

mod dice;
mod persistent;
mod time;

pub use dice::{Dice, Roll, Source, subject};
pub use persistent::{Entry, Iter, OrdMap, OrdSet, Paged, Vector};
pub use time::{Span, Time};
