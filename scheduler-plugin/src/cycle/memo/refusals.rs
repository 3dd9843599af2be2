//! Why no node is feasible, kept for the next pod of a kind.

use crate::cycle::what_if::{WhatIf, filter_beside_nominated};
use crate::diagnosis::NodeToStatus;
use crate::snapshot::Row;

/// The answers that all nodes got, as far as somebody asked.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    answers: Option<NodeToStatus>,
    /// Nodes that may have another answer by now.
    touched: Vec<Row>,
}

impl Refusals {
    /// Something has changed on these nodes.
    pub(super) fn touch(&mut self, rows: &[Row]) {
        if self.answers.is_none() {
            return;
        }
        self.touched.extend_from_slice(rows);
        // Nobody has asked for long.
        if self.touched.len() > MOST_TOUCHED {
            *self = Self::default();
        }
    }

    /// The answers as they are now, when no node is feasible.
    pub(super) fn up_to_date(&mut self, what_if: &mut WhatIf<'_>) -> &NodeToStatus {
        let rows = match self.answers {
            Some(_) => std::mem::take(&mut self.touched),
            None => what_if.snapshot.order().to_vec(),
        };
        let answers = self.answers.get_or_insert_default();
        for row in rows {
            answers.insert(row, filter_beside_nominated(what_if, row));
        }
        answers
    }
}

/// Beyond so many changes that nobody wanted to know it is better to begin anew.
const MOST_TOUCHED: usize = 4096;
