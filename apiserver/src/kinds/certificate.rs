//! CertificateSigningRequests. Source: `k8s.io/kubernetes/pkg/apis/certificates/validation`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::field::ErrorList;
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use crate::authentication::UserInfo;
use crate::registry::strategy::{Rules, Strategy, restore};

mod pem;
mod signer;
mod status;

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
/// What a client may not ask for any more: a certificate of which nobody says what it is for.
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";

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

    /// Who asks is who sends the request, whatever the object says.
    fn sign(&self, object: &mut Value, user: &UserInfo) {
        for field in ["username", "uid", "groups", "extra"] {
            meta::remove(object, &["spec", field]);
        }
        for (field, text) in [("username", &user.name), ("uid", &user.uid)] {
            if !text.is_empty() {
                meta::set(object, &["spec", field], text.as_str());
            }
        }
        if !user.groups.is_empty() {
            meta::set(object, &["spec", "groups"], json!(user.groups));
        }
        if !user.extra.is_empty() {
            meta::set(object, &["spec", "extra"], json!(user.extra));
        }
    }

    /// Who asked, and for what, stays.
    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, &["spec"]);
    }

    fn prepare_for_status_update(&self, object: &mut Value, old: &Value) {
        status::keep_decisions(object, old);
    }

    fn stamp(&self, object: &mut Value, old: &Value, now: Timestamp) {
        status::stamp(object, old, &format_time(now));
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment(name)
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| validate(&root.at("spec")))
    }

    fn validate_update(&self, _object: &Value, _old: &Value) -> ErrorList {
        ErrorList::new()
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            status::validate(&root, old);
            status::no_new_decisions(&root, old);
            status::certificate_stays(&root, old);
        })
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
        meta::remove(object, &["status", "conditions"]);
        if let Some(decided) = decided {
            meta::set(object, &["status", "conditions"], decided);
        }
    }

    fn stamp(&self, object: &mut Value, old: &Value, now: Timestamp) {
        status::stamp(object, old, &format_time(now));
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| status::validate(&root, old))
    }
}

fn validate(spec: &Cursor<'_>) {
    let request = spec.at("request");
    if let Err(why) = pem::check_request(request.text()) {
        request.invalid(why);
    }
    let usages = spec.at("usages");
    if usages.is_empty() {
        usages.required("");
    }
    usages.items().for_each(|usage| usage.one_of(USAGES));
    let mut seen = BTreeSet::new();
    for usage in usages.items() {
        usage.once(&mut seen);
    }
    let name = spec.at("signerName");
    if name.text() == LEGACY_SIGNER {
        name.invalid("the legacy signerName is not allowed via this API version");
    } else {
        signer::validate(&name);
    }
    let seconds = spec.at("expirationSeconds");
    if seconds.int().is_some_and(|seconds| seconds < MIN_SECONDS) {
        seconds.invalid("may not specify a duration less than 600 seconds (10 minutes)");
    }
}

#[cfg(test)]
mod tests;
