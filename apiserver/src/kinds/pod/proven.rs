//! Pods that need not be looked at again: most are made from a template that was looked at for the pod before.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde_json::Value;
use steersman_machinery::{meta, weight};

use crate::admission::service_account;

/// How many are remembered.
const MOST: usize = 16;
/// What a specification, and annotations, may weigh so that they are remembered: all together two megabytes.
const HEAVIEST: usize = 64 << 10;

/// How many random characters the name of the volume with the token of the service account ends with.
const SUFFIX: usize = 5;

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
        let is_same = |it: &Seen| it.annotations == *annotations && is_same_spec(&it.spec, spec);
        let Some(at) = seen.iter().position(is_same) else { return false };
        seen.swap(0, at);
        true
    }

    /// Remembers a pod, unless it is large.
    pub(super) fn note(&self, pod: &Value) {
        let is_light = |it: &Value| weight::is_at_most(it, HEAVIEST);
        if is_named_after_the_pod(spec(pod)) || !is_light(spec(pod)) || !is_light(annotations(pod)) {
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

/// Whether two specifications are the same but for the names that the volumes with the tokens of their accounts were given.
fn is_same_spec(a: &Value, b: &Value) -> bool {
    is_same(a, b, (token_volume(a), token_volume(b)))
}

fn is_same(a: &Value, b: &Value, tokens: (Option<&str>, Option<&str>)) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let same =
                |((key, a), (other, b)): ((&String, &Value), (&String, &Value))| key == other && is_same(a, b, tokens);
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b, tokens)),
        (Value::String(a), Value::String(b)) => {
            // Where one has the name the other has it too, or it is another volume that is meant.
            let is_token = (tokens.0 == Some(a), tokens.1 == Some(b));
            is_token == (true, true) || (is_token == (false, false) && a == b)
        }
        (a, b) => a == b,
    }
}

/// The name of the volume with the token, as admission makes it up.
fn token_volume(spec: &Value) -> Option<&str> {
    let random = |suffix: &str| {
        suffix.len() == SUFFIX && suffix.bytes().all(|it| it.is_ascii_digit() || it.is_ascii_lowercase())
    };
    let made_up = |name: &&str| name.strip_prefix(service_account::VOLUME).is_some_and(random);
    let names = meta::items(spec, &["volumes"]).iter().map(|volume| meta::text(volume, &["name"]));
    names.rev().find(made_up)
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
        let token = |volume: &'static str, mounted: &'static str| {
            move |spec: &mut Value| {
                spec["volumes"] = json!([{"name": volume, "projected": {"sources": [], "defaultMode": 420}}]);
                spec["containers"][0]["volumeMounts"] = json!([{"name": mounted, "mountPath": "/a"}]);
            }
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
            (pod("b", Value::Null, token("kube-api-access-abcde", "kube-api-access-abcde")), (0, 0)),
            (pod("b", Value::Null, token("kube-api-access-abcde", "kube-api-access-fghij")), (1, 0)),
            (pod("b", Value::Null, token("kube-api-access-fghij", "kube-api-access-abcde")), (1, 0)),
            (pod("b", Value::Null, token("kube-api-access-fghij", "kube-api-access-fghij")), (0, 0)),
            (pod("b", Value::Null, token("kube-api-access-ABCDE", "kube-api-access-ABCDE")), (2, 0)),
        ];
        for (pod, expect) in &pods {
            assert_eq!(faults(pod), *expect, "{pod}");
            assert_eq!(fresh(pod), (expect.1, expect.0), "{pod}");
        }
        let renamed = pod("z", Value::Null, token("kube-api-access-zzzzz", "kube-api-access-zzzzz"));
        assert!(strategy.proven.knows(&pods[9].0) && strategy.proven.knows(&renamed));
        assert!(!strategy.proven.knows(&pods[8].0));
        let large = pod("a", json!({"a": "b".repeat(HEAVIEST)}), |_| ());
        assert_eq!(faults(&large), (0, 0));
        assert!(!strategy.proven.knows(&large), "what is large is not kept");
    }
}
