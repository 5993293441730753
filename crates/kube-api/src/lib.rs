//! Kubernetes' API: objects, their YAML with places, defaults, validation, selectors.
//!
//! Types in [`objects`] are lean: they hold the fields that the simulation acts on, under the API's own names.
//! Text takes this way: [`yaml`] (places kept) -> [`manifest`] (strict decoding, validation, in the API server's
//! words) -> lean objects -> [`defaults`].
#![forbid(unsafe_code)]

pub mod assist;
pub mod decode;
pub mod defaults;
mod diagnostic;
pub mod manifest;
pub mod objects;
mod place;
mod quantity;
mod release;
mod schema;
pub mod timestamp;
pub mod validation;
pub mod wire;
pub mod yaml;

pub use diagnostic::{Diagnostic, Remark, Severity};
pub use objects::*;
pub use quantity::Quantity;
pub use release::Release;
