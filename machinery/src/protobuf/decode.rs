//! Messages into the JSON form of their type.

use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::wire::{self, Field, Payload};
use super::{Error, json_schema};
use crate::Object;
use crate::clock::{format_micro_time, format_time};
use crate::decode::{MAX_DEPTH, ObjectCount};
use crate::schema::builtin::{self, Message, Slot};
use crate::schema::{Schema, StructId, Type};

/// Reads the message of a built-in type (a struct of [`builtin::schema`]). Fields whose numbers are not known are dropped,
/// as Go drops them.
pub fn decode(message: &[u8], ty: StructId) -> Result<Value, Error> {
    structure(message, ty, Place { depth: 0, objects: &RefCell::default() })
}

/// Where in a message something stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    depth: usize,
    objects: &'a RefCell<ObjectCount>,
}

impl Place<'_> {
    pub(super) fn below(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

fn schema() -> &'static Schema {
    builtin::schema()
}

pub(super) fn structure(message: &[u8], id: StructId, place: Place<'_>) -> Result<Value, Error> {
    let mut object = Object::new();
    fields((message, builtin::message(id)), id, &mut object, place)?;
    place.objects.borrow_mut().add(&object).map_err(|_| Error::TooManyObjects)?;
    Ok(Value::Object(object))
}

fn fields(
    (message, layout): (&[u8], &Message),
    id: StructId,
    object: &mut Object,
    place: Place<'_>,
) -> Result<(), Error> {
    if place.depth > MAX_DEPTH {
        return Err(Error::TooDeep);
    }
    for field in wire::fields(message) {
        let field = field?;
        let at = match layout.slot(field.number) {
            None => continue,
            Some(Slot::Embedded(layout)) => {
                fields((field.bytes()?, layout), id, object, place.below())?;
                continue;
            }
            Some(Slot::Field(at)) => *at,
        };
        let declared = &schema().structs[id].fields[at];
        let has = json_schema::Form::of(id, declared);
        match &declared.ty {
            Type::List(list) => {
                let items = object.entry(declared.name.clone()).or_insert_with(|| json!([]));
                let items = items.as_array_mut().ok_or(Error::Field(field.number))?;
                match field.packed(&list.items) {
                    Some(packed) => items.extend(packed?.into_iter().map(Value::from)),
                    None => items.push(value(&field, &list.items, place)?),
                }
            }
            Type::Map(map) => {
                let (key, item) = entry(&field, (&map.values, has), place)?;
                let entries = object.entry(declared.name.clone()).or_insert_with(|| json!({}));
                entries.as_object_mut().ok_or(Error::Field(field.number))?.insert(key, item);
            }
            ty => drop(object.insert(declared.name.clone(), formed(&field, (ty, has), place)?)),
        }
    }
    Ok(())
}

/// A value that may have one of the forms that only JSON schemas have.
fn formed(field: &Field<'_>, (ty, form): (&Type, Option<json_schema::Form>), place: Place<'_>) -> Result<Value, Error> {
    match form {
        Some(form) => json_schema::decode(field.bytes()?, form, place.below()),
        None => value(field, ty, place),
    }
}

fn entry(
    field: &Field<'_>,
    (values, form): (&Type, Option<json_schema::Form>),
    place: Place<'_>,
) -> Result<(String, Value), Error> {
    let (mut key, mut item) = (String::new(), None);
    for part in wire::fields(field.bytes()?) {
        let part = part?;
        match part.number {
            1 => key = part.text()?,
            2 => item = Some(formed(&part, (values, form), place)?),
            _ => {}
        }
    }
    let item = match item {
        Some(item) => item,
        None => empty(values),
    };
    Ok((key, item))
}

/// What a map entry without a value has.
fn empty(ty: &Type) -> Value {
    match ty {
        Type::String | Type::Bytes => json!(""),
        Type::Quantity => json!("0"),
        Type::List(_) => json!([]),
        _ => json!({}),
    }
}

fn value(field: &Field<'_>, ty: &Type, place: Place<'_>) -> Result<Value, Error> {
    Ok(match ty {
        Type::String => field.text()?.into(),
        Type::Int32 | Type::Int64 => field.integer()?.into(),
        Type::Boolean => (field.integer()? != 0).into(),
        Type::Number => field.double()?.into(),
        Type::Bytes => STANDARD.encode(field.bytes()?).into(),
        Type::Time => time(field)?.map_or(Value::Null, |time| format_time(time).into()),
        Type::MicroTime => time(field)?.map_or(Value::Null, |time| format_micro_time(time).into()),
        Type::Quantity => parts(field)?.text(1)?.into(),
        Type::IntOrString => {
            let parts = parts(field)?;
            if parts.integer(1)? == 0 { parts.integer(2)?.into() } else { parts.text(3)?.into() }
        }
        // Messages without fields, such as `CustomResourceSubresourceStatus`.
        Type::FreeForm => json!({}),
        Type::Any => {
            let parts = parts(field)?;
            serde_json::from_slice(parts.bytes(1)?).unwrap_or(Value::Null)
        }
        Type::Struct(id) => structure(field.bytes()?, *id, place.below())?,
        // A list in a map is a message with the items (`ExtraValue`).
        Type::List(list) => {
            let items = wire::fields(field.bytes()?).map(|item| value(&item?, &list.items, place.below()));
            Value::Array(items.collect::<Result<_, Error>>()?)
        }
        Type::Map(_) => return Err(Error::Field(field.number)),
    })
}

/// A moment; `None` for Go's zero time.
fn time(field: &Field<'_>) -> Result<Option<Timestamp>, Error> {
    let parts = parts(field)?;
    let (seconds, nanos) = (parts.integer(1)?, parts.integer(2)?);
    let nanos = i32::try_from(nanos).map_err(|_| Error::Field(field.number))?;
    let time = Timestamp::new(seconds, nanos).map_err(|_| Error::Field(field.number))?;
    Ok((seconds != 0 || nanos != 0).then_some(time))
}

/// The fields of a small message, looked up by number.
struct Parts<'a>(Vec<Field<'a>>);

fn parts<'a>(field: &Field<'a>) -> Result<Parts<'a>, Error> {
    wire::fields(field.bytes()?).collect::<Result<_, _>>().map(Parts)
}

impl<'a> Parts<'a> {
    fn find(&self, number: u32) -> Option<&Field<'a>> {
        self.0.iter().rev().find(|field| field.number == number)
    }

    fn text(&self, number: u32) -> Result<String, Error> {
        self.find(number).map_or(Ok(String::new()), Field::text)
    }

    fn integer(&self, number: u32) -> Result<i64, Error> {
        self.find(number).map_or(Ok(0), Field::integer)
    }

    fn bytes(&self, number: u32) -> Result<&'a [u8], Error> {
        self.find(number).map_or(Ok(&[]), Field::bytes)
    }
}

impl Field<'_> {
    /// The numbers of a packed list; `None` if it is no such list.
    fn packed(&self, items: &Type) -> Option<Result<Vec<i64>, Error>> {
        match (&self.payload, items) {
            (Payload::Bytes(bytes), Type::Int32 | Type::Int64) => Some(wire::varints(bytes)),
            _ => None,
        }
    }
}
