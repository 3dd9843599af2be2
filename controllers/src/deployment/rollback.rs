//! Going back to an earlier revision by the legacy annotation. (`kubectl rollout undo` patches the template itself.)

use serde_json::Value;
use steersman_framework::controller::Outcome;
use steersman_framework::events::EventType;
use steersman_machinery::meta;

use crate::deployment::revision::{self, ROLLBACK_TO, is_skipped};
use crate::deployment::rollout::Rollout;
use crate::deployment::template::{self, HASH_LABEL};
use crate::error::SyncError;
use crate::objects::{Deployment, ReplicaSet};

const NOT_FOUND: &str = "DeploymentRollbackRevisionNotFound";

impl Rollout<'_> {
    /// Goes back to `revision`, or to the last but one if it is 0; in any case the request is cleared.
    pub(super) async fn roll_back(mut self, revision: i64) -> Result<Outcome, SyncError> {
        self.sync_revision(true).await?;
        self.flush().await?;
        let revision = if revision == 0 { revision::last_revision(&self.sets) } else { revision };
        if revision == 0 {
            self.warn(NOT_FOUND, "Unable to find last revision.".to_owned());
            return self.update(None).await;
        }
        let Some(set) = revision::with_revision(&self.sets, revision) else {
            self.warn(NOT_FOUND, "Unable to find the revision to rollback to.".to_owned());
            return self.update(None).await;
        };
        let name = &self.deployment.metadata.name;
        if template::is_equal(&set.spec.template.value, &self.deployment.spec.template.value) {
            let text = format!("The rollback revision contains the same template as current deployment \"{name}\"");
            self.warn("DeploymentRollbackTemplateUnchanged", text);
            return self.update(None).await;
        }
        let text = format!("Rolled back deployment \"{name}\" to revision {revision}");
        let outcome = self.update(Some(set)).await?;
        self.controller.event(&self.deployment, EventType::Normal, "DeploymentRollback", text);
        Ok(outcome)
    }

    fn warn(&self, reason: &'static str, message: String) {
        self.controller.event(&self.deployment, EventType::Warning, reason, message);
    }

    /// Clears the request, and takes template and annotations of `set` over.
    async fn update(&self, set: Option<&ReplicaSet>) -> Result<Outcome, SyncError> {
        let (resource, key) = (self.controller.workloads.deployments, self.deployment.metadata.key());
        // Templates are replaced as a whole, which no patch of maps can do; so the whole object is needed.
        let mut live: Value = self.controller.api.get(resource, &key).await?;
        meta::set(&mut live, &["metadata", "resourceVersion"], self.deployment.metadata.resource_version.as_str());
        if let Some(set) = set {
            let mut template = Value::clone(&set.spec.template.value);
            meta::remove(&mut template, &["metadata", "labels", HASH_LABEL]);
            meta::set(&mut live, &["spec", "template"], template);
            let annotations = meta::object_at(&mut live, &["metadata", "annotations"]);
            annotations.retain(|key, _| is_skipped(key));
            for (key, value) in set.metadata.annotations.iter().filter(|(key, _)| !is_skipped(key)) {
                annotations.insert(key.to_owned(), value.into());
            }
        }
        meta::remove(&mut live, &["metadata", "annotations", ROLLBACK_TO]);
        let written: Deployment = self.controller.api.replace(resource, &key, &live).await?;
        self.controller.wrote_deployment(&written);
        Ok(Outcome::Done)
    }
}
