//! Says in the status of an `ElasticQuota` of scheduler-plugins what the running pods of its namespace ask for.
//! Source: `sigs.k8s.io/scheduler-plugins/pkg/controllers`, elasticquota controller.

use std::sync::Arc;

use kube::api::Patch;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use steersman_framework::api::{Api, Resource, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Cached, Delta, Informer};
use steersman_framework::meta::{Meta, ObjectKey, null_default};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::Shutdown;
use steersman_machinery::pod::resources::{self, Basis, Which};
use steersman_machinery::quantity::Quantity;
use steersman_machinery::resource_list::{self, ResourceList};

use crate::error::SyncError;
use crate::objects::PODS;
use crate::shared::Shared;

const COMPONENT: &str = "elasticquota-controller";

static ELASTIC_QUOTAS: Resource =
    Resource::namespaced("scheduling.x-k8s.io", "v1alpha1", "ElasticQuota", "elasticquotas");

/// What is read of an `ElasticQuota`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct ElasticQuota {
    metadata: Meta,
    #[serde(deserialize_with = "null_default")]
    spec: ElasticQuotaSpec,
    #[serde(deserialize_with = "null_default")]
    status: ElasticQuotaStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct ElasticQuotaSpec {
    #[serde(deserialize_with = "amounts")]
    min: ResourceList,
    #[serde(deserialize_with = "amounts")]
    max: ResourceList,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct ElasticQuotaStatus {
    #[serde(deserialize_with = "amounts")]
    used: ResourceList,
}

fn amounts<'de, D: Deserializer<'de>>(from: D) -> Result<ResourceList, D::Error> {
    Value::deserialize(from).map(|value| resource_list::parse(Some(&value)))
}

impl Cached for ElasticQuota {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// What is read of a pod: what it asks for while it runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Value")]
struct Usage {
    metadata: Meta,
    runs: bool,
    requests: ResourceList,
}

impl From<Value> for Usage {
    fn from(pod: Value) -> Self {
        Self {
            metadata: Meta::deserialize(&pod["metadata"]).unwrap_or_default(),
            runs: pod["status"]["phase"] == "Running",
            requests: resources::total(&pod, Which::Requests, Basis::Spec),
        }
    }
}

impl Cached for Usage {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// What is used of each resource that the quota names.
fn plan(quota: &ElasticQuota, pods: &[Arc<Usage>]) -> ResourceList {
    let named = quota.spec.min.keys().chain(quota.spec.max.keys());
    let mut used: ResourceList = named.map(|name| (name.clone(), Quantity::ZERO)).collect();
    for pod in pods.iter().filter(|pod| pod.runs) {
        let counted = resource_list::only(&pod.requests, |name| used.contains_key(name));
        resource_list::add(&mut used, &counted);
    }
    used
}

/// The running controller.
pub(crate) struct ElasticQuotaController {
    api: Api,
    quotas: Informer<ElasticQuota>,
    pods: Informer<Usage>,
    queue: WorkQueue<ObjectKey>,
}

impl ElasticQuotaController {
    /// Registers with the informers; call it before they run.
    pub(crate) fn new(shared: &Shared) -> Self {
        let controller = Self {
            api: shared.api.clone(),
            quotas: shared.informers.optional(&ELASTIC_QUOTAS),
            pods: shared.informers.selected(&PODS, "status.phase=Running"),
            queue: shared.queue("elasticquota"),
        };
        let queue = controller.queue.clone();
        controller.quotas.on_change(move |delta: &Delta<ElasticQuota>| {
            delta.new.iter().for_each(|quota| queue.add(quota.metadata.key()));
        });
        let (queue, quotas) = (controller.queue.clone(), controller.quotas.downgrade());
        controller.pods.on_change(move |delta: &Delta<Usage>| {
            let Some(pod) = delta.new.as_ref().or(delta.old.as_ref()) else { return };
            let quotas = quotas.upgrade().map(|quotas| quotas.in_namespace(&pod.metadata.namespace));
            quotas.iter().flatten().for_each(|quota| queue.add(quota.metadata.key()));
        });
        controller
    }

    /// Works until shutdown.
    pub(crate) async fn run(self, concurrency: usize, shutdown: Shutdown) {
        let ready = async {
            self.quotas.synced().await;
            self.pods.synced().await;
        };
        let workers = Workers { name: COMPONENT, concurrency, max_retries: None };
        run_when(ready, workers, &self.queue, shutdown, |key| self.sync(key)).await;
    }

    async fn sync(&self, key: ObjectKey) -> Result<Outcome, SyncError> {
        let Some(quota) = self.quotas.get(&key) else { return Ok(Outcome::Done) };
        let used = plan(&quota, &self.pods.in_namespace(&key.namespace));
        if used == quota.status.used {
            return Ok(Outcome::Done);
        }
        let patch = json!({"status": {"used": resource_list::to_value(&used)}});
        match self.api.patch_status::<Value>(&ELASTIC_QUOTAS, &key, &Patch::Merge(patch)).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(Outcome::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_running_pods_ask_for_of_what_is_named_is_used() {
        let quota: ElasticQuota = serde_json::from_value(json!({
            "spec": {"min": {"cpu": "4"}, "max": {"cpu": "8", "memory": "1Gi", "example.com/gpu": 2}},
        }))
        .unwrap();
        let ask =
            |cpu: &str, memory: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": memory, "pods": "1"}}});
        let pod = |phase: &str| {
            let spec = json!({
                "containers": [ask("500m", "100Mi"), ask("1", "0")], "initContainers": [ask("1", "200Mi")],
                "overhead": {"cpu": "100m"},
            });
            Arc::new(serde_json::from_value(json!({"spec": spec, "status": {"phase": phase}})).unwrap())
        };
        let used = plan(&quota, &[pod("Running"), pod("Pending"), pod("Running"), pod("Succeeded")]);
        let expected = json!({"cpu": "3200m", "memory": "400Mi", "example.com/gpu": "0"});
        assert_eq!(resource_list::to_value(&used), expected);
    }
}
