//! Whether a pod may stay on a node, and for how long.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use steersman_framework::meta::{Meta, null_default};

use crate::node_lifecycle::objects::Taint;

/// What is read of a pod on a node that drives pods away.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Placed {
    /// The metadata.
    pub metadata: Meta,
    /// What it puts up with.
    #[serde(deserialize_with = "null_default")]
    pub spec: PlacedSpec,
}

/// `spec` of such a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PlacedSpec {
    /// What it puts up with.
    #[serde(deserialize_with = "null_default")]
    pub tolerations: Vec<Toleration>,
}

/// What a pod puts up with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// Of taints with this key; all if it is empty.
    pub key: String,
    /// `Exists`, or `Equal` (the value matters).
    pub operator: String,
    /// The value.
    pub value: String,
    /// Of taints with this effect; all if it is empty.
    pub effect: String,
    /// For how long; for ever if it does not say.
    pub toleration_seconds: Option<i64>,
}

impl Toleration {
    fn tolerates(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        let key = self.key.is_empty() || self.key == taint.key;
        effect && key && (self.operator == "Exists" || self.value == taint.value)
    }
}

/// When a pod goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Since when that is known.
    pub since: Timestamp,
    /// Its end.
    pub at: Timestamp,
}

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays, whatever was planned.
    Stay,
    /// What was planned holds.
    Keep,
    /// It goes then.
    Go(Scheduled),
}

/// Decides about a pod on a node with these taints; `before` is what was planned.
pub fn decide(taints: &[Taint], tolerations: &[Toleration], before: Option<Scheduled>, now: Timestamp) -> Decision {
    if taints.is_empty() {
        return Decision::Stay;
    }
    let mut used: Vec<&Toleration> = Vec::new();
    for taint in taints {
        let matching: Vec<&Toleration> = tolerations.iter().filter(|it| it.tolerates(taint)).collect();
        if matching.is_empty() {
            return Decision::Go(Scheduled { since: now, at: now });
        }
        used.extend(matching);
    }
    let Some(seconds) = used.iter().filter_map(|toleration| toleration.toleration_seconds).min() else {
        return Decision::Stay;
    };
    // What was planned holds, however long the pod is tolerated by now: upstream never brings an end forward.
    if before.is_some_and(|before| before.since < now) {
        return Decision::Keep;
    }
    let at = now.checked_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(now);
    Decision::Go(Scheduled { since: now, at })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::NOW;

    #[track_caller]
    fn check(tolerations: Value, before: Option<(i64, i64)>, expect: Decision) {
        let taints: Vec<Taint> = serde_json::from_value(
            json!([{"key": "a", "effect": "NoExecute"}, {"key": "b", "value": "1", "effect": "NoExecute"}]),
        )
        .unwrap();
        let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).unwrap();
        let before = before.map(|(since, at)| scheduled(since, at));
        assert_eq!(decide(&taints, &tolerations, before, NOW), expect);
    }

    fn scheduled(since: i64, at: i64) -> Scheduled {
        let moment = |seconds| NOW + SignedDuration::from_secs(seconds);
        Scheduled { since: moment(since), at: moment(at) }
    }

    #[test]
    fn pods_stay_as_long_as_they_tolerate_every_taint() {
        check(json!([]), None, Decision::Go(scheduled(0, 0)));
        check(json!([{"operator": "Exists"}]), None, Decision::Stay);
        check(json!([{"key": "a", "operator": "Exists"}]), None, Decision::Go(scheduled(0, 0)));
        let both = |seconds: Value| {
            json!([{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "b", "operator": "Equal", "value": "1", "tolerationSeconds": seconds}])
        };
        check(both(json!(30)), None, Decision::Go(scheduled(0, 30)));
        check(both(json!(null)), None, Decision::Go(scheduled(0, 300)));
        check(both(json!(-1)), None, Decision::Go(scheduled(0, 0)));
        check(both(json!(30)), Some((-10, 20)), Decision::Keep);
        check(both(json!(30)), Some((-10, 290)), Decision::Keep);
        check(both(json!(30)), Some((0, 300)), Decision::Go(scheduled(0, 30)));
        check(json!([{"key": "a"}, {"key": "b", "value": "2"}]), None, Decision::Go(scheduled(0, 0)));
    }
}
