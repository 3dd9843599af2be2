//! The slim metadata that informers keep of an object: what controllers read, without managed fields.
//! Source: `metav1.ObjectMeta`.
//!
//! ```
//! use steersman_framework::meta::Partial;
//!
//! let text = r#"{"metadata": {"namespace": "default", "name": "web", "labels": {"app": "web"}}, "spec": {}}"#;
//! let object: Partial = serde_json::from_str(text)?;
//! assert_eq!(object.metadata.key().to_string(), "default/web");
//! assert_eq!(object.metadata.labels.get("app"), Some("web"));
//! assert!(!object.metadata.is_deleting());
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::Visitor;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// Where an object lives: namespace (empty for a cluster-scoped one) and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// The key of `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// A small ordered map of texts: labels or annotations. A sorted vector takes a tenth of the memory of a tree for the
/// handful of entries that objects have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringMap(Vec<(String, String)>);

impl StringMap {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Sets `key`; returns whether that changed anything.
    pub fn insert(&mut self, key: &str, value: impl Into<String>) -> bool {
        let value = value.into();
        match self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)) {
            Ok(at) if self.0[at].1 == value => false,
            Ok(at) => {
                self.0[at].1 = value;
                true
            }
            Err(at) => {
                self.0.insert(at, (key.to_owned(), value));
                true
            }
        }
    }

    /// Takes `key` away; returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(self.0.remove(at).1)
    }

    /// The pairs in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps only the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for StringMap {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let map: BTreeMap<String, String> = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self(map.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for StringMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Option::<BTreeMap<String, String>>::deserialize(deserializer)?.unwrap_or_default();
        Ok(Self(map.into_iter().collect()))
    }
}

impl Serialize for StringMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Reads a list or a struct that may be `null`, which counts as absent.
pub fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a time as an API server stores it, which may be absent, `null`, or beyond what can be reckoned with: then it is the last
/// moment that can. Whoever may write a status may write any time there, and must not make an object unreadable by it.
pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Time::deserialize(deserializer)?.0)
}

/// The same for a map of times; those that are none are left out.
pub fn times<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Timestamp>, D::Error> {
    let times = Option::<BTreeMap<String, Time>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(times.into_iter().filter_map(|(key, Time(time))| Some((key, time?))).collect())
}

struct Time(Option<Timestamp>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(TimeVisitor)
    }
}

struct TimeVisitor;

