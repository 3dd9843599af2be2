//! ResourceQuotas and LimitRanges. Source: `k8s.io/kubernetes/pkg/apis/core/validation`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::dump::{self, Fields, Shape};
use super::check::{self, Cursor, amount};
use super::pod::defaults::each;
use super::pod::resources;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of resource quotas.
#[derive(Clone, Copy, Debug)]
pub struct ResourceQuota;

/// The strategy of limit ranges.
#[derive(Clone, Copy, Debug)]
pub struct LimitRange;

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];
/// The scopes that a selector only can ask for.
const PLAIN_SCOPES: &[&str] =
    &["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];
const ONLY_EXISTS: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
    ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
    ResourceQuotaScopeCrossNamespacePodAffinity";
const OF_SCOPE_SELECTOR: Fields = &[("MatchExpressions", "matchExpressions", Shape::List(OF_SCOPE_EXPRESSION))];
const OF_SCOPE_EXPRESSION: Fields = &[
    ("ScopeName", "scopeName", Shape::Text),
    ("Operator", "operator", Shape::Text),
    ("Values", "values", Shape::Same),
];
/// Pairs of scopes of which no pod is in both.
const CONFLICTS: [(&str, &str); 2] = [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];
const COMPUTE: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "pods"];

impl Strategy for ResourceQuota {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { has_status: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            for (name, entry) in spec.at("hard").entries() {
                hard(&entry, name);
            }
            scopes(&spec);
            scope_selector(&spec);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        let mut errors = self.validate(object);
        errors.extend(check::collect(object, |root| {
            let scopes = root.down(&["spec", "scopes"]);
            let new: BTreeSet<&str> = scopes.items().map(|scope| scope.text()).collect();
            let old: BTreeSet<&str> = meta::items(old, &["spec", "scopes"]).iter().filter_map(Value::as_str).collect();
            if new != old {
                scopes.invalid(check::IMMUTABLE);
            }
        }));
        errors
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| {
            for list in ["hard", "used"] {
                for (name, entry) in root.at("status").at(list).entries() {
                    hard(&entry, name);
                }
            }
        })
    }
}

fn is_quota_resource(name: &str) -> bool {
    resources::is_standard(name) && name != "storage"
}

fn hard(entry: &Cursor<'_>, name: &str) {
    resources::resource_name(entry, name);
    if !name.contains('/') && !is_quota_resource(name) {
        entry.invalid_str(name, "must be a standard resource for quota");
    }
    resources::quantity(entry, name);
}

/// Whether a scope says something about a resource: best effort pods have no requests to count.
fn scope_fits(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            COMPUTE.contains(&resource) || resource.contains("ephemeral-storage") || resources::is_huge_page(resource)
        }
        _ => true,
    }
}

fn scopes(spec: &Cursor<'_>) {
    let scopes = spec.at("scopes");
    let all: BTreeSet<&str> = scopes.items().map(|scope| scope.text()).collect();
    for scope in scopes.items() {
        if !SCOPES.contains(&scope.text()) {
            scopes.invalid("unsupported scope");
        }
        for (name, _) in spec.at("hard").entries() {
            if is_quota_resource(name) && SCOPES.contains(&scope.text()) && !scope_fits(scope.text(), name) {
                scopes.invalid("unsupported scope applied to resource");
            }
        }
    }
    for (one, other) in CONFLICTS {
        if all.contains(one) && all.contains(other) {
            scopes.invalid("conflicting scopes");
        }
    }
}

fn scope_selector(spec: &Cursor<'_>) {
    let expressions = spec.at("scopeSelector").at("matchExpressions");
    let mut all = BTreeSet::new();
    for expression in expressions.items() {
        scope_requirement(spec, &expressions, &expression);
        all.insert(expression.at("scopeName").text());
    }
    let conflicts = CONFLICTS.iter().filter(|(one, other)| all.contains(one) && all.contains(other));
    for _ in conflicts {
        expressions.with(spec.value.get("scopes"), expressions.path.clone()).invalid("conflicting scopes");
    }
}

