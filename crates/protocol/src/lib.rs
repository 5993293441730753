//! What the page and the engine say to each other: commands and requests in, frames out.
//!
//! The page holds no simulator and the engine no prose. Reasons travel as a [`Phrase`]: an id of the
//! language catalogues and its arguments. Every message is one version byte and then postcard.
#![forbid(unsafe_code)]

mod assist;
mod command;
mod failover;
mod frame;
mod lesson;
mod message;
mod view;
mod why;

pub use assist::*;
pub use command::*;
pub use failover::*;
pub use frame::*;
pub use lesson::*;
pub use message::*;
pub use view::*;
pub use why::*;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;

/// Version of the encoding; page and engine of one build always agree, a cached old worker may not.
pub const VERSION: u8 = 7;

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Nothing there.
    Empty,
    /// Written by another version.
    Version(u8),
    /// Not a message.
    Malformed,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Empty => f.write_str("empty message"),
            DecodeError::Version(v) => write!(f, "message of version {v}, expected {VERSION}"),
            DecodeError::Malformed => f.write_str("malformed message"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Bytes of a message.
///
/// # Panics
/// Never for the types of this crate: each of them can be encoded.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    postcard::to_extend(message, vec![VERSION]).unwrap_or_default()
}

/// Reads a message.
///
/// # Errors
/// Another version, or not a message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Empty),
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| DecodeError::Malformed),
        Some((&v, _)) => Err(DecodeError::Version(v)),
    }
}

/// A message of the language catalogues with its arguments: `phrase("node-off", [("node", "node-a")])`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phrase {
    /// Key in `public/i18n/*.json`.
    pub id: String,
    /// Values for `{name}` in the text.
    pub args: Vec<(String, String)>,
}

impl Phrase {
    /// A phrase without arguments.
    pub fn new(id: &str) -> Phrase {
        Phrase { id: id.into(), args: Vec::new() }
    }
    /// The same with one argument more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Phrase {
        self.args.push((name.into(), value.to_string()));
        self
    }
}
