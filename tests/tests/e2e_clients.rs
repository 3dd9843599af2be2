//! Clients of other makes and languages, each at a real piece of work against a cluster of its own over TLS.
//!
//! `cargo xtask tools` puts them where these tests look; those that are absent are reported as ignored.

#[path = "e2e_clients/helm.rs"]
mod helm;
#[path = "e2e_clients/javascript.rs"]
mod javascript;
#[path = "e2e_clients/kube_rs.rs"]
mod kube_rs;
#[path = "e2e_clients/python.rs"]
mod python;
