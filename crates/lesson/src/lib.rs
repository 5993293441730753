//! Courses and lessons: their files, their text as safe HTML, and the checks that tick their tasks.
//!
//! Checks know nothing of the simulator but [`Facts`], so a lesson is judged by what happened in the
//! cluster, at simulated time, and never by what was typed. `world.rs` lets the simulator answer.
#![forbid(unsafe_code)]

mod chance;
mod check;
mod checker;
mod facts;
mod judge;
mod markdown;
mod read;
mod spec;
mod values;
mod view;
mod world;

pub use chance::binomial_interval;
pub use check::*;
pub use checker::Checker;
pub use facts::*;
pub use markdown::{Rendered, document, fragment, is_id};
pub use read::{Mistake, course, lesson, page_files};
pub use spec::*;
pub use values::{Amount, Length, Text};
pub use view::{lint, view};
pub use world::Checks;
