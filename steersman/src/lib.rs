//! A Kubernetes control plane with nodes in one process, for tests and for kubectl.
//!
//! [`Cluster::builder`] starts one; [`Cluster::client`] is an ordinary `kube::Client` that needs no socket;
//! [`Cluster::serve`] adds a port and a kubeconfig. When the [`Cluster`] is dropped, everything stops.

pub mod access;
mod client;
mod cluster;
pub mod command;
mod companions;
mod components;
mod data_dir;
mod error;
mod in_process;
mod kubeconfig;
mod prepare;
mod private_file;
mod serve;
mod trace;

pub use steersman_apiserver::{audit, authentication, flowcontrol};
pub use steersman_controllers::{ApiGroups, ControllerSelection, Features};
pub use steersman_kubelet as kubelet;
pub use steersman_scheduler_plugin as scheduler;

pub use crate::cluster::Cluster;
pub use crate::cluster::builder::ClusterBuilder;
pub use crate::error::Error;
pub use crate::serve::Served;
pub use crate::trace::Write;

/// The guide for test authors; its whole examples have to compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/testing.md")]
struct GuideToTesting;

/// The project's front page; its code has to compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadMe;
