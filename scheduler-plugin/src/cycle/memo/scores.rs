//! Scores that are kept, and those that are found out for each pod.

use std::sync::Arc;

use super::depends_on_pods;
use crate::cycle_state::CycleState;
use crate::plugin::{Normalization, Plugin, PodChange, Scored};
use crate::pod::Pod;
use crate::profile::{Measured, Point, Profile};
use crate::resources::MAX_NODE_SCORE;
use crate::snapshot::{Row, Snapshot};
use crate::status::Code;

/// The scores of all nodes for one kind of pods.
#[derive(Debug)]
pub(super) struct KeptScores {
    columns: Vec<Column>,
    elsewhere: Vec<Elsewhere>,
    /// By row: the sum of the columns, normalized and weighted.
    totals: Vec<i64>,
    /// The nodes for which notes were made.
    nodes: Vec<Row>,
}

/// The scores of a plugin that looks at one node at a time.
struct Column {
    plugin: Arc<dyn Plugin>,
    measured: Measured,
    weight: i64,
    /// Whether it takes part in PreScore.
    prepares: bool,
    skipped: bool,
    normalization: Normalization,
    /// By row, as the plugin gave them.
    raw: Vec<i64>,
    /// The rows whose score is not 0.
    others: usize,
    /// The highest score, by which those in the totals were normalized.
    max: i64,
}

/// A plugin that looks at pods elsewhere.
struct Elsewhere {
    plugin: Arc<dyn Plugin>,
    measured: Measured,
    weight: i64,
    /// Whether it takes part in PreScore.
    prepares: bool,
    skipped: bool,
    has_notes: bool,
}

impl Column {
    /// A score as it counts.
    fn counted(&self, raw: i64) -> Option<i64> {
        let score = match self.normalization {
            Normalization::ByMaximum { reverse } => {
                let score = if self.max > 0 { MAX_NODE_SCORE * raw / self.max } else { raw };
                if reverse { MAX_NODE_SCORE - score } else { score }
            }
            _ => raw,
        };
        // Normalized, only what nodes that are not feasible get may be higher.
        let valid = match self.normalization {
            Normalization::None => (0..=MAX_NODE_SCORE).contains(&score),
            _ => raw >= 0,
        };
        valid.then_some(score * self.weight)
    }
}

impl KeptScores {
    pub(super) fn new(pod: &Pod, profile: &Profile) -> Self {
        let mut scores = Self { columns: Vec::new(), elsewhere: Vec::new(), totals: Vec::new(), nodes: Vec::new() };
        for entry in profile.at(Point::Score) {
            let Some(score) = entry.plugin.as_score() else { continue };
            let (plugin, weight, measured) = (entry.plugin.clone(), entry.weight, entry.measured.clone());
            let prepares = profile.at(Point::PreScore).iter().any(|other| other.plugin.name() == plugin.name());
            if depends_on_pods(entry, pod) {
                scores.elsewhere.push(Elsewhere {
                    plugin,
                    measured,
                    weight,
                    prepares,
                    skipped: false,
                    has_notes: false,
                });
            } else {
                let normalization = score.normalization();
                scores.columns.push(Column {
                    plugin,
                    measured,
                    weight,
                    prepares,
                    skipped: false,
                    normalization,
                    raw: Vec::new(),
                    others: 0,
                    max: 0,
                });
            }
        }
        scores
    }

    /// Forgets everything.
    pub(super) fn begin(&mut self, (pod, state): (&Pod, &mut CycleState), snapshot: &Snapshot) -> Option<()> {
        self.totals = vec![0; snapshot.rows()];
        for column in &mut self.columns {
            if let Some(plugin) = column.plugin.as_pre_score().filter(|_| column.prepares) {
                let status = plugin.pre_score(state, pod, snapshot, &[]);
                column.skipped = status.code() == Code::Skip;
                if !column.skipped && !status.is_success() {
                    return None;
                }
            }
            column.raw = vec![0; snapshot.rows()];
            (column.others, column.max) = (0, 0);
            // The scores of nodes that were not asked yet are 0, whatever that counts for.
            let zero = if column.skipped { 0 } else { column.counted(0)? };
            self.totals.iter_mut().for_each(|total| *total += zero);
        }
        self.elsewhere.iter_mut().for_each(|other| other.has_notes = false);
        Some(())
    }

