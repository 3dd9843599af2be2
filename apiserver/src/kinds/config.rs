//! ConfigMaps and Secrets. Source: `k8s.io/kubernetes/pkg/registry/core/{configmap,secret}/strategy.go`,
//! `k8s.io/kubernetes/pkg/apis/core/validation`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{decode, meta};

use super::check::{self, Cursor, text};
use crate::registry::strategy::{Rules, Strategy};

/// The most bytes that the values of a ConfigMap or a Secret may have together: 1 MiB.
const MAX_BYTES: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";
const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// The strategy of ConfigMaps.
#[derive(Clone, Copy, Debug)]
pub struct ConfigMap;

/// The strategy of Secrets.
#[derive(Clone, Copy, Debug)]
pub struct Secret;

impl Strategy for ConfigMap {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let (data, binary) = (root.at("data"), root.at("binaryData"));
            let mut total = 0;
            for (key, entry) in data.entries() {
                config_key(&entry, key);
                if !binary.key(key).is_set() {
                    total += entry.text().len();
                } else {
                    entry.invalid_str(key, "duplicate of key present in binaryData");
                }
            }
            for (key, entry) in binary.entries() {
                config_key(&entry, key);
                total += decoded_len(entry.text());
            }
            if total > MAX_BYTES {
                root.push(FieldError::too_long(&"".into(), MAX_BYTES));
            }
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        let mut errors = check::collect(object, |root| frozen(&root, old, &["data", "binaryData"]));
        errors.extend(self.validate(object));
        errors
    }
}

impl Strategy for Secret {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules::DEFAULT
    }

    fn default(&self, object: &mut Value) {
        if meta::text(object, &["type"]).is_empty() {
            meta::set(object, &["type"], "Opaque");
        }
        let Some(Value::Object(texts)) = meta::remove(object, &["stringData"]) else {
            return;
        };
        for (key, value) in texts {
            let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
            meta::set(object, &["data", &key], encoded);
        }
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        if meta::text(object, &["type"]).is_empty() {
            crate::registry::strategy::restore(object, old, &["type"]);
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let data = root.at("data");
            let mut total = 0;
            for (key, entry) in data.entries() {
                config_key(&entry, key);
                total += decoded_len(entry.text());
            }
            if total > MAX_BYTES {
                data.push(FieldError::too_long(&data.path, MAX_BYTES));
            }
            by_type(&root);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        let mut errors = check::collect(object, |root| {
            root.at("type").immutable(old.get("type"));
            frozen(&root, old, &["data"]);
        });
        errors.extend(self.validate(object));
        errors
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        let certificate = meta::text(object, &["data", "tls.crt"]);
        let pem = |text: &str| {
            let bytes = STANDARD.decode(text).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains("-----BEGIN ")
        };
        if meta::text(object, &["type"]) == "kubernetes.io/tls" && !pem(certificate) {
            vec!["tls: failed to find any PEM data in certificate input".to_owned()]
        } else {
            Vec::new()
        }
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("type", meta::text(object, &["type"]).to_owned())]
    }
}

fn config_key(entry: &Cursor<'_>, key: &str) {
    for complaint in text::config_key(key) {
        entry.invalid_str(key, complaint);
    }
}

/// The bytes that a text in base64 stands for.
fn decoded_len(encoded: &str) -> usize {
    let padding = encoded.bytes().rev().take_while(|b| *b == b'=').count();
    (encoded.len() / 4 * 3).saturating_sub(padding)
}

/// What `immutable: true` freezes, itself included.
fn frozen(root: &Cursor<'_>, old: &Value, fields: &[&str]) {
    if old.get("immutable") != Some(&Value::Bool(true)) {
        return;
    }
    if !root.at("immutable").is_true() {
        root.at("immutable").forbidden(FROZEN);
    }
    for field in fields {
        if !check::same(Some(root.at(field).value), old.get(field)) {
            root.at(field).forbidden(FROZEN);
        }
    }
}

