//! `lesson.yaml` and `course.yaml` as authors write them.

use crate::check::{Check, FaultKind};
use crate::values::{Length, Text};
use lab_base::Span;
use lab_protocol::{Command, Fault, PodRef};
use serde::Deserialize;

/// The languages that a lesson is written in.
pub const LANGUAGES: [&str; 2] = ["en", "zh"];

/// `lessons/course.yaml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Its name.
    pub title: Text,
    /// In order.
    pub chapters: Vec<Chapter>,
}

/// A chapter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chapter {
    /// Name of its folder.
    pub id: String,
    /// Its name.
    pub title: Text,
    /// In order.
    pub lessons: Vec<CourseLesson>,
}

/// A lesson on the course's map.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CourseLesson {
    /// Name of its folder in its chapter's; unique in the course.
    pub id: String,
    /// Its name.
    pub title: Text,
    /// What one learns, in a sentence.
    pub summary: Text,
    /// Minutes it takes.
    pub minutes: u32,
}

/// `lesson.yaml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LessonSpec {
    /// Name of its folder.
    pub id: String,
    /// Minutes it takes.
    pub minutes: u32,
    /// Lessons to be done before.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Asked before the run.
    pub prediction: Option<QuestionSpec>,
    /// In order.
    pub tasks: Vec<TaskSpec>,
    /// In order.
    #[serde(default)]
    pub quiz: Vec<QuestionSpec>,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionSpec {
    /// Unique in the lesson.
    pub id: String,
    /// The question (Markdown).
    pub text: Text,
    /// The answers.
    pub options: Vec<OptionSpec>,
    /// Shown after an answer, whichever it was.
    pub explanation: Text,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionSpec {
    /// The answer.
    pub text: Text,
    /// Whether it is right.
    #[serde(default)]
    pub right: bool,
    /// Shown when it was chosen.
    pub reply: Text,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// Unique in the lesson.
    pub id: String,
    /// Tasks that have to be solved before this one begins.
    #[serde(default)]
    pub after: Vec<String>,
    /// What to do.
    pub text: Text,
    /// From faint to plain.
    pub hints: Vec<Text>,
    /// The solution in words.
    pub explain: Text,
    /// Held one after another: a check counts while those before it hold.
    pub checks: Vec<Check>,
    /// What solves it.
    pub solution: Vec<Step>,
    /// What solves it, too.
    #[serde(default)]
    pub alternatives: Vec<Vec<Step>>,
    /// What doesn't.
    #[serde(default)]
    pub wrong: Vec<Wrong>,
}

impl TaskSpec {
    /// The file that the editor would hold after the solution, if YAML solves the task.
    pub fn solution_file(&self) -> Option<&str> {
        self.solution.iter().rev().find_map(|s| match s {
            Step::Apply(file) => Some(file.as_str()),
            _ => None,
        })
    }
    /// Every path of steps: the solution, alternatives, wrong answers.
    pub fn paths(&self) -> impl Iterator<Item = &[Step]> {
        std::iter::once(self.solution.as_slice())
            .chain(self.alternatives.iter().map(Vec::as_slice))
            .chain(self.wrong.iter().map(|w| w.steps.as_slice()))
    }
}

/// A wrong answer and what the lesson says to it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// What is done.
    pub steps: Vec<Step>,
    /// The check that must not hold afterwards.
    pub finding: String,
    /// Id of the phrase that says what was seen.
    pub says: Option<String>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawStep")]
pub enum Step {
    /// Applies a file of the lesson's folder.
    Apply(String),
    /// Deletes an object.
    Delete(DeleteSpec),
    /// Breaks or mends something.
    Fault(Fault),
    /// The same for the Pod that has this address at that moment.
    FaultAt(FaultKind, String),
    /// Lets time pass.
    Wait(Span),
}

impl Step {
    /// The command that it is, if it is one; `file` gives the text of a file, `pod` the Pod that has an address.
    pub fn command(
        &self,
        file: impl Fn(&str) -> Option<String>,
        pod: impl Fn(&str) -> Option<PodRef>,
    ) -> Option<Command> {
        match self {
            Step::Apply(name) => file(name).map(|yaml| Command::Apply { yaml }),
            Step::Delete(d) => {
                Some(Command::Delete { kind: d.kind.clone(), namespace: d.namespace.clone(), name: d.name.clone() })
            }
            Step::Fault(fault) => Some(Command::Fault(fault.clone())),
            Step::FaultAt(kind, address) => pod(address).map(|pod| Command::Fault(of_pod(*kind, pod))),
            Step::Wait(_) => None,
        }
    }
}

/// A fault of a Pod.
fn of_pod(kind: FaultKind, pod: PodRef) -> Fault {
    match kind {
        FaultKind::KillProcess => Fault::KillProcess { pod },
        FaultKind::DeletePod => Fault::DeletePod { pod },
        FaultKind::KillPod => Fault::KillPod { pod },
        FaultKind::FailReadiness => Fault::FailReadiness { pod },
        FaultKind::PassReadiness => Fault::PassReadiness { pod },
        FaultKind::CutPod => Fault::CutPod { pod },
        _ => Fault::JoinPod { pod },
    }
}

/// A fault of a node or of the control plane.
fn elsewhere(kind: FaultKind, node: Option<String>, controller: Option<String>) -> Result<Fault, String> {
    let of_node = |fault: fn(String) -> Fault| {
        node.clone().map(fault).ok_or_else(|| format!("`{}` wants a `node` and no `pod`", kind.name()))
    };
    let of_loop = |fault: fn(String) -> Fault| {
        let known = controller.clone().filter(|name| cluster::Controller::named(name).is_some());
        let wants = || format!("`{}` wants a `controller` such as endpointslice-controller", kind.name());
        known.map(fault).ok_or_else(wants)
    };
    Ok(match kind {
        FaultKind::PowerOff => of_node(|node| Fault::PowerOff { node })?,
        FaultKind::PowerOn => of_node(|node| Fault::PowerOn { node })?,
        FaultKind::CutNode => of_node(|node| Fault::CutNode { node })?,
        FaultKind::StopProxy => of_node(|node| Fault::StopProxy { node })?,
        FaultKind::StartProxy => of_node(|node| Fault::StartProxy { node })?,
        FaultKind::StopKubelet => of_node(|node| Fault::StopKubelet { node })?,
        FaultKind::StartKubelet => of_node(|node| Fault::StartKubelet { node })?,
        FaultKind::StopController => of_loop(|controller| Fault::StopController { controller })?,
        FaultKind::StartController => of_loop(|controller| Fault::StartController { controller })?,
        FaultKind::StopApiServer => Fault::StopApiServer,
        FaultKind::StartApiServer => Fault::StartApiServer,
        FaultKind::StopControllerManager => Fault::StopControllerManager,
        FaultKind::StartControllerManager => Fault::StartControllerManager,
        FaultKind::StopScheduler => Fault::StopScheduler,
        FaultKind::StartScheduler => Fault::StartScheduler,
        FaultKind::StopDns => Fault::StopDns,
        FaultKind::StartDns => Fault::StartDns,
        _ => of_node(|node| Fault::JoinNode { node })?,
    })
}

/// `delete: {kind: Service, name: web}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteSpec {
    /// `Service`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
}

