//! Failover timelines as they are told.

use super::{Course, Failover, Failovers};
use kube_api::Uid;
use lab_protocol::{CourseEnd, Id, Part, PartKind, Setting, StepKind};
use std::sync::Arc;

impl Failovers {
    /// All that are remembered, in order of their beginning.
    pub fn views(&self) -> Vec<lab_protocol::Failover> {
        self.all.values().map(|f| view(f)).collect()
    }
}

fn view(failover: &Failover) -> lab_protocol::Failover {
    let course = |uid: &Uid| failover.courses.get(uid).map(course);
    lab_protocol::Failover {
        id: failover.id,
        cause: failover.cause.clone(),
        at: failover.at,
        until: failover.until,
        courses: failover.order.iter().filter_map(course).collect(),
        more: failover.more,
        steps: failover.steps.iter().cloned().collect(),
        elsewhere: failover.elsewhere,
        last_failed: failover.last_failed,
    }
}

fn course(course: &Arc<Course>) -> lab_protocol::Course {
    // What went before the failure was noted with it.
    let mut steps = course.steps.clone();
    steps.sort_by_key(|s| s.at);
    lab_protocol::Course {
        pod: Id(course.uid.0),
        namespace: course.key.namespace.clone(),
        name: course.key.name.clone(),
        node: course.node.to_string(),
        services: course.services.iter().map(|(_, name)| name.clone()).collect(),
        at: course.at,
        until: course.over.map(|(at, _)| at),
        end: course.over.map(|(_, end)| end),
        replacement: course.replacement.as_ref().map(|(_, name)| name.clone()),
        steps,
        parts: parts(course),
        last_failed: course.last_failed,
    }
}

/// The parts that a course has come to, one after another. What was over before the part before it has no length.
fn parts(course: &Course) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut from = course.at;
    let over = course.over.map(|(at, _)| at);
    for kind in PartKind::ALL {
        let ended = match kind {
            PartKind::Return => over.filter(|_| course.over.is_some_and(|(_, end)| end == CourseEnd::Back)),
            _ => course.ends[kind as usize],
        };
        let failed = course.failed[kind as usize];
        if ended.is_none() && over == Some(from) && !parts.is_empty() && failed.total() == 0 {
            break;
        }
        let to = ended.map(|at| at.max(from)).or(over).map(|to| over.map_or(to, |over| to.min(over)));
        parts.push(Part { kind, from, to, settings: settings(course, kind), failed });
        match to {
            Some(to) if ended.is_some() => from = to,
            _ => break,
        }
    }
    parts
}

/// What governs the length of a part: the settings of its steps until it ended. By what a failure would be noticed counts
/// until it is.
fn settings(course: &Course, kind: PartKind) -> Vec<Setting> {
    let ended = course.ends[kind as usize];
    let mut all: Vec<Setting> = Vec::new();
    let own = course.steps.iter().filter(|s| s.kind.part() == Some(kind) && ended.is_none_or(|to| s.at <= to));
    for setting in own.filter(|s| s.kind != StepKind::Struck || ended.is_none()).flat_map(|s| &s.settings) {
        if !all.contains(setting) {
            all.push(setting.clone());
        }
    }
    all
}
