//! What was found out for a pod and holds for its siblings: a thousand equal pods cost little more than one.
//!
//! For each of the last few kinds of pods that came more than once, the verdicts and scores of plugins that look at one node
//! at a time are kept in columns; only nodes that have changed since are asked again. Plugins that count pods elsewhere keep
//! their notes and are told of the pods that came and went. If anything else has changed (labels, taints, namespaces,
//! services) all is found out anew. Nodes that no plugin tells apart are in groups, of each of which one is asked. If no node is
//! feasible, the answers that they got are kept in the same way, unless a plugin counts pods elsewhere.
//! Source: KEP-5598 for the idea that equal pods need not be filtered again.
//!
//! The choice is the one that would have been made without it: same verdicts, same scores, same set of best nodes, in the
//! same order. Held by `what_is_kept_is_what_would_be_found_out_anew`.

mod anew;
mod groups;
mod refusals;
mod scores;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use anew::Anew;
use groups::Groups;
use refusals::Refusals;
use scores::KeptScores;
use steersman_machinery::random::Random;
use tokio::time::Instant;

use super::what_if::{WhatIf, filter_beside_nominated};
use super::{Search, nodes_to_find};
use crate::cycle_state::CycleState;
use crate::diagnosis::Diagnosis;
use crate::plugin::{Candidates, Dependence, Normalization, PodChange};
use crate::pod::{Pod, PodSpec};
use crate::profile::{Entry, Point, Profile};
use crate::snapshot::{Change, Row, Snapshot};
use crate::status::{Code, Status};

/// Kinds of pods of which something is kept: each takes about 50 bytes a node.
const KINDS: usize = 16;
/// Kinds that came once and are recognized when they come again.
const SEEN_ONCE: usize = 64;
/// Beyond this many changes of pods it is cheaper to begin anew than to tell of each.
const MOST_CHANGES: usize = 1024;

/// What is kept between decisions.
#[derive(Debug, Default)]
pub(super) struct Memo {
    kinds: Vec<Kept>,
    seen_once: VecDeque<Arc<PodSpec>>,
    uses: u64,
}

/// What is kept of one kind of pods.
#[derive(Debug)]
struct Kept {
    spec: Arc<PodSpec>,
    /// Whether the pods have volumes, though not the same.
    has_volumes: bool,
    /// Whether some plugins are asked anew for each pod.
    asks_anew: bool,
    profile: Arc<()>,
    snapshot: Arc<()>,
    /// How far changes were taken in.
    generation: u64,
    last_use: u64,
    /// Notes of the plugins.
    state: CycleState,
    /// Whether no filter counts pods elsewhere. Then what is kept of a node takes into account for whom it is held.
    is_local: bool,
    /// By row: whether the plugins that look at one node pass it.
    passes: Vec<bool>,
    /// How many nodes pass.
    count: usize,
    refusals: Refusals,
    /// The nodes that pass, in order; empty if it has to be put together again.
    passing: Vec<Row>,
    is_stale: bool,
    scores: KeptScores,
    groups: Groups,
}

/// What was decided.
pub(super) enum Known {
    /// A node is best.
    Choice(Choice),
    /// No node is feasible.
    Refusal(Box<Diagnosis>),
}

/// The node that was chosen.
pub(super) struct Choice {
    pub(super) node: Row,
    pub(super) evaluated_nodes: usize,
    pub(super) feasible: Vec<Row>,
    /// Notes that were made for this pod.
    pub(super) state: CycleState,
}

impl Memo {
    /// The decision for a pod; `None` if what is kept does not help: the pod is the first of its kind, a plugin's answers
    /// can't be kept, no node is feasible and why depends on pods elsewhere, or a plugin fails.
    pub(super) fn decide(pod: &Pod, snapshot: &mut Snapshot, profile: &Profile, search: &mut Search) -> Option<Known> {
        search.memo.as_ref()?;
        let begun = search.measuring.then(Instant::now);
        // What is kept counts for others of its kind too, so a node that is held for this pod must not count as held.
        let held = snapshot.let_go(&pod.uid);
        let known = Self::look_up(pod, snapshot, profile, search);
        if let Some((_, held)) = held {
            snapshot.hold(held);
        }
        profile.batches.looked_up(begun, known.is_some());
        known
    }

