//! The types of `request`, `namespaceObject` and `variables`.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/cel/compile.go` (`BuildRequestType`, `BuildNamespaceType`).

use std::sync::LazyLock;

use serde_json::json;
use steersman_cel::{DeclaredType, Type};

fn text() -> DeclaredType {
    DeclaredType::plain(Type::String)
}

pub(super) static REQUEST: LazyLock<DeclaredType> = LazyLock::new(|| {
    let kind =
        DeclaredType::object("kubernetes.GroupVersionKind", [("group", text()), ("version", text()), ("kind", text())]);
    let resource = DeclaredType::object(
        "kubernetes.GroupVersionResource",
        [("group", text()), ("version", text()), ("resource", text())],
    );
    let user = DeclaredType::object(
        "kubernetes.UserInfo",
        [
            ("username", text()),
            ("uid", text()),
            ("groups", DeclaredType::list(text())),
            ("extra", DeclaredType::map(DeclaredType::list(text()))),
        ],
    );
    DeclaredType::object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", text()),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", DeclaredType::plain(Type::Bool)),
            ("options", DeclaredType::plain(Type::Dyn)),
        ],
    )
});

pub(super) static NAMESPACE: LazyLock<DeclaredType> = LazyLock::new(|| {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    let map = json!({"type": "object", "additionalProperties": text});
    let time = json!({"type": "string", "format": "date-time"});
    let condition = json!({"type": "object", "properties": {
        "status": text, "type": text, "lastTransitionTime": time, "message": text, "reason": text}});
    let metadata = json!({"type": "object", "properties": {
        "name": text, "generateName": text, "namespace": text, "labels": map, "annotations": map, "UID": text,
        "creationTimestamp": time, "deletionGracePeriodSeconds": {"type": "integer"}, "deletionTimestamp": time,
        "generation": {"type": "integer"}, "resourceVersion": text, "finalizers": texts}});
    let schema = json!({"type": "object", "properties": {
        "metadata": metadata,
        "spec": {"type": "object", "properties": {"finalizers": texts}},
        "status": {"type": "object", "properties": {
            "conditions": {"type": "array", "items": condition}, "phase": text}}}});
    DeclaredType::from_schema("kubernetes.Namespace", &schema, false).expect("the schema above has a type")
});

/// `variables` with these fields. Of an object that a variable holds nothing is known any more.
pub(super) fn variables(fields: &[(String, Type)]) -> DeclaredType {
    DeclaredType::record("kubernetes.variables", fields.iter().map(|(name, ty)| (name.clone(), kept(ty))))
}

/// What upstream keeps of the type of a variable (`convertCelTypeToDeclType`).
fn kept(ty: &Type) -> Type {
    match ty {
        Type::List(item) => Type::list(kept(item)),
        Type::Map(entry) => Type::map(kept(&entry.0), kept(&entry.1)),
        Type::Bool
        | Type::Bytes
        | Type::Double
        | Type::Duration
        | Type::Int
        | Type::Null
        | Type::String
        | Type::Timestamp
        | Type::Uint => ty.clone(),
        _ => Type::Dyn,
    }
}
