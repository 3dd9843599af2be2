//! Tells in the status of validating admission policies which of their expressions do not fit the types of the objects
//! that they are about. Source: `k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus`.

use kube::api::{Patch, PatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use steersman_apiserver::ApiServer;
use steersman_framework::api::{Api, Resource, is_not_found};
use steersman_framework::controller::{Outcome, Workers, run_when};
use steersman_framework::informer::{Cached, Delta, Informer, Informers};
use steersman_framework::meta::{Meta, ObjectKey, Partial, null_default};
use steersman_framework::queue::WorkQueue;
use steersman_framework::runtime::{Context, Shutdown};
use steersman_machinery::meta;

use super::Synced;

const COMPONENT: &str = "validatingadmissionpolicy-status";
static POLICIES: Resource =
    Resource::cluster("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies");

/// What is read of a policy to find out whether it was looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Policy {
    metadata: Meta,
    #[serde(deserialize_with = "null_default")]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
}

impl Cached for Policy {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// The running controller.
pub(super) struct PolicyStatus {
    api: Api,
    api_server: ApiServer,
    policies: Informer<Policy>,
    /// Names of policies.
    queue: WorkQueue<String>,
}

impl PolicyStatus {
    /// Registers with the informers; call it before they run.
    pub(super) fn new(context: &Context, informers: &Informers, api_server: ApiServer) -> Self {
        let policies: Informer<Policy> = informers.informer(&POLICIES);
        let queue: WorkQueue<String> = WorkQueue::default();
        let changed = queue.clone();
        policies.on_change(move |delta: &Delta<Policy>| {
            let unseen =
                |policy: &&std::sync::Arc<Policy>| policy.metadata.generation > policy.status.observed_generation;
            delta.new.iter().filter(unseen).for_each(|policy| changed.add(policy.metadata.name.clone()));
        });
        Self { api: Api::new(context.client.clone(), COMPONENT), api_server, policies, queue }
    }

    /// Works until shutdown.
    pub(super) async fn run(self, shutdown: Shutdown) {
        let workers = Workers { name: COMPONENT, concurrency: 1, max_retries: None };
        run_when(self.policies.synced(), workers, &self.queue, shutdown, |name| self.sync(name)).await;
    }

    async fn sync(&self, name: String) -> Synced {
        let policy: Value = match self.api.get(&POLICIES, &ObjectKey::new("", &name)).await {
            Err(error) if is_not_found(&error) => return Ok(Outcome::Done),
            policy => policy?,
        };
        let (generation, seen) = (meta::generation(&policy), meta::at(&policy, &["status", "observedGeneration"]));
        if seen.and_then(Value::as_i64).unwrap_or_default() >= generation {
            return Ok(Outcome::Done);
        }
        let warnings = self.api_server.type_check(&policy).into_iter();
        let warnings: Vec<Value> =
            warnings.map(|(field, warning)| json!({"fieldRef": field, "warning": warning})).collect();
        let checked = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
        let body = json!({
            "apiVersion": POLICIES.api_version(), "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "status": {"observedGeneration": generation, "typeChecking": checked},
        });
        let params = PatchParams::apply(COMPONENT).force();
        let request = Request::new(POLICIES.path("")).patch_subresource("status", &name, &params, &Patch::Apply(&body));
        let request = request.map_err(kube::Error::BuildRequest)?;
        match self.api.client().request::<Partial>(request).await {
            Err(error) if !is_not_found(&error) => Err(error),
            _ => Ok(Outcome::Done),
        }
    }
}
