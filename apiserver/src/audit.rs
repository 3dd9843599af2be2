//! What is remembered of requests.
//! Source: Kubernetes doc "Auditing".

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// What takes part in answering a request notes about it for the audit log. Clones are the same notes.
#[derive(Clone, Debug, Default)]
pub struct Annotations(Arc<Mutex<BTreeMap<String, String>>>);

impl Annotations {
    /// Notes a value. The first value of a key stays.
    pub fn add(&self, key: impl Into<String>, value: impl Into<String>) {
        self.0.lock().entry(key.into()).or_insert_with(|| value.into());
    }

    /// What was noted so far.
    pub fn get(&self) -> BTreeMap<String, String> {
        self.0.lock().clone()
    }
}
