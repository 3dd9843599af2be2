//! Values into the form of their type.

use serde_json::{Map, Value};

use super::parse::push_index;
use super::{Decoded, MAX_PROBLEMS, ObjectCount, TypeError, base64, go_type, time};
use crate::field::told;
use crate::quantity::{ParseQuantityError, Quantity};
use crate::schema::{Empty, Field, FieldRef, Type, TypeRef};

pub(super) fn run(mut value: Value, ty: TypeRef<'_>, kind: &str) -> Result<Decoded, TypeError> {
    let mut converter = Converter::default();
    let anonymous = ty.as_struct().is_some_and(|it| it.name.is_empty());
    let present = converter.value(&mut value, ty, anonymous.then_some(kind))?;
    match converter.fault {
        Some(fault) => Err(fault),
        None => Ok(Decoded { object: if present { value } else { zero(ty) }, unknown: converter.unknown }),
    }
}

/// The value that Go writes for a field of that type that was never set: `""`, `0`, `false`, an object with the fields
/// that are always written; null for lists, maps, bytes and times.
pub fn zero(ty: TypeRef<'_>) -> Value {
    match ty.ty() {
        Type::String => "".into(),
        Type::Int32 | Type::Int64 | Type::IntOrString | Type::Number => 0.into(),
        Type::Boolean => false.into(),
        Type::Quantity => "0".into(),
        Type::Struct(_) => {
            let mut map = Map::new();
            add_always(&mut map, ty);
            Value::Object(map)
        }
        _ => Value::Null,
    }
}

/// Adds the fields that Go writes even if they were never set.
fn add_always(map: &mut Map<String, Value>, ty: TypeRef<'_>) {
    for field in ty.fields() {
        let Field { name, empty, .. } = field.field();
        let value = match empty {
            Empty::Always => zero,
            Empty::Null => |_: TypeRef<'_>| Value::Null,
            Empty::Omit | Empty::Keep => continue,
        };
        if !map.contains_key(name) {
            map.insert(name.clone(), value(field.type_ref()));
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(it) => !it,
        Value::Number(it) => it.as_f64() == Some(0.0),
        Value::String(it) => it.is_empty(),
        Value::Array(it) => it.is_empty(),
        Value::Object(it) => it.is_empty(),
    }
}

#[derive(Default)]
struct Converter<'a> {
    /// The path with indexes, for unknown fields.
    path: String,
    /// The path without indexes and map keys, for type errors.
    go_path: String,
    /// The Go name of the struct that the innermost field belongs to.
    go_struct: &'a str,
    unknown: Vec<String>,
    objects: ObjectCount,
    /// The first type error. Go reads on after it, and an error of a type that parses itself (which ends the reading)
    /// comes before it.
    fault: Option<TypeError>,
}

impl<'a> Converter<'a> {
    fn mismatch(&self, found: &str, expected: &str) -> TypeError {
        TypeError(match self.go_path.as_str() {
            "" => format!("json: cannot unmarshal {found} into Go value of type {expected}"),
            path => format!(
                "json: cannot unmarshal {found} into Go struct field {}.{path} of type {expected}",
                self.go_struct
            ),
        })
    }

    /// Notes a type error; the value counts as absent.
    fn note(&mut self, found: &str, ty: TypeRef<'_>, go: Option<&str>) -> bool {
        if self.fault.is_none() {
            let expected = go.map_or_else(|| go_type::name(ty), str::to_owned);
            self.fault = Some(self.mismatch(found, &expected));
        }
        false
    }

    /// Converts a value where it stands; false if it is to be taken as absent. `go` is the name of the Go type where it
    /// can't be told from the type. An error ends the conversion at once.
    fn value(&mut self, value: &mut Value, ty: TypeRef<'a>, go: Option<&str>) -> Result<bool, TypeError> {
        match (ty.ty(), &mut *value) {
            (_, Value::Null) => return Ok(false),
            (Type::Any | Type::FreeForm, _)
            | (Type::String, Value::String(_))
            | (Type::Boolean, Value::Bool(_))
            | (Type::Number, Value::Number(_)) => {}
            (Type::Quantity, _) => *value = quantity(value)?,
            (Type::Time | Type::MicroTime, _) => return self.time(value, ty),
            (Type::IntOrString, _) => self.int_or_string(value)?,
            (Type::Int32 | Type::Int64, Value::Number(number)) => {
                let fits = |it: &i64| *ty.ty() == Type::Int64 || i32::try_from(*it).is_ok();
                if number.as_i64().filter(fits).is_none() {
                    let found = format!("number {number}");
                    return Ok(self.note(&found, ty, go));
                }
            }
            (Type::Bytes, Value::String(text)) => match base64::canonical(text) {
                Ok(canonical) => *text = canonical,
                Err(at) => {
                    let fault = || TypeError(format!("illegal base64 data at input byte {at}"));
                    self.fault.get_or_insert_with(fault);
                    return Ok(false);
                }
            },
            (Type::Struct(_), Value::Object(map)) => self.object(map, ty)?,
            (Type::List(_), Value::Array(items)) => self.list(items, ty, go)?,
            (Type::Map(_), Value::Object(map)) => self.map(map, ty, go)?,
            (_, other) => return Ok(self.note(kind_of(other), ty, go)),
        }
        Ok(true)
    }

