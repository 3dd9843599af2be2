//! What happens to a pod that could not be scheduled.

use std::sync::Arc;

use tokio::time::Instant;

use super::Scheduler;
use super::metrics::Ended;
use crate::diagnosis::Diagnosis;
use crate::queue::{Failure, QueuedPod};
use crate::status::{Code, Status};
use crate::writer::{EventText, condition};

impl Scheduler {
    /// No node is feasible.
    pub(super) fn unschedulable(
        &mut self,
        queued: QueuedPod,
        diagnosis: &Diagnosis,
        nomination: Option<Option<String>>,
    ) {
        let failure = Failure {
            unschedulable_plugins: diagnosis.unschedulable_plugins.clone(),
            pending_plugins: diagnosis.pending_plugins.clone(),
        };
        // Without nodes nothing can be held for the pod.
        let nomination = if diagnosis.nodes == 0 { Some(None) } else { nomination };
        self.put_back(queued, failure, ("Unschedulable", &diagnosis.message()), nomination);
    }

    /// The attempt ended with a rejection or an error after a node was chosen, or with an error before.
    pub(super) fn failed(&mut self, queued: QueuedPod, status: &Status) {
        let mut failure = Failure::default();
        let reason = if status.is_rejected() {
            match (status.plugin(), status.code()) {
                ("", _) => {}
                (plugin, Code::Pending) => _ = failure.pending_plugins.insert(plugin),
                (plugin, _) => _ = failure.unschedulable_plugins.insert(plugin),
            }
            "Unschedulable"
        } else {
            tracing::warn!(pod = queued.pod.key(), %status, "an attempt to schedule failed");
            "SchedulerError"
        };
        let message = if status.is_rejected() {
            // The node had been chosen, so it is the only one that this is about.
            format!("0/1 nodes are available: 1 {status}.")
        } else {
            status.message()
        };
        self.put_back(queued, failure, (reason, &message), Some(None));
    }

    fn put_back(
        &mut self,
        mut queued: QueuedPod,
        failure: Failure,
        (reason, message): (&str, &str),
        nomination: Option<Option<String>>,
    ) {
        let ended = if reason == "Unschedulable" { Ended::Unschedulable } else { Ended::Error };
        self.instruments.attempted(&queued, ended);
        let uid = queued.pod.uid.clone();
        let tried = queued.pod.clone();
        match self.pending.get(&uid) {
            Some(newest) => queued.pod = newest.clone(),
            // It is gone, or somebody else has bound it.
            None => return self.queue.done(&uid),
        }
        let newest = queued.pod.clone();
        if let Some(node) = &nomination {
            let node: Option<Arc<str>> = node.as_deref().map(Arc::from);
            self.cache.snapshot_mut().nominate(&newest, node.as_ref());
        }
        self.queue.failed(queued, failure, Instant::now());
        tracing::debug!(pod = newest.key(), reason, message, "no node for a pod");
        self.event(&tried, &EventText::failed(message.to_owned()));
        let now = self.context.clock.now();
        if let Some(write) = condition(&newest, (reason, message), nomination.as_ref(), now) {
            self.write_condition(&newest, write);
        }
    }
}
