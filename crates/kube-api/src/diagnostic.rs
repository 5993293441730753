use crate::yaml::Span;
use serde::{Deserialize, Serialize};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// The object is refused.
    Error,
    /// The object is taken; something about it deserves a word.
    Warning,
}

/// Something to say about a place in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The API server's or go-yaml's own words where they have any.
    pub message: String,
    /// `spec.ports[0].port`, or empty.
    pub path: String,
    /// Where it stands; a missing field stands at its parent's key.
    pub span: Span,
    /// How much it weighs.
    pub severity: Severity,
    /// Which document of the text, from 0.
    pub document: u32,
    /// What was probably meant instead: a field's name.
    pub hint: Option<String>,
    /// What it is about, where the words are our own.
    pub remark: Option<Box<Remark>>,
}

/// What no API server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remark {
    /// Kubernetes acts on this field, the simulation doesn't.
    WithoutEffect,
    /// The object is stored, but no controller acts on its kind.
    NoController {
        /// `StatefulSet`.
        kind: String,
    },
    /// Kubernetes has this kind, the simulation hasn't.
    NotSimulated {
        /// `Ingress`.
        kind: String,
        /// `networking.k8s.io/v1`.
        version: String,
    },
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(message: impl Into<String>, path: impl Into<String>, span: Span, document: u32) -> Self {
        Diagnostic {
            message: message.into(),
            path: path.into(),
            span,
            severity: Severity::Error,
            document,
            hint: None,
            remark: None,
        }
    }
    /// A warning at a place.
    pub fn warning(message: impl Into<String>, path: impl Into<String>, span: Span, document: u32) -> Self {
        Diagnostic { severity: Severity::Warning, ..Self::error(message, path, span, document) }
    }
}
