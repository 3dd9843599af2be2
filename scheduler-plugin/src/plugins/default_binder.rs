//! DefaultBinder: tells the API server on which node a pod runs.

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Request;
use serde::Serialize;
use steersman_framework::api::{self, Alone};

use crate::cluster_event::ClusterEvent;
use crate::plugin::{BindPlugin, Binding, Plugin};
use crate::status::Status;

/// Posts to the pod's `binding` subresource.
#[derive(Clone, Copy, Debug)]
pub struct DefaultBinder;

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }

    fn events_to_register(&self) -> Vec<ClusterEvent> {
        Vec::new()
    }

    fn as_bind(&self) -> Option<&dyn BindPlugin> {
        Some(self)
    }
}

impl BindPlugin for DefaultBinder {
    fn bind<'a>(&'a self, binding: &'a Binding) -> BoxFuture<'a, Status> {
        async move {
            match post(binding).await {
                Ok(()) => Status::success(),
                Err(error) => Status::error(api::message(&error)),
            }
        }
        .boxed()
    }
}

/// A binding as it is posted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    target: Target<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

#[derive(Serialize)]
struct Target<'a> {
    kind: &'static str,
    name: &'a str,
}

async fn post(binding: &Binding) -> Result<(), kube::Error> {
    let pod = &binding.pod;
    let namespace = &*pod.spec.namespace;
    let body = Posted {
        api_version: "v1",
        kind: "Binding",
        metadata: Metadata { name: &pod.name, namespace, uid: &pod.uid },
        target: Target { kind: "Node", name: &binding.node_name },
    };
    let request = Request::post(format!("/api/v1/namespaces/{namespace}/pods/{}/binding", pod.name))
        .header(http::header::CONTENT_TYPE, "application/json")
        .extension(Alone)
        .body(serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?)
        .map_err(kube::Error::HttpError)?;
    api::send(&binding.client, request).await
}
