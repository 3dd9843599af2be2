//! From the choice of a node to the beginning of the binding: Reserve and Permit.

use std::time::Duration;

use crate::cycle_state::CycleState;
use crate::pod::Pod;
use crate::profile::{Point, Profile};
use crate::status::{Code, Status};

/// Lets the plugins keep what the pod needs; what was kept has to be given back if one refuses.
pub(crate) fn reserve(profile: &Profile, pod: &Pod, node: &str, state: &mut CycleState) -> Result<(), Status> {
    for entry in profile.at(Point::Reserve) {
        let Some(reserve) = entry.plugin.as_reserve() else { continue };
        let begun = entry.measured.begin(state);
        let status = reserve.reserve(state, pod, node);
        entry.measured.answered(begun, &[(status.code(), 1)]);
        if status.is_rejected() {
            return Err(status.by(entry.plugin.name()));
        }
        if !status.is_success() {
            return Err(Status::error(format!("running Reserve plugin {:?}: {status}", entry.plugin.name())));
        }
    }
    Ok(())
}

/// Gives back what was kept, in the opposite order.
pub(crate) fn unreserve(profile: &Profile, pod: &Pod, node: &str, state: &mut CycleState) {
    for entry in profile.at(Point::Reserve).iter().rev() {
        if let Some(reserve) = entry.plugin.as_reserve() {
            let begun = entry.measured.begin(state);
            reserve.unreserve(state, pod, node);
            entry.measured.answered_at("Unreserve", begun, &[(Code::Success, 1)]);
        }
    }
}

/// Who holds the pod, and for how long at most.
pub(crate) fn permit(
    profile: &Profile,
    pod: &Pod,
    node: &str,
    state: &mut CycleState,
) -> Result<Vec<(&'static str, Duration)>, Status> {
    let mut waits = Vec::new();
    for entry in profile.at(Point::Permit) {
        let Some(permit) = entry.plugin.as_permit() else { continue };
        let plugin = entry.plugin.name();
        let begun = entry.measured.begin(state);
        let (status, wait) = permit.permit(state, pod, node);
        entry.measured.answered(begun, &[(status.code(), 1)]);
        match status.code() {
            Code::Success => {}
            Code::Wait => waits.push((plugin, wait)),
            code if code.is_rejected() => return Err(status.by(plugin)),
            _ => return Err(Status::error(format!("running Permit plugin {plugin:?}: {status}"))),
        }
    }
    Ok(waits)
}
