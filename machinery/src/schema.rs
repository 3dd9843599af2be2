//! The shape of objects: which fields a kind has, of which types, and how lists and maps merge. One form serves the
//! built-in kinds ([`builtin`]) and custom resources, so that decoding and the patch algebras are written once.
//!
//! A [`Schema`] is an arena of [`StructType`]s; a [`TypeRef`] is a cheap, copyable handle on one type in it.
//! Source: the OpenAPI extensions `x-kubernetes-list-type`, `-list-map-keys`, `-map-type`, `-patch-strategy` and
//! `-patch-merge-key` (Kubernetes doc "Server-Side Apply", section "Merge strategy").

use serde_json::Value;

use crate::group::GroupVersionKind;

pub mod builtin;

/// The index of a [`StructType`] in its [`Schema`].
pub type StructId = usize;

/// A set of types that may refer to each other.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// The structs; a [`StructId`] indexes this.
    pub structs: Vec<StructType>,
}

/// An object with known fields.
#[derive(Clone, Debug, Default)]
pub struct StructType {
    /// The name of the definition, such as `io.k8s.api.core.v1.Pod`; empty for a struct inside a custom resource.
    pub name: String,
    /// The fields, sorted by name.
    pub fields: Vec<Field>,
    /// Whether the whole struct has one owner (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Whether fields that are not declared are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// The kinds that objects of this type have, if it is a top-level type.
    pub kinds: Vec<GroupVersionKind>,
}

/// A field of a struct. Make one with `..Field::default()`, so that a fact added later does not break you.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// The name in JSON.
    pub name: String,
    /// The type of its value.
    pub ty: Type,
    /// Whether it must be present.
    pub required: bool,
    /// Whether the value has one owner although its type by itself would not be atomic.
    pub atomic: bool,
    /// How a strategic merge patch treats it.
    pub patch: PatchStrategy,
    /// What is written when the value is empty.
    pub empty: Empty,
    /// The value that stands for an absent one, where server-side apply needs it (keys of list items).
    pub default: Option<Value>,
    /// The Go type as decoding errors name it, where it can't be told from [`Field::ty`]: `v1.PullPolicy`.
    pub go_type: Option<String>,
}

/// What Go writes for a field whose value is the zero value of its type: `""`, `0`, `false`, no items, no fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Empty {
    /// Nothing: an empty value and an absent one are the same (`omitempty`).
    Omit,
    /// What was given: an empty value differs from an absent one (a pointer with `omitempty`).
    #[default]
    Keep,
    /// The empty value, even if the field was absent: `""`, `0`, `false`, `{}`; `null` for lists, maps, bytes and times.
    Always,
    /// `null` if the field was absent, else what was given (a pointer without `omitempty`).
    Null,
}

/// How a strategic merge patch treats a field. The default: maps merge, lists are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// `merge`: the items of the list merge, by [`PatchStrategy::merge_key`] or, if there is none, by value.
    pub merge: bool,
    /// `replace`: the value is replaced even if it is a map.
    pub replace: bool,
    /// `retainKeys`: `$retainKeys` lists the only keys that stay.
    pub retain_keys: bool,
    /// The field that identifies an item.
    pub merge_key: Option<String>,
}

/// The type of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// A text.
    String,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A floating point number.
    Number,
    /// True or false.
    Boolean,
    /// Bytes, in base64.
    Bytes,
    /// `metav1.Time`: RFC 3339, whole seconds.
    Time,
    /// `metav1.MicroTime`: RFC 3339, six digits.
    MicroTime,
    /// `resource.Quantity`: a text or a number; canonical when written.
    Quantity,
    /// A whole number or a text.
    IntOrString,
    /// Any JSON, owned as a whole (`RawExtension`, `JSON`, `FieldsV1`).
    #[default]
    Any,
    /// An object without declared fields: maps in it merge, lists are atomic.
    FreeForm,
    /// An object with declared fields.
    Struct(StructId),
    /// A list.
    List(Box<ListType>),
    /// A map from texts.
    Map(Box<MapType>),
}

