//! Writes allocations and reservations to claims.

use http::Request;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::prepare::Work;
use crate::plugin::Binding;
use crate::wire::ResourceClaim;

/// Keeps a claim until its devices are free again.
/// Source: `k8s.io/api/resource/v1.Finalizer`.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

/// Allocates the claims that have no devices, and reserves all for the pod.
pub(super) async fn bind(binding: &Binding, work: &Work) -> Result<(), String> {
    for (place, claim) in work.claims.iter().enumerate() {
        let allocation = work.allocations.iter().find(|allocation| allocation.claim == place);
        let reserved = claim.status.reserved_for.iter().any(|it| it.uid == *binding.pod.uid);
        let mut version = claim.metadata.common.resource_version.clone();
        let protected = claim.metadata.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        if allocation.is_some() && !protected {
            let finalizers: Vec<&str> =
                claim.metadata.finalizers.iter().map(String::as_str).chain([FINALIZER]).collect();
            let change = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
            version = patch(binding, &path(claim), "application/merge-patch+json", &change).await?;
        }
        let mut status = json!({});
        if let Some(allocation) = allocation {
            status["allocation"] = allocation.result.clone();
        }
        if !reserved {
            let pod = json!({"resource": "pods", "name": binding.pod.name, "uid": &*binding.pod.uid});
            status["reservedFor"] = json!([pod]);
        }
        if allocation.is_some() || !reserved {
            // Lists of reservations are merged by uid: others keep theirs.
            let change = json!({"metadata": {"resourceVersion": version}, "status": status});
            let status_path = format!("{}/status", path(claim));
            patch(binding, &status_path, "application/strategic-merge-patch+json", &change).await?;
        }
    }
    Ok(())
}

fn path(claim: &ResourceClaim) -> String {
    let metadata = &claim.metadata.common;
    format!("/apis/resource.k8s.io/v1/namespaces/{}/resourceclaims/{}", metadata.namespace, metadata.name)
}

/// Returns the version that was written.
async fn patch(binding: &Binding, path: &str, kind: &'static str, change: &Value) -> Result<String, String> {
    let request = Request::patch(format!("{path}?fieldManager=kube-scheduler"))
        .header(CONTENT_TYPE, kind)
        .body(change.to_string().into_bytes())
        .map_err(|error| error.to_string())?;
    let sent = binding.client.request::<ResourceClaim>(request).await;
    let written = sent.map_err(|error| format!("claim allocation: {}", steersman_framework::api::message(&error)))?;
    Ok(written.metadata.common.resource_version)
}
