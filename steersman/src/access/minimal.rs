//! The smallest roles that allow what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use steersman_apiserver::authorization::rule::PolicyRule;

use super::Access;

/// In this order verbs are written; others follow.
const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// Roles that allow exactly what was asked for. As text, the YAML of a ClusterRole and of a Role for each namespace, as far
/// as they have rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinimalRole {
    /// The name of the roles.
    pub name: String,
    /// What was done at the cluster scope or with paths that are no resource.
    pub cluster: Vec<PolicyRule>,
    /// What was done in single namespaces.
    pub namespaces: BTreeMap<String, Vec<PolicyRule>>,
}

impl MinimalRole {
    /// The roles of that name for these accesses.
    pub(super) fn of(name: &str, accesses: &BTreeSet<Access>) -> Self {
        let mut scopes: BTreeMap<&str, Vec<&Access>> = BTreeMap::new();
        for access in accesses {
            scopes.entry(&access.namespace).or_default().push(access);
        }
        let cluster = scopes.remove("").map(|accesses| rules(&accesses)).unwrap_or_default();
        let mut namespaces = BTreeMap::new();
        for (namespace, accesses) in scopes {
            // What is allowed everywhere need not be allowed here.
            let nameless = |access: &Access| Access { name: String::new(), ..access.clone() };
            let known = |access: &&Access| cluster.iter().any(|rule| nameless(access).is_allowed_by(rule));
            let own: Vec<&Access> = accesses.into_iter().filter(|access| !known(access)).collect();
            if !own.is_empty() {
                namespaces.insert(namespace.to_owned(), rules(&own));
            }
        }
        Self { name: name.to_owned(), cluster, namespaces }
    }

    /// The roles as YAML documents.
    pub fn to_yaml(&self) -> String {
        let cluster = (!self.cluster.is_empty()).then(|| document("ClusterRole", &self.name, "", &self.cluster));
        let namespaced = self.namespaces.iter().map(|(place, rules)| document("Role", &self.name, place, rules));
        cluster.into_iter().chain(namespaced).collect::<Vec<_>>().join("---\n")
    }
}

impl fmt::Display for MinimalRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_yaml())
    }
}

fn rules(accesses: &[&Access]) -> Vec<PolicyRule> {
    let mut resources: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
    let mut paths: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for access in accesses {
        match access.path.as_str() {
            "" => resources.entry((&access.group, access.entry())).or_default().insert(&access.verb),
            path => paths.entry(path).or_default().insert(&access.verb),
        };
    }
    // Resources of a group that are used alike share a rule.
    let mut alike: BTreeMap<(&str, BTreeSet<&str>), Vec<String>> = BTreeMap::new();
    for ((group, resource), verbs) in resources {
        alike.entry((group, verbs)).or_default().push(resource);
    }
    let mut rules: Vec<PolicyRule> = alike
        .into_iter()
        .map(|((group, verbs), resources)| PolicyRule {
            api_groups: vec![group.to_owned()],
            resources,
            verbs: in_order(&verbs),
            ..PolicyRule::default()
        })
        .collect();
    rules.sort_by(|a, b| (&a.api_groups, &a.resources).cmp(&(&b.api_groups, &b.resources)));
    let mut alike: BTreeMap<BTreeSet<&str>, Vec<String>> = BTreeMap::new();
    for (path, verbs) in paths {
        alike.entry(verbs).or_default().push(path.to_owned());
    }
    rules.extend(alike.into_iter().map(|(verbs, non_resource_urls)| PolicyRule {
        non_resource_urls,
        verbs: in_order(&verbs),
        ..PolicyRule::default()
    }));
    rules
}

fn in_order(verbs: &BTreeSet<&str>) -> Vec<String> {
    let usual = VERBS.iter().filter(|verb| verbs.contains(**verb));
    let others = verbs.iter().filter(|verb| !VERBS.contains(*verb));
    usual.chain(others).map(|verb| (*verb).to_owned()).collect()
}

fn document(kind: &str, name: &str, namespace: &str, rules: &[PolicyRule]) -> String {
    let mut yaml = format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\n");
    if !namespace.is_empty() {
        yaml.push_str(&format!("  namespace: {namespace}\n"));
    }
    yaml.push_str("rules:\n");
    for rule in rules {
        let lists = [
            ("apiGroups", &rule.api_groups),
            ("resources", &rule.resources),
            ("nonResourceURLs", &rule.non_resource_urls),
            ("verbs", &rule.verbs),
        ];
        for (position, (field, list)) in lists.into_iter().filter(|(_, list)| !list.is_empty()).enumerate() {
            let dash = if position == 0 { "- " } else { "  " };
            let entries: Vec<String> = list.iter().map(|entry| format!("{entry:?}")).collect();
            yaml.push_str(&format!("{dash}{field}: [{}]\n", entries.join(", ")));
        }
    }
    yaml
}
