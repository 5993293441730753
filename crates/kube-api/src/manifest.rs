//! Manifests: texts of several documents, each an object of Kubernetes or of our own (`apiVersion: lab/v1`).

use crate::decode::{self, Decoded};
use crate::validation;
use crate::yaml::{self, Span, Tree, Value};
use crate::{Diagnostic, Kind, Object, Release, Remark, place as places, schema};

/// One object of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Where its document begins.
    pub span: Span,
    /// Which document of the text, from 0.
    pub document: u32,
    /// What it is.
    pub content: Content,
    /// The text it was read from.
    pub tree: Tree,
}

/// What a manifest is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// An object of Kubernetes: decoded, its namespace filled in; not defaulted otherwise.
    Object(Object),
    /// One of our own kinds, `apiVersion: lab/v1`.
    Lab {
        /// `kind`.
        kind: String,
        /// `metadata.name`, or empty.
        name: String,
        /// All of it, for [`yaml::from_tree`].
        tree: Tree,
    },
}

/// What a text holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The objects without mistakes, in the order of the text.
    pub manifests: Vec<Manifest>,
    /// Every mistake and remark, one by one, each at its place.
    pub diagnostics: Vec<Diagnostic>,
    /// What the API server answers to the same text: it stops at the first kind of mistake, and can put several
    /// into one answer.
    pub answers: Vec<Diagnostic>,
}

/// The `apiVersion` of our own kinds.
pub const LAB: &str = "lab/v1";

/// Reads a text as the newest release does.
pub fn parse(text: &str) -> Parsed {
    parse_as(text, Release::default())
}

/// Reads a text as a release does.
pub fn parse_as(text: &str, release: Release) -> Parsed {
    let mut parsed = Parsed::default();
    let documents = yaml::load(text);
    if documents.is_empty() {
        // Nothing to complain about while one types; but the server would.
        let message = format!("BadRequest: Object 'Kind' is missing in '{text}'");
        parsed.answers.push(Diagnostic::error(message, "", Span { line: 1, column: 1, length: 1 }, 0));
    }
    for (document, tree) in documents.into_iter().enumerate() {
        let document = document as u32;
        match tree {
            Ok(tree) => parsed.document(text, tree, document, release),
            Err(diagnostic) => {
                let answer = Diagnostic { message: format!("yaml: {}", diagnostic.message), ..diagnostic.clone() };
                parsed.answers.push(answer);
                parsed.diagnostics.push(diagnostic);
            }
        }
    }
    parsed
}

/// Takes an object that is a tree already, as a release does.
pub fn parse_tree(tree: Tree, release: Release) -> Parsed {
    let mut parsed = Parsed::default();
    parsed.document("", tree, 0, release);
    parsed
}

/// Where a field path stands in the text that a tree was read from. A field that isn't there stands at its
/// parent's key.
pub fn place(tree: &Tree, path: &str) -> Span {
    places::find(tree, path)
}

/// The value at a field path, if there is one.
pub fn value<'a>(tree: &'a Tree, path: &str) -> Option<&'a Tree> {
    places::value(tree, path)
}

impl Manifest {
    /// Where a field path stands in the text.
    pub fn place(&self, path: &str) -> Span {
        place(&self.tree, path)
    }
}

impl Parsed {
    fn refuse(&mut self, message: impl Into<String>, path: &str, span: Span, document: u32) {
        let diagnostic = Diagnostic::error(message, path, span, document);
        self.answers.push(diagnostic.clone());
        self.diagnostics.push(diagnostic);
    }

    /// The server repeats the whole text; beside the text that helps nobody.
    fn missing(&mut self, head: &str, field: &str, text: &str, span: Span, document: u32) {
        let message = format!("Object '{}' is missing", if field == "kind" { "Kind" } else { field });
        self.answers.push(Diagnostic::error(format!("{head}{message} in '{text}'"), field, span, document));
        self.diagnostics.push(Diagnostic::error(message, field, span, document));
    }

