//! What can be said about a pod before looking at single nodes.

use std::collections::BTreeSet;

use super::Outcome;
use crate::cycle_state::CycleState;
use crate::diagnosis::Diagnosis;
use crate::pod::Pod;
use crate::profile::{Point, Profile};
use crate::snapshot::{Row, Snapshot};
use crate::status::{Code, Status};

/// What PreFilter found out.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The only nodes to look at, in order.
    pub(super) nodes: Option<Vec<Row>>,
    /// The plugins that restricted the nodes.
    pub(super) restricting: Vec<&'static str>,
}

pub(super) fn pre_filter(
    pod: &Pod,
    snapshot: &Snapshot,
    profile: &Profile,
    state: &mut CycleState,
) -> Result<Prepared, Outcome> {
    let mut names: Option<BTreeSet<String>> = None;
    let mut prepared = Prepared { nodes: None, restricting: Vec::new() };
    let mut rejection: Option<Status> = None;
    for entry in profile.at(Point::PreFilter) {
        let plugin = entry.plugin.name();
        let Some(pre_filter) = entry.plugin.as_pre_filter() else { continue };
        let begun = entry.measured.begin(state);
        let answer = pre_filter.pre_filter(state, pod, snapshot);
        let code = answer.as_ref().err().map_or(Code::Success, Status::code);
        entry.measured.answered(begun, &[(code, 1)]);
        entry.measured.asked(usize::from(code != Code::Skip));
        match answer {
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
                Code::Skip => state.skip_filter(plugin),
                // What could be resolved by preemption lets the others prepare, for PostFilter to use.
                Code::Unschedulable => _ = rejection.get_or_insert(status.by(plugin)),
                // Who has restricted the nodes before plays no role.
                code if code.is_rejected() => return Err(rejected_before(snapshot, &status.by(plugin), &[])),
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
