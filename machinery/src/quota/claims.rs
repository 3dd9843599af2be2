//! Claims of volumes: their number and what they ask for, altogether and by storage class.

use serde_json::Value;

use super::count;
use crate::meta;
use crate::quantity::{Format, Quantity};
use crate::resource_list::ResourceList;

const CLAIMS: &str = "persistentvolumeclaims";
const STORAGE: &str = "requests.storage";
/// Between the name of a storage class and what is counted of it.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Where the class stood before there was a field for it.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) fn tracks(name: &str) -> bool {
    let of_class = |counted: &str| name.strip_suffix(counted).is_some_and(|class| class.ends_with(OF_CLASS));
    [CLAIMS, STORAGE].into_iter().any(|counted| name == counted || of_class(counted))
}

pub(super) fn usage(claim: &Value) -> ResourceList {
    let class = meta::annotation(claim, CLASS_ANNOTATION);
    let class = class.unwrap_or_else(|| meta::text(claim, &["spec", "storageClassName"]));
    let mut usage = ResourceList::new();
    let mut charge = |counted: &str, amount: Quantity| {
        usage.insert(counted.to_owned(), amount);
        if !class.is_empty() {
            usage.insert(format!("{class}{OF_CLASS}{counted}"), amount);
        }
    };
    charge(CLAIMS, count(1));
    if let Some(storage) = storage(claim) {
        charge(STORAGE, storage);
    }
    usage
}

/// What is asked for, or what an expansion that was taken back still has, in whole bytes.
fn storage(claim: &Value) -> Option<Quantity> {
    let amount = |path: &[&str]| Quantity::from_value(meta::at(claim, path)?).ok();
    let asked = amount(&["spec", "resources", "requests", "storage"])?;
    let allocated = amount(&["status", "allocatedResources", "storage"]).unwrap_or_default();
    let amount = asked.max(allocated);
    let whole = Quantity::from_units(amount.value(), amount.format());
    Some(if whole == amount { amount } else { Quantity::from_units(amount.value(), Format::DecimalSi) })
}
