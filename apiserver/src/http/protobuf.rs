//! Answers in protobuf: objects of built-in types, Status, and the metadata of any object.
//! Source: `k8s.io/apimachinery/pkg/runtime/serializer/protobuf`; Kubernetes doc "API Concepts".

use serde::Serialize;
use serde_json::{Value, json};
use steersman_machinery::group::GroupVersion;
use steersman_machinery::meta;
use steersman_machinery::protobuf::{self, Encoder};
use steersman_machinery::schema::builtin::{self, Slot};
use steersman_machinery::schema::{StructId, Type};

/// An object in its envelope; `None` if its kind has no message.
pub fn of(object: &Value) -> Option<Vec<u8>> {
    let (api_version, kind) = (meta::text(object, &["apiVersion"]), meta::text(object, &["kind"]));
    let write: Box<dyn FnOnce(&mut Encoder) + '_> = match (api_version, kind) {
        ("meta.k8s.io/v1" | "meta.k8s.io/v1beta1", "PartialObjectMetadata") => {
            Box::new(|out| out.message(1, |out| metadata(out, object)))
        }
        ("meta.k8s.io/v1", "PartialObjectMetadataList") => Box::new(|out| metadata_list(out, object, (1, 2))),
        ("meta.k8s.io/v1beta1", "PartialObjectMetadataList") => Box::new(|out| metadata_list(out, object, (2, 1))),
        _ => {
            let ty = message_type(api_version, kind)?;
            Box::new(move |out| out.object(object, ty))
        }
    };
    Some(protobuf::seal(api_version, kind, write))
}

/// [`of`] for anything that serializes to an object.
pub fn of_serialized(value: &impl Serialize) -> Option<Vec<u8>> {
    of(&serde_json::to_value(value).ok()?)
}

/// An object as an item of a list; `None` if the kind of the list has no message.
pub fn item(api_version: &str, list_kind: &str, object: &Value) -> Option<Vec<u8>> {
    let mut out = Encoder::default();
    out.object(object, item_type(message_type(api_version, list_kind)?)?);
    Some(out.into_bytes())
}

/// A list of [`item`]s in its envelope; `None` if its kind has no message.
pub fn list(api_version: &str, kind: &str, (metadata, items): (Value, &[Vec<u8>])) -> Option<Vec<u8>> {
    let ty = message_type(api_version, kind)?;
    let items_at = number_of(ty, "items")?;
    let of_metadata = definition("ListMeta")?;
    Some(protobuf::seal(api_version, kind, |out| {
        out.message(1, |out| out.object(&metadata, of_metadata));
        items.iter().for_each(|item| out.bytes(items_at, item));
    }))
}

/// A watch event with an object in its envelope, preceded by its length.
pub fn frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut out = Encoder::default();
    out.text(1, event);
    out.message(2, |out| out.bytes(1, object));
    let event = out.into_bytes();
    let length = u32::try_from(event.len()).expect("an object is never larger than 4 GiB");
    [&length.to_be_bytes(), event.as_slice()].concat()
}

fn message_type(api_version: &str, kind: &str) -> Option<StructId> {
    match builtin::type_of(&GroupVersion::parse(api_version).with_kind(kind))? {
        Type::Struct(id) => Some(id),
        _ => None,
    }
}

fn definition(name: &str) -> Option<StructId> {
    builtin::definition(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"))
}

fn item_type(list: StructId) -> Option<StructId> {
    let fields = &builtin::schema().structs[list].fields;
    let Type::List(items) = &fields.iter().find(|field| field.name == "items")?.ty else { return None };
    match items.items {
        Type::Struct(id) => Some(id),
        _ => None,
    }
}

fn number_of(ty: StructId, name: &str) -> Option<u32> {
    let at = builtin::schema().structs[ty].fields.iter().position(|field| field.name == name)?;
    let slots = &builtin::message(ty).slots;
    slots.iter().find(|(_, slot)| matches!(slot, Slot::Field(field) if *field == at)).map(|(number, _)| *number)
}

fn metadata(out: &mut Encoder, object: &Value) {
    let none = json!({});
    if let Some(ty) = definition("ObjectMeta") {
        out.object(object.get("metadata").unwrap_or(&none), ty);
    }
}

fn metadata_list(out: &mut Encoder, list: &Value, (metadata_at, items_at): (u32, u32)) {
    let none = json!({});
    let mut parts = [(metadata_at, true), (items_at, false)];
    parts.sort_unstable();
    for (number, is_metadata) in parts {
        if is_metadata {
            let of_list = list.get("metadata").unwrap_or(&none);
            definition("ListMeta").into_iter().for_each(|ty| out.message(number, |out| out.object(of_list, ty)));
        } else {
            for item in meta::items(list, &["items"]) {
                out.message(number, |out| out.message(1, |out| metadata(out, item)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_message_is_written() {
        let check = |object: Value, expect: &[u8]| {
            let body = of(&object).unwrap();
            let envelope = protobuf::open(&body).unwrap();
            assert_eq!(envelope.kind, object["kind"].as_str().unwrap());
            assert_eq!(envelope.raw, expect, "{object}");
        };
        let meta = b"\x0a\x01a\x12\0\x1a\0\x22\0\x2a\0\x32\0\x38\0\x42\0";
        let partial =
            |version: &str| json!({"apiVersion": version, "kind": "PartialObjectMetadata", "metadata": {"name": "a"}});
        check(partial("meta.k8s.io/v1"), &[&b"\x0a\x11"[..], meta].concat());
        let list = |version: &str| {
            json!({"apiVersion": version, "kind": "PartialObjectMetadataList",
                   "metadata": {"resourceVersion": "7"}, "items": [partial(version)]})
        };
        let list_meta = b"\x0a\0\x12\x017\x1a\0";
        check(list("meta.k8s.io/v1"), &[b"\x0a\x07", &list_meta[..], b"\x12\x13\x0a\x11", meta].concat());
        check(list("meta.k8s.io/v1beta1"), &[b"\x0a\x13\x0a\x11", &meta[..], b"\x12\x07", list_meta].concat());
        assert_eq!(of(&json!({"apiVersion": "example.dev/v1", "kind": "Widget"})), None);
    }

    #[test]
    fn a_list_is_what_its_message_would_be() {
        let item = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
        let metadata = json!({"resourceVersion": "7"});
        let whole = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": [item, item]});
        let items = [(); 2].map(|()| super::item("v1", "ConfigMapList", &item).unwrap());
        assert_eq!(list("v1", "ConfigMapList", (metadata, &items)), of(&whole));
    }

    #[test]
    fn a_frame_begins_with_its_length() {
        assert_eq!(frame("ADDED", b"xy"), b"\0\0\0\x0d\x0a\x05ADDED\x12\x04\x0a\x02xy");
    }
}
