//! What a validating policy gets wrong about the types of the objects that it is about. Nobody is refused for that: the
//! types that an object has in another version may fit.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go`, whose texts these are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use steersman_cel::{DeclaredType, Environment, Type};
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::meta;

use crate::admission::expressions;
use crate::admission::webhook::review::go_kind;
use crate::openapi::resolved;
use crate::registry::catalog::Catalog;
use crate::registry::resource::Resource;

/// The most kinds that are looked at for one policy.
const MAX_TYPES: usize = 10;

/// The fields of the policy whose expressions are wrong for some of its kinds, with what is wrong.
pub(crate) fn check(catalog: &Catalog, policy: &Value) -> Vec<(String, String)> {
    let spec = policy.get("spec").unwrap_or(&Value::Null);
    let params = spec.get("paramKind").and_then(|kind| {
        let (version, kind) = (meta::text(kind, &["apiVersion"]), meta::text(kind, &["kind"]));
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        declared(catalog.find_kind(&GroupVersionKind::new(group, version, kind))?)
    });
    let environments: Vec<(String, Environment)> = kinds(catalog, spec)
        .into_iter()
        .filter_map(|resource| {
            let typed = expressions::typed(declared(&resource)?, params.clone());
            Some((go_kind(&resource.gvk()), with_variables(typed, meta::items(spec, &["variables"]))))
        })
        .collect();
    let mut warnings = Vec::new();
    for (index, validation) in meta::items(spec, &["validations"]).iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let source = meta::text(validation, &[field]);
            let faults = environments.iter().filter(|_| !source.is_empty()).filter_map(|(kind, environment)| {
                let fault = environment.compile(source).err()?;
                Some(format!("{kind}: {}\n", fault.message))
            });
            let faults = faults.collect::<Vec<_>>().join("\n");
            if !faults.is_empty() {
                warnings.push((format!("spec.validations[{index}].{field}"), faults));
            }
        }
    }
    warnings
}

fn declared(resource: &Arc<Resource>) -> Option<DeclaredType> {
    DeclaredType::from_schema(&resource.kind, &resolved::schema(resource), false)
}

fn with_variables(base: Environment, variables: &[Value]) -> Environment {
    let mut types = Vec::new();
    let mut environment = base.clone().variable("variables", expressions::variables_type(&types));
    for variable in variables {
        let compiled = environment.compile(meta::text(variable, &["expression"]));
        let ty = compiled.map_or(Type::Dyn, |program| program.result_type().clone());
        types.push((meta::text(variable, &["name"]).to_owned(), ty));
        environment = base.clone().variable("variables", expressions::variables_type(&types));
    }
    environment
}

/// The kinds that the rules of a policy name, without those that they mean by a star.
fn kinds(catalog: &Catalog, spec: &Value) -> Vec<Arc<Resource>> {
    let mut found = BTreeMap::new();
    for rule in meta::items(spec, &["matchConstraints", "resourceRules"]) {
        let list = |field: &str| -> Vec<&str> {
            let mut texts: Vec<&str> = meta::items(rule, &[field]).iter().filter_map(Value::as_str).collect();
            texts.sort_unstable();
            texts
        };
        let (groups, versions) = (list("apiGroups"), list("apiVersions"));
        if groups.iter().chain(&versions).any(|text| text.contains('*')) {
            continue;
        }
        for (group, version) in groups.iter().flat_map(|group| versions.iter().map(move |version| (*group, *version))) {
            for name in list("resources").into_iter().filter(|name| !name.contains(['*', '/'])) {
                // Upstream takes no group for any.
                let named = |it: &&Arc<Resource>| {
                    it.name == name && it.version == version && (group.is_empty() || it.group == group)
                };
                let resources = catalog.all().iter().filter(named);
                found.extend(resources.map(|it| ((it.group.clone(), it.version.clone(), it.kind.clone()), it.clone())));
            }
        }
    }
    found.into_values().take(MAX_TYPES).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(resources: &[&str], spec: Value) -> Value {
        let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": resources});
        let mut policy = json!({"spec": {"matchConstraints": {"resourceRules": [rule]}}});
        for (field, value) in spec.as_object().unwrap() {
            policy["spec"][field] = value.clone();
        }
        policy
    }

    fn check_all(policy: &Value, expect: &[(&str, &str)]) {
        let found = check(&Catalog::builtin(), policy);
        let found: Vec<(&str, &str)> = found.iter().map(|(field, fault)| (field.as_str(), fault.as_str())).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn expressions_are_held_against_the_kinds_that_are_named() {
        let wrong = "object.spec.replicas > '1'";
        check_all(
            &policy(
                &["deployments"],
                json!({"validations": [
                    {"expression": "object.spec.replicas > 1"},
                    {"expression": wrong, "messageExpression": "'wants replicas > ' + 1"},
                    {"expression": "object.replicas > 1"},
                ]}),
            ),
            &[
                (
                    "spec.validations[1].expression",
                    "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to \
                     '(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n",
                ),
                (
                    "spec.validations[1].messageExpression",
                    "apps/v1, Kind=Deployment: ERROR: <input>:1:21: found no matching overload for '_+_' applied to \
                     '(string, int)'\n | 'wants replicas > ' + 1\n | ....................^\n",
                ),
                (
                    "spec.validations[2].expression",
                    "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n \
                     | ......^\n",
                ),
            ],
        );
        let both = check(
            &Catalog::builtin(),
            &policy(
                &["daemonsets", "deployments", "*/scale", "pods/log"],
                json!({"validations": [
                {"expression": "object.spec.replicas > 1"}]}),
            ),
        );
        assert_eq!(both.len(), 1);
        assert!(both[0].1.starts_with("apps/v1, Kind=DaemonSet: ERROR: <input>:1:12: undefined field 'replicas'"));
        assert_eq!(both[0].1.matches("Kind=").count(), 1);
        check_all(&policy(&["*"], json!({"validations": [{"expression": wrong}]})), &[]);
    }

    #[test]
    fn variables_parameters_and_what_refers_to_itself_have_types() {
        let spec = json!({
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "variables": [{"name": "n", "expression": "object.spec.replicas"}, {"name": "m", "expression": "variables.n + 1"}],
            "validations": [
                {"expression": "variables.m > 1 && params.data.x == 'y' && object.metadata.name.startsWith('a')"},
                {"expression": "object.spec.template.spec.containers.all(c, c.image.contains('/'))"},
                {"expression": "object.spec.strategy.rollingUpdate.maxSurge == 1"},
                {"expression": "variables.m == 'x'"}, {"expression": "params.nope == 1"},
            ],
        });
        let fields: Vec<String> =
            check(&Catalog::builtin(), &policy(&["deployments"], spec)).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["spec.validations[3].expression", "spec.validations[4].expression"]);
        let definitions = json!({"spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["v1"], "operations": ["*"],
                "resources": ["customresourcedefinitions"]}]},
            "validations": [{"expression": "object.spec.versions.exists(v, v.storage)"}, {"expression": "object.spec.group == 1"}],
        }});
        assert_eq!(check(&Catalog::builtin(), &definitions)[0].0, "spec.validations[1].expression");
    }
}
