//! What a conversion webhook may answer: as many objects as it was sent, of the version that was wanted, with nothing of
//! their metadata changed but labels and annotations.

use serde_json::Value;
use steersman_machinery::field::{self, go_quote};
use steersman_machinery::patch::go_type;
use steersman_machinery::{meta, object_meta};

/// A kind in upstream's text form.
pub(super) fn go_kind(object: &Value) -> String {
    let kind = meta::gvk(object);
    format!("{}/{}, Kind={}", kind.group, kind.version, kind.kind)
}

/// The converted objects of an answer.
///
/// # Errors
/// Why there are none. Answers in the old version of reviews are not looked at so closely.
pub(super) fn objects(mut review: Value, uid: &str, strict: bool) -> Result<Vec<Value>, String> {
    const EXPECTED: &str = "apiextensions.k8s.io/v1, Kind=ConversionReview";
    let found = go_kind(&review);
    if strict && found != EXPECTED {
        return Err(format!("expected webhook response of {EXPECTED}, got {found}"));
    }
    let mut response = review.get_mut("response").map(Value::take).unwrap_or_default();
    if !response.is_object() {
        return Err("no response provided".to_owned());
    }
    let answered = meta::text(&response, &["uid"]);
    if strict && answered != uid {
        return Err(format!("expected response.uid={}, got {}", go_quote(uid), go_quote(answered)));
    }
    match (meta::text(&response, &["result", "status"]), meta::text(&response, &["result", "message"])) {
        ("Success", _) => {}
        (status, "") => return Err(format!("response.result.status was '{status}', not 'Success'")),
        (_, message) => return Err(message.to_owned()),
    }
    match response.get_mut("convertedObjects").map(Value::take) {
        Some(Value::Array(objects)) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

/// What is wrong with a converted object.
pub(super) enum Fault {
    Type(String),
    Object(String),
    Metadata(String),
}

impl Fault {
    /// As upstream says it, which converts one object at a time.
    pub(super) fn text(self, kind: &str) -> String {
        let (what, why) = match self {
            Self::Type(why) => ("object at index 0", why),
            Self::Object(why) => ("object", why),
            Self::Metadata(why) => ("metadata", why),
        };
        format!("conversion webhook for {kind} returned invalid {what}: {why}")
    }
}

/// The converted object with the metadata that it may not change.
pub(super) fn checked(original: &Value, mut converted: Value, version: &str) -> Result<Value, Fault> {
    let found = meta::text(&converted, &["apiVersion"]);
    if found != version {
        let why = format!("invalid groupVersion (expected {version}, received {found})");
        return Err(Fault::Type(why));
    }
    let (want, have) = (meta::text(original, &["kind"]), meta::text(&converted, &["kind"]));
    if want != have {
        return Err(Fault::Type(format!("invalid kind (expected {want}, received {have})")));
    }
    for (field, name) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let path = ["metadata", field];
        let (want, have) = (meta::text(original, &path), meta::text(&converted, &path));
        if want != have {
            return Err(Fault::Object(format!("must have the same {name}: {want} != {have}")));
        }
    }
    let metadata = metadata(original, converted.get("metadata")).map_err(Fault::Metadata)?;
    meta::set(&mut converted, &["metadata"], metadata);
    Ok(converted)
}

fn metadata(original: &Value, converted: Option<&Value>) -> Result<Value, String> {
    let converted = match converted {
        None => return Err("missing metadata in converted object".to_owned()),
        Some(metadata) if metadata.is_object() => metadata,
        Some(other) => return Err(format!("invalid metadata of type {} in converted object", go_type(other))),
    };
    let mut metadata = original.get("metadata").cloned().unwrap_or_else(|| Value::Object(Default::default()));
    for field in ["labels", "annotations"] {
        let Some(entries) = converted.get(field).filter(|it| !it.is_null()) else {
            meta::remove(&mut metadata, &[field]);
            continue;
        };
        let Some(map) = entries.as_object() else {
            return Err(format!("invalid metadata.{field} of type {} in converted object", go_type(entries)));
        };
        if let Some((key, value)) = map.iter().find(|(_, value)| !value.is_string()) {
            let found = go_type(value);
            return Err(format!("metadata.{field}[{key}] must be a string, but is {found} in converted object"));
        }
        if metadata.get(field) != Some(entries) {
            check(field, entries)?;
        }
        meta::set(&mut metadata, &[field], entries.clone());
    }
    Ok(metadata)
}

fn check(field: &str, entries: &Value) -> Result<(), String> {
    let object = serde_json::json!({"metadata": {"name": "x", field: entries}});
    let errors = object_meta::validate(&object, false, &|_| Vec::new());
    if errors.is_empty() { Ok(()) } else { Err(field::aggregate(&errors)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_labels_and_annotations_of_the_metadata_change() {
        let original =
            json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "uid": "u", "labels": {"x": "1"}}});
        let check = |change: &dyn Fn(&mut Value), expect: &str| {
            let mut converted = original.clone();
            converted["apiVersion"] = json!("g/v2");
            change(&mut converted);
            let got = match checked(&original, converted, "g/v2") {
                Ok(object) => object["metadata"].to_string(),
                Err(fault) => fault.text("g/v1, Kind=K").replace("conversion webhook for g/v1, Kind=K returned ", ""),
            };
            assert_eq!(got, expect);
        };
        check(&|_| {}, r#"{"labels":{"x":"1"},"name":"a","uid":"u"}"#);
        check(&|it| it["metadata"]["labels"] = json!({"y": "2"}), r#"{"labels":{"y":"2"},"name":"a","uid":"u"}"#);
        check(&|it| it["metadata"]["finalizers"] = json!(["f"]), r#"{"labels":{"x":"1"},"name":"a","uid":"u"}"#);
        check(&|it| it["metadata"]["name"] = json!("b"), "invalid object: must have the same name: a != b");
        let why = "invalid object at index 0: invalid groupVersion (expected g/v2, received g/v3)";
        check(&|it| it["apiVersion"] = json!("g/v3"), why);
        check(&|it| it["kind"] = json!("L"), "invalid object at index 0: invalid kind (expected K, received L)");
        for (labels, why) in [
            (json!({"y": 2}), "metadata.labels[y] must be a string, but is int64 in converted object"),
            (json!({"y": null}), "metadata.labels[y] must be a string, but is <nil> in converted object"),
            (json!(["y"]), "invalid metadata.labels of type []interface {} in converted object"),
        ] {
            check(&|it| it["metadata"]["labels"] = labels.clone(), &format!("invalid metadata: {why}"));
        }
        check(&|it| it["metadata"] = Value::Null, "invalid object: must have the same name: a != ");
    }
}
