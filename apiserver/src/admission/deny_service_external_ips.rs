//! `DenyServiceExternalIPs` (off by default): services do not come to claim addresses that nobody gave them.
//! Source: Kubernetes doc "Admission Control in Kubernetes"; CVE-2020-8554.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict};

pub(super) struct DenyServiceExternalIps;

impl Plugin for DenyServiceExternalIps {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        let service = object.filter(|_| attributes.is("", "services") && attributes.operation != Operation::Delete);
        let verdict = match service.filter(|service| claims_more(service, attributes.old)) {
            Some(service) => Err(attributes.forbidden(service, "Use of external IPs is denied by admission control")),
            None => Ok(()),
        };
        futures::future::ready(verdict).left_future()
    }
}

/// Whether a service names addresses that it did not name before.
fn claims_more(service: &Value, old: Option<&Value>) -> bool {
    let named = |service| meta::items(service, &["spec", "externalIPs"]);
    let before = old.map_or(&[][..], named);
    named(service).iter().any(|address| !before.contains(address))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_may_be_kept_but_not_added() {
        let service = |addresses: &[&str]| json!({"spec": {"externalIPs": addresses}});
        assert!(!claims_more(&service(&[]), None));
        assert!(claims_more(&service(&["a"]), None));
        assert!(!claims_more(&service(&["a"]), Some(&service(&["a", "b"]))));
        assert!(claims_more(&service(&["a", "c"]), Some(&service(&["a", "b"]))));
    }
}
