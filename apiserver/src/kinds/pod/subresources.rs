//! Writes to `pods/ephemeralcontainers` and `pods/resize`: the one adds containers for debugging, the other changes how
//! much CPU and memory the containers get. Source: `k8s.io/kubernetes/pkg/registry/core/pod/strategy.go`,
//! `ValidatePodEphemeralContainersUpdate` and `ValidatePodResize` of `pkg/apis/core/validation`.

use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;
use steersman_machinery::pod::qos;

use super::{annotations, update, validation};
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
        super::RULES
    }

    fn default(&self, object: &mut Value) {
        super::default(object);
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        let mut kept = keep_all(object, old);
        restore(&mut kept, object, &["spec", "ephemeralContainers"]);
        *object = kept;
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        if is_static(old) {
            return only("static pods do not support ephemeral containers");
        }
        check::collect(object, |root| {
            validation::pod(&root);
            annotations_stay(&root, old);
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
        super::RULES
    }

    fn owns_what_it_ignores(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        super::default(object);
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
        if is_static(old) {
            return only("static pods cannot be resized");
        }
        if meta::text(old, &["spec", "os", "name"]) == "windows" {
            return only("windows pods cannot be resized");
        }
        let mut errors = check::collect(object, |root| {
            validation::pod(&root);
            let spec = root.at("spec");
            if qos::class(object) != qos::class(old) {
                let class = meta::text(old, &["status", "qosClass"]);
                spec.invalid_str(class, "Pod QOS Class may not change as a result of resizing");
            }
            if !node_can_resize(old) {
                spec.forbidden("Pod running on node without support for resize");
            }
            of_pod(&spec, old);
            let init = |removed: bool| {
                for (container, before) in pairs(&spec, old, "initContainers") {
                    init_container(&spec, &container, before, removed);
                }
            };
            init(true);
            for (container, before) in pairs(&spec, old, "containers") {
                nothing_removed(&container.at("resources"), before, "");
            }
            for (container, before) in pairs(&spec, old, "containers") {
                if !same(Some(&masked(container.value, before)), Some(before)) {
                    spec.forbidden(ONLY_RESIZABLE);
                }
            }
            init(false);
        });
        let spec_of =
            |pod: &Value| pod.get("spec").map(|spec| without(spec, &["containers", "initContainers", "resources"]));
        if errors.is_empty() && !same(spec_of(object).as_ref(), spec_of(old).as_ref()) {
            errors.push(FieldError::forbidden(&Path::new("spec"), ONLY_RESIZABLE));
        }
        errors
    }
}

const ONLY_RESIZABLE: &str = "only cpu and memory resources are mutable";

fn is_static(pod: &Value) -> bool {
    meta::annotation(pod, "kubernetes.io/config.mirror").is_some()
}

/// One error about the object as a whole.
fn only(why: &str) -> ErrorList {
    vec![FieldError::forbidden(&Path::new(""), why)]
}

fn annotations_stay(root: &Cursor<'_>, old: &Value) {
    let annotations = root.at("metadata").at("annotations");
    let before = annotations.with(meta::at(old, &["metadata", "annotations"]), Path::default());
    annotations::update(&annotations, &before, &root.at("spec"));
}

/// Whether the node tells what its containers have, so that it can give them more or less.
fn node_can_resize(pod: &Value) -> bool {
    let running = meta::items(pod, &["status", "containerStatuses"])
        .iter()
        .find(|status| meta::at(status, &["state", "running"]).is_some_and(|running| !running.is_null()));
    running.is_none_or(|status| status.get("resources").is_some_and(|resources| !resources.is_null()))
}

/// The containers of a list, each with what it was before.
fn pairs<'a>(spec: &Cursor<'a>, old: &'a Value, list: &str) -> Vec<(Cursor<'a>, &'a Value)> {
    spec.at(list).items().zip(meta::items(old, &["spec", list])).collect()
}

/// The resources of the whole pod.
fn of_pod(spec: &Cursor<'_>, old: &Value) {
    let resources = spec.at("resources");
    let before = meta::at(old, &["spec"]).unwrap_or(&Value::Null);
    let had = before.get("resources").is_some_and(|resources| !resources.is_null());
    if had && !resources.is_set() {
        resources.forbidden("pod-level resources cannot be removed");
        return;
    }
    if had {
        nothing_removed(&resources, before, "pod-level ");
    }
    let bare = |spec: &Value| spec.get("resources").cloned().map(|resources| json!({"resources": resources}));
    let (new, old) = (bare(spec.value).unwrap_or(json!({})), bare(before).unwrap_or(json!({})));
    if !same(Some(&masked(&new, &old)), Some(&masked(&old, &old))) {
        spec.forbidden("only cpu and memory resources are mutable at pod-level");
    }
}

