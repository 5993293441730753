//! Help while one writes: what can stand at a place, what a field means, how a mistake is put right, what will hardly do
//! what was meant, and what would become of an object.
//!
//! The text needn't parse; [`scan`] finds its way by indentation. Which fields there are is known from
//! `data/schema.txt` and `data/lab.txt`; what they mean comes from a [`Reference`], and without one all but the words and
//! values is there. Lines and columns count from 1, in Unicode characters, as in diagnostics.

mod advice;
mod complete;
mod diff;
mod fix;
mod hover;
mod reference;
mod scan;
mod slot;

pub use advice::{Advice, Backend, Doubt, advice};
pub use complete::{Suggestion, Suggestions, What, complete};
pub use diff::diff;
pub use fix::{Edit, Fix, Remedy, fixes};
pub use hover::{Hover, hover};
pub use reference::Reference;
pub use slot::{Field, FieldType, fields_of, type_of_kind};