/// The keys that some types of Secret must have.
fn by_type(secret: &Cursor<'_>) {
    let data = secret.at("data");
    let must_have = |key: &str| {
        let entry = data.key(key);
        if !entry.is_set() {
            entry.required("");
        }
        entry
    };
    match secret.at("type").text() {
        "kubernetes.io/service-account-token" => {
            let name = secret.at("metadata").at("annotations").key(SERVICE_ACCOUNT_NAME);
            name.must_be_set();
        }
        "kubernetes.io/dockercfg" => docker_config(&must_have(".dockercfg")),
        "kubernetes.io/dockerconfigjson" => docker_config(&must_have(".dockerconfigjson")),
        "kubernetes.io/basic-auth" if !data.key("username").is_set() && !data.key("password").is_set() => {
            data.key("username").required("");
            data.key("password").required("");
        }
        "kubernetes.io/ssh-auth" => drop(data.key("ssh-privatekey").must_be_set()),
        "kubernetes.io/tls" => {
            must_have("tls.crt");
            must_have("tls.key");
        }
        _ => {}
    }
}

fn docker_config(entry: &Cursor<'_>) {
    if !entry.is_set() {
        return;
    }
    let bytes = STANDARD.decode(entry.text()).unwrap_or_default();
    let sort = match decode::parse_json(&bytes).map(|parsed| parsed.value) {
        Ok(Value::Object(_) | Value::Null) => return,
        Err(error) => return entry.invalid_str("<secret contents redacted>", error.to_string()),
        Ok(Value::Array(_)) => "array",
        Ok(Value::String(_)) => "string",
        Ok(Value::Number(_)) => "number",
        Ok(Value::Bool(_)) => "bool",
    };
    let why = format!("json: cannot unmarshal {sort} into Go value of type map[string]interface {{}}");
    entry.invalid_str("<secret contents redacted>", why);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(strategy: &dyn Strategy, object: Value, expect: &[&str]) {
        let mut object = object;
        strategy.default(&mut object);
        assert_eq!(check::messages(&strategy.validate(&object)), expect);
    }

    #[test]
    fn string_data_becomes_data() {
        let mut object = json!({"stringData": {"password": "s3cr3t"}, "data": {"user": "YQ=="}});
        Secret.default(&mut object);
        assert_eq!(object, json!({"type": "Opaque", "data": {"password": "czNjcjN0", "user": "YQ=="}}));
    }

    #[test]
    fn types_of_secrets_ask_for_keys() {
        check(&Secret, json!({"type": "example.com/x"}), &[]);
        check(
            &Secret,
            json!({"type": "kubernetes.io/basic-auth", "stringData": {"x": "y"}}),
            &["data[username]: Required value", "data[password]: Required value"],
        );
        check(
            &Secret,
            json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{"}}),
            &[r#"data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input"#],
        );
        check(
            &Secret,
            json!({"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "x"}}),
            &[
                r#"data[.dockercfg]: Invalid value: "<secret contents redacted>": invalid character 'x' looking for beginning of value"#,
            ],
        );
        check(
            &Secret,
            json!({"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "[]"}}),
            &[
                r#"data[.dockercfg]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go value of type map[string]interface {}"#,
            ],
        );
        check(
            &Secret,
            json!({"type": "kubernetes.io/service-account-token"}),
            &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        );
    }

    #[test]
    fn immutable_objects_stay() {
        let old = json!({"type": "Opaque", "immutable": true, "data": {"a": "MQ=="}});
        let new = json!({"type": "Opaque", "data": {"a": "Mg=="}});
        assert_eq!(
            check::messages(&Secret.validate_update(&new, &old)),
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ]
        );
        assert!(ConfigMap.validate_update(&old, &old).is_empty());
    }

    #[test]
    fn keys_have_a_form_and_stand_once() {
        check(
            &ConfigMap,
            json!({"data": {"a": "1"}, "binaryData": {"a": "MQ=="}}),
            &[r#"data[a]: Invalid value: "a": duplicate of key present in binaryData"#],
        );
        assert_eq!(ConfigMap.validate(&json!({"data": {"bad key": ""}})).len(), 1);
    }
}
