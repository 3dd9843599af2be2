//! Types of objects from their schemas, with what the schema says about sizes.
//!
//! Source: `k8s.io/apiserver/pkg/cel/common/schemas.go` (`SchemaDeclType`), `pkg/cel/types.go` and `limits.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::escaping::escape;
use crate::types::Type;

/// The largest request; bounds sizes for which the schema gives no limit.
const MAX_REQUEST_BYTES: u64 = 3 * 1024 * 1024;
const MAX_TIME_BYTES: u64 = 32;
const DATE_BYTES: u64 = 12;

/// A type with what its schema declares: fields, sizes, how lists are identified.
#[derive(Clone, Debug)]
pub struct DeclaredType(pub(crate) Arc<Node>);

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ty: Type,
    pub(crate) shape: Shape,
    /// The largest size that a value may have: elements, entries or bytes. 0 where sizes have no meaning.
    pub(crate) max_elements: u64,
    min_bytes: u64,
}

#[derive(Debug)]
pub(crate) enum Shape {
    Scalar,
    List(DeclaredType, Identity),
    Map(DeclaredType),
    /// By the identifier that expressions use: the property's name and its type.
    Object(BTreeMap<String, (String, DeclaredType)>),
}

/// What makes two items of a list the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Position,
    Set,
    Keys(Vec<String>),
}

impl DeclaredType {
    /// The type of values of a structural schema, or `None` if expressions can't see such values at all. Objects in it are
    /// called `name`, and `name.field` deeper down. At the root of a resource (`root`), `apiVersion`, `kind`,
    /// `metadata.name` and `metadata.generateName` are always visible.
    pub fn from_schema(name: &str, schema: &Json, root: bool) -> Option<Self> {
        build(name, schema, root)
    }

    /// A type that no schema describes.
    pub fn plain(ty: Type) -> Self {
        Self(Arc::new(Node { ty, shape: Shape::Scalar, max_elements: 0, min_bytes: 1 }))
    }

    /// An object of these fields.
    pub fn object(name: &str, fields: impl IntoIterator<Item = (&'static str, DeclaredType)>) -> Self {
        let fields = fields.into_iter().map(|(field, ty)| (field.to_owned(), (field.to_owned(), ty))).collect();
        Self(Arc::new(Node { ty: Type::object(name), shape: Shape::Object(fields), max_elements: 0, min_bytes: 2 }))
    }

    /// An object of these fields, which no schema describes.
    pub fn record(name: &str, fields: impl IntoIterator<Item = (String, Type)>) -> Self {
        let fields = fields.into_iter().map(|(field, ty)| (field.clone(), (field, Self::plain(ty)))).collect();
        Self(Arc::new(Node { ty: Type::object(name), shape: Shape::Object(fields), max_elements: 0, min_bytes: 2 }))
    }

    /// A list of these.
    pub fn list(item: DeclaredType) -> Self {
        list(item, None, Identity::Position)
    }

    /// A map from texts to these.
    pub fn map(value: DeclaredType) -> Self {
        map(value, None)
    }

    /// An optional of these: what `oldSelf` is under `optionalOldSelf`.
    pub fn optional(inner: DeclaredType) -> Self {
        let ty = Type::optional(inner.ty().clone());
        // The estimator looks through: paths below `oldSelf` end at the type itself.
        Self(Arc::new(Node { ty, shape: Shape::Map(inner), max_elements: 0, min_bytes: 1 }))
    }

    /// The type as the checker sees it.
    pub fn ty(&self) -> &Type {
        &self.0.ty
    }

    /// The declared type of a property, by its name in JSON.
    pub fn property(&self, name: &str) -> Option<&DeclaredType> {
        match &self.0.shape {
            Shape::Object(fields) => fields.values().find(|(property, _)| property == name).map(|(_, ty)| ty),
            _ => None,
        }
    }

    /// The type of items or values.
    pub fn element(&self) -> Option<&DeclaredType> {
        match &self.0.shape {
            Shape::List(item, _) => Some(item),
            Shape::Map(value) => Some(value),
            _ => None,
        }
    }

    /// The largest number of items, entries or bytes that a value may have; 0 where sizes have no meaning. Limits on costs
    /// multiply the costs of rules about items by it.
    pub fn max_elements(&self) -> u64 {
        self.0.max_elements
    }

    /// The fewest bytes that a value takes in JSON. Limits on costs bound by it how often a value can stand in a request.
    pub fn min_bytes(&self) -> u64 {
        self.0.min_bytes
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self.0.shape, Shape::Object(_))
    }

    /// The property that a field of this object stands for and its type. Reserved words need no escaping.
    pub(crate) fn field(&self, identifier: &str) -> Option<(&str, &DeclaredType)> {
        let Shape::Object(fields) = &self.0.shape else { return None };
        let found = fields.get(identifier).or_else(|| match crate::escaping::is_reserved(identifier) {
            true => fields.get(&format!("__{identifier}__")),
            false => None,
        })?;
        Some((&found.0, &found.1))
    }

    /// All object types in it, for the checker.
    pub(crate) fn objects(&self, found: &mut BTreeMap<Arc<str>, DeclaredType>) {
        match &self.0.shape {
            Shape::Scalar => {}
            Shape::List(inner, _) | Shape::Map(inner) => inner.objects(found),
            Shape::Object(fields) => {
                if let Type::Object(name) = &self.0.ty {
                    found.insert(Arc::clone(name), self.clone());
                }
                for (_, ty) in fields.values() {
                    ty.objects(found);
                }
            }
        }
    }
}

