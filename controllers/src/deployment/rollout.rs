//! One sync of one Deployment: decides by the pure modules beside it, and acts.

use serde_json::json;
use steersman_framework::controller::Outcome;
use steersman_framework::events::EventType;

use super::DeploymentController;
use crate::claim::controlled;
use crate::deployment::revision::{REVISION, ROLLBACK_TO};
use crate::deployment::rolling::{self, Resize};
use crate::deployment::sets::{DESIRED_REPLICAS, MAX_REPLICAS, Sets, max_replicas};
use crate::deployment::status::{self, Recheck};
use crate::deployment::{history, scale};
use crate::error::SyncError;
use crate::objects::{Deployment, DeploymentStatus};

/// A Deployment, its sets, and who acts on them. Both are working copies that follow the writes.
pub(super) struct Rollout<'a> {
    pub(super) controller: &'a DeploymentController,
    pub(super) deployment: Deployment,
    pub(super) sets: Sets,
    /// A revision that the Deployment has not been given yet; neither has what its working copy says of progress.
    pub(super) unwritten: Option<String>,
}

impl<'a> Rollout<'a> {
    pub(super) fn new(controller: &'a DeploymentController, deployment: Deployment, sets: Sets) -> Self {
        Self { controller, deployment, sets, unwritten: None }
    }

    pub(super) async fn sync(mut self) -> Result<Outcome, SyncError> {
        if self.deployment.metadata.is_deleting() {
            self.sync_revision(false).await?;
            return self.sync_status().await;
        }
        if let Some(condition) = status::plan_pause(&self.deployment, self.controller.now()) {
            let mut status = self.deployment.status.clone();
            status::set_condition(&mut status, condition);
            self.deployment = self.controller.write_status(&self.deployment, &status, &[]).await?;
        }
        if self.deployment.spec.paused {
            return self.sync_scale().await;
        }
        if let Some(revision) = self.rollback_to() {
            return self.roll_back(revision).await;
        }
        self.sync_revision(false).await?;
        if scale::is_scaling_event(&self.deployment, &self.sets) {
            return self.sync_scale().await;
        }
        match self.deployment.spec.strategy.kind.as_str() {
            "Recreate" => self.recreate().await,
            "RollingUpdate" => self.rolling_update().await,
            other => Err(SyncError::Refused(format!("unexpected deployment strategy type: {other}"))),
        }
    }

    /// The revision that the legacy annotation asks to go back to.
    fn rollback_to(&self) -> Option<i64> {
        self.deployment.metadata.annotations.get(ROLLBACK_TO)?.parse().ok()
    }

    async fn rolling_update(mut self) -> Result<Outcome, SyncError> {
        self.sync_revision(true).await?;
        if let Some(resize) = rolling::plan_new(&self.deployment, &self.sets) {
            self.resize(resize).await?;
            return self.sync_rollout_status().await;
        }
        if !self.shrink_old().await {
            self.clean_up_if_complete().await?;
        }
        self.sync_rollout_status().await
    }

    /// Shrinks the old sets; whether all that was planned was done, and there was something to do. A failure is not
    /// worth an error: the status is written, and the next sync goes on.
    async fn shrink_old(&mut self) -> bool {
        let shrink = rolling::plan_old(&self.deployment, &self.sets);
        let mut changed = false;
        for step in shrink.steps {
            if let Err(error) = self.resize(step).await {
                tracing::debug!(deployment = %self.deployment.metadata.key(), %error, "an old set could not be shrunk");
                return false;
            }
            changed = true;
        }
        changed && !shrink.stopped
    }

    async fn recreate(mut self) -> Result<Outcome, SyncError> {
        let active: Vec<usize> = self.sets.active_old().map(|(place, _)| place).collect();
        let drained = !active.is_empty();
        for place in active {
            self.resize(Resize { place, size: 0 }).await?;
        }
        if drained || self.has_old_pods() {
            return self.sync_rollout_status().await;
        }
        self.sync_revision(true).await?;
        if let Some(resize) = rolling::plan_new(&self.deployment, &self.sets) {
            self.resize(resize).await?;
        }
        self.clean_up_if_complete().await?;
        self.sync_rollout_status().await
    }

