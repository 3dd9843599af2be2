//! Writes to `pods/ephemeralcontainers` and `pods/resize`: the one adds containers for debugging, the other changes how
//! much CPU and memory the containers get. Source: `k8s.io/kubernetes/pkg/registry/core/pod/strategy.go`,
//! `ValidatePodEphemeralContainersUpdate` and `ValidatePodResize` of `pkg/apis/core/validation`.

use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::meta;
use steersman_machinery::pod::qos;

use super::{Pod, update, validation};
use crate::kinds::check::{self, Cursor, same};
use crate::registry::strategy::{Rules, Strategy, restore};

/// The strategy of updates of `pods/ephemeralcontainers`.
#[derive(Clone, Copy, Debug)]
pub struct EphemeralContainers;

/// The strategy of updates of `pods/resize`.
#[derive(Clone, Copy, Debug)]
pub struct Resize;

const CONTAINERS: [&str; 2] = ["containers", "initContainers"];
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// The old pod with the resource version and the field managers of the new one.
fn keep_all(object: &Value, old: &Value) -> Value {
    let mut kept = old.clone();
    for field in ["managedFields", "resourceVersion"] {
        restore(&mut kept, object, &["metadata", field]);
    }
    kept
}

impl Strategy for EphemeralContainers {
    fn rules(&self) -> Rules {
        Pod.rules()
    }

    fn default(&self, object: &mut Value) {
        Pod.default(object);
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        let mut kept = keep_all(object, old);
        restore(&mut kept, object, &["spec", "ephemeralContainers"]);
        *object = kept;
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            validation::pod(&root);
            let containers = root.at("spec").at("ephemeralContainers");
            for before in meta::items(old, &["spec", "ephemeralContainers"]) {
                let name = meta::text(before, &["name"]);
                let after = containers.items().find(|container| container.at("name").text() == name);
                match after {
                    None => {
                        containers.forbidden(format!("existing ephemeral containers {name:?} may not be removed\n"))
                    }
                    Some(after) if !same(Some(before), Some(after.value)) => containers.forbidden(format!(
                        "existing ephemeral containers {name:?} may not be changed\n{}",
                        update::difference(before, after.value)
                    )),
                    Some(_) => {}
                }
            }
        })
    }
}

impl Strategy for Resize {
    fn rules(&self) -> Rules {
        Pod.rules()
    }

    fn owns_what_it_ignores(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        Pod.default(object);
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        let mut kept = keep_all(object, old);
        for list in CONTAINERS {
            let asked = meta::items(object, &["spec", list]).to_vec();
            let containers = meta::at_mut(&mut kept, &["spec", list]).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                let name = meta::text(container, &["name"]).to_owned();
                if let Some(asked) = asked.iter().find(|asked| meta::text(asked, &["name"]) == name) {
                    restore(container, asked, &["resources"]);
                    restore(container, asked, &["resizePolicy"]);
                }
            }
        }
        restore(&mut kept, object, &["spec", "resources"]);
        *object = kept;
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            validation::pod(&root);
            let spec = root.at("spec");
            if meta::annotation(old, "kubernetes.io/config.mirror").is_some() {
                spec.forbidden("static pods cannot be resized");
                return;
            }
            if qos::class(object) != qos::class(old) {
                let class = meta::text(old, &["status", "qosClass"]);
                spec.invalid_str(class, "Pod QOS Class may not change as a result of resizing");
            }
            if !same(Some(&without_resizable(spec.value)), old.get("spec").map(without_resizable).as_ref()) {
                spec.forbidden("only cpu and memory resources are mutable");
            }
            for list in CONTAINERS {
                for (container, before) in spec.at(list).items().zip(meta::items(old, &["spec", list])) {
                    nothing_removed(&container.at("resources"), before);
                }
            }
        })
    }
}

/// A specification without what a resize may change.
fn without_resizable(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let strip = |value: &mut Value| {
        for list in ["requests", "limits"] {
            for name in RESIZABLE {
                meta::remove(value, &["resources", list, name]);
            }
            if meta::at(value, &["resources", list]) == Some(&json!({})) {
                meta::remove(value, &["resources", list]);
            }
        }
        if value.get("resources") == Some(&json!({})) {
            meta::remove(value, &["resources"]);
        }
    };
    strip(&mut spec);
    for list in CONTAINERS {
        super::defaults::each(&mut spec, list, |container| {
            strip(container);
            meta::remove(container, &["resizePolicy"]);
        });
    }
    spec
}

/// Requests and limits change, but they are not taken away.
fn nothing_removed(resources: &Cursor<'_>, before: &Value) {
    for list in ["requests", "limits"] {
        let now = resources.at(list);
        let had = |name: &str| meta::at(before, &["resources", list, name]).is_some();
        if RESIZABLE.iter().any(|name| had(name) && !now.key(name).is_set()) {
            now.forbidden(format!("resource {list} cannot be removed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(resources: Value) -> Value {
        let mut pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [
            {"name": "web", "image": "nginx:1", "resources": resources}]}});
        Pod.default(&mut pod);
        Pod.prepare_for_create(&mut pod, jiff::Timestamp::UNIX_EPOCH);
        pod
    }

    #[track_caller]
    fn check(strategy: &dyn Strategy, old: &Value, new: &Value, expect: &[&str]) {
        let mut new = new.clone();
        strategy.prepare_for_update(&mut new, old);
        assert_eq!(check::messages(&strategy.validate_update(&new, old)), expect);
    }

    #[test]
    fn resizing_keeps_the_class_and_what_was_asked_for() {
        let old = pod(json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}));
        check(&Resize, &old, &pod(json!({"requests": {"cpu": "150m"}, "limits": {"cpu": "300m"}})), &[]);
        check(
            &Resize,
            &old,
            &pod(json!({})),
            &[
                r#"spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing"#,
                "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
                "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
            ],
        );
        let gpu = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "example.com/gpu": "1"}});
        check(&Resize, &old, &pod(gpu), &["spec: Forbidden: only cpu and memory resources are mutable"]);
        let mut other = old.clone();
        other["spec"]["nodeName"] = json!("n");
        check(&Resize, &old, &other, &[]);
    }

    #[test]
    fn containers_for_debugging_are_only_added() {
        let old = pod(json!({}));
        let mut new = old.clone();
        new["spec"]["ephemeralContainers"] = json!([{"name": "debugger", "image": "busybox"}]);
        EphemeralContainers.default(&mut new);
        check(&EphemeralContainers, &old, &new, &[]);
        check(
            &EphemeralContainers,
            &new,
            &old,
            &["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"debugger\" may not be removed\n"],
        );
        let mut clash = old.clone();
        clash["spec"]["ephemeralContainers"] =
            json!([{"name": "web", "image": "busybox", "ports": [{"containerPort": 80}]}]);
        EphemeralContainers.default(&mut clash);
        check(
            &EphemeralContainers,
            &old,
            &clash,
            &[
                r#"spec.ephemeralContainers[0].name: Duplicate value: "web""#,
                "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            ],
        );
    }
}
