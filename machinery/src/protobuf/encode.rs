//! Objects in their JSON form into messages, byte by byte as Go writes them: fields in the order of their numbers, what is no
//! pointer even if it is empty.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::json_schema;
use crate::clock::parse_time;
use crate::schema::builtin::{self, Message, Slot};
use crate::schema::{Empty, Field, StructId, Type};

/// Writes a message.
#[derive(Clone, Debug, Default)]
pub struct Encoder(Vec<u8>);

/// The message of an object of a built-in type (a struct of [`builtin::schema`]). Values that are not of their field's type
/// count as absent.
pub fn encode(object: &Value, ty: StructId) -> Vec<u8> {
    let mut out = Encoder::default();
    out.object(object, ty);
    out.into_bytes()
}

impl Encoder {
    pub(super) fn starting_with(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Writes the fields of an object of a built-in type.
    pub fn object(&mut self, object: &Value, ty: StructId) {
        structure(self, ty, object);
    }

    /// Writes a field with a message; `write` writes what is in it.
    pub fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.tag(number, 2);
        let at = self.0.len();
        // Most messages are shorter than 128 bytes; others are moved to make room for their length.
        self.0.push(0);
        write(self);
        let length = self.0.len() - at - 1;
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => self.0[at] = short,
            _ => {
                let mut digits = Self::default();
                digits.varint(length as u64);
                self.0.splice(at..=at, digits.0);
            }
        }
    }

    /// Writes a field with bytes.
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Writes a field with a text.
    pub fn text(&mut self, number: u32, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    /// Writes a field with a whole number.
    pub fn integer(&mut self, number: u32, value: i64) {
        self.tag(number, 0);
        self.varint(value.cast_unsigned());
    }

    /// Writes a field with a truth value.
    pub fn boolean(&mut self, number: u32, value: bool) {
        self.integer(number, value.into());
    }

    fn double(&mut self, number: u32, value: f64) {
        self.tag(number, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn tag(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

pub(super) fn structure(out: &mut Encoder, id: StructId, object: &Value) {
    slots(out, builtin::message(id), id, object);
}

fn slots(out: &mut Encoder, layout: &Message, id: StructId, object: &Value) {
    let fields = &builtin::schema().structs[id].fields;
    for (number, slot) in &layout.slots {
        match slot {
            Slot::Embedded(layout) => out.message(*number, |out| slots(out, layout, id, object)),
            Slot::Field(at) => {
                let declared = &fields[*at];
                let value = object.get(&declared.name).filter(|value| !value.is_null());
                field(out, *number, (id, declared), value);
            }
        }
    }
}

fn field(out: &mut Encoder, number: u32, (id, declared): (StructId, &Field), value: Option<&Value>) {
    let form = json_schema::Form::of(id, declared);
    match (&declared.ty, value) {
        (Type::List(list), value) => {
            let items = value.and_then(Value::as_array);
            items.into_iter().flatten().for_each(|item| element(out, number, &list.items, item));
        }
        (Type::Map(map), value) => {
            for (key, item) in value.and_then(Value::as_object).into_iter().flatten() {
                out.message(number, |out| {
                    out.text(1, key);
                    formed(out, 2, (&map.values, form), item);
                });
            }
        }
        (Type::Bytes, value) => {
            let text = value.and_then(Value::as_str).filter(|text| !text.is_empty());
            text.into_iter().for_each(|text| out.bytes(number, &STANDARD.decode(text).unwrap_or_default()));
        }
        (ty, Some(value)) => formed(out, number, (ty, form), value),
        (ty, None) if !is_pointer(declared) => zero(out, number, ty),
        (_, None) => {}
    }
}

/// Whether Go has a pointer there, so that nothing is written for nothing.
fn is_pointer(field: &Field) -> bool {
    match field.empty {
        // `omitzero`: JSON leaves it out although it is no pointer.
        Empty::Keep => field.name != "creationTimestamp",
        Empty::Null => true,
        Empty::Omit | Empty::Always => false,
    }
}

fn formed(out: &mut Encoder, number: u32, (ty, form): (&Type, Option<json_schema::Form>), value: &Value) {
    match form {
        Some(form) => out.message(number, |out| json_schema::encode(out, value, form)),
        None => element(out, number, ty, value),
    }
}

/// What Go writes for an empty value.
fn zero(out: &mut Encoder, number: u32, ty: &Type) {
    match ty {
        Type::Int32 | Type::Int64 => out.integer(number, 0),
        Type::Boolean => out.boolean(number, false),
        Type::Number => out.double(number, 0.0),
        Type::String => out.text(number, ""),
        Type::Time | Type::MicroTime | Type::Any | Type::FreeForm => out.message(number, |_| {}),
        Type::Quantity => element(out, number, ty, &json!("0")),
        Type::IntOrString => element(out, number, ty, &json!(0)),
        Type::Struct(_) => element(out, number, ty, &json!({})),
        Type::Bytes | Type::List(_) | Type::Map(_) => {}
    }
}

fn element(out: &mut Encoder, number: u32, ty: &Type, value: &Value) {
    match ty {
        Type::String => out.text(number, value.as_str().unwrap_or_default()),
        Type::Int32 | Type::Int64 => out.integer(number, value.as_i64().unwrap_or_default()),
        Type::Boolean => out.boolean(number, value.as_bool().unwrap_or_default()),
        Type::Number => out.double(number, value.as_f64().unwrap_or_default()),
        Type::Bytes => {
            let text = value.as_str().unwrap_or_default();
            out.bytes(number, &STANDARD.decode(text).unwrap_or_default());
        }
        Type::Time | Type::MicroTime => out.message(number, |out| time(out, value)),
        Type::Quantity => match value {
            Value::String(text) => out.message(number, |out| out.text(1, text)),
            other => out.message(number, |out| out.text(1, &other.to_string())),
        },
        Type::IntOrString => out.message(number, |out| {
            out.boolean(1, value.is_string());
            out.integer(2, value.as_i64().unwrap_or_default());
            out.text(3, value.as_str().unwrap_or_default());
        }),
        Type::Any => {
            let raw = serde_json::to_vec(value).expect("a JSON value with text keys can always be written");
            out.message(number, |out| out.bytes(1, &raw));
        }
        // Messages without fields, such as `CustomResourceSubresourceStatus`.
        Type::FreeForm => out.message(number, |_| {}),
        Type::Struct(id) => out.message(number, |out| structure(out, *id, value)),
        // A list in a map is a message with the items (`ExtraValue`).
        Type::List(list) => out.message(number, |out| {
            value.as_array().into_iter().flatten().for_each(|item| element(out, 1, &list.items, item));
        }),
        Type::Map(_) => {}
    }
}

fn time(out: &mut Encoder, value: &Value) {
    let time: Option<Timestamp> = value.as_str().and_then(parse_time);
    if let Some(time) = time {
        out.integer(1, time.as_second());
        out.integer(2, time.subsec_nanosecond().into());
    }
}
