//! What was found out about preemption on one node counts for all that are like it, for all equal pods.
//!
//! A thousand nodes on which pods of the same few templates run are some ten kinds: with the same amounts, as many pods of each
//! template that have started at the same time, held for the same kinds of pods ([`Signature`]). Who would have to go there, and
//! how bad that is, is found out once for each kind, as long as the filters look at nothing else ([`LooksAt`]).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::candidate::{Candidate, Harm};
use crate::cycle_state::CycleState;
use crate::diagnosis::no_node_because;
use crate::plugin::{LooksAt, PostFilterContext};
use crate::pod::{Pod, PodSpec};
use crate::profile::{Point, Profile};
use crate::snapshot::{Row, Signature};
use crate::status::{Code, Status};

/// Kinds of pods of which something is kept.
const KINDS: usize = 8;
/// Kinds of nodes that are kept for each of them, with some 100 bytes each; beyond it all are forgotten.
const MOST_VERDICTS: usize = 32_768;
/// Among so many reasons it is looked whether one was given before; further ones are counted on their own.
const COMPARED: usize = 32;

/// How bad it would be, or why it would not help.
pub(super) type Verdict = Result<Harm, Arc<Status>>;

/// What is kept for the last few kinds of pods, the latest last.
#[derive(Debug, Default)]
pub(super) struct Kinds(Vec<Kind>);

/// What is kept for one kind of pods.
#[derive(Debug)]
pub(super) struct Kind {
    spec: Arc<PodSpec>,
    profile: Arc<()>,
    snapshot: Arc<()>,
    /// What may change and is in no signature: labels and the like, budgets.
    versions: (u64, u64),
    /// The filter of amounts.
    plugin: &'static str,
    /// The node that is held for the pod itself.
    own: Option<Row>,
    verdicts: HashMap<Signature, Verdict, BuildHasherDefault<Half>>,
}

impl Kinds {
    /// What is kept for pods like this one; `None` if nothing can be.
    pub(super) fn of(
        &mut self,
        (state, pod): (&CycleState, &Pod),
        context: &PostFilterContext<'_>,
    ) -> Option<&mut Kind> {
        let (snapshot, profile) = (&*context.snapshot, context.profile);
        let plugin = filter_of_amounts(state, profile)?;
        // Who was evicted is not counted again: that is a matter of names.
        if snapshot.budgets().any(|budget| !budget.status.disrupted_pods.is_empty()) {
            return None;
        }
        let same = |kind: &Kind| {
            Arc::ptr_eq(&kind.spec, &pod.spec)
                && Arc::ptr_eq(&kind.profile, profile.identity())
                && Arc::ptr_eq(&kind.snapshot, snapshot.identity())
        };
        let versions = (snapshot.epoch(), snapshot.budgets_version());
        let known = self.0.iter().position(same).map(|place| self.0.remove(place));
        let known = known.filter(|kind| kind.versions == versions && kind.plugin == plugin);
        let mut kind = known.unwrap_or_else(|| Kind {
            spec: pod.spec.clone(),
            profile: profile.identity().clone(),
            snapshot: snapshot.identity().clone(),
            versions,
            plugin,
            own: None,
            verdicts: HashMap::default(),
        });
        kind.own = snapshot.row_held_for(&pod.uid);
        if self.0.len() == KINDS {
            self.0.remove(0);
        }
        self.0.push(kind);
        self.0.last_mut()
    }
}

/// The one filter that looks at amounts, if it is the last that has a say and those before it look at the node only.
fn filter_of_amounts(state: &CycleState, profile: &Profile) -> Option<&'static str> {
    let filters = profile.at(Point::Filter).iter().filter(|entry| !state.skips_filter(entry.plugin.name()));
    let mut filters = filters.filter_map(|entry| Some((entry.plugin.name(), entry.plugin.as_filter()?.looks_at())));
    let (last, _) = filters.find(|(_, looks_at)| *looks_at != LooksAt::Node).filter(|it| it.1 == LooksAt::Amounts)?;
    filters.next().is_none().then_some(last)
}

impl Kind {
    /// The kind of a node; `None` if more than that plays a role.
    pub(super) fn signature(&self, context: &PostFilterContext<'_>, row: Row) -> Option<Signature> {
        let refused_by_amounts = context.diagnosis.status_of(row)?.plugin() == self.plugin;
        (refused_by_amounts && self.own != Some(row)).then(|| context.snapshot.signature(row))
    }

    pub(super) fn get(&self, signature: Signature) -> Option<&Verdict> {
        self.verdicts.get(&signature)
    }

    pub(super) fn insert(&mut self, signature: Signature, verdict: Verdict) {
        // An error says nothing about the next attempt.
        if verdict.as_ref().is_err_and(|status| status.code() == Code::Error) {
            return;
        }
        if self.verdicts.len() >= MOST_VERDICTS {
            self.verdicts.clear();
        }
        self.verdicts.insert(signature, verdict);
    }
}

/// A signature is mixed already.
#[derive(Default)]
pub(super) struct Half(u64);

impl Hasher for Half {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(5) ^ number;
    }
}

/// The nodes that were compared up to now.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// How many of them would do.
    pub(super) found: usize,
    /// Whether no budget would be broken on one of them.
    pub(super) is_harmless: bool,
    /// The first of the best.
    pub(super) best: Option<Best>,
    /// Why others would not.
    refused: Vec<(Arc<Status>, usize)>,
}

/// The best node.
#[derive(Debug)]
pub(super) struct Best {
    pub(super) row: Row,
    harm: Harm,
    /// Who would have to go, if that was looked at.
    pub(super) candidate: Option<Candidate>,
}

impl Compared {
    /// One more node.
    pub(super) fn add(&mut self, row: Row, verdict: &Verdict, candidate: Option<Candidate>) {
        match verdict {
            Ok(harm) => {
                self.found += 1;
                self.is_harmless |= harm.0 == 0;
                if self.best.as_ref().is_none_or(|best| *harm < best.harm) {
                    self.best = Some(Best { row, harm: *harm, candidate });
                }
            }
            Err(status) => {
                let same = |other: &Arc<Status>| Arc::ptr_eq(other, status) || other == status;
                match self.refused.iter_mut().take(COMPARED).find(|(other, _)| same(other)) {
                    Some((_, count)) => *count += 1,
                    None => self.refused.push((status.clone(), 1)),
                }
            }
        }
    }

    /// Why no node will do, of so many.
    pub(super) fn message(&self, nodes: usize) -> String {
        let compared: usize = self.refused.iter().map(|(_, count)| count).sum();
        let others = Status::unresolvable("Preemption is not helpful for scheduling");
        let refused = self.refused.iter().map(|(status, count)| (&**status, *count));
        no_node_because(nodes, refused.chain([(&others, nodes - compared)]))
    }
}
