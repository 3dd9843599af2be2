//! What is waited for before a cluster is given out: its definitions are established, its nodes are ready.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, ServiceAccount, Taint};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::wait::{Condition, conditions};
use kube::{Client, ResourceExt};
use serde_json::json;

/// What has to be there.
pub(crate) struct Wanted {
    /// Definitions to create.
    pub(crate) crds: Vec<CustomResourceDefinition>,
    /// How many nodes have to be ready.
    pub(crate) nodes: usize,
    /// Whether the node lifecycle controller runs, which opens nodes to pods once they are ready.
    pub(crate) node_lifecycle: bool,
    /// Whether pods need the service account of the namespace `default`.
    pub(crate) service_account: bool,
    /// Whether `admin`, `edit` and `view` gather their rules.
    pub(crate) roles: bool,
}

/// Creates the definitions, then waits for everything.
pub(crate) async fn prepare(client: Client, wanted: &Wanted) -> kube::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in &wanted.crds {
        put(&definitions, definition).await?;
    }
    let names: BTreeSet<String> = wanted.crds.iter().map(ResourceExt::name_any).collect();
    wait_for(&definitions, names.len(), |definition| {
        names.contains(&definition.name_any()) && conditions::is_crd_established().matches_object(Some(definition))
    })
    .await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    wait_for(&accounts, usize::from(wanted.service_account), |account| account.name_any() == "default").await?;
    wait_for(&Api::<ClusterRole>::all(client.clone()), usize::from(wanted.roles), has_all_rules).await?;
    let nodes: Api<Node> = Api::all(client);
    if !wanted.node_lifecycle {
        wait_for(&nodes, wanted.nodes, is_ready).await?;
        return if wanted.nodes > 0 { open(&nodes).await } else { Ok(()) };
    }
    wait_for(&nodes, wanted.nodes, |node| is_ready(node) && !is_closed(node)).await
}

/// Creates a definition, or brings one up to date that an earlier process created.
async fn put(definitions: &Api<CustomResourceDefinition>, definition: &CustomResourceDefinition) -> kube::Result<()> {
    match definitions.create(&PostParams::default(), definition).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let name = definition.name_any();
            let patch = Patch::Merge(json!({"spec": definition.spec}));
            definitions.patch(&name, &PatchParams::default(), &patch).await.map(drop)
        }
        created => created.map(drop),
    }
}

/// Opens the simulated nodes to pods in place of the controller that is left out: somebody has to.
async fn open(nodes: &Api<Node>) -> kube::Result<()> {
    for node in nodes.list(&ListParams::default()).await?.into_iter().filter(is_closed) {
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
        let others: Vec<_> = taints.into_iter().flatten().filter(|taint| !is_new(taint)).collect();
        let patch = Patch::Merge(json!({"spec": {"taints": others}}));
        nodes.patch_metadata(&node.name_any(), &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

/// Whether a taint is that of nodes which nobody has seen ready yet.
fn is_new(taint: &Taint) -> bool {
    taint.key == "node.kubernetes.io/not-ready" && taint.effect == "NoSchedule"
}

fn is_closed(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.is_some_and(|taints| taints.iter().any(is_new))
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
