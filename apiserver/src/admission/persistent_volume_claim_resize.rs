//! `PersistentVolumeClaimResize`: a claim grows only if its storage class allows that.
//! Source: Kubernetes doc "Persistent Volumes", section "Expanding Persistent Volumes Claims".

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::quantity::Quantity;

use super::{Attributes, Operation, Plugin, Verdict};

const UNBOUND: &str = "Only bound persistent volume claims can be expanded";
const FIXED: &str =
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";

pub(super) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        async move {
            let (Operation::Update, Some(claim), Some(old)) = (attributes.operation, object, attributes.old) else {
                return Ok(());
            };
            if !attributes.is("", "persistentvolumeclaims") || size(claim) <= size(old) {
                return Ok(());
            }
            if meta::text(old, &["status", "phase"]) != "Bound" {
                return Err(attributes.forbidden(claim, UNBOUND));
            }
            let name = class(claim);
            let class = match name.is_empty() || name != class(old) {
                true => None,
                false => attributes.server.read("storageclasses.storage.k8s.io", "", name).await?,
            };
            match class.is_some_and(|class| class["allowVolumeExpansion"] == true) {
                true => Ok(()),
                false => Err(attributes.forbidden(claim, FIXED)),
            }
        }
        .boxed()
        .right_future()
    }
}

fn size(claim: &Value) -> Quantity {
    let size = meta::at(claim, &["spec", "resources", "requests", "storage"]);
    size.and_then(|size| Quantity::from_value(size).ok()).unwrap_or_default()
}

fn class(claim: &Value) -> &str {
    let annotated = meta::annotation(claim, "volume.beta.kubernetes.io/storage-class");
    annotated.unwrap_or_else(|| meta::text(claim, &["spec", "storageClassName"]))
}