fn default_namespace() -> String {
    "default".into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    apply: Option<String>,
    delete: Option<DeleteSpec>,
    fault: Option<RawFault>,
    wait: Option<Length>,
}

/// As `kind: Fault` in a scenario file, without its time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFault {
    #[serde(rename = "type")]
    kind: FaultKind,
    pod: Option<RawPod>,
    node: Option<String>,
    controller: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPod {
    #[serde(default = "default_namespace")]
    namespace: String,
    deployment: Option<String>,
    nth: Option<u32>,
    name: Option<String>,
    address: Option<String>,
}

impl TryFrom<RawStep> for Step {
    type Error = String;
    fn try_from(raw: RawStep) -> Result<Step, String> {
        match (raw.apply, raw.delete, raw.fault, raw.wait) {
            (Some(file), None, None, None) => Ok(Step::Apply(file)),
            (None, Some(object), None, None) => Ok(Step::Delete(object)),
            (None, None, Some(fault), None) => fault.try_into(),
            (None, None, None, Some(length)) => Ok(Step::Wait(length.0)),
            _ => Err("a step is exactly one of `apply`, `delete`, `fault` and `wait`".into()),
        }
    }
}

impl TryFrom<RawFault> for Step {
    type Error = String;
    fn try_from(raw: RawFault) -> Result<Step, String> {
        let name = raw.kind.name();
        if !raw.kind.of_pod() {
            if raw.pod.is_some() {
                return Err(format!("`{name}` wants no `pod`"));
            }
            return elsewhere(raw.kind, raw.node, raw.controller).map(Step::Fault);
        }
        let (Some(pod), None) = (raw.pod, raw.node) else {
            return Err(format!("`{name}` wants a `pod` and no `node`"));
        };
        let namespace = pod.namespace;
        let pod = match (pod.deployment, pod.name, pod.address, pod.nth) {
            (Some(deployment), None, None, nth) if nth != Some(0) => {
                PodRef::Nth { namespace, deployment, nth: nth.unwrap_or(1) }
            }
            (None, Some(name), None, None) => PodRef::Named { namespace, name },
            (None, None, Some(address), None) => return Ok(Step::FaultAt(raw.kind, address)),
            _ => {
                let forms = "`{deployment: web, nth: 1}`, counted from 1, `{name: web-0}` or `{address: 10.244.1.2}`";
                return Err(format!("a `pod` is {forms}"));
            }
        };
        Ok(Step::Fault(of_pod(raw.kind, pod)))
    }
}
