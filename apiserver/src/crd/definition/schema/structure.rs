//! What makes a schema structural: each field, item and embedded object is declared with its type outside of the logic
//! junctors. Source: `k8s.io/apiextensions-apiserver/pkg/apiserver/schema` (`validation.go`, `complete.go`).

use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::{go_regexp, meta};

use super::{JUNCTORS, flag};

/// Where in a schema a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

/// What is not allowed in junctors, and how each should be.
const NOT_NESTED: [(&str, &str); 13] = [
    ("type", "empty"),
    ("additionalProperties", "undefined"),
    ("default", "undefined"),
    ("title", "empty"),
    ("description", "empty"),
    ("nullable", "false"),
    ("x-kubernetes-preserve-unknown-fields", "false"),
    ("x-kubernetes-embedded-resource", "false"),
    ("x-kubernetes-int-or-string", "false"),
    ("x-kubernetes-list-map-keys", "empty"),
    ("x-kubernetes-list-type", "undefined"),
    ("x-kubernetes-map-type", "undefined"),
    ("x-kubernetes-validations", "empty"),
];

/// All that makes the schema at `path` not structural, sorted by its text as upstream does.
pub(super) fn check(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    node(schema, Level::Root, path, &mut errors);
    complete(schema, schema, (path, path), &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn object<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema.get(name).filter(|value| value.is_object())
}

fn node(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let kind = meta::text(schema, &["type"]);
    if kind == "array" && schema.get("items").is_none_or(Value::is_null) {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    if let Some(items) = object(schema, "items") {
        node(items, Level::Item, &path.child("items"), errors);
    }
    for (name, field) in fields(schema) {
        node(field, Level::Field, &path.child("properties").key(name), errors);
    }
    let further = path.child("additionalProperties");
    let has_further = schema.get("additionalProperties").is_some_and(|further| !further.is_null());
    if has_further && level == Level::Root {
        errors.push(FieldError::forbidden(&further, "must not be used at the root"));
    }
    if let Some(schema) = object(schema, "additionalProperties") {
        node(schema, Level::Field, &further, errors);
    }
    if flag(schema, "x-kubernetes-embedded-resource") && has_further {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&further, detail));
    }
    extensions(schema, path, errors);
    values(schema, is_int_or_string(schema), path, errors);
    type_of(schema, level, &path.child("type"), errors);
    metadata(schema, level, path, errors);
}

fn extensions(schema: &Value, path: &Path, errors: &mut ErrorList) {
    if flag(schema, "x-kubernetes-int-or-string") {
        for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
            if flag(schema, name) {
                let detail = "must be false if x-kubernetes-int-or-string is true";
                errors.push(FieldError::invalid(&path.child(name), &json!(true), detail));
            }
        }
    }
    if flag(schema, "x-kubernetes-embedded-resource")
        && !flag(schema, "x-kubernetes-preserve-unknown-fields")
        && fields(schema).next().is_none()
    {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&path.child("properties"), detail));
    }
}

fn type_of(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let kind = meta::text(schema, &["type"]);
    if flag(schema, "x-kubernetes-embedded-resource") && kind != "object" {
        errors.push(required_or_invalid(path, kind, "must be object if x-kubernetes-embedded-resource is true"));
    } else if kind.is_empty()
        && !flag(schema, "x-kubernetes-int-or-string")
        && !flag(schema, "x-kubernetes-preserve-unknown-fields")
    {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(path, detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid_str(path, kind, "must be object at the root"));
    }
}

pub(super) fn required_or_invalid(path: &Path, value: &str, detail: &str) -> FieldError {
    match value {
        "" => FieldError::required(path, detail),
        value => FieldError::invalid_str(path, value, detail),
    }
}

/// What a schema says of the fields that each object has; of its own metadata no more than how it is named.
fn metadata(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let checked = level == Level::Root || flag(schema, "x-kubernetes-embedded-resource");
    let property =
        |name: &str| meta::at(schema, &["properties", name]).map(|it| (it, path.child("properties").key(name)));
    for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        if let Some((property, path)) = property(name).filter(|_| checked) {
            let kind = meta::text(property, &["type"]);
            if kind != wanted {
                errors.push(FieldError::invalid_str(&path.child("type"), kind, format!("must be {wanted}")));
            }
        }
    }
    let Some((metadata, path)) = property("metadata").filter(|_| level == Level::Root) else {
        return;
    };
    let named = fields(metadata).all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
    let allowed = |(name, value): (&String, &Value)| {
        matches!(name.as_str(), "type" | "properties" | "default") || is_empty(value)
    };
    if !named || !metadata.as_object().is_some_and(|it| it.iter().all(allowed)) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(&path, detail));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The two forms in which a field says that it is a number or a text, in which types may stand in junctors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IntOrString {
    No,
    InAnyOf,
    InFirstAllOf,
}

