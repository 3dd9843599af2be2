//! Who approves a certificate or signs it must be allowed to for its signer.
//! Source: `kubernetes/plugin/pkg/admission/certificates/{approval,signing}`.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use super::{Attributes, Plugin, Verdict};
use crate::authentication::UserInfo;
use crate::authorization::{self, Target};
use crate::server::Server;

const GROUP: &str = "certificates.k8s.io";

/// One of the two plugins: what is looked at, and the verb that it takes.
pub(super) struct CertificateSigners {
    name: &'static str,
    subresource: &'static str,
    verb: &'static str,
}

/// `CertificateApproval`.
pub(super) const APPROVAL: CertificateSigners =
    CertificateSigners { name: "CertificateApproval", subresource: "approval", verb: "approve" };
/// `CertificateSigning`.
pub(super) const SIGNING: CertificateSigners =
    CertificateSigners { name: "CertificateSigning", subresource: "status", verb: "sign" };

impl Plugin for CertificateSigners {
    fn name(&self) -> &'static str {
        self.name
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        async move {
            let resource = attributes.resource;
            let concerned = resource.group == GROUP
                && resource.name == "certificatesigningrequests"
                && attributes.subresource == self.subresource;
            let (true, Some(old), Some(new)) = (concerned, attributes.old, object) else {
                return Ok(());
            };
            let field = |request, field: &str| meta::at(request, &["status", field]).cloned();
            let same = ["certificate", "conditions"].into_iter().all(|name| field(old, name) == field(new, name));
            if self.subresource == "status" && same {
                return Ok(());
            }
            // The signer may not change, so the old one is the right one.
            let signer = meta::text(old, &["spec", "signerName"]);
            if may(attributes.server, &attributes.origin.user, self.verb, signer).await? {
                return Ok(());
            }
            let why = format!("user not permitted to {} requests with signerName {signer:?}", self.verb);
            Err(Status::forbidden(&resource.group_resource(), attributes.name, why))
        }
        .boxed()
        .right_future()
    }
}

/// Whether a user may for this signer, or for all of its domain.
async fn may(server: &Server, user: &UserInfo, verb: &str, signer: &str) -> Result<bool, Status> {
    let all = format!("{}/*", signer.split('/').next().unwrap_or_default());
    for name in [signer, &all] {
        let target = Target::Resource { group: GROUP, resource: "signers", subresource: "", namespace: "", name };
        let asked = authorization::Attributes { user, verb, target, field_selector: "" };
        if authorization::decide(server, &asked).await?.is_allowed() {
            return Ok(true);
        }
    }
    Ok(false)
}
