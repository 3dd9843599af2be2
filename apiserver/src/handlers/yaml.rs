//! YAML as clients send it: the first document, keys that stand twice noted, keys of any scalar type as texts.
//! Source: `sigs.k8s.io/yaml`.

mod error;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};
use steersman_machinery::decode::{self, ObjectCount};

/// A document, and which of its keys stand twice: `line 6: key "replicas" already set in map`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Document {
    /// The document. Of a key that stands twice, the last value counts.
    pub(super) value: Value,
    /// The complaints, in order.
    pub(super) duplicates: Vec<String>,
}

/// Parses the first document. The error is in upstream's words.
pub(super) fn parse(body: &[u8]) -> Result<Document, String> {
    // JSON is by far the most frequent form, and its parser is much faster.
    if let Ok(parsed) = decode::parse_json(body)
        && parsed.duplicates.is_empty()
    {
        return Ok(Document { value: parsed.value, duplicates: Vec::new() });
    }
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let noted = Noted::default();
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
    let parsed = serde_saphyr::with_deserializer_from_str_with_options(first_document(text), options, |yaml| {
        Node(&noted).deserialize(yaml)
    });
    let value = parsed.map_err(|error| error::translate(&error.to_string(), text))?;
    Ok(Document { value, duplicates: noted.duplicates.into_inner() })
}

/// The text up to the line that begins the second document.
fn first_document(text: &str) -> &str {
    let mut at = 0;
    let mut begun = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let marker = content == "---" || content == "..." || content.starts_with("--- ");
        if marker && begun {
            return &text[..at];
        }
        begun |= marker || !(content.is_empty() || content.starts_with('#'));
        at += line.len();
    }
    text
}

/// What is noted while a document is read.
#[derive(Default)]
struct Noted {
    duplicates: RefCell<Vec<String>>,
    objects: RefCell<ObjectCount>,
}

/// Reads a value and notes its duplicate keys.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Noted);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut seen = BTreeSet::new();
        while let Some(key) = fields.next_key::<Spanned<Key>>()? {
            let (name, line) = (key.value.0, key.referenced.line());
            let mut duplicates = self.0.duplicates.borrow_mut();
            if !seen.insert(name.clone()) && duplicates.len() < decode::MAX_PROBLEMS {
                duplicates.push(format!("line {line}: key {name:?} already set in map"));
            }
            drop(duplicates);
            map.insert(name, fields.next_value_seed(self)?);
        }
        self.0.objects.borrow_mut().add(&map).map_err(A::Error::custom)?;
        Ok(Value::Object(map))
    }
}

/// A key: whatever it is, a text in JSON.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let unused = Noted::default();
        match Node(&unused).deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Array(_) | Value::Object(_) => Err(D::Error::custom("a key must be a scalar")),
            scalar => Ok(Self(scalar.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Value, duplicates: &[&str]) {
        let got = parse(text.as_bytes()).unwrap();
        assert_eq!((got.value, got.duplicates), (expect, duplicates.iter().map(|it| (*it).to_owned()).collect()));
    }

    #[test]
    fn documents_are_read_as_upstream_reads_them() {
        check("a: 1\nb:\n- x\n- 2.5\n- null\n", json!({"a": 1, "b": ["x", 2.5, null]}), &[]);
        check("{\"a\": true}", json!({"a": true}), &[]);
        check("", Value::Null, &[]);
        check("on: \"1\"\n'no': 2\n3: c\n", json!({"true": "1", "no": 2, "3": "c"}), &[]);
        check("---\n# first\na: 1\n---\na: 2\n", json!({"a": 1}), &[]);
        check("a: |\n  --- x\n", json!({"a": "--- x\n"}), &[]);
    }

    #[test]
    fn duplicate_keys_are_noted() {
        check(
            "a: 1\nb:\n  c: 1\n  c: 2\na: 3\n",
            json!({"a": 3, "b": {"c": 2}}),
            &["line 4: key \"c\" already set in map", "line 5: key \"a\" already set in map"],
        );
        check("{\"a\": 1, \"a\": 2}", json!({"a": 2}), &["line 1: key \"a\" already set in map"]);
    }
}
