//! Comparing nodes by who would have to go.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;

use crate::pod::Pod;
use crate::snapshot::Row;

/// A node that would have room, and who would have to go.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) row: Row,
    /// The most important first.
    pub(crate) victims: Vec<Arc<Pod>>,
    /// How many of them a disruption budget protects.
    pub(crate) violations: usize,
}

/// When a pod started; one that has not started is the youngest of all.
pub(super) fn started(pod: &Pod) -> Timestamp {
    pod.start_time.unwrap_or(Timestamp::MAX)
}

/// The candidate that does the least harm; the first of equals.
pub(crate) fn pick(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().min_by_key(harm)
}

/// What candidates are compared by; the first is the number of violations.
pub(super) type Harm = (usize, i32, i64, usize, Reverse<Timestamp>);

/// Fewer violations; then a less important most important victim; then a smaller sum of priorities; then fewer victims;
/// then the one whose most important victims started last.
pub(super) fn harm(candidate: &Candidate) -> Harm {
    let priorities = || candidate.victims.iter().map(|victim| victim.spec.priority);
    let highest = priorities().max().unwrap_or(i32::MIN);
    // Shifted above zero, so that one more victim never makes the sum smaller.
    let sum = priorities().map(|priority| i64::from(priority) + i64::from(i32::MAX) + 1).sum();
    let most_important = candidate.victims.iter().filter(|victim| victim.spec.priority == highest);
    let earliest = most_important.map(|victim| started(victim)).min().unwrap_or(Timestamp::MAX);
    (candidate.violations, highest, sum, candidate.victims.len(), Reverse(earliest))
}