    /// Whether pods of an old template still run, or may do so.
    fn has_old_pods(&self) -> bool {
        self.sets.old().any(|(_, set)| {
            let resource = self.controller.workloads.replica_sets;
            let pods = controlled(&self.controller.pods, resource, &set.metadata);
            set.status.replicas > 0 || pods.iter().any(|pod| !pod.phase.is_terminal())
        })
    }

    /// Brings the sets to the Deployment's size; also all that happens while it is paused.
    async fn sync_scale(mut self) -> Result<Outcome, SyncError> {
        self.sync_revision(false).await?;
        let (sizes, annotate) = scale::plan_scale(&self.deployment, &self.sets);
        for resize in sizes {
            if annotate || self.sets.all[resize.place].spec.replicas != resize.size {
                self.resize(resize).await?;
            }
        }
        if self.deployment.spec.paused && self.rollback_to().is_none() {
            self.clean_up().await?;
        }
        self.sync_status().await
    }

    /// Gives a set its size and notes the Deployment's size on it.
    pub(super) async fn resize(&mut self, resize: Resize) -> Result<(), SyncError> {
        let set = &self.sets.all[resize.place];
        let (from, to) = (set.spec.replicas, resize.size);
        let mut annotations = set.metadata.annotations.clone();
        let wanted = self.deployment.spec.replicas;
        let annotated = annotations.insert(DESIRED_REPLICAS, wanted.to_string())
            | annotations.insert(MAX_REPLICAS, max_replicas(&self.deployment).to_string());
        if from == to && !annotated {
            return Ok(());
        }
        let spec = json!({"replicas": to});
        let written = self.controller.write_set(&self.deployment, set, spec, &annotations).await?;
        if from != to {
            let direction = if to > from { "up" } else { "down" };
            let name = &set.metadata.name;
            let message = format!("Scaled {direction} replica set {name} from {from} to {to}");
            self.controller.event(&self.deployment, EventType::Normal, "ScalingReplicaSet", message);
        }
        self.sets.all[resize.place] = written;
        Ok(())
    }

    async fn clean_up_if_complete(&self) -> Result<(), SyncError> {
        if status::is_complete(&self.deployment, &self.deployment.status) {
            return self.clean_up().await;
        }
        Ok(())
    }

    async fn clean_up(&self) -> Result<(), SyncError> {
        for set in history::plan_cleanup(&self.deployment, &self.sets) {
            self.controller.delete_set(set).await?;
        }
        Ok(())
    }

    async fn sync_status(self) -> Result<Outcome, SyncError> {
        let status = status::plan_status(&self.deployment, &self.sets, self.controller.now());
        let status = self.gated(status);
        self.write_if_news(&status).await?;
        Ok(Outcome::Done)
    }

    async fn sync_rollout_status(self) -> Result<Outcome, SyncError> {
        let now = self.controller.now();
        let status = self.gated(status::plan_rollout_status(&self.deployment, &self.sets, now));
        if self.write_if_news(&status).await? {
            return Ok(Outcome::Done);
        }
        Ok(match status::plan_recheck(&self.deployment, &status, now) {
            Recheck::Never => Outcome::Done,
            Recheck::Soon => Outcome::Soon,
            Recheck::After(delay) => Outcome::After(delay),
        })
    }

    /// The status without what is switched off.
    fn gated(&self, mut status: DeploymentStatus) -> DeploymentStatus {
        if !self.controller.terminating.is_told() {
            status.terminating_replicas = None;
        }
        status
    }

    async fn write_if_news(&self, status: &DeploymentStatus) -> Result<bool, SyncError> {
        let revision = self.unwritten.as_deref().map(|revision| (REVISION, revision));
        let news = self.deployment.status != *status || revision.is_some();
        if news {
            self.controller.write_status(&self.deployment, status, revision.as_slice()).await?;
        }
        Ok(news)
    }

    /// Writes what was put off until the status is known.
    pub(super) async fn flush(&mut self) -> Result<(), SyncError> {
        let Some(revision) = self.unwritten.take() else { return Ok(()) };
        let annotations = [(REVISION, revision.as_str())];
        self.deployment = self.controller.write_status(&self.deployment, &self.deployment.status, &annotations).await?;
        Ok(())
    }
}
