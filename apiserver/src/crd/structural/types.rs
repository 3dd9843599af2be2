//! The type of custom objects, for decoding, patches and server-side apply.

use std::sync::Arc;

use steersman_machinery::schema::builtin;
use steersman_machinery::schema::{Field, ListKind, ListType, MapType, Schema, StructType, Type};

use super::{Additional, Structural};
use crate::registry::resource::ObjectType;

/// The definition of metadata in the built-in schema.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The type of the objects of a schema.
pub fn object_type(schema: &Structural) -> ObjectType {
    let mut builder = Builder::default();
    builder.import_metadata();
    let root = builder.resource(schema);
    ObjectType { schema: Arc::new(builder.schema), root }
}

#[derive(Default)]
struct Builder {
    schema: Schema,
    metadata: Option<Type>,
}

impl Builder {
    /// Copies the definition of metadata, and those that it refers to, from the built-in schema.
    fn import_metadata(&mut self) {
        self.metadata = builtin::definition(OBJECT_META).map(|id| self.import(&Type::Struct(id)));
    }

    fn import(&mut self, ty: &Type) -> Type {
        match ty {
            Type::Struct(id) => {
                let mut definition = builtin::schema().structs[*id].clone();
                if let Some(at) = self.schema.structs.iter().position(|it| it.name == definition.name) {
                    return Type::Struct(at);
                }
                let at = self.schema.structs.len();
                self.schema.structs.push(StructType { name: definition.name.clone(), ..StructType::default() });
                for field in &mut definition.fields {
                    field.ty = self.import(&field.ty);
                }
                self.schema.structs[at] = definition;
                Type::Struct(at)
            }
            Type::List(list) => {
                let items = self.import(&list.items);
                Type::List(Box::new(ListType { items, kind: list.kind.clone() }))
            }
            Type::Map(map) => {
                let values = self.import(&map.values);
                Type::Map(Box::new(MapType { values, atomic: map.atomic }))
            }
            scalar => scalar.clone(),
        }
    }

    /// An object with apiVersion, kind and metadata.
    fn resource(&mut self, schema: &Structural) -> Type {
        let mut fields = self.fields(schema);
        fields.retain(|field| !super::prune::is_implied(&field.name));
        let implied = [
            ("apiVersion", Type::String),
            ("kind", Type::String),
            ("metadata", self.metadata.clone().unwrap_or(Type::FreeForm)),
        ];
        fields.extend(implied.map(|(name, ty)| Field { name: name.to_owned(), ty, ..Field::default() }));
        self.push(fields, schema)
    }

    fn fields(&mut self, schema: &Structural) -> Vec<Field> {
        let field = |(name, schema): (&String, &Structural), ty: Type, required: &[String]| Field {
            name: name.clone(),
            ty,
            required: required.contains(name),
            default: schema.default.clone(),
            ..Field::default()
        };
        let mut fields = Vec::with_capacity(schema.properties.len());
        for entry in &schema.properties {
            let ty = self.ty(entry.1);
            fields.push(field(entry, ty, &schema.rules.required));
        }
        fields
    }

    fn push(&mut self, mut fields: Vec<Field>, schema: &Structural) -> Type {
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        self.schema.structs.push(StructType {
            fields,
            atomic: schema.atomic_map,
            preserve_unknown: schema.preserve_unknown || matches!(schema.additional, Additional::Any),
            ..StructType::default()
        });
        Type::Struct(self.schema.structs.len() - 1)
    }

    fn ty(&mut self, schema: &Structural) -> Type {
        if schema.embedded {
            return self.resource(schema);
        }
        if schema.int_or_string {
            return Type::IntOrString;
        }
        match schema.ty.as_str() {
            "object" => self.object(schema),
            "array" => self.list(schema),
            "string" => Type::String,
            "integer" => Type::Int64,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            _ => Type::FreeForm,
        }
    }

    fn object(&mut self, schema: &Structural) -> Type {
        match &schema.additional {
            Additional::Schema(values) if schema.properties.is_empty() => {
                let values = self.ty(values);
                Type::Map(Box::new(MapType { values, atomic: schema.atomic_map }))
            }
            _ if schema.properties.is_empty() && schema.preserve_unknown && !schema.atomic_map => Type::FreeForm,
            _ => {
                let fields = self.fields(schema);
                self.push(fields, schema)
            }
        }
    }

    fn list(&mut self, schema: &Structural) -> Type {
        let items = schema.items.as_deref().map_or(Type::FreeForm, |items| self.ty(items));
        let kind = match schema.list_type.as_str() {
            "set" => ListKind::Set,
            "map" => ListKind::Map(schema.list_map_keys.clone()),
            _ => ListKind::Atomic,
        };
        Type::List(Box::new(ListType { items, kind }))
    }
}
