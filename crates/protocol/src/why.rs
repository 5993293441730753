//! The answer to *why?*: a story in chapters. The moment is lived again with somebody who watches; nothing of it is kept.

use crate::{Id, Outcome, Phrase, ProxyMode};
use lab_base::Time;
use serde::{Deserialize, Serialize};

/// What happened to a request, or why a Pod gets traffic from a node or doesn't.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// In order.
    pub chapters: Vec<Chapter>,
    /// Where the rules sent the connection: `10.244.2.2:8080`; empty: nowhere.
    pub endpoint: String,
    /// The Pod there.
    pub pod: Option<Id>,
    /// How the request ended; None: it hasn't yet, or the story is about no request.
    pub outcome: Option<Outcome>,
    /// The same connection on the same node, in each of kube-proxy's modes, if that was asked for and rules were met.
    pub modes: Vec<ModeStory>,
}

/// What kind of step it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tone {
    /// A step on the way.
    #[default]
    Step,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// Why it went wrong.
    Cause,
}

/// A step of a story.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chapter {
    /// When.
    pub at: Time,
    /// What kind of step it is.
    pub tone: Tone,
    /// What happened.
    pub text: Phrase,
    /// The rules that the packet met, in order.
    pub rules: Vec<RuleMet>,
    /// What in the cluster asks for it.
    pub field: Option<FieldRef>,
}

/// A rule that a packet met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleMet {
    /// `PREROUTING`: where in the network stack.
    pub hook: String,
    /// `nat`, `filter`; the table of nftables; `ipvs`.
    pub table: String,
    /// The chain; the virtual server of IPVS.
    pub chain: String,
    /// Which rule of the chain, from 1.
    pub number: u32,
    /// The rule as it is written.
    pub text: String,
    /// The first part of it that didn't hold; empty: all of it held.
    pub failed: String,
    /// Whether this rule settled what becomes of the packet.
    pub decided: bool,
    /// Rules before this one, of the same chain, that didn't hold and are left out.
    pub left_out: u32,
    /// What in the cluster asks for the rule.
    pub field: Option<FieldRef>,
}

/// A field of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRef {
    /// Uid of the object.
    pub object: Id,
    /// `Service`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `spec.ports[0].targetPort`.
    pub field: String,
}

/// A connection in one of kube-proxy's modes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModeStory {
    /// Which.
    pub mode: ProxyMode,
    /// Whether the node runs in it.
    pub own: bool,
    /// What became of the packet.
    pub verdict: Phrase,
    /// How many rules a kernel looks at for it.
    pub walked: u32,
    /// Where connections go like this one, and what part of them.
    pub shares: Vec<(String, f32)>,
    /// The rules that the packet met.
    pub rules: Vec<RuleMet>,
}

/// A node's rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RulesView {
    /// The kind that they are of.
    pub mode: ProxyMode,
    /// As the tool of that mode prints them.
    pub text: String,
    /// What is known of some of the lines, in order.
    pub notes: Vec<LineNote>,
    /// Lines that the last sync took away.
    pub removed: Vec<String>,
    /// Fields that rules come from.
    pub fields: Vec<FieldRef>,
    /// Since when packets are counted.
    pub since: Time,
}

/// What is known of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineNote {
    /// Which, from 0.
    pub line: u32,
    /// Which of [`RulesView::fields`], from 1; 0: none.
    pub field: u32,
    /// First packets of connections that met all of the rule.
    pub packets: u32,
    /// Whether the last sync wrote it.
    pub new: bool,
}

/// Where a field stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in Unicode characters.
    pub column: u32,
    /// Length in Unicode characters.
    pub length: u32,
    /// Whether the text says there what the object has.
    pub same: bool,
}
