//! Custom resources: what a CustomResourceDefinition must be ([`definition`]), which names it has ([`names`]), and how
//! the objects that it defines behave ([`custom`]) and look ([`printer`]). Everything here is a pure function.
//! Source: `k8s.io/apiextensions-apiserver`; Kubernetes doc "CustomResourceDefinition".

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::Value;
use steersman_machinery::group::{GroupResource, GroupVersionKind};
use steersman_machinery::meta;

use crate::registry::resource::{Resource, ScalePaths, Subresource};

pub mod custom;
pub mod definition;
pub mod json_path;
pub mod names;
pub mod printer;
pub mod rules;
pub mod structural;
pub mod values;

use custom::CustomStrategy;
use printer::CustomPrinter;
use structural::Structural;

/// What can be done with custom resources, in upstream's order.
const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// What can be done with them while their definition is being deleted.
const VERBS_WHILE_TERMINATING: [&str; 5] = ["delete", "deletecollection", "get", "list", "watch"];
const SUBRESOURCE_VERBS: [&str; 3] = ["get", "patch", "update"];

/// The resources that a definition serves, one for each served version, the most stable and newest first. None as long
/// as it is not established.
pub fn resources(definition: &Value) -> Vec<Resource> {
    if !condition_is_true(definition, "Established") {
        return Vec::new();
    }
    let mut served: Vec<&Value> = meta::items(definition, &["spec", "versions"])
        .iter()
        .filter(|version| version.get("served") == Some(&Value::Bool(true)))
        .collect();
    served.sort_by_key(|version| Reverse(stability(meta::text(version, &["name"]))));
    served.into_iter().map(|version| resource(definition, version)).collect()
}

/// Whether the definition has that condition, and it is true.
pub fn condition_is_true(definition: &Value, condition: &str) -> bool {
    meta::items(definition, &["status", "conditions"])
        .iter()
        .any(|it| meta::text(it, &["type"]) == condition && meta::text(it, &["status"]) == "True")
}

/// Orders versions: `v2` over `v1` over `v2beta1` over `v1alpha3` over anything else; the greatest comes first.
/// Source: Kubernetes doc "Versions in CustomResourceDefinitions", section "Version priority".
fn stability(version: &str) -> (u8, u64, u64, Reverse<String>) {
    let parse = || -> Option<(u8, u64, u64)> {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, rest) = rest.split_at(end);
        let major = major.parse().ok()?;
        if rest.is_empty() {
            return Some((3, major, 0));
        }
        let (level, minor) = match rest.strip_prefix("beta") {
            Some(minor) => (2, minor),
            None => (1, rest.strip_prefix("alpha")?),
        };
        Some((level, major, minor.parse().ok()?))
    };
    let (level, major, minor) = parse().unwrap_or((0, 0, 0));
    (level, major, minor, Reverse(version.to_owned()))
}

fn resource(definition: &Value, version: &Value) -> Resource {
    let text = |path: &[&str]| meta::text(definition, path).to_owned();
    let accepted = |name: &str| text(&["status", "acceptedNames", name]);
    let list = |name: &str| {
        let items = meta::items(definition, &["status", "acceptedNames", name]).iter();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let group = text(&["spec", "group"]);
    let name = text(&["spec", "names", "plural"]);
    let published = meta::at(version, &["schema", "openAPIV3Schema"]).cloned().unwrap_or_default();
    let schema = Arc::new(Structural::parse(&published));
    let kind = GroupVersionKind::new(group.as_str(), meta::text(version, &["name"]), accepted("kind"));
    let verbs: &[&str] = match meta::deletion_timestamp(definition) {
        Some(_) => &VERBS_WHILE_TERMINATING,
        None => &VERBS,
    };
    let scale = scale_paths(version);
    Resource {
        group: group.clone(),
        version: kind.version.clone(),
        singular: accepted("singular"),
        list_kind: accepted("listKind"),
        namespaced: text(&["spec", "scope"]) == "Namespaced",
        short_names: list("shortNames"),
        categories: list("categories"),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        subresources: subresources(version, &kind),
        storage: GroupResource::new(group, name.as_str()),
        object_type: structural::object_type(&schema),
        strategy: Arc::new(CustomStrategy::new(definition, version, schema, scale.clone())),
        scale,
        printer: Arc::new(CustomPrinter::new(version)),
        custom: true,
        disabled_fields: Vec::new(),
        deprecation: deprecation(definition, version, &kind),
        served_since: 0,
        published_schema: Some(Arc::new(published)),
        kind: kind.kind,
        name,
    }
}

/// What everybody is told who uses the version, if it is deprecated: by default, which later version there is.
fn deprecation(definition: &Value, version: &Value, kind: &GroupVersionKind) -> Option<String> {
    let is = |version: &Value, what: &str| version.get(what).and_then(Value::as_bool) == Some(true);
    if !is(version, "deprecated") {
        return None;
    }
    if let Some(own) = meta::at(version, &["deprecationWarning"]).and_then(Value::as_str) {
        return Some(own.to_owned());
    }
    let versions = meta::items(definition, &["spec", "versions"]).iter();
    let usable = versions.filter(|it| is(it, "served") && !is(it, "deprecated")).map(|it| meta::text(it, &["name"]));
    let instead = usable.max_by_key(|it| stability(it)).filter(|it| stability(it) > stability(&kind.version));
    let GroupVersionKind { group, kind: name, .. } = kind;
    let instead = instead.map(|it| format!("; use {group}/{it} {name}")).unwrap_or_default();
    Some(format!("{} {name} is deprecated{instead}", kind.api_version()))
}

fn subresources(version: &Value, kind: &GroupVersionKind) -> Vec<Subresource> {
    let offered = [("status", kind.clone()), ("scale", GroupVersionKind::new("autoscaling", "v1", "Scale"))];
    offered
        .into_iter()
        .filter(|(name, _)| meta::at(version, &["subresources", name]).is_some_and(Value::is_object))
        .map(|(name, kind)| Subresource {
            name: name.to_owned(),
            kind,
            verbs: SUBRESOURCE_VERBS.iter().map(|verb| (*verb).to_owned()).collect(),
        })
        .collect()
}

fn scale_paths(version: &Value) -> Option<ScalePaths> {
    let scale = meta::at(version, &["subresources", "scale"]).filter(|scale| scale.is_object())?;
    let path = |name: &str| meta::text(scale, &[name]).trim_start_matches('.').to_owned();
    Some(ScalePaths {
        spec: path("specReplicasPath"),
        status: path("statusReplicasPath"),
        selector: path("labelSelectorPath"),
        plain_selector: false,
    })
}

#[cfg(test)]
mod tests;
