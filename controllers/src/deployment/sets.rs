//! The ReplicaSets of a Deployment, and their arithmetic. Source:
//! `k8s.io/kubernetes/pkg/controller/deployment/util`.

use serde_json::Value;
use steersman_machinery::int_or_string::{IntOrPercent, ParseIntOrPercentError};

use crate::deployment::template;
use crate::objects::{Deployment, ReplicaSet};

/// The annotation with the size that the Deployment wanted when the set was last scaled.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// The annotation with the size that the Deployment allowed then.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// The ReplicaSets that a Deployment controls, oldest first, and which of them has the present template.
#[derive(Clone, Debug, Default)]
pub struct Sets {
    /// All of them, by creation and name.
    pub all: Vec<ReplicaSet>,
    /// The place of the one with the present template in `all`.
    pub new: Option<usize>,
}

impl Sets {
    /// Sorts `sets` and finds the one with the Deployment's template: the oldest if there are several.
    pub fn of(deployment: &Deployment, mut sets: Vec<ReplicaSet>) -> Self {
        sets.sort_by(|a, b| {
            let key = |set: &ReplicaSet| set.metadata.creation_timestamp;
            key(a).cmp(&key(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
        });
        let wanted = &deployment.spec.template;
        let new = sets.iter().position(|set| {
            let template = &set.spec.template;
            template.fingerprint == wanted.fingerprint && template::is_equal(&template.value, &wanted.value)
        });
        Self { all: sets, new }
    }

    /// The set with the present template.
    pub fn new_set(&self) -> Option<&ReplicaSet> {
        self.all.get(self.new?)
    }

    /// The others, with their places.
    pub fn old(&self) -> impl DoubleEndedIterator<Item = (usize, &ReplicaSet)> {
        self.all.iter().enumerate().filter(|(place, _)| Some(*place) != self.new)
    }

    /// Those of the others that want pods.
    pub fn active_old(&self) -> impl DoubleEndedIterator<Item = (usize, &ReplicaSet)> {
        self.old().filter(|(_, set)| set.spec.replicas > 0)
    }

    /// All that want pods.
    pub fn active(&self) -> impl DoubleEndedIterator<Item = (usize, &ReplicaSet)> {
        self.all.iter().enumerate().filter(|(_, set)| set.spec.replicas > 0)
    }

    /// The sum of the wanted sizes.
    pub fn total(&self) -> i32 {
        sum(self.all.iter().map(|set| set.spec.replicas))
    }
}

/// A sum that ends at the largest number there is: sizes may be as large.
pub(crate) fn sum(numbers: impl Iterator<Item = i32>) -> i32 {
    numbers.fold(0, i32::saturating_add)
}

/// Resolves a number or a percentage of `total`; nothing is 0, and what is more than can be counted the most that can.
///
/// # Errors
/// If it is a text that is not a percentage.
pub fn resolve(value: Option<&Value>, total: i32, round_up: bool) -> Result<i32, ParseIntOrPercentError> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(0) };
    let limit = IntOrPercent::from_value(value)?;
    let number = if round_up { limit.scaled_up(total.into()) } else { limit.scaled_down(total.into()) };
    Ok(i32::try_from(number).unwrap_or(if number > 0 { i32::MAX } else { i32::MIN }))
}

/// How many pods there may be too many, and how many may be missing: never both zero, else nothing could ever move.
///
/// # Errors
/// If one of the limits is neither a number nor a percentage.
pub fn resolve_fenceposts(
    surge: Option<&Value>,
    unavailable: Option<&Value>,
    desired: i32,
) -> Result<(i32, i32), ParseIntOrPercentError> {
    let surge = resolve(surge, desired, true)?;
    let unavailable = resolve(unavailable, desired, false)?;
    Ok((surge, if surge == 0 && unavailable == 0 { 1 } else { unavailable }))
}

/// Whether pods are replaced bit by bit.
pub fn is_rolling_update(deployment: &Deployment) -> bool {
    deployment.spec.strategy.kind == "RollingUpdate"
}

fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    let limits = &deployment.spec.strategy.rolling_update;
    let (surge, unavailable) = (limits.max_surge.as_ref(), limits.max_unavailable.as_ref());
    resolve_fenceposts(surge, unavailable, deployment.spec.replicas).unwrap_or_default()
}

/// How many pods there may be too many.
pub fn max_surge(deployment: &Deployment) -> i32 {
    if is_rolling_update(deployment) { fenceposts(deployment).0 } else { 0 }
}

/// How many pods there may be at most.
pub fn max_replicas(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.saturating_add(max_surge(deployment))
}

/// How many pods may be missing.
pub fn max_unavailable(deployment: &Deployment) -> i32 {
    if !is_rolling_update(deployment) || deployment.spec.replicas == 0 {
        return 0;
    }
    fenceposts(deployment).1.min(deployment.spec.replicas)
}

/// How many pods have to be available at all times.
pub fn min_available(deployment: &Deployment) -> i32 {
    if is_rolling_update(deployment) { deployment.spec.replicas - max_unavailable(deployment) } else { 0 }
}

