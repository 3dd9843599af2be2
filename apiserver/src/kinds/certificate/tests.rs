use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};

use super::*;

fn request() -> String {
    let request = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
    STANDARD.encode(request.pem().unwrap())
}

fn pem(label: &str, body: &[u8]) -> String {
    STANDARD.encode(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(body)))
}

#[track_caller]
fn check(change: &Value, expect: &[&str]) {
    let mut spec = json!({"request": request(), "signerName": "example.com/signer", "usages": ["client auth"]});
    for (field, value) in change.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let found = check::messages(&CertificateSigningRequest.validate(&json!({"spec": spec})));
    let found: Vec<&str> = found.iter().map(|it| it.trim_start_matches("spec.")).collect();
    assert_eq!(found, expect, "{change}");
}

#[test]
fn a_request_is_signed_with_its_own_key() {
    check(&json!({}), &[]);
    let none = "request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST";
    check(&json!({"request": null}), &[none]);
    for (text, why) in [
        ("AAAA".to_owned(), "PEM block type must be CERTIFICATE REQUEST"),
        (pem("CERTIFICATE", b"x"), "PEM block type must be CERTIFICATE REQUEST"),
        (pem("CERTIFICATE REQUEST", &[0x30, 0]), "asn1: structure error: no certificateRequest"),
    ] {
        check(&json!({"request": text}), &[&format!("request: Invalid value: {text:?}: {why}")]);
    }
    let genuine = STANDARD.decode(request()).unwrap();
    let (_, parsed) = x509_parser::pem::parse_x509_pem(&genuine).unwrap();
    let mut der = parsed.contents;
    let last = der.len() - 1;
    der[last] ^= 1;
    let forged = pem("CERTIFICATE REQUEST", &der);
    check(
        &json!({"request": forged}),
        &[&format!("request: Invalid value: {forged:?}: x509: ECDSA verification failure")],
    );
}

#[test]
fn usages_signer_and_life_are_checked() {
    check(&json!({"usages": []}), &["usages: Required value"]);
    let twice = json!({"usages": ["client auth", "client auth"], "expirationSeconds": 599});
    check(
        &twice,
        &[
            r#"usages[1]: Duplicate value: "client auth""#,
            "expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        ],
    );
    let form = r#"signerName: Invalid value: "a/b/c": must be a fully qualified domain and path of the form 'example.com/signer-name'"#;
    check(&json!({"signerName": ""}), &["signerName: Required value"]);
    check(&json!({"signerName": "a/b/c"}), &[form]);
    check(
        &json!({"signerName": "nodots/b"}),
        &[r#"signerName: Invalid value: "nodots": should be a domain with at least two segments separated by dots"#],
    );
    check(
        &json!({"signerName": "kubernetes.io/legacy-unknown"}),
        &[
            r#"signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version"#,
        ],
    );
    let label = names::dns1123_label("A").remove(0);
    check(
        &json!({"signerName": "A.b/c"}),
        &[&format!(r#"signerName: Invalid value: "A.b": validating label "A": {label}"#)],
    );
}

#[test]
fn who_asks_is_who_sends_the_request() {
    let mut object =
        json!({"spec": {"username": "somebody", "groups": ["system:masters"], "uid": "1", "extra": {"a": ["b"]}}});
    let user = UserInfo { groups: vec!["dev".to_owned()], ..UserInfo::known("jane", &[]) };
    CertificateSigningRequest.sign(&mut object, &user);
    assert_eq!(object, json!({"spec": {"username": "jane", "groups": ["dev"]}}));
}

fn conditions(list: &[(&str, &str)]) -> Value {
    let list: Vec<Value> = list.iter().map(|(sort, status)| json!({"type": sort, "status": status})).collect();
    json!({"status": {"conditions": list}})
}

#[test]
fn decisions_are_made_once_and_by_way_of_approval() {
    let check = |strategy: &dyn Strategy, status: bool, old: &[(&str, &str)], new: &[(&str, &str)], expect: &[&str]| {
        let (old, new) = (conditions(old), conditions(new));
        let found =
            if status { strategy.validate_status_update(&new, &old) } else { strategy.validate_update(&new, &old) };
        let found = check::messages(&found);
        let found: Vec<&str> = found.iter().map(|it| it.trim_start_matches("status.conditions")).collect();
        assert_eq!(found, expect, "{old} {new}");
    };
    let (yes, no) = (("Approved", "True"), ("Denied", "True"));
    check(&Approval, false, &[], &[yes], &[]);
    let exclusive = |sort: &str| {
        format!(r#"[1].type: Invalid value: "{sort}": Approved and Denied conditions are mutually exclusive"#)
    };
    check(&Approval, false, &[], &[yes, no], &[&exclusive("Denied")]);
    check(&Approval, false, &[no], &[no, yes], &[&exclusive("Approved")]);
    check(&Approval, false, &[yes], &[], &[r#": Forbidden: updates may not remove a condition of type "Approved""#]);
    check(
        &Approval,
        false,
        &[],
        &[("Approved", "False"), ("", ""), ("X", "Maybe"), ("X", "True")],
        &[
            r#"[0].status: Unsupported value: "False": supported values: "True""#,
            "[1].type: Required value",
            "[1].status: Required value",
            r#"[2].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown""#,
            r#"[3].type: Duplicate value: "X""#,
        ],
    );
    let status = &CertificateSigningRequest;
    check(status, true, &[yes], &[yes, ("Failed", "True")], &[]);
    check(status, true, &[], &[yes], &[r#": Forbidden: updates may not add a condition of type "Approved""#]);
}

#[test]
fn the_status_keeps_decisions_and_conditions_get_their_times() {
    let old = json!({"status": {"conditions": [
        {"type": "Approved", "status": "True", "reason": "r", "lastTransitionTime": "t0", "lastUpdateTime": "t0"},
    ]}});
    let mut new = json!({"status": {"conditions": [
        {"type": "Failed", "status": "True"},
        {"type": "Approved", "status": "True", "reason": "other"},
    ]}});
    CertificateSigningRequest.prepare_for_status_update(&mut new, &old);
    let now = Timestamp::UNIX_EPOCH;
    CertificateSigningRequest.stamp(&mut new, &old, now);
    let time = format_time(now);
    assert_eq!(
        new["status"]["conditions"],
        json!([
            {"type": "Failed", "status": "True", "lastTransitionTime": time, "lastUpdateTime": time},
            {"type": "Approved", "status": "True", "reason": "r", "lastTransitionTime": "t0", "lastUpdateTime": "t0"},
        ])
    );
}

#[test]
fn a_certificate_is_one_and_stays() {
    let with = |text: &str| json!({"status": {"certificate": text}});
    let check = |old: &str, new: &str| {
        check::messages(&CertificateSigningRequest.validate_status_update(&with(new), &with(old)))
    };
    let params = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
    let genuine = STANDARD.encode(params.pem());
    let refused = |why: &str| vec![format!(r#"status.certificate: Invalid value: "<certificate data>": {why}"#)];
    assert!(check("", &genuine).is_empty());
    assert_eq!(check("", "AAAA"), refused("must contain at least one CERTIFICATE PEM block"));
    assert_eq!(check("", &pem("EC KEY", b"x")), refused(r#"only CERTIFICATE PEM blocks are allowed, found "EC KEY""#));
    assert_eq!(
        check(&genuine, ""),
        ["status.certificate: Forbidden: updates may not modify existing certificate content"]
    );
}
