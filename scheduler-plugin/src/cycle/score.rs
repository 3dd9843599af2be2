//! Comparing the feasible nodes.

use std::collections::BTreeSet;

use steersman_machinery::random::Random;

use super::{Decision, Outcome, PluginScores};
use crate::plugin::Scored;
use crate::pod::Pod;
use crate::profile::{Point, Profile};
use crate::resources::MAX_NODE_SCORE;
use crate::snapshot::Snapshot;
use crate::status::{Code, Status};

/// Lets all plugins score the feasible nodes, and adds up.
pub(super) fn score(pod: &Pod, snapshot: &Snapshot, profile: &Profile, decision: &mut Decision) -> Result<(), Outcome> {
    let failed = |plugin: &'static str, message: String| Outcome::Error(Status::error(message).by(plugin));
    let begun = decision.begin();
    let mut skipped = BTreeSet::new();
    for entry in profile.at(Point::PreScore) {
        let Some(plugin) = entry.plugin.as_pre_score() else { continue };
        let begun = entry.measured.begin(&decision.state);
        let status = plugin.pre_score(&mut decision.state, pod, snapshot, &decision.feasible);
        entry.measured.answered(begun, &[(status.code(), 1)]);
        entry.measured.asked(usize::from(!status.is_skip()));
        match status.code() {
            Code::Success => {}
            Code::Skip => _ = skipped.insert(entry.plugin.name()),
            _ => {
                let plugin = entry.plugin.name();
                return Err(failed(plugin, format!("running PreScore plugin {plugin:?}: {status}")));
            }
        }
    }
    decision.ended(Point::PreScore, begun, &Ok(()));
    let begun = decision.begin();
    decision.totals = vec![0; decision.feasible.len()];
    let nodes = Scored { snapshot, rows: &decision.feasible };
    for entry in profile.at(Point::Score) {
        let name = entry.plugin.name();
        let Some(plugin) = entry.plugin.as_score().filter(|_| !skipped.contains(name)) else {
            continue;
        };
        let mut scores = vec![0; decision.feasible.len()];
        let named = |step: &str, status: Status| {
            failed(name, format!("running {step} plugins: plugin {name:?} failed with: {status}"))
        };
        let (state, measured) = (&decision.state, &entry.measured);
        let begun = measured.begin(state);
        let scored = plugin.score_nodes(state, pod, nodes, &mut scores);
        measured.answered(begun, &[(code_of(&scored), nodes.rows.len())]);
        measured.asked(nodes.rows.len());
        scored.map_err(|status| named("Score", status))?;
        let begun = measured.begin(state);
        let normalized = plugin.normalize_score(state, pod, nodes, &mut scores);
        measured.answered_at("ScoreExtensionNormalize", begun, &[(code_of(&normalized), 1)]);
        normalized.map_err(|status| named("Normalize on Score", status))?;
        for (total, score) in decision.totals.iter_mut().zip(&mut scores) {
            if !(0..=MAX_NODE_SCORE).contains(score) {
                let invalid = format!("plugin {name:?} returns an invalid score {score}");
                let message = format!("{invalid}, it should in the range of [0, 100] after normalizing");
                return Err(failed(name, format!("applying score defaultWeights on Score plugins: {message}")));
            }
            *score *= entry.weight;
            *total += *score;
        }
        decision.scores.push(PluginScores { plugin: name, scores });
    }
    decision.ended(Point::Score, begun, &Ok(()));
    Ok(())
}

fn code_of(result: &Result<(), Status>) -> Code {
    result.as_ref().err().map_or(Code::Success, Status::code)
}

/// The place of the highest total; one of them at random if there are several.
pub(super) fn select(totals: &[i64], random: &Random) -> usize {
    let best = totals.iter().max().copied().unwrap_or_default();
    let ties = || totals.iter().enumerate().filter(|(_, total)| **total == best);
    let count = ties().count();
    let pick = if count > 1 { random.below(count as u64) } else { 0 };
    let pick = usize::try_from(pick).unwrap_or(0);
    ties().nth(pick).map_or(0, |(place, _)| place)
}