/// The type of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListType {
    /// The type of the items.
    pub items: Type,
    /// How two versions of the list merge.
    pub kind: ListKind,
}

/// How two versions of a list merge under server-side apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    /// The list has one owner.
    #[default]
    Atomic,
    /// Scalars, each of which may stand once; each has its owners.
    Set,
    /// Objects identified by these of their fields, in the order declared; each has its owners.
    Map(Vec<String>),
}

/// The type of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapType {
    /// The type of the values.
    pub values: Type,
    /// Whether the whole map has one owner.
    pub atomic: bool,
}

/// A handle on a type in a [`Schema`].
#[derive(Clone, Copy, Debug)]
pub struct TypeRef<'a> {
    schema: &'a Schema,
    ty: &'a Type,
    atomic: bool,
}

/// A handle on a field of a struct.
#[derive(Clone, Copy, Debug)]
pub struct FieldRef<'a> {
    schema: &'a Schema,
    field: &'a Field,
}

impl Schema {
    /// A handle on a type of this schema.
    pub fn type_ref<'a>(&'a self, ty: &'a Type) -> TypeRef<'a> {
        TypeRef { schema: self, ty, atomic: false }
    }
}

impl<'a> TypeRef<'a> {
    /// The type itself.
    pub fn ty(self) -> &'a Type {
        self.ty
    }

    /// Whether a value of this type has one owner as a whole: scalars, atomic lists, maps and structs, and [`Type::Any`].
    pub fn is_atomic(self) -> bool {
        self.atomic
            || match self.ty {
                Type::Struct(id) => self.schema.structs[*id].atomic,
                Type::List(list) => list.kind == ListKind::Atomic,
                Type::Map(map) => map.atomic,
                Type::FreeForm => false,
                _ => true,
            }
    }

    /// The struct, if it is one.
    pub fn as_struct(self) -> Option<&'a StructType> {
        match self.ty {
            Type::Struct(id) => Some(&self.schema.structs[*id]),
            _ => None,
        }
    }

    /// The declared field of that name, if this is a struct and has one.
    pub fn field(self, name: &str) -> Option<FieldRef<'a>> {
        let fields = &self.as_struct()?.fields;
        let at = fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()?;
        Some(FieldRef { schema: self.schema, field: &fields[at] })
    }

    /// The declared fields, sorted by name; none if this is not a struct.
    pub fn fields(self) -> impl Iterator<Item = FieldRef<'a>> {
        let schema = self.schema;
        self.as_struct().into_iter().flat_map(|it| &it.fields).map(move |field| FieldRef { schema, field })
    }

    /// The type of what is at `name`: a field of a struct, the values of a map, free-form inside free-form.
    pub fn member(self, name: &str) -> Option<TypeRef<'a>> {
        match self.ty {
            Type::Struct(id) => match self.field(name) {
                Some(field) => Some(field.type_ref()),
                None if self.schema.structs[*id].preserve_unknown => Some(self.schema.type_ref(&Type::FreeForm)),
                None => None,
            },
            Type::Map(map) => Some(self.schema.type_ref(&map.values)),
            Type::FreeForm => Some(self.schema.type_ref(&Type::FreeForm)),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(self) -> Option<&'a ListType> {
        match self.ty {
            Type::List(list) => Some(list),
            _ => None,
        }
    }

    /// The type of the items, if this is a list.
    pub fn items(self) -> Option<TypeRef<'a>> {
        self.as_list().map(|list| self.schema.type_ref(&list.items))
    }

    /// The type of the values, if this is a map.
    pub fn values(self) -> Option<TypeRef<'a>> {
        match self.ty {
            Type::Map(map) => Some(self.schema.type_ref(&map.values)),
            _ => None,
        }
    }
}

impl<'a> FieldRef<'a> {
    /// The field itself.
    pub fn field(self) -> &'a Field {
        self.field
    }

    /// The type of its value.
    pub fn type_ref(self) -> TypeRef<'a> {
        TypeRef { schema: self.schema, ty: &self.field.ty, atomic: self.field.atomic }
    }
}
