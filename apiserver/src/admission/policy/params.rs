//! The parameters of policies.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy/generic` (`CollectParams`), whose texts these are.

use serde_json::Value;
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::meta;

use super::definition::{Binding, ParamRef, Policy};
use crate::admission::Attributes;
use crate::registry::resource::Resource;
use crate::server::Server;

/// The resource of a policy's parameters, if it has a kind of parameters.
///
/// # Errors
/// If that kind is not served.
pub(super) fn resource(server: &Server, policy: &Policy) -> Result<Option<std::sync::Arc<Resource>>, String> {
    let Some((api_version, kind)) = &policy.param_kind else { return Ok(None) };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = GroupVersionKind::new(group, version, kind);
    match server.catalog().find_kind(&kind) {
        Some(resource) => Ok(Some(resource.clone())),
        None => {
            let shown = format!("{group}/{version}, Kind={}", kind.kind);
            Err(format!("failed to find resource referenced by paramKind: '{shown}'"))
        }
    }
}

/// The parameters with which a policy is asked, one after the other: nothing at all if it has none to do with.
pub(super) async fn collect(
    resource: Option<&Resource>,
    binding: &Binding,
    attributes: &Attributes<'_>,
) -> Result<Vec<Option<Value>>, String> {
    let (Some(resource), Some(reference)) = (resource, &binding.params) else { return Ok(vec![None]) };
    let namespace = match (resource.namespaced, reference.namespace.as_str()) {
        (true, "") if attributes.namespace.is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
            );
        }
        (true, "") => attributes.namespace,
        (true, given) => given,
        (false, "") => "",
        (false, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
        }
    };
    let found = find(attributes.server, resource, reference, namespace).await?;
    if found.is_empty() && reference.must_exist {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    Ok(found.into_iter().map(Some).collect())
}

async fn find(
    server: &Server,
    resource: &Resource,
    reference: &ParamRef,
    namespace: &str,
) -> Result<Vec<Value>, String> {
    let stored = crate::object::storage_name(resource);
    let found = if reference.name.is_empty() {
        let selector = reference.selector.as_ref().map_err(Clone::clone)?;
        let all = match namespace {
            "" => server.read_all(&stored).await,
            namespace => server.read_namespace(&stored, namespace).await,
        };
        all.map(|all| all.into_iter().filter(|object| selector.matches_object(object)).collect())
    } else {
        server.read(&stored, namespace, &reference.name).await.map(|found| found.into_iter().collect::<Vec<_>>())
    };
    let mut found: Vec<Value> = found.map_err(|status| status.message)?;
    for object in &mut found {
        // The store holds objects in the version in which they were written.
        meta::set(object, &["apiVersion"], resource.api_version());
    }
    Ok(found)
}
