//! NodeAffinity: node selectors, required and preferred node affinity, and affinity that the profile adds to every pod.

use serde::Deserialize;

use crate::cluster_event::{ActionType, ClusterEvent, EventObject, Happening, QueueingHint};
use crate::cycle_state::CycleState;
use crate::node_selector::faults::{faults, preference_faults};
use crate::node_selector::{RequiredNodeAffinity, Term, Terms, matches_node, named_nodes, selects_node};
use crate::plugin::{
    Candidates, Dependence, FilterPlugin, LooksAt, Normalization, Plugin, PreFilterPlugin, PreFilterResult,
    PreScorePlugin, ScorePlugin, Scored,
};
use crate::plugins::normalize;
use crate::pod::Pod;
use crate::snapshot::{NodeRef, Row, Snapshot};
use crate::status::Status;
use crate::wire;

pub(super) const NAME: &str = "NodeAffinity";
const PRE_FILTER: &str = "PreFilterNodeAffinity";
const PRE_SCORE: &str = "PreScoreNodeAffinity";

/// `NodeAffinityArgs`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeAffinityArgs {
    /// Affinity that every pod of the profile has in addition to its own.
    pub added_affinity: Option<wire::NodeAffinity>,
}

/// Compares labels of nodes with what pods want.
#[derive(Clone, Debug)]
pub struct NodeAffinity {
    added: wire::NodeAffinity,
}

struct Required {
    pod: RequiredNodeAffinity,
    added: Option<Terms>,
}

struct Preferred(Vec<(i64, Term)>);

impl NodeAffinity {
    /// The plugin with these arguments.
    ///
    /// # Errors
    /// If a requirement makes no sense.
    pub fn new(args: NodeAffinityArgs) -> Result<Self, String> {
        let added = args.added_affinity.unwrap_or_default();
        let required = "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        let terms = added.required.iter().flat_map(|selector| &selector.node_selector_terms);
        if let Some(faults) = faults(required, terms) {
            return Err(faults);
        }
        let preferred = "addedAffinity.preferredDuringSchedulingIgnoredDuringExecution";
        if let Some(faults) = preference_faults(preferred, &added.preferred) {
            return Err(faults);
        }
        Ok(Self { added })
    }

    fn required(&self, pod: &Pod, snapshot: &Snapshot) -> Required {
        Required {
            pod: RequiredNodeAffinity::new(&pod.spec, snapshot),
            added: self.added.required.as_ref().map(|selector| Terms::new(selector, snapshot)),
        }
    }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn dependence(&self, _: &Pod) -> Dependence {
        Dependence::Node
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::node(ActionType::ADD.or(ActionType::UPDATE_NODE_LABEL))]
    }

    fn queueing_hint(&self, pod: &Pod, happening: &Happening) -> QueueingHint {
        let EventObject::Node { old, new } = &happening.object else { return QueueingHint::Queue };
        let allowed = |node: &wire::Node| {
            let added = self.added.required.as_ref();
            added.is_none_or(|added| selects_node(added, node)) && matches_node(&pod.spec, node)
        };
        if allowed(new) && !old.as_ref().is_some_and(|old| allowed(old)) {
            QueueingHint::Queue
        } else {
            QueueingHint::Skip
        }
    }

    fn as_pre_filter(&self) -> Option<&dyn PreFilterPlugin> {
        Some(self)
    }

    fn as_filter(&self) -> Option<&dyn FilterPlugin> {
        Some(self)
    }

    fn as_pre_score(&self) -> Option<&dyn PreScorePlugin> {
        Some(self)
    }

    fn as_score(&self) -> Option<&dyn ScorePlugin> {
        Some(self)
    }
}

impl PreFilterPlugin for NodeAffinity {
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot) -> Result<PreFilterResult, Status> {
        let affinity = pod.spec.affinity.node_affinity.as_ref();
        let required = affinity.and_then(|affinity| affinity.required.as_ref());
        if required.is_none() && pod.spec.node_selector.is_empty() && self.added.required.is_none() {
            return Err(Status::skip());
        }
        state.write(PRE_FILTER, self.required(pod, snapshot));
        let node_names = required.and_then(named_nodes);
        if node_names.as_ref().is_some_and(std::collections::BTreeSet::is_empty) {
            return Err(Status::unresolvable("pod affinity terms conflict"));
        }
        Ok(PreFilterResult { node_names })
    }
}

impl FilterPlugin for NodeAffinity {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Node
    }

    fn filter(&self, state: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
        let (snapshot, row) = (node.snapshot(), node.row());
        let made;
        let required = match state.read::<Required>(PRE_FILTER) {
            Some(required) => required,
            None => {
                made = self.required(pod, snapshot);
                &made
            }
        };
        if required.added.as_ref().is_some_and(|terms| !terms.matches(snapshot, row)) {
            return Status::unresolvable("node(s) didn't match scheduler-enforced node affinity");
        }
        if !required.pod.matches(snapshot, row) {
            return Status::unresolvable("node(s) didn't match Pod's node affinity/selector");
        }
        Status::success()
    }

    fn filter_nodes(&self, state: &CycleState, _: &Pod, candidates: &mut Candidates<'_>) {
        let snapshot = candidates.snapshot();
        let Some(required) = state.read::<Required>(PRE_FILTER) else { return };
        candidates.retain(|row| {
            required.added.as_ref().is_none_or(|terms| terms.matches(snapshot, row))
                && required.pod.matches(snapshot, row)
        });
    }
}

impl PreScorePlugin for NodeAffinity {
    fn pre_score(&self, state: &mut CycleState, pod: &Pod, snapshot: &Snapshot, _: &[Row]) -> Status {
        let own = pod.spec.affinity.node_affinity.as_ref().map_or(&[][..], |affinity| &affinity.preferred);
        if let Some(faults) = preference_faults("", own) {
            return Status::error(faults);
        }
        let terms = own.iter().chain(&self.added.preferred);
        let terms: Vec<_> = terms.map(|term| (term.weight, Term::new(&term.preference, snapshot))).collect();
        if terms.is_empty() {
            return Status::skip();
        }
        state.write(PRE_SCORE, Preferred(terms));
        Status::success()
    }
}

impl ScorePlugin for NodeAffinity {
    fn normalization(&self) -> Normalization {
        Normalization::ByMaximum { reverse: false }
    }

    fn score(&self, state: &CycleState, _: &Pod, node: NodeRef<'_>) -> Result<i64, Status> {
        let Some(Preferred(terms)) = state.read(PRE_SCORE) else { return Ok(0) };
        let matching = terms.iter().filter(|(_, term)| term.matches(node.snapshot(), node.row()));
        Ok(matching.map(|(weight, _)| weight).sum())
    }

    fn normalize_score(&self, _: &CycleState, _: &Pod, _: Scored<'_>, scores: &mut [i64]) -> Result<(), Status> {
        normalize(scores, false);
        Ok(())
    }
}
