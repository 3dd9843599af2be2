//! `OwnerReferencesPermissionEnforcement` (off by default): only who may delete an object says whom it belongs to, and only
//! who may change the finalizers of an owner lets it wait for that object.
//! Source: Kubernetes doc "Admission Control in Kubernetes"; `kubernetes/plugin/pkg/admission/gc`.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::group::GroupVersion;
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict};
use crate::authorization::{self, Target};
use crate::http::request_info::RequestInfo;

pub(super) struct OwnerReferencesPermissionEnforcement;

impl Plugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        async move {
            let written = matches!(attributes.operation, Operation::Create | Operation::Update);
            // Kubelets write it, whoever owns the pod.
            let is_pod_status = attributes.subresource == "status"
                && attributes.resource.group.is_empty()
                && attributes.resource.name == "pods";
            let Some(object) = object.filter(|_| written && !is_pod_status) else { return Ok(()) };
            if owners(object) == attributes.old.map_or(&[][..], owners) {
                return Ok(());
            }
            let view = attributes.server.authorizer.view(&*attributes.server.store).await?;
            let user = &attributes.origin.user;
            let may = |verb, target| {
                let verdict = view.decide(&authorization::Attributes { user, verb, target, field_selector: "" });
                if verdict.is_allowed() { Ok(()) } else { Err(verdict.reason) }
            };
            if attributes.operation == Operation::Update {
                may("delete", own_target(attributes)).map_err(|reason| {
                    let why = format!("cannot set an ownerRef on a resource you can't delete: {reason}, <nil>");
                    attributes.forbidden(object, why)
                })?;
            }
            let catalog = attributes.server.catalog();
            for owner in newly_blocking(object, attributes.old) {
                let text = |field| meta::text(owner, &[field]);
                let (version, kind) = (text("apiVersion"), text("kind"));
                let gvk = GroupVersion::parse(version).with_kind(kind);
                let Some(resource) = catalog.find_kind(&gvk) else {
                    let why = format!(
                        "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} Kind {kind}: no matches for kind \"{kind}\" in version \"{version}\""
                    );
                    return Err(attributes.forbidden(object, why));
                };
                attributes.origin.trail.needed(user, || RequestInfo {
                    is_resource: true,
                    verb: "update".to_owned(),
                    group: resource.group.to_string(),
                    namespace: if resource.namespaced { attributes.namespace.to_owned() } else { String::new() },
                    resource: resource.name.to_string(),
                    name: text("name").to_owned(),
                    subresource: "finalizers".to_owned(),
                    ..RequestInfo::default()
                });
                let target = Target::Resource {
                    group: &resource.group,
                    resource: &resource.name,
                    subresource: "finalizers",
                    namespace: if resource.namespaced { attributes.namespace } else { "" },
                    name: text("name"),
                };
                may("update", target).map_err(|reason| {
                    let why = format!("cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {reason}, <nil>");
                    attributes.forbidden(object, why)
                })?;
            }
            Ok(())
        }
        .boxed().right_future()
    }
}

fn own_target<'a>(attributes: &Attributes<'a>) -> Target<'a> {
    Target::Resource {
        group: &attributes.resource.group,
        resource: &attributes.resource.name,
        subresource: attributes.subresource,
        namespace: attributes.namespace,
        name: attributes.name,
    }
}

fn owners(object: &Value) -> &[Value] {
    meta::items(object, &["metadata", "ownerReferences"])
}

/// The owners that come to wait for the object.
fn newly_blocking<'a>(object: &'a Value, old: Option<&Value>) -> Vec<&'a Value> {
    let blocks = |owner: &Value| owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true);
    let before = old.map_or(&[][..], owners);
    let blocked = |uid: &str| before.iter().any(|owner| meta::text(owner, &["uid"]) == uid && blocks(owner));
    owners(object).iter().filter(|owner| blocks(owner) && !blocked(meta::text(owner, &["uid"]))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_owners_that_come_to_wait_count() {
        let object = |refs: &[(&str, bool)]| {
            let owners: Vec<Value> =
                refs.iter().map(|(uid, blocks)| json!({"uid": uid, "blockOwnerDeletion": blocks})).collect();
            json!({"metadata": {"ownerReferences": owners}})
        };
        let new = object(&[("a", true), ("b", true), ("c", false), ("d", true)]);
        let old = object(&[("a", true), ("b", false)]);
        let uids = |old| newly_blocking(&new, old).into_iter().map(|it| it["uid"].clone()).collect::<Vec<_>>();
        assert_eq!(uids(Some(&old)), ["b", "d"]);
        assert_eq!(uids(None), ["a", "b", "d"]);
    }
}
