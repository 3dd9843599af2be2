//! How custom objects behave.
//! Source: `k8s.io/apiextensions-apiserver/pkg/registry/customresource`.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use serde_json::Value;
use steersman_machinery::decode::{self, TypeError};
use steersman_machinery::field::{ErrorList, ErrorType, FieldError, Path};
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::meta;
use steersman_machinery::schema::builtin;

use super::json_path::JsonPath;
use super::rules::{self, Rules as Expressions};
use super::structural::{self, Structural};
use super::values;
use crate::conversion::{self, Conversion};
use crate::registry::resource::ScalePaths;
use crate::registry::strategy::{Rules, Strategy, restore};

/// The behaviour of the objects of one version of a definition.
#[derive(Clone, Debug)]
pub struct CustomStrategy {
    api_version: String,
    kind: String,
    namespaced: bool,
    schema: Arc<Structural>,
    has_status: bool,
    scale: Option<ScalePaths>,
    selectable: Vec<(&'static str, JsonPath)>,
    /// The schema's rules in CEL.
    expressions: Option<Arc<Expressions>>,
    /// Whether objects may be stored in a form that this schema would not have given them.
    converts: bool,
    /// The `apiVersion` of what is stored.
    storage: String,
    conversion: Option<Conversion>,
}

impl CustomStrategy {
    /// For a version of a definition, given by an item of `spec.versions` and its schema.
    pub fn new(definition: &Value, version: &Value, schema: Arc<Structural>, scale: Option<ScalePaths>) -> Self {
        let selectable = meta::items(version, &["selectableFields"]).iter().filter_map(|field| {
            let path = meta::text(field, &["jsonPath"]);
            Some((intern(path.trim_start_matches('.')), JsonPath::parse(path)?))
        });
        let text = |path: &[&str]| meta::text(definition, path);
        let only_version = meta::items(definition, &["spec", "versions"]).len() == 1;
        Self {
            api_version: format!("{}/{}", text(&["spec", "group"]), meta::text(version, &["name"])),
            kind: text(&["spec", "names", "kind"]).to_owned(),
            namespaced: text(&["spec", "scope"]) != "Cluster",
            has_status: meta::at(version, &["subresources", "status"]).is_some_and(Value::is_object),
            scale,
            selectable: selectable.collect(),
            expressions: meta::at(version, &["schema", "openAPIV3Schema"]).and_then(Expressions::parse).map(Arc::new),
            converts: !only_version || meta::generation(definition) != 1,
            storage: format!("{}/{}", text(&["spec", "group"]), conversion::storage_version(definition)),
            conversion: Conversion::of(definition),
            schema,
        }
    }

    fn check(&self, object: &Value, old: Option<&Value>) -> (ErrorList, Vec<String>) {
        let wrong_type = self.check_type(object);
        if !wrong_type.is_empty() {
            return (wrong_type, Vec::new());
        }
        let mut errors = values::validate(object, old, &self.schema);
        self.check_scale(object, &mut errors);
        errors.extend(values::embedded(object, &self.schema));
        self.check_lists(object, old, &mut errors);
        self.check_expressions(object, old, errors)
    }

    /// Of an update, items that stood twice before may do so.
    fn check_lists(&self, object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        let held = |old: &Value| values::duplicates(old, &self.schema).is_empty();
        if old.is_none_or(held) {
            errors.extend(values::duplicates(object, &self.schema));
        }
    }

    /// A patch may not make another kind of object of it.
    fn check_type(&self, object: &Value) -> ErrorList {
        let expected = [("apiVersion", &self.api_version), ("kind", &self.kind)];
        expected
            .into_iter()
            .filter(|(name, expected)| object.get(*name).is_some_and(|value| value != expected.as_str()))
            .map(|(name, expected)| {
                let value = object.get(name).unwrap_or(&Value::Null);
                FieldError::invalid(&Path::new(name), value, format!("must be {expected}"))
            })
            .collect()
    }

    fn check_scale(&self, object: &Value, errors: &mut ErrorList) {
        let Some(scale) = &self.scale else {
            return;
        };
        for steps in [scale.spec_steps(), scale.status_steps()] {
            let Some(replicas) = meta::at(object, &steps).and_then(Value::as_i64) else {
                continue;
            };
            let path = Path::from(format!(".{}", steps.join(".")).as_str());
            if replicas < 0 {
                let detail = "should be a non-negative integer";
                errors.push(FieldError::invalid(&path, &Value::from(replicas), detail));
            } else if replicas > i64::from(i32::MAX) {
                let detail = format!("should be less than or equal to {}", i32::MAX);
                errors.push(FieldError::invalid(&path, &Value::from(replicas), detail));
            }
        }
    }

    /// Expressions are not evaluated on objects whose form is wrong, which clients are told.
    fn check_expressions(
        &self,
        object: &Value,
        old: Option<&Value>,
        mut errors: ErrorList,
    ) -> (ErrorList, Vec<String>) {
        let blocks = |error: &FieldError| {
            matches!(
                error.error_type,
                ErrorType::NotSupported
                    | ErrorType::Required
                    | ErrorType::TooLong
                    | ErrorType::TooMany
                    | ErrorType::TypeInvalid
            )
        };
        let Some(expressions) = &self.expressions else {
            return (errors, Vec::new());
        };
        if errors.iter().any(blocks) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                          errors to complete validation";
            errors.push(FieldError::invalid(&Path::default(), &Value::Null, detail));
            return (errors, Vec::new());
        }
        let found = rules::evaluate(expressions, object, old);
        errors.extend(found.errors);
        (errors, found.warnings)
    }
}

