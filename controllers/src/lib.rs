//! The controllers of kube-controller-manager that Steersman has: Deployment, ReplicaSet, garbage collector, namespace,
//! service account, aggregation of ClusterRoles, quotas, disruption budgets, the endpoints of services and their mirrors, the life of nodes
//! and eviction by their taints, the protection of storage that is in use, and the clearing away of pods without a node and
//! of Jobs whose time is over. They speak to the API through a [`kube::Client`] and nothing else.
//!
//! [`run`] runs the selected ones until shutdown. Each is in a module of its own; what it decides is in pure functions
//! there (`plan_…`), and what it does is the thin rest.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use steersman_framework::api::Api;
use steersman_framework::events::broadcaster;
use steersman_framework::informer::Informers;
use steersman_framework::runtime::{Context, Shutdown};

use crate::clusterrole_aggregation::ClusterRoleAggregation;
use crate::deployment::DeploymentController;
use crate::disruption::DisruptionController;
use crate::elasticquota::ElasticQuotaController;
use crate::endpoints::EndpointsController;
use crate::endpointslice::EndpointSliceController;
use crate::endpointslicemirroring::EndpointSliceMirroringController;
use crate::garbage_collector::GarbageCollector;
use crate::namespace::NamespaceController;
use crate::node_lifecycle::NodeLifecycleController;
use crate::pod_gc::PodGarbageCollector;
use crate::podgroup::PodGroupController;
use crate::replicaset::ReplicaSetController;
use crate::resourcequota::ResourceQuotaController;
use crate::serviceaccount::ServiceAccountController;
use crate::shared::Shared;
use crate::storage_protection::StorageProtectionController;
use crate::taint_eviction::TaintEvictionController;
use crate::ttl_after_finished::TtlAfterFinishedController;

mod claim;
pub mod clusterrole_aggregation;
#[cfg(feature = "component")]
pub mod command;
pub mod deployment;
pub mod disruption;
mod elasticquota;
pub mod endpoints;
pub mod endpointslice;
pub mod endpointslicemirroring;
mod error;
mod features;
pub mod garbage_collector;
pub mod namespace;
pub mod node_lifecycle;
pub mod objects;
pub mod pod_gc;
mod podgroup;
pub mod replicaset;
pub mod resourcequota;
mod selection;
pub mod serviceaccount;
pub mod services;
mod shard;
mod shared;
pub mod storage_protection;
pub mod taint_eviction;
#[cfg(test)]
mod testing;
pub mod ttl_after_finished;
mod workloads;

pub use features::{Features, InvalidFeature};
pub use selection::{ControllerSelection, NAMES, OPT_IN, UnknownController};
pub use shard::{InvalidShard, Shard};
pub use workloads::{ApiGroups, UnknownApiGroup, Workloads};

/// The name under which the controllers write.
pub const FIELD_MANAGER: &str = "steersman-controllers";

/// How the controllers run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which of them.
    pub controllers: ControllerSelection,
    /// Of which API groups the Deployments and ReplicaSets are kept.
    pub api_groups: ApiGroups,
    /// Which behaviours are switched on.
    pub features: Features,
    /// Which part of the work is done.
    pub shard: Shard,
    /// How many objects of one kind are worked on at a time.
    pub concurrent_syncs: usize,
    /// The same for single controllers, by their full names.
    pub concurrent: BTreeMap<&'static str, usize>,
    /// How many objects the garbage collector works on at a time.
    pub concurrent_gc_syncs: usize,
    /// How long the deletion of a namespace rests before its content goes, so that all API servers have seen it. None
    /// is needed where there is one API server.
    pub namespace_deletion_delay: Duration,
    /// The certificate authority, as PEM, that `kube-root-ca.crt` in each namespace is to hold; without one that
    /// ConfigMap is not published.
    pub root_ca: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controllers: ControllerSelection::all(),
            api_groups: ApiGroups::default(),
            features: Features::default(),
            shard: Shard::WHOLE,
            concurrent_syncs: 5,
            concurrent: BTreeMap::new(),
            concurrent_gc_syncs: 20,
            namespace_deletion_delay: Duration::from_secs(5),
            root_ca: None,
        }
    }
}

/// Why the controllers could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing could be worked on at a time.
    #[error("{0} has to be able to work on at least 1 object at a time")]
    NoWorkers(&'static str),
}

impl Options {
    /// How many objects the controller of this full name works on at a time.
    pub fn syncs(&self, name: &str) -> usize {
        let general = if name == GARBAGE_COLLECTOR { self.concurrent_gc_syncs } else { self.concurrent_syncs };
        self.concurrent.get(name).copied().unwrap_or(general)
    }

    /// Whether they make sense.
    ///
    /// # Errors
    /// [`Error::NoWorkers`].
    pub fn check(&self) -> Result<(), Error> {
        match NAMES.iter().chain(&OPT_IN).find(|name| self.syncs(name) == 0) {
            Some(name) => Err(Error::NoWorkers(name)),
            None => Ok(()),
        }
    }
}

