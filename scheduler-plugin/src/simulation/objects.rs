//! What `kubectl get … -o yaml` prints, as objects.

use serde_json::{Value, json};

/// Why objects can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectError {
    /// The text is neither YAML nor JSON.
    #[error("neither YAML nor JSON: {0}")]
    Text(String),
    /// Something in it is not an object.
    #[error("document {document} is not an object of the API: it has no kind")]
    NoObject {
        /// Its number, from 1.
        document: usize,
    },
    /// An object does not have the form of its kind.
    #[error("{kind} {name:?}: {message}")]
    Object {
        /// The kind.
        kind: String,
        /// The name.
        name: String,
        /// What is wrong.
        message: String,
    },
}

/// The most pods of one template: upstream's clusters have 150,000 at most.
const MAX_REPLICAS: u64 = 1_000_000;

impl ObjectError {
    pub(super) fn of(object: &Value, message: impl Into<String>) -> Self {
        Self::Object { kind: kind(object).to_owned(), name: name(object).to_owned(), message: message.into() }
    }
}

/// The objects in a text: YAML of one or many documents, or JSON; lists are taken apart.
///
/// # Errors
/// If it is neither, or something in it is not an object.
pub fn objects(text: &str) -> Result<Vec<Value>, ObjectError> {
    // The user's own file: of any size, a dump of thousands of nodes is meant to be read.
    let options = serde_saphyr::options! { budget: None };
    let yaml = || serde_saphyr::from_multiple_with_options(text, options);
    let documents = if text.trim_start().starts_with(['{', '[']) {
        let parsed: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        // Braces are YAML as well, without quotes. If it is neither, most likely it was meant to be JSON.
        parsed.or_else(|error| yaml().map_err(|_| ObjectError::Text(error.to_string())))?
    } else {
        yaml().map_err(|error| ObjectError::Text(error.to_string()))?
    };
    let mut objects = Vec::new();
    for (place, document) in documents.into_iter().enumerate() {
        take_apart(document, None, &mut objects).map_err(|()| ObjectError::NoObject { document: place + 1 })?;
    }
    Ok(objects)
}

/// Adds an object, or what is in a list. Items of a `PodList` need not say that they are pods.
fn take_apart(mut document: Value, item: Option<(&str, &Value)>, objects: &mut Vec<Value>) -> Result<(), ()> {
    if let Value::Array(items) = document {
        return items.into_iter().try_for_each(|item| take_apart(item, None, objects));
    }
    if document.is_null() {
        return Ok(());
    }
    if let Some((kind, version)) = item
        && document.is_object()
        && document["kind"].is_null()
    {
        document["kind"] = json!(kind);
        document["apiVersion"] = version.clone();
    }
    let Some(kind) = document["kind"].as_str().map(str::to_owned) else { return Err(()) };
    match kind.strip_suffix("List").zip(document.get_mut("items").map(Value::take)) {
        Some((of, items)) => {
            let of = Some((of, &document["apiVersion"])).filter(|(of, _)| !of.is_empty());
            let items = if let Value::Array(items) = items { items } else { Vec::new() };
            items.into_iter().try_for_each(|item| take_apart(item, of, objects))
        }
        None => {
            objects.push(document);
            Ok(())
        }
    }
}

/// Whether an object is a pod, or stands for pods.
pub(super) fn has_pods(object: &Value) -> bool {
    const KINDS: [&str; 6] = ["Pod", "Deployment", "ReplicaSet", "StatefulSet", "ReplicationController", "Job"];
    KINDS.contains(&kind(object))
}

/// The object with the namespace that the API server would give it, if it is of a kind that is read and has to have one.
pub(super) fn in_namespace(object: &Value) -> Value {
    const KINDS: [&str; 7] = [
        "ElasticQuota",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "PodGroup",
        "ReplicationController",
        "ResourceClaim",
        "Service",
    ];
    let mut object = object.clone();
    if KINDS.contains(&kind(&object)) && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = json!("default");
    }
    object
}

/// The pods that an object stands for: itself, or as many as its template is to be repeated.
pub(super) fn pods_of(object: &Value) -> Result<Vec<Value>, ObjectError> {
    let count = match kind(object) {
        "Pod" => return Ok(vec![object.clone()]),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController" => &object["spec"]["replicas"],
        "Job" => &object["spec"]["parallelism"],
        _ => return Err(ObjectError::of(object, "expected pods, or objects with a template for pods")),
    };
    let replicas = match (count, count.as_u64()) {
        (Value::Null, _) => 1,
        (_, Some(number)) if number <= MAX_REPLICAS => number,
        (_, Some(number)) => {
            return Err(ObjectError::of(
                object,
                format!("{number} pods are more than the {MAX_REPLICAS} that are simulated"),
            ));
        }
        (other, None) => {
            let field = if kind(object) == "Job" { "parallelism" } else { "replicas" };
            let why = "must be an integer greater than or equal to 0";
            return Err(ObjectError::of(object, format!("spec.{field}: Invalid value: {other}: {why}")));
        }
    };
    let template = &object["spec"]["template"];
    if !template["spec"].is_object() {
        return Err(ObjectError::of(object, "spec.template.spec: Required value"));
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    let pod = |number: u64| {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": template["spec"]});
        if template["metadata"].is_object() {
            pod["metadata"] = template["metadata"].clone();
        }
        pod["metadata"]["name"] = json!(format!("{}-{number}", name(object)));
        pod["metadata"]["namespace"] = json!(namespace);
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": object["apiVersion"], "kind": kind(object), "name": name(object), "controller": true,
        }]);
        pod
    };
    Ok((0..replicas).map(pod).collect())
}

pub(super) fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_documents_and_json_give_the_same_objects() {
        let expect = vec![json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}})];
        for text in [
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n",
            "apiVersion: v1\nkind: NodeList\nitems:\n- metadata: {name: a}\n",
            "---\n---\napiVersion: v1\nkind: Node\nmetadata: {name: a}\n",
            r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}]}"#,
            r#"[{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}]"#,
            "{apiVersion: v1, kind: Node, metadata: {name: a}}",
        ] {
            assert_eq!(objects(text).as_ref(), Ok(&expect), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_named() {
        assert_eq!(objects("kind: Node\n---\nname: b\n"), Err(ObjectError::NoObject { document: 2 }));
        assert_eq!(objects("hello"), Err(ObjectError::NoObject { document: 1 }));
        assert!(matches!(objects("{\"a\": "), Err(ObjectError::Text(_))));
        let service = json!({"kind": "Service", "metadata": {"name": "s"}});
        let error = pods_of(&service).unwrap_err().to_string();
        assert_eq!(error, "Service \"s\": expected pods, or objects with a template for pods");
    }

    #[test]
    fn a_template_stands_for_its_pods() {
        let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": {
            "replicas": 2, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}});
        let pods = pods_of(&set).unwrap();
        assert_eq!(pods.iter().map(name).collect::<Vec<_>>(), ["web-0", "web-1"]);
        assert_eq!(pods[1]["metadata"]["labels"], json!({"a": "b"}));
        let count = |replicas: Value| {
            let mut set = set.clone();
            set["spec"]["replicas"] = replicas;
            pods_of(&set).map(|pods| pods.len()).map_err(|error| error.to_string())
        };
        assert_eq!((count(json!(0)), count(Value::Null)), (Ok(0), Ok(1)));
        assert!(count(json!(-3)).unwrap_err().contains("spec.replicas: Invalid value: -3"));
        assert!(count(json!(4_000_000_000_u64)).unwrap_err().contains("4000000000 pods are more"));
    }
}
