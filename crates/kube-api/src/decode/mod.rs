//! Strict decoding, as the API server does it, and the way to the lean objects.

pub(crate) mod kinds;
mod lean;
mod strict;

pub use kinds::is_kind_of_kubernetes;
pub(crate) use lean::{lean, namespace};
pub(crate) use strict::{Decoded, decode, go_quote, json_type};
