//! The arithmetic of a rolling update (`pkg/controller/deployment/rolling.go`, `util/deployment_util.go`).
//!
//! Numbers of replicas are i32 in the API; sums of them are not.

use kube_api::{DeploymentSpec, DeploymentStrategyType, IntOrString, RollingUpdateDeployment};

/// How many replicas a Deployment wants, and how far it may be off while it rolls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// `spec.replicas`.
    pub wanted: i64,
    /// How many may be too many.
    pub max_surge: i64,
    /// How many may be missing.
    pub max_unavailable: i64,
}

/// A ReplicaSet's part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetSize {
    /// Its `spec.replicas`.
    pub wanted: i64,
    /// How many of its Pods are available.
    pub available: i64,
}

/// What one sync asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Replicas of the new set.
    pub new: i64,
    /// Replicas of each old set, as given.
    pub old: Vec<i64>,
}

/// A number, or a percentage of a number, rounded (`GetScaledValueFromIntOrPercent`).
fn scaled(value: Option<&IntOrString>, of: i64, up: bool) -> Result<i64, String> {
    match value {
        None => Ok(0),
        Some(IntOrString::Int(n)) => Ok((*n).into()),
        Some(IntOrString::String(text)) => {
            let percent = text.strip_suffix('%').and_then(|n| n.parse::<i32>().ok());
            let percent = i64::from(percent.ok_or_else(|| {
                format!("invalid value for IntOrString: invalid type: string is not a percentage: {text:?}")
            })?);
            let product = percent * of;
            Ok(if up { (product + 99).div_euclid(100) } else { product.div_euclid(100) })
        }
    }
}

/// `maxSurge` rounded up and `maxUnavailable` rounded down; both 0 becomes 1 unavailable (`ResolveFenceposts`).
///
/// # Errors
/// A text that is no percentage.
pub fn resolve_fenceposts(
    max_surge: Option<&IntOrString>,
    max_unavailable: Option<&IntOrString>,
    wanted: i64,
) -> Result<(i64, i64), String> {
    let surge = scaled(max_surge, wanted, true)?;
    let unavailable = scaled(max_unavailable, wanted, false)?;
    Ok(if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) })
}

impl Replicas {
    /// What a Deployment asks for (`MaxSurge`, `MaxUnavailable`): nothing of either while it recreates.
    pub fn of(spec: &DeploymentSpec) -> Replicas {
        let wanted = i64::from(spec.replicas.unwrap_or(1).max(0));
        let rolls = spec.strategy.type_ == DeploymentStrategyType::RollingUpdate;
        let quarter = IntOrString::String("25%".into());
        let plain = RollingUpdateDeployment { max_surge: Some(quarter.clone()), max_unavailable: Some(quarter) };
        let update = spec.strategy.rolling_update.as_ref().unwrap_or(&plain);
        let posts = resolve_fenceposts(update.max_surge.as_ref(), update.max_unavailable.as_ref(), wanted);
        let (max_surge, unavailable) = if rolls { posts.unwrap_or((0, 1)) } else { (0, 0) };
        Replicas { wanted, max_surge, max_unavailable: unavailable.min(wanted) }
    }

    /// How many the new set should have (`NewRSNewReplicas`): as many as the surge allows, `total` being those of all sets.
    pub fn new_replicas(self, strategy: DeploymentStrategyType, new: i64, total: i64) -> i64 {
        if strategy == DeploymentStrategyType::Recreate {
            return self.wanted;
        }
        let room = self.wanted + self.max_surge - total;
        if room <= 0 { new } else { new + room.min(self.wanted - new) }
    }

    /// One sync: the new set up; if that changes nothing, the old ones down. Old sets by age.
    pub fn step(self, new: SetSize, old: &[SetSize]) -> Step {
        let total = new.wanted + old.iter().map(|s| s.wanted).sum::<i64>();
        let up = if new.wanted > self.wanted {
            self.wanted
        } else {
            self.new_replicas(DeploymentStrategyType::RollingUpdate, new.wanted, total)
        };
        let same = || old.iter().map(|s| s.wanted).collect();
        Step { new: up, old: if up == new.wanted { self.scale_down_old(new, old) } else { same() } }
    }

    /// How many the old sets should have (`reconcileOldReplicaSets`): they may go as far as enough stay available, counting
    /// new ones that aren't yet as missing.
    pub fn scale_down_old(self, new: SetSize, old: &[SetSize]) -> Vec<i64> {
        let mut replicas: Vec<i64> = old.iter().map(|s| s.wanted).collect();
        let total = new.wanted + replicas.iter().sum::<i64>();
        let min_available = self.wanted - self.max_unavailable;
        let may_go = total - min_available - (new.wanted - new.available);
        if total > new.wanted && may_go > 0 {
            let available = new.available + old.iter().map(|s| s.available).sum::<i64>();
            clean_up_unhealthy(old, &mut replicas, may_go);
            scale_down_available(&mut replicas, available - min_available);
        }
        replicas
    }
}

/// Takes up to `most` replicas that aren't available from old sets, the oldest first (`cleanupUnhealthyReplicas`). Returns
/// how many.
pub fn clean_up_unhealthy(old: &[SetSize], replicas: &mut [i64], most: i64) -> i64 {
    let mut cleaned = 0;
    for (set, replicas) in old.iter().zip(replicas) {
        if set.wanted != 0 && set.wanted != set.available {
            let down = (set.wanted - set.available).min(most - cleaned).max(0);
            *replicas -= down;
            cleaned += down;
        }
    }
    cleaned
}

/// Takes as many replicas from old sets as may be missing, the oldest first (`scaleDownOldReplicaSetsForRollingUpdate`).
/// Returns how many.
pub fn scale_down_available(replicas: &mut [i64], spare: i64) -> i64 {
    let mut scaled = 0;
    for replicas in replicas {
        let down = (*replicas).min(spare - scaled).max(0);
        *replicas -= down;
        scaled += down;
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_rollout_never_leaves_its_bounds() {
        for wanted in 1..12 {
            let quarter = IntOrString::String("25%".into());
            let (max_surge, max_unavailable) = resolve_fenceposts(Some(&quarter), Some(&quarter), wanted).unwrap();
            let bounds = Replicas { wanted, max_surge, max_unavailable };
            let mut new = SetSize { wanted: 0, available: 0 };
            let mut old = SetSize { wanted, available: wanted };
            for _ in 0..200 {
                let step = bounds.step(new, &[old]);
                let done = step.new == new.wanted && step.old[0] == old.wanted && new.available == new.wanted;
                new.wanted = step.new;
                old.wanted = step.old[0];
                old.available = old.available.min(old.wanted);
                assert!(new.wanted + old.wanted <= wanted + bounds.max_surge);
                assert!(new.available + old.available >= wanted - bounds.max_unavailable);
                if done {
                    break;
                }
                new.available = (new.available + 1).min(new.wanted);
            }
            assert_eq!((new.wanted, old.wanted), (wanted, 0));
        }
    }
}
