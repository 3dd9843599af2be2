//! Objects that plugins ask for.

use std::time::Duration;

use futures::future::BoxFuture;
use kube::api::ListParams;
use serde_json::Value;
use steersman_framework::api::{Api, Resource, is_not_found};
use steersman_framework::reflector::{Change, Reflector, Sink};
use steersman_framework::runtime::Shutdown;
use tokio::sync::mpsc::UnboundedSender;

use super::Update;
use crate::watched::Source;

struct Forward {
    sender: UnboundedSender<Update>,
    place: usize,
}

impl Forward {
    fn send(&self, change: Change<Value>) {
        // The receiver is gone only while everything is being stopped.
        let _ = self.sender.send(Update::Watched(self.place, change));
    }
}

impl Sink<Value> for Forward {
    fn take(&self, change: Change<Value>, _: &str) {
        if !matches!(change, Change::Progress) {
            self.send(change);
        }
    }
}

/// Tells for ever what there is of a resource.
pub(super) fn follow(
    source: &dyn Source,
    (api, shutdown): (&Api, &Shutdown),
    sender: UnboundedSender<Update>,
    place: usize,
) -> BoxFuture<'static, ()> {
    let (resource, every) = (source.resource().clone(), source.every());
    let (api, shutdown) = (api.clone(), shutdown.clone());
    let forward = Forward { sender, place };
    let Some(every) = every else {
        let reflector = Reflector {
            api,
            resource,
            metadata_only: false,
            field_selector: String::new(),
            optional: true,
            version: |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap_or_default(),
            sink: forward,
        };
        return Box::pin(reflector.run(shutdown));
    };
    Box::pin(async move {
        tokio::select! {
            biased;
            () = shutdown.requested() => {}
            () = poll(&api, &resource, &forward, every) => {}
        }
    })
}

/// What the API server does not have counts as empty.
async fn poll(api: &Api, resource: &Resource, forward: &Forward, every: Duration) {
    let mut told = false;
    loop {
        match api.list::<Value>(resource, "", &ListParams::default()).await {
            Ok(page) => forward.send(Change::Replaced(page.items)),
            Err(error) if is_not_found(&error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%resource, "the API server does not have a resource that a plugin reads");
                }
                forward.send(Change::Replaced(Vec::new()));
            }
            Err(error) => tracing::warn!(%resource, %error, "a list for a plugin failed"),
        }
        tokio::time::sleep(every).await;
    }
}
