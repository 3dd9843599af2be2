//! Finalizers: an object with one is not removed before whoever put it there takes it off again.
//! Source: Kubernetes doc "Finalizers"; controller-runtime's `controllerutil`.
//!
//! Put the finalizer on before you make anything that has to be cleaned up, and take it off when that is done:
//!
//! ```no_run
//! use steersman_framework::api::{Api, Resource};
//! use steersman_framework::finalizer;
//! use steersman_framework::meta::Partial;
//!
//! static WIDGETS: Resource = Resource::namespaced("example.com", "v1", "Widget", "widgets");
//! const FINALIZER: &str = "example.com/clean-up";
//!
//! async fn sync(api: &Api, widget: &Partial) -> Result<(), kube::Error> {
//!     let meta = &widget.metadata;
//!     if !meta.is_deleting() {
//!         finalizer::add(api, &WIDGETS, meta, FINALIZER).await?;
//!         // Make what the widget needs outside of the cluster.
//!     } else if meta.has_finalizer(FINALIZER) {
//!         // Clean up, then let go.
//!         finalizer::remove(api, &WIDGETS, meta, FINALIZER).await?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Both write only if the object is still the one that was looked at, in the same version: a list is replaced as a whole, and
//! somebody else's finalizer would be lost otherwise. A conflict is returned; sync again.

use kube::Error;
use kube::api::Patch;
use serde_json::{Value, json};

use crate::api::{Api, Resource, Written, is_not_found};
use crate::meta::Meta;

/// The merge patch that puts `finalizer` on; `None` if it is there, or if the object is being deleted, when the server lets
/// nobody add one.
pub fn add_patch(meta: &Meta, finalizer: &str) -> Option<Value> {
    let wanted = !meta.has_finalizer(finalizer) && !meta.is_deleting();
    wanted.then(|| patch(meta, meta.finalizers.iter().map(String::as_str).chain([finalizer])))
}

/// The merge patch that takes `finalizer` off; `None` if it is not there.
pub fn remove_patch(meta: &Meta, finalizer: &str) -> Option<Value> {
    let left = meta.finalizers.iter().map(String::as_str).filter(|present| *present != finalizer);
    meta.has_finalizer(finalizer).then(|| patch(meta, left))
}

fn patch<'a>(meta: &Meta, finalizers: impl Iterator<Item = &'a str>) -> Value {
    let finalizers: Vec<&str> = finalizers.collect();
    json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": finalizers}})
}

/// Puts `finalizer` on; gives the object's metadata afterwards, `None` if there was nothing to do.
///
/// # Errors
/// If the server refuses: with a conflict if the object has changed meanwhile.
pub async fn add(api: &Api, resource: &Resource, meta: &Meta, finalizer: &str) -> Result<Option<Meta>, Error> {
    let Some(patch) = add_patch(meta, finalizer) else { return Ok(None) };
    let written: Written = api.patch(resource, &meta.key(), &Patch::Merge(patch)).await?;
    Ok(Some(written.metadata))
}

/// Takes `finalizer` off; gives the object's metadata afterwards, `None` if there was nothing to do or the object is gone.
///
/// # Errors
/// If the server refuses: with a conflict if the object has changed meanwhile.
pub async fn remove(api: &Api, resource: &Resource, meta: &Meta, finalizer: &str) -> Result<Option<Meta>, Error> {
    let Some(patch) = remove_patch(meta, finalizer) else { return Ok(None) };
    match api.patch::<Written>(resource, &meta.key(), &Patch::Merge(patch)).await {
        Ok(written) => Ok(Some(written.metadata)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(finalizers: &[&str], deleting: bool) -> Meta {
        Meta {
            uid: "u".to_owned(),
            resource_version: "7".to_owned(),
            finalizers: finalizers.iter().map(|&name| name.to_owned()).collect(),
            deletion_timestamp: deleting.then_some(jiff::Timestamp::UNIX_EPOCH),
            ..Meta::default()
        }
    }

    fn finalizers(patch: Option<Value>) -> Option<Value> {
        patch.map(|patch| {
            assert_eq!((&patch["metadata"]["uid"], &patch["metadata"]["resourceVersion"]), (&json!("u"), &json!("7")));
            patch["metadata"]["finalizers"].clone()
        })
    }

    #[test]
    fn patches_keep_the_finalizers_of_others_and_hold_for_one_version() {
        assert_eq!(finalizers(add_patch(&meta(&["a"], false), "b")), Some(json!(["a", "b"])));
        assert_eq!(finalizers(add_patch(&meta(&["a", "b"], false), "b")), None);
        assert_eq!(finalizers(add_patch(&meta(&["a"], true), "b")), None);
        assert_eq!(finalizers(remove_patch(&meta(&["a", "b"], true), "a")), Some(json!(["b"])));
        assert_eq!(finalizers(remove_patch(&meta(&["a"], true), "a")), Some(json!([])));
        assert_eq!(finalizers(remove_patch(&meta(&["a"], true), "b")), None);
    }
}
