//! `CertificateSubjectRestriction`: nobody asks for a client certificate that makes its owner an administrator.
//! Source: Kubernetes doc "Certificates and Certificate Signing Requests".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

use super::{Attributes, Operation, Plugin, Verdict};

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const ADMINISTRATORS: &str = "system:masters";

pub(super) struct CertificateSubjectRestriction;

impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        let created = attributes.operation == Operation::Create
            && attributes.is("certificates.k8s.io", "certificatesigningrequests");
        let request = object.filter(|object| created && meta::text(object, &["spec", "signerName"]) == SIGNER);
        let verdict = match request {
            Some(request) => check(request).map_err(|why| attributes.forbidden(request, why)),
            None => Ok(()),
        };
        futures::future::ready(verdict).left_future()
    }
}

fn check(object: &Value) -> Result<(), String> {
    let organizations = organizations(meta::text(object, &["spec", "request"]))
        .ok_or_else(|| "unable to parse CSR: the request is no PKCS#10 certificate request".to_owned())?;
    match organizations.iter().any(|organization| organization == ADMINISTRATORS) {
        true => Err(format!("use of {SIGNER} signer with {ADMINISTRATORS} group is not allowed")),
        false => Ok(()),
    }
}

/// The organizations of the subject of a request: the groups of the client.
fn organizations(request: &str) -> Option<Vec<String>> {
    let pem = STANDARD.decode(request).ok()?;
    let (_, pem) = parse_x509_pem(&pem).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let subject = &request.certification_request_info.subject;
    Some(subject.iter_organization().filter_map(|it| it.as_str().ok()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};
    use serde_json::json;

    use super::*;

    fn request(organization: &str) -> Value {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        json!({"spec": {"request": STANDARD.encode(pem), "signerName": SIGNER}})
    }

    #[test]
    fn administrators_are_not_made_by_request() {
        assert_eq!(check(&request("developers")), Ok(()));
        assert_eq!(
            check(&request("system:masters")).unwrap_err(),
            "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
        );
        assert!(check(&json!({"spec": {"request": "AAAA"}})).is_err());
    }
}
