//! Devices for which a pod has to wait before it is bound. Source: KEP-5007 (binding conditions).

use jiff::Timestamp;

use crate::wire::{AllocatedDevice, DeviceCondition, ResourceClaim};

/// Whether all conditions hold without which the pod must not be bound.
///
/// # Errors
/// If one holds with which it never will.
pub(super) fn is_ready(claim: &ResourceClaim) -> Result<bool, String> {
    let Some(allocation) = &claim.status.allocation else { return Ok(false) };
    for device in allocation.devices.results.iter().filter(|device| !device.binding_conditions.is_empty()) {
        let Some(conditions) = conditions(claim, device) else { return Ok(false) };
        let holds = |name: &String| conditions.iter().find(|it| it.condition_type == *name && it.status == "True");
        if let Some(failed) = device.binding_failure_conditions.iter().find_map(holds) {
            let name = &claim.metadata.common.name;
            let (reason, message) = (&failed.reason, &failed.message);
            return Err(format!("claim {name} binding failed: reason={reason}, message={message:?}"));
        }
        if !device.binding_conditions.iter().all(|name| holds(name).is_some()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn conditions<'a>(claim: &'a ResourceClaim, device: &AllocatedDevice) -> Option<&'a [DeviceCondition]> {
    let is_it = |it: &&crate::wire::AllocatedDeviceStatus| {
        it.driver == device.driver && it.pool == device.pool && it.device == device.device
    };
    claim.status.devices.iter().find(is_it).map(|status| status.conditions.as_slice())
}

/// Whether a pod has to wait for a device of a claim.
pub(super) fn has_any(claim: &ResourceClaim) -> bool {
    let results = claim.status.allocation.iter().flat_map(|allocation| &allocation.devices.results);
    results.into_iter().any(|device| !device.binding_conditions.is_empty())
}

/// Whether what a claim has will not become ready: a device says so, or has had its time. `is_late` says whether something
/// that began then is.
pub(super) fn is_hopeless(claim: &ResourceClaim, is_late: &impl Fn(Timestamp) -> bool) -> bool {
    match is_ready(claim) {
        Ok(true) => false,
        Ok(false) => is_timed_out(claim, is_late),
        Err(_) => true,
    }
}

/// Whether a device of a claim has had its time.
pub(super) fn is_timed_out(claim: &ResourceClaim, is_late: &impl Fn(Timestamp) -> bool) -> bool {
    let begun = claim.status.allocation.as_ref().and_then(|allocation| allocation.allocation_timestamp);
    has_any(claim) && begun.is_some_and(is_late)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(conditions: Value) -> ResourceClaim {
        let result = json!({"driver": "d", "pool": "p", "device": "x", "request": "r",
            "bindingConditions": ["ready"], "bindingFailureConditions": ["broken"]});
        let device = json!({"driver": "d", "pool": "p", "device": "x", "conditions": conditions});
        let allocation = json!({"devices": {"results": [result]}, "allocationTimestamp": "2026-05-01T10:00:00Z"});
        let status = json!({"allocation": allocation, "devices": [device]});
        serde_json::from_value(json!({"metadata": {"name": "c"}, "status": status})).unwrap()
    }

    #[test]
    fn a_device_is_ready_when_all_its_conditions_hold_and_none_that_fails_it() {
        let condition =
            |name: &str, status: &str| json!({"type": name, "status": status, "reason": "R", "message": "m"});
        let check = |conditions: Value, expect: Result<bool, &str>, hopeless: (bool, bool)| {
            let claim = claim(conditions.clone());
            assert_eq!(is_ready(&claim), expect.map_err(str::to_owned), "{conditions}");
            let late = |late: bool| is_hopeless(&claim, &|_| late);
            assert_eq!((late(false), late(true)), hopeless, "{conditions}");
        };
        check(json!([]), Ok(false), (false, true));
        check(json!([condition("ready", "False")]), Ok(false), (false, true));
        check(json!([condition("ready", "True")]), Ok(true), (false, false));
        let failed = Err("claim c binding failed: reason=R, message=\"m\"");
        check(json!([condition("ready", "True"), condition("broken", "True")]), failed, (true, true));
    }
}
