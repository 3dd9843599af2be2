//! Who has to go, so that a namespace gets what it is guaranteed.

use std::sync::Arc;

use super::{KEY, Notes};
use crate::cycle_state::CycleState;
use crate::diagnosis::Diagnosis;
use crate::plugin::{PostFilterContext, PostFilterResult};
use crate::plugins::default_preemption::{Rules, pick, select_victims};
use crate::pod::Pod;
use crate::snapshot::{Row, Snapshot};
use crate::status::{Code, Status};

/// Finds the node on which the least important pods have to go.
pub(super) fn preempt(
    state: &mut CycleState,
    pod: &Pod,
    context: &mut PostFilterContext<'_>,
) -> (PostFilterResult, Status) {
    if let Some(why) = ineligible(pod, state, (context.snapshot, context.diagnosis)) {
        return (PostFilterResult::default(), Status::unschedulable(format!("preemption: {why}")));
    }
    let mut why = Diagnosis {
        nodes: context.diagnosis.nodes,
        absent: Some(Status::unresolvable("Preemption is not helpful for scheduling")),
        ..Diagnosis::default()
    };
    let helpful =
        |row: &&Row| context.diagnosis.status_of(**row).is_some_and(|status| status.code() == Code::Unschedulable);
    let rows: Vec<Row> = context.snapshot.order().iter().filter(helpful).copied().collect();
    // It does not change while pods are taken away: it is about the one that comes.
    let borrows = borrows(pod, state);
    let may_go = |other: &Pod, state: &CycleState| may_go(pod, other, (state, borrows));
    let fits = |state: &CycleState, alone: bool| fits(pod, state, alone);
    let mut candidates = Vec::new();
    for row in rows {
        let nobody = || {
            let node = context.snapshot.node(row).name().clone();
            format!("No victims found on node {node} for preemptor pod {}", pod.name)
        };
        let rules = Rules { may_go: &may_go, fits: &fits, nobody: nobody().into() };
        match select_victims((state, pod), context, row, &rules) {
            Ok(candidate) => candidates.push(candidate),
            Err(status) => why.node_to_status.insert(row, status),
        }
    }
    match pick(candidates) {
        Some(candidate) => {
            let node = context.snapshot.node(candidate.row).name().to_string();
            let result = PostFilterResult { nominated_node_name: Some(Some(node)), victims: candidate.victims };
            (result, Status::success())
        }
        None => {
            let cleared = PostFilterResult { nominated_node_name: Some(None), ..PostFilterResult::default() };
            (cleared, Status::unschedulable(format!("preemption: {}", why.message())))
        }
    }
}

/// Whether the pod's namespace would use more than it is guaranteed; `None` if it has no quota.
fn borrows(pod: &Pod, state: &CycleState) -> Option<bool> {
    let notes = state.read::<Notes>(KEY)?;
    Some(notes.quotas.get(&pod.spec.namespace)?.is_over_min(&notes.with_nominated_here))
}

/// Who borrows can push out less important pods of its own namespace; who claims what it is guaranteed, pods of namespaces
/// that have borrowed; who has no quota, less important pods that have none.
fn may_go(pod: &Pod, other: &Pod, (state, borrows): (&CycleState, Option<bool>)) -> bool {
    let Some(notes) = state.read::<Notes>(KEY) else { return false };
    let quota = notes.quotas.get(&other.spec.namespace);
    let same = other.spec.namespace == pod.spec.namespace;
    let less_important = other.spec.priority < pod.spec.priority;
    match (borrows, quota) {
        (Some(true), Some(_)) => same && less_important,
        (Some(false), Some(quota)) => !same && quota.is_over_min(&Default::default()),
        (None, None) => less_important,
        _ => false,
    }
}

/// Whether the quotas allow the pod; `alone`: not counting the pods for which nodes are held.
fn fits(pod: &Pod, state: &CycleState, alone: bool) -> bool {
    let Some(notes) = state.read::<Notes>(KEY) else { return false };
    let Some(quota) = notes.quotas.get(&pod.spec.namespace) else { return true };
    let (here, all) =
        if alone { (&notes.own, &notes.own) } else { (&notes.with_nominated_here, &notes.with_nominated) };
    !quota.is_over_max(here) && !notes.quotas.are_over_min(all)
}

/// Why this pod may not push others out now.
fn ineligible(pod: &Pod, state: &CycleState, (snapshot, diagnosis): (&Snapshot, &Diagnosis)) -> Option<&'static str> {
    if pod.spec.preempts_never {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let node = snapshot.node_by_name(pod.nominated_node_name.as_ref()?)?;
    let lost = |status: &Status| status.code() == Code::UnschedulableAndUnresolvable;
    if diagnosis.status_of(node.row()).is_some_and(lost) {
        return None;
    }
    let borrows = borrows(pod, state);
    let making_room = |other: &&Arc<Pod>| other.spec.terminating && may_go(pod, other, (state, borrows));
    node.pods().iter().find(making_room).map(|_| "not eligible due to a terminating pod on the nominated node.")
}
