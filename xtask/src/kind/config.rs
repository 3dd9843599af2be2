//! What kind is told: three nodes, a version of Kubernetes by digest, and which of the built-in parts stay out.
//!
//! Source: kind's documentation, Configuration, and its release notes for the digest.

use std::fmt::Write;

/// Kubernetes 1.36 as kind 0.33 publishes it. podman has to be told the registry.
pub(super) const NODE_IMAGE: &str =
    "docker.io/kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed";

/// The kind that knows how to make nodes of it, or an older one of the same.
pub(super) const KIND: (u32, u32) = (0, 33);

/// What kubeadm itself says: its argument is replaced by ours, and nodes join by a token that has to be signed.
const KEPT: &str = "*,bootstrap-signer-controller,token-cleaner-controller";

/// The built-in controllers that ours stand in for.
const REPLACED: [&str; 2] = ["deployment-controller", "replicaset-controller"];

/// How many nodes carry pods.
const WORKERS: usize = 2;

/// The configuration as YAML.
///
/// kind takes the arguments as a map for every version of kubeadm's configuration as long as the patch names none.
pub(super) fn render(node_image: &str) -> String {
    let without: String = REPLACED.iter().map(|name| format!(",-{name}")).collect();
    let mut yaml = format!(
        "# Written by `cargo xtask kind-up`.\n\
         kind: Cluster\n\
         apiVersion: kind.x-k8s.io/v1alpha4\n\
         kubeadmConfigPatches:\n\
         \x20 - |\n\
         \x20   kind: ClusterConfiguration\n\
         \x20   controllerManager:\n\
         \x20     extraArgs:\n\
         \x20       controllers: \"{KEPT}{without}\"\n\
         nodes:\n"
    );
    for role in std::iter::once("control-plane").chain(std::iter::repeat_n("worker", WORKERS)) {
        let _ = write!(yaml, "  - role: {role}\n    image: {node_image}\n");
    }
    yaml
}
