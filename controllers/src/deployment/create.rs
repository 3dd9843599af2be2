//! Finds or makes the ReplicaSet of the present template, and keeps revisions and annotations in step.

use serde_json::{Value, json};
use steersman_framework::api::{is_already_exists, is_namespace_terminating, message};
use steersman_framework::events::EventType;
use steersman_framework::meta::{ObjectKey, StringMap};
use steersman_framework::ownership::controller_reference;

use crate::deployment::revision::{self, REVISION};
use crate::deployment::rolling;
use crate::deployment::rollout::Rollout;
use crate::deployment::sets::{DESIRED_REPLICAS, MAX_REPLICAS, Sets, max_replicas};
use crate::deployment::status::{self, PROGRESSING, new_condition, reason};
use crate::deployment::template::{self, HASH_LABEL};
use crate::error::SyncError;
use crate::objects::{DeploymentStatus, ReplicaSet};

/// The most bytes of an object's name.
const NAME_MAX: usize = 253;

impl Rollout<'_> {
    /// Makes sure that revision and annotations of the new set are right; creates it if it is missing and `create`.
    pub(super) async fn sync_revision(&mut self, create: bool) -> Result<(), SyncError> {
        let new_revision = revision::next_revision(&self.sets);
        match self.sets.new {
            Some(place) => self.update_new(place, new_revision).await,
            None if create => self.create_new(new_revision).await,
            None => Ok(()),
        }
    }

    async fn update_new(&mut self, place: usize, new_revision: i64) -> Result<(), SyncError> {
        let set = &self.sets.all[place];
        let mut annotations = set.metadata.annotations.clone();
        let annotated = revision::annotate(&mut annotations, &self.deployment.metadata.annotations, new_revision, true);
        let min_ready = self.deployment.spec.min_ready_seconds;
        if annotated || set.spec.min_ready_seconds != min_ready {
            let spec = json!({"minReadySeconds": min_ready});
            // The Deployment follows in the sync that this write brings about.
            self.sets.all[place] = self.controller.write_set(&self.deployment, set, spec, &annotations).await?;
            return Ok(());
        }
        let revision = annotations.get(REVISION).unwrap_or_default().to_owned();
        let name = set.metadata.name.clone();
        let mut status = self.deployment.status.clone();
        if status::deadline(&self.deployment).is_some() && status::condition(&status, PROGRESSING).is_none() {
            let text = format!("Found new replica set \"{name}\"");
            let now = self.controller.now();
            status::set_condition(&mut status, new_condition(PROGRESSING, "True", reason::FOUND, text, now));
        }
        self.follow_revision(&revision, status).await
    }

    /// Writes revision and status to the Deployment if either is new.
    async fn follow_revision(&mut self, revision: &str, status: DeploymentStatus) -> Result<(), SyncError> {
        let present = self.deployment.metadata.annotations.get(REVISION).unwrap_or_default();
        if present != revision || status != self.deployment.status {
            let annotations = [(REVISION, revision)];
            self.deployment = self.controller.write_status(&self.deployment, &status, &annotations).await?;
        }
        Ok(())
    }

    async fn create_new(&mut self, new_revision: i64) -> Result<(), SyncError> {
        let hash = template::hash(&self.deployment.spec.template.value, self.deployment.status.collision_count);
        let size = rolling::new_size(&self.deployment, &self.sets, 0);
        let body = self.new_set_body(&hash, size, new_revision);
        let (resource, namespace) = (self.controller.workloads.replica_sets, &self.deployment.metadata.namespace);
        let created = self.controller.api.create::<ReplicaSet>(resource, namespace, &body).await;
        let mut status = self.deployment.status.clone();
        let is_created = created.is_ok();
        let set = match created {
            Ok(set) => {
                self.controller.wrote_set(&self.deployment, &set);
                let name = &set.metadata.name;
                if size > 0 {
                    let text = format!("Scaled up replica set {name} from 0 to {size}");
                    self.controller.event(&self.deployment, EventType::Normal, "ScalingReplicaSet", text);
                }
                if status::deadline(&self.deployment).is_some() {
                    let text = format!("Created new replica set \"{name}\"");
                    let now = self.controller.now();
                    status::set_condition(&mut status, new_condition(PROGRESSING, "True", reason::CREATED, text, now));
                }
                set
            }
            Err(error) if is_already_exists(&error) => self.resolve_collision(&hash, error).await?,
            Err(error) if is_namespace_terminating(&error) => return Err(error.into()),
            Err(error) => return Err(self.report_failure(&hash, error).await),
        };
        let mut all = std::mem::take(&mut self.sets.all);
        all.push(set);
        self.sets = Sets::of(&self.deployment, all);
        if is_created && self.sets.old().next().is_none() {
            // Nothing else has to be done before the status is written, so that one write is enough.
            self.deployment.status = status;
            self.unwritten = Some(new_revision.to_string());
            return Ok(());
        }
        self.follow_revision(&new_revision.to_string(), status).await
    }

    /// The name is taken: by our own set that the cache has not shown before, which is then used, or by another one,
    /// which makes the next sync try another hash.
    async fn resolve_collision(&mut self, hash: &str, error: kube::Error) -> Result<ReplicaSet, SyncError> {
        let name = set_name(&self.deployment.metadata.name, hash);
        let key = ObjectKey::new(&self.deployment.metadata.namespace, &name);
        let resource = self.controller.workloads.replica_sets;
        let Some(set) = self.controller.sets.get(&key) else {
            return Err(SyncError::Refused(format!("{resource} \"{name}\" not found")));
        };
        let is_ours = set.metadata.controller().is_some_and(|owner| owner.uid == self.deployment.metadata.uid);
        if is_ours && template::is_equal(&set.spec.template.value, &self.deployment.spec.template.value) {
            return Ok(ReplicaSet::clone(&set));
        }
        let mut status = self.deployment.status.clone();
        status.collision_count = Some(status.collision_count.unwrap_or_default() + 1);
        // If that fails the next sync does it: the name is still taken.
        if let Err(error) = self.controller.write_status(&self.deployment, &status, &[]).await {
            tracing::debug!(%error, "the collision could not be written to the status");
        }
        Err(error.into())
    }

    async fn report_failure(&mut self, hash: &str, error: kube::Error) -> SyncError {
        let name = set_name(&self.deployment.metadata.name, hash);
        let text = format!("Failed to create new replica set \"{name}\": {}", message(&error));
        if status::deadline(&self.deployment).is_some() {
            let mut status = self.deployment.status.clone();
            let now = self.controller.now();
            let condition = new_condition(PROGRESSING, "False", reason::CREATE_ERROR, text.clone(), now);
            status::set_condition(&mut status, condition);
            if status != self.deployment.status
                && let Err(error) = self.controller.write_status(&self.deployment, &status, &[]).await
            {
                tracing::debug!(%error, "the failure could not be written to the status");
            }
        }
        self.controller.event(&self.deployment, EventType::Warning, reason::CREATE_ERROR, text);
        error.into()
    }

    fn new_set_body(&self, hash: &str, size: i32, new_revision: i64) -> Value {
        let (deployment, workloads) = (&self.deployment, self.controller.workloads);
        let mut annotations = StringMap::default();
        revision::annotate(&mut annotations, &deployment.metadata.annotations, new_revision, false);
        annotations.insert(DESIRED_REPLICAS, deployment.spec.replicas.to_string());
        annotations.insert(MAX_REPLICAS, max_replicas(deployment).to_string());
        let mut selector = deployment.spec.selector.clone().unwrap_or_default();
        selector.match_labels.insert(HASH_LABEL, hash);
        let mut template = Value::clone(&deployment.spec.template.value);
        steersman_machinery::meta::set(&mut template, &["metadata", "labels", HASH_LABEL], hash);
        json!({
            "apiVersion": workloads.replica_sets.api_version(),
            "kind": workloads.replica_sets.kind,
            "metadata": {
                "name": set_name(&deployment.metadata.name, hash),
                "namespace": deployment.metadata.namespace,
                "labels": template.pointer("/metadata/labels"),
                "annotations": annotations,
                "ownerReferences": [controller_reference(workloads.deployments, &deployment.metadata)],
            },
            "spec": {
                "replicas": size,
                "minReadySeconds": deployment.spec.min_ready_seconds,
                "selector": selector,
                "template": template,
            },
        })
    }
}

/// `<deployment>-<hash>`, the former cut so that the whole is a name.
fn set_name(deployment: &str, hash: &str) -> String {
    let mut end = deployment.len().min(NAME_MAX - 1 - hash.len());
    while !deployment.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{hash}", &deployment[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit() {
        assert_eq!(set_name("web", "5456"), "web-5456");
        let long = set_name(&"a".repeat(253), "5456789bcd");
        assert_eq!((long.len(), &long[240..]), (253, "aa-5456789bcd"));
    }
}
