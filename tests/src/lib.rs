//! What the tests that cross crates have in common.

pub mod bad_network;
pub mod chart;
pub mod faults;
pub mod kubectl;
pub mod manifests;
pub mod objects;
pub mod processes;
pub mod proxy;
pub mod site;
pub mod skew;
pub mod stage;
pub mod wait;
pub mod webhooks;
pub mod workloads;
