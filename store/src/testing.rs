//! What the tests of this crate share.

use std::sync::Arc;

use futures::FutureExt;

use crate::{Draft, Entry, Expect, Key, Revision, Write};

/// An object whose content tells its place and a payload.
pub(crate) fn draft(key: &Key, payload: &str) -> Draft {
    let head = format!(
        r#"{{"payload":"{payload}","metadata":{{"namespace":"{}","name":"{}","resourceVersion":""#,
        key.namespace, key.name
    );
    let at = head.len();
    Draft::new(format!(r#"{head}"}}}}"#).into_bytes(), at)
}

pub(crate) fn entry(namespace: &str, name: &str, revision: Revision) -> Arc<Entry> {
    let key = Key::new("things", namespace, name);
    Arc::new(draft(&key, "").into_entry(key, Arc::default(), revision))
}

pub(crate) fn put(resource: &str, name: &str, payload: &str, expect: Expect) -> Write {
    let key = Key::new(resource, "ns", name);
    Write::Put { draft: draft(&key, payload), key, attributes: Arc::default(), expect }
}

pub(crate) fn delete(resource: &str, name: &str, expect: Expect) -> Write {
    Write::Delete { key: Key::new(resource, "ns", name), expect }
}

/// The answer of a store that never waits.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory store answers at once")
}
