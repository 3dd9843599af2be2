//! Which requests a webhook, a policy or a binding is about: rules, and selectors of namespaces and objects.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/webhook/predicates`, `plugin/policy/matching`; Kubernetes doc "Dynamic
//! Admission Control", sections "Matching requests".

use std::sync::Arc;

use serde_json::Value;
use steersman_machinery::group::{GroupResource, GroupVersionKind};
use steersman_machinery::labels::Selector;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{Attributes, Operation};
use crate::registry::resource::Resource;

/// The kinds that nothing can be made to watch over: else nobody could take away what refuses everything.
const EXEMPT: [&str; 6] = [
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// Whether a write is of a kind that no webhook and no policy is asked about.
pub fn is_exempt(attributes: &Attributes<'_>) -> bool {
    attributes.resource.group == "admissionregistration.k8s.io" && EXEMPT.contains(&attributes.resource.kind.as_str())
}

/// The kind of the bodies of a resource or a subresource.
pub fn kind(resource: &Resource, subresource: &str) -> GroupVersionKind {
    resource.subresource(subresource).map_or_else(|| resource.gvk(), |it| it.kind.clone())
}

/// What a webhook or a policy says of the requests that it is about; conditions in CEL aside.
#[derive(Clone, Debug)]
pub struct Criteria {
    /// `None`: every request.
    rules: Option<Vec<Rule>>,
    exclude: Vec<Rule>,
    equivalent: bool,
    namespaces: Result<Selector, String>,
    objects: Result<Selector, String>,
}

/// How a request matches.
#[derive(Clone, Debug)]
pub struct Matched {
    /// The version that was asked for, if it is another one than that of the request; objects are to be converted to it.
    pub other: Option<Arc<Resource>>,
    /// The kind of the object in that version.
    pub kind: GroupVersionKind,
}

/// One rule. In each list `*` stands for everything.
#[derive(Clone, Debug, Default)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    scope: String,
}

impl Criteria {
    /// Those of an item of a webhook configuration's `webhooks`. Without rules, nothing matches.
    pub fn webhook(webhook: &Value) -> Self {
        Self { rules: Some(rules(webhook, "rules")), ..Self::selectors(webhook) }
    }

    /// Those of a policy's `matchConstraints` or a binding's `matchResources`. Without rules, everything matches.
    pub fn policy(resources: &Value) -> Self {
        let rules_given = Some(rules(resources, "resourceRules")).filter(|rules| !rules.is_empty());
        Self { rules: rules_given, exclude: rules(resources, "excludeResourceRules"), ..Self::selectors(resources) }
    }

    fn selectors(source: &Value) -> Self {
        Self {
            rules: None,
            exclude: Vec::new(),
            equivalent: meta::text(source, &["matchPolicy"]) == "Equivalent",
            namespaces: selector(source.get("namespaceSelector")),
            objects: selector(source.get("objectSelector")),
        }
    }

    /// Whether, and in which version, a request matches. `object` is what it leaves; there is none for a delete.
    ///
    /// # Errors
    /// If the rules match but nobody can tell whether a selector does: 404 if the namespace does not exist.
    pub async fn matches(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Value>,
    ) -> Result<Option<Matched>, Status> {
        // What does not apply has no errors either; what applies is refused for them last.
        let namespaces = self.namespace_matches(attributes, object).await;
        let objects = self.object_matches(attributes, object);
        if matches!(namespaces, Ok(false)) || matches!(objects, Ok(false)) {
            return Ok(None);
        }
        let excluded = !self.exclude.is_empty() && self.find(&self.exclude, attributes)?.is_some();
        let matched = match &self.rules {
            _ if excluded => None,
            None => Some(Matched { other: None, kind: attributes.kind() }),
            Some(rules) => self.find(rules, attributes)?,
        };
        if matched.is_some() {
            namespaces?;
            objects?;
        }
        Ok(matched)
    }

    fn find(&self, rules: &[Rule], attributes: &Attributes<'_>) -> Result<Option<Matched>, Status> {
        if rules.iter().any(|rule| rule.matches(attributes, attributes.resource)) {
            return Ok(Some(Matched { other: None, kind: attributes.kind() }));
        }
        if !self.equivalent {
            return Ok(None);
        }
        let catalog = attributes.server.catalog();
        let versions: Vec<_> = equivalents(catalog.all(), attributes).collect();
        for rule in rules {
            if let Some(other) = versions.iter().find(|other| rule.matches(attributes, other)) {
                let kind = kind(other, attributes.subresource);
                return Ok(Some(Matched { other: Some(Arc::clone(other)), kind }));
            }
        }
        Ok(None)
    }