impl<'de> Visitor<'de> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a time")
    }

    fn visit_none<E>(self) -> Result<Time, E> {
        Ok(Time(None))
    }

    /// What `null` is among fields that were gathered first (`serde(flatten)`).
    fn visit_unit<E>(self) -> Result<Time, E> {
        Ok(Time(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Time, D::Error> {
        deserializer.deserialize_str(self)
    }

    fn visit_str<E>(self, text: &str) -> Result<Time, E> {
        let last = || text.starts_with("9999-12-3").then_some(Timestamp::MAX);
        Ok(Time(text.parse().ok().or_else(last)))
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// `group/version` of the owner.
    pub api_version: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// The owner's uid, its identity.
    pub uid: String,
    /// Whether the owner manages the object; at most one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether a foreground deletion of the owner waits for the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// What is kept of `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// `name`.
    pub name: String,
    /// `generateName`: what the server made the name of, if it did; empty otherwise.
    pub generate_name: String,
    /// `namespace`; empty for a cluster-scoped object.
    pub namespace: String,
    /// `uid`.
    pub uid: String,
    /// `resourceVersion`.
    pub resource_version: String,
    /// `generation`; 0 where there is none.
    pub generation: i64,
    /// `labels`.
    pub labels: StringMap,
    /// `annotations`.
    pub annotations: StringMap,
    /// `ownerReferences`.
    #[serde(deserialize_with = "null_default")]
    pub owner_references: Vec<OwnerReference>,
    /// `finalizers`.
    #[serde(deserialize_with = "null_default")]
    pub finalizers: Vec<String>,
    /// `creationTimestamp`.
    #[serde(deserialize_with = "time")]
    pub creation_timestamp: Option<Timestamp>,
    /// `deletionTimestamp`: set while the object waits for finalizers or its grace period.
    #[serde(deserialize_with = "time")]
    pub deletion_timestamp: Option<Timestamp>,
}

impl Meta {
    /// Where the object lives.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.name)
    }

    /// The metadata as an update of the whole object has to repeat it, since what it leaves out would be taken away.
    /// The server refuses the update if the object was changed since.
    ///
    /// ```
    /// use steersman_framework::meta::Meta;
    ///
    /// let text = r#"{"name": "web", "uid": "u", "resourceVersion": "7", "generation": 3, "labels": {"app": "web"}}"#;
    /// let meta: Meta = serde_json::from_str(text)?;
    /// let expect = r#"{"labels":{"app":"web"},"name":"web","resourceVersion":"7","uid":"u"}"#;
    /// assert_eq!(meta.for_update().to_string(), expect, "the rest is the server's");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn for_update(&self) -> Value {
        let mut metadata = json!({"name": self.name, "uid": self.uid, "resourceVersion": self.resource_version});
        let texts = [("generateName", &self.generate_name), ("namespace", &self.namespace)];
        for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            metadata[field] = text.as_str().into();
        }
        let maps = [("labels", &self.labels), ("annotations", &self.annotations)];
        for (field, map) in maps.into_iter().filter(|(_, map)| !map.is_empty()) {
            metadata[field] = json!(map);
        }
        if !self.owner_references.is_empty() {
            metadata["ownerReferences"] = json!(self.owner_references);
        }
        if !self.finalizers.is_empty() {
            metadata["finalizers"] = json!(self.finalizers);
        }
        metadata
    }

    /// The owner that manages the object.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether a deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Whether `finalizer` is among the finalizers.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|present| present == finalizer)
    }
}

/// An object of which only the metadata is read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Partial {
    /// The metadata.
    #[serde(default)]
    pub metadata: Meta,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_absent_are_empty() {
        let meta: Meta = serde_json::from_str(
            r#"{"name":"a","labels":null,"ownerReferences":null,"creationTimestamp":"2026-05-01T10:00:00Z"}"#,
        )
        .unwrap();
        assert_eq!(meta.key().to_string(), "a");
        assert!(meta.labels.is_empty() && meta.controller().is_none() && !meta.is_deleting());
        assert_eq!(meta.creation_timestamp.unwrap().to_string(), "2026-05-01T10:00:00Z");
    }

    #[test]
    fn any_time_that_a_server_stores_can_be_read() {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        for (written, expect) in [
            ("\"2026-05-01T10:00:00Z\"", "2026-05-01T10:00:00Z"),
            ("\"2026-05-01T12:00:00.5+02:00\"", "2026-05-01T10:00:00.5Z"),
            ("\"0001-01-01T00:00:00Z\"", "0001-01-01T00:00:00Z"),
            ("\"9999-12-31T23:59:59Z\"", "9999-12-30T22:00:00.999999999Z"),
            ("\"soon\"", ""),
            ("\"\"", ""),
            ("null", ""),
        ] {
            let meta: Meta = serde_json::from_str(&format!("{{\"creationTimestamp\": {written}}}")).unwrap();
            assert_eq!(text(meta.creation_timestamp), expect, "{written}");
        }
    }

    #[test]
    fn a_string_map_is_ordered_and_tells_changes() {
        let mut map: StringMap = [("b", "2"), ("a", "1")].into_iter().collect();
        assert!(!map.insert("a", "1"));
        assert!(map.insert("a", "3"));
        assert!(map.insert("c", "4"));
        assert_eq!(map.remove("b").as_deref(), Some("2"));
        assert_eq!(map.iter().collect::<Vec<_>>(), [("a", "3"), ("c", "4")]);
        assert_eq!(serde_json::to_string(&map).unwrap(), r#"{"a":"3","c":"4"}"#);
    }
}
