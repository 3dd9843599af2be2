//! Writes allocations and reservations to claims, and waits for devices that need time.

use std::time::Duration;

use http::Request;
use http::header::CONTENT_TYPE;
use jiff::{SignedDuration, Timestamp};
use kube::Error;
use serde_json::{Value, json};
use steersman_framework::api::{is_conflict, message};
use steersman_framework::metrics::Metrics;
use steersman_machinery::clock::{Clock, format_time};
use tokio::time::{Instant, sleep};

use super::allocate;
use super::conditions;
use super::counted::{self, InVain};
use super::in_flight::{Work, key};
use crate::plugin::Binding;
use crate::wire::ResourceClaim;
use crate::writer::{EventText, EventWriter};

/// Keeps a claim until its devices are free again.
/// Source: `k8s.io/api/resource/v1.Finalizer`.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// How often a claim is looked at while its devices get ready.
const POLL: Duration = Duration::from_secs(5);
/// How often a claim is written that somebody else changed at the same time. Source: client-go, `retry.DefaultRetry`.
const TRIES: usize = 5;

/// What a binding needs besides its work.
pub(super) struct Site<'a> {
    pub(super) binding: &'a Binding,
    pub(super) clock: &'a dyn Clock,
    pub(super) metrics: &'a Metrics,
    /// How long devices may take.
    pub(super) patience: SignedDuration,
}

/// Allocates the claims that have no devices, reserves all for the pod, and waits until their devices are ready.
pub(super) async fn bind(site: &Site<'_>, work: &Work) -> Result<(), String> {
    let mut claims = Vec::new();
    for (place, claim) in work.claims.iter().enumerate() {
        let allocation = work.choice.allocations.iter().find(|allocation| allocation.claim == place);
        let reserved = claim.status.reserved_for.iter().any(|it| it.uid == *site.binding.pod.uid);
        if reserved {
            note_reservation(work, claim);
            claims.push(claim.as_ref().clone());
        } else {
            claims.push(reserve(site, work, claim, allocation.map(|allocation| &allocation.result)).await?);
        }
    }
    let extended = work.choice.allocations.iter().find(|allocation| allocation.claim == work.claims.len());
    if let Some(allocation) = extended {
        claims.push(make(site, work, &allocation.result).await?);
    }
    if !claims.iter().any(conditions::has_any) {
        return Ok(());
    }
    let begun = Instant::now();
    let ended = until_ready(site, claims.clone()).await;
    let in_vain = ended.as_ref().err().map(|(how, _)| *how);
    counted::waited(site.metrics, &site.binding.pod.spec.scheduler_name, &claims, (begun, in_vain));
    ended.map_err(|(_, why)| why)
}

fn note_reservation(work: &Work, claim: &ResourceClaim) {
    let (namespace, name) = key(claim);
    work.progress.reserved.lock().push((namespace, name, claim.metadata.common.uid.clone()));
}

/// Makes the claim for extended resources, and says on the pod which container has what of it.
async fn make(site: &Site<'_>, work: &Work, allocation: &Value) -> Result<ResourceClaim, String> {
    let pod = &site.binding.pod;
    let asked = &work.choice.asked;
    let collection = format!("/apis/resource.k8s.io/v1/namespaces/{}/resourceclaims", pod.spec.namespace);
    let made = send(site, "POST", &collection, ("application/json", &asked.claim(pod))).await;
    counted::made_claim(site.metrics, made.is_ok());
    let made: ResourceClaim = made.map_err(|error| {
        format!("create claim for extended resources {}: {}", collection_name(work), message(&error))
    })?;
    *work.progress.made.lock() = Some(key(&made));
    let claim = reserve(site, work, &made, Some(allocation)).await?;
    let status = json!({"status": {"extendedResourceClaimStatus": asked.status(&claim.metadata.common.name)}});
    let path = format!("/api/v1/namespaces/{}/pods/{}/status", pod.spec.namespace, pod.name);
    let sent = send::<Value>(site, "PATCH", &path, ("application/strategic-merge-patch+json", &status)).await;
    sent.map_err(|error| format!("update pod {} ExtendedResourceClaimStatus: {}", pod.key(), message(&error)))?;
    Ok(claim)
}

fn collection_name(work: &Work) -> String {
    work.choice.asked.mappings.first().map(|(_, resource, _)| resource.clone()).unwrap_or_default()
}

/// Writes an allocation, if there is one, and a reservation; begins anew if the claim was changed meanwhile.
async fn reserve(
    site: &Site<'_>,
    work: &Work,
    claim: &ResourceClaim,
    allocation: Option<&Value>,
) -> Result<ResourceClaim, String> {
    let name = allocate::key(claim);
    let mut claim = claim.clone();
    for last in (0..TRIES).map(|number| number + 1 == TRIES) {
        if claim.metadata.common.deletion_timestamp.is_some() {
            return Err(format!("claim {name} got deleted in the meantime"));
        }
        if allocation.is_some() && claim.status.allocation.is_some() {
            return Err(format!("claim {name} got allocated elsewhere in the meantime"));
        }
        match try_to_reserve(site, &claim, allocation).await {
            Ok(written) => {
                note_reservation(work, &written);
                return Ok(written);
            }
            Err((what, error)) if last || !is_conflict(&error) => {
                return Err(format!("{what} claim {name}: {}", message(&error)));
            }
            Err(_) => {
                let got = get(site, &claim).await;
                claim = got.map_err(|error| format!("get updated claim {name} after conflict: {}", message(&error)))?;
            }
        }
    }
    Err(format!("claim {name} changes all the time"))
}

