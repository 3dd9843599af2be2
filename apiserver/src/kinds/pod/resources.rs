//! What is wrong with requests and limits. Source: `ValidateResourceRequirements` of
//! `k8s.io/kubernetes/pkg/apis/core/validation`, `k8s.io/kubernetes/pkg/apis/core/helper`.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::{FieldError, show};
use steersman_machinery::names;

use crate::kinds::check::Cursor;
use crate::kinds::check::amount;

const STANDARD: &[&str] = &[
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
];
const INTEGER: &[&str] = &[
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// Whether a resource is huge pages of some size.
pub(crate) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

fn may_be_overcommitted(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Whether a resource has a name that Kubernetes itself gave.
pub(crate) fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_huge_page(name) || name.starts_with("requests.hugepages-")
}

/// Complains at `place` about the name of a resource: a standard one, or a qualified one.
pub(crate) fn resource_name(place: &Cursor<'_>, name: &str) {
    let complaints = names::qualified_name(name);
    for complaint in &complaints {
        place.invalid_str(name, complaint.clone());
    }
    if complaints.is_empty() && !name.contains('/') && !is_standard(name) {
        place.invalid_str(name, "must be a standard resource type or fully qualified");
    }
}

/// Complains at `place` about a name that no resource of a container has.
pub(crate) fn container_resource_name(place: &Cursor<'_>, name: &str) {
    resource_name(place, name);
    if !name.contains('/') {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge_page(name) {
            place.invalid_str(name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        place.invalid_str(name, "doesn't follow extended resource name standard");
    }
}

/// Complains about an amount of the resource `name` that is negative, or not whole where it must be.
pub(crate) fn quantity(place: &Cursor<'_>, name: &str) {
    let quantity = amount::of(place.value);
    if quantity.is_negative() {
        place.invalid("must be greater than or equal to 0");
    }
    if (INTEGER.contains(&name) || is_extended(name)) && !amount::is_whole(quantity) {
        place.invalid("must be an integer");
    }
}

/// `resources` of a container of the pod specification at `spec`.
pub(super) fn container(spec: &Cursor<'_>, resources: &Cursor<'_>) {
    let (limits, requests) = (resources.at("limits"), resources.at("requests"));
    for (name, limit) in limits.entries() {
        container_resource_name(&limit, name);
        quantity(&limit, name);
    }
    for (name, request) in requests.entries() {
        container_resource_name(&request, name);
        quantity(&request, name);
        within_limit(&requests, &limits, name);
    }
    let names = || limits.entries().chain(requests.entries()).map(|(name, _)| name);
    if names().any(is_huge_page) && !names().any(|name| matches!(name, "cpu" | "memory")) {
        resources.forbidden("HugePages require cpu or memory");
    }
    claims(spec, &resources.at("claims"));
}

/// A request is at most its limit; what may not be overcommitted is requested as it is limited.
pub(super) fn within_limit(requests: &Cursor<'_>, limits: &Cursor<'_>, name: &str) {
    let (request, limit) = (requests.key(name), limits.key(name));
    if !limit.is_set() {
        if !may_be_overcommitted(name) {
            limits.required("Limit must be set for non overcommitable resources");
        }
        return;
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (asked, allowed) = (amount::of(request.value), amount::of(limit.value));
    let rule = if asked != allowed && !may_be_overcommitted(name) {
        "must be equal to"
    } else if asked > allowed {
        "must be less than or equal to"
    } else {
        return;
    };
    requests
        .invalid_as(show(&Value::from(text(request.value))), format!("{rule} {name} limit of {}", text(limit.value)));
}

fn claims(spec: &Cursor<'_>, claims: &Cursor<'_>) {
    let known: Vec<&str> = spec.at("resourceClaims").items().map(|claim| claim.at("name").text()).collect();
    let mut seen = BTreeSet::new();
    for claim in claims.items() {
        let name = claim.at("name");
        if name.is_empty() {
            name.required("");
            continue;
        }
        let key = (name.text(), claim.at("request").text());
        if !seen.insert(key) {
            claim.push(FieldError::duplicate(&claim.path, name.value));
        }
        if !known.contains(&name.text()) {
            let mut error = FieldError::not_found(&claim.path, name.value);
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if known.is_empty() {
                error.detail.push_str(" which is empty");
            } else {
                error.detail.push_str(&format!(": {}", known.join(", ")));
            }
            claim.push(error);
        }
    }
}