    async fn namespace_matches(&self, attributes: &Attributes<'_>, object: Option<&Value>) -> Result<bool, Status> {
        let of_namespaces = attributes.resource.name == "namespaces";
        if attributes.namespace.is_empty() && !of_namespaces {
            return Ok(true);
        }
        let selector = self.namespaces.as_ref().map_err(Status::internal)?;
        if selector.is_everything() {
            return Ok(true);
        }
        let written = matches!(attributes.operation, Operation::Create | Operation::Update);
        if of_namespaces && attributes.subresource.is_empty() && written {
            return Ok(object.is_some_and(|namespace| selector.matches_object(namespace)));
        }
        let name = if attributes.namespace.is_empty() { attributes.name } else { attributes.namespace };
        match attributes.server.configuration("namespaces", "", name).await? {
            Some(namespace) => Ok(selector.matches_object(&namespace)),
            None => Err(Status::not_found(&GroupResource::new("", "namespaces"), name)),
        }
    }

    fn object_matches(&self, attributes: &Attributes<'_>, object: Option<&Value>) -> Result<bool, Status> {
        let selector = self.objects.as_ref().map_err(Status::internal)?;
        let selected = |object: Option<&Value>| object.is_some_and(|object| selector.matches_object(object));
        Ok(selector.is_everything() || selected(object) || selected(attributes.old))
    }
}

/// The other versions of the same resource that have the same subresource.
fn equivalents<'a>(
    catalog: &'a [Arc<Resource>],
    attributes: &'a Attributes<'_>,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    let (resource, subresource) = (attributes.resource, attributes.subresource);
    catalog.iter().filter(move |other| {
        other.storage == resource.storage
            && (other.version != resource.version || other.group != resource.group)
            && (subresource.is_empty() || other.subresource(subresource).is_some())
    })
}

fn selector(selector: Option<&Value>) -> Result<Selector, String> {
    match selector {
        None | Some(Value::Null) => Ok(Selector::everything()),
        Some(selector) => Selector::from_label_selector(selector).map_err(|error| error.to_string()),
    }
}

fn rules(source: &Value, field: &str) -> Vec<Rule> {
    meta::items(source, &[field]).iter().map(Rule::read).collect()
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let list = |field: &str| {
            meta::items(rule, &[field]).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        Self {
            operations: list("operations"),
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources"),
            names: list("resourceNames"),
            scope: meta::text(rule, &["scope"]).to_owned(),
        }
    }

    /// Whether the request matches as if it were about `resource`, which is a version of what it is about.
    fn matches(&self, attributes: &Attributes<'_>, resource: &Resource) -> bool {
        let listed = |list: &[String], item: &str| list.iter().any(|it| it == "*" || it == item);
        self.scope_matches(attributes, resource)
            && listed(&self.operations, attributes.operation.as_str())
            && listed(&self.groups, &resource.group)
            && listed(&self.versions, &resource.version)
            && self.resources.iter().any(|it| is_of(it, &resource.name, attributes.subresource))
            && (self.names.is_empty() || self.names.iter().any(|name| name == attributes.name))
    }

    fn scope_matches(&self, attributes: &Attributes<'_>, resource: &Resource) -> bool {
        // A request about a namespace has its name as namespace, and yet is about something outside of namespaces.
        let outside = attributes.namespace.is_empty() || (resource.group.is_empty() && resource.name == "namespaces");
        match self.scope.as_str() {
            "Namespaced" => !outside,
            "Cluster" => outside,
            _ => true,
        }
    }
}

/// Whether a rule's `pods`, `pods/status`, `pods/*`, `*/scale`, `*` or `*/*` covers a resource or subresource.
fn is_of(pattern: &str, resource: &str, subresource: &str) -> bool {
    let (of_resource, of_subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
    (of_resource == "*" || of_resource == resource) && (of_subresource == "*" || of_subresource == subresource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_resources_and_subresources() {
        let check = |pattern: &str, matching: &[&str]| {
            let all = ["pods", "pods/status", "pods/exec", "nodes", "nodes/status"];
            let got: Vec<&str> = all
                .into_iter()
                .filter(|it| {
                    let (resource, subresource) = it.split_once('/').unwrap_or((it, ""));
                    is_of(pattern, resource, subresource)
                })
                .collect();
            assert_eq!(got, matching, "{pattern}");
        };
        check("pods", &["pods"]);
        check("pods/status", &["pods/status"]);
        check("pods/*", &["pods", "pods/status", "pods/exec"]);
        check("*/status", &["pods/status", "nodes/status"]);
        check("*", &["pods", "nodes"]);
        check("*/*", &["pods", "pods/status", "pods/exec", "nodes", "nodes/status"]);
    }
}
