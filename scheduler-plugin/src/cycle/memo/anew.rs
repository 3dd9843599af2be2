//! Plugins that are asked anew for each pod, of which the others' answers are kept: those that look at claims, which equal pods
//! have each of their own.

use super::{is_asked_anew, prepare};
use crate::cycle_state::CycleState;
use crate::plugin::Candidates;
use crate::pod::Pod;
use crate::profile::{Entry, Point, Profile};
use crate::snapshot::{Row, Snapshot};

/// Those that have something to say about this pod.
#[derive(Default)]
pub(super) struct Anew<'p> {
    filters: Vec<&'p Entry>,
    /// Their notes.
    pub(super) state: CycleState,
}

impl<'p> Anew<'p> {
    /// Lets them prepare; `None` if one does more than that.
    pub(super) fn new(pod: &Pod, snapshot: &Snapshot, profile: &'p Profile) -> Option<Self> {
        let mut state = CycleState::default();
        for entry in profile.at(Point::PreFilter).iter().filter(|entry| is_asked_anew(entry, pod)) {
            prepare(&mut state, pod, snapshot, entry)?;
        }
        let filters = profile.at(Point::Filter).iter().filter(|entry| is_asked_anew(entry, pod));
        let filters = filters.filter(|entry| !state.skips_filter(entry.plugin.name())).collect();
        Some(Self { filters, state })
    }

    /// The nodes that they pass; `None` if one fails.
    pub(super) fn filter(&self, pod: &Pod, snapshot: &Snapshot, rows: Vec<Row>) -> Option<Vec<Row>> {
        let mut candidates = Candidates::new(snapshot, rows, Vec::new());
        for entry in &self.filters {
            let Some(filter) = entry.plugin.as_filter() else { continue };
            entry.measured.asked(candidates.rows().len());
            filter.filter_nodes(&self.state, pod, &mut candidates);
            if candidates.take_error().is_some() {
                return None;
            }
        }
        Some(candidates.into_parts().0)
    }

    /// Whether none has anything to say.
    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether they pass all of these nodes, so that it makes no difference that they were asked.
    pub(super) fn passes_all(&self, pod: &Pod, snapshot: &Snapshot, rows: &[Row]) -> Option<bool> {
        Some(self.filter(pod, snapshot, rows.to_vec())?.len() == rows.len())
    }
}