fn scalar(ty: Type, min_bytes: u64, max_elements: u64) -> DeclaredType {
    DeclaredType(Arc::new(Node { ty, shape: Shape::Scalar, max_elements, min_bytes }))
}

fn list(item: DeclaredType, max: Option<u64>, identity: Identity) -> DeclaredType {
    let max_elements = max.unwrap_or((MAX_REQUEST_BYTES - 2) / (item.0.min_bytes + 1));
    let ty = Type::list(item.ty().clone());
    DeclaredType(Arc::new(Node { ty, shape: Shape::List(item, identity), max_elements, min_bytes: 2 }))
}

fn map(value: DeclaredType, max: Option<u64>) -> DeclaredType {
    // A key with its quotes, a colon and a comma beside the value.
    let max_elements = max.unwrap_or((MAX_REQUEST_BYTES - 2) / (value.0.min_bytes + 6));
    let ty = Type::map(Type::String, value.ty().clone());
    DeclaredType(Arc::new(Node { ty, shape: Shape::Map(value), max_elements, min_bytes: 2 }))
}

fn flag(schema: &Json, name: &str) -> bool {
    schema.get(name).and_then(Json::as_bool).unwrap_or_default()
}

fn text<'a>(schema: &'a Json, name: &str) -> &'a str {
    schema.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn limit(schema: &Json, name: &str) -> Option<u64> {
    let value = schema.get(name)?;
    value.as_u64().or_else(|| value.as_i64().map(|_| 0)).or_else(|| value.as_f64().map(|it| it.max(0.0) as u64))
}

fn build(name: &str, schema: &Json, root: bool) -> Option<DeclaredType> {
    if flag(schema, "x-kubernetes-int-or-string") {
        return Some(scalar(Type::Dyn, 1, MAX_REQUEST_BYTES - 2));
    }
    let embedded = |schema: &Json| flag(schema, "x-kubernetes-embedded-resource");
    if root {
        return object(name, &with_object_meta(schema));
    }
    match text(schema, "type") {
        "array" => {
            let items = schema.get("items")?;
            let item = build(&format!("{name}.@idx"), items, embedded(items))?;
            Some(list(item, limit(schema, "maxItems"), identity(schema)))
        }
        "object" => match schema.get("additionalProperties") {
            Some(values @ Json::Object(_)) => {
                let value = build(&format!("{name}.@elem"), values, embedded(values))?;
                Some(map(value, limit(schema, "maxProperties")))
            }
            _ => object(name, schema),
        },
        "string" => Some(string(schema)),
        "boolean" => Some(scalar(Type::Bool, 4, 0)),
        "number" => Some(scalar(Type::Double, 1, 0)),
        "integer" => Some(scalar(Type::Int, 1, 0)),
        _ => None,
    }
}

fn identity(schema: &Json) -> Identity {
    match text(schema, "x-kubernetes-list-type") {
        "set" => Identity::Set,
        "map" => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
            Identity::Keys(keys.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect())
        }
        _ => Identity::Position,
    }
}

fn with_object_meta(schema: &Json) -> Json {
    let mut schema = schema.clone();
    schema["type"] = json!("object");
    let text = json!({"type": "string"});
    let metadata = json!({"type": "object", "properties": {"name": text, "generateName": text}});
    if !schema.get("properties").is_some_and(Json::is_object) {
        schema["properties"] = json!({});
    }
    schema["properties"]["kind"] = text.clone();
    schema["properties"]["apiVersion"] = text;
    schema["properties"]["metadata"] = metadata;
    if let Json::Object(schema) = &mut schema {
        schema.remove("additionalProperties");
    }
    schema
}

fn object(name: &str, schema: &Json) -> Option<DeclaredType> {
    let required: Vec<&str> =
        schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let mut fields = BTreeMap::new();
    let mut min_bytes = 2;
    for (property, of) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let identifier = escape(property);
        let below = format!("{name}.{}", identifier.as_deref().unwrap_or(property));
        let Some(ty) = build(&below, of, flag(of, "x-kubernetes-embedded-resource")) else { continue };
        // What has a default may be left out of a request.
        if required.contains(&property.as_str()) && of.get("default").is_none_or(Json::is_null) {
            min_bytes += property.len() as u64 + ty.0.min_bytes + 4;
        }
        if let Some(identifier) = identifier {
            fields.insert(identifier, (property.clone(), ty));
        }
    }
    let ty = Type::object(name);
    Some(DeclaredType(Arc::new(Node { ty, shape: Shape::Object(fields), max_elements: 0, min_bytes })))
}

fn string(schema: &Json) -> DeclaredType {
    let max_length = limit(schema, "maxLength");
    match text(schema, "format") {
        "byte" => scalar(Type::Bytes, 2, max_length.unwrap_or(MAX_REQUEST_BYTES - 2)),
        "duration" => scalar(Type::Duration, 3, MAX_TIME_BYTES),
        "date" => scalar(Type::Timestamp, DATE_BYTES, DATE_BYTES),
        "date-time" => scalar(Type::Timestamp, 21, MAX_TIME_BYTES),
        _ => {
            let longest = || {
                let allowed = schema.get("enum").and_then(Json::as_array)?;
                allowed.iter().filter_map(Json::as_str).map(|it| it.len() as u64).max()
            };
            // A character has up to four bytes.
            let max = max_length.map(|it| it.saturating_mul(4)).or_else(longest).unwrap_or(MAX_REQUEST_BYTES - 2);
            scalar(Type::String, 2, max)
        }
    }
}