const GARBAGE_COLLECTOR: &str = "garbage-collector-controller";

/// Runs the selected controllers until shutdown is requested, lets them finish what is in flight, and returns.
///
/// # Errors
/// If the options make no sense. What fails later is retried for ever.
pub async fn run(context: Context, options: Options) -> Result<(), Error> {
    options.check()?;
    let api = Api::new(context.client.clone(), FIELD_MANAGER);
    let (recorder, events) = broadcaster(api.clone(), FIELD_MANAGER, context.clock.clone(), context.random.fork());
    let shared = Shared {
        api: api.clone(),
        clock: context.clock.clone(),
        recorder,
        informers: Informers::new(api, context.shutdown.clone()),
        features: options.features,
        shard: options.shard,
        metrics: context.metrics.clone(),
    };
    shared.informers.tell(&context.health);
    let mut running = start(&context, &options, &shared);
    let informers = shared.informers.clone();
    running.push(Box::pin(async move { informers.run().await }));
    // The broadcaster ends when the last controller has dropped its recorder.
    drop(shared);
    running.push(Box::pin(events.run()));
    while running.next().await.is_some() {}
    Ok(())
}

fn start(context: &Context, options: &Options, shared: &Shared) -> FuturesUnordered<BoxFuture<'static, ()>> {
    let running = FuturesUnordered::new();
    let start = |name: &str, controller: &dyn Fn(usize, Shutdown) -> BoxFuture<'static, ()>| {
        if options.controllers.contains(name) && options.shard.runs(name) {
            running.push(controller(options.syncs(name), context.shutdown.clone()));
        }
    };
    start("clusterrole-aggregation-controller", &|syncs, shutdown| {
        Box::pin(ClusterRoleAggregation::new(shared).run(syncs, shutdown))
    });
    for workloads in options.api_groups.workloads() {
        start("deployment-controller", &|syncs, shutdown| {
            Box::pin(DeploymentController::new(shared, workloads).run(syncs, shutdown))
        });
        start("replicaset-controller", &|syncs, shutdown| {
            Box::pin(ReplicaSetController::new(shared, workloads).run(syncs, shutdown))
        });
    }
    start("namespace-controller", &|syncs, shutdown| {
        Box::pin(NamespaceController::new(shared, options.namespace_deletion_delay).run(syncs, shutdown))
    });
    start("serviceaccount-controller", &|syncs, shutdown| {
        Box::pin(ServiceAccountController::new(shared, options.root_ca.clone()).run(syncs, shutdown))
    });
    start("node-lifecycle-controller", &|syncs, shutdown| {
        Box::pin(NodeLifecycleController::new(shared).run(syncs, shutdown))
    });
    start("taint-eviction-controller", &|syncs, shutdown| {
        Box::pin(TaintEvictionController::new(shared).run(syncs, shutdown))
    });
    start("disruption-controller", &|syncs, shutdown| Box::pin(DisruptionController::new(shared).run(syncs, shutdown)));
    start("pod-garbage-collector-controller", &|syncs, shutdown| {
        Box::pin(PodGarbageCollector::new(shared).run(syncs, shutdown))
    });
    start("ttl-after-finished-controller", &|syncs, shutdown| {
        Box::pin(TtlAfterFinishedController::new(shared).run(syncs, shutdown))
    });
    start("podgroup-controller", &|syncs, shutdown| Box::pin(PodGroupController::new(shared).run(syncs, shutdown)));
    start("elasticquota-controller", &|syncs, shutdown| {
        Box::pin(ElasticQuotaController::new(shared).run(syncs, shutdown))
    });
    start("resourcequota-controller", &|syncs, shutdown| {
        Box::pin(ResourceQuotaController::new(shared).run(syncs, shutdown))
    });
    start("endpointslice-controller", &|syncs, shutdown| {
        Box::pin(EndpointSliceController::new(shared).run(syncs, shutdown))
    });
    start("endpointslice-mirroring-controller", &|syncs, shutdown| {
        Box::pin(EndpointSliceMirroringController::new(shared).run(syncs, shutdown))
    });
    start("endpoints-controller", &|syncs, shutdown| Box::pin(EndpointsController::new(shared).run(syncs, shutdown)));
    for protected in [
        &storage_protection::CLAIM,
        &storage_protection::VOLUME,
        &storage_protection::CLASS,
        &storage_protection::GROUP,
    ] {
        start(protected.name, &|syncs, shutdown| {
            Box::pin(StorageProtectionController::new(shared, protected).run(syncs, shutdown))
        });
    }
    start(GARBAGE_COLLECTOR, &|syncs, shutdown| {
        Box::pin(GarbageCollector::new(shared).run(shared.informers.clone(), syncs, shutdown))
    });
    running
}
