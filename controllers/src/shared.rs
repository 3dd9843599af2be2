//! What all controllers of a process share.

use std::sync::Arc;

use steersman_framework::api::Api;
use steersman_framework::consistency::Consistency;
use steersman_framework::events::Recorder;
use steersman_framework::informer::{Cached, Delta, Informer, Informers};
use steersman_framework::metrics::Metrics;
use steersman_framework::queue::{Limits, WorkQueue};
use steersman_machinery::clock::SharedClock;

use crate::features::Features;
use crate::shard::Shard;

/// What all controllers of a process share.
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) clock: SharedClock,
    pub(crate) recorder: Recorder,
    pub(crate) informers: Informers,
    pub(crate) features: Features,
    /// Which namespaces are ours.
    pub(crate) shard: Shard,
    pub(crate) metrics: Metrics,
}

impl Shared {
    /// A work queue with upstream's name.
    pub(crate) fn queue<K: Ord + Clone + Send + 'static>(&self, name: &str) -> WorkQueue<K> {
        // Objects that fail must not hold up others that do; the server's own limits are obeyed by the client.
        WorkQueue::limited(name, &self.metrics, Limits { per_second: 0.0, ..Limits::default() })
    }
}

/// Forgets what was written for an owner when that is gone, or another one of its name is there.
pub(crate) fn forget_gone<T: Cached>(owners: &Informer<T>, consistency: &Arc<Consistency>) {
    let consistency = Arc::clone(consistency);
    owners.on_change(move |delta: &Delta<T>| {
        if let Some(old) = &delta.old
            && delta.new.as_ref().is_none_or(|new| new.meta().uid != old.meta().uid)
        {
            consistency.forget(&old.meta().uid);
        }
    });
}
