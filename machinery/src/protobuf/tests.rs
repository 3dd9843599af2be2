//! Bodies as client-go writes them.

use super::*;

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

#[test]
fn the_main_kinds_have_all_their_numbers() {
    for name in ["core.v1.Pod", "core.v1.PodSpec", "core.v1.Container", "apps.v1.Deployment", "core.v1.Service"] {
        let id = struct_of(&format!("io.k8s.api.{name}"));
        for (at, field) in schema().structs[id].fields.iter().enumerate() {
            let numbered = (0..200).any(|number| builtin::field_of_number(id, number) == Some(at));
            // `schedulingGroup` is alpha, and newer than the source of the numbers.
            let exempt = matches!(field.name.as_str(), "apiVersion" | "kind" | "schedulingGroup");
            assert!(numbered || exempt, "{name}.{}", field.name);
        }
    }
}
