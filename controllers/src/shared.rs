//! What all controllers of a process share.

use steersman_framework::api::Api;
use steersman_framework::events::Recorder;
use steersman_framework::informer::Informers;
use steersman_framework::metrics::Metrics;
use steersman_framework::queue::{Limits, WorkQueue};
use steersman_framework::runtime::Shutdown;
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

/// Waits for `ready`; false if shutdown came first.
pub(crate) async fn wait(shutdown: &Shutdown, ready: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = shutdown.requested() => false,
        () = ready => true,
    }
}