async fn try_to_reserve(
    site: &Site<'_>,
    claim: &ResourceClaim,
    allocation: Option<&Value>,
) -> Result<ResourceClaim, (&'static str, Error)> {
    let mut version = claim.metadata.common.resource_version.clone();
    let protected = claim.metadata.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    if allocation.is_some() && !protected {
        let finalizers: Vec<&str> = claim.metadata.finalizers.iter().map(String::as_str).chain([FINALIZER]).collect();
        let change = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
        let written = patch(site, &path(claim), "application/merge-patch+json", &change).await;
        version = written.map_err(|error| ("add finalizer to", error))?.metadata.common.resource_version;
    }
    let pod = &site.binding.pod;
    let mut status = json!({
        "reservedFor": [{"resource": "pods", "name": &*pod.name, "uid": &*pod.uid}],
    });
    if let Some(allocation) = allocation {
        status["allocation"] = allocation.clone();
    }
    let dated = claim.status.allocation.as_ref().is_some_and(|allocation| allocation.allocation_timestamp.is_some());
    if !dated {
        status["allocation"]["allocationTimestamp"] = json!(format_time(site.clock.now()));
    }
    // Lists of reservations are merged by uid: others keep theirs.
    let change = json!({"metadata": {"resourceVersion": version}, "status": status});
    let status_path = format!("{}/status", path(claim));
    let what = if allocation.is_some() { "add allocation and reservation to" } else { "add reservation to" };
    let written = patch(site, &status_path, "application/strategic-merge-patch+json", &change).await;
    written.map_err(|error| (what, error))
}

/// Waits for the conditions of devices.
async fn until_ready(site: &Site<'_>, mut claims: Vec<ResourceClaim>) -> Result<(), (InVain, String)> {
    let pod = &site.binding.pod;
    let text = EventText::waiting_for_devices(&site.binding.node_name);
    let event = EventWriter::default().event(&pod.spec.scheduler_name, pod, &text, site.clock.now());
    if let Some(event) = event {
        crate::writer::send(&site.binding.client, event).await;
    }
    let begun = site.clock.now();
    let is_late = |since: Timestamp| site.clock.now().duration_since(since) > site.patience;
    loop {
        let mut ready = true;
        for claim in &mut claims {
            *claim = get(site, claim).await.map_err(|error| (InVain::Error, message(&error)))?;
            if !conditions::is_ready(claim).map_err(|why| (InVain::Failed, why))? {
                if conditions::is_timed_out(claim, &is_late) {
                    return Err((InVain::TimedOut, format!("claim {} binding timeout", claim.metadata.common.name)));
                }
                ready = false;
                break;
            }
        }
        if ready {
            return Ok(());
        }
        if is_late(begun) {
            return Err((InVain::TimedOut, "device binding timeout".to_owned()));
        }
        sleep(POLL).await;
    }
}

fn path(claim: &ResourceClaim) -> String {
    let (namespace, name) = key(claim);
    path_of(&namespace, &name)
}

fn path_of(namespace: &str, name: &str) -> String {
    format!("/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims/{name}")
}

async fn get(site: &Site<'_>, claim: &ResourceClaim) -> Result<ResourceClaim, Error> {
    let request = Request::get(path(claim)).body(Vec::new()).map_err(Error::HttpError)?;
    site.binding.client.request(request).await
}

async fn patch(site: &Site<'_>, path: &str, kind: &'static str, change: &Value) -> Result<ResourceClaim, Error> {
    send(site, "PATCH", path, (kind, change)).await
}

async fn send<T: serde::de::DeserializeOwned>(
    site: &Site<'_>,
    method: &str,
    path: &str,
    body: (&'static str, &Value),
) -> Result<T, Error> {
    let request = write(method, &format!("{path}?fieldManager=kube-scheduler"), body).map_err(Error::HttpError)?;
    site.binding.client.request(request).await
}

fn write(method: &str, path: &str, (kind, body): (&'static str, &Value)) -> Result<Request<Vec<u8>>, http::Error> {
    Request::builder().method(method).uri(path).header(CONTENT_TYPE, kind).body(body.to_string().into_bytes())
}

/// The request that takes the devices of a claim away again.
pub(super) fn deallocation(claim: &ResourceClaim) -> Option<Request<Vec<u8>>> {
    let change = json!({
        "metadata": {"resourceVersion": claim.metadata.common.resource_version},
        "status": {"allocation": null, "devices": null, "reservedFor": null},
    });
    write("PATCH", &format!("{}/status", path(claim)), ("application/merge-patch+json", &change)).ok()
}

/// The request that takes a pod's reservation back.
pub(super) fn release((namespace, name, uid): &(String, String, String), pod: &str) -> Option<Request<Vec<u8>>> {
    let change = json!({"metadata": {"uid": uid}, "status": {"reservedFor": [{"$patch": "delete", "uid": pod}]}});
    let path = format!("{}/status", path_of(namespace, name));
    write("PATCH", &path, ("application/strategic-merge-patch+json", &change)).ok()
}

/// The requests that take a claim away that was made for extended resources.
pub(super) fn removal((namespace, name): &(String, String)) -> Vec<Request<Vec<u8>>> {
    let path = path_of(namespace, name);
    let free = json!({"metadata": {"finalizers": null}});
    let free = write("PATCH", &path, ("application/merge-patch+json", &free));
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    let delete = write("DELETE", &path, ("application/json", &options));
    free.into_iter().chain(delete).collect()
}
