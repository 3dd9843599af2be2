//! Webhook configurations, mutating and validating.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::{RULES, default_match, match_conditions, rule, warn_of_name};
use crate::kinds::check::client;
use crate::kinds::check::{self, Cursor};
use crate::kinds::pod::defaults::each;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of webhook configurations.
#[derive(Clone, Copy, Debug)]
pub struct WebhookConfiguration {
    /// Whether the webhooks may change objects.
    pub mutating: bool,
}

const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];

impl Strategy for WebhookConfiguration {
    fn rules(&self) -> Rules {
        RULES
    }

    fn default(&self, object: &mut Value) {
        each(object, "webhooks", |webhook| {
            default_match(webhook, "rules");
            meta::set_default(webhook, &["failurePolicy"], "Fail");
            meta::set_default(webhook, &["timeoutSeconds"], 10);
            if self.mutating {
                meta::set_default(webhook, &["reinvocationPolicy"], "Never");
            }
            if meta::at(webhook, &["clientConfig", "service"]).is_some_and(Value::is_object) {
                meta::set_default(webhook, &["clientConfig", "service", "port"], 443);
            }
        });
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let mut seen = BTreeSet::new();
            for webhook in root.at("webhooks").items() {
                validate(&webhook);
                review_versions(&webhook.at("admissionReviewVersions"));
                if !webhook.at("name").is_empty() {
                    webhook.at("name").once(&mut seen);
                }
            }
        })
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        warn_of_name(object)
    }
}

fn validate(webhook: &Cursor<'_>) {
    fully_qualified(&webhook.at("name"));
    webhook.at("rules").items().for_each(|item| rule(&item));
    webhook.at("failurePolicy").one_of(&["Fail", "Ignore"]);
    webhook.at("matchPolicy").one_of(&["Equivalent", "Exact"]);
    let effects = webhook.at("sideEffects");
    if effects.is_set() {
        effects.one_of(&["None", "NoneOnDryRun"]);
    } else {
        effects.required("must specify one of None, NoneOnDryRun");
    }
    let timeout = webhook.at("timeoutSeconds");
    if timeout.int().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
        timeout.invalid("the timeout value must be between 1 and 30 seconds");
    }
    webhook.at("namespaceSelector").label_selector();
    webhook.at("objectSelector").label_selector();
    webhook.at("reinvocationPolicy").one_of(&["IfNeeded", "Never"]);
    client_config(&webhook.at("clientConfig"));
    match_conditions(&webhook.at("matchConditions"), false);
}

fn fully_qualified(name: &Cursor<'_>) {
    if !name.must_be_set() {
        return;
    }
    let complaints = names::dns1123_subdomain(name.text());
    if !complaints.is_empty() {
        name.invalid(complaints.join(","));
    } else if name.text().split('.').count() < 3 {
        name.invalid("should be a domain with at least three segments separated by dots");
    }
}

fn review_versions(versions: &Cursor<'_>) {
    if versions.is_empty() {
        versions.required("must specify one of v1, v1beta1");
        return;
    }
    let mut seen = BTreeSet::new();
    for version in versions.items() {
        match seen.insert(version.text()) {
            true => version.named(names::dns1035_label),
            false => version.invalid_text("duplicate version"),
        }
    }
    if !seen.iter().any(|version| REVIEW_VERSIONS.contains(version)) {
        versions.invalid("must include at least one of v1, v1beta1");
    }
}