/// An init container; its resources may change if it stays beside the others.
fn init_container(spec: &Cursor<'_>, container: &Cursor<'_>, before: &Value, removed: bool) {
    let stays = container.at("restartPolicy").text() == "Always";
    match (removed, stays) {
        (true, true) => nothing_removed(&container.at("resources"), before, ""),
        (true, false) => {}
        (false, true) if !same(Some(&masked(container.value, before)), Some(before)) => {
            container.forbidden("only cpu and memory resources for init or sidecar containers are mutable");
        }
        (false, false) if !same(Some(container.value), Some(before)) => {
            spec.forbidden("resources for non-sidecar init containers are immutable");
        }
        (false, _) => {}
    }
}

/// `new` with the CPU and the memory of `old`: what is different then is not to be resized.
fn masked(new: &Value, old: &Value) -> Value {
    let mut masked = new.clone();
    for list in ["requests", "limits"] {
        for name in RESIZABLE {
            restore(&mut masked, old, &["resources", list, name]);
        }
        let path = ["resources", list];
        if meta::at(&masked, &path) == Some(&json!({})) && meta::at(old, &path).is_none() {
            meta::remove(&mut masked, &path);
        }
    }
    if masked.get("resources") == Some(&json!({})) && old.get("resources").is_none() {
        meta::remove(&mut masked, &["resources"]);
    }
    masked
}

fn without(spec: &Value, fields: &[&str]) -> Value {
    let mut spec = spec.clone();
    for field in fields {
        meta::remove(&mut spec, &[field]);
    }
    spec
}

/// Requests and limits change, but they are not taken away.
fn nothing_removed(resources: &Cursor<'_>, before: &Value, whose: &str) {
    for list in ["requests", "limits"] {
        let now = resources.at(list);
        let mut had = meta::at(before, &["resources", list]).and_then(Value::as_object).into_iter().flatten();
        if had.any(|(name, _)| !now.key(name).is_set()) {
            now.forbidden(format!("{whose}resource {list} cannot be removed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Pod;
    use super::*;

    fn pod(resources: Value) -> Value {
        let mut pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [
            {"name": "web", "image": "nginx:1", "resources": resources}]}});
        super::super::default(&mut pod);
        Arc::<Pod>::default().prepare_for_create(&mut pod, jiff::Timestamp::UNIX_EPOCH);
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
    fn only_cpu_and_memory_are_resized() {
        let old = pod(json!({"requests": {"cpu": "100m"}}));
        let mut policy = old.clone();
        policy["spec"]["containers"][0]["resizePolicy"] =
            json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
        check(&Resize, &old, &policy, &["spec: Forbidden: only cpu and memory resources are mutable"]);
        let mut init = old.clone();
        init["spec"]["initContainers"] = json!([{"name": "i", "image": "b", "resources": {"requests": {"cpu": "1"}}}]);
        super::super::default(&mut init);
        let mut more = init.clone();
        more["spec"]["initContainers"][0]["resources"]["requests"]["cpu"] = json!("2");
        check(&Resize, &init, &more, &["spec: Forbidden: resources for non-sidecar init containers are immutable"]);
        init["spec"]["initContainers"][0]["restartPolicy"] = json!("Always");
        more["spec"]["initContainers"][0]["restartPolicy"] = json!("Always");
        check(&Resize, &init, &more, &[]);
        let mut whole = old.clone();
        whole["spec"]["resources"] = json!({"requests": {"cpu": "1"}});
        check(&Resize, &old, &whole, &[]);
        check(&Resize, &whole, &old, &["spec.resources: Forbidden: pod-level resources cannot be removed"]);
    }

    #[test]
    fn static_pods_stay_as_they_are() {
        let mut old = pod(json!({}));
        old["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        check(&Resize, &old, &old, &[": Forbidden: static pods cannot be resized"]);
        check(&EphemeralContainers, &old, &old, &[": Forbidden: static pods do not support ephemeral containers"]);
    }

    #[test]
    fn nodes_say_what_they_gave() {
        let mut old = pod(json!({"requests": {"cpu": "100m"}}));
        old["status"]["containerStatuses"] = json!([{"name": "web", "state": {"running": {}}}]);
        check(&Resize, &old, &old, &["spec: Forbidden: Pod running on node without support for resize"]);
        old["status"]["containerStatuses"][0]["resources"] = json!({});
        check(&Resize, &old, &old, &[]);
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
