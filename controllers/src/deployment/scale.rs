//! What happens to the sets when the Deployment's size changes, or while it is paused: several active sets grow or
//! shrink in proportion. Source: `k8s.io/kubernetes/pkg/controller/deployment/sync.go`.

use std::cmp::Reverse;

use crate::deployment::rolling::Resize;
use crate::deployment::sets::{
    DESIRED_REPLICAS, MAX_REPLICAS, Sets, is_rolling_update, max_replicas, size_annotation, sum,
};
use crate::objects::{Deployment, ReplicaSet};

/// Whether the size has changed since an active set was last scaled.
pub fn is_scaling_event(deployment: &Deployment, sets: &Sets) -> bool {
    let mut desired = sets.active().filter_map(|(_, set)| size_annotation(set, DESIRED_REPLICAS));
    desired.any(|desired| desired != deployment.spec.replicas)
}

/// The new sizes, and whether sets that keep theirs are to be annotated anew as well.
pub fn plan_scale(deployment: &Deployment, sets: &Sets) -> (Vec<Resize>, bool) {
    if let Some(place) = only_active_or_latest(sets) {
        let size = deployment.spec.replicas;
        let changes = sets.all[place].spec.replicas != size;
        return (changes.then_some(Resize { place, size }).into_iter().collect(), false);
    }
    if sets.new_set().is_some_and(|new| is_saturated(deployment, new)) {
        let drained = sets.active_old().map(|(place, _)| Resize { place, size: 0 });
        return (drained.collect(), false);
    }
    if is_rolling_update(deployment) { (plan_proportional(deployment, sets), true) } else { (Vec::new(), false) }
}

/// The only active set; the newest if none is active; `None` if several are.
fn only_active_or_latest(sets: &Sets) -> Option<usize> {
    let mut active = sets.active();
    match (active.next(), active.next()) {
        (Some((place, _)), None) => Some(place),
        (None, _) => sets.new.or_else(|| sets.old().next_back().map(|(place, _)| place)),
        _ => None,
    }
}

fn is_saturated(deployment: &Deployment, new: &ReplicaSet) -> bool {
    let wanted = deployment.spec.replicas;
    new.spec.replicas == wanted
        && size_annotation(new, DESIRED_REPLICAS) == Some(wanted)
        && new.status.available_replicas == wanted
}

fn plan_proportional(deployment: &Deployment, sets: &Sets) -> Vec<Resize> {
    let wanted = deployment.spec.replicas;
    let allowed = if wanted > 0 { max_replicas(deployment) } else { 0 };
    let to_add = allowed.saturating_sub(sum(sets.active().map(|(_, set)| set.spec.replicas)));
    let mut ordered: Vec<(usize, &ReplicaSet)> = sets.active().collect();
    // Places grow with age and name, so they stand for both.
    match to_add.signum() {
        1 => ordered.sort_by_key(|(place, set)| Reverse((set.spec.replicas, *place))),
        -1 => ordered.sort_by_key(|(place, set)| (Reverse(set.spec.replicas), *place)),
        _ => {}
    }
    let mut added = 0;
    let mut sizes = Vec::with_capacity(ordered.len());
    for (place, set) in ordered {
        let left = to_add - added;
        let share = match to_add.signum() {
            1 if left != 0 => fraction(deployment, set).min(left),
            -1 if left != 0 => fraction(deployment, set).max(left),
            _ => 0,
        };
        added += share;
        sizes.push(Resize { place, size: set.spec.replicas.saturating_add(share) });
    }
    if let Some(first) = sizes.first_mut() {
        first.size = first.size.saturating_add(to_add - added).max(0);
    }
    sizes
}

/// By how much a set changes if it keeps its part of the whole.
pub fn fraction(deployment: &Deployment, set: &ReplicaSet) -> i32 {
    let size = set.spec.replicas;
    let wanted = deployment.spec.replicas;
    if wanted == 0 {
        return -size;
    }
    let annotated = size_annotation(set, MAX_REPLICAS).filter(|max| *max != 0);
    let base = i64::from(annotated.unwrap_or(deployment.status.replicas));
    if base == 0 {
        return 0;
    }
    let product = i64::from(size) * i64::from(max_replicas(deployment));
    // Half away from zero; nothing here is negative.
    let rounded = (2 * product + base) / (2 * base);
    i32::try_from(rounded - i64::from(size)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
