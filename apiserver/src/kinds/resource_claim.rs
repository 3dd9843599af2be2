//! The kinds of `resource.k8s.io`. Source: `k8s.io/kubernetes/pkg/apis/resource/{v1,validation}`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{meta, names};

use super::check::{self, Cursor};
use super::pod::defaults::each;
use super::pod::scheduling;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of claims on devices.
#[derive(Clone, Copy, Debug)]
pub struct ResourceClaim;

/// The strategy of templates of claims on devices.
#[derive(Clone, Copy, Debug)]
pub struct ResourceClaimTemplate;

/// The strategy of device classes.
#[derive(Clone, Copy, Debug)]
pub struct DeviceClass;

/// The strategy of resource slices.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSlice;

const MAX_REQUESTS: usize = 32;
const MAX_DEVICES: usize = 128;
const WHERE: &[&str] = &["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];

impl Strategy for ResourceClaim {
    fn rules(&self) -> Rules {
        Rules { has_status: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        default_devices(object, &["spec", "devices"]);
        meta::set_default(object, &["status"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| devices(&root.at("spec").at("devices")))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| root.at("spec").immutable(old.get("spec")))
    }
}

impl Strategy for ResourceClaimTemplate {
    fn rules(&self) -> Rules {
        Rules { returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "metadata"], json!({}));
        default_devices(object, &["spec", "spec", "devices"]);
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| devices(&root.down(&["spec", "spec", "devices"])))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| root.at("spec").immutable(old.get("spec")))
    }
}

fn default_devices(object: &mut Value, path: &[&str]) {
    meta::set_default(object, path, json!({}));
    let Some(devices) = meta::at_mut(object, path) else {
        return;
    };
    meta::set_default(devices, &["requests"], Value::Null);
    each(devices, "requests", |request| {
        if let Some(exactly) = request.get_mut("exactly").filter(|exactly| exactly.is_object()) {
            default_request(exactly);
        }
        each(request, "firstAvailable", default_request);
    });
}

fn default_request(request: &mut Value) {
    meta::set_default(request, &["allocationMode"], "ExactCount");
    if meta::text(request, &["allocationMode"]) == "ExactCount" {
        let count = meta::at(request, &["count"]).and_then(Value::as_i64).unwrap_or_default();
        if count == 0 {
            meta::set(request, &["count"], 1);
        }
    }
    each(request, "tolerations", |toleration| {
        meta::set_default(toleration, &["operator"], "Equal");
    });
}

fn devices(devices: &Cursor<'_>) {
    let requests = devices.at("requests");
    if requests.len() > MAX_REQUESTS {
        requests.push(FieldError::too_many(&requests.path, requests.len(), MAX_REQUESTS));
    }
    let mut seen = BTreeSet::new();
    for request in requests.items() {
        let name = request.at("name");
        if name.must_be_set() {
            name.named(names::dns1123_label);
            name.once(&mut seen);
        }
        let (exactly, first) = (request.at("exactly"), request.at("firstAvailable"));
        match (exactly.is_set(), !first.is_empty()) {
            (true, true) => {
                request.invalid("exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set")
            }
            (false, false) => request.required("exactly one of `exactly` or `firstAvailable` is required"),
            _ => {}
        }
        if exactly.is_set() {
            device_request(&exactly);
        }
        first.items().for_each(|sub| device_request(&sub));
    }
    for constraint in devices.at("constraints").items() {
        for name in constraint.at("requests").items() {
            if !seen.contains(name.text().split('/').next().unwrap_or_default()) {
                name.invalid_text("must be the name of a request in the claim or the name of a request and a subrequest separated by '/'");
            }
        }
    }
}

fn device_request(request: &Cursor<'_>) {
    let class = request.at("deviceClassName");
    if class.must_be_set() {
        class.named(names::dns1123_subdomain);
    }
    let (mode, count) = (request.at("allocationMode"), request.at("count"));
    match mode.text() {
        "All" => {
            if count.int().unwrap_or_default() != 0 {
                count.invalid("must not be specified when allocationMode is 'All'");
            }
        }
        "ExactCount" => {
            if count.int().unwrap_or_default() <= 0 {
                count.invalid("must be greater than zero");
            }
        }
        _ => mode.not_supported(&["All", "ExactCount"]),
    }
    selectors(&request.at("selectors"));
}

fn selectors(selectors: &Cursor<'_>) {
    for selector in selectors.items() {
        let cel = selector.at("cel");
        if !cel.is_set() {
            cel.required("");
        } else if cel.at("expression").is_empty() {
            cel.at("expression").required("");
        }
    }
}

impl Strategy for DeviceClass {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| selectors(&root.at("spec").at("selectors")))
    }
}

impl Strategy for ResourceSlice {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, returns_deleted_object: true, ..Rules::DEFAULT }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| slice(&root.at("spec")))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            let spec = root.at("spec");
            slice(&spec);
            for field in ["driver", "nodeName"] {
                spec.at(field).immutable(meta::at(old, &["spec", field]));
            }
            spec.down(&["pool", "name"]).immutable(meta::at(old, &["spec", "pool", "name"]));
        })
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |field: &str| meta::text(object, &["spec", field]).to_owned();
        vec![("spec.nodeName", text("nodeName")), ("spec.driver", text("driver"))]
    }
}

fn slice(spec: &Cursor<'_>) {
    spec.at("driver").must_be_named(names::dns1123_subdomain);
    let pool = spec.at("pool");
    pool.at("name").must_be_set();
    let count = pool.at("resourceSliceCount");
    if count.int().unwrap_or_default() <= 0 {
        count.invalid_as(count.int().unwrap_or_default().to_string(), "must be greater than zero");
    }
    pool.at("generation").not_negative();
    let set: Vec<&str> = WHERE
        .iter()
        .filter(|field| {
            let field = spec.at(field);
            field.is_true() || !(field.is_empty() || field.value.is_boolean())
        })
        .copied()
        .collect();
    match set.len() {
        0 => spec.required(
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
        ),
        1 => {}
        _ => spec.invalid_as(
            format!("[{}]", set.join(",")),
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
        ),
    }
    if spec.at("nodeSelector").is_set() {
        scheduling::node_selector(&spec.at("nodeSelector"));
    }
    let devices = spec.at("devices");
    if devices.len() > MAX_DEVICES {
        devices.push(FieldError::too_many(&devices.path, devices.len(), MAX_DEVICES));
    }
    let mut seen = BTreeSet::new();
    for device in devices.items() {
        let name = device.at("name");
        if name.must_be_set() {
            name.named(names::dns1123_label);
            name.once(&mut seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_filled_in_and_stay() {
        let mut claim = json!({"spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}});
        ResourceClaim.default(&mut claim);
        assert_eq!(
            claim["spec"]["devices"]["requests"][0]["exactly"],
            json!({"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1})
        );
        assert!(ResourceClaim.validate(&claim).is_empty());
        let mut changed = claim.clone();
        changed["spec"]["devices"]["requests"][0]["exactly"]["count"] = json!(2);
        assert_eq!(ResourceClaim.validate_update(&changed, &claim).len(), 1);
    }

    #[test]
    fn slices_say_where_their_devices_are() {
        assert_eq!(
            check::messages(&ResourceSlice.validate(&json!({"spec": {}}))),
            [
                "spec.driver: Required value",
                "spec.pool.name: Required value",
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
            ]
        );
    }
}
