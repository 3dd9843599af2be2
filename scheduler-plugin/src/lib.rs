//! A scheduler framework with kube-scheduler's extension points and plugins.

pub mod cache;
pub mod cluster_event;
pub mod configuration;
pub mod cycle;
pub mod cycle_state;
pub mod diagnosis;
mod informers;
pub mod node_selector;
pub mod plugin;
pub mod plugins;
pub mod pod;
pub mod profile;
pub mod queue;
pub mod registry;
pub mod resources;
mod scheduler;
pub mod selector;
pub mod snapshot;
pub mod status;
pub mod waiting;
pub mod wire;
mod writer;

pub use configuration::Configuration;
pub use registry::Registry;
pub use scheduler::{Error, Options, profiles, run};
