//! What is waited for before a cluster is given out: its definitions are established, its nodes are ready.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::wait::{Condition, conditions};
use kube::{Client, ResourceExt};

/// What has to be there.
pub(crate) struct Wanted {
    /// Definitions to create.
    pub(crate) crds: Vec<CustomResourceDefinition>,
    /// How many nodes have to be ready.
    pub(crate) nodes: usize,
    /// Whether pods need the service account of the namespace `default`.
    pub(crate) service_account: bool,
    /// Whether `admin`, `edit` and `view` gather their rules.
    pub(crate) roles: bool,
}

/// Creates the definitions, then waits for everything.
pub(crate) async fn prepare(client: Client, wanted: &Wanted) -> kube::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in &wanted.crds {
        definitions.create(&PostParams::default(), definition).await?;
    }
    let names: BTreeSet<String> = wanted.crds.iter().map(ResourceExt::name_any).collect();
    wait_for(&definitions, names.len(), |definition| {
        names.contains(&definition.name_any()) && conditions::is_crd_established().matches_object(Some(definition))
    })
    .await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    wait_for(&accounts, usize::from(wanted.service_account), |account| account.name_any() == "default").await?;
    wait_for(&Api::<ClusterRole>::all(client.clone()), usize::from(wanted.roles), has_all_rules).await?;
    wait_for(&Api::<Node>::all(client), wanted.nodes, is_ready).await
}

/// What `view` gives reaches `admin` last, by way of `edit`.
fn has_all_rules(role: &ClusterRole) -> bool {
    let reads_logs = |rule: &PolicyRule| rule.resources.iter().flatten().any(|resource| resource == "pods/log");
    role.name_any() == "admin" && role.rules.iter().flatten().any(reads_logs)
}

/// Waits until `count` objects fit.
async fn wait_for<K>(api: &Api<K>, count: usize, fits: impl Fn(&K) -> bool) -> kube::Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    if count == 0 {
        return Ok(());
    }
    loop {
        let list = api.list(&ListParams::default()).await?;
        let revision = list.metadata.resource_version.clone().unwrap_or_default();
        let mut fitting: BTreeSet<String> =
            list.iter().filter(|object| fits(object)).map(ResourceExt::name_any).collect();
        let mut events = api.watch(&WatchParams::default(), &revision).await?.boxed();
        while fitting.len() < count {
            match events.try_next().await? {
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) if fits(&object) => {
                    fitting.insert(object.name_any());
                }
                Some(WatchEvent::Bookmark(_) | WatchEvent::Added(_) | WatchEvent::Modified(_)) => {}
                Some(WatchEvent::Deleted(object)) => {
                    fitting.remove(&object.name_any());
                }
                // The history is gone, or the server ended the watch: begin again with a list.
                Some(WatchEvent::Error(_)) | None => break,
            }
        }
        if fitting.len() >= count {
            return Ok(());
        }
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True"))
}
