//! The arithmetic of a rolling update (`pkg/controller/deployment/rolling.go`, `util/deployment_util.go`).
//!
//! Numbers of replicas are i32 in the API; sums of them are not.

use kube_api::{IntOrString, RollingUpdateDeployment};

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
    /// How many of them are available.
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

fn scaled(value: Option<&IntOrString>, of: i64, up: bool) -> i64 {
    let quarter = IntOrString::String("25%".into());
    match value.unwrap_or(&quarter) {
        IntOrString::Int(n) => i64::from(*n).max(0),
        IntOrString::String(s) => {
            let percent: i64 = s.trim_end_matches('%').parse().unwrap_or(0).clamp(0, 10_000);
            let product = percent * of;
            if up { (product + 99) / 100 } else { product / 100 }
        }
    }
}

impl Replicas {
    /// Surge rounds up, unavailable down; both 0 becomes 1 unavailable (`ResolveFenceposts`).
    pub fn new(wanted: i64, update: Option<&RollingUpdateDeployment>) -> Replicas {
        let max_surge = scaled(update.and_then(|u| u.max_surge.as_ref()), wanted, true);
        let mut max_unavailable = scaled(update.and_then(|u| u.max_unavailable.as_ref()), wanted, false);
        if max_surge == 0 && max_unavailable == 0 {
            max_unavailable = 1;
        }
        Replicas { wanted, max_surge, max_unavailable: max_unavailable.min(wanted.max(0)) }
    }

    /// One sync: the new set up; if that changes nothing, the old ones down.
    pub fn step(self, new: SetSize, old: &[SetSize]) -> Step {
        let same = |new: i64| Step { new, old: old.iter().map(|s| s.wanted).collect() };
        let total = new.wanted + old.iter().map(|s| s.wanted).sum::<i64>();
        if new.wanted > self.wanted {
            return same(self.wanted);
        }
        if new.wanted < self.wanted {
            let room = self.wanted + self.max_surge - total;
            let up = new.wanted + room.clamp(0, self.wanted - new.wanted);
            if up != new.wanted {
                return same(up);
            }
        }
        // Old ones may go as far as enough stay available, counting new ones that aren't yet as missing.
        let min_available = self.wanted - self.max_unavailable;
        let mut may_go = total - min_available - (new.wanted - new.available);
        let mut step = same(new.wanted);
        if may_go <= 0 {
            return step;
        }
        // Those that aren't available anyway go first, oldest set first.
        for (set, replicas) in old.iter().zip(&mut step.old) {
            let unhealthy = (set.wanted - set.available).clamp(0, may_go);
            *replicas -= unhealthy;
            may_go -= unhealthy;
        }
        let available = new.available + old.iter().map(|s| s.available.min(s.wanted)).sum::<i64>();
        let mut spare = available - min_available;
        for replicas in &mut step.old {
            let down = (*replicas).clamp(0, spare.max(0));
            *replicas -= down;
            spare -= down;
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(wanted: i64, surge: &str, unavailable: &str) -> Replicas {
        let v = |s: &str| Some(s.parse().map_or_else(|_| IntOrString::String(s.into()), IntOrString::Int));
        Replicas::new(wanted, Some(&RollingUpdateDeployment { max_surge: v(surge), max_unavailable: v(unavailable) }))
    }

    #[test]
    fn rounding() {
        for (wanted, surge, unavailable, want) in [
            (10, "25%", "25%", (3, 2)),
            (4, "25%", "25%", (1, 1)),
            (1, "25%", "25%", (1, 0)),
            (3, "0", "0", (0, 1)),
            (10, "0", "1%", (0, 1)),
            (5, "2", "100%", (2, 5)),
        ] {
            let r = bounds(wanted, surge, unavailable);
            assert_eq!((r.max_surge, r.max_unavailable), want, "{wanted} {surge} {unavailable}");
        }
    }

    #[test]
    fn a_whole_rollout_never_leaves_its_bounds() {
        for wanted in 1..12 {
            let bounds = bounds(wanted, "25%", "25%");
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