    /// Tells the plugins that keep notes of pods that came or went.
    pub(super) fn tell(&mut self, (pod, state): (&Pod, &mut CycleState), changes: &[PodChange<'_>]) {
        for other in self.elsewhere.iter_mut().filter(|other| other.has_notes) {
            let Some(plugin) = other.plugin.as_pre_score() else { continue };
            other.has_notes = changes.iter().all(|change| plugin.update_score(state, pod, *change));
        }
    }

    /// Asks the plugins again about these nodes; `None` if one fails.
    pub(super) fn ask(&mut self, (pod, state): (&Pod, &CycleState), snapshot: &Snapshot, rows: &[Row]) -> Option<()> {
        let mut scores = vec![0; rows.len()];
        for column in self.columns.iter_mut().filter(|column| !column.skipped) {
            scores.fill(0);
            let plugin = column.plugin.as_score()?;
            column.measured.asked(rows.len());
            plugin.score_nodes(state, pod, Scored { snapshot, rows }, &mut scores).ok()?;
            for (&row, &score) in rows.iter().zip(&scores) {
                let old = std::mem::replace(&mut column.raw[row as usize], score);
                if old != score {
                    column.others = column.others + usize::from(score != 0) - usize::from(old != 0);
                    self.totals[row as usize] += column.counted(score)? - column.counted(old)?;
                }
            }
        }
        Some(())
    }

    /// By row: what the plugins that look at one node say together.
    pub(super) fn totals(&self) -> &[i64] {
        &self.totals
    }

    /// Makes ready for comparing these nodes, which are all feasible ones; whether what is told apart may be another than
    /// before. `None` if a plugin fails.
    pub(super) fn prepare(
        &mut self,
        (pod, state): (&Pod, &mut CycleState),
        snapshot: &Snapshot,
        feasible: &[Row],
    ) -> Option<bool> {
        let normalized = self.normalize(feasible)?;
        Some(self.make_notes((pod, state), snapshot, feasible)? || normalized)
    }

    /// What all plugins say about these nodes: all feasible ones, or at least one of each kind. `None` if a plugin fails.
    pub(super) fn add_up(
        &self,
        (pod, state): (&Pod, &CycleState),
        snapshot: &Snapshot,
        rows: &[Row],
    ) -> Option<Vec<i64>> {
        let mut totals: Vec<i64> = rows.iter().map(|row| self.totals[*row as usize]).collect();
        let mut scores = vec![0; rows.len()];
        for other in self.elsewhere.iter().filter(|other| !other.skipped) {
            let (plugin, nodes) = (other.plugin.as_score()?, Scored { snapshot, rows });
            scores.fill(0);
            other.measured.asked(rows.len());
            plugin.score_nodes(state, pod, nodes, &mut scores).ok()?;
            plugin.normalize_score(state, pod, nodes, &mut scores).ok()?;
            for (total, score) in totals.iter_mut().zip(&scores) {
                if !(0..=MAX_NODE_SCORE).contains(score) {
                    return None;
                }
                *total += score * other.weight;
            }
        }
        Some(totals)
    }

    /// Normalizes by the highest score among the feasible nodes; whether that was another than before.
    fn normalize(&mut self, feasible: &[Row]) -> Option<bool> {
        let mut changed = false;
        for column in &mut self.columns {
            if column.skipped || column.normalization == Normalization::None {
                continue;
            }
            let max = match column.others {
                0 => 0,
                _ => feasible.iter().map(|row| column.raw[*row as usize]).max().unwrap_or(0),
            };
            if max != column.max {
                changed = true;
                for (total, raw) in self.totals.iter_mut().zip(&column.raw) {
                    *total -= column.counted(*raw)?;
                }
                column.max = max;
                for (total, raw) in self.totals.iter_mut().zip(&column.raw) {
                    *total += column.counted(*raw)?;
                }
            }
        }
        Some(changed)
    }

    /// Lets plugins that look at pods elsewhere prepare, unless their notes are still good; whether there are new notes.
    fn make_notes(
        &mut self,
        (pod, state): (&Pod, &mut CycleState),
        snapshot: &Snapshot,
        feasible: &[Row],
    ) -> Option<bool> {
        let same = self.nodes == feasible;
        let mut changed = false;
        for other in &mut self.elsewhere {
            let Some(plugin) = other.plugin.as_pre_score().filter(|_| other.prepares) else { continue };
            if other.has_notes && (same || !plugin.depends_on_feasible()) {
                continue;
            }
            let status = plugin.pre_score(state, pod, snapshot, feasible);
            let was_skipped = std::mem::replace(&mut other.skipped, status.code() == Code::Skip);
            changed |= !was_skipped || !other.skipped;
            if !other.skipped && !status.is_success() {
                return None;
            }
            other.has_notes = true;
        }
        if !same {
            self.nodes.clear();
            self.nodes.extend_from_slice(feasible);
        }
        Some(changed)
    }
}

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Column").field(&self.plugin.name()).finish()
    }
}

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Elsewhere").field(&self.plugin.name()).finish()
    }
}
