//! What is wrong with a change of the status of a pod. Source: `ValidatePodStatusUpdate` of
//! `k8s.io/kubernetes/pkg/apis/core/validation`.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::{meta, names};

use super::{annotations, security, validation};
use crate::kinds::check::{self, Cursor};

const SYSTEM_CONDITIONS: &[&str] = &["PodScheduled", "Ready", "Initialized"];
const RUNNING_AGAIN: &str = "may not be transitioned to non-terminated state";
const LONGEST_MESSAGE: usize = 1024;
/// The lists of states of containers, and the containers they tell of.
const LISTS: [(&str, &str); 3] = [
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
];

/// What is wrong with the status of `object`, which was `old`.
pub(super) fn update(object: &Value, old: &Value) -> ErrorList {
    check::collect(object, |root| {
        let (spec, status) = (root.at("spec"), root.at("status"));
        let known = root.at("metadata").at("annotations");
        annotations::update(&known, &known.with(meta::at(old, &["metadata", "annotations"]), Path::default()), &spec);
        conditions(&status.at("conditions"));
        nominated(&status.at("nominatedNodeName"), old);
        if status.at("observedGeneration").int().is_some_and(|generation| generation < 0) {
            status.at("observedGeneration").invalid("must be a non-negative integer");
        }
        let class = status.at("qosClass");
        if class.text() != meta::text(old, &["status", "qosClass"]) {
            class.invalid_text(check::IMMUTABLE);
        }
        for (statuses, containers) in LISTS {
            ended_stays_ended(&status.at(statuses), meta::items(old, &["status", statuses]), old, containers);
        }
        claims(&status.at("resourceClaimStatuses"), &spec);
        extended_claim(&status.at("extendedResourceClaimStatus"), &spec);
        validation::pod_addresses(&status, old);
        for (statuses, _) in LISTS {
            users(&status.at(statuses), spec.at("os").at("name").text());
        }
        for (statuses, containers) in LISTS {
            allocated(&status.at(statuses), &spec.at(containers), containers);
        }
    })
}

fn conditions(conditions: &Cursor<'_>) {
    for condition in conditions.items() {
        let generation = condition.at("observedGeneration");
        if generation.int().is_some_and(|generation| generation < 0) {
            generation.invalid("must be a non-negative integer");
        }
        let sort = condition.at("type");
        if !SYSTEM_CONDITIONS.contains(&sort.text()) {
            condition.with(Some(sort.value), condition.path.child("Type")).named(names::qualified_name);
        }
    }
}

/// Where a pod may go soon: a node, and only while it is nowhere.
fn nominated(name: &Cursor<'_>, old: &Value) {
    if name.is_empty() || name.text() == meta::text(old, &["status", "nominatedNodeName"]) {
        return;
    }
    name.named(names::dns1123_subdomain);
    if !meta::text(old, &["spec", "nodeName"]).is_empty() {
        name.forbidden("may not be set on pods that are already bound to a node");
    }
}

/// A container that ended for good stays ended.
fn ended_stays_ended(statuses: &Cursor<'_>, old: &[Value], pod: &Value, containers: &str) {
    if containers != "ephemeralContainers" && all_could_restart(pod) {
        return;
    }
    for (index, before) in old.iter().enumerate() {
        let Some(terminated) = meta::at(before, &["state", "terminated"]).filter(|state| !state.is_null()) else {
            continue;
        };
        let name = meta::text(before, &["name"]);
        let running = statuses.items().find(|status| status.at("name").text() == name);
        if running.is_none_or(|status| status.down(&["state", "terminated"]).is_set()) {
            continue;
        }
        let code = terminated.get("exitCode").and_then(Value::as_i64).unwrap_or_default();
        let container =
            meta::items(pod, &["spec", containers]).iter().find(|container| meta::text(container, &["name"]) == name);
        let may = containers != "ephemeralContainers"
            && container.is_some_and(|container| should_restart(container, pod, code));
        if !may {
            let path = statuses.path.index(index).child("state");
            statuses.push(FieldError::forbidden(&path, RUNNING_AGAIN));
        }
    }
}

/// Whether some container may have all others started again.
fn all_could_restart(pod: &Value) -> bool {
    ["containers", "initContainers"].iter().flat_map(|list| meta::items(pod, &["spec", list])).any(|container| {
        let rules = meta::items(container, &["restartPolicyRules"]);
        rules.iter().any(|rule| meta::text(rule, &["action"]) == "RestartAllContainers")
    })
}

