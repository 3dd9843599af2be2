//! One decision: which node is best for a pod, or why there is none.
//! Source: `pkg/scheduler/schedule_one.go`.

mod score;

use std::collections::BTreeSet;
use std::sync::Arc;

use steersman_machinery::random::Random;

use crate::cycle_state::CycleState;
use crate::diagnosis::Diagnosis;
use crate::plugin::{Candidates, PostFilterContext, PostFilterResult};
use crate::pod::Pod;
use crate::profile::{Entry, Point, Profile};
use crate::snapshot::{Row, Snapshot};
use crate::status::{Code, Status};
use score::{score, select};

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
}

impl Search {
    /// A search from the first node on.
    pub fn new(random: Random) -> Self {
        Self { random, next_start_node_index: 0 }
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
    /// What each plugin gave them, after weighting; empty if only one was feasible.
    pub scores: Vec<PluginScores>,
    /// The sum for each feasible node.
    pub totals: Vec<i64>,
    /// The notes of the plugins, for what follows.
    pub state: CycleState,
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

/// Finds the best node for a pod. Changes nothing but `search`.
pub fn schedule_one(pod: &Pod, snapshot: &Snapshot, profile: &Profile, search: &mut Search) -> Decision {
    let mut decision = Decision {
        outcome: Outcome::Unschedulable(Box::default()),
        evaluated_nodes: 0,
        feasible: Vec::new(),
        scores: Vec::new(),
        totals: Vec::new(),
        state: CycleState::default(),
    };
    if !snapshot.is_empty() {
        decision.outcome = decide(pod, snapshot, profile, (search, &mut decision)).unwrap_or_else(|outcome| outcome);
    }
    decision
}

fn decide(
    pod: &Pod,
    snapshot: &Snapshot,
    profile: &Profile,
    (search, decision): (&mut Search, &mut Decision),
) -> Result<Outcome, Outcome> {
    let prepared = pre_filter(pod, snapshot, profile, &mut decision.state)?;
    let filters: Vec<&Entry> = profile.at(Point::Filter).iter().collect();
    let active = |entry: &&Entry| !prepared.skipped.contains(entry.plugin.name());
    let filters: Vec<&Entry> = filters.into_iter().filter(active).collect();
    let mut candidates = Candidates::new(snapshot);
    let nominated = pod.nominated_node_name.as_ref().and_then(|name| snapshot.node_by_name(name));
    if let Some(node) = nominated {
        // A node that was nominated is asked first, and if it will do, alone.
        candidates.restart([node.row()]);
        filter(pod, &decision.state, &filters, &mut candidates)?;
        decision.feasible.extend(candidates.rows());
        decision.evaluated_nodes = decision.feasible.len();
        candidates = Candidates::new(snapshot);
    }
    if decision.feasible.is_empty() {
        let nodes = prepared.nodes.as_deref().unwrap_or_else(|| snapshot.order());
        let find = nodes_to_find(nodes.len(), profile);
        let start = search.next_start_node_index;
        let mut looked_at = 0;
        while decision.feasible.len() < find && looked_at < nodes.len() {
            let batch = (find - decision.feasible.len()).min(nodes.len() - looked_at);
            let from = start + looked_at;
            candidates.restart((from..from + batch).map(|place| nodes[place % nodes.len()]));
            filter(pod, &decision.state, &filters, &mut candidates)?;
            decision.feasible.extend(candidates.rows());
            looked_at += batch;
        }
        decision.evaluated_nodes = looked_at;
        search.next_start_node_index = (start + looked_at) % snapshot.len();
    }
    match decision.feasible.as_slice() {
        [] => {
            let why = diagnose(pod, snapshot, &decision.state, (&filters, &candidates, prepared));
            Err(Outcome::Unschedulable(Box::new(why)))
        }
        [only] => Ok(Outcome::Node(snapshot.node(*only).name().clone())),
        _ => {
            score(pod, snapshot, profile, decision)?;
            let best = select(&decision.totals, &search.random);
            Ok(Outcome::Node(snapshot.node(decision.feasible[best]).name().clone()))
        }
    }
}

/// What PreFilter found out.
struct Prepared {
    /// The only nodes to look at, in order.
    nodes: Option<Vec<Row>>,
    /// The plugins that restricted the nodes.
    restricting: Vec<&'static str>,
    /// The plugins whose Filter has nothing to say.
    skipped: BTreeSet<&'static str>,
}

fn pre_filter(pod: &Pod, snapshot: &Snapshot, profile: &Profile, state: &mut CycleState) -> Result<Prepared, Outcome> {
    let mut names: Option<BTreeSet<String>> = None;
    let mut prepared = Prepared { nodes: None, restricting: Vec::new(), skipped: BTreeSet::new() };
    let mut rejection: Option<Status> = None;
    for entry in profile.at(Point::PreFilter) {
        let plugin = entry.plugin.name();
        let Some(pre_filter) = entry.plugin.as_pre_filter() else { continue };
        match pre_filter.pre_filter(state, pod, snapshot) {
            Ok(result) => {
                let Some(only) = result.node_names else { continue };
                prepared.restricting.push(plugin);
                let both = match names.take() {
                    Some(names) => names.intersection(&only).cloned().collect(),
                    None => only,
                };
                if both.is_empty() {
                    return Err(rejected_before(snapshot, &nobody(&prepared.restricting), &prepared.restricting));
                }
                names = Some(both);
            }
            Err(status) => match status.code() {
                Code::Success => {}
                Code::Skip => _ = prepared.skipped.insert(plugin),
                // What could be resolved by preemption lets the others prepare, for PostFilter to use.
                Code::Unschedulable => _ = rejection.get_or_insert(status.by(plugin)),
                code if code.is_rejected() => {
                    return Err(rejected_before(snapshot, &status.by(plugin), &prepared.restricting));
                }
                _ => {
                    let message = format!("running PreFilter plugin {plugin:?}: {status}");
                    return Err(Outcome::Error(Status::error(message).by(plugin)));
                }
            },
        }
    }
    if let Some(status) = rejection {
        return Err(rejected_before(snapshot, &status, &prepared.restricting));
    }
    prepared.nodes = names.map(|names| {
        let row = |name: &String| snapshot.node_by_name(name).map(|node| node.row());
        names.iter().filter_map(row).collect()
    });
    Ok(prepared)
}

/// The answer if plugins allow different nodes.
fn nobody(plugins: &[&'static str]) -> Status {
    Status::unresolvable(match plugins {
        [one] => format!("node(s) didn't satisfy plugin {one}"),
        all => format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", all.join(" ")),
    })
}

/// The outcome if PreFilter rejects: every node gets the same answer.
fn rejected_before(snapshot: &Snapshot, status: &Status, restricting: &[&'static str]) -> Outcome {
    let mut diagnosis = Diagnosis {
        nodes: snapshot.len(),
        absent: Some(status.clone()),
        pre_filter_message: status.message(),
        ..Diagnosis::default()
    };
    diagnosis.add_plugin(status);
    diagnosis.unschedulable_plugins.extend(restricting);
    Outcome::Unschedulable(Box::new(diagnosis))
}

/// How many feasible nodes are enough.
fn nodes_to_find(nodes: usize, profile: &Profile) -> usize {
    if profile.at(Point::Score).is_empty() {
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

/// Runs all filters, each on the nodes that the ones before it let pass.
fn filter(pod: &Pod, state: &CycleState, filters: &[&Entry], candidates: &mut Candidates<'_>) -> Result<(), Outcome> {
    for (place, entry) in filters.iter().enumerate() {
        if candidates.rows().is_empty() {
            break;
        }
        let Some(filter) = entry.plugin.as_filter() else { continue };
        candidates.set_plugin(place);
        filter.filter_nodes(state, pod, candidates);
        if let Some(status) = candidates.take_error() {
            let plugin = entry.plugin.name();
            let message = format!("running {plugin:?} filter plugin: {status}");
            return Err(Outcome::Error(Status::error(message).by(plugin)));
        }
    }
    Ok(())
}

/// Asks the plugin that rejected a node for its reasons, for every node. Only needed if no node is feasible.
fn diagnose(
    pod: &Pod,
    snapshot: &Snapshot,
    state: &CycleState,
    (filters, candidates, prepared): (&[&Entry], &Candidates<'_>, Prepared),
) -> Diagnosis {
    let mut diagnosis = Diagnosis { nodes: snapshot.len(), ..Diagnosis::default() };
    if prepared.nodes.is_some() {
        let message = format!("node(s) didn't satisfy plugin(s) [{}]", prepared.restricting.join(" "));
        diagnosis.absent = Some(Status::unresolvable(message));
        diagnosis.unschedulable_plugins.extend(prepared.restricting);
    }
    for &(row, place) in candidates.rejected() {
        let entry = filters[place as usize];
        let Some(filter) = entry.plugin.as_filter() else { continue };
        let status = filter.filter(state, pod, snapshot.node(row)).by(entry.plugin.name());
        diagnosis.add_plugin(&status);
        diagnosis.node_to_status.insert(row, status);
    }
    diagnosis
}

/// Runs all filters on one node; for what-if questions.
pub fn run_filters(pod: &Pod, snapshot: &Snapshot, profile: &Profile, state: &CycleState, row: Row) -> Status {
    for entry in profile.at(Point::Filter) {
        let Some(filter) = entry.plugin.as_filter() else { continue };
        let status = filter.filter(state, pod, snapshot.node(row));
        if !status.is_success() {
            return status.by(entry.plugin.name());
        }
    }
    Status::success()
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
        let (result, status) = plugin.post_filter(state, pod, &mut context);
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
