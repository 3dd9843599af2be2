//! The kinds of `scheduling.k8s.io/v1alpha2`: groups of pods, and the templates that they are made from. KEP-4671.
//! Source: `k8s.io/kubernetes/pkg/apis/scheduling/{v1alpha2,validation}`, `pkg/registry/scheduling/{podgroup,workload}`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{meta, names};

use super::check::{self, Cursor, conditions, same};
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of groups of pods.
#[derive(Clone, Copy, Debug)]
pub struct PodGroup;

/// The strategy of workloads.
#[derive(Clone, Copy, Debug)]
pub struct Workload;

/// How many templates a workload can have.
const MAX_TEMPLATES: usize = 8;
/// How many claims the pods of a group can share.
const MAX_CLAIMS: usize = 4;
/// How many topology domains a group can ask for.
const MAX_TOPOLOGIES: usize = 1;
/// The most that a group of a user may be worth.
const MAX_PRIORITY: i64 = 1_000_000_000;
const DISRUPTION_MODES: &[&str] = &["Pod", "PodGroup"];
/// What a field has to be.
type Check = fn(&Cursor<'_>);
/// What of a group stays as it is, in the order in which it is checked.
const FIELDS: [(&str, Check); 7] = [
    ("podGroupTemplateRef", template_ref),
    ("schedulingPolicy", policy),
    ("schedulingConstraints", constraints),
    ("resourceClaims", claims),
    ("disruptionMode", disruption_mode),
    ("priorityClassName", priority_class),
    ("priority", priority),
];

impl Strategy for PodGroup {
    fn rules(&self) -> Rules {
        Rules { has_status: true, ..Rules::DEFAULT }
    }

    /// The mode is forgotten again where its feature is off.
    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "disruptionMode"], "Pod");
        meta::set_default(object, &["spec", "schedulingPolicy"], json!({}));
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| FIELDS.iter().for_each(|(field, check)| check(&root.at("spec").at(field))))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            for (field, _) in FIELDS {
                root.at("spec").at(field).immutable(meta::at(old, &["spec", field]));
            }
        })
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let (status, shared) = (root.at("status"), root.at("spec").at("resourceClaims"));
            conditions::validate(&status.at("conditions"));
            let statuses = status.at("resourceClaimStatuses");
            at_most(&statuses, MAX_CLAIMS);
            let mut seen = BTreeSet::new();
            for claim in statuses.items() {
                let name = claim.at("name");
                name.once(&mut seen);
                if !shared.items().any(|it| it.at("name").text() == name.text()) {
                    name.invalid_text("must match the name of an entry in `spec.resourceClaims`");
                }
                optional_name(&claim.at("resourceClaimName"), names::dns1123_subdomain);
            }
        })
    }
}

impl Strategy for Workload {
    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            controller_ref(&spec.at("controllerRef"));
            templates(&spec.at("podGroupTemplates"));
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            for field in ["controllerRef", "podGroupTemplates"] {
                let field_now = root.at("spec").at(field);
                if !same(Some(field_now.value), meta::at(old, &["spec", field])) {
                    field_now.immutable(meta::at(old, &["spec", field]));
                }
            }
        })
    }
}

fn controller_ref(reference: &Cursor<'_>) {
    if !reference.is_set() {
        return;
    }
    optional_name(&reference.at("apiGroup"), names::dns1123_subdomain);
    reference.at("kind").must_be_named(names::path_segment);
    reference.at("name").must_be_named(names::path_segment);
}

fn templates(templates: &Cursor<'_>) {
    at_most(templates, MAX_TEMPLATES);
    if !templates.must_be_set() || templates.len() > MAX_TEMPLATES {
        return;
    }
    let mut seen = BTreeSet::new();
    for template in templates.items() {
        let name = template.at("name");
        if !name.once(&mut seen) {
            continue;
        }
        name.must_be_named(names::dns1123_label);
        for (field, check) in FIELDS.into_iter().filter(|(field, _)| *field != "podGroupTemplateRef") {
            check(&template.at(field));
        }
    }
}

fn template_ref(reference: &Cursor<'_>) {
    if !reference.is_set() {
        return;
    }
    one_of(reference, &["workload"]);
    let workload = reference.at("workload");
    if workload.is_set() {
        workload.at("workloadName").must_be_named(names::dns1123_subdomain);
        workload.at("podGroupTemplateName").must_be_named(names::dns1123_label);
    }
}

fn policy(policy: &Cursor<'_>) {
    one_of(policy, &["basic", "gang"]);
    if !policy.at("gang").is_set() {
        return;
    }
    let count = policy.at("gang").at("minCount");
    match count.int() {
        None | Some(0) => count.required(""),
        Some(number) if number < 1 => count.invalid("must be greater than or equal to 1"),
        Some(_) => {}
    }
}

fn constraints(constraints: &Cursor<'_>) {
    let topology = constraints.at("topology");
    at_most(&topology, MAX_TOPOLOGIES);
    for constraint in topology.items() {
        constraint.at("key").must_be_named(names::qualified_name);
    }
}

fn claims(claims: &Cursor<'_>) {
    at_most(claims, MAX_CLAIMS);
    let mut seen = BTreeSet::new();
    for claim in claims.items() {
        let name = claim.at("name");
        if name.must_be_set() && name.once(&mut seen) {
            name.named(names::dns1123_label);
        }
        one_of(&claim, &["resourceClaimName", "resourceClaimTemplateName"]);
        for field in ["resourceClaimName", "resourceClaimTemplateName"] {
            optional_name(&claim.at(field), names::dns1123_subdomain);
        }
    }
}

