//! The roles of a chart, and where they hold for a service account.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use steersman_apiserver::authorization::rule::{ALL, PolicyRule};

use super::Access;

/// What manifests give to a service account.
#[derive(Debug, Default)]
pub(super) struct Roles(Vec<Given>);

/// Rules, and where they hold.
#[derive(Debug)]
struct Given {
    /// For messages: `ClusterRole operator`.
    role: String,
    /// `None` is everywhere.
    namespace: Option<String>,
    rules: Vec<PolicyRule>,
}

/// What is read of a manifest of whatever kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Manifest {
    kind: String,
    metadata: Metadata,
    rules: Option<Vec<PolicyRule>>,
    role_ref: Reference,
    subjects: Option<Vec<Reference>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    kind: String,
    name: String,
    namespace: String,
}

impl Roles {
    /// Reads what `manifests` give to an account. Kinds that are no roles or bindings are passed over.
    ///
    /// # Panics
    /// If they are no YAML, or roles in no form that can be read.
    #[track_caller]
    pub(super) fn parse(manifests: &str, namespace: &str, account: &str) -> Self {
        let documents: Result<Vec<Value>, _> = serde_saphyr::from_multiple(manifests);
        let documents = documents.unwrap_or_else(|error| fail(&format!("the manifests are no YAML: {error}")));
        let is_ours = |document: &Value| {
            let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
            matches!(kind, "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding")
        };
        let read = |document| {
            let manifest: Result<Manifest, _> = serde_json::from_value(document);
            manifest.unwrap_or_else(|error| fail(&format!("a role in the manifests cannot be read: {error}")))
        };
        let mut ours: Vec<Manifest> = documents.into_iter().filter(is_ours).map(read).collect();
        for manifest in ours.iter_mut().filter(|it| !it.kind.starts_with("Cluster") && it.metadata.namespace.is_empty())
        {
            manifest.metadata.namespace = namespace.to_owned();
        }
        let bindings: Vec<&Manifest> = ours.iter().filter(|manifest| manifest.kind.ends_with("Binding")).collect();
        let roles = ours.iter().filter(|manifest| !manifest.kind.ends_with("Binding"));
        Self(roles.flat_map(|role| given(role, &bindings, (namespace, account))).collect())
    }

    /// Whether one of the rules allows it.
    pub(super) fn allow(&self, access: &Access) -> bool {
        self.0.iter().any(|given| given.holds(access) && given.rules.iter().any(|rule| access.is_allowed_by(rule)))
    }

    /// What the rules allow and was not done, for people.
    pub(super) fn excess(&self, done: &BTreeSet<Access>) -> BTreeSet<String> {
        let mut excess = BTreeSet::new();
        for given in &self.0 {
            for rule in given.rules.iter().flat_map(PolicyRule::broken_down) {
                let used: BTreeSet<String> = done
                    .iter()
                    .filter(|access| given.holds(access) && access.is_allowed_by(&rule))
                    .map(|access| Access { name: String::new(), ..access.clone() }.to_string())
                    .collect();
                let what = describe(&rule);
                if used.is_empty() {
                    excess.insert(format!("{}: {what}", given.role));
                } else if is_wide(&rule) {
                    let used: Vec<String> = used.into_iter().collect();
                    excess.insert(format!("{}: {what}, of which was used: {}", given.role, used.join(", ")));
                }
            }
        }
        excess
    }
}

impl Given {
    fn holds(&self, access: &Access) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == access.namespace)
    }
}

/// Where a role holds for an account.
fn given(role: &Manifest, bindings: &[&Manifest], (namespace, account): (&str, &str)) -> Vec<Given> {
    let names_role = |binding: &&&Manifest| {
        let same_place = role.kind == "ClusterRole" || binding.metadata.namespace == role.metadata.namespace;
        binding.role_ref.kind == role.kind && binding.role_ref.name == role.metadata.name && same_place
    };
    let give = |namespace: Option<String>| Given {
        role: match role.metadata.namespace.as_str() {
            "" => format!("{} {}", role.kind, role.metadata.name),
            place => format!("{} {} in namespace {place}", role.kind, role.metadata.name),
        },
        namespace,
        rules: role.rules.clone().unwrap_or_default(),
    };
    let naming: Vec<&Manifest> = bindings.iter().filter(names_role).copied().collect();
    if naming.is_empty() {
        let place = (role.kind == "Role").then(|| role.metadata.namespace.clone());
        return vec![give(place)];
    }
    let concerns = |binding: &&&Manifest| {
        binding.subjects.iter().flatten().any(|subject| {
            let place = if subject.namespace.is_empty() { &binding.metadata.namespace } else { &subject.namespace };
            subject.kind == "ServiceAccount" && subject.name == account && place == namespace
        })
    };
    let bound = naming.iter().filter(concerns);
    bound.map(|binding| give((binding.kind == "RoleBinding").then(|| binding.metadata.namespace.clone()))).collect()
}

fn is_wide(rule: &PolicyRule) -> bool {
    [&rule.api_groups, &rule.resources, &rule.non_resource_urls, &rule.verbs]
        .into_iter()
        .flatten()
        .any(|entry| entry.contains(ALL))
}

/// A rule about one thing, for people.
fn describe(rule: &PolicyRule) -> String {
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    let verb = first(&rule.verbs);
    if !rule.non_resource_urls.is_empty() {
        return format!("{verb} {}", first(&rule.non_resource_urls));
    }
    let mut text = format!("{verb} {}", first(&rule.resources));
    let group = first(&rule.api_groups);
    if !group.is_empty() {
        text.push_str(&format!(" ({group})"));
    }
    rule.resource_names.iter().for_each(|name| text.push_str(&format!(" {name:?}")));
    text
}

/// Fails the test that gave what cannot be read.
#[track_caller]
#[expect(clippy::panic, reason = "the caller is a test, and this fails it")]
fn fail(why: &str) -> ! {
    panic!("{why}")
}
