//! DefaultPreemption: pods of lower priority make room for one that fits nowhere.
//! Source: `pkg/scheduler/framework/preemption`; Kubernetes doc "Pod Priority and Preemption".

mod candidate;
mod verdicts;
mod victims;

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Deserialize;
use steersman_machinery::random::Random;

use crate::cluster_event::{ActionType, ClusterEvent, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::diagnosis::Diagnosis;
use crate::plugin::{Plugin, PostFilterContext, PostFilterPlugin, PostFilterResult, PreEnqueuePlugin};
use crate::pod::Pod;
use crate::registry::{Handle, Preempting};
use crate::snapshot::{Row, Snapshot};
use crate::status::{Code, Status};
pub(crate) use candidate::{Candidate, pick};
use verdicts::{Best, Compared, Kinds};
pub(super) use victims::{Rules, select_victims};

pub(super) const NAME: &str = "DefaultPreemption";
/// The nodes that were compared, for extenders to look over: all with their victims if a list is there to begin with.
pub(crate) const CANDIDATES: &str = "CandidatesDefaultPreemption";

/// `DefaultPreemptionArgs`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DefaultPreemptionArgs {
    /// The share of nodes on which victims are looked for, in percent.
    pub min_candidate_nodes_percentage: u32,
    /// The number of nodes on which they are looked for at least.
    pub min_candidate_nodes_absolute: u32,
}

impl Default for DefaultPreemptionArgs {
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

/// Finds the node on which the least important pods have to go.
#[derive(Clone, Debug)]
pub struct DefaultPreemption {
    args: DefaultPreemptionArgs,
    random: Random,
    preempting: Preempting,
    /// What was found out for other pods.
    kinds: Arc<Mutex<Kinds>>,
}

impl DefaultPreemption {
    /// The plugin with these arguments.
    ///
    /// # Errors
    /// If the percentage is none, or nothing is ever to be looked at.
    pub fn new(args: DefaultPreemptionArgs, handle: &Handle) -> Result<Self, String> {
        let percentage = args.min_candidate_nodes_percentage;
        if percentage > 100 {
            return Err(format!(
                "minCandidateNodesPercentage: Invalid value: {percentage}: not in valid range [0, 100]"
            ));
        }
        if percentage == 0 && args.min_candidate_nodes_absolute == 0 {
            return Err("minCandidateNodesPercentage: Invalid value: 0: cannot both be zero".to_owned());
        }
        let kinds = Arc::default();
        Ok(Self { args, random: handle.random.clone(), preempting: handle.preempting.clone(), kinds })
    }

    /// On how many nodes victims are looked for.
    fn candidates_to_find(&self, nodes: usize) -> usize {
        let share = nodes * self.args.min_candidate_nodes_percentage as usize / 100;
        share.max(self.args.min_candidate_nodes_absolute as usize).min(nodes)
    }

