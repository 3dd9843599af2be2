//! Objects between their stored form (JSON bytes without `apiVersion` and `kind`, resource version filled in) and the
//! JSON values that the write path works on.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use steersman_machinery::{Object, meta};
use steersman_store::{Attributes, Draft, Entry, Expect, Key, Write as StoreWrite};

use crate::registry::resource::Resource;

/// The key of an object of a resource.
pub fn key(resource: &Resource, namespace: &str, name: &str) -> Key {
    Key::new(&storage_name(resource), if resource.namespaced { namespace } else { "" }, name)
}

/// The name under which the store keeps a resource: `pods`, `deployments.apps`.
pub fn storage_name(resource: &Resource) -> String {
    resource.storage.to_string()
}

/// The write that stores an object.
pub fn put(resource: &Resource, object: &Value, expect: Expect) -> StoreWrite {
    let key = key(resource, meta::namespace(object), meta::name(object));
    let attributes = attributes(object, resource);
    let draft = match resource.strategy.converts() {
        false => encode(object),
        true => {
            let mut stored = object.clone();
            resource.strategy.to_stored(&mut stored);
            encode_as(&stored, resource.strategy.stored_version())
        }
    };
    StoreWrite::Put { key, draft, attributes, expect }
}

/// The stored form of an object. The resource version that it carries is ignored: the store assigns one.
pub fn encode(object: &Value) -> Draft {
    encode_as(object, None)
}

/// The same, with a note of the `apiVersion` in which it is stored.
fn encode_as(object: &Value, api_version: Option<&str>) -> Draft {
    let empty = Object::new();
    let fields = object.as_object().unwrap_or(&empty);
    let mut out = Writer::default();
    out.open();
    if let Some(api_version) = api_version {
        out.name("apiVersion");
        out.value(api_version);
    }
    for (name, value) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"))
    {
        if name.as_str() > "metadata" && out.revision_at == 0 {
            out.metadata(fields);
        }
        out.field(name, value);
    }
    if out.revision_at == 0 {
        out.metadata(fields);
    }
    out.close();
    Draft::new(out.json, out.revision_at)
}

/// Writes a JSON object and remembers where the digits of the resource version go.
#[derive(Default)]
struct Writer {
    json: Vec<u8>,
    revision_at: usize,
}

impl Writer {
    fn open(&mut self) {
        self.json.push(b'{');
    }

    fn close(&mut self) {
        self.json.push(b'}');
    }

    fn name(&mut self, name: &str) {
        if self.json.last() != Some(&b'{') {
            self.json.push(b',');
        }
        self.value(name);
        self.json.push(b':');
    }

    fn field(&mut self, name: &str, value: &Value) {
        self.name(name);
        self.value(value);
    }

    fn value(&mut self, value: impl serde::Serialize) {
        serde_json::to_writer(&mut self.json, &value).expect("writing JSON to memory cannot fail");
    }

    fn revision(&mut self) {
        self.name("resourceVersion");
        self.revision_at = self.json.len() + 1;
        self.json.extend_from_slice(b"\"\"");
    }

    fn metadata(&mut self, fields: &Object) {
        self.name("metadata");
        self.open();
        let metadata = fields.get("metadata").and_then(Value::as_object);
        for (name, value) in metadata.into_iter().flatten().filter(|(name, _)| *name != "resourceVersion") {
            if name.as_str() > "resourceVersion" && self.revision_at == 0 {
                self.revision();
            }
            self.field(name, value);
        }
        if self.revision_at == 0 {
            self.revision();
        }
        self.close();
    }
}

/// What selectors look at.
pub fn attributes(object: &Value, resource: &Resource) -> Arc<Attributes> {
    let labels = meta::labels(object).map(|(key, value)| (key.into(), value.into())).collect();
    let fields = resource.strategy.indexed_fields(object);
    let fields = fields.into_iter().map(|(field, value)| (field, value.into())).collect();
    Arc::new(Attributes { labels, fields })
}

/// The object of an entry, as it is served by `resource`.
pub fn decode(entry: &Entry, resource: &Resource) -> Value {
    let mut object: Value = serde_json::from_slice(entry.bytes()).expect("the store holds what was encoded as JSON");
    set_type(&mut object, &resource.api_version(), &resource.kind);
    resource.strategy.to_served(&mut object);
    object
}

/// Sets `apiVersion` and `kind`.
pub fn set_type(object: &mut Value, api_version: &str, kind: &str) {
    meta::set(object, &["apiVersion"], api_version);
    meta::set(object, &["kind"], kind);
}

/// How the objects of a resource begin on the wire: `{"kind":"Pod","apiVersion":"v1",`. What follows is the stored form
/// without its opening brace.
pub fn type_prefix(resource: &Resource) -> Bytes {
    let mut out = Writer::default();
    out.open();
    out.name("kind");
    out.value(&resource.kind);
    out.name("apiVersion");
    out.value(resource.api_version());
    out.json.push(b',');
    out.json.into()
}

/// The stored form without its opening brace.
pub fn tail(entry: &Entry) -> Bytes {
    entry.bytes().slice(1..)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(object: Value, expect: &str) {
        let entry = encode(&object).into_entry(Key::new("pods", "a", "b"), Arc::default(), 7);
        assert_eq!(std::str::from_utf8(entry.bytes()).unwrap(), expect);
    }

    #[test]
    fn the_type_is_left_out_and_the_revision_filled_in() {
        check(json!({}), r#"{"metadata":{"resourceVersion":"7"}}"#);
        check(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b", "resourceVersion": "3", "uid": "u"},
                   "spec": {"a": 1}, "data": {}}),
            r#"{"data":{},"metadata":{"name":"b","resourceVersion":"7","uid":"u"},"spec":{"a":1}}"#,
        );
        check(
            json!({"metadata": {"name": "b"}, "zeta": 1}),
            r#"{"metadata":{"name":"b","resourceVersion":"7"},"zeta":1}"#,
        );
    }
}