    fn document(&mut self, text: &str, tree: Tree, document: u32, release: Release) {
        let Value::Map(_) = tree.value else {
            let kind = decode::json_type(&tree.value);
            let want = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
            let message = format!(
                "BadRequest: couldn't get version/kind; json parse error: json: cannot unmarshal {kind} into Go value of type {want}"
            );
            return self.refuse(message, "", tree.span, document);
        };
        for field in ["apiVersion", "kind"] {
            let Some(value) = tree.get(field).filter(|t| !t.is_null() && t.as_str().is_none()) else { continue };
            let kind = decode::json_type(&value.value);
            let message = format!(
                "BadRequest: couldn't get version/kind; json parse error: json: cannot unmarshal {kind} into Go struct field .{field} of type string"
            );
            return self.refuse(message, field, value.span, document);
        }
        let (version, kind) = (tree.str("apiVersion").to_string(), tree.str("kind").to_string());
        let start = places::find(&tree, "");
        if kind.is_empty() {
            return self.missing("BadRequest: ", "kind", text, start, document);
        }
        if version.is_empty() {
            let head = format!("BadRequest: {kind} in version \"\" cannot be handled as a {kind}: ");
            return self.missing(&head, "apiVersion", text, start, document);
        }
        if version == LAB {
            let name = tree.at(&["metadata", "name"]).and_then(Tree::as_str).unwrap_or_default().to_string();
            if self.lab(&kind, &tree, document) {
                return;
            }
            let content = Content::Lab { kind, name, tree: tree.clone() };
            return self.manifests.push(Manifest { span: start, document, content, tree });
        }
        if version == "v1" && kind == "List" || decode::kinds::list_of(&version, &kind).is_some() {
            for item in tree.get("items").map(Tree::items).unwrap_or_default() {
                self.document(text, item.clone(), document, release);
            }
            return;
        }
        match Kind::ALL.iter().copied().find(|k| k.name() == kind && k.api_version() == version) {
            Some(kind) => self.object(kind, tree, document, release),
            None => {
                let span = if Kind::ALL.iter().any(|k| k.name() == kind) { "apiVersion" } else { "kind" };
                let found = decode::kinds::explain(&version, &kind);
                let diagnostic = Diagnostic { document, span: places::find(&tree, span), path: span.into(), ..found.0 };
                if found.1 {
                    self.answers.push(diagnostic.clone());
                }
                self.diagnostics.push(diagnostic);
                if let (false, Some((name, _))) = (found.1, schema::entry(&kind)) {
                    self.strictly(decode::decode(&version, name, &tree), document);
                }
            }
        }
    }

    /// Fields of our own kinds, as strictly as Kubernetes'. Whether something is wrong.
    fn lab(&mut self, kind: &str, tree: &Tree, document: u32) -> bool {
        let Some((name, _)) = schema::entry(&format!("lab.{kind}")) else { return false };
        let mut decoded = decode::decode(LAB, name, tree);
        // Nodes may be counted instead of listed, a rate be one number instead of steps: who reads the kind knows.
        let number = |message: &str| message.contains("unmarshal number") && message.contains(" of type []");
        decoded.problems.retain(|((message, ..), _)| !number(message));
        decoded.answer = decoded.problems.first().map(|(problem, _)| problem.clone());
        self.strictly(decoded, document)
    }

    /// Tells what strict decoding found wrong. Whether it found anything.
    fn strictly(&mut self, decoded: Decoded, document: u32) -> bool {
        let wrong = decoded.answer.is_some() || !decoded.problems.is_empty();
        if let Some((message, path, span)) = decoded.answer {
            self.answers.push(Diagnostic::error(message, path, span, document));
        }
        for ((message, path, span), hint) in decoded.problems {
            self.diagnostics.push(Diagnostic { hint, ..Diagnostic::error(message, path, span, document) });
        }
        wrong
    }

    fn object(&mut self, kind: Kind, tree: Tree, document: u32, release: Release) {
        let mut decoded = decode::decode(kind.api_version(), kind.name(), &tree);
        let (mut typed, unused) = (core::mem::take(&mut decoded.tree), core::mem::take(&mut decoded.unused));
        let refused = self.strictly(decoded, document);
        decode::namespace(kind, &mut typed);
        let errors = validation::create_tree(kind, &typed, release);
        for error in &errors {
            let span = error.place(&tree);
            let diagnostic = Diagnostic::error(error.message.clone(), error.path.clone(), span, document);
            if !refused {
                self.answers.push(diagnostic.clone());
            }
            self.diagnostics.push(diagnostic);
        }
        for (path, span) in unused {
            let message = format!("{path}: known to Kubernetes, but without effect in this simulation");
            let remark = Some(Box::new(Remark::WithoutEffect));
            self.diagnostics.push(Diagnostic { remark, ..Diagnostic::warning(message, path, span, document) });
        }
        if matches!(kind, Kind::StatefulSet | Kind::DaemonSet) {
            let message = format!("{} is stored, but no controller acts on it in this simulation", kind.name());
            let remark = Some(Box::new(Remark::NoController { kind: kind.name().into() }));
            let span = places::find(&tree, "kind");
            self.diagnostics.push(Diagnostic { remark, ..Diagnostic::warning(message, "kind", span, document) });
        }
        if refused || !errors.is_empty() {
            return;
        }
        for (path, message) in validation::warnings(kind, &typed, release) {
            let span = places::find(&tree, &path);
            self.diagnostics.push(Diagnostic::warning(message, path, span, document));
        }
        match decode::lean(kind, typed) {
            Ok(object) => {
                let span = places::find(&tree, "");
                self.manifests.push(Manifest { span, document, content: Content::Object(object), tree });
            }
            Err(found) => {
                let span = if found.span.line == 0 { places::find(&tree, &found.path) } else { found.span };
                self.refuse(found.message, &found.path, span, document);
            }
        }
    }
}
