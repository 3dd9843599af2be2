//! Pods that need not be looked at again: most are made from a template that was looked at for the pod before.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde_json::Value;
use steersman_machinery::meta;

/// How many are remembered. At some 10 KB for a usual one it is a sixth of a megabyte.
const MOST: usize = 16;

/// The last new pods in which nothing was found that is wrong or worth a warning: of each, what that depends on.
#[derive(Debug, Default)]
pub(super) struct Proven(Mutex<VecDeque<Seen>>);

#[derive(Debug)]
struct Seen {
    annotations: Value,
    spec: Value,
}

impl Proven {
    /// Whether a pod is one of them, but for what nothing depends on.
    pub(super) fn knows(&self, pod: &Value) -> bool {
        let (annotations, spec) = (annotations(pod), spec(pod));
        let mut seen = self.0.lock();
        let Some(at) = seen.iter().position(|it| it.spec == *spec && it.annotations == *annotations) else {
            return false;
        };
        seen.swap(0, at);
        true
    }

    /// Remembers a pod.
    pub(super) fn note(&self, pod: &Value) {
        if is_named_after_the_pod(spec(pod)) {
            return;
        }
        let new = Seen { annotations: annotations(pod).clone(), spec: spec(pod).clone() };
        let mut seen = self.0.lock();
        seen.truncate(MOST - 1);
        seen.push_front(new);
    }
}

fn annotations(pod: &Value) -> &Value {
    meta::at(pod, &["metadata", "annotations"]).unwrap_or(&Value::Null)
}

fn spec(pod: &Value) -> &Value {
    pod.get("spec").unwrap_or(&Value::Null)
}

/// Whether something in the specification takes its name from that of the pod, so that this has to be looked at, too.
fn is_named_after_the_pod(spec: &Value) -> bool {
    meta::items(spec, &["volumes"]).iter().any(|volume| volume.get("ephemeral").is_some())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use crate::kinds::pod::Pod;
    use crate::registry::strategy::Strategy;

    use super::*;

    fn pod(name: &str, annotations: Value, change: impl FnOnce(&mut Value)) -> Value {
        let mut spec = json!({"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "a", "image": "b", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]});
        change(&mut spec);
        json!({"metadata": {"name": name, "annotations": annotations}, "spec": spec})
    }

    #[test]
    fn what_was_proven_of_a_pod_says_nothing_of_pods_that_differ_in_more_than_the_name() {
        let strategy = Arc::<Pod>::default();
        let faults = |pod: &Value| (strategy.validate(pod).len(), strategy.warnings(pod, None).len());
        let fresh = |pod: &Value| {
            let strategy = Arc::<Pod>::default();
            (strategy.warnings(pod, None).len(), strategy.validate(pod).len())
        };
        let long = "n".repeat(250);
        let ephemeral = |spec: &mut Value| {
            spec["volumes"] = json!([{"name": "v123", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}}}]);
        };
        let pods = [
            (pod("a", Value::Null, |_| ()), (0, 0)),
            (pod("b", Value::Null, |_| ()), (0, 0)),
            (pod("b", Value::Null, |spec| spec["restartPolicy"] = "Sometimes".into()), (1, 0)),
            (pod("b", Value::Null, |spec| spec["restartPolicy"] = "Sometimes".into()), (1, 0)),
            (pod("b", Value::Null, |spec| spec["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"})), (0, 1)),
            (pod("b", Value::Null, |spec| spec["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"})), (0, 1)),
            (pod("b", json!({"kubernetes.io/config.mirror": "x"}), |_| ()), (1, 0)),
            (pod("b", Value::Null, ephemeral), (0, 0)),
            (pod(&long, Value::Null, ephemeral), (1, 0)),
            (pod(&long, Value::Null, |_| ()), (0, 0)),
        ];
        for (pod, expect) in &pods {
            assert_eq!(faults(pod), *expect, "{pod}");
            assert_eq!(fresh(pod), (expect.1, expect.0), "{pod}");
        }
        assert!(strategy.proven.knows(&pods[9].0) && !strategy.proven.knows(&pods[8].0));
    }
}