    fn time(&self, value: &mut Value, ty: TypeRef<'_>) -> Result<bool, TypeError> {
        /// Go's zero time, which it writes as null.
        const ZERO: &str = "0001-01-01T00:00:00Z";
        let Value::String(text) = value else {
            return Err(self.mismatch(kind_of(value), "string"));
        };
        let canonical =
            if *ty.ty() == Type::MicroTime { time::canonical_micro_time(text) } else { time::canonical_time(text) };
        *text = canonical.map_err(TypeError)?;
        Ok(text != ZERO)
    }

    fn int_or_string(&self, value: &Value) -> Result<(), TypeError> {
        match value {
            Value::String(_) => Ok(()),
            Value::Number(number) => match number.as_i64().filter(|it| i32::try_from(*it).is_ok()) {
                Some(_) => Ok(()),
                None => Err(self.mismatch(&format!("number {number}"), "int32")),
            },
            other => Err(self.mismatch(kind_of(other), "int32")),
        }
    }

    fn object(&mut self, map: &mut Map<String, Value>, ty: TypeRef<'a>) -> Result<(), TypeError> {
        let declared = ty.as_struct();
        let name = declared.map_or("", |it| go_type::struct_name(&it.name));
        let preserve = declared.is_some_and(|it| it.preserve_unknown);
        let outer = std::mem::replace(&mut self.go_struct, name);
        self.retain(map, |converter, key, value| match ty.field(key) {
            Some(field) => {
                let go_path = converter.go_path.len();
                push(&mut converter.go_path, key);
                let kept = converter.field(value, field);
                converter.go_path.truncate(go_path);
                kept
            }
            None if preserve => Ok(true),
            None => {
                if converter.unknown.len() < MAX_PROBLEMS {
                    converter.unknown.push(told(&converter.path).to_owned());
                }
                Ok(false)
            }
        })?;
        add_always(map, ty);
        self.objects.add(map).map_err(|why| TypeError(why.to_owned()))?;
        self.go_struct = outer;
        Ok(())
    }

    /// Keeps the entries of which `keep` says so, which stands at the path of each.
    fn retain<F>(&mut self, map: &mut Map<String, Value>, mut keep: F) -> Result<(), TypeError>
    where
        F: FnMut(&mut Self, &str, &mut Value) -> Result<bool, TypeError>,
    {
        let path = self.path.len();
        let mut result = Ok(());
        map.retain(|key, value| {
            if result.is_err() {
                return true;
            }
            push(&mut self.path, key);
            let kept = keep(self, key, value);
            self.path.truncate(path);
            kept.unwrap_or_else(|error| {
                result = Err(error);
                true
            })
        });
        result
    }

    fn field(&mut self, value: &mut Value, field: FieldRef<'a>) -> Result<bool, TypeError> {
        let ty = field.type_ref();
        let Field { go_type, empty, .. } = field.field();
        let present = self.value(value, ty, go_type.as_deref())?;
        let omitted = match empty {
            Empty::Omit => true,
            // A list, map or bytes without content is nil once it was stored.
            Empty::Always => matches!(ty.ty(), Type::List(_) | Type::Map(_) | Type::Bytes | Type::FreeForm),
            Empty::Keep | Empty::Null => false,
        };
        Ok(present && !(omitted && is_empty(value)))
    }

    fn list(&mut self, items: &mut [Value], ty: TypeRef<'a>, go: Option<&str>) -> Result<(), TypeError> {
        let Some(item) = ty.items() else {
            return Ok(());
        };
        let go = go.and_then(|name| name.strip_prefix("[]"));
        let path = self.path.len();
        for (at, value) in items.iter_mut().enumerate() {
            push_index(&mut self.path, at);
            if !self.value(value, item, go)? {
                *value = zero(item);
            }
            self.path.truncate(path);
        }
        Ok(())
    }

    fn map(&mut self, map: &mut Map<String, Value>, ty: TypeRef<'a>, go: Option<&str>) -> Result<(), TypeError> {
        let Some(values) = ty.values() else {
            return Ok(());
        };
        let go = go.and_then(|name| name.strip_prefix("map[string]"));
        self.retain(map, |converter, _, value| {
            if !converter.value(value, values, go)? {
                *value = zero(values);
            }
            Ok(true)
        })
    }
}

fn quantity(value: &Value) -> Result<Value, TypeError> {
    let text = match value {
        Value::String(text) => Quantity::rewrite(text),
        Value::Number(number) => Quantity::rewrite(&number.to_string()),
        _ => Err(ParseQuantityError::Format),
    };
    text.map(Value::from).map_err(|error| TypeError(error.to_string()))
}

fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// What Go calls the kind of a JSON value: `object`, `bool`, `number`.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