/// Reads [`DESIRED_REPLICAS`] or [`MAX_REPLICAS`]; `None` if it is absent or not a size.
pub fn size_annotation(set: &ReplicaSet, key: &str) -> Option<i32> {
    let text = set.metadata.annotations.get(key)?;
    text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deployment::{rolling, scale, status};
    use crate::testing::NOW;

    #[test]
    fn surge_rounds_up_and_unavailable_rounds_down() {
        let check = |surge: Value, unavailable: Value, replicas: i32, expect: Option<(i32, i32)>| {
            let got = resolve_fenceposts(Some(&surge), Some(&unavailable), replicas).ok();
            assert_eq!(got, expect, "{surge} {unavailable} {replicas}");
        };
        check(json!("0%"), json!("0%"), 0, Some((0, 1)));
        check(json!("39%"), json!("39%"), 10, Some((4, 3)));
        check(json!("oops"), json!("39%"), 10, None);
        check(json!("39%"), json!("urg"), 10, None);
        check(json!(null), json!("39%"), 10, Some((0, 3)));
        check(json!("39%"), json!(null), 10, Some((4, 0)));
        check(json!(null), json!(null), 10, Some((0, 1)));
        for (replicas, expect) in [(1, (1, 0)), (2, (1, 0)), (4, (1, 1)), (10, (3, 2))] {
            check(json!("25%"), json!("25%"), replicas, Some(expect));
        }
        for replicas in [1, 2] {
            check(json!(0), json!("1%"), replicas, Some((0, 1)));
            check(json!("1%"), json!(0), replicas, Some((1, 0)));
        }
        check(json!("1%"), json!("25%"), 2, Some((1, 0)));
        check(json!("9223372036854775807%"), json!("2147483647%"), 10, Some((i32::MAX, 214_748_364)));
    }

    #[test]
    fn no_size_is_too_large_to_be_reckoned_with() {
        let most = i32::MAX;
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}});
        let deployment: Deployment =
            serde_json::from_value(json!({"spec": {"replicas": most, "strategy": strategy}})).unwrap();
        let counters = ["replicas", "readyReplicas", "availableReplicas", "terminatingReplicas"];
        let status: serde_json::Map<_, _> = counters.iter().map(|name| ((*name).to_owned(), json!(most))).collect();
        let set: ReplicaSet = serde_json::from_value(json!({"spec": {"replicas": most}, "status": status})).unwrap();
        for new in [None, Some(1)] {
            let sets = Sets { all: vec![set.clone(), set.clone()], new };
            assert_eq!((sets.total(), max_replicas(&deployment)), (most, most));
            assert_eq!(rolling::new_size(&deployment, &sets, 0), 0);
            assert_eq!(rolling::plan_old(&deployment, &sets).steps, []);
            let (sizes, _) = scale::plan_scale(&deployment, &sets);
            assert!(sizes.iter().all(|resize| resize.size >= 0), "{sizes:?}");
            let status = status::plan_rollout_status(&deployment, &sets, NOW);
            assert_eq!((status.replicas, status.terminating_replicas), (most, Some(most)));
        }
    }

    #[test]
    fn unavailable_and_available_follow_the_size() {
        let check = |replicas: i32, unavailable: Value, max: i32, min: i32| {
            let strategy =
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": unavailable}});
            let deployment: Deployment =
                serde_json::from_value(json!({"spec": {"replicas": replicas, "strategy": strategy}})).unwrap();
            assert_eq!(
                (max_unavailable(&deployment), min_available(&deployment)),
                (max, min),
                "{replicas} {unavailable}"
            );
        };
        check(10, json!(5), 5, 5);
        check(10, json!(10), 10, 0);
        check(5, json!(10), 5, 0);
        check(0, json!(10), 0, 0);
        check(10, json!("50%"), 5, 5);
        check(10, json!("60%"), 6, 4);
        check(10, json!("100%"), 10, 0);
        check(5, json!("100%"), 5, 0);
        let recreate: Deployment =
            serde_json::from_value(json!({"spec": {"replicas": 10, "strategy": {"type": "Recreate"}}})).unwrap();
        assert_eq!((max_surge(&recreate), max_unavailable(&recreate), min_available(&recreate)), (0, 0, 0));
    }

    #[test]
    fn sizes_in_annotations_are_read_strictly() {
        for (text, expect) in [("0", Some(0)), ("12", Some(12)), ("-1", None), ("x", None), ("2147483648", None)] {
            let mut set = ReplicaSet::default();
            set.metadata.annotations.insert(DESIRED_REPLICAS, text);
            assert_eq!(size_annotation(&set, DESIRED_REPLICAS), expect, "{text}");
        }
    }

    #[test]
    fn the_oldest_set_with_the_template_is_the_new_one() {
        let set = |name: &str, created: &str, image: &str| json!({"metadata": {"name": name, "creationTimestamp": created}, "spec": {"template": {"spec": {"image": image}}}});
        let sets = json!([
            set("c", "2026-01-03T00:00:00Z", "2"),
            set("b", "2026-01-02T00:00:00Z", "2"),
            set("a", "2026-01-02T00:00:00Z", "1"),
        ]);
        let deployment: Deployment =
            serde_json::from_value(json!({"spec": {"template": {"spec": {"image": "2"}}}})).unwrap();
        let sets = Sets::of(&deployment, serde_json::from_value(sets).unwrap());
        assert_eq!(sets.new_set().unwrap().metadata.name, "b");
        let old: Vec<&str> = sets.old().map(|(_, set)| set.metadata.name.as_str()).collect();
        assert_eq!(old, ["a", "c"]);
    }
}
