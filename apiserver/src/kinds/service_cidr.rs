//! IPAddresses and ServiceCIDRs. Source: `k8s.io/kubernetes/pkg/apis/networking/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::meta;

use super::check::{self, text};
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of IP addresses: the name is the address.
#[derive(Clone, Copy, Debug)]
pub struct IpAddress;

/// The strategy of service CIDRs.
#[derive(Clone, Copy, Debug)]
pub struct ServiceCidr;

impl Strategy for IpAddress {
    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let parent = root.at("spec").at("parentRef");
            if !parent.is_set() {
                parent.required("");
                return;
            }
            for field in ["resource", "name"] {
                parent.at(field).must_be_set();
            }
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            root.at("spec").at("parentRef").immutable(meta::at(old, &["spec", "parentRef"]));
        })
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        text::ip(name)
    }
}

impl Strategy for ServiceCidr {
    fn rules(&self) -> Rules {
        Rules { has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let cidrs = root.at("spec").at("cidrs");
            match cidrs.len() {
                0 => return cidrs.required("at least one CIDR required"),
                1 | 2 => {}
                _ => cidrs.invalid("may only hold up to 2 values"),
            }
            cidrs.items().for_each(|cidr| cidr.named(text::cidr));
            let families: Vec<bool> = cidrs.items().map(|cidr| cidr.text().contains(':')).collect();
            if matches!(families.as_slice(), [one, other] if one == other) {
                cidrs.invalid(
                    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/96",
                );
            }
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            root.at("spec").at("cidrs").immutable(meta::at(old, &["spec", "cidrs"]));
        })
    }
}
