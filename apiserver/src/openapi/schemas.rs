//! Definitions: what the schema table knows of types, in the words of OpenAPI.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use steersman_machinery::group::{GroupVersion, GroupVersionKind};
use steersman_machinery::schema::{Empty, Field, ListKind, PatchStrategy, Schema, StructId, StructType, Type, builtin};

use super::texts::Texts;
use super::{DELETE_OPTIONS, Dialect, LIST_META, PATCH, WATCH_EVENT, definition_name, gvk_value, published};
use crate::registry::resource::Resource;

const JSON: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON";
const JSON_SCHEMA_OR_ARRAY: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray";
const JSON_SCHEMA_OR_BOOL: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool";
const FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// Collects definitions, each with all that it refers to.
pub(super) struct Schemas<'a> {
    dialect: Dialect,
    texts: &'a Texts,
    /// The group versions of the document: `DeleteOptions` and `WatchEvent` are kinds of each.
    group_versions: BTreeSet<GroupVersion>,
    definitions: Map<String, Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(
        dialect: Dialect,
        texts: &'a Texts,
        group_versions: impl IntoIterator<Item = GroupVersion>,
    ) -> Self {
        let mut group_versions: BTreeSet<_> = group_versions.into_iter().collect();
        group_versions.insert(GroupVersion::new("", "v1"));
        Self { dialect, texts, group_versions, definitions: Map::new() }
    }

    /// What documents say.
    pub(super) fn texts(&self) -> &'a Texts {
        self.texts
    }

    /// All definitions that were asked for, and what they refer to.
    pub(super) fn into_definitions(self) -> Value {
        self.definitions.into()
    }

    /// The definition of a resource's objects.
    pub(super) fn object(&mut self, resource: &Resource) -> String {
        let name = definition_name(resource);
        if self.definitions.contains_key(&name) {
            return name;
        }
        if let (false, Type::Struct(id)) = (resource.custom, &resource.object_type.root) {
            self.definition(&resource.object_type.schema, *id);
            return name;
        }
        self.named(super::OBJECT_META);
        let mut schema = match &resource.published_schema {
            Some(schema) => published::schema(schema, self.dialect),
            None => self.bare(&resource.object_type.schema, &resource.object_type.root),
        };
        let bare = self.dialect == Dialect::V2 && resource.published_schema.as_deref().is_some_and(published::is_open);
        if !bare {
            published::add_type_and_metadata(&mut schema, self.dialect, self.texts);
        }
        schema["x-kubernetes-group-version-kind"] = json!([gvk_value(&resource.gvk())]);
        let selectable = resource.strategy.selectable_fields(&Value::Null);
        if !selectable.is_empty() {
            let fields = selectable.iter().map(|(name, _)| json!({"fieldPath": name}));
            schema["x-kubernetes-selectable-fields"] = fields.collect();
        }
        self.definitions.insert(name.clone(), schema);
        name
    }

    /// The definition of lists of a resource's objects.
    pub(super) fn list(&mut self, resource: &Resource) -> String {
        let gvk = GroupVersionKind::new(&resource.group, &resource.version, &resource.list_kind);
        if let (false, Some(name)) = (resource.custom, self.kind(&gvk)) {
            return name;
        }
        let object = self.object(resource);
        let name = match object.strip_suffix(&resource.kind) {
            Some(prefix) => format!("{prefix}{}", resource.list_kind),
            None => format!("{object}List"),
        };
        self.named(LIST_META);
        let more = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
        let described = |mut schema: Value, text: &str| {
            schema["description"] = text.into();
            schema
        };
        let type_meta =
            |field: &str| json!({"type": "string", "description": self.texts.of_field(super::OBJECT_WITH_TYPE, field)});
        let metadata = format!("Standard list metadata. {more}#types-kinds");
        let list = json!({
            "description": format!("{} is a list of {}", resource.list_kind, resource.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": type_meta("apiVersion"),
                "kind": type_meta("kind"),
                "metadata": described(self.dialect.wrapped_reference(LIST_META), &metadata),
                "items": {
                    "type": "array",
                    "description": format!("List of {}. {more}", resource.name),
                    "items": self.dialect.reference(&object),
                },
            },
            "x-kubernetes-group-version-kind": [gvk_value(&gvk)],
        });
        self.definitions.insert(name.clone(), list);
        name
    }

    /// The definition of a built-in kind; `None` if the table has none, as for the options of `exec`.
    pub(super) fn kind(&mut self, kind: &GroupVersionKind) -> Option<String> {
        match builtin::type_of(kind)? {
            Type::Struct(id) => Some(self.definition(builtin::schema(), id)),
            _ => None,
        }
    }

    /// The definition of that full name.
    pub(super) fn named(&mut self, name: &str) -> String {
        if let Some(id) = builtin::definition(name) {
            return self.definition(builtin::schema(), id);
        }
        if name == PATCH {
            let said = self.texts.of_type(name);
            self.definitions.insert(name.to_owned(), json!({"description": said, "type": "object"}));
        }
        name.to_owned()
    }

    fn definition(&mut self, schema: &Schema, id: StructId) -> String {
        let definition = &schema.structs[id];
        let name = definition.name.clone();
        if !self.definitions.contains_key(&name) {
            // Types refer to themselves (`JSONSchemaProps`): the name has to be there before its fields are looked at.
            self.definitions.insert(name.clone(), Value::Null);
            let value = self.structure(schema, definition);
            self.definitions.insert(name.clone(), value);
        }
        name
    }

    fn structure(&mut self, schema: &Schema, definition: &StructType) -> Value {
        let mut value = Map::from_iter([("type".to_owned(), "object".into())]);
        let said = self.texts.of_type(&definition.name);
        if !said.is_empty() {
            value.insert("description".into(), said.into());
        }
        let required: Vec<_> = definition.fields.iter().filter(|it| it.required).map(|it| it.name.as_str()).collect();
        if !required.is_empty() {
            value.insert("required".into(), required.into());
        }
        if !definition.fields.is_empty() {
            let properties: Map<_, _> = definition
                .fields
                .iter()
                .map(|field| (field.name.clone(), self.property(schema, definition, field)))
                .collect();
            value.insert("properties".into(), properties.into());
        }
        if definition.atomic {
            value.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if definition.preserve_unknown {
            value.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
        }
        let kinds = self.kinds(definition);
        if !kinds.is_empty() {
            value.insert("x-kubernetes-group-version-kind".into(), kinds.into());
        }
        value.into()
    }

    fn kinds(&self, definition: &StructType) -> Vec<Value> {
        if [DELETE_OPTIONS, WATCH_EVENT].contains(&definition.name.as_str()) {
            let kind = definition.name.rsplit('.').next().unwrap_or_default();
            return self.group_versions.iter().map(|it| gvk_value(&it.with_kind(kind))).collect();
        }
        definition.kinds.iter().map(gvk_value).collect()
    }

    /// A field: its type, and what says how it merges.
    fn property(&mut self, schema: &Schema, owner: &StructType, field: &Field) -> Value {
        let mut value = match &field.ty {
            Type::Any if !owner.name.is_empty() => {
                let name = self.anything(&owner.name, &field.name);
                self.dialect.wrapped_reference(name)
            }
            Type::Struct(id) if !schema.structs[*id].name.is_empty() => {
                let name = self.definition(schema, *id);
                self.dialect.wrapped_reference(&name)
            }
            ty => match self.shared(ty) {
                Some(name) => self.dialect.wrapped_reference(name),
                None => self.bare(schema, ty),
            },
        };
        let said = self.texts.of_field(&owner.name, &field.name);
        if !said.is_empty() {
            value["description"] = said.into();
        }
        self.texts.add_values(&owner.name, &field.name, &mut value);
        if field.atomic {
            value["x-kubernetes-map-type"] = "atomic".into();
        }
        if let Some(default) = self.default_of(field) {
            value["default"] = default;
        }
        if let Some(strategy) = patch_strategy(&field.patch) {
            value["x-kubernetes-patch-strategy"] = strategy.into();
        }
        if let Some(key) = &field.patch.merge_key {
            value["x-kubernetes-patch-merge-key"] = key.as_str().into();
        }
        value
    }

    /// The default of a field: that of the table, or else what Go writes for a value that is always written.
    fn default_of(&self, field: &Field) -> Option<Value> {
        if self.dialect == Dialect::V2 {
            return None;
        }
        let zero = || match (field.empty, &field.ty) {
            (Empty::Always, Type::Struct(_)) => Some(json!({})),
            (Empty::Always, Type::String) => Some("".into()),
            (Empty::Always, Type::Int32 | Type::Int64) => Some(0.into()),
            (Empty::Always, Type::Boolean) => Some(false.into()),
            _ => None,
        };
        field.default.clone().or_else(zero)
    }

    /// A type where nothing stands beside it: as the items of a list or the values of a map.
    fn bare(&mut self, schema: &Schema, ty: &Type) -> Value {
        if let Some(name) = self.shared(ty) {
            return self.dialect.reference(name);
        }
        match ty {
            Type::Struct(id) if schema.structs[*id].name.is_empty() => self.structure(schema, &schema.structs[*id]),
            Type::Struct(id) => {
                let name = self.definition(schema, *id);
                self.dialect.reference(&name)
            }
            Type::List(list) => {
                let mut value = json!({"type": "array", "items": self.bare(schema, &list.items)});
                let (kind, keys) = match &list.kind {
                    ListKind::Atomic => ("atomic", None),
                    ListKind::Set => ("set", None),
                    ListKind::Map(keys) => ("map", Some(keys)),
                };
                value["x-kubernetes-list-type"] = kind.into();
                if let Some(keys) = keys {
                    value["x-kubernetes-list-map-keys"] = keys.as_slice().into();
                }
                value
            }
            Type::Map(map) => {
                let mut value = json!({"type": "object", "additionalProperties": self.bare(schema, &map.values)});
                if map.atomic {
                    value["x-kubernetes-map-type"] = "atomic".into();
                }
                value
            }
            scalar => scalar_schema(scalar),
        }
    }

    /// What a field that takes anything refers to. Makes it. The table knows one type for all of these.
    fn anything(&mut self, owner: &str, field: &str) -> &'static str {
        let (name, value) = match (owner.ends_with(".JSONSchemaProps"), field) {
            (true, "items") => (JSON_SCHEMA_OR_ARRAY, anything()),
            (true, "additionalItems" | "additionalProperties") => (JSON_SCHEMA_OR_BOOL, anything()),
            (true, _) => (JSON, anything()),
            (false, "fieldsV1") => (FIELDS, json!({"type": "object"})),
            (false, _) => (RAW_EXTENSION, json!({"type": "object"})),
        };
        self.add(name, value);
        name
    }

    /// Adds a definition with what is said of it.
    fn add(&mut self, name: &str, mut value: Value) {
        let said = self.texts.of_type(name);
        if !said.is_empty() {
            value["description"] = said.into();
        }
        self.definitions.entry(name).or_insert(value);
    }

    /// The scalars that have a definition of their own. Makes it.
    fn shared(&mut self, ty: &Type) -> Option<&'static str> {
        let v3 = self.dialect == Dialect::V3;
        let (name, value) = match ty {
            Type::Time => {
                ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", json!({"type": "string", "format": "date-time"}))
            }
            Type::MicroTime => {
                ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", json!({"type": "string", "format": "date-time"}))
            }
            Type::Quantity if v3 => (
                "io.k8s.apimachinery.pkg.api.resource.Quantity",
                json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            ),
            Type::Quantity => ("io.k8s.apimachinery.pkg.api.resource.Quantity", json!({"type": "string"})),
            Type::IntOrString if v3 => (
                "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            ),
            Type::IntOrString => (
                "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
                json!({"type": "string", "format": "int-or-string"}),
            ),
            _ => return None,
        };
        self.add(name, value);
        Some(name)
    }
}

fn scalar_schema(ty: &Type) -> Value {
    match ty {
        Type::String => json!({"type": "string"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Number => json!({"type": "number", "format": "double"}),
        Type::Boolean => json!({"type": "boolean"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::FreeForm => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        _ => anything(),
    }
}

/// Any value at all. It must not be empty: kubectl takes an empty schema for an absent one.
fn anything() -> Value {
    json!({"x-kubernetes-preserve-unknown-fields": true})
}

fn patch_strategy(patch: &PatchStrategy) -> Option<String> {
    let parts: Vec<_> = [(patch.merge, "merge"), (patch.replace, "replace"), (patch.retain_keys, "retainKeys")]
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, name)| name)
        .collect();
    if parts.is_empty() { None } else { Some(parts.join(",")) }
}
