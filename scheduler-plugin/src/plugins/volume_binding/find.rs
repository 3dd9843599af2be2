//! Whether a node can have the volumes of a pod, and which ones.

use std::borrow::Cow;
use std::sync::Arc;

use super::prepare::{Candidate, Prepared, Provision, Waiting};
use crate::selector;
use crate::snapshot::NodeRef;
use crate::status::{Code, Status};
use crate::wire::{Claim, PersistentVolume, TopologySelectorTerm};

/// What is to be done about a pod's claims if it goes to a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// Volumes that exist, each with the claim that gets it.
    pub(super) bindings: Vec<(Arc<PersistentVolume>, Arc<Claim>)>,
    /// Claims for which a volume is to be made.
    pub(super) provisions: Vec<Arc<Claim>>,
}

impl Choice {
    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.provisions.is_empty()
    }
}

/// What a node lacks.
#[derive(Debug, Default)]
struct Lacks {
    affinity: bool,
    volume: bool,
    room: bool,
    existence: bool,
}

impl Lacks {
    fn into_status(self) -> Option<Status> {
        let reasons = [
            (self.affinity, "node(s) didn't match PersistentVolume's node affinity"),
            (self.volume, "node(s) didn't find available persistent volumes to bind"),
            (self.room, "node(s) did not have enough free storage"),
            (self.existence, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
        ];
        let reasons: Vec<Cow<'static, str>> =
            reasons.into_iter().filter(|(lacks, _)| *lacks).map(|(_, reason)| reason.into()).collect();
        let code = Code::UnschedulableAndUnresolvable;
        (!reasons.is_empty()).then(|| Status::with_reasons(code, reasons))
    }
}

/// Finds volumes for all claims of a pod on one node.
pub(super) fn find(prepared: &Prepared, node: NodeRef<'_>) -> Result<Choice, Status> {
    let mut lacks = Lacks::default();
    for volume in &prepared.bound {
        match volume {
            None => lacks.existence = true,
            Some(volume) if !can_be_had(volume, node) => lacks.affinity = true,
            Some(_) => continue,
        }
        break;
    }
    let choice = find_waiting(&prepared.waiting, node, &mut lacks);
    lacks.into_status().map_or(Ok(choice), Err)
}

fn can_be_had(candidate: &Candidate, node: NodeRef<'_>) -> bool {
    candidate.terms.as_ref().is_none_or(|terms| terms.matches(node.snapshot(), node.row()))
}

fn find_waiting(waiting: &[Waiting], node: NodeRef<'_>, lacks: &mut Lacks) -> Choice {
    let mut choice = Choice::default();
    let elsewhere = |selected: &String| **selected != **node.name();
    if waiting.iter().any(|it| it.selected_node.as_ref().is_some_and(elsewhere)) {
        lacks.volume = true;
        return choice;
    }
    let mut to_provision: Vec<&Waiting> = waiting.iter().filter(|it| it.selected_node.is_some()).collect();
    for claim in waiting.iter().filter(|it| it.selected_node.is_none()) {
        match smallest(claim, node, &choice) {
            Some(volume) => choice.bindings.push((volume, claim.claim.clone())),
            None => to_provision.push(claim),
        }
    }
    for claim in to_provision {
        match claim.provision.as_ref().filter(|provision| may_be_made(provision, node)) {
            None => lacks.volume = true,
            Some(provision) if !has_room(provision, node) => lacks.room = true,
            Some(_) => {
                choice.provisions.push(claim.claim.clone());
                continue;
            }
        }
        break;
    }
    choice
}

/// The smallest volume that can be had on the node and that no other claim of the pod gets. A volume that is meant for
/// the claim is the only one that will do.
fn smallest(claim: &Waiting, node: NodeRef<'_>, choice: &Choice) -> Option<Arc<PersistentVolume>> {
    let name = |volume: &PersistentVolume| volume.metadata.common.name.clone();
    let taken = |candidate: &&Candidate| choice.bindings.iter().any(|(it, _)| name(it) == name(&candidate.volume));
    let mut candidates = match &claim.prebound {
        Some(prebound) => std::slice::from_ref(prebound).iter(),
        None => claim.candidates.iter(),
    };
    let found = candidates.find(|candidate| !taken(candidate) && can_be_had(candidate, node));
    found.map(|candidate| candidate.volume.clone())
}

fn may_be_made(provision: &Provision, node: NodeRef<'_>) -> bool {
    let holds = |term: &TopologySelectorTerm| {
        let expressions = &term.match_label_expressions;
        !expressions.is_empty()
            && expressions
                .iter()
                .all(|it| node.label(&it.key).is_some_and(|value| it.values.iter().any(|v| v == value)))
    };
    provision.topologies.is_empty() || provision.topologies.iter().any(holds)
}

fn has_room(provision: &Provision, node: NodeRef<'_>) -> bool {
    let room = provision.room.as_ref();
    room.is_none_or(|room| room.iter().any(|topology| selector::matches(topology, node.labels())))
}
