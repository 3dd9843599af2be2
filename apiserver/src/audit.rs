//! What is remembered of requests: who did what, and what the server thought of it.
//! Source: Kubernetes doc "Auditing".

mod history;
mod log;
mod policy;
mod trail;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

pub use history::{HISTORY_MAX, History, Needed, Record};
pub use log::Log;
pub use policy::{Error as PolicyError, Level, Policy, Stage};
pub use trail::Trail;
pub(crate) use trail::{About, Answered, source_ips};

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

/// Where requests are remembered. By default nowhere, at no cost.
#[derive(Debug, Default)]
pub struct Audit {
    pub(crate) history: Option<History>,
    pub(crate) log: Option<Log>,
}

impl Audit {
    /// Whether anybody wants to know of requests.
    pub(crate) fn is_on(&self) -> bool {
        self.history.is_some() || self.log.is_some()
    }
}