    /// The node on which the least important pods have to go; why not, if there is none.
    fn find(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        context: &mut PostFilterContext<'_>,
    ) -> Result<Candidate, String> {
        let rules = Rules {
            may_go: &|other, _| other.spec.priority < pod.spec.priority,
            fits: &|_, _| true,
            nobody: "No preemption victims found for incoming pod".into(),
        };
        let rows = helpful(context);
        let enough = self.candidates_to_find(rows.len());
        let offset = usize::try_from(self.random.below(rows.len() as u64)).unwrap_or(0);
        let mut wanted: Option<Vec<Candidate>> = state.read::<Vec<Candidate>>(CANDIDATES).map(|_| Vec::new());
        let mut kinds = self.kinds.lock();
        let mut known = kinds.of((state, pod), context).filter(|_| wanted.is_none());
        let mut compared = Compared::default();
        for &row in rows[offset..].iter().chain(&rows[..offset]) {
            if !known.as_mut().is_some_and(|known| known.tell(context, row, &mut compared)) {
                let candidate = select_victims((state, pod), context, row, &rules);
                if let (Some(wanted), Ok(candidate)) = (&mut wanted, &candidate) {
                    wanted.push(candidate.clone());
                }
                if let Some(known) = &mut known {
                    known.learn(context, row, &candidate);
                }
                compared.add(row, candidate);
            }
            if compared.found >= enough && compared.is_harmless {
                break;
            }
        }
        if let Some(known) = known {
            known.sum_up(&mut compared);
        }
        drop(kinds);
        if let Some(wanted) = wanted {
            state.write(CANDIDATES, wanted);
        }
        match compared.best.take() {
            Some(Best { candidate: Some(candidate), .. }) => Ok(candidate),
            // It is only known what kind of pods they are.
            Some(Best { row, .. }) => {
                select_victims((state, pod), context, row, &rules).map_err(|status| status.message())
            }
            None => Err(compared.message(context.diagnosis.nodes)),
        }
    }
}

/// The nodes where it could help that pods go, in order.
fn helpful(context: &PostFilterContext<'_>) -> Arc<Vec<Row>> {
    let Diagnosis { node_to_status, absent, .. } = context.diagnosis;
    let may_help = |status: &Status| status.code() == Code::Unschedulable;
    let order = context.snapshot.shared_order();
    let count: usize = node_to_status.counts().filter(|(status, _)| may_help(status)).map(|(_, count)| count).sum();
    if count == order.len() {
        return order;
    }
    Arc::new(node_to_status.select(&order, absent.as_ref(), may_help))
}

/// Why this pod may not push others out now.
fn ineligible(pod: &Pod, snapshot: &Snapshot, diagnosis: &Diagnosis) -> Option<&'static str> {
    if pod.spec.preempts_never {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let node = snapshot.node_by_name(pod.nominated_node_name.as_ref()?)?;
    let lost = |status: &Status| status.code() == Code::UnschedulableAndUnresolvable;
    if diagnosis.status_of(node.row()).is_some_and(lost) {
        return None;
    }
    let making_room = |other: &&std::sync::Arc<Pod>| {
        other.spec.priority < pod.spec.priority && other.spec.terminating && other.preempted
    };
    node.pods().iter().find(making_room).map(|_| "not eligible due to a terminating pod on the nominated node.")
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        NAME
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::pod(ActionType::DELETE)]
    }

    fn queueing_hint(&self, _: &Pod, _: &Happening) -> QueueingHint {
        // The scheduler wakes the pod when all of its victims were asked to go.
        QueueingHint::Skip
    }

    fn as_pre_enqueue(&self) -> Option<&dyn PreEnqueuePlugin> {
        Some(self)
    }

    fn as_post_filter(&self) -> Option<&dyn PostFilterPlugin> {
        Some(self)
    }
}

impl PreEnqueuePlugin for DefaultPreemption {
    fn pre_enqueue(&self, pod: &Pod) -> Status {
        if self.preempting.contains(&pod.uid) {
            Status::unresolvable("waiting for the preemption for this pod to be finished")
        } else {
            Status::success()
        }
    }
}

impl PostFilterPlugin for DefaultPreemption {
    fn post_filter(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        context: &mut PostFilterContext<'_>,
    ) -> (PostFilterResult, Status) {
        if let Some(why) = ineligible(pod, context.snapshot, context.diagnosis) {
            return (PostFilterResult::default(), Status::unschedulable(format!("preemption: {why}")));
        }
        match self.find(state, pod, context) {
            Ok(candidate) => {
                let node = context.snapshot.node(candidate.row).name().to_string();
                let result = PostFilterResult { nominated_node_name: Some(Some(node)), victims: candidate.victims };
                (result, Status::success())
            }
            Err(why) => {
                let cleared = PostFilterResult { nominated_node_name: Some(None), ..PostFilterResult::default() };
                (cleared, Status::unschedulable(format!("preemption: {why}")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
