//! Claims that ask for administrators' access to devices stand only in namespaces that are labelled for it.
//! Source: `k8s.io/kubernetes/pkg/registry/resource/utils.go` (`AuthorizedForAdmin`, `AuthorizedForAdminStatus`).

use serde_json::Value;
use steersman_machinery::field::{FieldError, Path};
use steersman_machinery::meta;
use steersman_machinery::status::Status;

use crate::registry::resource::Resource;
use crate::server::Server;

const LABEL: &str = "resource.kubernetes.io/admin-access";

/// What is wrong with the access that a new claim, or a new template of claims, asks for.
pub(super) async fn of_created(
    server: &Server,
    resource: &Resource,
    object: &Value,
) -> Result<Option<FieldError>, Status> {
    let requests: &[&str] = match (resource.group.as_str(), resource.name.as_str()) {
        ("resource.k8s.io", "resourceclaims") => &["spec", "devices", "requests"],
        ("resource.k8s.io", "resourceclaimtemplates") => &["spec", "spec", "devices", "requests"],
        _ => return Ok(None),
    };
    match position(meta::at(object, requests), &["exactly", "adminAccess"]) {
        // A template's path is a claim's: upstream looks at both alike.
        Some(index) => unlabelled(server, object, &format!("spec.devices.requests[{index}].adminAccess")).await,
        None => Ok(None),
    }
}

/// What is wrong with the access that the status of a claim grants now and did not grant before.
pub(super) async fn of_status(
    server: &Server,
    resource: &Resource,
    (object, old): (&Value, &Value),
) -> Result<Option<FieldError>, Status> {
    if (resource.group.as_str(), resource.name.as_str()) != ("resource.k8s.io", "resourceclaims") {
        return Ok(None);
    }
    let granted = |claim| position(meta::at(claim, &["status", "allocation", "devices", "results"]), &["adminAccess"]);
    match (granted(old), granted(object)) {
        (None, Some(index)) => {
            let path = format!("status.allocation.devices.results[{index}].adminAccess");
            unlabelled(server, object, &path).await
        }
        _ => Ok(None),
    }
}

/// Where in a list the first item stands whose field is true.
fn position(list: Option<&Value>, field: &[&str]) -> Option<usize> {
    let list = list?.as_array()?;
    list.iter().position(|item| meta::at(item, field).and_then(Value::as_bool) == Some(true))
}

async fn unlabelled(server: &Server, object: &Value, path: &str) -> Result<Option<FieldError>, Status> {
    let name = meta::namespace(object);
    let Some(namespace) = server.configuration("namespaces", "", name).await? else {
        let why = format!("could not retrieve namespace to verify admin access: namespaces {name:?} not found");
        return Ok(Some(FieldError::internal(&Path::new(path), why)));
    };
    let label = meta::at(&namespace, &["metadata", "labels", LABEL]).and_then(Value::as_str);
    Ok((label != Some("true")).then(|| {
        let why = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
        FieldError::forbidden(&Path::new(path), why)
    }))
}
