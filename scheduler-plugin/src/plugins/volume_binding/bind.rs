//! Asks for volumes and waits until they are there.

use std::time::Duration;

use http::Request;
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::find::Choice;
use crate::node_selector::labels_satisfy;
use crate::plugin::Binding;
use crate::wire::{Claim, Node, PersistentVolume};

/// The annotation that asks a provisioner to make a claim's volume where a node can have it.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The annotation of a volume that was bound without a person's doing.
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// The first wait between two looks; the next ones are longer, up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Writes what was chosen, and waits until all claims are bound.
pub(super) async fn bind(binding: &Binding, choice: &Choice, patience: Duration) -> Result<(), String> {
    for (volume, claim) in &choice.bindings {
        hold_volume(binding, volume, claim).await?;
    }
    for claim in &choice.provisions {
        let metadata = &claim.metadata.common;
        let annotations = json!({SELECTED_NODE: &*binding.node_name});
        let change = json!({
            "metadata": {"resourceVersion": metadata.resource_version, "annotations": annotations},
        });
        patch(binding, &claim_path(claim), &change).await?;
    }
    let all = choice.bindings.iter().map(|(_, claim)| (claim, false));
    let all: Vec<_> = all.chain(choice.provisions.iter().map(|claim| (claim, true))).collect();
    let wait = async {
        for (claim, provisioned) in all {
            until_bound(binding, claim, provisioned).await?;
        }
        Ok(())
    };
    let ended = timeout(patience, wait).await;
    ended.unwrap_or_else(|_| Err("binding volumes: context deadline exceeded".to_owned()))
}

async fn hold_volume(binding: &Binding, volume: &PersistentVolume, claim: &Claim) -> Result<(), String> {
    let (volume_metadata, metadata) = (&volume.metadata.common, &claim.metadata.common);
    let meant_for_it = volume.is_bound_to(claim);
    if meant_for_it && volume.spec.claim_ref.as_ref().is_some_and(|reference| reference.uid == metadata.uid) {
        return Ok(());
    }
    let reference = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "namespace": metadata.namespace, "name": metadata.name,
        "uid": metadata.uid, "resourceVersion": metadata.resource_version,
    });
    let mut change = json!({
        "metadata": {"resourceVersion": volume_metadata.resource_version},
        "spec": {"claimRef": reference},
    });
    if !meant_for_it {
        change["metadata"]["annotations"] = json!({BOUND_BY_CONTROLLER: "yes"});
    }
    patch(binding, &format!("/api/v1/persistentvolumes/{}", volume_metadata.name), &change).await
}

fn claim_path(claim: &Claim) -> String {
    let metadata = &claim.metadata.common;
    format!("/api/v1/namespaces/{}/persistentvolumeclaims/{}", metadata.namespace, metadata.name)
}

async fn until_bound(binding: &Binding, claim: &Claim, provisioned: bool) -> Result<(), String> {
    let mut wait = FIRST_WAIT;
    loop {
        let now: Claim = get(binding, &claim_path(claim)).await?;
        if now.is_fully_bound() {
            return if provisioned { check_place(binding, &now).await } else { Ok(()) };
        }
        let name = &now.metadata.common.name;
        let selected = now.metadata.annotations.get(SELECTED_NODE);
        // A provisioner that cannot make the volume there takes the annotation away.
        if provisioned && selected.is_none_or(|node| **node != *binding.node_name) {
            return Err(format!("binding volumes: selectedNode annotation reset for PVC {name:?}"));
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// A volume that was made must be one that the node can have.
async fn check_place(binding: &Binding, claim: &Claim) -> Result<(), String> {
    let name = &claim.spec.volume_name;
    let volume: PersistentVolume = get(binding, &format!("/api/v1/persistentvolumes/{name}")).await?;
    let Some(required) = volume.required() else { return Ok(()) };
    let node: Node = get(binding, &format!("/api/v1/nodes/{}", binding.node_name)).await?;
    if labels_satisfy(required, &node.metadata.labels) {
        return Ok(());
    }
    let node = &node.metadata.name;
    Err(format!(
        "binding volumes: pv {name:?} node affinity doesn't match node {node:?}: no matching NodeSelectorTerms"
    ))
}

async fn patch(binding: &Binding, path: &str, change: &Value) -> Result<(), String> {
    let request = Request::patch(format!("{path}?fieldManager=kube-scheduler"))
        .header(CONTENT_TYPE, "application/merge-patch+json")
        .body(change.to_string().into_bytes())
        .map_err(|error| error.to_string())?;
    send(binding, request).await.map(drop)
}

async fn get<T: DeserializeOwned>(binding: &Binding, path: &str) -> Result<T, String> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    serde_json::from_str(&send(binding, request).await?).map_err(|error| error.to_string())
}

async fn send(binding: &Binding, request: Request<Vec<u8>>) -> Result<String, String> {
    let sent = binding.client.request_text(request).await;
    sent.map_err(|error| format!("binding volumes: {}", steersman_framework::api::message(&error)))
}
