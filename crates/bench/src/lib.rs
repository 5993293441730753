//! What is timed: the same works natively and as wasm under Node (`./lab bench`).
//!
//! A work prepares what it needs, and is then run several times; only the runs are timed. Each run comes to a checksum,
//! so that a faster wrong run shows, and native and wasm can be held against each other.
#![forbid(unsafe_code)]

use std::any::Any;

mod proxy;
mod runs;
mod typing;
#[cfg(target_arch = "wasm32")]
mod wasm;

/// What a run came to.
pub struct Done {
    /// The same for the same work.
    pub checksum: String,
    /// What was made, to be dropped when the clock doesn't run.
    pub kept: Box<dyn Any>,
}

impl From<String> for Done {
    fn from(checksum: String) -> Done {
        Done { checksum, kept: Box::new(()) }
    }
}

/// Something whose time matters.
pub struct Work {
    /// What is done.
    pub name: &'static str,
    /// How much of it one run does.
    pub size: &'static str,
    /// How many of `size` there are in a run, where a rate is told.
    pub count: u64,
    /// Most milliseconds a run may take natively and as wasm, where the project has set itself a mark.
    pub budget: Option<(f64, f64)>,
    /// Makes ready; the result is what is timed.
    pub prepare: fn() -> Box<dyn FnMut() -> Done>,
}

/// Every work.
pub fn works() -> Vec<Work> {
    let mut all = proxy::works();
    all.extend(runs::works());
    all.extend(typing::works());
    all
}
