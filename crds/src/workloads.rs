//! `Deployment` and `ReplicaSet` of our own group.

use serde_json::{Value, json};
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::schema::builtin;

use crate::APPS_GROUP;
use crate::structural;

/// The definition of `deployments.apps.steersman.dev`.
pub(crate) fn deployment() -> Value {
    let mut schema = schema("Deployment");
    default(&mut schema, "revisionHistoryLimit", json!(10));
    default(&mut schema, "progressDeadlineSeconds", json!(600));
    let columns = json!([
        column("Desired", "integer", ".spec.replicas"),
        column("Ready", "integer", ".status.readyReplicas"),
        column("Up-to-date", "integer", ".status.updatedReplicas"),
        column("Available", "integer", ".status.availableReplicas"),
        column("Age", "date", ".metadata.creationTimestamp"),
    ]);
    definition("Deployment", "sdeploy", schema, columns)
}

/// The definition of `replicasets.apps.steersman.dev`.
pub(crate) fn replica_set() -> Value {
    let columns = json!([
        column("Desired", "integer", ".spec.replicas"),
        column("Current", "integer", ".status.replicas"),
        column("Ready", "integer", ".status.readyReplicas"),
        column("Age", "date", ".metadata.creationTimestamp"),
    ]);
    definition("ReplicaSet", "srs", schema("ReplicaSet"), columns)
}

fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path})
}

/// The schema of the `apps/v1` kind, with the defaults that the API server would fill in there.
fn schema(kind: &str) -> Value {
    let gvk = GroupVersionKind::new("apps", "v1", kind);
    let ty = builtin::type_ref(&gvk).expect("the table has the workload kinds");
    let mut schema = structural::schema(ty);
    schema["properties"]["metadata"] = json!({"type": "object"});
    schema["required"] = json!(["spec"]);
    default(&mut schema, "replicas", json!(1));
    // What the API server checks for `apps` and a schema can say.
    let spec = &mut schema["properties"]["spec"]["properties"];
    spec["selector"]["x-kubernetes-validations"] =
        json!([{"rule": "self == oldSelf", "message": "field is immutable"}]);
    spec["template"]["properties"]["spec"]["properties"]["restartPolicy"]["enum"] = json!(["Always"]);
    schema
}

fn default(schema: &mut Value, field: &str, value: Value) {
    schema["properties"]["spec"]["properties"][field]["default"] = value;
}

fn definition(kind: &str, short: &str, schema: Value, columns: Value) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{APPS_GROUP}")},
        "spec": {
            "group": APPS_GROUP,
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular,
                "shortNames": [short],
            },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "additionalPrinterColumns": columns,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
            }],
        },
    })
}