    fn look_up(pod: &Pod, snapshot: &mut Snapshot, profile: &Profile, search: &mut Search) -> Option<Known> {
        let memo = search.memo.as_mut()?;
        let place = memo.find(pod, snapshot, profile)?;
        let kept = &mut memo.kinds[place];
        if kept.take_in(pod, snapshot, profile).is_none() {
            memo.kinds.swap_remove(place);
            profile.batches.flushed("pod_failed");
            return None;
        }
        if kept.is_local && kept.count == 0 {
            return Some(Known::Refusal(kept.refused(pod, snapshot, profile)));
        }
        let anew = kept.ask_anew(pod, snapshot, profile)?;
        let start = search.next_start_node_index;
        let nodes = snapshot.len();
        let all = start == 0 && nodes_to_find(nodes, profile, false) == nodes;
        let all = all && (kept.is_local || !snapshot.has_nominated());
        let all = all && (anew.is_empty() || anew.passes_all(pod, snapshot, kept.passing(snapshot))?);
        if all && kept.regroup(pod, snapshot, profile).is_some() {
            let (node, feasible) = kept.best_of_groups(pod, snapshot, profile, &search.random)?;
            return Some(Known::Choice(Choice { node, evaluated_nodes: nodes, feasible, state: anew.state }));
        }
        let (feasible, evaluated_nodes) = kept.filter(pod, snapshot, profile, (start, &anew))?;
        let best = match feasible.as_slice() {
            [_] => 0,
            _ => kept.best((pod, snapshot), &feasible, &search.random)?,
        };
        search.next_start_node_index = (start + evaluated_nodes) % snapshot.len();
        Some(Known::Choice(Choice { node: feasible[best], evaluated_nodes, feasible, state: anew.state }))
    }

    /// The place of what is kept of pods like this one, prepared if it is worth it.
    fn find(&mut self, pod: &Pod, snapshot: &Snapshot, profile: &Profile) -> Option<usize> {
        self.uses += 1;
        let uses = self.uses;
        let fits = |kept: &Kept| {
            Arc::ptr_eq(&kept.spec, pod.kind())
                && kept.has_volumes != pod.spec.volumes.is_empty()
                && Arc::ptr_eq(&kept.profile, profile.identity())
                && Arc::ptr_eq(&kept.snapshot, snapshot.identity())
        };
        if let Some(place) = self.kinds.iter().position(fits) {
            self.kinds[place].last_use = uses;
            return Some(place);
        }
        if let Some(place) = self.seen_once.iter().position(|spec| Arc::ptr_eq(spec, pod.kind())) {
            self.seen_once.remove(place);
        } else {
            self.seen_once.push_back(pod.kind().clone());
            if self.seen_once.len() > SEEN_ONCE {
                self.seen_once.pop_front();
            }
            return None;
        }
        if !can_be_kept(pod, profile) {
            profile.batches.flushed("pod_not_batchable");
            return None;
        }
        if self.kinds.len() == KINDS {
            let oldest = (0..KINDS).min_by_key(|&place| self.kinds[place].last_use)?;
            self.kinds.swap_remove(oldest);
            profile.batches.flushed("pod_incompatible");
        }
        self.kinds.push(Kept {
            spec: pod.kind().clone(),
            has_volumes: !pod.spec.volumes.is_empty(),
            asks_anew: false,
            profile: profile.identity().clone(),
            snapshot: snapshot.identity().clone(),
            generation: u64::MAX,
            last_use: uses,
            state: CycleState::default(),
            is_local: false,
            passes: Vec::new(),
            count: 0,
            refusals: Refusals::default(),
            passing: Vec::new(),
            is_stale: true,
            scores: KeptScores::new(pod, profile),
            groups: Groups::default(),
        });
        Some(self.kinds.len() - 1)
    }
}

/// Whether all plugins say so.
fn can_be_kept(pod: &Pod, profile: &Profile) -> bool {
    let points = [Point::PreFilter, Point::Filter, Point::PreScore, Point::Score];
    let depends = |entry: &Entry| match entry.plugin.dependence(pod) {
        Dependence::Anything => false,
        Dependence::Anew => entry.plugin.as_score().is_none(),
        Dependence::Pods => true,
        Dependence::Node => entry.plugin.as_score().is_none_or(|score| score.normalization() != Normalization::Own),
    };
    points.into_iter().all(|point| profile.at(point).iter().all(depends))
}

fn depends_on_pods(entry: &Entry, pod: &Pod) -> bool {
    entry.plugin.dependence(pod) == Dependence::Pods
}

