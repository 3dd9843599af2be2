//! The Kubernetes API over a store, as a tower service and over HTTPS.

pub mod discovery;
pub mod health;
pub mod kinds;
pub mod printers;
pub mod registry;
pub mod version;
