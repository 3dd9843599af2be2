//! Simulated nodes: thousands of kubelets in one process, over a `kube::Client` and nothing else.
//!
//! [`run`] registers nodes, keeps their leases and statuses fresh, and takes the pods that are bound to them through
//! Pending, Running and Ready to their end. Nothing is executed: what a container does is said by [`annotations`] on its
//! pod, and how long everything takes by [`Options`]. All nodes share one loop for their heartbeats and one watch for
//! their pods.

pub mod annotations;
mod api;
mod duration;
mod node;
pub mod options;
mod pod;
#[cfg(test)]
mod testing;
mod timers;

use std::sync::Arc;

use steersman_framework::runtime::Context;

pub use crate::options::{NodeTemplate, Options};

use crate::node::Nodes;

/// The version that the nodes report (`kubectl get nodes`).
pub const KUBELET_VERSION: &str = "v1.36.2";

/// Why the nodes stopped, other than by being told to. Failures that may pass are retried instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options make no sense; the text says why.
    #[error("invalid options: {0}")]
    InvalidOptions(String),
    /// The API server will never accept this node, because of what its template says.
    #[error("node {name} is refused")]
    Register {
        /// The name of the node.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Runs the nodes until the context's shutdown; then finishes the requests in flight and returns. The nodes stay
/// registered, as those of a stopped kubelet do.
///
/// # Errors
/// If the options are invalid or a node is refused for good.
pub async fn run(context: Context, options: Options) -> Result<(), Error> {
    let options = Arc::new(options);
    let nodes = Arc::new(Nodes::new(&options)?);
    let pods = pod::run(context.fork(), Arc::clone(&nodes), Arc::clone(&options));
    let nodes = node::run(context, nodes, options);
    // A refused node ends the pods too; a shutdown ends both.
    let (_, ()) = futures::try_join!(nodes, async {
        pods.await;
        Ok(())
    })?;
    Ok(())
}
