//! One decision: which node is best for a pod, or why there is none.
//! Source: `pkg/scheduler/schedule_one.go`.

pub(crate) mod commit;
mod explain;
mod filter;
mod memo;
mod pre_filter;
mod score;
mod summary;
mod what_if;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steersman_machinery::random::Random;
use tokio::time::Instant;

use crate::cycle_state::CycleState;
use crate::diagnosis::Diagnosis;
use crate::plugin::{PostFilterContext, PostFilterResult};
use crate::pod::Pod;
use crate::profile::{Point, Profile};
use crate::snapshot::{Row, Snapshot};
use crate::status::{Code, Status};
pub use explain::{Explanation, Verdict};
use filter::Filtering;
use memo::{Known, Memo};
use pre_filter::pre_filter;
use score::{score, select};
pub use summary::{Finding, Group, Limits, Summary};
pub use what_if::{WhatIf, filter_beside_nominated, filter_one};

/// Below this many nodes all are looked at; and this many feasible ones are always looked for.
const MIN_FEASIBLE_NODES_TO_FIND: usize = 100;
/// The smallest share of nodes that is looked at if the share depends on their number.
const MIN_PERCENTAGE: usize = 5;

/// What one decision leaves for the next.
#[derive(Debug)]
pub struct Search {
    /// Breaks ties between equally good nodes.
    pub random: Random,
    /// Where in the order of nodes the next search begins, so that all nodes get their turn.
    pub next_start_node_index: usize,
    memo: Option<Memo>,
    /// Whether to find out how long the extension points take.
    pub(crate) measuring: bool,
    /// Attempts until single plugins are timed again.
    untimed: u32,
}

/// Single plugins are timed in one attempt of so many.
const TIMED: u32 = 10;

/// How long an extension point took, and how it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) point: Point,
    pub(crate) code: Code,
    pub(crate) time: Duration,
}

impl Search {
    /// A search from the first node on.
    pub fn new(random: Random) -> Self {
        Self { random, next_start_node_index: 0, memo: None, measuring: false, untimed: 0 }
    }

    /// The same, and what is found out for one pod is kept for equal ones. The choices are the same; but a decision that
    /// rests on what was kept has no scores and no notes, so that it can't be explained.
    pub fn remembering(random: Random) -> Self {
        Self { memo: Some(Memo::default()), ..Self::new(random) }
    }

    /// Whether single plugins are to be timed in the attempt that begins.
    fn times_plugins(&mut self) -> bool {
        let timed = self.measuring && self.untimed == 0;
        self.untimed = if timed { TIMED } else { self.untimed }.saturating_sub(1);
        timed
    }
}

/// What was decided for a pod, and on what grounds.
#[derive(Debug)]
pub struct Decision {
    /// The result.
    pub outcome: Outcome,
    /// How many nodes were looked at.
    pub evaluated_nodes: usize,
    /// The feasible nodes that were found.
    pub feasible: Vec<Row>,
    /// What each plugin gave them, after weighting; empty if only one was feasible, or if they were not found out for this
    /// pod ([`Search::remembering`]).
    pub scores: Vec<PluginScores>,
    /// The sum for each feasible node, as far as there are scores.
    pub totals: Vec<i64>,
    /// The notes of the plugins, for what follows.
    pub state: CycleState,
    /// How long the extension points took, if that was asked for.
    pub(crate) took: Vec<Took>,
    /// Nodes that extenders refused, and what they said.
    pub(crate) refused_by_extenders: Vec<(Row, Status)>,
    measuring: bool,
}

/// The scores of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginScores {
    /// The plugin.
    pub plugin: &'static str,
    /// One for each feasible node, normalized and multiplied by the plugin's weight.
    pub scores: Vec<i64>,
}

/// The result of a decision.
#[derive(Debug)]
pub enum Outcome {
    /// The pod should run on this node.
    Node(Arc<str>),
    /// No node can run it.
    Unschedulable(Box<Diagnosis>),
    /// A plugin failed.
    Error(Status),
}

