//! Pods: their number, and what those that are not done yet ask for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::count;
use crate::clock::parse_time;
use crate::meta;
use crate::pod::resources::{Basis, Which, has_pod_level, total};
use crate::resource_list::{self, ResourceList};

const TRACKED: [&str; 10] = [
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// What every container has to say if a quota limits it. Upstream regrets this and adds nothing to it.
const TO_BE_SAID: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const REQUESTS: &str = "requests.";
const HUGE_PAGES: &str = "hugepages-";
/// How devices are asked for like an extended resource, by the name of their class.
const DEVICE_CLASS: &str = "requests.deviceclass.resource.kubernetes.io/";

pub(super) fn tracks(name: &str) -> bool {
    TRACKED.contains(&name)
        || name.starts_with(HUGE_PAGES)
        || name.starts_with("requests.hugepages-")
        || (name.starts_with(REQUESTS) && (!is_native(name) || name.starts_with(DEVICE_CLASS)))
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

pub(super) fn usage(pod: &Value, now: Timestamp) -> ResourceList {
    if is_done(pod, now) {
        return ResourceList::new();
    }
    let total = |which| total(pod, which, Basis::SpecAndStatus);
    let mut usage = computed(&total(Which::Requests), &total(Which::Limits));
    usage.insert("pods".to_owned(), count(1));
    usage
}

/// Whether a pod has ended, or should have: one that hangs on a lost node is not held against its owner.
fn is_done(pod: &Value, now: Timestamp) -> bool {
    if matches!(meta::text(pod, &["status", "phase"]), "Failed" | "Succeeded") {
        return true;
    }
    let deleted = meta::deletion_timestamp(pod).and_then(parse_time);
    deleted.zip(meta::deletion_grace_period(pod)).is_some_and(|(deleted, seconds)| {
        deleted.checked_add(SignedDuration::from_secs(seconds)).is_ok_and(|end| now > end)
    })
}

/// What requests and limits are called in quotas.
fn computed(requests: &ResourceList, limits: &ResourceList) -> ResourceList {
    let mut usage = ResourceList::new();
    for (name, amount) in requests {
        let base = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with(HUGE_PAGES);
        if base {
            usage.insert(name.clone(), *amount);
        }
        if base || is_extended(name) {
            usage.insert(format!("{REQUESTS}{name}"), *amount);
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(amount) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *amount);
        }
    }
    usage
}

fn is_extended(name: &str) -> bool {
    (!is_native(name) && !name.starts_with(REQUESTS)) || name.starts_with("deviceclass.resource.kubernetes.io/")
}

/// What of `limited` containers of a pod do not say, by name of the resource: `limits.cpu for: a,b; memory for: a`.
pub fn missing<'a>(pod: &Value, limited: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if has_pod_level(pod) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let limited: Vec<&str> = limited.into_iter().filter(|name| TO_BE_SAID.contains(name)).collect();
    for container in ["containers", "initContainers"].iter().flat_map(|list| meta::items(pod, &["spec", list])) {
        let list = |which: Which| resource_list::parse(meta::at(container, &["resources", which.field()]));
        let said = computed(&list(Which::Requests), &list(Which::Limits));
        for name in limited.iter().filter(|name| !said.contains_key(**name)) {
            missing.entry(name).or_default().insert(meta::text(container, &["name"]));
        }
    }
    let text = |(name, containers): (&str, BTreeSet<&str>)| {
        format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
    };
    (!missing.is_empty()).then(|| missing.into_iter().map(text).collect::<Vec<_>>().join("; "))
}

/// Whether a pod ends by itself: it has a deadline.
pub fn is_terminating(pod: &Value) -> bool {
    meta::at(pod, &["spec", "activeDeadlineSeconds"]).and_then(Value::as_i64).is_some_and(|seconds| seconds >= 0)
}
