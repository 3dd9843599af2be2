//! Which nodes would make soft constraints more even.

use super::constraint::{Constraint, has_all_keys};
use super::{HOSTNAME, PodTopologySpread, SOFT};
use crate::cycle_state::CycleState;
use crate::node_selector::RequiredNodeAffinity;
use crate::plugin::{PreScorePlugin, ScorePlugin, Scored};
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
        let value = |row: Row| constraint.value(snapshot, row);
        let mut counts = vec![0; if by_row { snapshot.rows() } else { constraint.values(snapshot) }];
        let mut domain = vec![false; counts.len()];
        let filtered = nodes.iter().filter(|row| takes_part(**row));
        let size = if by_row {
            filtered.count()
        } else {
            // A missing label counts as a domain of its own.
            filtered.for_each(|row| domain[value(*row)] = true);
            domain.iter().filter(|present| **present).count()
        };
        let required = RequiredNodeAffinity::new(pod, snapshot);
        for group in snapshot.specs().filter(|group| constraint.counts(pod, &group.spec)) {
            for (&row, &count) in &group.rows {
                if by_row {
                    counts[row as usize] += i64::from(count);
                } else if domain[value(row)]
                    && snapshot.is_known(row)
                    && takes_part(row)
                    && constraint.includes((pod, &required), snapshot.node(row))
                {
                    counts[value(row)] += i64::from(count);
                }
            }
        }
        Self { constraint: constraint.clone(), counts, by_row, weight: (size as f64 + 2.0).ln() }
    }

    /// The part of a node's score; `None` if it lacks the label.
    #[expect(clippy::cast_precision_loss, reason = "numbers of pods are small")]
    fn score(&self, snapshot: &Snapshot, row: Row) -> Option<f64> {
        let value = self.constraint.value(snapshot, row);
        let place = if self.by_row { row as usize } else { value };
        let count = self.counts[place] as f64;
        (value > 0).then(|| count * self.weight + (self.constraint.max_skew - 1) as f64)
    }
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
