//! `PodGroup` and `ElasticQuota` of `scheduling.x-k8s.io/v1alpha1`: what the plugins Coscheduling and CapacityScheduling
//! read. The schemas are those of the definitions that scheduler-plugins installs, so that objects for the one fit the
//! other. Source: `sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1`.

use serde_json::{Value, json};

use crate::structural::QUANTITY;

/// The API group of scheduler-plugins.
pub const GROUP: &str = "scheduling.x-k8s.io";

/// The definition of `podgroups.scheduling.x-k8s.io`.
pub(crate) fn pod_group() -> Value {
    let spec = json!({
        "minMember": {"type": "integer", "format": "int32"},
        "minResources": resources(),
        "scheduleTimeoutSeconds": {"type": "integer", "format": "int32"},
    });
    let count = json!({"type": "integer", "format": "int32"});
    let status = json!({
        "failed": count,
        "occupiedBy": {"type": "string"},
        "phase": {"type": "string"},
        "running": count,
        "scheduleStartTime": {"type": "string", "format": "date-time"},
        "succeeded": count,
    });
    let columns = json!([
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "Current phase of PodGroup."},
        {"name": "MinMember", "type": "integer", "jsonPath": ".spec.minMember",
         "description": "MinMember defines the minimal number of members/tasks to run the pod group."},
        {"name": "Running", "type": "integer", "jsonPath": ".status.running",
         "description": "The number of actively running pods."},
        {"name": "Succeeded", "type": "integer", "jsonPath": ".status.succeeded",
         "description": "The number of pods which reached phase Succeeded."},
        {"name": "Failed", "type": "integer", "jsonPath": ".status.failed",
         "description": "The number of pods which reached phase Failed."},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
         "description": "Age is the time PodGroup was created."},
    ]);
    let approved = "https://github.com/kubernetes-sigs/scheduler-plugins/pull/50";
    definition(("PodGroup", &["pg", "pgs"], approved), (spec, status), columns)
}

/// The definition of `elasticquotas.scheduling.x-k8s.io`.
pub(crate) fn elastic_quota() -> Value {
    let spec = json!({"max": resources(), "min": resources()});
    let columns = json!([
        {"name": "Used", "type": "string", "jsonPath": ".status.used",
         "description": "Used is the current observed total usage of the resource in the namespace."},
        {"name": "Max", "type": "string", "jsonPath": ".spec.max",
         "description": "Max is the set of desired max limits for each named resource."},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]);
    let approved = "https://github.com/kubernetes-sigs/scheduler-plugins/pull/52";
    definition(("ElasticQuota", &["eq", "eqs"], approved), (spec, json!({"used": resources()})), columns)
}

fn resources() -> Value {
    json!({"type": "object", "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": QUANTITY, "x-kubernetes-int-or-string": true}})
}

fn definition(
    (kind, short_names, approved): (&str, &[&str], &str),
    (spec, status): (Value, Value),
    columns: Value,
) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{GROUP}"),
            "annotations": {"api-approved.kubernetes.io": approved},
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular,
                "shortNames": short_names,
            },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": object(json!({
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": object(spec),
                    "status": object(status),
                }))},
                "additionalPrinterColumns": columns,
                "subresources": {"status": {}},
            }],
        },
    })
}
