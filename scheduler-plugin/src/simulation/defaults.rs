//! What the API server would have filled in, for pods and nodes that were never sent to one.
//! Source: `pkg/apis/core/v1/defaults.go`, the admission plugin Priority.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::objects::{ObjectError, name};
use crate::resources::parse_quantity;

/// Priority classes by name, and the one for pods that name none.
#[derive(Debug)]
pub(super) struct PriorityClasses {
    values: BTreeMap<String, (i64, Option<String>)>,
    default: Option<String>,
}

impl Default for PriorityClasses {
    fn default() -> Self {
        let system = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
        let values = system.into_iter().map(|(name, value)| (name.to_owned(), (value, None))).collect();
        Self { values, default: None }
    }
}

impl PriorityClasses {
    pub(super) fn add(&mut self, class: &Value) {
        let policy = class["preemptionPolicy"].as_str().map(str::to_owned);
        self.values.insert(name(class).to_owned(), (class["value"].as_i64().unwrap_or(0), policy));
        if class["globalDefault"] == true {
            self.default = Some(name(class).to_owned());
        }
    }

    /// Says the priority of a pod that names a class.
    fn resolve(&self, pod: &mut Value) -> Result<(), ObjectError> {
        if pod["spec"]["priority"].is_i64() {
            return Ok(());
        }
        let named = pod["spec"]["priorityClassName"].as_str().filter(|name| !name.is_empty());
        let Some(class) = named.or(self.default.as_deref()) else { return Ok(()) };
        let Some((value, policy)) = self.values.get(class) else {
            let message = format!("no PriorityClass with name {class} was found: add it to the cluster's objects");
            return Err(ObjectError::of(pod, message));
        };
        pod["spec"]["priority"] = json!(value);
        if let Some(policy) = policy.as_ref().filter(|_| pod["spec"]["preemptionPolicy"].is_null()) {
            pod["spec"]["preemptionPolicy"] = json!(policy);
        }
        Ok(())
    }
}

/// A pod with what the API server would have added. `number` makes a name for one that has none.
pub(super) fn pod(mut pod: Value, classes: &PriorityClasses, number: usize) -> Result<Value, ObjectError> {
    if !pod["spec"].is_object() {
        return Err(ObjectError::of(&pod, "spec: Required value"));
    }
    if name(&pod).is_empty() {
        let Some(prefix) = pod["metadata"]["generateName"].as_str() else {
            return Err(ObjectError::of(&pod, "metadata.name: Required value"));
        };
        pod["metadata"]["name"] = json!(format!("{prefix}{number}"));
    }
    let set = |value: &mut Value, default: Value| {
        if value.is_null() || value == "" {
            *value = default;
        }
    };
    amounts(&mut pod)?;
    numbers(&pod)?;
    set(&mut pod["metadata"]["namespace"], json!("default"));
    let uid = format!("{}/{}", pod["metadata"]["namespace"].as_str().unwrap_or_default(), name(&pod));
    set(&mut pod["metadata"]["uid"], json!(uid));
    set(&mut pod["spec"]["schedulerName"], json!("default-scheduler"));
    let host_network = pod["spec"]["hostNetwork"] == true;
    for containers in ["containers", "initContainers"] {
        let containers = pod["spec"].get_mut(containers).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(|container| default_container(container, host_network));
    }
    if pod["spec"]["resources"].is_object() {
        default_requests(&mut pod["spec"]["resources"]);
    }
    classes.resolve(&mut pod)?;
    Ok(pod)
}

fn default_container(container: &mut Value, host_network: bool) {
    if container["resources"].is_object() {
        default_requests(&mut container["resources"]);
    }
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if host_network && port["hostPort"].is_null() {
            port["hostPort"] = port["containerPort"].clone();
        }
    }
}

/// What is limited and not requested is requested.
fn default_requests(resources: &mut Value) {
    for (resource, limit) in resources["limits"].as_object().cloned().unwrap_or_default() {
        if resources["requests"][&resource].is_null() {
            resources["requests"][&resource] = limit;
        }
    }
}

/// Refuses numbers that the API server would refuse: no sum is reckoned with them.
fn numbers(pod: &Value) -> Result<(), ObjectError> {
    const LISTS: [(&str, &str, RangeInclusive<i64>, &str); 5] = [
        ("/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution", "weight", WEIGHTS, WEIGHT),
        ("/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution", "weight", WEIGHTS, WEIGHT),
        ("/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution", "weight", WEIGHTS, WEIGHT),
        ("/spec/topologySpreadConstraints", "maxSkew", COUNTS, COUNT),
        ("/spec/topologySpreadConstraints", "minDomains", COUNTS, COUNT),
    ];
    for (list, field, range, why) in LISTS {
        let items = pod.pointer(list).and_then(Value::as_array).into_iter().flatten().enumerate();
        for (place, item) in items.filter(|(_, item)| !item[field].is_null()) {
            if !item[field].as_i64().is_some_and(|number| range.contains(&number)) {
                let path = list.trim_start_matches('/').replace('/', ".");
                let why = format!("{path}[{place}].{field}: Invalid value: {}: {why}", item[field]);
                return Err(ObjectError::of(pod, why));
            }
        }
    }
    Ok(())
}

const WEIGHTS: RangeInclusive<i64> = 1..=100;
const WEIGHT: &str = "must be in the range 1-100";
const COUNTS: RangeInclusive<i64> = 1..=i32::MAX as i64;
const COUNT: &str = "must be an integer from 1 to 2147483647";

