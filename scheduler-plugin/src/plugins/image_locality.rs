//! ImageLocality: a node that already has the pod's images is better, the more so the larger they are.

use crate::cluster_event::ClusterEvent;
use crate::cycle_state::CycleState;
use crate::plugin::{Dependence, Normalization, Plugin, ScorePlugin, Scored};
use crate::pod::Pod;
use crate::resources::MAX_NODE_SCORE;
use crate::snapshot::NodeRef;
use crate::status::Status;

const MIB: i64 = 1024 * 1024;
/// Less than this on a node is not worth a difference.
const MIN_THRESHOLD: i64 = 23 * MIB;
/// More than this for each container makes no further difference.
const MAX_CONTAINER_THRESHOLD: i64 = 1000 * MIB;

/// Scores nodes by the images they have.
#[derive(Clone, Copy, Debug)]
pub struct ImageLocality;

impl ImageLocality {
    fn score(bytes: i64, containers: usize) -> i64 {
        let max = MAX_CONTAINER_THRESHOLD * i64::try_from(containers).unwrap_or(i64::MAX);
        let bytes = bytes.clamp(MIN_THRESHOLD, max.max(MIN_THRESHOLD));
        MAX_NODE_SCORE * (bytes - MIN_THRESHOLD) / (max - MIN_THRESHOLD).max(1)
    }
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Node
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        Vec::new()
    }

    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl ScorePlugin for ImageLocality {
    fn normalization(&self) -> Normalization {
        Normalization::None
    }

    fn score(&self, state: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        let mut score = [0];
        let nodes = Scored { snapshot: node.snapshot(), rows: &[node.row()] };
        self.score_nodes(state, pod, nodes, &mut score)?;
        Ok(score[0])
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "upstream's arithmetic, whose rounding is part of the result"
    )]
    fn score_nodes(&self, _: &CycleState, pod: &Pod, nodes: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        let total = nodes.snapshot.len() as f64;
        for name in pod.spec.images.iter().chain(&pod.spec.image_volumes) {
            let Some(image) = nodes.snapshot.images().get(name) else { continue };
            // What few nodes have counts less, so that a pod does not stick to the first node that ran it.
            let spread = image.rows.len() as f64 / total;
            let bytes = (image.size as f64 * spread) as i64;
            for (score, row) in scores.iter_mut().zip(nodes.rows) {
                if image.rows.contains(row) {
                    *score += bytes;
                }
            }
        }
        for score in scores {
            *score = Self::score(*score, pod.spec.images.len());
        }
        Ok(())
    }
}
