//! What has changed lately, so that whoever keeps something about a snapshot brings it up to date at the cost of the
//! changes and not of the cluster.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Row;
use crate::pod::Pod;

/// Changes that are remembered. Whoever has missed more has to begin anew, which costs as much as looking at some thousand
/// nodes; so more would not help.
const REMEMBERED: usize = 4096;

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A pod came to a node, or left it.
    Pod {
        /// The node's row.
        row: Row,
        /// The pod.
        pod: Arc<Pod>,
        /// Whether it came.
        came: bool,
    },
    /// The amounts of a node changed, or whether it may be used.
    Node(Row),
    /// Nodes came, went or have other labels, taints or images; or namespaces or what selects pods changed.
    All,
    /// Volumes or devices.
    Storage,
}

/// The last changes.
#[derive(Debug, Default)]
pub(super) struct Journal {
    changes: VecDeque<Change>,
    generation: u64,
    epoch: u64,
}

impl Journal {
    pub(super) fn note(&mut self, change: Change) {
        self.epoch += u64::from(matches!(change, Change::All));
        if self.changes.len() == REMEMBERED {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.generation += 1;
    }

    /// The number of changes up to now.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// How many changes there were of which nothing more is known than that they happened.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The changes after a generation; `None` if they are not remembered any more.
    pub(super) fn since(&self, generation: u64) -> Option<impl Iterator<Item = &Change>> {
        let missed = usize::try_from(self.generation - generation).ok()?;
        let first = self.changes.len().checked_sub(missed)?;
        Some(self.changes.range(first..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_remembered_for_a_while() {
        let mut journal = Journal::default();
        journal.note(Change::All);
        journal.note(Change::Node(7));
        let rows = |journal: &Journal, generation| {
            let row = |change: &Change| if let Change::Node(row) = change { Some(*row) } else { None };
            journal.since(generation).map(|changes| changes.map(row).collect::<Vec<_>>())
        };
        assert_eq!(rows(&journal, 0), Some(vec![None, Some(7)]));
        assert_eq!(rows(&journal, 1), Some(vec![Some(7)]));
        assert_eq!(rows(&journal, 2), Some(vec![]));
        for _ in 0..REMEMBERED {
            journal.note(Change::All);
        }
        assert_eq!(rows(&journal, 1), None);
        assert_eq!(rows(&journal, 2).map(|rows| rows.len()), Some(REMEMBERED));
    }
}
