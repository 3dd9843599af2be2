//! Which nodes would make soft constraints more even.

use super::constraint::{Constraint, has_all_keys};
use super::{HOSTNAME, PodTopologySpread, SOFT};
use crate::cycle_state::CycleState;
use crate::node_selector::RequiredNodeAffinity;
use crate::plugin::{Counts, Difference, PodChange, PreScorePlugin, ScorePlugin, Scored};
use crate::pod::{Pod, PodSpec};
use crate::resources::MAX_NODE_SCORE;
use crate::snapshot::{NodeRef, Row, Snapshot};
use crate::status::Status;

const PRE_SCORE: &str = "PreScorePodTopologySpread";

/// What PreScore counts.
struct Counted {
    constraints: Vec<Spread>,
    /// Whether nodes that lack one of the labels are left out.
    require_all: bool,
}

/// Equal pods by domain for one constraint.
struct Spread {
    constraint: Constraint,
    /// By the value's number, or by row if every host is a domain.
    counts: Vec<i64>,
    by_row: bool,
    /// The number of the empty value.
    empty: Option<usize>,
    /// By the value's number: whether a feasible node has it.
    domain: Vec<bool>,
    /// Which nodes' pods count.
    required: RequiredNodeAffinity,
    weight: f64,
}

impl Counted {
    fn ignores(&self, snapshot: &Snapshot, row: Row) -> bool {
        let lacks = |spread: &Spread| !has_all_keys(std::slice::from_ref(&spread.constraint), snapshot, row);
        self.require_all && self.constraints.iter().any(lacks)
    }
}

impl Spread {
    #[expect(clippy::cast_precision_loss, reason = "numbers of nodes are small")]
    fn count(
        all: (&[Constraint], bool),
        constraint: &Constraint,
        (pod, snapshot): (&PodSpec, &Snapshot),
        nodes: &[Row],
    ) -> Self {
        let (constraints, require_all) = all;
        let takes_part = |row: Row| !require_all || has_all_keys(constraints, snapshot, row);
        let by_row = constraint.topology_key == HOSTNAME;
        let empty = constraint.empty_value(snapshot);
        let value = |row: Row| place_of(constraint.value(snapshot, row), empty);
        let counts = vec![0; if by_row { snapshot.rows() } else { constraint.values(snapshot) }];
        let mut domain = vec![false; counts.len()];
        let filtered = nodes.iter().filter(|row| takes_part(**row));
        let size = if by_row {
            filtered.count()
        } else {
            // A missing label counts as a domain of its own, together with an empty one.
            filtered.for_each(|row| domain[value(*row)] = true);
            domain.iter().filter(|present| **present).count()
        };
        let required = RequiredNodeAffinity::new(pod, snapshot);
        let weight = (size as f64 + 2.0).ln();
        let mut spread = Self { constraint: constraint.clone(), counts, by_row, empty, domain, required, weight };
        for group in snapshot.specs().filter(|group| constraint.counts(pod, &group.spec)) {
            for (&row, &count) in &group.rows {
                spread.add(all, (pod, snapshot), row, i64::from(count));
            }
        }
        spread
    }

    /// Counts pods on a node, if they count there.
    fn add(&mut self, all: (&[Constraint], bool), (pod, snapshot): (&PodSpec, &Snapshot), row: Row, amount: i64) {
        if self.by_row {
            self.counts[row as usize] += amount;
            return;
        }
        let (constraints, require_all) = all;
        let value = place_of(self.constraint.value(snapshot, row), self.empty);
        let counts = self.domain[value]
            && snapshot.is_known(row)
            && (!require_all || has_all_keys(constraints, snapshot, row))
            && self.constraint.includes((pod, &self.required), snapshot.node(row));
        if counts {
            self.counts[value] += amount;
        }
    }

    /// The part of a node's score; `None` if it lacks the label.
    #[expect(clippy::cast_precision_loss, reason = "numbers of pods are small")]
    fn score(&self, snapshot: &Snapshot, row: Row) -> Option<f64> {
        let value = self.constraint.value(snapshot, row);
        let place = if self.by_row { row as usize } else { place_of(value, self.empty) };
        let count = self.counts[place] as f64;
        (value > 0).then(|| count * self.weight + (self.constraint.max_skew - 1) as f64)
    }
}