fn client_config(config: &Cursor<'_>) {
    let (url, service) = (config.at("url"), config.at("service"));
    match (url.is_set(), service.is_set()) {
        (true, true) | (false, false) => config.required("exactly one of url or service is required"),
        (true, false) => client::url(&url),
        (false, true) => client::service(&service),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(change: &Value, expect: &[&str]) {
        let mut webhook = json!({
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://example.com/hook"},
        });
        for (field, value) in change.as_object().expect("an object") {
            webhook[field] = value.clone();
        }
        let mut object = json!({"webhooks": [webhook]});
        let strategy = WebhookConfiguration { mutating: true };
        strategy.default(&mut object);
        assert_eq!(check::messages(&strategy.validate(&object)), expect);
    }

    #[test]
    fn names_of_webhooks_are_domains_of_three_parts_and_each_stands_once() {
        let label = names::dns1123_subdomain("A").remove(0);
        for (name, why) in
            [("A", label.as_str()), ("a.b", "should be a domain with at least three segments separated by dots")]
        {
            check(&json!({"name": name}), &[&format!("webhooks[0].name: Invalid value: {name:?}: {why}")]);
        }
        check(&json!({"name": ""}), &["webhooks[0].name: Required value"]);
        let webhook = json!({
            "name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://example.com/hook"},
        });
        let twice = json!({"metadata": {"name": "x.static.k8s.io"}, "webhooks": [webhook, webhook]});
        let strategy = WebhookConfiguration { mutating: false };
        assert_eq!(check::messages(&strategy.validate(&twice)), [r#"webhooks[1].name: Duplicate value: "a.b.c""#]);
        assert_eq!(strategy.warnings(&twice, None).len(), 1);
    }

    #[test]
    fn versions_of_reviews_are_labels_and_one_is_known() {
        let rule = names::dns1035_label("1").remove(0);
        let versions = "webhooks[0].admissionReviewVersions";
        check(
            &json!({"admissionReviewVersions": null}),
            &[&format!("{versions}: Required value: must specify one of v1, v1beta1")],
        );
        check(
            &json!({"admissionReviewVersions": ["v1", "1", "v1"]}),
            &[
                &format!(r#"{versions}[1]: Invalid value: "1": {rule}"#),
                &format!(r#"{versions}[2]: Invalid value: "v1": duplicate version"#),
            ],
        );
        check(
            &json!({"admissionReviewVersions": ["v2"]}),
            &[&format!(r#"{versions}: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#)],
        );
    }

    #[test]
    fn resources_of_rules_do_not_say_twice_what_they_mean() {
        let resources = |list: &[&str], expect: &[&str]| {
            let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": list});
            let expect: Vec<String> = expect.iter().map(|it| format!("webhooks[0].rules[0].resources{it}")).collect();
            check(&json!({"rules": [rule]}), &expect.iter().map(String::as_str).collect::<Vec<_>>());
        };
        resources(&["pods", "pods/*", "*/scale"], &[]);
        resources(&[], &[": Required value"]);
        resources(&["", "pods"], &["[0]: Required value"]);
        resources(
            &["pods/*", "pods/status"],
            &[r#"[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status"#],
        );
        resources(
            &["*/status", "pods/status"],
            &[r#"[1]: Invalid value: "pods/status": if '*/status' is present, must not specify pods/status"#],
        );
        resources(
            &["*/*", "pods"],
            &[r#": Invalid value: ["*/*","pods"]: if '*/*' is present, must not specify other resources"#],
        );
        resources(
            &["*", "pods"],
            &[
                r#": Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources"#,
            ],
        );
        resources(&["pods", "*"], &[]);
    }

    #[test]
    fn where_a_webhook_is_called_is_checked() {
        let at = |config: Value, expect: &[&str]| {
            let expect: Vec<String> = expect.iter().map(|it| format!("webhooks[0].clientConfig.{it}")).collect();
            check(&json!({"clientConfig": config}), &expect.iter().map(String::as_str).collect::<Vec<_>>());
        };
        at(
            json!({"url": "http://u:p@example.com/x?a=b#c"}),
            &[
                r#"url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
                r#"url: Invalid value: "u:p": user information is not permitted in the URL"#,
                r#"url: Invalid value: "c": fragments are not permitted in the URL"#,
                r#"url: Invalid value: "a=b": query parameters are not permitted in the URL"#,
            ],
        );
        at(
            json!({"url": "https:///x"}),
            &[r#"url: Invalid value: "": host must be provided; desired format: https://host[/path]"#],
        );
        at(
            json!({"service": {"port": 0, "path": "x//y_/"}}),
            &[
                "service.name: Required value: service name is required",
                "service.namespace: Required value: service namespace is required",
                "service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
                r#"service.path: Invalid value: "x//y_/": must start with a '/'"#,
                r#"service.path: Invalid value: "x//y_/": segment[0] may not be empty"#,
                r#"service.path: Invalid value: "x//y_/": segment[1] may not be empty"#,
                &format!(
                    r#"service.path: Invalid value: "x//y_/": segment[2]: {}"#,
                    names::dns1123_subdomain("y_").remove(0)
                ),
            ],
        );
        at(
            json!({"service": {"name": "a", "namespace": "b", "path": "//"}}),
            &[r#"service.path: Invalid value: "//": segment[0] may not be empty"#],
        );
        at(json!({"service": {"name": "a", "namespace": "b", "path": "/"}}), &[]);
    }

    #[test]
    fn webhooks_are_checked() {
        check(&json!({}), &[]);
        check(
            &json!({"name": "short", "timeoutSeconds": 60, "sideEffects": "Some"}),
            &[
                r#"webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots"#,
                r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
                "webhooks[0].timeoutSeconds: Invalid value: 60: the timeout value must be between 1 and 30 seconds",
            ],
        );
        check(
            &json!({"clientConfig": {}}),
            &["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
        );
        check(
            &json!({"rules": [{"operations": ["READ"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]}),
            &[
                r#"webhooks[0].rules[0].operations[0]: Unsupported value: "READ": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE""#,
            ],
        );
    }
}