/// What is wrong with an expression; upstream's paths do not say which it is.
fn scope_requirement(spec: &Cursor<'_>, expressions: &Cursor<'_>, expression: &Cursor<'_>) {
    let part = |name: &str| expressions.with(expression.value.get(name), expressions.path.child(name));
    let (scope, operator, values) = (part("scopeName"), part("operator"), part("values"));
    if !SCOPES.contains(&scope.text()) {
        scope.invalid_text("unsupported scope");
    }
    for (name, _) in spec.at("hard").entries() {
        if is_quota_resource(name) && SCOPES.contains(&scope.text()) && !scope_fits(scope.text(), name) {
            let shown = dump::internal(spec.at("scopeSelector").value, OF_SCOPE_SELECTOR);
            expressions.invalid_as(shown, "unsupported scope applied to resource");
        }
    }
    if PLAIN_SCOPES.contains(&scope.text()) && operator.text() != "Exists" {
        operator.invalid_text(ONLY_EXISTS);
    }
    match operator.text() {
        "In" | "NotIn" if values.is_empty() => {
            values.required("must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            values.invalid("must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => operator.invalid_text("not a valid selector operator"),
    }
}

impl Strategy for LimitRange {
    fn rules(&self) -> Rules {
        Rules { create_on_update: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "limits"], Value::Null);
        if let Some(spec) = object.get_mut("spec") {
            each(spec, "limits", |limit| {
                if meta::text(limit, &["type"]) == "Container" {
                    fill(limit, "default", "max");
                    fill(limit, "defaultRequest", "default");
                    fill(limit, "defaultRequest", "min");
                }
            });
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let mut types = BTreeSet::new();
            for limit in root.at("spec").at("limits").items() {
                let sort = limit.at("type");
                limit_type(&sort);
                sort.once(&mut types);
                limit_names(&limit);
                limit_values(&limit);
            }
        })
    }
}

/// Copies into `list` what only `from` has.
fn fill(limit: &mut Value, list: &str, from: &str) {
    let from = limit.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, value) in from {
        meta::set_default(limit, &[list, &name], value);
    }
}

fn limit_type(sort: &Cursor<'_>) {
    let complaints = names::qualified_name(sort.text());
    for complaint in &complaints {
        sort.invalid_text(complaint.clone());
    }
    let standard = matches!(sort.text(), "Pod" | "Container" | "PersistentVolumeClaim");
    if complaints.is_empty() && !sort.text().contains('/') && !standard {
        sort.invalid_text("must be a standard limit type or fully qualified");
    }
}

fn limit_names(limit: &Cursor<'_>) {
    let sort = limit.at("type").text();
    let names = |list: &str| {
        for (name, entry) in limit.at(list).entries() {
            match sort {
                "Container" | "Pod" => resources::container_resource_name(&entry, name),
                _ => resources::resource_name(&entry, name),
            }
        }
    };
    names("max");
    names("min");
    for list in ["default", "defaultRequest"] {
        if sort != "Pod" {
            names(list);
        } else if !limit.at(list).is_empty() {
            limit.at(list).forbidden("may not be specified when `type` is 'Pod'");
        }
    }
    let storage = |list: &str| limit.at(list).key("storage").is_set();
    if sort == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
        limit.at("limits").required("either minimum or maximum storage value is required, but neither was provided");
    }
    names("maxLimitRequestRatio");
}

fn limit_values(limit: &Cursor<'_>) {
    let lists = ["min", "max", "default", "defaultRequest", "maxLimitRequestRatio"];
    let mut keys: BTreeMap<&str, ()> = BTreeMap::new();
    for list in lists {
        keys.extend(limit.at(list).entries().map(|(name, _)| (name, ())));
    }
    for name in keys.into_keys() {
        ordered(limit, name, ("min", "min"), ("max", "max"), "min");
        ordered(limit, name, ("min", "min"), ("defaultRequest", "default request"), "defaultRequest");
        ordered(limit, name, ("defaultRequest", "default request"), ("max", "max"), "defaultRequest");
        ordered(limit, name, ("defaultRequest", "default request"), ("default", "default limit"), "defaultRequest");
        // The last two show the bound, not the default: upstream's words.
        bounded_default(limit, name);
        let ratio = limit.at("maxLimitRequestRatio").key(name);
        if ratio.is_set() && amount::of(ratio.value) < amount::of(&json!(1)) {
            ratio.invalid(format!("ratio {} is less than 1", text(&ratio)));
        }
        reachable_ratio(limit, name, &ratio);
        let (default, asked) = (limit.at("default").key(name), limit.at("defaultRequest").key(name));
        if default.is_set()
            && asked.is_set()
            && !resources::may_be_overcommitted(name)
            && amount::of(default.value) != amount::of(asked.value)
        {
            let (default, shown) = (text(&default), text(&asked));
            asked.invalid(format!("default value {default} must equal to defaultRequest value {shown} in {name}"));
        }
    }
}

/// No limit is more than the maximum of limits over the minimum of requests times its request.
fn reachable_ratio(limit: &Cursor<'_>, name: &str, ratio: &Cursor<'_>) {
    let (min, max) = (limit.at("min").key(name), limit.at("max").key(name));
    if !(ratio.is_set() && min.is_set() && max.is_set()) {
        return;
    }
    let most = amount::of(max.value).approximate() / amount::of(min.value).approximate();
    if amount::of(ratio.value).approximate() > most {
        ratio.invalid(format!("ratio {} is greater than max/min = {most:.6}", text(ratio)));
    }
}

fn text(cursor: &Cursor<'_>) -> String {
    amount::of(cursor.value).to_string()
}

