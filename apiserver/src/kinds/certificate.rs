//! CertificateSigningRequests. Source: `k8s.io/kubernetes/pkg/apis/certificates/validation`.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use crate::registry::strategy::{Rules, Strategy, restore};

/// The strategy of certificate signing requests.
#[derive(Clone, Copy, Debug)]
pub struct CertificateSigningRequest;

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// The shortest life of a certificate.
const MIN_SECONDS: i64 = 600;
const SIGNER_RULE: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
const PEM_RULE: &str = "PEM block type must be CERTIFICATE REQUEST";

impl Strategy for CertificateSigningRequest {
    fn rules(&self) -> Rules {
        Rules { has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    /// Who asked, and for what, stays.
    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, &["spec"]);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("spec")))
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| conditions(&root.at("status").at("conditions")))
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("spec.signerName", meta::text(object, &["spec", "signerName"]).to_owned())]
    }
}

/// The strategy of updates of `certificatesigningrequests/approval`: only the conditions change.
#[derive(Clone, Copy, Debug)]
pub struct Approval;

impl Strategy for Approval {
    fn rules(&self) -> Rules {
        CertificateSigningRequest.rules()
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        let decided = meta::at(object, &["status", "conditions"]).cloned();
        for field in ["spec", "status"] {
            restore(object, old, &[field]);
        }
        if let Some(decided) = decided {
            meta::set(object, &["status", "conditions"], decided);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        CertificateSigningRequest.validate_status_update(object, old)
    }
}

fn validate(spec: &Cursor<'_>) {
    let request = spec.at("request");
    if !is_request(request.text()) {
        request.invalid(PEM_RULE);
    }
    let usages = spec.at("usages");
    if usages.is_empty() {
        usages.required("");
    }
    let mut seen = BTreeSet::new();
    for usage in usages.items() {
        usage.one_of(USAGES);
        usage.once(&mut seen);
    }
    let signer = spec.at("signerName");
    if signer.must_be_set() && !is_signer_name(signer.text()) {
        signer.invalid(SIGNER_RULE);
    }
    let seconds = spec.at("expirationSeconds");
    if seconds.int().is_some_and(|seconds| seconds < MIN_SECONDS) {
        seconds.invalid("may not specify a duration less than 600 seconds (10 minutes)");
    }
}

/// Whether base64 holds a PEM block with a certificate request whose body is base64 itself.
fn is_request(encoded: &str) -> bool {
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    let body = text
        .split_once("-----BEGIN CERTIFICATE REQUEST-----")
        .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE REQUEST-----"))
        .map(|(body, _)| body.split_whitespace().collect::<String>());
    body.is_some_and(|body| !body.is_empty() && STANDARD.decode(body).is_ok())
}

fn is_signer_name(name: &str) -> bool {
    let Some((domain, path)) = name.split_once('/') else {
        return false;
    };
    domain.contains('.')
        && names::dns1123_subdomain(domain).is_empty()
        && names::dns1123_subdomain(path).is_empty()
        && !path.contains('/')
}

/// What was decided: approved or denied, not both, and never unsaid.
fn conditions(conditions: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        let (sort, status) = (condition.at("type"), condition.at("status"));
        sort.must_be_set();
        match (sort.text(), status.text()) {
            (_, "") => status.required(""),
            ("Approved" | "Denied" | "Failed", "True") => {}
            ("Approved" | "Denied" | "Failed", _) => status.not_supported(&["True"]),
            (_, "True" | "False" | "Unknown") => {}
            _ => status.not_supported(&["True", "False", "Unknown"]),
        }
        if !sort.is_empty() {
            sort.once(&mut seen);
        }
    }
    if seen.contains("Approved") && seen.contains("Denied") {
        conditions.invalid("Approved and Denied conditions are mutually exclusive");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_checked() {
        let pem = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        let good = json!({"spec": {"request": STANDARD.encode(pem), "signerName": "example.com/signer", "usages": ["client auth"]}});
        assert!(CertificateSigningRequest.validate(&good).is_empty());
        assert_eq!(
            check::messages(&CertificateSigningRequest.validate(&json!({"spec": {"signerName": "x", "expirationSeconds": 5}}))),
            [
                format!("spec.request: Invalid value: null: {PEM_RULE}"),
                "spec.usages: Required value".to_owned(),
                format!("spec.signerName: Invalid value: \"x\": {SIGNER_RULE}"),
                "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)".to_owned(),
            ]
        );
    }
}
