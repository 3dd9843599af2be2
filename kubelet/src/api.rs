//! The requests that kubelets make, and what their failures mean.

use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::api::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use serde::Serialize;
use serde::de::DeserializeOwned;
use steersman_framework::api::send;

/// Writes that each of the two loops (nodes and pods) has under way at most. Thirty-two keep an API server busy that
/// answers in a millisecond over a network with ten times that latency; more would only wait at its other end.
pub(crate) const MAX_IN_FLIGHT: usize = 32;

/// Who the writes are by, in `managedFields`.
const FIELD_MANAGER: &str = "kubelet";

/// The first wait after a failure; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(200);

/// The longest wait after a failure: short enough that a cluster recovers soon after its API server does.
const LAST_RETRY: Duration = Duration::from_secs(10);

/// How long a shutdown waits for the requests that are under way: most answer in milliseconds, and one that hangs must
/// not hold the process.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Waits for the requests that are under way, but not for ever.
pub(crate) async fn drain(in_flight: impl futures::Stream) {
    let drained = in_flight.for_each(|_| std::future::ready(()));
    if tokio::time::timeout(LAST_REQUESTS, drained).await.is_err() {
        tracing::warn!("requests are given up that were still under way");
    }
}

/// How long to wait after that many failures in a row (from 1).
pub(crate) fn retry_delay(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LAST_RETRY)
}

/// The HTTP code of an API server's refusal; 0 for every other failure.
pub(crate) fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

/// Creates an object in the collection at `path`.
pub(crate) async fn create<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    object: &impl Serialize,
) -> kube::Result<T> {
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let request = Request::new(path).create(&params, body);
    client.request(request.map_err(kube::Error::BuildRequest)?).await
}

/// Reads an object.
pub(crate) async fn get<T: DeserializeOwned>(client: &Client, path: &str, name: &str) -> kube::Result<T> {
    let request = Request::new(path).get(name, &GetParams::default());
    client.request(request.map_err(kube::Error::BuildRequest)?).await
}

/// Patches an object, or its status.
pub(crate) async fn patch(client: &Client, place: Place<'_>, patch: Patch<&serde_json::Value>) -> kube::Result<()> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let request = Request::new(place.path);
    let request = match place.subresource {
        Some(subresource) => request.patch_subresource(subresource, place.name, &params, &patch),
        None => request.patch(place.name, &params, &patch),
    };
    let request = request.map_err(kube::Error::BuildRequest)?;
    send(client, request).await
}

/// Removes an object that has come to its end, if it is still the one with that uid.
pub(crate) async fn delete_now(client: &Client, path: &str, name: &str, uid: &str) -> kube::Result<()> {
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    let request = Request::new(path).delete(name, &params);
    let request = request.map_err(kube::Error::BuildRequest)?;
    send(client, request).await
}

/// Where an object is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Its collection.
    pub(crate) path: &'a str,
    pub(crate) name: &'a str,
    pub(crate) subresource: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_wait_longer_each_time_up_to_a_limit() {
        let delays: Vec<_> = [1, 2, 3, 6, 7, 1000].map(|failures| retry_delay(failures).as_millis()).into();
        assert_eq!(delays, [200, 400, 800, 6400, 10_000, 10_000]);
    }
}
