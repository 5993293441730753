//! Courses and lessons: their files, their text as safe HTML, and the checks that tick their tasks.
//!
//! Nothing here knows the simulator: [`Facts`] is all that a check may ask, so a lesson is judged by
//! what happened in the cluster, at simulated time, and never by what was typed.
#![forbid(unsafe_code)]

mod facts;

pub use facts::*;