impl Decision {
    /// Nothing was decided yet.
    pub(crate) fn new() -> Self {
        Self {
            outcome: Outcome::Unschedulable(Box::default()),
            evaluated_nodes: 0,
            feasible: Vec::new(),
            scores: Vec::new(),
            totals: Vec::new(),
            state: CycleState::default(),
            took: Vec::new(),
            refused_by_extenders: Vec::new(),
            measuring: false,
        }
    }

    /// The moment, if times are asked for.
    fn begin(&self) -> Option<Instant> {
        self.measuring.then(Instant::now)
    }

    /// An extension point that began then has ended.
    fn ended<T>(&mut self, point: Point, begun: Option<Instant>, result: &Result<T, Outcome>) {
        let Some(begun) = begun else { return };
        let code = match result {
            Ok(_) => Code::Success,
            Err(Outcome::Unschedulable(_)) => Code::Unschedulable,
            Err(_) => Code::Error,
        };
        self.took.push(Took { point, code, time: begun.elapsed() });
    }

    /// Why there is no node; empty if there is one.
    pub fn message(&self) -> String {
        match &self.outcome {
            Outcome::Node(_) => String::new(),
            Outcome::Unschedulable(diagnosis) => diagnosis.message(),
            Outcome::Error(status) => status.message(),
        }
    }

    /// The score of a feasible node; `None` if there was nothing to compare.
    pub fn score_of(&self, row: Row) -> Option<i64> {
        let place = self.feasible.iter().position(|other| *other == row)?;
        self.totals.get(place).copied()
    }
}

/// Finds the best node for a pod. The snapshot is as before afterwards; it may be changed in between to see how the pod
/// fits together with pods for which nodes are held.
pub fn schedule_one(pod: &Pod, snapshot: &mut Snapshot, profile: &Profile, search: &mut Search) -> Decision {
    let mut decision = Decision::new();
    if !snapshot.is_empty() {
        decision.outcome = decide(pod, snapshot, profile, (search, &mut decision)).unwrap_or_else(|outcome| outcome);
    }
    decision
}

fn decide(
    pod: &Pod,
    snapshot: &mut Snapshot,
    profile: &Profile,
    (search, decision): (&mut Search, &mut Decision),
) -> Result<Outcome, Outcome> {
    if let Some(outcome) = decide_from_memory(pod, snapshot, profile, (search, decision))? {
        return Ok(outcome);
    }
    if let Some(why) = find(pod, snapshot, profile, (search, decision, false))? {
        return Err(Outcome::Unschedulable(why));
    }
    choose(pod, snapshot, profile, (search, decision), &BTreeMap::new())
}

/// The same as far as it rests on what was found out for equal pods; `None` if that does not help.
fn decide_from_memory(
    pod: &Pod,
    snapshot: &mut Snapshot,
    profile: &Profile,
    (search, decision): (&mut Search, &mut Decision),
) -> Result<Option<Outcome>, Outcome> {
    if search.memo.is_none() {
        return Ok(None);
    }
    let nominated = pod.nominated_node_name.as_ref().and_then(|name| snapshot.node_by_name(name));
    if let Some(row) = nominated.map(|node| node.row()) {
        find_on(row, pod, (snapshot, profile), (search, decision))?;
        if !decision.feasible.is_empty() {
            return choose(pod, snapshot, profile, (search, decision), &BTreeMap::new()).map(Some);
        }
        (decision.state, decision.took) = Default::default();
    }
    match Memo::decide(pod, snapshot, profile, search) {
        None => Ok(None),
        Some(Known::Choice(choice)) => {
            decision.feasible = choice.feasible;
            decision.state = choice.state;
            decision.evaluated_nodes = choice.evaluated_nodes;
            Ok(Some(Outcome::Node(snapshot.node(choice.node).name().clone())))
        }
        Some(Known::Refusal(diagnosis)) => {
            decision.evaluated_nodes = diagnosis.nodes;
            // PostFilter may want the notes of PreFilter.
            pre_filter(pod, snapshot, profile, &mut decision.state)?;
            Err(Outcome::Unschedulable(diagnosis))
        }
    }
}

