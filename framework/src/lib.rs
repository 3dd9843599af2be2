//! What a production controller needs beyond kube-runtime: clocks, shutdown, informers, work queues, the worker loop,
//! a guard against stale caches, ownership (adopt and release), and events.
//!
//! A controller is put together from four parts:
//!
//! 1. [`informer::Informers`] hands out one shared [`informer::Informer`] a resource: a local, ordered, indexed cache
//!    that is fed by list and watch;
//! 2. handlers on the informers put keys into a [`queue::WorkQueue`];
//! 3. [`controller::run_when`] waits for the caches, takes the keys out, one worker a key, and calls the controller's `sync`;
//! 4. `sync` reads the caches, plans, and writes through an [`api::Api`].
//!
//! A controller that gives every Namespace a ConfigMap `motd`:
//!
//! ```no_run
//! use serde_json::json;
//! use steersman_framework::api::{Api, Resource, is_already_exists};
//! use steersman_framework::controller::{Outcome, Workers, run_when};
//! use steersman_framework::informer::Informers;
//! use steersman_framework::meta::Partial;
//! use steersman_framework::queue::{Priority, WorkQueue};
//! use steersman_framework::runtime::Context;
//!
//! static NAMESPACES: Resource = Resource::cluster("", "v1", "Namespace", "namespaces");
//! static CONFIG_MAPS: Resource = Resource::namespaced("", "v1", "ConfigMap", "configmaps");
//!
//! async fn run(context: Context) {
//!     let api = Api::new(context.client.clone(), "motd-controller");
//!     let informers = Informers::new(api.clone(), context.shutdown.clone());
//!     let namespaces = informers.informer::<Partial>(&NAMESPACES);
//!     informers.tell(&context.health);
//!     let queue = WorkQueue::named("motd", &context.metrics);
//!     let changed = queue.clone();
//!     namespaces.on_change(move |delta| {
//!         if let Some(namespace) = &delta.new {
//!             let priority = if delta.listed { Priority::Low } else { Priority::High };
//!             changed.add_with(namespace.metadata.name.clone(), priority);
//!         }
//!     });
//!     let sync = |namespace: String| {
//!         let api = api.clone();
//!         async move {
//!             let body = json!({"metadata": {"name": "motd"}, "data": {"text": "welcome"}});
//!             match api.create::<Partial>(&CONFIG_MAPS, &namespace, &body).await {
//!                 Err(error) if !is_already_exists(&error) => Err(error),
//!                 _ => Ok(Outcome::Done),
//!             }
//!         }
//!     };
//!     let workers = Workers { name: "motd", concurrency: 2, max_retries: None };
//!     let work = run_when(namespaces.synced(), workers, &queue, context.shutdown.clone(), sync);
//!     tokio::join!(informers.run(), work);
//! }
//! ```
//!
//! Beside these: [`consistency`] and [`expectations`] against stale caches, [`ownership`] and [`finalizer`], [`events`],
//! [`leader_election`], [`metrics`] and [`health`]; for programs, behind the feature `component`, flags, connections, signals
//! and a port for health and metrics; and behind the feature `otlp`, traces for a collector.
//!
//! Everything runs on the calling task and is deterministic under a paused current-thread runtime.

pub mod api;
pub mod clock;
#[cfg(feature = "component")]
pub mod component;
pub mod consistency;
pub mod controller;
pub mod discovery;
pub mod events;
pub mod expectations;
pub mod finalizer;
pub mod health;
pub mod informer;
pub mod leader_election;
pub mod meta;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod ownership;
pub mod queue;
pub mod rate_limit;
pub mod reflector;
pub mod runtime;
pub mod selector;

pub use steersman_machinery::metrics;
