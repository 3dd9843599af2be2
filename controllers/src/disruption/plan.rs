//! What the status of a budget is to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use steersman_framework::selector::LabelSelector;
use steersman_machinery::clock::truncate_to_second;
use steersman_machinery::int_or_string::{IntOrPercent, ParseIntOrPercentError};

use super::objects::{Budget, BudgetCondition, BudgetSpec, BudgetStatus};
use crate::objects::Pod;

/// How long after its eviction was allowed a pod may take to be deleted.
pub const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);
/// After what time a pod that was to be disrupted and was not counts as undisturbed again.
pub const STALE_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);

const ALLOWED: &str = "DisruptionAllowed";

/// What is wanted of a budget that covers so many pods: how many pods there should be, and how many healthy ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `expectedPods`.
    pub expected: i64,
    /// `desiredHealthy`.
    pub healthy: i64,
}

/// Whether it takes the scale of the pods' owners to say what a budget wants.
pub fn needs_scale(spec: &BudgetSpec) -> bool {
    spec.max_unavailable.is_some() || spec.min_available.as_ref().is_some_and(Value::is_string)
}

/// What a budget wants where there are `pods` and, if it [needs](needs_scale) it, their owners want `scale` of them.
///
/// # Errors
/// If a limit is neither a number nor a percentage.
pub fn wanted(spec: &BudgetSpec, pods: i64, scale: i64) -> Result<Wanted, ParseIntOrPercentError> {
    if let Some(limit) = &spec.max_unavailable {
        let unavailable = IntOrPercent::from_value(limit)?.scaled_up(scale);
        return Ok(Wanted { expected: scale, healthy: scale.saturating_sub(unavailable).max(0) });
    }
    let Some(limit) = &spec.min_available else { return Ok(Wanted { expected: 0, healthy: 0 }) };
    let expected = if needs_scale(spec) { scale } else { pods };
    Ok(Wanted { expected, healthy: IntOrPercent::from_value(limit)?.scaled_up(expected) })
}

/// What is to be done about a budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Its new status, if it is not that already.
    pub status: Option<BudgetStatus>,
    /// When to look again, since the next eviction that was allowed will not have come to pass.
    pub recheck: Option<Timestamp>,
    /// Pods whose eviction was allowed and that were not deleted in time.
    pub not_deleted: Vec<Arc<Pod>>,
}

/// Plans the status of a budget that covers `pods`.
pub fn plan(budget: &Budget, pods: &[Arc<Pod>], wanted: Wanted, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut disrupted = BTreeMap::new();
    let mut healthy = 0;
    for pod in pods.iter().filter(|pod| !pod.metadata.is_deleting()) {
        match budget.status.disrupted_pods.get(&pod.metadata.name) {
            Some(since) if deadline(*since) > now => {
                plan.recheck = plan.recheck.into_iter().chain([deadline(*since)]).min();
                disrupted.insert(pod.metadata.name.clone(), *since);
                continue;
            }
            Some(_) => plan.not_deleted.push(Arc::clone(pod)),
            None => {}
        }
        healthy += i64::from(pod.ready);
    }
    // A budget that covers nothing allows nothing, so that its first pods are safe before their count is known.
    let allowed = if wanted.expected > 0 { (healthy - wanted.healthy).max(0) } else { 0 };
    let mut status = BudgetStatus {
        observed_generation: budget.metadata.generation,
        disrupted_pods: disrupted,
        disruptions_allowed: allowed,
        current_healthy: healthy,
        desired_healthy: wanted.healthy,
        expected_pods: wanted.expected,
        conditions: budget.status.conditions.clone(),
    };
    let verdict = if allowed > 0 { ("True", "SufficientPods", "") } else { ("False", "InsufficientPods", "") };
    set_condition(&mut status, verdict, now);
    plan.status = (status != budget.status).then_some(status);
    plan
}

fn deadline(since: Timestamp) -> Timestamp {
    since.checked_add(DELETION_TIMEOUT).unwrap_or(since)
}

/// The status of a budget about which nothing could be found out: nothing may be evicted. `None` if it is that already.
pub fn fail_safe(budget: &Budget, message: &str, now: Timestamp) -> Option<BudgetStatus> {
    let mut status = BudgetStatus { disruptions_allowed: 0, ..budget.status.clone() };
    set_condition(&mut status, ("False", "SyncFailed", message), now);
    (status != budget.status).then_some(status)
}

fn set_condition(status: &mut BudgetStatus, (value, reason, message): (&str, &str, &str), now: Timestamp) {
    let before = status.conditions.iter().find(|it| it.kind == ALLOWED && it.status == value);
    let since = before.and_then(|it| it.last_transition_time).unwrap_or_else(|| truncate_to_second(now));
    let condition = BudgetCondition {
        kind: ALLOWED.to_owned(),
        status: value.to_owned(),
        observed_generation: status.observed_generation,
        last_transition_time: Some(since),
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    match status.conditions.iter_mut().find(|it| it.kind == ALLOWED) {
        Some(present) => *present = condition,
        None => status.conditions.push(condition),
    }
}

/// How long a pod may still be marked as to be disrupted without being deleted; `None` if it is not marked, or rightly.
pub fn stale_after(pod: &Pod, now: Timestamp) -> Option<SignedDuration> {
    let since = pod.disrupted_since.filter(|_| pod.is_active())?;
    Some((STALE_TIMEOUT - now.duration_since(since)).max(SignedDuration::ZERO))
}

/// A selector as the messages show it.
pub fn selector_text(selector: &LabelSelector) -> String {
    let labels: String = selector.match_labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions = selector.match_expressions.iter().map(|it| {
        let values = it.values.join(" ");
        format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", it.key, it.operator)
    });
    let expressions: String = expressions.collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}
