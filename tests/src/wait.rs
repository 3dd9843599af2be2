//! Waiting for what a watch shows. Nothing polls and nothing sleeps.

use std::fmt::Debug;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use kube::api::{Api, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;

/// Longer than anything takes that is not about long times.
const PATIENCE: Duration = Duration::from_secs(60);

/// Follows one object until `done` says that it is as expected (`None`: it does not exist), and returns it.
///
/// # Panics
/// If that does not happen within a minute of tokio's time; the message has the last state.
pub async fn until<K>(api: &Api<K>, name: &str, what: &str, done: impl Fn(Option<&K>) -> bool) -> Option<K>
where
    K: Clone + Debug + DeserializeOwned,
{
    until_within(PATIENCE, api, name, what, done).await
}

/// The same with another patience.
///
/// # Panics
/// If that does not happen in time; the message has the last state.
pub async fn until_within<K>(
    patience: Duration,
    api: &Api<K>,
    name: &str,
    what: &str,
    done: impl Fn(Option<&K>) -> bool,
) -> Option<K>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut last = None;
    match tokio::time::timeout(patience, follow(api, name, &mut last, done)).await {
        Ok(Ok(())) => last,
        Ok(Err(error)) => panic!("waiting for {name} to be {what}: {error}; last seen: {last:#?}"),
        Err(_) => panic!("{name} was not {what} in {patience:?}; last seen: {last:#?}"),
    }
}

async fn follow<K>(
    api: &Api<K>,
    name: &str,
    last: &mut Option<K>,
    done: impl Fn(Option<&K>) -> bool,
) -> kube::Result<()>
where
    K: Clone + Debug + DeserializeOwned,
{
    loop {
        let list = api.list(&kube::api::ListParams::default().fields(&format!("metadata.name={name}"))).await?;
        let revision = list.metadata.resource_version.clone().unwrap_or_default();
        *last = list.items.into_iter().next();
        if done(last.as_ref()) {
            return Ok(());
        }
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let mut events = api.watch(&params, &revision).await?.boxed();
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => *last = Some(object),
                WatchEvent::Deleted(_) => *last = None,
                WatchEvent::Bookmark(_) => continue,
                // The history is gone: begin again with a list.
                WatchEvent::Error(_) => break,
            }
            if done(last.as_ref()) {
                return Ok(());
            }
        }
    }
}

/// Follows a Deployment until its status says that the last change of its spec has been rolled out completely.
pub async fn until_rolled_out(api: &Api<Deployment>, name: &str) -> Deployment {
    until(api, name, "rolled out", |deployment| deployment.is_some_and(is_rolled_out))
        .await
        .expect("it was there a moment ago")
}

/// What `kubectl rollout status` calls successfully rolled out, and no old pod left.
pub fn is_rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let status = status_of(deployment);
    status.observed_generation == deployment.metadata.generation
        && wanted == Some(status.updated_replicas.unwrap_or_default())
        && wanted == Some(status.replicas.unwrap_or_default())
        && wanted == Some(status.available_replicas.unwrap_or_default())
        && status.terminating_replicas.unwrap_or_default() == 0
        && condition(deployment, "Progressing")
            .is_some_and(|progressing| progressing.reason.as_deref() == Some("NewReplicaSetAvailable"))
}

/// The Deployment's status; the empty one if it has none yet.
pub fn status_of(deployment: &Deployment) -> DeploymentStatus {
    deployment.status.clone().unwrap_or_default()
}

/// The condition of a type.
pub fn condition(deployment: &Deployment, kind: &str) -> Option<DeploymentCondition> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind).cloned()
}
