//! Collections that share structure: a clone costs one pointer, a change copies the nodes on its way only.
//!
//! Snapshots of the whole cluster are clones of these, so going back in time is cheap. They are ordered, so
//! iteration is the same on every machine, and written for little code per type of element: the engine holds some
//! forty kinds of maps, and each of them is downloaded by the learner.

mod map;
mod paged;
mod set;
mod vector;

pub use map::{Entry, Iter, OrdMap};
pub use paged::Paged;
pub use set::OrdSet;
pub use vector::Vector;