/// Where amounts of resources stand, as maps from resources.
const AMOUNTS: [&str; 6] = ["requests", "limits", "overhead", "allocatable", "capacity", "allocatedResources"];

/// Makes texts of amounts that are numbers, as the API server does.
///
/// # Errors
/// If an amount is none: that would count as nothing.
pub(super) fn amounts(object: &mut Value) -> Result<(), ObjectError> {
    let found = look_for_amounts(object, "");
    found.map_err(|why| ObjectError::of(object, why))
}

fn look_for_amounts(part: &mut Value, path: &str) -> Result<(), String> {
    match part {
        Value::Object(fields) => fields.iter_mut().try_for_each(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match value {
                Value::Object(amounts) if AMOUNTS.contains(&key.as_str()) => {
                    amounts.iter_mut().try_for_each(|(resource, amount)| check_amount(amount, &path, resource))
                }
                value => look_for_amounts(value, &path),
            }
        }),
        Value::Array(items) => {
            let mut items = items.iter_mut().enumerate();
            items.try_for_each(|(place, item)| look_for_amounts(item, &format!("{path}[{place}]")))
        }
        _ => Ok(()),
    }
}

fn check_amount(amount: &mut Value, path: &str, resource: &str) -> Result<(), String> {
    if amount.is_number() {
        *amount = json!(amount.to_string());
    }
    // Capacities of devices are objects of their own.
    let Some(text) = amount.as_str() else { return Ok(()) };
    let wrong = |why: &str| Err(format!("{path}[{resource}]: Invalid value: {text:?}: {why}"));
    match parse_quantity(text, 0) {
        None => wrong("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        Some(number) if number < 0 => wrong("must be greater than or equal to 0"),
        Some(_) => Ok(()),
    }
}

/// A node: what it has is what pods may take, if it does not say otherwise.
///
/// # Errors
/// If what it has is no amount.
pub(super) fn node(mut node: Value) -> Result<Value, ObjectError> {
    amounts(&mut node)?;
    if node["status"]["allocatable"].is_null() && node["status"]["capacity"].is_object() {
        node["status"]["allocatable"] = node["status"]["capacity"].clone();
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_gets_what_the_api_server_would_have_filled_in() {
        let mut classes = PriorityClasses::default();
        classes.add(&json!({"metadata": {"name": "usual"}, "value": 7, "globalDefault": true}));
        let given = json!({"kind": "Pod", "metadata": {"generateName": "a-"}, "spec": {"hostNetwork": true, "containers": [
            {"resources": {"limits": {"cpu": "2"}}, "ports": [{"containerPort": 80}]}]}});
        let pod = super::pod(given, &classes, 3).unwrap();
        assert_eq!(
            pod["metadata"],
            json!({"generateName": "a-", "name": "a-3", "namespace": "default", "uid": "default/a-3"})
        );
        assert_eq!((&pod["spec"]["priority"], &pod["spec"]["schedulerName"]), (&json!(7), &json!("default-scheduler")));
        let container = &pod["spec"]["containers"][0];
        assert_eq!(
            (&container["resources"]["requests"]["cpu"], &container["ports"][0]["hostPort"]),
            (&json!("2"), &json!(80))
        );
    }

    #[test]
    fn amounts_may_be_numbers_and_have_to_be_amounts() {
        let of = |amount: Value| {
            let container = json!({"name": "c", "resources": {"requests": {"cpu": amount}}});
            let given = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [container]}});
            let pod = super::pod(given, &PriorityClasses::default(), 0).map_err(|error| error.to_string())?;
            Ok(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].clone())
        };
        assert_eq!(of(json!(2)), Ok(json!("2")));
        assert_eq!(of(json!(0.5)), Ok(json!("0.5")));
        let wrong = |amount: Value, why: &str| {
            let error: String = of(amount).unwrap_err();
            assert!(
                error.starts_with("Pod \"a\": spec.containers[0].resources.requests[cpu]: Invalid value"),
                "{error}"
            );
            assert!(error.contains(why), "{error}");
        };
        wrong(json!("abc"), "quantities must match");
        wrong(json!("-1"), "must be greater than or equal to 0");
        let mut device = json!({"spec": {"devices": [{"capacity": {"memory": {"value": "1Gi"}}}]}});
        assert!(amounts(&mut device).is_ok(), "capacities of devices are objects");
    }

    #[test]
    fn numbers_are_those_that_the_api_server_lets_through() {
        let check = |spec: Value, expect: &str| {
            let given = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
            let error = super::pod(given, &PriorityClasses::default(), 0).unwrap_err().to_string();
            assert_eq!(error, format!("Pod \"a\": {expect}"));
        };
        check(
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101}]}}}),
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must \
             be in the range 1-100",
        );
        check(
            json!({"topologySpreadConstraints": [{"maxSkew": 1}, {"maxSkew": 0}]}),
            "spec.topologySpreadConstraints[1].maxSkew: Invalid value: 0: must be an integer from 1 to 2147483647",
        );
    }

    #[test]
    fn a_class_that_is_not_there_is_named() {
        let given = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"priorityClassName": "high"}});
        let error = super::pod(given, &PriorityClasses::default(), 0).unwrap_err().to_string();
        assert_eq!(error, "Pod \"a\": no PriorityClass with name high was found: add it to the cluster's objects");
    }
}
