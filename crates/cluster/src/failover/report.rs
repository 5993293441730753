//! Failover timelines in a report: times in seconds, names as the catalogues have them.

use crate::report::failures;
use lab_protocol::{Counts, Course, Failover, Part, Setting, SettingPlace, SettingValue, Step};
use serde::Serialize;
use std::collections::BTreeMap;

/// Requests by how they ended.
type Symptoms = BTreeMap<&'static str, u64>;

/// A failure and what followed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverReport {
    /// Number in the run.
    pub id: u32,
    /// What happened: a key of the language catalogues.
    pub cause: String,
    /// Its arguments.
    pub arguments: BTreeMap<String, String>,
    /// When.
    pub at: f64,
    /// When it was over; None: it goes on.
    pub until: Option<f64>,
    /// When the last request was sent that failed.
    pub last_failed: Option<f64>,
    /// Failed requests from `at` to `until`, by symptom.
    pub failed: Symptoms,
    /// Those among them that belong to no part of a Pod's course.
    pub elsewhere: Symptoms,
    /// Pods of which no more is told.
    pub more: u32,
    /// What happened of which no single Pod is the subject.
    pub steps: Vec<StepReport>,
    /// The Pods that were struck.
    pub pods: Vec<CourseReport>,
}

/// What became of a Pod.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CourseReport {
    /// Its name.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Its node.
    pub node: String,
    /// Services that had it as a ready endpoint.
    pub services: Vec<String>,
    /// When it was struck.
    pub at: f64,
    /// When that was over.
    pub until: Option<f64>,
    /// `back`, `gone` or `mended`.
    pub end: Option<&'static str>,
    /// The Pod in its place.
    pub replacement: Option<String>,
    /// When the last request that failed was sent to it.
    pub last_failed: Option<f64>,
    /// What happened.
    pub steps: Vec<StepReport>,
    /// The same in parts.
    pub parts: Vec<PartReport>,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// When.
    pub at: f64,
    /// What.
    pub step: &'static str,
    /// Who did it, or empty.
    pub component: &'static str,
    /// To what.
    pub subject: String,
    /// What governed when.
    pub settings: Vec<SettingReport>,
}

/// A part of a course.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartReport {
    /// Which.
    pub part: &'static str,
    /// When it began.
    pub from: f64,
    /// When it ended; None: it goes on.
    pub to: Option<f64>,
    /// How long it took.
    pub seconds: Option<f64>,
    /// Requests that failed in it, by symptom.
    pub failed: Symptoms,
    /// What governs its length.
    pub settings: Vec<SettingReport>,
}

/// A setting.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SettingReport {
    /// Which.
    pub setting: &'static str,
    /// Its value, if it is a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Its value, if it is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Whose it is: an object, a configuration file or a component.
    #[serde(rename = "in")]
    pub of: String,
    /// Its path, flag or name.
    pub name: String,
}

impl From<&Failover> for FailoverReport {
    fn from(failover: &Failover) -> FailoverReport {
        let parts = failover.courses.iter().flat_map(|c| &c.parts);
        let mut all = failover.elsewhere;
        for part in parts {
            add(&mut all, &part.failed);
        }
        FailoverReport {
            id: failover.id,
            cause: failover.cause.id.clone(),
            arguments: failover.cause.args.iter().cloned().collect(),
            at: failover.at.as_secs_f64(),
            until: failover.until.map(|t| t.as_secs_f64()),
            last_failed: failover.last_failed.map(|t| t.as_secs_f64()),
            failed: failures(all),
            elsewhere: failures(failover.elsewhere),
            more: failover.more,
            steps: failover.steps.iter().map(step).collect(),
            pods: failover.courses.iter().map(course).collect(),
        }
    }
}

fn add(all: &mut Counts, more: &Counts) {
    for (sum, n) in all.0.iter_mut().zip(more.0) {
        *sum += n;
    }
}

fn course(course: &Course) -> CourseReport {
    CourseReport {
        pod: course.name.clone(),
        namespace: course.namespace.clone(),
        node: course.node.clone(),
        services: course.services.clone(),
        at: course.at.as_secs_f64(),
        until: course.until.map(|t| t.as_secs_f64()),
        end: course.end.map(|e| e.key()),
        replacement: course.replacement.clone(),
        last_failed: course.last_failed.map(|t| t.as_secs_f64()),
        steps: course.steps.iter().map(step).collect(),
        parts: course.parts.iter().map(part).collect(),
    }
}

fn step(step: &Step) -> StepReport {
    StepReport {
        at: step.at.as_secs_f64(),
        step: step.kind.key(),
        component: step.kind.component(),
        subject: step.subject.clone(),
        settings: step.settings.iter().map(setting).collect(),
    }
}

fn part(part: &Part) -> PartReport {
    PartReport {
        part: part.kind.key(),
        from: part.from.as_secs_f64(),
        to: part.to.map(|t| t.as_secs_f64()),
        seconds: part.to.map(|t| t.since(part.from).as_secs_f64()),
        failed: failures(part.failed),
        settings: part.settings.iter().map(setting).collect(),
    }
}

fn setting(setting: &Setting) -> SettingReport {
    let (of, name) = match &setting.place {
        SettingPlace::Field { object, path } => (object, path),
        SettingPlace::Flag { component, flag } => (component, flag),
        SettingPlace::Constant { component, name } => (component, name),
    };
    let (seconds, count) = match setting.value {
        SettingValue::Time(span) => (Some(span.as_secs_f64()), None),
        SettingValue::Count(n) => (None, Some(n)),
    };
    SettingReport { setting: setting.key.key(), seconds, count, of: of.clone(), name: name.clone() }
}
