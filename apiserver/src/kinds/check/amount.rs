//! Quantities as the kinds compare them.

use serde_json::Value;
use steersman_machinery::quantity::Quantity;

use super::Cursor;

/// The quantity that `value` is; nothing if it is none.
pub(crate) fn of(value: &Value) -> Quantity {
    Quantity::from_value(value).unwrap_or_default()
}

/// Complains of less than nothing. Source: `validateBasicResource` of `k8s.io/kubernetes/pkg/apis/core/validation`.
pub(crate) fn valid(amount: &Cursor<'_>) {
    let value = of(amount.value).value();
    if value < 0 {
        amount.invalid_as(value.to_string(), "must be a valid resource quantity");
    }
}

/// Whether a quantity is a whole number of units.
pub(crate) fn is_whole(quantity: Quantity) -> bool {
    quantity.milli_value() % 1000 == 0
}

/// Rounds each amount of a list of resources up to thousandths, the finest that is kept.
pub(crate) fn round_up_to_milli(list: &mut Value) {
    for value in list.as_object_mut().into_iter().flat_map(|list| list.values_mut()) {
        let Ok(quantity) = Quantity::from_value(value) else {
            continue;
        };
        let rounded = Quantity::from_milli(quantity.milli_value());
        // What is too large for thousandths is whole anyway.
        if rounded > quantity {
            *value = Value::from(rounded.to_string());
        }
    }
}
