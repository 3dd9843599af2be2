//! What is counted of devices. Source: `pkg/scheduler/metrics`.

use std::collections::BTreeSet;

use steersman_framework::metrics::{Buckets, Family, Metrics};
use tokio::time::Instant;

use crate::wire::ResourceClaim;

static CREATES: Family = Family::counter(
    "scheduler_resourceclaim_creates_total",
    "Claims that the scheduler made for extended resources, or could not make, by status (success, failure).",
);
static ALLOCATIONS: Family = Family::counter(
    "scheduler_dra_bindingconditions_allocations_total",
    "Allocations that had to wait for conditions of devices, by driver and by how the wait ended.",
);
static WAITS: Family = Family::histogram(
    "scheduler_dra_bindingconditions_wait_duration_seconds",
    "How long pods waited for conditions of devices, by driver and by how the wait ended.",
    Buckets::Exponential { start: 0.1, factor: 2.0, count: 14 },
);

/// Why a wait for devices ended in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InVain {
    /// A device can not be had.
    Failed,
    /// It took too long.
    TimedOut,
    /// It could not be found out.
    Error,
}

/// A claim was made, or could not be.
pub(super) fn made_claim(metrics: &Metrics, success: bool) {
    let status = if success { "success" } else { "failure" };
    metrics.counter(&CREATES, &[("status", status)]).increment();
}

/// Pods of a profile waited for the devices of these claims from `begun` on.
pub(super) fn waited(metrics: &Metrics, profile: &str, claims: &[ResourceClaim], wait: (Instant, Option<InVain>)) {
    let (begun, in_vain) = wait;
    let status = match in_vain {
        None => "success",
        Some(InVain::Failed) => "failure",
        Some(InVain::TimedOut) => "timeout",
        Some(InVain::Error) => "error",
    };
    let devices = claims.iter().flat_map(|claim| &claim.status.allocation).flat_map(|it| &it.devices.results);
    let waited_for = devices.filter(|device| !device.binding_conditions.is_empty());
    let drivers: BTreeSet<&str> = waited_for.map(|device| device.driver.as_str()).collect();
    for driver in drivers {
        let labels = [("driver", driver), ("profile", profile), ("status", status)];
        metrics.counter(&ALLOCATIONS, &labels).increment();
        metrics.histogram(&WAITS, &labels).observe_duration(begun.elapsed());
    }
}
