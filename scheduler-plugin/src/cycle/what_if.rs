//! Questions of the kind "what if that pod were, or were not, on this node".

use std::sync::Arc;

use crate::cycle_state::CycleState;
use crate::pod::Pod;
use crate::profile::{Point, Profile};
use crate::snapshot::{NodeRef, Row, Snapshot};
use crate::status::Status;

/// A cluster that is changed for the sake of a question, and the pod that the question is about. Whoever changes it
/// has to undo the changes.
pub struct WhatIf<'a> {
    /// The pod that is to be placed.
    pub pod: &'a Pod,
    /// Its profile.
    pub profile: &'a Profile,
    /// The cluster.
    pub snapshot: &'a mut Snapshot,
    /// The notes of the plugins.
    pub state: &'a mut CycleState,
}

impl WhatIf<'_> {
    /// As if the pod were on the node that it names.
    pub fn add(&mut self, other: &Arc<Pod>) {
        self.snapshot.add_pod(other.clone());
        self.tell(other, |plugin, state, pod, node| plugin.add_pod(state, pod, other, node));
    }

    /// As if it were not.
    pub fn remove(&mut self, other: &Arc<Pod>) {
        self.snapshot.remove_pod(other);
        self.tell(other, |plugin, state, pod, node| plugin.remove_pod(state, pod, other, node));
    }

    fn tell(
        &mut self,
        other: &Pod,
        tell: impl Fn(&dyn crate::plugin::PreFilterPlugin, &mut CycleState, &Pod, NodeRef<'_>),
    ) {
        let Some(node) = other.node_name.as_ref().and_then(|name| self.snapshot.node_by_name(name)) else { return };
        for entry in self.profile.at(Point::PreFilter) {
            let plugin = entry.plugin.as_pre_filter();
            if let Some(plugin) = plugin.filter(|_| !self.state.skips_filter(entry.plugin.name())) {
                tell(plugin, self.state, self.pod, node);
            }
        }
    }

    fn filter(&self, row: Row) -> Status {
        filter_one(self.pod, self.snapshot, self.profile, self.state, row)
    }
}

/// The answer of the first filter that refuses a node; Success if none does. `state` is that of the attempt.
pub fn filter_one(pod: &Pod, snapshot: &Snapshot, profile: &Profile, state: &CycleState, row: Row) -> Status {
    for entry in profile.at(Point::Filter) {
        let Some(filter) = entry.plugin.as_filter() else { continue };
        if state.skips_filter(entry.plugin.name()) {
            continue;
        }
        entry.measured.asked(1);
        let status = filter.filter(state, pod, snapshot.node(row));
        if !status.is_success() {
            return status.by(entry.plugin.name());
        }
    }
    Status::success()
}

/// Whether the pod fits on the node together with the pods for which it is held and which are not less important; and
/// without them, since they may go elsewhere and take with them what the pod needs (affinity).
pub fn filter_beside_nominated(what_if: &mut WhatIf<'_>, row: Row) -> Status {
    let nominated = nominated_beside(what_if.pod, what_if.snapshot, row);
    if !nominated.is_empty() {
        what_if.snapshot.pretend();
        nominated.iter().for_each(|other| what_if.add(other));
        let status = what_if.filter(row);
        nominated.iter().for_each(|other| what_if.remove(other));
        what_if.snapshot.pretended();
        if !status.is_success() {
            return status;
        }
    }
    what_if.filter(row)
}

/// The pods for which a node is held against this one.
fn nominated_beside(pod: &Pod, snapshot: &Snapshot, row: Row) -> Vec<Arc<Pod>> {
    let against = |other: &&Arc<Pod>| other.spec.priority >= pod.spec.priority && other.uid != pod.uid;
    snapshot.nominated(row).iter().filter(against).cloned().collect()
}
