//! PrioritySort: pods of higher priority first, then those that wait longer.

use crate::plugin::{Plugin, QueueSortPlugin};
use crate::queue::QueuedPod;

/// Sorts by priority, then by the time of queueing.
#[derive(Clone, Copy, Debug)]
pub struct PrioritySort;

impl Plugin for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }

    fn as_queue_sort(&self) -> Option<&dyn QueueSortPlugin> {
        Some(self)
    }
}

impl QueueSortPlugin for PrioritySort {
    fn less(&self, a: &QueuedPod, b: &QueuedPod) -> bool {
        let (first, second) = (a.pod.spec.priority, b.pod.spec.priority);
        first > second || first == second && a.timestamp < b.timestamp
    }
}
