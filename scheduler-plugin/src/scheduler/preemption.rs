//! Asking pods to make room.

use std::sync::Arc;

use futures::future::join_all;
use kube::Client;
use steersman_framework::api::has_code;

use super::{Finished, Scheduler};
use crate::plugin::PostFilterResult;
use crate::pod::Pod;
use crate::writer::{EventText, Write, deletion, disruption, nomination};

impl Scheduler {
    /// Room is to be made for a pod on the node that it was given.
    pub(super) fn preempt(&mut self, pod: &Arc<Pod>, result: &PostFilterResult) {
        let Some(Some(node)) = &result.nominated_node_name else { return };
        // Those that are going anyway need not be asked; and who waited for them may go on waiting.
        let asked = result.victims.iter().filter(|victim| !victim.spec.terminating);
        let asked: Vec<Arc<Pod>> = asked.cloned().collect();
        if asked.is_empty() {
            return;
        }
        self.instruments.victims(asked.len());
        self.clear_lower_nominations(pod, node);
        let now = self.context.clock.now();
        let mut evictions = Vec::new();
        for victim in asked {
            tracing::info!(victim = victim.key(), pod = pod.key(), node, "a pod has to make room");
            self.event_by(&pod.spec.scheduler_name, &victim, &EventText::preempted(pod, node));
            if !self.waiting.preempt(&victim.uid) {
                evictions.push([disruption(&victim, &pod.spec.scheduler_name, now), deletion(&victim)]);
            }
        }
        self.preempting.begin(pod.uid.clone());
        let (client, uid) = (self.client(), pod.uid.clone());
        self.tasks.spawn(async move {
            // The last one last, so that the pod is not tried before all were asked.
            let last = evictions.pop();
            let all = join_all(evictions.into_iter().map(|writes| evict(&client, writes))).await;
            let all = all.into_iter().all(|done| done);
            let last = match last {
                Some(writes) => evict(&client, writes).await,
                None => true,
            };
            Finished::Evicted(uid, all && last)
        });
    }

    /// Pods of lower priority can't expect room on this node any more.
    fn clear_lower_nominations(&mut self, pod: &Pod, node: &str) {
        let snapshot = self.cache.snapshot();
        let held = snapshot.node_by_name(node).map_or(&[][..], |node| snapshot.nominated(node.row()));
        let lower = held.iter().filter(|other| other.spec.priority < pod.spec.priority);
        for other in lower.cloned().collect::<Vec<_>>() {
            self.cache.snapshot_mut().nominate(&other, None);
            if let Some(write) = nomination(&other, None) {
                self.write_condition(&other, write);
            }
        }
    }

    /// The victims of a pod were asked to go.
    pub(super) fn evicted(&mut self, uid: &str, all: bool) {
        self.preempting.end(uid);
        self.queue.preempted(uid, all);
    }
}

/// Says why, then deletes. A pod that is gone already is fine.
async fn evict(client: &Client, writes: [Option<Write>; 2]) -> bool {
    for write in writes.into_iter().flatten() {
        let path = write.uri().path().to_owned();
        if let Err(error) = client.request_text(write).await
            && !has_code(&error, 404)
        {
            tracing::warn!(%path, %error, "a pod could not be asked to make room");
            return false;
        }
    }
    true
}
