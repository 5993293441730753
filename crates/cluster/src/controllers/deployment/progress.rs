//! Whether a rollout is done, gets on, or has taken too long (`pkg/controller/deployment/progress.go`,
//! `util/deployment_util.go`).

use kube_api::{ConditionStatus, DeploymentCondition, DeploymentSpec, DeploymentStatus};
use lab_base::{Span, Time};

/// Condition that tells of a rollout.
pub const PROGRESSING: &str = "Progressing";
/// Condition that tells of availability.
pub const AVAILABLE: &str = "Available";
/// Reason: all is rolled out.
pub const NEW_RS_AVAILABLE: &str = "NewReplicaSetAvailable";
/// Reason: it has taken too long.
pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// The deadline, if there is one: the largest number means none (`HasProgressDeadline`).
pub fn progress_deadline(spec: &DeploymentSpec) -> Option<Span> {
    let seconds = spec.progress_deadline_seconds.filter(|s| *s != i32::MAX)?;
    Some(Span::from_secs(seconds.max(0) as u64))
}

/// Everything is new and available, nothing old is left, and the newest spec was seen (`DeploymentComplete`).
pub fn is_complete(wanted: i32, generation: i64, status: &DeploymentStatus) -> bool {
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= generation
}

/// Something got better since (`DeploymentProgressing`).
pub fn is_progressing(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let old = |s: &DeploymentStatus| s.replicas - s.updated_replicas;
    after.updated_replicas > before.updated_replicas
        || old(after) < old(before)
        || after.ready_replicas > before.ready_replicas
        || after.available_replicas > before.available_replicas
}

/// Whether nothing got better for longer than the deadline (`DeploymentTimedOut`).
pub fn has_timed_out(now: Time, deadline: Option<Span>, progressing: Option<&DeploymentCondition>) -> bool {
    let (Some(deadline), Some(condition)) = (deadline, progressing) else { return false };
    match condition.reason.as_str() {
        NEW_RS_AVAILABLE => false,
        TIMED_OUT => true,
        _ => condition.last_update_time + deadline < now,
    }
}

/// The condition of a type.
pub fn condition<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().find(|c| c.type_ == type_)
}

/// A condition that is so from now on.
pub fn new_condition(
    now: Time,
    type_: &str,
    status: ConditionStatus,
    reason: &str,
    message: String,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: type_.into(),
        status,
        last_update_time: now,
        last_transition_time: now,
        reason: reason.into(),
        message,
    }
}

/// Sets a condition; one with the same status and reason stays as it is (`SetDeploymentCondition`).
pub fn set_condition(status: &mut DeploymentStatus, mut new: DeploymentCondition) {
    if let Some(old) = condition(status, &new.type_) {
        if old.status == new.status && old.reason == new.reason {
            return;
        }
        if old.status == new.status {
            new.last_transition_time = old.last_transition_time;
        }
    }
    status.conditions.retain(|c| c.type_ != new.type_);
    status.conditions.push(new);
}

/// Tells in `after` how the rollout stands (`syncRolloutStatus`). `subject`: `ReplicaSet "web-5d9"`, or the Deployment.
pub fn tell_progress(
    now: Time,
    spec: &DeploymentSpec,
    generation: i64,
    subject: &str,
    before: &DeploymentStatus,
    after: &mut DeploymentStatus,
) {
    let deadline = progress_deadline(spec);
    if deadline.is_none() {
        after.conditions.retain(|c| c.type_ != PROGRESSING);
        return;
    }
    let present = condition(before, PROGRESSING);
    // With one set only, after a rollout that ended well, there is nothing to watch.
    if after.replicas == after.updated_replicas && present.is_some_and(|c| c.reason == NEW_RS_AVAILABLE) {
        return;
    }
    let condition =
        |status, reason, what: &str| new_condition(now, PROGRESSING, status, reason, format!("{subject} {what}."));
    if is_complete(spec.replicas.unwrap_or(1), generation, after) {
        set_condition(after, condition(ConditionStatus::True, NEW_RS_AVAILABLE, "has successfully progressed"));
    } else if is_progressing(before, after) {
        // Each progress counts from anew, though the reason is the same.
        let mut new = condition(ConditionStatus::True, "ReplicaSetUpdated", "is progressing");
        if let Some(old) = present {
            if old.status == ConditionStatus::True {
                new.last_transition_time = old.last_transition_time;
            }
            after.conditions.retain(|c| c.type_ != PROGRESSING);
        }
        set_condition(after, new);
    } else if has_timed_out(now, deadline, self::condition(after, PROGRESSING)) {
        set_condition(after, condition(ConditionStatus::False, TIMED_OUT, "has timed out progressing"));
    }
}

/// When a Deployment has to be looked at again though nothing happens to it (`requeueStuckDeployment`).
pub fn look_again(now: Time, spec: &DeploymentSpec, generation: i64, status: &DeploymentStatus) -> Option<Span> {
    let deadline = progress_deadline(spec)?;
    let present = condition(status, PROGRESSING)?;
    if is_complete(spec.replicas.unwrap_or(1), generation, status) || present.reason == TIMED_OUT {
        return None;
    }
    // A second more, so that the deadline has passed for sure.
    Some((present.last_update_time + deadline).since(now) + Span::from_secs(1))
}
