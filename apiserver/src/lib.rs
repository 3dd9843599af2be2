//! The Kubernetes API over a store, as a tower service and over HTTPS.

pub mod printers;
pub mod registry;
