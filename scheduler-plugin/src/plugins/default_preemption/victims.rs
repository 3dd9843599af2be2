//! Who has to go on one node.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use super::candidate::{Candidate, started};
use crate::cycle::{WhatIf, filter_beside_nominated};
use crate::cycle_state::CycleState;
use crate::plugin::PostFilterContext;
use crate::pod::Pod;
use crate::selector;
use crate::snapshot::{Row, Snapshot};
use crate::status::Status;
use crate::wire::LabelSelector;

/// Who may have to go, and what has to hold then besides the filters.
pub(in crate::plugins) struct Rules<'r> {
    /// Whether a pod may have to go; asked for one after the other, the least important first, those before it gone.
    pub(in crate::plugins) may_go: &'r dyn Fn(&Pod, &CycleState) -> bool,
    /// Whether the pod fits besides; first alone, then together with those that were spared.
    pub(in crate::plugins) fits: &'r dyn Fn(&CycleState, bool) -> bool,
    /// What is said of a node on which nobody may have to go.
    pub(in crate::plugins) nobody: Cow<'static, str>,
}

/// The fewest and least important pods without which the pod fits; the reason if there are none. Leaves snapshot and state
/// as they were.
pub(in crate::plugins) fn select_victims(
    (state, pod): (&mut CycleState, &Pod),
    context: &mut PostFilterContext<'_>,
    row: Row,
    rules: &Rules<'_>,
) -> Result<Candidate, Status> {
    let before = context.snapshot.node(row).pods().to_vec();
    context.snapshot.pretend();
    let victims = select((state, pod), context, (row, &before), rules);
    context.snapshot.pretended();
    // So that the next who asks finds the same, and not the same in another order.
    context.snapshot.restore_order(row, before);
    victims
}

fn select(
    (state, pod): (&mut CycleState, &Pod),
    context: &mut PostFilterContext<'_>,
    (row, pods): (Row, &[Arc<Pod>]),
    rules: &Rules<'_>,
) -> Result<Candidate, Status> {
    let mut all = pods.to_vec();
    by_importance(&mut all);
    turn_unstarted(&mut all);
    let mut what_if = WhatIf { pod, profile: context.profile, snapshot: context.snapshot, state };
    let mut lower = Vec::new();
    for other in all.into_iter().rev() {
        if (rules.may_go)(&other, what_if.state) {
            what_if.remove(&other);
            lower.push(other);
        }
    }
    if lower.is_empty() {
        return Err(Status::unresolvable(rules.nobody.clone()));
    }
    lower.reverse();
    let mut status = filter_beside_nominated(&mut what_if, row);
    if status.is_success() && !(rules.fits)(what_if.state, true) {
        status = Status::unschedulable("global quota max exceeded");
    }
    if !status.is_success() {
        for victim in &lower {
            what_if.add(victim);
        }
        return Err(status);
    }
    let (protected, others) = split_by_budgets(&lower, what_if.snapshot);
    let mut victims = Vec::new();
    let mut spare = |candidates: Vec<Arc<Pod>>| {
        for other in candidates {
            what_if.add(&other);
            let fits = filter_beside_nominated(&mut what_if, row).is_success() && (rules.fits)(what_if.state, false);
            if !fits {
                what_if.remove(&other);
                victims.push(other);
            }
        }
        victims.len()
    };
    let violations = spare(protected);
    spare(others);
    for victim in &victims {
        what_if.add(victim);
    }
    by_importance(&mut victims);
    Ok(Candidate { row, victims, violations })
}

/// The most important first: by priority, then by age.
fn by_importance(pods: &mut [Arc<Pod>]) {
    pods.sort_by_key(|pod| (Reverse(pod.spec.priority), started(pod)));
}

/// Of pods of one priority that have not started the one that came last is the most important: upstream takes the moment of
/// each comparison for their start, so that its sort, of which few elements are just inserted one after the other, turns them
/// round. Source: `pkg/scheduler/util`, `GetPodStartTime`.
fn turn_unstarted(pods: &mut [Arc<Pod>]) {
    let alike = |a: &Arc<Pod>, b: &Arc<Pod>| a.spec.priority == b.spec.priority && started(a) == started(b);
    for same in pods.chunk_by_mut(alike).filter(|same| same[0].start_time.is_none()) {
        same.reverse();
    }
}

/// Pods whose eviction would break a disruption budget, and the others; both in the order in which they came.
fn split_by_budgets(pods: &[Arc<Pod>], snapshot: &Snapshot) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut budgets: Vec<_> = snapshot.budgets().map(|budget| (budget, budget.status.disruptions_allowed)).collect();
    pods.iter().cloned().partition(|pod| {
        let mut violates = false;
        for (budget, left) in &mut budgets {
            let selector = budget.spec.selector.as_ref().filter(|selector| **selector != LabelSelector::default());
            let protects = *budget.metadata.namespace == *pod.spec.namespace
                && !pod.spec.labels.is_empty()
                && selector::given_and_matches(selector, &pod.spec.labels)
                // What was evicted already has been counted.
                && !budget.status.disrupted_pods.contains_key(&*pod.name);
            if protects {
                *left -= 1;
                violates |= *left < 0;
            }
        }
        violates
    })
}
