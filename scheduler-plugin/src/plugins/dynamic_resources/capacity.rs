//! How much of a device that several requests share a request takes. Source: KEP-5075 (consumable capacity).

use std::collections::BTreeMap;

use steersman_machinery::quantity::Quantity;

use super::pools::quantity;
use crate::wire::{CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity, Map};

/// Amounts by the name of the capacity.
pub(super) type Consumed = BTreeMap<String, Quantity>;

/// What a request takes of a device with these capacities; `None` if it asks for one that the device does not have, or for
/// an amount that cannot be had.
pub(super) fn consumed(capacity: &BTreeMap<String, DeviceCapacity>, requests: &Map) -> Option<Consumed> {
    if requests.keys().any(|name| !capacity.contains_key(name)) {
        return None;
    }
    let amount = |(name, of): (&String, &DeviceCapacity)| {
        let policy = of.request_policy.as_ref();
        let default = || policy.and_then(|policy| policy.default.as_deref()).unwrap_or(&of.value);
        let taken = match (requests.get(name), policy) {
            (None, _) => quantity(default()),
            (Some(wanted), None) => quantity(wanted),
            (Some(wanted), Some(policy)) => rounded(quantity(wanted), policy),
        };
        let allowed = policy.is_none_or(|policy| is_allowed(taken, policy));
        allowed.then(|| (name.clone(), taken))
    };
    capacity.iter().map(amount).collect()
}

/// Whether that much is left beside what others take.
pub(super) fn suffices<'a>(
    capacity: &BTreeMap<String, DeviceCapacity>,
    wanted: &Consumed,
    others: impl Iterator<Item = &'a Consumed> + Clone,
) -> bool {
    capacity.iter().all(|(name, of)| {
        let mut sum = wanted.get(name).copied().unwrap_or(Quantity::from_milli(0));
        for other in others.clone().filter_map(|other| other.get(name)) {
            sum = sum + *other;
        }
        sum <= quantity(&of.value)
    })
}

/// The least amount that can be had and is not less than the wanted one.
fn rounded(wanted: Quantity, policy: &CapacityRequestPolicy) -> Quantity {
    if let Some(range) = &policy.valid_range
        && let Some(min) = range.min.as_deref().map(quantity)
    {
        return rounded_to_step(wanted, min, range);
    }
    let values = policy.valid_values.iter().map(|value| quantity(value));
    values.into_iter().find(|value| wanted <= *value).unwrap_or(wanted)
}

fn rounded_to_step(wanted: Quantity, min: Quantity, range: &CapacityRequestPolicyRange) -> Quantity {
    if wanted < min {
        return min;
    }
    let Some(step) = range.step.as_deref().map(quantity).filter(|step| step.value() > 0) else { return wanted };
    let steps = (wanted.value() - min.value() + step.value() - 1) / step.value();
    Quantity::from_units(min.value().saturating_add(step.value().saturating_mul(steps)), step.format())
}

fn is_allowed(amount: Quantity, policy: &CapacityRequestPolicy) -> bool {
    if policy.default.as_deref().is_some_and(|default| quantity(default) == amount) {
        return true;
    }
    if let Some(range) = &policy.valid_range {
        let too_much = range.max.as_deref().is_some_and(|max| amount > quantity(max));
        let min = range.min.as_deref().map_or(0, |min| quantity(min).value());
        let off = |step: &str| {
            let step = quantity(step).value();
            step > 0 && (amount.value() - min) % step != 0
        };
        return !too_much && !range.step.as_deref().is_some_and(off);
    }
    policy.valid_values.is_empty() || policy.valid_values.iter().any(|value| quantity(value) == amount)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn taken(capacity: Value, requests: Value) -> Option<String> {
        let capacity = serde_json::from_value(json!({ "memory": capacity })).unwrap();
        let requests: Map = serde_json::from_value(requests).unwrap();
        consumed(&capacity, &requests).map(|consumed| consumed["memory"].to_string())
    }

    #[test]
    fn amounts_follow_the_policy_of_the_capacity() {
        let check = |policy: Value, wanted: Option<&str>, expect: Option<&str>| {
            let mut capacity = json!({"value": "40Gi"});
            if !policy.is_null() {
                capacity["requestPolicy"] = policy.clone();
            }
            let requests = wanted.map_or(json!({}), |wanted| json!({"memory": wanted}));
            assert_eq!(taken(capacity, requests).as_deref(), expect, "{policy} {wanted:?}");
        };
        let values = json!({"default": "1Gi", "validValues": ["1Gi", "5Gi"]});
        let range = json!({"default": "3Gi", "validRange": {"min": "2Gi", "max": "10Gi", "step": "4Gi"}});
        let open = json!({"default": "3Gi", "validRange": {"min": "2Gi"}});
        check(Value::Null, None, Some("40Gi"));
        check(Value::Null, Some("7Gi"), Some("7Gi"));
        check(json!({"default": "1Gi"}), None, Some("1Gi"));
        check(json!({"default": "1Gi"}), Some("9Gi"), Some("9Gi"));
        check(values.clone(), None, Some("1Gi"));
        check(values.clone(), Some("2Gi"), Some("5Gi"));
        check(values, Some("6Gi"), None);
        check(range.clone(), None, Some("3Gi"));
        check(range.clone(), Some("1Gi"), Some("2Gi"));
        check(range.clone(), Some("3Gi"), Some("6Gi"));
        check(range.clone(), Some("7Gi"), Some("10Gi"));
        check(range, Some("11Gi"), None);
        check(open, Some("11Gi"), Some("11Gi"));
        assert_eq!(
            taken(json!({"value": "1Gi"}), json!({"cores": "1"})),
            None,
            "a capacity that the device does not have"
        );
    }

    #[test]
    fn what_others_take_counts() {
        let capacity = serde_json::from_value(json!({"memory": {"value": "10Gi"}})).unwrap();
        let of = |amount: &str| Consumed::from([("memory".to_owned(), quantity(amount))]);
        let others = [of("3Gi"), of("4Gi")];
        assert!(suffices(&capacity, &of("3Gi"), others.iter()));
        assert!(!suffices(&capacity, &of("4Gi"), others.iter()));
    }
}
