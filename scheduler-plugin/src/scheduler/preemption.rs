//! Asking pods to make room.

use std::sync::Arc;

use futures::future::join_all;
use kube::Client;
use steersman_framework::api::{self, has_code};
use tokio::time::Instant;

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
        self.instruments.victims(result.victims.len());
        self.clear_lower_nominations(pod, node);
        let now = self.context.clock.now();
        let mut evictions = Vec::new();
        for victim in asked {
            tracing::info!(victim = victim.key(), pod = pod.key(), node, "a pod has to make room");
            if self.waiting.preempt(&victim.uid) || self.pre_binding.preempt(&victim.uid) {
                self.event_by(&pod.spec.scheduler_name, &victim, &EventText::preempted(pod, node, true));
            } else {
                let writes = [disruption(&victim, &pod.spec.scheduler_name, now), deletion(&victim)];
                evictions.push((victim, writes));
            }
        }
        self.preempting.begin(pod.uid.clone());
        let (client, pod, text) = (self.client(), pod.clone(), EventText::preempted(pod, node, false));
        let begun = Instant::now();
        self.tasks.spawn(async move {
            let evict = async |(victim, writes)| (victim, evict(&client, writes).await);
            // The last one last, so that the pod is not tried before all were asked; and not at all if another could not be
            // asked, so that it is tried again soon.
            let last = evictions.pop();
            let mut told = join_all(evictions.into_iter().map(evict)).await;
            if let Some(last) = last.filter(|_| told.iter().all(|(_, went)| went.is_some())) {
                told.push(evict(last).await);
            }
            let all = told.iter().all(|(_, went)| went.is_some());
            let victims = told.into_iter().filter(|(_, went)| *went == Some(true)).map(|(victim, _)| victim).collect();
            Finished::Evicted(Box::new(Evicted { pod, victims, text, all, begun }))
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
    pub(super) fn evicted(&mut self, evicted: &Evicted) {
        let Evicted { pod, victims, text, all, begun } = evicted;
        self.instruments.evicted(*begun, *all);
        for victim in victims {
            self.event_by(&pod.spec.scheduler_name, victim, text);
        }
        self.preempting.end(&pod.uid);
        self.queue.preempted(&pod.uid, *all);
    }
}

/// Pods were asked to make room.
pub(super) struct Evicted {
    /// For whom.
    pod: Arc<Pod>,
    /// Those that were there and are going.
    victims: Vec<Arc<Pod>>,
    /// What is told of them.
    text: EventText,
    /// Whether all were asked that should be.
    all: bool,
    begun: Instant,
}

/// Says why, then deletes. Whether the pod was still there; `None` if it could not be asked.
async fn evict(client: &Client, writes: [Option<Write>; 2]) -> Option<bool> {
    for write in writes.into_iter().flatten() {
        let path = write.uri().path().to_owned();
        if let Err(error) = api::send(client, write).await {
            if has_code(&error, 404) {
                return Some(false);
            }
            tracing::warn!(%path, %error, "a pod could not be asked to make room");
            return None;
        }
    }
    Some(true)
}
