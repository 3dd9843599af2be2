//! Bodies as client-go writes them, and answers as it reads them.

use serde_json::{Value, json};

use super::*;
use crate::Object;
use crate::decode::convert;
use crate::schema::builtin::{Message, Slot};
use crate::schema::{StructId, Type, builtin};

/// Writes fields: a number and its payload.
fn message(fields: &[(u32, Part<'_>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, part) in fields {
        match part {
            Part::Int(value) => {
                varint(u64::from(*number) << 3, &mut bytes);
                varint(value.cast_unsigned(), &mut bytes);
            }
            Part::Bytes(value) => {
                varint(u64::from(*number) << 3 | 2, &mut bytes);
                varint(value.len() as u64, &mut bytes);
                bytes.extend_from_slice(value);
            }
        }
    }
    bytes
}

enum Part<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn struct_of(name: &str) -> StructId {
    builtin::definition(name).unwrap()
}

#[test]
fn a_config_map_is_read() {
    let meta = message(&[(1, Part::Bytes(b"a")), (3, Part::Bytes(b"")), (8, Part::Bytes(b"")), (7, Part::Int(0))]);
    let pair = message(&[(1, Part::Bytes(b"k")), (2, Part::Bytes(b"v"))]);
    let raw = message(&[(1, Part::Bytes(&meta)), (2, Part::Bytes(&pair))]);
    let type_meta = message(&[(1, Part::Bytes(b"v1")), (2, Part::Bytes(b"ConfigMap"))]);
    let unknown = message(&[(1, Part::Bytes(&type_meta)), (2, Part::Bytes(&raw)), (3, Part::Bytes(b""))]);
    let body = [&MAGIC[..], &unknown].concat();
    let envelope = open(&body).unwrap();
    assert_eq!((envelope.api_version.as_str(), envelope.kind.as_str()), ("v1", "ConfigMap"));
    let object = decode(envelope.raw, struct_of("io.k8s.api.core.v1.ConfigMap")).unwrap();
    let metadata = json!({"name": "a", "namespace": "", "creationTimestamp": null, "generation": 0});
    assert_eq!(object, json!({"metadata": metadata, "data": {"k": "v"}}));
}

#[test]
fn special_types_have_their_json_form() {
    let surge = message(&[(1, Part::Int(1)), (2, Part::Int(0)), (3, Part::Bytes(b"25%"))]);
    let unavailable = message(&[(1, Part::Int(0)), (2, Part::Int(-1))]);
    let rolling = message(&[(1, Part::Bytes(&unavailable)), (2, Part::Bytes(&surge))]);
    let object = decode(&rolling, struct_of("io.k8s.api.apps.v1.RollingUpdateDeployment")).unwrap();
    assert_eq!(object, json!({"maxUnavailable": -1, "maxSurge": "25%"}));
    let cpu = message(&[(1, Part::Bytes(b"100m"))]);
    let limit = message(&[(1, Part::Bytes(b"cpu")), (2, Part::Bytes(&cpu))]);
    let limits = message(&[(1, Part::Bytes(&limit))]);
    let object = decode(&limits, struct_of("io.k8s.api.core.v1.ResourceRequirements")).unwrap();
    assert_eq!(object, json!({"limits": {"cpu": "100m"}}));
    let expiry = message(&[(1, Part::Int(1_700_000_000)), (2, Part::Int(5_000))]);
    let lease = message(&[(3, Part::Bytes(&expiry))]);
    let object = decode(&lease, struct_of("io.k8s.api.coordination.v1.LeaseSpec")).unwrap();
    assert_eq!(object, json!({"acquireTime": "2023-11-14T22:13:20.000005Z"}));
}

#[test]
fn what_is_no_message_is_refused() {
    assert_eq!(open(b"nothing"), Err(Error::NoPrefix));
    assert_eq!(open(b"k8s\0\x0a\x0f\x0a"), Err(Error::Truncated));
    let pod = struct_of("io.k8s.api.core.v1.Pod");
    assert_eq!(decode(&message(&[(1, Part::Int(3))]), pod), Err(Error::Field(1)));
    assert_eq!(decode(&message(&[(999, Part::Int(3))]), pod), Ok(json!({})));
}

/// Fields of features that are off by default in 1.36: upstream drops them, and the source of the numbers is older.
const OFF: [(&str, &str); 13] = [
    ("core.v1.PodSpec", "schedulingGroup"),
    ("core.v1.PodSchedulingGroup", "podGroupName"),
    ("core.v1.ResourceHealth", "message"),
    ("core.v1.VolumeMountStatus", "volumeStatus"),
    ("core.v1.VolumeStatus", "image"),
    ("core.v1.ImageVolumeStatus", "imageRef"),
    ("resource.v1.Device", "nodeAllocatableResourceMappings"),
    ("resource.v1.NodeAllocatableResourceMapping", ""),
    ("resource.v1.DeviceAttribute", ""),
    ("storage.v1.CSIDriverSpec", "preventPodSchedulingIfMissing"),
    ("meta.v1.ListMeta", "shardInfo"),
    ("meta.v1.ShardInfo", "selector"),
    // Never sent in protobuf.
    ("pkg.version.Info", ""),
];

fn is_off(ty: &str, field: &str) -> bool {
    OFF.iter().any(|(off, name)| ty.ends_with(&format!(".{off}")) && (name.is_empty() || *name == field))
}

fn numbered(message: &Message, field: usize) -> bool {
    message.slots.iter().any(|(_, slot)| match slot {
        Slot::Field(at) => *at == field,
        Slot::Embedded(message) => numbered(message, field),
    })
}

#[test]
fn every_field_of_every_type_has_a_number() {
    for (id, it) in builtin::schema().structs.iter().enumerate() {
        for (at, field) in it.fields.iter().enumerate() {
            let exempt = matches!(field.name.as_str(), "apiVersion" | "kind") && !it.kinds.is_empty();
            let exempt = exempt || is_off(&it.name, &field.name);
            assert!(numbered(builtin::message(id), at) || exempt, "{}.{}", it.name, field.name);
        }
    }
}

/// Makes objects of a type: every field of it, or about a third of them.
struct Sample {
    random: fastrand::Rng,
    full: bool,
    path: Vec<StructId>,
}

impl Sample {
    fn object(&mut self, id: StructId) -> Value {
        let it = &builtin::schema().structs[id];
        let mut object = Object::new();
        self.path.push(id);
        for field in it.fields.iter().filter(|field| !is_off(&it.name, &field.name)) {
            let of_type = matches!(field.name.as_str(), "apiVersion" | "kind") && !it.kinds.is_empty();
            if !of_type && (self.full || field.required || self.random.u8(..3) == 0) {
                let value = match json_schema::Form::of(id, field) {
                    Some(form) => self.formed(form, &field.ty),
                    None => self.value(&field.ty),
                };
                object.extend(value.map(|value| (field.name.clone(), value)));
            }
        }
        self.path.pop();
        Value::Object(object)
    }

    /// `None` where a type would contain itself.
    fn value(&mut self, ty: &Type) -> Option<Value> {
        Some(match ty {
            Type::String => json!(format!("t\u{e9}{}", self.random.u8(..))),
            Type::Int32 => json!(self.random.i32(-5..5)),
            Type::Int64 => json!(self.random.i64(..)),
            Type::Boolean => json!(self.random.bool()),
            Type::Number => json!(f64::from(self.random.i32(..)) / 3.0),
            Type::Bytes => json!("AAH/"),
            Type::Time => json!("2023-11-14T22:13:20Z"),
            Type::MicroTime => json!("2023-11-14T22:13:20.000005Z"),
            Type::Quantity => json!("1500m"),
            Type::IntOrString => {
                if self.random.bool() {
                    json!(-7)
                } else {
                    json!("25%")
                }
            }
            Type::Any => json!({"a": [1, null, {"b": "c"}]}),
            Type::FreeForm => json!({}),
            Type::Struct(id) if self.path.contains(id) || self.path.len() > 9 => return None,
            Type::Struct(id) => self.object(*id),
            // Nothing and a list of nothing are the same in protobuf.
            Type::List(list) => Value::Array(vec![self.value(&list.items)?, self.value(&list.items)?]),
            Type::Map(map) => json!({"a": self.value(&map.values)?, "b/c": self.value(&map.values)?}),
        })
    }

    fn formed(&mut self, form: json_schema::Form, ty: &Type) -> Option<Value> {
        let schema = json!({"type": "string", "maxLength": 3});
        let either = match (form, self.random.bool()) {
            (_, true) => schema,
            (json_schema::Form::BoolOrSchema, false) => json!(self.random.bool()),
            (json_schema::Form::SchemaOrSchemas, false) => json!([schema, {"type": "null"}]),
            (json_schema::Form::SchemaOrTexts, false) => json!(["a", "b"]),
        };
        Some(if matches!(ty, Type::Map(_)) { json!({"x": either}) } else { either })
    }
}

#[test]
fn what_is_written_reads_back_as_it_was() {
    for (id, it) in builtin::schema().structs.iter().enumerate() {
        let ty = Type::Struct(id);
        let canonical = |object: Value| convert(object, builtin::schema().type_ref(&ty), "").unwrap().object;
        for seed in 0..6 {
            let random = fastrand::Rng::with_seed(seed);
            let mut sample = Sample { random, full: seed == 0, path: Vec::new() };
            let object = canonical(sample.object(id));
            let read = decode(&encode(&object, id), id).unwrap();
            let read = canonical(read);
            let differs = object.as_object().unwrap().iter().find(|(name, value)| read.get(*name) != Some(*value));
            assert_eq!(differs, None, "{} with seed {seed}", it.name);
            assert_eq!(read, object);
        }
    }
}

#[test]
fn what_is_no_pointer_is_written_though_it_is_empty() {
    let check = |ty: &str, object: Value, expect: &[u8]| {
        assert_eq!(encode(&object, struct_of(&format!("io.k8s.{ty}"))), expect, "{ty} {object}");
    };
    check("api.core.v1.SecretReference", json!({}), b"\x0a\0\x12\0");
    check("api.apps.v1.RollingUpdateDeployment", json!({}), b"");
    check("api.apps.v1.RollingUpdateDeployment", json!({"maxSurge": 1}), b"\x12\x06\x08\0\x10\x01\x1a\0");
    check("api.core.v1.Volume", json!({"name": "v", "emptyDir": {}}), b"\x0a\x01v\x12\x04\x12\x02\x0a\0");
    check("api.core.v1.ConfigMapKeySelector", json!({"key": "k"}), b"\x0a\x02\x0a\0\x12\x01k");
    check("apimachinery.pkg.apis.meta.v1.ListMeta", json!({"resourceVersion": "7"}), b"\x0a\0\x12\x017\x1a\0");
    let object = json!({"metadata": {"name": "a"}});
    let meta = b"\x0a\x01a\x12\0\x1a\0\x22\0\x2a\0\x32\0\x38\0\x42\0";
    check("api.core.v1.ConfigMap", object, &[&b"\x0a\x11"[..], meta].concat());
}

#[test]
fn long_messages_make_room_for_their_length() {
    let text = "x".repeat(300);
    let body = seal("v1", "ConfigMap", |out| {
        out.object(&json!({"data": {"k": text}}), struct_of("io.k8s.api.core.v1.ConfigMap"));
    });
    let envelope = open(&body).unwrap();
    assert_eq!((envelope.api_version.as_str(), envelope.kind.as_str()), ("v1", "ConfigMap"));
    let object = decode(envelope.raw, struct_of("io.k8s.api.core.v1.ConfigMap")).unwrap();
    assert_eq!(object["data"]["k"], text);
}