/// Whether a container that ended with this code is started again: its rules say so, or its policy, or the pod's.
fn should_restart(container: &Value, pod: &Value, code: i64) -> bool {
    let own = meta::text(container, &["restartPolicy"]);
    if !own.is_empty() {
        let ruled = meta::items(container, &["restartPolicyRules"]).iter().any(|rule| {
            let listed = meta::items(rule, &["exitCodes", "values"]).iter().any(|value| value.as_i64() == Some(code));
            match meta::text(rule, &["exitCodes", "operator"]) {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
        });
        if ruled {
            return true;
        }
    }
    match if own.is_empty() { meta::text(pod, &["spec", "restartPolicy"]) } else { own } {
        "Always" => true,
        "OnFailure" => code != 0,
        _ => false,
    }
}

fn claims(statuses: &Cursor<'_>, spec: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for status in statuses.items() {
        let name = status.at("name");
        if !spec.at("resourceClaims").items().any(|claim| claim.at("name").text() == name.text()) {
            name.invalid_text("must match the name of an entry in `spec.resourceClaims`");
        }
        name.once(&mut seen);
        let claim = status.at("resourceClaimName");
        if claim.is_set() {
            claim.named(names::dns1123_subdomain);
        }
    }
}

fn extended_claim(status: &Cursor<'_>, spec: &Cursor<'_>) {
    if !status.is_set() {
        return;
    }
    let mappings = status.at("requestMappings");
    if mappings.is_empty() {
        mappings.required("at least one request mapping is required");
    }
    let mut seen = BTreeSet::new();
    for mapping in mappings.items() {
        let (name, resource, request) =
            (mapping.at("containerName"), mapping.at("resourceName"), mapping.at("requestName"));
        let container = ["containers", "initContainers"]
            .into_iter()
            .flat_map(|list| spec.at(list).items())
            .find(|container| container.at("name").text() == name.text());
        match container {
            None => {
                name.invalid_text("must match the name of an entry in spec.initContainers.name or spec.containers.name")
            }
            Some(container) if !container.down(&["resources", "requests"]).key(resource.text()).is_set() => {
                let rule = "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests";
                resource.invalid_text(rule);
            }
            Some(_) => {}
        }
        status.with(Some(request.value), status.path.child("requestName")).named(names::dns1123_label);
        if !seen.insert((name.text(), resource.text(), request.text())) {
            [&name, &resource, &request].into_iter().for_each(Cursor::duplicate);
        }
    }
    status.at("resourceClaimName").must_be_named(names::dns1123_subdomain);
}

/// Who a container runs as, if its status says so.
fn users(statuses: &Cursor<'_>, os: &str) {
    for status in statuses.items() {
        let user = status.at("user").at("linux");
        if !user.is_set() {
            continue;
        }
        match os {
            "windows" => user.forbidden("cannot be set for a windows pod"),
            "linux" | "" => {
                security::id(&user.at("uid"));
                security::id(&user.at("gid"));
                user.at("supplementalGroups").items().for_each(|group| security::id(&group));
            }
            _ => {}
        }
    }
}

/// How the devices of a container are.
fn allocated(statuses: &Cursor<'_>, containers: &Cursor<'_>, list: &str) {
    for status in statuses.items() {
        let resources = status.at("allocatedResourcesStatus");
        if list == "ephemeralContainers" {
            if !resources.is_empty() {
                resources.forbidden("must not be specified in container status");
            }
            continue;
        }
        let container = containers.items().find(|container| container.at("name").text() == status.at("name").text());
        for resource in resources.items() {
            if let Some(container) = &container {
                allocated_name(&resource.at("name"), container);
            }
            let mut seen = BTreeSet::new();
            for device in resource.at("resources").items() {
                let health = device.at("health");
                if !matches!(health.text(), "Healthy" | "Unhealthy" | "Unknown") {
                    health.not_supported(&["Healthy", "Unhealthy", "Unknown"]);
                }
                let message = device.at("message");
                if message.is_set() && message.is_empty() {
                    message.required("must be non-empty if specified");
                } else if message.text().len() > LONGEST_MESSAGE {
                    message.push(FieldError::too_long(&message.path, LONGEST_MESSAGE));
                }
                device.at("resourceID").once(&mut seen);
            }
        }
    }
}

fn allocated_name(name: &Cursor<'_>, container: &Cursor<'_>) {
    let resources = container.at("resources");
    if !name.text().starts_with("claim:") {
        if !resources.at("requests").key(name.text()).is_set() {
            name.invalid_text("must match one of the container's resource requests");
        }
        return;
    }
    let known = resources.at("claims").items().any(|claim| {
        let request = claim.at("request").text();
        let separator = if request.is_empty() { "" } else { "/" };
        name.text() == format!("claim:{}{separator}{request}", claim.at("name").text())
    });
    if !known {
        let rule = "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";
        name.invalid_text(rule);
    }
}
