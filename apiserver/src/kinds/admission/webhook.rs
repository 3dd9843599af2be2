//! Webhook configurations, mutating and validating.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::{RULES, default_match, match_conditions, rule};
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
                webhook.at("name").once(&mut seen);
            }
        })
    }
}

fn validate(webhook: &Cursor<'_>) {
    let name = webhook.at("name");
    if name.must_be_set() {
        name.named(names::dns1123_subdomain);
        if name.text().split('.').count() < 3 {
            name.invalid("should be a domain with at least three segments separated by dots");
        }
    }
    review_versions(&webhook.at("admissionReviewVersions"));
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
    client_config(&webhook.at("clientConfig"));
    match_conditions(&webhook.at("matchConditions"), false);
    webhook.at("reinvocationPolicy").one_of(&["IfNeeded", "Never"]);
}

fn review_versions(versions: &Cursor<'_>) {
    if versions.is_empty() {
        versions.required("must specify one of v1, v1beta1");
        return;
    }
    let mut seen = BTreeSet::new();
    for version in versions.items() {
        version.named(names::dns1035_label);
        if !seen.insert(version.text()) {
            version.invalid("duplicate version");
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
        (true, false) => {
            if !url.text().starts_with("https://") {
                url.invalid_text("'https' is the only allowed URL scheme; desired format: https://host[/path]");
            }
        }
        (false, true) => {
            for field in ["name", "namespace"] {
                if service.at(field).is_empty() {
                    service.at(field).required(&format!("service {field} is required"));
                }
            }
            if service.at("port").is_set() {
                service.at("port").port();
            }
            let path = service.at("path");
            if path.is_set() && !path.text().starts_with('/') {
                path.invalid_text("must start with a '/'");
            }
        }
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
