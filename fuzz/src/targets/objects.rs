//! Whole documents: JSON and protobuf bodies, lists of owned fields.

use serde_json::Value;
use steersman_machinery::decode;
use steersman_machinery::field_set::FieldSet;
use steersman_machinery::group::GroupVersionKind;
use steersman_machinery::protobuf;
use steersman_machinery::schema::{Type, TypeRef, builtin};

/// The type of a kind that has fields of every sort.
pub(super) fn type_of(group: &str, version: &str, kind: &str) -> TypeRef<'static> {
    static TYPES: std::sync::LazyLock<Vec<(GroupVersionKind, Type)>> = std::sync::LazyLock::new(|| {
        [("", "v1", "Pod"), ("apps", "v1", "Deployment"), ("", "v1", "Service"), ("", "v1", "ConfigMap")]
            .into_iter()
            .map(|(group, version, kind)| {
                let gvk = GroupVersionKind::new(group, version, kind);
                let ty = builtin::type_of(&gvk).expect("a built-in kind has a type");
                (gvk, ty)
            })
            .collect()
    });
    let gvk = GroupVersionKind::new(group, version, kind);
    let found = TYPES.iter().find(|(known, _)| *known == gvk).expect("one of the kinds above");
    builtin::schema().type_ref(&found.1)
}

/// What is read once reads the same when it was written again, and the typed form is a fixed point.
pub(super) fn json(input: &[u8]) {
    let ty = type_of("", "v1", "Pod");
    let _ = decode::strict_problems(input, ty);
    let Ok(parsed) = decode::parse_json(input) else {
        return;
    };
    let again = decode::parse_json(parsed.value.to_string().as_bytes()).expect("what was written is JSON");
    assert_eq!(again.value, parsed.value, "JSON reads back");
    if let Ok(decoded) = decode::convert(parsed.value, ty, "Pod") {
        let again = decode::convert(decoded.object.clone(), ty, "Pod").expect("the typed form is of its type");
        assert_eq!(again.object, decoded.object, "the typed form stays");
    }
}

/// A message that is read can be written, and reads the same again.
pub(super) fn protobuf(input: &[u8]) {
    let _ = protobuf::open(input);
    let Type::Struct(pod) = type_of("", "v1", "Pod").ty() else {
        return;
    };
    if let Ok(object) = protobuf::decode(input, *pod) {
        // Go writes fields that a sender may leave out, so that the first message may say less than the second.
        let again =
            |object| protobuf::decode(&protobuf::encode(&object, *pod), *pod).expect("what was written is read");
        let once = again(object);
        assert_eq!(again(once.clone()), once, "a message reads back");
    }
}

/// Owned fields that are read are written as they were.
pub(super) fn fields_v1(input: &[u8]) {
    let Ok(parsed) = decode::parse_json(input) else {
        return;
    };
    let Ok(set) = FieldSet::decode(&parsed.value) else {
        return;
    };
    let again = FieldSet::decode(&set.encode()).expect("what was written are fields");
    assert_eq!(again, set, "fields read back");
    assert!(set.difference(&set).is_empty(), "nothing is left of a set without itself");
    assert_eq!(set.union(&set), set, "a set with itself is itself");
    let _: Vec<String> = set.paths();
    let _: Value = set.leaves().encode();
}