/// Complains at `place` if the amount in the list `low` is greater than that in `high`; lists come with their names.
fn ordered(limit: &Cursor<'_>, name: &str, low: (&str, &str), high: (&str, &str), place: &str) {
    let (low_value, high_value) = (limit.at(low.0).key(name), limit.at(high.0).key(name));
    if low_value.is_set() && high_value.is_set() && amount::of(low_value.value) > amount::of(high_value.value) {
        limit.at(place).key(name).invalid(format!(
            "{} value {} is greater than {} value {}",
            low.1,
            text(&low_value),
            high.1,
            text(&high_value)
        ));
    }
}

fn bounded_default(limit: &Cursor<'_>, name: &str) {
    let at = |list: &str| limit.at(list).key(name);
    let (min, max, default) = (at("min"), at("max"), at("default"));
    if !default.is_set() {
        return;
    }
    let value = amount::of(default.value);
    if min.is_set() && value < amount::of(min.value) {
        let detail = format!("min value {} is greater than default value {}", text(&min), text(&default));
        default.invalid_str(&text(&min), detail);
    }
    if max.is_set() && value > amount::of(max.value) {
        let detail = format!("default value {} is greater than max value {}", text(&default), text(&max));
        default.invalid_str(&text(&max), detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(strategy: &dyn Strategy, spec: Value, expect: &[&str]) {
        let mut object = json!({"spec": spec});
        strategy.default(&mut object);
        assert_eq!(check::messages(&strategy.validate(&object)), expect);
    }

    #[test]
    fn quotas_count_known_resources() {
        check(&ResourceQuota, json!({"hard": {"pods": "2", "count/deployments.apps": "1", "requests.cpu": "1"}}), &[]);
        check(
            &ResourceQuota,
            json!({"hard": {"gpus": "1"}}),
            &[
                r#"spec.hard[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified"#,
                r#"spec.hard[gpus]: Invalid value: "gpus": must be a standard resource for quota"#,
            ],
        );
        check(
            &ResourceQuota,
            json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}),
            &[r#"spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource"#],
        );
        check(
            &ResourceQuota,
            json!({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}),
            &[r#"spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes"#],
        );
    }

    #[test]
    fn scope_selectors_fit_what_is_counted() {
        let selector =
            |expression: Value| json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [expression]}});
        check(&ResourceQuota, selector(json!({"scopeName": "PriorityClass", "operator": "In", "values": ["a"]})), &[]);
        check(
            &ResourceQuota,
            selector(json!({"scopeName": "BestEffort", "operator": "In", "values": ["a"]})),
            &[
                r#"spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"#,
            ],
        );
        check(
            &ResourceQuota,
            json!({"hard": {"cpu": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "Exists", "values": ["a"]}]}}),
            &[
                r#"spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"BestEffort","Operator":"Exists","Values":["a"]}]}: unsupported scope applied to resource"#,
                r#"spec.scopeSelector.matchExpressions.values: Invalid value: ["a"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"#,
            ],
        );
    }

    #[test]
    fn scopes_stay_but_selectors_may_change() {
        let object = |spec: Value| json!({"spec": spec});
        let old = object(json!({"scopes": ["BestEffort", "NotTerminating"]}));
        let update = |spec: Value| check::messages(&ResourceQuota.validate_update(&object(spec), &old));
        assert_eq!(update(json!({"scopes": ["NotTerminating", "BestEffort"]})), [""; 0]);
        assert_eq!(
            update(json!({"scopes": ["BestEffort"]})),
            [r#"spec.scopes: Invalid value: ["BestEffort"]: field is immutable"#]
        );
    }

    #[test]
    fn ratios_and_defaults_of_limits_fit() {
        check(
            &LimitRange,
            json!({"limits": [{
                "type": "Pod", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "3"},
            }]}),
            &[
                r#"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000"#,
            ],
        );
        check(
            &LimitRange,
            json!({"limits": [{
                "type": "Container", "default": {"example.com/gpu": "2"}, "defaultRequest": {"example.com/gpu": "1"},
            }]}),
            &[
                r#"spec.limits[0].defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in example.com/gpu"#,
            ],
        );
    }

    #[test]
    fn limits_are_filled_in_and_ordered() {
        let mut object = json!({"spec": {"limits": [{"type": "Container", "max": {"memory": "2Gi"}}]}});
        LimitRange.default(&mut object);
        assert_eq!(object["spec"]["limits"][0]["defaultRequest"], json!({"memory": "2Gi"}));
        check(
            &LimitRange,
            json!({"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}]}),
            &[
                r#"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#,
                r#"spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1"#,
                r#"spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1"#,
            ],
        );
        check(
            &LimitRange,
            json!({"limits": [{"type": "Pod", "default": {"cpu": "1"}}, {"type": "Planet"}]}),
            &[
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
                r#"spec.limits[1].type: Invalid value: "Planet": must be a standard limit type or fully qualified"#,
            ],
        );
    }
}
