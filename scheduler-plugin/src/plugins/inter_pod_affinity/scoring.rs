//! Which nodes are nearer to pods that are liked, on either side.

use super::terms::matches_term;
use super::{InterPodAffinity, Places, PlacesByKey};
use crate::cycle_state::CycleState;
use crate::plugin::{PodChange, PreScorePlugin, ScorePlugin, Scored};
use crate::pod::{Pod, PodSpec};
use crate::resources::MAX_NODE_SCORE;
use crate::snapshot::{NodeRef, Row, Snapshot, SpecPods};
use crate::status::Status;
use crate::wire::{PodAffinityTerm, WeightedPodAffinityTerm};

pub(super) const PRE_SCORE: &str = "PreScoreInterPodAffinity";

impl InterPodAffinity {
    /// The terms that make a node with pods like `other` better or worse, and by how much.
    fn sympathies<'a>(
        &self,
        pod: &'a PodSpec,
        other: &'a PodSpec,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a PodAffinityTerm, i64)> {
        let weighted = |terms: &'a [WeightedPodAffinityTerm], sign: i64, pair: (&'a PodSpec, &'a PodSpec)| {
            let meant = move |term: &&WeightedPodAffinityTerm| matches_term(&term.pod_affinity_term, pair, snapshot);
            terms.iter().filter(meant).map(move |term| (&term.pod_affinity_term, sign * term.weight))
        };
        let hard = self.args.hard_pod_affinity_weight;
        let required = other.affinity.pod_affinity.required.iter();
        let required = required.filter(move |term| hard > 0 && matches_term(term, (other, pod), snapshot));
        weighted(&pod.affinity.pod_affinity.preferred, 1, (pod, other))
            .chain(weighted(&pod.affinity.pod_anti_affinity.preferred, -1, (pod, other)))
            .chain(required.map(move |term| (term, hard)))
            .chain(weighted(&other.affinity.pod_affinity.preferred, 1, (other, pod)))
            .chain(weighted(&other.affinity.pod_anti_affinity.preferred, -1, (other, pod)))
    }
}

impl PreScorePlugin for InterPodAffinity {
    fn pre_score(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot, _: &[Row]) -> Status {
        let affinity = &pod.spec.affinity;
        let prefers = !affinity.pod_affinity.preferred.is_empty() || !affinity.pod_anti_affinity.preferred.is_empty();
        if self.args.ignore_preferred_terms_of_existing_pods && !prefers {
            return Status::skip();
        }
        let mut places = Places::default();
        // A pod without preferences only meets those of others.
        let groups: Vec<&SpecPods> =
            if prefers { snapshot.specs().collect() } else { snapshot.specs_with_affinity().collect() };
        for group in groups {
            for (term, weight) in self.sympathies(&pod.spec, &group.spec, snapshot) {
                for (&row, &count) in &group.rows {
                    places.add(snapshot, (&term.topology_key, row), weight * i64::from(count));
                }
            }
        }
        if places.0.is_empty() {
            return Status::skip();
        }
        state.write(PRE_SCORE, places);
        Status::success()
    }

    fn update_score(&self, state: &mut CycleState, pod: &Pod, change: PodChange<'_>) -> bool {
        let mut sympathies = self.sympathies(&pod.spec, &change.pod.spec, change.snapshot);
        match state.read_mut::<Places>(PRE_SCORE) {
            Some(places) => {
                for (term, weight) in sympathies {
                    places.add(change.snapshot, (&term.topology_key, change.row), weight * change.amount);
                }
                true
            }
            // Nobody had preferences up to now.
            None => sympathies.next().is_none(),
        }
    }

    fn depends_on_feasible(&self) -> bool {
        false
    }
}

impl ScorePlugin for InterPodAffinity {
    fn score(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        let Some(places) = state.read::<Places>(PRE_SCORE) else { return Ok(0) };
        let at = |places: &PlacesByKey| places.counts[places.value(node.snapshot(), node.row())];
        Ok(places.0.iter().map(at).sum())
    }

    fn score_nodes(&self, state: &CycleState, _: &Pod, nodes: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        let Some(places) = state.read::<Places>(PRE_SCORE) else { return Ok(()) };
        for places in &places.0 {
            let labels = nodes.snapshot.labels().numbered(places.column);
            for (score, &row) in scores.iter_mut().zip(nodes.rows) {
                // Nothing is ever counted for the number that stands for a missing label.
                *score += places.counts[labels.value(row) as usize];
            }
        }
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "upstream's arithmetic, whose rounding is part of the result"
    )]
    fn normalize_score(&self, _: &CycleState, _: &Pod, _: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        let min = scores.iter().min().copied().unwrap_or(0);
        let max = scores.iter().max().copied().unwrap_or(0);
        for score in scores {
            *score = if max > min {
                (MAX_NODE_SCORE as f64 * ((*score - min) as f64 / (max - min) as f64)) as i64
            } else {
                0
            };
        }
        Ok(())
    }
}
