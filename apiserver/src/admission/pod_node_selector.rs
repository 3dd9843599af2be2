//! `PodNodeSelector` (off by default): the pods of a namespace go only to the nodes that its annotation selects.
//! Source: Kubernetes doc "Admission Control in Kubernetes"; `kubernetes/plugin/pkg/admission/podnodeselector`.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict};

/// What selects the nodes: `key=value,key=value`.
const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";

pub(super) struct PodNodeSelector;

impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        async move {
            if attributes.operation != Operation::Create || !attributes.is("", "pods") {
                return Ok(());
            }
            let namespace = attributes.server.configuration("namespaces", "", attributes.namespace).await?;
            let selector = namespace.as_deref().and_then(|it| meta::annotation(it, ANNOTATION)).unwrap_or_default();
            merge(object, selector).map_err(|why| attributes.forbidden(object, why))
        }
        .boxed()
        .right_future()
    }
}

/// Adds what the namespace selects to what the pod selects.
fn merge(pod: &mut Value, selector: &str) -> Result<(), String> {
    for pair in selector.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("invalid selector: [{pair}]"))?;
        let (key, value) = (key.trim(), value.trim_start_matches('=').trim());
        let path = ["spec", "nodeSelector", key];
        match meta::at(pod, &path).and_then(Value::as_str) {
            Some(own) if own != value => {
                return Err("pod node label selector conflicts with its namespace node label selector".to_owned());
            }
            _ => meta::set(pod, &path, value),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_selects_nodes_for_its_pods() {
        let check = |own: Value, selector: &str, expect: Result<Value, &str>| {
            let mut pod = json!({"spec": {"nodeSelector": own}});
            let merged = merge(&mut pod, selector).map(|()| pod["spec"]["nodeSelector"].clone());
            assert_eq!(merged, expect.map_err(str::to_owned), "{selector}");
        };
        check(json!({"a": "b"}), "", Ok(json!({"a": "b"})));
        check(json!({"a": "b"}), "env=test, disk = ssd", Ok(json!({"a": "b", "env": "test", "disk": "ssd"})));
        check(
            json!({"env": "prod"}),
            "env=test",
            Err("pod node label selector conflicts with its namespace node label selector"),
        );
        check(json!({}), "env", Err("invalid selector: [env]"));
    }
}
