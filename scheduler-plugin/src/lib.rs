//! A scheduler framework with kube-scheduler's extension points and plugins.
//!
//! [`run`] is the scheduler: it watches nodes and pods through a `kube::Client`, decides, and binds. A decision alone is
//! a pure function, [`cycle::schedule_one`], over a [`snapshot::Snapshot`].
//!
//! ```text
//! informers ─> cache (nodes in columns) ─> snapshot ─┐
//!           └> queue (active, backoff, unschedulable) ┴> PreFilter, Filter, PostFilter, PreScore, Score
//!                 ^                                        └> Reserve, Permit ─> PreBind, Bind, PostBind
//!                 └────────────── rejected, failed ────────────┴───────────────────────┘
//! ```
//!
//! # A plugin
//!
//! A plugin is a type with a name that implements the traits of the extension points it takes part in:
//!
//! ```
//! use steersman_scheduler_plugin::plugin::{FilterPlugin, Plugin};
//! use steersman_scheduler_plugin::{
//!     Configuration, Options, Status, cycle_state::CycleState, pod::Pod, snapshot::NodeRef,
//! };
//!
//! /// Pods that say `color` run on nodes of that color only.
//! struct SameColor;
//!
//! impl Plugin for SameColor {
//!     fn name(&self) -> &'static str {
//!         "SameColor"
//!     }
//!     fn as_filter(&self) -> Option<&dyn FilterPlugin> {
//!         Some(self)
//!     }
//! }
//!
//! impl FilterPlugin for SameColor {
//!     fn filter(&self, _: &CycleState, pod: &Pod, node: NodeRef<'_>) -> Status {
//!         match pod.spec.labels.get("color") {
//!             Some(color) if node.label("color") != Some(color) => Status::unresolvable("node(s) had another color"),
//!             _ => Status::success(),
//!         }
//!     }
//! }
//!
//! let mut options = Options {
//!     configuration: Configuration::from_yaml(
//!         "apiVersion: kubescheduler.config.k8s.io/v1
//! kind: KubeSchedulerConfiguration
//! profiles:
//! - plugins:
//!     multiPoint:
//!       enabled:
//!       - name: SameColor
//! ",
//!     )?,
//!     ..Options::default()
//! };
//! options.plugins.add(SameColor);
//! // `steersman_scheduler_plugin::run(context, options).await` schedules with it.
//! # let handle = steersman_scheduler_plugin::registry::Handle::for_tests();
//! # assert!(steersman_scheduler_plugin::profiles(&options, &handle).is_ok());
//! # Ok::<(), steersman_scheduler_plugin::configuration::ConfigurationError>(())
//! ```

pub mod cache;
pub mod cluster_event;
#[cfg(feature = "component")]
pub mod command;
pub mod configuration;
pub mod cycle;
pub mod cycle_state;
mod decode;
pub mod diagnosis;
pub mod explanations;
mod extender;
mod informers;
pub mod node_selector;
pub mod plugin;
pub mod plugins;
pub mod pod;
pub mod prelude;
pub mod profile;
pub mod queue;
pub mod registry;
pub mod resources;
mod scheduler;
pub mod selector;
pub mod simulation;
pub mod snapshot;
pub mod status;
pub mod waiting;
pub mod watched;
pub mod wire;
mod writer;

#[cfg(test)]
mod testing;

pub use configuration::Configuration;
pub use registry::Registry;
pub use scheduler::{Error, Options, check, profiles, run};
pub use status::Status;

/// The guide for plugin authors; its whole examples have to compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/scheduler-plugin.md")]
struct GuideToPlugins;
