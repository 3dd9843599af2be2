//! What was found out about preemption on one node counts for all that are like it, for all equal pods.
//!
//! A thousand nodes on which pods of the same few templates run are some ten kinds: with the same amounts, as many pods of each
//! template that have started at the same time, held for the same kinds of pods ([`Signature`]). Who would have to go there, and
//! how bad that is, is found out once for each kind, as long as the filters look at nothing else ([`LooksAt`]).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::candidate::{Candidate, Harm, harm};
use crate::cycle_state::CycleState;
use crate::diagnosis::{Diagnosis, Marks, no_node_because};
use crate::plugin::{LooksAt, PostFilterContext};
use crate::pod::{Pod, PodSpec};
use crate::profile::{Point, Profile};
use crate::snapshot::{Row, Signature};
use crate::status::{Code, Status};

/// Kinds of pods of which something is kept.
const KINDS: usize = 8;
/// Kinds of nodes that are kept for each of them, with some 100 bytes each; beyond it all are forgotten before the next pod.
const MOST_VERDICTS: usize = 32_768;
const UNKNOWN: u32 = u32::MAX;
/// Among so many reasons it is looked whether one was given before; further ones are counted on their own.
const COMPARED: usize = 32;

/// How bad it would be, or why it would not help.
type Verdict = Result<Harm, Arc<Status>>;

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
    /// Which nodes the filter of amounts has refused.
    refused_by_amounts: Marks,
    /// What was found out, and how many nodes it counts for at present.
    verdicts: Vec<Known>,
    /// The places of these.
    by_signature: HashMap<Signature, u32, BuildHasherDefault<Half>>,
    /// By row: the place of the one that counted lately.
    seen: Vec<u32>,
}

/// What is known of one kind of nodes.
#[derive(Debug)]
struct Known {
    signature: Signature,
    verdict: Verdict,
    tally: Tally,
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
            refused_by_amounts: Marks::default(),
            verdicts: Vec::new(),
            by_signature: HashMap::default(),
            seen: Vec::new(),
        });
        kind.own = snapshot.row_held_for(&pod.uid);
        let Diagnosis { node_to_status, absent, .. } = context.diagnosis;
        kind.refused_by_amounts = node_to_status.marks(absent.as_ref(), |status| status.plugin() == plugin);
        if kind.verdicts.len() >= MOST_VERDICTS {
            kind.verdicts.clear();
            kind.by_signature.clear();
            kind.seen.clear();
        }
        kind.seen.resize(snapshot.rows(), UNKNOWN);
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
    /// The signature of a node that stands for all of its kind; `None` if more than that plays a role.
    fn signature(&self, context: &PostFilterContext<'_>, row: Row) -> Option<Signature> {
        let refused_by_amounts = self.refused_by_amounts.has(&context.diagnosis.node_to_status, row);
        (refused_by_amounts && self.own != Some(row)).then(|| context.snapshot.signature(row))
    }

    /// Counts a node among those that were compared, if its kind is known.
    pub(super) fn tell(&mut self, context: &PostFilterContext<'_>, row: Row, compared: &mut Compared) -> bool {
        let Some(signature) = self.signature(context, row) else { return false };
        let seen = &mut self.seen[row as usize];
        if self.verdicts.get(*seen as usize).is_none_or(|known| known.signature != signature) {
            let Some(&verdict) = self.by_signature.get(&signature) else { return false };
            *seen = verdict;
        }
        let Known { verdict, tally, .. } = &mut self.verdicts[*seen as usize];
        compared.count(verdict.as_ref().ok());
        if tally.count == 0 {
            (tally.row, tally.place) = (row, compared.place);
        }
        tally.count += 1;
        true
    }

    /// Keeps what was found out on a node.
    pub(super) fn learn(&mut self, context: &PostFilterContext<'_>, row: Row, candidate: &Result<Candidate, Status>) {
        let Some(signature) = self.signature(context, row) else { return };
        // An error says nothing about the next attempt.
        if candidate.as_ref().is_err_and(|status| status.code() == Code::Error) {
            return;
        }
        let verdict = candidate.as_ref().map(harm).map_err(|status| Arc::new(status.clone()));
        let number = u32::try_from(self.verdicts.len()).expect("few verdicts");
        self.verdicts.push(Known { signature, verdict, tally: Tally::default() });
        self.by_signature.insert(signature, number);
        self.seen[row as usize] = number;
    }

    /// Says which of the known kinds of nodes is best, and why others would not do.
    pub(super) fn sum_up(&mut self, compared: &mut Compared) {
        for Known { verdict, tally, .. } in &mut self.verdicts {
            let Tally { count, row, place } = std::mem::take(tally);
            match verdict {
                _ if count == 0 => {}
                Ok(harm) => compared.better(Best { place, row, harm: *harm, candidate: None }),
                Err(status) => compared.refused(status, count),
            }
        }
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

/// How many nodes of a kind were compared, and the first of them.
#[derive(Debug, Default)]
struct Tally {
    count: usize,
    row: Row,
    place: usize,
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
    /// How many there were.
    place: usize,
    /// Why others would not.
    refused: Vec<(Arc<Status>, usize)>,
}

/// The best node.
#[derive(Debug)]
pub(super) struct Best {
    place: usize,
    pub(super) row: Row,
    harm: Harm,
    /// Who would have to go, if that was looked at.
    pub(super) candidate: Option<Candidate>,
}

impl Compared {
    /// One more node.
    pub(super) fn add(&mut self, row: Row, candidate: Result<Candidate, Status>) {
        match candidate {
            Ok(candidate) => {
                let harm = harm(&candidate);
                self.count(Some(&harm));
                self.better(Best { place: self.place, row, harm, candidate: Some(candidate) });
            }
            Err(status) => {
                self.count(None);
                self.refused(&Arc::new(status), 1);
            }
        }
    }

    fn count(&mut self, harm: Option<&Harm>) {
        self.place += 1;
        self.found += usize::from(harm.is_some());
        self.is_harmless |= harm.is_some_and(|harm| harm.0 == 0);
    }

    fn better(&mut self, other: Best) {
        if self.best.as_ref().is_none_or(|best| (other.harm, other.place) < (best.harm, best.place)) {
            self.best = Some(other);
        }
    }

    fn refused(&mut self, status: &Arc<Status>, nodes: usize) {
        match self.refused.iter_mut().take(COMPARED).find(|(other, _)| other == status) {
            Some((_, count)) => *count += nodes,
            None => self.refused.push((status.clone(), nodes)),
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
