//! The Kubernetes API over a store, as a tower service and over HTTPS.
