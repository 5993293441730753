//! PodDisruptionBudget: how many Pods may be evicted now (`pkg/controller/disruption/disruption.go`).

use crate::cluster::Cluster;
use crate::event::Controller;
use kube_api::{
    ConditionStatus, DISRUPTION_ALLOWED, Deployment, IntOrString, Kind, LabelSelector, NamespacedName,
    ObservedCondition, Pod, PodDisruptionBudget, PodDisruptionBudgetStatus, ReplicaSet, SelectorOperator, Uid,
};
use lab_base::{Span, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a granted eviction counts before its Pod is seen to go (`DeletionTimeout`).
pub const DELETION_TIMEOUT: Span = Span::from_secs(120);

/// What a look at a budget's Pods comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// The status to write.
    pub status: PodDisruptionBudgetStatus,
    /// When to look again, if nothing happens before.
    pub again: Option<Time>,
    /// Whether Pods that nobody controls made a share of them meaningless.
    pub unmanaged: bool,
}

/// What a budget's status has to be (`trySync`).
///
/// `scale`: the controller of a Pod and how many Pods that wants; None for a Pod that nobody controls.
///
/// # Errors
/// Why the number of expected Pods can't be told.
pub fn outlook(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    scale: impl Fn(&Pod) -> Result<Option<(Uid, i32)>, String>,
    now: Time,
) -> Result<Outlook, String> {
    let mut unmanaged = false;
    let mut wanted = || -> Result<i32, String> {
        let mut controllers: BTreeMap<Uid, i32> = BTreeMap::new();
        for pod in pods {
            match scale(pod)? {
                Some((uid, replicas)) => {
                    controllers.insert(uid, replicas);
                }
                None => unmanaged = true,
            }
        }
        Ok(controllers.values().fold(0i32, |sum, n| sum.saturating_add(*n)))
    };
    let spec = &budget.spec;
    let (expected_pods, desired_healthy) = match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let expected = wanted()?;
            (expected, expected.saturating_sub(scaled(most, expected)?).max(0))
        }
        (None, Some(IntOrString::Int(least))) => (pods.len() as i32, *least),
        (None, Some(share)) => {
            let expected = wanted()?;
            (expected, scaled(share, expected)?)
        }
        (None, None) => (0, 0),
    };
    let mut again = None;
    let mut disrupted_pods = BTreeMap::new();
    let mut current_healthy = 0;
    for pod in pods.iter().filter(|p| !p.metadata.is_deleting()) {
        if let Some(at) = budget.status.disrupted_pods.get(&pod.metadata.name) {
            let until = *at + DELETION_TIMEOUT;
            if until >= now {
                again = Some(again.map_or(until, |other: Time| other.min(until)));
                disrupted_pods.insert(pod.metadata.name.clone(), *at);
            }
            if until > now {
                continue;
            }
        }
        current_healthy += i32::from(pod.is_ready());
    }
    // Without expected Pods nothing is allowed: the first ones may have come unseen.
    let room = current_healthy.saturating_sub(desired_healthy).max(0);
    let mut status = PodDisruptionBudgetStatus {
        observed_generation: budget.metadata.generation,
        disrupted_pods,
        disruptions_allowed: if expected_pods > 0 { room } else { 0 },
        current_healthy,
        desired_healthy,
        expected_pods,
        conditions: budget.status.conditions.clone(),
    };
    tell_whether_allowed(&mut status, now);
    Ok(Outlook { status, again, unmanaged })
}

/// `GetScaledValueFromIntOrPercent`, rounded up.
fn scaled(value: &IntOrString, total: i32) -> Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<u32>().ok());
            let percent = percent
                .ok_or_else(|| "invalid value for IntOrString: invalid type: string is not a percentage".to_owned())?;
            let share = (i64::from(percent) * i64::from(total) + 99) / 100;
            Ok(i32::try_from(share).unwrap_or(i32::MAX))
        }
    }
}

/// `UpdateDisruptionAllowedCondition` (`component-helpers/apps/poddisruptionbudget`).
pub(crate) fn tell_whether_allowed(status: &mut PodDisruptionBudgetStatus, now: Time) {
    let (is, reason) = match status.disruptions_allowed > 0 {
        true => (ConditionStatus::True, "SufficientPods"),
        false => (ConditionStatus::False, "InsufficientPods"),
    };
    set_condition(status, is, reason, String::new(), now);
}