fn is_int_or_string(schema: &Value) -> IntOrString {
    let form = json!([{"type": "integer"}, {"type": "string"}]);
    if schema.get("anyOf") == Some(&form) {
        IntOrString::InAnyOf
    } else if meta::items(schema, &["allOf"]).first().and_then(|first| first.get("anyOf")) == Some(&form) {
        IntOrString::InFirstAllOf
    } else {
        IntOrString::No
    }
}

/// The rules for values of a node.
fn values(schema: &Value, form: IntOrString, path: &Path, errors: &mut ErrorList) {
    for name in JUNCTORS {
        if name == "anyOf" && form == IntOrString::InAnyOf {
            continue;
        }
        for (index, junctor) in meta::items(schema, &[name]).iter().enumerate() {
            let skips = name == "allOf" && index == 0 && form == IntOrString::InFirstAllOf;
            let below = if skips { IntOrString::InAnyOf } else { IntOrString::No };
            nested(junctor, below, &path.child(name).index(index), errors);
        }
    }
    if let Some(not) = object(schema, "not") {
        nested(not, IntOrString::No, &path.child("not"), errors);
    }
    let pattern = meta::text(schema, &["pattern"]);
    // Most schemas have none, and to compile even an empty one takes longer than all the rest.
    let fault =
        || go_regexp::fault(pattern).or_else(|| regex::Regex::new(pattern).err().map(|error| error.to_string()));
    if !pattern.is_empty()
        && let Some(fault) = fault()
    {
        let detail = format!("must be a valid regular expression, but isn't: {fault}");
        errors.push(FieldError::invalid_str(&path.child("pattern"), pattern, detail));
    }
}

/// What stands in a junctor: rules for values of fields that the schema around declares.
fn nested(schema: &Value, form: IntOrString, path: &Path, errors: &mut ErrorList) {
    values(schema, form, path, errors);
    if let Some(items) = object(schema, "items") {
        nested(items, IntOrString::No, &path.child("items"), errors);
    }
    for (name, field) in fields(schema) {
        nested(field, IntOrString::No, &path.child("properties").key(name), errors);
    }
    for (name, wanted) in NOT_NESTED {
        let empty = match name {
            "default" | "additionalProperties" | "x-kubernetes-list-type" | "x-kubernetes-map-type" => {
                schema.get(name).is_none_or(Value::is_null)
            }
            name => schema.get(name).is_none_or(is_empty),
        };
        if !empty {
            errors.push(FieldError::forbidden(&path.child(name), format!("must be {wanted} to be structural")));
        }
    }
    if meta::at(schema, &["properties", "metadata"]).is_some() {
        let path = path.child("properties").key("metadata");
        errors.push(FieldError::forbidden(&path, "must not be specified in a nested context"));
    }
}

/// Whether what the junctors of `rules` speak of is declared in `schema`; the places of both are given.
fn complete(rules: &Value, schema: &Value, (declared, said): (&Path, &Path), errors: &mut ErrorList) {
    for name in JUNCTORS {
        for (index, junctor) in meta::items(rules, &[name]).iter().enumerate() {
            complete_nested(junctor, schema, (declared, &said.child(name).index(index)), errors);
        }
    }
    if let Some(not) = object(rules, "not") {
        complete_nested(not, schema, (declared, &said.child("not")), errors);
    }
}

fn complete_nested(rules: &Value, schema: &Value, (declared, said): (&Path, &Path), errors: &mut ErrorList) {
    complete(rules, schema, (declared, said), errors);
    let items =
        object(rules, "items").map(|items| (items, schema.get("items"), declared.child("items"), said.child("items")));
    let fields = fields(rules).map(|(name, field)| {
        let below = |path: &Path| path.child("properties").key(name);
        (field, meta::at(schema, &["properties", name]), below(declared), below(said))
    });
    for (rules, schema, declared, said) in items.into_iter().chain(fields) {
        match schema {
            Some(schema) => complete_nested(rules, schema, (&declared, &said), errors),
            None => {
                let detail = format!("because it is defined in {}", said.as_str());
                errors.push(FieldError::required(&declared, detail));
            }
        }
    }
}
