//! Telling feasible nodes from others, batch by batch.

use super::Outcome;
use super::pre_filter::Prepared;
use super::what_if::{WhatIf, filter_beside_nominated};
use crate::cycle_state::CycleState;
use crate::diagnosis::Diagnosis;
use crate::plugin::Candidates;
use crate::pod::Pod;
use crate::profile::{Entry, Point, Profile};
use crate::snapshot::{Row, Snapshot};
use crate::status::{Code, Status};

/// The filters of an attempt, and what they have rejected up to now.
pub(super) struct Filtering<'a> {
    pod: &'a Pod,
    profile: &'a Profile,
    pub(super) snapshot: &'a mut Snapshot,
    filters: Vec<&'a Entry>,
    /// Nodes and the place of the filter that rejected them; why is found out only if it is needed.
    rejected: Vec<(Row, u16)>,
    /// Nodes that are held for others.
    held: Vec<(Row, Status)>,
}

impl<'a> Filtering<'a> {
    pub(super) fn new(pod: &'a Pod, profile: &'a Profile, snapshot: &'a mut Snapshot, state: &CycleState) -> Self {
        let filters = profile.at(Point::Filter).iter().filter(|entry| !state.skips_filter(entry.plugin.name()));
        Self { pod, profile, snapshot, filters: filters.collect(), rejected: Vec::new(), held: Vec::new() }
    }

    /// Starts over.
    pub(super) fn forget_rejected(&mut self) {
        self.rejected.clear();
        self.held.clear();
    }

    /// The feasible ones of these nodes: each filter sees those that the ones before it let pass.
    pub(super) fn run(&mut self, state: &mut CycleState, rows: Vec<Row>) -> Result<Vec<Row>, Outcome> {
        let mut candidates = Candidates::new(self.snapshot, rows, std::mem::take(&mut self.rejected));
        for (place, entry) in self.filters.iter().enumerate() {
            if candidates.rows().is_empty() {
                break;
            }
            let Some(filter) = entry.plugin.as_filter() else { continue };
            candidates.set_plugin(place);
            let (begun, asked) = (entry.measured.begin(state), candidates.rows().len());
            filter.filter_nodes(state, self.pod, &mut candidates);
            let passed = candidates.rows().len();
            entry.measured.answered(begun, &[(Code::Success, passed), (Code::Unschedulable, asked - passed)]);
            entry.measured.asked(asked);
            if let Some(status) = candidates.take_error() {
                let plugin = entry.plugin.name();
                let message = format!("running {plugin:?} filter plugin: {status}");
                return Err(Outcome::Error(Status::error(message).by(plugin)));
            }
        }
        let (mut rows, rejected) = candidates.into_parts();
        self.rejected = rejected;
        if self.snapshot.has_nominated() {
            rows.retain(|&row| self.snapshot.nominated(row).is_empty() || self.fits_beside_nominated(state, row));
        }
        Ok(rows)
    }

    fn fits_beside_nominated(&mut self, state: &mut CycleState, row: Row) -> bool {
        let mut what_if = WhatIf { pod: self.pod, profile: self.profile, snapshot: self.snapshot, state };
        let status = filter_beside_nominated(&mut what_if, row);
        let fits = status.is_success();
        if !fits {
            self.held.push((row, status));
        }
        fits
    }

    /// Asks the plugin that rejected a node for its reasons, for every node. Only needed if no node is feasible.
    pub(super) fn diagnose(&mut self, state: &mut CycleState, prepared: &Prepared) -> Diagnosis {
        let mut diagnosis = Diagnosis { nodes: self.snapshot.len(), ..Diagnosis::default() };
        if prepared.nodes.is_some() {
            let message = format!("node(s) didn't satisfy plugin(s) [{}]", prepared.restricting.join(" "));
            diagnosis.absent = Some(Status::unresolvable(message));
            diagnosis.unschedulable_plugins.extend(&prepared.restricting);
        }
        let mut rejected = std::mem::take(&mut self.held);
        for (row, place) in std::mem::take(&mut self.rejected) {
            let entry = self.filters[place as usize];
            if !self.snapshot.nominated(row).is_empty() {
                // The pods for which the node is held may already have been in the way of an earlier filter.
                let mut what_if = WhatIf { pod: self.pod, profile: self.profile, snapshot: self.snapshot, state };
                rejected.push((row, filter_beside_nominated(&mut what_if, row)));
            } else if let Some(filter) = entry.plugin.as_filter() {
                let status = filter.filter(state, self.pod, self.snapshot.node(row));
                rejected.push((row, status.by(entry.plugin.name())));
            }
        }
        for (row, status) in rejected {
            diagnosis.node_to_status.insert(row, status);
        }
        diagnosis.add_plugins();
        diagnosis
    }
}