impl Strategy for CustomStrategy {
    fn rules(&self) -> Rules {
        Rules { unconditional_update: false, tracks_generation: true, has_status: self.has_status, ..Rules::DEFAULT }
    }

    fn prune(&self, object: &mut Value) -> Vec<String> {
        structural::prune(object, &self.schema)
    }

    fn default(&self, object: &mut Value) {
        write_whole_numbers(object);
        structural::default(object, &self.schema);
    }

    fn status_keeps(&self) -> &'static [&'static [&'static str]] {
        &[
            &["metadata", "annotations"],
            &["metadata", "finalizers"],
            &["metadata", "labels"],
            &["metadata", "ownerReferences"],
        ]
    }

    fn unknown_field(&self, field: &str) -> String {
        format!("field label not supported: {field}")
    }

    fn prepare_for_status_update(&self, object: &mut Value, old: &Value) {
        // Labels, annotations and the like are not part of a status either.
        let kept =
            ["managedFields", "resourceVersion"].map(|name| (name, meta::at(object, &["metadata", name]).cloned()));
        restore(object, old, &["metadata"]);
        for (name, value) in kept {
            match value {
                Some(value) => meta::set(object, &["metadata", name], value),
                None => drop(meta::remove(object, &["metadata", name])),
            }
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        self.check(object, None).0
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        self.check_update(object, old).0
    }

    fn check_update(&self, object: &Value, old: &Value) -> (ErrorList, Vec<String>) {
        self.check(object, Some(old))
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        self.check_status_update(object, old).0
    }

    fn check_status_update(&self, object: &Value, old: &Value) -> (ErrorList, Vec<String>) {
        let mut errors = values::validate_at(object, Some(old), &self.schema, "status");
        self.check_scale(object, &mut errors);
        self.check_lists(object, Some(old), &mut errors);
        self.check_expressions(object, Some(old), errors)
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let had = |name: &str| old.is_some_and(|old| meta::finalizers(old).any(|it| it == name));
        meta::finalizers(object)
            .filter(|name| !name.contains('/') && !is_standard_finalizer(name) && !had(name))
            .map(|name| {
                format!(
                    "metadata.finalizers: \"{name}\": prefer a domain-qualified finalizer name to avoid accidental \
                     conflicts with other finalizer writers"
                )
            })
            .collect()
    }

    fn spec_changed(&self, object: &Value, old: &Value) -> bool {
        let compared = |(name, _): &(&String, &Value)| match name.as_str() {
            "metadata" | "apiVersion" | "kind" => false,
            "status" => !self.has_status,
            _ => true,
        };
        match (object.as_object(), old.as_object()) {
            (Some(object), Some(old)) => !object.iter().filter(compared).eq(old.iter().filter(compared)),
            _ => object != old,
        }
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let text = |path: &JsonPath| match path.find(object).first() {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        self.selectable.iter().map(|(name, path)| (*name, text(path))).collect()
    }

    fn selects_by_namespace(&self) -> bool {
        self.namespaced
    }

    fn to_served(&self, object: &mut Value) {
        structural::prune(object, &self.schema);
        structural::default(object, &self.schema);
    }

    fn converts(&self) -> bool {
        self.converts
    }

    fn stored_version(&self) -> Option<&str> {
        self.converts.then_some(self.storage.as_str())
    }

    fn conversion(&self) -> Option<&Conversion> {
        self.conversion.as_ref()
    }
}

/// Brings the metadata of a custom object into the form of its type, whatever the object's own schema is: times and
/// numbers are checked, empty values go. To be called after unknown fields were pruned.
///
/// # Errors
/// If a field has another type than metadata's own.
pub fn decode_metadata(object: &mut Value) -> Result<(), TypeError> {
    let pod = GroupVersionKind::new("", "v1", "Pod");
    let ty = builtin::type_ref(&pod).and_then(|pod| pod.member("metadata"));
    if let (Some(ty), Some(metadata)) = (ty, object.get_mut("metadata")) {
        *metadata = decode::convert(metadata.take(), ty, "ObjectMeta")?.object;
    }
    Ok(())
}

/// Writes `5.0` as `5`, as Go's encoder does.
fn write_whole_numbers(value: &mut Value) {
    /// Up to here every whole number has a representation of its own.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0 && float.abs() <= MAX_EXACT {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(write_whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(write_whole_numbers),
        _ => {}
    }
}

/// Finalizers that Kubernetes itself sets.
fn is_standard_finalizer(name: &str) -> bool {
    matches!(name, meta::FINALIZER_ORPHAN | meta::FINALIZER_FOREGROUND | "kubernetes")
}

/// The names of selectable fields live for ever: there are few, and field selectors want names without an owner.
fn intern(name: &str) -> &'static str {
    static NAMES: LazyLock<Mutex<BTreeSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock();
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(name);
    name
}

#[cfg(test)]
mod tests;
