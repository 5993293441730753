//! What every floor of the house shares: simulated time and seeded chance.
//!
//! Nothing here knows Kubernetes, the network or the browser. Time and chance are always
//! arguments, so the same inputs give the same run on every target.
#![forbid(unsafe_code)]

mod dice;
mod time;

pub use dice::{Dice, Roll, Source, subject};
pub use time::{Span, Time};
