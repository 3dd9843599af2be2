//! The schema of custom resources: an `openAPIV3Schema` read into a tree that prunes, defaults and validates objects and
//! that gives their type to the patch algebras.
//! Source: Kubernetes doc "CustomResourceDefinition", section "Specifying a structural schema";
//! `k8s.io/apiextensions-apiserver/pkg/apiserver/schema`.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;
use steersman_machinery::meta;

mod default;
mod prune;
mod types;

pub use default::default;
pub use prune::prune;
pub use types::object_type;

/// A schema node. Of a schema in `allOf`, `anyOf`, `oneOf` or `not` only the rules for values and the nested schemas
/// are set.
#[derive(Clone, Debug, Default)]
pub struct Structural {
    /// `type`; empty if there is none.
    pub ty: String,
    /// Whether null is a value.
    pub nullable: bool,
    /// What stands for an absent value.
    pub default: Option<Value>,
    /// The declared fields.
    pub properties: BTreeMap<String, Structural>,
    /// What other fields may be there.
    pub additional: Additional,
    /// The items of a list.
    pub items: Option<Box<Structural>>,
    /// `x-kubernetes-preserve-unknown-fields`: fields that are not declared are kept.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`: the value is an object with apiVersion, kind and metadata.
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-list-type`; empty if not given.
    pub list_type: String,
    /// `x-kubernetes-list-map-keys`.
    pub list_map_keys: Vec<String>,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic_map: bool,
    /// The rules for values.
    pub rules: Rules,
}

/// Which fields besides the declared ones an object may have.
#[derive(Clone, Debug, Default)]
pub enum Additional {
    /// None: they are pruned.
    #[default]
    None,
    /// Any (`additionalProperties: true`).
    Any,
    /// Those whose values fit this schema: the object is a map.
    Schema(Box<Structural>),
}

/// The rules for values.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `format`; empty if there is none.
    pub format: String,
    /// `enum`; empty if there is none.
    pub one_of_values: Vec<Value>,
    /// `maximum` and whether it is exclusive.
    pub maximum: Option<(Value, bool)>,
    /// `minimum` and whether it is exclusive.
    pub minimum: Option<(Value, bool)>,
    /// `multipleOf`.
    pub multiple_of: Option<Value>,
    /// `minLength`, `maxLength`: in characters.
    pub length: Bounds,
    /// `pattern` as it is written, and compiled.
    pub pattern: Option<(String, Regex)>,
    /// `minItems`, `maxItems`.
    pub items: Bounds,
    /// `minProperties`, `maxProperties`.
    pub properties: Bounds,
    /// `required`.
    pub required: Vec<String>,
    /// `uniqueItems`.
    pub unique_items: bool,
    /// `allOf`.
    pub all_of: Vec<Structural>,
    /// `anyOf`.
    pub any_of: Vec<Structural>,
    /// `oneOf`.
    pub one_of: Vec<Structural>,
    /// `not`.
    pub not: Option<Box<Structural>>,
}

/// The least and the greatest number of something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// At least so many.
    pub min: Option<usize>,
    /// At most so many.
    pub max: Option<usize>,
}

impl Structural {
    /// Reads a schema. What it does not know or what has the wrong form is left out: definitions are validated when they
    /// are written.
    pub fn parse(schema: &Value) -> Self {
        let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or_default();
        let text = |name: &str| meta::text(schema, &[name]).to_owned();
        let int_or_string = flag("x-kubernetes-int-or-string");
        Self {
            ty: text("type"),
            nullable: flag("nullable"),
            default: schema.get("default").filter(|value| !value.is_null()).cloned(),
            properties: children(schema, "properties"),
            additional: match schema.get("additionalProperties") {
                Some(Value::Bool(true)) => Additional::Any,
                Some(schema @ Value::Object(_)) => Additional::Schema(Box::new(Self::parse(schema))),
                _ => Additional::None,
            },
            items: schema.get("items").filter(|items| items.is_object()).map(|items| Box::new(Self::parse(items))),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string,
            list_type: text("x-kubernetes-list-type"),
            list_map_keys: texts(schema, "x-kubernetes-list-map-keys"),
            atomic_map: text("x-kubernetes-map-type") == "atomic",
            rules: Rules::parse(schema),
        }
    }

    /// The schema of the field or map entry of that name; `None` if it is not declared.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Additional::Schema(schema) => Some(schema),
            _ => None,
        })
    }

    /// Whether the value may be null although nothing else is said about it.
    fn takes_null(&self) -> bool {
        self.nullable || (self.ty.is_empty() && !self.int_or_string && self.preserve_unknown)
    }
}

impl Rules {
    fn parse(schema: &Value) -> Self {
        let flag = |name: &str| schema.get(name).and_then(Value::as_bool).unwrap_or_default();
        let number = |name: &str| schema.get(name).filter(|value| value.is_number()).cloned();
        let bounds = |min: &str, max: &str| Bounds { min: count(schema, min), max: count(schema, max) };
        let list = |name: &str| meta::items(schema, &[name]).iter().map(Structural::parse).collect();
        let pattern = meta::text(schema, &["pattern"]);
        Self {
            format: meta::text(schema, &["format"]).to_owned(),
            one_of_values: meta::items(schema, &["enum"]).to_vec(),
            maximum: number("maximum").map(|value| (value, flag("exclusiveMaximum"))),
            minimum: number("minimum").map(|value| (value, flag("exclusiveMinimum"))),
            multiple_of: number("multipleOf"),
            length: bounds("minLength", "maxLength"),
            pattern: Some(pattern)
                .filter(|pattern| !pattern.is_empty())
                .and_then(|pattern| Some((pattern.to_owned(), Regex::new(pattern).ok()?))),
            items: bounds("minItems", "maxItems"),
            properties: bounds("minProperties", "maxProperties"),
            required: texts(schema, "required"),
            unique_items: flag("uniqueItems"),
            all_of: list("allOf"),
            any_of: list("anyOf"),
            one_of: list("oneOf"),
            not: schema.get("not").filter(|not| not.is_object()).map(|not| Box::new(Structural::parse(not))),
        }
    }
}

fn children(schema: &Value, name: &str) -> BTreeMap<String, Structural> {
    let map = schema.get(name).and_then(Value::as_object);
    map.into_iter().flatten().map(|(name, schema)| (name.clone(), Structural::parse(schema))).collect()
}

fn texts(schema: &Value, name: &str) -> Vec<String> {
    meta::items(schema, &[name]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn count(schema: &Value, name: &str) -> Option<usize> {
    schema.get(name)?.as_u64().and_then(|count| usize::try_from(count).ok())
}

#[cfg(test)]
mod tests;
