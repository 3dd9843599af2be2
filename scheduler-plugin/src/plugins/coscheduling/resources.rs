//! Whether the cluster as a whole has what a group needs at least.

use std::collections::BTreeMap;

use crate::pod::Pod;
use crate::resources::amount;
use crate::snapshot::Snapshot;
use crate::wire::Map;

/// Adds up what is free on the nodes, what the group itself has taken counting as free, until it is enough.
pub(super) fn check(snapshot: &Snapshot, needed: &Map, of_group: impl Fn(&Pod) -> bool) -> Result<(), String> {
    let mut gap: BTreeMap<&str, i64> =
        needed.iter().map(|(name, quantity)| (name.as_str(), amount(name, quantity))).collect();
    gap.retain(|_, missing| *missing > 0);
    for node in snapshot.nodes() {
        if gap.is_empty() {
            return Ok(());
        }
        let own = || node.pods().iter().filter(|pod| of_group(pod));
        gap.retain(|name, missing| {
            let taken: i64 = match *name {
                "pods" => own().map(|_| 1).sum(),
                name => own().map(|pod| pod.spec.requests.get(name)).sum(),
            };
            *missing -= node.allocatable(name) - node.requested(name) + taken;
            *missing > 0
        });
    }
    if gap.is_empty() {
        return Ok(());
    }
    let parts: Vec<String> = gap.iter().map(|(name, missing)| format!("{name}:{missing}")).collect();
    Err(format!("resource gap: {}", parts.join(" ")))
}
