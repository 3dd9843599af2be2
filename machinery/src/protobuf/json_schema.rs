//! The three places of a JSON schema that hold one thing or another: in JSON either as it is, in protobuf each at a number
//! of its own. Source: `k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/generated.proto`.

use serde_json::Value;

use super::decode::{Place, structure};
use super::encode::{Encoder, structure as write};
use super::{Error, wire};
use crate::decode::convert;
use crate::schema::builtin;
use crate::schema::{Field, StructId, Type};

/// What such a place can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A truth value or a schema (`JSONSchemaPropsOrBool`).
    BoolOrSchema,
    /// A schema or several (`JSONSchemaPropsOrArray`).
    SchemaOrSchemas,
    /// A schema or texts (`JSONSchemaPropsOrStringArray`).
    SchemaOrTexts,
}

impl Form {
    /// The form of a field, if it is one of these.
    pub(super) fn of(id: StructId, field: &Field) -> Option<Self> {
        let may = match &field.ty {
            Type::Any => true,
            Type::Map(map) => map.values == Type::Any,
            _ => false,
        };
        if !may || schema() != Some(id) {
            return None;
        }
        match field.name.as_str() {
            "additionalItems" | "additionalProperties" => Some(Self::BoolOrSchema),
            "items" => Some(Self::SchemaOrSchemas),
            "dependencies" => Some(Self::SchemaOrTexts),
            _ => None,
        }
    }
}

fn schema() -> Option<StructId> {
    builtin::definition("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
}

/// Reads the message of such a place.
pub(super) fn decode(message: &[u8], form: Form, place: Place<'_>) -> Result<Value, Error> {
    let id = schema().ok_or(Error::Field(0))?;
    let (mut allows, mut single, mut several) = (false, None, Vec::new());
    for field in wire::fields(message) {
        let field = field?;
        match (form, field.number) {
            (Form::BoolOrSchema, 1) => allows = field.integer()? != 0,
            (Form::BoolOrSchema, 2) | (_, 1) => single = Some(read(field.bytes()?, id, place)?),
            (Form::SchemaOrSchemas, 2) => several.push(read(field.bytes()?, id, place)?),
            (Form::SchemaOrTexts, 2) => several.push(field.text()?.into()),
            _ => {}
        }
    }
    Ok(match (single, form) {
        (Some(schema), _) => schema,
        (None, Form::BoolOrSchema) => allows.into(),
        (None, _) => several.into(),
    })
}

/// A schema without what Go leaves out of its JSON form: nobody looks at it again, since its place can hold anything.
fn read(message: &[u8], id: StructId, place: Place<'_>) -> Result<Value, Error> {
    let ty = Type::Struct(id);
    let schema = structure(message, id, place)?;
    let decoded = convert(schema, builtin::schema().type_ref(&ty), "JSONSchemaProps");
    Ok(decoded.map_err(|_| Error::Field(0))?.object)
}

/// Writes the message of such a place.
pub(super) fn encode(out: &mut Encoder, value: &Value, form: Form) {
    let Some(id) = schema() else { return };
    let number = if form == Form::BoolOrSchema { 2 } else { 1 };
    if form == Form::BoolOrSchema {
        // One that has a schema allows what the schema does.
        out.boolean(1, value.as_bool().unwrap_or(true));
    }
    match (value, form) {
        (Value::Object(_), _) => out.message(number, |out| write(out, id, value)),
        (Value::Array(items), Form::SchemaOrTexts) => {
            items.iter().for_each(|item| out.text(2, item.as_str().unwrap_or_default()));
        }
        (Value::Array(items), Form::SchemaOrSchemas) => {
            items.iter().for_each(|item| out.message(2, |out| write(out, id, item)));
        }
        _ => {}
    }
}