fn set_condition(
    status: &mut PodDisruptionBudgetStatus,
    is: ConditionStatus,
    reason: &str,
    message: String,
    now: Time,
) {
    let old = status.conditions.iter().position(|c| c.type_ == DISRUPTION_ALLOWED);
    let since = old.map(|i| &status.conditions[i]).filter(|c| c.status == is).map_or(now, |c| c.last_transition_time);
    let condition = ObservedCondition {
        type_: DISRUPTION_ALLOWED.into(),
        status: is,
        observed_generation: status.observed_generation,
        last_transition_time: since,
        reason: reason.into(),
        message,
    };
    match old {
        Some(i) => status.conditions[i] = condition,
        None => status.conditions.push(condition),
    }
}

impl Cluster {
    /// Queues the budgets that are about a Pod.
    pub(super) fn enqueue_budgets_of(&mut self, pod: &Pod) {
        for key in self.budgets_of(pod) {
            self.enqueue(Controller::Disruption, key);
        }
    }

    /// The budgets that are about a Pod, by name.
    pub(crate) fn budgets_of(&self, pod: &Pod) -> Vec<NamespacedName> {
        self.store
            .list::<PodDisruptionBudget>()
            .filter(|b| b.metadata.namespace == pod.metadata.namespace && b.selects(&pod.metadata.labels))
            .map(|b| b.metadata.key())
            .collect()
    }

    pub(crate) fn sync_budget(&mut self, key: &NamespacedName) {
        let Some(budget) = self.store.get::<PodDisruptionBudget>(key).cloned() else { return };
        let near = |p: &&Arc<Pod>| p.metadata.namespace == key.namespace && budget.selects(&p.metadata.labels);
        let pods: Vec<Arc<Pod>> = self.store.list::<Pod>().filter(near).cloned().collect();
        if pods.is_empty() {
            self.budget_event(&budget.metadata, "Normal", "NoPods", "No matching pods found".into());
        }
        match outlook(&budget, &pods, |pod| self.scale_behind(pod), self.now) {
            Ok(outlook) => {
                if outlook.unmanaged {
                    let selector = budget.spec.selector.as_ref().map(go).unwrap_or_default();
                    let message = format!(
                        "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
                    );
                    self.budget_event(&budget.metadata, "Warning", "UnmanagedPods", message);
                }
                self.store.update::<PodDisruptionBudget>(key, |b| b.status = outlook.status);
                if let Some(at) = outlook.again {
                    self.enqueue_after(Controller::Disruption, key.clone(), at.since(self.now) + Span::from_micros(1));
                }
            }
            Err(why) => {
                let message = format!("Failed to calculate the number of expected pods: {why}");
                self.budget_event(&budget.metadata, "Warning", "CalculateExpectedPodCountFailed", message);
                // `failSafe`: what can't be told is refused.
                let now = self.now;
                self.store.update::<PodDisruptionBudget>(key, |b| {
                    b.status.disruptions_allowed = 0;
                    set_condition(&mut b.status, ConditionStatus::False, "SyncFailed", why, now);
                });
            }
        }
    }

    /// What controls a Pod in the end, and how many Pods that wants (`finders`).
    fn scale_behind(&self, pod: &Pod) -> Result<Option<(Uid, i32)>, String> {
        let Some(owner) = pod.metadata.controller() else { return Ok(None) };
        let key = |name: &str| NamespacedName::new(pod.metadata.namespace.clone(), name);
        let set = self.store.get::<ReplicaSet>(&key(&owner.name)).filter(|s| s.metadata.uid == owner.uid);
        let above = set.and_then(|s| s.metadata.controller()).filter(|o| o.kind == Kind::Deployment.name());
        let found = match (set, above) {
            (Some(_), Some(above)) => {
                let deployment = self.store.get::<Deployment>(&key(&above.name));
                let deployment = deployment.filter(|d| d.metadata.uid == above.uid);
                deployment.map(|d| (d.metadata.uid, d.spec.replicas.unwrap_or(1)))
            }
            (Some(set), None) => Some((set.metadata.uid, set.spec.replicas.unwrap_or(1))),
            (None, _) => None,
        };
        found.map(Some).ok_or_else(|| format!("found no controllers for pod {:?}", pod.metadata.name))
    }
}

/// A selector as Go's generated code writes it.
fn go(selector: &LabelSelector) -> String {
    let labels: String = selector.match_labels.iter().map(|(k, v)| format!("{k}: {v},")).collect();
    let rules: String = selector
        .match_expressions
        .iter()
        .map(|r| {
            let operator = match r.operator {
                SelectorOperator::In => "In",
                SelectorOperator::NotIn => "NotIn",
                SelectorOperator::Exists => "Exists",
                SelectorOperator::DoesNotExist => "DoesNotExist",
            };
            let values = r.values.join(" ");
            format!("LabelSelectorRequirement{{Key:{},Operator:{operator},Values:[{values}],}},", r.key)
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{rules}}},}}"
    )
}
