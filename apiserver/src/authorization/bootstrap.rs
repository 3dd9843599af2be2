//! The roles and bindings that a cluster has from the start, read from a table.
//! Source: `kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy`.

mod install;
mod table;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::rbac::GROUP;
use super::rule::PolicyRule;

pub(crate) use install::install;

/// Says that a missing rule or subject is added again at the next start, unless it is `false`.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// A Role or ClusterRole.
#[derive(Debug, PartialEq, Eq)]
pub struct Role {
    /// The namespace; empty for a ClusterRole.
    pub namespace: &'static str,
    /// The name.
    pub name: String,
    /// Which other roles it is part of: `view` for those that gather `aggregate-to-view`.
    pub labels: Vec<&'static str>,
    /// Which label it gathers the rules of; nothing for the usual role.
    pub aggregates: Option<&'static str>,
    /// Its rules.
    pub rules: Vec<PolicyRule>,
}

/// A RoleBinding or ClusterRoleBinding.
#[derive(Debug, PartialEq, Eq)]
pub struct RoleBinding {
    /// The namespace; empty for a ClusterRoleBinding.
    pub namespace: &'static str,
    /// The name.
    pub name: String,
    /// The role, of the same scope.
    pub role: String,
    /// Kind and name, for service accounts `namespace/name`.
    pub subjects: Vec<(&'static str, String)>,
}

/// What there is from the start.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Roles, those of the cluster first.
    pub roles: Vec<Role>,
    /// Bindings, those of the cluster first.
    pub bindings: Vec<RoleBinding>,
}

/// What there is from the start.
pub fn policy() -> &'static Policy {
    static POLICY: LazyLock<Policy> = LazyLock::new(|| {
        table::parse(include_str!("bootstrap.txt")).expect("the table is well formed: a test reads it")
    });
    &POLICY
}

/// The rules of a ClusterRole that is there from the start; none if it is not.
pub fn rules_of(name: &str) -> &'static [PolicyRule] {
    static RULES: LazyLock<BTreeMap<&'static str, &'static [PolicyRule]>> = LazyLock::new(|| {
        let cluster = policy().roles.iter().filter(|role| role.namespace.is_empty());
        cluster.map(|role| (role.name.as_str(), role.rules.as_slice())).collect()
    });
    RULES.get(name).copied().unwrap_or_default()
}

fn aggregation_label(to: &str) -> String {
    format!("{GROUP}/aggregate-to-{to}")
}

impl Role {
    fn to_json(&self) -> Value {
        let mut role =
            object(if self.namespace.is_empty() { "ClusterRole" } else { "Role" }, self.namespace, &self.name);
        for to in &self.labels {
            role["metadata"]["labels"][aggregation_label(to)] = json!("true");
        }
        if let Some(from) = self.aggregates {
            let selector = json!({"matchLabels": {aggregation_label(from): "true"}});
            role["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
        }
        role["rules"] = if self.rules.is_empty() { Value::Null } else { json!(self.rules) };
        role
    }
}

impl RoleBinding {
    fn to_json(&self) -> Value {
        let (kind, role) = match self.namespace {
            "" => ("ClusterRoleBinding", "ClusterRole"),
            _ => ("RoleBinding", "Role"),
        };
        let mut binding = object(kind, self.namespace, &self.name);
        binding["roleRef"] = json!({"apiGroup": GROUP, "kind": role, "name": self.role});
        let subjects: Vec<Value> = self.subjects.iter().map(|(kind, name)| subject(kind, name)).collect();
        if !subjects.is_empty() {
            binding["subjects"] = Value::Array(subjects);
        }
        binding
    }
}

fn subject(kind: &str, name: &str) -> Value {
    match name.split_once('/') {
        Some((namespace, name)) if kind == "ServiceAccount" => {
            json!({"kind": kind, "namespace": namespace, "name": name})
        }
        _ => json!({"kind": kind, "apiGroup": GROUP, "name": name}),
    }
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {AUTOUPDATE: "true"},
        },
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

#[cfg(test)]
mod tests;
