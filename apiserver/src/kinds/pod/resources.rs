//! What is wrong with requests and limits. Source: `ValidateResourceRequirements` of
//! `k8s.io/kubernetes/pkg/apis/core/validation`, `k8s.io/kubernetes/pkg/apis/core/helper`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use steersman_machinery::field::{FieldError, show};
use steersman_machinery::pod::resources::{Basis, Which, total};
use steersman_machinery::quantity::Quantity;
use steersman_machinery::{meta, names};

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

/// Whether a resource is one of Kubernetes' own, by its name.
pub(in crate::kinds) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

pub(in crate::kinds) fn may_be_overcommitted(name: &str) -> bool {
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
    requirements(&requests, &limits, container_resource_name);
    let names = || limits.entries().chain(requests.entries()).map(|(name, _)| name);
    if names().any(is_huge_page) && !names().any(|name| matches!(name, "cpu" | "memory")) {
        resources.forbidden("HugePages require cpu or memory");
    }
    claims(spec, &resources.at("claims"));
}

fn requirements(requests: &Cursor<'_>, limits: &Cursor<'_>, named: fn(&Cursor<'_>, &str)) {
    for (name, limit) in limits.entries() {
        named(&limit, name);
        quantity(&limit, name);
        whole_pages(&limit, name);
    }
    for (name, request) in requests.entries() {
        named(&request, name);
        quantity(&request, name);
        within_limit(requests, limits, name);
        whole_pages(&request, name);
    }
}

/// Huge pages come in whole ones.
fn whole_pages(place: &Cursor<'_>, name: &str) {
    let Some(size) = name.strip_prefix("hugepages-") else {
        return;
    };
    let quantity = amount::of(place.value);
    let whole = Quantity::parse(size)
        .is_ok_and(|size| size.value() > 0 && amount::is_whole(size) && quantity.value() % size.value() == 0);
    if !whole {
        place.invalid_text(format!("{quantity} is not positive integer multiple of {name}"));
    }
}

/// What the runtime of a pod needs for itself: limits of a container, as it were.
pub(crate) fn overhead(overhead: &Cursor<'_>) {
    if !overhead.is_set() {
        return;
    }
    let limits = overhead.with(Some(overhead.value), overhead.path.child("limits"));
    let requests = overhead.with(None, overhead.path.child("requests"));
    requirements(&requests, &limits, container_resource_name);
}

/// `resources` of the whole pod whose specification is at `spec`.
pub(super) fn of_pod(spec: &Cursor<'_>) {
    let resources = spec.at("resources");
    if !resources.is_set() {
        return;
    }
    if spec.at("os").at("name").text() == "windows" {
        resources.forbidden("may not be set for a windows pod");
        return;
    }
    if resources.at("claims").is_set() {
        resources.at("claims").forbidden("claims may not be set for Resources at pod-level");
    }
    let (limits, requests) = (resources.at("limits"), resources.at("requests"));
    requirements(&requests, &limits, pod_resource_name);
    let names = || limits.entries().chain(requests.entries()).map(|(name, _)| name);
    if names().any(is_huge_page) && !names().any(|name| matches!(name, "cpu" | "memory")) {
        resources.forbidden("HugePages require cpu or memory");
    }
    claims(spec, &resources.at("claims"));
    containers_within_pod(spec, &resources);
}

fn pod_resource_name(place: &Cursor<'_>, name: &str) {
    let before = place.errors();
    resource_name(place, name);
    if place.errors() == before && !matches!(name, "cpu" | "memory") && !is_huge_page(name) {
        place.push(FieldError::not_supported(&place.path, name, &["cpu", "hugepages-", "memory"]));
    }
}

/// What the containers ask for together is within what the pod asks for, and no limit of theirs is above the pod's.
fn containers_within_pod(spec: &Cursor<'_>, resources: &Cursor<'_>) {
    let mut alone = json!({"spec": spec.value});
    meta::remove(&mut alone, &["spec", "resources"]);
    meta::remove(&mut alone, &["spec", "overhead"]);
    let sum = |which| total(&alone, which, Basis::Spec);
    for (list, which) in [("requests", Which::Requests), ("limits", Which::Limits)] {
        for (name, together) in sum(which) {
            let of_pod = resources.at(list).key(&name);
            if (list == "limits" && !is_huge_page(&name)) || !of_pod.is_set() {
                continue;
            }
            if together > amount::of(of_pod.value) {
                let rule = format!("must be greater than or equal to aggregate container {list} of {together}");
                of_pod.invalid_text(rule);
            }
        }
    }
    for (index, container) in spec.at("containers").items().enumerate() {
        for (name, limit) in container.at("resources").at("limits").entries() {
            let of_pod = resources.at("limits").key(name);
            if of_pod.is_set() && amount::of(limit.value) > amount::of(of_pod.value) {
                let path = resources.path.child("containers").index(index).key(name).child("limits");
                let rule = format!("must be less than or equal to pod limits of {}", of_pod.text());
                limit.with(Some(limit.value), path).invalid_text(rule);
            }
        }
    }
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
    let known: BTreeSet<&str> = spec
        .at("resourceClaims")
        .items()
        .map(|claim| claim.at("name").text())
        .filter(|name| !name.is_empty())
        .collect();
    let mut seen = BTreeSet::new();
    for claim in claims.items() {
        let name = claim.at("name");
        if name.is_empty() {
            claim.required("");
            continue;
        }
        once(&claim, &mut seen);
        if !known.contains(name.text()) {
            let mut error = FieldError::not_found(&claim.path, name.value);
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if known.is_empty() {
                error.detail.push_str(" which is empty");
            } else {
                let known: Vec<&str> = known.iter().copied().collect();
                error.detail.push_str(&format!(": {}", known.join(", ")));
            }
            claim.push(error);
        }
    }
}

/// A claim is named once, or each of its requests once.
fn once(claim: &Cursor<'_>, seen: &mut BTreeSet<String>) {
    let (name, request) = (claim.at("name").text(), claim.at("request"));
    let duplicate = |key: &str| claim.push(FieldError::duplicate(&claim.path, &Value::from(key)));
    if seen.contains(name) {
        duplicate(name);
        return;
    }
    let key = if request.is_empty() {
        let part = format!("{name}/");
        let of_it = seen.range(part.clone()..).take_while(|key| key.starts_with(&part));
        of_it.for_each(|_| duplicate(name));
        name.to_owned()
    } else {
        request.named(names::dns1123_label);
        let key = format!("{name}/{}", request.text());
        if seen.contains(&key) {
            duplicate(&key);
        }
        key
    };
    seen.insert(key);
}
