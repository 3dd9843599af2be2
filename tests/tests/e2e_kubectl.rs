//! The real kubectl against a cluster over TLS: what people type, what they see, and what they are told when it is wrong.
//!
//! `cargo xtask tools` puts kubectl where these tests look for it; without it they are reported as ignored.

#[path = "e2e_kubectl/apply.rs"]
mod apply;
#[path = "e2e_kubectl/connect.rs"]
mod connect;
#[path = "e2e_kubectl/create.rs"]
mod create;
#[path = "e2e_kubectl/custom.rs"]
mod custom;
#[path = "e2e_kubectl/delete.rs"]
mod delete;
#[path = "e2e_kubectl/discover.rs"]
mod discover;
#[path = "e2e_kubectl/errors.rs"]
mod errors;
#[path = "e2e_kubectl/look.rs"]
mod look;
#[path = "e2e_kubectl/modify.rs"]
mod modify;
#[path = "e2e_kubectl/rollout.rs"]
mod rollout;
