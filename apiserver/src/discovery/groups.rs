//! The groups and versions in the order in which clients prefer them.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::registry::resource::Resource;

/// The priorities of the groups; a greater number comes first.
const GROUP_PRIORITIES: [(&str, i32); 22] = [
    // The aggregator's own group comes before all others.
    ("apiregistration.k8s.io", i32::MAX),
    ("", 18000),
    ("apps", 17800),
    ("events.k8s.io", 17750),
    ("authentication.k8s.io", 17700),
    ("authorization.k8s.io", 17600),
    ("autoscaling", 17500),
    ("batch", 17400),
    ("certificates.k8s.io", 17300),
    ("networking.k8s.io", 17200),
    ("policy", 17100),
    ("rbac.authorization.k8s.io", 17000),
    ("storage.k8s.io", 16800),
    ("apiextensions.k8s.io", 16700),
    ("admissionregistration.k8s.io", 16700),
    ("scheduling.k8s.io", 16600),
    ("coordination.k8s.io", 16500),
    ("node.k8s.io", 16300),
    ("resource.k8s.io", 16200),
    ("discovery.k8s.io", 16200),
    ("flowcontrol.apiserver.k8s.io", 16100),
    ("internal.apiserver.k8s.io", 16000),
];

/// The priority of every other group.
const GROUP_PRIORITY: i32 = 1000;

/// What `GET /apis` answers: the groups but for the core group.
pub fn api_group_list(catalog: &[Arc<Resource>]) -> Value {
    let groups: Vec<_> = group_versions(catalog)
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_entry(group, &versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// What `GET /apis/GROUP` answers; `None` if there is no such group.
pub fn api_group(catalog: &[Arc<Resource>], group: &str) -> Option<Value> {
    let versions = versions_of(catalog, group);
    if group.is_empty() || versions.is_empty() {
        return None;
    }
    let mut entry = group_entry(group, &versions);
    entry["kind"] = "APIGroup".into();
    entry["apiVersion"] = "v1".into();
    Some(entry)
}

/// The groups, the core group among them, each with its versions, all in the order of preference.
pub fn group_versions(catalog: &[Arc<Resource>]) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<_> = catalog.iter().map(|resource| resource.group.as_str()).collect();
    groups.sort_by_key(|group| (Reverse(group_priority(group)), *group));
    groups.dedup();
    groups.into_iter().map(|group| (group, versions_of(catalog, group))).collect()
}

fn versions_of<'a>(catalog: &'a [Arc<Resource>], group: &str) -> Vec<&'a str> {
    let of_group = catalog.iter().filter(|resource| resource.group == group);
    let mut versions: Vec<_> = of_group.map(|resource| resource.version.as_str()).collect();
    versions.sort_by_key(|version| Reverse(version_rank(version)));
    versions.dedup();
    versions
}

fn group_entry(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// The priority of a group; the greatest comes first.
pub(crate) fn group_priority(group: &str) -> i32 {
    GROUP_PRIORITIES.into_iter().find(|(name, _)| *name == group).map_or(GROUP_PRIORITY, |(_, priority)| priority)
}

/// How versions compare: stable over beta over alpha, then the greater numbers; versions of another form come last, in
/// the order of their names. The greatest is the preferred one. The built-in groups follow the same rule.
/// Source: `k8s.io/apimachinery/pkg/version.CompareKubeAwareVersionStrings`.
fn version_rank(version: &str) -> (u8, u64, u64, Reverse<&str>) {
    let other = (0, 0, 0, Reverse(version));
    let Some(rest) = version.strip_prefix('v') else {
        return other;
    };
    let (major, rest) = split_number(rest);
    let (stage, minor) = match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
        _ if rest.is_empty() => return major.map_or(other, |major| (3, major, 0, Reverse(""))),
        (Some(minor), _) => (2, minor),
        (_, Some(minor)) => (1, minor),
        _ => return other,
    };
    match (major, split_number(minor)) {
        (Some(major), (Some(minor), "")) => (stage, major, minor, Reverse("")),
        _ => other,
    }
}

/// The number at the start of the text, and what follows it.
fn split_number(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (number.parse().ok(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_maturity() {
        let mut versions = [
            "foo1",
            "v1",
            "v10",
            "v11alpha2",
            "v11alpha1",
            "v11beta2",
            "v12alpha1",
            "v2",
            "v3beta1",
            "foo10",
            "v0",
            "v1beta",
        ];
        versions.sort_by_key(|version| Reverse(version_rank(version)));
        assert_eq!(
            versions,
            [
                "v10",
                "v2",
                "v1",
                "v0",
                "v11beta2",
                "v3beta1",
                "v12alpha1",
                "v11alpha2",
                "v11alpha1",
                "foo1",
                "foo10",
                "v1beta",
            ]
        );
    }
}
