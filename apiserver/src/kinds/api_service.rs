//! APIServices. Source: `k8s.io/kube-aggregator/pkg/apis/apiregistration/validation`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of API services.
#[derive(Clone, Copy, Debug)]
pub struct ApiService;

const STATUSES: &[&str] = &["True", "False", "Unknown"];
const MAX_GROUP_PRIORITY: i64 = 20000;
const MAX_VERSION_PRIORITY: i64 = 1000;

impl Strategy for ApiService {
    fn rules(&self) -> Rules {
        Rules { unconditional_update: false, has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        if meta::at(object, &["spec", "service"]).is_some_and(Value::is_object) {
            meta::set_default(object, &["spec", "service", "port"], 443);
        }
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, now: Timestamp) {
        let mut status = json!({});
        if !meta::at(object, &["spec", "service"]).is_some_and(Value::is_object) {
            status["conditions"] = json!([{
                "type": "Available",
                "status": "True",
                "reason": "Local",
                "message": "Local APIServices are always available",
                "lastTransitionTime": check::text::seconds(now),
            }]);
        }
        meta::set(object, &["status"], status);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root, meta::name(object)))
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| {
            for condition in root.down(&["status", "conditions"]).items() {
                let status = condition.at("status");
                if !STATUSES.contains(&status.text()) {
                    status.not_supported(STATUSES);
                }
            }
        })
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment(name)
    }
}

fn validate(root: &Cursor<'_>, name: &str) {
    let spec = root.at("spec");
    let (group, version) = (spec.at("group"), spec.at("version"));
    let expected = format!("{}.{}", version.text(), group.text());
    if name != expected {
        root.push(FieldError::invalid_str(
            &Path::from("metadata.name"),
            name,
            format!("must be `spec.version+\".\"+spec.group`: {expected:?}"),
        ));
    }
    if group.is_empty() {
        if version.text() != "v1" {
            group.required("only v1 may have an empty group and it better be legacy kube");
        }
    } else {
        group.named(names::dns1123_subdomain);
    }
    version.named(names::dns1035_label);
    priority(&spec.at("groupPriorityMinimum"), MAX_GROUP_PRIORITY);
    priority(&spec.at("versionPriority"), MAX_VERSION_PRIORITY);
    let (insecure, bundle) = (spec.at("insecureSkipTLSVerify"), spec.at("caBundle"));
    let service = spec.at("service");
    if !service.is_set() {
        if !bundle.is_empty() {
            let bytes = STANDARD.decode(bundle.text()).map_or(0, |bytes| bytes.len());
            bundle.invalid_str(&format!("{bytes} bytes"), "local APIServices may not have a caBundle");
        }
        if insecure.is_true() {
            insecure.invalid("local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    service.at("namespace").must_be_set();
    service.at("name").must_be_set();
    let port = service.at("port");
    if port.is_set() && !(1..=65535).contains(&port.int().unwrap_or_default()) {
        port.invalid("port is not valid: must be between 1 and 65535, inclusive");
    }
    if insecure.is_true() && !bundle.is_empty() {
        insecure.invalid("may not be true if caBundle is present");
    }
}

fn priority(priority: &Cursor<'_>, most: i64) {
    let number = priority.int().unwrap_or_default();
    if !(1..=most).contains(&number) {
        priority.invalid_as(number.to_string(), format!("must be positive and less than {most}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_api_is_served_is_checked() {
        let check = |change: Value, expect: &[&str]| {
            let mut spec = json!({"group": "a.b", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 15});
            spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let object = json!({"metadata": {"name": "v1.a.b"}, "spec": spec});
            assert_eq!(check::messages(&ApiService.validate(&object)), expect);
        };
        check(
            json!({"caBundle": "AAAA", "insecureSkipTLSVerify": true}),
            &[
                r#"spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle"#,
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ],
        );
        check(
            json!({"service": {"port": 0}, "caBundle": "AAAA", "insecureSkipTLSVerify": true}),
            &[
                "spec.service.namespace: Required value",
                "spec.service.name: Required value",
                "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            ],
        );
        let object = json!({"status": {"conditions": [{"type": "Available", "status": "Maybe"}]}});
        assert_eq!(
            check::messages(&ApiService.validate_status_update(&object, &json!({}))),
            [
                r#"status.conditions[0].status: Unsupported value: "Maybe": supported values: "True", "False", "Unknown""#
            ]
        );
    }

    #[test]
    fn the_name_follows_from_group_and_version() {
        let spec = json!({"group": "metrics.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 15});
        let object = |name: &str| json!({"metadata": {"name": name}, "spec": spec});
        assert!(ApiService.validate(&object("v1.metrics.example.com")).is_empty());
        assert_eq!(
            check::messages(&ApiService.validate(&object("v2.x"))),
            [
                r#"metadata.name: Invalid value: "v2.x": must be `spec.version+"."+spec.group`: "v1.metrics.example.com""#
            ]
        );
    }
}
