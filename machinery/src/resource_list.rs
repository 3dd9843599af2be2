//! Lists of resources: amounts by name, as in requests, limits and quotas.
//! Source: `corev1.ResourceList`; `k8s.io/apiserver/pkg/quota/v1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::quantity::Quantity;

/// Amounts by the names of the resources.
pub type ResourceList = BTreeMap<String, Quantity>;

/// The list that `value` is; what is no amount counts as nothing.
pub fn parse(value: Option<&Value>) -> ResourceList {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), Quantity::from_value(value).unwrap_or_default())).collect()
}

/// The JSON form of a list.
pub fn to_value(list: &ResourceList) -> Value {
    Value::Object(
        list.iter().map(|(name, amount)| (name.clone(), Value::from(amount.to_string()))).collect::<Map<_, _>>(),
    )
}

/// Adds every amount of `other`.
pub fn add(list: &mut ResourceList, other: &ResourceList) {
    for (name, amount) in other {
        let sum = list.entry(name.clone()).or_default();
        *sum = *sum + *amount;
    }
}

/// Raises every amount to that of `other`.
pub fn raise(list: &mut ResourceList, other: &ResourceList) {
    for (name, amount) in other {
        let highest = list.entry(name.clone()).or_insert(*amount);
        if *amount > *highest {
            *highest = *amount;
        }
    }
}

/// What of `list` is more than in `other`.
pub fn excess(list: &ResourceList, other: &ResourceList) -> ResourceList {
    let less = |name: &str| other.get(name).copied().unwrap_or_default();
    let rest = list.iter().map(|(name, amount)| (name.clone(), *amount - less(name)));
    rest.filter(|(_, rest)| !rest.is_zero() && !rest.is_negative()).collect()
}

/// The entries whose names fit.
pub fn only(list: &ResourceList, fits: impl Fn(&str) -> bool) -> ResourceList {
    list.iter().filter(|(name, _)| fits(name)).map(|(name, amount)| (name.clone(), *amount)).collect()
}

/// `cpu=1,memory=2Gi`: how upstream shows a list in messages.
pub fn show(list: &ResourceList) -> String {
    list.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_sums_and_maxima_by_name() {
        let of = |value: Value| parse(Some(&value));
        let mut sum = of(json!({"cpu": "500m"}));
        add(&mut sum, &of(json!({"cpu": "1", "memory": "1Gi"})));
        assert_eq!(show(&sum), "cpu=1500m,memory=1Gi");
        raise(&mut sum, &of(json!({"cpu": "1", "memory": "2Gi", "pods": 1})));
        assert_eq!(show(&sum), "cpu=1500m,memory=2Gi,pods=1");
        assert_eq!(show(&excess(&sum, &of(json!({"cpu": "1", "memory": "3Gi", "pods": "1"})))), "cpu=500m");
        assert_eq!(to_value(&only(&sum, |name| name == "pods")), json!({"pods": "1"}));
    }
}