/// Whether one node is feasible.
fn find_on(
    row: Row,
    pod: &Pod,
    (snapshot, profile): (&mut Snapshot, &Profile),
    (search, decision): (&mut Search, &mut Decision),
) -> Result<(), Outcome> {
    decision.measuring = search.measuring;
    decision.state.times_plugins = search.times_plugins();
    let begun = decision.begin();
    let prepared = pre_filter(pod, snapshot, profile, &mut decision.state);
    decision.ended(Point::PreFilter, begun, &prepared);
    prepared?;
    let begun = decision.begin();
    let mut filtering = Filtering::new(pod, profile, snapshot, &decision.state);
    decision.feasible = filtering.run(&mut decision.state, vec![row])?;
    decision.evaluated_nodes = decision.feasible.len();
    decision.ended(Point::Filter, begun, &Ok(()));
    Ok(())
}

/// Finds feasible nodes; says why the others are not if there are none, or if that is wanted anyway because somebody else
/// may not like those that there are.
pub(crate) fn find(
    pod: &Pod,
    snapshot: &mut Snapshot,
    profile: &Profile,
    (search, decision, explain): (&mut Search, &mut Decision, bool),
) -> Result<Option<Box<Diagnosis>>, Outcome> {
    decision.measuring = search.measuring;
    decision.state.times_plugins = search.times_plugins();
    let begun = decision.begin();
    let prepared = pre_filter(pod, snapshot, profile, &mut decision.state);
    decision.ended(Point::PreFilter, begun, &prepared);
    let prepared = prepared?;
    let begun = decision.begin();
    let mut filtering = Filtering::new(pod, profile, snapshot, &decision.state);
    let nominated = pod.nominated_node_name.as_ref().and_then(|name| filtering.snapshot.node_by_name(name));
    if let Some(row) = nominated.map(|node| node.row()) {
        // A node that was nominated is asked first, and if it will do, alone.
        decision.feasible = filtering.run(&mut decision.state, vec![row])?;
        decision.evaluated_nodes = decision.feasible.len();
        filtering.forget_rejected();
    }
    if decision.feasible.is_empty() {
        let nodes = prepared.nodes.as_ref().map_or(filtering.snapshot.len(), Vec::len);
        let find = nodes_to_find(nodes, profile, explain);
        let start = search.next_start_node_index;
        let mut looked_at = 0;
        while decision.feasible.len() < find && looked_at < nodes {
            // As many as are missing: so never more nodes are looked at than one by one.
            let batch = (find - decision.feasible.len()).min(nodes - looked_at);
            let from = start + looked_at;
            let rows = prepared.nodes.as_deref().unwrap_or_else(|| filtering.snapshot.order());
            let rows = (from..from + batch).map(|place| rows[place % nodes]).collect();
            decision.feasible.extend(filtering.run(&mut decision.state, rows)?);
            looked_at += batch;
        }
        decision.evaluated_nodes = looked_at;
        search.next_start_node_index = (start + looked_at) % filtering.snapshot.len();
    }
    decision.ended(Point::Filter, begun, &Ok(()));
    let why = explain || decision.feasible.is_empty();
    Ok(why.then(|| Box::new(filtering.diagnose(&mut decision.state, &prepared))))
}

/// The best of the feasible nodes; `bonus` is added to what the plugins say.
pub(crate) fn choose(
    pod: &Pod,
    snapshot: &Snapshot,
    profile: &Profile,
    (search, decision): (&mut Search, &mut Decision),
    bonus: &BTreeMap<String, i64>,
) -> Result<Outcome, Outcome> {
    let mut best = 0;
    if decision.feasible.len() > 1 {
        score(pod, snapshot, profile, decision)?;
        for (total, row) in decision.totals.iter_mut().zip(&decision.feasible) {
            *total += bonus.get(&**snapshot.node(*row).name()).copied().unwrap_or(0);
        }
        best = select(&decision.totals, &search.random);
    }
    Ok(Outcome::Node(snapshot.node(decision.feasible[best]).name().clone()))
}

