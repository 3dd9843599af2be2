//! Writes as bytes. Integers are little-endian; strings have their length in front.
//!
//! ```text
//! put:    1 | revision: u64 | resource | namespace | name | labels | fields | place of the version: u32 | JSON
//! delete: 2 | revision: u64 | resource | namespace | name
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Attributes, Entry, EventKind, Key, Revision};

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// A write that was read back.
#[derive(Debug)]
pub(crate) enum Record {
    /// An object was there from then on.
    Put(Entry),
    /// None was.
    Delete(Key, Revision),
}

impl Record {
    /// The number of the write.
    pub(crate) fn revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.revision,
            Self::Delete(_, revision) => *revision,
        }
    }
}

/// Adds a write to `buffer`.
pub(crate) fn put(buffer: &mut Vec<u8>, kind: EventKind, entry: &Entry) {
    buffer.push(if kind == EventKind::Put { PUT } else { DELETE });
    buffer.extend_from_slice(&entry.revision.to_le_bytes());
    for part in [&entry.key.resource, &entry.key.namespace, &entry.key.name] {
        string(buffer, part.as_bytes());
    }
    if kind == EventKind::Put {
        let Attributes { labels, fields } = &*entry.attributes;
        number(buffer, labels.len());
        for (key, value) in labels {
            string(buffer, key.as_bytes());
            string(buffer, value.as_bytes());
        }
        number(buffer, fields.len());
        for (name, value) in fields {
            string(buffer, name.as_bytes());
            string(buffer, value.as_bytes());
        }
        number(buffer, entry.revision_at());
        string(buffer, entry.bytes());
    }
}

fn number(buffer: &mut Vec<u8>, number: usize) {
    let number = u32::try_from(number).expect("objects are bounded far below 4 GiB");
    buffer.extend_from_slice(&number.to_le_bytes());
}

fn string(buffer: &mut Vec<u8>, bytes: &[u8]) {
    number(buffer, bytes.len());
    buffer.extend_from_slice(bytes);
}

/// Takes the next write off the front of `rest`. `None` if it is not one.
pub(crate) fn take(rest: &mut &[u8]) -> Option<Record> {
    let kind = take_bytes(rest, 1)?[0];
    let revision = Revision::from_le_bytes(take_bytes(rest, 8)?.try_into().ok()?);
    let key = Key { resource: take_string(rest)?, namespace: take_string(rest)?, name: take_string(rest)? };
    match kind {
        PUT => {
            let labels = (0..take_number(rest)?).map(|_| Some((take_string(rest)?, take_string(rest)?)));
            let labels = labels.collect::<Option<_>>()?;
            let fields = (0..take_number(rest)?).map(|_| Some((take_name(rest)?, take_string(rest)?)));
            let fields = fields.collect::<Option<_>>()?;
            let revision_at = take_number(rest)?;
            let length = take_number(rest)?;
            let json = Bytes::copy_from_slice(take_bytes(rest, length)?);
            let attributes = Arc::new(Attributes { labels, fields });
            Entry::restored((key, revision), attributes, (json, revision_at)).map(Record::Put)
        }
        DELETE => Some(Record::Delete(key, revision)),
        _ => None,
    }
}

fn take_bytes<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_number(rest: &mut &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(take_bytes(rest, 4)?.try_into().ok()?) as usize)
}

fn take_str<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = take_number(rest)?;
    std::str::from_utf8(take_bytes(rest, length)?).ok()
}

fn take_string<T: for<'a> From<&'a str>>(rest: &mut &[u8]) -> Option<T> {
    take_str(rest).map(T::from)
}

/// The name of a field. There are as many as kinds have field selectors, so that each is kept for ever.
fn take_name(rest: &mut &[u8]) -> Option<&'static str> {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let name = take_str(rest)?;
    let mut names = NAMES.lock();
    if let Some(known) = names.get(name) {
        return Some(known);
    }
    let kept: &'static str = Box::leak(name.into());
    names.insert(kept);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::draft;

    fn entry() -> Entry {
        let key = Key::new("pods", "ns", "a");
        let attributes = Attributes {
            labels: [("app".into(), "web".into())].into(),
            fields: [("spec.nodeName", "node-1".into()), ("status.phase", "".into())].into(),
        };
        draft(&key, "x").into_entry(key, Arc::new(attributes), 42)
    }

    #[test]
    fn a_write_comes_back_as_it_was() {
        let mut buffer = Vec::new();
        put(&mut buffer, EventKind::Put, &entry());
        put(&mut buffer, EventKind::Delete, &entry());
        let mut rest = &*buffer;
        let Some(Record::Put(found)) = take(&mut rest) else { panic!("a put") };
        assert_eq!((&found.key, found.revision, found.bytes()), (&entry().key, 42, entry().bytes()));
        assert_eq!(found.attributes, entry().attributes);
        assert_eq!(found.at_revision(100).bytes(), entry().at_revision(100).bytes());
        assert!(matches!(take(&mut rest), Some(Record::Delete(key, 42)) if key == entry().key));
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_no_write_is_refused() {
        let mut whole = Vec::new();
        put(&mut whole, EventKind::Put, &entry());
        for length in 0..whole.len() {
            assert!(take(&mut &whole[..length]).is_none(), "cut at {length}");
        }
        whole[0] = 9;
        assert!(take(&mut &*whole).is_none());
    }
}
