//! Deletions that were asked for and are not yet visible in the cache.
//!
//! Creations need no record: the version guard holds a set back until the cache shows them. A deletion has no version
//! to wait for, so the pods themselves are looked at: each has to be gone, or to be marked for deletion.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use steersman_framework::informer::Informer;
use steersman_framework::meta::ObjectKey;

use crate::objects::Pod;

/// After this time what was expected is not expected any more.
const TTL: SignedDuration = SignedDuration::from_mins(5);

/// What is expected, for each set's uid.
#[derive(Debug, Default)]
pub(super) struct Expectations(Mutex<BTreeMap<String, Expectation>>);

#[derive(Debug)]
struct Expectation {
    since: Timestamp,
    /// Pods that are to go, with their uids.
    deletions: BTreeMap<ObjectKey, String>,
    /// Creating is pointless for now.
    blocked: bool,
}

impl Expectations {
    /// Expects pods to go.
    pub(super) fn expect_deletions(&self, set: &str, now: Timestamp, deletions: BTreeMap<ObjectKey, String>) {
        let expectation = Expectation { since: now, deletions, blocked: false };
        self.0.lock().insert(set.to_owned(), expectation);
    }

    /// Does not expect `pod` to go any more: it could not be deleted.
    pub(super) fn deletion_failed(&self, set: &str, pod: &ObjectKey) {
        if let Some(expectation) = self.0.lock().get_mut(set) {
            expectation.deletions.remove(pod);
        }
    }

    /// Holds the set back until the time is over: its namespace is going away, and every attempt would be refused.
    pub(super) fn block(&self, set: &str, now: Timestamp) {
        let expectation = Expectation { since: now, deletions: BTreeMap::new(), blocked: true };
        self.0.lock().insert(set.to_owned(), expectation);
    }

    /// Whether everything that was expected has come, or did not come in time.
    pub(super) fn are_met(&self, set: &str, now: Timestamp, pods: &Informer<Pod>) -> bool {
        let mut expectations = self.0.lock();
        let Some(expectation) = expectations.get_mut(set) else { return true };
        expectation.deletions.retain(|key, uid| {
            let pod = pods.get(key);
            pod.is_some_and(|pod| pod.metadata.uid == *uid && !pod.metadata.is_deleting())
        });
        let open = expectation.blocked || !expectation.deletions.is_empty();
        let met = !open || now.duration_since(expectation.since) > TTL;
        if met {
            expectations.remove(set);
        }
        met
    }

    /// Forgets a set that is gone.
    pub(super) fn forget(&self, set: &str) {
        self.0.lock().remove(set);
    }
}
