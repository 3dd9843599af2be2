//! Gives each namespace its `default` ServiceAccount and, if there is a certificate authority to tell of, the ConfigMap
//! `kube-root-ca.crt`. Source: `k8s.io/kubernetes/pkg/controller/{serviceaccount,certificates/rootcacertpublisher}`.

use serde::Deserialize;
use serde_json::{Value, json};
use steersman_framework::api::{Api, Resource, is_already_exists, is_namespace_terminating, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, Partial, StringMap};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;

use crate::error::SyncError;
use crate::namespace::Namespace;
use crate::objects::{CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS};
use crate::shared::Shared;

const COMPONENT: &str = "serviceaccount-controller";
const ACCOUNT: &str = "default";
const BUNDLE: &str = "kube-root-ca.crt";
const BUNDLE_KEY: &str = "ca.crt";
const NOTE: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigMap {
    metadata: Meta,
    data: StringMap,
}

impl Cached for ConfigMap {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// The bundle, and where it is published.
struct RootCa {
    bundle: String,
    maps: Informer<ConfigMap>,
}

/// The running controller.
pub(crate) struct ServiceAccountController {
    api: Api,
    namespaces: Informer<Namespace>,
    accounts: Informer<Partial>,
    root_ca: Option<RootCa>,
    /// Names of namespaces.
    queue: WorkQueue<String>,
}

impl ServiceAccountController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared, root_ca: Option<String>) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            namespaces: shared.informers.informer(&NAMESPACES),
            accounts: shared.informers.selected(&SERVICE_ACCOUNTS, "metadata.name=default"),
            root_ca: root_ca.map(|bundle| RootCa {
                bundle,
                maps: shared.informers.selected(&CONFIG_MAPS, "metadata.name=kube-root-ca.crt"),
            }),
            queue: shared.queue("serviceaccount"),
        };
        let queue = controller.queue.clone();
        controller.namespaces.on_change(move |delta: &Delta<Namespace>| {
            if let Some(namespace) = delta.new.as_ref().filter(|namespace| namespace.is_active()) {
                queue.add(namespace.metadata.name.clone());
            }
        });
        let queue = controller.queue.clone();
        controller.accounts.on_change(move |delta: &Delta<Partial>| {
            if let (Some(account), None) = (&delta.old, &delta.new) {
                queue.add(account.metadata.namespace.clone());
            }
        });
        if let Some(root_ca) = &controller.root_ca {
            let queue = controller.queue.clone();
            root_ca.maps.on_change(move |delta: &Delta<ConfigMap>| {
                if let Some(map) = delta.old.as_ref() {
                    queue.add(map.metadata.namespace.clone());
                }
            });
        }
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let synced = async {
            self.namespaces.synced().await;
            self.accounts.synced().await;
            if let Some(root_ca) = &self.root_ca {
                root_ca.maps.synced().await;
            }
        };
        let workers = Workers { name: COMPONENT, concurrency, max_retries: None };
        run_when(synced, workers, &self.queue, shutdown, |namespace| self.sync(namespace)).await;
    }

    async fn sync(&self, namespace: String) -> Result<Outcome, SyncError> {
        let active = self.namespaces.get(&ObjectKey::new("", &namespace)).is_some_and(|found| found.is_active());
        if !active {
            return Ok(Outcome::Done);
        }
        if self.accounts.get(&ObjectKey::new(&namespace, ACCOUNT)).is_none() {
            let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}});
            self.create(&SERVICE_ACCOUNTS, &namespace, &body).await?;
        }
        if let Some(root_ca) = &self.root_ca {
            self.publish(root_ca, &namespace).await?;
        }
        Ok(Outcome::Done)
    }

    async fn publish(&self, root_ca: &RootCa, namespace: &str) -> Result<(), SyncError> {
        let key = ObjectKey::new(namespace, BUNDLE);
        let Some(map) = root_ca.maps.get(&key) else {
            let metadata = json!({"name": BUNDLE, "annotations": {NOTE: DESCRIPTION}});
            let data = json!({BUNDLE_KEY: root_ca.bundle});
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
            return self.create(&CONFIG_MAPS, namespace, &body).await;
        };
        let mut entries = map.data.iter();
        let is_right = entries.next() == Some((BUNDLE_KEY, root_ca.bundle.as_str())) && entries.next().is_none();
        if is_right && map.metadata.annotations.get(NOTE).is_some_and(|note| !note.is_empty()) {
            return Ok(());
        }
        let mut metadata = map.metadata.clone();
        metadata.annotations.insert(NOTE, DESCRIPTION);
        let data = json!({BUNDLE_KEY: root_ca.bundle});
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata.for_update(), "data": data});
        self.api.replace::<Partial>(&CONFIG_MAPS, &key, &body).await?;
        Ok(())
    }

    /// Creates an object; it is fine if it is there already, or if its namespace is going or gone.
    async fn create(&self, resource: &Resource, namespace: &str, body: &Value) -> Result<(), SyncError> {
        match self.api.create::<Partial>(resource, namespace, body).await {
            Err(error) if !is_already_exists(&error) && !is_namespace_terminating(&error) && !is_not_found(&error) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
