//! What a whole pod asks for: the sum of its containers, the most that its init containers need, and its overhead.
//! Source: KEP-753, KEP-2837; `k8s.io/component-helpers/resource`.

use serde_json::Value;

use crate::meta;
use crate::resource_list::{self, ResourceList};

/// Which of the two lists of `resources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What it is guaranteed.
    Requests,
    /// What it may use at most.
    Limits,
}

impl Which {
    /// The name of the list.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// What counts besides what the spec says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The spec alone.
    Spec,
    /// The larger of what the spec asks for and what the status says that the containers have (a resize in progress).
    SpecAndStatus,
}

/// The requests or limits of a pod as a whole, without the overhead of its runtime.
pub fn before_overhead(pod: &Value, which: Which, basis: Basis) -> ResourceList {
    let mut sum = of_containers(pod, which, basis);
    let own = resource_list::parse(meta::at(pod, &["spec", "resources", which.field()]));
    sum.extend(own.into_iter().filter(|(name, _)| is_pod_level(name)));
    sum
}

/// The requests or limits of a pod as a whole.
pub fn total(pod: &Value, which: Which, basis: Basis) -> ResourceList {
    let mut sum = before_overhead(pod, which, basis);
    let overhead = resource_list::parse(meta::at(pod, &["spec", "overhead"]));
    match which {
        Which::Requests => resource_list::add(&mut sum, &overhead),
        // What has no limit does not get one from the overhead.
        Which::Limits => {
            let limited = resource_list::only(&overhead, |name| sum.get(name).is_some_and(|limit| !limit.is_zero()));
            resource_list::add(&mut sum, &limited);
        }
    }
    sum
}

/// Whether resources may be asked for by a pod as a whole.
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Whether a pod says as a whole what it asks for.
pub fn has_pod_level(pod: &Value) -> bool {
    let lists = [Which::Requests, Which::Limits];
    lists.iter().any(|which| {
        let list = meta::at(pod, &["spec", "resources", which.field()]).and_then(Value::as_object);
        list.is_some_and(|list| list.keys().any(|name| is_pod_level(name)))
    })
}

fn of_containers(pod: &Value, which: Which, basis: Basis) -> ResourceList {
    let mut sum = ResourceList::new();
    for container in meta::items(pod, &["spec", "containers"]) {
        resource_list::add(&mut sum, &of_container(pod, container, ("containerStatuses", which), basis));
    }
    // Sidecars go on running; every other init container runs beside those that were started before it.
    let mut sidecars = ResourceList::new();
    let mut initialization = ResourceList::new();
    for container in meta::items(pod, &["spec", "initContainers"]) {
        let mut own = of_container(pod, container, ("initContainerStatuses", which), basis);
        if meta::text(container, &["restartPolicy"]) == "Always" {
            resource_list::add(&mut sum, &own);
            resource_list::add(&mut sidecars, &own);
            own = sidecars.clone();
        } else {
            resource_list::add(&mut own, &sidecars);
        }
        resource_list::raise(&mut initialization, &own);
    }
    resource_list::raise(&mut sum, &initialization);
    sum
}

fn of_container(pod: &Value, container: &Value, (statuses, which): (&str, Which), basis: Basis) -> ResourceList {
    let spec = resource_list::parse(meta::at(container, &["resources", which.field()]));
    if basis == Basis::Spec {
        return spec;
    }
    let name = meta::text(container, &["name"]);
    let statuses = meta::items(pod, &["status", statuses]);
    let Some(status) = statuses.iter().find(|it| meta::text(it, &["name"]) == name) else { return spec };
    let Some(actual) = status.get("resources").filter(|it| it.is_object()) else { return spec };
    let mut most = if is_resize_infeasible(pod) { ResourceList::new() } else { spec };
    resource_list::raise(&mut most, &resource_list::parse(actual.get(which.field())));
    if which == Which::Requests {
        resource_list::raise(&mut most, &resource_list::parse(status.get("allocatedResources")));
    }
    most
}

fn is_resize_infeasible(pod: &Value) -> bool {
    meta::items(pod, &["status", "conditions"]).iter().any(|condition| {
        meta::text(condition, &["type"]) == "PodResizePending" && meta::text(condition, &["reason"]) == "Infeasible"
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(pod: Value, which: Which, expect: &str) {
        assert_eq!(resource_list::show(&total(&pod, which, Basis::SpecAndStatus)), expect);
    }

    fn asks(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
    }

    #[test]
    fn containers_add_up_and_init_containers_compete() {
        let mut sidecar = asks("s", "1");
        sidecar["restartPolicy"] = json!("Always");
        let spec = json!({
            "containers": [asks("a", "1"), asks("b", "500m")],
            "initContainers": [asks("before", "2"), sidecar, asks("after", "3")],
            "overhead": {"cpu": "100m", "memory": "1Mi"},
        });
        // 3 for the last init container and 1 for the sidecar beside it are more than 1 + 0.5 + 1.
        check(json!({"spec": spec}), Which::Requests, "cpu=4100m,memory=1Mi");
        check(json!({"spec": spec}), Which::Limits, "cpu=4100m");
    }

    #[test]
    fn a_pod_may_ask_as_a_whole() {
        let resources = json!({"requests": {"cpu": "5", "example.com/gpu": "1"}});
        let pod = json!({"spec": {"containers": [asks("a", "1")], "resources": resources}});
        assert!(has_pod_level(&pod));
        check(pod, Which::Requests, "cpu=5");
    }

    #[test]
    fn what_a_container_has_counts_until_it_is_resized() {
        let status = |conditions: Value| {
            json!({"conditions": conditions, "containerStatuses": [
                {"name": "a", "resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "2"}}]})
        };
        let pod =
            |cpu: &str, conditions| json!({"spec": {"containers": [asks("a", cpu)]}, "status": status(conditions)});
        check(pod("1", json!([])), Which::Requests, "cpu=2");
        check(pod("3", json!([])), Which::Requests, "cpu=3");
        let infeasible = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
        check(pod("3", infeasible), Which::Requests, "cpu=2");
    }
}
