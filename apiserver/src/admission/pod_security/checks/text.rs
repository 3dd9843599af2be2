//! Looking at pods, and saying what is wrong with them.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::meta;

use super::Pod;

impl<'a> Pod<'a> {
    /// All containers, in the order in which they are started.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| meta::items(spec, &[list]))
    }

    /// The names of the containers that fit.
    pub(super) fn containers_that(&self, fits: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers()
            .filter(|container| fits(container))
            .map(|container| meta::text(container, &["name"]))
            .collect()
    }

    /// Whether its users are not those of the node.
    pub(super) fn has_own_users(&self) -> bool {
        self.spec.get("hostUsers").and_then(Value::as_bool) == Some(false)
    }

    /// Whether it is for Windows.
    pub(super) fn is_windows(&self) -> bool {
        meta::text(self.spec, &["os", "name"]) == "windows"
    }
}

/// A field of the security context of a pod or a container.
pub(super) fn security<'a>(subject: &'a Value, path: &[&str]) -> Option<&'a Value> {
    meta::at(subject.get("securityContext")?, path).filter(|value| !value.is_null())
}

/// A flag of the security context.
pub(super) fn flag(subject: &Value, path: &[&str]) -> Option<bool> {
    security(subject, path)?.as_bool()
}

/// A text of the security context; empty if it is absent.
pub(super) fn word<'a>(subject: &'a Value, path: &[&str]) -> &'a str {
    security(subject, path).and_then(Value::as_str).unwrap_or_default()
}

/// `"a", "b"`.
pub(super) fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The one form or the other.
pub(super) fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn named(containers: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", containers.len()), quoted(containers))
}

/// Who has set something: `pod and container "a"`; empty if nobody has.
pub(super) fn setters(pod: bool, containers: &[&str]) -> String {
    let containers = (!containers.is_empty()).then(|| named(containers));
    pod.then(|| "pod".to_owned()).into_iter().chain(containers).collect::<Vec<_>>().join(" and ")
}

/// Each value once, in order.
pub(super) fn unique<'a>(values: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    values.into_iter().collect()
}
