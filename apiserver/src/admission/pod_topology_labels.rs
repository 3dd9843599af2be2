//! `PodTopologyLabels`: a pod that has a node carries the labels that tell where the node is.
//! Source: KEP-4742.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_store::Key;

use super::{Attributes, Operation, Plugin, Verdict, pass};
use crate::server::unavailable;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(super) struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        let created = attributes.operation == Operation::Create && attributes.is("", "pods");
        let bound = attributes.operation == Operation::Create && attributes.subresource == "binding";
        let place = if bound { ["target", "name"] } else { ["spec", "nodeName"] };
        let node = meta::text(object, &place).to_owned();
        if !(created || bound) || node.is_empty() {
            return pass();
        }
        async move {
            let node = attributes
                .server
                .store
                .get(&Key::new("nodes", "", &node))
                .await
                .map_err(|error| unavailable(&error))?;
            if let Some(node) = node {
                copy(object, &node.attributes.labels);
            }
            Ok(())
        }
        .boxed()
        .right_future()
    }
}

fn copy(pod: &mut Value, node: &[(Box<str>, Box<str>)]) {
    for (label, value) in node.iter().filter(|(label, _)| LABELS.contains(&&**label)) {
        meta::set(pod, &["metadata", "labels", label], &**value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_place_of_the_node_wins_over_what_the_pod_says() {
        let node = [(LABELS[0].into(), "z1".into()), ("other".into(), "x".into())];
        let mut pod = json!({"metadata": {"labels": {"app": "a", LABELS[0]: "z9"}}});
        copy(&mut pod, &node);
        assert_eq!(pod["metadata"]["labels"], json!({"app": "a", LABELS[0]: "z1"}));
    }
}
