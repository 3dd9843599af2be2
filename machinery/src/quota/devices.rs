//! Claims of devices: their number, and the most devices of each class that they may be given.

use std::collections::BTreeMap;

use serde_json::Value;

use super::count;
use crate::meta;
use crate::resource_list::{self, ResourceList};

/// After the name of a device class.
const OF_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
/// The most devices that a claim is ever given: what "all" may come to.
const MOST: usize = 32;

pub(super) fn tracks(name: &str) -> bool {
    name.ends_with(OF_CLASS)
}

pub(super) fn usage(claim: &Value) -> ResourceList {
    let mut usage = ResourceList::new();
    for request in meta::items(claim, &["spec", "devices", "requests"]) {
        let alternatives = meta::items(request, &["firstAvailable"]);
        // `exactly` in v1; beside the name in the first betas.
        let exactly = request.get("exactly").unwrap_or(request);
        let wanted = if alternatives.is_empty() { std::slice::from_ref(exactly) } else { alternatives };
        let mut most: BTreeMap<&str, usize> = BTreeMap::new();
        for wanted in wanted {
            let highest = most.entry(meta::text(wanted, &["deviceClassName"])).or_default();
            *highest = (*highest).max(devices(wanted));
        }
        let most = most.into_iter().map(|(class, number)| (format!("{class}{OF_CLASS}"), count(number)));
        resource_list::add(&mut usage, &most.collect());
    }
    usage
}

fn devices(wanted: &Value) -> usize {
    let number = wanted.get("count").and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    match meta::text(wanted, &["allocationMode"]) {
        "All" => MOST,
        "ExactCount" => number.unwrap_or(0),
        _ => 0,
    }
}
