//! TaintToleration: a pod stays off nodes with taints that it does not tolerate, and prefers nodes with few that it
//! would rather not have.

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::plugin::{Candidates, Dependence, FilterPlugin, LooksAt, Normalization, Plugin, ScorePlugin, Scored};
use crate::plugins::normalize;
use crate::pod::Pod;
use crate::snapshot::NodeRef;
use crate::status::Status;
use crate::wire::{Taint, Toleration};

/// Whether a toleration covers a taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    (toleration.effect.is_empty() || toleration.effect == taint.effect)
        && (toleration.key.is_empty() || toleration.key == taint.key)
        && match toleration.operator.as_str() {
            "" | "Equal" => toleration.value == taint.value,
            "Exists" => true,
            operator @ ("Lt" | "Gt") => compares(operator, &taint.value, &toleration.value),
            _ => false,
        }
}

/// Whether a taint's number is below or above that of a toleration; what is no number is neither. API servers let only
/// those use these operators who have switched `TaintTolerationComparisonOperators` on (KEP-5471).
fn compares(operator: &str, taint: &str, toleration: &str) -> bool {
    // Only as a person would write it: no plus, no leading zeros.
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| number.to_string() == text);
    match (number(taint), number(toleration)) {
        (Some(taint), Some(toleration)) if operator == "Lt" => taint < toleration,
        (Some(taint), Some(toleration)) => taint > toleration,
        _ => false,
    }
}

/// Whether a pod with these tolerations can't run on a node with these taints.
pub fn repelled(tolerations: &[Toleration], taints: &[Taint]) -> bool {
    let binding = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    let tolerated = |taint: &Taint| tolerations.iter().any(|toleration| tolerates(toleration, taint));
    taints.iter().filter(binding).any(|taint| !tolerated(taint))
}

/// How many taints a pod would rather not have.
fn unwelcome(tolerations: &[Toleration], taints: &[Taint]) -> i64 {
    let effect = |toleration: &&Toleration| matches!(toleration.effect.as_str(), "" | "PreferNoSchedule");
    let tolerated = |taint: &&Taint| tolerations.iter().filter(effect).any(|other| tolerates(other, taint));
    let soft = taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let count = soft.filter(|taint| !tolerated(taint)).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Compares taints and tolerations.
#[derive(Clone, Copy, Debug)]
pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Node
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::node(ActionType::ADD.or(ActionType::UPDATE_NODE_TAINT)),
            ClusterEvent::pod(ActionType::UPDATE_POD_TOLERATION),
        ]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        match &happening.object {
            EventObject::Node { old, new } => {
                let repels = |taints: &[Taint]| repelled(&pod.spec.tolerations, taints);
                let repelled_before = old.as_ref().is_none_or(|old| repels(&old.spec.taints));
                if repelled_before && !repels(&new.spec.taints) { QueueingHint::Queue } else { QueueingHint::Skip }
            }
            EventObject::AssignedPod { .. } => QueueingHint::Skip,
            _ => QueueingHint::Queue,
        }
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl FilterPlugin for TaintToleration {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Node
    }

    fn filter(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        if repelled(&pod.spec.tolerations, node.taints()) {
            Status::unresolvable("node(s) had untolerated taint(s)")
        } else {
            Status::success()
        }
    }

    fn filter_nodes(&self, _: &CycleState, pod: &Pod, candidates: &mut Candidates<'_>) {
        let snapshot = candidates.snapshot();
        let lists = snapshot.taint_lists();
        if lists.len() == 1 {
            return;
        }
        // Few nodes have taints of their own: decide once a list.
        let verdicts: Vec<bool> = lists.iter().map(|taints| !repelled(&pod.spec.tolerations, taints)).collect();
        let column = snapshot.taint_column();
        candidates.retain(|row| verdicts[column[row as usize] as usize]);
    }
}

impl ScorePlugin for TaintToleration {
    fn normalization(&self) -> Normalization {
        Normalization::ByMaximum { reverse: true }
    }

    fn score(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        Ok(unwelcome(&pod.spec.tolerations, node.taints()))
    }

    fn score_nodes(&self, _: &CycleState, pod: &Pod, nodes: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        let lists = nodes.snapshot.taint_lists();
        let counts: Vec<i64> = lists.iter().map(|taints| unwelcome(&pod.spec.tolerations, taints)).collect();
        let column = nodes.snapshot.taint_column();
        for (score, &row) in scores.iter_mut().zip(nodes.rows) {
            *score = counts[column[row as usize] as usize];
        }
        Ok(())
    }

    fn normalize_score(&self, _: &CycleState, _: &Pod, _: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        normalize(scores, true);
        Ok(())
    }
}
