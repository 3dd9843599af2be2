//! The controllers of kube-controller-manager that Steersman has: Deployment, ReplicaSet, garbage collector, namespace
//! and service account. They speak to the API through a [`kube::Client`] and nothing else.
//!
//! [`run`] runs the selected ones until shutdown. Each is in a module of its own; what it decides is in pure functions
//! there (`plan_…`), and what it does is the thin rest.

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use steersman_framework::api::Api;
use steersman_framework::events::broadcaster;
use steersman_framework::informer::Informers;
use steersman_framework::runtime::Context;

use crate::deployment::DeploymentController;
use crate::replicaset::ReplicaSetController;
use crate::shared::Shared;

mod claim;
pub mod deployment;
mod error;
pub mod objects;
pub mod replicaset;
mod selection;
mod shared;

pub use selection::{ControllerSelection, NAMES, UnknownController};

/// The name under which the controllers write.
pub const FIELD_MANAGER: &str = "steersman-controllers";

/// How the controllers run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which of them.
    pub controllers: ControllerSelection,
    /// How many objects of one kind are worked on at a time.
    pub concurrent_syncs: usize,
    /// The certificate authority, as PEM, that `kube-root-ca.crt` in each namespace is to hold; without one that
    /// ConfigMap is not published.
    pub root_ca: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { controllers: ControllerSelection::all(), concurrent_syncs: 5, root_ca: None }
    }
}

/// Why the controllers could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing could be worked on at a time.
    #[error("concurrent_syncs has to be at least 1")]
    NoWorkers,
}

/// Runs the selected controllers until shutdown is requested, lets them finish what is in flight, and returns.
///
/// # Errors
/// If the options make no sense. What fails later is retried for ever.
pub async fn run(context: Context, options: Options) -> Result<(), Error> {
    if options.concurrent_syncs == 0 {
        return Err(Error::NoWorkers);
    }
    let api = Api::new(context.client.clone(), FIELD_MANAGER);
    let (recorder, events) = broadcaster(api.clone(), FIELD_MANAGER, context.clock.clone(), context.random.fork());
    let shared = Shared {
        api: api.clone(),
        clock: context.clock.clone(),
        recorder,
        informers: Informers::new(api, context.shutdown.clone()),
    };
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
    let (selected, syncs) = (&options.controllers, options.concurrent_syncs);
    if selected.contains("deployment-controller") {
        let controller = DeploymentController::new(shared);
        running.push(Box::pin(controller.run(syncs, context.shutdown.clone())) as BoxFuture<'static, ()>);
    }
    if selected.contains("replicaset-controller") {
        let controller = ReplicaSetController::new(shared);
        running.push(Box::pin(controller.run(syncs, context.shutdown.clone())));
    }
    running
}