fn is_asked_anew(entry: &Entry, pod: &Pod) -> bool {
    entry.plugin.dependence(pod) == Dependence::Anew
}

impl Kept {
    /// Brings everything up to date; `None` if PreFilter does more than prepare.
    fn take_in(&mut self, pod: &Pod, snapshot: &mut Snapshot, profile: &Profile) -> Option<()> {
        let generation = std::mem::replace(&mut self.generation, snapshot.generation());
        let known = generation != u64::MAX;
        let changes = if known { snapshot.changes_since(generation) } else { None };
        let changes: Option<Vec<&Change>> = changes.and_then(|changes| {
            let all: Vec<&Change> = changes.filter(|change| !matches!(change, Change::Storage)).collect();
            let few = all.len() <= MOST_CHANGES && !all.iter().any(|change| matches!(change, Change::All));
            few.then_some(all)
        });
        let Some(changes) = changes else { return self.begin(pod, snapshot, profile) };
        let mut rows: Vec<Row> = Vec::with_capacity(changes.len());
        let mut pods: Vec<PodChange<'_>> = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                Change::Pod { row, pod, came } => {
                    rows.push(*row);
                    pods.push(PodChange { pod, row: *row, amount: if *came { 1 } else { -1 }, snapshot });
                }
                Change::Node(row) => rows.push(*row),
                Change::All | Change::Storage => {}
            }
        }
        self.tell((pod, snapshot), &pods, profile)?;
        if self.find_out_whether_local(pod, profile) {
            rows.extend(snapshot.nominated_rows());
        }
        rows.sort_unstable();
        rows.dedup();
        rows.retain(|row| snapshot.is_known(*row));
        self.groups.touch(&rows, snapshot);
        self.ask(pod, snapshot, profile, rows)
    }

    /// Whether that is another answer than before.
    fn find_out_whether_local(&mut self, pod: &Pod, profile: &Profile) -> bool {
        let elsewhere = profile.at(Point::Filter).iter().filter(|entry| depends_on_pods(entry, pod));
        let is_local = !self.asks_anew && elsewhere.into_iter().all(|it| self.state.skips_filter(it.plugin.name()));
        let changed = std::mem::replace(&mut self.is_local, is_local) != is_local;
        if changed {
            self.refusals = Refusals::default();
        }
        changed
    }

    fn begin(&mut self, pod: &Pod, snapshot: &mut Snapshot, profile: &Profile) -> Option<()> {
        // What plugins depend on can change with what changed.
        if !can_be_kept(pod, profile) {
            return None;
        }
        self.state = CycleState::default();
        let mut filters = [Point::PreFilter, Point::Filter].into_iter().flat_map(|point| profile.at(point));
        self.asks_anew = filters.any(|entry| is_asked_anew(entry, pod));
        for entry in profile.at(Point::PreFilter).iter().filter(|entry| !is_asked_anew(entry, pod)) {
            prepare(&mut self.state, pod, snapshot, entry)?;
        }
        self.find_out_whether_local(pod, profile);
        self.passes = vec![false; snapshot.rows()];
        self.count = 0;
        self.refusals = Refusals::default();
        self.is_stale = true;
        self.groups.begin(snapshot);
        self.scores.begin((pod, &mut self.state), snapshot)?;
        self.ask(pod, snapshot, profile, snapshot.order().to_vec())
    }

    /// Tells the plugins that keep notes of pods that came or went.
    fn tell(&mut self, (pod, snapshot): (&Pod, &Snapshot), changes: &[PodChange<'_>], profile: &Profile) -> Option<()> {
        for entry in profile.at(Point::PreFilter).iter().filter(|entry| depends_on_pods(entry, pod)) {
            let Some(plugin) = entry.plugin.as_pre_filter() else { continue };
            if !changes.iter().all(|change| plugin.update_filter(&mut self.state, pod, *change)) {
                self.groups.touch_all();
                self.state.unskip_filter(plugin.name());
                prepare(&mut self.state, pod, snapshot, entry)?;
            }
        }
        self.scores.tell((pod, &mut self.state), changes);
        Some(())
    }

    /// Asks the plugins that look at one node again about these.
    fn ask(&mut self, pod: &Pod, snapshot: &mut Snapshot, profile: &Profile, rows: Vec<Row>) -> Option<()> {
        let mut candidates = Candidates::new(snapshot, rows.clone(), Vec::new());
        let others = |entry: &&Entry| entry.plugin.dependence(pod) == Dependence::Node;
        for entry in profile.at(Point::Filter).iter().filter(others) {
            let Some(filter) = entry.plugin.as_filter().filter(|plugin| !self.state.skips_filter(plugin.name())) else {
                continue;
            };
            entry.measured.asked(candidates.rows().len());
            filter.filter_nodes(&self.state, pod, &mut candidates);
            if candidates.take_error().is_some() {
                return None;
            }
        }
        let (passing, rejected) = candidates.into_parts();
        for (row, passes) in passing.iter().map(|row| (*row, true)).chain(rejected.iter().map(|(row, _)| (*row, false)))
        {
            self.put(row, passes);
        }
        if self.is_local && snapshot.has_nominated() {
            for &row in &rows {
                if !snapshot.nominated(row).is_empty() {
                    let mut what_if = WhatIf { pod, profile, snapshot, state: &mut self.state };
                    let status = filter_beside_nominated(&mut what_if, row);
                    self.put(row, status.is_success());
                }
            }
        }
        self.refusals.touch(&rows);
        self.scores.ask((pod, &self.state), snapshot, &rows)
    }

    fn put(&mut self, row: Row, passes: bool) {
        let before = std::mem::replace(&mut self.passes[row as usize], passes);
        if before != passes {
            self.is_stale = true;
            self.count = self.count + usize::from(passes) - usize::from(before);
        }
    }

    /// Why no node is feasible.
    fn refused(&mut self, pod: &Pod, snapshot: &mut Snapshot, profile: &Profile) -> Box<Diagnosis> {
        let nodes = snapshot.len();
        let mut what_if = WhatIf { pod, profile, snapshot, state: &mut self.state };
        let node_to_status = self.refusals.up_to_date(&mut what_if).clone();
        let mut diagnosis = Diagnosis { nodes, node_to_status, ..Diagnosis::default() };
        diagnosis.add_plugins();
        Box::new(diagnosis)
    }

    /// Brings the groups up to date; `None` if a plugin doesn't say what tells nodes apart.
    fn regroup(&mut self, pod: &Pod, snapshot: &Snapshot, profile: &Profile) -> Option<()> {
        let mut differences = Vec::new();
        for point in [Point::Filter, Point::Score] {
            // Who takes part in both says it once.
            let first = |entry: &&Entry| point == Point::Filter || entry.plugin.as_filter().is_none();
            for entry in profile.at(point).iter().filter(first).filter(|entry| depends_on_pods(entry, pod)) {
                differences.append(&mut entry.plugin.differences(&self.state, pod, snapshot)?);
            }
        }
        self.groups.update(&differences, snapshot, (&self.passes, self.scores.totals()));
        Some(())
    }

    /// The best node and all feasible ones, in order; `None` if there are none.
    fn best_of_groups(
        &mut self,
        pod: &Pod,
        snapshot: &Snapshot,
        profile: &Profile,
        random: &Random,
    ) -> Option<(Row, Vec<Row>)> {
        let elsewhere: Vec<&Entry> =
            profile.at(Point::Filter).iter().filter(|entry| depends_on_pods(entry, pod)).collect();
        let ask = |kept: &Self| kept.filter_elsewhere(pod, snapshot, &elsewhere, kept.groups.representatives(snapshot));
        let mut rows = ask(self)?;
        let feasible = self.groups.members(&rows, snapshot);
        if feasible.len() < 2 {
            return Some((*feasible.first()?, feasible));
        }
        if self.scores.prepare((pod, &mut self.state), snapshot, &feasible)? {
            // Scores or notes are others than those by which nodes were put together.
            self.groups.touch_all();
            self.regroup(pod, snapshot, profile)?;
            rows = ask(self)?;
        }
        let totals = self.scores.add_up((pod, &self.state), snapshot, &rows)?;
        Some((self.groups.pick(snapshot, (&rows, &totals), random)?, feasible))
    }

    /// The place of the best of the feasible nodes; `None` if a plugin fails.
    fn best(&mut self, (pod, snapshot): (&Pod, &Snapshot), feasible: &[Row], random: &Random) -> Option<usize> {
        if self.scores.prepare((pod, &mut self.state), snapshot, feasible)? {
            self.groups.touch_all();
        }
        let totals = self.scores.add_up((pod, &self.state), snapshot, feasible)?;
        Some(super::score::select(&totals, random))
    }

    /// Lets the plugins prepare that are asked anew for each pod; `None` if they do more than that, or have to be asked beside
    /// pods for which nodes are held.
    fn ask_anew<'p>(&self, pod: &Pod, snapshot: &Snapshot, profile: &'p Profile) -> Option<Anew<'p>> {
        match self.asks_anew {
            false => Some(Anew::default()),
            true if snapshot.has_nominated() => None,
            true => Anew::new(pod, snapshot, profile),
        }
    }

    /// The nodes that pass, in order.
    fn passing(&mut self, snapshot: &Snapshot) -> &[Row] {
        if std::mem::take(&mut self.is_stale) {
            let order = snapshot.order().iter();
            self.passing = order.filter(|row| self.passes[**row as usize]).copied().collect();
        }
        &self.passing
    }

    /// The feasible nodes in order, and how many were looked at; `None` if there are none.
    fn filter(
        &mut self,
        pod: &Pod,
        snapshot: &mut Snapshot,
        profile: &Profile,
        (start, anew): (usize, &Anew<'_>),
    ) -> Option<(Vec<Row>, usize)> {
        let nodes = snapshot.len();
        let find = nodes_to_find(nodes, profile, false);
        self.passing(snapshot);
        let elsewhere: Vec<&Entry> =
            profile.at(Point::Filter).iter().filter(|entry| depends_on_pods(entry, pod)).collect();
        let mut feasible = Vec::new();
        let mut looked_at = 0;
        while feasible.len() < find && looked_at < nodes {
            let batch = (find - feasible.len()).min(nodes - looked_at);
            let rows = if batch == nodes && start == 0 {
                Cow::Borrowed(self.passing.as_slice())
            } else {
                let order = snapshot.order();
                let rows = (start + looked_at..start + looked_at + batch).map(|place| order[place % nodes]);
                rows.filter(|row| self.passes[*row as usize]).collect()
            };
            let found = self.filter_elsewhere(pod, snapshot, &elsewhere, rows.into_owned())?;
            let mut found = anew.filter(pod, snapshot, found)?;
            self.retain_beside_nominated(pod, (snapshot, profile), &mut found);
            if feasible.is_empty() {
                feasible = found;
            } else {
                feasible.append(&mut found);
            }
            looked_at += batch;
        }
        (!feasible.is_empty()).then_some((feasible, looked_at))
    }

    /// Asks the plugins that look at pods elsewhere.
    fn filter_elsewhere(&self, pod: &Pod, snapshot: &Snapshot, entries: &[&Entry], rows: Vec<Row>) -> Option<Vec<Row>> {
        let mut candidates = Candidates::new(snapshot, rows, Vec::new());
        for entry in entries {
            let filter = entry.plugin.as_filter().filter(|plugin| !self.state.skips_filter(plugin.name()));
            if let Some(filter) = filter {
                entry.measured.asked(candidates.rows().len());
                filter.filter_nodes(&self.state, pod, &mut candidates);
                if candidates.take_error().is_some() {
                    return None;
                }
            }
        }
        Some(candidates.into_parts().0)
    }

    fn retain_beside_nominated(
        &mut self,
        pod: &Pod,
        (snapshot, profile): (&mut Snapshot, &Profile),
        rows: &mut Vec<Row>,
    ) {
        if self.is_local || !snapshot.has_nominated() {
            return;
        }
        for held in snapshot.nominated_rows().collect::<Vec<_>>() {
            if !rows.contains(&held) {
                continue;
            }
            let mut what_if = WhatIf { pod, profile, snapshot, state: &mut self.state };
            if !filter_beside_nominated(&mut what_if, held).is_success() {
                rows.retain(|row| *row != held);
            }
        }
    }
}

/// Lets a plugin prepare; `None` if it does more than that.
fn prepare(state: &mut CycleState, pod: &Pod, snapshot: &Snapshot, entry: &Entry) -> Option<()> {
    let Some(plugin) = entry.plugin.as_pre_filter() else { return Some(()) };
    let answer = plugin.pre_filter(state, pod, snapshot);
    entry.measured.asked(usize::from(!answer.as_ref().is_err_and(Status::is_skip)));
    match answer {
        Ok(result) if result.node_names.is_none() => Some(()),
        Err(status) if status.code() == Code::Skip => {
            state.skip_filter(plugin.name());
            Some(())
        }
        Err(status) if status.is_success() => Some(()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
