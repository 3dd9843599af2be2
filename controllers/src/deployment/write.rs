//! The writes of the Deployment controller. Each one carries the version it is based on, and is remembered, so that the
//! next sync does not begin before the caches show it.

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, Preconditions};
use serde_json::{Value, json};
use steersman_framework::api::{is_conflict, is_not_found};
use steersman_framework::controller::Outcome;
use steersman_framework::events::{EventType, Involved};
use steersman_framework::meta::StringMap;

use super::DeploymentController;
use crate::error::SyncError;
use crate::objects::{Deployment, DeploymentStatus, ReplicaSet, Whole};

impl DeploymentController {
    /// The time, for one sync.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Records an event about a Deployment.
    pub(super) fn event(&self, deployment: &Deployment, kind: EventType, reason: &'static str, message: String) {
        let involved = Involved::new(self.workloads.deployments, &deployment.metadata);
        self.recorder.record(&involved, kind, reason, message);
    }

    /// Writes the whole status, and the annotations in `annotations`, through the status subresource: it takes
    /// annotations without raising the generation.
    pub(super) async fn write_status(
        &self,
        deployment: &Deployment,
        status: &DeploymentStatus,
        annotations: &[(&str, &str)],
    ) -> Result<Deployment, SyncError> {
        let (resource, key) = (self.workloads.deployments, deployment.metadata.key());
        let mut whole = Whole::new(resource, &deployment.metadata, &deployment.spec, status);
        if !annotations.is_empty() {
            let mut all = deployment.metadata.annotations.clone();
            annotations.iter().for_each(|(key, value)| _ = all.insert(key, *value));
            whole.metadata["annotations"] = json!(all);
        }
        // The status subresource of custom resources takes nothing else, so that they need a write of their own; it does
        // not raise their generation.
        if self.workloads.is_custom() && !annotations.is_empty() {
            let version = &deployment.metadata.resource_version;
            let metadata = json!({"resourceVersion": version, "annotations": whole.metadata["annotations"]});
            let patch = Patch::Merge(json!({"metadata": metadata}));
            let annotated: Deployment = self.api.patch(resource, &key, &patch).await?;
            self.wrote_deployment(&annotated);
            whole.metadata["resourceVersion"] = annotated.metadata.resource_version.into();
        }
        let mut written: Deployment = self.api.replace_subresource(resource, &key, "status", &whole).await?;
        self.terminating.wrote(status.terminating_replicas, written.status.terminating_replicas);
        self.wrote_deployment(&written);
        if self.workloads.is_custom() {
            written.spec.strategy.fill_in();
        }
        Ok(written)
    }

    /// Remembers a write of the Deployment.
    pub(super) fn wrote_deployment(&self, written: &Deployment) {
        let meta = &written.metadata;
        self.consistency.wrote(&meta.uid, "deployments", &meta.resource_version);
    }

    /// Remembers a write of one of its sets.
    pub(super) fn wrote_set(&self, deployment: &Deployment, written: &ReplicaSet) {
        let version = &written.metadata.resource_version;
        self.consistency.wrote(&deployment.metadata.uid, "replicasets", version);
    }

    /// Patches a set: `spec` fields and all of `annotations`.
    pub(super) async fn write_set(
        &self,
        deployment: &Deployment,
        set: &ReplicaSet,
        spec: Value,
        annotations: &StringMap,
    ) -> Result<ReplicaSet, SyncError> {
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": set.metadata.resource_version, "annotations": annotations},
            "spec": spec,
        }));
        let written: ReplicaSet = self.api.patch(self.workloads.replica_sets, &set.metadata.key(), &patch).await?;
        self.wrote_set(deployment, &written);
        Ok(written)
    }

    /// Deletes a set; one that is gone already is fine.
    pub(super) async fn delete_set(&self, set: &ReplicaSet) -> Result<(), SyncError> {
        // Another set of that name is not meant.
        let same = Preconditions { uid: Some(set.metadata.uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        match self.api.delete(self.workloads.replica_sets, &set.metadata.key(), &params).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A selector that would match every pod of the namespace is not acted upon.
    pub(super) async fn refuse_empty_selector(&self, deployment: Deployment) -> Result<Outcome, SyncError> {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        self.event(&deployment, EventType::Warning, "SelectingAll", message.to_owned());
        if deployment.status.observed_generation < deployment.metadata.generation {
            let status =
                DeploymentStatus { observed_generation: deployment.metadata.generation, ..deployment.status.clone() };
            if let Err(error) = self.write_status(&deployment, &status, &[]).await {
                tracing::debug!(%error, "the observed generation could not be written");
            }
        }
        Ok(Outcome::Done)
    }
}
