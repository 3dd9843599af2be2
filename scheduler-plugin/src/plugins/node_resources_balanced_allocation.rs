//! NodeResourcesBalancedAllocation: a node on which cpu and memory are used alike wastes neither.

use serde::Deserialize;

use crate::cluster_event::ClusterEvent;
use crate::cycle_state::CycleState;
use crate::plugin::{Dependence, Normalization, Plugin, PreScorePlugin, ScorePlugin, Scored};
use crate::plugins::node_resources_fit::{ResourceSpec, resources_or_default};
use crate::pod::Pod;
use crate::resources::{MAX_NODE_SCORE, is_scalar};
use crate::snapshot::{NodeRef, PODS, ResourceColumn, Row, Snapshot};
use crate::status::Status;

pub(super) const NAME: &str = "NodeResourcesBalancedAllocation";

/// `NodeResourcesBalancedAllocationArgs`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeResourcesBalancedAllocationArgs {
    /// The resources that are compared; cpu and memory if empty. Weights must be 1.
    pub resources: Vec<ResourceSpec>,
}

/// Scores nodes by how much more or less balanced they would be.
#[derive(Debug)]
pub struct NodeResourcesBalancedAllocation {
    resources: Vec<String>,
}

/// A resource on all nodes, and what the pod asks of it.
struct Balanced<'a> {
    column: &'a ResourceColumn,
    pod: i64,
}

impl NodeResourcesBalancedAllocation {
    /// The plugin with these arguments.
    ///
    /// # Errors
    /// If a weight is not 1.
    pub fn new(args: NodeResourcesBalancedAllocationArgs) -> Result<Self, String> {
        let resources = resources_or_default(args.resources)?;
        if let Some(place) = resources.iter().position(|resource| resource.weight != 1) {
            let weight = resources[place].weight;
            return Err(format!("resources[{place}].weight: Invalid value: {weight}: must be 1"));
        }
        Ok(Self { resources: resources.into_iter().map(|resource| resource.name).collect() })
    }

    fn columns<'a>(&self, pod: &Pod, snapshot: &'a Snapshot) -> Vec<Balanced<'a>> {
        let column = |name: &String| {
            let pod = pod.spec.requests.get(name);
            if pod == 0 && is_scalar(name) {
                return None;
            }
            // The number of pods is a limit, nothing that is asked for.
            let column = snapshot.resource(snapshot.resource_id(name).filter(|id| *id != PODS)?);
            Some(Balanced { column, pod })
        };
        self.resources.iter().filter_map(column).collect()
    }
}

fn score(columns: &[Balanced<'_>], row: Row) -> i64 {
    let with = balance(columns, row, true);
    let without = balance(columns, row, false);
    // Half of the range is for better, half for worse than before.
    MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + with - without) / 2
}

/// How alike the resources of a node are used, from 50 to 100.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "upstream's arithmetic, whose rounding is part of the result"
)]
fn balance(columns: &[Balanced<'_>], row: Row, with_pod: bool) -> i64 {
    let row = row as usize;
    let fraction = |resource: &Balanced<'_>| {
        let allocatable = resource.column.allocatable[row];
        let pod = if with_pod { resource.pod } else { 0 };
        let requested = resource.column.requested[row] + pod;
        (allocatable != 0).then(|| (requested as f64 / allocatable as f64).min(1.0))
    };
    let deviation = match columns {
        // The usual case, without looping twice.
        [first, second] => match (fraction(first), fraction(second)) {
            (Some(first), Some(second)) => ((first - second) / 2.0).abs(),
            _ => 0.0,
        },
        many => {
            let sum: f64 = many.iter().filter_map(fraction).sum();
            let count = many.iter().filter_map(fraction).count();
            match count {
                0 | 1 => 0.0,
                2 => {
                    let mut both = many.iter().filter_map(fraction);
                    let difference = both.next().unwrap_or(0.0) - both.next().unwrap_or(0.0);
                    (difference / 2.0).abs()
                }
                count => {
                    let mean = sum / count as f64;
                    let squares = many.iter().filter_map(fraction).map(|one| (one - mean) * (one - mean));
                    (squares.sum::<f64>() / count as f64).sqrt()
                }
            }
        }
    };
    ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Node
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        Vec::new()
    }

    fn as_pre_score(&self) -> Option<&dyn PreScorePlugin> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl PreScorePlugin for NodeResourcesBalancedAllocation {
    fn pre_score(&self, _: &mut CycleState, pod: &Pod, _: &Snapshot, _: &[Row]) -> Status {
        // A pod that asks for nothing changes no balance.
        if self.resources.iter().all(|name| pod.spec.requests.get(name) == 0) {
            Status::skip()
        } else {
            Status::success()
        }
    }
}

impl ScorePlugin for NodeResourcesBalancedAllocation {
    fn normalization(&self) -> Normalization {
        Normalization::None
    }

    fn score(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        Ok(score(&self.columns(pod, node.snapshot()), node.row()))
    }

    fn score_nodes(&self, _: &CycleState, pod: &Pod, nodes: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        let columns = self.columns(pod, nodes.snapshot);
        for (into, &row) in scores.iter_mut().zip(nodes.rows) {
            *into = score(&columns, row);
        }
        Ok(())
    }
}
