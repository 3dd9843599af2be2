//! Stored objects that are looked at with every write (namespaces, priority classes), parsed once a version.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use steersman_store::{Entry, Key};

/// Objects that are remembered; beyond that all are forgotten and read anew. Enough for the namespaces of a large cluster;
/// at some kilobytes each it is a few megabytes.
const MOST: usize = 2048;

/// The parsed form of objects, each as long as its version is the one that is asked for.
#[derive(Default)]
pub(super) struct Parsed(Mutex<BTreeMap<Key, Read>>);

/// What was read, and of which state.
type Read = (Arc<Entry>, Arc<Value>);

impl Parsed {
    /// The object of an entry.
    pub(super) fn of(&self, entry: &Arc<Entry>) -> Arc<Value> {
        if let Some((have, object)) = self.0.lock().get(&entry.key)
            && Arc::ptr_eq(have, entry)
        {
            return Arc::clone(object);
        }
        let object = Arc::new(super::parse(entry.bytes()));
        let mut known = self.0.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(entry.key.clone(), (Arc::clone(entry), Arc::clone(&object)));
        object
    }
}

#[cfg(test)]
mod tests {
    use steersman_store::Draft;

    use super::*;

    fn entry(name: &str, revision: u64) -> Arc<Entry> {
        let json = br#"{"metadata":{"resourceVersion":""}}"#.to_vec();
        let at = json.len() - 3;
        Arc::new(Draft::new(json, at).into_entry(Key::new("namespaces", "", name), Arc::default(), revision))
    }

    #[test]
    fn a_version_is_parsed_once_and_no_older_one_is_shown() {
        let parsed = Parsed::default();
        let (first, second) = (entry("a", 1), entry("a", 2));
        assert!(Arc::ptr_eq(&parsed.of(&first), &parsed.of(&first)));
        assert_eq!(parsed.of(&second)["metadata"]["resourceVersion"], "2");
        assert_eq!(parsed.of(&first)["metadata"]["resourceVersion"], "1");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let parsed = Parsed::default();
        (0..MOST + 10).for_each(|name| drop(parsed.of(&entry(&name.to_string(), 1))));
        assert!(parsed.0.lock().len() <= MOST);
    }
}
