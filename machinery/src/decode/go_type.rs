//! The names of Go types, as decoding errors show them.

use crate::schema::{Type, TypeRef};

/// The Go type of values of that type: `int32`, `[]v1.Container`, `map[string]string`.
pub(super) fn name(ty: TypeRef<'_>) -> String {
    let fixed = match ty.ty() {
        Type::String => "string",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Number => "float64",
        Type::Boolean => "bool",
        Type::Bytes => "[]uint8",
        Type::Time => "v1.Time",
        Type::MicroTime => "v1.MicroTime",
        Type::Quantity => "resource.Quantity",
        Type::IntOrString => "intstr.IntOrString",
        Type::Any => "runtime.RawExtension",
        Type::FreeForm => "map[string]interface {}",
        Type::Struct(_) => return ty.as_struct().map_or_else(String::new, |it| short(&it.name).to_owned()),
        Type::List(_) => return format!("[]{}", ty.items().map_or_else(String::new, name)),
        Type::Map(_) => return format!("map[string]{}", ty.values().map_or_else(String::new, name)),
    };
    fixed.to_owned()
}

/// The last two parts of a definition's name: `v1.Pod`.
fn short(name: &str) -> &str {
    let start = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
    &name[start..]
}

/// The last part of a definition's name: `Pod`.
pub(super) fn struct_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