/// How many feasible nodes are enough.
fn nodes_to_find(nodes: usize, profile: &Profile, extended: bool) -> usize {
    if profile.at(Point::Score).is_empty() && !extended {
        return 1;
    }
    if nodes < MIN_FEASIBLE_NODES_TO_FIND {
        return nodes;
    }
    let percentage = match profile.percentage_of_nodes_to_score as usize {
        0 => 50_usize.saturating_sub(nodes / 125).max(MIN_PERCENTAGE),
        percentage => percentage,
    };
    if percentage >= 100 {
        return nodes;
    }
    (nodes * percentage / 100).max(MIN_FEASIBLE_NODES_TO_FIND)
}

/// Lets the PostFilter plugins act, and adds what they say to the diagnosis.
pub fn post_filter(
    pod: &Pod,
    snapshot: &mut Snapshot,
    profile: &Profile,
    (state, diagnosis): (&mut CycleState, &mut Diagnosis),
) -> PostFilterResult {
    let mut nomination = PostFilterResult::default();
    let mut messages = Vec::new();
    for entry in profile.at(Point::PostFilter) {
        let Some(plugin) = entry.plugin.as_post_filter() else { continue };
        let mut context = PostFilterContext { snapshot, profile, diagnosis };
        let begun = entry.measured.begin(state);
        let (result, status) = plugin.post_filter(state, pod, &mut context);
        entry.measured.answered(begun, &[(status.code(), 1)]);
        if result.nominated_node_name.is_some() {
            nomination = result;
        }
        match status.code() {
            Code::Success => return nomination,
            Code::Unschedulable => messages.extend(status.reasons().iter().map(ToString::to_string)),
            _ => {
                messages = vec![status.message()];
                break;
            }
        }
    }
    diagnosis.post_filter_message = messages.join(", ");
    nomination
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, profile};
    use serde_json::json;

    #[test]
    fn the_more_nodes_there_are_the_smaller_a_share_is_looked_at() {
        let mut profile = profile(&[]);
        let mut check = |percentage: u32, nodes: usize, expect: usize| {
            profile.percentage_of_nodes_to_score = percentage;
            assert_eq!(nodes_to_find(nodes, &profile, false), expect, "{percentage} % of {nodes}");
        };
        for (nodes, expect) in [(3, 3), (99, 99), (100, 100), (500, 230), (1000, 420), (2000, 680), (5000, 500)] {
            check(0, nodes, expect);
        }
        check(0, 15_000, 750);
        check(30, 1000, 300);
        check(1, 1000, 100);
        check(100, 5000, 5000);
    }

    #[test]
    fn searches_take_turns_through_the_nodes() {
        let names: Vec<String> = (0..300).map(|number| format!("n{number}")).collect();
        let mut cluster = Cluster::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
        cluster.profile.percentage_of_nodes_to_score = 0;
        let pod = cluster.pod("", &json!({}));
        let mut search = Search::new(Random::seeded(1));
        let mut starts = Vec::new();
        for _ in 0..3 {
            let decision = schedule_one(&pod, cluster.cache.snapshot_mut(), &cluster.profile, &mut search);
            assert_eq!(decision.evaluated_nodes, 144);
            starts.push(decision.feasible[0]);
        }
        assert_eq!(starts, [0, 144, 288]);
        assert_eq!(search.next_start_node_index, (3 * 144) % 300);
    }

    #[test]
    fn ties_are_broken_by_the_seed_and_by_nothing_else() {
        let chosen = |seed| {
            let mut cluster = Cluster::new(&["n1", "n2", "n3", "n4"]);
            let pod = cluster.pod("", &json!({}));
            let mut search = Search::new(Random::seeded(seed));
            let one = |_| match schedule_one(&pod, cluster.cache.snapshot_mut(), &cluster.profile, &mut search).outcome
            {
                Outcome::Node(node) => node.to_string(),
                other => panic!("{other:?}"),
            };
            (0..20).map(one).collect::<Vec<_>>()
        };
        assert_eq!(chosen(1), chosen(1));
        let mut all = chosen(1);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4, "every node gets a chance");
    }
}
