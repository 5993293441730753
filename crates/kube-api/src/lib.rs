//! Kubernetes' API: objects, their YAML with places, defaults, validation, selectors.
//!
//! Types here are lean: they hold the fields that the simulation acts on, under the API's own names.
#![forbid(unsafe_code)]

pub mod objects;

pub use objects::*;
