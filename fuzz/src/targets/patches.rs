//! The four patches. An input is a document, a zero byte, and a patch.

use serde_json::Value;
use steersman_machinery::decode;
use steersman_machinery::managed_fields::Writer;
use steersman_machinery::patch::{json, merge, strategic};

use super::{objects, pair};

fn documents(input: &[u8]) -> Option<(Value, Value)> {
    let (document, patch) = pair(input);
    Some((decode::parse_json(document).ok()?.value, decode::parse_json(patch).ok()?.value))
}

/// A patch that applies gives a document that can be written, and a patch of no operations changes nothing.
pub(super) fn json_patch(input: &[u8]) {
    let (document, patch) = pair(input);
    let _ = json::check_strict(patch);
    let Ok(document) = decode::parse_json(document) else {
        return;
    };
    if let Ok(patched) = json::apply(&document.value, patch) {
        assert!(decode::parse_json(patched.to_string().as_bytes()).is_ok(), "the result is JSON");
    }
    assert_eq!(json::apply(&document.value, b"[]").ok(), Some(document.value), "nothing changes nothing");
}

/// Twice is once; and the patch wins.
pub(super) fn merge_patch(input: &[u8]) {
    let Some((document, patch)) = documents(input) else {
        return;
    };
    let once = merge::apply(&document, &patch);
    assert_eq!(merge::apply(&once, &patch), once, "twice is once");
    if !patch.is_object() {
        assert_eq!(once, patch, "what is no object replaces");
    }
}

/// An empty patch changes nothing that is typed.
pub(super) fn strategic_merge_patch(input: &[u8]) {
    let Some((document, patch)) = documents(input) else {
        return;
    };
    let ty = objects::type_of("apps", "v1", "Deployment");
    let _ = strategic::apply(&document, &patch, ty);
    if document.is_object() {
        let same = strategic::apply(&document, &Value::Object(serde_json::Map::new()), ty);
        assert_eq!(same.ok(), Some(document), "nothing changes nothing");
    }
}

/// Applying twice is applying once, also to who owns what.
pub(super) fn apply(input: &[u8]) {
    let Some((live, config)) = documents(input) else {
        return;
    };
    let ty = objects::type_of("apps", "v1", "Deployment");
    let typed = |value: Value| decode::convert(value, ty, "Deployment").ok().map(|decoded| decoded.object);
    let Some(live) = typed(live) else {
        return;
    };
    let writer = Writer {
        manager: "fuzz",
        subresource: "",
        api_version: "apps/v1",
        now: jiff::Timestamp::UNIX_EPOCH,
        ty,
        reset_fields: &[&["status"]],
        alike: None,
    };
    let Ok(once) = writer.apply(Some(&live), config.clone(), true) else {
        return;
    };
    // The server stores the typed form, and that is what the next one meets.
    let Some(once) = typed(once) else {
        return;
    };
    let twice = writer.apply(Some(&once), config, true).expect("what applied, applies");
    assert_eq!(typed(twice), Some(once), "twice is once");
}
