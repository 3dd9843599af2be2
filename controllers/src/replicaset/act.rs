//! Creates and deletes the pods of a ReplicaSet.

use std::sync::Arc;

use futures::future::join_all;
use kube::api::{DeleteParams, Preconditions};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use steersman_framework::api::{Resource, Written, is_conflict, is_namespace_terminating, is_not_found, message};
use steersman_framework::events::{EventType, Involved};
use steersman_framework::ownership::controller_reference;
use steersman_machinery::names;

use super::ReplicaSetController;
use crate::error::SyncError;
use crate::objects::{PODS, Pod, ReplicaSet};
use crate::replicaset::plan;

impl ReplicaSetController {
    /// Creates pods in batches that double while all goes well, so that a quota is not run against hundreds of times.
    pub(super) async fn create_pods(&self, set: &ReplicaSet, count: usize) -> Result<(), SyncError> {
        let body = pod_body(self.workloads.replica_sets, set)?;
        let involved = Involved::new(self.workloads.replica_sets, &set.metadata);
        for batch in plan::slow_start(count) {
            let calls = (0..batch).map(|_| self.create_pod(set, &involved, &body));
            let results = join_all(calls).await;
            if results.iter().any(|result| matches!(result, Ok(Created::Pointless))) {
                self.expectations.block(&set.metadata.uid, self.clock.now());
                return Ok(());
            }
            if let Some(error) = results.into_iter().find_map(Result::err) {
                return Err(error.into());
            }
        }
        Ok(())
    }

    async fn create_pod(&self, set: &ReplicaSet, involved: &Involved, body: &RawValue) -> Result<Created, kube::Error> {
        match self.api.create::<Written>(&PODS, &set.metadata.namespace, body).await {
            Ok(pod) => {
                let text = format!("Created pod: {}", pod.metadata.name);
                self.consistency.wrote(&set.metadata.uid, "pods", &pod.metadata.resource_version);
                self.recorder.record(involved, EventType::Normal, "SuccessfulCreate", text);
                Ok(Created::Pod)
            }
            Err(error) if is_namespace_terminating(&error) => Ok(Created::Pointless),
            Err(error) => {
                let text = format!("Error creating: {}", message(&error));
                self.recorder.record(involved, EventType::Warning, "FailedCreate", text);
                Err(error)
            }
        }
    }

    /// Deletes pods, all at once.
    pub(super) async fn delete_pods(&self, set: &ReplicaSet, pods: Vec<Arc<Pod>>) -> Result<(), SyncError> {
        let involved = Involved::new(self.workloads.replica_sets, &set.metadata);
        let expected = pods.iter().map(|pod| (pod.metadata.key(), pod.metadata.uid.clone()));
        self.expectations.expect_deletions(&set.metadata.uid, self.clock.now(), expected.collect());
        let results = join_all(pods.iter().map(|pod| self.delete_pod(set, &involved, pod))).await;
        results.into_iter().find(Result::is_err).unwrap_or(Ok(()))
    }

    async fn delete_pod(&self, set: &ReplicaSet, involved: &Involved, pod: &Pod) -> Result<(), SyncError> {
        let key = pod.metadata.key();
        // The cache may show a pod whose name another one has by now: that one is not ours to delete.
        let same = Preconditions { uid: Some(pod.metadata.uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        let Err(error) = self.api.delete(&PODS, &key, &params).await else {
            let text = format!("Deleted pod: {}", key.name);
            self.recorder.record(involved, EventType::Normal, "SuccessfulDelete", text);
            return Ok(());
        };
        self.expectations.deletion_failed(&set.metadata.uid, &key);
        if is_not_found(&error) || is_conflict(&error) {
            return Ok(());
        }
        let text = message(&error);
        self.recorder.record(involved, EventType::Warning, "FailedDelete", format!("Error deleting: {text}"));
        Err(SyncError::Refused(format!("unable to delete pods: {text}")))
    }
}

enum Created {
    Pod,
    /// The namespace is going away.
    Pointless,
}

/// The pod that the template describes, serialized once for the whole sync.
fn pod_body(resource: &Resource, set: &ReplicaSet) -> Result<Box<RawValue>, SyncError> {
    let template = &set.spec.template.value;
    let field = |name: &str| template.pointer(&format!("/metadata/{name}")).cloned().unwrap_or_default();
    let labels = field("labels");
    if labels.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(SyncError::Refused("unable to create pods, no labels".to_owned()));
    }
    let mut metadata = json!({
        "generateName": pod_prefix(&set.metadata.name),
        "labels": labels,
        "ownerReferences": [controller_reference(resource, &set.metadata)],
    });
    for name in ["annotations", "finalizers"] {
        if let Some(value) = Some(field(name)).filter(|value| !value.is_null()) {
            metadata[name] = value;
        }
    }
    let spec = template.get("spec").cloned().unwrap_or_else(|| Value::Object(Default::default()));
    let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    to_raw_value(&body).map_err(|error| kube::Error::SerdeError(error).into())
}

/// The prefix of the pods' names: the set's name and a dash if that may stand before what the server appends.
fn pod_prefix(set: &str) -> String {
    let prefix = format!("{set}-");
    let valid = names::dns1123_subdomain(&names::mask_trailing_dash(&prefix)).is_empty();
    if valid { prefix } else { set.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::REPLICA_SETS;

    #[test]
    fn the_prefix_is_the_name_and_a_dash_if_that_is_a_name() {
        assert_eq!(pod_prefix("web"), "web-");
        // However long; the server cuts it.
        for length in [57, 58, 60, 253] {
            let name = "a".repeat(length);
            assert_eq!(pod_prefix(&name), format!("{name}-"), "{length}");
        }
        assert_eq!(pod_prefix(&"a".repeat(254)), "a".repeat(254));
    }

    #[test]
    fn a_pod_takes_labels_annotations_finalizers_and_spec_from_the_template() {
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"name": "web", "uid": "u"},
            "spec": {"template": {
                "metadata": {"name": "ignored", "labels": {"a": "1"}, "finalizers": ["f/x"]},
                "spec": {"nodeName": "n"},
            }},
        }))
        .unwrap();
        let body: Value = serde_json::from_str(pod_body(&REPLICA_SETS, &set).unwrap().get()).unwrap();
        let owner = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u",
            "controller": true, "blockOwnerDeletion": true,
        });
        let expect = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "generateName": "web-", "labels": {"a": "1"}, "finalizers": ["f/x"], "ownerReferences": [owner],
            },
            "spec": {"nodeName": "n"},
        });
        assert_eq!(body, expect);
    }

    #[test]
    fn a_template_without_labels_is_refused() {
        let error = pod_body(&REPLICA_SETS, &ReplicaSet::default()).unwrap_err();
        assert_eq!(error.to_string(), "unable to create pods, no labels");
    }
}