/// The domain of a value.
fn place_of(value: usize, empty: Option<usize>) -> usize {
    if Some(value) == empty { 0 } else { value }
}

/// What tells nodes apart.
pub(super) fn differences(state: &CycleState) -> impl Iterator<Item = Difference<'_>> {
    let all = state.read::<Counted>(PRE_SCORE).into_iter().flat_map(|counted| &counted.constraints);
    all.filter_map(|spread| {
        let counts = match (spread.by_row, spread.empty) {
            (true, _) => Counts::ByRow(&spread.counts),
            (false, None) => Counts::ByValue(&spread.counts),
            // A pod on a node without the label counts for those with an empty one.
            (false, Some(_)) => Counts::None,
        };
        Some(Difference { column: spread.constraint.column?, counts })
    })
}

impl PreScorePlugin for PodTopologySpread {
    fn pre_score(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot, nodes: &[Row]) -> Status {
        let constraints = self.constraints(&pod.spec, snapshot, SOFT);
        if constraints.is_empty() {
            return Status::skip();
        }
        // The system's defaults also spread over hosts where there are no zones.
        let require_all = !pod.spec.topology_spread_constraints.is_empty() || !self.system_defaults;
        let all = (constraints.as_slice(), require_all);
        let count = |constraint| Spread::count(all, constraint, (&pod.spec, snapshot), nodes);
        let counted = Counted { constraints: constraints.iter().map(count).collect(), require_all };
        state.write(PRE_SCORE, counted);
        Status::success()
    }

    fn update_score(&self, state: &mut CycleState, pod: &Pod, change: PodChange<'_>) -> bool {
        // Whether there are constraints does not depend on pods.
        let Some(counted) = state.read_mut::<Counted>(PRE_SCORE) else { return true };
        let constraints: Vec<Constraint> = counted.constraints.iter().map(|spread| spread.constraint.clone()).collect();
        for spread in &mut counted.constraints {
            if spread.constraint.counts(&pod.spec, &change.pod.spec) {
                let all = (constraints.as_slice(), counted.require_all);
                spread.add(all, (&pod.spec, change.snapshot), change.row, change.amount);
            }
        }
        true
    }
}

impl ScorePlugin for PodTopologySpread {
    #[expect(clippy::cast_possible_truncation, reason = "upstream's arithmetic")]
    fn score(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        let Some(counted) = state.read::<Counted>(PRE_SCORE) else { return Ok(0) };
        let (snapshot, row) = (node.snapshot(), node.row());
        if counted.ignores(snapshot, row) {
            return Ok(0);
        }
        let parts = counted.constraints.iter().filter_map(|spread| spread.score(snapshot, row));
        Ok(parts.sum::<f64>().round() as i64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "upstream's arithmetic")]
    fn score_nodes(&self, state: &CycleState, _: &Pod, nodes: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        let Some(counted) = state.read::<Counted>(PRE_SCORE) else { return Ok(()) };
        for (score, &row) in scores.iter_mut().zip(nodes.rows) {
            if !counted.ignores(nodes.snapshot, row) {
                let parts = counted.constraints.iter().filter_map(|spread| spread.score(nodes.snapshot, row));
                *score = parts.sum::<f64>().round() as i64;
            }
        }
        Ok(())
    }

    fn normalize_score(
        &self,
        state: &CycleState,
        _: &Pod,
        nodes: Scored<'_>,
        scores: &mut [i64],
    ) -> Result<(), Status> {
        let Some(counted) = state.read::<Counted>(PRE_SCORE) else { return Ok(()) };
        let ignored: Vec<bool> = nodes.rows.iter().map(|row| counted.ignores(nodes.snapshot, *row)).collect();
        let compared = || scores.iter().zip(&ignored).filter(|(_, ignored)| !**ignored).map(|(score, _)| *score);
        let (min, max) = (compared().min().unwrap_or(0), compared().max().unwrap_or(0));
        for (score, ignored) in scores.iter_mut().zip(&ignored) {
            *score = match (*ignored, max) {
                (true, _) => 0,
                (false, 0) => MAX_NODE_SCORE,
                (false, max) => MAX_NODE_SCORE * (max + min - *score) / max,
            };
        }
        Ok(())
    }
}
