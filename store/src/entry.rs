//! Objects as the store keeps them: encoded once, with the place of the resource version known.

use std::sync::Arc;

use bytes::Bytes;

use crate::Revision;

/// The place of an object. Keys are ordered by resource, then namespace, then name, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Group and resource, such as `pods` or `deployments.apps`.
    pub resource: Arc<str>,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

/// What selectors look at: taken from the object once, when it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The labels, sorted by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// The values of the kind's own field selectors, in the order that the kind lists them.
    pub fields: Box<[(&'static str, Box<str>)]>,
}

/// An encoded object whose resource version is still to be filled in.
#[derive(Clone, Debug)]
pub struct Draft {
    json: Vec<u8>,
    revision_at: usize,
}

/// An object in the store.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it is.
    pub key: Key,
    /// The revision of its last write.
    pub revision: Revision,
    /// What selectors look at.
    pub attributes: Arc<Attributes>,
    bytes: Bytes,
    revision_at: usize,
}

impl Key {
    /// From its parts.
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl Draft {
    /// `json` is the object as JSON; `revision_at` is the index in it at which the digits of the resource version are to
    /// stand (between the quotes of `"resourceVersion":""`).
    ///
    /// # Panics
    /// If `revision_at` is not between two quotes.
    pub fn new(json: Vec<u8>, revision_at: usize) -> Self {
        assert_eq!(&json[revision_at - 1..=revision_at], b"\"\"", "the revision goes between two quotes");
        Self { json, revision_at }
    }

    /// The entry that this draft becomes with the write of that revision.
    pub fn into_entry(self, key: Key, attributes: Arc<Attributes>, revision: Revision) -> Entry {
        let bytes = splice(&self.json, self.revision_at, 0, revision);
        Entry { key, revision, attributes, bytes, revision_at: self.revision_at }
    }
}

impl Entry {
    /// The object as JSON, with its resource version. Cheap to clone.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where in the bytes the digits of the resource version begin.
    pub(crate) fn revision_at(&self) -> usize {
        self.revision_at
    }

    /// An entry as it was once written. `None` if the resource version does not stand where it should.
    pub(crate) fn restored(
        (key, revision): (Key, Revision),
        attributes: Arc<Attributes>,
        (bytes, revision_at): (Bytes, usize),
    ) -> Option<Self> {
        let digits = revision.to_string();
        bytes.get(revision_at..)?.starts_with(digits.as_bytes()).then_some(())?;
        Some(Self { key, revision, attributes, bytes, revision_at })
    }

    /// The same content under another resource version: how watchers see a deletion.
    #[must_use]
    pub fn at_revision(&self, revision: Revision) -> Self {
        let digits = self.revision.to_string().len();
        let bytes = splice(&self.bytes, self.revision_at, digits, revision);
        Self { revision, bytes, ..self.clone() }
    }
}

fn splice(json: &[u8], at: usize, replaced: usize, revision: Revision) -> Bytes {
    let digits = revision.to_string();
    let mut bytes = Vec::with_capacity(json.len() - replaced + digits.len());
    bytes.extend_from_slice(&json[..at]);
    bytes.extend_from_slice(digits.as_bytes());
    bytes.extend_from_slice(&json[at + replaced..]);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_spliced_into_the_encoding() {
        let json = br#"{"metadata":{"name":"a","resourceVersion":""}}"#.to_vec();
        let at = json.len() - 3;
        let entry = Draft::new(json, at).into_entry(Key::new("pods", "ns", "a"), Arc::default(), 9);
        assert_eq!(entry.bytes(), r#"{"metadata":{"name":"a","resourceVersion":"9"}}"#);
        let later = entry.at_revision(123);
        assert_eq!(later.bytes(), r#"{"metadata":{"name":"a","resourceVersion":"123"}}"#);
        assert_eq!(later.at_revision(7).bytes(), r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#);
        assert_eq!(later.revision, 123);
    }
}
