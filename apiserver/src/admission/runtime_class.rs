//! `RuntimeClass`: a pod gets the overhead of its runtime and goes only where that runtime is.
//! Source: Kubernetes docs "Runtime Class", "Pod Overhead".

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict, pass};

const CLASSES: &str = "runtimeclasses.node.k8s.io";

pub(super) struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        if attributes.operation != Operation::Create || !attributes.is("", "pods") {
            return pass();
        }
        async move {
            let refuse = |object: &Value, why: String| attributes.forbidden(object, format!("pod rejected: {why}"));
            let name = meta::text(object, &["spec", "runtimeClassName"]).to_owned();
            let class = match name.as_str() {
                "" => None,
                name => match attributes.server.configuration(CLASSES, "", name).await? {
                    None => return Err(refuse(object, format!("RuntimeClass {name:?} not found"))),
                    class => class,
                },
            };
            apply(object, class.as_deref()).map_err(|why| refuse(object, why))
        }
        .boxed()
        .right_future()
    }
}

fn apply(pod: &mut Value, class: Option<&Value>) -> Result<(), String> {
    let own = meta::at(pod, &["spec", "overhead"]).cloned();
    let overhead = class.and_then(|class| meta::at(class, &["overhead", "podFixed"]));
    match (own, overhead) {
        (Some(own), Some(overhead)) if own != *overhead => {
            return Err("Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned());
        }
        (Some(_), None) => {
            return Err("Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned());
        }
        (None, Some(overhead)) => meta::set(pod, &["spec", "overhead"], overhead.clone()),
        _ => {}
    }
    let Some(class) = class else { return Ok(()) };
    for (key, value) in meta::pairs(class, &["scheduling", "nodeSelector"]) {
        let path = ["spec", "nodeSelector", key];
        match meta::at(pod, &path).and_then(Value::as_str) {
            Some(own) if own != value => {
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
                ));
            }
            _ => meta::set(pod, &path, value),
        }
    }
    let mut tolerations = meta::items(pod, &["spec", "tolerations"]).to_vec();
    for toleration in meta::items(class, &["scheduling", "tolerations"]) {
        if !tolerations.contains(toleration) {
            tolerations.push(toleration.clone());
        }
    }
    if !tolerations.is_empty() {
        meta::set(pod, &["spec", "tolerations"], tolerations);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_gets_what_its_runtime_needs() {
        let class = json!({
            "overhead": {"podFixed": {"cpu": "100m"}},
            "scheduling": {"nodeSelector": {"runtime": "gvisor"}, "tolerations": [{"key": "a"}]},
        });
        let check = |spec: Value, class: Option<&Value>, expect: Result<Value, &str>| {
            let mut pod = json!({"spec": spec});
            let got = apply(&mut pod, class).map(|()| pod["spec"].clone());
            assert_eq!(got.as_ref().map_err(String::as_str), expect.as_ref().map_err(|it| *it));
        };
        let full =
            json!({"overhead": {"cpu": "100m"}, "nodeSelector": {"runtime": "gvisor"}, "tolerations": [{"key": "a"}]});
        check(json!({}), Some(&class), Ok(full.clone()));
        check(full.clone(), Some(&class), Ok(full));
        check(json!({}), None, Ok(json!({})));
        check(
            json!({"overhead": {"cpu": "1"}}),
            Some(&class),
            Err("Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        );
        check(
            json!({"overhead": {"cpu": "1"}}),
            None,
            Err("Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        );
        check(
            json!({"nodeSelector": {"runtime": "x"}}),
            Some(&class),
            Err("conflict: runtimeClass.scheduling.nodeSelector[runtime] = gvisor; pod.spec.nodeSelector[runtime] = x"),
        );
    }
}