fn disruption_mode(mode: &Cursor<'_>) {
    mode.one_of(DISRUPTION_MODES);
}

fn priority_class(name: &Cursor<'_>) {
    optional_name(name, names::dns1123_subdomain);
}

fn priority(priority: &Cursor<'_>) {
    if priority.int().is_some_and(|number| number > MAX_PRIORITY) {
        priority.invalid(format!("must be less than or equal to {MAX_PRIORITY}"));
    }
}

fn optional_name(name: &Cursor<'_>, complaints: fn(&str) -> Vec<String>) {
    if !name.is_empty() {
        name.named(complaints);
    }
}

fn at_most(list: &Cursor<'_>, max: usize) {
    if list.len() > max {
        list.push(FieldError::too_many(&list.path, list.len(), max));
    }
}

/// Complains unless exactly one of the members is set.
/// Source: `k8s.io/apimachinery/pkg/api/validate.Union`.
fn one_of(union: &Cursor<'_>, members: &[&str]) {
    let set: Vec<&str> = members.iter().copied().filter(|member| union.at(member).is_set()).collect();
    let all: Vec<String> = members.iter().map(|member| format!("`{member}`")).collect();
    match set.as_slice() {
        [_] => {}
        [] => union.invalid_str("", format!("must specify one of: {}", all.join(", "))),
        several => {
            let shown = format!("{{{}}}", several.join(", "));
            union.invalid_str(&shown, format!("must specify exactly one of: {}", all.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(errors: &ErrorList) -> Vec<String> {
        check::messages(errors)
    }

    #[test]
    fn groups_have_one_policy_and_stay_as_they_are() {
        let of = |spec: Value| told(&PodGroup.validate(&json!({ "spec": spec })));
        assert_eq!(of(json!({"schedulingPolicy": {"gang": {"minCount": 2}}})), [""; 0]);
        assert_eq!(of(json!({"schedulingPolicy": {"basic": {}}})), [""; 0]);
        assert_eq!(
            of(json!({"schedulingPolicy": {}})),
            ["spec.schedulingPolicy: Invalid value: \"\": must specify one of: `basic`, `gang`"]
        );
        assert_eq!(
            of(json!({"schedulingPolicy": {"basic": {}, "gang": {"minCount": 0}}})),
            [
                "spec.schedulingPolicy: Invalid value: \"{basic, gang}\": must specify exactly one of: `basic`, `gang`",
                "spec.schedulingPolicy.gang.minCount: Required value",
            ]
        );
        let group = json!({"spec": {"schedulingPolicy": {"gang": {"minCount": 2}}}});
        let changed = json!({"spec": {"schedulingPolicy": {"gang": {"minCount": 3}}}});
        let errors = told(&PodGroup.validate_update(&changed, &group));
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].starts_with("spec.schedulingPolicy: Invalid value") && errors[0].ends_with("field is immutable")
        );
    }

    #[test]
    fn references_are_names() {
        let of = |spec: Value| {
            let mut spec = spec;
            spec["schedulingPolicy"] = json!({"basic": {}});
            told(&PodGroup.validate(&json!({ "spec": spec })))
        };
        assert_eq!(
            of(json!({"podGroupTemplateRef": {}})),
            ["spec.podGroupTemplateRef: Invalid value: \"\": must specify one of: `workload`"]
        );
        assert_eq!(
            of(json!({"podGroupTemplateRef": {"workload": {"workloadName": "w"}}})),
            ["spec.podGroupTemplateRef.workload.podGroupTemplateName: Required value"]
        );
        assert_eq!(
            of(json!({"schedulingConstraints": {"topology": [{"key": "a"}, {"key": "b"}]}})),
            ["spec.schedulingConstraints.topology: Too many: 2: must have at most 1 item"]
        );
        assert_eq!(
            of(json!({"resourceClaims": [{"name": "a", "resourceClaimName": "c"}, {"name": "a"}]})),
            [
                "spec.resourceClaims[1].name: Duplicate value: \"a\"",
                "spec.resourceClaims[1]: Invalid value: \"\": must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ]
        );
    }

    #[test]
    fn workloads_have_templates_of_different_names() {
        let of = |spec: Value| told(&Workload.validate(&json!({ "spec": spec })));
        let template = |name: &str| json!({"name": name, "schedulingPolicy": {"basic": {}}});
        assert_eq!(of(json!({"podGroupTemplates": [template("a"), template("b")]})), [""; 0]);
        assert_eq!(of(json!({})), ["spec.podGroupTemplates: Required value"]);
        assert_eq!(
            of(json!({"podGroupTemplates": [template("a"), template("a")]})),
            ["spec.podGroupTemplates[1].name: Duplicate value: \"a\""]
        );
        assert_eq!(
            of(json!({"podGroupTemplates": (0..9).map(|n| template(&n.to_string())).collect::<Vec<_>>()})),
            ["spec.podGroupTemplates: Too many: 9: must have at most 8 items"]
        );
        assert_eq!(
            of(json!({"controllerRef": {"kind": "a/b"}, "podGroupTemplates": [template("a")]})),
            [
                "spec.controllerRef.kind: Invalid value: \"a/b\": may not contain '/'",
                "spec.controllerRef.name: Required value",
            ]
        );
    }
}
