//! The garbage collector deletes what has lost its owners, and carries out foreground and orphaning deletions.
//! Source: `k8s.io/kubernetes/pkg/controller/garbagecollector`.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use steersman_framework::api::{Api, Resource};
use steersman_framework::controller::{self, Workers};
use steersman_framework::events::{EventType, Involved, Recorder};
use steersman_framework::informer::Informers;
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;

use crate::garbage_collector::absent::Absent;
use crate::garbage_collector::graph::{Effects, Graph};
use crate::shared::Shared;

mod absent;
mod act;
pub mod graph;
mod monitors;
pub mod plan;

/// The name under which its events are recorded.
const COMPONENT: &str = "garbage-collector-controller";

/// The running collector. Clones share everything.
#[derive(Clone)]
pub(crate) struct GarbageCollector(Arc<Collector>);

struct Collector {
    api: Api,
    recorder: Recorder,
    graph: Mutex<Graph>,
    absent: Mutex<Absent>,
    /// Which resource a kind of a version (`apps/v1`) is.
    kinds: Mutex<BTreeMap<(String, String), Arc<Resource>>>,
    /// Uids of objects to look at.
    examine: WorkQueue<String>,
    /// Uids of owners whose dependents are to be orphaned.
    orphan: WorkQueue<String>,
}

impl GarbageCollector {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self(Arc::new(Collector {
            api: shared.api.clone(),
            recorder: shared.recorder.of(COMPONENT),
            graph: Mutex::default(),
            absent: Mutex::default(),
            kinds: Mutex::default(),
            examine: shared.queue("garbage_collector_attempt_to_delete"),
            orphan: shared.queue("garbage_collector_attempt_to_orphan"),
        }))
    }

    /// Works until shutdown, with so many workers for each of the two queues.
    pub(crate) async fn run(self, informers: Informers, concurrency: usize, shutdown: Shutdown) {
        let monitors = monitors::Monitors::new(self.clone(), informers);
        let synced = monitors.synced();
        let workers = |name| Workers { name, concurrency, max_retries: None };
        let (examine, orphan) = (self.0.examine.clone(), self.0.orphan.clone());
        let work = async {
            if shutdown.wait_for(synced).await {
                futures::join!(
                    controller::run(workers(COMPONENT), examine, shutdown.clone(), |uid| self.examine(uid)),
                    controller::run(workers(COMPONENT), orphan, shutdown.clone(), |uid| self.orphan(uid)),
                );
            }
        };
        futures::join!(monitors.run(shutdown.clone()), work);
    }

    /// Queues what a change of the graph calls for.
    fn follow(&self, effects: Effects) {
        for (dependent, owner) in effects.misplaced {
            self.report_misplaced(&dependent, &owner);
        }
        effects.examine.into_iter().for_each(|uid| self.0.examine.add(uid));
        effects.orphan.into_iter().for_each(|uid| self.0.orphan.add(uid));
    }

    fn report_misplaced(&self, dependent: &str, owner: &str) {
        let node = self.0.graph.lock().get(dependent).cloned();
        let Some((node, reference)) = node.and_then(|node| {
            let reference = node.owner(owner).cloned();
            reference.map(|reference| (node, reference))
        }) else {
            return;
        };
        let meta = node.meta(dependent);
        let namespace = &node.key.namespace;
        let (version, kind, name) = (&reference.api_version, &reference.kind, &reference.name);
        let text = format!(
            "ownerRef [{version}/{kind}, namespace: {namespace}, name: {name}, uid: {owner}] does not exist in namespace \"{namespace}\""
        );
        self.0.recorder.record(
            &Involved::new(&node.resource, &meta),
            EventType::Warning,
            "OwnerRefInvalidNamespace",
            text,
        );
    }
}

#[cfg(test)]
mod tests;
