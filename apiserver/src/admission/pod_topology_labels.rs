//! `PodTopologyLabels`: a pod that has a node carries the labels that tell where the node is.
//! Source: KEP-4742.

use std::sync::Arc;

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict};
use crate::server::Server;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(super) struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn admit<'a>(
        &'a self,
        server: &'a Arc<Server>,
        attributes: &'a Attributes<'a>,
        object: &'a mut Value,
    ) -> Verdict<'a> {
        async move {
            let created = attributes.operation == Operation::Create && attributes.is("", "pods");
            let bound = attributes.operation == Operation::Create && attributes.subresource == "binding";
            let place = if bound { ["target", "name"] } else { ["spec", "nodeName"] };
            let node = meta::text(object, &place).to_owned();
            if !(created || bound) || node.is_empty() {
                return Ok(());
            }
            if let Some(node) = server.read("nodes", "", &node).await? {
                copy(object, &node);
            }
            Ok(())
        }
        .boxed()
    }
}

fn copy(pod: &mut Value, node: &Value) {
    for label in LABELS {
        if let Some(value) = meta::label(node, label) {
            meta::set(pod, &["metadata", "labels", label], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_place_of_the_node_wins_over_what_the_pod_says() {
        let node = json!({"metadata": {"labels": {LABELS[0]: "z1", "other": "x"}}});
        let mut pod = json!({"metadata": {"labels": {"app": "a", LABELS[0]: "z9"}}});
        copy(&mut pod, &node);
        assert_eq!(pod["metadata"]["labels"], json!({"app": "a", LABELS[0]: "z1"}));
    }
}
